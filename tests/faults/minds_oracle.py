"""What must hold in a life with several minds: everything a session says, held against the bytes it could know of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from itertools import permutations
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING

from medback_core import model
from medback_core.context import FileEntry, read_context
from medback_core.coverage.totals import coverage, safety
from medback_core.coverage.what_if import what_if_every
from medback_core.coverage.where_is import FileWhereabouts, where_is
from medback_core.errors import MedbackError, Refused
from medback_core.model import Identity, Standing, TargetState
from medback_core.restoring.plan import restore_plan
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_of
from medback_core.session.files import join
from support.stored import all_files
from medback_core.session.gone import list_gone
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.session.expected import wanted_files
from faults.bytes_there import Wrong, identity, target_at
from support.worlds import Ran, run, files_below

if TYPE_CHECKING:
    from faults.minds import Life, Mind, Tree

Files = dict[tuple[str, bytes], FileWhereabouts]
_PAIRS_OF = 6  # targets; with more only single ones are asked about


def ask(life: Life, mind: Mind) -> None:
    """Hold `whereis`, `stats`, `what-if` and `plan` of a session against the bytes."""
    if not mind.db.exists():
        return
    model.now = lambda: life.date - mind.late
    with open_session(mind.db) as session:
        told: Files = {}
        scanned: set[tuple[str, bytes]] = set()
        for source in list_sources(session):
            told |= {(source.alias, file.path): file for file in where_is(session, [b""], source=source.alias)}
            scanned |= {(source.alias, join(directory, row.name)) for directory, row in all_files(session, source.key)}
        _counted_copies_exist(life, mind, told.values())
        observed = {key: told[key] for key in scanned}
        wanted = {source.alias: source.wanted for source in list_sources(session)}
        _stats(session, observed, wanted)
        _what_if(session, observed, wanted)
        _plan(session)


def _counted_copies_exist(life: Life, mind: Mind, told: Iterable[FileWhereabouts]) -> None:
    """A copy that counts lies there (a file belongs to the innermost target), unless it went behind this mind's back
    from a drive it has not seen since."""
    ledger = life.ledger
    counted = {(file.content, copy.target.id) for file in told for copy in file.copies if copy.counts}
    mind.counts = {copy: mind.counts.get(copy, ledger.tick) for copy in counted}
    for content, target in counted:
        seen, read = mind.seen.get(target, 0), mind.read.get(target, 0)
        if ledger.lies_on(target, content) or ledger.went_unseen(target, content, seen, read, mind.hand):
            continue
        if not _came_back_with_its_directory(life, target, content, mind.counts[content, target] > seen):
            raise Wrong("no such copy", f"{mind.name} counts {content} on {_called(life, target)}")


def _came_back_with_its_directory(life: Life, target: str, content: Identity, is_hearsay: bool) -> bool:
    """Whether the copy went while the directory of the original was away, and with it the sidecar that should have been
    told. This mind met that sidecar after its last look at the drive (`is_hearsay`): it says what was true, and nothing
    that is still there says when. The next look withdraws the copy; no reclaim removes anything on its word."""
    since, until = life.was_away.get(content, (0, 0))
    return is_hearsay and any(w.content == content and since < w.tick <= until for w in life.ledger.went[target])


def _called(life: Life, target: str) -> str:
    drives = [drive for drive in life.drives if target_at(life.where(drive)) == target]
    return f"{target} ({' and '.join(drives) or 'which is nowhere'})"


def _stats(session: Session, files: Files, wanted: Mapping[str, int]) -> None:
    by_copies: dict[int, int] = {}
    unsafe = 0
    for (alias, _), file in files.items():
        copies = sum(copy.counts for copy in file.copies)
        by_copies[copies] = by_copies.get(copies, 0) + 1
        unsafe += copies < wanted[alias]
    said = {copies: count.files for copies, count in coverage(session).by_copies.items() if count.files}
    if said != by_copies or safety(session).unsafe.files != unsafe:
        raise Wrong("stats", f"{said}, {safety(session).unsafe.files} unsafe; whereis has {by_copies}, {unsafe}")


def _what_if(session: Session, files: Files, wanted: Mapping[str, int]) -> None:
    usable = {target.id for target in list_targets(session) if target.state is not TargetState.LOST}
    active = {target.id for target in list_targets(session) if target.counts}
    solid = {
        key: {copy.target.id for copy in file.copies if copy.standing is not Standing.CLAIMED}
        for key, file in files.items()
    }
    every = what_if_every(session)
    for loss in (*every.single, *(every.pairs if len(usable) <= _PAIRS_OF else ())):
        dead = {target.id for target in loss.targets}
        lost = {key for key, there in solid.items() if there & usable and there & usable <= dead}
        weakened = {
            key
            for key, there in solid.items()
            if key not in lost and there & active & dead and len((there & active) - dead) < wanted[key[0]]
        }
        if (loss.lost.files, loss.weakened.files) != (len(lost), len(weakened)):
            raise Wrong("what-if", f"of {dead}: {loss.lost.files}, {loss.weakened.files}; {len(lost)}, {len(weakened)}")


def _plan(session: Session) -> None:
    """All that should be there (what was scanned, or what an imported context says of the same path) comes back from
    whoever is said to have it."""
    plan = run(restore_plan(session, all_of_it=True)).summary
    usable = {t.key: t.id for t in list_targets(session, unknown=True) if t.state is not TargetState.LOST}
    holders: list[set[str]] = []
    for source in list_sources(session):
        for row in list(wanted_files(session, source.key)):
            assert row.identity is not None
            holders.append({usable[copy.target] for copy in copies_of(session, row.identity) if copy.target in usable})
    reachable = [there for there in holders if there]
    if (plan.missing.files, plan.unreachable.files) != (len(holders), len(holders) - len(reachable)):
        raise Wrong("plan", f"{plan.missing.files}, {plan.unreachable.files} of {len(holders)}, {len(reachable)}")
    used = {step.target.id for step in plan.steps}
    if not all(there & used for there in reachable):
        raise Wrong("plan", "it does not bring all back")


def named_by(db: Path, contexts: Iterable[Path]) -> set[Identity]:
    """What a session's DB and these contexts say should exist."""
    named: set[Identity] = set()
    if db.exists():
        with open_session(db) as session:
            for source in list_sources(session):
                named |= {row.content for row in wanted_files(session, source.key) if row.content is not None}
    for path in contexts:
        with suppress(OSError, Refused), open(path, "rb") as stream:
            for item in read_context(stream):
                if isinstance(item, FileEntry) and item.gone is None and item.md5 is not None:
                    named.add(Identity(item.size, item.md5))
    return named


