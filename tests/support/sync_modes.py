"""The two ways a batch becomes durable: by one syncfs, or, as on exFAT, file by file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import pytest

from medback_core import disk
from medback_core.backing_up import back_up
from medback_core.disk import filesystem, group, staging, worker_process

FILE_BY_FILE, TOGETHER = "file by file", "several small batches"
T = TypeVar("T")


def go(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All drives of this test go one way; the batches of the other are so small that several are under way, and what
    has more than a thousand bytes is copied as large files are, two at a time."""
    if way == FILE_BY_FILE:
        monkeypatch.setattr(filesystem, "_GROUP_SYNC", frozenset())
    else:
        monkeypatch.setattr(group, "BATCH_FILES", 3)
        monkeypatch.setattr(disk, "BATCH_FILES", 3)
        for module, name in ((worker_process, "SMALL"), (staging, "SMALL"), (disk, "SMALL"), (back_up, "_SMALL")):
            monkeypatch.setattr(module, name, 1000)
        monkeypatch.setattr(worker_process, "SYNC_EVERY", 1000)
        monkeypatch.setattr(disk.Root, "spins", False)


def is_file_by_file() -> bool:
    return not filesystem._GROUP_SYNC


def thinned(points: Sequence[T]) -> Sequence[T]:
    """Every third point file by file, where the same loop has more of them that differ less; all of them else."""
    return points[::3] if is_file_by_file() else points
