"""Turn content into its identity: one file, one descriptor, or many files at once."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from enum import Enum, auto
from stat import S_ISREG
from time import monotonic
from typing import Any, NamedTuple, TypeAlias, TypeVar, overload

from medback_core.disk.causes import Changed
from medback_core.disk.digests import made_of
from medback_core.disk.portable import open_for_reading
from medback_core.disk.reading import read_through
from medback_core.disk.root import Root
from medback_core.disk.worker_pool import AT_ONCE, TICK, WorkerPool
from medback_core.disk.worker_process import NOT_BEGUN, NOT_READ, UNREAD
from medback_core.model import Identity, Recorded

_LARGE = 1 << 20  # a file of its own batch
_BATCH_BYTES = 4 << 20
_BATCH_DIRECTORIES = 100  # their descriptors are under way together: the kernel bounds what a user may have so
_WHOLE_DIRECTORIES = 50  # in one message at most
Result = TypeVar("Result")


class Hashed(NamedTuple):
    """A file's identity and its status, unchanged over the reading."""

    identity: Identity
    status: os.stat_result
    blake3: bytes | None = None  # None: it can't be made here


class FileToHash(NamedTuple):
    """A file to hash: its name in an open directory (or a path, with no directory), and what is known of it already:
    its size, or its status as it was just looked at, and what its content should be. `read_through` says what a reading
    makes of that."""

    directory: int | None
    name: bytes
    size: int = 0
    seen: os.stat_result | None = None
    known: Recorded | None = None


class DirectoryToRead(NamedTuple):
    """A directory inside an open one to be listed, and its small files hashed, by a worker process; but for files that
    changed within `fresh_ns` before it is looked at."""

    directory: int
    name: bytes
    fresh_ns: int


class DirectoryRead(NamedTuple):
    """What `worker_process.read_directories` says of one: its files as the rows they get (`session.scanning.Put`), the
    rest with its lstat. `looked_ns`: when that was begun."""

    looked_ns: int
    rows: list[tuple]
    others: list[tuple[bytes, os.stat_result]]


class Left(Enum):
    """Why a directory was not read."""

    FOR_THE_CALLER = auto()  # anything about it is unusual
    FOR_LATER = auto()  # those before it held more than was thought: it may be asked for again


def hash_fd(fd: int, *, on_bytes: Callable[[int], None] | None = None) -> Identity:
    """Hash all of a seekable file from its start. `on_bytes(n)` is told of every n more bytes. Raises OSError."""
    return _to_the_end(_hash_steps(fd), on_bytes)[0]


def _hash_steps(
    fd: int, known: Recorded | None = None, name: bytes = b"", size: int = sys.maxsize
) -> Generator[int, None, tuple[Identity, bytes | None]]:
    """read_through, yielding how many more bytes were read, of a second reading none. Raises Changed for more than
    `size`: a file that grows as it is read might have no end."""
    steps = read_through(fd, known, sys.maxsize)
    total = 0
    try:
        while True:
            done = next(steps)
            if done > size:
                raise Changed(name)
            if done > total:
                yield done - total
                total = done
    except StopIteration as end:
        return end.value
    finally:
        steps.close()


def hash_file(place: bytes | tuple[int | None, bytes], *, on_bytes: Callable[[int], None] | None = None) -> Hashed:
    """Hash a regular file given by a path or by `(directory, name)`; a link at its end is not followed, a FIFO not
    waited for. Raises Changed, OSError (ELOOP for a link, EINVAL for what is no regular file)."""
    directory, name = place if isinstance(place, tuple) else (None, place)
    return _to_the_end(hash_file_steps(directory, name), on_bytes)


