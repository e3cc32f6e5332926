"""Identities and where their copies lie. Every change of a copy goes through here and settles what depends on it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from typing import TypeVar

from medback_core.model import Count, Identity, Standing

from .placements import intern_placement, placement_said
from .rollup import refresh_oldest
from .store import Session
from .values import load_ns, store_ns

_VERIFIED = int(Standing.VERIFIED)
_NEVER = 1 << 62  # later than any date
Key = TypeVar("Key")
_CHUNK = 500  # bound variables per statement, below SQLite's smallest limit


@dataclass(frozen=True, slots=True)
class Copy:
    """Content of an identity on a target. `path` is where it is there, None until the drive is looked at."""

    identity: int  # row key
    target: int  # row key
    standing: Standing
    path: bytes | None = None
    mtime_ns: int | None = None
    verified_at: int | None = None
    ours: bool = False


def chunks(keys: Iterable[Key]) -> Iterator[list[Key]]:
    """Keys in lists short enough for one statement."""
    iterator = iter(keys)
    while chunk := list(islice(iterator, _CHUNK)):
        yield chunk


def marks(values: Sequence[object]) -> str:
    """`?,?,?` for so many bound values."""
    return ",".join("?" * len(values))


def find_identity(session: Session, identity: Identity) -> int | None:
    """The row key of an identity, None when this session never met it."""
    return session.value("SELECT id FROM identity WHERE md5 = ? AND size = ?", identity.md5, identity.size)


def identity_key(session: Session, identity: Identity) -> int:
    """The row key of an identity, made where it is new."""
    known = find_identity(session, identity)
    if known is not None:
        return known
    key = session.db.execute("INSERT INTO identity (size, md5) VALUES (?, ?)", (identity.size, identity.md5)).lastrowid
    assert key is not None
    return key


def identity_of(session: Session, key: int) -> Identity:
    """Size and MD5 of a row key."""
    size, md5 = session.db.execute("SELECT size, md5 FROM identity WHERE id = ?", (key,)).fetchone()
    return Identity(size, md5)


def record_copies(session: Session, copies: Iterable[Copy]) -> None:
    """Record what was seen: each row replaces what was known of that identity on that target."""
    copies = list(copies)
    with session.transaction() as db:
        db.executemany(
            "INSERT INTO copy (identity_id, target_id, standing, path, mtime_ns, verified_at, ours) "
            "VALUES (?,?,?,?,?,?,?) ON CONFLICT (identity_id, target_id) DO UPDATE "
            "SET standing = excluded.standing, path = excluded.path, "
            "mtime_ns = excluded.mtime_ns, verified_at = excluded.verified_at, ours = excluded.ours",
            (
                (c.identity, c.target, int(c.standing), c.path, store_ns(c.mtime_ns), c.verified_at, int(c.ours))
                for c in copies
            ),
        )
        if session.has("withdrawn"):
            db.executemany(
                "DELETE FROM withdrawn WHERE identity_id = ? AND target_id = ?",
                ((c.identity, c.target) for c in copies),
            )
        settle(session, {copy.identity for copy in copies})


def believe_copies(session: Session, rows: Iterable[tuple[int, int, Standing]]) -> None:
    """Add (identity, target, standing) listed in a record, where no better standing is known. What this
    session saw not to lie there is not believed again before it is seen: the record is older, or not ours to judge."""
    rows = list(rows)
    with session.transaction() as db:
        before = db.total_changes
        db.executemany(
            "INSERT INTO copy (identity_id, target_id, standing) SELECT ?1, ?2, ?3 WHERE NOT EXISTS "
            "(SELECT 1 FROM withdrawn WHERE identity_id = ?1 AND target_id = ?2) ON CONFLICT (identity_id, target_id) "
            "DO UPDATE SET standing = excluded.standing WHERE standing < excluded.standing",
            ((identity, target, int(standing)) for identity, target, standing in rows),
        )
        if db.total_changes != before:
            settle(session, {row[0] for row in rows})


def has_copies(session: Session, tid: str) -> bool:
    """Whether any copy is known on the target with this id."""
    return session.has("copy WHERE target_id = (SELECT id FROM target WHERE tid = ?)", tid)


def doubt_copies(session: Session, target: int, identities: Iterable[int]) -> None:
    """Two accounts of what lies on that target differ in these: they are only listed, until a look at the drive."""
    identities = list(identities)
    with session.transaction() as db:
        db.executemany(
            "UPDATE copy SET standing = 0 WHERE identity_id = ? AND target_id = ?",
            ((key, target) for key in identities),
        )
        settle(session, identities)


def withdraw_copies(session: Session, target: int, identities: Iterable[int]) -> None:
    """These contents do not lie on that target (any more): whatever a source's old record says."""
    identities = list(identities)
    with session.transaction() as db:
        db.executemany(
            "INSERT OR IGNORE INTO withdrawn (identity_id, target_id) VALUES (?, ?)",
            ((key, target) for key in identities),
        )
        db.executemany(
            "DELETE FROM copy WHERE identity_id = ? AND target_id = ?", ((key, target) for key in identities)
        )
        settle(session, identities)


