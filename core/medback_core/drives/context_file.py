"""The restore context every target carries: from any surviving drive one learns all that existed and where it lies."""

from __future__ import annotations

import io
import os
from dataclasses import replace

from medback_core import disk
from medback_core.context import foreign_sections
from medback_core.contexts.write import Tally, context_of
from medback_core.drives.open import Drive, write_identity
from medback_core.drives.story import CONTEXTS_KEPT, told_in
from medback_core.errors import Refused
from medback_core.model import CONTEXT_NAME, Count, Source, Target, TargetState
from medback_core.session import Session, list_sources, list_targets
from medback_core.session.states import SOURCE, TARGET, known_state
from medback_core.sidecar import Holder, Remembered

_CHUNK = 1 << 20


def write_contexts(session: Session, drive: Drive) -> None:
    """Write the session's context onto the drive; the last three are kept. Sections of sources this session does not
    know are kept word for word. What it tells of goes into the drive's identity in short, so that it can be announced.
    Raises OSError; an old context is then still there."""
    drive.check()
    root = drive.root
    known = {source.id for source in list_sources(session)} | {t.id for t in list_targets(session, unknown=True)}
    with disk.Group(root, group_sync=False) as group:
        foreign = _foreign(root, known)
        tally = Tally()
        staged = group.stage_stream(CONTEXT_NAME, context_of(session, foreign=foreign, tally=tally))
        group.flush()
        if not _is_current(root, staged.identity.size, staged.identity.md5):
            _keep_older(root)
            for _, error in group.publish():
                if error is not None:
                    raise error
    _remember(session, drive, tally, foreign)


def _remember(session: Session, drive: Drive, tally: Tally, foreign: list[bytes]) -> None:
    """Say in the drive's identity what its context tells of. Raises Refused."""
    was = {told.source: told for told in drive.identity.remembers}
    targets = {target.id: target for target in list_targets(session) if target.state is not TargetState.LOST}
    remembers = [
        _told_of(session, source, tally.by_source[source.id])
        for source in list_sources(session)
        if tally.by_source[source.id].files
    ]
    holders = {id: _holder(session, drive, targets[id]) for id in tally.holders if id in targets}
    if foreign:
        others, on = told_in(io.BytesIO(b'<root v="1">%b</root>' % b"".join(foreign)))
        remembers += [was.get(told.source, told) for told in others]
        holders = {holder.id: holder for holder in on} | holders
    said = (
        tuple(sorted(remembers, key=lambda told: told.source)),
        tuple(sorted(holders.values(), key=lambda holder: (holder.label, holder.id))),
    )
    if said != (drive.identity.remembers, drive.identity.holders):
        drive.identity = replace(drive.identity, remembers=said[0], holders=said[1])
        write_identity(session, drive)


def _holder(session: Session, drive: Drive, target: Target) -> Holder:
    state = drive.identity.now if target.id == drive.identity.id else known_state(session, TARGET, target.id)
    return Holder(target.id, target.label, None if state is None else state.at)


def _told_of(session: Session, source: Source, count: Count) -> Remembered:
    state = known_state(session, SOURCE, source.id)
    at = source.scanned_at if source.scanned_at is not None else source.told_at
    told = Remembered(source.id, source.alias, count.files, count.bytes, at=at)
    return told if state is None else replace(told, n=state.n, at=state.at, stamp=state.stamp)


def _keep_older(root: disk.Root) -> None:
    """Make the context that is there the first of the older ones. It is copied, not moved: at every instant there is a
    whole one under the name people look for. Raises OSError."""
    try:
        fd, _ = root.open_file(CONTEXT_NAME)
    except FileNotFoundError:
        return
    with os.fdopen(fd, "rb") as stream, disk.Group(root, group_sync=False) as group:
        if root.stat(CONTEXTS_KEPT[1]) is not None:
            oldest = root.stat(CONTEXTS_KEPT[2])
            if oldest is not None:
                disk.remove(root, CONTEXTS_KEPT[2], expect=oldest)
            disk.move(root, CONTEXTS_KEPT[1], CONTEXTS_KEPT[2])
        group.stage_stream(CONTEXTS_KEPT[1], iter(lambda: stream.read(_CHUNK), b""))
        for _, error in group.publish():
            if error is not None:
                raise error


def _foreign(root: disk.Root, known: set[str]) -> list[bytes]:
    """Sections of other sessions in the newest context that can be read."""
    for name in CONTEXTS_KEPT:
        try:
            fd, _ = root.open_file(name)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as stream:
            try:
                return list(foreign_sections(stream, known))
            except Refused:
                continue  # damaged: an older one may still have them
    return []


def _is_current(root: disk.Root, size: int, md5: bytes) -> bool:
    there = root.stat(CONTEXT_NAME)
    if there is None or there.st_size != size:
        return False
    try:
        return disk.content_on_drive(root, CONTEXT_NAME).md5 == md5
    except OSError:
        return False
