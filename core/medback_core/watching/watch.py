"""`medback watch`: drives are noticed as they are mounted; a target does its part by itself."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.drives.drive import identity_at, locked_here
from medback_core.errors import MedbackError, NeedsAnswer
from medback_core.model import (
    BackupSummary,
    Count,
    DamageFound,
    Event,
    LockedHere,
    OnPlug,
    PlugDone,
    PluggedIn,
    Skipped,
    SourceRefused,
    Target,
    Unplugged,
    VerifySummary,
    Waiting,
    Warned,
)
from medback_core.session import open_session
from medback_core.session.candidates import below_wanted
from medback_core.session.sources import list_sources
from medback_core.session.targets import counting_keys, list_targets, target_by_id
from medback_core.settings.sizes import Size
from medback_core.sidecar import TargetIdentity
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.verify_target import verify

LOOK_AGAIN = 60.0  # seconds until it looks again where nothing was mounted: a session may have been in use


@dataclass(slots=True)
class _Watch:
    """What is asked for (see `watch`), and what is plugged in."""

    session_path: Path | None
    on_plug: OnPlug
    reserve: Size | None
    verify_bytes: int | None
    labels: dict[str, str] = field(default_factory=dict)  # target id -> label
    locked: set[str] = field(default_factory=set)  # ids of targets whose locked container was told of
    pending: set[str] = field(default_factory=set)  # targets whose turn could not come: another medback was at work


def watch(
    session_path: Path | None,
    *,
    on_plug: OnPlug = OnPlug.NOTHING,
    reserve: Size | None = None,
    verify_bytes: int | None = None,
    changes: Iterable[bool] | None = None,
) -> Iterator[Event]:
    """Tell of every target that is plugged in, and do what it is set to (`on_plug` for those with no word of their
    own): a backup, or a verify of at most `verify_bytes`. Runs until it is closed, or `changes` end (by default the
    kernel's word on mounts).

    Yields Waiting before it waits, PluggedIn, LockedHere and Unplugged as they happen, all events of what it does, and
    PlugDone at its end. A drive that is pulled out in the middle ends its own turn alone.
    """
    seen = _Watch(session_path, on_plug, reserve, verify_bytes)
    yield from _look(seen)
    yield Waiting()
    for _ in disk.mount_changes(LOOK_AGAIN) if changes is None else changes:
        yield from _look(seen)
        yield Waiting()


def _look(seen: _Watch) -> Iterator[Event]:
    here: dict[str, tuple[bytes, TargetIdentity]] = {}
    for mount in disk.removable_mounts():
        identity = identity_at(mount.path)
        if identity is not None and identity.id:
            here.setdefault(identity.id, (mount.path, identity))
    for gone in sorted(seen.labels.keys() - here.keys()):
        seen.pending.discard(gone)
        yield Unplugged(seen.labels.pop(gone))
    with open_session(seen.session_path) as session:
        if session.needs_rebuild:  # as every other command does
            yield from (*session.notes, Warned("session-rebuilt"))
            try:
                yield from rebuild(session)
            except MedbackError:
                return  # another medback builds it: the next look knows the drives
        known = {target.id: target for target in list_targets(session)}
        waiting = below_wanted(session, counting_keys(session))[0]
        sources = len(list_sources(session))
    yield from _locked(seen, known.values())
    for identifier, (path, identity) in sorted(here.items(), key=lambda item: item[0]):
        if identifier in seen.labels and identifier not in seen.pending:
            continue
        target = known.get(identifier)
        first = identifier not in seen.labels
        label = identity.label if target is None else target.name
        action = OnPlug.NOTHING
        if target is not None:
            action = target.on_plug or identity.on_plug or seen.on_plug
        if target is not None and action is OnPlug.BACKUP and not (target.counts and sources):
            action = OnPlug.NOTHING  # nothing is written to a drive that is not trusted, and there may be nothing to
        seen.labels[identifier] = label
        seen.pending.discard(identifier)
        if first:
            yield PluggedIn(label, path, action, target is not None, waiting, sources)
        if action is not OnPlug.NOTHING:
            yield from _act(seen, identifier, label, path, action)


def _locked(seen: _Watch, targets: Collection[Target]) -> Iterator[Event]:
    names = {target.id: target.name for target in targets}
    now = locked_here(targets)
    for identifier in sorted(now.keys() - seen.locked):
        yield LockedHere(names[identifier], now[identifier])
    seen.locked = set(now)


def _act(seen: _Watch, identifier: str, label: str, path: bytes, action: OnPlug) -> Iterator[Event]:
    damaged = skipped = left_out = left = 0
    short = Count()
    try:
        with open_session(seen.session_path) as session:
            if action is OnPlug.BACKUP:
                events = back_up(session, path, reserve=seen.reserve and seen.reserve.bytes_on(path))
            else:
                events = verify(session, path, max_bytes=seen.verify_bytes)
            for event in events:
                damaged += isinstance(event, DamageFound)
                skipped += isinstance(event, Skipped)
                left_out += isinstance(event, SourceRefused) or (
                    isinstance(event, Warned) and event.what == "source-away"
                )
                left = event.left if isinstance(event, VerifySummary) else left
                if isinstance(event, BackupSummary) and (event.full or event.no_inodes):
                    short = Count(event.remaining, event.remaining_bytes)
                yield event
            target = target_by_id(session, identifier)
    except (MedbackError, OSError) as error:
        if isinstance(error, MedbackError) and error.kind == "locked" and not isinstance(error, NeedsAnswer):
            seen.pending.add(identifier)  # another medback is at work: its turn comes at the next look
        reason = error if isinstance(error, MedbackError) else error.strerror or str(error)
        yield PlugDone(label, path, action, False, reason, again=identifier in seen.pending)
        now = identity_at(path)
        if now is None or now.id != identifier:  # if it is back before the next look, it has been plugged in again
            seen.pending.discard(identifier)
            yield Unplugged(seen.labels.pop(identifier))
        return
    name = target.name if target is not None else label
    yield PlugDone(name, path, action, True, "", damaged, skipped, left_out, left=left, short=short)
