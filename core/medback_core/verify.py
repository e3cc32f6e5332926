"""Read a source or a target again and say what is same, changed, damaged, missing or new; oldest check first."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace

from . import disk, model, names
from .disk import FromDrive
from .errors import Refused
from .model import (
    DamageFound,
    Event,
    FileDone,
    Identity,
    Progress,
    Skipped,
    Source,
    Standing,
    TargetState,
    Trouble,
    VerifySummary,
    Warned,
)
from .session import (
    Copy,
    Session,
    add_pending,
    due_copies,
    due_files,
    file_by_key,
    files_in,
    find_directory,
    list_sources,
    mark_trouble,
    note_read,
    path_of_file,
    queue_copies,
    queue_files,
    record_copies,
    save_target,
    withdraw_copies,
)
from .source_records import flush_sources
from .target_records import LookSummary, Recorder, look_at, same_time
from .targets import Drive, open_drive, write_identity

_KEEP_EVERY = 5.0  # seconds between two recordings of what was verified


def verify(
    session: Session, path: bytes, *, older_than: int | None = None, max_bytes: int | None = None
) -> Iterator[Event]:
    """Read again what lies in a source (or a directory of one) or on a target; ends with a VerifySummary.

    Oldest checked first; `older_than` seconds leaves out what was checked since, `max_bytes` stops after so much. What
    was checked is recorded every few seconds, so that a verify that is stopped goes on where it was. A copy that is
    damaged or missing stops counting at once. Raises Refused.
    """
    before = None if older_than is None else model.now() - older_than
    with disk.lock_session(os.fsencode(session.path)):
        inside = _source_of(session, path)
        if inside is not None:
            yield from _verify_source(session, *inside, before, max_bytes)
            return
        writable = not disk.describe(path).read_only if os.path.isdir(path) else False
        with open_drive(session, path, write=writable) as drive:
            for note in drive.notes:
                yield Warned(note)
            if not drive.identity.id:
                raise Refused("not-a-target", f"{names.display_name(path)} is neither a source nor a target")
            yield from _VerifyTarget(session, drive, before, max_bytes).run()
        yield from flush_sources(session)


def _source_of(session: Session, path: bytes) -> tuple[Source, bytes] | None:
    real = os.path.realpath(path)
    for source in list_sources(session):
        there = os.path.realpath(source.path)
        if real == there:
            return source, b""
        if real.startswith(there.rstrip(b"/") + b"/"):
            return source, os.path.relpath(real, there)
    return None


def read_whole(root: disk.Root, path: bytes, progress: _Ticker) -> Generator[Event, None, FromDrive]:
    """Hash one file from its drive with progress. Raises OSError."""
    steps = disk.read_from_drive(root, path)
    while True:
        try:
            done = next(steps)
        except StopIteration as end:
            return end.value
        if progress.due():
            yield progress.event(done, os.path.join(root.path, path))


@dataclass(slots=True)
class _Ticker:
    """Progress at most ten times a second."""

    phase: str
    files_total: int
    bytes_total: int
    files: int = 0
    bytes: int = 0
    _told: float = 0.0

    def due(self) -> bool:
        return time.monotonic() - self._told > 0.1

    def event(self, more: int, current: bytes) -> Progress:
        self._told = time.monotonic()
        return Progress(self.phase, self.files, self.bytes + more, self.files_total, self.bytes_total, current)


class _VerifyTarget:
    def __init__(self, session: Session, drive: Drive, before: int | None, max_bytes: int | None) -> None:
        self.session = session
        self.drive = drive
        self.before = before
        self.max_bytes = max_bytes
        self.recorder = Recorder(drive)
        self.good: list[Copy] = []
        self.bad: list[Copy] = []
        self.summary = VerifySummary()
        self._kept = time.monotonic()

    def run(self) -> Iterator[Event]:
        looked = LookSummary()
        for event in look_at(self.session, self.drive):
            if isinstance(event, LookSummary):
                looked = event
            else:
                yield event
        self._count(missing=looked.withdrawn, new=looked.unknown, damaged=looked.damaged)
        due = queue_copies(self.session, self.drive.target.key, self.before)
        ticker = _Ticker("verifying", due.files, due.bytes)
        try:
            for identity, copy in due_copies(self.session, self.drive.target.key):
                if self.max_bytes is not None and ticker.bytes + identity.size > self.max_bytes and ticker.files:
                    break
                yield from self._one(identity, copy, ticker)
                if time.monotonic() - self._kept > _KEEP_EVERY:
                    self._keep()
        finally:
            self._keep()
        self._count(left=due.files - ticker.files)
        yield from self._conclude()
        yield self.summary

    def _one(self, identity: Identity, copy: Copy, ticker: _Ticker) -> Iterator[Event]:
        assert copy.path is not None
        shown = os.path.join(self.drive.root.path, copy.path)
        if ticker.due():
            yield ticker.event(0, shown)
        try:
            result = yield from read_whole(self.drive.root, copy.path, ticker)
        except OSError as error:
            self.drive.check()
            ticker.files += 1
            self._count(unreadable=1)
            self.bad.append(copy)
            words = f"cannot be read: {error.strerror}; it does not count as a copy any more"
            yield DamageFound(shown, words, "unreadable")
            return
        ticker.files += 1
        ticker.bytes += result.identity.size
        self._count(checked=1, checked_bytes=result.identity.size, unproven=0 if result.proven else 1)
        if result.identity == identity:
            self._count(same=1)
            self.good.append(
                replace(copy, standing=Standing.VERIFIED, verified_at=model.now(), mtime_ns=result.status.st_mtime_ns)
            )
            yield FileDone("verified", shown, identity.size)
            return
        self.bad.append(copy)
        edited = copy.mtime_ns is not None and not same_time(self.drive, result.status.st_mtime_ns, copy.mtime_ns)
        if edited and not self.drive.filesystem.coarse_times:
            self._count(changed=1)
            yield DamageFound(shown, "was changed on the drive; it does not count as a copy any more", "changed")
        else:
            self._count(damaged=1)
            yield DamageFound(shown, "is damaged; it does not count as a copy any more")

    def _keep(self) -> None:
        """Record what was found so far: the DB first for what is withdrawn, then the drive's sidecars."""
        self._kept = time.monotonic()
        good, self.good = self.good, []
        bad, self.bad = self.bad, []
        key = self.drive.target.key
        if bad:
            with self.session.transaction():
                withdraw_copies(self.session, key, [copy.identity for copy in bad])
                if not self.drive.writable:
                    add_pending(self.session, key, [(c.identity, c.path) for c in bad if c.path is not None])
        if self.drive.writable and (good or bad):
            for copy in bad:
                self._note(copy, damaged=model.now())
            for copy in good:
                self._note(copy, verified=copy.verified_at)
            self.recorder.commit()
        if good:
            record_copies(self.session, good)

    def _note(self, copy: Copy, *, damaged: int | None = None, verified: int | None = None) -> None:
        assert copy.path is not None
        directory, name = os.path.split(copy.path)
        record = self.recorder.lookup(directory, name)
        if record is None:
            return
        self.recorder.put(directory, replace(record, damaged=damaged, verified=verified or record.verified))

    def _conclude(self) -> Iterator[Event]:
        found = self.summary
        clean = not (found.damaged or found.changed or found.missing or found.unreadable)
        target = self.drive.target
        if found.left or self.before is not None:
            return
        target = replace(target, verified_at=model.now())
        if clean and target.state is TargetState.SUSPECT:
            target = replace(target, state=TargetState.ACTIVE, rev=target.rev + 1)
            yield Warned(f"{names.display_name(target.name)} is clean and active again: its copies count")
        self.drive.target = save_target(self.session, target)
        if self.drive.writable:
            write_identity(self.session, self.drive)

    def _count(self, **more: int) -> None:
        self.summary = replace(
            self.summary, **{name: getattr(self.summary, name) + number for name, number in more.items()}
        )