def settle(session: Session, identities: Iterable[int]) -> None:
    """Bring the placement, the oldest check and the dirty sidecars of these identities in line with their copies.

    Derived from the copy rows as they stand, never from what changed, so that it cannot drift. The oldest check is
    that of the copies that count. Call inside a transaction.
    """
    db = session.db
    counting = set(session.column("SELECT id FROM target WHERE known AND state = 'active'"))
    for chunk in chunks(identities):
        slots = marks(chunk)
        members: dict[int, list[tuple[int, int]]] = {key: [] for key in chunk}
        checked: dict[int, int] = {}
        rows = db.execute(
            f"SELECT identity_id, target_id, standing, verified_at FROM copy WHERE identity_id IN ({slots}) "
            "ORDER BY identity_id, target_id",
            chunk,
        )
        for identity, target, standing, verified_at in rows:
            members[identity].append((target, standing))
            if standing and target in counting:
                date = (verified_at or 0) if standing == _VERIFIED else 0
                if date < checked.get(identity, _NEVER):
                    checked[identity] = date
        moved: list[int] = []
        dated: list[int] = []
        changes: list[tuple[int, int | None, int]] = []
        for identity, was, was_checked in db.execute(
            f"SELECT id, placement_id, checked_at FROM identity WHERE id IN ({slots})", chunk
        ):
            placement_id, date = intern_placement(session, members[identity]), checked.get(identity)
            if was != placement_id:
                moved.append(identity)
            elif was_checked != date:
                dated.append(identity)
            else:
                continue
            changes.append((placement_id, date, identity))
        db.executemany("UPDATE identity SET placement_id = ?, checked_at = ? WHERE id = ?", changes)
        if moved:
            db.execute(
                "UPDATE directory SET dirty = 1 WHERE NOT dirty AND id IN "
                f"(SELECT directory_id FROM file WHERE identity_id IN ({marks(moved)}))",
                moved,
            )
        if dated:
            db.execute(
                "UPDATE directory SET stale = 1 WHERE NOT stale AND id IN "
                f"(SELECT directory_id FROM file WHERE identity_id IN ({marks(dated)}))",
                dated,
            )


def redate(session: Session, target: int) -> None:
    """The copies on a target begin to count, or no longer do: bring the oldest checks in line. Call inside a
    transaction."""
    db = session.db
    db.execute(
        "UPDATE identity SET checked_at = "
        "(SELECT MIN(CASE WHEN c.standing = ?1 THEN COALESCE(c.verified_at, 0) ELSE 0 END) "
        "FROM copy c JOIN target t ON t.id = c.target_id "
        "WHERE c.identity_id = identity.id AND c.standing > 0 AND t.known AND t.state = 'active') "
        "WHERE id IN (SELECT identity_id FROM copy WHERE target_id = ?2 AND standing > 0)",
        (_VERIFIED, target),
    )
    db.execute(
        "UPDATE directory SET stale = 1 WHERE NOT stale AND id IN (SELECT f.directory_id FROM copy c "
        "JOIN file f ON f.identity_id = c.identity_id WHERE c.target_id = ? AND c.standing > 0)",
        (target,),
    )
    refresh_oldest(db)


