"""Take up a restore context into a session: what should exist, and who is said to have it.

A context is checked to its end before anything is changed, and taken up in one transaction. Its copies are listed
and not checked, whatever it says of them. The file is kept beside the session DB until all of it is back, so that
losing the DB in the middle of a restore forgets nothing.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace as changed
from itertools import zip_longest
from typing import Any, BinaryIO

from medback_core import disk, model, names
from medback_core.context import (
    BAD_CONTEXT,
    DirectoryEntry,
    DirectoryFact,
    FileEntry,
    LinkEntry,
    NotWhole,
    SourceEnd,
    SourceStart,
    TargetLine,
    apply_map,
    read_context,
    sections_in,
    state_of,
)
from medback_core.contexts import kept as context_kept
from medback_core.contexts.merge import Incoming, Merged, merge_section
from medback_core.errors import Refused
from medback_core.model import (
    ContextSummary,
    Event,
    Identity,
    Order,
    Progress,
    Reason,
    Skipped,
    Source,
    Standing,
    State,
    Target,
    Warned,
)
from medback_core.pace import Pace
from medback_core.session import Session
from medback_core.session.copies import believe_copies, identity_key
from medback_core.session.expected import clear_expected, has_expected, is_all_observed, let_go
from medback_core.session.files import join
from medback_core.session.gone import add_gone
from medback_core.session.needs import learn_rules
from medback_core.session.source_list import write_source_list
from medback_core.session.sources import free_alias, insert_source, list_sources, new_id, save_source, source_by_id
from medback_core.session.states import heard_drives
from medback_core.session.targets import list_targets, merge_fact, target_by_id, target_key

_NEW = -1  # the key of a source that is still to be added


def add_restore_context(
    session: Session, path: bytes, *, maps: Sequence[tuple[bytes, bytes]] = (), replace: bool = False
) -> Iterator[Event]:
    """Read a restore context: from now on what it says should exist is expected. Ends with ContextSummary.

    `maps` are (OLD, NEW) leading path components; `replace` first drops what was expected before. Raises Refused for
    what is no context (naming the line), or whose sources can't be used here; nothing is changed then.
    """
    with disk.lock_session(os.fsencode(session.path)), _opened(path) as stream:
        heads = yield from _checked(stream)
        places, notes = _places(session, heads, maps)
        yield from notes
        earlier = context_kept.waiting(session.path) if replace else []
        states = [head.now for head in heads]
        summary = yield from _take_up(session, stream, path, places, states, replace=replace, keep=True)
        context_kept.mark_done(session.path, earlier)
        yield summary


def expect_again(session: Session) -> Iterator[Event]:
    """After a session DB was lost: take up again the contexts kept beside it that were not all back yet.

    Does nothing while something is expected. The caller holds the session's lock. To be called after a rebuild; the
    restoring operations call it themselves.
    """
    if has_expected(session):
        return
    taken: dict[str, State] = {}  # source id -> the state of what was taken up again
    for path in context_kept.waiting(session.path):
        try:
            with _opened(path) as stream:
                heads = yield from _checked(stream)
                states = [head.now for head in heads]
                kept = context_kept.places_in(path)
                if any(place.told for place in kept):
                    yield from _take_up_told(session, stream, path, heads, kept, again=taken)
                    continue
                places, _ = _places(session, heads, (), kept)
                yield from _take_up(session, stream, path, places, states, again=taken)
        except Refused as error:
            yield Warned("unfinished-restore-unreadable", because=error)
            continue
        yield Warned("expected-again", path=path)


def take_up_told(
    session: Session,
    path: bytes,
    told: Mapping[str, int | None],
    *,
    teller: str = "",
    keep: bool,
    check: Callable[[], None] | None = None,
) -> Generator[Event, None, ContextSummary]:
    """Take up what the context of a drive says of these sources (id -> the date of that), merged into what was known of
    them: no scan has ever seen them here. To restore them to their own places stays a question.

    `teller` is what the drive is called. `keep` as an import by hand keeps the file. `check` is called when all is
    taken up, before that is for good: what it raises leaves everything as it was. The caller holds the session's lock.
    Raises Refused for what is no context; nothing is changed then.
    """
    with _opened(path) as stream:
        heads = yield from _checked(stream)
        places = [
            context_kept.LoadedSection(head.id, head.alias, head.src_path, True, told[head.id])
            if head.id in told
            else context_kept.LoadedSection(told=True)
            for head in heads
        ]
        taking = _take_up_told(session, stream, path, heads, places, teller=teller, keep=keep, check=check)
        return (yield from taking)


def _take_up_told(
    session: Session,
    stream: BinaryIO,
    path: bytes,
    heads: Sequence[SourceStart],
    places: Sequence[context_kept.LoadedSection],
    *,
    teller: str = "",
    keep: bool = False,
    again: dict[str, State] | None = None,
    check: Callable[[], None] | None = None,
) -> Generator[Event, None, ContextSummary]:
    taken = {source.path: source for source in list_sources(session)}
    sources: list[Source | None] = []
    for head, place in zip_longest(heads, places):
        known = source_by_id(session, place.id) if place is not None and place.id else None
        if head is None or place is None or not place.id or (known is not None and known.scanned_at is not None):
            sources.append(None)
        elif known is not None:
            sources.append(changed(known, told_at=max(known.told_at or 0, place.at or 0) or None))
        else:
            new, _ = _new(head._replace(id=place.id, alias=place.alias), os.path.normpath(place.path), taken)
            taken[new.path] = new
            sources.append(changed(new, told_at=place.at, in_place=False))

    states = [head.now for head in heads]
    taking = _take_up(
        session, stream, path, sources, states, keep=keep, again=again, told=True, teller=teller, check=check
    )
    return (yield from taking)


def finish_expected(session: Session, *, only_if_observed: bool = False) -> bool:
    """Drop what is expected (with `only_if_observed`: if all of it is there and recorded); whether that was done. What
    did not come back is remembered as gone."""
    if only_if_observed and not is_all_observed(session):
        return False
    # The kept files first: a kill in between leaves something expected, never something forgotten.
    context_kept.mark_done(session.path, context_kept.waiting(session.path))
    with session.transaction():
        let_go(session, model.now())
        clear_expected(session)
    return True


@contextmanager
def _opened(path: bytes) -> Iterator[BinaryIO]:
    """The file at `path`; what is wrong with its content is told with its name."""
    try:
        fd = disk.portable.open_for_reading(None, os.path.realpath(path))
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Refused("bad-context/no-file", path=path)
    except OSError as error:
        raise Refused("bad-context/unreadable", path=path, error=error.strerror) from error
    with os.fdopen(fd, "rb") as stream:
        try:
            yield stream
        except Refused as error:
            if error.kind != BAD_CONTEXT:
                raise
            raise Refused("bad-context/in-file", path=path, because=error) from error


def _checked(stream: BinaryIO) -> Generator[Event, None, list[SourceStart]]:
    """Read to the end, keeping nothing but the heads of the sections, which it returns, each with the state it tells
    of. Where the check over the whole is wrong, a section no longer is what its state says: it is one of its own."""
    heads: list[SourceStart] = []
    files, pace, whole = 0, Pace(), True
    for item in read_context(stream):
        if isinstance(item, FileEntry):
            files += 1
            if files & 0x3FF == 0 and pace.is_due():
                yield Progress("checking the context", files)
        elif isinstance(item, SourceStart):
            heads.append(item)
        elif isinstance(item, NotWhole):
            whole = False
            yield Warned("context-changed")
    if not whole or any(head.now is None for head in heads):
        written_at = int(os.fstat(stream.fileno()).st_mtime)
        sections = [section for section in sections_in(stream) if section.tag == "rc"]
        for number, section in enumerate(sections):
            heads[number] = heads[number]._replace(now=state_of(stream, section, written_at))
    stream.seek(0)
    return heads


# --- where the sources of a context belong in this session ----------------------------------------------------------


def _places(
    session: Session,
    heads: Sequence[SourceStart],
    maps: Sequence[tuple[bytes, bytes]],
    kept: Sequence[context_kept.LoadedSection] = (),
) -> tuple[list[Source], list[Warned]]:
    """For each section the source it belongs to, with the key `_NEW` where that is still to be added, and what a
    person should know of it. `kept` are the (id, alias, path) an earlier taking up came to."""
    named = {source.id for head in heads if head.id and (source := source_by_id(session, head.id))}
    by_path = {source.path: source for source in list_sources(session)}
    by_id: dict[str, Source] = {}
    places: list[Source] = []
    notes: list[Warned] = []
    for number, head in enumerate(heads):
        if number < len(kept):
            identifier, alias, path = kept[number][:3]
            head = head._replace(id=identifier, alias=alias, src_path=path)
        path = apply_map(head.src_path, maps)
        if not os.path.isabs(path):
            raise Refused("bad-context/source-path", path=path)
        path = b"/" + os.path.normpath(path).lstrip(b"/") if os.sep == "/" else os.path.normpath(path)
        source = by_id.get(head.id) or (source_by_id(session, head.id) if head.id else None)
        there = by_path.get(path)
        if source is not None:
            source, note = _moved(source, head, path, there, mapped=path != os.path.normpath(head.src_path))
        elif there is not None and there.id not in named and (not head.id or there.id not in by_id):
            source, note = there, None
            if head.id and head.id != there.id:
                note = Warned("taken-to-be", source=head.alias, other=there.alias)
        else:
            source, note = _new(head, path, by_path)
        if note is not None:
            notes.append(note)
        by_id[source.id] = by_path[source.path] = source
        if head.id:
            by_id[head.id] = source
        places.append(source)
    _refuse_overlap(session, places)
    return places, notes


def _moved(
    source: Source, head: SourceStart, path: bytes, there: Source | None, *, mapped: bool
) -> tuple[Source, Warned | None]:
    """A source the session has by its id: it stays where it is here, but for one never scanned and now mapped."""
    source = changed(source, in_place=True)  # who imports a context by hand has answered
    if head.rev > source.rev:
        source = changed(source, **_said(head))
    if path == source.path or not mapped:
        return source, None
    if source.scanned_at is None and there is None:
        return changed(source, path=path), None
    return source, Warned("source-stays", source=source.alias, path=source.path)


def _new(head: SourceStart, path: bytes, taken: dict[bytes, Source]) -> tuple[Source, Warned | None]:
    """A source this session never had. Another machine's at the same path gets a path of its own beside it."""
    free = disk.free_name(disk.numbered(path), taken.__contains__)
    alias = names.from_text(head.alias)
    if names.check_component(alias) is not None:
        alias = os.path.basename(path) or b"root"
    note = None if free == path else Warned("restored-beside", path=path, source=alias, where=free)
    new = Source(_NEW, head.id or new_id(), names.utf8(names.text(alias)), free)
    return changed(new, **_said(head) | {"rev": max(head.rev, 1)}), note


