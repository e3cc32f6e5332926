"""Whether the session DB's file holds what was left in it: a small note beside the DB says how the last to close it
left it, with a CRC-32 of all its bytes, so that one flipped bit of a number is seen before it is believed."""

from __future__ import annotations

import os
import re
import sqlite3
import time
import zlib
from pathlib import Path
from typing import NamedTuple

from medback_core import disk

CHECKED_THOROUGHLY = 4 << 20  # bytes: up to this size a DB with no note has its indexes compared too
_READ = 1 << 20
RECENT_NS = 2_000_000_000  # a file changed so lately may be changing: its time can't tell two states apart
_NOTE = re.compile(rb"size=(\d{1,19}) mtime_ns=(-?\d{1,20}) crc=([0-9a-f]{8})\n")


class _Left(NamedTuple):
    """How the file was left. Size in bytes, time in ns."""

    size: int
    mtime_ns: int
    crc: int


def note_path(path: Path) -> Path:
    """Where the note on a session DB lies."""
    return path.with_name(path.name + ".crc")


def has_wal(path: Path) -> bool:
    """Whether changes wait beside the DB: it is open somewhere, or the process that had it open was killed. They carry
    checks of SQLite's own."""
    try:
        return os.stat(f"{path}-wal").st_size > 0
    except OSError:
        return False


def is_intact(path: Path, db: sqlite3.Connection) -> bool:
    """Whether nothing in the DB's file broke since it was written. Raises sqlite3.DatabaseError, OSError.

    A file with the size and time the note gives must have its CRC. Any other (a kill or a power cut came before the
    note, or it is open and being written) is looked through for structure alone: every page of it, but not every
    number. A million files: 0.1 s and 0.6 s of processor.
    """
    left = _noted(path)
    now = _sight(path)
    if left is not None and now == left[:2] and abs(time.time_ns() - left.mtime_ns) > RECENT_NS:
        crc = _crc(path)
        if _sight(path) == now:
            return crc == left.crc
    check = "integrity_check" if now[0] <= CHECKED_THOROUGHLY else "quick_check"
    return db.execute(f"PRAGMA {check}(1)").fetchone()[0] == "ok"


def note_left(path: Path) -> None:
    """Write the note on a DB that this process just closed, unless another process has it open or it is as noted. Where
    that can't be done the next to open it looks through its structure instead."""
    try:
        now = _sight(path)
        left = _noted(path)
        if has_wal(path) or (left is not None and now == left[:2] and abs(time.time_ns() - now[1]) > RECENT_NS):
            return
        crc = _crc(path)
        if _sight(path) != now or has_wal(path):
            return
        fd = disk.primitives.open_lock_file(os.fsencode(note_path(path)))
        try:
            disk.primitives.truncate(fd, 0)
            disk.primitives.write(fd, b"size=%d mtime_ns=%d crc=%08x\n" % (*now, crc))
        finally:
            os.close(fd)
    except OSError:
        return


def _noted(path: Path) -> _Left | None:
    try:
        with open(note_path(path), "rb") as stream:
            found = _NOTE.fullmatch(stream.read(100))
    except OSError:
        return None
    return None if found is None else _Left(int(found[1]), int(found[2]), int(found[3], 16))


def _sight(path: Path) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_size, status.st_mtime_ns


def _crc(path: Path) -> int:
    crc = 0
    buffer = memoryview(bytearray(_READ))
    with open(path, "rb", buffering=0) as stream:
        while count := stream.readinto(buffer):
            crc = zlib.crc32(buffer[:count], crc)
    return crc
