"""What the system knows of the device a drive is: encrypted containers, its health, taking it out. Reads /sys and what
udev keeps; the programs it asks are udisksctl, umount and smartctl, each where it is installed."""

from __future__ import annotations

import glob
import json
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from medback_core.disk import mounts
from medback_core.disk.filesystem import FileSystem

PASSED, FAILING = "passed", "failing"
_SYS = b"/sys/dev/block"
_UDEV = b"/run/udev/data"
_DM_LUKS = re.compile(rb"CRYPT-LUKS[12]-([0-9a-f]{32})-")
_SMARTCTL_SECONDS = 20
_UNMOUNT_SECONDS = 300  # what is still to be written may take its time
_POLL_SECONDS = 2.0


# --- being plugged in ------------------------------------------------------------------------------------------------


def mount_changes(seconds: float) -> Generator[bool, None, None]:
    """Wait until something is mounted or unmounted: True when it was, False when `seconds` passed without. The kernel
    tells; where it doesn't (no /proc), the list of mounts is compared every two seconds."""
    if sys.platform == "win32":
        yield from _compared(seconds)
        return
    try:
        file = open("/proc/self/mountinfo", "rb")  # noqa: SIM115  (closed with the generator)
    except OSError:
        yield from _compared(seconds)
        return
    with file:
        poll = select.poll()
        poll.register(file, select.POLLERR | select.POLLPRI)
        file.read()
        while True:
            told = bool(poll.poll(seconds * 1000))
            if told:
                file.seek(0)
                file.read()  # else it tells again
            yield told


def _compared(seconds: float) -> Iterator[bool]:
    before = {(part.mountpoint, part.device) for part in mounts.partitions()}
    while True:
        time.sleep(min(seconds, _POLL_SECONDS))
        now = {(part.mountpoint, part.device) for part in mounts.partitions()}
        yield now != before
        before = now


# --- encrypted containers --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Locked:
    """An encrypted container that is plugged in and not open."""

    uuid: str
    device: str  # /dev/sdb1


def container_of(filesystem: FileSystem) -> str | None:
    """The uuid of the encrypted container (LUKS) a file system lies in, None where it lies in none."""
    device = mounts.block_device(filesystem.device, filesystem.source)
    return None if device is None else _container(os.path.realpath(_device_directory(device)), 0)


def _device_directory(device: int) -> bytes:
    assert sys.platform != "win32"  # no block device is known there
    return b"%s/%d:%d" % (_SYS, os.major(device), os.minor(device))


def _container(directory: bytes, depth: int) -> str | None:
    found = _DM_LUKS.match(mounts.told(directory + b"/dm/uuid") or b"")
    if found is not None:
        digits = found[1].decode()
        return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
    try:
        below = os.listdir(directory + b"/slaves") if depth < 8 else []
    except OSError:
        return None
    for name in below:
        uuid = _container(os.path.realpath(directory + b"/slaves/" + name), depth + 1)
        if uuid is not None:
            return uuid
    return None


def locked_containers() -> list[Locked]:
    """The encrypted containers that are plugged in and not open, as udev knows them."""
    found = []
    try:
        kept = sorted(name for name in os.listdir(_UDEV) if re.fullmatch(rb"b\d+:\d+", name))
    except OSError:
        return []
    for name in kept:
        facts = dict(
            line[2:].split(b"=", 1)
            for line in (mounts.told(_UDEV + b"/" + name) or b"").splitlines()
            if line.startswith(b"E:") and b"=" in line
        )
        if facts.get(b"ID_FS_TYPE") != b"crypto_LUKS" or b"ID_FS_UUID" not in facts:
            continue
        directory = _SYS + b"/" + name[1:]
        try:
            opened = bool(os.listdir(directory + b"/holders"))
        except OSError:
            continue  # it left
        if not opened:
            lines = (mounts.told(directory + b"/uevent") or b"").splitlines()
            device = dict(line.split(b"=", 1) for line in lines if b"=" in line).get(b"DEVNAME", name)
            found.append(Locked(os.fsdecode(facts[b"ID_FS_UUID"]), "/dev/" + os.fsdecode(device)))
    return found


# --- health ----------------------------------------------------------------------------------------------------------


