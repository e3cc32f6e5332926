"""What a session believes to lie on a drive and a look did not find: somewhere else, or withdrawn.

What is missed is looked for, by size and then by hash, among the files without a record: it may have been moved.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from medback_core import disk, model, names
from medback_core.drives.matching import lies_there
from medback_core.drives.open import Drive
from medback_core.drives.sidecars import Recorder
from medback_core.drives.walk import path_on
from medback_core.model import CopyGone, Event, Identity, Progress, Reason, Skipped, Standing, Warned
from medback_core.pace import Pace
from medback_core.session import Session
from medback_core.session.copies import Copy, record_copies, withdraw_copies
from medback_core.session.digests import learn
from medback_core.session.files import paths_of_identity
from medback_core.session.looking import note_seen, strays_like_unseen, unseen_copies
from medback_core.session.sources import source_by_key
from medback_core.session.targets import add_pending
from medback_core.sidecar import FileRecord

_TOGETHER = 500


class MissingCopies:
    """The end of one look at a drive."""

    def __init__(
        self,
        session: Session,
        drive: Drive,
        recorder: Recorder,
        condition: Mapping[bytes, str],
        nested: Sequence[bytes] = (),
    ) -> None:
        """`condition`: path -> what is wrong with the file that stands there; "" where that was told already.
        `nested`: directories that are targets of their own, whose files are not this one's."""
        self.session = session
        self.drive = drive
        self.target = drive.target.key
        self.recorder = recorder
        self.condition = condition
        self.nested = nested
        self.withdrawn = self.nowhere = self.found = self.hashed = 0
        self.unwritten: OSError | None = None
        self._pace = Pace()

    def settle(self) -> Iterator[Event]:
        """Find again what was moved, withdraw what is not there. A drive that just went away has lost nothing: raises
        DriveGone."""
        gone: dict[Identity, Copy] = {}
        self.drive.check()
        for identity, copy in unseen_copies(self.session, self.target):
            if copy.path is None and copy.standing is Standing.CLAIMED:
                continue  # only listed: discover looks for it
            known = copy.path is not None and copy.mtime_ns is not None and copy.path not in self.condition
            known = known and not any(names.below(copy.path or b"", inner) is not None for inner in self.nested)
            if not (known and lies_there(self.drive, copy, identity)):
                gone[identity] = copy
            elif self.drive.writable:
                self._put(copy, identity)
        if gone:
            yield from self._find_again(gone)
            self.drive.check()
        if gone:
            yield from self._withdraw(gone)

    def _find_again(self, gone: dict[Identity, Copy]) -> Iterator[Event]:
        """Read the files no record speaks of that are as large as something missed; what is found is not gone."""
        sizes = {identity.size for identity in gone}
        found: list[Copy] = []
        for size, path in strays_like_unseen(self.session, self.target):
            if size not in sizes:
                continue
            if self._pace.is_due():
                yield Progress("looking for what was moved", self.hashed, current=path_on(self.drive, path))
            try:
                result = disk.ended(disk.read_from_drive(self.drive.root, path))
            except OSError as error:
                yield Skipped(path_on(self.drive, path), Reason.system(error))
                continue
            self.hashed += 1
            was = gone.get(result.identity)
            if was is None or not learn(self.session, result.identity, result.blake3, path, target=self.target):
                continue
            del gone[result.identity]
            mtime_ns = result.status.st_mtime_ns
            copy = replace(was, standing=Standing.VERIFIED, path=path, mtime_ns=mtime_ns, verified_at=model.now())
            found.append(copy)
            if self.drive.writable:
                self._put(copy, result.identity, result.status.st_mode & 0o777, result.blake3)
            if len(found) >= _TOGETHER:
                self._record(found)
        self._record(found)
        if self.found:
            yield Warned("moved-on-drive", copies=self.found, target=self.drive.target.name)

    def _record(self, found: list[Copy]) -> None:
        """The drive's sidecars first, as always when a copy is recorded."""
        if self.drive.writable:
            self.unwritten = self.recorder.try_commit() or self.unwritten
        with self.session.transaction():
            record_copies(self.session, found)
            note_seen(self.session, [copy.identity for copy in found])
        self.found += len(found)
        found.clear()

    def _put(self, copy: Copy, identity: Identity, mode: int = 0o644, blake3: bytes | None = None) -> None:
        """A record for a copy that has none: where it truly belongs too, if that is not plain to see."""
        assert copy.path is not None
        directory, name = os.path.split(copy.path)
        places = [(source_by_key(self.session, s).id, p) for s, p, _ in paths_of_identity(self.session, copy.identity)]
        plain = self.drive.true_place(copy.path)
        record = FileRecord(name, identity.size, copy.mtime_ns or 0, identity.md5, mode, verified=copy.verified_at)
        record.path = None if plain in places or not places else places[0]
        record.ours, record.blake3 = copy.ours, blake3
        self.recorder.put(directory, record)

    def _withdraw(self, gone: dict[Identity, Copy]) -> Iterator[Event]:
        with self.session.transaction():
            withdraw_copies(self.session, self.target, [copy.identity for copy in gone.values()])
            if not self.drive.writable:
                rows = [(copy.identity, copy.path) for copy in gone.values() if copy.path is not None]
                add_pending(self.session, self.target, rows)
        self.withdrawn = len(gone)
        self.nowhere = sum(copy.path is None for copy in gone.values())
        for copy in gone.values():
            state = "missing" if copy.path is None else self.condition.get(copy.path, "missing")
            if copy.path is not None and state:
                yield CopyGone(path_on(self.drive, copy.path), state)
        yield Warned("copies-gone", copies=len(gone), target=self.drive.target.name)
