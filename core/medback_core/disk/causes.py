"""What an error of the system says of a drive, or of one entry on it."""

from __future__ import annotations

import errno
from enum import Enum, auto


class Cause(Enum):
    """Why something on a drive failed."""

    NO_ROOM = auto()  # the drive is full, or the person's quota is
    READ_ONLY = auto()
    GONE = auto()  # the drive is no longer there, or its server does not answer
    FAULTY = auto()  # the drive, or this place on it, can't be read or written
    NOT_THERE = auto()  # there is no such file at this path
    BLOCKED = auto()  # a link or a file stands where a directory should be
    TOO_LARGE = auto()  # for the file system, or for what is read of it
    CHANGED = auto()  # another program changed the file meanwhile
    ENTRY = auto()  # this entry only, for another reason


OF_THE_DRIVE = frozenset({Cause.NO_ROOM, Cause.READ_ONLY, Cause.GONE, Cause.FAULTY})

_CAUSES = {
    errno.ENOSPC: Cause.NO_ROOM,
    errno.EDQUOT: Cause.NO_ROOM,
    errno.EROFS: Cause.READ_ONLY,
    errno.ENODEV: Cause.GONE,
    errno.ENXIO: Cause.GONE,
    errno.ESTALE: Cause.GONE,
    errno.ENOTCONN: Cause.GONE,
    errno.ESHUTDOWN: Cause.GONE,
    errno.ETIMEDOUT: Cause.GONE,
    errno.EIO: Cause.FAULTY,
    errno.EINTR: Cause.FAULTY,
    errno.ENOENT: Cause.NOT_THERE,
    errno.EISDIR: Cause.NOT_THERE,
    errno.EINVAL: Cause.NOT_THERE,  # what `disk` says of what is no regular file
    errno.ENOTDIR: Cause.BLOCKED,
    errno.ELOOP: Cause.BLOCKED,
    errno.EFBIG: Cause.TOO_LARGE,
}


class Changed(OSError):
    """A file is not, or no longer, the one that was looked at: what was read of it is no content it ever had for sure,
    and nothing was done to it."""

    def __init__(self, name: bytes, what: str = "changed while it was being read") -> None:
        super().__init__(errno.ESTALE, what, name)


def cause_of(error: OSError) -> Cause:
    """What this error says."""
    return Cause.CHANGED if isinstance(error, Changed) else _CAUSES.get(error.errno or 0, Cause.ENTRY)