def hash_file_steps(directory: int | None, name: bytes, known: Recorded | None = None) -> Generator[int, None, Hashed]:
    """hash_file, yielding after each MiB how many more bytes were read."""
    fd = open_for_reading(directory, name)
    try:
        before = os.fstat(fd)
        if not S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", name)
        size = before.st_size
        data = os.read(fd, size + 1) if size < _LARGE else None
        if data is not None and len(data) == size:
            identity, second = _identified(size, made_of(data, known.blake3 if known is not None else None), known)
            yield size
        else:  # large; or it grew, or the file system answers in pieces
            identity, second = yield from _hash_steps(fd, known, name, size)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    if (
        identity.size != size
        or after.st_size != size
        or after.st_mtime_ns != before.st_mtime_ns
        or after.st_ctime_ns != before.st_ctime_ns
    ):
        raise Changed(name)
    return Hashed(identity, before, second)


def _identified(
    size: int, made: tuple[bytes | None, bytes | None], known: Recorded | None
) -> tuple[Identity, bytes | None]:
    """The identity these digests say, and the BLAKE3. With no MD5, BLAKE3 is as known."""
    first, second = made
    if first is not None:
        return Identity(size, first), second
    assert known is not None
    return Identity(size, known.identity.md5), second


def _to_the_end(steps: Generator[int, None, Result], on_bytes: Callable[[int], None] | None) -> Result:
    while True:
        try:
            got = next(steps)
        except StopIteration as end:
            return end.value
        if on_bytes is not None:
            on_bytes(got)


Results: TypeAlias = Generator[Hashed | OSError | DirectoryRead | Left | None, None, None]


@overload
def hash_many(
    entries: Iterable[FileToHash | None], workers: int = 2, *, on_bytes: Callable[[int], None] | None = None
) -> Generator[Hashed | OSError | None, None, None]: ...
@overload
def hash_many(
    entries: Iterable[FileToHash | DirectoryToRead | None],
    workers: int = 2,
    *,
    on_bytes: Callable[[int], None] | None = None,
    files: int = 0,
) -> Results: ...
def hash_many(
    entries: Iterable[Any], workers: int = 2, *, on_bytes: Callable[[int], None] | None = None, files: int = 0
) -> Generator[Any, None, None]:
    """Hash files, results in the order of the entries: a Hashed, or the OSError for that one file. Directories too are
    read, where the caller found that it `wants_workers`; their results come in their order, and among those of files
    anywhere.

    Files go to worker processes, small ones by the batch, large ones each alone; the first few hundred small files, and
    all of whose status nothing is known, are hashed in this process (none where many `files` are to come). Reads
    `entries` a few batches ahead; each entry's directory handle must stay open until its result has come. A None among
    the entries asks for a turn: the oldest batch under way is waited for and handed out, then comes a None. A None also
    comes whenever nothing else came for TICK seconds, so that the caller can report and be cancelled in the middle of a
    large file. `on_bytes(n)` is told of every n more bytes. Closing it ends at once whatever is under way.
    """
    reading = _Reading(workers, on_bytes, files)
    try:
        yield from reading.all_of(entries)
    finally:
        reading.close()


def hash_below(
    root: Root, wanted: Sequence[tuple[bytes, Recorded | None]]
) -> Generator[tuple[int, Hashed | OSError | None], None, None]:
    """`hash_many` for files below a root, by their paths, and what each should be: the number of one among them and
    what came of it; None is a turn while it is read. Their directories are open meanwhile: a few hundred at most."""
    with ExitStack() as held:
        entries: list[FileToHash | OSError] = []
        for path, known in wanted:
            try:
                directory, name = root.split(path)
                seen = root.stat(path)
                handle = root.hold_directory(directory)
                held.callback(root.release_directory, directory)
                entries.append(FileToHash(handle, name, seen.st_size if seen is not None else 0, seen, known))
            except OSError as error:
                entries.append(error)
        results = held.enter_context(closing(hash_many(one for one in entries if isinstance(one, FileToHash))))
        for number, one in enumerate(entries):
            result: Hashed | OSError | None = one if isinstance(one, OSError) else next(results)
            while result is None:
                yield number, None
                result = next(results)
            yield number, result


