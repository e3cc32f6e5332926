"""The app over the real core: add, back up on two drives, lose one, plan, restore, compare."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from medback_core.model import Answers, TargetState
from medback_tui.jobs import operations
from medback_tui.app import MedbackApp
from medback_tui.jobs.queue import JobState
from medback_tui.screens.coverage import CoverageScreen
from medback_tui.screens.dialogs import Question
from medback_tui.screens.make_target import MakeTarget
from medback_tui.screens.pick import PickDirectory
from medback_tui.screens.pick_target import PickTarget
from medback_tui.screens.restore import RestoreScreen
from medback_tui.screens.targets import TargetsScreen
from support.collision import ONE, TWO
from support.worlds import write_tree, tree
from support.waiting import jobs_done, press, settle, text_of, until

OpenApp = Callable[..., MedbackApp]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A source with directories, a doubled content and an empty file."""
    root = tmp_path / "photos"
    for number in range(12):
        file = root / f"20{number % 3:02d}" / "trip" / f"IMG_{number:04d}.CR2"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(20_000 + number))
    (root / "copy.CR2").write_bytes((root / "2000" / "trip" / "IMG_0000.CR2").read_bytes())
    (root / "empty").touch()
    return root


@pytest.fixture
def drives(tmp_path: Path) -> tuple[Path, Path]:
    """Two empty directories to back up onto."""
    blue, red = tmp_path / "blue", tmp_path / "red"
    blue.mkdir()
    red.mkdir()
    return blue, red


async def type_path(pilot: Pilot[int], path: Path) -> None:
    """In a directory picker: type a path and take it."""
    await until(pilot, lambda: isinstance(pilot.app.screen, PickDirectory), "the picker opens")
    await settle(pilot)
    await pilot.press("slash")
    pilot.app.screen.query_one(Input).value = str(path)
    await press(pilot, "enter")


async def two_copies(pilot: Pilot[int], app: MedbackApp, photos: Path, drives: tuple[Path, Path]) -> None:
    """Add a source and back it up onto both drives."""
    await settle(pilot)
    app.submit(operations.add_source(os.fsencode(photos)))
    for drive in drives:
        app.submit(operations.back_up(os.fsencode(drive), drive.name, answers=Answers(create=True), label=drive.name))
    await jobs_done(pilot)
    assert [job.state for job in app.queue.jobs] == [JobState.DONE] * 3, [
        job.crash or job.error for job in app.queue.jobs
    ]


async def see_drives(pilot: Pilot[int], app: MedbackApp) -> None:
    """What the watch would have told."""
    from medback_tui.reading.drives import DriveWatch

    assert app.facts is not None
    app.call_later(app.drives_seen, DriveWatch().look([row.target for row in app.facts.targets]))
    await settle(pilot)


async def test_a_source_is_added_with_the_picker(open_app: OpenApp, photos: Path, tmp_path: Path):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert not (tmp_path / "s.db").exists(), "nothing is made before the first change"
        await pilot.press("a")
        await type_path(pilot, photos)
        await jobs_done(pilot)
        await press(pilot, "escape")  # the second question of a first start
        assert "photos" in text_of(pilot)
        assert app.facts is not None
        assert app.facts.shares.none.files == 14
        assert "14 added" in text_of(pilot)


async def test_a_new_drive_is_a_step_of_its_own(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(os.fsencode(photos)))
        await jobs_done(pilot)
        await pilot.press("2", "n")
        await until(pilot, lambda: isinstance(app.screen, PickTarget))
        await pilot.press("G", "enter")
        await type_path(pilot, drives[0])
        await until(pilot, lambda: isinstance(app.screen, MakeTarget), "it asks before it makes a target")
        await until(
            pilot, lambda: "free" in text_of(pilot) and "mounted at" in text_of(pilot), "it says what the drive is"
        )
        assert not (drives[0] / ".medback-target.xml").exists()
        assert "it would take 13 files" in text_of(pilot)  # contents: the doubled one goes once
        assert "would still need another drive" in text_of(pilot)
        assert not list(drives[0].iterdir())
        app.screen.query_one("#label", Input).value = "Blue"
        await pilot.press("enter", "enter", "enter")
        await jobs_done(pilot)
        assert (drives[0] / "photos" / "copy.CR2").exists() or (drives[0] / "photos" / "2000").exists()
        assert "Blue" in text_of(pilot)


