"""Read files again from their drive, with progress."""

from __future__ import annotations

import os
import time
from collections.abc import Generator
from contextlib import closing
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


@dataclass(frozen=True, slots=True)
class Bound:
    """Where a verify stops before its end: after so many bytes, or at a time of `time.monotonic`, then in the middle of
    a file too. With `one_at_least` the first file is read to its end all the same: or one that takes longer than the
    time that is given each day would never be read."""

    max_bytes: int | None = None
    until: float | None = None
    one_at_least: bool = True

    def is_reached(self, files: int, size: int) -> bool:
        """Whether the next file is not to be read any more: after so many `files`, `size` bytes with it."""
        if not files and self.one_at_least:
            return False
        return (self.max_bytes is not None and size > self.max_bytes) or self.is_time_up(files)

    def is_time_up(self, files: int) -> bool:
        """Whether the file that is being read after so many `files` is to be left."""
        return self.until is not None and (files > 0 or not self.one_at_least) and time.monotonic() >= self.until


RESUMED = Warned("verify-goes-on")


def is_no_damage(error: OSError) -> bool:
    """Whether a file that could not be read says nothing of its content: this person may not read it, it changed
    meanwhile, or the drive is gone."""
    return isinstance(error, PermissionError) or disk.cause_of(error) in (disk.Cause.CHANGED, disk.Cause.GONE)


def read_in_time(
    root: disk.Root, path: bytes, progress: Ticker, known: Recorded | None, bound: Bound
) -> Generator[Event, None, FromDrive | None]:
    """Hash one file from its drive with progress, as disk.read_from_drive does, as far as the time goes; None: it was
    up before the end of the file. Raises OSError."""
    where = os.path.join(root.path, path)
    steps = _in_time(disk.read_from_drive(root, path, known), bound, progress.files)
    return (yield from reporting(steps, progress.pace, lambda done: progress.event(done, where)))


def _in_time(
    steps: Generator[int, None, FromDrive], bound: Bound, files: int
) -> Generator[int, None, FromDrive | None]:
    with closing(steps):
        while not bound.is_time_up(files):
            try:
                yield next(steps)
            except StopIteration as end:
                return end.value
    return None