class _Reading:
    """The batches of one hash_many."""

    def __init__(self, workers: int, on_bytes: Callable[[int], None] | None, files: int) -> None:
        self._pool: WorkerPool[list[FileToHash] | None] = WorkerPool(workers, files=files)
        self._ahead_max = 4 * workers
        self._whole_ahead_max = 12 * workers  # they are read on while the caller records what came of others
        self._on_bytes = on_bytes
        self._done = self._told = 0  # bytes
        self._batch: list[FileToHash] = []
        self._batch_bytes = self._batch_directories = 0
        self._directory: int | None = None  # of the last entry
        self._whole: list[DirectoryToRead] = []
        self._whole_max = 4  # so many directories hold about as many files as one batch

    def all_of(self, entries: Iterable[FileToHash | DirectoryToRead | None]) -> Results:
        for entry in entries:
            if entry is None:
                yield from self._begin()
                yield from self._begin_whole()
                if self._pool:
                    yield from self._oldest()
                yield None
                continue
            if isinstance(entry, DirectoryToRead):
                self._whole.append(entry)
                if len(self._whole) >= self._whole_max:
                    yield from self._begin_whole()
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
        yield from self._begin_whole()
        while self._pool:
            yield from self._oldest()

    def _begin_whole(self) -> Results:
        batch, self._whole = self._whole, []
        if not batch:
            return
        while len(self._pool) >= self._whole_ahead_max:
            yield from self._oldest()
        directories: list[int] = []
        parts: list[list[tuple[bytes, int]]] = []
        for directory, name, fresh_ns in batch:
            if not directories or directory != directories[-1]:
                directories.append(directory)
                parts.append([])
            parts[-1].append((name, fresh_ns))
        undone = [NOT_READ] * len(batch)
        begun = self._pool.begin(
            "read", directories, parts, None, size=0, here=lambda: iter(undone), undo=lambda: undone
        )
        for _ in begun:
            yield None

    def _whole_of(self, told: list[tuple[int, list[tuple], list[tuple]]]) -> Results:
        """Hand out the directories of one batch, and take so many for the next ones as hold a batch of files."""
        listed = begun = 0
        for looked_ns, rows, others in told:
            if looked_ns < 0:
                yield Left.FOR_LATER if looked_ns == NOT_BEGUN[0] else Left.FOR_THE_CALLER
                continue
            begun += 1
            listed += len(rows) + len(others)
            self._done += sum([row[1] for row in rows])
            yield DirectoryRead(looked_ns, rows, [(name, os.stat_result(*status)) for name, *status in others])
        if begun:
            self._whole_max = min(max(AT_ONCE * begun // max(listed, 1), 1), _WHOLE_DIRECTORIES)
        self._tell()

    def _begin(self) -> Results:
        batch, self._batch = self._batch, []
        size, self._batch_bytes, self._batch_directories = self._batch_bytes, 0, 0
        if not batch:
            return
        while len(self._pool) >= self._ahead_max:
            yield from self._oldest()
        undone = [UNREAD] * len(batch)
        begun = self._pool.begin(
            "hash", *_request(batch), batch, size=size, here=lambda: iter(undone), undo=lambda: undone
        )
        for _ in begun:
            yield None

    def _oldest(self) -> Results:
        """Wait for the oldest batch and hand out its results; what no worker has done is read here."""
        for done in self._pool.finish_oldest():
            self._tell(self._pool.bytes_read)
            if done is None:
                yield None
                continue
            batch, digests = done
            if batch is None:
                yield from self._whole_of(digests)
                continue
            for entry, made in zip(batch, digests, strict=True):
                if made == UNREAD:
                    yield from self._read(entry)
                    continue
                _, _, size, seen, known = entry
                assert seen is not None
                self._done += size
                first, second = made
                identity = Identity(size, first) if first is not None else _identified(size, made, known)[0]
                yield Hashed(identity, seen, second)
            self._tell()

    def _read(self, entry: FileToHash) -> Results:
        steps = hash_file_steps(entry.directory, entry.name, entry.known)
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
    for directory, name, size, seen, known in entries:
        if directory is None or seen is None or seen.st_size != size:
            return [], [[*entries]]
        if not directories or directory != directories[-1]:
            directories.append(directory)
            parts.append([])
        second = known.blake3 if known is not None and known.identity.size == size else None
        parts[-1].append((name, size, second, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino))
    return directories, parts
