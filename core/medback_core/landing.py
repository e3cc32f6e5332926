"""A batch on its way onto a drive: made durable, read back, named, recorded, in this order and only then counted."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from . import disk, model, names
from .disk import Staged
from .errors import DriveGone
from .model import DamageFound, Event, FileDone, Progress, Skipped, Standing, Warned
from .placing import Layout, Occupant, displace, record_of
from .session import Candidate, Copy, Session, announce_landing, landed, record_copies, was_landing
from .target_records import Recorder
from .targets import Drive

_GONE = {errno.ENODEV, errno.ENXIO, errno.ESTALE, errno.EROFS, errno.ENOTCONN, errno.ESHUTDOWN}


@dataclass(slots=True)
class Going:
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


class Landing:
    """The batch under way on one open drive; after `publish` the next one begins."""

    def __init__(self, session: Session, drive: Drive, layout: Layout, *, verify: bool) -> None:
        self.session = session
        self.drive = drive
        self.layout = layout
        self.verify = verify
        self.recorder = Recorder(drive)
        self.tally = Tally()
        self.going: list[Going] = []
        self.promised: set[bytes] = set()  # final names of this batch
        self._adopted: list[Copy] = []
        self._group: disk.Group | None = None
        self._told = 0.0

    def open(self) -> disk.Group:
        """The group to stage files in. Raises DriveGone, OSError."""
        if self._group is None:
            self.drive.check()
            self._group = disk.Group(self.drive.root)
        return self._group

    def add(self, going: Going) -> None:
        """This file was staged in the group."""
        self.promised.add(going.where)
        self.going.append(going)

    def adopt(self, candidate: Candidate, source: int, path: bytes, found: Occupant) -> None:
        """The content lies there already, whole: a run that was killed put it there, or somebody else did. It is
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
        record.ours = copy.ours
        self.recorder.put(os.path.dirname(found.path), record)
        self._adopted.append(copy)
        self.tally.already += 1

    @property
    def is_full(self) -> bool:
        """Whether the batch is large enough to be published."""
        return len(self._adopted) >= disk.BATCH_FILES or (self._group is not None and self._group.is_full)

    @property
    def staged_bytes(self) -> int:
        """Bytes staged and not yet published."""
        return self._group.staged_bytes if self._group is not None else 0

    def is_out_of_room(self, error: OSError) -> bool:
        """Whether an error means that the drive is full (noted then). Raises DriveGone where it means that the drive
        is there no more."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            self.tally.full = True
            return True
        if error.errno in _GONE or not self.drive.root.is_same_drive():
            raise DriveGone(
                f"{names.display_name(self.drive.root.path)}: {error.strerror}; what was recorded is kept"
            ) from error
        return False

    def publish(self) -> Iterator[Event]:
        """Make the batch durable, name and record it. What fails is told and was not recorded. Raises DriveGone."""
        yield from self._record_adopted()
        group, going = self._group, self.going
        if group is None:
            return
        self._group, self.going = None, []
        self.promised.clear()
        with group:
            try:
                self.drive.check()
                group.flush()
                verified = yield from self._read_back(group, going)
                for one in verified:
                    if one.in_the_way is not None:
                        self.tally.superseded += displace(self.layout, self.recorder, one.in_the_way)
                given = [one.where for one in verified]
                announce_landing(self.session, self.drive.target.key, given)
                outcome = {id(staged): error for staged, error in group.publish()}
            except OSError as error:
                yield from self._failed(error, going)
                return
            recorded = []
            for one in verified:
                error = outcome[id(one.staged)]
                if error is not None:
                    yield Skipped(self._shown(one), f"could not be named on the drive: {error.strerror}")
                    continue
                recorded.append(one)
            yield from self._record(recorded)
            landed(self.session, self.drive.target.key, given)

    def close(self) -> None:
        """A batch that was not published leaves nothing behind."""
        if self._group is not None:
            self._group.close()
            self._group = None

    def _read_back(self, group: disk.Group, going: list[Going]) -> Generator[Event, None, list[Going]]:
        """Those of a flushed batch that the drive gives back equal."""
        if not self.verify:
            return going
        good = []
        for one in going:
            try:
                md5, proven = yield from self._read_one(group, one, len(good), len(going))
            except OSError as error:
                group.discard(one.staged)
                yield DamageFound(self._shown(one), f"could not be read back from the drive: {error.strerror}")
                continue
            if md5 != one.candidate.content.md5:
                group.discard(one.staged)
                yield DamageFound(self._shown(one), "read back from the drive with other content than was written")
                continue
            self.tally.unproven += not proven
            good.append(one)
        return good

    def _read_one(
        self, group: disk.Group, one: Going, done: int, total: int
    ) -> Generator[Event, None, tuple[bytes, bool]]:
        steps = group.read_back_steps(one.staged)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value
            if time.monotonic() - self._told > 0.1:
                self._told = time.monotonic()
                yield Progress("reading back", done, 0, total, None, self._shown(one))

    def _record(self, going: list[Going]) -> Iterator[Event]:
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

    def _record_adopted(self) -> Iterator[Event]:
        adopted, self._adopted = self._adopted, []
        if not adopted:
            return
        try:
            self.recorder.commit()
        except OSError as error:
            self.tally.already -= len(adopted)
            self.is_out_of_room(error)
            for copy in adopted:
                where = os.path.join(self.drive.root.path, copy.path or b"")
                yield Skipped(where, f"lies there whole, but could not be recorded: {error.strerror}")
            return
        record_copies(self.session, adopted)
        landed(self.session, self.drive.target.key, [copy.path for copy in adopted if copy.path is not None])

    def _failed(self, error: OSError, going: list[Going]) -> Iterator[Event]:
        """The batch is not durable: it is thrown away, never synced again; nothing of it was recorded."""
        if self.is_out_of_room(error):
            yield Warned("the drive was full before a batch was durable; that batch was taken back")
            return
        for one in going:
            yield Skipped(self._shown(one), f"could not be made durable: {error.strerror}")

    def _shown(self, one: Going) -> bytes:
        return os.path.join(self.drive.root.path, one.where)
