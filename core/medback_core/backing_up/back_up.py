"""Copy the best files onto a target until it is full: stage, make durable, read back, name, record.

What is recorded is durable and was read back equal; what was killed on the way is a temporary file, or a whole file
with no record that the next run adopts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TypeVar

from medback_core import disk, model
from medback_core.backing_up.batches import Publishing, StagedCopy
from medback_core.backing_up.layout import Layout, There, bring_current, free_place
from medback_core.backing_up.selection import Selection
from medback_core.backing_up.tree import Tree
from medback_core.coverage.shelf_room import shortage
from medback_core.coverage.totals import looked
from medback_core.disk import ContentDiffers
from medback_core.drives.check import look_at
from medback_core.drives.context_file import leave_contexts
from medback_core.drives.drive import begin_change
from medback_core.drives.explain import explain
from medback_core.drives.open import Drive, open_drive
from medback_core.drives.room import room_on
from medback_core.errors import Refused
from medback_core.model import (
    NO_ANSWERS,
    Answers,
    BackupSummary,
    Count,
    DamageFound,
    Event,
    Happened,
    Identity,
    Progress,
    Reason,
    ScanSummary,
    Skipped,
    SourceRefused,
    Trouble,
    Warned,
)
from medback_core.pace import Pace, never, reporting, until
from medback_core.scanning.sources import take_up_left_out, update_sources
from medback_core.session import Session
from medback_core.session.candidates import (
    Candidate,
    best_chosen,
    candidate_extent,
    chosen,
    chosen_paths,
    rank_candidates,
)
from medback_core.session.digests import learn
from medback_core.session.files import is_settled, join, mark_trouble, paths_of_identity
from medback_core.session.history import note_files
from medback_core.session.looking import current_on
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import counting_keys
from medback_core.sources.sidecars import flush_sources, mounted_sources
from medback_core.upkeep.reclaim import reclaimable

_SMALL = disk.SMALL
_BUNCH_BYTES = 8 << 20
_FLUSH_EVERY = 600  # seconds between two writings of the sources' sidecars
_PREVIEWED = 1000
Result = TypeVar("Result")


def back_up(
    session: Session,
    path: bytes,
    *,
    answers: Answers = NO_ANSWERS,
    label: str | None = None,
    capacity: int | None = None,
    reserve: int | None = None,
    limit: int | None = None,
    source: str | None = None,
    update_first: bool = True,
    fill: bool = True,
    verify: bool = True,
    dry_run: bool = False,
    readme: bool | None = None,
    place: str | None = None,
    enough: Callable[[], bool] = never,
) -> Iterator[Event]:
    """Copy the best files onto the target at `path`; ends with a BackupSummary.

    The sources are scanned first, for a dry run too: it records what is new, and copies nothing.

    Bounds in bytes: `reserve` to be left free, `limit` for this run, `capacity` for good. `source` is an alias.
    `readme`: whether the two files that explain the drive belong on it, now and later; None: as the drive says.
    `place`: where the drive is kept, from now on. `enough`: from when on nothing more is begun. What is copied whole by
    then is made durable, read back and recorded, the drive gets its contexts, since it may be taken away now, and the
    run ends with what it did (`stopped`); before it copies, with nothing. Closing it instead loses the batches under
    way (at most two of 256 MiB).
    Raises Refused, NeedsAnswer (nothing changed), DriveGone (what was recorded is kept).
    """
    with ExitStack() as stack:
        stack.enter_context(disk.lock_session(os.fsencode(session.path)))
        only = find_source(session, source).key if source is not None else None
        drive = stack.enter_context(
            open_drive(
                session,
                path,
                write=not dry_run,
                answers=answers,
                label=label,
                capacity=capacity,
                place=place,
            )
        )
        if readme is not None:
            drive.identity = replace(drive.identity, readme=readme)
        yield from drive.notes
        if drive.identity.id and not drive.target.counts and not drive.is_new:
            raise Refused("not-active", target=drive.target.name, state=drive.target.state.value)
        refused: set[str] = set()
        scans: list[ScanSummary] = []
        if update_first:
            yield from take_up_left_out(session)
            here = mounted_sources(session)
            for away in set(list_sources(session)) - set(here):
                yield Warned("source-away", source=away.alias)
            for event in until(enough, update_sources(session, here)):
                if isinstance(event, SourceRefused):
                    refused.add(event.alias)
                if isinstance(event, ScanSummary):
                    scans.append(event)
                if not isinstance(event, model.Summary):
                    yield event
        going = [s for s in mounted_sources(session) if s.alias not in refused and (only is None or s.key == only)]
        on_drive = Tree(session, drive, going)
        yield from until(enough, look_at(session, drive, seen=on_drive.seen))
        if enough():
            return
        scanned = {scan.source.id for scan in scans}
        run = _Run(session, drive, {s.key: s.path for s in going}, scanned, verify, reserve, limit, fill, enough)
        if dry_run:
            yield run.preview()
            return
        yield from on_drive.tighten(run.layout)
        try:
            yield from run.copy()
        finally:
            run.close()
        stopped = enough()
        if stopped and not run.tally.copied:
            yield replace(run.summary(), stopped=True)
            return
        yield from on_drive.record(run.layout, changed=run.tally.copied > 0)
        yield from run.finish()
        yield replace(
            run.summary(),
            gone=sum(scan.removed for scan in scans),
            gone_since=min((scan.source.scanned_at or 0 for scan in scans if scan.removed), default=None),
            stopped=stopped,
        )


class _Enough(Exception):
    """A large file is not copied to its end."""


class _Run:
    """One backup onto one open drive."""

    def __init__(
        self,
        session: Session,
        drive: Drive,
        sources: dict[int, bytes],
        scanned: set[str],
        verify: bool,
        reserve: int | None,
        limit: int | None,
        fill: bool,
        enough: Callable[[], bool],
    ) -> None:
        self.session = session
        self.drive = drive
        self.sources = sources
        self.scanned = scanned  # ids of sources, in this run
        self.reserve = reserve
        self.limit = limit
        self.fill = fill
        self.enough = enough
        self.layout = Layout(session, drive)
        self.publishing = Publishing(session, drive, self.layout, verify=verify)
        self.tally = self.publishing.tally
        self.roots: dict[int, disk.Root] = {}
        self.already_there = current_on(session, drive.target.key).files
        self.total = Count()
        self._current: Candidate | None = None  # the latest that was taken up
        self._told = False  # the drive has a context of this run, and is explained
        self._pace = Pace()
        self._flushed = time.monotonic()

    def choose(self) -> Count:
        """Rank and choose; returns what would go."""
        candidates = rank_candidates(
            self.session, self.drive.target.key, self.sources, counting_keys(self.session), fill=self.fill
        )
        extent = candidate_extent(self.session)
        room = room_on(self.session, self.drive, reserve=self.reserve, limit=self.limit, new=extent)
        choice = Selection(self.session, self.layout, room)
        going = choice.choose(candidates, extent)
        self.tally.no_inodes = choice.no_inodes
        self.tally.full = going.files < candidates.files and (self.limit is None or candidates.bytes > room.free)
        return going

    def preview(self) -> BackupSummary:
        """What a run would do, without doing it."""
        going = self.choose()
        best = best_chosen(self.session, _PREVIEWED)
        self.tally.copied, self.tally.copied_bytes = going.files, going.bytes
        paths = tuple(os.path.join(self.sources[c.source], join(c.directory, c.name)) for c in best)
        return self.summary(would_copy=paths)

    # --- copying ---------------------------------------------------------------------------------------------------

    def copy(self) -> Iterator[Event]:
        try:
            bring_current(self.layout, self.publishing.recorder)
        except OSError as error:
            if not self.publishing.is_out_of_room(error):
                yield Warned("older-versions-stay", path=self.drive.root.path, error=error.strerror)
        self.total = self.choose()
        if self.total.files:
            yield from self._tell_ahead()
            yield Progress("copying", 0, 0, self.total.files, self.total.bytes)
        with suppress(_Enough):
            yield from self._copy_chosen()
        yield from self._publish()
        for candidate in list(self.publishing.taken):
            if self.enough():
                break
            with suppress(_Enough):
                yield from self._one(candidate)
            if self.publishing.is_full:
                yield from self._publish()
        yield from self._publish()

    def _tell_ahead(self) -> Iterator[Event]:
        """Let the drive tell of all that is to be on it before the first of it is: a run that is cut off leaves copies
        that a new machine knows of, and what did not come any more is missing there, and said to be."""
        with suppress(OSError):  # the first batch says so
            begin_change(self.drive)
            # What can't be written now is told at the end of the run, if it can't be then.
            self._told = not list(leave_contexts(self.session, self.drive, self.scanned))
            if self._told:
                yield from explain(self.drive)

    def _copy_chosen(self) -> Iterator[Event]:
        for bunch in _bunches(chosen(self.session), self.drive.filesystem.group_sync):
            if self.enough():
                break
            self._current = bunch[-1]
            if len(bunch) > 1 or self._goes_beside(bunch[0]):
                yield from self._many(bunch)
            else:
                yield from self._one(bunch[0])
            self.publishing.read_ahead()
            if self.publishing.is_full:
                yield from self.publishing.publish_ready()
                yield from self._collect()
                self.publishing.pipeline.make_ready()
            if self._pace.is_due():
                yield self._progress(0, self._current)
            if time.monotonic() - self._flushed > _FLUSH_EVERY:
                self._flushed = time.monotonic()
                yield from flush_sources(self.session)

    def _goes_beside(self, candidate: Candidate) -> bool:
        """Whether a large file is copied while the one before it still is: not from or to a disk that spins."""
        if candidate.content.size <= _SMALL or not self.drive.filesystem.group_sync or self.drive.root.spins:
            return False
        try:
            return not self._root(candidate.source).spins
        except OSError:
            return False  # alone it says what is wrong

    def _publish(self) -> Iterator[Event]:
        yield from self._collect()
        yield from self.publishing.publish()

    def _collect(self) -> Iterator[Event]:
        """Wait for the copies that were begun; what needs care is copied alone."""
        for candidate in (yield from self._giving_turns(self.publishing.collect())):
            if self.enough():
                break
            yield from self._one(candidate)

    def _giving_turns(self, steps: Generator[None, None, Result]) -> Generator[Event, None, Result]:
        def waited(_: None) -> Event:
            if self.enough():
                self.publishing.pipeline.cut_short()
            return self._progress(0, self._current)

        return (yield from reporting(steps, self._pace, waited))

    def _many(self, bunch: list[Candidate]) -> Iterator[Event]:
        """Stage small contents of one directory together, or a large one; what that can't do goes alone."""
        source, directory = bunch[0].source, bunch[0].directory
        root = self._root(source)
        alone = bunch
        try:
            with root.directory(directory) as handle:
                where = self.layout.place_directory(source, directory)
                is_new = self.drive.root.stat(where) is None
                going = [c for c in bunch if self._is_free(join(where, c.name), is_new)]
                yield from self._giving_turns(self.publishing.begin(where, handle, going))
                begun = {c.identity for c in going}
                alone = [c for c in bunch if c.identity not in begun]
        except OSError:
            pass  # each alone says what is wrong
        for candidate in alone:
            yield from self._one(candidate)

    def _is_free(self, where: bytes, is_new: bool) -> bool:
        return where not in self.publishing.promised and (is_new or self.drive.root.stat(where) is None)

    def _one(self, candidate: Candidate) -> Iterator[Event]:
        """Stage one content, from the first of its paths that can be read."""
        tried = [(candidate.source, join(candidate.directory, candidate.name))]
        problem = yield from self._from_path(candidate, *tried[0], candidate.mode, candidate.mtime_ns)
        if problem is None:
            return
        problems = [problem]
        for source, path, row in paths_of_identity(self.session, candidate.identity):
            if source in self.sources and (source, path) not in tried and row.trouble == 0:
                problem = yield from self._from_path(candidate, source, path, row.mode, row.mtime_ns)
                if problem is None:
                    return
                problems.append(problem)
        yield from problems

    def _from_path(
        self, candidate: Candidate, source: int, path: bytes, mode: int, mtime_ns: int
    ) -> Generator[Event, None, Event | None]:
        """Stage one content from one of its paths; returns what was wrong with that path, None when it is done with."""
        shown = os.path.join(self.sources[source], path)
        try:
            fd, status = self._root(source).open_file(path)
        except OSError as error:
            return Skipped(shown, Reason.system(error))
        try:
            if status.st_size != candidate.content.size or status.st_mtime_ns != mtime_ns:
                return Skipped(shown, Reason("changed-since-scan"))
            try:
                return (yield from self._stage(candidate, source, path, fd, mode, mtime_ns))
            except ContentDiffers as differs:
                return self._differs(candidate, source, path, status, os.fstat(fd), differs.actual)
            except OSError as error:
                # One file could not be put there; whether the drive can take others decides how it
                # goes on. Returns what is to be said of it, None when it is for lack of room.
                if self.publishing.is_out_of_room(error):
                    yield from self._publish()  # what is staged already has its room
                    return None
                return Skipped(shown, Reason("not-copied", drive=self.drive.root.path, error=error.strerror))
        finally:
            os.close(fd)

    def _stage(
        self, candidate: Candidate, source: int, path: bytes, fd: int, mode: int, mtime_ns: int
    ) -> Generator[Event, None, Event | None]:
        """Stage one content, open for reading; returns what was wrong, None when it is done with."""
        place = self.layout.place(source, path)
        found = free_place(self.drive, self.publishing.recorder, place, candidate.content, self.publishing.promised)
        if found.there is There.THE_SAME:
            self.publishing.adopt(candidate, source, path, found)
            return None
        where, in_the_way = found.path, found if found.there in (There.OURS, There.ROTTEN) else None
        group = self.publishing.open()
        content, known = candidate.content, candidate.blake3
        if content.size <= _SMALL:
            staged = group.stage_small_copy(where, fd, expected=content, mtime_ns=mtime_ns, mode=mode, blake3=known)
        else:
            steps = group.stage_copy(where, fd, expected=content, mtime_ns=mtime_ns, mode=mode, blake3=known)
            staged = yield from reporting(steps, self._pace, lambda done: self._copied(done, candidate))
        differs = known is not None and staged.blake3 != known
        if differs and not learn(self.session, content, staged.blake3, path, source=source):
            group.discard(staged)
            return Skipped(os.path.join(self.sources[source], path), Reason("other-content"))
        self.publishing.add(StagedCopy(candidate, staged, where, path, source, mode, mtime_ns, in_the_way))
        return None

    def _copied(self, done: int, candidate: Candidate) -> Event:
        if self.enough():
            raise _Enough  # what is there of this file is removed
        return self._progress(done, candidate)

    def _differs(
        self,
        candidate: Candidate,
        source: int,
        path: bytes,
        before: os.stat_result,
        after: os.stat_result,
        actual: Identity,
    ) -> Event:
        """The bytes read are not those on record: a change under our hands, or damage."""
        shown = os.path.join(self.sources[source], path)
        moved = (before.st_size, before.st_mtime_ns, before.st_ctime_ns) != (
            after.st_size,
            after.st_mtime_ns,
            after.st_ctime_ns,
        )
        settled = is_settled(candidate.inode, candidate.ctime_ns)
        if moved or not settled or actual.size != candidate.content.size:
            return Skipped(shown, Reason("changed-while-copied"))
        kept = candidate.ctime_ns is not None and candidate.ctime_ns != after.st_ctime_ns
        mark_trouble(self.session, source, path, Trouble.KEPT_TIME if kept else Trouble.DAMAGED)
        return DamageFound(shown, Reason("damaged/kept-time" if kept else "damaged"))

    # --- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> Iterator[Event]:
        """The sources' sidecars, the drive's identity and its contexts."""
        yield from flush_sources(self.session)
        yield from leave_contexts(self.session, self.drive, self.scanned, instead=self._told)
        if not self._told:
            yield from explain(self.drive)

    def summary(self, would_copy: tuple[bytes, ...] | None = None) -> BackupSummary:
        """What was done; with `would_copy`, what the chosen candidates would make of it."""
        room = room_on(self.session, self.drive, reserve=self.reserve, limit=None)
        left = room.free if room.allowed is None else min(room.free, room.allowed)
        lacks = shortage(self.session, self.drive.target, left, chosen=would_copy is not None)
        tally = self.tally
        old, surplus = reclaimable(self.session, self.drive, surplus=tally.full and lacks.below.files > 0)
        return BackupSummary(
            target=self.drive.target,
            copied=tally.copied,
            copied_bytes=tally.copied_bytes,
            already_there=self.already_there + tally.already,
            superseded=tally.superseded,
            remaining=lacks.below.files,
            remaining_bytes=lacks.below.bytes,
            free_bytes=disk.describe(self.drive.root.path).free,
            reclaimable_bytes=old + surplus,
            surplus_bytes=surplus,
            full=tally.full,
            no_inodes=tally.no_inodes,
            unproven=tally.unproven,
            lacking_bytes=lacks.room_bytes,
            would_copy=would_copy or (),
            paths=0 if would_copy is None else chosen_paths(self.session),
            looked=looked(self.session),
        )

    def close(self) -> None:
        """Give back what is open; a batch that was not finished leaves nothing behind."""
        self.publishing.pipeline.close()
        done = self.tally.copied, self.tally.copied_bytes
        note_files(self.session, Happened.BACKUP, *done, target=self.drive.target.id)
        for root in self.roots.values():
            root.close()
        self.roots.clear()

    def _root(self, source: int) -> disk.Root:
        root = self.roots.get(source)
        if root is None:
            root = self.roots[source] = disk.Root(self.sources[source])
        return root

    def _progress(self, done_of_this: int, candidate: Candidate | None) -> Progress:
        current = b""
        if candidate is not None:
            current = os.path.join(self.sources[candidate.source], candidate.directory, candidate.name)
        return Progress(
            "copying",
            self.tally.copied + self.publishing.pipeline.count,
            self.tally.copied_bytes + self.publishing.pipeline.bytes + done_of_this,
            self.total.files,
            self.total.bytes,
            current,
        )


def _bunches(candidates: Iterator[Candidate], together: bool) -> Iterator[list[Candidate]]:
    """Small contents that follow each other in one directory together, others alone."""
    bunch: list[Candidate] = []
    size = 0
    for candidate in candidates:
        small = together and candidate.content.size <= _SMALL
        if bunch and (
            not small
            or candidate.directory != bunch[0].directory
            or candidate.source != bunch[0].source
            or len(bunch) >= disk.AT_ONCE
            or size >= _BUNCH_BYTES
        ):
            yield bunch
            bunch, size = [], 0
        if small:
            bunch.append(candidate)
            size += candidate.content.size
        else:
            yield [candidate]
    if bunch:
        yield bunch
