"""A batch on its way onto a drive: made durable, read back, named, recorded, in this order and only then counted."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import cast

from medback_core import disk, model
from medback_core.backing_up.layout import Layout, Occupant, displace, record_of
from medback_core.disk import Staged
from medback_core.drives.drive import Drive, begin_change
from medback_core.drives.sidecars import Recorder, Unrecorded
from medback_core.drives.walk import path_on
from medback_core.errors import DriveGone
from medback_core.model import DamageFound, Event, FileDone, Progress, Reason, Skipped, Standing, Warned
from medback_core.pace import Pace, reporting
from medback_core.session import Session
from medback_core.session.candidates import Candidate
from medback_core.session.copies import Copy, record_copies
from medback_core.session.digests import learn_many
from medback_core.session.files import join
from medback_core.session.targets import announce_landing, landed, was_landing


@dataclass(slots=True)
class StagedCopy:
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
class Tally:
    """What one backup has done so far. Counts are identities."""

    copied: int = 0
    copied_bytes: int = 0
    superseded: int = 0
    unproven: int = 0
    already: int = 0
    full: bool = False
    no_inodes: bool = False  # full for lack of inodes, where there is room in bytes


class Publishing:
    """The files of one backup on their way onto the open drive."""

    def __init__(self, session: Session, drive: Drive, layout: Layout, *, verify: bool) -> None:
        self.session = session
        self.drive = drive
        self.layout = layout
        self.verify = verify
        self.recorder = Recorder(drive)
        self.tally = Tally()
        self.promised: set[bytes] = set()  # final names of what is under way
        self.taken: list[Candidate] = []  # whose names the drive holds to be others' (A and a): once more, beside those
        self.pipeline = disk.Pipeline[StagedCopy](backs_up=True)
        self._adopted: list[Copy] = []
        self._pace = Pace()

    def open(self) -> disk.Group:
        """The group to stage files in. Raises DriveGone, OSError."""
        if self.pipeline.filled is None:
            self.drive.check()
        return self.pipeline.open(self.drive.root).group

    def add(self, copy: StagedCopy) -> None:
        """This file was staged in the group."""
        self.promised.add(copy.where)
        self.pipeline.open(self.drive.root).copies.append(copy)

    def begin(self, where: bytes, source: int, candidates: list[Candidate]) -> Generator[None, None, None]:
        """Begin to copy small contents from their open directory into one of the drive's. Each None is a turn for the
        caller. Raises DriveGone, OSError."""
        files = [
            disk.SmallCopy(c.name, join(where, c.name), c.content, c.mtime_ns, c.mtime_ns, c.mode, c, c.blake3)
            for c in candidates
        ]
        yield from self.open().begin_copies(where, source, files)
        self.promised.update(file.rel for file in files)

    def collect(self) -> Generator[None, None, list[Candidate]]:
        """Wait for what was begun; returns those that must be copied alone. Each None is a turn for the caller."""
        alone = yield from self.pipeline.collect(_copy_of)
        self.promised.difference_update(file.rel for file in alone)
        return [cast("Candidate", file.of) for file in alone]

    def adopt(self, candidate: Candidate, source: int, path: bytes, found: Occupant) -> None:
        """The content lies there already, whole: a run that was killed put it there, or another program did. It is
        recorded with the batch: a sidecar written for every such file would be rewritten as often as it has records."""
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
        record.ours, record.blake3 = copy.ours, found.record.blake3
        self.recorder.put(os.path.dirname(found.path), record)
        self._adopted.append(copy)
        self.tally.already += 1

    @property
    def is_full(self) -> bool:
        """Whether the batch is large enough to be published."""
        return len(self._adopted) >= disk.BATCH_FILES or self.pipeline.is_full

    def is_out_of_room(self, error: OSError) -> bool:
        """Whether an error means that the drive is full (noted then). Raises DriveGone where it means that the drive
        is gone."""
        cause = disk.cause_of(error)
        if cause is disk.Cause.NO_ROOM:
            self.tally.full = True
            self.tally.no_inodes = self.tally.no_inodes or self.drive.root.lacks_inodes()
            return True
        if cause in (disk.Cause.GONE, disk.Cause.READ_ONLY) or not self.drive.root.is_same_drive():
            raise DriveGone("drive-gone/error", path=self.drive.root.path, error=error.strerror) from error
        return False

    def read_ahead(self) -> None:
        """Begin to read back the batch that is ready, if it is durable by now."""
        if self.verify and self.pipeline.ready is not None:
            self.pipeline.ready.group.begin_read_back(_small(self.pipeline.ready.copies))

    def publish(self) -> Iterator[Event]:
        """Make all that is under way, and collected, durable, name and record it. Raises DriveGone."""
        yield from self.publish_ready()
        self.pipeline.make_ready()
        yield from self.publish_ready()

    def publish_ready(self) -> Iterator[Event]:
        """The same for the batch that is ready. What fails is told and was not recorded."""
        yield from self._record_adopted()
        batch = self.pipeline.take_ready()
        if batch is None:
            return
        group, going = batch.group, batch.copies
        self.promised.difference_update([one.where for one in going])
        with group:
            try:
                self.drive.check()
                begin_change(self.drive)
                for _ in group.flush_steps():
                    if self._pace.is_due():
                        yield Progress("making durable", 0, 0, len(going), current=path_on(self.drive, going[-1].where))
                group.flush()
                verified = yield from self._read_back(group, going)
                verified = yield from self._make_way(group, verified)
                given = [one.where for one in verified]
                announce_landing(self.session, self.drive.target.key, given)
                outcome = {id(staged): error for staged, error in group.publish()}
            except OSError as error:
                yield from self._failed(error, going)
                return
            recorded = []
            for one in verified:
                error = outcome[id(one.staged)]
                if isinstance(error, FileExistsError) and one.candidate not in self.taken:
                    self.taken.append(one.candidate)
                    continue
                if error is not None:
                    yield Skipped(path_on(self.drive, one.where), Reason("not-named", error=error.strerror))
                    continue
                recorded.append(one)
            waiting = yield from self._record(recorded)
            landed(self.session, self.drive.target.key, [where for where in given if where not in waiting])

    def _read_back(self, group: disk.Group, going: list[StagedCopy]) -> Generator[Event, None, list[StagedCopy]]:
        """Those of a flushed batch that the drive gives back equal."""
        if not self.verify:
            return going
        read = {}
        for result in group.read_back_small(_small(going)):
            if result is not None:
                read[result[0]] = result[1:]
            if self._pace.is_due():
                yield Progress("reading back", len(read), 0, len(going), current=path_on(self.drive, going[0].where))
        good = []
        for one in going:
            md5, proven = read.get(one.staged, (b"", False))
            try:
                if md5 != one.candidate.content.md5:  # too large for that, or once more with all care
                    md5, proven = yield from self._read_one(group, one, len(good), len(going))
            except OSError as error:
                group.discard(one.staged)
                yield DamageFound(path_on(self.drive, one.where), Reason("not-read-back", error=error.strerror))
                continue
            if md5 != one.candidate.content.md5:
                group.discard(one.staged)
                yield DamageFound(path_on(self.drive, one.where), Reason("read-back-otherwise"))
                continue
            self.tally.unproven += not proven
            good.append(one)
        return good

    def _read_one(
        self, group: disk.Group, one: StagedCopy, done: int, total: int
    ) -> Generator[Event, None, tuple[bytes, bool]]:
        progress = Progress("reading back", done, 0, total, None, path_on(self.drive, one.where))
        return (yield from reporting(group.read_back_steps(one.staged), self._pace, lambda _: progress))

    def _make_way(self, group: disk.Group, going: list[StagedCopy]) -> Generator[Event, None, list[StagedCopy]]:
        """Those of a durable batch whose place is free now. What can't be moved aside costs the other files of the
        batch nothing."""
        in_the_way = [one.in_the_way for one in going if one.in_the_way is not None]
        moved = iter(displace(self.layout, self.recorder, in_the_way))
        free = []
        for one in going:
            outcome = next(moved) if one.in_the_way is not None else False
            if isinstance(outcome, OSError):
                group.discard(one.staged)
                if not self.is_out_of_room(outcome):
                    yield Skipped(path_on(self.drive, one.where), Reason("not-moved-aside", error=outcome.strerror))
                continue
            self.tally.superseded += outcome
            free.append(one)
        return free

    def _record(self, going: list[StagedCopy]) -> Generator[Event, None, set[bytes]]:
        """The drive's own sidecars first, then the session DB; the sources' sidecars follow at the end. Returns the
        places of what could not be recorded: it lies there whole, and the next run takes it up."""
        standing = Standing.VERIFIED if self.verify else Standing.WRITTEN
        date = model.now() if self.verify else None
        copies = []
        for one in going:
            copy = Copy(one.candidate.identity, self.drive.target.key, standing, one.where, one.mtime_ns, date, True)
            copies.append(copy)
            self.recorder.put(
                one.staged.directory,
                record_of(
                    self.layout,
                    one.source,
                    one.path,
                    one.where,
                    copy,
                    one.candidate.content,
                    one.mode,
                    blake3=one.staged.blake3,
                    alone=one.candidate.paths == 1,
                ),
            )
        unrecorded = self._commit()
        while going and any(disk.cause_of(error) is disk.Cause.NO_ROOM for error in unrecorded.values()):
            going = self._take_back(going, len(unrecorded))
            unrecorded = self._commit()
        left = {one.where for one in going}
        copies = [copy for copy in copies if copy.path in left]
        with self.session.transaction():
            learn_many(
                self.session,
                [(one.candidate.content, one.staged.blake3) for one in going if one.candidate.blake3 is None],
            )
            record_copies(
                self.session, [copy for copy in copies if os.path.dirname(copy.path or b"") not in unrecorded]
            )
        waiting: set[bytes] = set()
        for one in going:
            error = unrecorded.get(one.staged.directory)
            if error is not None:
                waiting.add(one.where)
                yield self._unrecorded(one.where, error)
                continue
            self.tally.copied += 1
            self.tally.copied_bytes += one.candidate.content.size
            yield FileDone("copied", path_on(self.drive, one.where), one.candidate.content.size)
        return waiting

    def _take_back(self, going: list[StagedCopy], count: int) -> list[StagedCopy]:
        """Another program filled the drive past what was kept for the records: the last files of the batch, which were
        put there just now and are told of nowhere, make room for the records of the others. Returns those. Raises
        OSError."""
        for one in going[-count:]:
            there = self.drive.root.stat(one.where)
            if there is not None and there.st_ino == one.staged.inode:
                disk.remove(self.drive.root, one.where, expect=there)
            self.recorder.drop(one.staged.directory, one.where.rpartition(b"/")[2])
        disk.sync_drive(self.drive.root)
        return going[:-count]

    def _commit(self) -> dict[bytes, OSError]:
        """Tell the drive's sidecars; returns the directories of those that could not be written. Raises DriveGone,
        OSError when none could."""
        try:
            self.recorder.commit()
        except Unrecorded as error:
            for reason in error.directories.values():
                self.is_out_of_room(reason)
            return error.directories
        return {}

    def _unrecorded(self, where: bytes, error: OSError) -> Skipped:
        return Skipped(path_on(self.drive, where), Reason("not-recorded", error=error.strerror or str(error)))

    def _record_adopted(self) -> Iterator[Event]:
        adopted, self._adopted = self._adopted, []
        if not adopted:
            return
        places = [copy.path or b"" for copy in adopted]
        try:
            unrecorded = self._commit()
        except OSError as error:
            self.is_out_of_room(error)
            unrecorded = {os.path.dirname(where): error for where in places}
        done = [copy for copy, where in zip(adopted, places, strict=True) if os.path.dirname(where) not in unrecorded]
        record_copies(self.session, done)
        landed(self.session, self.drive.target.key, [copy.path for copy in done if copy.path is not None])
        self.tally.already -= len(adopted) - len(done)
        for where in places:
            problem = unrecorded.get(os.path.dirname(where))
            if problem is not None:
                yield self._unrecorded(where, problem)

    def _failed(self, error: OSError, going: list[StagedCopy]) -> Iterator[Event]:
        """The batch is not durable: it is thrown away, never synced again; nothing of it was recorded."""
        if self.is_out_of_room(error):
            yield Warned("full-before-durable")
            return
        for one in going:
            yield Skipped(path_on(self.drive, one.where), Reason("not-durable", error=error.strerror))


def _copy_of(file: disk.SmallCopy, staged: Staged, _: int) -> StagedCopy:
    one = cast("Candidate", file.of)
    return StagedCopy(one, staged, file.rel, join(one.directory, one.name), one.source, one.mode, one.mtime_ns)


def _small(going: list[StagedCopy]) -> Iterator[Staged]:
    return (one.staged for one in going if one.candidate.content.size <= disk.SMALL)
