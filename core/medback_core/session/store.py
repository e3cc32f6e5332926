"""Opening the session DB: new, known, damaged, of another version, or not ours at all."""

from __future__ import annotations

import errno
import os
import sqlite3
import stat
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from medback_core import disk, model, names
from medback_core.errors import MedbackError, Refused

from . import rollup, schema
from .intact import has_wal, is_intact, note_left
from .placements import Placement
from .source_list import lacks_a_source, left_out, list_path, listed_sources, mend_source_list

HEADER = b"SQLite format 3\x00"
# Tables of the Python member of the family, whose DB lay at the same default path.
FAMILY_TABLES = frozenset({"src_dirs", "backup_files", "backup_dest", "file_backup_dest_association"})

COMPANIONS = ("-wal", "-shm", "-journal")  # what SQLite puts beside a DB
_WAIT = 10  # seconds for another medback to end its transaction
CACHE_MIB = 64  # what a connection that works may keep in memory of the DB


class SessionDamaged(MedbackError):
    """The DB broke in the middle of an operation; the sidecars have all of it."""

    exit_code = 4
    kind = "damaged-db"


class Session:
    """One open session DB. One connection, one thread; open another for another thread (`session.again()`)."""

    def __init__(self, path: Path, db: sqlite3.Connection, cache_mib: int) -> None:
        self.path = path
        self.db = db
        self.cache_mib = cache_mib
        self.placements: dict[int, Placement] = {}
        self.placement_ids: dict[tuple[tuple[int, int], ...], int] = {}
        self.notes: list[str] = []  # what a person should know about how this DB was opened
        self.needs_rebuild = False
        self._depth = 0
        self._notes_what_it_leaves = True
        self._file = _file_at(path)

    @property
    def is_current(self) -> bool:
        """Whether the DB still stands at its path: not when a rebuild put another one there."""
        return _file_at(self.path) == self._file

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
                raise
            finally:
                self._depth = 0
        except sqlite3.OperationalError as error:
            raise explained(self.path, error) from error
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            raise explained(self.path, error) from error

    def again(self) -> Session:
        """Another connection to the same DB, for another thread. It is the first one's to note how the DB was left."""
        beside = Session(self.path, _connect(self.path, self.cache_mib), self.cache_mib)
        beside._notes_what_it_leaves = False
        return beside

    def copied_to(self, path: Path) -> Session:
        """A copy of all this session knows, as a session of its own at `path`, where nothing is yet."""
        db = _connect(path, self.cache_mib)
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


