"""Mark the drives that are dead in a what-if."""

from __future__ import annotations

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from medback_core.presenting.units import name, number, size
from medback_tui.look.keys import shown
from medback_tui.reading.facts import Facts, TargetFacts
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog

COLUMNS = (
    Column("label", "drive", 0),
    Column("state", "state", 8),
    Column("files", "files", 9, right=True),
    Column("only", "only here", 10, right=True),
)


def _draw(row: TargetFacts) -> list[Cell]:
    only: Cell = [(size(row.only.bytes), "below")] if row.only.files else [("·", "dim")]
    return [name(row.target.name), [(str(row.target.state), "dim")], number(row.held.files), only]


class DeadDrives(Dialog[frozenset[int]]):
    """Returns the keys of the marked drives; none is the shelf as it is."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("space", "mark", "dead.mark", "mark", "This drive is dead, or alive again"),
        shown("enter", "done", "dead.done", "show", "Show the tree without the marked drives"),
    ]

    def __init__(self, facts: Facts, dead: frozenset[int]) -> None:
        super().__init__()
        self.facts, self.dead = facts, dead

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content("What if these drives died?")
            words = "Mark with space. Enter shows the tree without them, or without the one under the cursor."
            for group in self.facts.disk_groups:
                together = " and ".join(name(row.target.name) for row in group)
                words += f"\n{together} are on one disk: they fail together."
            yield Static(Content(words), id="words")
            yield RowList[TargetFacts](COLUMNS, _draw, lambda row: row.target.key, id="drives")
            yield Static(Content("space mark · enter show · esc back"), classes="keys")

    def on_mount(self) -> None:
        rows = self.query_one(RowList)
        rows.styles.height = min(14, len(self.facts.targets) + 2)
        rows.marked = set(self.dead)
        rows.show_rows([row for row in self.facts.targets if row.target.counts])

    def action_mark(self) -> None:
        rows = self.query_one(RowList)
        row = rows.current
        rows.toggle_mark()
        if isinstance(row, TargetFacts):  # those on the same disk with it
            others = {target.key for target in row.dies_with}
            rows.marked = rows.marked | others if row.target.key in rows.marked else rows.marked - others
            rows.refresh()

    @on(LineList.Opened)
    def action_done(self) -> None:
        rows = self.query_one(RowList)
        marked = frozenset(key for key in rows.marked if isinstance(key, int))
        if not marked and not self.dead and rows.current is not None:
            marked = frozenset({rows.current.target.key})
        self.dismiss(marked)
