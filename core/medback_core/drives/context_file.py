"""The restore context every target carries: from any surviving drive one learns all that existed and where it lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import chain
from typing import BinaryIO, NamedTuple

from medback_core import disk
from medback_core.context import (
    ContextItem,
    FileEntry,
    Pieces,
    Section,
    TargetLine,
    read_section,
    section_bytes,
    sections_in,
    state_of,
    target_lines,
)
from medback_core.contexts import kept
from medback_core.contexts.merge import Incoming, merge_section, order_of
from medback_core.contexts.write import ContextCounts, context_of
from medback_core.drives.drive import Drive, write_identity
from medback_core.drives.story import told_in
from medback_core.errors import Refused
from medback_core.model import (
    CONTEXT_NAME,
    CONTEXTS_KEPT,
    STAMP_DIGITS,
    Count,
    Event,
    Order,
    Reason,
    Skipped,
    Source,
    State,
    Target,
    TargetState,
)
from medback_core.session import Session
from medback_core.session.scanning import has_gone
from medback_core.session.sources import list_sources
from medback_core.session.states import SOURCE, TARGET, current_state, known_state, note_stamp, was_read
from medback_core.session.targets import list_targets
from medback_core.sidecar import Holder, Remembered
from medback_core.sources.sidecars import flush_sources

_CHUNK = 1 << 20


def write_contexts(session: Session, drive: Drive, scanned: Collection[str] = (), *, instead: bool = False) -> None:
    """Write the session's context onto the drive; the last three are kept. `scanned` are the ids of the sources that
    were scanned since the drive was opened. `instead`: the newest there is this run's own, and is not kept beside it.
    Raises OSError; an old context is then still there.

    A source's section is written only by a session that scanned it. What others wrote is read before it is replaced:
    where the source was scanned just now, into what is remembered of it; else it is kept, word for word, with the
    target lines it stood behind, until a section that descends from it takes its place. So a rotation never loses what
    only one section tells. What the context tells of goes into the drive's identity in short, so that it can be
    announced.
    """
    drive.check()
    root = drive.root
    sources = [source for source in list_sources(session) if source.scanned_at is not None]
    with ExitStack() as stack:
        tales = [] if _is_as_left(session, drive, sources) else list(_tales(session, root, stack))
        if _read_and_merge(session, [source for source in sources if source.id in scanned], tales):
            for _ in flush_sources(session):
                pass  # what can't be written now stays dirty
        for source in sources:
            # A new one is made before anything is read for writing. What was not looked at is not of today.
            current_state(session, source.id, None if source.id in scanned else source.scanned_at)
        # The sections to be kept word for word: those from which neither ours nor another kept one descends.
        ours = {source.id for source in sources}
        found: list[_Tale] = []
        for tale in tales:
            if tale.section.id in ours and _is_superseded(session, tale):
                continue
            others = [one for one in found if one.section.id == tale.section.id]
            if any(one.state.order(tale.state) in (Order.SAME, Order.NEWER) or _tells_all(one, tale) for one in others):
                continue
            found = [one for one in found if one not in others or tale.state.order(one.state) is not Order.NEWER]
            if _is_sound(tale):
                found.append(tale)
        foreign = sorted(found, key=lambda tale: (str(tale.section.targets), tale.section.id, tale.state.stamp))
        with disk.Group(root, group_sync=False) as group:
            tally = ContextCounts()
            chunks = context_of(session, _words(foreign), sources=sources, tally=tally)
            staged = group.stage_stream(CONTEXT_NAME, chunks)
            group.flush()
            if not _is_current(root, staged.identity.size, staged.identity.md5):
                if not instead:
                    _keep_older(root)
                group.publish_all()
            note_stamp(session, _stamp(staged.identity.md5))
        _remember(session, drive, sources, tally, foreign)
        if not foreign:
            note_stamp(session, _as_left(session, drive, sources))


def leave_contexts(
    session: Session, drive: Drive, scanned: Collection[str] = (), *, instead: bool = False
) -> Iterator[Event]:
    """Bring the drive's identity and its contexts up to date (see `write_contexts`); what can't be written is told."""
    try:
        write_identity(session, drive)
        write_contexts(session, drive, scanned, instead=instead)
    except (OSError, Refused) as error:
        why = error if isinstance(error, Refused) else error.strerror or str(error)
        yield Skipped(os.path.join(drive.root.path, CONTEXT_NAME), Reason("context-not-written", error=why))


def _remember(
    session: Session, drive: Drive, sources: Sequence[Source], tally: ContextCounts, foreign: list[_Tale]
) -> None:
    """Say in the drive's identity what its context tells of. Raises Refused."""
    was = {told.source: told for told in drive.identity.remembers}
    targets = {target.id: target for target in list_targets(session) if target.state is not TargetState.LOST}
    remembers = [
        _told_of(session, source, tally.by_source[source.id])
        for source in sources
        if tally.by_source[source.id].files or has_gone(session, source.key)
    ]
    holders = {id: _holder(session, drive, targets[id]) for id in tally.holders if id in targets}
    if foreign:
        others, on = told_in(Pieces(chain([b'<root v="1">'], _words(foreign), [b"</root>"])))
        newest: dict[str, Remembered] = {}  # of a source that has split, the latest word
        for told in sorted(others, key=lambda told: told.at or 0):
            newest[told.source] = told if told.stamp else was.get(told.source, told)
        ours = {told.source: told for told in remembers}
        remembers = list((ours | {id: told for id, told in newest.items() if _is_later(told, ours.get(id))}).values())
        holders = {holder.id: holder for holder in on} | holders
    said = (
        tuple(sorted(remembers, key=lambda told: told.source)),
        tuple(sorted(holders.values(), key=lambda holder: (holder.label, holder.id))),
    )
    if said != (drive.identity.remembers, drive.identity.holders):
        drive.identity = replace(drive.identity, remembers=said[0], holders=said[1])
        write_identity(session, drive)


