"""Read a file back from the drive itself rather than from the kernel's memory, and say whether that is proven."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Generator
from typing import NamedTuple, TypeVar

from medback_core.disk import portable, worker_process
from medback_core.disk.root import Root
from medback_core.model import Identity

CHUNK = 1 << 20
Result = TypeVar("Result")


class FromDrive(NamedTuple):
    """What reading a file from its drive gave."""

    identity: Identity
    status: os.stat_result  # of the descriptor, before reading
    proven: bool  # the bytes came from the medium, not from a cache


def read_from_drive(root: Root, rel: bytes) -> Generator[int, None, FromDrive]:
    """Hash a file as the drive holds it: yields the bytes read so far after each MiB, returns a FromDrive.

    The kernel is told to drop the file's cached pages first; `proven` is true only when none was left and the file
    system reads from a block device with nothing in between (never tmpfs, FUSE, network, or a loop device over a
    cached file). Durable bytes only: sync first, dirty pages can't be dropped. Regular files only, links not followed.
    Raises OSError; ESTALE when the file changed while being read.
    """
    fd, before = root.open_file(rel)
    try:
        identity, proven = yield from hash_from_drive(fd, before.st_size, root.file_system.proves_reads)
        after = os.fstat(fd)
    finally:
        os.close(fd)
    changed = (after.st_size, after.st_mtime_ns, after.st_ctime_ns) != (
        before.st_size,
        before.st_mtime_ns,
        before.st_ctime_ns,
    )
    if changed or identity.size != before.st_size:
        raise OSError(errno.ESTALE, "changed while it was being read", rel)
    return FromDrive(identity, before, proven)


def content_on_drive(root: Root, rel: bytes) -> Identity:
    """read_from_drive for who wants no progress. Raises OSError."""
    return ended(read_from_drive(root, rel)).identity


def holds(root: Root, rel: bytes, identity: Identity) -> bool:
    """Whether a file on the drive has this content; one that can't be read has not."""
    try:
        return content_on_drive(root, rel) == identity
    except OSError:
        return False


def ended(steps: Generator[object, None, Result]) -> Result:
    """Run a generator to its end and give what it returns."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def hash_from_drive(fd: int, size: int, proves_reads: bool) -> Generator[int, None, tuple[Identity, bool]]:
    """The same for an open descriptor; `size` is only what is expected."""
    dropped = _drop_cache(fd)
    proven = proves_reads and dropped and is_uncached(fd, size)
    digest = hashlib.md5(usedforsecurity=False)
    total = 0
    buffer = bytearray(min(CHUNK, max(size + 1, 1)))
    view = memoryview(buffer)
    with open(fd, "rb", buffering=0, closefd=False) as file:
        file.seek(0)
        while got := file.readinto(buffer):
            digest.update(view[:got])
            total += got
            if total < size:
                yield total
    return Identity(total, digest.digest()), proven


def _drop_cache(fd: int) -> bool:
    if not hasattr(os, "posix_fadvise"):
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