def _verify_source(
    session: Session, source: Source, below: bytes, before: int | None, max_bytes: int | None
) -> Iterator[Event]:
    """The files of a source against their records: rot is what differs though size and time are the same."""
    due = queue_files(session, source.key, below, before)
    ticker = _Ticker("verifying", due.files, due.bytes)
    counts = dict.fromkeys(("checked", "checked_bytes", "same", "changed", "missing", "damaged", "unreadable"), 0)
    unproven = 0
    read: list[int] = []
    try:
        with disk.Root(source.path) as root:
            for key in due_files(session):
                row = file_by_key(session, key)
                if row is None:
                    continue
                if max_bytes is not None and ticker.bytes + row.size > max_bytes and ticker.files:
                    break
                path = path_of_file(session, key)[1]
                shown = os.path.join(source.path, path)
                if ticker.due():
                    yield ticker.event(0, shown)
                ticker.files += 1
                try:
                    result = yield from read_whole(root, path, ticker)
                except FileNotFoundError:
                    counts["missing"] += 1
                    yield DamageFound(shown, "is missing", "missing")
                    continue
                except OSError as error:
                    counts["unreadable"] += 1
                    yield Skipped(shown, error.strerror or "cannot be read")
                    continue
                ticker.bytes += result.identity.size
                counts["checked"] += 1
                counts["checked_bytes"] += result.identity.size
                unproven += not result.proven
                if result.identity == Identity(row.size, row.md5):
                    counts["same"] += 1
                    read.append(key)
                    if row.trouble:
                        mark_trouble(session, source.key, path, Trouble.NONE)
                elif (result.status.st_size, result.status.st_mtime_ns) != (row.size, row.mtime_ns):
                    counts["changed"] += 1
                    yield Warned(f"{names.display_name(shown)} changed since the last update")
                else:
                    counts["damaged"] += 1
                    kept = row.ctime_ns is not None and row.ctime_ns != result.status.st_ctime_ns
                    mark_trouble(session, source.key, path, Trouble.KEPT_TIME if kept else Trouble.DAMAGED)
                    words = "changed keeping its time" if kept else "is damaged"
                    yield DamageFound(shown, f"{words}: its content is not what was recorded")
                if len(read) >= 500:
                    note_read(session, read, model.now())
                    read.clear()
            new = _new_files(session, source, root, below)
    except OSError as error:
        raise Refused("unreadable", f"{names.display_name(source.path)}: {error.strerror}") from error
    finally:
        if read:
            note_read(session, read, model.now())
    yield from flush_sources(session)
    yield VerifySummary(**counts, new=new, unproven=unproven, left=due.files - ticker.files)


def _new_files(session: Session, source: Source, root: disk.Root, below: bytes) -> int:
    """Files on disk that the session does not know: the next update takes them up."""
    new = 0
    waiting = [below]
    while waiting:
        directory = waiting.pop()
        row = find_directory(session, source.key, directory)
        known = files_in(session, row.key) if row is not None else {}
        try:
            entries = list(root.scan(directory))
        except OSError:
            continue  # the update lists what can't be read
        for name, status in entries:
            if isinstance(status, OSError) or model.is_metadata(name):
                continue
            if stat.S_ISDIR(status.st_mode):
                if status.st_dev == root.device:
                    waiting.append(directory + b"/" + name if directory else name)
            elif stat.S_ISREG(status.st_mode) and name not in known:
                new += 1
    return new
