"""A list with a cursor that draws only the lines one can see, so that a million rows cost what fifty do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events, getters
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from medback_tui.look.keys import quiet
from medback_tui.reading.state import SharedApp

from .columns import GAP, Cell, Column, Span, fit, row_strip, visible

GUTTER = 2  # the cursor's bar, and the mark


class LineList(ScrollView, can_focus=True, inherit_bindings=False):
    """Base of every list in the app: one header line that stays, rows below it.

    A subclass answers `row_count`, `cells(index)`, and where it likes `is_marked` and `row_style`. A row may have a
    heading, a line above it that the cursor passes over.
    """

    app = getters.app(SharedApp)
    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "list--row", "list--cursor", "list--blurred", "list--hover", "list--header", "list--lit",
        "list--dim", "list--strong", "list--none", "list--below", "list--safe", "list--accent", "list--bar",
        "list--here",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("up,k", "cursor(-1)", "list.up", "up", "The row above"),
        quiet("down,j", "cursor(1)", "list.down", "down", "The row below"),
        quiet("pageup,ctrl+u", "page(-1)", "list.page-up", "page up", "A screenful up"),
        quiet("pagedown,ctrl+d", "page(1)", "list.page-down", "page down", "A screenful down"),
        quiet("home,g", "first", "list.first", "first", "The first row"),
        quiet("end,G", "last", "list.last", "last", "The last row"),
    ]

    cursor: reactive[int] = reactive(0, repaint=False)
    hovered: reactive[int] = reactive(-1, repaint=False)
    columns: Sequence[Column] = ()
    empty_columns: frozenset[str] = frozenset()  # ids of those that hold nothing
    headings: Mapping[int, str] = {}  # by the row they stand above, in order
    sorted_by: reactive[str] = reactive("")

    @dataclass
    class Told(Message):
        """What a list tells."""

        list: LineList

        @property
        def control(self) -> LineList:
            return self.list

    class Moved(Told):
        """The cursor stands on another row, or the row under it changed."""

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, LineList.Moved) and message.list is self.list

    class Opened(Told):
        """The row under the cursor was chosen: Enter, or a double click."""

    @dataclass
    class HeaderClicked(Told):
        """The title of a sortable column was clicked."""

        column: Column

    @property
    def row_count(self) -> int:
        """How many rows there are."""
        raise NotImplementedError

    def cells(self, index: int) -> Sequence[Cell]:
        """What stands in each column of a row, in the order of `columns`."""
        raise NotImplementedError

    def is_marked(self, index: int) -> bool:
        del index
        return False

    def row_style(self, index: int) -> str:
        """The name of the style a whole row is drawn in; `lit` for one that asks to be seen."""
        del index
        return "row"

    # --- rows and lines ----------------------------------------------------------------------------------------------

    def _line_of(self, index: int) -> int:
        """The line a row stands on, counted from below the titles."""
        return index + sum(row <= index for row in self.headings)

    def _row_on(self, line: int) -> int:
        """The row on a line, -1 where there is none."""
        above = sum(row + number <= line for number, row in enumerate(self.headings))
        index = line - above
        return -1 if self._heading_on(line) is not None or not 0 <= index < self.row_count else index

    def _heading_on(self, line: int) -> str | None:
        return next((text for n, (row, text) in enumerate(self.headings.items()) if row + n == line), None)

    # --- changing ----------------------------------------------------------------------------------------------------

    def _measure(self) -> None:
        self.virtual_size = Size(0, self.row_count + len(self.headings) + 1)

    def rows_changed(self, cursor: int | None = None) -> None:
        """The rows are others now: keep the cursor inside, measure and draw again."""
        self._measure()
        wanted = self.cursor if cursor is None else cursor
        self.set_reactive(LineList.cursor, max(0, min(wanted, self.row_count - 1)))
        self._refresh_scrollbars()
        self._show_cursor()
        self.refresh()
        self.post_message(self.Moved(self))

    def validate_cursor(self, cursor: int) -> int:
        return max(0, min(cursor, self.row_count - 1))

    def watch_cursor(self, old: int, new: int) -> None:
        if old == new:
            return
        self._draw_row(old)
        self._draw_row(new)
        self._show_cursor()
        self.post_message(self.Moved(self))

    def watch_hovered(self, old: int, new: int) -> None:
        self._draw_row(old)
        self._draw_row(new)

    def _draw_row(self, index: int) -> None:
        if index >= 0:
            self.refresh(Region(0, self._line_of(index) + 1 - self.scroll_offset.y, self.size.width, 1))

    def _show_cursor(self) -> None:
        height = self.scrollable_content_region.height
        if height < 2:
            return
        top, line = self.scroll_offset.y, self._line_of(self.cursor)
        first = line - (self.cursor in self.headings)
        if first < top:
            self.scroll_to(y=first, animate=False, immediate=True)
        elif line > top + height - 2:
            self.scroll_to(y=line - height + 2, animate=False, immediate=True)

    def on_resize(self) -> None:
        self._measure()
        self._show_cursor()

    # --- drawing -----------------------------------------------------------------------------------------------------

    def style_of(self, name: str) -> Style:
        """The style a span asks for by name; only what it adds to the row's own."""
        return self.get_component_rich_style(f"list--{name}", partial=name not in ("row", "header"))

    def _layout(self) -> list[tuple[int, Column, int]]:
        return visible(
            self.columns, self.scrollable_content_region.width - GUTTER, self.empty_columns, headed=bool(self.headings)
        )

    def render_line(self, y: int) -> Strip:
        width = self.scrollable_content_region.width
        layout = self._layout()
        if y == 0:
            titles: list[Cell] = [
                f"{column.title} ▾" if column.sortable and column.id == self.sorted_by else column.title
                for column in self.columns
            ]
            strip = row_strip(titles, layout, [("  ", "")], self.style_of, "header")
            return strip.adjust_cell_length(width, self.style_of("header"))
        line = self.scroll_offset.y + y - 1
        heading, index = self._heading_on(line), self._row_on(line)
        if heading is not None:
            style = self.style_of("row") + self.style_of("strong")
            return Strip([Segment(fit(f" {heading}", width), style)])
        if index < 0:
            return Strip.blank(width, self.style_of("row"))
        style = self.style_of("row")
        if self.row_style(index) == "lit":
            style += self.style_of("lit")
        here = index == self.cursor
        if here:
            style += self.style_of("cursor" if self.has_focus else "blurred")
        elif index == self.hovered:
            style += self.style_of("hover")
        gutter: list[Span] = [("▌" if here else " ", "bar"), ("*" if self.is_marked(index) else " ", "accent")]

        plain = here and self.app.native_ansi_color  # any colour may be the terminal's cursor colour there

        def style_of(name: str) -> Style:
            return style if name == "row" or plain else self.style_of(name)

        strip = row_strip(self.cells(index), layout, gutter, style_of, "row")
        return strip.adjust_cell_length(width, style)

    # --- keys and mouse ----------------------------------------------------------------------------------------------

    def action_cursor(self, step: int) -> None:
        self.cursor += step

    def action_page(self, step: int) -> None:
        self.cursor += step * max(1, self.scrollable_content_region.height - 2)

    def action_first(self) -> None:
        self.cursor = 0

    def action_last(self) -> None:
        self.cursor = self.row_count - 1

    def on_mouse_move(self, event: events.MouseMove) -> None:
        self.hovered = self._row_on(self.scroll_offset.y + event.y - 1) if event.y > 0 else -1

    def on_leave(self) -> None:
        self.hovered = -1

    def on_click(self, event: events.Click) -> None:
        if event.y == 0:
            left = GUTTER
            for _, column, width in self._layout():
                if left <= event.x < left + width + GAP and column.sortable:
                    self.post_message(self.HeaderClicked(self, column))
                left += width + GAP
            return
        index = self._row_on(self.scroll_offset.y + event.y - 1)
        if index >= 0:
            self.cursor = index
            if event.chain == 2:
                self.post_message(self.Opened(self))
