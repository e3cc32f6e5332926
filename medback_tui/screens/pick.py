"""Choose a directory (or a file) by walking to it or by typing its path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
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

    DEFAULT_CLASSES = "-large"
    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("left,h,backspace", "up", "pick.up", "up", "The directory above"),
        shown("right,l,enter", "open", "pick.open", "open", "Go in, or choose the line under the cursor"),
        shown("space", "take", "pick.take", "choose", "Choose the directory under the cursor"),
        typing("slash", "type('/')", "pick.type", "type a path", "Type or paste a path"),
        typing("tilde", "type('~')", "pick.type-home", "home", "Type a path in your home directory"),
        typing("tab", "complete", "pick.complete", "complete", "Complete what you type as far as it is clear"),
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
        super().__init__()
        self.title, self.verb, self.words, self.files, self.new = title, verb, words, files, new
        self.path = start or os.path.expanduser(b"~")
        self._wanted = self.path  # the directory to be listed
        self._came_from: bytes | None = None
        self._entries: list[PickEntry] = []  # of the directory that is listed
        self._beginning = b""  # of the names that are shown: what is typed behind the last slash

        self.keys = (
            ("pick.open", "open"),
            ("pick.up", "up"),
            *([] if files else [("pick.take", "choose it")]),
            ("pick.type", "type a path"),
            ("pick.complete", "complete, Enter takes it"),
            ("dialog.back", "back"),
        )

    def compose_box(self) -> ComposeResult:
        if self.words:
            yield Static(Content(self.words), classes="label")
        hint = f"a path; {self.app.key_of('pick.complete')} completes it, Enter takes it"
        yield Input(name(self.path), placeholder=hint, select_on_focus=True)
        yield Static(id="problem")
        yield RowList[PickEntry](COLUMNS, self._draw, lambda entry: (entry.does, entry.path), id="entries")

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
        self._list(self.path)

    def _list(self, path: bytes) -> None:
        """Read a directory and list it; what is read of any other by then is not wanted any more."""
        self._wanted = path
        self._read(path)

    @work(thread=True, exclusive=True, exit_on_error=False, group="pick")
    def _read(self, path: bytes) -> None:
        try:
            entries, others = read_directory(path, files=self.files)
            problem = ""
        except OSError as error:
            entries, others, problem = [], 0, f"{name(path)}: {error.strerror}"
        self.call_later(self._listed, path, entries, others, problem)

    def _listed(self, path: bytes, entries: list[PickEntry], others: int, problem: str) -> None:
        """A directory was read, or could not be. `others`: files that are not among the entries."""
        if path != self._wanted:
            return
        self.problem.update(Content(problem))
        if problem and path != self.path:
            return
        self.path = path
        head = [] if self.files else [PickEntry("take", self.path, others)]
        if self.path != b"/":
            head.append(PickEntry("up", os.path.dirname(self.path)))
        self._entries = head + entries
        if self.focused is self.typed:
            self._show_entries()
            return
        self._beginning = b""
        self._show_entries()
        with self.typed.prevent(Input.Changed):
            self.typed.value = name(self.path)

    def _show_entries(self) -> None:
        """The entries whose names begin as what is typed does, in any case."""
        begins = self._beginning.lower()
        self.rows.rows = [entry for entry in self._entries if self._fits(entry, begins)]
        came_from = (i for i, entry in enumerate(self.rows.rows) if entry == PickEntry("into", self._came_from or b""))
        self.rows.rows_changed(next(came_from, 0))

    @staticmethod
    def _fits(entry: PickEntry, begins: bytes) -> bool:
        if not begins or entry.does in ("take", "up"):
            return not begins
        return os.path.basename(entry.path).lower().startswith(begins)

    @on(Input.Changed)
    def typed_on(self, event: Input.Changed) -> None:
        """What is typed names a directory and how a name in it begins: list that."""
        self.problem.update("")
        if self.focused is not self.typed:
            return
        path = self._typed_path(event.value)
        ends = event.value.endswith("/") or path == b"/"
        directory, self._beginning = (path, b"") if ends else os.path.split(path)
        if directory == self._wanted:
            if directory == self.path:
                self._show_entries()
        elif os.path.isabs(directory):
            self._list(directory)

    def _typed_path(self, value: str) -> bytes:
        text = value.strip()
        text = text[1:] if text.startswith("/~") else text  # the slash that began it
        typed = os.path.expanduser(names.from_text(text))
        return b"/" + os.path.normpath(os.path.join(self.path, typed)).lstrip(b"/")  # never //

    def action_complete(self) -> None:
        """Complete what is typed as far as all names that fit agree."""
        fitting = [entry for entry in self._entries if self._fits(entry, self._beginning.lower()) and self._beginning]
        if not fitting:
            return
        found = [os.path.basename(entry.path) for entry in fitting]
        common = found[0]
        for other in found[1:]:
            while not other.startswith(common):
                common = common[:-1]
        if len(common) < len(self._beginning):
            return  # they agree in another case only
        whole = os.path.join(self.path, common)
        if len(fitting) == 1 and fitting[0].does == "into":
            whole += b"/"
        if names.from_text(name(whole)) == whole:  # one that can be typed
            self.typed.value = name(whole)
            self.typed.cursor_position = len(self.typed.value)

    @on(LineList.Opened)
    def action_open(self) -> None:
        entry = self.rows.current
        if entry is None:
            return
        if entry.does in ("take", "file"):
            self.dismiss(entry.path)
        elif entry.does == "up":
            self.action_up()
        else:
            self._came_from = None
            self._list(entry.path)

    def action_up(self) -> None:
        self._came_from = self.path
        self._list(os.path.dirname(self.path))

    def action_take(self) -> None:
        """Choose the directory under the cursor; on the first two lines the one that is listed."""
        entry = self.rows.current
        if not self.files:
            self.dismiss(entry.path if entry is not None and entry.does == "into" else self.path)

    def action_type(self, first: str) -> None:
        self.typed.select_on_focus = False
        self.set_focus(self.typed)
        self.typed.value = first
        self.typed.cursor_position = 1

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        is_typing = isinstance(self.focused, Input)
        return is_typing if action == "complete" else action != "type" or not is_typing

    @on(Input.Submitted)
    def submitted(self, event: Input.Submitted) -> None:
        if event.value == name(self.path):
            path = self.path  # untouched: the exact bytes, whatever the name looks like
        else:
            path = self._typed_path(event.value)

        def take(found: tuple[bool, bool, bool]) -> None:
            is_directory, exists, can_be_made = found
            if is_directory and (self.files or path == b"/"):  # a machine is not chosen whole by pressing / and Enter
                self.rows.focus()
                self._list(path)
            elif is_directory or (exists if self.files else self.new and can_be_made):
                self.dismiss(path)
            else:
                what = "is no directory" if exists else "does not exist"
                self.problem.update(Content(f"{name(path)} {what}"))

        self.app.aside(self, lambda: _looked_at(path), take)


def _looked_at(path: bytes) -> tuple[bool, bool, bool]:
    """Whether it is a directory, is there at all, and has a directory above it."""
    return os.path.isdir(path), os.path.exists(path), os.path.isdir(os.path.dirname(path))
