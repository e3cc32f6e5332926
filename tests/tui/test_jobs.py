"""The queue: one at a time, stopped between chunks, told how it ended, and never in the way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from medback_core import model
from medback_core.errors import Refused
from medback_core.model import BackupSummary, DamageFound, Event, FileDone, Progress, Reason, Target, VerifySummary
from medback_core.session import Session
from medback_core.upkeep.rebuild import rebuilt_session
from medback_core.session.sources import list_sources
from medback_tui.app import MedbackApp
from medback_tui.jobs.queue import Job, JobState
from made_up_shelf import add_source
from medback_tui.screens.dialogs import Question
from support import picture_sessions as worlds
from support.waiting import jobs_done, press, settle, text_of, until

OpenApp = Callable[..., MedbackApp]
STEP = Progress("copying", 1, 10, 2, 20, b"a")


def job(start: Callable, title: str = "target blue") -> Job:
    return Job(title, f"medback {title}", start)


async def test_jobs_run_one_at_a_time_in_order(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        first, second = script([STEP]), script([STEP], then_wait=False)
        one, two = app.submit(job(first, "target one")), app.submit(job(second, "target two"))
        await until(pilot, first.told.is_set)
        assert (one.state, two.state) == (JobState.RUNNING, JobState.WAITING)
        first.go_on.set()
        await jobs_done(pilot)
        assert (one.state, two.state) == (JobState.DONE, JobState.DONE)
        assert second.closed.is_set()


async def test_stopping_closes_the_operation_and_says_so(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        running = script([STEP])
        one = app.submit(job(running))
        await until(pilot, running.told.is_set)
        await pilot.press("X")
        await jobs_done(pilot)
        assert running.closed.is_set()
        assert one.state is JobState.STOPPED
        assert "stopped; what was done is kept" in text_of(pilot)


async def test_a_backup_that_is_stopped_makes_a_whole_of_what_it_has_begun(open_app: OpenApp):
    """Once: it ends by itself. Twice: it is cut off."""
    go_on, closed = threading.Event(), threading.Event()

    def start(_: Session) -> Iterator[Event]:
        yield STEP
        try:
            while not enough.is_set():
                go_on.wait(0.001)
                yield STEP
            yield FileDone("copied", b"a", 2)
            while not go_on.is_set():
                go_on.wait(0.001)
                yield replace(STEP, phase="making durable")
            yield BackupSummary(Target(1, "a" * 12, "blue"), 1, 2, remaining=9, stopped=True)
        finally:
            closed.set()

    app = open_app()
    async with app.run_test(size=(100, 24)) as pilot:
        await settle(pilot)
        enough = threading.Event()
        one = app.submit(replace(job(start), kind="target", enough=enough))
        await until(pilot, lambda: one.progress is not None)
        await pilot.press("X")
        await until(pilot, lambda: "what is copied whole is made safe first (making durable)" in text_of(pilot))
        assert "X stop at once" in text_of(pilot) and not closed.is_set()
        go_on.set()
        await jobs_done(pilot)
        assert one.state is JobState.STOPPED and "target blue: stopped; 1 file (2 B) copied and kept" in text_of(pilot)

        go_on.clear()
        closed.clear()
        enough = threading.Event()
        two = app.submit(replace(job(start), kind="target", enough=enough))
        await until(pilot, lambda: two.progress is not None)
        await pilot.press("X")
        # By then the file is told, too.
        await until(pilot, lambda: "what is copied whole is made safe first (making durable)" in text_of(pilot))
        await pilot.press("X")
        await jobs_done(pilot)
        assert closed.is_set() and two.state is JobState.STOPPED
        assert "stopped; 1 file copied and kept; what was under way is not" in text_of(pilot)


async def test_while_the_first_target_is_made_the_screen_says_so(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2")
        assert "No drive is a target yet" in text_of(pilot)
        running = script([STEP])
        app.submit(replace(job(running), kind="target", details={"called": "Blue"}))
        await until(pilot, lambda: "Blue becomes your first target." in text_of(pilot))
        running.go_on.set()
        await jobs_done(pilot)
        assert "No drive is a target yet" in text_of(pilot)


async def test_a_waiting_job_can_be_stopped_before_it_begins(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        first, second = script([STEP]), script([STEP])
        app.submit(job(first))
        two = app.submit(replace(job(second), command="medback target red"))
        await until(pilot, first.told.is_set)
        app.queue.stop(two)
        first.go_on.set()
        await jobs_done(pilot)
        assert two.state is JobState.STOPPED
        assert not second.told.is_set()


async def test_quitting_with_a_job_asks_and_no_is_the_default(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        running = script([STEP])
        app.submit(job(running))
        await until(pilot, running.told.is_set)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await press(pilot, "enter")
        assert app.is_running
        assert app.queue.running is not None
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await pilot.press("down", "up", "right", "enter")
        await until(pilot, running.closed.is_set, "the job is closed before the app leaves")
        await until(pilot, lambda: not app.queue.busy)
    assert app.return_code == 0


async def test_a_question_whether_to_quit_ends_with_the_job_it_is_about(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        first, second = script([STEP]), script([STEP])
        app.submit(job(first))
        app.submit(job(second, "verify red"))
        await until(pilot, first.told.is_set)
        await pilot.press("q")
        await until(pilot, lambda: "target blue is not finished, and 1 more job" in text_of(pilot), "it asks")
        first.go_on.set()
        await until(pilot, lambda: "verify red is not finished. Quitting" in text_of(pilot), "it asks about the next")
        assert sum(isinstance(screen, Question) for screen in app.screen_stack) == 1
        second.go_on.set()
        await until(pilot, lambda: not isinstance(app.screen, Question), "there is nothing to ask any more")
        await settle(pilot)
        assert app.is_running and "the jobs have ended; q quits medback" in text_of(pilot)
        await pilot.press("q")
        await until(pilot, lambda: not app.is_running, "and it leaves at once")


async def test_every_screen_is_there_while_a_job_runs(open_app: OpenApp, script: Callable, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        running = script([STEP])
        app.submit(job(running))
        await until(pilot, running.told.is_set)
        for key, words in (("2", "Blue Seagate"), ("3", "photos/"), ("4", "plug in"), ("1", "photos")):
            await pilot.press(key)
            await settle(pilot)
            assert words in text_of(pilot)
            assert "same as: medback target blue" in text_of(pilot)


async def test_a_bug_in_an_operation_is_told_and_the_app_goes_on(open_app: OpenApp):
    def broken(session: object):
        yield STEP
        raise ZeroDivisionError("a [/b] bug")

    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(job(broken))
        await jobs_done(pilot)
        assert "a bug in medback" in text_of(pilot)
        await press(pilot, "L")
        assert any("ZeroDivisionError" in line.words and "Traceback" in line.words for line in app.log_lines)
        await pilot.press("escape")
        assert app.is_running


async def test_a_refusal_carries_its_words_and_a_way_out(open_app: OpenApp):
    def refused(session: object):
        raise Refused("locked/pid", path=b"/tmp/s.db", pid="7")
        yield

    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(job(refused))
        await jobs_done(pilot)
        assert "is in use by medback with pid 7" in text_of(pilot)
        assert "Wait until it has finished" in text_of(pilot)


async def test_the_outcome_stays_until_it_is_taken_note_of(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        blue = model.Target(1, "k3v9q2x8ab7m", "Blue")
        app.submit(job(script([STEP, model.BackupSummary(blue, 3, 3000)], then_wait=False)))
        await jobs_done(pilot)
        assert "3 files (2.9 KiB) copied" in text_of(pilot)
        assert "everything has its wanted copies" in text_of(pilot)
        await press(pilot, "escape")
        assert "everything has its wanted copies" not in text_of(pilot)


@pytest.mark.parametrize("gone", ["SafetyHeader", "JobBar"])
async def test_a_job_that_moves_while_the_app_takes_its_screens_down_is_no_error(
    open_app: OpenApp, script: Callable, gone: str
):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        running = script([STEP])
        app.submit(job(running))
        await until(pilot, running.told.is_set)
        await app.screen.query(gone).remove()
        app.tell_jobs()
        app.tell_screens()


async def test_y_copies_the_command_line(open_app: OpenApp, script: Callable):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        running = script([STEP])
        app.submit(job(running))
        await until(pilot, running.told.is_set)
        await pilot.press("y")
        assert app.clipboard == "medback target blue"


async def test_a_session_db_another_medback_puts_in_its_place_is_the_one_that_is_read(
    open_app: OpenApp, tmp_path: Path
):
    path = worlds.small(tmp_path / "s.db")
    app = open_app(path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.facts is not None and len(app.facts.sources) > 1
        with rebuilt_session(path) as session, session.transaction():
            add_source(session, "0therone0000", "another", b"/srv/another")
        app.read_facts()
        await until(
            pilot, lambda: app.facts is not None and [row.source.alias for row in app.facts.sources] == ["another"]
        )
        assert app.reader is not None and app.reader.is_current
        assert [source.alias for source in list_sources(app.reader)] == ["another"]


async def test_a_session_db_that_is_taken_away_is_gone_and_none_is_made_in_its_place(open_app: OpenApp, tmp_path: Path):
    path = worlds.small(tmp_path / "s.db")
    app = open_app(path)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.facts is not None and app.facts.sources
        for part in tmp_path.glob("s.db*"):
            part.unlink()
        app.read_facts()
        await until(pilot, lambda: app.facts is not None and not app.facts.sources)
        assert not path.exists()


async def test_what_to_do_next_names_the_screen_where_its_key_is(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))

    def drive(_: Session) -> Iterator[Event]:
        yield DamageFound(b"a", Reason("damaged"))
        yield VerifySummary(checked=2, same=1, damaged=1)

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        app.submit(job(drive, "verify Blue"))
        await jobs_done(pilot)
        assert "next: repair it (2, then p)" in text_of(pilot)
        await press(pilot, "2")
        assert "next: repair it (p)" in text_of(pilot)
        assert app.facts is not None
        source = job(drive, "verify photos")
        source.details["path"] = app.facts.sources[0].source.path
        app.submit(source)
        await jobs_done(pilot)
        assert "next: repair it (1, then p)" in text_of(pilot)
