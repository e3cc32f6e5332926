"""Read a file back from the drive itself rather than from the kernel's memory, and say whether that is proven."""

from __future__ import annotations

import os
import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack
from typing import NamedTuple, TypeVar

from medback_core.disk import portable, worker_process
from medback_core.disk.causes import Changed
from medback_core.disk.digests import Reading
from medback_core.disk.root import Root
from medback_core.disk.worker_pool import AT_ONCE, WorkerPool
from medback_core.model import Identity, Recorded

CHUNK = 1 << 20
_SMALL = 1 << 20  # larger ones are not read together with others
_BATCH_BYTES = 4 << 20
_BATCH_DIRECTORIES = 100  # their descriptors are under way together: the kernel bounds what a user may have so
_AHEAD = 4  # batches under way
Result = TypeVar("Result")


class FromDrive(NamedTuple):
    """What reading a file from its drive gave."""

    identity: Identity
    status: os.stat_result  # of the descriptor, before reading
    proven: bool  # the bytes came from the medium, not from a cache
    blake3: bytes | None = None  # None: it can't be made here


def read_from_drive(root: Root, rel: bytes, known: Recorded | None = None) -> Generator[int, None, FromDrive]:
    """Hash a file as the drive holds it: yields the bytes read so far after each MiB, returns a FromDrive. With what it
    is `known` as, BLAKE3 alone is made; only when that says no, MD5 too.

    The kernel is told to drop the file's cached pages first; `proven` is true only when none was left and the file
    system reads from a block device with nothing in between (never tmpfs, FUSE, network, or a loop device over a
    cached file). Durable bytes only: sync first, dirty pages can't be dropped. Regular files only, links not followed.
    Raises OSError; Changed when the file changed while being read.
    """
    fd, before = root.open_file(rel)
    try:
        identity, second, proven = yield from hash_from_drive(fd, before.st_size, root.file_system.proves_reads, known)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    changed = (after.st_size, after.st_mtime_ns, after.st_ctime_ns) != (
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    if changed or identity.size != before.st_size:
        raise Changed(rel)
    return FromDrive(identity, before, proven, second)


def content_on_drive(root: Root, rel: bytes, known: Recorded | None = None) -> FromDrive:
    """read_from_drive for who wants no progress. Raises OSError."""
    return ended(read_from_drive(root, rel, known))


def ended(steps: Generator[object, None, Result]) -> Result:
    """Run a generator to its end and give what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


class AsRecorded(NamedTuple):
    """A file that was read from its drive and is what it should be."""

    mtime_ns: int
    proven: bool  # as FromDrive has it
    blake3: bytes | None  # as it was read


ALONE = AsRecorded(0, False, None)  # `read_from_drive` says what it is


def read_many(root: Root, wanted: Iterable[tuple[bytes, Recorded]]) -> Generator[AsRecorded | None, None, None]:
    """Read files (path, what each should be) as the drive holds them, results in their order: ALONE for a large one,
    and for one with which anything is unusual. Reads `wanted` a few batches ahead; small files are read in worker
    processes, and the drive is told of a batch's before the first is waited for. None is a turn for the caller while it
    waits. Closing it ends at once whatever is under way."""
    pool: WorkerPool[list[tuple[bytes, Recorded]]] = WorkerPool()
    proves = root.file_system.proves_reads
    try:
        for batch in _batches(wanted):
            if batch[0][1].identity.size > _SMALL:
                while pool:
                    yield from _oldest(pool, proves)
                yield ALONE
                continue
            while len(pool) >= _AHEAD:
                yield from _oldest(pool, proves)
            yield from _begin(root, pool, batch)
        while pool:
            yield from _oldest(pool, proves)
    finally:
        pool.close()


def _batches(wanted: Iterable[tuple[bytes, Recorded]]) -> Iterator[list[tuple[bytes, Recorded]]]:
    """Small files together, as they come; a large one by itself."""
    batch: list[tuple[bytes, Recorded]] = []
    size = directories = 0
    for path, known in wanted:
        is_large = known.identity.size > _SMALL
        is_next = not batch or os.path.dirname(batch[-1][0]) != os.path.dirname(path)
        is_full = len(batch) == AT_ONCE or size >= _BATCH_BYTES or (is_next and directories == _BATCH_DIRECTORIES)
        if batch and (is_large or is_full):
            yield batch
            batch, size, directories = [], 0, 0
        batch.append((path, known))
        size += known.identity.size
        directories += is_next or len(batch) == 1
        if is_large:
            yield batch
            batch, size, directories = [], 0, 0
    if batch:
        yield batch


def _begin(
    root: Root, pool: WorkerPool[list[tuple[bytes, Recorded]]], batch: list[tuple[bytes, Recorded]]
) -> Iterator[None]:
    handles: list[int] = []
    parts: list[list[tuple[bytes, int, bytes | None]]] = []
    unread = [worker_process.UNREAD_BACK] * len(batch)
    with ExitStack() as held:
        last: bytes | None = None
        try:
            for path, known in batch:
                directory, name = root.split(path)
                if directory != last:
                    handles.append(root.hold_directory(directory))
                    held.callback(root.release_directory, directory)
                    parts.append([])
                    last = directory
                parts[-1].append((name, known.identity.size, known.blake3))
        except OSError:  # `read_from_drive` says what is wrong
            handles, parts = [], []
        pairs = list(zip(handles, parts, strict=True))
        yield from pool.begin(
            "read back",
            handles,
            parts,
            batch,
            size=sum(known.identity.size for _, known in batch),
            here=lambda: (
                (read for pair in pairs for read in worker_process.read_back(*pair)) if pairs else iter(unread)
            ),
            undo=lambda: unread,
        )


def _oldest(pool: WorkerPool[list[tuple[bytes, Recorded]]], proves: bool) -> Iterator[AsRecorded | None]:
    for done in pool.finish_oldest():
        if done is None:
            yield None
            continue
        for (_, known), (first, second, uncached, mtime_ns) in zip(*done, strict=True):
            # Where BLAKE3 is known, only its yes counts here.
            right = first is None or (first == known.identity.md5 and (known.blake3 is None or second is None))
            yield AsRecorded(mtime_ns, uncached and proves, second) if right else ALONE


def hash_from_drive(
    fd: int, size: int, proves_reads: bool, known: Recorded | None = None
) -> Generator[int, None, tuple[Identity, bytes | None, bool]]:
    """The same for an open descriptor: identity, BLAKE3, proven; `size` is only what is expected."""
    dropped = _drop_cache(fd)
    proven = proves_reads and dropped and is_uncached(fd, size)
    identity, second = yield from read_through(fd, known, size)
    return identity, second, proven


def read_through(
    fd: int, known: Recorded | None = None, size: int = CHUNK
) -> Generator[int, None, tuple[Identity, bytes | None]]:
    """(identity, BLAKE3) of all of a seekable file, from its start; yields the bytes read so far. The one place that
    says what a reading makes: of what is `known` by its BLAKE3 that alone, and where it says no, MD5 by a second
    reading. So what is the known content but for its BLAKE3 has the known identity, and the BLAKE3 it really has."""
    expected = known.blake3 if known is not None else None
    total = 0
    buffer = bytearray(min(CHUNK, max(size + 1, 1)))
    view = memoryview(buffer)
    with Reading(expected) as reading, open(fd, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        while got := file.readinto(buffer):
            reading.update(view[:got])
            total += got
            if total < size:
                yield total
        first, second = reading.made()
    if first is not None:
        return Identity(total, first), second
    assert known is not None
    if (total, second) == (known.identity.size, expected):
        return known.identity, second
    return (yield from read_through(fd, None, size))


def _drop_cache(fd: int) -> bool:
    if sys.platform != "linux" or not hasattr(os, "posix_fadvise"):
        return False
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    return True


def is_uncached(fd: int, size: int) -> bool:
    """Whether no page of a file lies in the page cache, as far as the kernel tells: all pages counted by cachestat
    (6.5), else probed. False when it doesn't tell. An empty file has nothing to prove."""
    if size == 0:
        return True
    cached = portable.cached_pages(fd)
    return worker_process.is_uncached(fd, size) if cached is None else cached == 0
