"""Put files of a restore in place in durable batches: hashed while they are copied, never over anything."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import cast

from medback_core import disk, hashing, model, names
from medback_core.disk import ContentDiffers, Staged
from medback_core.drives.aside import beside, clear_way, move_back, set_aside
from medback_core.drives.open import Drive
from medback_core.drives.walk import path_on
from medback_core.errors import DriveGone
from medback_core.model import Conflict, Count, DamageFound, Event, FileDone, Identity, Progress, Reason, Skipped
from medback_core.pace import Pace, reporting
from medback_core.restoring.destinations import Destination
from medback_core.restoring.record import Placed, record_placed
from medback_core.session import Session
from medback_core.session.copies import copy_on, withdraw_copies
from medback_core.session.digests import learn
from medback_core.session.expected import was_put
from medback_core.session.missing_files import (
    DIFFERS,
    GIVES_WAY,
    GUESSED,
    SAID_BY_OTHERS,
    MissingFile,
    PossibleLocation,
    drop_location,
)
from medback_core.session.targets import add_pending

_BUNCH_BYTES = 8 << 20
_NOT_THERE = (disk.Cause.NOT_THERE, disk.Cause.BLOCKED)
_EITHER_SIDE = (disk.Cause.FAULTY, disk.Cause.GONE)  # of the drive that is read, or of the one that is written


@dataclass(slots=True, eq=False)
class _StagedCopy:
    """A file staged on its way."""

    missing: MissingFile
    location: PossibleLocation
    staged: Staged
    drive_mtime_ns: int
    aside: bytes | None = None  # where what stood there was moved
    outdated: os.stat_result | None = None  # what was there, if it goes: a restore put it there, and it is unchanged


class CopyBack:
    """The files of one restore on their way into place; `counts` of what came of them."""

    def __init__(
        self,
        session: Session,
        drive: Drive,
        target: int | None,
        destinations: Mapping[int, Destination],
        roots: Mapping[bytes, disk.Root],
        conflict: str,
        *,
        deleted: bool,
    ) -> None:
        """`target` is the key under which copies are recorded, None for a drive that is no target of ours."""
        self.session = session
        self.drive = drive
        self.target = target
        self.destinations = destinations
        self.roots = roots
        self.conflict = conflict
        self.deleted = deleted
        self.restored = self.restored_bytes = self.conflicts = 0
        self._total = Count()
        self.unread = False  # something on the drive could not be read
        self.unwritten = False  # something could not be put in place, whichever drive it comes from
        self._stamp = model.date_stamp(model.now()).encode()
        self._pipeline = disk.Pipeline[_StagedCopy]()
        self._given_up: list[int] = []
        self._refuted: set[tuple[int, bytes]] = set()  # (identity, place on the drive) that were tried in vain
        self._bunch: list[tuple[MissingFile, list[PossibleLocation]]] = []
        self._bunch_bytes = 0
        self._between: tuple[disk.Root | None, bytes, bytes] = None, b"", b""  # where the bunch lies and where it goes
        self._no_room: dict[bytes, int] = {}  # directory of a root -> the smallest size that did not fit
        self._pace = Pace()

    def expects(self, more: Count) -> None:
        """So much is to be put in place from now on: what the progress is a part of."""
        self._total = Count(self.restored, self.restored_bytes) + more

    # --- staging -----------------------------------------------------------------------------------------------------

    def put(self, missing: MissingFile, locations: list[PossibleLocation]) -> Iterator[Event]:
        """Stage one file from wherever it is found whole; a full batch is published when the next one is full, or at
        `commit`. Raises DriveGone."""
        destination = self.destinations[missing.source]
        root = self.roots[destination.directory]
        if self._pipeline.filled is not None and self._pipeline.filled.group.root is not root:
            yield from self.commit()
        batch = self._pipeline.open(root)
        if missing.content.size >= self._no_room.get(destination.directory, 1 << 63):
            self.unwritten = True
            self._given_up.append(missing.row)
            yield Skipped(destination.absolute(missing.path), Reason("no-room"))
            return
        if missing.there == DIFFERS and self.conflict == "overwrite":
            try:
                clear_way(root, self._rel(missing).rpartition(b"/")[0], b"before restore " + self._stamp)
            except OSError as error:
                yield self._unwritten(missing, error)
                return
        if self._goes_together(batch.group, missing, locations):
            there, here = locations[0].path.rpartition(b"/")[0], self._rel(missing).rpartition(b"/")[0]
            between = root, there, here
            is_large = missing.content.size > disk.SMALL
            if (
                is_large
                or between != self._between
                or len(self._bunch) >= disk.AT_ONCE
                or self._bunch_bytes >= _BUNCH_BYTES
            ):
                yield from self._begin(batch)
                self._between = between
            self._bunch.append((missing, locations))
            self._bunch_bytes += missing.content.size
            if is_large:
                yield from self._begin(batch)
        else:
            yield from self._alone(batch, missing, locations)
        if self._pace.is_due():
            yield self._progress(missing)
        if self._pipeline.is_full:
            # The batch before is published while the copies begun for this one are made, and this one becomes durable
            # while the next one is filled.
            yield from self._publish_ready()
            yield from self._collect()
            self._pipeline.make_ready()

    def _alone(
        self, batch: disk.Batch[_StagedCopy], missing: MissingFile, locations: list[PossibleLocation]
    ) -> Iterator[Event]:
        copy = yield from self._from_any(batch.group, missing, locations)
        if copy is not None:
            batch.copies.append(copy)

    # --- small files that follow each other from one directory into one ----------------------------------------------

    def _goes_together(self, group: disk.Group, missing: MissingFile, locations: list[PossibleLocation]) -> bool:
        return (
            group.group_sync
            and (missing.content.size <= disk.SMALL or not (self.drive.root.spins or group.root.spins))
            and not (missing.there == DIFFERS and self.conflict == "rename")
            and (missing.identity, locations[0].path) not in self._refuted
        )

    def _begin(self, batch: disk.Batch[_StagedCopy]) -> Iterator[Event]:
        bunch, self._bunch, self._bunch_bytes = self._bunch, [], 0
        if not bunch:
            return
        _, there, here = self._between
        files = [
            disk.SmallCopy(
                locations[0].path.rpartition(b"/")[2],
                self._rel(missing),
                missing.content,
                None,
                missing.mtime_ns,
                missing.mode,
                (missing, locations),
                missing.blake3,
            )
            for missing, locations in bunch
        ]
        try:
            with self.drive.root.directory(there) as handle:
                for _ in batch.group.begin_copies(here, handle, files):
                    if self._pace.is_due():
                        yield self._progress(bunch[-1][0])
        except OSError:  # each alone says what is wrong
            for missing, locations in bunch:
                yield from self._alone(batch, missing, locations)

    def _collect(self) -> Iterator[Event]:
        """Wait for what was begun; what needs care goes alone."""
        batch = self._pipeline.filled
        if batch is None:
            return
        yield from self._begin(batch)
        for file in (yield from reporting(self._pipeline.collect(_copy_of), self._pace, lambda _: self._progress())):
            yield from self._alone(batch, *_wanted(file))

    def _rel(self, missing: MissingFile) -> bytes:
        return self.destinations[missing.source].rel(missing.path)

    # --- staging, with all care --------------------------------------------------------------------------------------

    def _from_any(
        self, group: disk.Group, missing: MissingFile, locations: list[PossibleLocation]
    ) -> Generator[Event, None, _StagedCopy | None]:
        """Try one hint after another until one holds the content."""
        rel = self._rel(missing)
        if missing.there == DIFFERS and self.conflict == "rename":
            try:
                rel = beside(rel, b"medback " + self._stamp, group.root)
            except OSError as error:
                yield self._unwritten(missing, error)
                return None
        for location in locations:
            if (missing.identity, location.path) in self._refuted:
                # Tried in vain: that another record says so makes it no truer.
                drop_location(self.session, missing.identity, location)
                continue
            try:
                fd, status = self.drive.root.open_file(location.path)
            except OSError as error:
                yield from self._unopened(missing, location, error)
                continue
            try:
                if status.st_size != missing.content.size:
                    self._not_there(missing, location)
                    continue
                staged = yield from self._stage(group, missing, rel, fd)
                if not self._is_it(missing, location, staged):
                    group.discard(staged)
                    self._not_now(missing, location)
                    yield Skipped(path_on(self.drive, location.path), Reason("other-content"))
                    continue
                return _StagedCopy(missing, location, staged, status.st_mtime_ns)
            except ContentDiffers as error:
                yield from self._differs(missing, location, error.actual)
            except OSError as error:
                if disk.cause_of(error) in _EITHER_SIDE and (reason := _unreadable(fd)) is not None:
                    self._check_drive()
                    self._unread(missing, location)
                    yield Skipped(path_on(self.drive, location.path), reason)
                    continue
                yield self._unwritten(missing, error)
                return None
            finally:
                os.close(fd)
        return None

    def _stage(self, group: disk.Group, missing: MissingFile, rel: bytes, fd: int) -> Generator[Event, None, Staged]:
        content, mtime_ns, mode, known = missing.content, missing.mtime_ns, missing.mode, missing.blake3
        if content.size <= disk.SMALL:
            return group.stage_small_copy(rel, fd, expected=content, mtime_ns=mtime_ns, mode=mode, blake3=known)
        steps = group.stage_copy(rel, fd, expected=content, mtime_ns=mtime_ns, mode=mode, blake3=known)
        return (yield from reporting(steps, self._pace, lambda done: self._progress(missing, done)))

    def _progress(self, missing: MissingFile | None = None, done: int = 0) -> Progress:
        where = b"" if missing is None else self.destinations[missing.source].absolute(missing.path)
        files, bytes_ = self.restored + self._pipeline.count, self.restored_bytes + self._pipeline.bytes + done
        return Progress("restoring", files, bytes_, self._total.files, self._total.bytes, where)

    # --- what a hint turns out to be ---------------------------------------------------------------------------------

    def _unopened(self, missing: MissingFile, location: PossibleLocation, error: OSError) -> Iterator[Event]:
        self._check_drive()
        if disk.cause_of(error) in _NOT_THERE:
            self._not_there(missing, location)
            return
        self._unread(missing, location)
        yield Skipped(path_on(self.drive, location.path), Reason.system(error))

    def _is_it(self, missing: MissingFile, location: PossibleLocation, staged: Staged) -> bool:
        """Whether what was staged is the content, and no twin of it."""
        if staged.blake3 == missing.blake3 or missing.blake3 is None:
            return True
        return learn(self.session, missing.content, staged.blake3, location.path, target=self.target or 0)

    def _unread(self, missing: MissingFile, location: PossibleLocation) -> None:
        """It can't be read now: that says nothing of what it is."""
        self.unread = True
        self._not_now(missing, location)

    def _not_now(self, missing: MissingFile, location: PossibleLocation) -> None:
        """Asking for it there again in this run is of no use."""
        self._refuted.add((missing.identity, location.path))
        drop_location(self.session, missing.identity, location)

    def _check_drive(self) -> None:
        if not self.drive.root.is_same_drive():
            raise DriveGone("drive-gone/stopped", path=self.drive.root.path)

    def _not_there(self, missing: MissingFile, location: PossibleLocation) -> None:
        """That content does not lie there: neither the session nor the drive's sidecar may say so any longer."""
        drop_location(self.session, missing.identity, location)
        self._refuted.add((missing.identity, location.path))
        if self.target is not None and location.rank < SAID_BY_OTHERS:
            copy = copy_on(self.session, missing.identity, self.target)
            if copy is not None and copy.path in (None, location.path):
                withdraw_copies(self.session, self.target, [missing.identity])
            add_pending(self.session, self.target, [(missing.identity, location.path)])

    def _differs(self, missing: MissingFile, location: PossibleLocation, actual: Identity) -> Iterator[Event]:
        if location.rank == GUESSED or location.rank == SAID_BY_OTHERS:
            drop_location(self.session, missing.identity, location)
            return
        self._not_there(missing, location)
        what = "not-restored/size" if actual.size != missing.content.size else "not-restored/content"
        yield DamageFound(path_on(self.drive, location.path), Reason(what))

    def _unwritten(self, missing: MissingFile, error: OSError) -> Skipped:
        destination = self.destinations[missing.source]
        root = self.roots[destination.directory]
        if not root.is_same_drive():
            raise DriveGone("drive-gone/stopped", path=root.path) from error
        self.unwritten = True
        self._given_up.append(missing.row)
        reason = Reason.system(error)
        cause = disk.cause_of(error)
        if cause is disk.Cause.NO_ROOM:
            self._no_room[destination.directory] = missing.content.size
            reason = Reason("no-room")
        elif cause is disk.Cause.BLOCKED:
            reason = Reason("no-directory-there")
        return Skipped(destination.absolute(missing.path), reason)

    # --- publishing --------------------------------------------------------------------------------------------------

    def commit(self) -> Iterator[Event]:
        """Give all that is staged its name, durably, and record it. Raises DriveGone."""
        yield from self._publish_ready()
        yield from self._collect()
        self._pipeline.make_ready()
        yield from self._publish_ready()

    def _publish_ready(self) -> Iterator[Event]:
        batch = self._pipeline.take_ready()
        if batch is not None:
            with batch.group:
                yield from self._land(batch.group, batch.copies)

    def _land(self, group: disk.Group, going: list[_StagedCopy]) -> Iterator[Event]:
        if not going:
            self._record([])
            return
        if not group.root.is_same_drive():
            group.abandon()
            raise DriveGone("drive-gone/other-drive", path=group.root.path)
        try:
            for _ in group.flush_steps():
                if self._pace.is_due():
                    yield self._progress()
            group.flush()
        except OSError:
            # What could not be made durable is lost: once more, each on its own, so that only the bad ones fail.
            group.abandon()
            for was in going:
                with disk.Group(group.root, group_sync=False) as single:
                    again = yield from self._from_any(single, was.missing, [was.location])
                    if again is None:
                        continue
                    try:
                        single.flush()
                    except OSError as error:
                        single.abandon()
                        yield self._unwritten(was.missing, error)
                        continue
                    yield from self._publish(single, [again])
            return
        yield from self._publish(group, going)

    def _publish(self, group: disk.Group, going: list[_StagedCopy]) -> Iterator[Event]:
        """From here to the record nothing is yielded: a cancel falls before or after."""
        events: list[Event] = []
        root = group.root
        by_staged = {one.staged: one for one in going}
        in_the_way = (GIVES_WAY, DIFFERS) if self.conflict == "overwrite" else (GIVES_WAY,)
        pairs = {one.staged.rel: one for one in going if one.missing.there in in_the_way}
        if pairs:
            for rel, one in pairs.items():
                one.outdated = self._outdated(root, rel) if one.missing.there == GIVES_WAY else None
            moved, failed = set_aside(root, list(pairs), b"before restore " + self._stamp)
            for rel, aside in moved.items():
                pairs[rel].aside = aside
            for rel, error in failed.items():
                one = pairs[rel]
                group.discard(one.staged)
                del by_staged[one.staged]
                events.append(self._unwritten(one.missing, error))
        try:
            results = group.publish()
        except OSError as error:
            group.abandon()
            results = [(staged, error) for staged in by_staged]
        done: list[tuple[_StagedCopy, os.stat_result]] = []
        for staged, error in results:
            one = by_staged[staged]
            status = None
            try:
                status = root.stat(staged.rel) if error is None else None
            except OSError as stat_error:
                error = stat_error
            if status is not None:
                done.append((one, status))
                continue
            if one.aside is not None:
                move_back(root, one.aside, staged.rel)
            events.append(self._not_published(root, one, error or FileNotFoundError(errno.ENOENT, "it vanished")))
        self._record(done)
        for one, _ in done:
            if one.aside is not None and one.outdated is not None:
                with suppress(OSError):  # changed or gone just now: it stays beside the newer one
                    disk.remove(root, one.aside, expect=one.outdated)
            path = names.within(root.path, one.staged.rel)
            self.restored += 1
            self.restored_bytes += one.missing.content.size
            events.append(FileDone("restored", path, one.missing.content.size))
        yield from events

    def _outdated(self, root: disk.Root, rel: bytes) -> os.stat_result | None:
        """The older version an earlier restore put there, None if it changed since."""
        try:
            status = root.stat(rel)
        except OSError:
            return None
        return status if status is not None and was_put(self.session, names.within(root.path, rel), status) else None

    def _not_published(self, root: disk.Root, one: _StagedCopy, error: OSError) -> Event:
        if not isinstance(error, FileExistsError):
            return self._unwritten(one.missing, error)
        self._given_up.append(one.missing.row)
        self.conflicts += 1
        there = root.stat(one.staged.rel)
        is_directory = there is not None and stat.S_ISDIR(there.st_mode)  # this restore may have made it
        return Conflict(
            os.path.join(root.path, one.staged.rel),
            Reason("directory-there") if is_directory else _appeared(root, one.staged.rel),
            one.missing.content,
            one.missing.mtime_ns,
            there.st_size if there is not None else 0,
            there.st_mtime_ns if there is not None else 0,
        )

    def _record(self, done: list[tuple[_StagedCopy, os.stat_result]]) -> None:
        """What stands in place now is known; so is what was read whole from the drive."""
        given_up, self._given_up = self._given_up, []
        placed = [
            Placed(o.missing, o.location, o.staged.rel, status, o.drive_mtime_ns, o.staged.blake3) for o, status in done
        ]
        record_placed(self.session, self.destinations, self.target, placed, given_up, deleted=self.deleted)

    def close(self) -> None:
        """Remove what was staged and not published."""
        self._bunch.clear()
        self._pipeline.close()


def _wanted(file: disk.SmallCopy) -> tuple[MissingFile, list[PossibleLocation]]:
    return cast("tuple[MissingFile, list[PossibleLocation]]", file.of)


def _copy_of(file: disk.SmallCopy, staged: Staged, drive_mtime_ns: int) -> _StagedCopy:
    missing, locations = _wanted(file)
    return _StagedCopy(missing, locations[0], staged, drive_mtime_ns)


def _appeared(root: disk.Root, rel: bytes) -> Reason:
    """Why the name of a file was taken when it was to get it: by a file put there, or by one whose name the file system
    takes for the same."""
    directory, name = root.split(rel)
    found: bytes | None = None
    with suppress(OSError):
        for entry, _ in root.scan(directory):
            if entry == name:
                return Reason("appeared")
            if names.folded(entry) == names.folded(name):
                found = entry
    return Reason("appeared") if found is None else Reason("appeared/other-name", there=found)


def _unreadable(fd: int) -> Reason | None:
    """Why a file can't be read to its end, None when it can."""
    try:
        hashing.hash_fd(fd)
    except OSError as error:
        return Reason.system(error)
    return None
