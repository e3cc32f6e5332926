"""Lay cells out in columns of a given width and turn a row into one strip of the terminal."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

Span: TypeAlias = tuple[str, str]  # text and the name of its style ("" for the row's own)
Cell: TypeAlias = "str | Sequence[Span]"
StyleOf: TypeAlias = Callable[[str], Style]
GAP = 2  # cells between two columns
NARROW = 66  # cells; in a narrower list no column insists on more than 45 % of it


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a list. `width` 0 takes what is left, at least `least` cells (less in a narrow list). Those of
    `rank` 0 are always shown, the others while there is room, the lowest rank first."""

    id: str
    title: str
    width: int = 0
    right: bool = False
    least: int = 16
    rank: int = 0
    sortable: bool = False
    middle: bool = False  # what is too long loses its middle, not its end
    heading: bool = False  # headings say it: not shown where there are some


def visible(
    columns: Sequence[Column], width: int, empty: Collection[str] = (), *, headed: bool = False
) -> list[tuple[int, Column, int]]:
    """(number in a row's cells, column, width) of the columns that are shown in `width` cells. `empty`: the ids of
    those that hold nothing, which come last; `headed`: the list has headings."""

    def needed(column: Column) -> int:
        return (column.width or (column.least if width >= NARROW else min(column.least, width * 9 // 20))) + GAP

    chosen = {number for number, column in enumerate(columns) if not column.rank and not (headed and column.heading)}
    room = width - sum(needed(columns[number]) for number in chosen)
    further = [number for number, column in enumerate(columns) if column.rank]
    for number in sorted(further, key=lambda number: (columns[number].id in empty, columns[number].rank)):
        if needed(columns[number]) <= room:
            room -= needed(columns[number])
            chosen.add(number)
    shown = [(number, columns[number]) for number in sorted(chosen)]
    fixed = sum(column.width + GAP for _, column in shown if column.width)
    free = [column for _, column in shown if not column.width]
    room = max(0, width - fixed - GAP * len(free))
    share, odd = divmod(room, len(free)) if free else (0, 0)
    widths: list[tuple[int, Column, int]] = []
    for number, column in shown:
        flexible = share + (1 if odd > 0 else 0)
        if not column.width:
            odd -= 1
        widths.append((number, column, column.width or flexible))
    return widths


def fit(text: str, width: int, *, right: bool = False, middle: bool = False) -> str:
    """The text in exactly `width` cells, cut with `…` where it is longer."""
    length = cell_len(text)
    if length > width:
        if width <= 1:
            return "…"[:width]
        if not middle or width < 8:
            return set_cell_size(text, width - 1).rstrip("\0") + "…"
        head = set_cell_size(text, (width - 1) // 2)
        return head + "…" + _last_cells(text, width - 1 - cell_len(head))
    return " " * (width - length) + text if right else text + " " * (width - length)


def _last_cells(text: str, width: int) -> str:
    tail = text[-width:]
    while cell_len(tail) > width:
        tail = tail[1:]
    return tail + " " * (width - cell_len(tail))


def spans_of(cell: Cell, column: Column, width: int) -> list[Span]:
    """A cell cut or padded to exactly `width`."""
    if isinstance(cell, str):
        return [(fit(cell, width, right=column.right, middle=column.middle), "")]
    total = sum(cell_len(text) for text, _ in cell)
    if total <= width:
        pad = (" " * (width - total), "")
        return [pad, *cell] if column.right else [*cell, pad]
    out: list[Span] = []
    left = width
    for text, style in cell:
        length = cell_len(text)
        if length >= left:
            out.append((fit(text, left, middle=column.middle), style))
            break
        out.append((text, style))
        left -= length
    return out


def row_strip(
    cells: Sequence[Cell],
    layout: Sequence[tuple[int, Column, int]],
    gutter: Sequence[Span],
    style_of: StyleOf,
    row: str,
) -> Strip:
    """One row as a strip: the gutter, then every shown column followed by two blanks."""
    base = style_of(row)
    segments = [Segment(text, base + style_of(style) if style else base) for text, style in gutter]
    blank = Segment(" " * GAP, base)
    for number, column, width in layout:
        for text, style in spans_of(cells[number], column, width):
            segments.append(Segment(text, base + style_of(style) if style else base))
        segments.append(blank)
    return Strip(segments)
