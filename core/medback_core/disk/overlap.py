"""Whether two directories share files, by what the kernel says of them and never by their paths, and whether two file
systems share a disk. Changes nothing.

One directory may be reached by many paths: bind mounts, links, a file system mounted twice. So a directory is known by
its device and inode, and where it lies by its file system and the path *there*; what is mounted inside it belongs to
it. Where there is no mount table (macOS, Windows) real paths are all there is.
"""

from __future__ import annotations

import enum
import os
from collections.abc import Sequence
from typing import NamedTuple

from medback_core import names
from medback_core.disk import mounts
from medback_core.disk.filesystem import FileSystem
from medback_core.disk.mounts import MountEntry

_UNKNOWN_BELOW = (b"fs:", b"zfs:")  # what stands for disks that can't be known
_BTRFS = b"/sys/fs/btrfs"


class Lies(enum.Enum):
    """How a directory lies to another."""

    SAME = "is"
    INSIDE = "inside"
    AROUND = "around"
    SHARES = "shares"  # something mounted inside one of them is a part of the other, or it of that


class _Place(NamedTuple):
    """A directory by its file system."""

    device: int
    path: bytes  # there, absolute


def lies(path: bytes, other: bytes, *, mounted: bool = True) -> Lies | None:
    """How the directory `path` lies to `other`, None where they share nothing. A directory that is not there yet lies
    where it would be made. `mounted` false: what is mounted inside them is left out of it."""
    mine, theirs = _identity(path), _identity(other)
    if mine is not None and mine == theirs:
        return Lies.SAME
    table = mounts.mount_table()
    here, there = _places(path, table, mounted), _places(other, table, mounted)
    if here[0] == there[0]:
        return Lies.SAME
    if any(_is_below(here[0], place) for place in there):
        return Lies.INSIDE
    if any(_is_below(there[0], place) for place in here):
        return Lies.AROUND
    if any(_is_below(place, there[0]) for place in here) or any(_is_below(place, here[0]) for place in there):
        return Lies.SHARES
    return None


def _identity(path: bytes) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def is_same_directory(path: bytes, other: bytes) -> bool:
    """Whether two paths lead to one directory that is there."""
    identity = _identity(path)
    return identity is not None and identity == _identity(other)


def path_inside(path: bytes, top: bytes) -> bytes | None:
    """The path of a directory relative to one it lies in or is (b""), by whatever path that one is reached; None where
    it lies elsewhere."""
    if is_same_directory(path, top):
        return b""
    table = mounts.mount_table()
    here, there = _places(path, table, mounted=False)[0], _places(top, table, mounted=False)[0]
    if _is_below(here, there):
        return names.below(here.path, there.path)
    return names.below(os.path.realpath(path), os.path.realpath(top))


def _places(path: bytes, table: Sequence[MountEntry], mounted: bool) -> list[_Place]:
    """Where a directory lies, and then what is mounted inside it."""
    real = os.path.realpath(path)
    device = next((found[0] for there in names.and_above(real) if (found := _identity(there)) is not None), 0)
    home = mounts.mount_of(real, device, table)
    if home is None:
        return [_Place(0, real)]
    inside = names.below(real, home.point)
    found = [_Place(home.device, names.within(home.root, inside) if inside else home.root)]
    if mounted:
        found += [_Place(entry.device, entry.root) for entry in mounts.mounts_inside(real, device, table).values()]
    return found


def _is_below(place: _Place, top: _Place) -> bool:
    return place.device == top.device and names.below(place.path, top.path) is not None


# --- disks -----------------------------------------------------------------------------------------------------------


def share_disk(one: FileSystem, other: FileSystem) -> bool | None:
    """Whether two file systems die with one disk: they are one, or there is a disk in common below partitions, device
    mapper, RAID and loop devices, among btrfs' own devices, in one pool of ZFS. None where it can't be known (network,
    FUSE, memory). Serial numbers and ports of USB say nothing: cheap enclosures all have the same."""
    if one.device == other.device:
        return True
    mine, theirs = disks_of(one), disks_of(other)
    if mine & theirs:
        return True
    both = mine | theirs
    if not mine or not theirs or any(disk.startswith(_UNKNOWN_BELOW) for disk in both):
        return None
    return False


def disks_of(filesystem: FileSystem) -> frozenset[bytes]:
    """What a file system lies on: disks (their /sys directories), or what stands for disks that can't be known."""
    return _disks(filesystem.device, filesystem.kind, filesystem.source)


def _disks(device: int, kind: str, source: bytes) -> frozenset[bytes]:
    if kind == "zfs":
        return frozenset((b"zfs:" + source.partition(b"/")[0],))
    block = mounts.block_device(device, source)
    if block is None:
        return frozenset((b"fs:%d" % device,))
    found: set[bytes] = set()
    for part in _btrfs_devices(block) if kind == "btrfs" else [block]:
        for disk in mounts.whole_disks(part):
            file = mounts.loop_file(disk)
            found |= frozenset((disk,)) if file is None else _disks_behind(file)
    return frozenset(found)


def _disks_behind(file: bytes) -> frozenset[bytes]:
    """What the file behind a loop device lies on, where that is no block device itself."""
    try:
        device = os.stat(file).st_dev
    except OSError:
        return frozenset((b"fs:" + file,))
    mount = mounts.mount_of(os.path.realpath(file), device)
    return frozenset((b"fs:%d" % device,)) if mount is None else _disks(device, mount.kind, mount.source)


def _btrfs_devices(block: int) -> list[int]:
    """All devices of the btrfs that this one belongs to."""
    try:
        for uuid in os.listdir(_BTRFS):
            directory = os.path.join(_BTRFS, uuid, b"devices")
            if not os.path.isdir(directory):
                continue
            found = [mounts.device_number(os.path.join(directory, name)) for name in os.listdir(directory)]
            if block in found:
                return [each for each in found if each is not None]
    except OSError:
        pass  # no btrfs in this kernel
    return [block]
