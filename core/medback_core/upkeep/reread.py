"""Read files again from their drive, with progress."""

from __future__ import annotations

import os
from collections.abc import Generator
from dataclasses import dataclass, field

from medback_core import disk
from medback_core.disk import FromDrive
from medback_core.model import Event, Progress, Recorded, Warned
from medback_core.pace import Pace, reporting


@dataclass(slots=True)
class Ticker:
    """How far a verify is."""

    phase: str
    files_total: int
    bytes_total: int
    files: int = 0
    bytes: int = 0
    pace: Pace = field(default_factory=Pace)

    def event(self, more: int, current: bytes) -> Progress:
        return Progress(self.phase, self.files, self.bytes + more, self.files_total, self.bytes_total, current)


RESUMED = Warned("verify-goes-on")


def read_whole(
    root: disk.Root, path: bytes, progress: Ticker, known: Recorded | None = None
) -> Generator[Event, None, FromDrive]:
    """Hash one file from its drive with progress, as disk.read_from_drive does. Raises OSError."""
    where = os.path.join(root.path, path)
    steps = disk.read_from_drive(root, path, known)
    return (yield from reporting(steps, progress.pace, lambda done: progress.event(done, where)))
