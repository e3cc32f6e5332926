"""Opening the session DB: new, known, damaged, of another version, or not ours at all."""

from __future__ import annotations

import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from medback_core import disk, model
from medback_core.errors import Refused
from medback_core.model import Warned

from . import schema
from .intact import Connection, beside_sqlite, has_wal, is_intact
from .source_list import lacks_a_source, left_out, list_path, listed_sources, mend_source_list
from .store import CACHE_MIB, WAIT, Session, cannot_be_written, connect, explained

HEADER = b"SQLite format 3\x00"
# Tables of the Python member of the family, whose DB lay at the same default path.
FAMILY_TABLES = frozenset({"src_dirs", "backup_files", "backup_dest", "file_backup_dest_association"})
COMPANIONS = ("-wal", "-shm", "-journal")  # what SQLite puts beside a DB


def default_path() -> Path:
    """Where the session DB lies unless told otherwise."""
    return Path.home() / ".bkup_dest"


def session_file(path: str | os.PathLike[str] | None) -> Path:
    """Where the session DB lies that a person named, or the one of `default_path`; links are not followed."""
    return Path(os.path.abspath(os.path.expanduser(path or default_path())))


def open_session(
    path: str | os.PathLike[str] | None = None,
    *,
    create: bool = True,
    afresh: bool = False,
    cache_mib: int = CACHE_MIB,
) -> Session:
    """Open the session DB at `path`, making a new one where there is none; with `afresh` the one that is there is set
    aside first, whatever its condition. `cache_mib`: how much of the DB this connection may keep in memory at most; one
    that only looks things up does as well with little.

    A damaged DB that was ours is set aside and a new one begun with `needs_rebuild` set; so is a missing one beside
    which a list of sources lies. Raises Refused for a file that is not ours, a DB of a later version, one that
    can't be written, or (with `create` false) a missing one.
    """
    path = Path(path) if path is not None else default_path()
    path = Path(os.path.realpath(os.path.expanduser(path)))  # its lock and its list lie beside the file itself
    notes: list[Warned] = []
    give_up = time.monotonic() + WAIT
    if afresh:
        _refuse_foreign(path)
    while afresh or _usable(path, create) != "ours":
        try:
            with _locked(path):
                notes += _make(path, create, afresh)
            break
        except Refused as refusal:  # another medback makes one this very moment, or works with the one it made
            if refusal.kind != "locked" or afresh or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
    try:
        db = connect(path, cache_mib)
        _migrate(db)
    except sqlite3.Error as error:
        raise explained(path, error) from error
    session = Session(path, db, cache_mib)
    session.notes = notes
    has_sources = session.has("source")
    session.needs_rebuild = not has_sources and bool(listed_sources(path))
    if has_sources:
        if lacks_a_source(session):
            with suppress(Refused, OSError), _locked(path):  # in use: then that other medback writes it
                mend_source_list(session)
        for missing in left_out(session):
            session.notes.append(Warned("source-left-out", path=missing))
    return session


def _usable(path: Path, create: bool) -> str:
    """The condition of what lies at `path`. Raises Refused where neither it nor a new one can be used."""
    condition = _condition(path)
    if condition == "too-new":
        raise Refused("too-new", path=str(path))
    if condition == "foreign":
        raise Refused("not-a-session", path=str(path))
    if condition == "missing" and not create:
        raise Refused("no-session", path=str(path))
    return condition


def _refuse_foreign(path: Path) -> None:
    """Raises Refused for what is no session DB and never was one; not for one that can't be read."""
    try:
        foreign = _condition(path) == "foreign"
    except Refused as refusal:
        if refusal.kind == "not-a-session":
            raise
        return
    if foreign:
        raise Refused("not-a-session", path=str(path))


