"""Hashing: regular files only, unchanged while read, many at once and in order."""

from __future__ import annotations

import hashlib
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from medback_core import hashing
from medback_core.disk import worker_pool, workers
from medback_core.disk import Changed
from medback_core.hashing import FileToHash, Hashed, hash_fd, hash_file, hash_many
from medback_core.model import Identity
from support.processes import children


def _identity(data: bytes) -> Identity:
    return Identity(len(data), hashlib.md5(data).digest())


@pytest.mark.parametrize("size", [0, 1, 4096, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 3_500_000])
def test_any_size_is_hashed_like_md5sum(tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    (tmp_path / "a").write_bytes(data)
    result = hash_file(bytes(tmp_path / "a"))
    assert result.identity == _identity(data)
    assert result.status.st_size == size
    told: list[int] = []
    assert hash_file(bytes(tmp_path / "a"), on_bytes=told.append).identity == _identity(data)
    assert sum(told) == size


def test_a_descriptor_is_hashed_from_its_start(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"hello")
    with open(tmp_path / "a", "rb") as file:
        file.read(3)
        assert hash_fd(file.fileno()) == _identity(b"hello")


@pytest.mark.timeout(10)
def test_links_fifos_and_directories_are_refused_and_nothing_hangs(tmp_path: Path) -> None:
    (tmp_path / "real").write_bytes(b"x")
    os.symlink("real", tmp_path / "link")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo", ".", "missing"):
        with pytest.raises(OSError):
            hash_file(bytes(tmp_path / name))


@pytest.mark.parametrize("size", [100, 2_500_000])
@pytest.mark.parametrize("change", ["append", "rewrite keeping size and mtime"])
def test_a_file_that_changes_while_read_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int, change: str
) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x" * size)
    os.utime(path, ns=(1, 1))
    real = os.fstat
    seen: list[int] = []

    def fstat(fd: int) -> os.stat_result:
        if seen:  # the second look: something happened meanwhile
            if change == "append":
                with open(path, "ab") as file:
                    file.write(b"y")
            else:
                path.write_bytes(b"y" * size)
                os.utime(path, ns=(1, 1))
        seen.append(fd)
        return real(fd)

    monkeypatch.setattr(hashing.os, "fstat", fstat)
    with pytest.raises(Changed):
        hash_file(bytes(path))


def _hashed(entries: list[FileToHash | None], *args, **keywords) -> list[Hashed | OSError]:
    """All results, without the turns, which come as often as the machine is slow."""
    return [result for result in hash_many(entries, *args, **keywords) if result is not None]


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_many_files_come_back_in_order_with_the_error_in_the_place_of_a_bad_one(tmp_path: Path, workers: int) -> None:
    entries: list[FileToHash | None] = []
    expected: list[Identity | None] = []
    directory = os.open(tmp_path, os.O_RDONLY)
    for index in range(300):
        data = os.urandom(index * 7 if index % 90 else 1_100_000)
        name = b"f%d" % index
        if index % 50 != 3:
            (tmp_path / name.decode()).write_bytes(data)
            expected.append(_identity(data))
        else:
            expected.append(None)
        entries.append(FileToHash(directory, name, len(data)))
    told: list[int] = []
    results = _hashed(entries, workers, on_bytes=told.append)
    os.close(directory)
    assert [result.identity if isinstance(result, Hashed) else None for result in results] == expected
    assert all(isinstance(result, FileNotFoundError) for result in results if not isinstance(result, Hashed))
    assert sum(told) == sum(identity.size for identity in expected if identity)


def test_a_few_small_files_start_no_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, entries, expected = _many_small_files(tmp_path, 100)
    monkeypatch.setattr(worker_pool, "take_worker", lambda: pytest.fail("a process was started"))
    results = _hashed([*entries, FileToHash(directory, b"nowhere", 5)])
    os.close(directory)
    assert [result.identity for result in results[:-1] if isinstance(result, Hashed)] == expected
    assert isinstance(results[-1], FileNotFoundError)
    assert list(hash_many([])) == []


