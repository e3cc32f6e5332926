"""The coverage list: directories first, then files, drawn from pages of the session DB. A million rows are fine."""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from textual.message import Message

from medback_core.coverage.tree import DirectoryView, FileCoverage
from medback_core.model import Count
from medback_core.presenting.units import age, name, number, plural, size
from medback_tui.reading.listing import Listing, Place, View, of_copies, shares_of

from .columns import Cell, Column, Span
from .coverage_bar import bar, glyph, glyph_of
from .line_list import LineList

PAGE = 128  # rows fetched at once
PAGES_KEPT = 64

Row: TypeAlias = DirectoryView | FileCoverage
FetchPage: TypeAlias = Callable[[Sequence[int]], list[FileCoverage]]

COLUMNS = (
    Column("name", "name", least=36, sortable=True, middle=True),
    Column("unsafe", "safe", 7, sortable=True),
    Column("files", "files", 9, right=True, rank=4),
    Column("bytes", "bytes", 8, right=True, sortable=True),
    Column("none", "0 copies", 8, right=True, rank=1),
    Column("one", "1 copy", 8, right=True, rank=2),
    Column("more", "2+", 8, right=True, rank=5),
    Column("checked", "checked", 9, right=True, rank=3, sortable=True),
)
# Where a place was named: what has no copy elsewhere.
COLUMNS_WITH_PLACES = (
    replace(COLUMNS[0], least=32),
    *COLUMNS[1:],
    Column("away", "0 elsewhere", 11, right=True, rank=1),
)


@dataclass
class ListingRead(Message):
    """A place was read. `under`: the path the cursor should stand on; `file`: the key of the file it is."""

    listing: Listing
    under: tuple[int, bytes] | None
    file: int | None = None


class CoverageList(LineList):
    """Shows a `Listing`; asks `fetch` for the files of a page only when they come into sight."""

    def __init__(self, fetch: FetchPage, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = COLUMNS
        self.listing = Listing(Place(), View())
        self.marked: dict[tuple[int, bytes], Count] = {}
        self._fetch = fetch
        self._pages: OrderedDict[int, dict[int, FileCoverage]] = OrderedDict()

    @property
    def row_count(self) -> int:
        return self.listing.count

    def show_listing(self, listing: Listing, cursor: int) -> None:
        self.listing = listing
        self._pages.clear()
        self.sorted_by = listing.view.order
        counts = zip(("none", "one", "more"), listing.by_copies, strict=True)
        self.empty_columns = frozenset(column for column, count in counts if not count.files)
        self.rows_changed(cursor)

    def row_at(self, index: int) -> Row | None:
        """The row at an index; None when there is none, or its file went away since the listing was made."""
        found = self.listing.found
        if found is None or index < 0:
            return None
        if index < len(found.directories):
            return found.directories[index]
        number = index - len(found.directories)
        if number >= len(found.files):
            return None
        return self._page(found.files, number // PAGE).get(found.files[number])

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.row_at(self.cursor)

    def _page(self, keys: array[int], number: int) -> dict[int, FileCoverage]:
        page = self._pages.get(number)
        if page is None:
            files = self._fetch(keys[number * PAGE : (number + 1) * PAGE])
            page = self._pages[number] = {file.key: file for file in files}
            if len(self._pages) > PAGES_KEPT:
                self._pages.popitem(last=False)
        else:
            self._pages.move_to_end(number)
        return page

    def path_of(self, row: Row) -> tuple[int, bytes]:
        """(source key, path relative to it) of a row."""
        if isinstance(row, DirectoryView):
            return row.source.key, row.path
        place = self.listing.place
        assert place.source is not None
        return place.source, place.path + b"/" + row.name if place.path else row.name

    def is_marked(self, index: int) -> bool:
        if not self.marked:
            return False
        row = self.row_at(index)
        return row is not None and self.path_of(row) in self.marked

    def toggle_mark(self) -> None:
        """Mark or unmark the row under the cursor and step on."""
        row = self.current
        if row is None:
            return
        where = self.path_of(row)
        if where in self.marked:
            del self.marked[where]
        else:
            self.marked[where] = row.count if isinstance(row, DirectoryView) else Count(1, row.size)
        self.refresh()
        self.action_cursor(1)

    def mark_all(self) -> None:
        """Mark every row, or take all marks away when every row has one. Rows that are read page by page are read."""
        rows = [row for row in map(self.row_at, range(self.row_count)) if row is not None]
        every = {self.path_of(row): row.count if isinstance(row, DirectoryView) else Count(1, row.size) for row in rows}
        self.marked = {} if every.keys() <= self.marked.keys() else self.marked | every
        self.refresh()

    def cells(self, index: int) -> Sequence[Cell]:
        row = self.row_at(index)
        if row is None:
            return [[(f"gone; {self.app.key_of('app.reload')} reads again", "dim")], *[""] * (len(self.columns) - 1)]
        return _of_directory(row) if isinstance(row, DirectoryView) else _of_file(row)


def _of_directory(row: DirectoryView) -> list[Cell]:
    shares = shares_of(row)
    sign, style = glyph(shares)
    none, one, more = of_copies(row)
    return [
        [
            (f"{sign} ", style),
            (f"{name(row.name)}/", ""),
            *([(f"  ✘ {row.damaged:,} damaged", "none")] if row.damaged else []),
        ],
        bar(shares, 7),
        number(row.count.files),
        size(row.count.bytes),
        _bytes(none, "none"),
        _bytes(one, "below" if (shares.below - shares.apart).files else ""),
        _bytes(more, ""),
        [(_checked(row.oldest, bool(one.files or more.files)), "dim")],
        _bytes(row.without_elsewhere, "below" if shares.apart.files else ""),
    ]


def _bytes(count: Count, style: str) -> list[Span]:
    if not count.files:
        return [("·", "dim")]
    return [(size(count.bytes) if count.bytes else f"{count.files} empty", style)]


def _checked(date: int | None, copies: bool) -> str:
    return age(date) if copies or date else "·"


def _of_file(row: FileCoverage) -> list[Cell]:
    sign, style = glyph_of(row)
    by_copies: list[Cell] = [[("·", "dim")]] * 3
    by_copies[min(2, row.copies)] = [(size(row.size), "" if row.safe else style)]
    shown: list[Span] = [(f"{sign} ", style), (name(row.name), "")]
    if row.trouble:
        shown.append(("  ✘ damaged" if row.trouble == 1 else "  ✘ changed keeping its time", "none"))
    if row.elsewhere < row.elsewhere_wanted and row.copies >= row.wanted:
        shown.append((f"  {row.elsewhere} of {row.elsewhere_wanted} elsewhere", "below"))
    if row.claimed and not row.copies:
        shown.append((f"  {plural(row.claimed, 'copy', 'copies')} not checked yet", "dim"))
    return [
        shown,
        [(f"{row.copies} of {row.wanted}", style if row.copies < row.wanted else "dim")],
        "",
        size(row.size),
        *by_copies,
        [(_checked(row.checked_at, row.copies > 0), "dim")],
        [("·", "dim")] if row.elsewhere else [(size(row.size), "below" if row.elsewhere_wanted else "")],
    ]
