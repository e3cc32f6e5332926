"""Look at a drive against its records: what is missing or has another size stops being a copy at once.

For what lies on a target its own sidecars outrank what the sources' sidecars say, and a look at the drive outranks
both. A record is believed without reading the file only where the session already holds that very content to have a
solid copy on this target: a drive comes from anywhere, and its sidecars with it. Everything else is hashed first.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from medback_core import disk, model
from medback_core.drives.drive import Drive, begin_change, end_look
from medback_core.drives.matching import lies_there, same_time
from medback_core.drives.missing import MissingCopies
from medback_core.drives.sidecars import Recorder, read_target_sidecar
from medback_core.errors import DriveGone
from medback_core.model import (
    DAMAGED_DIRECTORY,
    FREEING_PREFIX,
    SIDECAR_NAME,
    TARGET_IDENTITY_NAME,
    DamageFound,
    Event,
    Happened,
    Identity,
    Progress,
    Reason,
    Skipped,
    Standing,
    Warned,
)
from medback_core.pace import Pace, reporting
from medback_core.session import Session
from medback_core.session.copies import Copy, chunks, identity_key, record_copies
from medback_core.session.digests import forget_twin, known_as, learn, twins_on
from medback_core.session.files import join
from medback_core.session.gone import add_gone
from medback_core.session.history import note_files
from medback_core.session.looking import Believed, begin_look, believed_many, note_seen, note_strays, was_seen
from medback_core.session.sources import source_by_id
from medback_core.session.targets import clear_pending, pending_for
from medback_core.sidecar import FileRecord, Sidecar, Trust, is_whole
from medback_core.sources.entries import cannot_read

_DIRECTORIES_PER_COMMIT = 500
Seen: TypeAlias = Callable[[bytes, Mapping[bytes, os.stat_result | OSError], Sidecar], None]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a look at a drive found. Counts are identities."""

    files: int = 0
    withdrawn: int = 0
    found: int = 0
    hashed: int = 0
    damaged: int = 0
    unknown: int = 0  # files on the drive that no record speaks of
    spoilt: tuple[tuple[bytes, FileRecord], ...] = ()  # (directory, record) of what is on record as damaged now
    nowhere: int = 0  # of those withdrawn: of which no path was known
    damaged_bytes: int = 0  # read to find those that are damaged


def look_at(session: Session, drive: Drive, *, seen: Seen | None = None) -> Generator[Event, None, CheckResult]:
    """Bring the session (and a writable drive's sidecars) in line with what lies on the drive; returns what it found.
    `seen` is called for every directory that has a sidecar.

    Only unverified files are read. Nothing but sidecars and left-over temporary files is changed.
    """
    look = _Look(session, drive, seen)
    begin_look(session)
    yield from look.walk()
    yield from look.finish()
    note_files(session, Happened.DAMAGE, look.damaged, target=drive.target.id)
    counts = look.files, look.withdrawn, look.found, look.hashed, look.damaged, look.unknown
    return CheckResult(*counts, tuple(look.spoilt), look.nowhere, look.damaged_bytes)


