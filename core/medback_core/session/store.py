"""The session: a connection to its DB, its transactions, and what is said when SQLite fails."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medback_core import disk, names
from medback_core.errors import MedbackError, Refused
from medback_core.model import Count, Warned

from . import rollup
from .intact import Connection, file_at, note_left
from .values import Placement

WAIT = 10  # seconds for another medback to end its transaction
CACHE_MIB = 64  # what a connection that works may keep in memory of the DB


class SessionDamaged(MedbackError):
    """The DB broke in the middle of an operation; the sidecars have all of it."""

    exit_code = 4


class Session:
    """One open session DB. One connection, one thread; open another for another thread (`session.again()`)."""

    def __init__(self, path: Path, db: sqlite3.Connection, cache_mib: int) -> None:
        self.path = path
        self.db = db
        self.cache_mib = cache_mib
        self.placements: dict[int, Placement] = {}
        self.placement_ids: dict[tuple[tuple[int, int], ...], int] = {}
        # Of those targets that count: which hold each placement. Kept for the set that was asked about last.
        self.holders: tuple[frozenset[int], dict[int, frozenset[int]]] = frozenset(), {}
        self.notes: list[Warned] = []  # what a person should know about how this DB was opened
        self.needs_rebuild = False
        self._depth = 0
        self._notes_what_it_leaves = True
        self._file = file_at(path)

    @property
    def is_current(self) -> bool:
        """Whether the DB still stands at its path: not when a rebuild put another one there."""
        return file_at(self.path) == self._file

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """One short write transaction; the coverage roll-up is right when it ends. Nests by joining the outer one."""
        if self._depth:
            yield self.db
            return
        try:
            self._depth = 1
            try:
                self.db.execute("BEGIN IMMEDIATE")
                yield self.db
                rollup.flush(self.db)
                self.db.execute("COMMIT")
            except BaseException:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")
                self.placements.clear()
                self.placement_ids.clear()
                self.holders = frozenset(), {}
                raise
            finally:
                self._depth = 0
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            raise explained(self.path, error) from error

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Errors of SQLite's inside come out as ours: for reads of a DB that may break, or go, while it is open."""
        try:
            yield self
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            raise (explained(self.path, error) if self.is_current else session_gone(self.path)) from error

    def has(self, rows: str, *values: object) -> bool:
        """Whether there is a row (`rows`: SQL from behind FROM on)."""
        return bool(self.db.execute(f"SELECT EXISTS (SELECT 1 FROM {rows})", values).fetchone()[0])

    def value(self, query: str, *values: object) -> Any:
        """The first column of the first row a query gives; None where it gives none."""
        row = self.db.execute(query, values).fetchone()
        return None if row is None else row[0]

    def count(self, query: str, *values: object) -> Count:
        """What a query of COUNT and SUM gives."""
        return Count(*self.db.execute(query, values).fetchone())

    def column(self, query: str, *values: object) -> list[Any]:
        """The first column of all rows a query gives."""
        return [row[0] for row in self.db.execute(query, values)]

    def again(self) -> Session:
        """Another connection to the same DB, for another thread. It is the first one's to note how the DB was left."""
        beside = Session(self.path, connect(self.path, self.cache_mib), self.cache_mib)
        beside._notes_what_it_leaves = False
        return beside

    def copied_to(self, path: Path) -> Session:
        """A copy of all this session knows, as a session of its own at `path`, where nothing is yet."""
        db = connect(path, self.cache_mib)
        self.db.backup(db)
        copy = Session(path, db, self.cache_mib)
        copy._notes_what_it_leaves = False
        return copy

    def close(self) -> None:
        self.db.close()
        if self._notes_what_it_leaves:
            note_left(self.path)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()


# What SQLite says of a DB it could not read as it is. Any other I/O error says that it could not be written or locked.
_WAL_INDEX_BYTES = 1 << 20  # it takes 32 KiB and more; a disk with less than this left counts as full
_UNREADABLE = frozenset({"SQLITE_IOERR", "SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_DATA"})


def cannot_be_written(error: sqlite3.Error) -> bool:
    """Whether an I/O error of SQLite's says nothing against the DB: it could not be written, mapped or locked."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith("SQLITE_IOERR") and name not in _UNREADABLE


def _is_full(directory: Path) -> bool:
    """Whether there is no room for what SQLite puts beside a DB, even to read it."""
    try:
        return disk.describe(os.fsencode(directory)).free < _WAL_INDEX_BYTES
    except OSError:
        return False


def explained(path: Path, error: sqlite3.Error) -> MedbackError:
    """An error of SQLite's on the session DB at `path` as one of ours, with the words a person needs."""
    words = str(error)
    if "readonly" in words or "read-only" in words or "unable to open" in words:
        return Refused("session-read-only", path=str(path))
    if "full" in words or (cannot_be_written(error) and _is_full(path.parent)):
        return Refused("session-full", path=str(path))
    if "locked" in words:
        return Refused("locked/session", path=str(path))
    if cannot_be_written(error):
        limit = disk.portable.file_size_limit()
        if limit is not None:
            return Refused("session-full/file-size", path=str(path), limit=limit)
        return Refused("session-read-only/error", path=str(path), error=words)
    if isinstance(error, sqlite3.OperationalError) and "disk I/O" not in words:
        return SessionDamaged("damaged-db/error", path=str(path), error=words)
    return SessionDamaged("damaged-db", path=str(path), error=words)


def session_gone(path: Path) -> Refused:
    """What is said when a session DB that was open is not at its path any more."""
    return Refused("no-session/gone", path=str(path))


def _name_contains(name: bytes, text: bytes) -> bool:
    return text.decode("utf-8", "surrogatepass").casefold() in names.folded(name)


def connect(path: Path, cache_mib: int) -> sqlite3.Connection:
    """A connection to the DB at `path` that may keep `cache_mib` of it in memory. Raises sqlite3.Error."""
    options = {"timeout": WAIT, "isolation_level": None, "check_same_thread": False, "cached_statements": 256}
    db = Connection(str(path), beside=path, **options)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA temp_store = FILE")
    db.execute(f"PRAGMA cache_size = -{cache_mib * 1024:d}")
    db.execute("PRAGMA wal_autocheckpoint = 4000")
    db.create_function("parent_of", 1, os.path.dirname, deterministic=True)
    db.create_function("name_of", 1, os.path.basename, deterministic=True)
    db.create_function("name_contains", 2, _name_contains, deterministic=True)
    db.executescript(rollup.TEMPORARY)
    return db