def _said(head: SourceStart) -> dict[str, Any]:
    """What a person said of a source, as a section has it."""
    place = names.utf8(head.place) or None
    facts = {"wanted": head.wanted, "elsewhere": head.elsewhere, "place": place}
    return facts | {"excludes": tuple(head.excludes), "rev": head.rev}


def _refuse_overlap(session: Session, places: Sequence[Source]) -> None:
    paths = {source.path: source.alias for source in (*list_sources(session), *places)}
    known = sorted((path.rstrip(b"/") + b"/", path) for path in paths)
    new = {source.path for source in places if source.key == _NEW}
    above: list[tuple[bytes, bytes]] = []
    for stem, path in known:
        while above and not stem.startswith(above[-1][0]):
            above.pop()
        if above and (path in new or above[-1][1] in new):
            raise Refused("overlap/context-inside", path=path, other=above[-1][1])
        above.append((stem, path))
    for target in list_targets(session):
        if target.path is None:
            continue
        for path in new:
            if names.below(path, target.path) is not None:
                raise Refused("overlap/context-on-target", path=path, target=target.name)


# --- taking it up ---------------------------------------------------------------------------------------------------


def _take_up(
    session: Session,
    stream: BinaryIO,
    path: bytes,
    places: Sequence[Source | None],
    states: Sequence[State | None],
    *,
    keep: bool = False,
    replace: bool = False,
    again: dict[str, State] | None = None,
    told: bool = False,
    teller: str = "",
    check: Callable[[], None] | None = None,
) -> Generator[Event, None, ContextSummary]:
    """Load it all in one transaction; returns the ContextSummary. What ends it early leaves the session as it was.
    `again`: after the DB was lost, and with what was taken up so far; the file is kept already."""
    kept: bytes | None = None
    try:
        with session.transaction():
            if replace:
                let_go(session, model.now())
                clear_expected(session)
            sources = _add_sources(session, places)
            name = teller or names.text(path)
            summary = yield from _load(session, stream, path, sources, states, name, replace=replace, again=again)
            if check is not None:
                check()
            if keep and summary.files:
                rows = [_place_of(source, told=told) for source in sources]
                kept = context_kept.keep(session.path, stream, rows)
    except BaseException:
        known = {source.path for source in list_sources(session)}
        # It was written with sources that are not there now.
        write_source_list(session, dropped=[p.path for p in places if p is not None and p.path not in known])
        if kept is not None:
            context_kept.drop(session.path, kept)
        raise
    return summary


