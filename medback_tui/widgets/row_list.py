"""A list over rows held in memory: sources, drives, steps of a plan, conflicts. For tens to a few thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Generic, TypeVar

from textual import on
from textual.binding import BindingType

from medback_tui.look.keys import quiet

from .columns import Cell, Column
from .line_list import LineList

Row = TypeVar("Row")


class RowList(LineList, Generic[Row]):
    """Rows, how to draw one, and what a row is known by so that the cursor stays on it when the rows change.

    `orders`: what a column sorts by. Its title (or the key) puts the rows in that order, once more in the given one.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("S", "sort", "list.sort", "sort", "Sort by the next column, or as they were; a title can be clicked too"),
    ]

    def __init__(
        self,
        columns: Sequence[Column],
        draw: Callable[[Row], Sequence[Cell]],
        key: Callable[[Row], Hashable],
        *,
        lit: Callable[[Row], bool] | None = None,
        orders: Mapping[str, Callable[[Row], float | str]] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.orders = orders or {}
        self.show_columns(columns)
        self.rows: Sequence[Row] = ()
        self._given: Sequence[Row] = ()
        self._groups: Mapping[Hashable, str] = {}
        self.marked: set[Hashable] = set()
        self._draw_cells, self._key, self._lit = draw, key, lit

    def show_columns(self, columns: Sequence[Column]) -> None:
        """Have these columns; the cells of each row must be as many."""
        self.columns = [replace(column, sortable=column.id in self.orders) for column in columns]

    @property
    def row_count(self) -> int:
        return len(self.rows)

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.rows[self.cursor] if 0 <= self.cursor < len(self.rows) else None

    def cells(self, index: int) -> Sequence[Cell]:
        return self._draw_cells(self.rows[index])

    def is_marked(self, index: int) -> bool:
        return self._key(self.rows[index]) in self.marked

    def row_style(self, index: int) -> str:
        return "lit" if self._lit is not None and self._lit(self.rows[index]) else "row"

    def show_rows(
        self, rows: Sequence[Row], *, follow_new: bool = False, groups: Mapping[Hashable, str] | None = None
    ) -> None:
        """Show these rows, the cursor on the same one as before where it is still there; with `follow_new`, on the one
        that came to the others. `groups`: the headings in this order, by the key of the first row below each; sorted by
        a column, rows have none."""
        known = {self._key(row) for row in self.rows}
        before = [self._key(self.current)] if self.current is not None else []
        self._given, self._groups = rows, groups or {}
        order = self.orders.get(self.sorted_by)
        rows = self.rows = rows if order is None else sorted(rows, key=order)
        keys = [self._key(row) for row in rows]
        self.marked &= set(keys)
        self.headings = {} if order else {n: self._groups[key] for n, key in enumerate(keys) if key in self._groups}
        new = [key for key in keys if key not in known]
        wanted = new if follow_new and known and len(new) == 1 else before
        self.rows_changed(keys.index(wanted[0]) if wanted and wanted[0] in keys else None)

    @on(LineList.HeaderClicked)
    def header_clicked(self, message: LineList.HeaderClicked) -> None:
        self._sort_by("" if message.column.id == self.sorted_by else message.column.id)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return action != "sort" or bool(self.orders)

    def action_sort(self) -> None:
        """The next order; after the last the given one."""
        orders = ["", *self.orders]
        self._sort_by(orders[(orders.index(self.sorted_by) + 1) % len(orders)])

    def _sort_by(self, order: str) -> None:
        self.sorted_by = order
        self.show_rows(self._given, groups=self._groups)

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor and step on."""
        if self.current is not None:
            self.marked ^= {self._key(self.current)}
            self.refresh()
            self.action_cursor(1)
