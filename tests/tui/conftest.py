"""What every test of the app needs: a fixed clock, no settings of the machine, and ways to wait for the app."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import textual.app
import textual.pilot
from textual.css.model import RuleSet
from textual.css.styles import RenderStyles, RulesMap
from textual.css.stylesheet import Stylesheet
from textual.dom import DOMNode
from textual.pilot import Pilot
from textual.widgets import Input

from medback_core import model
from medback_core.model import Event, Progress
from medback_core.session import Session
from medback_tui.jobs import queue as jobs
from medback_tui.reading import state
from medback_tui.app import MedbackApp, opened
from support import picture_sessions as worlds
from support.event_loop import watched
from support.terminal import Terminal
from support.waiting import nothing_ready

# What the rules ask of a widget.
FLAGS = ("_has_hover_style", "_has_focus_within", "_has_order_style", "_has_odd_or_even")
OF_THE_APP = {"dark", "light", "inline", "ansi", "nocolor"}  # states that all of its widgets share


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

    async def all_is_handled(_: Pilot[int], timeout: float = 30) -> bool:
        """It would send a message to each widget and wait for them all; there is none once nothing is ready."""
        del timeout
        await nothing_ready()
        return True

    monkeypatch.setattr(Pilot, "_wait_for_screen", all_is_handled)


@pytest.fixture(autouse=True)
def on_the_event_loop() -> Iterator[list[str]]:
    """Whatever a test does with the app, the app reads and writes in its workers alone: nothing is in this list."""
    with watched() as found:
        yield found
    assert not found, f"on the event loop, {len(found)} times:\n" + "\n".join(dict.fromkeys(found))


@pytest.fixture(autouse=True)
def clock_of_notices(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What is told for some seconds stays, however long a test takes, until the test moves this clock on."""
    now = [0.0]
    monkeypatch.setattr(state, "monotonic", lambda: now[0])
    return now


@pytest.fixture(autouse=True)
def cursor_without_blinking(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else a picture of a field depends on how long the test took."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)


@pytest.fixture(autouse=True, scope="session")
def styles_looked_up_once() -> Iterator[None]:
    """Each app would parse the style sheets of all its widgets again, and each widget, at each change of screen, look
    through all rules for its own: half of what it takes to start one. What rules a widget gets depends on the rules,
    and on the types, names, classes and states of it and of all it stands in."""
    parsed: dict[tuple[object, ...], list[RuleSet]] = {}
    found: dict[int, tuple[tuple[bool, ...], RulesMap | None]] = {}
    known: dict[tuple[object, ...], int] = {}  # a number for all that the rules of a widget depend on
    asked: dict[int, set[str]] = {}  # the states that any of these rules is about
    parse, apply, replace = Stylesheet._parse_rules, Stylesheet.apply, Stylesheet.replace_rules
    update, parts, part_of = (
        Stylesheet.update_nodes,
        Stylesheet._process_component_classes,
        DOMNode.get_component_styles,
    )

    def parse_once(sheet: Stylesheet, *words: Any, **options: Any) -> list[RuleSet]:
        key = (frozenset(sheet._variables.items()), *words, *sorted(options.items()))
        if key not in parsed:
            parsed[key] = parse(sheet, *words, **options)
        return parsed[key]

    def number(*words: object) -> int:
        return known.setdefault(words, len(known))

    def state(sheet: Stylesheet, node: DOMNode) -> int:
        if (rules := vars(sheet).get("known_rules")) is None or rules[0] is not sheet.rules:
            key = number(*map(id, sheet.rules))
            if key not in asked:
                asked[key] = set().union(*(rule.pseudo_classes for rule in sheet.rules)) - OF_THE_APP
            rules = vars(sheet)["known_rules"] = sheet.rules, key
        if type(node) is DOMNode:  # a part of a widget
            return number(vars(node._parent)["styled_as"], *node._classes)
        path: list[Any] = node.css_path_nodes
        app = path[0].app
        key = number(rules[1], app.theme, app.no_color, app.native_ansi_color, app.is_inline)
        seen = vars(sheet).get("seen", {})
        for one in path:
            if (here := seen.get(one)) is None:
                checks = [check(one) for name, check in one._PSEUDO_CLASSES.items() if name in asked[rules[1]]]
                here = seen[one] = number(key, type(one), one._id, frozenset(one._classes), *checks)
            key = here
        return key

    def update_together(sheet: Stylesheet, nodes: Iterable[DOMNode], animate: bool = False) -> None:
        vars(sheet)["seen"] = {}  # nothing changes meanwhile
        try:
            update(sheet, nodes, animate)
        finally:
            del vars(sheet)["seen"]

    def replace_and_tell(node: DOMNode, rules: RulesMap, animate: bool = False) -> None:
        vars(node)["given_rules"] = rules
        replace(node, rules, animate)

    def apply_once(sheet: Stylesheet, node: DOMNode, *, animate: bool = False, cache: object = None) -> None:
        del cache
        key = state(sheet, node)
        if vars(node).get("styled_as") == key:
            node.notify_style_update()
            return
        vars(node)["styled_as"] = key
        if key not in found:
            vars(node).pop("given_rules", None)
            apply(sheet, node, animate=animate)
            found[key] = tuple(getattr(node, name) for name in FLAGS), vars(node).get("given_rules")
        else:
            flags, rules = found[key]
            for name, flag in zip(FLAGS, flags, strict=True):
                setattr(node, name, flag)
            if rules is not None:
                replace(node, rules, animate)
            sheet._process_component_classes(node)

    def rules_of(node: DOMNode, part: str) -> RulesMap | None:
        return found[known[vars(node)["styled_as"], part]][1]

    def parts_later(sheet: Stylesheet, node: DOMNode) -> None:
        """Few of a widget's parts are ever asked for: the others get no styles of their own."""
        names = node._get_component_classes()
        if any(known.get((vars(node)["styled_as"], name)) not in found for name in names):
            parts(sheet, node)
        before = vars(node).get("parts_as")
        now = vars(node)["parts_as"] = [rules_of(node, name) for name in names]
        vars(node)["_component_styles"] = dict.fromkeys(names)
        if names and now != before:
            node.refresh()

    def part_asked(node: DOMNode, *names: str) -> RenderStyles:
        for name in names:
            if node._component_styles.get(name, name) is None:
                part = DOMNode(classes=name)
                part._attach(node)
                if (rules := rules_of(node, name)) is not None:
                    replace(part, rules)
                node._component_styles[name] = part.styles
        return part_of(node, *names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_once)
        patch.setattr(Stylesheet, "replace_rules", staticmethod(replace_and_tell))
        patch.setattr(Stylesheet, "apply", apply_once)
        patch.setattr(Stylesheet, "update_nodes", update_together)
        patch.setattr(Stylesheet, "_process_component_classes", parts_later)
        patch.setattr(DOMNode, "get_component_styles", part_asked)
        patch.setattr(RuleSet, "__hash__", object.__hash__)  # its own does the same in Python, for all rules each time
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
        return opened(session or tmp_path / "none.db", settings_file=settings_file, watch=watch)

    return make


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    """A real terminal with a home of its own; needs tmux."""
    home = tmp_path / "home"
    home.mkdir()
    one = Terminal(home)
    yield one
    one.close()
