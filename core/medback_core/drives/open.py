"""Open a drive as a target: who is it, is it really there, may it be written to. Never guess: ask."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from medback_core import disk, model, names
from medback_core.drives.drive import (
    Drive,
    compare_state,
    family_ids,
    identity_at,
    learn_from,
    read_identity,
    write_identity,
)
from medback_core.errors import NeedsAnswer, Refused, UsageError
from medback_core.model import (
    NO_ANSWERS,
    TARGET_IDENTITY_NAME,
    Answers,
    Happened,
    HistoryEntry,
    OnPlug,
    Target,
    TargetState,
    Warned,
)
from medback_core.session import Session
from medback_core.session.history import note_event
from medback_core.session.needs import machine_place, named_places, spelled
from medback_core.session.sources import list_sources, new_id
from medback_core.session.targets import (
    add_alias,
    disk_groups,
    find_target,
    free_label,
    is_target_name,
    list_targets,
    note_disk,
    note_used,
    save_folder,
    save_target,
    target_by_id,
    targets_at,
)
from medback_core.sidecar import TargetIdentity
from medback_core.sidecar.values import NUMBER_MAX
from medback_core.sources.sidecars import flush_sources

_HEALTH_EVERY = 86_400  # seconds between two questions to a disk


def _open_root(path: bytes) -> disk.Root:
    try:
        return disk.Root(os.path.abspath(path))
    except FileNotFoundError as error:
        raise Refused("no-such-path", path=path) from error
    except NotADirectoryError as error:
        raise Refused("not-a-directory", path=path) from error
    except OSError as error:
        raise Refused("unreadable", path=path, error=error.strerror) from error


def nested_target(session: Session, path: bytes) -> Refused | None:
    """Why a target at this place would share files with another one: it lies in that, or that in it. None where it
    doesn't. One file would count as two copies then."""
    for target in list_targets(session):
        if target.path is None:
            continue
        way = disk.lies(path, target.path, mounted=False)
        if way is not disk.Lies.INSIDE and way is not disk.Lies.AROUND:
            continue
        there = identity_at(target.path)
        if there is not None and there.id == target.id:
            return Refused(f"overlap/{way.value}-target", path=path, target=target.name, where=target.path)
    real = os.path.realpath(path)
    device = os.stat(real).st_dev
    for above in names.and_above(os.path.dirname(real)):
        if os.stat(above).st_dev != device:
            break
        if os.path.lexists(os.path.join(above, TARGET_IDENTITY_NAME)):
            return Refused("overlap/on-a-target", path=path, where=above)
    return None


def _target_inside(root: disk.Root) -> Refused | None:
    """Why a place would lie around a target that this session may not know; None where it doesn't. Looks at every
    directory there, as the first look at a new target does anyway."""
    for here, entries, _ in root.walk():  # what can't be read is told by the look
        if here and TARGET_IDENTITY_NAME in entries:
            return Refused("overlap/around-a-target", path=root.path, where=os.path.join(root.path, here))
    return None


def shares_disk(session: Session, filesystem: disk.FileSystem) -> str | None:
    """The alias of a source on the same physical disk, None when there is none that is known to be."""
    for source in list_sources(session):
        try:
            if disk.share_disk(filesystem, disk.describe(source.path)):
                return source.alias
        except OSError:
            continue  # a source that is not there shares nothing now
    return None


def _on_one_disk(session: Session, filesystem: disk.FileSystem, id: str) -> list[tuple[Target, bool]]:
    """Of each other target that is here now and of which it can be known: whether it lies on the same disk. Only what
    is mounted at this moment is compared: device numbers are given again."""
    found: list[tuple[Target, bool]] = []
    for target in list_targets(session):
        if target.path is None or target.id == id:
            continue
        there = identity_at(target.path)
        try:
            same = (
                None
                if there is None or there.id != target.id
                else disk.share_disk(filesystem, disk.describe(target.path))
            )
        except OSError:
            continue  # gone this very moment
        if same is not None:
            found.append((target, same))
    return found


