"""Merge what a section of a context tells of a source into what this session expects and remembers of it.

A path is never dropped: of two contents at one path one is the file and the other an older version of it (`gone`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .copies import believe_copies, doubt_copies, withdraw_copies
from .expected import expects_of
from .scanning import has_files
from .states import AsOf, highest_told, told_of
from .store import Session
from .targets import target_key
from .values import store_ns

LiveRow = tuple[bytes, int | None, int | None, int | None, bytes | None]
"""Path, identity key (None: a link or an empty directory), mtime_ns, mode, link goal."""

GoneRow = tuple[bytes, int, int, int, int]
"""Path, identity key, mtime_ns, mode, date."""

_TABLES = """
CREATE TEMP TABLE IF NOT EXISTS incoming (
    path BLOB PRIMARY KEY, identity_id INTEGER, mtime_ns, mode INTEGER, goal BLOB
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS incoming_gone (
    path BLOB, identity_id INTEGER, mtime_ns, mode INTEGER, gone_at INTEGER, PRIMARY KEY (path, identity_id)
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS incoming_claim (
    target_id INTEGER, identity_id INTEGER, PRIMARY KEY (target_id, identity_id)
) WITHOUT ROWID;
CREATE TEMP TABLE IF NOT EXISTS incoming_known (identity_id INTEGER PRIMARY KEY);
"""
_CHUNK = 5000


@dataclass(frozen=True, slots=True)
class MergeRules:
    """How a section is merged. Dates are when each side was as it tells."""

    wins: bool  # where both tell of a path, the section is right
    ordered: bool  # one of the two descends from the other: what the newer one does not tell of is deleted
    mine_at: int = 0
    theirs_at: int = 0
    keeps_tree: bool = False  # the source itself was looked at: nothing is expected but what it holds
    renews: bool = False  # all the same the section is newer than what is expected and was not seen yet


def begin_incoming(session: Session) -> None:
    """Nothing has come yet. Call inside a transaction: what is read is in it or not at all."""
    for statement in _TABLES.split(";")[:-1]:
        session.db.execute(statement)
    for table in ("incoming", "incoming_gone", "incoming_claim", "incoming_known"):
        session.db.execute(f"DELETE FROM temp.{table}")


def put_incoming(
    session: Session, live: Iterable[LiveRow], gone: Iterable[GoneRow], claims: Iterable[tuple[int, int]]
) -> None:
    """What a section tells; `claims` are (target key, identity key)."""
    db = session.db
    db.executemany(
        "INSERT OR REPLACE INTO temp.incoming VALUES (?,?,?,?,?)",
        ((path, key, store_ns(mtime_ns), mode, goal) for path, key, mtime_ns, mode, goal in live),
    )
    db.executemany(
        "INSERT OR REPLACE INTO temp.incoming_gone VALUES (?,?,?,?,?)",
        ((path, key, store_ns(mtime_ns), mode, date) for path, key, mtime_ns, mode, date in gone),
    )
    db.executemany("INSERT OR IGNORE INTO temp.incoming_claim VALUES (?,?)", claims)


# SQL for a row `n` of temp.incoming: what this session expects, or saw, at the same path of source ?1.
_EXPECTED = "EXISTS (SELECT 1 FROM expected e WHERE e.source_id = ?1 AND e.path = n.path{})"
_SEEN = "EXISTS (SELECT 1 FROM directory d JOIN file f ON f.directory_id = d.id AND f.name = name_of(n.path) "
_SEEN += "WHERE d.source_id = ?1 AND d.path = parent_of(n.path){})"
_SEEN_LINK = "EXISTS (SELECT 1 FROM directory d JOIN link l ON l.directory_id = d.id AND l.name = name_of(n.path) "
_SEEN_LINK += "WHERE d.source_id = ?1 AND d.path = parent_of(n.path))"
_MINE = f"({_EXPECTED.format('')} OR {_SEEN.format('')} OR {_SEEN_LINK})"
# The content is in the source all the same, under another name: what was moved is not deleted.
_MOVED = (
    "EXISTS (SELECT 1 FROM file f JOIN directory d ON d.id = f.directory_id "
    "WHERE f.identity_id = n.identity_id AND d.source_id = ?1)"
)
_OTHER = (
    "n.identity_id IS NOT NULL AND "
    f"({_EXPECTED.format(' AND e.identity_id IS NOT NULL AND e.identity_id <> n.identity_id')} OR "
    f"(NOT {_EXPECTED.format('')} AND {_SEEN.format(' AND f.identity_id <> n.identity_id')}))"
)


def merge_incoming(session: Session, source: int, how: MergeRules) -> tuple[int, int]:
    """Merge what came; returns at how many paths the two told of different contents, and how many files of the section
    are older versions now. Call inside a transaction."""
    db = session.db
    differing = older = 0
    if expects_of(session, source) or has_files(session, source):
        differing = session.value(f"SELECT COUNT(*) FROM temp.incoming n WHERE {_OTHER}", source)
    if not (how.ordered or how.keeps_tree):
        _replace_known(session, source, how)
    if how.wins:
        _give_way(session, source, how)
    else:
        if how.renews:
            _renew(session, source, how)
        older = _stay(session, source, how)
    db.execute(
        "INSERT OR IGNORE INTO gone (source_id, path, identity_id, mtime_ns, mode, gone_at) "
        "SELECT ?, path, identity_id, mtime_ns, mode, gone_at FROM temp.incoming_gone",
        (source,),
    )
    return differing, older


def _replace_known(session: Session, source: int, how: MergeRules) -> None:
    """Two that split: where one has an older version that the other still tells of as the file, and not the reverse,
    it is newer there, whatever their dates: the other had no news of this path since they split. What is not back yet,
    say, is told with each later state. A version without a date of its own says nothing: it may have been found on a
    drive by one that knew of no newer tree, and is dated by the file."""
    known = "g.path = {0}.path AND g.identity_id = {0}.identity_id AND g.gone_at * 1000000000 > g.mtime_ns)"
    mine_has = f"EXISTS (SELECT 1 FROM gone g WHERE g.source_id = ?1 AND {known}"
    theirs_has = f"EXISTS (SELECT 1 FROM temp.incoming_gone g WHERE {known}"
    differ = "n.path = x.path AND x.source_id = ?1 AND n.identity_id <> x.identity_id"  # both are files
    if how.wins:
        session.db.execute(
            "UPDATE temp.incoming AS n SET (identity_id, mtime_ns, mode, goal) = "
            "(x.identity_id, x.mtime_ns, x.mode, x.goal) FROM expected x "
            f"WHERE {differ} AND {mine_has.format('n')} AND NOT {theirs_has.format('x')}",
            (source,),
        )
    else:
        session.db.execute(
            "UPDATE expected AS x SET (identity_id, mtime_ns, mode, goal) = "
            "(n.identity_id, n.mtime_ns, n.mode, n.goal) FROM temp.incoming n "
            f"WHERE {differ} AND {theirs_has.format('x')} AND NOT {mine_has.format('n')} "
            f"AND NOT {_SEEN.format('')}",
            (source,),
        )


def _give_way(session: Session, source: int, how: MergeRules) -> None:
    """The section is right: what was expected in its place is an older version."""
    _to_gone(
        session,
        source,
        how.mine_at,
        "EXISTS (SELECT 1 FROM temp.incoming n WHERE n.path = x.path AND n.identity_id IS NOT NULL "
        "AND n.identity_id <> x.identity_id)",
    )
    deleted = "NOT EXISTS (SELECT 1 FROM temp.incoming n WHERE n.path = x.path)"
    if not how.ordered:
        deleted += " AND EXISTS (SELECT 1 FROM temp.incoming_gone g WHERE g.path = x.path)"
    _to_gone(session, source, how.theirs_at, deleted)
    session.db.execute(f"DELETE FROM expected AS x WHERE x.source_id = ? AND {deleted}", (source,))
    session.db.execute(
        "INSERT OR REPLACE INTO expected (source_id, path, identity_id, mtime_ns, mode, goal) "
        "SELECT ?, path, identity_id, mtime_ns, mode, goal FROM temp.incoming",
        (source,),
    )


def _renew(session: Session, source: int, how: MergeRules) -> None:
    """What is still to come back comes back as the section has it: it was not seen here."""
    newer = (
        "EXISTS (SELECT 1 FROM temp.incoming n WHERE n.path = x.path AND n.identity_id IS NOT NULL "
        f"AND n.identity_id <> x.identity_id AND NOT {_SEEN.format('').replace('?1', 'x.source_id')})"
    )
    _to_gone(session, source, how.theirs_at, newer)
    session.db.execute(
        "INSERT OR REPLACE INTO expected (source_id, path, identity_id, mtime_ns, mode, goal) "
        "SELECT x.source_id, x.path, n.identity_id, n.mtime_ns, n.mode, n.goal FROM expected x "
        f"JOIN temp.incoming n ON n.path = x.path WHERE x.source_id = ? AND x.identity_id IS NOT NULL AND {newer}",
        (source,),
    )


def _stay(session: Session, source: int, how: MergeRules) -> int:
    """This session is right: what the section has in its place, or has and was deleted since, is an older version."""
    was_deleted = "EXISTS (SELECT 1 FROM gone g WHERE g.source_id = ?1 AND g.path = n.path)"
    absent = f"NOT {_MINE} AND NOT {_MOVED}"
    absent += "" if how.ordered or how.keeps_tree else f" AND {was_deleted}"
    older = session.db.execute(
        "INSERT OR IGNORE INTO gone (source_id, path, identity_id, mtime_ns, mode, gone_at) "
        "SELECT ?1, n.path, n.identity_id, n.mtime_ns, n.mode, ?2 FROM temp.incoming n "
        f"WHERE n.identity_id IS NOT NULL AND ({_OTHER} OR {absent})",
        (source, how.mine_at),
    ).rowcount
    if not (how.ordered or how.keeps_tree):
        session.db.execute(
            "INSERT OR IGNORE INTO expected (source_id, path, identity_id, mtime_ns, mode, goal) "
            "SELECT ?1, n.path, n.identity_id, n.mtime_ns, n.mode, n.goal FROM temp.incoming n "
            f"WHERE NOT {_MINE} AND NOT {was_deleted}",
            (source,),
        )
    return older


def _to_gone(session: Session, source: int, date: int, condition: str) -> None:
    """Rows `x` of what is expected become older versions."""
    session.db.execute(
        "INSERT OR IGNORE INTO gone (source_id, path, identity_id, mtime_ns, mode, gone_at) "
        "SELECT x.source_id, x.path, x.identity_id, x.mtime_ns, x.mode, ? FROM expected x "
        f"WHERE x.source_id = ? AND x.identity_id IS NOT NULL AND {condition}",
        (date, source),
    )


def take_claims(session: Session, source: int, source_id: str, targets: dict[str, AsOf]) -> None:
    """Take up what the section says of copies, as only listed. Call inside a transaction, before `merge_incoming`.

    `targets` are those it names, and the states it is as of. Of two accounts of a target the one as of the higher
    number is right: what the section does not name there is withdrawn, or what it names and this session knows not to
    be there is not believed. With the same number and another stamp, only what both name is taken for more than listed.
    """
    db = session.db
    mine = told_of(session, source_id)
    for tid, theirs in targets.items():
        key, known = target_key(session, tid), mine.get(tid, AsOf())
        if theirs.n and theirs.n > highest_told(session, tid):
            withdraw_copies(session, key, _unnamed(session, key))
        elif theirs.n and theirs.n == known.n and theirs.stamp != known.stamp:
            doubt_copies(session, key, _unnamed(session, key))
        elif theirs.n and theirs.n < known.n:
            db.execute(
                "INSERT OR IGNORE INTO temp.incoming_known SELECT identity_id FROM expected "
                "WHERE source_id = ?1 AND identity_id IS NOT NULL "
                "UNION SELECT identity_id FROM gone WHERE source_id = ?1 UNION SELECT f.identity_id "
                "FROM directory d JOIN file f ON f.directory_id = d.id WHERE d.source_id = ?1",
                (source,),
            )
            db.execute(
                "DELETE FROM temp.incoming_claim WHERE target_id = ? AND identity_id IN temp.incoming_known", (key,)
            )
    rows = db.execute("SELECT identity_id, target_id, 0 FROM temp.incoming_claim").fetchall()
    for start in range(0, len(rows), _CHUNK):
        believe_copies(session, rows[start : start + _CHUNK])


def _unnamed(session: Session, target: int) -> list[int]:
    """Contents the section tells of, and a copy there is known of, that it does not name there."""
    return session.column(
        "SELECT c.identity_id FROM copy c WHERE c.target_id = ?1 AND c.identity_id IN "
        "(SELECT identity_id FROM temp.incoming UNION SELECT identity_id FROM temp.incoming_gone) "
        "AND NOT EXISTS (SELECT 1 FROM temp.incoming_claim i WHERE i.target_id = ?1 AND i.identity_id = c.identity_id)",
        target,
    )
