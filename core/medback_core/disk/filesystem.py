"""Tell what a file system is and what it can do: kind, room, limits, and which ways of syncing are sound on it."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass
from functools import cache

from medback_core.disk import mounts, portable

_GROUP_SYNC = frozenset({"ext4", "xfs", "btrfs", "f2fs", "tmpfs"})
_FAT = frozenset({"vfat", "msdos", "fat", "exfat", "fuse.exfat", "fuse.exfat-fuse"})
# A fuseblk may be exFAT or NTFS and does not say which: treated as the stricter of the two.
_COARSE = _FAT | {"fuseblk"}
_RESTRICTED = _FAT | {"fuseblk", "ntfs", "ntfs3", "fuse.ntfs-3g", "cifs", "smb3", "smbfs"}
_FOUR_GIB = frozenset({"vfat", "msdos", "fat"})
# Reads answered by the kernel from its own cache or from the block device, nothing in between.
_FROM_MEDIUM = frozenset(
    {"ext2", "ext3", "ext4", "xfs", "btrfs", "f2fs", "vfat", "msdos", "exfat", "ntfs3", "hfsplus", "hfs", "udf", "jfs"}
)
_LOCAL_FUSE = frozenset(
    {"fuse.ntfs-3g", "fuse.exfat", "fuse.exfat-fuse", "fuse.mergerfs", "fuse.bindfs", "fuse.gocryptfs", "fuse.encfs"}
)
_READ_ONLY = getattr(os, "ST_RDONLY", 1)


@dataclass(frozen=True, slots=True)
class FileSystem:
    """What is known of the file system a path lies on. Sizes are bytes, of the moment it was described."""

    kind: str  # as the mount table says: ext4, vfat, exfat, fuseblk, tmpfs, overlay, nfs4 …; "unknown"
    device: int  # st_dev
    uuid: str | None  # stable across machines, or None; compare with same_uuid
    total: int
    free: int  # what an ordinary user may still fill
    block: int  # files take whole blocks of this size
    read_only: bool
    group_sync: bool  # one syncfs makes all written so far durable and reports every failed write
    coarse_times: bool  # FAT, exFAT: 2 s and shifting with time zones
    max_file: int | None  # 4 GiB - 1 on FAT
    restricted_names: bool  # forbids characters and trailing dots (escape_component)
    mount_point: bytes
    shows_all: bool  # all of it is seen from its mount point: what is mounted is no directory or subvolume of it
    source: bytes  # what is mounted: /dev/sdb1, a server, "tmpfs"
    has_modes: bool  # keeps permissions file by file
    proves_reads: bool  # what is not in the kernel's cache was really read from the medium

    @property
    def is_network(self) -> bool:
        """Whether others may change it without our locks keeping them off; an unknown FUSE is taken for one."""
        return self.kind in mounts.NETWORK or (self.kind.startswith("fuse.") and self.kind not in _LOCAL_FUSE)


def largest_file(kind: str) -> int | None:
    """How many bytes a file may have on a file system of this kind; None: more than any drive has."""
    return 0xFFFFFFFF if kind in _FOUR_GIB or kind == "fat32" else None


def describe(path: bytes) -> FileSystem:
    """Look at the file system an existing path lies on. Raises OSError when the path can't be looked at."""
    status = os.stat(path)
    real = os.path.realpath(path)
    mount = mounts.mount_of(real, status.st_dev)
    if mount is None or sys.platform == "win32":
        return _described_without_table(path, real, status.st_dev)
    block_device = mounts.block_device(status.st_dev, mount.source)
    room = os.statvfs(path)
    kind = mount.kind
    uuid = mounts.uuid_of(block_device)
    if uuid is None and kind in mounts.FSID_IS_STABLE and room.f_fsid:
        uuid = mounts.fsid_name(room.f_fsid)
    return FileSystem(
        kind=kind,
        device=status.st_dev,
        uuid=uuid,
        total=room.f_blocks * room.f_frsize,
        free=room.f_bavail * room.f_frsize,
        block=room.f_frsize or 4096,
        read_only=bool(room.f_flag & _READ_ONLY),
        group_sync=kind in _GROUP_SYNC and portable.HAS_SYNCFS and _kernel() >= (5, 8),
        coarse_times=kind in _COARSE,
        max_file=largest_file(kind),
        restricted_names=kind in _RESTRICTED,
        mount_point=mount.point,
        shows_all=mount.root == b"/",
        source=mount.source,
        has_modes=kind not in _RESTRICTED and os.name != "nt",
        proves_reads=kind in _FROM_MEDIUM and not mounts.is_cached_below(block_device),
    )


def _described_without_table(path: bytes, real: bytes, device: int) -> FileSystem:
    """macOS, Windows, or Linux without /proc: what psutil and the standard library know; every promise withheld."""
    kind, point, source = "unknown", real, b""
    for part in mounts.partitions():
        start = os.fsencode(part.mountpoint)
        if real.startswith(start) and (point == real or len(start) > len(point)):
            kind, point, source = part.fstype.lower() or "unknown", start, os.fsencode(part.device)
    if sys.platform != "win32" and hasattr(os, "statvfs"):
        room = os.statvfs(path)
        total, free, block = room.f_blocks * room.f_frsize, room.f_bavail * room.f_frsize, room.f_frsize
        read_only = bool(room.f_flag & _READ_ONLY)
    else:
        import shutil

        usage = shutil.disk_usage(os.fsdecode(path))
        total, free, block, read_only = usage.total, usage.free, 4096, False
    return FileSystem(
        kind=kind,
        device=device,
        uuid=None,
        total=total,
        free=free,
        block=block or 4096,
        read_only=read_only,
        group_sync=False,
        coarse_times=kind in _COARSE or kind == "fat32",
        max_file=largest_file(kind),
        restricted_names=kind in _RESTRICTED or kind == "fat32" or os.name == "nt",
        mount_point=point,
        shows_all=False,
        source=source,
        has_modes=kind not in _RESTRICTED and kind != "fat32" and os.name != "nt",
        proves_reads=False,
    )


@cache
def _kernel() -> tuple[int, int]:
    if sys.platform == "win32" or not hasattr(os, "uname"):
        return (0, 0)
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def same_uuid(one: str | None, other: str | None) -> bool | None:
    """Whether two recorded `uuid`s name one file system; None when they can't be compared.

    A machine with udev records the UUID, a container the fsid the kernel makes of it: for ext the one is computed from
    the other, so that moving between such machines doesn't look like a clone.
    """
    if one is None or other is None:
        return None
    if one == other:
        return True
    if one.startswith("fsid:") == other.startswith("fsid:"):
        return False
    fsid, uuid = (one, other) if one.startswith("fsid:") else (other, one)
    try:
        raw = bytes.fromhex(uuid.replace("-", ""))
    except ValueError:
        return False
    if len(raw) != 16:
        return False  # a FAT serial number: never a file system that has an fsid of ours
    made = int.from_bytes(raw[:8], "little") ^ int.from_bytes(raw[8:], "little")
    return True if fsid == f"fsid:{made:016x}" else None
