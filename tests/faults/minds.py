"""Lives with several minds: whatever knows more or less than the session at work.

Two machines share a shelf of drives and one of three sources; a session DB is lost or comes back from an older copy, a
drive is cloned, rolled back, put inside another, wiped; clocks are wrong; a house burns. Every step is data, chosen by
a seed, so that a life can be lived again and made shorter: `python -m faults.minds SEED` (with PYTHONPATH=tests) prints
the shortest steps that still go wrong.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sys
import tempfile
import traceback
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from faults.bytes_there import ROT, Ledger, Wrong, identity, target_at
from faults.crashes import Killer, watched
from medback_core import disk, model
from medback_core.backing_up.back_up import back_up
from medback_core.backing_up.discover import discover
from medback_core.contexts.load import add_restore_context
from medback_core.drives.open import set_target
from medback_core.errors import MedbackError
from medback_core.model import CONTEXT_NAME, Answers, Event, Identity, SourceRefused, Summary, TargetState
from medback_core.restoring.restore import restore
from medback_core.restoring.status import finish_restore
from medback_core.scanning.sources import add_source, update
from medback_core.session import Session, open_session
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.upkeep.verify_target import verify
from support.killing import Killed
from support.worlds import MTIME, Ran, files_below

NAMES = ("x", "y", "z", "a/x", "a/y", "b/z", "a/c/x")
SIZES = (40, 40, 60, 700, 3000, 0)
SLOTS = 3
DAY = 86_400


class Step(NamedTuple):
    """What happens: the name of a method of Life, and numbers it chooses by."""

    name: str
    mind: int
    a: int
    b: int
    c: int
    kill: int | None


class Tree(NamedTuple):
    """A source as a mind scanned it."""

    tick: int
    files: dict[bytes, Identity]


@dataclass
class Mind:
    """A machine with a session, and what it can know: when it last saw and read each target."""

    name: str
    home: Path
    late: int = 0  # seconds its clock is behind
    lives: int = 0  # how often its DB was lost or put back
    seen: dict[str, int] = field(default_factory=dict)
    read: dict[str, int] = field(default_factory=dict)
    reading: dict[str, int] = field(default_factory=dict)  # since when the round of a stopped verify goes on
    counts: dict[tuple[Identity, str], int] = field(default_factory=dict)  # (content, target) -> since when
    scanned: dict[tuple[str, bytes], Tree] = field(default_factory=dict)  # (source id, where) -> as of its last scan

    @property
    def db(self) -> Path:
        return self.home / "session.db"

    @property
    def hand(self) -> str:
        """Who did something: this mind as it is, not as it was before its DB was lost or put back."""
        return f"{self.name}#{self.lives}"

    def knowledge(self) -> dict[str, dict]:
        return {key: dict(getattr(self, key)) for key in ("seen", "read", "reading", "scanned", "counts")}

    def knows(self, knowledge: dict[str, dict]) -> None:
        self.lives += 1
        for key, value in knowledge.items():
            setattr(self, key, dict(value))


Operation = Callable[[Session], Iterator[Event]]


class Life:
    """The world, everybody's hands in it, and medback at work."""

    def __init__(self, base: Path, seed: int) -> None:
        self.base, self.seed = base, seed
        self.ledger = Ledger()
        self.date = 1_800_000_000
        self.written = 0
        self.operations = 0
        self.told: list[str] = []
        self.minds = [Mind(f"m{number}", base / f"m{number}") for number in range(2)]
        self.clocks_differ = seed % 3 == 2
        if self.clocks_differ:
            self.minds[1].late = 9 * DAY
        for mind in self.minds:
            for slot in range(SLOTS):
                (mind.home / "mnt" / str(slot)).mkdir(parents=True)
            (mind.home / "photos").mkdir()
        (base / "shared").mkdir()
        (base / "shelf").mkdir()
        (base / "kept").mkdir()
        self.drives: list[str] = []
        self.inside: dict[str, str] = {}  # drive -> the drive it lies in
        self.slot: dict[str, Path] = {}  # drive -> where it is plugged in
        self.copies: dict[str, tuple[Path, dict]] = {}  # of drives, to be put back
        self.old_dbs: dict[str, tuple[Path, dict]] = {}
        self.ever: dict[tuple[bytes, bytes], dict[Identity, int]] = defaultdict(
            dict
        )  # (source, path) -> content -> when
        self.burnt: dict[Path, dict[bytes, Identity]] = {}  # source root -> what was lost there and is still wanted
        self.kept_in: dict[str, dict[tuple[str, bytes], Tree]] = {}  # drive -> what its context must tell
        self.may_be_told: dict[bytes, list[Tree]] = defaultdict(list)  # source root -> at each operation that scans
        self.went_away: dict[Path, int] = {}  # directory -> when it went
        self.was_away: dict[Identity, tuple[int, int]] = {}  # a content in a directory that came back -> since, until
        for number in range(3):
            self.buy(f"d{number}")
        for number, root in enumerate(self.roots()):
            for name in NAMES[number::2]:
                self.write(root / name, self.fresh(40 + 200 * number))
        self.look("")

    # --- the world ---------------------------------------------------------------------------------------------------

    def roots(self) -> list[Path]:
        """The sources: one on each machine, of one name, and one both know; behind them each other's, where restored."""
        theirs = [mind.home / "theirs" for mind in self.minds]
        return [
            *(mind.home / "photos" for mind in self.minds),
            self.base / "shared",
            *(root for root in theirs if root.is_dir()),
        ]

    def family(self, root: Path | bytes) -> bytes:
        """Which source it is, wherever it was restored to."""
        root = Path(os.fsdecode(root))
        for mind, other in itertools.permutations(self.minds):
            if root == mind.home / "theirs":
                root = other.home / "photos"
        return os.fsencode(root)

    def buy(self, drive: str) -> None:
        (self.base / "shelf" / drive).mkdir()
        self.drives.append(drive)
        self.kept_in[drive] = {}

    def where(self, drive: str) -> Path:
        if drive in self.inside:
            return self.where(self.inside[drive]) / f"inner {drive}"
        return self.slot.get(drive, self.base / "shelf" / drive)

    def outer(self) -> list[str]:
        return [drive for drive in self.drives if drive not in self.inside]

    def look(self, by: str) -> None:
        self.ledger.look([self.where(drive) for drive in self.outer()], by)
        for root in self.roots():
            for path, data in files_below(root).items():
                self.ever[self.family(root), path][identity(data)] = self.ledger.tick

    def fresh(self, size: int) -> bytes:
        self.written += 1
        return (b"content %06d " % self.written * (size // 10 + 1))[:size]

    def write(self, path: Path, data: bytes, *, earlier: int = 0) -> None:
        """New content with a time of its own; nothing where a directory stands in the way."""
        parents = [parent for parent in path.parents if parent.is_file()]
        if parents or path.is_dir():
            return
        self.written += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(at := MTIME + (self.written - earlier) * 10**9, at))

    def pick(self, root: Path, number: int) -> Path | None:
        found = sorted(files_below(root))
        return root / os.fsdecode(found[number % len(found)]) if found else None

    def a_drive(self, number: int, mind: Mind | None = None) -> str | None:
        """One of the drives, or of those plugged in at a mind (drives inside them included)."""
        found = [d for d in self.drives if mind is None or self.where(d).is_relative_to(mind.home / "mnt")]
        return found[number % len(found)] if found else None

    def a_source(self, mind: Mind, number: int) -> Path:
        return (mind.home / "photos", self.base / "shared")[number % 2]

    # --- hands -------------------------------------------------------------------------------------------------------

    def write_file(self, step: Step) -> None:
        root = self.roots()[step.a % 3]
        self.write(root / NAMES[step.b % len(NAMES)], self.fresh(SIZES[step.c % len(SIZES)]))

    def edit_with_an_older_time(self, step: Step) -> None:
        """A source restored from a backup: other content, earlier times."""
        path = self.pick(self.roots()[step.a % 3], step.b)
        if path is not None:
            self.write(path, self.fresh(path.stat().st_size), earlier=100_000)

    def go_back(self, step: Step) -> None:
        """A file gets a content it had before, under a new time."""
        path = self.pick(self.roots()[step.a % 3], step.b)
        if path is None:
            return
        held = {lying.content: lying.path for lying in self.ledger.lying}
        root = self.roots()[step.a % 3]
        older = sorted(self.ever[self.family(root), os.fsencode(path.relative_to(root))].keys() & held.keys())
        if older:
            self.write(path, Path(os.fsdecode(held[older[step.c % len(older)]])).read_bytes())

    def delete(self, step: Step) -> None:
        path = self.pick(self.roots()[step.a % 3], step.b)
        if path is not None:
            path.unlink()

    def move(self, step: Step) -> None:
        roots = self.roots()
        path = self.pick(roots[step.a % 3], step.b)
        goal = roots[(step.a + (step.c % 5 == 0)) % 3] / NAMES[step.c % len(NAMES)]
        if path is not None and path != goal and not goal.is_dir() and not any(p.is_file() for p in goal.parents):
            goal.parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, goal)

    def directory_comes_and_goes(self, step: Step) -> None:
        root = self.roots()[step.a % 3]
        name = ("a", "b", "a/c")[step.b % 3]
        here, away = root / name, self.base / "kept" / f"dir-{step.a % 3}-{step.b % 3}"
        if away.exists() and not here.exists() and here.parent.is_dir():
            os.rename(away, here)
            times = self.went_away[away], self.ledger.tick
            self.was_away |= {identity(data): times for data in files_below(here).values()}
        elif here.is_dir() and not away.exists():
            os.rename(here, away)
            self.went_away[away] = self.ledger.tick

    def plug(self, step: Step) -> None:
        """A drive into a slot of a machine; what was there goes onto the shelf."""
        outer = self.outer()
        drive, goal = outer[step.a % len(outer)], self.minds[step.mind].home / "mnt" / str(step.b % SLOTS)
        for other, place in list(self.slot.items()):
            if place == goal or other == drive:
                self.unplug(other)
        goal.rmdir()
        os.rename(self.base / "shelf" / drive, goal)
        self.slot[drive] = goal

    def unplug(self, drive: str) -> None:
        place = self.slot.pop(drive)
        os.rename(place, self.base / "shelf" / drive)
        place.mkdir()

    def visit(self, step: Step) -> None:
        """A drive is plugged in and backed up onto."""
        self.plug(step)
        drives = [d for d in self.drives if self.where(d).is_relative_to(self.minds[step.mind].home)]
        plugged = self.outer()[step.a % len(self.outer())]
        self.back_up(step._replace(a=drives.index(plugged)))

    def take_out(self, step: Step) -> None:
        plugged = sorted(self.slot)
        if plugged:
            self.unplug(plugged[step.a % len(plugged)])

    def harm_on_drive(self, step: Step) -> None:
        drive = self.a_drive(step.a)
        path = self.pick(self.where(drive), step.b) if drive is not None else None
        if path is None:
            return
        how = step.c % 4
        if how == 0:
            path.unlink()
        elif how == 1:
            self.write(path, self.fresh(path.stat().st_size))
        elif how == 2:
            os.rename(path, path.with_name(path.name + "~"))
        elif path.stat().st_size:
            self.rot(path)

    def rot(self, path: Path) -> None:
        was, status = path.read_bytes(), path.stat()
        self.written += 1
        now = (ROT + b" %06d" % self.written * len(was))[: len(was)]
        if identity(now) != identity(was):
            path.write_bytes(now)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            was_what = identity(was)
            self.ledger.rot_of[identity(now)] = self.ledger.rot_of.get(was_what, was_what)

    def clone(self, step: Step) -> None:
        """A second drive like the first, for instance by `dd`."""
        outer = self.outer()
        drive, goal = outer[step.a % len(outer)], f"d{3 + step.b % 2}"
        if goal not in self.drives and not any(inner in self.inside for inner in self.drives):
            shutil.copytree(self.where(drive), self.base / "shelf" / goal, symlinks=True)
            self.drives.append(goal)
            self.kept_in[goal] = dict(self.kept_in[drive])

    def keep_drive_image(self, step: Step) -> None:
        outer = self.outer()
        drive = outer[step.a % len(outer)]
        if any(outside == drive for outside in self.inside.values()):
            return
        image = self.base / "kept" / f"image-{drive}"
        shutil.rmtree(image, ignore_errors=True)
        shutil.copytree(self.where(drive), image, symlinks=True)
        self.copies[drive] = image, dict(self.kept_in[drive])

    def put_drive_image_back(self, step: Step) -> None:
        """The drive is as it was."""
        kept = sorted(set(self.copies) & set(self.outer()) - set(self.inside.values()))
        if not kept:
            return
        drive = kept[step.a % len(kept)]
        image, told = self.copies[drive]
        shutil.rmtree(self.where(drive))
        shutil.copytree(image, self.where(drive), symlinks=True)
        self.kept_in[drive] = dict(told)

    def nest(self, step: Step) -> None:
        """A drive's tree is moved into another's, or out again."""
        outer = self.outer()
        if self.inside and step.c % 2:
            drive = sorted(self.inside)[step.a % len(self.inside)]
            here = self.where(drive)
            del self.inside[drive]
            os.rename(here, self.base / "shelf" / drive)
            return
        drive, around = outer[step.a % len(outer)], outer[step.b % len(outer)]
        if drive != around and not self.inside:
            if drive in self.slot:
                self.unplug(drive)
            os.rename(self.base / "shelf" / drive, self.where(around) / f"inner {drive}")
            self.inside[drive] = around

    def wipe(self, step: Step) -> None:
        """Everything on a drive is deleted, or only what says who it is."""
        outer = self.outer()
        drive = outer[step.a % len(outer)]
        if any(outside == drive for outside in self.inside.values()):
            return
        here = self.where(drive)
        if step.b % 3:
            (here / ".medback-target.xml").unlink(missing_ok=True)
            return
        for entry in list(here.iterdir()):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        self.kept_in[drive] = {}

    def copy_a_drive_into_a_source(self, step: Step) -> None:
        drive, root = self.a_drive(step.a), self.roots()[step.b % 3]
        goal = root / "old drive"
        if drive is not None and not goal.exists() and step.c % 2:
            # Larger than what these drives hold beside the rest: the two files that explain a drive.
            explanation = shutil.ignore_patterns(*map(os.fsdecode, model.EXPLANATION))
            shutil.copytree(self.where(drive), goal, symlinks=True, ignore=explanation)
        elif goal.exists():
            shutil.rmtree(goal)

    def keep_db(self, step: Step) -> None:
        mind = self.minds[step.mind]
        if mind.db.exists():
            goal = self.base / "kept" / f"db-{mind.name}"
            shutil.rmtree(goal, ignore_errors=True)
            goal.mkdir()
            for file in mind.home.glob("session.db*"):
                shutil.copy2(file, goal)
            self.old_dbs[mind.name] = goal, mind.knowledge()

    def put_db_back(self, step: Step) -> None:
        mind = self.minds[step.mind]
        if mind.name in self.old_dbs:
            kept, knowledge = self.old_dbs[mind.name]
            self.remove_db(mind)
            for file in kept.iterdir():
                shutil.copy2(file, mind.home)
            mind.knows(knowledge)

    def remove_db(self, mind: Mind) -> None:
        for file in mind.home.glob("session.db*"):
            file.unlink()

    def lose_db(self, step: Step) -> None:
        """And build it again from the sidecars."""
        mind = self.minds[step.mind]
        listed = mind.home / "session.db.sources"
        kept = listed.read_bytes() if listed.exists() and step.a % 2 else None
        self.remove_db(mind)
        mind.knows(Mind("", mind.home).knowledge())
        if kept is not None:
            listed.write_bytes(kept)
            self.do(step, mind, lambda session: rebuild(session), scans=False)  # it hashes nothing
        else:
            for number in range(2):
                self.add(step._replace(a=number))

    def fire(self, step: Step) -> None:
        """A machine burns, and what is on it: its source and its session. The drives in it are saved."""
        mind = self.minds[step.mind]
        root = mind.home / "photos"
        lost = self.burnt.setdefault(root, {})
        lost.update({path: identity(data) for path, data in files_below(root).items()})
        for path in (*mind.home.glob("session.db*"), root):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        root.mkdir()
        mind.knows(Mind("", mind.home).knowledge())

    def clock_goes_wrong(self, step: Step) -> None:
        self.clocks_differ = True
        self.minds[step.mind].late = (0, 0, 3 * DAY, 40 * DAY, -20 * DAY)[step.a % 5]

    # --- medback -----------------------------------------------------------------------------------------------------

    def do(
        self, step: Step, mind: Mind, operation: Operation, *, looks_at: str = "", reads: str = "", scans: bool = True
    ) -> Ran:
        """Run an operation to its end, or until its change number `kill`; nothing of what was refused or killed."""
        self.operations += 1
        before = {root: files_below(root, damaged=True) for root in self.roots()}
        tick, done = self.ledger.tick, Ran()
        model.now = lambda: self.date - mind.late
        try:
            with watched(Killer(step.kill)), open_session(mind.db) as session:
                for event in operation(session):
                    done.append(event)
        except Killed:
            self.told.append("    killed")
            done = Ran()
        except MedbackError as error:
            self.told.append(f"    {type(error).__name__}: {error}")
            done = Ran()
        self.nothing_of_a_source_went(before)
        self.look(mind.hand)
        if scans:
            for root in self.roots():
                self.may_be_told[os.fsencode(root)].append(Tree(self.ledger.tick, self.tree(root)))
        target = target_at(self.where(looks_at)) if looks_at else ""
        if done:
            if not isinstance(done[-1], Summary):
                raise Wrong("no summary", str(done[-1]))
            if target:
                mind.seen[target] = self.ledger.tick
            if reads and target:
                mind.read[target] = mind.reading.pop(target, tick)
        elif reads and target:
            mind.reading.setdefault(target, tick)
        if scans:
            self.note_scans(mind, done)
        return done

    def note_scans(self, mind: Mind, done: Ran) -> None:
        refused = {event.alias for event in done.of(SourceRefused)}
        if not done:
            return
        with open_session(mind.db) as session:
            sources = [source for source in list_sources(session) if source.scanned_at == model.now()]
        for source in sources:
            if source.alias not in refused:
                root = Path(os.fsdecode(source.path))
                tree = self.tree(root)
                mind.scanned[source.id, source.path] = Tree(self.ledger.tick, tree)
                lost = self.burnt.get(root, {})
                for path in tree.keys() & lost.keys():
                    del lost[path]

    def tree(self, root: Path) -> dict[bytes, Identity]:
        """What a scan sees of a source: of a drive that was copied there the older versions are a gap, told as one."""
        return {path: identity(data) for path, data in files_below(root).items() if b".medback-old/" not in path}

    def nothing_of_a_source_went(self, before: dict[Path, dict[bytes, bytes]]) -> None:
        for root in self.roots():
            was, now = before.get(root, {}), files_below(root, damaged=True)
            if gone := set(was.values()) - set(now.values()):
                raise Wrong("a source's file is gone", f"{root}: {sorted(gone)[:2]}")
            for path, data in now.items():
                if was.get(path) == data or b".medback-damaged/" in path or b" (" in path:
                    continue
                if identity(data) not in self.ever[self.family(root), path]:
                    raise Wrong("restored wrong", f"{path!r} in {root} holds what was never there: {data[:30]!r}")

    def add(self, step: Step) -> None:
        mind = self.minds[step.mind]
        root = os.fsencode(self.a_source(mind, step.a))
        self.do(step, mind, lambda session: add_source(session, root, copies=1 + step.b % 3 if step.b % 4 else None))

    def update(self, step: Step) -> None:
        accept = step.a % 2 == 0
        self.do(
            step,
            self.minds[step.mind],
            lambda session: update(session, answers=Answers(deletions=accept, changes=accept)),
        )

    def back_up(self, step: Step) -> None:
        mind = self.minds[step.mind]
        drive = self.a_drive(step.a, mind)
        where = self.where(drive) if drive is not None else mind.home / "mnt" / str(step.a % SLOTS)
        empty = drive is None
        options: dict[str, Any] = {}
        said = {"yes": not empty}
        if step.b % 7 in (1, 2):
            options["limit"] = (60, 800)[step.b % 2]
        if step.c % 6 in (1, 2, 3):
            said[("new_id", "same_drive", "create")[step.c % 6 - 1]] = True
        if step.b % 5 == 0:
            options["capacity"] = 4000
        if empty:
            options, said = {}, {}
        done = self.do(
            step,
            mind,
            lambda session: back_up(session, os.fsencode(where), answers=Answers(**said), **options),
            looks_at=drive or "",
        )
        if empty and any(where.iterdir()):
            raise Wrong("invented", f"something was written into the empty mount point {where}")
        if done and drive is not None:
            told = self.kept_in[drive]
            for key, tree in mind.scanned.items():
                if key not in told or told[key].tick <= tree.tick:
                    told[key] = tree

    def discover(self, step: Step) -> None:
        mind = self.minds[step.mind]
        drive = self.a_drive(step.a, mind)
        if drive is None:
            return
        said = ({}, {}, {"new_id": True}, {"same_drive": True})[step.b % 4]
        rehash = step.c % 3 == 0
        self.do(
            step,
            mind,
            lambda session: discover(
                session, os.fsencode(self.where(drive)), answers=Answers(yes=True, **said), rehash=rehash
            ),
            looks_at=drive,
        )

    def verify_drive(self, step: Step) -> None:
        mind = self.minds[step.mind]
        drive = self.a_drive(step.a, mind)
        if drive is not None:
            where = os.fsencode(self.where(drive))
            self.do(step, mind, lambda session: verify(session, where), looks_at=drive, reads=drive)

    def repair(self, step: Step) -> None:
        mind = self.minds[step.mind]
        drive = self.a_drive(step.a, mind)
        where = self.where(drive) if drive is not None and step.b % 3 else self.a_source(mind, step.b)
        self.do(step, mind, lambda session: repair(session, os.fsencode(where)))

    def reclaim(self, step: Step) -> None:
        mind = self.minds[step.mind]
        drive = self.a_drive(step.a, mind)
        if drive is None:
            return
        where = os.fspath(self.where(drive))
        old, surplus = step.b % 3 != 1, step.b % 3 != 0
        before = self.ledger.on_drives()
        named = self.named(mind)
        self.do(step, mind, lambda session: reclaim(session, where, old=old, surplus=surplus), looks_at=drive)
        lost = (before - self.ledger.on_drives()) & self.wanted() & named
        if lost:
            raise Wrong("loss", f"{mind.name} freed the last copy of {sorted(lost)} on {drive}")

    def restore_here(self, step: Step) -> None:
        """In place, from a drive; where the machine knows nothing, the drive's context is taken up first."""
        mind = self.minds[step.mind]
        drive = self.a_drive(step.a, mind)
        if drive is None:
            return
        where = self.where(drive)
        with open_session(mind.db) as session:
            known = bool(list_sources(session))
        if not known and (where / os.fsdecode(CONTEXT_NAME)).exists():
            self.take_up(step)
        conflict = ("skip", "rename", "overwrite")[step.b % 3]
        self.do(
            step,
            mind,
            lambda session: restore(session, os.fspath(where), conflict=conflict, answers=Answers(in_place=True)),
        )

    def take_up(self, step: Step) -> None:
        """Somebody's context, from a drive; the sources of the other machine would be restored to this one."""
        mind, other = self.minds[step.mind], self.minds[1 - step.mind]
        drive = self.a_drive(step.a, mind)
        if drive is None:
            return
        context = os.fsencode(self.where(drive) / os.fsdecode(CONTEXT_NAME))
        maps = [(os.fsencode(other.home / "photos"), os.fsencode(mind.home / "theirs"))]
        replace = step.c % 4 == 0
        self.do(step, mind, lambda session: add_restore_context(session, context, maps=maps, replace=replace))

    def say_it_is_done(self, step: Step) -> None:
        """A person's word that a restore is over, whatever is missing."""
        mind = self.minds[step.mind]
        if mind.db.exists():
            with open_session(mind.db) as session:
                finish_restore(session)

    def set_state(self, step: Step) -> None:
        mind = self.minds[step.mind]
        model.now = lambda: self.date - mind.late
        with open_session(mind.db) as session:
            targets = list_targets(session)
            if targets:
                state = list(TargetState)[step.b % 4]
                set_target(session, targets[step.a % len(targets)].id, state=state)

    # --- what somebody wants -----------------------------------------------------------------------------------------

    def wanted(self) -> set[Identity]:
        """What stands in a source, or stood there when it burnt and is not back."""
        found = {content for lost in self.burnt.values() for content in lost.values()}
        for root in self.roots():
            found |= {identity(data) for data in files_below(root).values() if data}
        return found

    def named(self, mind: Mind) -> set[Identity]:
        """The contents a mind can know that somebody wants: by its DB, or by a context on a drive plugged in there."""
        from faults.minds_oracle import named_by

        contexts = [self.where(d) / os.fsdecode(CONTEXT_NAME) for d in self.drives if self.a_drive(0, mind) is not None]
        return named_by(mind.db, [path for path in contexts if path.is_relative_to(mind.home)])

    # --- the whole life ----------------------------------------------------------------------------------------------

    def live(self, steps: Sequence[Step], *, drill_every: int = 40) -> None:
        """Take all steps, asking after each whether all that medback says is true; 0: no drills."""
        from faults.minds_oracle import ask, drill

        for number, step in enumerate(steps, 1):
            self.date += 1000
            self.told.append(f"{number:3} {step.name} {tuple(step[1:])}")
            operations = self.operations
            getattr(self, step.name)(step)
            self.look("")
            if self.operations > operations or step.name in ("set_state", "say_it_is_done"):
                ask(self, self.minds[step.mind])  # the other's words are as they were
            if drill_every and (number % drill_every == 0 or number == len(steps)):
                drill(self, every_order=drill_every == len(steps))


