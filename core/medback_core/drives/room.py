"""The room a drive has for content, in bytes and in inodes: what is free, less the reserve and what recording takes.

Recording what was copied must never meet a full drive. So what the sidecars and the contexts will take is taken off
before anything is chosen, and every bound here is an upper one: what is chosen, in a preview too, does fit.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

from medback_core.disk import BATCH_FILES, Root, describe
from medback_core.drives.drive import Drive
from medback_core.drives.explain import explanation_sizes
from medback_core.model import CONTEXTS_KEPT, SIDECAR_NAME, TARGET_IDENTITY_NAME, Count, Target
from medback_core.names import and_above
from medback_core.session import Session
from medback_core.session.candidates import Extent, known_extent
from medback_core.session.copies import bytes_on
from medback_core.session.files import join
from medback_core.session.targets import count_others

_RESERVE_MIN = 64 << 20
_NAME_BYTES = 255  # the longest name
_RECORD_BYTES = 260  # of a sidecar, beside the name, which may be written twice
_ENTRY_BYTES = 140  # of a directory for one file, its temporary name included; blocks may be half full
_CONTEXT_RECORD_BYTES = 150  # of a context, beside name and copies
_CONTEXT_COPY_BYTES = 24
_DIRECTORY_BYTES = 150
_DEPTH = 8  # so many directories above a file are new, at most, where a drive was not looked at
_BLOCK = 4096  # of a drive that was not looked at


@dataclass(frozen=True, slots=True)
class Room:
    """What a backup may still put on a drive. `free` is in whole blocks, `allowed` plain bytes of content."""

    free: int  # bytes on the file system, less the reserve and what recording takes
    allowed: int | None  # by --capacity and --limit; None: no such bound
    block: int
    max_file: int | None
    inodes: int | None = None  # less what recording takes; None: the file system has no fixed number of them

    def blocks(self, size: int) -> int:
        """What a file of this size takes on the drive."""
        return -(-size // self.block) * self.block

    def cost(self, size: int, name: int) -> int:
        """What a file of this size with a name of so many bytes takes with all that is written of it."""
        mapping = size >> 13  # what says where the parts of a large file lie
        return self.blocks(size) + mapping + 2 * (_RECORD_BYTES + 2 * name) + _ENTRY_BYTES + 2 * name

    def takes_all(self, count: Count, directories: int, names: int | None = None) -> bool:
        """Whether all of it fits, however it lies: every directory new, every file in the last block of its own.
        `names`: the bytes of their names and paths; None: as long as a name can be. A file system that bounds the size
        of a file is not asked about here."""
        if names is None:
            names = _NAME_BYTES * count.files
        most = count.bytes + (count.bytes >> 13) + count.files * (self.block + self.cost(0, 0))
        most += 6 * names + 4 * directories * self.block
        inodes = count.files + 2 * directories + min(count.files, BATCH_FILES)
        return self.fits(count.bytes, most, inodes)

    def fits(self, size: int, cost: int, inodes: int) -> bool:
        """Whether one more file of this size may go, at this cost in bytes and inodes."""
        return (
            cost <= self.free
            and (self.allowed is None or size <= self.allowed)
            and (self.inodes is None or inodes <= self.inodes)
        )

    @property
    def content(self) -> int:
        """Bytes of content that may go, at most."""
        return max(0, self.free if self.allowed is None else min(self.free, self.allowed))

    @property
    def largest(self) -> int:
        """The size of the largest file that may go, into new directories; -1 where not even an empty one may."""
        free = self.free - self.cost(0, _NAME_BYTES) - (3 * _DEPTH + 1) * self.block  # themselves and their sidecars
        free -= free >> 12  # what says where the parts of a large file lie
        bounds = (free, self.allowed, self.max_file)
        return max(-1, min(bound for bound in bounds if bound is not None))

    def less(self, size: int, cost: int, inodes: int) -> Room:
        """What is left after one more file."""
        allowed = None if self.allowed is None else self.allowed - size
        left = None if self.inodes is None else self.inodes - inodes
        return Room(self.free - cost, allowed, self.block, self.max_file, left)


class Directories:
    """What the directories of a drive cost: those that are to be made, and the sidecars that are written again."""

    def __init__(self, root: Root, room: Room) -> None:
        self._root = root
        self._room = room
        self._touched: set[bytes] = set()
        self._there: dict[bytes, bool] = {b"": True}
        self._rewritten = 0

    def cost(self, directory: bytes) -> tuple[int, int]:
        """(bytes, inodes) for the first file that goes into a directory of the drive; (0, 0) for all others. Nothing
        is remembered before `enter`."""
        if directory in self._touched:
            return 0, 0
        size = inodes = 0
        for above in and_above(directory):
            if self._is_there(above):
                break
            size += 3 * self._room.block  # itself, its sidecar, and the rounding of that one's growth
            inodes += 2
        old = self._sidecar_size(directory) if self._is_there(directory) else 0
        size += self._room.blocks(old) if old is not None else self._room.block
        inodes += old is None
        if self._rewritten < BATCH_FILES:  # a batch writes no more sidecars at once
            size += self._room.block
            inodes += 1
        return size, inodes

    def enter(self, directory: bytes) -> None:
        """A file goes there."""
        if directory in self._touched:
            return
        self._touched.add(directory)
        self._rewritten += 1
        for above in and_above(directory):
            if self._is_there(above):
                break
            self._there[above] = True

    def _is_there(self, directory: bytes) -> bool:
        there = self._there.get(directory)
        if there is None:
            there = self._is_there(directory.rpartition(b"/")[0]) and self._root.stat(directory) is not None
            self._there[directory] = there
        return there

    def _sidecar_size(self, directory: bytes) -> int | None:
        try:
            status = self._root.stat(join(directory, SIDECAR_NAME))
        except OSError:
            return 0  # made by an earlier file of this choice
        return None if status is None else status.st_size


def default_reserve(total: int) -> int:
    """Bytes kept free on a drive: 1 %, at least 64 MiB, but never more than a twentieth of a tiny one."""
    return max(total // 100, min(_RESERVE_MIN, total // 20))


@dataclass(frozen=True, slots=True)
class Space:
    """What a drive has, as it was seen last. What is not known is as on a drive that has nothing of medback's yet."""

    total: int
    free: int
    max_file: int | None
    block: int = _BLOCK
    names_free: int | None = None  # inodes; None: the file system has no fixed number of them
    contexts: tuple[int, ...] = ()  # the sizes of those that are there
    own_files: int = 2  # of the identity and the root's sidecar, so many are still to be made
    explanation: tuple[int, ...] = ()  # the sizes of what is still to be written to explain the drive


