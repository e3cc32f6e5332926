"""Walk a source: believe what its records rightly say, read the rest, stage what went, and decide at the end."""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field, replace
from typing import TypedDict

from medback_core import disk, model
from medback_core.errors import Refused
from medback_core.model import (
    NO_ANSWERS,
    Answers,
    DamageFound,
    Event,
    Excluded,
    Happened,
    ScanSummary,
    Skipped,
    Source,
    Warned,
)
from medback_core.scanning.compare import ScanOptions
from medback_core.scanning.safeguards import check_staged, check_there
from medback_core.scanning.walk import Walk
from medback_core.session import Session
from medback_core.session.digests import settle_twins
from medback_core.session.directories import facts_of, put_directories
from medback_core.session.files import mark_sidecar
from medback_core.session.gaps import save_gaps, save_nested
from medback_core.session.history import note_files
from medback_core.session.needs import follow_rules, moved_rules
from medback_core.session.scanning import (
    apply_staged,
    begin_run,
    begin_scan,
    forget_staged,
    has_staged_removals,
    loses_links,
    stage_unseen,
)
from medback_core.session.sources import (
    kept_text,
    mark_metadata,
    metadata_is_dirty,
    save_source,
    source_by_key,
    source_totals,
)
from medback_core.session.states import mark_changed
from medback_core.sources.accounts import settle_accounts, tell_older, weigh_accounts
from medback_core.sources.excludes import Patterns
from medback_core.sources.identity import heal_metadata, read_metadata, take_up, write_metadata
from medback_core.sources.sidecars import flush_source


@dataclass(slots=True)
class ScanRun:
    """One scan, or one update of several sources: where a content that left one of them may have gone."""

    newest: int  # the largest file key before it
    sources: list[int] = field(default_factory=list)


class ScanWishes(TypedDict, total=False):
    """How a person wants sources to be scanned."""

    answers: Answers
    rehash: bool
    accept: Collection[str]  # patterns: what changed though its time did not is right there
    workers: int


def start_run(session: Session) -> ScanRun:
    """Begin a run. The caller holds the session's lock until it has settled every source it walks."""
    return ScanRun(begin_run(session))


def walk_source(
    session: Session,
    source: Source,
    run: ScanRun,
    *,
    answers: Answers = NO_ANSWERS,
    rehash: bool = False,
    hashing: bool = True,
    accept: Collection[str] = (),
    workers: int = 2,
) -> Generator[Event, None, Walk]:
    """Walk a source and record what is new; what went or changed is staged. Raises Refused, and then notes why, when
    the source looks unmounted: all is kept then. Cancelled, it keeps what it found and forgets nothing."""
    try:
        root = disk.Root(source.path, across=True)
    except OSError as error:
        raise refused(session, source, _missing(source, error)) from error
    with root, disk.lock_drive(root):
        metadata = read_metadata(root)
        try:
            lost_metadata = check_there(session, source, root, metadata, answers=answers)
        except Refused as refusal:
            raise refused(session, source, refusal) from None
        if lost_metadata:
            yield Warned("metadata-lost", path=source.path, source=source.alias)
        if metadata is not None:
            source = take_up(session, source, metadata)
            yield from heal_metadata(session, root, source, metadata, write=hashing)
        known, there = facts_of(session, source.key, b""), root.stat(b"")
        if there is not None and (known is None or known.mode is None):  # before anything of ours changes its time
            with session.transaction():
                put_directories(session, source.key, [(b"", there.st_mode, there.st_mtime_ns)])
        accounts = weigh_accounts(session, source, metadata)
        yield from tell_older(session, source, accounts)
        if hashing and (metadata is None or metadata_is_dirty(session, source.key)):
            try:
                write_metadata(session, root, source)
            except OSError as error:
                yield Warned("source-not-writable", path=source.path, error=error.strerror)
            source = source_by_key(session, source.key)
        first = source.scanned_at is None
        accepted = Patterns(accept)
        options = ScanOptions(first, rehash, hashing, accepted.match if accepted else None, accounts)
        walk = Walk(session, root, source, begin_scan(session, source.key), options, run.newest)
        for event in walk.go(workers):
            yield _absolute(source, event)
        if not root.is_same_drive():
            gone = Refused("not-mounted/went-away", path=source.path)
            raise refused(session, source, gone)
        settle_accounts(session, source, accounts)
    run.sources.append(source.key)
    return walk


