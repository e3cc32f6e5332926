"""What is set, where each value comes from, and how to change it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from medback_core.errors import MedbackError
from medback_core.presenting.units import name
from medback_core.settings.preferences import EXAMPLE, Preferences, read_preferences, settings_path
from medback_tui.look.keys import shown
from medback_tui.look.settings import next_order, write_file
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog
from .opening import edit_path
from .themes import PickTheme

COLUMNS = (Column("name", "setting", 22), Column("value", "now", least=20), Column("from", "set in", 13, rank=1))


@dataclass(frozen=True, slots=True)
class SettingRow:
    """One value: what it is for, what it is, whether it comes from the file; `enter`: what Enter changes."""

    words: str
    value: str
    in_file: bool
    enter: str = ""


class SettingsDialog(Dialog[None]):
    """Enter changes what the app remembers by itself; the rest stands in the settings file, which `e` opens."""

    TITLE = "Settings"
    AUTO_FOCUS = "RowList"
    keys = (("settings.change", "change"), ("settings.edit", "edit the file"), ("dialog.back", "back"))
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter", "change", "settings.change", "change", "Change this"),
        shown("e", "edit", "settings.edit", "edit the file", "Edit the settings file with $EDITOR"),
    ]
    rows = getters.query_one("#settings", RowList)

    def compose_box(self) -> ComposeResult:
        yield Static(Content(f"The settings file: {name(os.fsencode(settings_path()))}"), classes="label")
        yield RowList[SettingRow](COLUMNS, _draw, lambda row: row.words, id="settings")

    def on_mount(self) -> None:
        self._show()

    def on_screen_resume(self) -> None:
        self._show()

    def _show(self) -> None:
        found = self.app.preferences
        keys = ", ".join(f"{binding} = {key}" for binding, key in found.keys.items())
        rows = [
            SettingRow("theme", self.app.theme, "theme" in found.given, "theme"),
            SettingRow("order of Coverage", self.app.settings.order, False, "order"),
            SettingRow("copies of a new source", str(found.copies), "copies" in found.given),
            SettingRow("left free on a drive", str(found.reserve or "1 %, at least 64 MiB"), "reserve" in found.given),
            SettingRow("on plugging a drive in", str(found.on_plug), "on_plug" in found.given),
            SettingRow("session DB", name(os.fsencode(self.app.session_path)), "session" in found.given),
            SettingRow("keys", keys or "as the help shows them", "keys" in found.given),
        ]
        self.rows.styles.height = len(rows) + 1
        self.rows.show_rows(rows)

    @on(LineList.Opened)
    def action_change(self) -> None:
        row = self.rows.current
        if row is None:
            return
        if row.enter == "theme":
            self.app.push_screen(PickTheme())
            if row.in_file:
                self.notify("the settings file names a theme: it is the one to begin with")
        elif row.enter == "order":
            self.app.keep_settings(replace(self.app.settings, order=next_order(self.app.settings.order)))
            self._show()
        else:
            self.action_edit()

    def action_edit(self) -> None:
        """Edit the settings file, made from its example where there is none; then what it says holds."""
        path = settings_path()

        def edit(problem: str | None) -> None:
            if problem is not None:
                self.notify(f"the settings file can't be made: {problem}", severity="error")
            elif edit_path(self.app, os.fsencode(path)):
                self.app.aside(self, lambda: _read(path), take)

        def take(found: Preferences | MedbackError) -> None:
            if isinstance(found, MedbackError):
                self.app.show_problem(found)
                return
            self.app.take_preferences(found)
            self._show()

        self.app.aside(self, lambda: None if path.exists() else write_file(path, EXAMPLE.encode()), edit)


def _read(path: Path) -> Preferences | MedbackError:
    try:
        return read_preferences(path)
    except MedbackError as error:
        return error


def _draw(row: SettingRow) -> list[Cell]:
    return [row.words, row.value, [("settings file" if row.in_file else "", "dim")]]
