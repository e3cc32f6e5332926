"""Searching everything, deleted files and older versions, marks that do what they say, and a picker that completes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input

from medback_core.model import Answers
from medback_core.restoring.plan import PlanSummary, restore_plan
from medback_tui.app import MedbackApp
from medback_tui.jobs.queue import JobState
from medback_tui.reading.drives import Drives
from medback_tui.reading.listing import Place
from medback_tui.screens.coverage import CoverageScreen
from medback_tui.screens.find import Deleted, Find
from medback_tui.widgets.line_list import LineList
from medback_tui.screens.pick import PickDirectory
from support import picture_sessions as pictures
from support.waiting import jobs_done, press, settle, text_of, until
from support.worlds import MTIME, add, back, new_session, rescan, run, write_tree

OpenApp = Callable[..., MedbackApp]


def world(tmp_path: Path) -> Path:
    """One source on one drive; a file deleted, one replaced."""
    photos = tmp_path / "photos"
    write_tree(photos, {"2024/lisbon.jpg": 10, "2024/deleted.jpg": 11, "2019/changed.txt": b"old", "plain": 13})
    with new_session(tmp_path) as session:
        add(session, photos)
        back(session, tmp_path / "t1")
        (photos / "2024/deleted.jpg").unlink()
        write_tree(photos, {"2019/changed.txt": b"newer"}, mtime_ns=MTIME + 10**9)
        rescan(session, answers=Answers(deletions=True))
        return Path(session.path)


def plugged_in(app: MedbackApp, tmp_path: Path) -> None:
    assert app.facts is not None
    app.drives = Drives({app.facts.targets[0].target.id: os.fsencode(tmp_path / "t1")})


@pytest.mark.parametrize("keys", [("F",), ("3", "ctrl+f"), ("3", "slash", "slash")])
async def test_what_one_types_is_found_everywhere_and_enter_goes_there(
    open_app: OpenApp, tmp_path: Path, keys: tuple[str, ...]
):
    app = open_app(world(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, *keys)
        assert isinstance(app.screen, Find)
        await press(pilot, *"LISB")
        assert "photos/2024/lisbon.jpg" in text_of(pilot) and "1 found" in text_of(pilot)
        await press(pilot, "enter")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        assert app.facts is not None
        assert screen.place == Place(app.facts.sources[0].source.id, b"2024")
        assert screen.rows.current is not None and screen.rows.current.name == b"lisbon.jpg"


async def test_a_deleted_file_is_found_and_brought_back(open_app: OpenApp, tmp_path: Path):
    app = open_app(world(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        plugged_in(app, tmp_path)
        await press(pilot, "F", *"*.jpg", "down", "j")
        assert "deleted" in text_of(pilot)
        await press(pilot, "r")
        await jobs_done(pilot)
        assert (tmp_path / "photos/2024/deleted.jpg").stat().st_size == 11


async def test_what_is_gone_has_a_view_and_an_older_version_comes_back_beside_the_newer(
    open_app: OpenApp, tmp_path: Path
):
    app = open_app(world(tmp_path))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        plugged_in(app, tmp_path)
        await press(pilot, "3", "D")
        assert isinstance(app.screen, Deleted)
        assert "2 files" in text_of(pilot) and "older version" in text_of(pilot)
        await press(pilot, "s")
        assert "by directory" in text_of(pilot)
        await press(pilot, "asterisk", "enter")
        await jobs_done(pilot)
        assert (tmp_path / "photos/2024/deleted.jpg").stat().st_size == 11
        assert (tmp_path / "photos/2019/changed.txt").read_bytes() == b"newer"
        beside = [one for one in (tmp_path / "photos/2019").iterdir() if one.name.startswith("changed (")]
        assert [one.read_bytes() for one in beside] == [b"old"]


async def test_where_nothing_is_gone_a_key_lists_what_is_gone_elsewhere(open_app: OpenApp, tmp_path: Path):
    app = open_app(world(tmp_path))
    async with app.run_test(size=(120, 24)) as pilot:
        await settle(pilot)
        app.push_screen(Deleted("photos", b"2024/raw"))
        none = "None is known of photos/2024/raw. a lists those of all sources: 2 files"
        await until(pilot, lambda: none in text_of(pilot))
        await press(pilot, "a")
        await until(pilot, lambda: "of photos/2024/raw" not in text_of(pilot) and "2 files" in text_of(pilot))
        assert app.screen.query_one("#hits", LineList).row_count == 2


async def test_what_no_drive_here_has_names_the_drive_to_plug_in(open_app: OpenApp, tmp_path: Path):
    app = open_app(world(tmp_path))
    said: list[str] = []
    app.notify = lambda message, **_: said.append(str(message))  # type: ignore[method-assign,assignment]
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.drives = Drives()
        await press(pilot, "F", *"deleted", "enter")
        assert said == ["2024/deleted.jpg: plug in t1 first."]
        assert isinstance(app.screen, Find) and not app.queue.busy


async def test_a_restore_of_three_marks_plans_and_brings_back_three(open_app: OpenApp, tmp_path: Path):
    db = world(tmp_path)
    photos = tmp_path / "photos"
    for gone in ("2024/lisbon.jpg", "2019/changed.txt", "plain"):
        (photos / gone).unlink()
    app = open_app(db)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        plugged_in(app, tmp_path)
        await press(pilot, "3", "enter", "asterisk")
        assert "3 marked" in text_of(pilot)
        await press(pilot, "r")
        plan = app.screen.plan  # type: ignore[attr-defined]
        summary = plan.summary  # the newer version of one was never backed up
        assert (summary.missing.files, summary.unreachable.files) == (3, 1)
        await press(pilot, "enter", "enter", "enter")  # three times: it is restored once
        await jobs_done(pilot)
        assert (photos / "2024/lisbon.jpg").exists() and (photos / "plain").exists()
        restores = [job for job in app.queue.jobs if job.kind == "restore"]
        assert len(restores) == 3 and all(job.state is JobState.DONE for job in restores)


def test_a_plan_for_several_places_counts_nothing_twice(tmp_path: Path) -> None:
    with new_session(tmp_path) as session:
        write_tree(tmp_path / "photos", {"a/one": 10, "a/two": 11, "b/three": 12, "c": 13})
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t1")

        def missing(path: bytes, *more: bytes) -> int:
            also = [("photos", one) for one in more]
            plan = run(restore_plan(session, all_of_it=True, source="photos", path=path, more=also)).summary
            assert isinstance(plan, PlanSummary)
            return plan.missing.files

        assert missing(b"a", b"b") == 3
        assert missing(b"a/one", b"a", b"a/two", b"a") == 2
        assert missing(b"c", b"b", b"a") == 4


async def test_the_picker_narrows_completes_and_takes_what_is_written(open_app: OpenApp, tmp_path: Path):
    for name in ("alpha/inner", "alpine", "beta"):
        (tmp_path / name).mkdir(parents=True)
    app = open_app(pictures.small(tmp_path / "s.db"))
    chosen: list[bytes | None] = []
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        app.push_screen(PickDirectory("Pick", "take", os.fsencode(tmp_path)), chosen.append)
        await until(pilot, lambda: isinstance(app.screen, PickDirectory))
        picker = app.screen
        assert isinstance(picker, PickDirectory)
        await settle(pilot)
        picker.action_type("/")
        picker.typed.value = f"{tmp_path}/al"
        await settle(pilot)
        assert [os.path.basename(entry.path) for entry in picker.rows.rows] == [b"alpha", b"alpine"]
        await press(pilot, "tab")
        assert picker.typed.value == f"{tmp_path}/alp"
        await press(pilot, "h", "tab")
        assert picker.typed.value == f"{tmp_path}/alpha/"
        assert [os.path.basename(entry.path) for entry in picker.rows.rows if entry.does == "into"] == [b"inner"]
        picker.typed.value = f"{tmp_path}/nowhere"
        await settle(pilot)  # what was said of the text before is gone by then
        await press(pilot, "enter")
        assert "does not exist" in text_of(pilot)
        await press(pilot, "backspace")
        assert "does not exist" not in text_of(pilot)
        picker.typed.value = f"{tmp_path}/beta"
        await settle(pilot)
        await press(pilot, "enter")
        await until(pilot, lambda: bool(chosen))
    assert chosen == [os.fsencode(tmp_path / "beta")]


async def test_a_tilde_is_the_home_directory(open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "home/pictures").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    app = open_app(pictures.small(tmp_path / "s.db"))
    chosen: list[bytes | None] = []
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.push_screen(PickDirectory("Pick", "take", os.fsencode(tmp_path)), chosen.append)
        await until(pilot, lambda: isinstance(app.screen, PickDirectory))
        await settle(pilot)
        await press(pilot, "~", "/", *"pic", "tab")
        assert app.screen.query_one(Input).value == f"{tmp_path}/home/pictures/"
        await press(pilot, "enter")
        await until(pilot, lambda: bool(chosen))
    assert chosen == [os.fsencode(tmp_path / "home/pictures")]
