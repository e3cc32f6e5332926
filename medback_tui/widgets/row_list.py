"""A list over rows held in memory: sources, drives, steps of a plan, conflicts. For tens to a few thousand rows."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from .columns import Cell, Column
from .line_list import LineList

Row = TypeVar("Row")


class RowList(LineList, Generic[Row]):
    """Rows, how to draw one, and what a row is known by so that the cursor stays on it when the rows change."""

    def __init__(
        self,
        columns: Sequence[Column],
        draw: Callable[[Row], Sequence[Cell]],
        key: Callable[[Row], Hashable],
        *,
        lit: Callable[[Row], bool] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.columns = columns
        self.rows: Sequence[Row] = ()
        self.marked: set[Hashable] = set()
        self._draw_cells, self._key, self._lit = draw, key, lit

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

    def show_rows(self, rows: Sequence[Row], *, follow_new: bool = False) -> None:
        """Show these rows, the cursor on the same one as before where it is still there; with `follow_new`, on the one
        that came to the others."""
        known = {self._key(row) for row in self.rows}
        before = [self._key(self.current)] if self.current is not None else []
        self.rows = rows
        keys = [self._key(row) for row in rows]
        self.marked &= set(keys)
        new = [key for key in keys if key not in known]
        wanted = new if follow_new and known and len(new) == 1 else before
        self.rows_changed(keys.index(wanted[0]) if wanted and wanted[0] in keys else None)

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor and step on."""
        if self.current is not None:
            self.marked ^= {self._key(self.current)}
            self.refresh()
            self.action_cursor(1)
