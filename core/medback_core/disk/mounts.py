"""Read what is mounted where, and which physical disks lie underneath. Changes nothing."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from medback_core import names

_OCTAL = re.compile(rb"\\([0-7]{3})")
_BLOCK_DEVICES = b"/sys/dev/block"
_SYSTEM_POINTS = frozenset({"/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/home", "/nix/store"})
_NO_DRIVES = frozenset({"squashfs", "iso9660", ""})
FSID_IS_STABLE = frozenset({"ext2", "ext3", "ext4", "btrfs"})
NETWORK = frozenset(  # others may change it at any time, and it may never answer
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "afpfs", "beegfs", "ceph", "coda", "davfs", "gfs2",
     "glusterfs", "lustre", "ncpfs", "ocfs2", "orangefs", "virtiofs", "webdav"}
)  # fmt: skip
_SUBVOLUME_FLAGS = 0x80089419  # BTRFS_IOC_SUBVOL_GETFLAGS of linux/btrfs.h
_SUBVOLUME_READ_ONLY = 2


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of the kernel's mount table."""

    device: int  # st_dev
    point: bytes
    kind: str
    source: bytes
    number: int = 0  # of the mount
    parent: int = 0  # number of the mount its point lies on
    root: bytes = b"/"  # what of its file system is mounted, as a path there


@dataclass(frozen=True, slots=True)
class Mount:
    """A mounted drive a person may choose as a target."""

    path: bytes
    device: str  # /dev/sdb1
    kind: str
    removable: bool  # by the kernel's word or by where it is mounted
    read_only: bool
    total: int  # bytes
    free: int


def mount_table() -> Sequence[MountEntry]:
    """All mounts in the order they were made; empty where there is no /proc."""
    if sys.platform == "win32":
        return ()
    try:
        with open("/proc/self/mountinfo", "rb", buffering=0) as file:
            return _entries(file.read())
    except OSError:
        return ()


@lru_cache(maxsize=1)  # it is asked for with every drive and seldom another one
def _entries(table: bytes) -> tuple[MountEntry, ...]:
    if sys.platform == "win32":
        return ()
    found: list[MountEntry] = []
    for line in table.splitlines():
        before, _, after = line.partition(b" - ")
        fields, tail = before.split(b" "), after.split(b" ")
        if len(fields) < 5 or len(tail) < 2:
            continue
        major, _, minor = fields[2].partition(b":")
        device = os.makedev(int(major), int(minor))
        kind = tail[0].decode("utf-8", "replace")
        numbers = int(fields[0]), int(fields[1])
        found.append(MountEntry(device, _plain(fields[4]), kind, _plain(tail[1]), *numbers, _plain(fields[3])))
    return tuple(found)


def _plain(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)


def mount_of(path: bytes, device: int, table: Sequence[MountEntry] | None = None) -> MountEntry | None:
    """The mount a real path with this st_dev lies on: the innermost one, of that device where there is one."""
    best: MountEntry | None = None
    best_rank = (False, -1)
    for entry in mount_table() if table is None else table:
        point = entry.point.rstrip(b"/")
        if path != point and not path.startswith(point + b"/"):
            continue
        rank = (entry.device == device, len(point))
        if rank >= best_rank:  # a later mount on the same point hides the earlier one
            best, best_rank = entry, rank
    return best


def mounts_inside(top: bytes, device: int, table: Sequence[MountEntry]) -> dict[bytes, MountEntry]:
    """Path relative to a real directory with this st_dev -> the file system that is mounted there, of those that can be
    seen from it: a mount that a later one lies over is left out. Looks at the table alone, at nothing on the way."""
    home = mount_of(top, device, table)
    if home is None:
        return {}
    children: dict[int, list[MountEntry]] = {}
    for entry in table:
        if entry.number != entry.parent and names.below(entry.point, top):
            children.setdefault(entry.parent, []).append(entry)
    found: dict[bytes, MountEntry] = {}
    waiting = [home.number]
    while waiting:
        beside = children.pop(waiting.pop(), [])
        for entry in beside:
            # What is mounted above a point of the same mount came later: else the point would lie on it.
            if any(names.below(entry.point, other.point) for other in beside):
                continue
            found[names.below(entry.point, top) or b""] = entry
            waiting.append(entry.number)
    return found


def file_system_name(entry: MountEntry) -> str:
    """What tells the file system that is mounted from another one at the same place: its UUID, or where it can't be
    known its kind and what is mounted. Looks at the mount only where it is local."""
    block = block_device(entry.device, entry.source)
    uuid = uuid_of(block)
    if uuid is None and block is not None and entry.kind in FSID_IS_STABLE and sys.platform != "win32":
        try:
            fsid = os.statvfs(entry.point).f_fsid
        except OSError:
            fsid = 0
        if fsid:
            return fsid_name(fsid)
    return uuid or f"{entry.kind}:{names.display_name(entry.source)}"


def fsid_name(fsid: int) -> str:
    """What the kernel makes of a UUID, where the UUID itself can't be read."""
    return f"fsid:{fsid & 0xFFFFFFFFFFFFFFFF:016x}"


def is_read_only_subvolume(path: bytes) -> bool | None:
    """Whether the btrfs subvolume whose root is this directory can't be written: a snapshot that is kept. None: it is
    no subvolume."""
    if sys.platform == "win32":
        return None
    import fcntl

    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        flags = fcntl.ioctl(fd, _SUBVOLUME_FLAGS, bytes(8))
    except OSError:
        return None
    finally:
        os.close(fd)
    return bool(int.from_bytes(flags, sys.byteorder) & _SUBVOLUME_READ_ONLY)


