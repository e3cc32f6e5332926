"""What the four main screens have in common: header, body, job bar, key hints, and being told when facts change."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import ClassVar

from textual import events, getters
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import Screen
from textual.widget import Widget

from medback_tui.look.keys import quiet
from medback_tui.reading.facts import Facts
from medback_tui.reading.state import SharedApp
from medback_tui.widgets.job_bar import JobBar
from medback_tui.widgets.key_hints import KeyHints
from medback_tui.widgets.notice_line import NoticeLine
from medback_tui.widgets.safety_header import SafetyHeader

from .opening import copy_path, open_path


class Pane(VerticalScroll):
    """What is known of the row under the cursor: below the list, or beside it. Tab goes there, and it scrolls."""

    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("up,k", "scroll_up", "pane.up", "up", "Further up"),
        quiet("down,j", "scroll_down", "pane.down", "down", "Further down"),
    ]


class MainScreen(Screen[None]):
    """One of the four. A subclass composes its body and shows the facts it is given."""

    app = getters.app(SharedApp)
    header = getters.query_one(SafetyHeader)
    job_bar = getters.query_one(JobBar)

    MODE: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("Y", "copy_path", "app.copy-path", "copy path", "Copy the path of what is under the cursor"),
    ]
    AUTO_FOCUS = "LineList"
    CSS_PATH = [  # noqa: RUF012 - as Textual has it
        "../widgets/chrome.tcss",
        "../widgets/lists.tcss",
        "main.tcss",
    ]
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012 - as Textual has it
    VERTICAL_BREAKPOINTS = [(0, "-low"), (40, "-high")]  # noqa: RUF012 - as Textual has it

    def compose(self) -> ComposeResult:
        yield SafetyHeader(self.MODE)
        with Vertical(id="body"):
            yield from self.compose_body()
        with Vertical(id="bottom"):
            yield NoticeLine()
            yield JobBar()
            yield KeyHints()

    def compose_body(self) -> Iterable[Widget]:
        """The widgets between header and job bar."""
        raise NotImplementedError

    def show_facts(self, facts: Facts) -> None:
        """The session's facts are these now (or its drives came or went): show them."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.told()

    def on_screen_resume(self) -> None:
        self.app.show_notices()
        self.told()

    def told(self) -> None:
        """Take up whatever the app knows now. Screens out of sight do it when they come back."""
        if not self.is_whole or not self.is_current_base:
            return
        self.tell_jobs()
        if self.app.facts is not None:
            self.show_facts(self.app.facts)
            self.refresh_bindings()

    @property
    def path_here(self) -> bytes | None:
        """The path of what is under the cursor, where it has one now."""
        return None

    def action_copy_path(self) -> None:
        self._with_path(copy_path)

    def action_open_path(self) -> None:
        """Open what is under the cursor with the system's program for it."""
        self._with_path(open_path)

    def _with_path(self, do: Callable[[SharedApp, bytes], object]) -> None:
        path = self.path_here
        if path is None:
            self.app.notify("what is under the cursor has no path on this machine now")
        else:
            do(self.app, path)

    def zoom(self, step: int) -> None:
        """More (1) or less (-1) room for the list or, when it has the focus, for its pane: half of it, then all."""
        pane = isinstance(self.focused, Pane)
        order = ("", "-half-pane", "-only-pane") if pane else ("", "-only-list")
        now = next((number for number, one in enumerate(order) if one and self.has_class(one)), 0)
        wanted = order[max(0, min(len(order) - 1, now + step))]
        for one in ("-half-pane", "-only-pane", "-only-list"):
            self.set_class(one == wanted, one)

    def tell_jobs(self) -> None:
        """The job queue moved."""
        queue = self.app.queue
        self.header.show(self.app.facts, len(queue.waiting) + (queue.running is not None))
        self.job_bar.show(queue, self.app.dismissed)

    # --- keys --------------------------------------------------------------------------------------------------------

    def why_not(self, action: str) -> str | None:
        """Why an action of this screen can't be done now, as one sentence to a person; None when it can."""
        del action
        return None

    @property
    def hints(self) -> Mapping[str, str]:
        """What keys do now, by action, where their usual words would be wrong."""
        return {}

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return self.is_mounted and self.why_not(action) is None

    def on_key(self, event: events.Key) -> None:
        """A key whose action can't be done now says why."""
        for binding in (one for where in type(self).__mro__ for one in vars(where).get("BINDINGS", ())):
            if not isinstance(binding, Binding) or binding.id is None or event.key not in self.app.keys_of(binding.id):
                continue
            why = self.why_not(binding.action)
            if why:
                self.app.notify(why, timeout=4)
                event.stop()
            return

    @property
    def is_whole(self) -> bool:
        """Whether its widgets are there. They are not while it is built, nor while the app ends and a job still moves
        on."""
        return self.is_mounted and len(self.query("SafetyHeader, JobBar")) == 2

    @property
    def is_current_base(self) -> bool:
        """Whether this screen is the one in sight, perhaps below a dialog."""
        return self in self.app.screen_stack

    def action_timeline(self) -> None:
        from .timeline import Timeline

        self.app.push_screen(Timeline())
