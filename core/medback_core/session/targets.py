"""The targets a session knows, or knows of."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import fields, replace
from operator import attrgetter
from typing import Any

from medback_core import disk, names
from medback_core.errors import Refused
from medback_core.model import OnPlug, Target, TargetState

from .checking import forget_round
from .copies import redate, settle
from .store import Session

_FIELDS = tuple(one.name for one in fields(Target))[2:]  # each a column of its own name, behind `id` and `tid`
_COLUMNS = ", ".join(("id", "tid", *_FIELDS))
_said = attrgetter("label", "state", "rev", "capacity", "disk", "place")  # what people say of a target
_facts = attrgetter("label", "state", "known", "rev", "capacity", "fs_uuid", "path", "disk", "place")


def _target(row: tuple) -> Target:
    values: dict[str, Any] = dict(zip(_FIELDS, row[2:], strict=True))
    values["state"], values["known"] = TargetState(values["state"]), bool(values["known"])
    values["on_plug"] = None if values["on_plug"] is None else OnPlug(values["on_plug"])
    return Target(row[0], row[1], **values)


def list_targets(session: Session, *, unknown: bool = False) -> list[Target]:
    """All known targets in the order they were met; with `unknown`, also ids known only from a record."""
    rows = session.db.execute(f"SELECT {_COLUMNS} FROM target WHERE known OR ? ORDER BY id", (unknown,))
    return [_target(row) for row in rows]


def target_by_key(session: Session, key: int) -> Target:
    return _target(session.db.execute(f"SELECT {_COLUMNS} FROM target WHERE id = ?", (key,)).fetchone())


def target_by_id(session: Session, tid: str) -> Target | None:
    """The target with this id, also by an id it had in the family (`<also>`)."""
    tid = names.utf8(tid)
    row = session.db.execute(
        f"SELECT {_COLUMNS} FROM target WHERE tid = ? OR id = (SELECT target_id FROM target_alias WHERE tid = ?) "
        "ORDER BY tid <> ?",
        (tid, tid, tid),
    ).fetchone()
    return _target(row) if row else None


def targets_at(session: Session, path: bytes) -> list[Target]:
    """Targets last seen at this path."""
    rows = session.db.execute(f"SELECT {_COLUMNS} FROM target WHERE path = ? ORDER BY seen_at DESC", (path,))
    return [_target(row) for row in rows]


def find_target(session: Session, word: str) -> Target:
    """The target with this id or label. Raises Refused where none or more than one has it."""
    by_id = target_by_id(session, word)
    if by_id is not None and by_id.known:
        return by_id
    label = names.utf8(word)
    found = [target for target in list_targets(session) if target.label == label]
    if len(found) == 1:
        return found[0]
    if found:
        raise Refused("ambiguous/label", label=word, targets=tuple(target.id for target in found))
    raise Refused("no-such-target", target=word, known=tuple(target.name for target in list_targets(session)))


def is_target_name(session: Session, word: str) -> bool:
    """Whether a known target has this id or label."""
    target, label = target_by_id(session, word), names.utf8(word)
    return (target is not None and target.known) or any(each.label == label for each in list_targets(session))


def free_label(session: Session, base: str) -> str:
    """`base`, or `base-2`, `base-3`, … where another target is called so."""
    taken = {target.label for target in list_targets(session)}
    return disk.free_name(disk.numbered(base), taken.__contains__)


def target_key(session: Session, tid: str) -> int:
    """The row key for an id met in a record; an unknown id becomes a row that is not `known`."""
    found = target_by_id(session, tid)
    if found is not None:
        return found.key
    with session.transaction() as db:
        key = db.execute("INSERT INTO target (tid) VALUES (?)", (tid,)).lastrowid
    assert key is not None
    return key


def save_target(session: Session, target: Target) -> Target:
    """Insert or update a target by its id. Facts people set (label, state, capacity), and where it lies, bring the
    metadata of sources out of date; when it was seen does not."""
    was = target_by_id(session, target.id)
    key = was.key if was is not None else target_key(session, target.id)
    with session.transaction() as db:
        now = ", ".join(f"{name} = ?" for name in _FIELDS)
        values = [getattr(target, name) for name in _FIELDS]
        db.execute(f"UPDATE target SET {now} WHERE id = ?", (*values, key))
        if was is None or _facts(was) != _facts(target):
            db.execute("UPDATE source SET metadata_dirty = MAX(metadata_dirty, 1)")
        if (was is not None and was.counts) != target.counts:
            redate(session, key)
        if target.state is TargetState.SUSPECT and (was is None or was.state is not target.state):
            forget_round(session, target=key)  # what was read before says nothing any more
    return replace(target, key=key)


def note_used(session: Session, key: int, *, free: int | None) -> None:
    """A target was used: so many bytes are free there now (None: unknown), and it was last verified when the copy
    there was whose last check is oldest; never, where one was never read back. A look at each of its copies."""
    with session.transaction() as db:
        db.execute(
            "UPDATE target SET verified_at = (SELECT NULLIF(MIN(COALESCE(verified_at, 0)), 0) FROM copy "
            "WHERE target_id = ?1 AND standing > 0), free_bytes = COALESCE(?2, free_bytes) WHERE id = ?1",
            (key, free),
        )


def merge_fact(session: Session, told: Target) -> None:
    """Take up what a record says of a target: the highest `rev` wins, ties go to the worse state. Where it was last
    seen, and on which file system, is of use to a session that never saw it."""
    was = target_by_id(session, told.id)
    if was is None or not was.known:
        save_target(session, told)
        return
    now = replace(was, path=was.path or told.path, fs_uuid=was.fs_uuid or told.fs_uuid)
    if (told.rev, told.state.badness) > (was.rev, was.state.badness):
        label, state, rev, capacity, disk, place = _said(told)
        now = replace(now, label=label, state=state, rev=rev, capacity=capacity, disk=disk, place=place)
    if now != was:
        save_target(session, now)


def add_alias(session: Session, key: int, tid: str) -> None:
    """A further id (of the family) under which a target's copies were recorded; copies noted under it move over, the
    better standing prevailing."""
    with session.transaction() as db:
        other = db.execute("SELECT id FROM target WHERE tid = ? AND id <> ?", (tid, key)).fetchone()
        db.execute("INSERT OR REPLACE INTO target_alias (tid, target_id) VALUES (?, ?)", (tid, key))
        if other is not None:
            identities = session.column("SELECT identity_id FROM copy WHERE target_id = ?", *other)
            db.execute(
                "INSERT INTO copy (identity_id, target_id, standing, path, mtime_ns, verified_at, ours) "
                "SELECT identity_id, ?, standing, path, mtime_ns, verified_at, ours FROM copy WHERE target_id = ? "
                "ON CONFLICT (identity_id, target_id) DO UPDATE SET standing = excluded.standing, "
                "path = COALESCE(excluded.path, path), mtime_ns = COALESCE(excluded.mtime_ns, mtime_ns), "
                "verified_at = COALESCE(excluded.verified_at, verified_at), ours = MAX(excluded.ours, ours) "
                "WHERE excluded.standing > standing",
                (key, other[0]),
            )
            for table in ("copy", "folder", "pending", "landing", "withdrawn", "twin"):
                db.execute(f"DELETE FROM {table} WHERE target_id = ?", other)
            db.execute("DELETE FROM same_disk WHERE one = ?1 OR other = ?1", other)
            db.execute("DELETE FROM target WHERE id = ?", other)
            settle(session, identities)


def aliases_of(session: Session, key: int) -> tuple[str, ...]:
    """The further ids of a target."""
    return tuple(session.column("SELECT tid FROM target_alias WHERE target_id = ? ORDER BY tid", key))


def folders(session: Session, key: int) -> dict[str, bytes]:
    """Source id -> the folder its files lie under on this target."""
    return dict(session.db.execute("SELECT source_sid, name FROM folder WHERE target_id = ?", (key,)).fetchall())


def save_folder(session: Session, key: int, source_sid: str, name: bytes) -> None:
    """Remember the folder of a source on a target."""
    with session.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO folder (target_id, source_sid, name) VALUES (?,?,?)", (key, source_sid, name)
        )


def count_others(session: Session, target: Target) -> int:
    """How many targets there are beside this one, those included of which only a record tells."""
    return session.value("SELECT COUNT(*) FROM target WHERE id <> ?", target.key)


def counting_keys(session: Session) -> frozenset[int]:
    """Keys of the targets whose solid copies count: known and active."""
    return frozenset(session.column("SELECT id FROM target WHERE known AND state = 'active'"))


def pending_for(session: Session, key: int) -> list[tuple[int, bytes]]:
    """(identity key, path there) that this target's own sidecars must still be rid of."""
    return session.db.execute("SELECT identity_id, path FROM pending WHERE target_id = ?", (key,)).fetchall()