def test_a_caller_gets_its_turn_while_a_large_file_is_hashed_and_closing_ends_the_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.truncate(20 << 30)  # sparse: would take half a minute
    directory = os.open(tmp_path, os.O_RDONLY)
    entry = FileToHash(directory, b"a", 20 << 30, os.stat(tmp_path / "a"))
    told: list[int] = []
    results = hash_many([entry], on_bytes=told.append)
    while not told:
        assert next(results) is None
    (child,) = children()
    results.close()
    os.close(directory)
    assert 0 < sum(told) < 20 << 30
    assert child not in children()


def test_a_large_file_that_no_worker_can_be_asked_for_gives_turns_too(tmp_path: Path) -> None:
    with open(tmp_path / "a", "wb") as file:
        file.truncate(20 << 30)
    with closing(hash_many([FileToHash(None, bytes(tmp_path / "a"), 20 << 30)])) as results:
        assert next(results) is None


def test_large_files_are_hashed_beside_in_order_and_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_pool, "_HERE", 0)
    directory = os.open(tmp_path, os.O_RDONLY)
    entries, expected = [], []
    for index, size in enumerate([3_000_000, 1 << 20, 5, (1 << 20) + 1, 2_500_000, 9]):
        data = os.urandom(size)
        (tmp_path / f"f{index}").write_bytes(data)
        entries.append(FileToHash(directory, b"f%d" % index, size, os.stat(tmp_path / f"f{index}")))
        expected.append(_identity(data))
    (tmp_path / "f4").write_bytes(changed := os.urandom(2_500_001))
    expected[4] = _identity(changed)
    told: list[int] = []
    results = _hashed(entries, on_bytes=told.append)
    os.close(directory)
    assert [result.identity for result in results if isinstance(result, Hashed)] == expected
    assert sum(told) == sum(identity.size for identity in expected)


def _many_small_files(tmp_path: Path, count: int) -> tuple[int, list[FileToHash | None], list[Identity]]:
    entries: list[FileToHash | None] = []
    expected: list[Identity] = []
    directory = os.open(tmp_path, os.O_RDONLY)
    for index in range(count):
        data = b"%d" % index
        (tmp_path / f"f{index}").write_bytes(data)
        seen = os.stat(tmp_path / f"f{index}")
        entries.append(FileToHash(directory, b"f%d" % index, seen.st_size, seen))
        expected.append(_identity(data))
    return directory, entries, expected


def test_many_small_files_are_hashed_beside_this_process_and_a_changed_one_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, entries, expected = _many_small_files(tmp_path, 1200)
    (tmp_path / "f1100").write_bytes(b"another content")
    (tmp_path / "f1101").unlink()
    here: list[bytes] = []
    really = hashing.hash_file_steps

    def hashed_here(directory, name, known):
        here.append(name)
        return really(directory, name, known)

    monkeypatch.setattr(hashing, "hash_file_steps", hashed_here)
    results = _hashed(entries)
    os.close(directory)
    assert isinstance(results[1101], FileNotFoundError)
    assert isinstance(changed := results[1100], Hashed) and changed.identity == _identity(b"another content")
    assert [r.identity for r in results[:1100] if isinstance(r, Hashed)] == expected[:1100]
    assert {b"f1100", b"f1101"} <= set(here)
    assert len(here) <= worker_pool._HERE + 2, "the rest was read by workers"


def test_a_reader_that_dies_costs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    directory, entries, expected = _many_small_files(tmp_path, 1200)
    doomed = workers.Worker()
    os.kill(doomed.pid, signal.SIGKILL)
    there = [doomed]
    monkeypatch.setattr(worker_pool, "take_worker", lambda: there.pop() if there else None)
    results = _hashed(entries, 1)
    os.close(directory)
    assert [result.identity for result in results if isinstance(result, Hashed)] == expected


def test_a_turn_asked_for_comes_after_what_is_under_way(tmp_path: Path) -> None:
    directory, entries, _ = _many_small_files(tmp_path, 100)
    results = list(hash_many([*entries, None]))
    os.close(directory)
    assert results[-1] is None
    assert sum(result is not None for result in results[:-1]) == 100
