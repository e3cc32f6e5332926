"""The coverage list: directories first, then files, which are read page by page. A million rows are fine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TypeAlias

from textual.message import Message

from medback_core.coverage.tree import ORDERS, DirectoryView, FileCoverage
from medback_core.model import Count
from medback_core.presenting.units import age, name, number, plural, size
from medback_core.session import Session
from medback_core.session.tree import files_by_key
from medback_tui.reading.listing import (
    NO_PAGES,
    PAGE,
    Listing,
    Pages,
    Place,
    View,
    of_copies,
    pages_near,
    read_pages,
    shares_of,
)

from .columns import Cell, Column, Span
from .coverage_bar import bar, glyph, glyph_of
from .line_list import LineList

KEPT = 64 * PAGE  # files
PATIENCE = 0.5  # seconds a key waits for the row it is about

Row: TypeAlias = DirectoryView | FileCoverage

_COLUMNS = (
    Column("name", "name", least=36, middle=True),
    Column("unsafe", "safe", 7),
    Column("files", "files", 9, right=True, rank=4),
    Column("bytes", "bytes", 8, right=True),
    Column("none", "0 copies", 8, right=True, rank=1),
    Column("one", "1 copy", 8, right=True, rank=2),
    Column("more", "2+", 8, right=True, rank=5),
    Column("checked", "checked", 9, right=True, rank=3),
)
COLUMNS = tuple(replace(column, sortable=column.id in ORDERS) for column in _COLUMNS)
# Where a place was named: what has no copy elsewhere.
COLUMNS_WITH_PLACES = (
    replace(COLUMNS[0], least=32),
    *COLUMNS[1:],
    Column("away", "0 elsewhere", 11, right=True, rank=1),
)


@dataclass
class ListingRead(Message):
    """A place was read. `under`: the path the cursor should stand on; `file`: the key of the file it is; `pages`: what
    is in sight first."""

    listing: Listing
    under: tuple[str, bytes] | None
    file: int | None = None
    pages: Pages = NO_PAGES


class CoverageList(LineList):
    """Shows a `Listing`. Its files are read in a worker when they come into sight, or are near; a key on a row that is
    not read yet waits for it."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.columns = COLUMNS
        self.listing = Listing(Place(), View())
        self.marked: dict[tuple[str, bytes], Count] = {}  # by source (id) and path
        self._files: dict[int, FileCoverage] = {}  # by key; those of pages that are not read again yet are as they were
        self._read: set[int] = set()  # the pages that were read of this listing
        self._asked: set[int] = set()  # those that are being read
        self._marking = False
        self._came = asyncio.Event()  # something that was asked for

    @property
    def row_count(self) -> int:
        return self.listing.count

    def show_listing(self, listing: Listing, cursor: int, pages: Pages) -> None:
        """Show a place with the cursor on a row; `pages`: what was read of it already."""
        if (listing.place, listing.view) != (self.listing.place, self.listing.view):
            self._files.clear()
        self.listing = listing
        self._read, self._asked, self._marking = set(), set(), False
        self._take(pages)
        self.sorted_by = listing.view.order
        counts = zip(("none", "one", "more"), listing.by_copies, strict=True)
        self.empty_columns = frozenset(column for column, count in counts if not count.files)
        self.rows_changed(cursor)
        self._ask(pages_near(listing, self.cursor))

    def row_at(self, index: int) -> Row | None:
        """The row at an index; None when there is none, it is not read yet, or its file went away since the listing
        was made."""
        found = self.listing.found
        if found is None or not 0 <= index < self.row_count:
            return None
        if index < len(found.directories):
            return found.directories[index]
        return self._files.get(found.files[index - len(found.directories)])

    def is_unread(self, index: int) -> bool:
        """Whether a row is being read and nothing is known of it yet."""
        page = self._page_of(index)
        return page is not None and page not in self._read and self.row_at(index) is None

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.row_at(self.cursor)

    def files(self, keys: Collection[int]) -> list[FileCoverage]:
        """Those of these files that are read."""
        return [self._files[key] for key in keys if key in self._files]

    # --- reading -----------------------------------------------------------------------------------------------------

    def _page_of(self, index: int) -> int | None:
        """The page a row is on; None for directories, and where there is no row."""
        found = self.listing.found
        if found is None or not len(found.directories) <= index < self.row_count:
            return None
        return (index - len(found.directories)) // PAGE

    def _ask(self, pages: Collection[int]) -> None:
        """Have these pages read that are not."""
        asked = frozenset(pages) - self._read - self._asked
        if not asked:
            return
        self._asked |= asked
        listing = self.listing

        def read(session: Session) -> Pages:
            return read_pages(session, listing, asked)

        self.app.aside(
            self,
            lambda: self.app.read_or_tell(read) or Pages(asked),
            lambda found: self._pages_read(listing, found),
            exclusive=False,
        )

    def _pages_read(self, listing: Listing, pages: Pages) -> None:
        if listing is not self.listing:
            return
        before = self.current
        self._take(pages)
        self._came.set()
        top, height = self.scroll_offset.y, self.size.height
        if any(self._page_of(index) in pages.numbers for index in range(top, top + height)):
            self.refresh()
        if self.current is not before:
            self.post_message(self.Moved(self))

    def _take(self, pages: Pages) -> None:
        for key in self.listing.keys_on(pages.numbers):
            self._files.pop(key, None)
        self._files |= {file.key: file for file in pages.files}
        self._read |= pages.numbers
        self._asked -= pages.numbers
        if len(self._files) > KEPT:  # of the others those near the cursor
            self._read &= pages.numbers | pages_near(self.listing, self.cursor)
            kept = set(self.listing.keys_on(self._read))
            self._files = {key: file for key, file in self._files.items() if key in kept}

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        first = self._row_on(self.scroll_offset.y) if self.row_count else -1
        self._ask(pages_near(self.listing, first) if first >= 0 else ())

    async def on_key(self) -> None:
        """A key acts on a row that is seen, and on marks that are made."""
        with suppress(TimeoutError):
            async with asyncio.timeout(PATIENCE):
                while self._marking or self.is_unread(self.cursor):
                    self._came.clear()
                    await self._came.wait()

    def path_of(self, row: Row) -> tuple[str, bytes]:
        """(source id, path relative to it) of a row."""
        if isinstance(row, DirectoryView):
            return row.source.id, row.path
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

    def mark_all(self, then: Callable[[], object]) -> None:
        """Mark every row, or take all marks away when every row has one. Names and sizes of all are read for it; `then`
        is called when they are marked."""
        listing, found = self.listing, self.listing.found
        if found is None or self._marking:
            return
        every = {self.path_of(row): row.count for row in found.directories}
        keys, place = found.files, listing.place

        def read(session: Session) -> dict[tuple[str, bytes], Count]:
            above = place.path + b"/" if place.path else b""
            files = files_by_key(session, keys).values()
            return every | {(place.source or "", above + file.name): Count(1, file.content.size) for file in files}

        def mark(every: dict[tuple[str, bytes], Count]) -> None:
            self._marking = False
            self._came.set()
            if listing.place == self.listing.place:
                self.marked = {} if every.keys() <= self.marked.keys() else self.marked | every
                self.refresh()
                then()

        self._marking = True
        self.app.aside(self, lambda: self.app.read_or_tell(read) or {}, mark, exclusive=False)

    def cells(self, index: int) -> Sequence[Cell]:
        row = self.row_at(index)
        if row is None:
            gone = f"gone; {self.app.key_of('app.reload')} reads again"
            return [[("…" if self.is_unread(index) else gone, "dim")], *[""] * (len(self.columns) - 1)]
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
        shown.append(("  ✘ damaged" if row.trouble == 1 else "  ✘ changed", "none"))
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
