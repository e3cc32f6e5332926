"""The room a drive has for content: what is free, less the reserve and what recording the copies will take."""

from __future__ import annotations

import os
from dataclasses import dataclass

from medback_core.drives.drive import Drive
from medback_core.session import Session, bytes_on

_RESERVE_MIN = 64 << 20
_CONTEXT_BYTES_PER_FILE = 200  # of a restore context; two of them must always fit, and so must the sidecars
_SIDECAR_BYTES_PER_FILE = 260


@dataclass(frozen=True, slots=True)
class Room:
    """What a backup may still put on a drive, in bytes. `free` is in whole blocks, `allowed` is plain bytes."""

    free: int  # on the file system, less the reserve
    allowed: int | None  # by --capacity and --limit; None: no such bound
    block: int
    max_file: int | None

    def fits(self, size: int) -> bool:
        """Whether one more file of this size may go."""
        return self.blocks(size) <= self.free and (self.allowed is None or size <= self.allowed)

    def blocks(self, size: int) -> int:
        """What a file of this size takes on the drive."""
        return -(-size // self.block) * self.block

    def less(self, size: int) -> Room:
        """What is left after one more file of this size."""
        allowed = None if self.allowed is None else self.allowed - size
        return Room(self.free - self.blocks(size), allowed, self.block, self.max_file)


def default_reserve(total: int) -> int:
    """Bytes kept free on a drive: 1 %, at least 64 MiB, but never more than a twentieth of a tiny one."""
    return max(total // 100, min(_RESERVE_MIN, total // 20))


def room_on(session: Session, drive: Drive, *, files: int, reserve: int | None, limit: int | None) -> Room:
    """The room for content on a drive now; `files` is how many files the context and the sidecars will speak of.

    Room for recording what is copied is taken off first: that must never meet a full drive.
    """
    space = os.statvfs(drive.root.fd)
    block = space.f_frsize or 4096
    kept = default_reserve(space.f_blocks * block) if reserve is None else reserve
    metadata = files * (2 * _CONTEXT_BYTES_PER_FILE + _SIDECAR_BYTES_PER_FILE)
    allowed = None if drive.target.capacity is None else drive.target.capacity - bytes_on(session, drive.target.key)
    if limit is not None:
        allowed = limit if allowed is None else min(allowed, limit)
    return Room(space.f_bavail * block - kept - metadata, allowed, block, drive.filesystem.max_file)