def _is_later(told: Remembered, ours: Remembered | None) -> bool:
    return ours is None or (told.at or 0) > (ours.at or 0)


def _holder(session: Session, drive: Drive, target: Target) -> Holder:
    state = drive.identity.now if target.id == drive.identity.id else known_state(session, TARGET, target.id)
    return Holder(target.id, target.label, None if state is None else state.at)


def _told_of(session: Session, source: Source, count: Count) -> Remembered:
    state = known_state(session, SOURCE, source.id)
    at = source.scanned_at if source.scanned_at is not None else source.told_at
    told = Remembered(source.id, source.alias, count.files, count.bytes, at=at)
    return told if state is None else replace(told, n=state.n, at=state.at, stamp=state.stamp)


class _Tale(NamedTuple):
    """A section of a context that is there, the state it tells of, and the file it is in."""

    stream: BinaryIO
    section: Section
    state: State


def _tales(session: Session, root: disk.Root, stack: ExitStack) -> Iterator[_Tale]:
    """Every section of the drive's contexts, newest file first, then of the imported ones that are not all back. One
    that can't be read is passed over: the older ones may have what it had. Where this session wrote the newest, with
    all that was to be kept of the older ones, those that it wrote too are not read again."""
    wrote_newest = False
    for name in CONTEXTS_KEPT:
        try:
            fd, status = root.open_file(name)
        except OSError:
            continue
        stream = stack.enter_context(os.fdopen(fd, "rb"))
        wrote = _wrote(session, stream)
        if not (wrote and wrote_newest):
            yield from _sections(stream, int(status.st_mtime))
        wrote_newest = wrote_newest or (wrote and name == CONTEXT_NAME)
    for path in reversed(kept.waiting(session.path)):
        try:
            fd = disk.portable.open_for_reading(None, path)
        except OSError:
            continue
        yield from _sections(stack.enter_context(os.fdopen(fd, "rb")), int(os.fstat(fd).st_mtime))


def _is_as_left(session: Session, drive: Drive, sources: Sequence[Source]) -> bool:
    """Whether this session wrote what is there, knew as much as now, and left nothing of others in it: there is nothing
    to read in them then."""
    if drive.filesystem.coarse_times or kept.waiting(session.path):
        return False
    return was_read(session, _as_left(session, drive, sources))


