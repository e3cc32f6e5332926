"""Put a good copy where a damaged one is: proven first, then put in place, the bad one kept aside."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace

from medback_core import disk, model
from medback_core.disk import ContentDiffers, Staged
from medback_core.drives.aside import keep_damaged_file
from medback_core.drives.check import look_at
from medback_core.drives.drive import Drive, begin_change
from medback_core.drives.matching import same_time
from medback_core.drives.open import find_drive, find_drives, is_no_target, open_drive, resolve_target, write_identity
from medback_core.drives.sidecars import Recorder
from medback_core.errors import NeedsAnswer, Refused
from medback_core.model import (
    Event,
    Happened,
    Identity,
    Progress,
    Reason,
    Repaired,
    RepairSummary,
    Skipped,
    Source,
    Standing,
    Target,
    Trouble,
    Unrepairable,
    Warned,
)
from medback_core.pace import Pace, reporting
from medback_core.session import Session
from medback_core.session.copies import Copy, copies_of, find_identity, has_unplaced, identity_key, record_copies
from medback_core.session.digests import known_as, learn
from medback_core.session.files import ensure_directory, join, mark_trouble, paths_of_identity, record_files, troubled
from medback_core.session.history import note_files
from medback_core.session.sources import list_sources, source_by_key
from medback_core.session.targets import list_targets, target_by_key
from medback_core.sidecar import FileRecord, Trust
from medback_core.sources.sidecars import flush_sources

_AT_ONCE = 1000  # files of one directory whose records are written at once


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a good copy may lie."""

    root: bytes
    path: bytes
    name: str  # of the source or target, for people
    source: int = 0  # the key of the one it lies in
    target: int = 0


def _holds(
    session: Session, root: disk.Root, path: bytes, identity: Identity, *, source: int = 0, target: int = 0
) -> bool:
    """Whether a file holds this content; one that can't be read does not."""
    try:
        read = disk.content_on_drive(root, path, known_as(session, identity))
    except OSError:
        return False
    return read.identity == identity and learn(session, identity, read.blake3, path, source=source, target=target)


def repair(session: Session, path: bytes, *, from_target: str | None = None, dry_run: bool = False) -> Iterator[Event]:
    """Repair what is known to be damaged in a source or on a target; ends with a RepairSummary.

    Good content comes from the sources and the targets that are plugged in (or `from_target` alone), is hashed while it
    is copied and read back; the damaged file moves into `.medback-damaged/`. Raises Refused.
    """
    with ExitStack() as stack:
        stack.enter_context(disk.lock_session(os.fsencode(session.path)))
        only, only_at = resolve_target(session, from_target) if from_target is not None else (None, None)
        if from_target is not None and only is None:
            raise Refused("no-such-target/unknown", target=from_target)
        drive = None
        source = next((s for s in list_sources(session) if disk.is_same_directory(s.path, path)), None)
        if source is not None:
            yield from _look_for_places(session, only, only_at)
            steps = _repair_source(session, source, only, dry_run)
        else:
            if is_no_target(session, path):
                raise Refused("not-a-target/neither", path=path)
            drive = stack.enter_context(open_drive(session, path, write=not dry_run))
            yield from _look_for_places(session, only, only_at, but=drive.target)
            steps = _repair_target(session, drive, only, dry_run)
        repaired = unrepairable = 0
        try:
            for event in steps:
                repaired += isinstance(event, Repaired)
                unrepairable += isinstance(event, Unrepairable)
                yield event
        finally:
            if not dry_run:
                target = "" if drive is None else drive.target.id
                source_id = "" if source is None else source.id
                note_files(session, Happened.REPAIR, repaired, target=target, source=source_id)
        if not dry_run:
            if drive is not None and drive.changed:
                with suppress(Refused):  # it is told when it is next written to
                    write_identity(session, drive)
            yield from flush_sources(session)
        yield RepairSummary(repaired, unrepairable)


def _look_for_places(
    session: Session, only: Target | None, only_at: bytes | None, *, but: Target | None = None
) -> Iterator[Event]:
    """Look at the plugged-in targets of which it is not known where their copies lie: the session was rebuilt since
    they were last seen, or they are mounted elsewhere now."""
    for target in list_targets(session) if only is None else [only]:
        if but is not None and target.key == but.key:
            continue
        where = find_drive(session, target) if only_at is None else only_at
        if where is None or not (has_unplaced(session, target.key) or where != target.path):
            continue
        try:
            with open_drive(session, where, write=False) as drive:
                yield from look_at(session, drive)
        except (Refused, NeedsAnswer) as refusal:
            yield Warned("drive-not-read", target=target.name, because=refusal)


