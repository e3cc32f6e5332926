"""A list of files to look through: what no drive can bring back, what is not restored yet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from medback_core.presenting.units import name, size
from medback_tui.look.keys import shown
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog

COLUMNS = (
    Column("path", "path", 0, middle=True),
    Column("note", "", 8),
    Column("size", "bytes", 10, right=True),
)


@dataclass(frozen=True, slots=True)
class FileLine:
    """One file; `note` a word on it."""

    path: bytes
    size: int
    note: str = ""


def _draw(row: FileLine) -> list[Cell]:
    return [name(row.path), [(row.note, "below")], size(row.size)]


class FileList(Dialog[None]):
    """A plain list; `words` say what it is a list of."""

    DEFAULT_CLASSES = "-large"
    AUTO_FOCUS = "RowList"
    keys = (("dialog.back", "closes"),)
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("q,enter", "give_up", "files.close", "close", "Close the list"),
    ]

    def __init__(self, title: str, words: Content, rows: Sequence[FileLine]) -> None:
        super().__init__()
        self.title, self.words, self.rows = title, words, rows

    def compose_box(self) -> ComposeResult:
        yield Static(self.words, classes="label")
        yield RowList[FileLine](COLUMNS, _draw, lambda row: row)

    def on_mount(self) -> None:
        self.query_one(RowList).show_rows(self.rows)
