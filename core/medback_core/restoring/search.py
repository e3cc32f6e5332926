"""Find on a drive what a restore lacks: by the session, by the drive's records, by reading what fits in size."""

from __future__ import annotations

from collections.abc import Iterator

from medback_core import disk
from medback_core.drives.matching import same_time
from medback_core.drives.open import Drive
from medback_core.drives.walk import DriveDirectory, path_on, walk_drive
from medback_core.hashing import Hashed, hash_below
from medback_core.model import Event, Excluded, Identity, Progress, Reason, Skipped, Warned
from medback_core.pace import Pace
from medback_core.session import Session
from medback_core.session.copies import copies_on, withdraw_copies
from medback_core.session.files import join
from medback_core.session.missing_files import (
    SAID_BY_HASH,
    SAID_BY_OTHERS,
    SAID_BY_RECORD,
    PossibleLocation,
    begin_unspoken,
    guess_by_size,
    match_said,
    missing_sizes,
    put_locations,
    put_said,
    unfound_on,
    unspoken,
)
from medback_core.session.targets import add_pending
from medback_core.sidecar import Trust

_BATCH = 2000
_HASHED_TOGETHER = 128  # so many directories may be held open
_WITHDRAWN_TOGETHER = 1000


class Finding:
    """The search of one drive for one restore, dearer step by step."""

    def __init__(self, session: Session, drive: Drive, target: int | None) -> None:
        """`target` is its key, None for a drive that is no target of ours."""
        self.session = session
        self.drive = drive
        self.target = target
        self.unread = False  # something on the drive could not be looked at or read

    def walk(self) -> Iterator[Event]:
        """Take up what the drive's records say of files that could be what is lacking, after a look at each file. What
        the session knew to lie there and does not any more is withdrawn. Raises DriveGone."""
        sizes = missing_sizes(self.session)
        said: list[tuple[bytes | None, int, bytes, int, bool]] = []
        files, pace = 0, Pace()
        for step in walk_drive(self.drive.root, family=True):
            if isinstance(step, Event):
                if isinstance(step, Skipped):
                    self.unread = True
                if not isinstance(step, Excluded):
                    yield step
                continue
            files += len(step.files)
            said += self._said(step, sizes)
            if len(said) >= _BATCH:
                put_said(self.session, said)
                said.clear()
            if pace.is_due():
                yield Progress("looking at the drive", files, current=path_on(self.drive, step.rel))
        put_said(self.session, said)
        match_said(self.session)
        if self.target is not None:
            yield from self._withdraw_missing(self.target)

    def _said(self, step: DriveDirectory, sizes: set[int]) -> Iterator[tuple[bytes | None, int, bytes, int, bool]]:
        records = step.sidecar.files
        for name, status in step.files:
            size = status.st_size
            if size not in sizes:
                continue
            record = records.get(name)
            path = join(step.rel, name)
            if (
                record is None
                or record.md5 is None
                or record.size != size
                or not (
                    record.mtime_ns // 10**9 == status.st_mtime_ns // 10**9
                    if record.trust is Trust.FAMILY
                    else same_time(self.drive, record.mtime_ns, status.st_mtime_ns)
                )
            ):
                yield None, size, path, SAID_BY_HASH, False
            else:
                sure = record.trust is Trust.WHOLE
                yield record.md5, size, path, SAID_BY_RECORD if sure else SAID_BY_OTHERS, sure and record.ours

    def _withdraw_missing(self, target: int) -> Iterator[Event]:
        """A look at the drive outranks what the session believes of it."""
        gone: list[tuple[int, bytes]] = []
        with self.session.again() as reader:
            for identity, copy in copies_on(reader, target):
                if copy.path is None:
                    continue
                try:
                    status = self.drive.root.stat(copy.path)
                except OSError:
                    continue  # can't be looked at now: nothing is known
                if status is None or status.st_size != identity.size:
                    gone.append((copy.identity, copy.path))
        if not gone:
            return
        if not self.drive.root.is_same_drive():
            return  # a drive that just went away has lost nothing
        for start in range(0, len(gone), _WITHDRAWN_TOGETHER):
            part = gone[start : start + _WITHDRAWN_TOGETHER]
            with self.session.transaction():
                withdraw_copies(self.session, target, [identity for identity, _ in part])
                add_pending(self.session, target, part)
        yield Warned("copies-gone", copies=len(gone), target=self.drive.target.name)

    def read(self, *, guess: bool) -> Iterator[Event]:
        """Read the files without a record that have the size of a missing one. With `guess`, a large one that can
        only be one thing is left to be read while it is copied. Raises DriveGone."""
        if guess:
            guess_by_size(self.session, disk.SMALL)
        begin_unspoken(self.session)
        after = count = total = 0
        pace = Pace()
        while page := unspoken(self.session, after, _HASHED_TOGETHER):
            after = page[-1][0]
            found: list[tuple[Identity, PossibleLocation]] = []
            for number, result in hash_below(self.drive.root, [(path, None) for _, _, path in page]):
                path = page[number][2]
                if isinstance(result, Hashed):
                    count, total = count + 1, total + result.identity.size
                    found.append((result.identity, PossibleLocation(SAID_BY_HASH, path, False)))
                elif result is not None:
                    self.unread = True
                    yield Skipped(path_on(self.drive, path), Reason.system(result))
                if pace.is_due():
                    yield Progress("reading what fits in size", count, total, current=path_on(self.drive, path))
            put_locations(self.session, found)

    def conclude(self) -> None:
        """What was said to lie on the target and was looked for in vain, all of the drive read, does not lie there."""
        if self.target is None or self.unread or not self.drive.root.is_same_drive():
            return
        missing = unfound_on(self.session, self.target)
        for start in range(0, len(missing), _WITHDRAWN_TOGETHER):
            withdraw_copies(self.session, self.target, missing[start : start + _WITHDRAWN_TOGETHER])
