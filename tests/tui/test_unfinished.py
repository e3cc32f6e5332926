"""What was asked for and not finished is offered again the next time: after quitting, after a kill."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

from medback_tui.jobs import operations, upkeep
from medback_tui.app import MedbackApp
from medback_tui.jobs.queue import Job
from medback_tui.screens.dialogs import Question
from medback_tui.jobs.unfinished import Unfinished, remade
from medback_core.model import Answers
from support.waiting import jobs_done, settle, text_of, until

OpenApp = Callable[..., MedbackApp]


def asked_for(tmp_path: Path, script: Callable) -> tuple[Job, Job]:
    """A job that runs until it is stopped, and one that waits for it: adding a real directory."""
    photos = tmp_path / "photos-\udcff"
    photos.mkdir(exist_ok=True)
    (photos / "a.jpg").write_bytes(b"foo")
    running = operations.update(["nobody"], answers=Answers(deletions=True))
    running.start = script([])
    return running, operations.add_source(os.fsencode(photos), copies=3)


async def test_quitting_keeps_what_waits_for_the_next_time(open_app: OpenApp, script: Callable, tmp_path: Path):
    settings = tmp_path / "app.json"
    app = open_app(tmp_path / "s.db", settings_file=settings)
    running, waiting = asked_for(tmp_path, script)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(running)
        app.submit(waiting)
        await until(pilot, lambda: app.queue.running is running)
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, Question))
        await settle(pilot)
        assert "1 more job waits" in text_of(pilot)
        assert app.screen.query_one("#answer-no").has_focus
        await pilot.press("right", "enter")
        await until(pilot, lambda: not app.queue.busy)
    assert not list(tmp_path.rglob(".medback.xml")), "the job that waited did not begin"

    again = open_app(tmp_path / "s.db", settings_file=settings)
    async with again.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(again.screen, Question), "it offers to go on")
        await settle(pilot)
        assert "Last time 2 jobs were not finished" in text_of(pilot)
        await pilot.press("enter")
        await jobs_done(pilot)
        commands = [job.command for job in again.queue.jobs]
        assert commands == ["medback update nobody", waiting.command], "a person's word of that time is asked again"
        assert again.facts is not None
        assert again.facts.sources[0].source.wanted == 3
    assert json.loads((tmp_path / "unfinished.json").read_text()) == {}


async def test_what_a_person_stops_is_not_kept(open_app: OpenApp, script: Callable, tmp_path: Path):
    app = open_app(tmp_path / "s.db", settings_file=tmp_path / "app.json")
    running, waiting = asked_for(tmp_path, script)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(running)
        app.submit(waiting)
        await until(pilot, (tmp_path / "unfinished.json").exists, "it is written down at once: a kill loses nothing")
        await until(pilot, lambda: len(Unfinished(tmp_path / "unfinished.json", str(tmp_path / "s.db")).load()) == 2)
        app.queue.stop(waiting)
        app.queue.stop(running)
        await jobs_done(pilot)
    assert Unfinished(tmp_path / "unfinished.json", str(tmp_path / "s.db")).load() == ()


def test_every_job_that_is_kept_can_be_made_again(tmp_path: Path):
    path = b"/mnt/\xff drive"
    jobs = [
        operations.add_source(path, alias="a", copies=2),
        operations.update(["a", "b"]),
        operations.back_up(path, "Blue", label="Blue", capacity=10**12),
        operations.discover(path, "Blue"),
        operations.restore(path, "Blue", source="a", path=b"x/\xfe", to=path),
        operations.load_context(path),
        upkeep.verify(path, "Blue", older_than=90 * upkeep.DAY),
        upkeep.repair(path, "Blue"),
        upkeep.prove("a"),
    ]
    kept = Unfinished(tmp_path / "unfinished.json", "s")
    kept.running = tuple(job.recipe for job in jobs if job.recipe is not None)
    assert len(kept.running) == len(jobs)
    assert kept.keep() is None
    found = [remade(recipe) for recipe in Unfinished(tmp_path / "unfinished.json", "s").load()]
    assert [job and job.command for job in found] == [job.command for job in jobs]


def test_a_new_target_is_asked_for_again_the_next_time():
    job = operations.back_up(b"/mnt/blue", "Blue", answers=Answers(create=True), label="Blue")
    assert "--init" in job.command
    assert job.recipe is not None
    again = remade(job.recipe)
    assert again is not None
    assert "--init" not in again.command


def test_a_file_that_makes_no_sense_is_nothing(tmp_path: Path):
    file = tmp_path / "unfinished.json"
    for text in ("", "{", "[]", '{"s": 3}', '{"s": [1, {"job": 2}, {"job": "verify", "with": [], "options": {}}]}'):
        file.write_text(text)
        assert [job for job in map(remade, Unfinished(file, "s").load()) if job is not None] == []