@contextmanager
def open_drive(
    session: Session,
    path: bytes,
    *,
    write: bool,
    answers: Answers = NO_ANSWERS,
    label: str | None = None,
    capacity: int | None = None,
    as_it_is: bool = False,
    place: str | None = None,
) -> Iterator[Drive]:
    """Open the drive at `path`, identified, and keep its lock while in use.

    `write` false never writes there; a drive that is no target can then be read too (its `identity.id` is empty), and
    with `as_it_is` a clone (it is `doubtful`). `answers` say what is to be done with what is no target, or a clone.
    With `as_it_is` a drive that does not say who it is, or can't be read to, is opened to be read only, whatever
    `write` says. Raises Refused, NeedsAnswer, UsageError; nothing is changed then.
    """
    _check_capacity(capacity)
    check_label(label)
    with _open_root(path) as root, disk.lock_drive(root):
        filesystem = disk.describe(root.path)
        if write:
            for source in list_sources(session):
                way = disk.lies(root.path, source.path)
                if way is not None and way is not disk.Lies.SHARES:
                    raise Refused(f"overlap/{way.value}-source", path=root.path, source=source.alias)
            if filesystem.read_only:
                raise Refused("read-only", path=path)
        nested = nested_target(session, root.path) if write else None
        if write and root.stat(TARGET_IDENTITY_NAME) is None:  # before anybody is asked
            nested = nested or _target_inside(root)
            if nested is not None:
                _refuse_nested(nested, is_new=True)
        drive = _identify(session, root, filesystem, write, answers, as_it_is)
        if nested is not None and drive.writable:
            _refuse_nested(nested, is_new=drive.is_new)
        if drive.identity.id and not drive.doubtful:
            compare_state(session, drive)
        if write:
            _take_up(session, drive, label, capacity, place)
        together = _on_one_disk(session, filesystem, drive.target.id)
        shared = shares_disk(session, filesystem) if write else None
        if shared is not None:
            drive.notes.append(Warned("same-disk", path=path, source=shared))
        if drive.identity.id and not drive.doubtful:
            _see(session, drive, write)
            # Keep what was seen; what is news is told once, for all of them together.
            key = drive.target.key
            news = [target for target, same in together if note_disk(session, key, target.key, same) and same]
            group = next((group for group in disk_groups(session) if any(one.key == key for one in group)), ())
            if any(target.key == one.key for target in news for one in group):
                drive.notes.append(Warned("one-disk", targets=tuple(target.name for target in group)))
        if not write:
            _take_up(session, drive, label, capacity, place)  # as it would be: nothing is written
        try:
            yield drive
        finally:
            if drive.target.key >= 0 and not drive.doubtful:
                note_used(session, drive.target.key, free=root.free_bytes())


def _refuse_nested(nested: Refused, *, is_new: bool) -> None:
    if is_new:
        raise Refused("overlap/nested", because=nested)
    raise Refused("nested", because=nested)


def _check_capacity(capacity: int | None) -> None:
    if capacity is not None and not 0 <= capacity <= NUMBER_MAX:
        raise UsageError("usage/capacity", most=NUMBER_MAX)


def check_label(label: str | None) -> None:
    """Raises UsageError for a label that can't be seen, or would be taken for a path where it is typed. Older ones can
    have a slash."""
    reason = names.check_component(names.from_text(label.strip())) if label else None
    if reason is not None:
        raise UsageError("usage/label", label=label, reason=reason)


def _take_up(session: Session, drive: Drive, label: str | None, capacity: int | None, place: str | None) -> None:
    """Take up what a person says of a target, where it is new. A new target is kept where this machine is, which is
    said where anybody ever named a place."""
    target = drive.target
    if place is None and drive.is_new and named_places(session):
        place = machine_place(session)
    said = replace(
        target,
        label=target.label if label is None else names.utf8(label),
        capacity=target.capacity if capacity is None else capacity,
        place=target.place if place is None else spelled(session, place),
    )
    if said != target:
        drive.target = replace(said, rev=target.rev + (0 if drive.is_new else 1))


def _identify(
    session: Session,
    root: disk.Root,
    filesystem: disk.FileSystem,
    write: bool,
    answers: Answers,
    as_it_is: bool,
) -> Drive:
    try:
        identity = read_identity(root)
    except Refused as refusal:
        if not as_it_is:
            raise
        return _as_it_is(session, root, filesystem, refusal)
    if identity is None or not identity.id:
        if as_it_is:
            return _as_it_is(session, root, filesystem, None if identity is None else Warned("identity-damaged"))
        return _without_identity(session, root, filesystem, identity, write, answers)
    known = target_by_id(session, identity.id)
    drive = Drive(root, _merged(known, identity), filesystem, identity, writable=write)
    reason = _clone_reason(known, identity, root, filesystem)
    if reason is None or answers.same_drive:
        return drive
    if not answers.new_id:
        if as_it_is and not write:
            drive.notes.append(reason)
            drive.doubtful = True
            return drive
        raise NeedsAnswer("clone", because=reason)
    label = free_label(session, drive.target.label)
    target = Target(-1, new_id(), label, capacity=drive.target.capacity, created=model.now())
    identity = replace(identity, id=target.id, also=(), now=None)  # the state is that of the other one
    return Drive(root, target, filesystem, identity, is_new=True, writable=write)