def copy_of_row(row: tuple) -> Copy:
    """A copy from its columns, in the order of the fields."""
    return Copy(row[0], row[1], Standing(row[2]), row[3], load_ns(row[4]), row[5], bool(row[6]))


_COLUMNS = "identity_id, target_id, standing, path, mtime_ns, verified_at, ours"


def copies_of(session: Session, identity: int) -> list[Copy]:
    """Every copy known of one identity."""
    return [
        copy_of_row(r) for r in session.db.execute(f"SELECT {_COLUMNS} FROM copy WHERE identity_id = ?", (identity,))
    ]


def copies_of_many(session: Session, identities: Iterable[int]) -> dict[int, list[Copy]]:
    """Copies by identity, for those that have any."""
    found: dict[int, list[Copy]] = {}
    for chunk in chunks(identities):
        rows = session.db.execute(
            f"SELECT {_COLUMNS} FROM copy WHERE identity_id IN ({marks(chunk)}) ORDER BY identity_id", chunk
        )
        for key, group in groupby(rows, key=lambda r: r[0]):
            found[key] = [copy_of_row(r) for r in group]
    return found


def copy_on(session: Session, identity: int, target: int) -> Copy | None:
    """The copy of an identity on one target."""
    row = session.db.execute(
        f"SELECT {_COLUMNS} FROM copy WHERE identity_id = ? AND target_id = ?", (identity, target)
    ).fetchone()
    return copy_of_row(row) if row else None


def has_unplaced(session: Session, target: int) -> bool:
    """Whether the target is said to hold a copy of which it is not known where it lies there."""
    return session.has("copy WHERE target_id = ? AND standing > 0 AND path IS NULL", target)


def copies_where(session: Session, condition: str, values: Sequence[object]) -> Iterator[tuple[Identity, Copy]]:
    """Every copy `c` of an identity `i` that meets a condition (which may end in an ORDER BY), with that identity. Do
    not write through this session while iterating."""
    rows = session.db.execute(
        "SELECT c.identity_id, c.target_id, c.standing, c.path, c.mtime_ns, c.verified_at, c.ours, i.size, i.md5 "
        f"FROM copy c JOIN identity i ON i.id = c.identity_id WHERE {condition}",
        values,
    )
    for row in rows:
        yield Identity(row[7], row[8]), copy_of_row(row)


def copies_on(session: Session, target: int) -> Iterator[tuple[Identity, Copy]]:
    """Every copy on one target with its identity. Do not write through this session while iterating."""
    return copies_where(session, "c.target_id = ?", (target,))


def held_by_target(session: Session, *, claims: bool = False) -> dict[int, Count]:
    """By target that holds any: identities and bytes there (solid copies; with `claims`, listed ones too), from the
    placements' totals."""
    totals: dict[int, list[int]] = {}
    rows = session.db.execute("SELECT id, members, identities, bytes FROM placement WHERE identities > 0")
    for key, members, identities, size in rows:
        placement = placement_said(session, key, members)
        for target in placement.anywhere if claims else placement.solid:
            total = totals.setdefault(target, [0, 0])
            total[0] += identities
            total[1] += size
    return {target: Count(*total) for target, total in totals.items()}


def bytes_on(session: Session, targets: Iterable[int]) -> dict[int, int]:
    """Bytes of all that is known to lie on each of these targets: what `held_by_target` tells, and what a look met
    there and was not read since the session began (older versions, after a session was lost). The latter looks at every
    copy of a target that is said to hold more than was read."""
    solid, with_claims = held_by_target(session), held_by_target(session, claims=True)
    found = {target: solid.get(target, Count()).bytes for target in targets}
    for target, size in found.items():
        if with_claims.get(target, Count()).bytes > size:
            found[target] = size + session.value(
                "SELECT COALESCE(SUM(i.size), 0) FROM copy c JOIN identity i ON i.id = c.identity_id "
                "WHERE c.target_id = ? AND c.standing = 0 AND c.path IS NOT NULL",
                target,
            )
    return found
