"""What an imported context says should exist, and which destinations were already put or found right."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medback_core.model import Count, Identity

from .files import NO_TWIN
from .states import mark_changed
from .store import Session
from .tree import PlacementCounts, directory_key, totals_of
from .values import load_ns, signed, store_ns


class Expected(NamedTuple):
    """A file (or, with `goal`, a link) that should exist at `path` of a source.

    `inode`, `ctime_ns` and `trouble` are what the last scan saw there, None where only an imported context tells of it.
    """

    source: int
    path: bytes
    identity: int | None
    content: Identity | None
    mtime_ns: int
    mode: int
    goal: bytes | None = None
    placement: int = 1
    inode: int | None = None
    ctime_ns: int | None = None
    trouble: int = 0


def let_go(session: Session, date: int) -> None:
    """What is expected and was not seen is an older version from now on: no path is ever dropped."""
    seen = (
        "SELECT 1 FROM directory d JOIN file f ON f.directory_id = d.id AND f.name = name_of(x.path) "
        "WHERE d.source_id = x.source_id AND d.path = parent_of(x.path) AND f.identity_id = x.identity_id"
    )
    with session.transaction() as db:
        missing = f"FROM expected x WHERE x.gone_at IS NULL AND x.identity_id IS NOT NULL AND NOT EXISTS ({seen})"
        ids = "SELECT s.sid FROM source s WHERE s.scanned_at IS NOT NULL AND s.id IN"
        for (sid,) in db.execute(f"{ids} (SELECT x.source_id {missing})").fetchall():
            mark_changed(session, sid)
        db.execute(
            "INSERT OR IGNORE INTO gone (source_id, path, identity_id, mtime_ns, mode, gone_at) "
            f"SELECT x.source_id, x.path, x.identity_id, x.mtime_ns, x.mode, ? {missing}",
            (date,),
        )


def clear_expected(session: Session) -> None:
    """Nothing imported is expected any more."""
    with session.transaction() as db:
        db.execute("DELETE FROM expected")
        db.execute("DELETE FROM expected_directory")


def expected_count(session: Session, source: int | None = None) -> Count:
    """Files and bytes an imported context expects (of one source, or of all)."""
    return session.count(
        "SELECT COUNT(*), COALESCE(SUM(i.size), 0) FROM expected e JOIN identity i ON i.id = e.identity_id "
        "WHERE e.gone_at IS NULL AND (?1 IS NULL OR e.source_id = ?1)",
        source,
    )


def has_expected(session: Session) -> bool:
    """Whether an imported context is still in force."""
    return session.has("expected WHERE gone_at IS NULL")


def expects_of(session: Session, source: int) -> bool:
    """Whether anything is expected of a source."""
    return session.has("expected WHERE source_id = ?", source)


def is_all_observed(session: Session) -> bool:
    """Whether a scan or a restore has recorded all that is expected, each path with its content: then the imported
    context has done its part, and the session knows no less without it."""
    return not session.has(
        "expected e WHERE e.gone_at IS NULL AND ("
        f"e.identity_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {FILE_AT.format('e')} "
        "AND f.identity_id = e.identity_id) "
        "OR e.goal IS NOT NULL AND NOT EXISTS (SELECT 1 FROM directory d JOIN link l ON l.directory_id = d.id "
        "WHERE d.source_id = e.source_id AND d.path = parent_of(e.path) AND l.name = name_of(e.path) "
        "AND l.goal = e.goal))"
    )


# SQL: the file row `f` at the path of a row `{0}` that has a source_id and a path.
FILE_AT = (
    "directory d JOIN file f ON f.directory_id = d.id AND f.name = name_of({0}.path) "
    "WHERE d.source_id = {0}.source_id AND d.path = parent_of({0}.path)"
)


def end_expected(session: Session, source: int, path: bytes | None = None) -> None:
    """What the restore under way found right or put in place in a source (at and below `path`) is no longer expected:
    it is recorded, and from now on what becomes of it is for the scans to see."""
    scope = "AND (e.path = ?2 OR (e.path > ?3 AND e.path < ?4))" if path else ""
    with session.transaction() as db:
        db.execute(
            "DELETE FROM expected AS e WHERE e.source_id = ?1 AND e.gone_at IS NULL AND e.identity_id IS NOT NULL "
            f"{scope} "
            f"AND EXISTS (SELECT 1 FROM {FILE_AT.format('e')} AND f.identity_id = e.identity_id) "
            "AND e.path NOT IN (SELECT path FROM temp.missing_file WHERE source_id = ?1 AND done <> 1)",
            (source, path, path + b"/", path + b"0") if path else (source,),
        )


def full_path(row: str) -> str:
    """SQL for the path of a row of `file` or `link` relative to its source, given its directory as `d`."""
    return f"CAST(CASE WHEN length(d.path) THEN d.path || x'2f' || {row}.name ELSE {row}.name END AS BLOB)"


def _scope(path: bytes | None) -> tuple[str, tuple[bytes, ...]]:
    """SQL (with `p` a path) and its values for only what is at or below a path; all with None or b""."""
    return ("WHERE p = ?2 OR (p > ?3 AND p < ?4)", (path, path + b"/", path + b"0")) if path else ("", ())


def wanted_back(session: Session, source: int, path: bytes | None = None) -> Iterator[Expected]:
    """All that should stand in a source (or at and below `path`): what its last scan saw, and what an imported context
    expects where the scan saw nothing. Files before links, each in path order. Do not write while iterating.

    Where both know a path, the imported context says what should be there (it is what a person asked to get back).
    """
    yield from wanted_files(session, source, path)
    yield from wanted_links(session, source, path)


def wanted_files(session: Session, source: int, path: bytes | None = None) -> Iterator[Expected]:
    scope, bounds = _scope(path)
    rows = session.db.execute(
        "SELECT p, id, size, md5, mtime_ns, mode, placement_id, inode, ctime_ns, trouble FROM ("
        "SELECT e.path AS p, i.id AS id, i.size AS size, i.md5 AS md5, e.mtime_ns AS mtime_ns, e.mode AS mode, "
        "i.placement_id AS placement_id, f.inode AS inode, f.ctime_ns AS ctime_ns, COALESCE(f.trouble, 0) AS trouble "
        "FROM expected e JOIN identity i ON i.id = e.identity_id "
        "LEFT JOIN directory d ON d.source_id = e.source_id AND d.path = parent_of(e.path) "
        "LEFT JOIN file f ON f.directory_id = d.id AND f.name = name_of(e.path) AND f.identity_id = e.identity_id "
        "AND f.mtime_ns = e.mtime_ns WHERE e.source_id = ?1 AND e.gone_at IS NULL "
        f"UNION ALL SELECT {full_path('f')}, i.id, i.size, i.md5, f.mtime_ns, f.mode, i.placement_id, f.inode, "
        "f.ctime_ns, f.trouble FROM directory d JOIN file f ON f.directory_id = d.id "
        "JOIN identity i ON i.id = f.identity_id "
        f"WHERE d.source_id = ?1 AND {NO_TWIN} AND NOT EXISTS (SELECT 1 FROM expected x "
        f"WHERE x.source_id = ?1 AND x.gone_at IS NULL AND x.path = {full_path('f')})"
        f") {scope} ORDER BY p",
        (source, *bounds),
    )
    for r in rows:
        content = Identity(r[2], r[3])
        yield Expected(source, r[0], r[1], content, load_ns(r[4]), r[5], None, r[6], r[7], load_ns(r[8]), r[9])


def wanted_links(session: Session, source: int, path: bytes | None = None) -> Iterator[Expected]:
    scope, bounds = _scope(path)
    links = session.db.execute(
        "SELECT p, goal FROM (SELECT path AS p, goal FROM expected WHERE source_id = ?1 AND goal IS NOT NULL "
        f"UNION ALL SELECT {full_path('l')}, l.goal FROM directory d JOIN link l ON l.directory_id = d.id "
        "WHERE d.source_id = ?1 AND NOT EXISTS (SELECT 1 FROM expected x "
        f"WHERE x.source_id = ?1 AND x.path = {full_path('l')})) {scope} ORDER BY p",
        (source, *bounds),
    )
    for row in links:
        yield Expected(source, row[0], None, None, 0, 0, row[1])


def wanted_totals(session: Session, source: int, path: bytes | None = None) -> PlacementCounts:
    """Files and bytes of `wanted_back` by placement, without going through the files: what the tree holds at and below
    `path`, and with it what is expected there, in place of what the tree holds at the same paths."""
    totals: dict[int, list[int]] = {}

    def add(rows: Iterable[tuple[int, int, int]], sign: int = 1) -> None:
        for placement, files, size in rows:
            pair = totals.setdefault(placement, [0, 0])
            pair[0] += sign * files
            pair[1] += sign * size

    directory = directory_key(session, source, path or b"")
    if directory is not None:
        add((key, count.files, count.bytes) for key, count in totals_of(session, directory).items())
    elif path:
        add(
            session.db.execute(
                "SELECT i.placement_id, 1, i.size FROM directory d JOIN file f ON f.directory_id = d.id "
                "JOIN identity i ON i.id = f.identity_id WHERE d.source_id = ? AND d.path = ? AND f.name = ?",
                (source, *os.path.split(path)),
            )
        )
    if has_expected(session):
        scope = "AND (e.path = ?2 OR (e.path > ?3 AND e.path < ?4))" if path else ""
        bounds = (source, path, path + b"/", path + b"0") if path else (source,)
        add(
            session.db.execute(
                "SELECT i.placement_id, COUNT(*), SUM(i.size) FROM expected e JOIN identity i ON i.id = e.identity_id "
                f"WHERE e.source_id = ?1 AND e.gone_at IS NULL {scope} GROUP BY i.placement_id",
                bounds,
            )
        )
        add(
            session.db.execute(
                "SELECT i.placement_id, COUNT(*), SUM(i.size) FROM expected e "
                "CROSS JOIN directory d ON d.source_id = e.source_id AND d.path = parent_of(e.path) "
                "CROSS JOIN file f ON f.directory_id = d.id AND f.name = name_of(e.path) "
                "CROSS JOIN identity i ON i.id = f.identity_id "
                f"WHERE e.source_id = ?1 AND e.gone_at IS NULL {scope} GROUP BY i.placement_id",
                bounds,
            ),
            -1,
        )
    return {key: Count(files, size) for key, (files, size) in totals.items() if files}


def empty_directories(session: Session, source: int, path: bytes | None = None) -> Iterator[bytes]:
    """Directories (below the root of a source) that hold no file and no directory and should be there all the same, in
    path order. Do not write while iterating."""
    scope, bounds = _scope(path)
    rows = session.db.execute(
        "SELECT p FROM (SELECT d.path AS p FROM directory d WHERE d.source_id = ?1 AND length(d.path) "
        "AND NOT EXISTS (SELECT 1 FROM file f WHERE f.directory_id = d.id) "
        "AND NOT EXISTS (SELECT 1 FROM directory c WHERE c.parent_id = d.id) UNION SELECT path FROM expected "
        f"WHERE source_id = ?1 AND identity_id IS NULL AND goal IS NULL) {scope} ORDER BY p",
        (source, *bounds),
    )
    for row in rows:
        yield row[0]


def begin_asked(session: Session) -> None:
    """Gather which contents an imported context or a gone path names, for `is_asked_for`."""
    session.db.execute("CREATE TEMP TABLE IF NOT EXISTS asked (identity_id INTEGER PRIMARY KEY)")
    session.db.execute("DELETE FROM temp.asked")
    session.db.execute(
        "INSERT OR IGNORE INTO temp.asked SELECT identity_id FROM expected WHERE identity_id IS NOT NULL "
        "UNION SELECT identity_id FROM gone"
    )


def is_asked_for(session: Session, identity: int) -> bool:
    """Whether a current, an expected or a gone path has this content. Needs `begin_asked`."""
    return session.has("file WHERE identity_id = ?", identity) or session.has(
        "temp.asked WHERE identity_id = ?", identity
    )


class Known(NamedTuple):
    """One entry of a source as a context tells of it: a file, a link (`goal`), or an empty directory (neither)."""

    path: bytes
    content: Identity | None
    mtime_ns: int
    mode: int
    placement: int
    goal: bytes | None
    gone_at: int | None


def all_known(session: Session, source: int) -> Iterator[Known]:
    """All that a context must say of a source, in path order (so that all below a directory stands together): what was
    observed, what is expected, and with a date what went while a copy existed. Do not write while iterating.

    Where observed and expected differ at a path, both are told: the expected one as gone, dated by its own mtime unless
    a scan saw it go.
    """
    rows = session.db.execute(
        "SELECT p, size, md5, mtime_ns, mode, placement_id, goal, gone_at, kind FROM ("
        f"SELECT {full_path('f')} AS p, f.identity_id AS id, f.mtime_ns AS mtime_ns, f.mode AS mode, NULL AS goal, "
        "NULL AS gone_at, 0 AS kind FROM directory d JOIN file f ON f.directory_id = d.id "
        f"WHERE d.source_id = ?1 AND {NO_TWIN} "
        "UNION ALL SELECT e.path, e.identity_id, e.mtime_ns, e.mode, NULL, (SELECT g.gone_at FROM gone g WHERE "
        "g.source_id = ?1 AND g.path = e.path AND g.identity_id = e.identity_id), 1 FROM expected e "
        "WHERE e.source_id = ?1 AND e.identity_id IS NOT NULL "
        "UNION ALL SELECT g.path, g.identity_id, g.mtime_ns, g.mode, NULL, COALESCE(g.gone_at, 0), 2 FROM gone g "
        "WHERE g.source_id = ?1 "
        f"UNION ALL SELECT {full_path('l')}, NULL, 0, 0, l.goal, NULL, 0 FROM directory d "
        "JOIN link l ON l.directory_id = d.id WHERE d.source_id = ?1 "
        "UNION ALL SELECT e.path, NULL, 0, 0, e.goal, NULL, 1 FROM expected e "
        "WHERE e.source_id = ?1 AND e.identity_id IS NULL "
        "UNION ALL SELECT d.path, NULL, 0, 0, NULL, NULL, 0 FROM directory d WHERE d.source_id = ?1 AND length(d.path) "
        "AND NOT EXISTS (SELECT 1 FROM file f WHERE f.directory_id = d.id) "
        "AND NOT EXISTS (SELECT 1 FROM directory c WHERE c.parent_id = d.id)"
        ") k LEFT JOIN identity i ON i.id = k.id ORDER BY p, kind, gone_at DESC, k.id",
        (source,),
    )
    here: bytes | None = None
    told: list[Identity | None] = []
    for path, size, md5, mtime_ns, mode, placement, goal, gone_at, kind in rows:
        content = None if md5 is None else Identity(size, md5)
        time = load_ns(mtime_ns)
        if path != here:
            here, told = path, [content]
            yield Known(path, content, time, mode, placement or 1, goal, gone_at if kind == 2 else None)
        elif content is not None and content not in told:
            told.append(content)
            yield Known(path, content, time, mode, placement, goal, gone_at or max(time // 10**9, 0))


def mark_placed(session: Session, rows: Iterable[tuple[bytes, int, os.stat_result]], *, put: bool = False) -> None:
    """Remember destinations (absolute path) that now hold an identity, with their stat: not to be hashed again. `put`:
    a restore put it there, it was not merely found right."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO placed (path, identity_id, device, inode, mtime_ns, ctime_ns, put) "
            "VALUES (?,?,?,?,?,?,?)",
            (
                (path, key, signed(s.st_dev), signed(s.st_ino), store_ns(s.st_mtime_ns), store_ns(s.st_ctime_ns), put)
                for path, key, s in rows
            ),
        )


def is_placed(session: Session, path: bytes, identity: int, stat: os.stat_result) -> bool:
    """Whether this destination was put or found right by a restore and did not change since."""
    return _placed(session, path, stat, "identity_id = ?", identity)


def was_put(session: Session, path: bytes, stat: os.stat_result) -> bool:
    """Whether a restore put the file at this destination, and it is unchanged since."""
    return _placed(session, path, stat, "put = ?", 1)


def _placed(session: Session, path: bytes, stat: os.stat_result, what: str, value: int) -> bool:
    row = session.db.execute(
        f"SELECT device, inode, mtime_ns, ctime_ns FROM placed WHERE path = ? AND {what}", (path, value)
    ).fetchone()
    return row is not None and (row[0], row[1], load_ns(row[2]), load_ns(row[3])) == (
        signed(stat.st_dev),
        signed(stat.st_ino),
        stat.st_mtime_ns,
        stat.st_ctime_ns,
    )
