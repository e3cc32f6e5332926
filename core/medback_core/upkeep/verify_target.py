"""Read a source or a target again and say what is same, changed, damaged, missing or new; oldest check first."""

from __future__ import annotations

import os
import time
from collections import Counter, deque
from collections.abc import Generator, Iterator
from contextlib import closing, suppress
from dataclasses import replace

from medback_core import disk, model
from medback_core.drives.check import CheckResult, look_at
from medback_core.drives.matching import same_time
from medback_core.drives.open import Drive, nested_target, open_drive, write_identity
from medback_core.drives.sidecars import Recorder
from medback_core.drives.story import readable_context
from medback_core.errors import Refused
from medback_core.model import (
    TARGET_IDENTITY_NAME,
    CopyGone,
    DamageFound,
    Event,
    FileDone,
    Happened,
    Identity,
    Reason,
    Recorded,
    Skipped,
    Source,
    Standing,
    TargetState,
    VerifySummary,
    Warned,
)
from medback_core.session import Session
from medback_core.session.checking import due_copies, forget_round, note_done, queue_copies
from medback_core.session.copies import Copy, copy_on, identity_key, record_copies, withdraw_copies
from medback_core.session.digests import known_as, learn, twins_on
from medback_core.session.files import join
from medback_core.session.history import note_files
from medback_core.session.sources import list_sources
from medback_core.session.targets import add_pending, clear_pending, save_target
from medback_core.sidecar import FileRecord
from medback_core.sources.sidecars import flush_sources
from medback_core.upkeep.reread import RESUMED, Bound, Ticker, is_no_damage, read_in_time
from medback_core.upkeep.verify_as_it_is import verify_as_it_is
from medback_core.upkeep.verify_source import verify_source

_KEEP_EVERY = 5.0  # seconds between two recordings of what was verified


def verify(
    session: Session,
    path: bytes,
    *,
    older_than: int | None = None,
    max_bytes: int | None = None,
    seconds: float | None = None,
    one_at_least: bool = True,
) -> Iterator[Event]:
    """Read again what lies in a source (or a directory of one) or on a target; ends with a VerifySummary.

    Oldest checked first; `older_than` seconds leaves out what was checked since, `max_bytes` and `seconds` end it after
    so much, but for `one_at_least` (see Bound). What was checked is recorded every few seconds: a verify of all of a
    source or target that was stopped (or reached such a bound) goes on where it was, and after its end the next one
    begins a new round. A copy that is damaged or missing stops counting at once. Raises Refused, NeedsAnswer,
    DriveGone.
    """
    before = None if older_than is None else model.now() - older_than
    bound = Bound(max_bytes, None if seconds is None else time.monotonic() + seconds, one_at_least)
    with disk.lock_session(os.fsencode(session.path)):
        inside = _source_of(session, path)
        if inside is not None:
            yield from verify_source(session, *inside, before, bound)
            return
        writable = os.path.isdir(path) and not disk.describe(path).read_only
        nested = nested_target(session, path) if writable else None
        if nested is not None:
            yield Warned("nested", because=nested)
            writable = False
        with open_drive(session, path, write=writable, as_it_is=True) as drive:
            yield from drive.notes
            if drive.doubtful:
                raise Refused("clone/verify", because=drive.notes[-1])
            if drive.identity.id:
                yield from _VerifyTarget(session, drive, before, bound).run()
            elif drive.root.stat(TARGET_IDENTITY_NAME) is None and readable_context(drive.root) is None:
                raise Refused("not-a-target/neither", path=path)
            else:
                yield from verify_as_it_is(session, drive, before, bound)
        yield from flush_sources(session)


def _source_of(session: Session, path: bytes) -> tuple[Source, bytes] | None:
    for source in list_sources(session):
        inside = disk.path_inside(path, source.path)
        if inside is not None:
            return source, inside
    return None


