"""Real mounts for a test: bind mounts, memory, images of file systems."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from medback_core.disk.mounts import mount_table

Mounter = Callable[..., None]


@pytest.fixture(name="mount")
def mount_fixture(tmp_path: Path) -> Iterator[Mounter]:
    """Mounts something; skips where that can't be done."""

    def run(*words: str, point: Path) -> None:
        point.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *words, str(point)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")

    yield run
    unmount_all(tmp_path)


def unmount_all(below: Path) -> None:
    """What lies below a directory is mounted no more, whatever was mounted there and how often."""
    with suppress(FileNotFoundError):  # no such list on other systems
        if bytes(below).replace(b" ", b"\\040") not in Path("/proc/self/mountinfo").read_bytes():
            return  # as after nearly every test: the table need not be read
    for mount in reversed(mount_table()):
        if mount.point.startswith(bytes(below) + b"/"):
            subprocess.run(["umount", "-l", mount.point], capture_output=True)


def detach_all(below: Path) -> None:
    """No loop device has an image below a directory any more; one still in use is gone when it is let go."""
    for image in Path("/sys/block").glob("loop*/loop/backing_file"):
        with suppress(OSError):
            if image.read_text().startswith(f"{below}/"):
                subprocess.run(["losetup", "-d", f"/dev/{image.parts[3]}"], capture_output=True)


def image(path: Path, make: str = "mkfs.ext4", size: int = 16 << 20) -> str:
    """A file with a file system in it."""
    with open(path, "wb") as file:
        file.truncate(size)
    try:
        subprocess.run([make, "-q", str(path)], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip(f"{make} is not installed")
    return str(path)


def unmount(point: Path) -> None:
    """As when a drive is pulled out: another test's app, which looks at all drives, may have it open just now."""
    subprocess.run(["umount", "-l", str(point)], check=True)
