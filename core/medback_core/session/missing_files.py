"""The files a restore still has to put in place, and where on the drive they may lie.

In temporary tables: a million files cost no memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medback_core.model import Count, Identity

from .store import Session
from .values import load_ns, store_ns

_IN_PLACE, _GIVEN_UP = 1, 2  # values of `done`; 0: still to be tried

NOTHING_THERE, DIFFERS, GIVES_WAY = 0, 1, 2  # what stands where a file is to go; 2: what a restore itself put there

SAID_BY_DB = 0
SAID_BY_RECORD = 1
SAID_BY_OTHERS = 2  # a record that isn't whole: edited, or of another program of the family
SAID_BY_HASH = 3
GUESSED = 4  # the one file of that size


class MissingFile(NamedTuple):
    """A file to be put in place."""

    row: int
    identity: int
    content: Identity
    source: int
    path: bytes  # relative to the source
    mtime_ns: int
    mode: int
    there: int  # NOTHING_THERE, DIFFERS or GIVES_WAY
    blake3: bytes | None = None  # of the content, where it is known


class PossibleLocation(NamedTuple):
    """Where on the drive a content may lie, and who says so."""

    rank: int
    path: bytes
    ours: bool  # medback put it there, says a record


def begin_missing(session: Session) -> None:
    """Start with nothing missing and nothing found."""
    for table in ("missing_file", "said", "location"):
        session.db.execute(f"DROP TABLE IF EXISTS temp.{table}")
    session.db.execute(
        "CREATE TEMP TABLE missing_file (id INTEGER PRIMARY KEY, identity_id INTEGER, source_id INTEGER, path BLOB, "
        "mtime_ns, mode INTEGER, differs INTEGER, done INTEGER NOT NULL DEFAULT 0)"
    )
    session.db.execute("CREATE INDEX temp.missing_file_by_identity ON missing_file (identity_id)")
    session.db.execute("CREATE TEMP TABLE said (md5 BLOB, size INTEGER, path BLOB, rank INTEGER, ours INTEGER)")
    session.db.execute(
        "CREATE TEMP TABLE location (identity_id INTEGER, rank INTEGER, path BLOB, ours INTEGER, "
        "PRIMARY KEY (identity_id, rank, path)) WITHOUT ROWID"
    )


def _put(session: Session, statement: str, rows: Iterable[tuple]) -> None:
    """Many rows of temporary tables as one change: nothing else is locked by it."""
    values, joins = list(rows), session.db.in_transaction
    if not joins:
        session.db.execute("BEGIN")
    try:
        session.db.executemany(statement, values)
    finally:
        if not joins:
            session.db.execute("COMMIT")


def put_missing(session: Session, rows: Iterable[tuple[int, int, bytes, int, int, int]]) -> None:
    """Add (identity key, source key, path, mtime_ns, mode, what is there), in the order they are to be put in place."""
    _put(
        session,
        "INSERT INTO temp.missing_file (identity_id, source_id, path, mtime_ns, mode, differs) VALUES (?,?,?,?,?,?)",
        ((i, s, p, store_ns(m), mode, there) for i, s, p, m, mode, there in rows),
    )


_COUNTED = "SELECT COUNT(*), COALESCE(SUM(i.size), 0) FROM temp.missing_file l JOIN identity i ON i.id = l.identity_id"


def missing_count(session: Session) -> Count:
    """Paths not yet put in place, and their bytes."""
    return session.count(f"{_COUNTED} WHERE l.done <> {_IN_PLACE}")


def located_count(session: Session) -> Count:
    """What is missing, not given up, and has a possible location: paths and their bytes."""
    found = "SELECT 1 FROM temp.location h WHERE h.identity_id = l.identity_id"
    return session.count(f"{_COUNTED} WHERE NOT l.done AND EXISTS ({found})")


def missing_sizes(session: Session) -> set[int]:
    """The sizes of what is not yet in place."""
    sizes = "SELECT DISTINCT i.size FROM temp.missing_file l JOIN identity i ON i.id = l.identity_id WHERE NOT l.done"
    return set(session.column(sizes))


def expect_missing(session: Session, *, differing: bool) -> None:
    """What is missing (with `differing` also where another file stands) is expected from now on: a scan in the middle
    of the restore does not make it forgotten."""
    with session.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO expected (source_id, path, identity_id, mtime_ns, mode) "
            "SELECT source_id, path, identity_id, mtime_ns, mode FROM temp.missing_file WHERE ? OR differs <> 1",
            (differing,),
        )


def put_said(session: Session, rows: Iterable[tuple[bytes | None, int, bytes, int, bool]]) -> None:
    """Add (MD5 or None, size, path on the drive, rank, ours) as met on the drive."""
    _put(session, "INSERT INTO temp.said (md5, size, path, rank, ours) VALUES (?,?,?,?,?)", rows)


def put_locations(session: Session, rows: Iterable[tuple[Identity, PossibleLocation]]) -> None:
    """Files whose content is known by now: possible locations, where that content is missing."""
    _put(
        session,
        "INSERT OR IGNORE INTO temp.location SELECT i.id, ?, ?, ? FROM identity i WHERE i.md5 = ? AND i.size = ? "
        "AND EXISTS (SELECT 1 FROM temp.missing_file l WHERE l.identity_id = i.id AND NOT l.done)",
        ((h.rank, h.path, int(h.ours), content.md5, content.size) for content, h in rows),
    )


def match_said(session: Session) -> None:
    """Turn what was said of files on the drive into possible locations of what is missing."""
    session.db.execute(
        "INSERT OR IGNORE INTO temp.location SELECT i.id, s.rank, s.path, s.ours FROM temp.said s "
        "CROSS JOIN identity i ON i.md5 = s.md5 AND i.size = s.size WHERE s.md5 IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM temp.missing_file l WHERE l.identity_id = i.id AND NOT l.done)"
    )


def match_copies(session: Session, target: int) -> None:
    """The places this session knows on the target become possible locations."""
    session.db.execute(
        f"INSERT OR IGNORE INTO temp.location SELECT c.identity_id, {SAID_BY_DB}, c.path, c.ours FROM copy c "
        "WHERE c.target_id = ? AND c.path IS NOT NULL "
        "AND EXISTS (SELECT 1 FROM temp.missing_file l WHERE l.identity_id = c.identity_id AND NOT l.done)",
        (target,),
    )


def has_unlocated(session: Session) -> bool:
    """Whether anything is missing of which no location is known."""
    return session.has(
        "temp.missing_file l WHERE NOT l.done "
        "AND NOT EXISTS (SELECT 1 FROM temp.location h WHERE h.identity_id = l.identity_id)"
    )


def missing_page(session: Session, after: int, limit: int) -> list[tuple[MissingFile, list[PossibleLocation]]]:
    """The next files not yet in place that have possible locations, each with these, the best first."""
    rows = session.db.execute(
        "SELECT l.id, l.identity_id, i.size, i.md5, l.source_id, l.path, l.mtime_ns, l.mode, l.differs, "
        "h.rank, h.path, h.ours, i.blake3 "
        "FROM (SELECT * FROM temp.missing_file k WHERE k.id > ? AND NOT k.done AND EXISTS "
        "(SELECT 1 FROM temp.location x WHERE x.identity_id = k.identity_id) ORDER BY k.id LIMIT ?) l "
        "JOIN identity i ON i.id = l.identity_id JOIN temp.location h ON h.identity_id = l.identity_id "
        "ORDER BY l.id, h.rank, h.path",
        (after, limit),
    )
    page: list[tuple[MissingFile, list[PossibleLocation]]] = []
    for r in rows:
        if not page or page[-1][0].row != r[0]:
            content = Identity(r[2], r[3])
            page.append((MissingFile(r[0], r[1], content, r[4], r[5], load_ns(r[6]), r[7], r[8], r[12]), []))
        page[-1][1].append(PossibleLocation(r[9], r[10], bool(r[11])))
    return page


def drop_location(session: Session, identity: int, location: PossibleLocation) -> None:
    """That content does not lie there."""
    session.db.execute(
        "DELETE FROM temp.location WHERE identity_id = ? AND rank = ? AND path = ?", (identity, *location[:2])
    )


def mark_missing(session: Session, rows: Iterable[int], *, in_place: bool) -> None:
    """These stand in place now, or are given up for this run."""
    done = _IN_PLACE if in_place else _GIVEN_UP
    session.db.executemany("UPDATE temp.missing_file SET done = ? WHERE id = ?", ((done, row) for row in rows))


def give_up_source(session: Session, source: int) -> None:
    """Nothing missing of this source can be put in place in this run."""
    session.db.execute(f"UPDATE temp.missing_file SET done = {_GIVEN_UP} WHERE source_id = ? AND NOT done", (source,))


def give_up_below(session: Session, source: int, path: bytes) -> int:
    """Nothing missing at and below this path of a source can be put in place in this run; how many files that is."""
    return session.db.execute(
        f"UPDATE temp.missing_file SET done = {_GIVEN_UP} WHERE source_id = ?1 AND NOT done "
        "AND (path = ?2 OR (path > ?3 AND path < ?4))",
        (source, path, path + b"/", path + b"0"),
    ).rowcount


def guess_by_size(session: Session, least: int) -> None:
    """Hints for files (of `least` bytes and more) without a record, where only one of that size is on the drive and
    only one content of that size is missing: copying it tells what it is, and reads it but once."""
    session.db.execute(
        f"INSERT OR IGNORE INTO temp.location SELECT wanted.id, {GUESSED}, alone.path, 0 FROM "
        "(SELECT size, MIN(path) AS path FROM temp.said WHERE md5 IS NULL AND size >= ? GROUP BY size "
        "HAVING COUNT(*) = 1) alone JOIN "
        "(SELECT i.size AS size, MIN(i.id) AS id FROM identity i WHERE i.id IN "
        "(SELECT l.identity_id FROM temp.missing_file l WHERE NOT l.done AND NOT EXISTS "
        "(SELECT 1 FROM temp.location h WHERE h.identity_id = l.identity_id)) "
        "GROUP BY i.size HAVING COUNT(*) = 1) wanted "
        "ON wanted.size = alone.size",
        (least,),
    )


def begin_unspoken(session: Session) -> None:
    """Gather the sizes of what is missing and has no location, for `unspoken`."""
    session.db.execute("CREATE TEMP TABLE IF NOT EXISTS missing_size (size INTEGER PRIMARY KEY)")
    session.db.execute("DELETE FROM temp.missing_size")
    session.db.execute(
        "INSERT OR IGNORE INTO temp.missing_size SELECT i.size FROM temp.missing_file l "
        "JOIN identity i ON i.id = l.identity_id "
        "WHERE NOT l.done AND NOT EXISTS (SELECT 1 FROM temp.location h WHERE h.identity_id = l.identity_id)"
    )


def unspoken(session: Session, after: int, limit: int) -> list[tuple[int, int, bytes]]:
    """The next (row, size, path) of files without a record, of a size that something missing had no location for when
    `begin_unspoken` was called."""
    return session.db.execute(
        "SELECT s.rowid, s.size, s.path FROM temp.said s WHERE s.rowid > ? AND s.md5 IS NULL "
        "AND EXISTS (SELECT 1 FROM temp.missing_size z WHERE z.size = s.size) ORDER BY s.rowid LIMIT ?",
        (after, limit),
    ).fetchall()


def unfound_on(session: Session, target: int) -> list[int]:
    """Identities missing and said to lie on the target, for which no location is left."""
    return session.column(
        "SELECT DISTINCT l.identity_id FROM temp.missing_file l "
        "JOIN copy c ON c.identity_id = l.identity_id AND c.target_id = ? "
        "WHERE NOT l.done AND NOT EXISTS (SELECT 1 FROM temp.location h WHERE h.identity_id = l.identity_id)",
        target,
    )


def missing_by_placement(session: Session) -> Iterator[tuple[int, Count]]:
    """(placement id, paths and bytes not yet in place)."""
    rows = session.db.execute(
        "SELECT i.placement_id, COUNT(*), SUM(i.size) FROM temp.missing_file l JOIN identity i ON i.id = l.identity_id "
        f"WHERE l.done <> {_IN_PLACE} GROUP BY i.placement_id"
    ).fetchall()
    for placement_id, files, size in rows:
        yield placement_id, Count(files, size)