def add_pending(session: Session, key: int, rows: list[tuple[int, bytes]]) -> None:
    """Note records to be withdrawn from a target's sidecars when it is next seen writable."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR IGNORE INTO pending (target_id, identity_id, path) VALUES (?,?,?)", ((key, *r) for r in rows)
        )


def clear_pending(session: Session, key: int, rows: list[tuple[int, bytes]]) -> None:
    """These were written to the target's sidecars."""
    with session.transaction() as db:
        db.executemany(
            "DELETE FROM pending WHERE target_id = ? AND identity_id = ? AND path = ?", ((key, *r) for r in rows)
        )


def announce_landing(session: Session, key: int, paths: Iterable[bytes]) -> None:
    """A batch is about to get these names on a target; a kill from now on leaves files there that are ours."""
    with session.transaction() as db:
        db.executemany("INSERT OR IGNORE INTO landing (target_id, path) VALUES (?, ?)", ((key, path) for path in paths))


def was_landing(session: Session, key: int, path: bytes) -> bool:
    """Whether a batch that was never recorded was about to get this name."""
    return session.has("landing WHERE target_id = ? AND path = ?", key, path)


def landed(session: Session, key: int, paths: Iterable[bytes]) -> None:
    """What was announced is recorded (or was taken back)."""
    with session.transaction() as db:
        db.executemany("DELETE FROM landing WHERE target_id = ? AND path = ?", ((key, path) for path in paths))


