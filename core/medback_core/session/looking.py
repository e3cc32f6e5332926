"""What a look at a drive needs: which copies it confirmed, and which it did not find."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from medback_core.model import Count, Identity

from .copies import Copy, chunks, copies_where, copy_of_row, marks
from .placements import all_placements
from .store import Session


class Believed(NamedTuple):
    """What the session believes of one content on one target."""

    identity: int  # row key
    wanted: bool  # some current path has this content
    copy: Copy | None
    blake3: bytes | None = None  # of the content, where it is known


def begin_look(session: Session) -> None:
    """Forget what an earlier look saw."""
    session.db.execute("CREATE TEMP TABLE IF NOT EXISTS looked (identity_id INTEGER PRIMARY KEY)")
    session.db.execute("CREATE TEMP TABLE IF NOT EXISTS stray (size INTEGER, path BLOB)")
    session.db.execute("DELETE FROM temp.looked")
    session.db.execute("DELETE FROM temp.stray")


def note_seen(session: Session, identities: Iterable[int]) -> None:
    """These contents were found on the drive."""
    session.db.executemany("INSERT OR IGNORE INTO temp.looked VALUES (?)", ((key,) for key in identities))


def was_seen(session: Session, identity: int) -> bool:
    """Whether this look found the content already."""
    return session.has("temp.looked WHERE identity_id = ?", identity)


def note_strays(session: Session, rows: Iterable[tuple[int, bytes]]) -> None:
    """(size, path) of files on the drive that no record speaks of."""
    session.db.executemany("INSERT INTO temp.stray (size, path) VALUES (?,?)", rows)


def strays_like_unseen(session: Session, target: int) -> list[tuple[int, bytes]]:
    """(size, path) of the files no record speaks of that are as large as a copy this look did not find."""
    return session.db.execute(
        "SELECT s.size, s.path FROM temp.stray s WHERE s.size IN (SELECT i.size FROM copy c "
        "JOIN identity i ON i.id = c.identity_id WHERE c.target_id = ? AND NOT EXISTS "
        "(SELECT 1 FROM temp.looked l WHERE l.identity_id = c.identity_id)) ORDER BY s.path",
        (target,),
    ).fetchall()


def believed(session: Session, target: int, identity: Identity) -> Believed | None:
    """What the session believes of a content on a target; None when it never met the content."""
    row = session.db.execute(f"{_BELIEVED} i.md5 = ? AND i.size = ?", (target, identity.md5, identity.size)).fetchone()
    return None if row is None else _believed(target, row)


def believed_many(session: Session, target: int, identities: Iterable[Identity]) -> dict[Identity, Believed]:
    """The same of some contents, those that the session never met left out."""
    found: dict[Identity, Believed] = {}
    for chunk in chunks({identity.md5: None for identity in identities}):
        for row in session.db.execute(f"{_BELIEVED} i.md5 IN ({marks(chunk)})", (target, *chunk)):
            found[Identity(row[8], row[9])] = _believed(target, row)
    return found


_BELIEVED = (
    "SELECT i.id, EXISTS (SELECT 1 FROM file f WHERE f.identity_id = i.id), c.standing, c.path, c.mtime_ns, "
    "c.verified_at, c.ours, i.blake3, i.size, i.md5 "
    "FROM identity i LEFT JOIN copy c ON c.identity_id = i.id AND c.target_id = ? WHERE"
)


def _believed(target: int, row: tuple) -> Believed:
    copy = None if row[2] is None else copy_of_row((row[0], target, *row[2:7]))
    return Believed(row[0], bool(row[1]), copy, row[7])


def unseen_copies(session: Session, target: int) -> list[tuple[Identity, Copy]]:
    """What the session believes to lie on the target and this look did not find."""
    return list(
        copies_where(
            session,
            "c.target_id = ? AND NOT EXISTS (SELECT 1 FROM temp.looked l WHERE l.identity_id = c.identity_id)",
            (target,),
        )
    )


def current_on(session: Session, target: int) -> Count:
    """Contents of current paths that have a solid copy on the target."""
    keys = [str(key) for key, p in all_placements(session).items() if target in p.solid]
    return session.count(
        "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM identity i "
        f"WHERE placement_id IN ({','.join(keys)}) AND EXISTS (SELECT 1 FROM file f WHERE f.identity_id = i.id)"
    )
