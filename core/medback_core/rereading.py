"""Read files again from their drive, with progress."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from dataclasses import dataclass

from . import disk
from .disk import FromDrive
from .model import Event, Progress, Warned


@dataclass(slots=True)
class Ticker:
    """Progress at most ten times a second."""

    phase: str
    files_total: int
    bytes_total: int
    files: int = 0
    bytes: int = 0
    _told: float = 0.0

    def due(self) -> bool:
        return time.monotonic() - self._told > 0.1

    def event(self, more: int, current: bytes) -> Progress:
        self._told = time.monotonic()
        return Progress(self.phase, self.files, self.bytes + more, self.files_total, self.bytes_total, current)


RESUMED = Warned("this goes on where a verify was stopped; what that one read is not read again now")


def read_whole(root: disk.Root, path: bytes, progress: Ticker) -> Generator[Event, None, FromDrive]:
    """Hash one file from its drive with progress. Raises OSError."""
    steps = disk.read_from_drive(root, path)
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            return end.value
        if progress.due():
            yield progress.event(done, os.path.join(root.path, path))
