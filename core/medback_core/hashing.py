"""Turn content into its identity: one file, one descriptor, or many files at once."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Generator, Iterable, Iterator
from hashlib import md5
from stat import S_ISREG
from time import monotonic
from typing import NamedTuple, TypeVar

from medback_core.disk.portable import open_for_reading
from medback_core.disk.worker_pool import AT_ONCE, TICK, WorkerPool
from medback_core.model import Identity

CHUNK = 1 << 20
_LARGE = 1 << 20  # a file of its own batch
_BATCH_BYTES = 4 << 20
_BATCH_DIRECTORIES = 100  # their descriptors are under way together: the kernel bounds what a user may have so
Result = TypeVar("Result")


class ChangedWhileRead(OSError):
    """Size, mtime or ctime moved while a file was being read: what was read is no content it ever had for sure."""

    def __init__(self, name: bytes) -> None:
        super().__init__(errno.ESTALE, "changed while it was being read", name)


class Hashed(NamedTuple):
    """A file's identity and its status, unchanged over the reading."""

    identity: Identity
    status: os.stat_result


class FileToHash(NamedTuple):
    """A file to hash: its name in an open directory (or a path, with no directory), and what is known of it already:
    its size, or its status as it was just looked at."""

    directory: int | None
    name: bytes
    size: int = 0
    seen: os.stat_result | None = None


def hash_fd(fd: int, *, on_bytes: Callable[[int], None] | None = None) -> Identity:
    """Hash all of a seekable file from its start. `on_bytes(n)` is told of every n more bytes. Raises OSError."""
    return _to_the_end(hash_fd_steps(fd), on_bytes)


def hash_fd_steps(fd: int) -> Generator[int, None, Identity]:
    """hash_fd, yielding after each MiB how many more bytes were read."""
    os.lseek(fd, 0, os.SEEK_SET)
    digest = md5(usedforsecurity=False)
    total = 0
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        while got := file.readinto(buffer):
            digest.update(view[:got])
            total += got
            yield got
    return Identity(total, digest.digest())


def hash_file(place: bytes | tuple[int | None, bytes], *, on_bytes: Callable[[int], None] | None = None) -> Hashed:
    """Hash a regular file given by a path or by `(directory, name)`; a link at its end is not followed, a FIFO not
    waited for. Raises ChangedWhileRead, OSError (ELOOP for a link, EINVAL for what is no regular file)."""
    directory, name = place if isinstance(place, tuple) else (None, place)
    return _to_the_end(hash_file_steps(directory, name), on_bytes)


def hash_file_steps(directory: int | None, name: bytes) -> Generator[int, None, Hashed]:
    """hash_file, yielding after each MiB how many more bytes were read."""
    fd = open_for_reading(directory, name)
    try:
        before = os.fstat(fd)
        if not S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        size = before.st_size
        data = os.read(fd, size + 1) if size < _LARGE else None
        if data is not None and len(data) == size:
            identity = Identity(size, md5(data, usedforsecurity=False).digest())
            yield size
        else:  # large; or it grew, or the file system answers in pieces
            identity = yield from hash_fd_steps(fd)
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


def _to_the_end(steps: Generator[int, None, Result], on_bytes: Callable[[int], None] | None) -> Result:
    while True:
        try:
            got = next(steps)
        except StopIteration as end:
            return end.value
        if on_bytes is not None:
            on_bytes(got)


def hash_many(
    entries: Iterable[FileToHash | None],
    workers: int = 2,
    *,
    on_bytes: Callable[[int], None] | None = None,
) -> Generator[Hashed | OSError | None, None, None]:
    """Hash files, results in the order of the entries: a Hashed, or the OSError for that one file.

    Files go to worker processes, small ones by the batch, large ones each alone; the first few hundred small files, and
    all of whose status nothing is known, are hashed in this process. Reads `entries` a few batches ahead; each entry's
    directory handle must stay open until its result has come. A None among the entries asks for a turn: the oldest
    batch under way is waited for and handed out, then comes a None. A None also comes whenever nothing else came for
    TICK seconds, so that the caller can report and be cancelled in the middle of a large file. `on_bytes(n)` is told of
    every n more bytes. Closing it ends at once whatever is under way.
    """
    reading = _Reading(workers, on_bytes)
    try:
        yield from reading.all_of(entries)
    finally:
        reading.close()


