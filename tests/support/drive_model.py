"""A shelf of drives over the years, on real files, and a model that knows what is true by looking at the bytes.

Contents are compared as bytes, never by what medback says of them. A drive lies in the cellar or is plugged in; what is
done to it behind medback's back is remembered until medback had a chance to notice it.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from random import Random

import pytest

from medback_core import model
from medback_core.backing_up.back_up import back_up
from medback_core.coverage.totals import coverage, target_holdings
from medback_core.backing_up.discover import discover
from medback_core.model import DamageFound, Event, FileDone, Target, TargetState
from medback_core.restoring.plan import restore_plan
from medback_core.coverage.what_if import what_if_every
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import open_session
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import list_targets, target_by_id
from medback_core.scanning.sources import add_source, update
from medback_core.drives.open import resolve_target, set_target
from medback_core.upkeep.verify_target import verify
from medback_core.coverage.where_is import where_is
from support.worlds import Ran, run

DAY = 86_400
WANTED = 2


def contents(root: Path) -> dict[bytes, bytes]:
    """Relative path -> content of every file that is not medback's own; older versions are content too."""
    found = {}
    for directory, directories, names in os.walk(os.fsencode(root)):
        directories[:] = [
            d for d in directories if not d.startswith((b".medback", b"medback-")) or d == b".medback-old"
        ]
        for name in names:
            if not name.startswith((b".medback", b"medback-")):
                path = os.path.join(directory, name)
                found[os.path.relpath(path, os.fsencode(root))] = Path(os.fsdecode(path)).read_bytes()
    return found


