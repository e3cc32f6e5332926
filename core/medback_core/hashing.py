"""Turn content into its identity: one file, one descriptor, or many files at once."""

from __future__ import annotations

import errno
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from hashlib import md5
from queue import SimpleQueue
from stat import S_ISREG
from typing import NamedTuple

from medback_core.disk.portable import open_for_reading
from medback_core.disk.worker_process import DESCRIPTORS_MAX
from medback_core.disk.workers import Worker, WorkerGone, give_back, has_idle, take_worker
from medback_core.model import Identity

CHUNK = 1 << 20
_LARGE = 1 << 20  # a file of its own batch
_BATCH_FILES = 250
_BATCH_BYTES = 4 << 20
_HERE = 400  # small files hashed in the caller's thread: for fewer, no thread and no process is worth starting


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
    """A file to hash: its name in an open directory (or a path, with no directory), and what is known of it already:
    its size, or its status as it was just looked at."""

    directory: int | None
    name: bytes
    size: int = 0
    seen: os.stat_result | None = None


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
    """Files for one worker: one large one, or small ones."""

    __slots__ = ("bytes", "done", "entries", "results")

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.bytes = 0
        self.results: list[Hashed | OSError] = []
        self.done = threading.Event()

    def add(self, entry: Entry) -> None:
        self.entries.append(entry)
        self.bytes += entry.size

    @property
    def is_full(self) -> bool:
        return len(self.entries) >= _BATCH_FILES or self.bytes >= _BATCH_BYTES


def hash_many(
    entries: Iterable[Entry | None],
    workers: int = 2,
    *,
    on_bytes: Callable[[int], None] | None = None,
    tick: float | None = None,
) -> Generator[Hashed | OSError | None, None, None]:
    """Hash files, results in the order of the entries: a Hashed, or the OSError for that one file.

    Large files are hashed in a few threads, each alone; small ones go in batches to worker processes, since for them
    the interpreter's lock would keep all threads to one processor. The first few hundred small files are hashed in the
    caller's thread. Reads `entries` a few batches ahead; each entry's directory handle must stay open until its result
    has come. A None among the entries asks for a turn: the oldest batch under way is waited for and handed out, then
    comes a None. With `tick` (seconds) the iterator also yields None whenever that long nothing came, so that the
    caller can report and be cancelled in the middle of a large file. `on_bytes(n)` is called in the caller's thread.
    Closing it stops the threads between two chunks.
    """
    workshop = _Workshop(workers, on_bytes, tick)
    here = _BATCH_FILES if has_idle() else _HERE
    batch = _Batch()
    try:
        for entry in entries:
            if entry is None:
                if batch.entries:
                    workshop.put(batch)
                    batch = _Batch()
                if workshop.ahead:
                    yield from workshop.oldest()
                yield None
            elif entry.size >= _LARGE:
                if batch.entries:
                    workshop.put(batch)
                    batch = _Batch()
                alone = _Batch()
                alone.add(entry)
                workshop.put(alone)
            elif here and not batch.entries and not workshop.ahead:
                here -= 1
                yield _hash_entry(entry, on_bytes)
            else:
                batch.add(entry)
                if batch.is_full:
                    workshop.put(batch)
                    batch = _Batch()
            while len(workshop.ahead) >= 2 * workers:
                yield from workshop.oldest()
        if batch.entries:
            workshop.put(batch)
        while workshop.ahead:
            yield from workshop.oldest()
    finally:
        workshop.close()


class _Workshop:
    """The threads of one hash_many and the batches they have, oldest first."""

    def __init__(self, workers: int, on_bytes: Callable[[int], None] | None, tick: float | None) -> None:
        self.ahead: deque[_Batch] = deque()
        self._work: SimpleQueue[_Batch | None] = SimpleQueue()
        self._stopping = threading.Event()
        self._counts = [0] * workers
        self._told = 0
        self._threads: list[threading.Thread] = []
        self._workers = workers
        self._on_bytes = on_bytes
        self._tick = tick

    def put(self, batch: _Batch) -> None:
        if len(self._threads) < self._workers:  # one more thread for each of the first batches
            arguments = (self._work, self._stopping, self._counts, len(self._threads))
            self._threads.append(threading.Thread(target=_work_off, args=arguments, daemon=True))
            self._threads[-1].start()
        self.ahead.append(batch)
        self._work.put(batch)

    def oldest(self) -> Generator[Hashed | OSError | None, None, None]:
        """Wait for the oldest batch and hand out its results."""
        batch = self.ahead[0]
        while not batch.done.wait(self._tick):
            self._tell()
            yield None
        self._tell()
        self.ahead.popleft()
        yield from batch.results

    def _tell(self) -> None:
        total = sum(self._counts)
        if self._on_bytes is not None and total > self._told:
            self._on_bytes(total - self._told)
        self._told = total

    def close(self) -> None:
        self._stopping.set()
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()


def _hash_entry(
    entry: Entry, on_bytes: Callable[[int], None] | None, stop: Callable[[], bool] | None = None
) -> Hashed | OSError:
    try:
        return _hash_at(entry.directory, entry.name, on_bytes, stop)
    except OSError as error:
        return error


def _work_off(work: SimpleQueue[_Batch | None], stopping: threading.Event, counts: list[int], index: int) -> None:
    """One worker thread, which may have a worker process. `counts[index]` is written by this thread alone."""

    def count(size: int) -> None:
        counts[index] += size

    worker: Worker | None = None
    has_worker = True
    try:
        while (batch := work.get()) is not None:
            if stopping.is_set():
                return
            if has_worker and worker is None and len(batch.entries) > 1:
                worker = take_worker()
                has_worker = worker is not None
            digests: list[bytes] = []
            if worker is not None and len(batch.entries) > 1:
                try:
                    digests = _ask(worker, batch.entries)
                except WorkerGone:
                    worker.close()
                    worker, has_worker = None, False
            append = batch.results.append
            for number, entry in enumerate(batch.entries):
                if digests and digests[number]:
                    assert entry.seen is not None
                    append(Hashed(Identity(entry.size, digests[number]), entry.seen))
                    counts[index] += entry.size
                else:
                    append(_hash_entry(entry, count, stopping.is_set))
            batch.done.set()
    except Stopped:
        return
    finally:
        if worker is not None:
            give_back(worker)


def _ask(worker: Worker, entries: list[Entry]) -> list[bytes]:
    """The digests a worker has for a batch, b"" where it has none. Raises WorkerGone."""
    parts: list[tuple[int, list[tuple[bytes, int, int, int, int]]]] = []
    files: list[tuple[bytes, int, int, int, int]] = []
    where: int | None = None
    unasked = 0
    for directory, name, size, seen in entries:
        if directory is None or seen is None or seen.st_size != size:
            return []
        if directory != where:
            if len(parts) == DESCRIPTORS_MAX:
                unasked = len(entries)
                break
            where, files = directory, []
            parts.append((directory, files))
        files.append((name, size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino))
    worker.ask("hash", [files for _, files in parts], [directory for directory, _ in parts])
    digests = [digest for part in worker.answer() for digest in part]
    return digests + [b""] * (unasked - len(digests)) if unasked else digests
