"""The processes that this one started, as the kernel knows them."""

from __future__ import annotations

import os
from contextlib import suppress

import psutil


def children(of: int | None = None) -> set[int]:
    """Those of a process, by default of this one; also one that ended and was not waited for."""
    return {child.pid for child in psutil.Process(of or os.getpid()).children()}


def workers_of(pid: int) -> set[int]:
    """The worker processes of medback running there. Not one that is only being started: its parent waits for it."""
    found = set()
    for child in psutil.Process(pid).children():
        with suppress(psutil.NoSuchProcess):
            if any(word.endswith("worker_process.py") for word in child.cmdline()):
                found.add(child.pid)
    return found


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
