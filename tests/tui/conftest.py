"""What every test of the app needs: a fixed clock, no settings of the machine, and ways to wait for the app."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import textual.app
import textual.pilot
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet
from textual.widgets import Input

from medback_core import model
from medback_core.model import Event, Progress
from medback_core.session import Session
from medback_tui.jobs import queue as jobs
from medback_tui.app import MedbackApp
from support import picture_sessions as worlds
from support.terminal import Terminal
from support.waiting import nothing_ready


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pictures don't depend on whose machine this is."""
    for variable in ("NO_COLOR", "TEXTUAL_THEME", "COLORTERM", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("TEXTUAL_ANIMATIONS", "none")
    monkeypatch.setenv("TZ", "UTC")
    os.environ["TZ"] = "UTC"
    import time

    time.tzset()


@pytest.fixture(autouse=True)
def no_idling(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key is over when all it led to is done, not when the processor has been idle for a while."""
    for module in (textual.app, textual.pilot):
        monkeypatch.setattr(module, "wait_for_idle", nothing_ready)


@pytest.fixture(autouse=True)
def cursor_without_blinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a picture of a field depends on how long the test took."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)


@pytest.fixture(autouse=True, scope="session")
def style_sheets_parsed_once() -> Iterator[None]:
    """Each app would parse those of all its widgets again: a quarter of what it takes to start one."""
    known: dict[tuple[object, ...], list[RuleSet]] = {}
    really = Stylesheet._parse_rules

    def parse_rules(sheet: Stylesheet, *words: Any, **options: Any) -> list[RuleSet]:
        key = (frozenset(sheet._variables.items()), *words, *sorted(options.items()))
        if key not in known:
            known[key] = really(sheet, *words, **options)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_rules)
        yield


@pytest.fixture
def fixed_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is always 2026-11-24."""
    monkeypatch.setattr(model, "now", lambda: worlds.NOW)


class Script:
    """An operation that does what it is told: yields its events a second apart, then waits to be stopped or let go."""

    def __init__(self, events: list[Event], *, then_wait: bool = True) -> None:
        self.events, self.then_wait = events, then_wait
        self.told = threading.Event()  # all events are out
        self.go_on = threading.Event()
        self.closed = threading.Event()
        self.seconds = 1000.0

    def monotonic(self) -> float:
        return self.seconds

    def __call__(self, session: Session) -> Iterator[Event]:
        del session
        try:
            for event in self.events:
                self.seconds += 1
                yield event
            last = next((e for e in reversed(self.events) if isinstance(e, Progress)), Progress("waiting"))
            self.told.set()
            while self.then_wait and not self.go_on.wait(0.02):
                yield last
        finally:
            self.closed.set()


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Script]]:
    """Makes scripts whose seconds are the clock of rates and spinners."""
    made: list[Script] = []

    def make(events: list[Event], *, then_wait: bool = True) -> Script:
        one = Script(events, then_wait=then_wait)
        monkeypatch.setattr(jobs, "monotonic", one.monotonic)
        made.append(one)
        return one

    yield make
    for one in made:
        one.go_on.set()


@pytest.fixture
def open_app(tmp_path: Path) -> Callable[..., MedbackApp]:
    """The app on a session, without a watch on the machine's drives."""

    def make(session: Path | None = None, *, watch: bool = False, settings_file: Path | None = None) -> MedbackApp:
        return MedbackApp(session or tmp_path / "none.db", settings_file=settings_file, watch=watch)

    return make


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A real terminal with a home of its own; needs tmux."""
    home = tmp_path / "home"
    home.mkdir()
    one = Terminal(home)
    yield one
    one.close()
