"""A key that can't do anything says why, notices cover nothing, a preview can be cancelled, one Enter is one restore."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from medback_core.model import Progress
from medback_tui.app import MedbackApp
from medback_tui.jobs.queue import Job, JobState
from medback_tui.reading.drives import Drives
from medback_tui.screens import previewing
from medback_tui.screens.restore import RestoreScreen
from support import picture_sessions as worlds
from support.waiting import press, settle, text_of, until

pytestmark = pytest.mark.usefixtures("fixed_clock")
OpenApp = Callable[..., MedbackApp]


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ("1,u", "there is no source yet: a adds the first one"),
        ("1,A", "there is no source yet: a adds the first one"),
        ("2,b", "no drive is a target yet: n chooses the first one"),
        ("3,f", "there is no source yet: 1, then a"),
        ("3,slash", "there is no source yet: 1, then a"),
        ("4,e", "no source is known yet: i loads a restore context"),
        ("4,c", "no restore has met a conflict"),
        ("1,X", "no job is running"),
        ("1,y", "no job has run yet"),
    ],
)
async def test_in_an_empty_session_a_key_without_use_says_why(open_app: OpenApp, keys: str, says: str):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *keys.split(","))
        assert says in text_of(pilot)


async def test_before_the_drives_were_looked_at_no_key_says_that_they_remember_nothing(open_app: OpenApp):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for looked, says in (
            (False, "still looking at the drives that are plugged in"),
            (True, "no drive that is plugged in remembers files this session does not know"),
        ):
            app.drives = Drives(looked=looked)
            for key in ("a", "N"):
                app.clear_notices()
                await press(pilot, "4", key)
                await until(pilot, lambda: says in text_of(pilot), says)  # noqa: B023


async def test_a_key_says_why_by_the_changed_keymap_too(open_app: OpenApp):
    from medback_core.settings.preferences import Preferences

    app = MedbackApp(open_app().session_path, watch=False, preferences=Preferences(keys={"sources.update": "z,Z"}))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "Z")
        assert "there is no source yet" in text_of(pilot)


async def test_keys_of_a_full_session_say_why(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "A")
        assert "no update of photos was refused: there is nothing to accept" in text_of(pilot)
        await press(pilot, "3", "enter", "m", "f")
        assert "the map shows all of a directory, by size; m shows the list again" in text_of(pilot)
        await press(pilot, "m", "enter", "enter", "enter", "enter")
        assert "this is a file" in text_of(pilot)


async def test_a_notice_has_lines_of_its_own_and_goes(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clock_of_notices: list[float]
):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        before = [line for line in text_of(pilot).splitlines() if line.strip()]
        alarms: list[tuple[float, Callable[[], object]]] = []
        monkeypatch.setattr(app, "set_timer", lambda *alarm: alarms.append(alarm))
        app.notify("the tide is [b]high[/b]", timeout=3)
        await until(pilot, lambda: "the tide is [b]high[/b]" in text_of(pilot), "it is said")
        shown = text_of(pilot).splitlines()
        assert all(line in shown for line in before)
        ((seconds, ring),) = alarms
        clock_of_notices[0] += seconds
        ring()
        await until(pilot, lambda: "the tide" not in text_of(pilot), "it goes")
        assert 3 <= seconds < 4


async def test_a_notice_covers_nothing_of_a_dialog(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "s")
        box = re.findall("[│╭╰].*[│╮╯]", text_of(pilot))  # what stands beside it is of the screen below
        assert len(box) > 10
        app.notify("a drive came")
        await until(pilot, lambda: "a drive came" in text_of(pilot), "it is said")
        assert re.findall("[│╭╰].*[│╮╯]", text_of(pilot)) == box


async def test_esc_cancels_a_preview_that_is_still_being_made(
    open_app: OpenApp, tmp_path: Path, script: Callable[..., object]
):
    found: list[Job] = []
    for screen in ("2", "3", "4"):
        app = open_app(worlds.small(tmp_path / f"{screen}.db"))
        run = script([Progress("scanning", 5, files_total=50)])
        async with app.run_test(size=(80, 24)) as pilot:
            await settle(pilot)
            await press(pilot, screen)
            job = Job("preview of Blue", "medback target /x --dry-run", run, quiet=True)  # type: ignore[arg-type]
            previewing.preview(app, job, found.append)
            await until(pilot, lambda: job.state is JobState.RUNNING, "it runs")  # noqa: B023
            await until(pilot, lambda: "esc cancel" in text_of(pilot), "the bar says how")
            await pilot.press("escape")
            await until(pilot, lambda: job.state is JobState.STOPPED, "it is stopped")  # noqa: B023
            assert "cancelled" in text_of(pilot)
    assert found == []


async def test_the_same_job_is_queued_once(open_app: OpenApp, tmp_path: Path, script: Callable[..., object]):
    app = open_app(worlds.small(tmp_path / "s.db"))
    run = script([Progress("scanning", 5, files_total=50)])
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        first = app.submit(Job("update photos", "medback update photos", run))  # type: ignore[arg-type]
        again = app.submit(Job("update photos", "medback update photos", run))  # type: ignore[arg-type]
        assert again is first and len(app.queue.jobs) == 1
        await until(pilot, lambda: "under way already" in text_of(pilot), "it says so")
        await until(pilot, lambda: "10 %" in text_of(pilot), "a scan says how far it is")


def test_progress_knows_how_much_is_done():
    assert Progress("scanning", 5, 10**9, files_total=50).fraction == 0.1
    assert Progress("copying", 1, 30, 100, 40).fraction == 0.75
    assert Progress("copying", 1, 80, 100, 40).fraction == 1.0
    assert Progress("looking", 5).fraction is None


def test_time_left_is_told_where_only_the_number_of_files_is_known(monkeypatch: pytest.MonkeyPatch):
    from medback_tui.jobs import queue as jobs

    clock = iter([100.0, 102.0])
    monkeypatch.setattr(jobs, "monotonic", lambda: next(clock))
    job = Job("update", "medback update", lambda session: iter(()))
    job.take(Progress("scanning", 10, files_total=50))
    assert job.seconds_left is None
    job.take(Progress("scanning", 20, files_total=50))
    assert job.seconds_left == pytest.approx(6.0)


async def test_a_drive_just_restored_from_waits_for_the_new_plan_and_another_does_not(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        app.drives = Drives({row.target.id: b"/nowhere/%d" % row.target.key for row in app.facts.targets})
        await press(pilot, "4")
        screen = app.screen
        assert isinstance(screen, RestoreScreen) and screen.plan is not None and not screen.plan.imagined
        monkeypatch.setattr(screen, "make_plan", lambda request: None)  # the new plan takes its time
        for number, key in enumerate(("enter", "enter", "j"), start=1):
            await press(pilot, key)
            await until(pilot, lambda: not app.queue.busy)
            assert len(app.queue.jobs) == 1, number
        assert "still looking at what is missing now" in text_of(pilot)
        await press(pilot, "enter")
        assert len(app.queue.jobs) == 2


async def test_enter_is_heard_while_it_is_still_looked_at_what_is_missing(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The list then is that of what it would take if all was lost."""
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        app.drives = Drives({row.target.id: b"/nowhere/%d" % row.target.key for row in app.facts.targets})
        await press(pilot, "4")
        screen = app.screen
        assert isinstance(screen, RestoreScreen) and screen.plan is not None
        monkeypatch.setattr(screen, "make_plan", lambda request: None)  # the look takes its time
        for looking, words in ((False, "there is nothing to bring back now"), (True, ": Enter restores from it")):
            screen.plan_made(replace(screen.plan, imagined=True, looking=looking))
            await settle(pilot)
            assert words in text_of(pilot)
            await press(pilot, "enter")
            await until(pilot, lambda: not app.queue.busy)
            assert len(app.queue.jobs) == looking
