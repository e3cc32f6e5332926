"""Free room on a target: older versions, or copies beyond what is wanted.

What neither this session nor the newest section of any source on the plugged-in drives names may go alone. A copy of
anything that is named goes only before a witness (see `witness`): another copy, on another drive that is plugged in.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

from medback_core import disk
from medback_core.drives.check import look_at
from medback_core.drives.context_file import leave_contexts
from medback_core.drives.drive import Drive, begin_change
from medback_core.drives.matching import same_time
from medback_core.drives.open import is_no_target, open_drive, resolve_target
from medback_core.drives.sidecars import Recorder
from medback_core.errors import Refused
from medback_core.model import (
    OLD_DIRECTORY,
    Count,
    Event,
    FileDone,
    Identity,
    NextTarget,
    Progress,
    Reason,
    ReclaimSummary,
    Skipped,
    Standing,
    Warned,
    sum_by,
)
from medback_core.session import Session
from medback_core.session.checking import copies_below, namers
from medback_core.session.copies import Copy, copies_of, withdraw_copies
from medback_core.session.sources import list_sources
from medback_core.session.surplus import are_enough, surplus_bytes, surplus_copies
from medback_core.session.targets import counting_keys, target_by_key
from medback_core.sources.sidecars import flush_sources
from medback_core.upkeep.reread import Ticker
from medback_core.upkeep.witness import (
    OpenDrive,
    OpenShelf,
    Witness,
    open_shelf,
    prove_witness,
    sections,
    waiting_holders,
)

_DIRECTORIES_PER_COMMIT = 100
_TOGETHER = 1000  # so many copies are read elsewhere, then withdrawn, then removed: a stop costs no more


def reclaim(
    session: Session, target: str, *, old: bool = False, surplus: bool = False, dry_run: bool = False
) -> Iterator[Event]:
    """Free what `.medback-old/` holds (`old`), and copies whose content has what is wanted of it, verified, on
    other counting targets (`surplus`); ends with a ReclaimSummary, which says too what a second drive would let go.

    Each file is looked at again immediately before it goes. Files medback did not put there stay. Nothing is freed on
    a network file system: others may change it meanwhile. Raises Refused.
    """
    with disk.lock_session(os.fsencode(session.path)):
        path = resolve_target(session, target)[1]
        if path is None:
            raise Refused("not-plugged-in", target=target)
        if is_no_target(session, path):
            raise Refused("not-a-target", path=path)
        with open_drive(session, path, write=not dry_run) as drive:
            if drive.filesystem.is_network:
                raise Refused("network-file-system", path=path, kind=drive.filesystem.kind)
            yield from drive.notes
            yield from look_at(session, drive)
            with ExitStack() as stack:
                summary = yield from _Reclaim(session, drive, dry_run).free(old, surplus, stack)
        if not dry_run:
            yield from flush_sources(session)
        yield summary


def reclaimable(session: Session, drive: Drive, *, surplus: bool) -> tuple[int, int]:
    """(bytes of older versions, bytes of surplus copies) that a reclaim would free on an open drive, as far as the
    session and this drive's context tell; the second only where it is asked for, since every copy there must be looked
    at. Surplus goes only with a second drive plugged in."""
    old = copies_below(session, drive.target.key, OLD_DIRECTORY)
    known = {source.id for source in list_sources(session)}
    said = sections(drive, {identity for identity, _ in old}) if old else {}
    foreign = OpenShelf([OpenDrive(drive, {source: each for source, each in said.items() if source not in known})])
    free = 0
    for identity, copy in old:
        mine = namers(session, copy.identity)
        others = _others(session, copy)
        if (others and are_enough(session, copy.identity, others)) or not (mine or foreign.namers(identity, ())):
            free += identity.size
    return free, surplus_bytes(session, drive.target.key, counting_keys(session)) if surplus else 0


def _others(session: Session, copy: Copy) -> set[int]:
    """The other targets, here or away, on which a verified copy counts."""
    counting = counting_keys(session)
    return {
        other.target
        for other in copies_of(session, copy.identity)
        if other.target != copy.target and other.target in counting and other.standing is Standing.VERIFIED
    }


class _Reclaim:
    def __init__(self, session: Session, drive: Drive, dry_run: bool) -> None:
        self.session = session
        self.drive = drive
        self.dry_run = dry_run
        self.recorder = Recorder(drive)
        self.shelf = OpenShelf()
        self.kept = 0
        self.freed = Count()
        self.paths: list[bytes] = []
        self.waiting: list[tuple[Identity, Copy]] = []  # for want of a witness
        self.untold: OSError | None = None

    def free(self, old: bool, surplus: bool, stack: ExitStack) -> Generator[Event, None, ReclaimSummary]:
        """Decide, read what is left elsewhere, remove; returns the summary."""
        key = self.drive.target.key
        candidates = copies_below(self.session, key, OLD_DIRECTORY) if old else []
        if surplus:
            older = {copy.identity for _, copy in candidates}
            more = surplus_copies(self.session, key, counting_keys(self.session))
            candidates += [(identity, copy) for identity, copy in more if copy.identity not in older]
        if candidates:
            contents = {identity for identity, _ in candidates}
            self.shelf = yield from open_shelf(self.session, self.drive, contents, stack)
        going = []
        for identity, copy in candidates:
            named = self.shelf.namers(identity, namers(self.session, copy.identity))
            if not named:
                going.append((identity, copy, None))
            elif not are_enough(self.session, copy.identity, _others(self.session, copy)):
                self.kept += 1
            elif witnesses := self.shelf.witnesses(self.session, copy, identity, named):
                going.append((identity, copy, witnesses))
            else:
                self.kept += 1
                self.waiting.append((identity, copy))
        ticker = Ticker(
            "reading the other copies", len(going), sum(identity.size for identity, _, found in going if found)
        )
        rest = iter(going)
        while some := list(islice(rest, _TOGETHER)):
            if self.dry_run:
                for identity, copy, _ in some:
                    self._count(identity, copy)
            else:
                yield from self._remove_all(some, ticker, len(going))
        if not self.dry_run:
            self.untold = self.recorder.try_commit() or self.untold
            # Also where nothing was freed: a run that was cut off may have left the context of before.
            yield from leave_contexts(self.session, self.drive)
        if self.untold is not None:
            yield Warned("drive-records-old", target=self.drive.target.name, error=self.untold.strerror)
        return self._summary()

    def _remove_all(
        self, some: Sequence[tuple[Identity, Copy, Sequence[Copy] | None]], ticker: Ticker, total: int
    ) -> Iterator[Event]:
        """Read the witnesses of these, and then remove them."""
        proven: list[tuple[Identity, Copy, Witness | None]] = []
        for identity, copy, witnesses in some:
            if witnesses is None:
                proven.append((identity, copy, None))
                continue
            victim = self.drive.root.stat(copy.path or b"")
            witness = None
            if victim is not None:
                witness = yield from prove_witness(self.session, self.shelf, victim, identity, witnesses, ticker)
            ticker.files += 1
            ticker.bytes += identity.size
            if witness is not None:
                proven.append((identity, copy, witness))
            else:
                self.kept += 1
                self.waiting.append((identity, copy))
        # No record may list a copy that is about to go: the DB and the sources are told before, the drive with it.
        with self.session.transaction():
            withdraw_copies(self.session, self.drive.target.key, [copy.identity for _, copy, _ in proven])
        yield from flush_sources(self.session)
        for identity, copy, witness in proven:
            assert copy.path is not None
            shown = os.path.join(self.drive.root.path, copy.path)
            yield Progress("reclaiming", self.freed.files, self.freed.bytes, total, None, shown)
            problem = self._remove(identity, copy, witness)
            if problem is not None:
                self.kept += 1
                yield Skipped(shown, problem)
                continue
            if len(self.recorder) >= _DIRECTORIES_PER_COMMIT:
                self.untold = self.recorder.try_commit() or self.untold
            self._count(identity, copy)
            yield FileDone("freed", shown, identity.size)

    def _remove(self, identity: Identity, copy: Copy, witness: Witness | None) -> Reason | None:
        """Unlink one file that is still what was recorded; why not, where it can't be. Its record follows: a record
        without a file is put right by the next look, a file without a record would be forgotten."""
        assert copy.path is not None
        root = self.drive.root
        self.drive.check()
        try:
            status = root.stat(copy.path)
            if status is None or status.st_size != identity.size:
                return Reason("other-size")
            if copy.mtime_ns is not None and not same_time(self.drive, status.st_mtime_ns, copy.mtime_ns):
                return Reason("changed-there")
            begin_change(self.drive)
            if witness is None:
                disk.remove(root, copy.path, expect=status)
            else:
                disk.remove_before(root, copy.path, expect=status, is_there=witness.is_there)
            self.recorder.drop(*os.path.split(copy.path))
        except OSError as error:
            return Reason("not-removed", error=error.strerror)
        return None

    def _count(self, identity: Identity, copy: Copy) -> None:
        assert copy.path is not None
        self.freed += Count(1, identity.size)
        self.paths.append(os.path.join(self.drive.root.path, copy.path))

    def _summary(self) -> ReclaimSummary:
        held = list(waiting_holders(self.session, self.shelf, self.waiting))
        away = sum_by((target, Count(1, size)) for target, is_here, size in held if not is_here)
        here = sum_by((target, Count(1, size)) for target, is_here, size in held if is_here)
        return ReclaimSummary(
            self.drive.target,
            self.freed.files,
            self.freed.bytes,
            self.kept,
            tuple(self.paths),
            Count(len(self.waiting), sum(identity.size for identity, _ in self.waiting)),
            self._listed(away),
            self._listed(here),
        )

    def _listed(self, found: dict[int, Count]) -> tuple[NextTarget, ...]:
        drives = [NextTarget(target_by_key(self.session, key), each.files, each.bytes) for key, each in found.items()]
        return tuple(sorted(drives, key=lambda drive: (-drive.bytes, -drive.files, drive.target.key)))
