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


def file_modes(session: Session, directory: int) -> dict[bytes, int]:
    """The permission bits of a directory's files."""
    return dict(session.db.execute("SELECT name, mode FROM file WHERE directory_id = ?", (directory,)).fetchall())


def has_links(session: Session, source: int) -> bool:
    """Whether any link is recorded in a source."""
    asked = "SELECT EXISTS (SELECT 1 FROM link l JOIN directory d ON d.id = l.directory_id WHERE d.source_id = ?)"
    return bool(session.db.execute(asked, (source,)).fetchone()[0])


def private_files_on(session: Session, target: int, shut: Iterable[int]) -> int:
    """How many current paths of content that lies on a target are private: not readable for others, or below a
    directory others can't enter; so are all files of the sources `shut` (keys)."""
    keys = ",".join(str(int(key)) for key in shut) or "NULL"
    row = session.db.execute(
        "WITH RECURSIVE closed (id) AS (SELECT id FROM directory WHERE mode & 1 = 0 OR (path = x'' "
        f"AND source_id IN ({keys})) UNION SELECT d.id FROM directory d JOIN closed c ON d.parent_id = c.id) "
        "SELECT COUNT(*) FROM copy c JOIN file f ON f.identity_id = c.identity_id WHERE c.target_id = ? "
        "AND c.standing > 0 AND (f.mode & 4 = 0 OR f.directory_id IN (SELECT id FROM closed))",
        (target,),
    ).fetchone()
    return row[0]