class _VerifyTarget:
    def __init__(self, session: Session, drive: Drive, before: int | None, bound: Bound) -> None:
        self.session = session
        self.drive = drive
        self.before = before
        self.bound = bound
        self.recorder = Recorder(drive)
        self.good: list[Copy] = []
        self.digests: dict[bytes, bytes | None] = {}  # place -> BLAKE3 of what was read there
        self.twins: list[Copy] = []
        self.noted_twins = twins_on(session, drive.target.key).keys()  # before this run; a place is read once in it
        self.bad: list[tuple[Copy, bool]] = []  # whether its file is still there
        self.found_bad = 0  # that were no damage before this run
        self.passed: list[int] = []  # identities of which nothing was found out
        self.counts: Counter[str] = Counter()  # what the VerifySummary says
        self._kept = time.monotonic()
        self._unwritten: OSError | None = None

    def run(self) -> Iterator[Event]:
        """Look, read, record; ends with the VerifySummary."""
        told: set[bytes] = set()
        looked = yield from self._look(told)
        self.counts.update(new=looked.unknown, damaged=looked.damaged, missing=looked.nowhere)
        self.counts.update(checked=looked.damaged, checked_bytes=looked.damaged_bytes)
        for directory, record in looked.spoilt:
            if os.path.join(self.drive.root.path, directory, record.name) not in told:
                yield from self._again(directory, record)
        due = queue_copies(self.session, self.drive.target.key, model.now(), self.before)
        if due.resumed:
            yield RESUMED
        ticker = Ticker("verifying", due.files, due.bytes)
        try:
            yield from self._read(ticker)
        finally:
            self._keep()
            target, checked = self.drive.target.id, self.counts["checked"]
            note_files(self.session, Happened.VERIFY, checked, self.counts["checked_bytes"], target=target)
            note_files(self.session, Happened.DAMAGE, self.found_bad, target=target)
        if self._unwritten is not None:
            yield Warned("dates-in-session", target=self.drive.target.name, error=self._unwritten.strerror)
        self.counts.update(left=due.files - ticker.files)
        yield from self._conclude()
        if self.drive.writable:
            with suppress(Refused):  # a failing drive: it is told when it can be written to
                write_identity(self.session, self.drive)
        yield VerifySummary(**self.counts)

    def _look(self, told: set[bytes]) -> Generator[Event, None, CheckResult]:
        """Look at the drive: a copy that is gone is damage here. Adds to `told` the paths that are spoken of."""
        steps = look_at(self.session, self.drive)
        while True:
            try:
                event = next(steps)
            except StopIteration as end:
                return end.value
            if isinstance(event, CopyGone | DamageFound):
                told.add(event.path)
            if isinstance(event, CopyGone):
                self.counts[event.state] += 1
                event = DamageFound(event.path, Reason(f"no-copy/{event.state}"), event.state)
            yield event

    def _again(self, directory: bytes, record: FileRecord) -> Iterator[Event]:
        """A file that was found damaged before and not repaired: it stays said until it is right again."""
        path = join(directory, record.name)
        shown = os.path.join(self.drive.root.path, path)
        assert record.md5 is not None
        identity = Identity(record.size, record.md5)
        try:
            known = known_as(self.session, identity)
            result = disk.content_on_drive(self.drive.root, path, known)
        except OSError:
            result = None
        if result is not None:
            unproven = 0 if result.proven else 1
            self.counts.update(checked=1, checked_bytes=result.identity.size, unproven=unproven)
        if result is None or result.identity != identity:
            self.counts.update(damaged=1)
            yield DamageFound(shown, Reason("damaged-before", at=record.damaged))
            return
        if not learn(self.session, identity, result.blake3, path, target=self.drive.target.key):
            yield Skipped(shown, Reason("other-content"))
            return
        self.digests[path] = result.blake3
        self.counts.update(same=1)
        with self.session.transaction():
            key = identity_key(self.session, identity)
        if copy_on(self.session, key, self.drive.target.key) is None:
            mtime_ns = result.status.st_mtime_ns
            target = self.drive.target.key
            self.good.append(Copy(key, target, Standing.VERIFIED, path, mtime_ns, model.now(), record.ours))
        yield Warned("right-again", path=shown)

    def _read(self, ticker: Ticker) -> Iterator[Event]:
        """Read what is due: small files together, what is large or unusual alone."""
        asked: deque[tuple[Recorded, Copy]] = deque()
        with closing(disk.read_many(self.drive.root, self._asked_for(asked))) as reading:
            for read in reading:
                if read is None:
                    if ticker.pace.is_due():
                        yield ticker.event(0, os.path.join(self.drive.root.path, asked[0][1].path or b""))
                    continue
                known, copy = asked.popleft()
                if read is disk.ALONE:
                    if not (yield from self._alone(known, copy, ticker)):
                        return
                else:
                    yield from self._right(known, copy, read, ticker)
                if time.monotonic() - self._kept > _KEEP_EVERY:
                    self._keep()

    def _asked_for(self, asked: deque[tuple[Recorded, Copy]]) -> Iterator[tuple[bytes, Recorded]]:
        """What is due, as far as the bound goes, each kept in `asked` until its result has come."""
        size = 0
        for files, (known, copy) in enumerate(due_copies(self.session, self.drive.target.key)):
            if self.bound.is_reached(files, size + known.identity.size):
                return
            size += known.identity.size
            assert copy.path is not None
            asked.append((known, copy))
            yield copy.path, known

    def _right(self, known: Recorded, copy: Copy, read: disk.AsRecorded, ticker: Ticker) -> Iterator[Event]:
        """It has the size and MD5 that are on record."""
        assert copy.path is not None
        identity = known.identity
        shown = os.path.join(self.drive.root.path, copy.path)
        if ticker.pace.is_due():
            yield ticker.event(0, shown)
        ticker.files += 1
        ticker.bytes += identity.size
        self.counts.update(checked=1, checked_bytes=identity.size, unproven=0 if read.proven else 1)
        self.digests[copy.path] = read.blake3
        is_known = read.blake3 == known.blake3 and copy.path not in self.noted_twins
        if not (is_known or learn(self.session, identity, read.blake3, copy.path, target=self.drive.target.key)):
            self.counts.update(changed=1)
            self.twins.append(copy)
            yield Skipped(shown, Reason("other-content"))
            return
        self.counts.update(same=1)
        self.good.append(
            Copy(copy.identity, copy.target, Standing.VERIFIED, copy.path, read.mtime_ns, model.now(), copy.ours)
        )
        yield FileDone("verified", shown, identity.size)

    def _alone(self, known: Recorded, copy: Copy, ticker: Ticker) -> Generator[Event, None, bool]:
        """Read one by itself. False: the time was up in the middle of it, and it is still to be read."""
        assert copy.path is not None
        shown = os.path.join(self.drive.root.path, copy.path)
        if ticker.pace.is_due():
            yield ticker.event(0, shown)
        try:
            result = yield from read_in_time(self.drive.root, copy.path, ticker, known, self.bound)
        except OSError as error:
            ticker.files += 1
            self.drive.check()
            yield from self._unread(shown, copy, error)
            return True
        if result is None:
            return False
        if result.identity == known.identity:
            read = disk.AsRecorded(result.status.st_mtime_ns, result.proven, result.blake3)
            yield from self._right(known, copy, read, ticker)
            return True
        ticker.files += 1
        ticker.bytes += result.identity.size
        self.counts.update(checked=1, checked_bytes=result.identity.size, unproven=0 if result.proven else 1)
        self.bad.append((copy, True))
        edited = copy.mtime_ns is not None and not same_time(self.drive, result.status.st_mtime_ns, copy.mtime_ns)
        state = "changed" if edited and not self.drive.filesystem.coarse_times else "damaged"
        self.counts[state] += 1
        yield DamageFound(shown, Reason(f"no-copy/{state}"), state)
        return True

    def _unread(self, shown: bytes, copy: Copy, error: OSError) -> Iterator[Event]:
        """Only what says something of the drive makes a copy no longer count."""
        if isinstance(error, FileNotFoundError):
            self.counts.update(missing=1)
            self.bad.append((copy, False))
            yield DamageFound(shown, Reason("no-copy/missing"), "missing")
            return
        self.counts.update(unreadable=1)
        if is_no_damage(error):
            self.passed.append(copy.identity)
            yield Skipped(shown, Reason.system(error))
            return
        self.bad.append((copy, True))
        yield DamageFound(shown, Reason("no-copy/unreadable", error=error.strerror), "unreadable")

    def _keep(self) -> None:
        """Record what was found so far: the DB first for what is withdrawn, then the drive's sidecars."""
        self._kept = time.monotonic()
        good, self.good = self.good, []
        bad, self.bad = self.bad, []
        self.found_bad += len(bad)
        twins, self.twins = self.twins, []
        key = self.drive.target.key
        if bad:
            with self.session.transaction():
                withdraw_copies(self.session, key, [copy.identity for copy, _ in bad])
                rows = [(copy.identity, copy.path) for copy, _ in bad if copy.path is not None]
                add_pending(self.session, key, rows)
        if self.drive.writable and self._tell([*good, *twins], bad):
            clear_pending(self.session, key, [(c.identity, c.path) for c, _ in bad if c.path is not None])
        self.digests.clear()
        read = [copy.identity for copy in (*good, *twins, *(copy for copy, _ in bad))]
        with self.session.transaction():
            record_copies(self.session, good)
            note_done(self.session, [*read, *self.passed], target=key)
        self.passed.clear()

    def _tell(self, good: list[Copy], bad: list[tuple[Copy, bool]]) -> bool:
        """Write it into the drive's sidecars. A failing drive may refuse that: then the DB alone knows, for now."""
        for copy, there in bad:
            self._note(copy, model.now() if there else None, None, drop=not there)
        for copy in good:
            self._note(copy, None, copy.verified_at)
        error = self.recorder.try_commit()
        self._unwritten = self._unwritten or error
        return self._unwritten is None

    def _note(self, copy: Copy, damaged: int | None, verified: int | None, *, drop: bool = False) -> None:
        assert copy.path is not None
        directory, name = os.path.split(copy.path)
        if drop:
            self.recorder.drop(directory, name)
        else:
            blake3 = self.digests.get(copy.path)
            self.recorder.note(directory, name, damaged=damaged, verified=verified, blake3=blake3)

    def _conclude(self) -> Iterator[Event]:
        """A clean verify of all of it, in one go or in several, makes a suspect target active again."""
        found, target = self.counts, self.drive.target
        if target.state is not TargetState.SUSPECT:
            return
        if any(found[what] for what in ("damaged", "changed", "missing", "unreadable")):
            with self.session.transaction():
                forget_round(self.session, target=target.key)
        elif not found["left"] and self.before is None:
            self.drive.target = save_target(self.session, replace(target, state=TargetState.ACTIVE, rev=target.rev + 1))
            yield Warned("active-again", target=target.name)
            if self.drive.writable:
                write_identity(self.session, self.drive)
