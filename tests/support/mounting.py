"""Real mounts for a test: bind mounts, memory, images of file systems."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Mounter = Callable[..., None]


@pytest.fixture(name="mount")
def mount_fixture(tmp_path: Path) -> Iterator[Mounter]:
    """Mount something; all of it is unmounted at the end. Skips where that can't be done."""
    points: list[Path] = []

    def run(*words: str, point: Path) -> None:
        point.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["mount", *words, str(point)], capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
        points.append(point)

    try:
        yield run
    finally:
        for point in reversed(points):
            while subprocess.run(["umount", "-l", str(point)], capture_output=True).returncode == 0:
                pass


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
