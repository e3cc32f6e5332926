"""What worker processes do with names that are not what the session was told of."""

from __future__ import annotations

import os
from hashlib import md5
from pathlib import Path

from medback_core.disk import primitives, worker_process


def test_a_link_is_neither_copied_nor_read_back_though_it_leads_to_the_very_content(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    os.symlink("file", tmp_path / "link")
    digest = md5(b"content").digest()
    directory = os.open(tmp_path, os.O_RDONLY)
    try:
        files = [(name, 7, digest, None, 0, 0o644, b"copy of " + name) for name in (b"file", b"link")]
        copied = worker_process.copy_files(primitives, directory, directory, files)
        read = [one for one, _ in worker_process.read_back(directory, [(b"file", 7), (b"link", 7)])]
    finally:
        os.close(directory)
    assert copied[0] != worker_process.NOTHING and copied[1] == worker_process.NOTHING
    assert read == [digest, b""]
    assert sorted(os.listdir(tmp_path)) == ["copy of file", "file", "link"]
