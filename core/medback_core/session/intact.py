"""Whether the session DB's file holds what was left in it: a small note beside the DB says how the last to close it
left it, with a CRC-32 of all its bytes, so that one flipped bit of a number is seen before it is believed."""

from __future__ import annotations

import os
import re
import sqlite3
import threading
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any, NamedTuple

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


# POSIX: a process that closes any descriptor of a file gives up all its locks on that file, those of SQLite's
# connections too. Another process then takes the DB for closed by all, deletes its WAL, and what this one writes from
# then on is lost. So a descriptor opened beside SQLite stays open as long as a connection of this process does.
_guard = threading.Lock()
_connections: Counter[tuple[int, int]] = Counter()  # of this process to each DB's file (device, inode)
_kept: dict[tuple[int, int], FileIO] = {}  # such a file, closed after the last of them


def file_at(path: Path) -> tuple[int, int] | None:
    """Which file stands at a path: (device, inode)."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Connection(sqlite3.Connection):
    """SQLite's, counted from before it has a lock until it has none. `beside`: the DB's file; one that is not there yet
    is not counted, since nothing else knows of it."""

    def __init__(self, database: str, *words: Any, beside: Path, **options: Any) -> None:
        with _guard:
            self._file = file_at(beside)
            if self._file is not None:
                _connections[self._file] += 1
        try:
            super().__init__(database, *words, **options)
        except BaseException:
            self._uncount()
            raise

    def close(self) -> None:
        super().close()
        self._uncount()

    def _uncount(self) -> None:
        with _guard:
            file, self._file = self._file, None
            if file is None:
                return
            _connections[file] -= 1
            if not _connections[file]:
                del _connections[file]
                if file in _kept:
                    _kept.pop(file).close()


@contextmanager
def beside_sqlite(path: Path) -> Iterator[FileIO]:
    """The DB's file to read, from its start; SQLite's locks on it stay. Raises OSError."""
    with _guard:
        file = file_at(path)
        stream = _kept.pop(file, None) if file is not None else None
        if stream is None:
            stream = open(path, "rb", buffering=0)  # noqa: SIM115 - it may stay open
        try:
            stream.seek(0)
            yield stream
        finally:
            status = os.fstat(stream.fileno())
            file = status.st_dev, status.st_ino
            if _connections[file] and file not in _kept:
                _kept[file] = stream
            else:
                stream.close()


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
    with beside_sqlite(path) as stream:
        while count := stream.readinto(buffer):
            crc = zlib.crc32(buffer[:count], crc)
    return crc
