"""What is due for checking: copies on a target or files of a source, oldest check first, in pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from medback_core.model import Count, Identity

from .copies import Copy, copies_where
from .store import Session


def queue_copies(session: Session, target: int, before: int | None) -> Count:
    """Queue the copies with a known place on a target (checked before that date, or never; all with None), oldest
    check first. Returns how many and how large."""
    return _queue(
        session,
        "SELECT c.identity_id, i.size FROM copy c JOIN identity i ON i.id = c.identity_id "
        "WHERE c.target_id = ? AND c.path IS NOT NULL AND (? IS NULL OR c.verified_at IS NULL OR c.verified_at < ?) "
        "ORDER BY COALESCE(c.verified_at, 0), c.path",
        (target, before, before),
    )


def queue_files(session: Session, source: int, path: bytes, before: int | None) -> Count:
    """The same for the files of a source at and below a directory (b"" all)."""
    return _queue(
        session,
        "SELECT f.id, i.size FROM file f JOIN directory d ON d.id = f.directory_id "
        "JOIN identity i ON i.id = f.identity_id "
        "WHERE d.source_id = ?1 AND (length(?2) = 0 OR d.path = ?2 OR (d.path > ?3 AND d.path < ?4)) "
        "AND (?5 IS NULL OR f.read_at IS NULL OR f.read_at < ?5) ORDER BY COALESCE(f.read_at, 0), d.path, f.name",
        (source, path, path + b"/", path + b"0", before),
    )


def _queue(session: Session, query: str, values: tuple[object, ...]) -> Count:
    db = session.db
    db.execute("CREATE TEMP TABLE IF NOT EXISTS due (position INTEGER PRIMARY KEY, key INTEGER, size INTEGER)")
    db.execute("DELETE FROM temp.due")
    db.execute(f"INSERT INTO temp.due (key, size) {query}", values)
    return Count(*db.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM temp.due").fetchone())


def _due(session: Session) -> Iterator[list[int]]:
    position = 0
    while rows := session.db.execute(
        "SELECT key FROM temp.due WHERE position > ? ORDER BY position LIMIT 500", (position,)
    ).fetchall():
        yield [row[0] for row in rows]
        position += len(rows)


def due_copies(session: Session, target: int) -> Iterator[tuple[Identity, Copy]]:
    """The queued copies, in order."""
    for page in _due(session):
        for key in page:
            yield from list(copies_where(session, "c.identity_id = ? AND c.target_id = ?", (key, target)))


def due_files(session: Session) -> Iterator[int]:
    """Row keys of the queued files, in order."""
    for page in _due(session):
        yield from page


def note_read(session: Session, keys: Iterable[int], date: int) -> None:
    """These source files were read whole and found right on that date."""
    with session.transaction() as db:
        db.executemany("UPDATE file SET read_at = ? WHERE id = ?", ((date, key) for key in keys))


def identities_to_prove(session: Session, source: int | None) -> Iterator[int]:
    """Row keys of the contents that lie at more than one place: several paths, or a path and a copy."""
    rows = session.db.execute(
        "SELECT f.identity_id FROM file f JOIN directory d ON d.id = f.directory_id WHERE ? IS NULL OR d.source_id = ? "
        "GROUP BY f.identity_id HAVING COUNT(*) > 1 "
        "OR EXISTS (SELECT 1 FROM copy c WHERE c.identity_id = f.identity_id AND c.path IS NOT NULL)",
        (source, source),
    ).fetchall()
    for row in rows:
        yield row[0]


def copies_below(session: Session, target: int, directory: bytes) -> list[tuple[Identity, Copy]]:
    """Copies of ours that lie below a directory of the target."""
    return list(
        copies_where(
            session,
            "c.target_id = ? AND c.path > ? AND c.path < ? AND c.ours ORDER BY c.path",
            (target, directory + b"/", directory + b"0"),
        )
    )


def surplus_copies(session: Session, target: int, counting: frozenset[int]) -> list[tuple[Identity, Copy]]:
    """Copies of ours on the target whose content has its wanted number of verified copies on other counting targets,
    largest first."""
    others = ",".join(str(key) for key in counting if key != target) or "NULL"
    return list(
        copies_where(
            session,
            "c.target_id = ? AND c.path IS NOT NULL AND c.ours "
            "AND (SELECT COUNT(*) FROM copy o WHERE o.identity_id = c.identity_id AND o.standing = 2 "
            f"AND o.target_id IN ({others})) >= (SELECT MAX(s.wanted) FROM file f "
            "JOIN directory d ON d.id = f.directory_id JOIN source s ON s.id = d.source_id "
            "WHERE f.identity_id = c.identity_id) ORDER BY i.size DESC, c.path",
            (target,),
        )
    )


def is_named(session: Session, identity: int) -> bool:
    """Whether a current path of a source, or an imported context, names this content."""
    row = session.db.execute(
        "SELECT EXISTS (SELECT 1 FROM file WHERE identity_id = ?1) OR "
        "EXISTS (SELECT 1 FROM expected WHERE identity_id = ?1 AND gone_at IS NULL)",
        (identity,),
    ).fetchone()
    return bool(row[0])


def wanted_of(session: Session, identity: int) -> int:
    """The wanted number of copies of a content: the maximum over its current paths, 0 without any."""
    row = session.db.execute(
        "SELECT COALESCE(MAX(s.wanted), 0) FROM file f JOIN directory d ON d.id = f.directory_id "
        "JOIN source s ON s.id = d.source_id WHERE f.identity_id = ?",
        (identity,),
    ).fetchone()
    return row[0]
