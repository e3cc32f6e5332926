"""Free room on a target: older versions, or copies beyond what is wanted; never the last copy of what is named."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from contextlib import suppress

from medback_core import disk, names
from medback_core.context import FileEntry, SourceEnd, SourceStart, read_context
from medback_core.drives.check import look_at
from medback_core.drives.context_file import CONTEXTS_KEPT, write_contexts
from medback_core.drives.drive import Drive, begin_change
from medback_core.drives.matching import same_time
from medback_core.drives.open import open_drive, resolve_target
from medback_core.drives.sidecars import Recorder
from medback_core.errors import Refused
from medback_core.model import (
    CONTEXT_NAME,
    OLD_DIRECTORY,
    Event,
    FileDone,
    Identity,
    Progress,
    ReclaimSummary,
    Skipped,
    Standing,
    Warned,
)
from medback_core.session import (
    Copy,
    Session,
    copies_below,
    copies_of,
    counting_keys,
    is_named,
    list_sources,
    surplus_bytes,
    surplus_copies,
    wanted_of,
    withdraw_copies,
)
from medback_core.sources.sidecars import flush_sources

_DIRECTORIES_PER_COMMIT = 100


def reclaim(
    session: Session, target: str, *, old: bool = False, surplus: bool = False, dry_run: bool = False
) -> Iterator[Event]:
    """Free what `.medback-old/` holds (`old`), and copies whose content has its wanted number of verified copies on
    other counting targets (`surplus`); ends with a ReclaimSummary.

    Each file is looked at again immediately before it goes. What a source, an imported context or another machine's
    context on that target names keeps its last copy. Files medback did not put there stay. Raises Refused.
    """
    with disk.lock_session(os.fsencode(session.path)):
        path = resolve_target(session, target)[1]
        if path is None:
            raise Refused("not-plugged-in", f"the target {names.display_name(target)} is not plugged in")
        with open_drive(session, path, write=not dry_run) as drive:
            if not drive.identity.id:
                raise Refused("not-a-target", f"{names.display_name(path)} is no target")
            for note in drive.notes:
                yield Warned(note)
            yield from look_at(session, drive)
            summary = yield from _free(session, drive, old, surplus, dry_run)
        if not dry_run:
            yield from flush_sources(session)
        yield summary


def reclaimable(session: Session, drive: Drive, *, surplus: bool) -> tuple[int, int]:
    """(bytes of older versions, bytes of surplus copies) that a reclaim would free on an open drive; the second only
    where it is asked for, since every copy there must be looked at."""
    old = copies_below(session, drive.target.key, OLD_DIRECTORY)
    foreign = _named_by_others(session, drive) if old else frozenset()
    free = sum(identity.size for identity, copy in old if _is_disposable(session, identity, copy, foreign))
    return free, surplus_bytes(session, drive.target.key, counting_keys(session)) if surplus else 0


def _free(
    session: Session, drive: Drive, old: bool, surplus: bool, dry_run: bool
) -> Generator[Event, None, ReclaimSummary]:
    key = drive.target.key
    candidates = copies_below(session, key, OLD_DIRECTORY) if old else []
    if surplus:
        older = {copy.identity for _, copy in candidates}
        more = surplus_copies(session, key, counting_keys(session))
        candidates += [(identity, copy) for identity, copy in more if copy.identity not in older]
    foreign = _named_by_others(session, drive) if candidates else frozenset()
    going = [pair for pair in candidates if _is_disposable(session, *pair, foreign)]
    kept = len(candidates) - len(going)
    freed = freed_bytes = 0
    paths = []
    if not dry_run and going:
        # Nobody may name a copy that is about to go: the DB and the sources are told before, the drive with it.
        with session.transaction():
            withdraw_copies(session, key, [copy.identity for _, copy in going])
        yield from flush_sources(session)
    recorder = Recorder(drive)
    untold: OSError | None = None
    for identity, copy in going:
        assert copy.path is not None
        shown = os.path.join(drive.root.path, copy.path)
        yield Progress("reclaiming", freed, freed_bytes, len(going), None, shown)
        if not dry_run:
            problem = _remove(drive, recorder, identity, copy)
            if problem:
                kept += 1
                yield Skipped(shown, problem)
                continue
            if len(recorder) >= _DIRECTORIES_PER_COMMIT:
                untold = recorder.try_commit() or untold
            yield FileDone("freed", shown, identity.size)
        freed += 1
        freed_bytes += identity.size
        paths.append(shown)
    if not dry_run and freed:
        untold = recorder.try_commit() or untold
        try:
            write_contexts(session, drive)
        except OSError as error:
            where = os.path.join(drive.root.path, CONTEXT_NAME)
            yield Skipped(where, f"the restore context could not be written: {error.strerror or error}")
    if untold is not None:
        yield Warned(f"the drive's records could not be brought up to date: {untold.strerror}")
    return ReclaimSummary(drive.target, freed, freed_bytes, kept, tuple(paths))


def _is_disposable(session: Session, identity: Identity, copy: Copy, foreign: frozenset[Identity]) -> bool:
    counting = counting_keys(session)
    elsewhere = sum(
        1
        for other in copies_of(session, copy.identity)
        if other.target != copy.target and other.target in counting and other.standing is Standing.VERIFIED
    )
    if is_named(session, copy.identity):
        return elsewhere >= max(1, wanted_of(session, copy.identity))
    return identity not in foreign or elsewhere >= 1


def _named_by_others(session: Session, drive: Drive) -> frozenset[Identity]:
    """Contents that the newest whole context on the drive (and any damaged newer one) names for sources this session
    does not know."""
    known = {source.id for source in list_sources(session)}
    named: set[Identity] = set()
    for name in CONTEXTS_KEPT:
        try:
            fd, _ = drive.root.open_file(name)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as stream, suppress(Refused):
            inside = False
            for item in read_context(stream):
                if isinstance(item, SourceStart):
                    inside = item.id not in known
                elif isinstance(item, SourceEnd):
                    inside = False
                elif inside and isinstance(item, FileEntry) and item.gone is None and item.md5 is not None:
                    named.add(Identity(item.size, item.md5))
            break
    return frozenset(named)


def _remove(drive: Drive, recorder: Recorder, identity: Identity, copy: Copy) -> str:
    """Unlink one file that is still what was recorded; why not, where it can't be. Its record follows: a record
    without a file is put right by the next look, a file without a record would be forgotten."""
    assert copy.path is not None
    drive.check()
    try:
        status = drive.root.stat(copy.path)
        if status is None or status.st_size != identity.size:
            return "is not what it was"
        if copy.mtime_ns is not None and not same_time(drive, status.st_mtime_ns, copy.mtime_ns):
            return "was changed on the drive"
        begin_change(drive)
        disk.remove(drive.root, copy.path, expect=status)
        recorder.drop(*os.path.split(copy.path))
    except OSError as error:
        return f"could not be removed: {error.strerror}"
    return ""