async def test_coverage_follows_each_backup(open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(os.fsencode(photos)))
        await jobs_done(pilot)
        await press(pilot, "3")
        assert "○ photos/" in text_of(pilot)
        app.submit(operations.back_up(os.fsencode(drives[0]), "blue", answers=Answers(create=True), label="blue"))
        await jobs_done(pilot)
        assert "◐ photos/" in text_of(pilot)
        app.submit(operations.back_up(os.fsencode(drives[1]), "red", answers=Answers(create=True), label="red"))
        await jobs_done(pilot)
        assert "● photos/" in text_of(pilot)
        assert "all safe" in text_of(pilot)


async def test_a_known_drive_is_previewed_then_copied_onto(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        (photos / "later.txt").write_text("written after the backup, and not scanned")
        await see_drives(pilot, app)
        await pilot.press("2", "b")
        await until(pilot, lambda: "still needs another drive" in text_of(pilot), "the preview, drawn")
        assert "1 file" in text_of(pilot)
        await pilot.press("enter")
        await jobs_done(pilot)
        assert (drives[0] / "photos" / "later.txt").exists()
        await pilot.press("j", "b")
        await until(
            pilot, lambda: "everything then has its wanted copies" in text_of(pilot), "the second preview, drawn"
        )


async def test_what_was_not_read_is_in_the_header_and_in_a_list(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    (photos / "old drive" / ".medback-old").mkdir(parents=True)
    write_tree(photos, {"pair/one": ONE, "pair/two": TWO})
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(140, 30)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await pilot.press("1")
        await until(pilot, lambda: "except 2 places medback did not read" in text_of(pilot), "the header")
        assert "all safe" not in text_of(pilot)
        assert "2 not read" in text_of(pilot)
        await pilot.press("g")
        await until(pilot, lambda: isinstance(app.screen, Question), "the list")
        assert "old drive/.medback-old" in text_of(pilot)
        assert "a twin of photos/pair/" in text_of(pilot)


async def test_what_if_shows_the_tree_without_a_drive(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await pilot.press("2", "w")
        await until(pilot, lambda: isinstance(app.screen, CoverageScreen))
        await settle(pilot)
        assert "If blue died" in text_of(pilot)
        assert "◐ photos/" in text_of(pilot)
        await press(pilot, "escape")
        assert "● photos/" in text_of(pilot)


async def test_losing_a_drive_then_everything_and_getting_it_back(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    original = tree(photos)
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        shutil.rmtree(drives[0])
        await pilot.press("2", "s")
        await until(pilot, lambda: isinstance(app.screen, Question))
        app.screen.query_one("#answer-lost", Button).press()
        await jobs_done(pilot)
        assert app.facts is not None
        assert app.facts.targets[0].target.state is TargetState.LOST
        assert "not safe" in text_of(pilot)

        for entry in photos.iterdir():
            if not entry.name.startswith((".medback", "medback-")):
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        await see_drives(pilot, app)
        await pilot.press("4")
        screen = app.screen
        assert isinstance(screen, RestoreScreen)
        await until(pilot, lambda: screen.plan is not None and not screen.plan.imagined, "it sees that all is missing")
        await settle(pilot)
        assert "14 files" in text_of(pilot)
        assert "red" in text_of(pilot)
        assert "▶ here" in text_of(pilot)
        await pilot.press("enter")
        await jobs_done(pilot)
        await until(pilot, lambda: screen.plan is not None and screen.plan.imagined and not screen.plan.looking)
        assert "Nothing is missing" in text_of(pilot)
    assert tree(photos) == original


async def test_restoring_elsewhere_touches_nothing_in_place(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await see_drives(pilot, app)
        await pilot.press("4", "t")
        await until(pilot, lambda: isinstance(app.screen, Question))
        app.screen.query_one("#answer-other", Button).press()
        await type_path(pilot, elsewhere)
        await settle(pilot)
        screen = app.screen
        assert isinstance(screen, RestoreScreen)
        await until(pilot, lambda: screen.plan is not None and not screen.plan.imagined)
        await pilot.press("enter")
        await jobs_done(pilot)
    assert tree(elsewhere / "photos") == tree(photos)


async def test_a_conflict_is_decided_by_keeping_both(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(100, 30)) as pilot:
        await two_copies(pilot, app, photos, drives)
        (photos / "copy.CR2").write_text("something else stands here now")
        await see_drives(pilot, app)
        await pilot.press("4")
        screen = app.screen
        assert isinstance(screen, RestoreScreen)
        await pilot.press("f5")
        await until(pilot, lambda: screen.plan is not None and screen.plan.differing == 1)
        await settle(pilot)
        assert "1 file differs" in text_of(pilot)
        await pilot.press("enter")
        await jobs_done(pilot)
        assert len(screen.conflicts) == 1, [job.summary for job in app.queue.jobs]
        await press(pilot, "c")
        assert "there now" in text_of(pilot)
        await pilot.press("r")
        await jobs_done(pilot)
        assert (photos / "copy.CR2").read_text() == "something else stands here now"
        both = [path.name for path in photos.iterdir() if path.name.startswith("copy")]
        assert len(both) == 2, both


async def test_conflicts_show_both_sides_and_are_decided_all_at_once(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    original = tree(photos)
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(120, 30)) as pilot:
        await two_copies(pilot, app, photos, drives)
        for name in ("IMG_0000.CR2", "IMG_0003.CR2"):
            (photos / "2000" / "trip" / name).write_bytes(b"mine")
        await see_drives(pilot, app)
        await pilot.press("4", "f5")
        screen = app.screen
        assert isinstance(screen, RestoreScreen)
        await until(pilot, lambda: screen.plan is not None and screen.plan.differing == 2)
        await pilot.press("enter")
        await jobs_done(pilot)
        await pilot.press("c")
        await until(pilot, lambda: hashlib.md5(b"mine").hexdigest() in text_of(pilot), "what is there is read")
        await pilot.press("O")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await settle(pilot)
        assert "Restore 2 files over what is there?" in text_of(pilot)
        assert app.screen.query_one("#answer-no", Button).has_focus
        jobs = len(app.queue.jobs)
        await pilot.press("right", "enter")
        await jobs_done(pilot)
        assert len(app.queue.jobs) == jobs + 1, "one restore for all of them"
    now = tree(photos)
    assert {path: now[path] for path in original} == original
    assert [content for content, _ in now.values()].count(b"mine") == 2, "what was there is kept beside it"


async def test_a_drive_that_can_not_be_had_is_planned_around(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await pilot.press("4")
        screen = app.screen
        assert isinstance(screen, RestoreScreen)
        await until(pilot, lambda: screen.plan is not None and not screen.plan.looking)
        assert screen.plan is not None
        first = screen.plan.summary.steps[0].target.label
        await pilot.press("x")
        await until(
            pilot, lambda: screen.plan is not None and bool(screen.plan.request.without) and not screen.plan.looking
        )
        assert screen.plan.summary.steps[0].target.label != first
        assert "left out" in text_of(pilot)


async def test_a_target_inside_a_source_is_refused_with_a_way_out(open_app: OpenApp, photos: Path, tmp_path: Path):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(os.fsencode(photos)))
        app.submit(operations.back_up(os.fsencode(photos / "2000"), "2000", answers=Answers(create=True), label="2000"))
        await jobs_done(pilot)
        assert app.queue.jobs[-1].state is JobState.REFUSED
        assert "Choose a directory that lies in no source" in text_of(pilot)
        assert not (photos / "2000" / ".medback-target.xml").exists()


async def test_a_lost_session_is_built_again_from_the_sidecars(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
    for file in tmp_path.glob("s.db*"):
        if file.name != "s.db.sources":
            file.unlink()
    again = open_app(tmp_path / "s.db")
    async with again.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(again.screen, Question), "it offers to build the session again")
        await until(pilot, lambda: "A list beside it names 1 source" in text_of(pilot), "the question is painted")
        await pilot.press("enter")
        await jobs_done(pilot)
        assert again.queue.jobs[-1].state is JobState.DONE, again.queue.jobs[-1].crash or again.queue.jobs[-1].error
        assert again.facts is not None
        assert again.facts.shares.total.files == 14
        assert again.facts.shares.unsafe.files == 0
        assert {row.target.label for row in again.facts.targets} == {"blue", "red"}


async def test_labels_and_wanted_copies_are_changed(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await pilot.press("1", "c")
        await settle(pilot)
        app.screen.query_one(Input).value = "3"
        await pilot.press("enter")
        await jobs_done(pilot)
        assert app.facts is not None
        assert app.facts.sources[0].source.wanted == 3
        assert app.facts.shares.below.files == 14
        await pilot.press("2", "l")
        await settle(pilot)
        app.screen.query_one("#label", Input).value = "Blue/Seagate"
        await pilot.press("ctrl+s")
        await settle(pilot)
        assert "contains a slash" in text_of(pilot)
        app.screen.query_one("#label", Input).value = "Blue [b]Seagate"
        await pilot.press("ctrl+s")
        await jobs_done(pilot)
        assert isinstance(app.screen, TargetsScreen)
        assert "Blue [b]Seag" in text_of(pilot)
