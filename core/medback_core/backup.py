"""Copy the best files onto a target until it is full: stage, make durable, read back, name, record.

What is recorded is durable and was read back equal; what was killed on the way is a temporary file, or a whole file
with no record that the next run adopts.
"""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from . import disk, model, names
from .choosing import choose_best, room_on
from .disk import ContentDiffers, Staged
from .errors import DriveGone, Refused
from .model import (
    OLD_DIRECTORY,
    BackupSummary,
    Count,
    DamageFound,
    Event,
    FileDone,
    Identity,
    Progress,
    Skipped,
    SourceRefused,
    Standing,
    Trouble,
    Warned,
)
from .placing import Layout, Occupant, There, another_name, displace, occupant, record_of
from .session import (
    Candidate,
    Copy,
    Session,
    announce_landing,
    below_wanted,
    best_chosen,
    bytes_below,
    chosen,
    counting_keys,
    current_on,
    find_source,
    join,
    landed,
    list_sources,
    list_targets,
    mark_trouble,
    paths_of_identity,
    rank_candidates,
    record_copies,
    was_landing,
)
from .source_records import flush_sources, mounted_sources
from .sources import update_sources
from .target_records import Recorder, look_at, write_contexts
from .targets import Drive, open_drive, write_identity

_SMALL = disk.SMALL
_FLUSH_EVERY = 600  # seconds between two writings of the sources' sidecars
_GONE = {errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EROFS, errno.ENOTCONN, errno.ESHUTDOWN}
_PREVIEWED = 1000


