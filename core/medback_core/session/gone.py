"""Paths that left their source while a copy of their content exists: what can still be asked for."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medback_core.model import Count, Identity

from .expected import FILE_AT
from .store import Session
from .values import load_ns, store_ns


class GoneFile(NamedTuple):
    """A path that is no longer in its source, with the content it had; `gone_at` None if the date is not known."""

    source: int
    path: bytes
    identity: int
    content: Identity
    mtime_ns: int
    mode: int
    gone_at: int | None
    replaced: bool = False  # another content is at that path now: this is an older version


def add_gone(session: Session, rows: Iterable[tuple[int, bytes, int, int, int, int | None]]) -> None:
    """Remember (source key, path, identity key, mtime_ns, mode, date) of paths that went. A known date stays."""
    with session.transaction() as db:
        db.executemany(
            "INSERT INTO gone (source_id, path, identity_id, mtime_ns, mode, gone_at) VALUES (?,?,?,?,?,?) "
            "ON CONFLICT DO UPDATE SET gone_at = COALESCE(NULLIF(gone_at, 0), excluded.gone_at)",
            ((s, p, i, store_ns(m), mode, date) for s, p, i, m, mode, date in rows),
        )


# SQL: a copy of a row `g` of `gone` exists, and neither a file nor an expected one is that content at that path.
CAN_BE_ASKED_FOR = (
    "EXISTS (SELECT 1 FROM copy c WHERE c.identity_id = g.identity_id) "
    "AND NOT EXISTS (SELECT 1 FROM expected e WHERE e.source_id = g.source_id AND e.path = g.path "
    "AND e.identity_id = g.identity_id) "
    f"AND NOT EXISTS (SELECT 1 FROM {FILE_AT.format('g')} AND f.identity_id = g.identity_id)"
)


def list_gone(session: Session, source: int, path: bytes | None = None) -> Iterator[GoneFile]:
    """Gone paths of a source (or only those at or below `path`) whose content still has a copy and which neither a
    current file nor an expected one of that path and content contradicts, in path order, the latest version first."""
    return _gone(session, source, path, f"{CAN_BE_ASKED_FOR} ORDER BY g.path, g.gone_at DESC, g.mtime_ns DESC")


def told_gone(session: Session, source: int, path: bytes | None) -> Iterator[GoneFile]:
    """Paths of a source (or only those at or below `path`) that drives call deleted, whatever a restore put there."""
    is_expected = "EXISTS (SELECT 1 FROM expected e WHERE e.source_id = g.source_id AND e.path = g.path)"
    return _gone(session, source, path, f"NOT {is_expected} ORDER BY g.path, g.gone_at DESC, g.identity_id")


def _gone(session: Session, source: int, path: bytes | None, condition: str) -> Iterator[GoneFile]:
    bounds = (path, path + b"/", path + b"0") if path else (None, None, None)
    rows = session.db.execute(
        "SELECT g.source_id, g.path, g.identity_id, i.size, i.md5, g.mtime_ns, g.mode, g.gone_at FROM gone g "
        "JOIN identity i ON i.id = g.identity_id WHERE g.source_id = ?1 "
        f"AND (?2 IS NULL OR g.path = ?2 OR (g.path > ?3 AND g.path < ?4)) AND {condition}",
        (source, *bounds),
    )
    for row in rows:
        yield GoneFile(row[0], row[1], row[2], Identity(row[3], row[4]), load_ns(row[5]), row[6], row[7])


def gone_as_of(session: Session, source: int, path: bytes | None, at: int) -> Iterator[GoneFile]:
    """What a source had at a date and no longer has, of those `list_gone` gives: of each path the version that went
    first after it. A copy written after the date, or gone at an unknown date, does not count."""
    latest: GoneFile | None = None
    for gone in list_gone(session, source, path):  # the latest first
        if latest is not None and gone.path != latest.path:
            yield latest
            latest = None
        if gone.gone_at and gone.gone_at > at and gone.mtime_ns < (at + 1) * 10**9:
            latest = gone
    if latest is not None:
        yield latest


def gone_page(
    session: Session,
    *,
    source: int | None = None,
    path: bytes | None = None,
    since: int | None = None,
    before: int | None = None,
    by_path: bool = False,
    after: GoneFile | None = None,
    limit: int = 500,
) -> list[GoneFile]:
    """The next deleted files and older versions behind `after`, of all sources or of one, at and below `path`, gone at
    or after `since` and before `before`. The latest first (those without a date last), or with `by_path` source by
    source in path order. A page costs the same wherever it is."""
    where, values = _where(source, path, since, before)
    if after is not None:
        here = after.source, after.path, after.identity
        behind = "(g.source_id, g.path, g.identity_id) > (?, ?, ?)"
        if by_path:
            where, values = f"{where} AND {behind}", [*values, *here]
        else:
            date = after.gone_at or 0
            where, values = f"{where} AND {_DATE} <= ? AND ({_DATE} < ? OR {behind})", [*values, date, date, *here]
    order = "" if by_path else f"{_DATE} DESC, "
    rows = session.db.execute(
        "SELECT g.source_id, g.path, g.identity_id, i.size, i.md5, g.mtime_ns, g.mode, g.gone_at, "
        f"EXISTS (SELECT 1 FROM {FILE_AT.format('g')}) "
        f"FROM gone g {'' if by_path else 'INDEXED BY gone_by_date '}CROSS JOIN identity i ON i.id = g.identity_id "
        f"WHERE {where} ORDER BY {order}g.source_id, g.path, g.identity_id LIMIT ?",
        (*values, limit),
    )
    return [
        GoneFile(r[0], r[1], r[2], Identity(r[3], r[4]), load_ns(r[5]), r[6], r[7] or None, bool(r[8])) for r in rows
    ]


def gone_count(
    session: Session,
    *,
    source: int | None = None,
    path: bytes | None = None,
    since: int | None = None,
    before: int | None = None,
) -> Count:
    """How many deleted files and older versions all pages of `gone_page` have, and their bytes."""
    where, values = _where(source, path, since, before)
    return session.count(
        "SELECT COUNT(*), COALESCE(SUM(i.size), 0) FROM gone g CROSS JOIN identity i ON i.id = g.identity_id "
        f"WHERE {where}",
        *values,
    )


_DATE = "COALESCE(g.gone_at, 0)"


def _where(source: int | None, path: bytes | None, since: int | None, before: int | None) -> tuple[str, list[object]]:
    where, values = [CAN_BE_ASKED_FOR], []
    if source is not None:
        where.append("g.source_id = ?")
        values.append(source)
    if path:
        where.append("g.path >= ? AND g.path < ? AND (g.path = ? OR g.path > ?)")
        values += [path, path + b"0", path, path + b"/"]
    if since is not None:
        where.append(f"{_DATE} >= ?")
        values.append(since)
    if before is not None:
        where.append(f"{_DATE} < ?")
        values.append(before)
    return " AND ".join(where), values


def forget_gone(session: Session, source: int, path: bytes, identity: int) -> None:
    """A path came back with that content."""
    with session.transaction() as db:
        db.execute("DELETE FROM gone WHERE source_id = ? AND path = ? AND identity_id = ?", (source, path, identity))
