"""What is known of the directories of the sources themselves: their permissions and times."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from .files import ensure_directory
from .store import Session
from .values import load_ns, store_ns


class DirectoryFacts(NamedTuple):
    """One directory of a source. `mode` (permission bits) and `mtime_ns` are None where no scan has looked yet."""

    key: int
    path: bytes
    mode: int | None
    mtime_ns: int | None


_FACTS = "SELECT id, path, mode, mtime_ns FROM directory"


def _facts(row: tuple) -> DirectoryFacts:
    return DirectoryFacts(row[0], row[1], row[2], load_ns(row[3]))


def facts_of(session: Session, source: int, path: bytes) -> DirectoryFacts | None:
    """What is known of a directory (b"" the root of the source), None where there is none."""
    row = session.db.execute(f"{_FACTS} WHERE source_id = ? AND path = ?", (source, path)).fetchone()
    return None if row is None else _facts(row)


def subdirectories(session: Session, key: int) -> list[DirectoryFacts]:
    """The directories directly inside one, in path order."""
    return [_facts(row) for row in session.db.execute(f"{_FACTS} WHERE parent_id = ? ORDER BY path", (key,)).fetchall()]


def directories_below(session: Session, source: int, path: bytes | None) -> Iterator[DirectoryFacts]:
    """A directory and all below it (None: all of the source), in path order. Do not write while iterating."""
    scope = "AND (path = ?2 OR (path > ?3 AND path < ?4))" if path else ""
    bounds = (source, path, path + b"/", path + b"0") if path else (source,)
    for row in session.db.execute(f"{_FACTS} WHERE source_id = ?1 {scope} ORDER BY path", bounds):
        yield _facts(row)


def put_directories(session: Session, source: int, rows: Iterable[tuple[bytes, int, int]]) -> None:
    """(path, mode, mtime_ns) of directories that were looked at. Call inside a transaction."""
    for path, mode, mtime_ns in rows:
        key = ensure_directory(session, source, path)
        session.db.execute(
            "UPDATE directory SET mode = ?, mtime_ns = ? WHERE id = ?", (mode & 0o777, store_ns(mtime_ns), key)
        )


def has_other_directories(session: Session, source: int, rows: Iterable[tuple[bytes, int, int]]) -> bool:
    """Whether any of these, as `put_directories` takes them, is not known, or has other permissions than are known.
    Times alone are no change: medback's own writing changes them."""
    for path, mode, _ in rows:
        row = session.db.execute(
            "SELECT mode FROM directory WHERE source_id = ? AND path = ?", (source, path)
        ).fetchone()
        if row is None or (row[0] is not None and row[0] != mode & 0o777):
            return True
    return False


def file_modes(session: Session, source: int, directory: bytes) -> list[tuple[bytes, int]]:
    """(name, permission bits) of the files of a directory of a source."""
    return session.db.execute(
        "SELECT f.name, f.mode FROM directory d JOIN file f ON f.directory_id = d.id "
        "WHERE d.source_id = ? AND d.path = ?",
        (source, directory),
    ).fetchall()


def has_links(session: Session, source: int) -> bool:
    """Whether any link is recorded in a source."""
    return session.has("link l JOIN directory d ON d.id = l.directory_id WHERE d.source_id = ?", source)


def private_files_on(session: Session, target: int, shut: Iterable[int]) -> int:
    """How many current paths of content that lies on a target are private: not readable for others, or below a
    directory others can't enter; so are all files of the sources `shut` (keys)."""
    keys = ",".join(str(int(key)) for key in shut) or "NULL"
    return session.value(
        "WITH RECURSIVE closed (id) AS (SELECT id FROM directory WHERE mode & 1 = 0 OR (path = x'' "
        f"AND source_id IN ({keys})) UNION SELECT d.id FROM directory d JOIN closed c ON d.parent_id = c.id) "
        "SELECT COUNT(*) FROM copy c JOIN file f ON f.identity_id = c.identity_id WHERE c.target_id = ? "
        "AND c.standing > 0 AND (f.mode & 4 = 0 OR f.directory_id IN (SELECT id FROM closed))",
        target,
    )


# --- what a restore gives back ----------------------------------------------------------------------------------------


