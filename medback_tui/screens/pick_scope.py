"""Choose what to bring back by walking the tree as it is on record, whether or not it still exists."""

from __future__ import annotations

from typing import ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from medback_core.coverage.tree import DirectoryView
from medback_core.presenting.units import name
from medback_core.session import Session
from medback_tui.look.keys import shown
from medback_tui.reading.listing import Place, View, pages_near, read_listing, read_pages
from medback_tui.reading.plan_facts import Scope
from medback_tui.widgets.coverage_list import CoverageList, ListingRead
from medback_tui.widgets.line_list import LineList

from .dialogs import Dialog


class PickScope(Dialog[Scope]):
    """Returns the scope, None for Esc."""

    TITLE = "Bring back what?"
    DEFAULT_CLASSES = "-large"
    AUTO_FOCUS = "CoverageList"
    keys = (
        ("scope.take", "choose this"),
        ("scope.all", "everything"),
        ("scope.into", "open"),
        ("scope.out", "out"),
        ("dialog.back", "back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("right,l,enter", "into", "scope.into", "open", "Go into the directory under the cursor"),
        shown("left,h,backspace", "out", "scope.out", "out", "Out to the directory above"),
        shown("space", "take", "scope.take", "choose", "Bring back what is under the cursor"),
        shown("a", "all", "scope.all", "everything", "Bring back everything"),
    ]
    rows = getters.query_one(CoverageList)
    where = getters.query_one("#where", Static)

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()

    def compose_box(self) -> ComposeResult:
        yield Static(id="where", classes="label")
        yield CoverageList()

    def on_mount(self) -> None:
        self._read(self.place, None)

    @work(thread=True, exclusive=True, exit_on_error=False, group="listing")
    def _read(self, place: Place, under: tuple[str, bytes] | None) -> None:
        def read(session: Session) -> ListingRead:
            listing = read_listing(session, place, View())
            row = 0 if under is None else listing.index_of(under, None, 0)
            return ListingRead(listing, under, None, read_pages(session, listing, pages_near(listing, row)))

        found = self.app.read_or_tell(read)
        if found is not None:
            self.post_message(found)

    @on(ListingRead)
    def listing_read(self, message: ListingRead) -> None:
        listing = message.listing
        self.place = listing.place
        row = 0 if message.under is None else listing.index_of(message.under, None, 0)
        self.rows.show_listing(listing, row, message.pages)
        where = "all sources" if listing.source is None else f"{name(listing.source.alias)}/{name(listing.place.path)}"
        self.where.update(Content(where))

    @on(LineList.Opened)
    def action_into(self) -> None:
        row = self.rows.current
        if isinstance(row, DirectoryView):
            self._read(Place(row.source.id, row.path), None)
        elif row is not None:
            self.action_take()

    def action_out(self) -> None:
        here = self.place
        if here.source is not None:
            above = Place(here.source, here.path.rpartition(b"/")[0]) if here.path else Place()
            self._read(above, (here.source, here.path))

    def action_take(self) -> None:
        row, source = self.rows.current, self.rows.listing.source
        if isinstance(row, DirectoryView):
            self.dismiss(Scope(row.source.alias, row.path))
        elif row is not None and source is not None:
            self.dismiss(Scope(source.alias, self.rows.path_of(row)[1]))

    def action_all(self) -> None:
        self.dismiss(Scope())
