"""Seeded files, the drives they go to, the sessions that know them: what the rows are measured on."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from pathlib import Path

from .make_session import name_places
from .measure import Taken, run

MEDBACK = shutil.which("medback") or "medback"
HERE = Path(__file__).parent
PER_DIRECTORY = 100
SMALL_BYTES = 4096
# Drives of their own take root, loop devices and the programs for it.
MOUNTS = hasattr(os, "geteuid") and os.geteuid() == 0 and all(map(shutil.which, ("mkfs.ext4", "mount", "umount")))
# A drive made as slow as those people have: the kernel's own limit for one block device.
THROTTLE = Path("/sys/fs/cgroup/blkio")
THROTTLES = MOUNTS and (THROTTLE / "blkio.throttle.write_bps_device").exists()
FORGETS = os.access("/proc/sys/vm/drop_caches", os.W_OK)
SLOW = 150_000_000  # bytes a second: a large disk that spins, at the end of a USB cable
DONE = (0, 6)  # more drives are needed: one drive is never two copies


_PROGRAMS = """\
import importlib, pkgutil, subprocess, medback_core
for module in pkgutil.walk_packages(medback_core.__path__, "medback_core."):
    importlib.import_module(module.name)
subprocess.run("find --version; md5sum --version; cat --version", shell=True, stdout=subprocess.DEVNULL)
"""


def forget_files() -> None:
    """The kernel remembers no file but those of the programs: what is read of a drive next comes from the disk."""
    os.sync()
    Path("/proc/sys/vm/drop_caches").write_text("3")
    run([sys.executable, "-c", _PROGRAMS])


def unmount(directory: Path) -> bool:
    """Unmount what is mounted at a directory, if anything is; whether that was done."""
    return subprocess.run(["umount", "-q", directory], check=False, stderr=subprocess.DEVNULL).returncode == 0


def clear_away(place: Path) -> None:
    """Unmount all that is mounted below a directory, and delete it."""
    below = os.fsencode(place) + b"/"
    mounts = Path("/proc/self/mounts").read_bytes().splitlines() if MOUNTS else []
    for line in reversed(mounts):
        point = line.split()[1]
        if point.startswith(below):
            unmount(Path(os.fsdecode(point)))
    shutil.rmtree(place, ignore_errors=True)


class World:
    """A source of seeded files and a session DB on a disk of their own, and a drive, brought on demand into the state a
    row begins with: `new`, `scanned`, or `backed-up`."""

    def __init__(
        self,
        place: Path,
        files: int,
        file_bytes: int = SMALL_BYTES,
        *,
        slow: bool = False,
        per_directory: int = PER_DIRECTORY,
    ) -> None:
        """`slow`: its drives give and take SLOW bytes a second."""
        self.place, self.files, self.file_bytes, self.slow = place, files, file_bytes, slow
        self.per_directory = per_directory
        self.home = place / "home"
        self.source = self.home / "source"
        self.drive = place / "drive"
        self.copy = place / "copy"  # what a peer writes, and what a restore brings back
        self.session = self.home / "session.db"
        self._state = ""
        directories = 4 // per_directory * files
        # The source, the same for peers and on a foreign drive, sidecars, session DBs and contexts.
        room = (4 * files + 2 * directories) * (file_bytes + 4096)
        self._new_disk(self.home, (4 << 30) + room, 4 * files + 2 * directories + 20_000, slow=False)

    def medback(self, *words: str | Path, session: Path | None = None) -> list[str]:
        """The command line of the installed program on this world's session."""
        common = ["--session-db", str(session or self.session), "--no-progress", "-y"]
        return [MEDBACK, *common, *map(str, words)]

    def do(self, *words: str | Path, session: Path | None = None) -> Taken:
        """Run medback, untimed, in preparation."""
        return run(self.medback(*words, session=session), allowed=DONE)

    def be(self, state: str) -> None:
        """Bring the world into `state`."""
        if self._state == state:
            return
        if state == "new":
            self._make_files()
            for name in self.home.glob("session.db*"):
                name.unlink()
            subprocess.run(["find", self.source, "-name", ".medback*", "-delete"], check=True)
        elif state == "scanned":
            self.be("new")
            self.do("add-src", self.source)
        elif state == "backed-up":
            self.be("scanned")
            self.clear(self.drive)
            self.do("target", self.drive, "--no-update", "--no-verify")
        self._state = state

    def left(self, state: str) -> None:
        """Say what the command that was measured has made of the world; "" for what no row begins with."""
        self._state = state

    def clear(self, directory: Path) -> None:
        """Make `directory` an empty one, or, where that can be, a new drive: an ext4 file system of its own. Where many
        files were just deleted ext4 is slow to make new ones, which no new drive is."""
        nodes = (2 + 4 // self.per_directory) * self.files  # a directory and a sidecar for each file, perhaps
        self._new_disk(directory, (1 << 30) + nodes * (self.file_bytes + 4096), nodes + 5000, slow=self.slow)

    def _new_disk(self, directory: Path, size: int, inodes: int, *, slow: bool) -> None:
        unmount(directory)
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir(parents=True)
        if not MOUNTS:
            return
        image = self.place / f"{directory.name}.img"
        image.unlink(missing_ok=True)
        with open(image, "wb") as file:
            file.truncate(size)
        made = ["mkfs.ext4", "-qF", "-N", str(inodes), "-E", "lazy_itable_init=0,lazy_journal_init=0"]
        subprocess.run([*made, image], check=True)
        subprocess.run(["mount", "-o", "loop", image, directory], check=True)
        device = directory.stat().st_dev
        for way in ("read", "write") if THROTTLES else ():  # 0: as fast as it is; a loop device is used again
            limit = f"{os.major(device)}:{os.minor(device)} {SLOW if slow else 0}"
            (THROTTLE / f"blkio.throttle.{way}_bps_device").write_text(limit)

    def plain(self) -> Path:
        """The source's files in a directory medback never touched, for a peer to copy."""
        plain = self.home / "plain"
        if not plain.exists():
            self._write(plain)
        return plain

    def foreign(self) -> Path:
        """A drive that somebody filled with `cp`, with nothing of medback on it."""
        foreign = self.home / "foreign"
        if not foreign.exists():
            self._write(foreign)
        subprocess.run(["find", foreign, "-name", ".medback*", "-delete"], check=True)
        return foreign

    def shelf_at_places(self) -> Path:
        """The shelf at six places, with rules for directories."""
        made = self.home / "shelf-at-places.db"
        if not made.exists():
            shutil.copy(self.shelf(), made)
            name_places(made)
        return made

    def shelf(self, targets: int = 50, *, random_triples: bool = False) -> Path:
        """A session DB of so many made-up files on so many targets, placed as the tool places them or at random."""
        made = self.home / f"shelf-{'random' if random_triples else 'placed'}.db"
        if not made.exists():
            words = [str(made), str(self.files), str(targets), *(["--random-triples"] if random_triples else [])]
            run([sys.executable, str(HERE / "make_session.py"), *words])
        return made

    def context(self) -> Path:
        """The restore context of the shelf."""
        written = self.home / "context.xml"
        if not written.exists():
            self.do("write-restore", written, session=self.shelf())
        return written

    def close(self) -> None:
        """Leave nothing behind."""
        clear_away(self.place)

    def _make_files(self) -> None:
        if not self.source.exists():
            self._write(self.source)

    def _write(self, root: Path) -> None:
        """Bytes of their own in every file, the same in every run; large ones repeat a block that is not all equal."""
        chunk = min(self.file_bytes, 1 << 20)
        for number in range(-(-self.files // self.per_directory)):
            rng = random.Random(number)
            directory = root / f"{number // 50:03d}" / f"{number:05d}"
            directory.mkdir(parents=True)
            for n in range(min(self.per_directory, self.files - number * self.per_directory)):
                block = rng.randbytes(chunk)
                with open(directory / f"IMG_{n:04d}.jpg", "wb") as file:
                    for _ in range(self.file_bytes // chunk):
                        file.write(block)
        os.sync()