# --- a new machine and all the drives -----------------------------------------------------------------------------------


def drill(life: Life, *, every_order: bool = False) -> None:
    """If both machines died now: a fresh session that gets every drive once (and again, while that brings anything)
    must bring back the newest of everything any of them was told of, as far as a good copy lies on one. In one order
    of the drives, that depends on the seed, or in every."""
    drives = [drive for drive in life.drives if any(life.where(drive).iterdir())]  # whether or not it says who it is
    Random(life.seed * 1000 + life.ledger.tick).shuffle(drives)
    for order in permutations(drives) if every_order or len(drives) == 2 else (drives,):
        _drill(life, order)


def _drill(life: Life, drives: Sequence[str]) -> None:
    here = life.base / "drill"
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    model.now = lambda: life.date
    life.told.append(f"    a new machine, and {', '.join(drives)}")
    for _ in range(3):
        brought = 0
        for drive in drives:
            with open_session(here / "session.db") as session:
                try:
                    done = Ran(restore(session, os.fspath(life.where(drive)), to=os.fsencode(here / "back")))
                except MedbackError as error:
                    raise Wrong("drill: refused", f"{drive} was refused: {error}") from error
                brought += done.summary.restored
        if not brought:
            break
    with open_session(here / "session.db") as session:
        _newest_is_back(life, session, here / "back")


def _clones(life: Life) -> set[str]:
    """Ids that several drives have. Each gives back what it holds, but copies count on one of them alone: what another
    holds of older versions is listed when it has got an id of its own."""
    ids = [target_at(life.where(drive)) for drive in life.drives]
    return {one for one in ids if ids.count(one) > 1}


def _newest_is_back(life: Life, session: Session, back: Path) -> None:
    branches: dict[str, dict[bytes, Tree]] = {}
    for drive in life.drives:
        for (source, root), tree in life.kept_in[drive].items():
            of = branches.setdefault(source, {})
            if root not in of or of[root].tick < tree.tick:
                of[root] = tree
    aliases = {source.id: source for source in list_sources(session)}
    on_drives = life.ledger.on_drives()
    listed = life.ledger.on_drives(but=_clones(life))
    for source, trees in branches.items():
        known = aliases.get(source)
        there = {}
        if known is not None and (back / known.alias).is_dir():
            there = {path: identity(data) for path, data in files_below(back / known.alias).items()}
        gone = {(row.path, row.content) for row in list_gone(session, known.key)} if known is not None else set()
        wanted = {row.path: row.content for row in wanted_files(session, known.key)} if known is not None else {}
        for path in {path for tree in trees.values() for path in tree.files}:
            versions = {tree.files.get(path) for tree in trees.values()}
            had = {version for version in versions if version in on_drives}
            if not had or versions - had - {None}:
                continue  # the newest of one branch is on no drive: what is had instead is anybody's guess
            newer = {
                content
                for root, tree in trees.items()
                for content, tick in life.ever[life.family(root), path].items()
                if tick > tree.tick
            }
            # A scan since that was killed, or an operation that is no backup, may have told of a later tree already.
            later = {
                seen.files.get(path)
                for root, tree in trees.items()
                for seen in life.may_be_told[root]
                if seen.tick > tree.tick
            }
            here = there.get(path)
            # A file that rotted on a drive which was copied into the source with its sidecars: nobody read it since, and
            # what it was comes back.
            rot_of = life.ledger.rot_of
            meant = (
                {rot_of[v] for v in had if v is not None and v in rot_of}
                if path.startswith(b"old drive/")
                else set[Identity]()
            )
            if meant - on_drives:
                continue
            is_back = here in had | newer | meant
            if here is None:  # Deleted later, or a later content is on no drive any more. Or split under wrong clocks,
                # and what is taken for the later is on no drive.
                is_right = bool((versions | later) - on_drives)
                is_right |= life.clocks_differ and path in wanted and wanted[path] not in on_drives
            else:  # Split under wrong clocks: one is the file. Or deleted later, and an older drive came first: what a
                # restore has put there stays and is listed as deleted.
                is_right = life.clocks_differ or (None in later and (path, here) in gone)
            if is_back or is_right:  # what is not the file is listed as an older version
                others = {version for version in had - {there.get(path)} if version is not None and not meant}
                untold = {other for other in others & listed - set(there.values()) if (path, other) not in gone}
                if untold and (len(trees) > 1 or not is_back) and there.get(path) not in newer:
                    raise Wrong("drill: an older version is not told", f"{path!r} of {source}: {untold} is not listed")
                continue
            what = "did not come back" if path not in there else f"came back as {there[path]}"
            kind = "drill: an old version" if path in there else "drill: not back"
            raise Wrong(kind, f"{path!r} of {known.alias if known else source} {what}, should be {had}")