def _merged(known: Target | None, identity: TargetIdentity) -> Target:
    """What the session knows and what the drive says of itself: the higher rev wins, a tie goes to the worse state."""
    said = Target(
        -1 if known is None else known.key,
        identity.id if known is None else known.id,
        identity.label,
        identity.state,
        True,
        identity.rev,
        identity.capacity,
        created=identity.created,
        disk=identity.disk,
        place=identity.place,
        on_plug=identity.on_plug,
        luks=identity.luks,
    )
    if known is None:
        return said
    if not known.known or (said.rev, said.state.badness) > (known.rev, known.state.badness):
        facts = {"label": said.label, "state": said.state, "rev": said.rev, "capacity": said.capacity}
        return replace(known, known=True, disk=said.disk, place=said.place, on_plug=said.on_plug, **facts)
    return known


def _clone_reason(
    known: Target | None, identity: TargetIdentity, root: disk.Root, filesystem: disk.FileSystem
) -> Warned | None:
    called = identity.label or identity.id
    if known is not None and known.path is not None and known.path != root.path:
        there = identity_at(known.path)
        is_it = there is not None and there.id == identity.id
        if is_it and not os.path.samestat(os.stat(root.fd), os.stat(known.path)):
            return Warned("two-of-one", path=root.path, other=known.path, target=called)
    if disk.same_uuid(identity.fs_uuid, filesystem.uuid) is False:
        return Warned("other-file-system", path=root.path, target=called)
    return None


def _as_it_is(session: Session, root: disk.Root, filesystem: disk.FileSystem, reason: Refused | Warned | None) -> Drive:
    """A drive that does not say who it is, to be read by what lies there: `reason` is why it doesn't, None where there
    is no identity file. Raises Refused for an empty place a target was last seen at: no drive is mounted there."""
    target = Target(-1, "", os.path.basename(os.fsdecode(root.path)), known=False)
    drive = Drive(root, target, filesystem, TargetIdentity(id="", label=target.label), writable=False)
    last = [target for target in targets_at(session, root.path) if target.known]
    if last and not any(True for _ in root.scan(b"")):
        raise Refused("not-plugged-in/empty", path=root.path, target=last[0].name)
    if reason:
        drive.notes.append(Warned("unnamed-drive", path=root.path, because=reason))
    elif last:
        drive.notes.append(Warned("identity-lost", path=root.path, target=last[0].name))
    return drive


def counted_here(session: Session, drive: Drive) -> Target | None:
    """Of a drive that does not say who it is: the target whose copies count and that was last seen there, as far as the
    file system tells."""
    for target in targets_at(session, drive.root.path):
        if target.known and disk.same_uuid(target.fs_uuid, drive.filesystem.uuid) is not False:
            return target if target.counts else None
    return None


def _without_identity(
    session: Session,
    root: disk.Root,
    filesystem: disk.FileSystem,
    damaged: TargetIdentity | None,
    write: bool,
    answers: Answers,
) -> Drive:
    last = [target for target in targets_at(session, root.path) if target.known]
    if last:
        was = last[0]
        if answers.same_drive:
            identity = TargetIdentity(id=was.id, label=was.label, created=was.created, fs_uuid=filesystem.uuid)
            return Drive(root, was, filesystem, identity, writable=write)
        if not answers.create:
            raise NeedsAnswer(
                "not-plugged-in/damaged-identity" if damaged is not None else "not-plugged-in/no-identity",
                path=root.path,
                target=was.name,
            )
    if damaged is not None and not answers.create:
        raise NeedsAnswer("damaged-identity", path=root.path)
    family = [] if answers.new_id else family_ids(root)
    if not write:
        target = Target(-1, "", os.path.basename(os.fsdecode(root.path)), known=False)
        return Drive(root, target, filesystem, TargetIdentity(id="", label=target.label), writable=False)
    known = target_by_id(session, family[0]) if family else None
    if known is not None and known.known:
        # A target has an identity file of medback's: this is another drive with the same file of the family, or that
        # target after it lost its own.
        if not answers.same_drive:
            raise NeedsAnswer("clone/no-identity", path=root.path, target=known.name)
        identity = TargetIdentity(id=known.id, label=known.label, created=known.created, fs_uuid=filesystem.uuid)
        return Drive(root, known, filesystem, identity, writable=write)
    if not (answers.create or answers.yes):
        raise _question(session, root, filesystem)
    identifier = family[0] if family else new_id()
    label = free_label(session, names.utf8(names.text(os.path.basename(root.path))) or identifier)
    target = Target(-1 if known is None else known.key, identifier, label, created=model.now())
    identity = TargetIdentity(id=identifier, label=label, created=target.created, also=tuple(family[1:]))
    gone = _gone_from_here(session, root, filesystem)
    for each in gone:
        save_target(session, replace(each, state=TargetState.LOST, rev=each.rev + 1))
    notes = [Warned("drive-emptied", target=each.name) for each in gone]
    if last and last[0].state is not TargetState.LOST and last[0] not in gone:
        notes.append(Warned("another-was-there", target=last[0].name, id=last[0].id))
    return Drive(root, target, filesystem, identity, is_new=True, notes=notes)


