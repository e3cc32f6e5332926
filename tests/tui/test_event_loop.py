"""The app's event loop never waits for the session DB, a drive or a file; what is read late lands where it belongs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot

from medback_tui.app import MedbackApp
from medback_tui.look.settings import Settings, load, save
from medback_tui.reading.facts import is_there
from medback_tui.screens.coverage import CoverageScreen
from medback_tui.reading.listing import NO_PAGES
from support import picture_sessions as worlds
from support.terminal import PATIENCE
from support.waiting import press, settle, text_of, until

pytestmark = pytest.mark.usefixtures("fixed_clock")
OpenApp = Callable[..., MedbackApp]


class Gate:
    """Holds up every call of a function that is behind it, until it is opened."""

    def __init__(self) -> None:
        self.opened, self.held = threading.Event(), 0
        self.opened.set()

    def hold(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def held(*words: Any, **options: Any) -> Any:
            self.held += not self.opened.is_set()
            assert self.opened.wait(PATIENCE)
            return call(*words, **options)

        return held


@pytest.fixture
def gate() -> Iterator[Gate]:
    one = Gate()
    yield one
    one.opened.set()


async def in_a_large_directory(pilot: Pilot) -> CoverageScreen:
    """Coverage, in the first directory of the first source."""
    await settle(pilot)
    await press(pilot, "3", "enter", "enter")
    screen = pilot.app.screen
    assert isinstance(screen, CoverageScreen)
    return screen


async def test_a_read_on_the_event_loop_is_caught(open_app: OpenApp, tmp_path: Path, on_the_event_loop: list[str]):
    """What every test of the app is watched by sees a read of the session, of a drive and of a file."""
    found = on_the_event_loop
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.call_later(app.in_session, lambda session: 0)
        await settle(pilot)
        assert any("execute(" in one and "in in_session" in one for one in found), found
        found.clear()
        app.call_later(is_there, bytes(tmp_path))
        await settle(pilot)
        assert any("stat(" in one and "in is_there" in one for one in found), found
        found.clear()
        app.call_later(save, Settings(path=tmp_path / "app.json"))
        await settle(pilot)
        assert any("write(" in one and "in write_file" in one for one in found), found
    found.clear()


async def test_a_session_db_that_hangs_holds_up_no_key(open_app: OpenApp, tmp_path: Path, gate: Gate):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.in_session = gate.hold(app.in_session)  # type: ignore[method-assign]
        gate.opened.clear()
        for key, words in (
            ("3", "Coverage"),
            ("w", "What if these drives died?"),
            ("escape", ""),
            ("2", "Targets"),
            ("1", ""),
        ):
            await pilot.press(key)
            await until(pilot, lambda words=words: words in text_of(pilot), words)
        await pilot.press("question_mark")
        await until(pilot, lambda: "Scan this source again" in text_of(pilot), "the help")
        assert gate.held
        gate.opened.set()


async def test_a_key_on_a_row_that_is_not_read_yet_waits_for_it(
    open_app: OpenApp, tmp_path: Path, gate: Gate, monkeypatch: pytest.MonkeyPatch
):
    app = open_app(worlds.large(tmp_path / "s.db", 3_000, per_directory=3_000))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await in_a_large_directory(pilot)
        monkeypatch.setattr("medback_tui.widgets.coverage_list.PATIENCE", 60)
        monkeypatch.setattr(app, "in_session", gate.hold(app.in_session))
        gate.opened.clear()
        screen.rows.cursor = 1_500
        await until(pilot, lambda: "…" in text_of(pilot), "it is not read yet")
        assert screen.rows.is_unread(1_500)
        app.simulate_key("space")  # marks it and steps on
        await pilot.pause()
        assert not screen.rows.marked and screen.rows.cursor == 1_500
        gate.opened.set()
        await until(pilot, lambda: bool(screen.rows.marked), "the key is acted on")
        await settle(pilot)
        assert [path for _, path in screen.rows.marked] == [b"reel-000/frame-0001500.dpx"]
        assert "frame-0001501.dpx" in text_of(pilot)


async def test_rows_stay_in_sight_while_they_are_read_again(open_app: OpenApp, tmp_path: Path, gate: Gate):
    """A job that moves the session has all read again, often."""
    app = open_app(worlds.large(tmp_path / "s.db", 3_000, per_directory=3_000))
    async with app.run_test(size=(80, 24)) as pilot:
        screen = await in_a_large_directory(pilot)
        screen.rows.cursor = 1_500
        await settle(pilot)
        before = text_of(pilot)
        assert "frame-0001500.dpx" in before
        app.in_session = gate.hold(app.in_session)  # type: ignore[method-assign]
        rows = screen.rows
        gate.opened.clear()
        rows.show_listing(rows.listing, rows.cursor, NO_PAGES)  # nothing of it is read yet
        await until(pilot, lambda: bool(gate.held), "it is being read")
        assert text_of(pilot) == before
        gate.opened.set()
        await settle(pilot)
        assert text_of(pilot) == before


async def test_the_pane_is_about_the_row_under_the_cursor_however_late_it_is_read(
    open_app: OpenApp, tmp_path: Path, gate: Gate
):
    app = open_app(worlds.large(tmp_path / "s.db", 300, per_directory=300))
    async with app.run_test(size=(160, 48)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "enter")
        app.in_session = gate.hold(app.in_session)  # type: ignore[method-assign]
        gate.opened.clear()
        await pilot.press("j", "j", "j")
        await until(pilot, lambda: gate.held >= 1, "the pane asks")
        gate.opened.set()
        await settle(pilot)
        assert text_of(pilot).count("frame-0000003.dpx") == 2  # in the list and in the pane
        assert all(text_of(pilot).count(f"frame-000000{n}.dpx") == 1 for n in (0, 1, 2))


async def test_what_the_app_remembers_is_written_though_one_leaves_at_once(open_app: OpenApp, tmp_path: Path):
    kept = tmp_path / "app.json"
    app = open_app(worlds.small(tmp_path / "s.db"), settings_file=kept)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.simulate_key("3")
        app.simulate_key("s")
        app.simulate_key("q")
        await until(pilot, lambda: not app.is_running, "it is left")
    assert (load(kept).screen, load(kept).order) == ("coverage", "bytes")
