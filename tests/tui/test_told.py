"""The app on a new machine: the drive that is plugged in tells what it remembers, and all comes back by keys."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from medback_core import disk
from medback_core.backing_up.discover import discover
from medback_core.disk import Mount
from medback_core.drives.story import Story
from medback_core.session import open_session
from medback_core.session.sources import list_sources
from medback_core.sidecar.target_identity import Remembered
from medback_tui.app import MedbackApp
from medback_tui.jobs.queue import JobState
from medback_tui.reading.drives import Drives
from medback_tui.screens.dialogs import Question
from medback_tui.screens.pick import PickDirectory
from medback_tui.screens.restore import SLOW, RestoreScreen
from support.waiting import jobs_done, press, settle, text_of, until
from support.worlds import add, back, run, tree, write_tree

OpenApp = Callable[..., MedbackApp]


@pytest.fixture
def blue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drive of a machine that is gone, mounted here."""
    write_tree(tmp_path / "photos", {"a.jpg": 5000, "sub/b.jpg": 70_000})
    with open_session(tmp_path / "old.db") as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
    (tmp_path / "photos").rename(tmp_path / "as it was")
    drive = os.fsencode(tmp_path / "blue")
    monkeypatch.setattr(
        disk, "removable_mounts", lambda: [Mount(drive, "/dev/sdx1", "ext4", True, False, 10**9, 10**9)]
    )
    return tmp_path / "blue"


async def offered(pilot: Pilot[int], app: MedbackApp) -> None:
    await until(pilot, lambda: bool(app.drives.offers), "the drive tells what it remembers")
    await settle(pilot)


async def planned(pilot: Pilot[int], app: MedbackApp) -> None:
    """The plan with what the drive offers is on the screen."""
    await offered(pilot, app)
    await press(pilot, "4", "a")
    await until(pilot, lambda: "missing" in text_of(pilot), "the plan")


def test_reading_a_drive_happens_in_no_thread_of_the_screen(blue: Path, monkeypatch: pytest.MonkeyPatch):
    """The watch asks for stories; the event loop never does."""
    from medback_core.drives import story

    asked: list[str] = []
    real = story.story_at
    monkeypatch.setattr(story, "story_at", lambda path: asked.append(threading.current_thread().name) or real(path))

    async def look() -> None:
        app = MedbackApp(blue.parent / "s.db", watch=True)
        async with app.run_test(size=(100, 30)) as pilot:
            await planned(pilot, app)

    import asyncio

    asyncio.run(look())
    assert asked and threading.main_thread().name not in asked


async def test_all_comes_back_by_keys_on_a_new_machine(open_app: OpenApp, blue: Path, tmp_path: Path):
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(120, 30)) as pilot:
        await offered(pilot, app)
        assert any("blue remembers 1 source, 2 files" in line.words for line in app.log_lines)
        await press(pilot, "4")
        shown = text_of(pilot)
        assert "Nothing to restore is known" not in shown
        assert "blue remembers 1 source, 2 files" in shown and "plan to bring it back" in shown
        await press(pilot, "a")
        await until(pilot, lambda: "2 files (73.2 KiB) missing" in text_of(pilot), "the plan")
        assert not (tmp_path / "s.db").exists(), "nothing is made before the first change"
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        shown = text_of(pilot)
        assert "These were never on this machine" in shown and "2 files" in shown
        assert not (tmp_path / "photos").exists()
        await press(pilot, "escape")
        assert not (tmp_path / "photos").exists()
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question again")
        await pilot.click("#answer-place")
        await jobs_done(pilot)
        assert app.queue.jobs[-1].state is JobState.DONE and "--in-place" in app.queue.jobs[-1].command
        assert tree(tmp_path / "photos") == tree(tmp_path / "as it was")
        assert "All 2 files known as of " in text_of(pilot)


async def test_elsewhere_is_an_answer_too(open_app: OpenApp, blue: Path, tmp_path: Path):
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(120, 30)) as pilot:
        await planned(pilot, app)
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        await pilot.click("#answer-other")
        await until(pilot, lambda: isinstance(app.screen, PickDirectory), "the picker")
        await settle(pilot)
        await pilot.press("slash")
        app.screen.query_one(Input).value = str(tmp_path / "out")
        await press(pilot, "enter")
        await jobs_done(pilot)
        assert tree(tmp_path / "out/photos") == tree(tmp_path / "as it was")


async def test_what_is_not_wanted_is_not_offered_again(open_app: OpenApp, blue: Path, tmp_path: Path):
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(120, 30)) as pilot:
        await offered(pilot, app)
        await press(pilot, "4", "N")
        await jobs_done(pilot)
        await until(pilot, lambda: not app.drives.offers, "it is offered no more")
        await settle(pilot)
        assert "blue remembers 1 source" not in text_of(pilot)
    with open_session(tmp_path / "s.db") as session:
        assert not list_sources(session)


async def test_beside_sources_of_ones_own_it_is_a_line_and_enters_nothing(
    open_app: OpenApp, blue: Path, tmp_path: Path
):
    write_tree(tmp_path / "mine", {"x": 10})
    with open_session(tmp_path / "s.db") as session:
        add(session, tmp_path / "mine")
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(140, 30)) as pilot:
        await offered(pilot, app)
        await press(pilot, "4")
        assert "a: bring it back   N: not wanted" in text_of(pilot)
        await press(pilot, "a")
        await until(pilot, lambda: "2 files (73.2 KiB) missing" in text_of(pilot), "the plan")
        assert app.facts is not None and [row.source.alias for row in app.facts.sources] == ["mine"]