class _Look:
    def __init__(self, session: Session, drive: Drive, seen: Seen | None = None) -> None:
        self.session = session
        self._seen = seen
        self.drive = drive
        self.target = drive.target.key
        self.recorder = Recorder(drive)
        self.files = self.withdrawn = self.found = self.hashed = self.damaged = self.unknown = 0
        self.nowhere = self.damaged_bytes = 0
        self._unwritten: OSError | None = None
        self.spoilt: list[tuple[bytes, FileRecord]] = []
        self._pending = pending_for(session, self.target)
        self._doubted = {path for _, path in self._pending}  # withdrawn, and the drive could not be told
        self._twins = twins_on(session, self.target).keys()
        self._nested: list[bytes] = []  # directories that are targets of their own
        self._condition: dict[bytes, str] = {}  # path -> what is wrong with the file there; "": told already
        self._pace = Pace()

    # --- the walk --------------------------------------------------------------------------------------------------

    def walk(self) -> Iterator[Event]:
        for directory, entries, failure in self.drive.root.walk():
            if failure is not None:
                if not self.drive.root.is_same_drive():
                    raise DriveGone("drive-gone/stopped", path=self.drive.root.path) from failure
                yield cannot_read(directory, self._shown(directory), failure)
                entries.clear()
                continue
            if directory and TARGET_IDENTITY_NAME in entries:
                self._nested.append(directory)  # another target: what lies there is its own
                entries.clear()
                continue
            yield from self._directory(directory, entries)
            if not directory:
                entries.pop(DAMAGED_DIRECTORY, None)
            if len(self.recorder) >= _DIRECTORIES_PER_COMMIT:
                self._commit()
            if self._pace.is_due():
                yield Progress("looking at the drive", self.files, current=self._shown(directory))
        self._commit()

    def _directory(self, directory: bytes, entries: dict[bytes, os.stat_result | OSError]) -> Iterator[Event]:
        root = self.drive.root
        if self.drive.writable:
            try:
                cleaned = disk.clean_temporaries(root, directory, list(entries), is_whole)
            except OSError as error:
                self._unwritten = self._unwritten or error  # its sidecar, in a directory that can't be written
            else:
                if SIDECAR_NAME in cleaned.adopted:
                    entries[SIDECAR_NAME] = OSError()  # there is one now
        if SIDECAR_NAME not in entries:
            self._put_back(directory, entries, Sidecar())
            self._stray(directory, entries, Sidecar())
            return
        try:
            sidecar = read_target_sidecar(root, directory) or Sidecar()
        except OSError as error:
            yield Skipped(self._shown(join(directory, SIDECAR_NAME)), Reason.system(error))
            return
        if sidecar.damage:
            yield DamageFound(self._shown(join(directory, SIDECAR_NAME)), Reason("sidecar-bad", damage=sidecar.damage))
            if self.drive.writable:
                self.recorder.rewrite(directory)
        self._put_back(directory, entries, sidecar)
        if self._seen is not None:
            self._seen(directory, entries, sidecar)
        self._stray(directory, entries, sidecar)
        recorded: list[Copy] = []
        seen: list[int] = []
        for records in chunks(sidecar.files.values()):
            said = [Identity(record.size, record.md5) for record in records if record.md5 is not None]
            beliefs = believed_many(self.session, self.target, said)
            for record in records:
                yield from self._record(directory, record, entries.get(record.name), beliefs, recorded, seen)
        with self.session.transaction():
            if recorded:
                record_copies(self.session, recorded)
            note_seen(self.session, seen)

    def _put_back(self, directory: bytes, entries: dict[bytes, os.stat_result | OSError], sidecar: Sidecar) -> None:
        """A copy that a killed reclaim was about to remove has its name again."""
        if not self.drive.writable or not any(name.startswith(FREEING_PREFIX) for name in entries):
            return
        try:
            begin_change(self.drive)
            given = disk.put_back(self.drive.root, directory, entries, sidecar.files)
            for name in given:
                status = self.drive.root.stat(join(directory, name))
                entries[name] = OSError() if status is None else status
        except OSError as error:
            self._unwritten = self._unwritten or error

    def _stray(self, directory: bytes, entries: dict[bytes, os.stat_result | OSError], sidecar: Sidecar) -> None:
        """Keep in mind the files no record speaks of."""
        strays = [
            (status.st_size, join(directory, name))
            for name, status in entries.items()
            if name not in sidecar.files
            and not isinstance(status, OSError)
            and stat.S_ISREG(status.st_mode)
            and (not model.is_metadata(name) or name.startswith(FREEING_PREFIX))
            and (directory or name not in model.EXPLANATION)
        ]
        if strays:
            self._strayed(strays)

    def _strayed(self, files: list[tuple[int, bytes]]) -> None:
        """Of these files, by size and path, no record speaks, or no longer."""
        self.unknown += len(files)
        note_strays(self.session, files)

    def _record(
        self,
        directory: bytes,
        record: FileRecord,
        status: os.stat_result | OSError | None,
        beliefs: Mapping[Identity, Believed],
        recorded: list[Copy],
        seen: list[int],
    ) -> Iterator[Event]:
        path = join(directory, record.name)
        if record.damaged is not None:
            self._condition[path] = "damaged"
            self.spoilt.append((directory, record))
            return  # kept on record for a repair, whatever is there; it never counts
        if isinstance(status, OSError):
            yield Skipped(self._shown(path), Reason.system(status))
            return
        if status is None or not stat.S_ISREG(status.st_mode):
            self._drop(directory, record.name)
            return
        if status.st_size != record.size:
            rotten = same_time(self.drive, status.st_mtime_ns, record.mtime_ns)
            self._condition[path] = "damaged" if rotten else "changed"
            self._spoil(directory, record, status.st_size)
            return
        if record.md5 is None:
            return
        self.files += 1
        if path in self._twins:
            if same_time(self.drive, status.st_mtime_ns, record.mtime_ns):
                return  # no copy of what its record says
            forget_twin(self.session, self.target, path)
        identity = Identity(record.size, record.md5)
        if path in self._doubted:
            yield from self._prove(directory, record, identity, identity_key(self.session, identity), recorded, seen)
            return
        belief = beliefs.get(identity)
        if belief is None and not record.ours:
            return  # not our file: discover takes it up when a source has that content
        key = belief.identity if belief is not None else identity_key(self.session, identity)
        copy = belief.copy if belief is not None else None
        vouched = copy is not None and copy.standing > Standing.CLAIMED and record.trust is Trust.WHOLE
        timely = same_time(self.drive, status.st_mtime_ns, record.mtime_ns)
        if copy is not None and copy.path == path and copy.mtime_ns is not None:
            timely = timely and same_time(self.drive, status.st_mtime_ns, copy.mtime_ns)
        if vouched and timely:
            assert copy is not None
            if copy.path == path:
                seen.append(key)
                if copy.mtime_ns is None or (copy.verified_at is None and record.verified is not None):
                    recorded.append(self._copy(key, copy.standing, path, record, copy.verified_at or record.verified))
                return
            if copy.path is None or not lies_there(self.drive, copy, identity):
                self.found += 1
                seen.append(key)
                date = copy.verified_at or record.verified
                recorded.append(self._copy(key, copy.standing, path, record, date))
                return
            return  # a second file of this content: one copy counts, the one that is known
        held = copy is not None and copy.standing > Standing.CLAIMED and copy.path not in (None, path)
        if copy is not None and held and lies_there(self.drive, copy, identity):
            return
        if (belief is not None and not belief.wanted) or belief is None:
            self._remember(key, path, record, copy, recorded, seen)
            return
        yield from self._prove(directory, record, identity, key, recorded, seen)

    def _prove(
        self,
        directory: bytes,
        record: FileRecord,
        identity: Identity,
        key: int,
        recorded: list[Copy],
        seen: list[int],
    ) -> Iterator[Event]:
        """Read an unverified file: its content decides."""
        path = join(directory, record.name)

        def progress(done: int) -> Progress:
            return Progress("checking unverified files", self.files, done, current=self._shown(path))

        try:
            steps = disk.read_from_drive(self.drive.root, path, known_as(self.session, identity))
            result = yield from reporting(steps, self._pace, progress)
        except OSError as error:
            yield Skipped(self._shown(path), Reason.system(error))
            return
        self.hashed += 1
        if result.identity == identity:
            if not learn(self.session, identity, result.blake3, path, target=self.target):
                yield Skipped(self._shown(path), Reason("other-content"))
                if self.drive.writable:
                    self.recorder.put(directory, replace(record, blake3=result.blake3))
                return
            self.found += 1
            seen.append(key)
            record = replace(record, blake3=result.blake3 or record.blake3)
            fresh = replace(record, verified=model.now(), trust=Trust.WHOLE, mtime_ns=result.status.st_mtime_ns)
            recorded.append(self._copy(key, Standing.VERIFIED, path, fresh, fresh.verified))
            if self.drive.writable:
                self.recorder.put(directory, fresh)
            return
        self.damaged += 1
        self.damaged_bytes += result.identity.size
        self._condition[path] = ""
        yield DamageFound(self._shown(path), Reason("not-as-recorded"))
        self._spoil(directory, record, record.size)

    def _spoil(self, directory: bytes, record: FileRecord, size: int) -> None:
        """A file does not hold what its record says. Where medback put it there, that stays on record for a repair."""
        if record.ours and record.trust is Trust.WHOLE:
            spoilt = replace(record, damaged=model.now())
            self.spoilt.append((directory, spoilt))
            if self.drive.writable:
                self.recorder.put(directory, spoilt)
            return
        self._drop(directory, record.name)
        self._strayed([(size, join(directory, record.name))])

    def _remember(
        self, key: int, path: bytes, record: FileRecord, copy: Copy | None, recorded: list[Copy], seen: list[int]
    ) -> None:
        """Content no current path has, in an unverified file: recorded as only listed, whatever it was before,
        so that it can be asked for and regains its copies."""
        if not record.ours or was_seen(self.session, key) or key in seen:
            return
        seen.append(key)
        if copy is None or copy.standing > Standing.CLAIMED or copy.path != path:
            recorded.append(self._copy(key, Standing.CLAIMED, path, record, None))
        place = record.path or self.drive.true_place(path)
        source = source_by_id(self.session, place[0]) if place is not None else None
        if source is not None and place is not None:
            add_gone(self.session, [(source.key, place[1], key, record.mtime_ns, record.mode, None)])

    def _copy(self, key: int, standing: Standing, path: bytes, record: FileRecord, verified: int | None) -> Copy:
        return Copy(key, self.target, standing, path, record.mtime_ns, verified, record.ours)

    # --- the end ---------------------------------------------------------------------------------------------------

    def finish(self) -> Iterator[Event]:
        """What the session believed and the walk did not confirm; then what the sidecars must still be told."""
        missed = MissingCopies(self.session, self.drive, self.recorder, self._condition, self._nested)
        yield from missed.settle()
        self.withdrawn, self.nowhere = missed.withdrawn, missed.nowhere
        self.found += missed.found
        self.hashed += missed.hashed
        self.unknown -= missed.found
        self._unwritten = self._unwritten or missed.unwritten
        self._commit()
        if self.drive.writable:
            # What was withdrawn while the drive was away or read-only: tell its sidecars.
            for identity, path in self._pending:
                directory, name = os.path.split(path)
                read = path in self._condition or was_seen(self.session, identity)
                if not read and self.drive.root.stat(directory) is not None:
                    self._drop(directory, name)
            if self._pending and self._commit():
                clear_pending(self.session, self.target, self._pending)
        note = end_look(self.drive)
        if note:
            yield note
        if self._unwritten is not None:
            yield Warned("records-in-session-only", target=self.drive.target.name, error=self._unwritten.strerror)

    def _drop(self, directory: bytes, name: bytes) -> None:
        if self.drive.writable:
            self.recorder.drop(directory, name)

    def _commit(self) -> bool:
        """Tell the drive's sidecars; False where it can't take that."""
        error = self.recorder.try_commit() if self.drive.writable else None
        self._unwritten = self._unwritten or error
        return error is None

    def _shown(self, path: bytes) -> bytes:
        return os.path.join(self.drive.root.path, path)