class _Reading:
    """The batches of one hash_many."""

    def __init__(self, workers: int, on_bytes: Callable[[int], None] | None) -> None:
        self._pool: WorkerPool[list[FileToHash]] = WorkerPool(workers)
        self._ahead_max = 2 * workers
        self._on_bytes = on_bytes
        self._done = self._told = 0  # bytes
        self._batch: list[FileToHash] = []
        self._batch_bytes = self._batch_directories = 0
        self._directory: int | None = None  # of the last entry

    def all_of(self, entries: Iterable[FileToHash | None]) -> Iterator[Hashed | OSError | None]:
        for entry in entries:
            if entry is None:
                yield from self._begin()
                if self._pool:
                    yield from self._oldest()
                yield None
                continue
            is_large = entry.size >= _LARGE
            if is_large or (entry.directory != self._directory and self._batch_directories == _BATCH_DIRECTORIES):
                yield from self._begin()
            if not self._batch or entry.directory != self._directory:
                self._directory = entry.directory
                self._batch_directories += 1
            self._batch.append(entry)
            self._batch_bytes += entry.size
            if is_large or len(self._batch) >= AT_ONCE or self._batch_bytes >= _BATCH_BYTES:
                yield from self._begin()
        yield from self._begin()
        while self._pool:
            yield from self._oldest()

    def _begin(self) -> Iterator[Hashed | OSError | None]:
        """The batch is whole."""
        batch, self._batch = self._batch, []
        size, self._batch_bytes, self._batch_directories = self._batch_bytes, 0, 0
        if not batch:
            return
        while len(self._pool) >= self._ahead_max:
            yield from self._oldest()
        undone = [b""] * len(batch)
        begun = self._pool.begin(
            "hash", *_request(batch), batch, size=size, here=lambda: iter(undone), undo=lambda: undone
        )
        for _ in begun:
            yield None

    def _oldest(self) -> Iterator[Hashed | OSError | None]:
        """Wait for the oldest batch and hand out its results; what no worker has done is read here."""
        for done in self._pool.finish_oldest():
            self._tell(self._pool.bytes_read)
            if done is None:
                yield None
                continue
            batch, digests = done
            for entry, digest in zip(batch, digests, strict=True):
                if digest:
                    assert entry.seen is not None
                    self._done += entry.size
                    self._tell()
                    yield Hashed(Identity(entry.size, digest), entry.seen)
                else:
                    yield from self._read(entry)

    def _read(self, entry: FileToHash) -> Iterator[Hashed | OSError | None]:
        steps = hash_file_steps(entry.directory, entry.name)
        turn = monotonic() + TICK
        try:
            while True:
                self._done += next(steps)
                self._tell()
                if monotonic() > turn:
                    yield None
                    turn = monotonic() + TICK
        except StopIteration as end:
            yield end.value
        except OSError as error:
            yield error
        finally:
            steps.close()

    def _tell(self, reading: int = 0) -> None:
        """A file that is read once more is told of once."""
        total = self._done + reading
        if self._on_bytes is not None and total > self._told:
            self._on_bytes(total - self._told)
            self._told = total

    def close(self) -> None:
        self._pool.close()


def _request(entries: list[FileToHash]) -> tuple[list[int], list[list[tuple]]]:
    """What a worker is asked for a batch: directories, and the files in each. No directories, which no worker is asked
    for, where it could not tell by its status that each file is the one that was looked at."""
    directories: list[int] = []
    parts: list[list[tuple]] = []
    for directory, name, size, seen in entries:
        if directory is None or seen is None or seen.st_size != size:
            return [], [[*entries]]
        if not directories or directory != directories[-1]:
            directories.append(directory)
            parts.append([])
        parts[-1].append((name, size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino))
    return directories, parts
