"""What of a source was not looked at, and what is mounted inside it and belongs to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from medback_core import model
from medback_core.model import Gap

from .store import Session


def list_gaps(session: Session, source: int | None = None) -> list[Gap]:
    """The gaps of one source (a key) or of all, in the order of sources and paths."""
    rows = session.db.execute(
        "SELECT s.alias, g.path, g.reason, g.since FROM gap g JOIN source s ON s.id = g.source_id "
        "WHERE ?1 IS NULL OR g.source_id = ?1 ORDER BY g.source_id, g.path",
        (source,),
    )
    return [Gap(*row) for row in rows]


def save_gaps(session: Session, source: int, found: Mapping[bytes, str]) -> bool:
    """The gaps a scan found (path -> reason) are those of the source from now on; one that was known keeps its date.
    Returns whether anything changed. Call inside a transaction."""
    db = session.db
    rows = db.execute("SELECT path, reason, since FROM gap WHERE source_id = ?", (source,)).fetchall()
    if {path: reason for path, reason, _ in rows} == found:
        return False
    since = {path: date for path, _, date in rows}
    now = model.now()
    db.execute("DELETE FROM gap WHERE source_id = ?", (source,))
    db.executemany(
        "INSERT INTO gap (source_id, path, reason, since) VALUES (?,?,?,?)",
        [(source, path, reason, since.get(path, now)) for path, reason in found.items()],
    )
    return True


def learn_gaps(session: Session, source: int, told: Iterable[tuple[bytes, str, int]], after: int | None) -> None:
    """Gaps (path, reason, since) another session found after this one scanned the source last. Call inside a
    transaction."""
    session.db.executemany(
        "INSERT OR IGNORE INTO gap (source_id, path, reason, since) VALUES (?,?,?,?)",
        [(source, path, reason, since) for path, reason, since in told if after is None or since > after],
    )


def nested_mounts(session: Session, source: int) -> dict[bytes, str]:
    """Path -> uuid of what is mounted inside a source and belongs to it; "" where any file system will do."""
    rows = session.db.execute("SELECT path, fs_uuid FROM nested WHERE source_id = ?", (source,))
    return dict(rows.fetchall())


def save_nested(session: Session, source: int, mounts: Mapping[bytes, str]) -> bool:
    """These mounts belong to the source, and no others. Returns whether anything changed."""
    if nested_mounts(session, source) == mounts:
        return False
    with session.transaction() as db:
        db.execute("DELETE FROM nested WHERE source_id = ?", (source,))
        db.executemany(
            "INSERT INTO nested (source_id, path, fs_uuid) VALUES (?,?,?)",
            [(source, path, uuid) for path, uuid in mounts.items()],
        )
    return True