# --- disks -----------------------------------------------------------------------------------------------------------


def note_disk(session: Session, one: int, other: int, same: bool) -> bool:
    """Two targets (keys) were seen together, on one disk or on two; whether that is news."""
    pair = (min(one, other), max(one, other))
    row = session.db.execute("SELECT same FROM same_disk WHERE one = ? AND other = ?", pair).fetchone()
    if row is not None and bool(row[0]) is same:
        return False
    with session.transaction() as db:
        db.execute("INSERT OR REPLACE INTO same_disk (one, other, same) VALUES (?,?,?)", (*pair, int(same)))
    return True


def disk_groups(session: Session) -> list[tuple[Target, ...]]:
    """The targets that would be lost together, two or more in a group: those on a disk of one name, and those that
    were seen on one disk, but for such as have two different names. Lost ones are left out."""
    targets = {target.key: target for target in list_targets(session) if target.state is not TargetState.LOST}
    group = {key: {key} for key in targets}

    def join(one: int, other: int) -> None:
        together = group[one] | group[other]
        for key in together:
            group[key] = together

    names = {key: target.disk for key, target in targets.items() if target.disk}
    for one, name in names.items():
        for other, called in names.items():
            if name == called:
                join(one, other)
    for one, other in session.db.execute("SELECT one, other FROM same_disk WHERE same").fetchall():
        if one in targets and other in targets and not (one in names and other in names):
            join(one, other)
    found = {min(keys): keys for keys in group.values() if len(keys) > 1}
    return [tuple(targets[key] for key in sorted(keys)) for _, keys in sorted(found.items())]


def lost_together(session: Session) -> dict[int, tuple[Target, ...]]:
    """Target key -> the others of its group in `disk_groups`."""
    return {
        one.key: tuple(other for other in group if other is not one) for group in disk_groups(session) for one in group
    }