# --- a source ------------------------------------------------------------------------------------------------------


def _repair_source(session: Session, source: Source, only: Target | None, dry_run: bool) -> Iterator[Event]:
    with _opened(source.path) as root:
        for path, row in troubled(session, source.key):
            identity = Identity(row.size, row.md5)
            shown = os.path.join(source.path, path)
            try:
                status = root.stat(path)
            except OSError as error:
                yield Unrepairable(shown, Reason.system(error))
                continue
            if status is not None and (status.st_size, status.st_mtime_ns) != (row.size, row.mtime_ns):
                yield Unrepairable(shown, Reason("changed-since-scan"))
                continue
            places = [p for p in _places(session, row.identity, only) if (p.root, p.path) != (source.path, path)]
            if dry_run:
                yield _would(shown, places, session, row.identity)
                continue
            if not _holds(session, root, path, identity, source=source.key):
                yield from _replace(root, path, identity, row.mtime_ns, row.mode, places, session, row.identity)
            status = root.stat(path)
            if status is not None and _holds(session, root, path, identity, source=source.key):
                with session.transaction():
                    directory = ensure_directory(session, source.key, os.path.dirname(path))
                    mark_trouble(session, source.key, path, Trouble.NONE)
                    record_files(session, [(directory, os.path.basename(path), row.identity, status)])


# --- a target ------------------------------------------------------------------------------------------------------


def _repair_target(session: Session, drive: Drive, only: Target | None, dry_run: bool) -> Iterator[Event]:
    looked = yield from look_at(session, drive)
    recorder = Recorder(drive)
    mended = _Mended(b"")
    for directory, record in looked.spoilt:
        if record.md5 is None:
            continue
        path = join(directory, record.name)
        shown = os.path.join(drive.root.path, path)
        identity = Identity(record.size, record.md5)
        key = find_identity(session, identity) or identity_key(session, identity)
        there = next((c for c in copies_of(session, key) if c.target == drive.target.key and c.standing), None)
        if there is not None and there.path != path:
            yield Warned("sound-elsewhere", path=shown)
            if not dry_run:
                yield from _put_away(drive, recorder, path, record)
            continue
        if not record.ours:
            yield Unrepairable(shown, Reason("not-ours"))
            continue
        places = [p for p in _places(session, key, only) if (p.root, p.path) != (drive.root.path, path)]
        if dry_run:
            yield _would(shown, places, session, key)
            continue
        repaired = _holds(
            session, drive.root, path, identity, target=drive.target.key
        )  # by a run that was ended before it could record it
        try:
            if not repaired and places:
                begin_change(drive)
        except OSError as error:
            yield Unrepairable(shown, Reason("not-written-there", error=error.strerror))
            continue
        for event in (
            ()
            if repaired
            else _replace(
                drive.root,
                path,
                identity,
                record.mtime_ns,
                disk.in_any_group(record.mode),  # what it is copied from may be a copy too
                places,
                session,
                key,
            )
        ):
            repaired |= isinstance(event, Repaired)
            yield event
        if repaired:
            if mended.directory != directory or len(mended.copies) >= _AT_ONCE:
                yield from _record(session, recorder, mended)
                mended = _Mended(directory)
            fresh = replace(record, damaged=None, verified=model.now(), trust=Trust.WHOLE)
            recorder.put(directory, fresh)
            mended.paths.append(shown)
            mended.copies.append(
                Copy(key, drive.target.key, Standing.VERIFIED, path, record.mtime_ns, fresh.verified, True)
            )
    yield from _record(session, recorder, mended)
    recorder.try_commit()  # of what was put away


@dataclass
class _Mended:
    """Files of one directory that are whole again and not on record yet: its sidecar is written once for many of them.
    After a kill before that, the next repair finds them whole."""

    directory: bytes
    paths: list[bytes] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)


def _record(session: Session, recorder: Recorder, mended: _Mended) -> Iterator[Event]:
    if not mended.copies:
        return
    try:
        recorder.commit_for(mended.directory)
    except OSError as error:
        for shown in mended.paths:
            yield Skipped(shown, Reason("not-recorded", error=error.strerror or str(error)))
        return
    record_copies(session, mended.copies)


