"""A target's drive, open; and what its identity file says of it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from medback_core import disk
from medback_core.errors import DriveGone, Refused
from medback_core.model import TARGET_IDENTITY_NAME, Target, Warned
from medback_core.session import Session
from medback_core.session.history import learn_history, list_history
from medback_core.session.sources import list_sources
from medback_core.session.states import TARGET, highest_number, known_state, next_state, note_looked, note_number
from medback_core.session.targets import aliases_of, folders, target_by_id
from medback_core.sidecar import (
    TargetIdentity,
    family_target_id,
    is_whole,
    parse_target_identity,
    render_target_identity,
)
from medback_core.sidecar.history import merged_history

IDENTITY_LIMIT = 1 << 20
FAMILY_NAMES = (b".bkp_id", b".mdbackup.xml")


@dataclass(slots=True)
class Drive:
    """A target's drive, open and locked. A drive that is not a target yet has an empty `identity.id`."""

    root: disk.Root
    target: Target
    filesystem: disk.FileSystem
    identity: TargetIdentity
    is_new: bool = False
    writable: bool = True
    doubtful: bool = False  # a clone that is only read: nothing of what lies there says anything of the target
    notes: list[Warned] = field(default_factory=list)  # what a person should be told about it
    session: Session | None = None  # that works on it, and makes its new state when it changes something
    current: bool = False  # the session knows all that it holds: it looked, or was the last to change it
    older: bool = False  # it is in a state from before one that is known: restored from an image, or cloned
    changed: bool = False  # it got its new state in this run

    def true_place(self, path: bytes) -> tuple[str, bytes] | None:
        """Which path of which source (by id) lies at a path of the drive, when no record says otherwise."""
        folder, _, rest = path.partition(b"/")
        for name, source_id in self.identity.folders:
            if name == folder and rest:
                return source_id, rest
        return None

    def check(self) -> None:
        """Raise DriveGone when the path no longer leads to this drive: asked before every batch."""
        if not self.root.is_same_drive():
            raise DriveGone("drive-gone/other-drive", path=self.root.path)


def read_identity(root: disk.Root) -> TargetIdentity | None:
    """What the drive says it is; None when it says nothing. An unreadable identity has the id "". Raises
    Refused where its file can't be read."""
    try:
        data = disk.read_own(root, TARGET_IDENTITY_NAME, IDENTITY_LIMIT, is_whole)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused("identity-unreadable", path=root.path, error=error.strerror) from error
    return parse_target_identity(data)


def compare_state(session: Session, drive: Drive) -> None:
    """Whether the drive is as this session knows it, and whether it is older than it is known to be."""
    drive.session = session
    found, known = drive.identity.now, known_state(session, TARGET, drive.target.id)
    drive.current = found is not None and known is not None and found.stamp == known.stamp
    note = _note_if_older(session, drive)
    if note:
        drive.notes.append(note)
    if found is not None:
        note_number(session, TARGET, drive.target.id, found.n)


def _note_if_older(session: Session, drive: Drive) -> Warned | None:
    """What to say of a drive that is in a state from before one that is known; None where it is not."""
    if drive.is_new or drive.older or drive.changed or drive.identity.damage:
        return None
    found, known = drive.identity.now, known_state(session, TARGET, drive.target.id)
    number, highest = 0 if found is None else found.n, highest_number(session, TARGET, drive.target.id)
    split = found is not None and known is not None and found.n == known.n and found.stamp != known.stamp
    drive.older = number < highest or (split and number == highest)
    if not drive.older:
        return None
    dated = known is not None and known.n == highest
    if known is None or not dated:
        return Warned("drive-older", target=drive.target.name)
    return Warned("drive-older/dated", target=drive.target.name, at=known.at)


