"""Turn content into its identity: one file, one descriptor, or many files at once."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from hashlib import md5
from itertools import chain
from queue import SimpleQueue
from stat import S_ISREG
from typing import NamedTuple

from medback_core.disk.portable import open_for_reading
from medback_core.model import Identity

CHUNK = 1 << 20
_LARGE = 1 << 20  # a file of its own batch
_BATCH_FILES = 64
_BATCH_BYTES = 4 << 20


class ChangedWhileRead(OSError):
    """Size, mtime or ctime moved while a file was being read: what was read is no content it ever had for sure."""

    def __init__(self, name: bytes) -> None:
        super().__init__(errno.ESTALE, "changed while it was being read", name)


class Stopped(Exception):
    """The caller's `stop` said so."""


class Hashed(NamedTuple):
    """A file's identity and its status, unchanged over the reading."""

    identity: Identity
    status: os.stat_result


class Entry(NamedTuple):
    """A file to hash: its name in an open directory (or a path, with no directory), and its size as far as known."""

    directory: int | None
    name: bytes
    size: int = 0


def hash_fd(
    fd: int,
    *,
    chunk: int = CHUNK,
    on_bytes: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Identity:
    """Hash all of a seekable file from its start. `on_bytes(n)` is told of every n more bytes, `stop()` is asked after
    each chunk and ends it with Stopped. Raises OSError."""
    os.lseek(fd, 0, os.SEEK_SET)
    digest = md5(usedforsecurity=False)
    total = 0
    buffer = bytearray(chunk)
    view = memoryview(buffer)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        while got := file.readinto(buffer):
            digest.update(view[:got])
            total += got
            if on_bytes is not None:
                on_bytes(got)
            if stop is not None and stop():
                raise Stopped
    return Identity(total, digest.digest())


def hash_file(
    place: bytes | tuple[int | None, bytes],
    *,
    on_bytes: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Hashed:
    """Hash a regular file given by a path or by `(directory, name)`; a link at its end is not followed, a FIFO not
    waited for. Raises ChangedWhileRead, Stopped, OSError (ELOOP for a link, EINVAL for what is no regular file)."""
    if isinstance(place, tuple):
        return _hash_at(place[0], place[1], on_bytes, stop)
    return _hash_at(None, place, on_bytes, stop)


def _hash_at(
    directory: int | None, name: bytes, on_bytes: Callable[[int], None] | None, stop: Callable[[], bool] | None
) -> Hashed:
    fd = open_for_reading(directory, name)
    try:
        before = os.fstat(fd)
        if not S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        size = before.st_size
        data = os.read(fd, size + 1) if size < _LARGE else None
        if data is not None and len(data) == size:
            identity = Identity(size, md5(data, usedforsecurity=False).digest())
            if on_bytes is not None:
                on_bytes(size)
        else:  # large; or it grew, or the file system answers in pieces
            identity = hash_fd(fd, on_bytes=on_bytes, stop=stop)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if (
        identity.size != size
        or after.st_size != size
        or after.st_mtime_ns != before.st_mtime_ns
        or after.st_ctime_ns != before.st_ctime_ns
    ):
        raise ChangedWhileRead(name)
    return Hashed(identity, before)


class _Batch:
    __slots__ = ("done", "entries", "results")

    def __init__(self, entries: list[Entry]) -> None:
        self.entries = entries
        self.results: list[Hashed | OSError] = []
        self.done = threading.Event()


def hash_many(
    entries: Iterable[Entry],
    workers: int = 2,
    *,
    on_bytes: Callable[[int], None] | None = None,
    tick: float | None = None,
) -> Generator[Hashed | OSError | None, None, None]:
    """Hash files in a few threads, results in the order of the entries: a Hashed, or the OSError for that one file.

    Small files go in batches, a large one alone. Reads `entries` a few batches ahead; each entry's directory handle
    must stay open until its result has come. `on_bytes(n)` is called in the caller's thread. With `tick` (seconds) the
    iterator also yields None whenever that long nothing came, so that the caller can report and be cancelled in the
    middle of a large file. Closing it stops the threads between two chunks.
    """
    batches = _batches(entries)
    first = next(batches, None)
    second = next(batches, None) if first is not None else None
    if first is None:
        return
    if second is None and first.entries[0][2] < _LARGE:
        yield from _hash_here(first, on_bytes)  # one directory's few files: not worth a thread
        return
    work: SimpleQueue[_Batch | None] = SimpleQueue()
    stopping = threading.Event()
    counts = [0] * workers
    threads = [
        threading.Thread(target=_hash_batches, args=(work, stopping, counts, index), daemon=True)
        for index in range(workers)
    ]
    told = 0
    for thread in threads:
        thread.start()
    try:
        ahead: deque[_Batch] = deque()
        for batch in chain([first], [] if second is None else [second], batches):
            ahead.append(batch)
            work.put(batch)
            if len(ahead) < 2 * workers:
                continue
            told = yield from _results(ahead.popleft(), counts, told, on_bytes, tick)
        while ahead:
            told = yield from _results(ahead.popleft(), counts, told, on_bytes, tick)
    finally:
        stopping.set()
        for _ in threads:
            work.put(None)
        for thread in threads:
            thread.join()


def _hash_here(batch: _Batch, on_bytes: Callable[[int], None] | None) -> Iterator[Hashed | OSError]:
    for directory, name, _ in batch.entries:
        try:
            yield _hash_at(directory, name, on_bytes, None)
        except OSError as error:
            yield error


def _batches(entries: Iterable[Entry]) -> Iterator[_Batch]:
    waiting: list[Entry] = []
    size = 0
    for entry in entries:
        if entry[2] >= _LARGE:
            if waiting:
                yield _Batch(waiting)
            yield _Batch([entry])
            waiting, size = [], 0
            continue
        waiting.append(entry)
        size += entry[2]
        if len(waiting) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield _Batch(waiting)
            waiting, size = [], 0
    if waiting:
        yield _Batch(waiting)


def _results(
    batch: _Batch, counts: list[int], told: int, on_bytes: Callable[[int], None] | None, tick: float | None
) -> Generator[Hashed | OSError | None, None, int]:
    """Wait for one batch and yield its results; returns how many bytes the caller has been told of."""
    while not batch.done.wait(tick):
        told = _tell(counts, told, on_bytes)
        yield None
    told = _tell(counts, told, on_bytes)
    yield from batch.results
    return told


def _tell(counts: list[int], told: int, on_bytes: Callable[[int], None] | None) -> int:
    total = sum(counts)
    if on_bytes is not None and total > told:
        on_bytes(total - told)
    return total


def _hash_batches(work: SimpleQueue[_Batch | None], stopping: threading.Event, counts: list[int], index: int) -> None:
    """One worker thread. `counts[index]` is written by this thread alone."""

    def count(size: int) -> None:
        counts[index] += size

    while (batch := work.get()) is not None:
        append = batch.results.append
        for directory, name, _ in batch.entries:
            if stopping.is_set():
                return
            try:
                append(_hash_at(directory, name, count, stopping.is_set))
            except OSError as error:
                append(error)
            except Stopped:
                return
        batch.done.set()
