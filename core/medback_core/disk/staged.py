"""What the parts of a group commit are made of: the staged file, its attributes, and reading what is copied."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
from dataclasses import dataclass
from typing import NamedTuple

from medback_core.disk import primitives
from medback_core.errors import MedbackError
from medback_core.model import Identity

CHUNK = 1 << 20


class ContentDiffers(MedbackError):
    """What was read for a copy is not what was expected. Nothing of it is left on the drive."""

    def __init__(self, actual: Identity) -> None:
        super().__init__("the content is not what was recorded")
        self.actual = actual


class SmallCopy(NamedTuple):
    """A file of at most 1 MiB to be copied from an open directory, and what it must hold."""

    name: bytes  # in the directory it is read from
    rel: bytes  # its final path below the root it goes to
    content: Identity
    seen_ns: int | None  # the mtime it must have, None for any
    mtime_ns: int  # the mtime to give
    mode: int
    of: object  # whatever the caller knows it by
    blake3: bytes | None = None  # of the content, where it is known


@dataclass(eq=False, slots=True)
class Staged:
    """A whole file under its temporary name, waiting for its final one."""

    rel: bytes  # its final path below the root
    temporary: bytes  # its name in the same directory until then
    identity: Identity
    replace: bool  # whether it may replace what is there
    inode: int
    blake3: bytes | None = None  # of what was read for it; None: it can't be made here

    @property
    def directory(self) -> bytes:
        """Where it lies, below the root."""
        return self.rel.rpartition(b"/")[0]


def set_attributes(fd: int, staged: Staged, mode: int, mtime_ns: int) -> None:
    """Give permission bits and time. What the file system can't hold is no failure, all else is one."""
    status = os.fstat(fd)
    staged.inode = status.st_ino
    if stat.S_IMODE(status.st_mode) != mode:
        try:
            primitives.chmod(fd, mode)
        except OSError as error:
            if error.errno != errno.EPERM and error.errno not in primitives.UNSUPPORTED:
                raise
    try:
        primitives.utime(fd, status.st_atime_ns, mtime_ns)
    except (OSError, OverflowError) as error:
        if isinstance(error, OSError) and error.errno != errno.EPERM and error.errno not in primitives.UNSUPPORTED:
            raise


def read_start(fd: int, size: int) -> bytes:
    """Up to `size` bytes from the start of a file; fewer only at its end."""
    data = os.pread(fd, size, 0) if sys.platform != "win32" and hasattr(os, "pread") else _seek_and_read(fd, size)
    while len(data) < size - 1:  # short of what is expected: the end, or a file system that answers in pieces
        os.lseek(fd, len(data), os.SEEK_SET)
        more = os.read(fd, size - len(data))
        if not more:
            break
        data += more
    return data


def _seek_and_read(fd: int, size: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, size)


def hash_rest(fd: int, data: bytes) -> Identity:
    """The identity of a file that began with these bytes."""
    digest, done = hashlib.md5(data, usedforsecurity=False), len(data)
    os.lseek(fd, done, os.SEEK_SET)
    while chunk := os.read(fd, CHUNK):
        digest.update(chunk)
        done += len(chunk)
    return Identity(done, digest.digest())