def _gone_from_here(session: Session, root: disk.Root, filesystem: disk.FileSystem) -> list[Target]:
    """The targets that were on this very file system, in this directory, and are not there any more: it was emptied, or
    formatted with its old UUID. Where all of the file system becomes a target they could be in any directory of it:
    `root` was looked through, and there is no target in it. A bind mount, or a subvolume, tells of none."""
    if not filesystem.shows_all:
        return []
    is_all = filesystem.mount_point == os.path.realpath(root.path)
    return [
        target
        for target in list_targets(session)
        if target.state is not TargetState.LOST
        and disk.same_uuid(target.fs_uuid, filesystem.uuid) is True
        and (is_all or target.path == root.path)
        and find_drive(session, target) is None  # an image of this drive has its UUID, and may be plugged in
    ]


def _question(session: Session, root: disk.Root, filesystem: disk.FileSystem) -> NeedsAnswer:
    shared = shares_disk(session, filesystem)
    others = tuple(target.name for target, same in _on_one_disk(session, filesystem, "") if same)
    notes = [Warned("dies-with", targets=others)] if others else []
    notes += [Warned("same-disk", path=root.path, source=shared)] if shared is not None else []
    return NeedsAnswer(
        "new-target",
        path=root.path,
        kind=filesystem.kind,
        mount=filesystem.mount_point,
        total=filesystem.total,
        free=filesystem.free,
        notes=tuple(notes),
    )


def _see(session: Session, drive: Drive, write: bool) -> None:
    """The drive is here: take that up in the session and, where it may be written, in the drive's identity."""
    target = drive.target
    found = target.state is TargetState.LOST
    if found:
        target = replace(target, state=TargetState.SUSPECT, rev=target.rev + 1)
        drive.notes.append(Warned("found-again", target=target.name))
    target = replace(
        target,
        known=True,
        path=drive.root.path,
        device=drive.root.device if drive.root.device < 1 << 63 else None,
        fs_uuid=drive.filesystem.uuid or target.fs_uuid,
        fs_type=drive.filesystem.kind,
        created=target.created or drive.identity.created,
        seen_at=model.now(),
        free_bytes=drive.filesystem.free,
        total_bytes=drive.filesystem.total,
        luks=disk.container_of(drive.filesystem),
        on_plug=target.on_plug or drive.identity.on_plug,
    )
    read_before = target.health_at
    target = _ask_health(drive, target)
    learn_from(session, drive.identity)
    note_event(session, HistoryEntry(model.now(), Happened.VISIT, target.id))
    if target.health_at is not None and target.health_at != read_before:
        entry = HistoryEntry(target.health_at, Happened.HEALTH, target.id, health=target.health or "")
        note_event(session, entry)
    drive.target = replace(target, key=-1)
    if write:
        write_identity(session, drive)  # on the drive first: a target that can't be found again is none
    drive.target = save_target(session, target)
    if found:
        for _ in flush_sources(session):
            pass  # whatever comes of what is done with it; what can't be written now stays dirty
    for tid in drive.identity.also:
        add_alias(session, drive.target.key, tid)
    for folder, source_id in drive.identity.folders:
        save_folder(session, drive.target.key, source_id, folder)


def _ask_health(drive: Drive, target: Target) -> Target:
    """What its disk says of itself, asked once a day at most; a disk that says it fails is told of. That is advice: its
    state stays what people said."""
    if target.health_at is None or model.now() - target.health_at > _HEALTH_EVERY:
        found = disk.health_of(drive.filesystem)
        if found is not None:
            target = replace(target, health=found, health_at=model.now())
    if target.health == disk.FAILING and target.counts:
        drive.notes.append(Warned("disk-failing", target=target.name))
    return target


