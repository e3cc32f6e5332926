"""Keeping copies good from the app: verify, repair, free room, prove; and changing what is set of a source."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot
from textual.widgets import Button, Input, TextArea

from medback_core import disk, model
from medback_core.session import open_session
from medback_tui.jobs import operations
from medback_tui.app import MedbackApp
from medback_tui.jobs.queue import JobState
from medback_tui.screens.dead_drives import DeadDrives
from medback_tui.screens.dialogs import Question
from medback_tui.screens.file_list import FileList
from medback_tui.screens.form import Form
from medback_tui.widgets.row_list import RowList
from made_up_shelf import DAY, NOW, add_target
from watching.test_watch import stick
from tui.test_behaviour import drives, photos, see_drives, two_copies
from support.worlds import rot
from support.waiting import jobs_done, press, settle, text_of, until

__all__ = ["drives", "photos", "stick"]

OpenApp = Callable[..., MedbackApp]


async def answer(pilot: Pilot[int], value: str) -> None:
    """Press the button of an answer once its question stands there."""
    await until(pilot, lambda: isinstance(pilot.app.screen, Question), f"the question answered by {value}")
    pilot.app.screen.query_one(f"#answer-{value}", Button).press()
    await settle(pilot)


async def test_a_damaged_copy_is_seen_everywhere_and_repaired(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await see_drives(pilot, app)
        (copy,) = (path for path in drives[0].rglob("IMG_0004.CR2"))
        whole = rot(copy)
        await pilot.press("2", "v")
        await answer(pilot, "all")
        await jobs_done(pilot)
        assert "1 damaged" in text_of(pilot)
        assert "✘ 1 bad" in text_of(pilot)
        assert "not safe" in text_of(pilot).splitlines()[0]
        assert app.facts is not None
        assert app.facts.shares.below.files == 1
        await pilot.press("p")
        await until(pilot, lambda: isinstance(app.screen, Question), "what can be repaired")
        assert "1 file can be repaired" in text_of(pilot)
        assert app.screen.query_one("#answer-no", Button).has_focus
        assert copy.read_bytes() != whole, "a preview changes nothing"
        assert not any("repaired" in line.words for line in app.log_lines), "and is not told as done"
        await answer(pilot, "yes")
        await jobs_done(pilot)
        assert copy.read_bytes() == whole
        assert "✘" not in text_of(pilot)
        assert app.facts.shares.below.files == 0


async def test_a_damaged_source_file_stands_in_the_header_and_is_repaired(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await see_drives(pilot, app)
        whole = rot(photos / "2001" / "trip" / "IMG_0001.CR2")
        await pilot.press("1", "v")
        await answer(pilot, "all")
        await jobs_done(pilot)
        assert "✘ 1 damaged" in text_of(pilot).splitlines()[0]
        await press(pilot, "3", "enter")
        below = text_of(pilot).splitlines()[2:]
        assert any("2001/" in line and "✘ 1 damaged" in line for line in below), "the directory above says so too"
        await pilot.press("1", "p")
        await answer(pilot, "yes")
        await jobs_done(pilot)
        assert (photos / "2001" / "trip" / "IMG_0001.CR2").read_bytes() == whole
        assert "damaged" not in text_of(pilot).splitlines()[0]


async def test_a_drive_is_ejected_and_who_keeps_it_open_is_named(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], stick: Path, tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(140, 24)) as pilot:
        await two_copies(pilot, app, photos, (stick, drives[1]))
        await see_drives(pilot, app)
        keeper = subprocess.Popen(
            ["sh", "-c", "echo; read x"], cwd=stick, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert keeper.stdout is not None
        keeper.stdout.readline()  # it is there, with its working directory
        await pilot.press("2")
        await press(pilot, "E")
        await jobs_done(pilot)
        assert f"sh ({keeper.pid})" in text_of(pilot)
        assert os.path.ismount(stick)
        keeper.communicate(b"x\n")
        await press(pilot, "E")
        await jobs_done(pilot)
        assert "eject stick: unmounted: take it out" in text_of(pilot)
        assert not os.path.ismount(stick)


async def test_a_locked_drive_is_here_and_locked_and_a_failing_one_says_since_when(
    open_app: OpenApp, tmp_path: Path, monkeypatch
):
    with open_session(tmp_path / "s.db") as session:
        add_target(session, "l0cked", "Blue", luks="0f6a")
        add_target(session, "f41l1ng", "Red", health="failing", health_at=NOW - 3 * DAY)
    monkeypatch.setattr(disk, "locked_containers", lambda: [disk.Locked("0f6a", "/dev/sdb1")])
    monkeypatch.setattr(model, "now", lambda: NOW)
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(140, 24)) as pilot:
        await settle(pilot)
        await pilot.press("2")
        await see_drives(pilot, app)
        assert "▷ locked" in text_of(pilot)
        assert "here, locked (/dev/sdb1): unlock it first" in text_of(pilot)
        await press(pilot, "b")
        assert app.queue.jobs == [], "there is nothing to back up onto"
        await press(pilot, "j")
        assert "its disk reported that it is failing 3 days ago" in text_of(pilot)
        assert "set it suspect (s)" in text_of(pilot)


async def test_a_part_can_be_verified(open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await see_drives(pilot, app)
        await pilot.press("2", "v")
        await answer(pilot, "some")
        app.screen.query_one(Input).value = "50K"
        await pilot.press("enter")
        await jobs_done(pilot)
        assert "not read yet" in text_of(pilot)
        assert app.queue.jobs[-1].command == f"medback verify {drives[0]} --max-bytes 51200"


async def test_room_is_freed_only_after_seeing_what_goes(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        (photos / "2001" / "trip" / "IMG_0001.CR2").write_bytes(b"edited")
        app.submit(operations.update())
        app.submit(operations.back_up(os.fsencode(drives[0]), "blue"))
        await jobs_done(pilot)
        await see_drives(pilot, app)
        before = sorted(drives[0].rglob("*.CR2"))
        await pilot.press("2", "R")
        await answer(pilot, "old")
        await until(pilot, lambda: "Free room on blue?" in text_of(pilot), "what would go")
        assert app.screen.query_one("#answer-no", Button).has_focus
        assert sorted(drives[0].rglob("*.CR2")) == before
        await answer(pilot, "yes")
        await jobs_done(pilot)
        assert app.queue.jobs[-1].state is JobState.DONE
        assert len(sorted(drives[0].rglob("*.CR2"))) < len(before)


async def test_the_app_says_which_second_drive_would_free_what_is_still_named(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(100, 30)) as pilot:
        await two_copies(pilot, app, photos, drives)
        assert app.facts is not None
        app.submit(operations.change_source(app.facts.sources[0].source, copies=1))
        await jobs_done(pilot)
        os.rename(drives[1], tmp_path / "in the drawer")
        await see_drives(pilot, app)
        await pilot.press("2", "R")
        await answer(pilot, "surplus")
        await until(pilot, lambda: "Nothing there can go" in text_of(pilot), "that nothing goes")
        assert "can go while another drive that holds them is here" in text_of(pilot)
        assert f"plug in {drives[1].name}" in text_of(pilot)


async def test_drives_on_one_disk_are_told_and_marked_together(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(140, 30)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await see_drives(pilot, app)
        await pilot.press("2")
        await until(pilot, lambda: "if that disk fails" in text_of(pilot), "the word on the drive")
        await pilot.press("3", "w")
        await until(pilot, lambda: isinstance(app.screen, DeadDrives), "the what-if")
        assert "are on one disk: they fail together" in text_of(pilot)
        await pilot.press("space")
        assert len(app.screen.query_one(RowList).marked) == 2


async def test_a_source_is_proved(open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await pilot.press("1", "P")
        await jobs_done(pilot)
        assert "in more than one place" in text_of(pilot)


async def test_a_source_that_moved_is_renamed_and_leaves_files_out(open_app: OpenApp, photos: Path, tmp_path: Path):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(os.fsencode(photos)))
        await jobs_done(pilot)
        moved = photos.rename(tmp_path / "moved")
        await pilot.press("f5", "e")
        await until(pilot, lambda: isinstance(app.screen, Form))
        app.screen.query_one("#alias", Input).value = "pictures"
        app.screen.query_one("#path", Input).value = str(moved)
        app.screen.query_one("#copies", Input).value = "many"
        app.screen.query_one("#excludes", TextArea).text = "*.tmp\n2001/\n"
        await press(pilot, "ctrl+s")
        assert "a number from 1 to 99" in text_of(pilot)
        app.screen.query_one("#copies", Input).value = "3"
        await pilot.press("ctrl+s")
        await jobs_done(pilot)
        assert app.facts is not None
        source = app.facts.sources[0].source
        assert (source.alias, source.path, source.wanted) == ("pictures", os.fsencode(moved), 3)
        assert source.excludes == ("*.tmp", "2001/")
        assert "--exclude '*.tmp'" in app.queue.jobs[-1].command
        await pilot.press("u")
        await jobs_done(pilot)
        assert app.facts.sources[0].shares.total.files == 10


async def test_what_is_not_restored_yet_is_listed(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        (photos / "2001" / "trip" / "IMG_0001.CR2").unlink()
        (photos / "copy.CR2").write_text("something else")
        await press(pilot, "4")
        await pilot.press("u")
        await until(pilot, lambda: isinstance(app.screen, FileList))
        await settle(pilot)
        shown = text_of(pilot)
        assert "12 of 14 files are there; missing 1 file" in shown
        assert "IMG_0001.CR2" in shown
        assert "differs" in shown
        assert "next: plug in" in shown


async def test_a_drive_that_comes_and_goes_is_noticed(
    open_app: OpenApp, photos: Path, drives: tuple[Path, Path], tmp_path: Path
):
    app = open_app(tmp_path / "s.db")
    away = tmp_path / "away"
    async with app.run_test(size=(80, 24)) as pilot:
        await two_copies(pilot, app, photos, drives)
        await see_drives(pilot, app)
        await press(pilot, "2")
        assert text_of(pilot).count("▶ here") == 2
        assert not [line for line in app.log_lines if "plugged in" in line.words], "it was just made: no news"
        drives[0].rename(away)
        await see_drives(pilot, app)
        assert text_of(pilot).count("▶ here") == 1
        await press(pilot, "b")
        assert app.queue.running is None
        away.rename(drives[0])
        await see_drives(pilot, app)
        assert text_of(pilot).count("▶ here") == 2
        words = [line.words for line in app.log_lines if line.about == "blue"]
        assert words == [f"gone from {drives[0]}", f"plugged in at {drives[0]}"]
