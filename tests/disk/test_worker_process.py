"""What worker processes do with names that are not what the session was told of."""

from __future__ import annotations

from typing import Any
import os
from hashlib import md5
from pathlib import Path

from medback_core.disk import primitives, worker_process


def test_a_pipe_is_not_copied_as_an_empty_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        files: list[Any] = [(b"pipe", 0, md5().digest(), None, None, 0, 0o644, 0o644, b"copy")]
        assert list(worker_process.copy_files(primitives, directory, directory, files)) == [worker_process.NOTHING]
    finally:
        os.close(directory)
    assert os.listdir(tmp_path) == ["pipe"]


def test_a_link_is_neither_copied_nor_read_back_though_it_leads_to_the_very_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    os.symlink("file", tmp_path / "link")
    digest = md5(b"content").digest()
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        files: list[Any] = [
            (name, 7, digest, None, None, 0, 0o644, 0o644, b"copy of " + name) for name in (b"file", b"link")
        ]
        copied = list(worker_process.copy_files(primitives, directory, directory, files))
        read = [one for one, *_ in worker_process.read_back(directory, [(b"file", 7, None), (b"link", 7, None)])]
    finally:
        os.close(directory)
    assert copied[0] != worker_process.NOTHING and copied[1] == worker_process.NOTHING
    assert read == [digest, b""]
    assert sorted(os.listdir(tmp_path)) == ["copy of file", "file", "link"]


def test_no_copy_is_written_where_something_stands_not_even_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "taken").write_bytes(b"somebody's")
    os.symlink("outside", tmp_path / "link")
    digest = md5(b"content").digest()
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        for change in (primitives, worker_process.Plain):
            files: list[Any] = [(b"file", 7, digest, None, None, 0, 0o644, 0o644, name) for name in (b"taken", b"link")]
            copied = list(worker_process.copy_files(change, directory, directory, files))
            assert copied == [worker_process.NOTHING] * 2
    finally:
        os.close(directory)
    assert (tmp_path / "taken").read_bytes() == b"somebody's"
    assert sorted(os.listdir(tmp_path)) == ["file", "link", "taken"]
