"""The session DB is deleted or breaks while the app is open: it says so and goes on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from medback_tui.app import MedbackApp
from medback_tui.jobs import operations
from medback_tui.screens.dialogs import Question
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
