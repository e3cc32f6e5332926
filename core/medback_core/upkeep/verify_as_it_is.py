"""Verify a drive that does not say which target it is, by the records that lie on it. Nothing is written there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from medback_core.drives.drive import Drive
from medback_core.drives.matching import same_time
from medback_core.drives.open import counted_here
from medback_core.drives.walk import DriveDirectory, path_on, walk_drive
from medback_core.errors import DriveGone
from medback_core.model import (
    DamageFound,
    Event,
    FileDone,
    Identity,
    Reason,
    Skipped,
    TargetState,
    VerifySummary,
    Warned,
)
from medback_core.session import Session
from medback_core.session.files import join
from medback_core.session.targets import save_target
from medback_core.sidecar import FileRecord
from medback_core.upkeep.reread import Bound, Ticker, is_no_damage, read_in_time


def verify_as_it_is(session: Session, drive: Drive, before: int | None, bound: Bound) -> Iterator[Event]:
    """Read each file a sidecar there speaks of; ends with a VerifySummary. `before`: only what was last verified before
    that date. At the first damage the target that was last seen there becomes suspect: which of its copies are bad
    can't be recorded on the drive, so none of them counts until it says again which target it is, and a verify of it
    finds it clean. Raises DriveGone."""
    doubted = counted_here(session, drive)
    for event in _read_all(drive, before, bound):
        if isinstance(event, DamageFound) and doubted is not None:
            save_target(session, replace(doubted, state=TargetState.SUSPECT, rev=doubted.rev + 1))
            yield Warned("drive-in-doubt", target=doubted.name, path=drive.root.path)
            doubted = None
        yield event


def _read_all(drive: Drive, before: int | None, bound: Bound) -> Iterator[Event]:
    counts: Counter[str] = Counter()  # what the VerifySummary says
    ticker = Ticker("verifying", 0, 0)
    for step in walk_drive(drive.root, family=True):
        if not isinstance(step, DriveDirectory):
            yield step
            continue
        there = dict(step.files)
        counts["new"] += len(there.keys() - step.sidecar.files.keys())
        for name, record in sorted(step.sidecar.files.items()):
            if record.md5 is None:
                continue
            path = join(step.rel, name)
            if name not in there:
                counts["missing"] += 1
                yield DamageFound(path_on(drive, path), Reason("missing"), "missing")
            elif before is not None and record.verified is not None and record.verified >= before:
                continue
            elif bound.is_reached(ticker.files, ticker.bytes + record.size):
                counts["left"] += 1
            else:
                yield from _read(drive, path, record, counts, ticker, bound)
    yield VerifySummary(**counts)


def _read(
    drive: Drive, path: bytes, record: FileRecord, counts: Counter[str], ticker: Ticker, bound: Bound
) -> Iterator[Event]:
    where = path_on(drive, path)
    assert record.md5 is not None
    try:
        found = yield from read_in_time(drive.root, path, ticker, None, bound)
    except OSError as error:
        if not drive.root.is_same_drive():
            raise DriveGone("drive-gone/stopped", path=drive.root.path) from error
        counts["unreadable"] += 1
        if is_no_damage(error):
            yield Skipped(where, Reason.system(error))
        else:
            yield DamageFound(where, Reason.system(error), "unreadable")
        return
    if found is None:
        counts["left"] += 1
        return
    ticker.files, ticker.bytes = ticker.files + 1, ticker.bytes + found.identity.size
    counts.update(checked=1, checked_bytes=found.identity.size, unproven=int(not found.proven))
    if found.identity == Identity(record.size, record.md5):
        counts["same"] += 1
        yield FileDone("verified", where, found.identity.size)
    elif same_time(drive, found.status.st_mtime_ns, record.mtime_ns):
        counts["damaged"] += 1
        yield DamageFound(where, Reason("damaged"))
    else:
        counts["changed"] += 1
        yield DamageFound(where, Reason("changed-there"), "changed")
