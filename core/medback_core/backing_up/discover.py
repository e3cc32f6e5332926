"""Adopt what already lies on a drive: read it, record it there, and count what the sources want as copied."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace

from medback_core import disk, model, names
from medback_core.drives.matching import lies_there, same_time
from medback_core.drives.open import Drive, open_drive
from medback_core.drives.sidecars import Recorder
from medback_core.drives.walk import DriveDirectory, path_on, walk_drive
from medback_core.errors import DriveGone
from medback_core.hashing import FileToHash, Hashed, hash_many
from medback_core.model import (
    NO_ANSWERS,
    Answers,
    DamageFound,
    DiscoverSummary,
    Event,
    Identity,
    Progress,
    Reason,
    Skipped,
    Standing,
    Warned,
)
from medback_core.pace import TICK, Pace
from medback_core.session import Session
from medback_core.session.copies import Copy, copies_on, copy_on, identity_key, record_copies, withdraw_copies
from medback_core.session.digests import known_as, learn, twins_on
from medback_core.session.expected import begin_asked, is_asked_for
from medback_core.session.files import join
from medback_core.session.looking import Believed, believed
from medback_core.session.targets import clear_pending, pending_for, target_by_key
from medback_core.sidecar import FileRecord, Trust
from medback_core.sources.sidecars import flush_sources

_BATCH = 2000
_SECONDS = 600  # between two recordings in one large directory
_WITHDRAWN_TOGETHER = 1000


def discover(
    session: Session,
    path: bytes,
    *,
    answers: Answers = NO_ANSWERS,
    label: str | None = None,
    dry_run: bool = False,
    rehash: bool = False,
) -> Iterator[Event]:
    """Make a drive a target (if the answers say so) and take up what lies on it; ends with DiscoverSummary.

    Every file is read but those the session itself holds to be a copy, unchanged since; with `rehash` those too. What
    the session believed to lie there and is not found is withdrawn. With `dry_run` nothing at all is written. Raises
    Refused, NeedsAnswer (nothing changed), DriveGone (what was recorded is kept).
    """
    with disk.lock_session(os.fsencode(session.path)):
        with open_drive(session, path, write=not dry_run, answers=answers, label=label) as drive:
            yield from drive.notes
            run = _Discovery(session, drive, dry_run, rehash)
            yield from run.discover()
        if not dry_run:
            yield from flush_sources(session)
        yield run.summary()


@dataclass(slots=True)
class _Asked:
    """A file being read."""

    directory: bytes
    name: bytes
    status: os.stat_result
    record: FileRecord | None


class _Discovery:
    """One look at all of a drive."""

    def __init__(self, session: Session, drive: Drive, dry_run: bool, rehash: bool) -> None:
        self.session = session
        self.drive = drive
        self.dry_run = dry_run
        self.rehash = rehash
        self.target = drive.target.key  # -1, which no copy has, on a drive that is no target
        self.files = self.matched = self.matched_bytes = self.newly_marked = self.unknown = 0
        self._recorder = Recorder(drive)
        self._twins = twins_on(session, self.target).keys()
        self._seen: set[int] = set()  # identities found
        self._fresh: dict[int, Copy] = {}  # to be recorded
        self._leaned: dict[bytes, tuple[Identity, Copy]] = {}  # a place believed unread -> a further copy that was read
        self._recorded_at = time.monotonic()
        self._events: deque[Event] = deque()  # of the walk, which runs ahead of the reading
        self._asked: deque[_Asked] = deque()
        self._unread: set[bytes] = set()  # absolute paths of what could not be looked at or read
        self._bytes = 0
        self._warned = False

    def discover(self) -> Iterator[Event]:
        """Walk, read, record, and withdraw what is not there."""
        begin_asked(self.session)
        if not self.dry_run:
            # What was put there a moment ago by other means is no copy before the drive has it.
            try:
                disk.sync_drive(self.drive.root)
            except OSError as error:
                raise DriveGone("drive-gone/not-durable", path=self.drive.root.path, error=error.strerror) from error
        results = hash_many(self._entries(), on_bytes=self._count_bytes)
        pace = Pace()
        here: bytes | None = None
        try:
            for result in results:
                yield from self._told()
                if result is not None:
                    asked = self._asked.popleft()
                    self.drive.root.release_directory(asked.directory)
                    if here != asked.directory and (
                        len(self._fresh) >= _BATCH or time.monotonic() - self._recorded_at > _SECONDS
                    ):
                        yield from self._commit()
                    here = asked.directory
                    yield from self._answer(asked, result)
                if pace.is_due():
                    current = path_on(self.drive, here) if here is not None else self.drive.root.path
                    yield Progress("reading the drive", self.files, self._bytes, current=current)
            yield from self._told()
            yield from self._commit()
            yield from self._withdraw()
        finally:
            results.close()
            for asked in self._asked:
                self.drive.root.release_directory(asked.directory)

    def _count_bytes(self, count: int) -> None:
        self._bytes += count

    def _told(self) -> Iterator[Event]:
        while self._events:
            event = self._events.popleft()
            if isinstance(event, Skipped):
                self._unread.add(event.path)
            yield event

    # --- which files are read ----------------------------------------------------------------------------------------

    def _entries(self) -> Iterator[FileToHash | None]:
        """Every file to be read; what needs no reading is counted at once. Runs ahead of the results. None when it is
        time to report."""
        root = self.drive.root
        due = time.monotonic() + TICK
        clean = self.drive if self.drive.writable else None
        for step in walk_drive(root, family=False, clean=clean):
            if time.monotonic() > due:
                yield None
                due = time.monotonic() + TICK
            if isinstance(step, Event):
                self._events.append(step)
                continue
            records = {} if step.sidecar.family else step.sidecar.files
            self._drop_missing(step)
            for name, status in step.files:
                record = records.get(name)
                if record is not None and not self.rehash and self._is_vouched(step.rel, status, record):
                    continue
                try:
                    handle = root.hold_directory(step.rel)
                except OSError as error:
                    path = path_on(self.drive, join(step.rel, name))
                    self._events.append(Skipped(path, Reason.system(error)))
                    continue
                self._asked.append(_Asked(step.rel, name, status, record))
                known = None if record is None or record.md5 is None else Identity(record.size, record.md5)
                yield FileToHash(handle, name, status.st_size, status, known and known_as(self.session, known))

    def _drop_missing(self, step: DriveDirectory) -> None:
        if self.dry_run:
            return
        if step.sidecar.damage:
            self._recorder.rewrite(step.rel)
        there = {name for name, _ in step.files}
        for name in step.sidecar.files:
            if name not in there and path_on(self.drive, join(step.rel, name)) not in self._unread:
                self._recorder.drop(step.rel, name)

    def _is_vouched(self, directory: bytes, status: os.stat_result, record: FileRecord) -> bool:
        """Whether the session itself holds this file to be a copy, and it is as it was: then it is counted."""
        belief = self._belief(status, record)
        if belief is None or belief.copy is None or belief.copy.standing is Standing.CLAIMED:
            return False
        copy, path = belief.copy, join(directory, record.name)
        if copy.path != path and (copy.path is not None or belief.identity in self._seen):
            return False
        if copy.path is None:
            date = copy.verified_at or record.verified
            self._fresh[belief.identity] = replace(
                copy, path=path, mtime_ns=status.st_mtime_ns, verified_at=date, ours=record.ours
            )
        elif copy.mtime_ns is not None and not same_time(self.drive, copy.mtime_ns, status.st_mtime_ns):
            return False
        self._seen.add(belief.identity)
        self._tally(status.st_size, self._is_asked_for(belief))
        return True

    def _belief(self, status: os.stat_result, record: FileRecord) -> Believed | None:
        """What the session believes of the content a whole record, as old as the file, says it has."""
        if record.trust is not Trust.WHOLE or record.md5 is None or record.size != status.st_size:
            return None
        if not same_time(self.drive, record.mtime_ns, status.st_mtime_ns):
            return None
        return believed(self.session, self.target, Identity(record.size, record.md5))

    def _is_asked_for(self, belief: Believed) -> bool:
        return belief.wanted or is_asked_for(self.session, belief.identity)

    def _tally(self, size: int, wanted: bool) -> None:
        self.files += 1
        if wanted:
            self.matched += 1
            self.matched_bytes += size
        else:
            self.unknown += 1

    # --- what was read -----------------------------------------------------------------------------------------------

    def _answer(self, asked: _Asked, result: Hashed | OSError) -> Iterator[Event]:
        rel = join(asked.directory, asked.name)
        path = path_on(self.drive, rel)
        if isinstance(result, OSError):
            if not self.drive.root.is_same_drive():
                raise DriveGone("drive-gone/stopped", path=self.drive.root.path)
            self._unread.add(path)
            self._fall_back(rel, None)
            yield Skipped(path, Reason.system(result))
            return
        self._fall_back(rel, result.identity)
        identity, status, record = result.identity, result.status, asked.record
        agrees = record is not None and (record.size, record.md5) == identity
        if (
            record is not None
            and not agrees
            and record.trust is Trust.WHOLE
            and record.md5 is not None
            and record.size == status.st_size
            and same_time(self.drive, record.mtime_ns, status.st_mtime_ns)
        ):
            yield DamageFound(path, Reason("damaged"))
        belief = believed(self.session, self.target, identity)
        is_known = belief is not None and belief.blake3 == result.blake3 and rel not in self._twins
        if not (
            is_known or self.dry_run or learn(self.session, identity, result.blake3, rel, target=self.target)
        ):  # where it is as known there is nothing to learn
            self._tally(identity.size, False)
            if record is not None and agrees:
                self._recorder.put(asked.directory, replace(record, blake3=result.blake3))
            yield Skipped(path, Reason("other-content"))
            return
        wanted = belief is not None and self._is_asked_for(belief)
        self._tally(identity.size, wanted)
        if self.dry_run:
            if belief is not None and wanted and belief.identity not in self._seen:
                self._seen.add(belief.identity)
                self.newly_marked += _is_new(belief)
            return
        ours = record is not None and record.trust is Trust.WHOLE and record.ours
        fresh = _record(asked.name, identity, status, record if agrees else None, ours)
        fresh.blake3 = result.blake3
        self._recorder.put(asked.directory, fresh)
        self._found(rel, identity, status, belief, wanted, ours)

    def _found(
        self,
        rel: bytes,
        identity: Identity,
        status: os.stat_result,
        belief: Believed | None,
        wanted: bool,
        ours: bool,
    ) -> None:
        """One copy of a content counts: the one medback put there, else the one known already, else the first."""
        if belief is None:
            with self.session.transaction():
                key = identity_key(self.session, identity)
        else:
            key = belief.identity
        copy = Copy(key, self.target, Standing.VERIFIED, rel, status.st_mtime_ns, model.now(), ours)
        if key not in self._seen:
            self._seen.add(key)
            if wanted and belief is not None and _is_new(belief):
                self.newly_marked += 1
            was = belief.copy if belief is not None else None
            if (
                was is not None
                and was.path is not None
                and was.path != rel
                and not ours
                and self._is_still(was, identity)
            ):
                self._leaned[was.path] = identity, copy
                return
            self._fresh[key] = copy
            return
        if ours:
            there = self._fresh.get(key) or copy_on(self.session, key, self.target)
            if there is None or not there.ours:
                self._fresh[key] = copy

    def _fall_back(self, rel: bytes, actual: Identity | None) -> None:
        """A place that was believed turns out to hold something else, or can't be read: the further copy counts."""
        leaned = self._leaned.pop(rel, None)
        if leaned is not None and leaned[0] != actual:
            self._fresh[leaned[1].identity] = leaned[1]

    def _is_still(self, copy: Copy, identity: Identity) -> bool:
        """Whether a copy that was read before lies where it lay, as it was."""
        if copy.standing is Standing.CLAIMED or copy.mtime_ns is None or self.rehash:
            return False
        return lies_there(self.drive, copy, identity)

    # --- recording ---------------------------------------------------------------------------------------------------

    def _commit(self) -> Iterator[Event]:
        """The drive's sidecars first, then the session."""
        self._recorded_at = time.monotonic()
        if self.dry_run:
            return
        self.drive.check()
        try:
            self._recorder.commit()
        except OSError as error:
            self.drive.check()
            self._recorder = Recorder(self.drive)
            if not self._warned:
                self._warned = True
                yield Warned("records-in-session-only", target=self.drive.target.name, error=error.strerror)
        record_copies(self.session, self._fresh.values())
        self._fresh.clear()

    def _withdraw(self) -> Iterator[Event]:
        """What was believed to lie there and was not found does not lie there, but for what could not be looked at."""
        if self.dry_run:
            return
        self.drive.check()
        withdrawn: list[int] = []
        with self.session.again() as reader:
            for _, copy in copies_on(reader, self.target):
                if copy.identity not in self._seen and not self._is_unread(copy.path):
                    withdrawn.append(copy.identity)
        for start in range(0, len(withdrawn), _WITHDRAWN_TOGETHER):
            withdraw_copies(self.session, self.target, withdrawn[start : start + _WITHDRAWN_TOGETHER])
        if withdrawn:
            yield Warned("copies-not-there", copies=len(withdrawn), target=self.drive.target.name)
        if not self._warned and not self._unread:
            clear_pending(self.session, self.target, pending_for(self.session, self.target))

    def _is_unread(self, path: bytes | None) -> bool:
        if not self._unread or path is None:
            return bool(self._unread)  # it may lie in what could not be read
        return not self._unread.isdisjoint(names.and_above(path_on(self.drive, path)))

    def summary(self) -> DiscoverSummary:
        target = self.drive.target if self.dry_run else target_by_key(self.session, self.target)
        return DiscoverSummary(target, self.files, self.matched, self.matched_bytes, self.newly_marked, self.unknown)


def _is_new(belief: Believed) -> bool:
    return belief.copy is None or belief.copy.standing is Standing.CLAIMED


def _record(name: bytes, identity: Identity, status: os.stat_result, was: FileRecord | None, ours: bool) -> FileRecord:
    """The record of a file that was just read; what an agreeing record knew beside stays."""
    fresh = FileRecord(
        name, identity.size, status.st_mtime_ns, identity.md5, status.st_mode & 0o777, verified=model.now(), ours=ours
    )
    if was is None:
        return fresh
    return replace(
        was,
        mtime_ns=fresh.mtime_ns,
        mode=fresh.mode,
        verified=fresh.verified,
        ours=ours,
        damaged=None,
        trust=Trust.WHOLE,
    )