def _condition(path: Path) -> str:
    """`missing`, `empty` (nothing was ever written into it), `ours`, `damaged` (was ours), `family`, `foreign` or
    `too-new`. Changes nothing."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            is_directory = stat.S_ISDIR(status.st_mode)
            what = "not-a-session/directory" if is_directory else "not-a-session/no-ordinary-file"
            raise Refused(what, path=str(path))
        with beside_sqlite(path) as stream:
            head = stream.read(100)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise Refused("session-unreadable", path=str(path), error=error.strerror) from error
    was_ours = list_path(path).exists()
    if not head:
        return "empty"
    if len(head) < 100 or not head.startswith(HEADER):
        return "damaged" if was_ours else "foreign"
    ours = int.from_bytes(head[68:72], "big") == schema.APPLICATION_ID
    if ours and int.from_bytes(head[60:64], "big") > schema.VERSION:
        return "too-new"
    was_ours = was_ours or ours
    # Reading leaves files beside a DB in WAL mode, unless it is said never to change: not beside a DB of another
    # program. Ours may be changing at this moment: the first ever written into it comes from its WAL when another
    # medback closes it.
    how = "mode=ro" if was_ours or has_wal(path) else "immutable=1"
    try:
        where = f"{path.as_uri()}?{how}"
        with closing(Connection(where, beside=path, uri=True, timeout=WAIT, isolation_level=None)) as db:
            db.execute("BEGIN")  # all that is looked at is of one moment
            return _look_inside(db, path)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if isinstance(error, sqlite3.Error) and (
            cannot_be_written(error)
            or any(word in str(error) for word in ("unable to open", "readonly", "locked", "is full"))
        ):
            raise explained(path, error) from error
        return "damaged" if was_ours else "foreign"


def _look_inside(db: sqlite3.Connection, path: Path) -> str:
    """The condition of what has the head of an SQLite file. Raises DatabaseError when it can't be read as one."""
    application = db.execute("PRAGMA application_id").fetchone()[0]
    version = db.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if application != schema.APPLICATION_ID:
        if not tables and not application and not version:
            return "empty"  # killed while it was being made
        return "family" if tables & FAMILY_TABLES else "foreign"
    if version > schema.VERSION:
        return "too-new"
    pages, page = (db.execute(f"PRAGMA {what}").fetchone()[0] for what in ("page_count", "page_size"))
    if pages * page > path.stat().st_size and not has_wal(path):
        return "damaged"
    for table in ("source", "target", "directory", "file", "identity", "copy", "rollup"):
        db.execute(f"SELECT * FROM {table} LIMIT 1").fetchone()
    return "ours" if is_intact(path, db) else "damaged"


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """No other process makes, or works with, the session of this path meanwhile. Raises Refused, also where none can
    be."""
    if not path.parent.is_dir():
        raise Refused("no-session/no-directory", path=str(path.parent))
    try:
        with disk.lock_session(os.fsencode(path)):
            yield
    except OSError as error:
        what = "session-full/make" if disk.cause_of(error) is disk.Cause.NO_ROOM else "session-read-only/make"
        raise Refused(what, path=str(path), error=error.strerror) from error


def _make(path: Path, create: bool, afresh: bool) -> list[Warned]:
    """Put a new DB at `path`, whole from the moment it has that name; returns what a person should know. Call under
    the lock."""
    condition = "" if afresh else _usable(path, create)
    if condition == "ours":  # another medback was quicker
        return []
    notes: list[Warned] = []
    if condition in ("damaged", "family") or (afresh and path.exists()):
        notes.append(Warned(f"set-aside/{condition or 'afresh'}", name=set_session_aside(path).name))
    new = path.with_name(path.name + ".new")
    with disk.Root(os.fsencode(path.parent)) as root:
        # What a killed one left; and a `-wal` whose DB is gone would be taken for the new one's.
        for name in (new.name, *(f"{one.name}{suffix}" for one in (new, path) for suffix in COMPANIONS)):
            with suppress(FileNotFoundError):
                disk.primitives.unlink(root.fd, os.fsencode(name))
        # Private from its first byte: SQLite itself would create it under the umask.
        os.close(disk.primitives.create(root.fd, os.fsencode(new.name), 0o600))
        try:
            with closing(connect(new, 1)) as db:
                _migrate(db)
        except sqlite3.Error as error:
            raise explained(path, error) from error
        disk.primitives.rename(root.fd, os.fsencode(new.name), root.fd, os.fsencode(path.name))
        disk.primitives.fsync_directory(root.fd)
    return notes


def _migrate(db: sqlite3.Connection) -> None:
    """Bring an empty or an older DB to the present schema: all of it or, after a kill, nothing."""
    while (version := _version(db)) < schema.VERSION:
        steps, reached = (schema.SCHEMA, schema.VERSION) if version == 0 else (schema.MIGRATIONS[version], version + 1)
        marks = f"PRAGMA application_id = {schema.APPLICATION_ID}; PRAGMA user_version = {reached};"
        try:
            db.executescript(f"BEGIN IMMEDIATE; {steps} {marks} COMMIT;")
        except sqlite3.OperationalError:
            if db.in_transaction:
                db.execute("ROLLBACK")
            if _version(db) == version:  # else another medback was quicker
                raise


def _version(db: sqlite3.Connection) -> int:
    return db.execute("PRAGMA user_version").fetchone()[0]


def set_session_aside(path: Path) -> Path:
    """Move the DB and its companions out of the way, keeping them; returns the new name."""
    stamp = model.date_stamp(model.now())
    aside = disk.free_name(map(path.with_name, disk.numbered(f"{path.name}.aside-{stamp}")), Path.exists)
    with disk.Root(os.fsencode(path.parent)) as root:
        for suffix in ("", *COMPANIONS):
            if Path(f"{path}{suffix}").exists():
                disk.move(root, os.fsencode(path.name + suffix), os.fsencode(aside.name + suffix))
    return aside