class Shelf:
    """Sources in a house, drives in a cellar, one session, one clock."""

    def __init__(self, tmp: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.house, self.mnt, self.cellar = tmp / "house", tmp / "mnt", tmp / "cellar"
        for directory in (self.house, self.mnt, self.cellar):
            directory.mkdir()
        self.now = 1_500_000_000
        monkeypatch.setattr(model, "now", lambda: self.now)
        self.random = Random(1)
        self.db = tmp / "session.db"
        self.session = open_session(self.db)
        self.ids: dict[str, str] = {}  # drive -> target id
        self.states: dict[str, TargetState] = {}
        self.rotten: dict[str, dict[bytes, bytes]] = {}  # drive -> path -> what it held: nobody can know yet
        self.vanished: dict[str, set[bytes]] = {}  # drive -> contents removed by hand since it was last looked at
        self.checked: dict[tuple[str, bytes], int] = {}  # when a content on a drive was last read and found right
        self.dated: set[str] = set()  # drives seen since the session began, whose dates it can know
        self.ever: set[bytes] = set()

    # --- time, drives and files --------------------------------------------------------------------------------------

    def later(self, days: int) -> None:
        self.now += days * DAY

    def buy(self, *names: str) -> None:
        for name in names:
            (self.cellar / name).mkdir()
            (self.mnt / name).mkdir()
            self.rotten[name], self.vanished[name] = {}, set()

    def rename(self, name: str, other: str) -> None:
        """What was the target of a drive is none any more: it goes on under another name, on no drive."""
        self.buy(other)
        self.ids[other], self.states[other] = self.ids.pop(name), self.states.pop(name)
        self.checked = {key: date for key, date in self.checked.items() if key[0] != name}

    def where(self, name: str) -> Path:
        return self.cellar / name if (self.cellar / name).exists() else self.mnt / name

    @contextmanager
    def plugged(self, *names: str) -> Iterator[None]:
        """Drives at their mount points, which are empty directories otherwise."""
        for name in names:
            (self.mnt / name).rmdir()
            (self.cellar / name).rename(self.mnt / name)
        yield
        for name in names:
            (self.mnt / name).rename(self.cellar / name)
            (self.mnt / name).mkdir()

    def write(self, source: str, path: str, size: int, *, keep_time: bool = False) -> bytes:
        """A file with content the world has not seen; returns what it holds now."""
        file = self.house / source / path
        file.parent.mkdir(parents=True, exist_ok=True)
        was = file.stat().st_mtime_ns if keep_time else 0
        file.write_bytes(self.random.randbytes(size))
        time_ns = was or self.now * 10**9
        os.utime(file, ns=(time_ns, time_ns))
        return file.read_bytes()

    def rot(self, name: str, path: str) -> None:
        """Other bytes on a drive, the same size and time."""
        file = self.where(name) / path
        self.rotten[name][os.fsencode(path)] = file.read_bytes()
        self.spoil(file)

    def spoil(self, file: Path) -> None:
        time_ns = file.stat().st_mtime_ns
        file.write_bytes(self.random.randbytes(file.stat().st_size))
        os.utime(file, ns=(time_ns, time_ns))

    def delete_on(self, name: str, path: str) -> None:
        file = self.where(name) / path
        self.vanished[name].add(file.read_bytes())
        file.unlink()

    # --- medback -----------------------------------------------------------------------------------------------------

    def add(self, source: str) -> Ran:
        return run(add_source(self.session, os.fsencode(self.house / source)))

    def update(self, **options: object) -> Ran:
        ran = run(update(self.session, **options))  # type: ignore[arg-type]
        self.ever |= set(self.files().values())
        return ran

    def back_up(self, name: str, **options: object) -> Ran:
        return self._on(name, back_up(self.session, os.fsencode(self.mnt / name), **options))  # type: ignore[arg-type]

    def discover(self, name: str, **options: object) -> Ran:
        return self._on(name, discover(self.session, os.fsencode(self.mnt / name), **options))  # type: ignore[arg-type]

    def repair(self, name: str) -> Ran:
        return self._on_all(name, repair(self.session, os.fsencode(self.mnt / name)))

    def reclaim(self, name: str, **options: bool) -> Ran:
        return self._on_all(name, reclaim(self.session, name, **options))

    def verify(self, name: str, **options: Any) -> Ran:
        """Verify a plugged-in drive; what it says of damaged and missing files is checked against the model."""
        rotten, vanished = dict(self.rotten[name]), set(self.vanished[name])
        ran = self._on(name, verify(self.session, os.fsencode(self.mnt / name), **options))
        read = {os.path.relpath(event.path, os.fsencode(self.mnt / name)) for event in ran.of(FileDone)}
        if not options and not any("where a verify was stopped" in str(event) for event in ran):
            assert ran.summary.left == 0 and read == contents(self.mnt / name).keys() - rotten.keys()
            assert ran.summary.damaged == len(rotten) and not self.rotten[name]
        assert ran.summary.missing == len(vanished) and not read & rotten.keys()
        return ran

    def restore(self, name: str, **options: object) -> Ran:
        """Restore from a plugged-in drive: what was read whole from it is checked, as far as this session knows."""
        ran = self._on(name, restore(self.session, name, **options))  # type: ignore[arg-type]
        for event in ran.of(FileDone):
            self.checked[name, Path(os.fsdecode(event.path)).read_bytes()] = self.now
        return ran

    def _on(self, name: str, steps: Iterator[Event]) -> Ran:
        """Run an operation on a plugged-in drive: medback has looked at it then, and has read some of it."""
        before = set(contents(self.mnt / name).values()) if name in self.ids else set()
        ran = run(steps)
        after = contents(self.mnt / name)
        self.ever |= set(self.files().values())
        for content in set(after.values()) - before - set(self.rotten[name].values()):
            self.checked[name, content] = self.now
        for event in ran.of(FileDone):
            path = os.path.relpath(event.path, os.fsencode(self.mnt / name))
            if event.action == "verified":
                self.checked[name, after[path]] = self.now
        for event in ran.of(DamageFound):
            self.rotten[name].pop(os.path.relpath(event.path, os.fsencode(self.mnt / name)), None)
        self.vanished[name].clear()
        self.dated.add(name)
        known, _ = resolve_target(self.session, os.fsdecode(self.mnt / name))
        assert known is not None
        if name not in self.ids:
            self.ids[name], self.states[name] = known.id, TargetState.ACTIVE
        return ran

    def _on_all(self, name: str, steps: Iterator[Event]) -> Ran:
        """Run an operation on a plugged-in drive that looks at all others that are plugged in too."""
        ran = self._on(name, steps)
        self.dated |= {other for other in self.ids if (self.mnt / other / ".medback-target.xml").exists()}
        return ran

    def set_state(self, name: str, state: TargetState) -> None:
        set_target(self.session, self.ids[name], state=state)
        self.states[name] = state

    def lose_session(self) -> None:
        """The session DB is gone; the list of sources beside it is not. Nothing is hashed for a new one."""
        self.session.close()
        for file in self.db.parent.glob("session.db*"):
            if file.name != "session.db.sources":
                file.unlink()
        self.session = open_session(self.db)
        assert self.session.needs_rebuild
        run(rebuild(self.session))
        self.dated.clear()

    # --- what is true ------------------------------------------------------------------------------------------------

    def files(self) -> dict[tuple[str, bytes], bytes]:
        """(source, path) -> content, of all that is in the house."""
        return {
            (source.alias, path): content
            for source in list_sources(self.session)
            for path, content in contents(Path(os.fsdecode(source.path))).items()
        }

    def held(self, name: str) -> set[bytes]:
        """What lies on a drive, and what nobody can know yet not to lie there any more."""
        return {*contents(self.where(name)).values(), *self.rotten[name].values(), *self.vanished[name]}

    def known(self, name: str) -> Target:
        found = target_by_id(self.session, self.ids[name])
        assert found is not None
        return found

    # --- every report ------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """All that stats, whereis, targets, what-if and plan say now is true."""
        held = {name: self.held(name) for name in self.ids}
        active = {name for name in self.ids if self.states[name] is TargetState.ACTIVE}
        usable = {name for name in self.ids if self.states[name] is not TargetState.LOST}
        holders = {key: {name for name in usable if content in held[name]} for key, content in self.files().items()}
        assert {t.id for t in list_targets(self.session)} == set(self.ids.values())
        self._check_whereis(holders, active)
        self._check_stats(holders, active)
        self._check_targets(held)
        self._check_what_if(holders, active, usable)
        self._check_plan(holders, usable)

    def _check_whereis(self, holders: Mapping[tuple[str, bytes], set[str]], active: set[str]) -> None:
        files = self.files()
        names = {tid: name for name, tid in self.ids.items()}
        told = {}
        for source in list_sources(self.session):
            for file in where_is(self.session, [b""], source=source.alias):
                told[file.source, file.path] = file
        assert told.keys() == files.keys()
        for key, file in told.items():
            assert {names[copy.target.id] for copy in file.copies if copy.counts} == holders[key] & active, key
            for copy in file.copies:
                name = names[copy.target.id]
                if copy.path is not None and copy.path not in self.rotten[name] and not self.vanished[name]:
                    assert (self.where(name) / os.fsdecode(copy.path)).read_bytes() == files[key]
                if copy.counts:
                    date = self.checked[name, files[key]] if name in self.dated else None
                    assert copy.verified_at == date, (key, name)

    def _check_stats(self, holders: Mapping[tuple[str, bytes], set[str]], active: set[str]) -> None:
        files = self.files()
        found = coverage(self.session)
        by_copies: dict[int, int] = {}
        for key in files:
            copies = len(holders[key] & active)
            by_copies[copies] = by_copies.get(copies, 0) + 1
        assert {n: count.files for n, count in found.by_copies.items() if count.files} == by_copies
        assert found.bytes == sum(map(len, files.values()))
        assert found.below_wanted.files == sum(n for copies, n in by_copies.items() if copies < WANTED)
        dates = [
            self.checked[name, files[key]] if name in self.dated else 0
            for key in files
            for name in holders[key] & active
        ]
        assert found.oldest == min(dates, default=None)

    def _check_targets(self, held: Mapping[str, set[bytes]]) -> None:
        current = set(self.files().values())
        holdings = target_holdings(self.session)
        for name in self.ids:
            target = self.known(name)
            assert target.state is self.states[name], name
            if target.state is TargetState.LOST:
                continue  # what is said of it is what it held
            assert len(current & held[name]) <= holdings[target.key].files <= len(held[name]), name
            if name in self.dated and current & held[name]:
                least = min(date for (drive, content), date in self.checked.items() if drive == name)
                most = min(self.checked[name, content] for content in held[name] & current)
                assert target.verified_at is not None and least <= target.verified_at <= most, name

    def _check_what_if(self, holders: Mapping[tuple[str, bytes], set[str]], active: set[str], usable: set[str]) -> None:
        names = {tid: name for name, tid in self.ids.items()}
        every = what_if_every(self.session)
        assert len(every.single) == len(usable)
        for loss in (*every.single, *every.pairs):
            dead = {names[target.id] for target in loss.targets}
            lost = {key for key, here in holders.items() if here and here <= dead}
            weakened = {
                key
                for key, here in holders.items()
                if key not in lost and here & active & dead and len((here & active) - dead) < WANTED
            }
            assert (loss.lost.files, loss.weakened.files) == (len(lost), len(weakened)), dead

    def _check_plan(self, holders: Mapping[tuple[str, bytes], set[str]], usable: set[str]) -> None:
        names = {tid: name for name, tid in self.ids.items()}
        plan = run(restore_plan(self.session, all_of_it=True)).summary
        reachable = {key: here for key, here in holders.items() if here}
        assert plan.exact and plan.missing.files == len(holders)
        assert plan.unreachable.files == len(holders) - len(reachable)
        steps = [names[step.target.id] for step in plan.steps]
        left = set(reachable)
        for name, step in zip(steps, plan.steps, strict=True):
            brought = {key for key in left if name in reachable[key]}
            left -= brought
            still = len(left) + plan.unreachable.files
            assert (step.brings.files, step.remaining.files) == (len(brought), still)
        assert not left
        for fewer in itertools.combinations(sorted(usable), max(0, len(steps) - 1)):
            assert len(steps) == 0 or any(not here & set(fewer) for here in reachable.values()), "fewer drives would do"

    def gone(self, source: str) -> dict[tuple[bytes, bytes], list[bytes]]:
        """(path, md5) of what `whereis --deleted` lists -> the contents that really lie where it says."""
        find_source(self.session, source)
        names = {tid: name for name, tid in self.ids.items()}
        return {
            (file.path, bytes.fromhex(file.md5)): [
                (self.where(names[copy.target.id]) / os.fsdecode(copy.path)).read_bytes()
                for copy in file.copies
                if copy.path is not None and copy.target.id in names
            ]
            for file in where_is(self.session, [b""], source=source, deleted=True)
        }
