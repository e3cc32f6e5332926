"""Choose a directory (or a file) by walking to it or by typing its path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Input, Static

from medback_core import model, names
from medback_core.presenting.units import name, number, size
from medback_tui.look.keys import shown, typing
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog

COLUMNS = (Column("name", "", 0, middle=True), Column("size", "", 13, right=True))


@dataclass(frozen=True, slots=True)
class PickEntry:
    """One line: what choosing it does (`take`, `up`, `into` or `file`), and the path it is about. `size`: of a file in
    bytes; of the line to `take`, how many files lie directly there."""

    does: str
    path: bytes
    size: int = 0


@dataclass
class DirectoryRead(Message):
    """A directory was read (or could not be)."""

    path: bytes
    entries: list[PickEntry]
    others: int  # files that are not among the entries
    problem: str


def read_directory(path: bytes, *, files: bool) -> tuple[list[PickEntry], int]:
    """The directories in a directory (and its files), by name, hidden ones last; and how many entries are not listed.
    Raises OSError."""
    inside: list[PickEntry] = []
    others = 0
    with os.scandir(path) as found:
        for entry in found:
            try:
                if entry.is_dir():
                    inside.append(PickEntry("into", entry.path))
                elif files and entry.is_file():
                    inside.append(PickEntry("file", entry.path, entry.stat().st_size))
                else:
                    others += not model.is_metadata(entry.name)
            except OSError:
                continue  # it went away while we looked, or is not ours to see
    inside.sort(key=lambda e: (e.does == "file", os.path.basename(e.path).startswith(b"."), e.path.lower()))
    return inside, others


class PickDirectory(Dialog[bytes]):
    """Returns the chosen path, None for Esc. With `files`, a file is what is chosen; with `new`, a directory that is
    not there yet may be typed. `words`: what a person should know before choosing."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("left,h,backspace", "up", "pick.up", "up", "The directory above"),
        shown("right,l,enter", "open", "pick.open", "open", "Go in, or choose the line under the cursor"),
        shown("space", "take", "pick.take", "choose", "Choose the directory under the cursor"),
        typing("slash", "type", "pick.type", "type a path", "Type or paste a path"),
    ]

    rows = getters.query_one("#entries", RowList)
    typed = getters.query_one(Input)
    problem = getters.query_one("#problem", Static)

    def __init__(
        self,
        title: str,
        verb: str,
        start: bytes | None = None,
        *,
        words: str = "",
        files: bool = False,
        new: bool = False,
    ) -> None:
        super().__init__(classes="-large")
        self.title_words, self.verb, self.words, self.files, self.new = title, verb, words, files, new
        self.path = start or os.path.expanduser(b"~")
        self._came_from: bytes | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self.title_words)
            if self.words:
                yield Static(Content(self.words), classes="label")
            yield Input(name(self.path), placeholder="a path; Enter takes it", select_on_focus=True)
            yield Static(id="problem")
            yield RowList[PickEntry](COLUMNS, self._draw, lambda entry: (entry.does, entry.path), id="entries")
            yield Static(Content(self._keys()), classes="keys")

    def _keys(self) -> str:
        take = "" if self.files else "space choose it · "
        return f"enter open · ← up · {take}/ type a path · esc back"

    def _draw(self, entry: PickEntry) -> list[Cell]:
        if entry.does == "take":
            there = f"{number(entry.size)} file{'' if entry.size == 1 else 's'}" if entry.size else ""
            return [[("▸ ", "accent"), (f"{self.verb}: ", "strong"), (name(entry.path), "accent")], [(there, "dim")]]
        if entry.does == "up":
            return [[("  ..", "dim")], ""]
        shown = name(os.path.basename(entry.path))
        if entry.does == "file":
            return [f"  {shown}", [(size(entry.size), "dim")]]
        return [f"  {shown}/", ""]

    def on_mount(self) -> None:
        self._read(self.path)

    @work(thread=True, exclusive=True, exit_on_error=False, group="pick")
    def _read(self, path: bytes) -> None:
        try:
            entries, others = read_directory(path, files=self.files)
            problem = ""
        except OSError as error:
            entries, others, problem = [], 0, f"{name(path)}: {error.strerror}"
        self.post_message(DirectoryRead(path, entries, others, problem))

    @on(DirectoryRead)
    def listed(self, message: DirectoryRead) -> None:
        self.problem.update(Content(message.problem))
        if message.problem and message.path != self.path:
            return
        self.path = message.path
        head = [] if self.files else [PickEntry("take", self.path, message.others)]
        if self.path != b"/":
            head.append(PickEntry("up", os.path.dirname(self.path)))
        entries = head + message.entries
        self.rows.rows = entries
        at = next((i for i, entry in enumerate(entries) if entry.path == self._came_from and entry.does == "into"), 0)
        self.rows.rows_changed(at)
        with self.typed.prevent(Input.Changed):
            self.typed.value = name(self.path)

    @on(LineList.Opened)
    def action_open(self) -> None:
        """Go in, up, or choose."""
        entry = self.rows.current
        if entry is None:
            return
        if entry.does in ("take", "file"):
            self.dismiss(entry.path)
        elif entry.does == "up":
            self.action_up()
        else:
            self._came_from = None
            self._read(entry.path)

    def action_up(self) -> None:
        """The directory above."""
        self._came_from = self.path
        self._read(os.path.dirname(self.path))

    def action_take(self) -> None:
        """Choose the directory under the cursor; on the first two lines the one that is listed."""
        entry = self.rows.current
        if not self.files:
            self.dismiss(entry.path if entry is not None and entry.does == "into" else self.path)

    def action_type(self) -> None:
        """Type a path: the slash is its first character."""
        self.typed.select_on_focus = False
        self.typed.value = "/"
        self.typed.cursor_position = 1
        self.set_focus(self.typed)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return action != "type" or self.focused is not self.typed

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        if event.value == name(self.path):
            path = self.path  # untouched: the exact bytes, whatever the name looks like
        else:
            text = event.value.strip()
            text = text[1:] if text.startswith("/~") else text  # the slash that began it
            typed = os.path.expanduser(names.from_text(text))
            path = b"/" + os.path.normpath(os.path.join(self.path, typed)).lstrip(b"/")  # never //
        if os.path.isdir(path):
            if self.files or path == b"/":  # nobody chooses a whole machine by pressing / and Enter
                self._read(path)
                self.rows.focus()
            else:
                self.dismiss(path)
        elif os.path.exists(path) if self.files else self.new and os.path.isdir(os.path.dirname(path)):
            self.dismiss(path)
        else:
            what = "is no directory" if os.path.exists(path) else "does not exist"
            self.problem.update(Content(f"{name(path)} {what}"))