def room_on(
    session: Session, drive: Drive, *, reserve: int | None, limit: int | None, new: Extent | None = None
) -> Room:
    """The room for content on a drive now, once the contexts have theirs. `new`: the contents that may go there."""
    room = room_of(session, drive.target, _space_on(drive), reserve=reserve, new=new or Extent())
    if limit is None:
        return room
    return replace(room, allowed=limit if room.allowed is None else min(room.allowed, limit))


def room_of(
    session: Session,
    target: Target,
    space: Space,
    *,
    known: Extent | None = None,
    held: Mapping[int, int] | None = None,
    new: Extent = Extent(),  # noqa: B008
    reserve: int | None = None,
) -> Room:
    """The room for content on a target that has this space: the one sum for choosing what goes there and for advice.
    `known`: what contexts tell of, and `held`: what `bytes_on` tells, where they were asked already; `new`: the
    contents that may go there."""
    known = known_extent(session) if known is None else known
    others = count_others(session, target)
    kept = default_reserve(space.total) if reserve is None else reserve
    contexts, files = _contexts(space, known, others, new)
    tree = 2 * (known.directories * _DIRECTORY_BYTES + known.names)  # what the sidecars say of directories and links
    allowed = None
    if target.capacity is not None:
        allowed = target.capacity - (bytes_on(session, [target.key]) if held is None else held)[target.key]
    # The identity and the root's sidecar, each with its temporary file, and what explains the drive.
    own = 2 + space.own_files + len(space.explanation)
    written = own + sum(-(-size // space.block) for size in space.explanation)  # in blocks
    inodes = None if space.names_free is None else space.names_free - files - own
    free = space.free - kept - contexts - tree - written * space.block
    return Room(free, allowed, space.block, space.max_file, inodes)


def _space_on(drive: Drive) -> Space:
    """What a drive has now."""
    if sys.platform == "win32":
        system = describe(drive.root.path)
        total, free, block, names_free = system.total, system.free, system.block, None
    else:
        space = os.statvfs(drive.root.fd)
        block = space.f_frsize or _BLOCK
        total, free = space.f_blocks * block, space.f_bavail * block
        names_free = space.f_favail if space.f_files else None
    return Space(
        total,
        free,
        drive.filesystem.max_file,
        block,
        names_free,
        tuple(status.st_size for name in CONTEXTS_KEPT if (status := drive.root.stat(name)) is not None),
        sum(drive.root.stat(name) is None for name in (TARGET_IDENTITY_NAME, SIDECAR_NAME)),
        tuple(explanation_sizes(drive)),
    )


def _contexts(space: Space, known: Extent, others: int, new: Extent) -> tuple[int, int]:
    """(bytes, inodes) the contexts will take beyond what they have: a new one is written before an older one goes.
    `others`: how many other targets there are."""
    one = known.files * (_CONTEXT_RECORD_BYTES + _CONTEXT_COPY_BYTES * (others + 1)) + 2 * known.names
    largest = max(space.contexts, default=0)  # it may tell of others' sources too
    one = max(one, largest + new.files * (_CONTEXT_RECORD_BYTES + _CONTEXT_COPY_BYTES))
    rounded = -(-one // space.block) * space.block + space.block
    held = sum(-(-size // space.block) * space.block for size in space.contexts)
    return (len(CONTEXTS_KEPT) + 1) * rounded - held, len(CONTEXTS_KEPT) + 1 - len(space.contexts)
