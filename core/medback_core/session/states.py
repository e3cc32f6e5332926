"""As of which state this session knows a thing: what a drive holds, a source's tree. And which states it ever read.

Every stamp that was read, here or in any file, is remembered: what another session wrote is replaced only where that
very stamp was read. Stamps only add caution. An equal one never stands in for a look at a drive or at a sidecar.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from medback_core import model
from medback_core.model import LINE_MAX, STAMP_DIGITS, State

from .store import Session

TARGET, SOURCE = "target", "source"  # the kinds of things that have a state
EXPECTED = "expected"  # by a source's id: the newest word that what is expected of it, and was not scanned, is of


class AsOf(NamedTuple):
    """A state of a drive, as a record of its copies names it; (0, "") if it names none."""

    n: int = 0
    stamp: str = ""


def session_id(session: Session) -> str:
    """The id of this session: in every state it makes. A copy of the DB has the same."""
    return session.value("SELECT id FROM own")


def forget_state(session: Session, kind: str, id: str) -> None:
    """Nothing is known of a thing any more; its numbers are never given again all the same. What was read of it counts
    as never read: it may be read again, and is not replaced before."""
    was = known_state(session, kind, id)
    with session.transaction() as db:
        for stamp in (*was.line, was.stamp) if was is not None else ():
            db.execute("DELETE FROM stamp_read WHERE stamp = ?", (stamp,))
        db.execute(
            "UPDATE state SET n = 0, stamp = '', line = '', changed = 0, there = '' WHERE kind = ? AND id = ?",
            (kind, id),
        )
        db.execute("DELETE FROM told WHERE source_sid = ? OR target_tid = ?", (id, id))


def known_state(session: Session, kind: str, id: str) -> State | None:
    """The state what this session knows of a thing is as of; None before there was one."""
    row = session.db.execute(
        "SELECT n, stamp, at, made_by, line FROM state WHERE kind = ? AND id = ? AND stamp <> ''", (kind, id)
    ).fetchone()
    return State(row[0], row[1], row[2], row[3], tuple(row[4].split())) if row else None


def note_state(session: Session, kind: str, id: str, state: State) -> None:
    """What this session knows of a thing is just this state now."""
    with session.transaction() as db:
        keep_state(session, kind, id, state)
        db.execute("UPDATE state SET changed = 0 WHERE kind = ? AND id = ?", (kind, id))


def keep_state(session: Session, kind: str, id: str, state: State) -> None:
    """What this session knows of a thing is as of this state now, and as much more as it was before."""
    with session.transaction() as db:
        note_state_read(session, kind, id, state)
        db.execute(
            "UPDATE state SET n = ?, stamp = ?, at = ?, made_by = ?, line = ? WHERE kind = ? AND id = ?",
            (state.n, state.stamp, state.at, state.by, " ".join(state.line), kind, id),
        )


def note_state_read(session: Session, kind: str, id: str, state: State) -> None:
    """A state of a thing was read, and what was told with it is known now. Its number is never given again."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR IGNORE INTO stamp_read (stamp) VALUES (?)", ((s,) for s in (*state.line, state.stamp))
        )
        note_number(session, kind, id, state.n)


def note_number(session: Session, kind: str, id: str, n: int) -> None:
    """A number was read somewhere: the next state of the thing gets a higher one."""
    with session.transaction() as db:
        db.execute(
            "INSERT INTO state (kind, id, highest) VALUES (?, ?, ?) "
            "ON CONFLICT (kind, id) DO UPDATE SET highest = MAX(highest, excluded.highest)",
            (kind, id, n),
        )


def note_stamp(session: Session, stamp: str) -> None:
    """What has this stamp was read, or made."""
    with session.transaction() as db:
        db.execute("INSERT OR IGNORE INTO stamp_read (stamp) VALUES (?)", (stamp,))


def was_read(session: Session, stamp: str) -> bool:
    """Whether this session ever made, or read, what has this stamp."""
    return session.has("stamp_read WHERE stamp = ?", stamp)


def highest_number(session: Session, kind: str, id: str) -> int:
    """The highest number of a thing read anywhere; 0 before there was one."""
    return session.value("SELECT highest FROM state WHERE kind = ? AND id = ?", kind, id) or 0


