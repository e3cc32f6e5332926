"""The files no drive can bring back."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from medback_core.plans import NamedFile
from medback_tui.keys import shown
from medback_tui.plan_facts import PlanFacts
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.row_list import RowList
from medback_tui.words import counted, name, size

from .dialogs import Dialog

COLUMNS = (
    Column("source", "source", 16),
    Column("path", "path", 0, middle=True),
    Column("size", "bytes", 10, right=True),
)


def _draw(row: NamedFile) -> list[Cell]:
    return [name(row.source), name(row.path), size(row.size)]


class Unreachable(Dialog[None]):
    """A plain list; the core names the first ones only when there are very many."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("m,q,enter", "give_up", "unreachable.close", "close", "Close the list"),
    ]

    def __init__(self, plan: PlanFacts) -> None:
        super().__init__(classes="-large")
        self.plan = plan

    def compose(self) -> ComposeResult:
        plan = self.plan.summary
        with Vertical(id="box") as box:
            box.border_title = "No drive has these"
            shown = len(plan.unreachable_files)
            more = f"; the first {shown} of them:" if shown < plan.unreachable.files else ""
            yield Static(Content(f"{counted(plan.unreachable)} would not come back{more}"), classes="label")
            yield RowList[NamedFile](COLUMNS, _draw, lambda row: row)
            yield Static("esc closes", classes="keys")

    def on_mount(self) -> None:
        self.query_one(RowList).show_rows(self.plan.summary.unreachable_files)
