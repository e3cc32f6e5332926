"""Write what a session knows as a restore context; reading one back is in `load`."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from functools import partial

from medback_core import disk
from medback_core.context import (
    Bds,
    DirectoryEntry,
    Entry,
    FileEntry,
    LinkEntry,
    SourceSection,
    SourceStart,
    TargetLine,
    write_context,
)
from medback_core.contexts.load import entered
from medback_core.errors import Refused
from medback_core.model import ContextSummary, Count, Source, State, is_metadata
from medback_core.session import Session
from medback_core.session.directories import expected_fact
from medback_core.session.expected import all_known
from medback_core.session.needs import list_rules
from medback_core.session.placements import placement_by_id
from medback_core.session.sources import list_sources
from medback_core.session.states import TARGET, AsOf, current_state, known_state, told_of
from medback_core.session.targets import list_targets
from medback_core.sidecar import is_whole

_HEAD_BYTES = 512


@dataclass(slots=True)
class ContextCounts:
    """What went into a context."""

    sources: int = 0
    directories: int = 0
    files: int = 0
    by_source: dict[str, Count] = field(default_factory=dict)  # id -> what should exist of it
    holders: set[str] = field(default_factory=set)  # ids of the targets said to hold any of it


def context_of(
    session: Session,
    foreign: Iterable[bytes] = (),
    *,
    sources: Sequence[Source] | None = None,
    tally: ContextCounts | None = None,
) -> Iterator[bytes]:
    """The restore context of a session (or of these sources of it) in chunks, memory bounded by one of them: what was
    observed, what is expected, and what went while a copy existed; `foreign` as `write_context` has it. Do not write to
    the session meanwhile."""
    tally = ContextCounts() if tally is None else tally
    sources = list_sources(session) if sources is None else sources
    heads = [
        SourceStart(
            s.id,
            s.path,
            s.alias,
            s.wanted,
            s.excludes,
            s.rev,
            current_state(session, s.id),
            s.elsewhere,
            s.place or "",
            tuple(list_rules(session, s.key)),
        )
        for s in sources
    ]
    told = [told_of(session, source.id) for source in sources]
    targets = [
        TargetLine(
            target.id,
            target.label,
            target.state,
            target.rev,
            _as_of(session, target.id, told),
            target.disk or "",
            target.place or "",
        )
        for target in list_targets(session)
    ]
    yield from write_context(targets, _sections(session, sources, heads, tally), foreign=foreign)


def _as_of(session: Session, target: str, told: Sequence[dict[str, AsOf]]) -> State | None:
    """The state of a target that all which is told of its copies is as of; None where it is not one."""
    state = known_state(session, TARGET, target)
    if state is None or any(one.get(target) != (state.n, state.stamp) for one in told):
        return None
    return state


def _sections(
    session: Session, sources: Sequence[Source], heads: Sequence[SourceStart], tally: ContextCounts
) -> Iterator[SourceSection]:
    ids = {target.key: target.id for target in list_targets(session, unknown=True)}
    for source, head in zip(sources, heads, strict=True):
        tally.sources += 1
        tally.directories += 1
        yield SourceSection(head, _entries(session, source, ids, tally), partial(expected_fact, session, source.key))


def _entries(session: Session, source: Source, ids: dict[int, str], tally: ContextCounts) -> Iterator[Entry]:
    copies: dict[int, Bds] = {}
    live: set[int] = set()  # placements of what should exist
    here, levels = b"", []
    files = total = 0
    for known in all_known(session, source.key):
        directory, _, name = known.path.rpartition(b"/")
        if known.content is None and known.goal is None:
            directory, name = known.path, b""
        if directory != here:
            here, before, levels = directory, levels, directory.split(b"/") if directory else []
            tally.directories += entered(before, levels)
        if known.content is not None:
            bds = copies.get(known.placement)
            if bds is None:
                members = placement_by_id(session, known.placement).members
                pairs = [(ids[key], standing) for key, standing in members if key in ids]
                bds = copies[known.placement] = tuple(sorted(pairs))
            size, md5 = known.content
            if known.gone_at is None:
                files, total = files + 1, total + size
                live.add(known.placement)
            yield FileEntry(directory, name, size, known.mtime_ns, known.mode, md5, bds, known.gone_at)
        elif known.goal is not None:
            yield LinkEntry(directory, name, known.goal)
        else:
            yield DirectoryEntry(directory)
    tally.files += files
    tally.holders.update(target for placement_id in live for target, _ in copies[placement_id])
    tally.by_source[source.id] = Count(files, total)


def write_restore(session: Session, path: bytes) -> ContextSummary:
    """Write the restore context to a file, atomically: the one there before is replaced only by a whole new one.

    Raises Refused for a directory, a file that is no context, a name of medback's own, a parent that is missing or
    can't be written; the file is then as it was.
    """
    where = os.path.realpath(path)
    parent, name = os.path.split(where)
    if is_metadata(name):
        raise Refused("bad-path/own-name", path=path)
    try:
        there = os.stat(where)
    except OSError:
        there = None
    if there is not None and not stat.S_ISREG(there.st_mode):
        raise Refused("bad-path/directory" if stat.S_ISDIR(there.st_mode) else "bad-path/no-ordinary-file", path=path)
    tally = ContextCounts()
    try:
        with disk.Root(parent) as root, ExitStack() as stack:
            with suppress(Refused):  # another medback is at work there: what lies about may be its own
                stack.enter_context(disk.lock_drive(root))
                disk.clean_temporaries(root, b"", [name for name, _ in root.scan(b"")], is_whole)
            if there is not None and there.st_size and not _looks_like_context(root, name):
                raise Refused("bad-path/no-context", path=path)
            with disk.Group(root, group_sync=False) as group:
                group.stage_stream(name, context_of(session, tally=tally))
                group.publish_all()
    except OSError as error:
        raise Refused("not-writable", path=path, error=error.strerror) from error
    return ContextSummary(where, tally.sources, tally.directories, tally.files, len(list_targets(session)))


def _looks_like_context(root: disk.Root, name: bytes) -> bool:
    fd, _ = root.open_file(name)
    with os.fdopen(fd, "rb") as stream:
        return b"<root" in stream.read(_HEAD_BYTES)
