"""What happened since the app was opened: every job with its command line, how it ended, and what it met."""

from __future__ import annotations

import time
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from medback_core.presenting.units import name
from medback_tui.look.keys import shown
from medback_tui.reading.state import LogLine
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog

SIGNS = {"info": ("·", "dim"), "done": ("✔", "safe"), "warning": ("▲", "below"), "error": ("✘", "none")}
COLUMNS = (
    Column("when", "when", 8),
    Column("sign", "", 1),
    Column("about", "job", 22, rank=1),
    Column("words", "what", least=40),
)


def _draw(line: LogLine) -> list[Cell]:
    when = time.strftime("%H:%M:%S", time.localtime(line.date))
    return [[(when, "dim")], [SIGNS.get(line.level, SIGNS["info"])], name(line.about), name(line.words.split("\n")[0])]


class Log(Dialog[None]):
    """The newest line is last and under the cursor; the whole of it stands below the list."""

    TITLE = "Log"
    DEFAULT_CLASSES = "-large"
    AUTO_FOCUS = "RowList"
    keys = (("log.copy", "copies the line"), ("dialog.back", "closes"))
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("L,q", "give_up", "log.close", "close", "Close the log"),
        shown("y", "copy", "log.copy", "copy line", "Copy the line under the cursor"),
    ]

    def __init__(self, lines: list[LogLine]) -> None:
        super().__init__()
        self.lines = lines

    def compose_box(self) -> ComposeResult:
        yield RowList[LogLine](COLUMNS, _draw, id)
        yield Static(id="whole", classes="pane")

    def on_mount(self) -> None:
        lines = self.lines or [LogLine(0, "info", "", "nothing has been done yet")]
        rows = self.query_one(RowList)
        rows.show_rows(list(lines))
        rows.action_last()

    @on(LineList.Moved)
    def moved(self, event: LineList.Moved) -> None:
        line = self.query_one(RowList).current
        if line is not None:
            lines = "\n".join(name(part) for part in line.words.split("\n"))
            self.query_one("#whole", Static).update(Content(lines))

    def action_copy(self) -> None:
        line = self.query_one(RowList).current
        if line is not None:
            self.app.copy_to_clipboard(name(line.words))
            self.notify("copied", timeout=2)
