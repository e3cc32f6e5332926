"""What is due for checking: copies on a target or files of a source, oldest check first, in pages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medback_core.model import Identity, Recorded

from .copies import Copy, copies_where, copy_of_row, marks
from .store import Session

# SQL: a date of a last check, where one in the future (a clock was wrong) is none. ?1 is now.
_CHECKED = "CASE WHEN {0} <= ?1 THEN {0} END"
_COPIES = (
    "FROM copy c JOIN identity i ON i.id = c.identity_id WHERE c.target_id = ?2 AND c.path IS NOT NULL AND ({0}) "
    f"ORDER BY COALESCE({_CHECKED.format('c.verified_at')}, 0), c.path"
)
_FILES = (
    "FROM file f JOIN directory d ON d.id = f.directory_id JOIN identity i ON i.id = f.identity_id "
    "WHERE d.source_id = ?2 AND ({0}) "
    f"ORDER BY COALESCE({_CHECKED.format('f.read_at')}, 0), d.path, f.name"
)
_BEFORE = "COALESCE(" + _CHECKED + ", 0) < ?3"
_LEFT = "EXISTS (SELECT 1 FROM unread u WHERE u.target_id = {0} AND u.source_id = {1} AND u.key = {2})"


class Due(NamedTuple):
    """What a verify is to read. `resumed`: the rest of a round that was not read to its end."""

    files: int
    bytes: int
    resumed: bool = False


def queue_copies(session: Session, target: int, now: int, before: int | None) -> Due:
    """Queue the copies with a known place on a target, oldest check first: those checked before that date, or never;
    with None those the round under way has not read yet (where none is under way, one begins)."""
    columns = "SELECT c.identity_id, i.size "
    if before is not None:
        return _queue(session, columns + _COPIES.format(_BEFORE.format("c.verified_at")), (now, target, before))
    left = columns + _COPIES.format(_LEFT.format("?2", "0", "c.identity_id"))
    found = _queue(session, left, (now, target))
    if found.files:
        return found._replace(resumed=True)
    with session.transaction() as db:
        forget_round(session, target=target)
        db.execute(
            "INSERT INTO unread SELECT ?1, 0, identity_id FROM copy WHERE target_id = ?1 AND path IS NOT NULL",
            (target,),
        )
    return _queue(session, left, (now, target))


def queue_files(session: Session, source: int, path: bytes, now: int, before: int | None) -> Due:
    """The same for the files of a source; at and below a directory, not all of it, there are no rounds."""
    columns = "SELECT f.id, i.size "
    if before is not None or path:
        scope = "(?5 OR d.path = ?4 OR (d.path > ?6 AND d.path < ?7))"
        condition = f"{scope} AND (?3 IS NULL OR {_BEFORE.format('f.read_at')})"
        return _queue(
            session, columns + _FILES.format(condition), (now, source, before, path, not path, path + b"/", path + b"0")
        )
    left = columns + _FILES.format(_LEFT.format("0", "?2", "f.id"))
    found = _queue(session, left, (now, source))
    if found.files:
        return found._replace(resumed=True)
    with session.transaction() as db:
        forget_round(session, source=source)
        db.execute(
            "INSERT INTO unread SELECT 0, d.source_id, f.id FROM file f JOIN directory d ON d.id = f.directory_id "
            "WHERE d.source_id = ?",
            (source,),
        )
    return _queue(session, left, (now, source))


def note_done(session: Session, keys: Iterable[int], *, target: int = 0, source: int = 0) -> None:
    """These were read, whatever was found: the round under way is done with them. Call inside a transaction."""
    session.db.executemany(
        "DELETE FROM unread WHERE target_id = ? AND source_id = ? AND key = ?", ((target, source, key) for key in keys)
    )


def forget_round(session: Session, *, target: int = 0, source: int = 0) -> None:
    """The next verify begins a new round. Call inside a transaction."""
    session.db.execute("DELETE FROM unread WHERE target_id = ? AND source_id = ?", (target, source))


def _queue(session: Session, query: str, values: tuple[object, ...]) -> Due:
    db = session.db
    db.execute("CREATE TEMP TABLE IF NOT EXISTS due (position INTEGER PRIMARY KEY, key INTEGER, size INTEGER)")
    db.execute("DELETE FROM temp.due")
    db.execute(f"INSERT INTO temp.due (key, size) {query}", values)
    return Due(*db.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM temp.due").fetchone())


def _due(session: Session) -> Iterator[list[int]]:
    position = 0
    while keys := session.column("SELECT key FROM temp.due WHERE position > ? ORDER BY position LIMIT 500", position):
        yield keys
        position += len(keys)


def due_copies(session: Session, target: int) -> Iterator[tuple[Recorded, Copy]]:
    """The queued copies, in order, and what each should be, a page at a time."""
    for page in _due(session):
        rows = session.db.execute(
            "SELECT i.size, i.md5, i.blake3, i.id, c.target_id, c.standing, c.path, c.mtime_ns, c.verified_at, c.ours "
            f"FROM copy c JOIN identity i ON i.id = c.identity_id WHERE c.target_id = ? AND i.id IN ({marks(page)})",
            (target, *page),
        )
        found = {r[3]: (Recorded(Identity(r[0], r[1]), r[2]), copy_of_row(r[3:])) for r in rows}
        yield from (found[key] for key in page if key in found)


def due_files(session: Session) -> Iterator[int]:
    """Row keys of the queued files, in order."""
    for page in _due(session):
        yield from page


def note_read(session: Session, keys: Iterable[int], date: int) -> None:
    """These source files were read whole and found right on that date; their sidecars are to say so. Call inside a
    transaction."""
    keys = list(keys)
    session.db.executemany("UPDATE file SET read_at = ? WHERE id = ?", ((date, key) for key in keys))
    session.db.executemany(
        "UPDATE directory SET dirty = 1 WHERE NOT dirty AND id = (SELECT directory_id FROM file WHERE id = ?)",
        ((key,) for key in keys),
    )


def identities_to_prove(session: Session, source: int | None) -> list[int]:
    """Row keys of the contents that lie at more than one place: several paths, or a path and a copy."""
    return session.column(
        "SELECT f.identity_id FROM file f JOIN directory d ON d.id = f.directory_id "
        "WHERE ?1 IS NULL OR d.source_id = ?1 GROUP BY f.identity_id HAVING COUNT(*) > 1 "
        "OR EXISTS (SELECT 1 FROM copy c WHERE c.identity_id = f.identity_id AND c.path IS NOT NULL)",
        source,
    )


def copies_below(session: Session, target: int, directory: bytes) -> list[tuple[Identity, Copy]]:
    """Copies of ours that lie below a directory of the target."""
    return list(
        copies_where(
            session,
            "c.target_id = ? AND c.path > ? AND c.path < ? AND c.ours ORDER BY c.path",
            (target, directory + b"/", directory + b"0"),
        )
    )


def namers(session: Session, identity: int) -> set[str]:
    """The ids of the sources of which a current path, or an imported context, names this content."""
    sids = session.column(
        "SELECT s.sid FROM file f JOIN directory d ON d.id = f.directory_id JOIN source s ON s.id = d.source_id "
        "WHERE f.identity_id = ?1 UNION SELECT s.sid FROM expected e JOIN source s ON s.id = e.source_id "
        "WHERE e.identity_id = ?1 AND e.gone_at IS NULL",
        identity,
    )
    return set(sids)
