"""Build a new session DB from the sidecars of sources and targets alone, reading no content."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from medback_core import disk, model
from medback_core.contexts.load import expect_again, take_up_gone, take_up_told
from medback_core.drives.check import look_at
from medback_core.drives.open import Drive, identity_at, open_drive
from medback_core.drives.retelling import retold, state_retold, words_on
from medback_core.drives.story import readable_context, told_in
from medback_core.errors import NeedsAnswer, Refused
from medback_core.model import CONTEXTS_KEPT, SIDECAR_NAME, Event, RebuildSummary, ScanSummary, Source, Target, Warned
from medback_core.scanning.scan_source import ScanRun, keep_gaps, start_run, summed_up, walk_source
from medback_core.scanning.sources import enter_source, refuse_overlap
from medback_core.session import Session, open_session
from medback_core.session.rollup import flush, refresh_oldest
from medback_core.session.scanning import forget_staged
from medback_core.session.source_list import listed_sources, write_source_list
from medback_core.session.sources import list_sources, save_source, source_by_id, source_by_key
from medback_core.session.targets import target_by_key
from medback_core.sidecar.source_metadata import SourceMetadata
from medback_core.sources.identity import metadata_at


def rebuilt_session(path: str | os.PathLike[str]) -> Session:
    """A new, empty session at `path`; the DB that was there is set aside and kept. Raises Refused."""
    return open_session(path, afresh=True)


def rebuild(session: Session, directories: Sequence[bytes] = ()) -> Iterator[Event]:
    """Fill a new, empty session from sidecars; the last event is a RebuildSummary.

    `directories` are sources, or targets that are plugged in; without any, the sources of the list beside the DB. The
    sources those were backed up together with are taken along where they are. Nothing is hashed and nothing is written
    to a source: files no sidecar gives a hash for are counted, and the next update hashes them. Raises Refused for a
    session that is not new and for directories given as `sort_directories` does.
    """
    with disk.lock_session(os.fsencode(session.path)):
        if list_sources(session):
            raise Refused("not-new")
        listed = listed_sources(session.path)  # before the first new source rewrites the list
        sources, targets = sort_directories(directories)
        waiting = deque(sources or ([] if targets else listed))
        with session.transaction():  # a rebuild that is cut off leaves a session that is built again, not a half one
            scans = yield from _from_sources(session, waiting, set(sources))
        introduced: list[Target] = []
        for path in targets:
            target = yield from _introduced(session, path)
            if target is not None:
                introduced.append(target)
        yield from expect_again(session)
        with session.transaction() as db:
            refresh_oldest(db)
        yield RebuildSummary(tuple(scans), tuple(introduced))


def _from_sources(
    session: Session, waiting: deque[bytes], given: Collection[bytes]
) -> Generator[Event, None, list[ScanSummary]]:
    """Take up the sources at these paths and those they were backed up together with."""
    run = start_run(session)
    seen: set[bytes] = set()
    scans: list[ScanSummary] = []
    away: list[bytes] = []
    siblings: dict[bytes, str] = {}  # path -> id
    while waiting:
        path = waiting.popleft()
        real = os.path.realpath(path)
        if real in seen or any(disk.is_same_directory(path, other) for other in seen):
            continue
        seen.add(real)
        metadata = metadata_at(path)
        try:
            source = _entered(session, path, metadata, given=path in given)
            summary = yield from _filled(session, source, run)
        except Refused as refusal:
            yield Warned("left-out", path=path, because=refusal)
            if metadata is None:
                away.append(path)
            continue
        scans.append(summary)
        yield summary
        for sibling in metadata.siblings if metadata is not None else ():
            siblings[sibling.path] = sibling.id
            waiting.append(sibling.path)
    # Kept in the list, whichever list it was read from, until they are back.
    entered = [path for path in away if source_by_id(session, siblings.get(path, "")) is not None]
    write_source_list(session, also=away, dropped=entered)
    return scans


def sort_directories(directories: Sequence[bytes]) -> tuple[list[bytes], list[bytes]]:
    """Sources and targets among the directories given. Raises Refused for one that is missing, and for one that has no
    records of either: the mount point of a drive that is not plugged in, or a drive that is no target."""
    sources: list[bytes] = []
    targets: list[bytes] = []
    for path in dict.fromkeys(map(os.path.abspath, directories)):
        if not os.path.isdir(path):
            raise Refused("missing/directory", path=path)
        if identity_at(path) is not None:
            targets.append(path)
        elif _is_source(path):
            sources.append(path)
        else:
            raise Refused("neither-source-nor-target", path=path)
    return sources, targets


def _is_source(path: bytes) -> bool:
    """Whether a directory has a source's metadata, or where that was lost a sidecar and nothing of a target's."""
    if metadata_at(path) is not None:
        return True
    there = {name for name in (SIDECAR_NAME, *CONTEXTS_KEPT) if os.path.lexists(os.path.join(path, name))}
    return there == {SIDECAR_NAME}


def _entered(session: Session, path: bytes, metadata: SourceMetadata | None, *, given: bool) -> Source:
    if not os.path.isdir(path):
        raise Refused("missing/source", path=path)
    if metadata is None and not given:
        raise Refused("not-mounted/no-metadata-yet", path=path)
    if metadata is not None and (known := source_by_id(session, metadata.id)) is not None:
        raise Refused("copy", path=path, source=known.alias)
    refuse_overlap(session, path)
    return enter_source(session, path, metadata=metadata)


def _filled(session: Session, source: Source, run: ScanRun) -> Generator[Event, None, ScanSummary]:
    """Take up all the sidecars of a source; returns its ScanSummary."""
    walked = yield from walk_source(session, source, run, hashing=False)
    with session.transaction() as db:
        forget_staged(session, source.key)
        now = source_by_key(session, source.key)
        save_source(session, replace(now, scanned_at=model.now(), device=walked.root.device, refused=""))
        keep_gaps(session, walked)
        flush(db)  # within the transaction of the whole rebuild
    return summed_up(session, walked)


def _take_up_gone(session: Session, drive: Drive) -> None:
    """What went from the sources, and when, from the newest context on the drive that can be read."""
    for name in CONTEXTS_KEPT:
        with suppress(OSError, Refused):
            fd, _ = drive.root.open_file(name)
            with os.fdopen(fd, "rb") as stream:
                take_up_gone(session, stream)
            return


def _take_up_untold(session: Session, drive: Drive) -> Iterator[Event]:
    """What the drive's sidecars tell of sources that no scan has seen here and no context on the drive tells of."""
    known = {source.id for source in list_sources(session) if source.scanned_at is not None}
    name = readable_context(drive.root)
    if name is not None:
        fd, _ = drive.root.open_file(name)
        with os.fdopen(fd, "rb") as stream:
            known.update(told.source for told in told_in(stream)[0])
    untold = {source for _, source in drive.identity.folders} - known
    if not untold:
        return
    with disk.portable.scratch_directory() as scratch:
        path, sources = yield from retold(drive.root, drive.identity, untold, scratch)
        if sources:
            told = {source: state_retold(drive.identity, source).at or None for source in sources}
            yield from take_up_told(session, path, told, teller=drive.target.name, keep=True)
            yield words_on(drive.target.name)


def _introduced(session: Session, path: bytes) -> Generator[Event, None, Target | None]:
    """Make a target known and fill in where its copies lie; returns it, or None when it was left out."""
    try:
        with open_drive(session, path, write=False) as drive:
            yield from drive.notes
            if not drive.identity.id:
                yield Warned("left-out/damaged-identity", path=path)
                return None
            yield from look_at(session, drive)
            _take_up_gone(session, drive)
            yield from _take_up_untold(session, drive)
            return target_by_key(session, drive.target.key)
    except NeedsAnswer as question:
        yield Warned("left-out", path=path, because=question)
        return None