def _place_of(source: Source | None, *, told: bool) -> context_kept.LoadedSection:
    if source is None:
        return context_kept.LoadedSection(told=told)
    return context_kept.LoadedSection(source.id, source.alias, source.path, told, source.told_at if told else None)


def _add_sources(session: Session, places: Sequence[Source | None]) -> list[Source | None]:
    found: list[Source | None] = []
    for place in places:
        if place is None:
            found.append(None)
            continue
        there = source_by_id(session, place.id)
        if there is None:
            alias = free_alias(session, place.alias)
            there = insert_source(session, changed(place, alias=alias))
        else:
            if place.key == _NEW:  # a second section of a source that is new here: two machines told of it apart
                newer = place if place.rev > there.rev else there
                told_at = max(place.told_at or 0, there.told_at or 0) or None
                facts = {"wanted": newer.wanted, "elsewhere": newer.elsewhere, "place": newer.place}
                place = changed(there, **facts, excludes=newer.excludes, rev=newer.rev, told_at=told_at)
            if there != place:
                save_source(session, place)
            there = place
        found.append(there)
    return found


def entered(before: list[bytes], levels: list[bytes]) -> int:
    """How many directories are entered on the way from one to another."""
    same = 0
    for one, other in zip(before, levels, strict=False):
        if one != other:
            break
        same += 1
    return len(levels) - same


