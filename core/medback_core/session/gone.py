"""Paths that left their source while a copy of their content exists: what can still be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medback_core.model import Identity

from .expected import FILE_AT
from .store import Session
from .values import load_ns, store_ns


class GoneFile(NamedTuple):
    """A path that is no longer in its source, with the content it had; `gone_at` None when nobody knows the date."""

    source: int
    path: bytes
    identity: int
    content: Identity
    mtime_ns: int
    mode: int
    gone_at: int | None


def add_gone(session: Session, rows: Iterable[tuple[int, bytes, int, int, int, int | None]]) -> None:
    """Remember (source key, path, identity key, mtime_ns, mode, date) of paths that went."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR IGNORE INTO gone (source_id, path, identity_id, mtime_ns, mode, gone_at) VALUES (?,?,?,?,?,?)",
            ((s, p, i, store_ns(m), mode, date) for s, p, i, m, mode, date in rows),
        )


def list_gone(session: Session, source: int, path: bytes | None = None) -> Iterator[GoneFile]:
    """Gone paths of a source (or only those at or below `path`) whose content still has a copy and which neither a
    current file nor an expected one of that path and content contradicts, in path order, the latest version first."""
    bounds = (path, path + b"/", path + b"0") if path else (None, None, None)
    rows = session.db.execute(
        "SELECT g.source_id, g.path, g.identity_id, i.size, i.md5, g.mtime_ns, g.mode, g.gone_at FROM gone g "
        "JOIN identity i ON i.id = g.identity_id WHERE g.source_id = ?1 "
        "AND (?2 IS NULL OR g.path = ?2 OR (g.path > ?3 AND g.path < ?4)) "
        "AND EXISTS (SELECT 1 FROM copy c WHERE c.identity_id = g.identity_id) "
        "AND NOT EXISTS (SELECT 1 FROM expected e WHERE e.source_id = g.source_id AND e.path = g.path "
        "AND e.identity_id = g.identity_id) "
        f"AND NOT EXISTS (SELECT 1 FROM {FILE_AT.format('g')} AND f.identity_id = g.identity_id) "
        "ORDER BY g.path, g.gone_at DESC, g.mtime_ns DESC",
        (source, *bounds),
    )
    for row in rows:
        yield GoneFile(row[0], row[1], row[2], Identity(row[3], row[4]), load_ns(row[5]), row[6], row[7])


def forget_gone(session: Session, source: int, path: bytes, identity: int) -> None:
    """A path came back with that content."""
    with session.transaction() as db:
        db.execute("DELETE FROM gone WHERE source_id = ? AND path = ? AND identity_id = ?", (source, path, identity))