def is_no_target(session: Session, path: bytes) -> bool:
    """Whether a directory neither says that it is a target nor was one's last place: what can't make one of it refuses
    it rather than ask. Raises Refused for an identity file that can't be read."""
    with _open_root(path) as root:
        return read_identity(root) is None and not any(target.known for target in targets_at(session, root.path))


def find_drive(session: Session, target: Target) -> bytes | None:
    """Where a known target is plugged in now: where it was last seen, or any mounted drive that says it is it."""
    return find_drives(session, [target]).get(target.id)


def find_drives(session: Session, targets: Iterable[Target]) -> dict[str, bytes]:
    """`find_drive` of several: their ids, and where those are that are plugged in. Each mounted drive is looked at
    once, however many targets there are."""
    found: dict[str, bytes] = {}
    mounted: dict[str, bytes] | None = None
    for target in targets:
        if target.path is not None and (there := identity_at(target.path)) is not None and there.id == target.id:
            found[target.id] = target.path
            continue
        if mounted is None:
            mounted = {}
            for mount in disk.removable_mounts():
                if (said := identity_at(mount.path)) is not None:
                    mounted.setdefault(said.id, mount.path)
        if target.id in mounted:
            found[target.id] = mounted[target.id]
    return found


def resolve_target(session: Session, word: str) -> tuple[Target | None, bytes | None]:
    """What a TARGET argument names: an existing directory, an id, or a label. (target if known, path if plugged in).

    A directory that is no target (an empty mount point, say) gives way to a target called so. Raises Refused for a word
    that is none of these.
    """
    path, there = names.from_text(word), None
    try:
        if stat.S_ISDIR(os.stat(path).st_mode):
            there = os.path.abspath(path)
    except (OSError, ValueError):
        pass  # no such directory: an id or a label, then
    if there is not None:
        identity = identity_at(there)
        known = target_by_id(session, identity.id) if identity is not None and identity.id else None
        if known is not None or not is_target_name(session, word):
            return known, there
    try:
        target = find_target(session, word)
    except Refused:
        here = _calls_itself(word)
        if here is None and b"/" in path:
            raise Refused("no-such-path", path=word) from None
        if here is None:
            raise
        return None, here
    return target, find_drive(session, target)


def _calls_itself(word: str) -> bytes | None:
    """Where a drive is plugged in that no session has to know: it says itself that this is its id or label."""
    for mount in disk.removable_mounts():
        identity = identity_at(mount.path)
        if identity is not None and identity.id and names.utf8(word) in (identity.id, identity.label):
            return mount.path
    return None


def set_target(
    session: Session,
    word: str,
    *,
    state: TargetState | None = None,
    label: str | None = None,
    capacity: int | None = None,
    unlimited: bool = False,
    disk_name: str | None = None,
    place: str | None = None,
    on_plug: OnPlug | None = None,
) -> Target:
    """Change what people say of a target; kept in the DB, in every mounted source's metadata, and on the drive itself
    when it is plugged in and can be written. `unlimited`: it has no `capacity` any more. `disk_name`: the disk it lies
    on, whatever the kernel tells of it; "" to go by that again. `place`: where it is kept; "" where this machine is.
    `on_plug`: what `watch` does with it. Raises Refused, UsageError; nothing is changed then."""
    _check_capacity(capacity)
    check_label(label)
    with disk.lock_session(os.fsencode(session.path)):
        target, path = resolve_target(session, word)
        if target is None:
            raise Refused("no-such-target/unknown", target=word)
        changed = replace(
            target,
            state=target.state if state is None else state,
            label=target.label if label is None else names.utf8(label),
            capacity=None if unlimited else target.capacity if capacity is None else capacity,
            disk=target.disk if disk_name is None else names.utf8(disk_name) or None,
            place=target.place if place is None else spelled(session, place),
            on_plug=on_plug or target.on_plug,
        )
        if changed != target:
            changed = save_target(session, replace(changed, rev=target.rev + 1))
            for _ in flush_sources(session):
                pass
        if path is not None:
            _tell_drive(session, changed, path)
        return changed


def _tell_drive(session: Session, target: Target, path: bytes) -> None:
    try:
        with disk.Root(path) as root, disk.lock_drive(root):
            identity = read_identity(root)
            if identity is not None and identity.id == target.id:
                write_identity(session, Drive(root, target, disk.describe(path), identity))
    except (OSError, Refused):
        return  # the drive learns it when it is next written to: the higher rev wins