def take_up_gone(session: Session, stream: BinaryIO) -> None:
    """Learn from a context what went from the sources this session knows, and when. Its copies are listed, not checked;
    nothing else of it is taken up. Raises Refused for what is no context; nothing is changed then."""
    keys = {source.id: source.key for source in list_sources(session)}
    source: int | None = None
    with session.transaction():
        for item in read_context(stream):
            if isinstance(item, SourceStart):
                source = keys.get(item.id)
            elif isinstance(item, FileEntry) and source is not None and item.gone is not None and item.md5 is not None:
                key, path = identity_key(session, Identity(item.size, item.md5)), join(item.directory, item.name)
                add_gone(session, [(source, path, key, item.mtime_ns, item.mode, item.gone)])
                claims = [(key, target_key(session, target), Standing.CLAIMED) for target, _ in item.bds]
                believe_copies(session, claims)


def _load(
    session: Session,
    stream: BinaryIO,
    path: bytes,
    sources: Sequence[Source | None],
    states: Sequence[State | None],
    teller: str,
    *,
    replace: bool,
    again: dict[str, State] | None,
) -> Generator[Event, None, ContextSummary]:
    files = directories = number = block = 0
    targets: set[str] = set()
    lines: dict[str, TargetLine] = {}
    incoming: Incoming | None = None
    source: Source | None = None
    here, levels = b"", []
    pace = Pace()
    stream.seek(0)
    for item in read_context(stream):
        if isinstance(item, FileEntry | LinkEntry | DirectoryEntry) and source is None:
            continue  # of a section that is not taken up
        if isinstance(item, FileEntry | LinkEntry | DirectoryEntry) and item.directory != here:
            here, before, levels = item.directory, levels, item.directory.split(b"/") if item.directory else []
            directories += entered(before, levels)
        if isinstance(item, FileEntry | LinkEntry | DirectoryEntry):
            assert incoming is not None and source is not None
            incoming.add(item)
            if isinstance(item, FileEntry) and item.md5 is None:
                place = os.path.join(source.path, join(item.directory, item.name))
                yield Skipped(place, Reason("no-hash"))
            elif isinstance(item, FileEntry):
                files += item.gone is None
        elif isinstance(item, SourceStart):
            source, here, levels = sources[number], b"", []
            if source is not None:
                learn_rules(session, source.key, item.rules)
            incoming = Incoming(session)
            number, directories = number + 1, directories + (source is not None)
        elif isinstance(item, SourceEnd):
            theirs = states[number - 1]
            assert incoming is not None and theirs is not None
            if source is None:
                incoming = None
                continue
            anew = again if again is not None else {} if replace else None
            merged = merge_section(
                session,
                source,
                incoming,
                theirs,
                tuple(lines.values()),
                again=anew.get(source.id) if anew is not None else False,
            )
            if anew is not None and merged.order is not Order.NEWER:
                anew[source.id] = theirs
            incoming = None
            yield from _tell(session, source, merged, teller)
        elif isinstance(item, TargetLine):
            if incoming is None and number and number != block:
                lines, block = {}, number
            lines[item.id] = item
            targets.add(item.id)
            known = target_by_id(session, item.id)
            told = Target(0, item.id, names.utf8(item.label), item.state, True, item.rev)
            told = changed(told, disk=names.utf8(item.disk) or None, place=names.utf8(item.place) or None)
            if known is not None:  # a context does not say
                told = changed(told, capacity=known.capacity, fs_uuid=known.fs_uuid)
            merge_fact(session, told)
        elif isinstance(item, DirectoryFact) and incoming is not None and source is not None:
            incoming.add(item)
        if pace.is_due():
            yield Progress("reading the context", files, current=here)
    taken = sum(source is not None for source in sources)
    return ContextSummary(path, taken, directories, files, len(targets))


def _tell(session: Session, source: Source, merged: Merged, teller: str) -> Iterator[Event]:
    """Say what a person should know of a section that was not simply taken."""
    mine = merged.mine
    if mine is None:
        return
    if merged.order is Order.SPLIT and merged.differing:
        two = sorted([(mine.at, _known_from(session, source)), (merged.theirs.at, teller)], key=lambda one: one[0])
        first, second = (Warned("known-from", who=who, at=at) for at, who in two)
        yield Warned("split-known", source=source.alias, first=first, second=second, files=merged.differing)
    elif merged.order is Order.NEWER and merged.older:
        yield Warned("older-context", source=source.alias, theirs=merged.theirs.at, ours=mine.at, files=merged.older)


def _known_from(session: Session, source: Source) -> str:
    """Who told this session what it knows of a source: the drives, or this machine."""
    if source.scanned_at is not None:
        return "this machine"
    drives = [target_by_id(session, id) for id in sorted(heard_drives(session))]
    return " and ".join(drive.name for drive in drives if drive is not None) or "what was imported before"
