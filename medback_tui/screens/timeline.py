"""The timeline of drives and sources: what happened when, and how safe everything was."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from medback_core.coverage.history import Month, timeline
from medback_core.model import Happened, Target
from medback_core.presenting.history import event_words
from medback_core.presenting.units import name, plural, size
from medback_core.session import Session
from medback_core.session.targets import list_targets
from medback_tui.look.keys import quiet, shown
from medback_tui.widgets.timeline import TimelineView

from .dialogs import Dialog

LISTED = 5  # events of a month; `medback history` has all
LEGEND = "■ backed up  ✓ verified  ✘ damage  + repaired  ! failing  · plugged in"


class Timeline(Dialog[None]):
    """Months across; below them what happened in the one under the cursor."""

    TITLE = "Timeline"
    DEFAULT_CLASSES = "-large"
    AUTO_FOCUS = "TimelineView"
    keys = (
        ("timeline.left", "earlier"),
        ("timeline.right", "later"),
        ("timeline.open", "deleted then"),
        ("timeline.deleted", "all deleted"),
        ("dialog.back", "back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter", "open", "timeline.open", "deleted then", "Files deleted or replaced in this month"),
        shown("D", "deleted", "timeline.deleted", "all deleted", "All deleted files and older versions"),
        quiet("t,q", "give_up", "timeline.close", "close", "Close the timeline"),
    ]

    view = getters.query_one(TimelineView)
    words = getters.query_one("#month", Static)

    def compose_box(self) -> ComposeResult:
        yield TimelineView()
        yield Static(Content("reading …"), id="month", classes="pane")
        yield Static(Content(LEGEND), classes="keys")

    def on_mount(self) -> None:
        def read(session: Session) -> tuple[tuple[Month, ...], list[Target]]:
            return timeline(session), list_targets(session)

        def show(found: tuple[tuple[Month, ...], list[Target]] | None) -> None:
            if found is not None:
                self.view.show_months(*found)

        self.app.aside(self, lambda: self.app.read_or_tell(read, ((), [])), show)

    @on(TimelineView.Moved)
    def moved(self) -> None:
        month = self.view.current
        if month is None:
            self.words.update(Content("Nothing has happened yet: what you do from now on stands here."))
            return
        kept = f"{size(month.kept)} kept"
        kept += f", {size(month.unsafe)} not safe" if month.unsafe else ", all safe" if month.kept else ""
        lines = [Content.assemble((_called(month), "bold"), f"   {kept}")]
        lines += list(_told(month))
        self.words.update(Content("\n").join(lines))

    @on(TimelineView.Opened)
    def action_open(self) -> None:
        """What went in the month under the cursor and has a copy."""
        from .find import Deleted

        if self.view.current is not None:
            self.app.push_screen(Deleted(within=self.view.current.span, during=_called(self.view.current)))

    def action_deleted(self) -> None:
        from .find import Deleted

        self.app.push_screen(Deleted())


def _called(month: Month) -> str:
    return f"{calendar.month_name[month.month]} {month.year}"


def _told(month: Month) -> Iterator[Content]:
    """The events of a month; visits are told together, behind the rest."""
    told = [past for past in month.events if past.entry.what not in (Happened.VISIT, Happened.SAFETY)]
    for past in told[-LISTED:]:
        day = time.localtime(past.entry.at).tm_mday
        is_bad = past.entry.what is Happened.DAMAGE
        yield Content.assemble(
            f"{day:>2}  {name(past.name)}: ", (event_words(past.entry), "$text-error" if is_bad else "")
        )
    if len(told) > LISTED:
        yield Content(f"{len(told) - LISTED:,} more: medback history -v")
    visits: dict[str, int] = {}
    for past in month.events:
        if past.entry.what is Happened.VISIT:
            visits[past.name] = visits.get(past.name, 0) + 1
    if visits:
        words = ", ".join(f"{name(target)} on {plural(days, 'day')}" for target, days in visits.items())
        yield Content(f"plugged in: {words}")