def health_of(filesystem: FileSystem) -> str | None:
    """PASSED or FAILING, as the disk of a file system says of itself; None where it says nothing, smartctl is not
    installed, or it may not ask."""
    import shutil

    program = shutil.which("smartctl")
    device = mounts.block_device(filesystem.device, filesystem.source)
    if program is None or device is None:
        return None
    said = [_asked(program, os.fsdecode(b"/dev/" + os.path.basename(disk))) for disk in mounts.whole_disks(device)]
    if FAILING in said:
        return FAILING
    return PASSED if said and all(one == PASSED for one in said) else None


def _asked(program: str, device: str) -> str | None:
    command = [program, "--json", "--health", "--nocheck=standby", device]
    try:
        ran = subprocess.run(command, capture_output=True, timeout=_SMARTCTL_SECONDS, check=False)
        passed = json.loads(ran.stdout).get("smart_status", {}).get("passed")
    except (OSError, ValueError, AttributeError, subprocess.TimeoutExpired):
        return None
    return None if not isinstance(passed, bool) else PASSED if passed else FAILING


# --- taking out ------------------------------------------------------------------------------------------------------


class Busy(OSError):
    """It can't be unmounted; `users` are the programs that have something open there and the loop devices on it,
    `mounts` the places that must be unmounted before."""

    def __init__(self, reason: str, users: Sequence[str] = (), mounts: Sequence[bytes] = ()) -> None:
        super().__init__(None, reason)
        self.reason, self.users, self.mounts = reason, users, mounts


def _users(filesystem: FileSystem) -> list[str]:
    """The programs that have a file or their working directory on a file system, as far as one may see: `vim (7)`."""
    import psutil

    found = []
    for process in psutil.process_iter():
        try:
            places = [process.cwd(), *(file.path for file in process.open_files())]
            name = process.name()
        except (psutil.Error, OSError):
            continue
        if process.pid != os.getpid() and any(_lies_on(place, filesystem.device) for place in places):
            found.append(f"{name} ({process.pid})")
    for directory in glob.glob(b"/sys/block/loop*"):
        file = mounts.loop_file(directory)
        if file is not None and _lies_on(os.fsdecode(file), filesystem.device):
            found.append(f"{os.fsdecode(os.path.basename(directory))} ({os.fsdecode(os.path.basename(file))})")
    return found


def _mounted_too(filesystem: FileSystem) -> list[bytes]:
    """Where else a file system is mounted, and what is mounted inside it: pulled out, it would be pulled from those."""
    point, table = filesystem.mount_point, mounts.mount_table()
    found = [entry.point for entry in table if entry.device == filesystem.device and entry.point != point]
    return sorted({*found, *(entry.point for entry in table if entry.point.startswith(point + b"/"))})


_PAUSES = (0.2, 0.4, 0.8)  # seconds: a drive that no program is seen to use is let go soon (a desktop looks at it)


def take_out(filesystem: FileSystem) -> bool:
    """Unmount a file system and, where udisks can, power its disk off; returns whether it was powered off. Raises Busy,
    and then it is mounted as before."""
    if others := _mounted_too(filesystem):
        raise Busy("", mounts=others)
    import shutil

    point, device = os.fsdecode(filesystem.mount_point), os.fsdecode(filesystem.source)
    udisks = shutil.which("udisksctl")
    ways = [[udisks, "unmount", "--no-user-interaction", "--block-device", device]] if udisks else []
    umount = shutil.which("umount")
    ways += [[umount, point]] if umount else []
    reason = "neither udisksctl nor umount is installed"
    for pause in (*_PAUSES, 0):
        for way in ways:
            reason = _run(way)
            if not reason:
                break
        if not reason:
            break
        found = _users(filesystem)
        if found or not ways or not pause:
            raise Busy(reason, found)
        time.sleep(pause)
    if udisks is None or not mounts.is_on_removable_disk(mounts.block_device(filesystem.device, filesystem.source)):
        return False
    return not _run([udisks, "power-off", "--no-user-interaction", "--block-device", device])


def _run(command: list[str]) -> str:
    """What a command complains of, "" when it did what it should."""
    try:
        ran = subprocess.run(command, capture_output=True, timeout=_UNMOUNT_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    words = (ran.stderr or ran.stdout).decode("utf-8", "replace").split("\n")
    return "" if ran.returncode == 0 else words[0].strip() or f"{os.path.basename(command[0])} failed"


def _lies_on(path: str, device: int) -> bool:
    try:
        return os.stat(path).st_dev == device
    except (OSError, ValueError):
        return False