def begin_change(drive: Drive) -> None:
    """Give the drive its new state, durably: to be called before a run's first change of what lies there. Does nothing
    after the first time. Raises OSError, and then nothing may be changed.

    The state comes first. A kill right behind it leaves a drive that says of itself that it changed and did not: all
    who knew the old state look again, and find everything as it was. The other way round a medback that knew the old
    state would take what changed for unchanged.
    """
    session = drive.session
    if drive.changed or session is None or not drive.identity.id:
        return
    state = next_state(session, TARGET, drive.target.id)
    identity = replace(drive.identity, now=state)
    disk.write_whole(drive.root, TARGET_IDENTITY_NAME, render_target_identity(identity))
    drive.identity, drive.changed = identity, True
    if drive.current:
        note_looked(session, drive.target.id, state)
    else:
        note_number(session, TARGET, drive.target.id, state.n)


def end_look(drive: Drive) -> Warned | None:
    """A look at all of the drive ended: the session knows what it holds. One that was found older than it was known to
    be gets a state higher than any that is known. Returns what is to be said of one that is found so only now: the
    records of a source told of it since the drive was opened."""
    note = None if drive.session is None else _note_if_older(drive.session, drive)
    drive.current = True
    if drive.older and drive.writable:
        with suppress(OSError):  # it is told again next time
            begin_change(drive)
    if drive.session is not None and drive.identity.now is not None:
        note_looked(drive.session, drive.target.id, drive.identity.now)
    return note


def identity_at(path: bytes) -> TargetIdentity | None:
    """Like `read_identity`, by path; None also when the path can't be read at all."""
    try:
        with disk.Root(path) as root:
            return read_identity(root)
    except (OSError, Refused):
        return None


def family_ids(root: disk.Root) -> list[str]:
    """The ids other programs of the family gave it."""
    found = []
    for name in FAMILY_NAMES:
        try:
            identifier = family_target_id(name, root.read_whole(name, IDENTITY_LIMIT))
        except OSError:
            continue
        if identifier is not None and identifier not in found:
            found.append(identifier)
    return found


def learn_from(session: Session, identity: TargetIdentity) -> None:
    """Take up what a drive tells of its own history, and of the sources this session has."""
    ours = {source.id for source in list_sources(session)}
    told = (one.entry for one in identity.history)
    learn_history(session, (e for e in told if e.target == identity.id or (not e.target and e.source in ours)))


def write_identity(session: Session, drive: Drive) -> None:
    """Bring the identity file in line with what is known of the target. Raises Refused when it can't be written."""
    target = drive.target
    known = target_by_id(session, target.id)
    also = set(drive.identity.also) | set(aliases_of(session, known.key) if known else ())
    kept = {source: folder for folder, source in drive.identity.folders}
    kept.update(folders(session, known.key) if known else {})
    was = drive.identity
    drive.identity = replace(
        drive.identity,
        id=target.id,
        label=target.label,
        created=target.created if drive.identity.created is None else drive.identity.created,
        state=target.state,
        capacity=target.capacity,
        disk=target.disk,
        place=target.place,
        on_plug=target.on_plug,
        luks=target.luks,
        rev=target.rev,
        fs_uuid=drive.filesystem.uuid,
        also=tuple(sorted(also)),
        folders=tuple(sorted((folder, source) for source, folder in kept.items())),
    )
    told = {one.entry for one in was.history}
    ours = [
        entry for entry in list_history(session) if entry.target == target.id or (entry.source and not entry.target)
    ]
    news = any(entry.target == target.id and not entry.passing and entry not in told for entry in ours)
    if news or drive.is_new or drive.changed or drive.identity != was:
        drive.identity = replace(drive.identity, history=merged_history(was.history, ours))
    try:
        disk.write_whole(drive.root, TARGET_IDENTITY_NAME, render_target_identity(drive.identity))
    except OSError as error:
        raise Refused("not-writable", path=drive.root.path, error=error.strerror) from error


def locked_here(targets: Iterable[Target]) -> dict[str, str]:
    """The targets, by id, whose encrypted container is plugged in and not open, with its device (`/dev/sdb1`). The
    system is asked only where one of them was last seen in such a container."""
    inside = {target.id: target.luks for target in targets if target.luks}
    locked = {one.uuid: one.device for one in disk.locked_containers()} if inside else {}
    return {known: locked[uuid] for known, uuid in inside.items() if uuid in locked}
