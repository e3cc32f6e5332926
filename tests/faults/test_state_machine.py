"""Whatever people and medback do to sources and drives, in whatever order: hypothesis looks for what nobody thought of."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from faults.machine_world import DRIVES, SOURCES, STATES, Shelf, Step, identity
from support.fault_report import FULL, Row
from medback_core import disk, model
from medback_core.backing_up.back_up import back_up
from medback_core.contexts.write import write_restore
from medback_core.contexts.load import add_restore_context
from medback_core.backing_up.discover import discover
from medback_core.model import Answers, DamageFound, ScanSummary, SourceRefused
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import open_session
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.session.expected import wanted_files
from medback_core.scanning.sources import add_source, update
from medback_core.drives.open import set_target
from medback_core.upkeep.verify_target import verify
from support.worlds import run

NAMES = ("x", "y", "z", "a/x", "a/y", "b/z", "a/c/x", "a/c/y")
SIZES = (40, 40, 40, 700, 3000, 0)
numbers = st.integers(0, 99)
kills = st.one_of(st.none(), st.none(), st.integers(0, 60))
drives = st.sampled_from(DRIVES)
sources = st.sampled_from(SOURCES)
names = st.sampled_from(NAMES)


class LifeWithDrives(RuleBasedStateMachine):
    """Hands change files, medback runs (or is killed), and after every operation the model is asked."""

    operations = 0  # of all lives, for the table

    def __init__(self) -> None:
        super().__init__()
        base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.base = Path(tempfile.mkdtemp(prefix="medback-life-", dir=base))
        self.shelf = Shelf(self.base / "w")
        self.clock, self.mounts = model.now, disk.removable_mounts
        model.now = lambda: self.shelf.date
        disk.removable_mounts = self.mounted_drives
        for number, source in enumerate(SOURCES):
            for name in NAMES[number::3]:
                self.shelf.write(self.shelf.where / source / name, self.shelf.fresh(40 + 660 * number))

    def teardown(self) -> None:
        LifeWithDrives.operations += self.shelf.operations
        model.now, disk.removable_mounts = self.clock, self.mounts
        shutil.rmtree(self.base, ignore_errors=True)

    def mounted_drives(self) -> list[disk.Mount]:
        return [disk.Mount(self.at(name), "", "ext4", True, False, 0, 0) for name in self.shelf.plugged()]

    # --- helpers -----------------------------------------------------------------------------------------------------

    def pick(self, name: str, number: int, *, rotten: bool = False) -> Path | None:
        """One of the files there."""
        found = sorted(self.shelf.files(name))
        paths = [self.shelf.place(name) / os.fsdecode(path) for path in found]
        if not rotten:
            paths = [path for path in paths if path not in self.shelf.rotten]
        return paths[number % len(paths)] if paths else None

    def at(self, drive: str) -> bytes:
        return os.fsencode(self.shelf.where / drive)

    def by_hand(self, drive: str | None = None) -> None:
        self.shelf.date += 1000
        if drive is not None and drive in self.shelf.drives():
            self.shelf.meddle(drive)

    @initialize(
        drives=st.sampled_from([("t0", "t1"), ("t0",), ("t0", "t1", "t2"), ()]), limit=st.sampled_from([None, 800])
    )
    def begin(self, drives: tuple[str, ...], limit: int | None) -> None:
        """A life under way: sources that are known, drives that hold something."""
        for source in SOURCES:
            self.add(source, None)
        for drive in drives:
            self.back_up(drive, None, limit, None, True, "")

    # --- hands on sources --------------------------------------------------------------------------------------------

    @rule(source=sources, name=names, size=st.sampled_from(SIZES))
    def write(self, source: str, name: str, size: int) -> None:
        self.by_hand()
        self.shelf.write(self.shelf.where / source / name, self.shelf.fresh(size))

    @rule(source=sources, number=numbers, other=sources, name=names, keep=st.booleans())
    def move_or_copy(self, source: str, number: int, other: str, name: str, keep: bool) -> None:
        self.by_hand()
        path, goal = self.pick(source, number), self.shelf.where / other / name
        if path is None or path == goal:
            return
        goal.parent.mkdir(parents=True, exist_ok=True)
        if keep:
            shutil.copyfile(path, goal)
            self.shelf.written += 1
            os.utime(goal, ns=(model_time := 1_700_000_000_000_000_000 + self.shelf.written * 10**9, model_time))
        else:
            os.replace(path, goal)

    @rule(source=sources, number=numbers)
    def delete(self, source: str, number: int) -> None:
        self.by_hand()
        if (path := self.pick(source, number, rotten=True)) is not None:
            path.unlink()

    @rule(source=sources, name=st.sampled_from(["a", "a/c", "b"]), goal=st.sampled_from(["", "b", "d", "a/e"]))
    def move_or_delete_directory(self, source: str, name: str, goal: str) -> None:
        self.by_hand()
        old, new = self.shelf.where / source / name, self.shelf.where / source / goal
        if not old.is_dir():
            return
        if goal and not new.exists() and new.parent.is_dir() and not goal.startswith(name):
            self.shelf.rename(old, new)
        else:
            shutil.rmtree(old)

    @rule(source=sources, number=numbers)
    def rot_in_source(self, source: str, number: int) -> None:
        """Only of what is on record: nobody can tell rot in a file nobody ever hashed."""
        path = self.pick(source, number)
        if path is None or not path.stat().st_size:
            return
        if identity(path.read_bytes()) in self.shelf._wanted().get(os.fsencode(path), ()):
            self.shelf.date += 1000
            self.shelf.rot(path)

    @rule(
        place=st.sampled_from(SOURCES + DRIVES), number=numbers, how=st.sampled_from(["cut", "flip", "empty", "gone"])
    )
    def harm_a_sidecar(self, place: str, number: int, how: str) -> None:
        self.by_hand()
        found = sorted(self.shelf.place(place).rglob(".medback.xml"))
        if not found:
            return
        path = found[number % len(found)]
        data = path.read_bytes()
        if how == "gone":
            path.unlink()
            self.shelf.torn.discard(path)
        else:
            at = number * 37 % max(len(data), 1)
            new = {"cut": data[:at], "flip": data[:at] + b"#" + data[at + 1 :], "empty": b""}[how]
            path.write_bytes(new)
            self.shelf.torn.add(path)

    @rule(source=sources)
    def lose_source_metadata(self, source: str) -> None:
        self.by_hand()
        (self.shelf.where / source / ".medback-source.xml").unlink(missing_ok=True)

    # --- hands on drives ---------------------------------------------------------------------------------------------

    @rule(drive=drives, number=numbers, how=st.sampled_from(["delete", "rename", "edit", "rot", "copy", "touch"]))
    def change_on_drive(self, drive: str, number: int, how: str) -> None:
        if drive not in self.shelf.drives():
            return
        self.by_hand(drive)
        path = self.pick(drive, number)
        if path is None:
            return
        if how == "delete":
            path.unlink()
        elif how == "rename":
            os.rename(path, path.with_name(path.name + "~"))
        elif how == "edit":
            self.shelf.write(path, self.shelf.fresh(path.stat().st_size))
        elif how == "touch":
            self.shelf.written += 1
            os.utime(path, ns=(0, 1_700_000_000_000_000_000 + self.shelf.written * 10**9))
        elif how == "copy":
            shutil.copy2(path, path.with_name(path.name + " copy"))
        elif path.stat().st_size:
            self.shelf.rot(path)

    @rule(drive=drives, source=sources, number=numbers)
    def copy_to_drive_by_hand(self, drive: str, source: str, number: int) -> None:
        """As with a file manager or rsync: for discover to find, and in medback's way."""
        path = self.pick(source, number)
        if drive not in self.shelf.plugged() or path is None:
            return
        self.by_hand(drive)
        goal = self.shelf.where / drive / source / path.relative_to(self.shelf.where / source)
        if not goal.exists() and (goal.parent.is_dir() or not goal.parent.exists()):
            goal.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, goal)

    @rule(drive=drives)
    def unplug_or_plug_in(self, drive: str) -> None:
        here, away = self.shelf.where / drive, self.shelf.where / "away" / drive
        if here.exists():
            self.shelf.rename(here, away)
        elif away.exists():
            self.shelf.rename(away, here)

    @rule(drive=drives)
    def lose_the_drives_identity(self, drive: str) -> None:
        if drive in self.shelf.plugged():
            self.by_hand(drive)
            (self.shelf.where / drive / ".medback-target.xml").unlink(missing_ok=True)

    @rule(drive=drives, goal=st.sampled_from(["t3", "t4"]))
    def clone(self, drive: str, goal: str) -> None:
        if drive in self.shelf.plugged() and goal not in self.shelf.drives():
            self.by_hand()
            self.shelf.clone(drive, goal)

    # --- medback -----------------------------------------------------------------------------------------------------

    def scan(self, names: list[str], step: Step, kill: int | None) -> None:
        done = self.shelf.do(step, kill=kill)
        refused = {event.alias for event in done.of(SourceRefused)}
        settled = [s for s in names if any(e.source.alias == s for e in done.of(ScanSummary)) and s not in refused]
        self.shelf.source_rows_are_right(settled)

    @rule(source=sources, kill=kills)
    def add(self, source: str, kill: int | None) -> None:
        self.scan([source], lambda session: add_source(session, self.at(source)), kill)

    @rule(kill=kills, accept=st.booleans(), rehash=st.booleans())
    def update(self, kill: int | None, accept: bool, rehash: bool) -> None:
        self.scan(
            list(SOURCES),
            lambda session: update(session, answers=Answers(deletions=accept, changes=accept), rehash=rehash),
            kill,
        )

    @rule(
        drive=st.sampled_from((*DRIVES, "t3", "t4")),
        kill=kills,
        limit=st.sampled_from([None, None, 50, 800]),
        capacity=st.sampled_from([None, None, None, 900, 4000, 10**6]),
        verified=st.booleans(),
        answer=st.sampled_from(["", "", "new_id", "same_drive"]),
    )
    def back_up(
        self, drive: str, kill: int | None, limit: int | None, capacity: int | None, verified: bool, answer: str
    ) -> None:
        if drive in DRIVES and drive not in self.shelf.drives():
            (self.shelf.where / drive).mkdir()
        said = {answer: True} if answer else {}
        self.shelf.do(
            lambda session: back_up(
                session,
                self.at(drive),
                answers=Answers(yes=True, **said),
                limit=limit,
                capacity=capacity,
                verify=verified,
            ),
            looks_at=drive,
            kill=kill,
        )

    @rule(
        drive=st.sampled_from((*DRIVES, "t3")),
        kill=kills,
        rehash=st.booleans(),
        answer=st.sampled_from(["", "new_id", "same_drive"]),
    )
    def discover(self, drive: str, kill: int | None, rehash: bool, answer: str) -> None:
        said = {answer: True} if answer else {}
        self.shelf.do(
            lambda session: discover(session, self.at(drive), answers=Answers(yes=True, **said), rehash=rehash),
            looks_at=drive,
            reads=drive if rehash else "",
            kill=kill,
        )

    @rule(drive=drives, kill=kills)
    def verify_drive(self, drive: str, kill: int | None) -> None:
        self.shelf.do(lambda session: verify(session, self.at(drive)), looks_at=drive, reads=drive, kill=kill)

    @rule(source=sources, kill=kills)
    def verify_source(self, source: str, kill: int | None) -> None:
        recorded = self.shelf._wanted()
        done = self.shelf.do(lambda session: verify(session, self.at(source)), kill=kill)
        found = {event.path for event in done.of(DamageFound)}
        for path, was in self.shelf.rotten.items():
            if done and path.is_relative_to(self.shelf.where / source) and recorded.get(os.fsencode(path)) == {was}:
                assert os.fsencode(path) in found, f"rot in {path} was not found"

    @rule(place=st.sampled_from(SOURCES + DRIVES), kill=kills)
    def repair(self, place: str, kill: int | None) -> None:
        self.shelf.do(lambda session: repair(session, self.at(place)), looks_at=place, kill=kill)

    @rule(drive=drives, kill=kills, old=st.booleans(), surplus=st.booleans())
    def reclaim(self, drive: str, kill: int | None, old: bool, surplus: bool) -> None:
        self.shelf.do(
            lambda session: reclaim(session, os.fspath(self.shelf.where / drive), old=old, surplus=surplus),
            looks_at=drive,
            frees=drive,
            kill=kill,
        )

    @rule(
        drive=st.sampled_from((*DRIVES, "t3")),
        kill=kills,
        conflict=st.sampled_from(["skip", "rename", "overwrite"]),
        deleted=st.booleans(),
    )
    def restore(self, drive: str, kill: int | None, conflict: str, deleted: bool) -> None:
        self.shelf.date += 1000
        self.shelf.do(
            lambda session: restore(session, os.fspath(self.shelf.where / drive), conflict=conflict, deleted=deleted),
            kill=kill,
        )

    @rule(number=numbers, state=st.sampled_from(STATES))
    def set_state(self, number: int, state: model.TargetState) -> None:
        with self.shelf.open() as session:
            targets = list_targets(session)
            if targets:
                set_target(session, targets[number % len(targets)].id, state=state)

    @rule(drive=drives, what=st.sampled_from(["update", "target", "discover", "verify"]))
    def run_twice(self, drive: str, what: str) -> None:
        steps: dict[str, Step] = {
            "update": lambda session: update(session),
            "target": lambda session: back_up(session, self.at(drive), answers=Answers(yes=True)),
            "discover": lambda session: discover(session, self.at(drive), answers=Answers(yes=True)),
            "verify": lambda session: verify(session, self.at(drive)),
        }
        self.shelf.date += 1000
        looks_at = drive if what != "update" else ""
        self.shelf.twice(steps[what], looks_at=looks_at, reads=drive if what == "verify" else "")

    # --- disasters ---------------------------------------------------------------------------------------------------

    @rule(keep_list=st.booleans())
    def lose_the_session(self, keep_list: bool) -> None:
        """Everything comes back from the sidecars, nothing is hashed."""
        shelf = self.shelf
        if not shelf.db.exists():
            return
        settled = self.is_settled()
        before = shelf.known()
        if not settled:
            shelf.excused |= {identity(path.read_bytes()) for path in shelf.rotten if path.exists()}
        if keep_list:
            shelf.db.unlink()
            for path in shelf.where.glob("session.db-*"):
                path.unlink()
            shelf.do(lambda session: rebuild(session))
        else:
            shelf.lose_db()
            for alias in before.wanted:
                shelf.do(lambda session, alias=alias: add_source(session, self.at(alias)))
        if settled:
            assert shelf.known() == before

    def is_settled(self) -> bool:
        """Whether the sidecars tell all there is to know: an update of every source that had nothing to refuse."""
        with self.shelf.open() as session:
            known = len(list_sources(session))
        done = self.shelf.do(lambda session: update(session))
        return known > 0 and len(done.of(ScanSummary)) == known and not self.shelf.torn

    @precondition(lambda self: self.shelf.db.exists())
    @rule()
    def fire_drill(self) -> None:
        """If the machine died now: with the context and the drives at hand all comes back that lies whole on them. What
        a drive remembers of a source that the context does not know (its metadata and the session were lost, and it
        was added again) comes back beside it, under a name of its own."""
        shelf = self.shelf
        drill = self.base / "drill"
        shutil.rmtree(drill, ignore_errors=True)
        drill.mkdir()
        with shelf.open() as session:
            run_context = write_restore(session, os.fsencode(drill / "context.xml"))
            known = {os.fsencode(source.alias) for source in list_sources(session)}
        if not run_context.files:
            return
        wanted = {path: next(iter(w)) for path, w in self._expected().items()}
        on_drives = {what: (name, path) for name in shelf.plugged() for path, what in shelf.files(name).items()}
        with open_session(drill / "db") as session:
            run(add_restore_context(session, os.fsencode(drill / "context.xml")))
        for name in shelf.plugged():
            before = shelf.files(name, damaged=True)
            with open_session(drill / "db") as session:
                run(restore(session, os.fspath(shelf.where / name), to=os.fsencode(drill / "back")))
            assert shelf.files(name, damaged=True) == before
        back = {}
        for path in (drill / "back").rglob("*") if (drill / "back").exists() else ():
            if path.is_file() and not path.name.startswith((".medback", "medback-")):
                back[os.fsencode(path.relative_to(drill / "back"))] = identity(path.read_bytes())
        for path, content in wanted.items():
            if content in on_drives:
                assert back.get(path) == content, f"{path} did not come back from {on_drives[content]}"
        assert all(wanted.get(path) == content for path, content in back.items() if path.split(b"/")[0] in known)

    def _expected(self) -> dict[bytes, set[model.Identity]]:
        """alias/path -> content, of what the last scan saw."""
        with self.shelf.open() as session:
            return {
                os.path.join(os.fsencode(source.alias), row.path): {row.content}
                for source in list_sources(session)
                for row in wanted_files(session, source.key)
                if row.content is not None
            }


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_a_life_with_drives(campaign: Callable[[str], Row]) -> None:
    row = campaign("operations in random lives with drives")
    LifeWithDrives.operations = 0
    run_state_machine_as_test(
        LifeWithDrives,
        settings=settings(
            max_examples=300 if FULL else 5,
            stateful_step_count=50 if FULL else 20,
            deadline=None,
            derandomize=not FULL,
            database=None,
            suppress_health_check=[check for check in HealthCheck if isinstance(check, HealthCheck)],
            print_blob=True,
            phases=(Phase.generate, Phase.shrink),
        ),
    )
    row.tries = LifeWithDrives.operations
