"""The drives: where each is, what it holds, what would be lost with it, and backing up onto it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual import getters, on
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from medback_core.model import Target, TargetState
from medback_tui import operations
from medback_tui.facts import Facts, TargetFacts
from medback_tui.keys import quiet, shown
from medback_tui.widgets.columns import Cell, Column, Span
from medback_tui.widgets.coverage_bar import room_bar
from medback_tui.widgets.empty import EmptyState
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList
from medback_tui.words import age, ago, counted, name, number, size

from . import backing_up
from .base import MainScreen
from .dialogs import Ask, Choice, Question

COLUMNS = (
    Column("label", "drive", 0),
    Column("id", "id", 12, from_width=118),
    Column("state", "state", 7),
    Column("seen", "seen", 9),
    Column("path", "", 0, from_width=140, middle=True),
    Column("room", "used", 6),
    Column("free", "free", 8, right=True),
    Column("files", "files", 7, right=True),
    Column("only", "only here", 9, right=True),
    Column("verified", "verified", 9, from_width=94),
)
STATES: dict[TargetState, tuple[str, str]] = {
    TargetState.ACTIVE: ("safe", "active: its copies count, and it is backed up onto"),
    TargetState.RETIRED: ("dim", "retired: its copies no longer count; it can still be restored from"),
    TargetState.SUSPECT: ("below", "suspect: its copies don't count until it is verified; restored from last"),
    TargetState.LOST: ("none", "lost: its copies are gone; plugged in again, it is announced as found"),
}


def _checked(target: Target) -> str:
    """When it was last read whole. What medback copies is read back at once, so never is less bad than it sounds."""
    return f"verified {ago(target.verified_at)}" if target.verified_at else "not verified since it was written"


class TargetsScreen(MainScreen):
    """Screen 2."""

    MODE = "targets"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("b,enter", "back_up", "targets.back-up", "back up", "Copy onto it what is not safe; shows what first"),
        shown("n", "new", "targets.new", "new", "Choose a drive (or any directory) to back up onto"),
        shown("w", "what_if", "targets.what-if", "what if", "See what would be lost if this drive died"),
        shown("s", "state", "targets.state", "state", "Active, retired, suspect or lost"),
        shown("v", "verify", "targets.verify", "verify", "Read every file on this drive again"),
        quiet("l", "label", "targets.label", "label", "What you call this drive"),
        quiet("D", "discover", "targets.discover", "discover", "Recognise what already lies on this drive"),
        quiet("p", "repair", "targets.repair", "repair", "Put good copies back where damage was found"),
    ]

    rows = getters.query_one("#targets", RowList)
    empty = getters.query_one(EmptyState)
    detail = getters.query_one("#target-detail", Static)

    def compose_body(self) -> Iterable[Widget]:
        yield EmptyState()
        yield RowList[TargetFacts](
            COLUMNS,
            self._draw,
            lambda row: row.target.id,
            lit=lambda row: row.target.key in self.app.drives.here,
            id="targets",
        )
        yield Static(id="target-detail", classes="pane -always")

    def _draw(self, row: TargetFacts) -> list[Cell]:
        target = row.target
        here = self.app.drives.here.get(target.key)
        total, free = row.whole or 0, row.room or 0
        where: list[Span] = [("▶ here", "safe")] if here is not None else [(age(target.seen_at), "dim")]
        return [
            name(target.name),
            [(target.id, "dim")],
            [(str(target.state), STATES[target.state][0])],
            where,
            [(name(here or target.path or b""), "dim")],
            room_bar(total - free, total, 6),
            size(free) if total else [("unknown", "dim")],
            number(row.held.files),
            [(size(row.only.bytes), "below")] if row.only.files else [("·", "dim")],
            age(target.verified_at),
        ]

    def show_facts(self, facts: Facts) -> None:
        self.rows.display = self.detail.display = bool(facts.targets)
        self.empty.display = not facts.targets
        if not facts.targets:
            if facts.sources:
                self.empty.say(
                    "No drive is a target yet.",
                    ("", "A target is a drive your files are copied to. Any number, of any size."),
                    ("n", "choose the first one"),
                )
            else:
                self.empty.say(
                    "No drive is a target yet, and there is nothing to back up.",
                    ("1", "add a source first, or"),
                    ("n", "choose a drive that already holds copies"),
                )
        self.rows.show_rows(facts.targets)

    @property
    def current(self) -> TargetFacts | None:
        return self.rows.current

    @property
    def here(self) -> bytes | None:
        """Where the drive under the cursor is plugged in."""
        return None if self.current is None else self.app.drives.here.get(self.current.target.key)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        if action in ("back_up", "what_if", "state", "label", "verify", "discover", "repair"):
            return self.is_mounted and self.current is not None
        return True

    @on(LineList.Moved)
    def moved(self) -> None:
        row = self.current
        if row is None:
            return
        target = row.target
        here = self.here
        place = f"plugged in at {name(here)}" if here else f"last seen {ago(target.seen_at)}"
        if not here and target.path:
            place += f" at {name(target.path)}"
        lines = [Content.assemble((name(target.name), "bold"), f"   {target.id}   {place}")]
        lines.append(Content(STATES[target.state][1]))
        holds = f"holds {counted(row.held)}"
        if row.claimed.files:
            holds += f", and by hearsay {counted(row.claimed)}"
        lines.append(Content(f"{holds}; {_checked(target)}"))
        if row.only.files:
            words = f"{counted(row.only)} would be lost with it: nothing else holds them"
            lines.append(Content.styled(words, "$text-warning"))
        if target.capacity is not None:
            lines.append(Content(f"medback may use {size(target.capacity)} of its {size(target.total_bytes or 0)}"))
        self.detail.update(Content("\n").join(lines))

    @on(LineList.Opened)
    def action_back_up(self) -> None:
        """Preview, then copy what is not safe onto this drive."""
        row = self.current
        if row is not None and (path := self._path_of(row)) is not None:
            backing_up.preview(self.app, path, row.target.name)

    def _path_of(self, row: TargetFacts) -> bytes | None:
        """Where the drive is, or a word to the person that it is not."""
        here = self.here
        if here is None:
            seen = f"; it was last seen at {name(row.target.path)}" if row.target.path else ""
            self.notify(f"{name(row.target.name)} is not plugged in{seen}", severity="warning", markup=False)
        return here

    def action_new(self) -> None:
        """Choose another drive."""
        backing_up.choose(self.app)

    def action_discover(self) -> None:
        """Recognise what lies on this drive."""
        row = self.current
        if row is not None and (path := self._path_of(row)) is not None:
            self.app.submit(operations.discover(path, row.target.name))

    def action_verify(self) -> None:
        """Read every file on this drive again."""
        row = self.current
        if row is not None and (path := self._path_of(row)) is not None:
            self.app.submit(operations.verify(path, row.target.name))

    def action_repair(self) -> None:
        """Put good copies back."""
        row = self.current
        if row is not None and (path := self._path_of(row)) is not None:
            self.app.submit(operations.repair(path, row.target.name))

    def action_what_if(self) -> None:
        """The coverage tree as it would be without this drive."""
        from .coverage import CoverageScreen

        if self.current is not None:
            CoverageScreen.start_dead = frozenset({self.current.target.key})
            self.app.call_later(self.app.run_action, "go('coverage')")

    def action_label(self) -> None:
        """Rename this drive."""
        row = self.current
        if row is None:
            return

        def answered(value: str | None) -> None:
            if value and value != row.target.label:
                self.app.submit(operations.set_target(row.target, label=value))

        words = f"What do you call the drive {row.target.id}? Best what is written on it."
        self.app.push_screen(Ask("Label", words, name(row.target.label)), answered)

    def action_state(self) -> None:
        """Choose a state; losing a drive says first what is lost with it."""
        row = self.current
        if row is None:
            return
        lines = [Content.styled(name(row.target.name), "bold"), Content("")]
        lines += [Content(words) for _, words in STATES.values()]
        if row.only.files:
            words = f"If it no longer counts, {counted(row.only)} have no copy left."
            lines += [Content(""), Content.styled(words, "$text-warning")]
        choices = [
            Choice("no", "Leave it"),
            *(Choice(str(state), str(state)) for state in STATES if state is not row.target.state),
        ]

        def answered(answer: str | None) -> None:
            if answer not in (None, "no"):
                self.app.submit(operations.set_target(row.target, state=TargetState(answer)))

        self.app.push_screen(Question(f"State: now {row.target.state}", Content("\n").join(lines), choices), answered)
