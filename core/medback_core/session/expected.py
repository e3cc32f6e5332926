"""What an imported context says should exist, and which destinations were already put or found right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..model import Count, Identity
from .store import Session
from .values import load_ns, signed, store_ns


class Expected(NamedTuple):
    """A file (or, with `goal`, a link) that should exist at `path` of a source."""

    source: int
    path: bytes
    identity: int | None
    content: Identity | None
    mtime_ns: int
    mode: int
    goal: bytes | None = None


def put_expected(
    session: Session, rows: Iterable[tuple[int, bytes, int | None, int | None, int | None, bytes | None, int | None]]
) -> None:
    """Insert (source key, path, identity key, mtime_ns, mode, link goal, gone date). Call inside a transaction."""
    session.db.executemany(
        "INSERT OR REPLACE INTO expected (source_id, path, identity_id, mtime_ns, mode, goal, gone_at) VALUES (?,?,?,?,?,?,?)",
        ((s, p, i, store_ns(m) if m is not None else None, mode, goal, gone) for s, p, i, m, mode, goal, gone in rows),
    )


def clear_expected(session: Session) -> None:
    """Nothing imported is expected any more."""
    with session.transaction() as db:
        db.execute("DELETE FROM expected")


def expected_count(session: Session, source: int | None = None) -> Count:
    """Files and bytes an imported context expects (of one source, or of all)."""
    files, size = session.db.execute(
        "SELECT COUNT(*), COALESCE(SUM(i.size), 0) FROM expected e JOIN identity i ON i.id = e.identity_id "
        "WHERE e.gone_at IS NULL AND (? IS NULL OR e.source_id = ?)",
        (source, source),
    ).fetchone()
    return Count(files, size)


def has_expected(session: Session) -> bool:
    """Whether an imported context is still in force."""
    return bool(session.db.execute("SELECT EXISTS (SELECT 1 FROM expected WHERE gone_at IS NULL)").fetchone()[0])


def wanted_back(session: Session, source: int, path: bytes | None = None) -> Iterator[Expected]:
    """All that should stand in a source (or at and below `path`): what its last scan saw, and what an imported context
    expects where the scan saw nothing. Files before links, each in path order. Do not write while iterating.

    Where both know a path, the imported context says what should be there (it is what a person asked to get back).
    """
    full = "CAST(CASE WHEN length(d.path) THEN d.path || x'2f' || {0}.name ELSE {0}.name END AS BLOB)"
    scope = "" if path is None else "WHERE p = ?2 OR (p > ?3 AND p < ?4)"
    bounds = () if path is None else (path, path + b"/", path + b"0")
    rows = session.db.execute(
        "SELECT p, id, size, md5, mtime_ns, mode FROM ("
        "SELECT e.path AS p, i.id AS id, i.size AS size, i.md5 AS md5, e.mtime_ns AS mtime_ns, e.mode AS mode "
        "FROM expected e JOIN identity i ON i.id = e.identity_id WHERE e.source_id = ?1 AND e.gone_at IS NULL "
        f"UNION ALL SELECT {full.format('f')}, i.id, i.size, i.md5, f.mtime_ns, f.mode "
        "FROM directory d JOIN file f ON f.directory_id = d.id JOIN identity i ON i.id = f.identity_id "
        "WHERE d.source_id = ?1 AND NOT EXISTS (SELECT 1 FROM expected x "
        f"WHERE x.source_id = ?1 AND x.gone_at IS NULL AND x.path = {full.format('f')})"
        f") {scope} ORDER BY p",
        (source, *bounds),
    )
    for row in rows:
        yield Expected(source, row[0], row[1], Identity(row[2], row[3]), load_ns(row[4]), row[5])
    links = session.db.execute(
        "SELECT p, goal FROM (SELECT path AS p, goal FROM expected WHERE source_id = ?1 AND goal IS NOT NULL "
        f"UNION SELECT {full.format('l')} AS p, l.goal FROM directory d JOIN link l ON l.directory_id = d.id "
        f"WHERE d.source_id = ?1) {scope} ORDER BY p",
        (source, *bounds),
    )
    for row in links:
        yield Expected(source, row[0], None, None, 0, 0, row[1])


def mark_placed(session: Session, rows: Iterable[tuple[bytes, int, os.stat_result]]) -> None:
    """Remember destinations (absolute path) that now hold an identity, with their stat: not to be hashed again."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO placed (path, identity_id, device, inode, mtime_ns, ctime_ns) VALUES (?,?,?,?,?,?)",
            (
                (path, key, signed(s.st_dev), signed(s.st_ino), store_ns(s.st_mtime_ns), store_ns(s.st_ctime_ns))
                for path, key, s in rows
            ),
        )


def is_placed(session: Session, path: bytes, identity: int, stat: os.stat_result) -> bool:
    """Whether this destination was put or found right by a restore and did not change since."""
    row = session.db.execute(
        "SELECT device, inode, mtime_ns, ctime_ns FROM placed WHERE path = ? AND identity_id = ?", (path, identity)
    ).fetchone()
    return row is not None and (row[0], row[1], load_ns(row[2]), load_ns(row[3])) == (
        signed(stat.st_dev),
        signed(stat.st_ino),
        stat.st_mtime_ns,
        stat.st_ctime_ns,
    )