def _absolute(source: Source, event: Event) -> Event:
    """The event with a path that says which source it is of."""
    if isinstance(event, Skipped | Excluded | DamageFound):
        return replace(event, path=os.path.join(source.path, event.path))
    return event


def before_settling(session: Session, walked: Collection[Walk]) -> Iterator[Event]:
    """Stage what was not seen at all, and, before anything leaves its old sidecar, make its new place durable."""
    for one in walked:
        stage_unseen(session, one.source.key, one.number)
    if has_staged_removals(session):
        for one in walked:
            yield from flush_source(session, one.source)


def settle_source(
    session: Session, walked: Walk, run: ScanRun, answers: Answers = NO_ANSWERS
) -> Generator[Event, None, ScanSummary]:
    """Make what a walk staged true, in one transaction, or refuse it. Raises Refused, and then notes why, when the
    source lost or changed too much: all is kept then."""
    source, tally = walked.source, walked.tally
    hidden, patterns = walked.hidden, walked.patterns
    try:
        staged = check_staged(session, source, run.sources, run.newest, hidden, patterns, answers=answers)
    except Refused as refusal:
        raise refused(session, source, refusal, walked.reread) from None
    with session.transaction():
        if staged.removals or staged.changes or loses_links(session, source.key):
            mark_changed(session, source.id)
        now = model.now()  # what went is dated by the scan that found it gone
        rules = moved_rules(session, source.key, walked.number, run.newest)
        follow_rules(session, source.key, rules)
        apply_staged(session, source.key, walked.number, now)
        save_source(session, replace(source, scanned_at=now, device=walked.root.device, refused=""))
        keep_gaps(session, walked)
        note_files(session, Happened.DELETION, staged.removals - staged.moved, source=source.id)
    for path in (old for old, new in rules.items() if new is None):
        yield Warned("rule-left", source=source.alias, path=path)
    return summed_up(
        session,
        walked,
        hashed=tally.hashed,
        hashed_bytes=tally.hashed_bytes,
        added=max(tally.new - staged.moved, 0),
        changed=staged.changes + tally.accepted,
        moved=staged.moved,
        removed=staged.removals - staged.moved,
        damaged=tally.damaged,
    )


def summed_up(session: Session, walked: Walk, **found: int) -> ScanSummary:
    """The ScanSummary of a source whose walk is settled; `found`: what else there is to say."""
    source, tally = source_by_key(session, walked.source.key), walked.tally
    count, links, directories = source_totals(session, source.key)
    found |= {"reused": tally.reused, "unhashed": tally.unhashed}
    return ScanSummary(source, count.files, count.bytes, links, directories, **found)


def keep_gaps(session: Session, walked: Walk) -> None:
    """Note what a walk did not look at, and what it found mounted inside. Call inside a transaction."""
    key = walked.source.key
    changed = save_gaps(session, key, walked.gaps | settle_twins(session, key))
    if save_nested(session, key, walked.taken_in) or changed:
        mark_metadata(session, key, dirty=True)


def refused(session: Session, source: Source, refusal: Refused, reread: Collection[int] = ()) -> Refused:
    """Note why a scan was refused and forget what it staged; nothing else changes. Returns what is to be raised."""
    with session.transaction():
        forget_staged(session, source.key)
        for key in reread:
            mark_sidecar(session, key, None, dirty=True)
        save_source(session, replace(source_by_key(session, source.key), refused=kept_text(refusal)))
    return refusal


def _missing(source: Source, error: OSError) -> Refused:
    if isinstance(error, FileNotFoundError):
        return Refused("missing/source-away", path=source.path, source=source.alias)
    if isinstance(error, NotADirectoryError):
        return Refused("missing/no-directory", path=source.path, source=source.alias)
    return Refused("missing/unreadable", path=source.path, source=source.alias, error=error.strerror)