async def test_several_drives_that_remember_are_told_in_one_sentence(open_app: OpenApp):
    app = open_app()
    told = (Remembered("s0urce", "photos", 2, 7, 0, 0, ""),)
    stories = tuple(Story(f"/{label}".encode(), label, label, told, (), label) for label in ("Red", "Blue"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.call_later(app.drives_seen, Drives(offers=stories))
        await until(pilot, lambda: "2 drives that are here remember files" in text_of(pilot), "one notice")
        assert len(app.notices) == 1 and len(app.log_lines) == 2


@pytest.fixture
def two_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[bytes]]:
    """Blue and Red of a machine that is gone: what is mounted here is in the list that is returned."""

    def make(copies: int) -> list[bytes]:
        write_tree(tmp_path / "photos", {"a.jpg": 5000, "sub/b.jpg": 70_000})
        with open_session(tmp_path / "old.db") as session:
            add(session, tmp_path / "photos", copies=copies)
            back(session, tmp_path / "blue")
            back(session, tmp_path / "red", fill=copies > 1)
        (tmp_path / "photos").rename(tmp_path / "as it was")
        mounted = [os.fsencode(tmp_path / "red")]
        mounts = lambda: [Mount(drive, "/dev/sdx1", "ext4", True, False, 10**9, 10**9) for drive in mounted]
        monkeypatch.setattr(disk, "removable_mounts", mounts)
        return mounted

    return make


def drives_of(pilot: Pilot[int]) -> list[str]:
    return [line for line in text_of(pilot).splitlines() if " active " in line]


async def test_of_two_drives_that_hold_all_the_one_that_is_here_is_restored_from(
    open_app: OpenApp, tmp_path: Path, two_drives: Callable[..., list[bytes]]
):
    two_drives(copies=2)
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(120, 30)) as pilot:
        await planned(pilot, app)
        await settle(pilot)
        (drive,) = drives_of(pilot)
        assert "red" in drive and "▶ here" in drive
        await press(pilot, "enter")
        await until(pilot, lambda: isinstance(app.screen, Question), "the question")
        assert "✘" not in text_of(pilot), "what waits for an answer did not fail"
        await pilot.click("#answer-place")
        await jobs_done(pilot)
        assert tree(tmp_path / "photos") == tree(tmp_path / "as it was")


async def restored_in_place(pilot: Pilot[int], tmp_path: Path) -> None:
    """Enter on the drive under the cursor, and the answer, bring everything back."""
    await press(pilot, "enter")
    await until(pilot, lambda: isinstance(pilot.app.screen, Question), "the question")
    await pilot.click("#answer-place")
    await jobs_done(pilot)
    assert tree(tmp_path / "photos") == tree(tmp_path / "as it was")


async def test_a_drive_the_plan_knows_by_another_lights_up_when_it_comes(
    open_app: OpenApp, tmp_path: Path, two_drives: Callable[..., list[bytes]]
):
    mounted = two_drives(copies=1)  # red has nothing, and knows of blue
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(120, 30)) as pilot:
        await planned(pilot, app)
        await press(pilot, "enter")
        assert "blue is not plugged in yet; the line lights up when it is" in text_of(pilot)
        mounted.append(os.fsencode(tmp_path / "blue"))
        await until(pilot, lambda: any("blue" in one and "▶ here" in one for one in drives_of(pilot)), "it lights up")
        await restored_in_place(pilot, tmp_path)


async def test_a_plan_made_before_this_machine_knew_the_drives_restores_from_the_drive_it_names(
    open_app: OpenApp, tmp_path: Path, two_drives: Callable[..., list[bytes]]
):
    """The plan lies in a copy of the session, and a drive has another row there."""
    two_drives(copies=1).append(os.fsencode(tmp_path / "blue"))  # all of it lies on blue
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(120, 30)) as pilot:
        await planned(pilot, app)
        screen = app.screen
        assert isinstance(screen, RestoreScreen) and "blue" in drives_of(pilot)[0]
        screen.seconds = 10 * SLOW  # it took long: it is made again when asked for
        with open_session(tmp_path / "s.db") as session:
            run(discover(session, os.fsencode(tmp_path / "red")))
        await until(pilot, lambda: app.facts is not None and bool(app.facts.targets), "red is known")
        await until(pilot, lambda: os.fsencode(tmp_path / "red") in app.drives.here.values(), "it is here")
        await settle(pilot)
        assert "looks again" in text_of(pilot), "the plan of before"
        assert screen.path_here == os.fsencode(tmp_path / "blue")
        await restored_in_place(pilot, tmp_path)


async def test_a_drive_that_can_not_be_had_stays_in_the_list_of_a_machine_that_knows_no_drive(
    open_app: OpenApp, tmp_path: Path, two_drives: Callable[..., list[bytes]]
):
    two_drives(copies=2)
    app = open_app(tmp_path / "s.db", watch=True)
    async with app.run_test(size=(120, 30)) as pilot:
        await planned(pilot, app)
        await settle(pilot)
        assert "red" in drives_of(pilot)[0]
        await press(pilot, "x")
        await until(pilot, lambda: "left out" in text_of(pilot), "it is left out")
        await settle(pilot)
        assert "blue" in drives_of(pilot)[0] and "red" in drives_of(pilot)[1]
        await press(pilot, "j", "x")
        await until(pilot, lambda: "left out" not in text_of(pilot), "it is taken in again")
        await settle(pilot)
        assert ["red" in line for line in drives_of(pilot)] == [True]