def _as_left(session: Session, drive: Drive, sources: Sequence[Source]) -> str:
    """The contexts on a drive as `stat` has them, the drive's state, and the states of the sources, as a stamp."""
    statuses = [drive.root.stat(name) for name in CONTEXTS_KEPT]
    files = [(status.st_size, status.st_mtime_ns, status.st_ino) if status else None for status in statuses]
    states = [known_state(session, SOURCE, source.id) for source in sources]
    known = sorted((source.id, state.stamp if state else "") for source, state in zip(sources, states, strict=True))
    state = drive.identity.now.stamp if drive.identity.now is not None else ""
    words = repr((drive.identity.id, state, files, known))
    return _stamp(hashlib.md5(words.encode(), usedforsecurity=False).digest())


def _wrote(session: Session, stream: BinaryIO) -> bool:
    """Whether this session wrote this very file."""
    digest = hashlib.md5(usedforsecurity=False)
    try:
        while piece := stream.read(_CHUNK):
            digest.update(piece)
    except OSError:
        return False
    return was_read(session, _stamp(digest.digest()))


def _stamp(digest: bytes) -> str:
    """A context by its bytes, as a stamp."""
    return digest.hex()[:STAMP_DIGITS]


def _sections(stream: BinaryIO, written_at: int) -> Iterator[_Tale]:
    with suppress(Refused):
        for section in sections_in(stream):
            if section.tag == "rc":
                yield _Tale(stream, section, state_of(stream, section, written_at))


def _read_and_merge(session: Session, scanned: list[Source], tales: list[_Tale]) -> bool:
    """Read what others wrote of the sources that were scanned just now; whether there was anything."""
    here = {source.id: source for source in scanned}
    found = False
    for tale in tales:
        source = here.get(tale.section.id)
        if source is None or _is_superseded(session, tale):
            continue
        with suppress(Refused), session.transaction():
            incoming = Incoming(session)
            for item in read_section(tale.stream, tale.section):
                incoming.add(item)
            merge_section(session, source, incoming, tale.state, tale.section.targets, outranked=True)
            found = True
    return found


def _is_superseded(session: Session, tale: _Tale) -> bool:
    """Whether all a section tells is part of what this session knows of its source."""
    mine = known_state(session, SOURCE, tale.section.id)
    return mine is not None and order_of(session, mine, tale.state) in (Order.SAME, Order.NEWER)


def _is_sound(tale: _Tale) -> bool:
    """Whether the section can be read in another context: one bad value would make all of that unreadable."""
    try:
        for _ in read_section(tale.stream, tale.section):
            pass
    except Refused:
        return False
    return True


def _tells_all(newer: _Tale, older: _Tale) -> bool:
    """Whether the versions before wrote the older section and the newer has each path with each content of it: they
    wrote a source's section again at each run, and gave it no state."""
    if older.state.by or older.state.at > newer.state.at:
        return False
    try:
        told = {_content(item) for item in read_section(newer.stream, newer.section)}
        return all(_content(item) in told for item in read_section(older.stream, older.section))
    except Refused:
        return False


def _content(item: ContextItem) -> int:
    """A file by its path and content, and nothing else of what a section says."""
    return hash((item.directory, item.name, item.size, item.md5)) if isinstance(item, FileEntry) else 0


def _words(tales: list[_Tale]) -> Iterator[bytes]:
    """The kept sections, each behind the target lines it stood behind: those of one stand but once."""
    before: tuple[TargetLine, ...] | None = None
    for tale in tales:
        if tale.section.targets != before:
            before = tale.section.targets
            yield target_lines(before)
        yield from section_bytes(tale.stream, tale.section)


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
        group.publish_all()


def _is_current(root: disk.Root, size: int, md5: bytes) -> bool:
    there = root.stat(CONTEXT_NAME)
    if there is None or there.st_size != size:
        return False
    try:
        return disk.content_on_drive(root, CONTEXT_NAME).identity.md5 == md5
    except OSError:
        return False