def _file_at(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def default_path() -> Path:
    """Where the session DB lies unless told otherwise."""
    return Path.home() / ".bkup_dest"


def open_session(
    path: str | os.PathLike[str] | None = None,
    *,
    create: bool = True,
    afresh: bool = False,
    cache_mib: int = CACHE_MIB,
) -> Session:
    """Open the session DB at `path`, making a new one where there is none; with `afresh` the one that is there is set
    aside first, whatever it is. `cache_mib`: how much of the DB this connection may keep in memory at most; one that
    only looks things up does as well with little.

    A damaged DB that was ours is set aside and a new one begun with `needs_rebuild` set; so is a missing one beside
    which a list of sources lies. Raises Refused for a file that is not ours, a DB of a later version, one that
    can't be written, or (with `create` false) a missing one.
    """
    path = Path(path) if path is not None else default_path()
    path = Path(os.path.realpath(path.expanduser()))  # its lock and its list lie beside the file itself
    notes: list[str] = []
    give_up = time.monotonic() + _WAIT
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
        db = _connect(path, cache_mib)
        _migrate(db)
    except sqlite3.Error as error:
        raise explained(path, error) from error
    session = Session(path, db, cache_mib)
    session.notes = notes
    has_sources = db.execute("SELECT EXISTS (SELECT 1 FROM source)").fetchone()[0]
    session.needs_rebuild = not has_sources and bool(listed_sources(path))
    if has_sources:
        if lacks_a_source(session):
            with suppress(Refused, OSError), _locked(path):  # in use: then that other medback writes it
                mend_source_list(session)
        for missing in left_out(session):
            shown = names.display_name(missing)
            session.notes.append(
                f"the source at {shown} is not in this session since its DB was lost: the next `medback update` takes "
                f"it up when it is there (`medback remove-src {names.shell_quoted(missing)}` forgets it)"
            )
    return session


def _usable(path: Path, create: bool) -> str:
    """The condition of what lies at `path`. Raises Refused where neither it nor a new one can be used."""
    shown = names.display_name(str(path))
    condition = _condition(path)
    if condition == "too-new":
        raise Refused(
            "too-new", f"{shown} was written by a later medback; use that one, or name another with --session-db"
        )
    if condition == "foreign":
        raise Refused("not-a-session", f"{shown} is not a medback session DB; name another with --session-db")
    if condition == "missing" and not create:
        raise Refused("no-session", f"there is no session DB at {shown}")
    return condition


# What SQLite says of a DB it could not read as it is. Any other I/O error says that it could not be written or locked.
_UNREADABLE = frozenset({"SQLITE_IOERR", "SQLITE_IOERR_READ", "SQLITE_IOERR_SHORT_READ", "SQLITE_IOERR_DATA"})


def cannot_be_written(error: sqlite3.Error) -> bool:
    """Whether an I/O error of SQLite's says nothing against the DB: it could not be written, mapped or locked."""
    name = getattr(error, "sqlite_errorname", None) or ""
    return name.startswith("SQLITE_IOERR") and name not in _UNREADABLE


def explained(path: Path, error: sqlite3.Error) -> MedbackError:
    """An error of SQLite's on the session DB at `path` as one of ours, with the words a person needs."""
    shown = names.display_name(str(path))
    words = str(error)
    if "readonly" in words or "read-only" in words or "unable to open" in words:
        return Refused("session-read-only", f"the session DB {shown} cannot be written")
    if "full" in words:
        return Refused("session-full", f"no room left for the session DB {shown}")
    if "locked" in words:
        return Refused("locked", f"the session DB {shown} is in use by another program")
    if cannot_be_written(error):
        limit = disk.portable.file_size_limit()
        if limit is not None:
            return Refused(
                "session-full",
                f"the session DB {shown} can't grow: no file may be larger than {limit} bytes here (`ulimit -f`)",
            )
        return Refused("session-read-only", f"the session DB {shown} cannot be written ({words})")
    if isinstance(error, sqlite3.OperationalError) and "disk I/O" not in words:
        return SessionDamaged(f"the session DB {shown}: {words}")
    return SessionDamaged(
        f"the session DB {shown} is damaged ({words}); `medback rebuild` makes a new one from the sidecars"
    )


def _condition(path: Path) -> str:
    """`missing`, `empty` (nothing was ever written into it), `ours`, `damaged` (was ours), `family`, `foreign` or
    `too-new`. Changes nothing."""
    shown = names.display_name(str(path))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no ordinary file"
            raise Refused("not-a-session", f"{shown} is {kind}, not a session DB")
        with open(path, "rb") as stream:
            head = stream.read(100)
    except FileNotFoundError:
        return "missing"
    except OSError as error:
        raise Refused("session-unreadable", f"{shown} cannot be read: {error.strerror}") from error
    was_ours = list_path(path).exists()
    if not head:
        return "empty"
    if len(head) < 100 or not head.startswith(HEADER):
        return "damaged" if was_ours else "foreign"
    ours = int.from_bytes(head[68:72], "big") == schema.APPLICATION_ID
    if ours and int.from_bytes(head[60:64], "big") > schema.VERSION:
        return "too-new"
    was_ours = was_ours or ours
    # Reading leaves files beside a DB in WAL mode, unless it is said never to change: not beside somebody else's. Ours
    # may be changing at this moment: the first ever written into it comes from its WAL when another medback closes it.
    how = "mode=ro" if was_ours or has_wal(path) else "immutable=1"
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?{how}", uri=True, timeout=_WAIT, isolation_level=None)) as db:
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
    """Nobody else makes, or works with, the session of this path meanwhile. Raises Refused, also where none can be."""
    if not path.parent.is_dir():
        raise Refused("no-session", f"there is no directory {names.display_name(str(path.parent))} for the session DB")
    try:
        with disk.lock_session(os.fsencode(path)):
            yield
    except OSError as error:
        kind = "session-full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "session-read-only"
        raise Refused(kind, f"cannot create {names.display_name(str(path))}: {error.strerror}") from error


def _make(path: Path, create: bool, afresh: bool) -> list[str]:
    """Put a new DB at `path`, whole from the moment it has that name; returns what a person should know. Call under
    the lock."""
    condition = "" if afresh else _usable(path, create)
    if condition == "ours":  # another medback was quicker
        return []
    notes: list[str] = []
    if condition in ("damaged", "family") or (afresh and path.exists()):
        aside = names.display_name(set_aside(path).name)
        words = {"damaged": "was damaged and", "family": "belonged to the older Python medback and"}
        notes.append(
            f"the session DB {words[condition]} is kept as {aside}; a new one is built from the sidecars"
            if condition
            else f"the session DB that was there is kept as {aside}"
        )
    new = path.with_name(path.name + ".new")
    with disk.Root(os.fsencode(path.parent)) as root:
        # What a killed one left; and a `-wal` whose DB is gone would be taken for the new one's.
        for name in (new.name, *(f"{one.name}{suffix}" for one in (new, path) for suffix in COMPANIONS)):
            with suppress(FileNotFoundError):
                disk.primitives.unlink(root.fd, os.fsencode(name))
        # Private from its first byte: SQLite itself would create it under the umask.
        os.close(disk.primitives.create(root.fd, os.fsencode(new.name), 0o600))
        try:
            with closing(_connect(new, 1)) as db:
                _migrate(db)
        except sqlite3.Error as error:
            raise explained(path, error) from error
        disk.primitives.rename(root.fd, os.fsencode(new.name), root.fd, os.fsencode(path.name))
        disk.primitives.fsync_directory(root.fd)
    return notes


def _name_contains(name: bytes, text: bytes) -> bool:
    return text.decode("utf-8", "surrogatepass").casefold() in names.text(name).casefold()


def _connect(path: Path, cache_mib: int) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=_WAIT, isolation_level=None, check_same_thread=False, cached_statements=256)
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


def set_aside(path: Path) -> Path:
    """Move the DB and its companions out of the way, keeping them; returns the new name."""
    stamp = model.date_stamp(model.now())
    aside = path.with_name(f"{path.name}.aside-{stamp}")
    number = 1
    while aside.exists():
        number += 1
        aside = path.with_name(f"{path.name}.aside-{stamp}-{number}")
    with disk.Root(os.fsencode(path.parent)) as root:
        for suffix in ("", *COMPANIONS):
            if Path(f"{path}{suffix}").exists():
                disk.move(root, os.fsencode(path.name + suffix), os.fsencode(aside.name + suffix))
    return aside