WEIGHTS = {
    "write_file": 10,
    "edit_with_an_older_time": 2,
    "go_back": 2,
    "delete": 3,
    "move": 3,
    "directory_comes_and_goes": 2,
    "visit": 16,
    "plug": 10,
    "take_out": 3,
    "harm_on_drive": 4,
    "clone": 1,
    "keep_drive_image": 3,
    "put_drive_image_back": 2,
    "nest": 1,
    "wipe": 1,
    "copy_a_drive_into_a_source": 1,
    "keep_db": 3,
    "put_db_back": 3,
    "lose_db": 1,
    "fire": 1,
    "clock_goes_wrong": 1,
    "add": 5,
    "update": 5,
    "back_up": 10,
    "discover": 3,
    "verify_drive": 5,
    "repair": 3,
    "reclaim": 12,
    "restore_here": 3,
    "take_up": 2,
    "say_it_is_done": 1,
    "set_state": 3,
}


def steps_of(seed: int, count: int) -> list[Step]:
    """The steps of a life: two households that have begun (with one wanted copy, or two), then anything."""
    random = Random(seed)
    steps = [Step("add", mind, number, 3 * (seed % 2), 0, None) for mind in (0, 1) for number in (0, 1)]
    for mind, drive in ((0, 0), (0, 1), (1, 2)):
        steps += [Step("plug", mind, drive, drive, 0, None), Step("back_up", mind, drive, 3, 0, None)]
    # No two lives alike: some things never happen in one, others all the time.
    weights = [weight * random.choice((0, 0.3, 1, 1, 4)) for weight in WEIGHTS.values()]
    while len(steps) < count:
        (name,) = random.choices(list(WEIGHTS), weights)
        kill = random.randrange(80) if random.randrange(6) == 0 else None
        steps.append(
            Step(name, random.randrange(2), random.randrange(60), random.randrange(60), random.randrange(60), kill)
        )
    return steps


