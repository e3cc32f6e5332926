"""The processes that this one started, as the kernel knows them."""

from __future__ import annotations

import os

import psutil


def children(of: int | None = None) -> set[int]:
    """Those of a process, by default of this one; also one that ended and was not waited for."""
    return {child.pid for child in psutil.Process(of or os.getpid()).children()}


def descriptors() -> int:
    """How many this process has open."""
    return len(os.listdir("/proc/self/fd"))