def block_device(device: int, source: bytes) -> int | None:
    """The block device a file system lies on: its own st_dev, or the device file it was mounted from (btrfs, FUSE)."""
    if sys.platform == "win32":
        return None
    if os.major(device) != 0:
        return device
    if not source.startswith(b"/"):
        return None
    try:
        rdev = os.stat(source).st_rdev
    except OSError:
        return None
    return rdev or None


def whole_disks(device: int | None) -> frozenset[bytes]:
    """The physical disks (their /sys directories) a block device lies on, through partitions, device mapper, RAID and
    loop devices. Empty when it can't be known."""
    if device is None or sys.platform == "win32":
        return frozenset()
    link = b"%s/%d:%d" % (_BLOCK_DEVICES, os.major(device), os.minor(device))
    return frozenset() if not os.path.exists(link) else _disks_below(os.path.realpath(link), 0)


def spins(device: int | None) -> bool:
    """Whether a block device lies on a disk that spins; True where the kernel can't tell. A virtual machine's disk says
    that it spins whatever it lies on: it is taken for one that doesn't."""
    found = whole_disks(device)
    for disk in found:
        name = os.path.basename(disk)
        said = told(disk + b"/queue/rotational")
        if said is None or (said != b"0" and not name.startswith((b"vd", b"xvd"))):
            return True
    return not found


def _disks_below(directory: bytes, depth: int) -> frozenset[bytes]:
    if depth > 8:
        return frozenset()
    if os.path.exists(directory + b"/partition"):
        directory = os.path.dirname(directory)
    backing = loop_file(directory)
    if backing is not None:
        try:
            status = os.stat(backing)
        except OSError:
            return frozenset((directory,))
        mount = mount_of(os.path.realpath(backing), status.st_dev)
        below = block_device(status.st_dev, mount.source if mount else b"")
        return (whole_disks(below) if below is not None else frozenset()) or frozenset((directory,))
    try:
        parts = os.listdir(directory + b"/slaves")
    except OSError:
        parts = []
    if not parts:
        return frozenset((directory,))
    found: set[bytes] = set()
    for part in parts:
        found |= _disks_below(os.path.realpath(directory + b"/slaves/" + part), depth + 1)
    return frozenset(found)


def told(path: bytes) -> bytes | None:
    """What a small file of the kernel's or of udev's says, less its line end; None where it can't be read."""
    try:
        with open(path, "rb") as file:
            return file.read(1 << 16).rstrip(b"\n")
    except OSError:
        return None


def loop_file(directory: bytes) -> bytes | None:
    """The file behind a loop device, None for any other."""
    return told(directory + b"/loop/backing_file")


def device_number(directory: bytes) -> int | None:
    """The number of the block device a directory of /sys is about."""
    if sys.platform == "win32":
        return None
    major, _, minor = (told(directory + b"/dev") or b"").partition(b":")
    return os.makedev(int(major), int(minor)) if major.isdigit() and minor.isdigit() else None


def is_cached_below(device: int | None) -> bool:
    """Whether reads of this block device may be answered from a page cache underneath: a loop device without direct
    I/O. True as well when there is no block device to ask about."""
    if device is None or sys.platform == "win32":
        return True
    directory = os.path.realpath(b"%s/%d:%d" % (_BLOCK_DEVICES, os.major(device), os.minor(device)))
    if os.path.exists(directory + b"/partition"):
        directory = os.path.dirname(directory)
    return loop_file(directory) is not None and told(directory + b"/loop/dio") != b"1"


def uuid_of(device: int | None) -> str | None:
    """A block device's file system UUID as udev linked it; None in a container or where there is no udev."""
    if device is None or sys.platform == "win32":
        return None
    try:
        with os.scandir("/dev/disk/by-uuid") as entries:
            for entry in entries:
                try:
                    if entry.stat().st_rdev == device:
                        return entry.name
                except OSError:
                    continue  # a dangling link to a drive that just left
    except OSError:
        return None
    return None


def partitions() -> list[Any]:
    """psutil's list of mounted drives (mountpoint, device, fstype, opts); empty where it can't tell."""
    import psutil  # a quarter of the time of a short command, and needed by few

    try:
        return list(psutil.disk_partitions(all=False))
    except OSError:
        return []


def removable_mounts() -> list[Mount]:
    """The mounted drives a person may mean, removable ones first; no system, snap or pseudo file systems.

    A drive that doesn't answer is left out.
    """
    import psutil

    found: list[Mount] = []
    for part in partitions():
        if part.mountpoint in _SYSTEM_POINTS or part.fstype in _NO_DRIVES or "/snap/" in part.mountpoint:
            continue
        try:
            usage = psutil.disk_usage(part.mountpoint)
        except OSError:
            continue
        options = part.opts.split(",")
        mount = Mount(
            path=os.fsencode(part.mountpoint),
            device=part.device,
            kind=part.fstype,
            removable=_is_removable(part.device, part.mountpoint, options),
            read_only="ro" in options,
            total=usage.total,
            free=usage.free,
        )
        found.append(mount)
    return sorted(found, key=lambda mount: (not mount.removable, mount.path))


def _is_removable(device: str, point: str, options: list[str]) -> bool:
    if point.startswith(("/media/", "/run/media/", "/mnt/", "/Volumes/")) or "removable" in options:
        return True
    if sys.platform == "win32":
        return False
    try:
        rdev = os.stat(device).st_rdev
    except OSError:
        return False
    return is_on_removable_disk(rdev)


def is_on_removable_disk(device: int | None) -> bool:
    """Whether a block device lies on a disk that the kernel calls removable."""
    if not device:
        return False
    return any(told(disk + b"/removable") == b"1" for disk in whole_disks(device))