def next_state(session: Session, kind: str, id: str, at: int | None = None) -> State:
    """A new state for a thing that is about to change, or has; dated now unless `at` is given. It is not noted yet."""
    was = known_state(session, kind, id)
    line = (*was.line, was.stamp) if was is not None and kind == SOURCE else ()
    n = highest_number(session, kind, id) + 1
    stamp = os.urandom(STAMP_DIGITS // 2).hex()
    return State(n, stamp, model.now() if at is None else at, session_id(session), line[-LINE_MAX:])


def note_there(session: Session, source: str, stamp: str) -> None:
    """A source's own metadata has this stamp now."""
    with session.transaction() as db:
        note_number(session, SOURCE, source, 0)
        db.execute("UPDATE state SET there = ? WHERE kind = ? AND id = ?", (stamp, SOURCE, source))


def last_there(session: Session, source: str) -> str:
    """The stamp a source's own metadata had when it was last read or written; "" before there was one."""
    return session.value("SELECT there FROM state WHERE kind = ? AND id = ?", SOURCE, source) or ""


# --- a source's tree -------------------------------------------------------------------------------------------------


def mark_changed(session: Session, source: str) -> None:
    """The tree of a source is not what it was: it gets a new state when it is next told."""
    with session.transaction() as db:
        note_number(session, SOURCE, source, 0)
        db.execute("UPDATE state SET changed = 1 WHERE kind = ? AND id = ?", (SOURCE, source))


def is_changed(session: Session, source: str) -> bool:
    """Whether the tree of a source changed since its last state, or never had one."""
    return not session.has("state WHERE kind = ? AND id = ? AND NOT changed AND n AND made_by <> ''", SOURCE, source)


def current_state(session: Session, source: str, at: int | None = None) -> State:
    """The state of a source's tree to be told now, a new one if the tree changed. `at`: as of when the tree is
    known; by default now."""
    state = known_state(session, SOURCE, source)
    if state is None or is_changed(session, source):
        state = next_state(session, SOURCE, source, at)
        note_state(session, SOURCE, source, state)
    return state


def absorb(session: Session, source: str, state: State) -> None:
    """What another session told of a source's tree is part of what this one knows now: the next state descends from
    both."""
    with session.transaction():
        note_state_read(session, SOURCE, source, state)
        mine = known_state(session, SOURCE, source)
        if mine is not None:
            line = dict.fromkeys((*state.line, state.stamp, *mine.line))
            state = replace(mine, line=tuple(line)[-LINE_MAX:])
        keep_state(session, SOURCE, source, state)
        mark_changed(session, source)


# --- the copies of a source's contents on a target -----------------------------------------------------------------


def told(session: Session, source: str, target: str) -> AsOf:
    """The state of a target that what this session knows of a source's copies there is as of."""
    return told_of(session, source).get(target, AsOf())


def told_of(session: Session, source: str, *, only_told: bool = False) -> dict[str, AsOf]:
    """`told` by target id. A source that came after the last look at a target is known as of that look, but not to be
    told so (`only_told`): its copies there were not looked for."""
    rows = [] if only_told else session.db.execute("SELECT id, n, stamp FROM state WHERE kind = ? AND n > 0", (TARGET,))
    found = {row[0]: AsOf(row[1], row[2]) for row in rows}
    for row in session.db.execute("SELECT target_tid, n, stamp FROM told WHERE source_sid = ?", (source,)):
        found[row[0]] = AsOf(row[1], row[2])
    return found


def highest_told(session: Session, target: str) -> int:
    """The highest state of a target anything known of its copies is as of."""
    return session.value(
        "SELECT MAX(COALESCE((SELECT MAX(n) FROM told WHERE target_tid = ?1), 0), "
        "COALESCE((SELECT n FROM state WHERE kind = ?2 AND id = ?1), 0))",
        target,
        TARGET,
    )


def note_told(session: Session, source: str, rows: Iterable[tuple[str, AsOf]]) -> None:
    """What is known of a source's copies on these targets is as of these states now."""
    with session.transaction() as db:
        db.executemany(
            "INSERT OR REPLACE INTO told (source_sid, target_tid, n, stamp) VALUES (?,?,?,?)",
            ((source, target, state.n, state.stamp) for target, state in rows),
        )


def note_looked(session: Session, target: str, state: State) -> None:
    """A look at a whole drive in this state ended (or: this session alone changed it since): what is known of the
    copies there, of whatever source, is as of it."""
    with session.transaction() as db:
        note_state(session, TARGET, target, state)
        db.execute(
            "INSERT OR REPLACE INTO told (source_sid, target_tid, n, stamp) SELECT sid, ?, ?, ? FROM source",
            (target, state.n, state.stamp),
        )


def note_heard(session: Session, drive: str, stamp: str, *, taken: bool) -> None:
    """What a drive remembers (as of this stamp) was taken up, or is not wanted."""
    with session.transaction() as db:
        db.execute("INSERT OR REPLACE INTO heard (drive, stamp, taken) VALUES (?,?,?)", (drive, stamp, taken))


def is_refused(session: Session, drive: str, stamp: str) -> bool:
    """Whether a person said no to what a drive remembers as of this stamp."""
    return session.has("heard WHERE drive = ? AND stamp = ? AND NOT taken", drive, stamp)


def is_heard(session: Session, drive: str, stamp: str) -> bool:
    """Whether what a drive remembers as of this stamp was taken up."""
    return session.has("heard WHERE drive = ? AND stamp = ? AND taken", drive, stamp)


def heard_drives(session: Session) -> set[str]:
    """The ids of the drives whose word was taken up."""
    return set(session.column("SELECT drive FROM heard WHERE taken"))