def back_up(
    session: Session,
    path: bytes,
    *,
    create: bool | None = None,
    yes: bool = False,
    label: str | None = None,
    capacity: int | None = None,
    reserve: int | None = None,
    limit: int | None = None,
    source: str | None = None,
    update_first: bool = True,
    fill: bool = True,
    verify: bool = True,
    dry_run: bool = False,
    new_id: bool = False,
    same_drive: bool = False,
) -> Iterator[Event]:
    """Copy the best files onto the target at `path`; ends with a BackupSummary.

    Bounds in bytes: `reserve` to be left free, `limit` for this run, `capacity` for good. `source` is an alias.
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
                create=create,
                yes=yes,
                label=label,
                capacity=capacity,
                new_id=new_id,
                same_drive=same_drive,
            )
        )
        for note in drive.notes:
            yield Warned(note)
        if drive.identity.id and not drive.target.counts and not drive.is_new:
            raise Refused(
                "not-active",
                f"the target {names.display_name(drive.target.name)} is {drive.target.state}: no copy there counts. "
                "A clean `verify` makes a suspect one active again, `set-target --state active` any",
            )
        refused: set[str] = set()
        if update_first and not dry_run:
            here = mounted_sources(session)
            for away in set(list_sources(session)) - set(here):
                yield Warned(f"the source {names.display_name(away.alias)} is not there; its files are not copied now")
            for event in update_sources(session, here):
                if isinstance(event, SourceRefused):
                    refused.add(event.alias)
                if not isinstance(event, model.Summary):
                    yield event
        for event in look_at(session, drive):
            if not isinstance(event, model.Summary):
                yield event
        sources = {
            s.key: s.path
            for s in mounted_sources(session)
            if s.alias not in refused and (only is None or s.key == only)
        }
        run = _Run(session, drive, sources, verify, reserve, limit, fill)
        if dry_run:
            yield run.preview()
            return
        try:
            yield from run.copy()
        finally:
            run.close()
        yield from run.finish()
        yield run.summary()


@dataclass(slots=True)
class _Going:
    """A file staged on its way: what it is, where it goes, what stood there."""

    candidate: Candidate
    staged: Staged
    where: bytes
    path: bytes  # relative to its source
    source: int
    mode: int
    mtime_ns: int
    in_the_way: Occupant | None = None


@dataclass(slots=True)
class _Tally:
    copied: int = 0
    copied_bytes: int = 0
    superseded: int = 0
    unproven: int = 0
    already: int = 0
    full: bool = False


class _Run:
    """One backup onto one open drive."""

    def __init__(
        self,
        session: Session,
        drive: Drive,
        sources: dict[int, bytes],
        verify: bool,
        reserve: int | None,
        limit: int | None,
        fill: bool,
    ) -> None:
        self.session = session
        self.drive = drive
        self.sources = sources
        self.verify = verify
        self.reserve = reserve
        self.limit = limit
        self.fill = fill
        self.layout = Layout(session, drive)
        self.recorder = Recorder(drive)
        self.tally = _Tally()
        self.group: disk.Group | None = None
        self.going: list[_Going] = []
        self.promised: set[bytes] = set()  # final names of this batch
        self.roots: dict[int, disk.Root] = {}
        self.already_there = current_on(session, drive.target.key).files
        self.total = Count()
        self._told = 0.0
        self._flushed = time.monotonic()

    def choose(self) -> Count:
        """Rank and choose; returns what would go."""
        candidates = rank_candidates(
            self.session, self.drive.target.key, self.sources, counting_keys(self.session), fill=self.fill
        )
        room = room_on(
            self.session,
            self.drive,
            files=candidates.files + self.already_there,
            reserve=self.reserve,
            limit=self.limit,
        )
        going = choose_best(self.session, room, candidates)
        self.tally.full = going.files < candidates.files and self._bounded_by_room(room.free, candidates)
        return going

    def _bounded_by_room(self, free: int, candidates: Count) -> bool:
        return self.limit is None or candidates.bytes > free

    def preview(self) -> BackupSummary:
        """What a run would do, without doing it."""
        going = self.choose()
        best = best_chosen(self.session, _PREVIEWED)
        self.tally.copied, self.tally.copied_bytes = going.files, going.bytes
        paths = tuple(os.path.join(self.sources[c.source], join(c.directory, c.name)) for c in best)
        return self.summary(would_copy=paths)

    # --- copying ---------------------------------------------------------------------------------------------------

    def copy(self) -> Iterator[Event]:
        self.total = self.choose()
        if self.total.files:
            yield Progress("copying", 0, 0, self.total.files, self.total.bytes)
        for candidate in chosen(self.session):
            yield from self._one(candidate)
            if self.group is not None and self.group.is_full:
                yield from self._publish()
            if time.monotonic() - self._told > 0.1:
                yield self._progress(0, candidate)
            if time.monotonic() - self._flushed > _FLUSH_EVERY:
                self._flushed = time.monotonic()
                yield from flush_sources(self.session)
        yield from self._publish()

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
            return Skipped(shown, error.strerror or "cannot be opened")
        try:
            if status.st_size != candidate.content.size or status.st_mtime_ns != mtime_ns:
                return Skipped(shown, "changed since it was scanned; the next update takes it up")
            try:
                yield from self._stage(candidate, source, path, fd, mode, mtime_ns)
            except ContentDiffers as differs:
                return self._differs(candidate, source, path, status, os.fstat(fd), differs.actual)
            except OSError as error:
                yield from self._failed(error, shown, candidate)
            return None
        finally:
            os.close(fd)

    def _stage(
        self, candidate: Candidate, source: int, path: bytes, fd: int, mode: int, mtime_ns: int
    ) -> Iterator[Event]:
        where = self.layout.place(source, path)
        in_the_way = None
        if where in self.promised:
            where = another_name(self.drive, where, self.promised)
        else:
            found = occupant(self.drive, self.recorder, where, candidate.content)
            if found.there is There.THE_SAME:
                self._adopt(candidate, source, path, found)
                return
            if found.there is There.FOREIGN:
                where = another_name(self.drive, where, self.promised)
            elif found.there is There.OURS:
                in_the_way = found
        if self.group is None:
            self.drive.check()
            self.group = disk.Group(self.drive.root)
        if candidate.content.size <= _SMALL:
            staged = self.group.stage_small_copy(where, fd, expected=candidate.content, mtime_ns=mtime_ns, mode=mode)
        else:
            steps = self.group.stage_copy(where, fd, expected=candidate.content, mtime_ns=mtime_ns, mode=mode)
            try:
                while True:
                    try:
                        done = next(steps)
                    except StopIteration as end:
                        staged = end.value
                        break
                    if time.monotonic() - self._told > 0.1:
                        yield self._progress(done, candidate)
            finally:
                steps.close()
        self.promised.add(where)
        self.going.append(_Going(candidate, staged, where, path, source, mode, mtime_ns, in_the_way))

    def _adopt(self, candidate: Candidate, source: int, path: bytes, found: Occupant) -> None:
        """The content lies there already, whole: a run that was killed put it there, or somebody else did."""
        assert found.record is not None
        key = self.drive.target.key
        copy = Copy(
            candidate.identity,
            key,
            Standing.VERIFIED,
            found.path,
            found.record.mtime_ns,
            model.now(),
            found.record.ours or was_landing(self.session, key, found.path),
        )
        record = record_of(self.layout, source, path, found.path, copy, candidate.content, found.record.mode)
        record.ours = copy.ours
        self.recorder.put(os.path.dirname(found.path), record)
        self.recorder.commit()
        record_copies(self.session, [copy])
        landed(self.session, key, [found.path])
        self.tally.already += 1

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
        if moved or actual.size != candidate.content.size:
            return Skipped(shown, "changed while it was being copied; the next update takes it up")
        kept = candidate.ctime_ns is not None and candidate.ctime_ns != after.st_ctime_ns
        mark_trouble(self.session, source, path, Trouble.KEPT_TIME if kept else Trouble.DAMAGED)
        words = "changed keeping its time" if kept else "damaged: its content is not what was recorded"
        return DamageFound(shown, words + ", though size and time are the same")

    def _failed(self, error: OSError, shown: bytes, candidate: Candidate) -> Iterator[Event]:
        """One file could not be put there; whether the drive can take others decides how it goes on."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.tally.full = True
            yield from self._publish()  # what is staged already has its room
            return
        if error.errno in _GONE or not self.drive.root.is_same_drive():
            raise DriveGone(
                f"{names.display_name(self.drive.root.path)}: {error.strerror}; what was recorded is kept"
            ) from error
        yield Skipped(shown, f"could not be copied: {error.strerror}")

    # --- a batch becomes durable -----------------------------------------------------------------------------------

    def _publish(self) -> Iterator[Event]:
        group, going = self.group, self.going
        if group is None:
            return
        self.group, self.going = None, []
        self.promised.clear()
        with group:
            try:
                self.drive.check()
                group.flush()
                verified = yield from self._read_back(group, going)
                for one in verified:
                    if one.in_the_way is not None:
                        self.tally.superseded += displace(self.layout, self.recorder, one.in_the_way)
                names_given = [one.where for one in verified]
                announce_landing(self.session, self.drive.target.key, names_given)
                outcome = {id(staged): error for staged, error in group.publish()}
            except OSError as error:
                yield from self._batch_failed(error, going)
                return
            recorded = []
            for one in verified:
                error = outcome[id(one.staged)]
                if error is not None:
                    yield Skipped(self._shown(one), f"could not be named on the drive: {error.strerror}")
                    continue
                recorded.append(one)
            yield from self._record(recorded)
            landed(self.session, self.drive.target.key, names_given)

    def _read_back(self, group: disk.Group, going: list[_Going]) -> Generator[Event, None, list[_Going]]:
        """Those of a flushed batch that the drive gives back equal."""
        if not self.verify:
            return going
        good = []
        done = 0
        for one in going:
            try:
                steps = group.read_back_steps(one.staged)
                while True:
                    try:
                        next(steps)
                    except StopIteration as end:
                        md5, proven = end.value
                        break
                    if time.monotonic() - self._told > 0.1:
                        self._told = time.monotonic()
                        yield Progress("reading back", done, 0, len(going), None, self._shown(one))
            except OSError as error:
                group.discard(one.staged)
                yield DamageFound(self._shown(one), f"could not be read back from the drive: {error.strerror}")
                continue
            done += 1
            if md5 != one.candidate.content.md5:
                group.discard(one.staged)
                yield DamageFound(self._shown(one), "read back from the drive with other content than was written")
                continue
            self.tally.unproven += not proven
            good.append(one)
        return good

    def _record(self, going: list[_Going]) -> Iterator[Event]:
        """The drive's own sidecars first, then the session DB; the sources' sidecars follow at the end."""
        standing = Standing.VERIFIED if self.verify else Standing.WRITTEN
        date = model.now() if self.verify else None
        copies = []
        for one in going:
            copy = Copy(one.candidate.identity, self.drive.target.key, standing, one.where, one.mtime_ns, date, True)
            copies.append(copy)
            self.recorder.put(
                os.path.dirname(one.where),
                record_of(self.layout, one.source, one.path, one.where, copy, one.candidate.content, one.mode),
            )
        self.recorder.commit()
        record_copies(self.session, copies)
        for one in going:
            self.tally.copied += 1
            self.tally.copied_bytes += one.candidate.content.size
            yield FileDone("copied", self._shown(one), one.candidate.content.size)

    def _batch_failed(self, error: OSError, going: list[_Going]) -> Iterator[Event]:
        """The batch is not durable: it is thrown away, never synced again; nothing of it was recorded."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.tally.full = True
            yield Warned("the drive was full before a batch was durable; that batch was taken back")
            return
        if error.errno in _GONE or not self.drive.root.is_same_drive():
            raise DriveGone(
                f"{names.display_name(self.drive.root.path)}: {error.strerror}; what was recorded is kept"
            ) from error
        for one in going:
            yield Skipped(self._shown(one), f"could not be made durable: {error.strerror}")

    # --- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> Iterator[Event]:
        """The sources' sidecars, the drive's identity and its contexts."""
        yield from flush_sources(self.session)
        try:
            write_identity(self.session, self.drive)
            write_contexts(self.session, self.drive)
        except (OSError, Refused) as error:
            yield Warned(f"the restore context could not be written to the drive: {error}")

    def summary(self, would_copy: tuple[bytes, ...] = ()) -> BackupSummary:
        counting = counting_keys(self.session)
        remaining, room_wanted = below_wanted(self.session, counting)
        free = disk.describe(self.drive.root.path).free
        shelf = sum(
            t.free_bytes or 0 for t in list_targets(self.session) if t.counts and t.key != self.drive.target.key
        )
        tally = self.tally
        return BackupSummary(
            target=self.drive.target,
            copied=tally.copied,
            copied_bytes=tally.copied_bytes,
            already_there=self.already_there + tally.already,
            superseded=tally.superseded,
            remaining=remaining.files,
            remaining_bytes=remaining.bytes,
            free_bytes=free,
            reclaimable_bytes=bytes_below(self.session, self.drive.target.key, OLD_DIRECTORY),
            full=tally.full,
            unproven=tally.unproven,
            lacking_bytes=max(0, room_wanted - free - shelf),
            would_copy=would_copy,
        )

    def close(self) -> None:
        """Give back what is open; a batch that was not finished leaves nothing behind."""
        if self.group is not None:
            self.group.close()
            self.group = None
        for root in self.roots.values():
            root.close()
        self.roots.clear()

    def _root(self, source: int) -> disk.Root:
        root = self.roots.get(source)
        if root is None:
            root = self.roots[source] = disk.Root(self.sources[source])
        return root

    def _shown(self, one: _Going) -> bytes:
        return os.path.join(self.drive.root.path, one.where)

    def _progress(self, done_of_this: int, candidate: Candidate) -> Progress:
        self._told = time.monotonic()
        staged = sum(one.candidate.content.size for one in self.going)
        return Progress(
            "copying",
            self.tally.copied + len(self.going),
            self.tally.copied_bytes + staged + done_of_this,
            self.total.files,
            self.total.bytes,
            os.path.join(self.sources[candidate.source], candidate.directory, candidate.name),
        )
