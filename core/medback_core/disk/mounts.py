"""Read what is mounted where, and which physical disks lie underneath. Changes nothing."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

_OCTAL = re.compile(rb"\\([0-7]{3})")
_BLOCK_DEVICES = b"/sys/dev/block"
_SYSTEM_POINTS = frozenset({"/", "/boot", "/boot/efi", "/efi", "/usr", "/var", "/home", "/nix/store"})
_NO_DRIVES = frozenset({"squashfs", "iso9660", ""})


@dataclass(frozen=True, slots=True)
class MountEntry:
    """One line of the kernel's mount table."""

    device: int  # st_dev
    point: bytes
    kind: str
    source: bytes


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


def mount_table() -> list[MountEntry]:
    """All mounts in the order they were made; empty where there is no /proc."""
    try:
        with open("/proc/self/mountinfo", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return []
    found: list[MountEntry] = []
    for line in lines:
        before, _, after = line.partition(b" - ")
        fields, tail = before.split(b" "), after.split(b" ")
        if len(fields) < 5 or len(tail) < 2:
            continue
        major, _, minor = fields[2].partition(b":")
        device = os.makedev(int(major), int(minor))
        found.append(MountEntry(device, _plain(fields[4]), tail[0].decode("utf-8", "replace"), _plain(tail[1])))
    return found


def _plain(field: bytes) -> bytes:
    return _OCTAL.sub(lambda match: bytes([int(match[1], 8)]), field)


def mount_of(path: bytes, device: int) -> MountEntry | None:
    """The mount a real path with this st_dev lies on: the innermost one, of that device where there is one."""
    best: MountEntry | None = None
    best_rank = (False, -1)
    for entry in mount_table():
        point = entry.point.rstrip(b"/")
        if path != point and not path.startswith(point + b"/"):
            continue
        rank = (entry.device == device, len(point))
        if rank >= best_rank:  # a later mount on the same point hides the earlier one
            best, best_rank = entry, rank
    return best


def block_device(device: int, source: bytes) -> int | None:
    """The block device a file system lies on: its own st_dev, or the device file it was mounted from (btrfs, FUSE)."""
    if not hasattr(os, "major"):
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
    if device is None:
        return frozenset()
    link = b"%s/%d:%d" % (_BLOCK_DEVICES, os.major(device), os.minor(device))
    return frozenset() if not os.path.exists(link) else _disks_below(os.path.realpath(link), 0)


def _disks_below(directory: bytes, depth: int) -> frozenset[bytes]:
    if depth > 8:
        return frozenset()
    if os.path.exists(directory + b"/partition"):
        directory = os.path.dirname(directory)
    backing = _loop_file(directory)
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


def _loop_file(directory: bytes) -> bytes | None:
    """The file behind a loop device, None for any other."""
    try:
        with open(directory + b"/loop/backing_file", "rb") as file:
            return file.read().rstrip(b"\n")
    except OSError:
        return None


def is_cached_below(device: int | None) -> bool:
    """Whether reads of this block device may be answered from a page cache underneath: a loop device without direct
    I/O. True as well when there is no block device to ask about."""
    if device is None:
        return True
    directory = os.path.realpath(b"%s/%d:%d" % (_BLOCK_DEVICES, os.major(device), os.minor(device)))
    if os.path.exists(directory + b"/partition"):
        directory = os.path.dirname(directory)
    if _loop_file(directory) is None:
        return False
    try:
        with open(directory + b"/loop/dio", "rb") as file:
            return file.read().strip() != b"1"
    except OSError:
        return True


def uuid_of(device: int | None) -> str | None:
    """A block device's file system UUID as udev linked it; None in a container or where there is no udev."""
    if device is None:
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
    try:
        rdev = os.stat(device).st_rdev
    except OSError:
        return False
    if not rdev or not hasattr(os, "major"):
        return False
    for disk in whole_disks(rdev):
        try:
            with open(disk + b"/removable", "rb") as file:
                if file.read().strip() == b"1":
                    return True
        except OSError:
            continue
    return False
