"""The installed program, file systems made for a test, and system calls that fail: for tests with the real kernel."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.terminal import PATIENCE

MEDBACK = str(Path(sys.executable).parent / "medback")


def need(*tools: str) -> None:
    """Skip the test, saying why, where it can't be made to happen."""
    missing = [tool for tool in tools if shutil.which(tool, path=f"{os.environ['PATH']}:/usr/sbin:/sbin") is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed")


def environment(where: Path) -> dict[str, str]:
    return {
        **os.environ,
        "MEDBACK_SESSION_DB": str(where / "session.db"),
        "HOME": str(where),
        "XDG_STATE_HOME": str(where.parent / "state"),
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }


def medback(where: Path, *words: str, before: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    """Run the installed command in a world; `before` is what it is run under."""
    how: dict[str, Any] = options if {"stdout", "stderr"} & options.keys() else {"capture_output": True} | options
    return subprocess.run(
        [*before, MEDBACK, *words],
        cwd=where,
        env=environment(where),
        text=True,
        check=False,
        **how,
    )


def answer(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a command run with --json said."""
    found = json.loads(done.stdout)
    assert found["exit_code"] == done.returncode, done.stderr
    return found


def injected(where: Path, calls: str, what: str, when: str, *words: str) -> subprocess.CompletedProcess[str] | None:
    """Run the command while the kernel answers the calls so; None when that never happened."""
    log = where.parent / "strace.log"
    done = medback(
        where,
        *words,
        before=(
            "strace",
            "-f",
            "-qq",
            "-o",
            str(log),
            "-e",
            f"trace={calls}",
            "-e",
            f"inject={calls}:{what}:when={when}",
        ),
    )
    told = log.read_text(errors="replace")
    return done if "INJECTED" in told or "killed by" in told or "--- SIG" in told else None


def calls_made(where: Path, calls: str, *words: str) -> range:
    """The numbers of the calls a command makes from the first that has to do with the world on: before, it starts."""
    log = where.parent / "strace.log"
    medback(where, *words, before=("strace", "-f", "-qq", "-o", str(log), "-e", f"trace={calls}"))
    lines = [line for line in log.read_text(errors="replace").splitlines() if "(" in line]
    first = next((number for number, line in enumerate(lines, 1) if str(where) in line), len(lines))
    return range(first, len(lines) + 1)


def can_trace(where: Path) -> None:
    """Skip where strace may not trace."""
    need("strace")
    where.mkdir(parents=True, exist_ok=True)
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"strace can't trace here: {tried.stderr.strip()[:100]}")


def _run(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=environment(Path("/tmp")))
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stderr.strip()[:200]}")
    return done.stdout.strip()


class Drive:
    """A file system in an image file (or in memory), plugged in at `point` and out again."""

    def __init__(self, directory: Path, kind: str, size: int, *options: str) -> None:
        """`options` are those of mkfs."""
        self.kind, self.size = kind, size
        self.point = directory / f"{kind}-drive"
        self.point.mkdir(parents=True)
        self.image = directory / f"{kind}.img"
        self.loop = ""
        self.plugged = False
        if kind != "tmpfs":
            self.format(*options)

    def format(self, *options: str) -> None:
        with open(self.image, "wb") as stream:
            stream.truncate(self.size)
        program = {"ext4": ["mkfs.ext4", "-q", "-F", "-m", "0"]}.get(self.kind, [f"mkfs.{self.kind}"])
        _run(*program, *options, str(self.image))

    def plug(self, *options: str) -> Path:
        more = ["-o", ",".join(options)] if options else []
        if self.kind == "tmpfs":
            _run("mount", "-t", "tmpfs", "-o", ",".join([f"size={self.size}", *options]), "tmpfs", str(self.point))
        else:
            self.loop = _run("losetup", "-f", "--show", str(self.image))
            program = ["mount.exfat-fuse"] if self.kind == "exfat" else ["mount", "-t", self.kind]
            _run(*program, *more, self.loop, str(self.point))
        self.plugged = True
        return self.point

    def unplug(self, *, lazily: bool = False) -> None:
        """A file system in user space (exFAT) may still be busy with what was just closed: that is waited for."""
        give_up = time.monotonic() + PATIENCE
        while self.plugged:
            try:
                _run("umount", *(["-l"] if lazily else []), str(self.point))
                self.plugged = False
            except OSError as error:
                if "busy" not in str(error) or time.monotonic() > give_up:
                    raise
                time.sleep(0.02)
        if self.loop:
            _run("losetup", "-d", self.loop)
            self.loop = ""


@contextmanager
def drive(directory: Path, kind: str, size: int, *options: str) -> Iterator[Drive]:
    """A drive, plugged in; skips the test, saying why, where such a one can't be had."""
    if os.name != "posix" or os.geteuid() != 0:
        pytest.skip("mounting a file system takes root")
    need("mount", "losetup", *{"exfat": ("mkfs.exfat", "mount.exfat-fuse"), "tmpfs": ()}.get(kind, (f"mkfs.{kind}",)))
    made = Drive(directory, kind, size, *options)
    try:
        made.plug()
    except OSError as error:
        if made.loop:
            made.unplug()
        pytest.skip(f"no {kind} can be mounted here: {error}")
    try:
        yield made
    finally:
        made.unplug(lazily=True)