def went_wrong(seed: int, steps: Sequence[Step], *, drill_every: int = 40) -> tuple[str, str]:
    """What goes wrong in a life of these steps, in a word and with all that was told; ("", "") when nothing does."""
    base = Path(tempfile.mkdtemp(prefix="medback-minds-", dir="/dev/shm" if os.access("/dev/shm", os.W_OK) else None))
    clock, chance = model.now, os.urandom
    os.urandom = Random(seed).randbytes  # ids and stamps too: a life can be lived again
    life = Life(base / "w", seed)
    try:
        life.live(steps, drill_every=drill_every)
    except Wrong as wrong:
        return wrong.kind, "\n".join([*life.told, str(wrong)])
    except Exception as error:  # noqa: BLE001  (whatever medback raises that is no refusal is what is looked for)
        return f"{type(error).__name__}", "\n".join([*life.told, traceback.format_exc()])
    finally:
        model.now, os.urandom = clock, chance
        disk.set_observer(None)
        shutil.rmtree(base, ignore_errors=True)
    return "", ""


def shortest(seed: int, steps: list[Step]) -> list[Step]:
    """Fewer steps that go wrong in the same way: no single one, and no run of them, can be left out."""
    kind, told = went_wrong(seed, steps)
    if not kind:
        return []
    steps = steps[: sum(1 for line in told.splitlines() if line[:3].strip().isdigit())]
    drill_every = len(steps) if kind.startswith("drill") else 0
    size = max(1, len(steps) // 2)
    while True:
        start, changed = 0, False
        while start < len(steps):
            fewer = steps[:start] + steps[start + size :]
            now = went_wrong(seed, fewer, drill_every=drill_every and len(fewer))[0] if fewer else ""
            if now == kind or (now.startswith("drill") and drill_every):
                steps, changed = fewer, True
            else:
                start += size
        if size == 1 and not changed:
            return steps
        size = max(1, size // 2)


def main(words: Sequence[str]) -> None:
    seed, count = int(words[0]), int(words[1]) if len(words) > 1 else 200
    steps = shortest(seed, steps_of(seed, count))
    print(went_wrong(seed, steps)[1] if steps else "all is well")


if __name__ == "__main__":
    main(sys.argv[1:])