def put_expected_directories(session: Session, rows: Iterable[tuple[int, bytes, int, int]], *, replace: bool) -> None:
    """(source key, path, mode, mtime_ns) an imported context tells of; with `replace` in place of what another told.
    Call inside a transaction."""
    session.db.executemany(
        f"INSERT OR {'REPLACE' if replace else 'IGNORE'} INTO expected_directory (source_id, path, mode, mtime_ns) "
        "VALUES (?,?,?,?)",
        ((source, path, mode & 0o777, store_ns(mtime_ns)) for source, path, mode, mtime_ns in rows),
    )


def expected_fact(session: Session, source: int, path: bytes) -> tuple[int, int] | None:
    """(mode, mtime_ns) a directory should have: as an imported context says, else as the last scan saw it."""
    row = session.db.execute(
        "SELECT mode, mtime_ns FROM expected_directory WHERE source_id = ?1 AND path = ?2 UNION ALL "
        "SELECT mode, mtime_ns FROM directory WHERE source_id = ?1 AND path = ?2 AND mode IS NOT NULL LIMIT 1",
        (source, path),
    ).fetchone()
    return None if row is None else (row[0], load_ns(row[1]) or 0)


def wanted_directories(session: Session, source: int, path: bytes | None) -> Iterator[tuple[bytes, int, int]]:
    """(path, mode, mtime_ns) of the directories of a source, those above come first; with `path` those above it, itself
    and those below. Do not write while iterating."""
    for at, character in enumerate(path or b""):
        if character == 47 and path is not None and (fact := expected_fact(session, source, path[:at])) is not None:
            yield path[:at], *fact
    if path and (fact := expected_fact(session, source, b"")) is not None:
        yield b"", *fact
    scope = "AND (path = ?2 OR (path > ?3 AND path < ?4))" if path else ""
    rows = session.db.execute(
        f"SELECT path, mode, mtime_ns FROM expected_directory WHERE source_id = ?1 {scope} UNION ALL "
        f"SELECT path, mode, mtime_ns FROM directory d WHERE source_id = ?1 {scope} AND mode IS NOT NULL "
        "AND NOT EXISTS (SELECT 1 FROM expected_directory x WHERE x.source_id = ?1 AND x.path = d.path) ORDER BY path",
        (source, path, path + b"/", path + b"0") if path else (source,),
    )
    for row in rows:
        yield row[0], row[1], load_ns(row[2]) or 0


def note_making(session: Session, rows: Iterable[tuple[bytes, int, int]]) -> None:
    """(absolute path, mode, mtime_ns) of directories a restore is about to make."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO making (path, mode, mtime_ns) VALUES (?,?,?)",
            ((path, mode, store_ns(mtime_ns)) for path, mode, mtime_ns in rows),
        )


def in_making(session: Session, directory: bytes) -> list[tuple[bytes, int, int]]:
    """(absolute path, mode, mtime_ns) of the directories restores made at and below one, what lies deeper first."""
    rows = session.db.execute(
        "SELECT path, mode, mtime_ns FROM making WHERE path = ?1 OR (path > ?2 AND path < ?3) ORDER BY path DESC",
        (directory, directory.rstrip(b"/") + b"/", directory.rstrip(b"/") + b"0"),
    )
    return [(row[0], row[1], load_ns(row[2]) or 0) for row in rows]


def forget_making(session: Session, paths: Iterable[bytes] | None = None) -> None:
    """These have what they should have; None: whatever they have, no restore waits for it."""
    with session.transaction() as db:
        if paths is None:
            db.execute("DELETE FROM making")
            return
        db.executemany("DELETE FROM making WHERE path = ?", ((path,) for path in paths))


def take_over_facts(session: Session, source: int) -> None:
    """What an imported context says of directories that a restore made in their own source is known of them now."""
    with session.transaction() as db:
        db.execute(
            "UPDATE directory SET mode = x.mode, mtime_ns = x.mtime_ns, dirty = 1 FROM expected_directory x "
            "WHERE directory.source_id = ?1 AND directory.mode IS NULL AND x.source_id = ?1 "
            "AND x.path = directory.path",
            (source,),
        )
        db.execute(
            "UPDATE directory SET dirty = 1 WHERE id IN (SELECT d.parent_id FROM directory d JOIN expected_directory x "
            "ON x.source_id = d.source_id AND x.path = d.path WHERE d.source_id = ?1 AND d.dirty)",
            (source,),
        )