def _put_away(drive: Drive, recorder: Recorder, path: bytes, record: FileRecord) -> Iterator[Event]:
    """A damaged file that is not needed any more is kept aside; a file that a person changed is left alone."""
    try:
        status = drive.root.stat(path)
        if status is not None and record.ours and same_time(drive, status.st_mtime_ns, record.mtime_ns):
            begin_change(drive)
            keep_damaged_file(drive.root, path)
        recorder.drop(*os.path.split(path))
    except OSError as error:
        yield Unrepairable(os.path.join(drive.root.path, path), Reason("not-kept-aside", error=error.strerror))


# --- both ----------------------------------------------------------------------------------------------------------


def _places(session: Session, identity: int, only: Target | None) -> list[_Place]:
    """Where good content may be had now, best knowledge first: sources, then plugged-in targets."""
    found = []
    if only is None:
        for source_key, path, row in paths_of_identity(session, identity):
            if row.trouble == Trouble.NONE:
                source = source_by_key(session, source_key)
                found.append(_Place(source.path, path, source.alias, source=source_key))
    for copy in sorted(copies_of(session, identity), key=lambda c: (-c.standing, -(c.verified_at or 0))):
        target = target_by_key(session, copy.target)
        if copy.path is None or (only is not None and target.key != only.key):
            continue
        where = find_drive(session, target)
        if where is not None:
            found.append(_Place(where, copy.path, target.name, target=target.key))
    return found


def _helpful(session: Session, identity: int) -> Reason:
    """What would help when no good copy is plugged in."""
    away = [target_by_key(session, c.target) for c in copies_of(session, identity)]
    plugged = find_drives(session, away)
    labels = tuple(target.name for target in away if target.id not in plugged)
    return Reason("plug-in", targets=labels) if labels else Reason("no-other-copy")


def _would(shown: bytes, places: list[_Place], session: Session, identity: int) -> Event:
    return Repaired(shown, places[0].name) if places else Unrepairable(shown, _helpful(session, identity))


def _replace(
    root: disk.Root,
    path: bytes,
    identity: Identity,
    mtime_ns: int,
    mode: int,
    places: list[_Place],
    session: Session,
    key: int,
) -> Iterator[Event]:
    """Put proven content in the place of a damaged file, which is kept aside; yields Repaired or Unrepairable."""
    shown = os.path.join(root.path, path)
    problems: list[Reason] = []
    for place in places:
        try:
            with disk.Root(place.root) as origin, disk.Group(root) as group:
                staged = yield from _stage(session, group, origin, place, path, identity, mtime_ns, mode)
                problem = _put(group, staged, identity)
        except ContentDiffers:
            problems.append(Reason("damaged-there-too", place=place.name))
            continue
        except OSError as error:
            problems.append(Reason("not-from-there", place=place.name, error=error.strerror))
            continue
        # What can't be written here is no fault of that place: another would fare no better.
        yield Repaired(shown, place.name) if problem is None else Unrepairable(shown, problem)
        return
    yield Unrepairable(shown, Reason("nothing-good", help=_helpful(session, key), problems=tuple(problems)))


def _put(group: disk.Group, staged: Staged, identity: Identity) -> Reason | None:
    """Give proven content its name, the damaged file kept aside first; why not, where that fails."""
    try:
        group.flush()
        if group.read_back(staged)[0] != identity.md5:
            return Reason("read-back-otherwise")
        keep_damaged_file(group.root, staged.rel)
        group.publish_all()
    except OSError as error:
        return Reason("not-written-there", error=error.strerror)
    return None


def _stage(
    session: Session,
    group: disk.Group,
    origin: disk.Root,
    place: _Place,
    path: bytes,
    identity: Identity,
    mtime_ns: int,
    mode: int,
) -> Generator[Event, None, Staged]:
    shown = os.path.join(group.root.path, path)
    fd, _ = origin.open_file(place.path)
    try:
        known = known_as(session, identity).blake3
        steps = group.stage_copy(path, fd, expected=identity, mtime_ns=mtime_ns, mode=mode, blake3=known)
        staged = yield from reporting(
            steps, Pace(), lambda done: Progress("repairing", 0, done, None, identity.size, shown)
        )
        if not learn(session, identity, staged.blake3, place.path, source=place.source, target=place.target):
            raise ContentDiffers(identity)
        return staged
    finally:
        os.close(fd)


def _opened(path: bytes) -> disk.Root:
    try:
        return disk.Root(path, across=True)
    except OSError as error:
        raise Refused("no-such-path/error", path=path, error=error.strerror) from error
