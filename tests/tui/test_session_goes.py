"""The session DB is deleted or breaks while the app is open: it says so and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from textual.pilot import Pilot

import made_up_shelf
from medback_core.session import open_session
from medback_tui.app import MedbackApp
from medback_tui.jobs import operations
from medback_tui.screens.coverage import CoverageScreen
from medback_tui.screens.dialogs import Question
from medback_tui.screens.targets import TargetsScreen
from support import picture_sessions as worlds
from support.waiting import jobs_done, press, settle, text_of, until

OpenApp = Callable[..., MedbackApp]


def delete(session: Path) -> None:
    for file in (session, *(session.with_name(session.name + suffix) for suffix in ("-wal", "-shm"))):
        file.unlink(missing_ok=True)


async def test_a_deleted_session_is_told_and_built_again(open_app: OpenApp, tmp_path: Path):
    photos, session = tmp_path / "photos", tmp_path / "s.db"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a")
    app = open_app(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(bytes(photos)))
        await jobs_done(pilot)
        delete(session)
        await pilot.press("f5")
        await until(pilot, lambda: isinstance(app.screen, Question), "it is offered to build it again")
        assert "The session DB is gone. A list beside it names 1 source" in text_of(pilot)
        assert f"the session DB {session} is gone" in app.log_lines[-1].words.replace("\n", "")
        await pilot.press("enter")
        await jobs_done(pilot)
        await until(pilot, lambda: app.facts is not None and len(app.facts.sources) == 1, "it is there again")
        await settle(pilot)
        assert app.facts is not None and app.facts.sources[0].source.alias == "photos"


async def test_a_session_that_breaks_ends_nothing(open_app: OpenApp, tmp_path: Path):
    """Rows are read as they come into sight: from a file that is not what it was."""
    session = worlds.small(tmp_path / "s.db")
    app = open_app(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter")
        size = session.stat().st_size
        with session.open("r+b") as file:
            file.write(b"\xff" * size)
        session.with_name("s.db-wal").unlink(missing_ok=True)
        await press(pilot, "enter", "down", "D", "escape", "m", "f5")
        assert app.is_running
        assert f"the session DB {session}" in app.log_lines[-1].words
        assert sum(line.words == app.log_lines[-1].words for line in app.log_lines) == 1  # said once
        assert "damaged" in text_of(pilot)


def other_way_round(path: Path) -> Path:
    """The sources and drives of `small` in a session DB in which each row has the key of another."""
    with open_session(path) as session:
        made_up_shelf.add_source(session, "r3search0000", "research", b"/home/ada/research")
        photos = made_up_shelf.add_source(session, "p4photos0000", "photos", b"/home/ada/photos")
        made_up_shelf.add_target(session, "m8w2c5r1dd3q", "Red WD 1T")
        blue = made_up_shelf.add_target(session, "k3v9q2x8ab7m", "Blue Seagate 2T")
        files = made_up_shelf.add_files(session, photos, b"2024/lisbon", [(b"notes.txt", 1_804)])
        made_up_shelf.add_copies(session, blue, files)
    return path


async def replaced(app: MedbackApp, pilot: Pilot[int], session: Path) -> None:
    """Another session DB stands in the place of this one, and is read."""
    other = other_way_round(session.with_name("other.db"))
    delete(session)
    other.rename(session)
    app.read_facts()
    await settle(pilot)
    assert app.facts is not None
    assert {row.target.id: row.target.key for row in app.facts.targets} == {"m8w2c5r1dd3q": 1, "k3v9q2x8ab7m": 2}


async def test_a_what_if_and_a_place_stay_those_that_were_chosen_in_another_session(open_app: OpenApp, tmp_path: Path):
    session = worlds.small(tmp_path / "s.db")
    app = open_app(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "w", "space", "enter")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        assert "If Blue Seagate 2T died:" in text_of(pilot) and "all sources › photos" in text_of(pilot)
        await replaced(app, pilot, session)
        text = text_of(pilot)
        assert "all sources › photos" in text and "2024/" in text
        assert "If Blue Seagate 2T died: 1 file (1.8 KiB) would be lost." in text
        await press(pilot, "space")
        assert [path for _, path in screen.rows.marked] == [b"2024"]
        await press(pilot, "w")
        assert "*Blue Seagate 2T" in text_of(pilot) and "*Red" not in text_of(pilot)


async def test_a_drive_that_is_pulled_out_stays_the_one_in_another_session(open_app: OpenApp, tmp_path: Path):
    session = worlds.small(tmp_path / "s.db")
    app = open_app(session)
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "tab", "w")
        assert "Without Blue Seagate 2T:" in text_of(pilot)
        await replaced(app, pilot, session)
        screen = app.screen
        assert isinstance(screen, TargetsScreen)
        assert [box.target.id for box in screen.shelf.shelf.boxes if box.pulled] == ["k3v9q2x8ab7m"]
        assert "Without Blue Seagate 2T: 1 file (1.8 KiB) would be lost." in text_of(pilot)
