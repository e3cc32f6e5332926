"""Try the themes: the one under the cursor is in sight at once; Enter keeps it, Esc has the one of before again."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import BindingType

from medback_tui.look.keys import shown
from medback_tui.widgets.columns import Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog


class PickTheme(Dialog[None]):
    """Our own themes first, then Textual's."""

    TITLE = "Themes"
    AUTO_FOCUS = "RowList"
    keys = (("themes.keep", "keep"), ("dialog.back", "as before"))
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter", "keep", "themes.keep", "keep", "Keep this theme"),
    ]
    rows = getters.query_one("#themes", RowList)

    def compose_box(self) -> ComposeResult:
        self.before = self.app.theme
        yield RowList[str]([Column("name", "theme")], lambda name: [name], lambda name: name, id="themes")

    def on_mount(self) -> None:
        themes = sorted(self.app.available_themes, key=lambda name: (not name.startswith("medback"), name))
        self.rows.styles.height = min(14, len(themes) + 1)
        self.rows.show_rows(themes)
        self.rows.cursor = themes.index(self.before)

    @on(LineList.Moved)
    def moved(self) -> None:
        if self.rows.current is not None and self.is_current:
            self.app.theme = self.rows.current

    @on(LineList.Opened)
    def action_keep(self) -> None:
        self.app.keep_theme()
        self.dismiss(None)

    def action_give_up(self) -> None:
        self.app.theme = self.before
        self.dismiss(None)
