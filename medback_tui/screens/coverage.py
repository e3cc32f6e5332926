"""Coverage: the tree of sources, what is safe and what is not, and what it would be if some drives died."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

from textual import getters, on, work
from textual.binding import BindingType
from textual.containers import Container
from textual.widget import Widget
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from medback_core.coverage.tree import DirectoryView, FileCoverage
from medback_core.session import Session
from medback_core.session.files import find_file
from medback_tui.look import settings
from medback_tui.look.keys import quiet, shown, typing
from medback_tui.reading.facts import Facts
from medback_tui.reading.listing import Place, View, pages_near, read_listing, read_pages, source_key, with_advice
from medback_tui.reading.plan_facts import Scope
from medback_tui.widgets.breadcrumb import Breadcrumb
from medback_tui.widgets.coverage_detail import CoverageDetail
from medback_tui.widgets.coverage_list import COLUMNS, COLUMNS_WITH_PLACES, CoverageList, ListingRead
from medback_tui.widgets.empty import EmptyState
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.risk_map import RiskMap

from .base import MainScreen, Pane
from .dead_drives import Dead, DeadDrives
from .opening import edit_path
from .place_words import status_words
from .restore import RestoreScreen


class CoverageScreen(MainScreen):
    """Screen 3."""

    MODE = "coverage"
    AUTO_FOCUS = "CoverageList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter,right,l", "open", "coverage.open", "open", "Go into the directory under the cursor"),
        quiet("left,h,backspace", "out", "coverage.out", "out", "Back out to the directory above"),
        typing(
            "slash",
            "filter",
            "coverage.filter",
            "filter",
            "Show only names with what you type; a / looks everywhere",
        ),
        shown("f", "unsafe_only", "coverage.unsafe", "not safe", "Show only what is not safe, or all again"),
        shown("s", "sort", "coverage.sort", "sort", "Sort by name, bytes, what is not safe, or oldest check"),
        shown("w", "what_if", "coverage.what-if", "what if", "What if drives died: mark them, see the tree without"),
        shown("m", "map", "coverage.map", "map", "This directory as a map: area is bytes, and how safe each part is"),
        quiet("space", "mark", "coverage.mark", "mark", "Mark this; shows the total of all marks"),
        quiet("asterisk", "mark_all", "coverage.mark-all", "mark all", "Mark all that is listed, or nothing"),
        quiet("t", "timeline", "coverage.timeline", "timeline", "What happened month by month, and how safe it was"),
        quiet("D", "deleted", "coverage.deleted", "deleted", "Deleted files and older versions of this directory"),
        quiet(
            "o",
            "open_path",
            "coverage.open-path",
            "open",
            "Open this file or directory with the system's program for it",
        ),
        quiet("e", "edit_file", "coverage.edit", "edit", "Edit this file with $EDITOR"),
        quiet("r", "restore", "coverage.restore", "restore", "Bring this (or what is marked) back: opens Restore"),
        quiet("escape", "back", "coverage.back", "back", "End the filter, the what-if, the marks, one after the other"),
    ]

    start_at: ClassVar[tuple[str, bytes] | None] = None  # another screen wants this place shown
    start_under: ClassVar[tuple[str, bytes] | None] = None  # … with the cursor on this
    start_dead: ClassVar[frozenset[str] | None] = None  # … or these drives dead

    empty = getters.query_one(EmptyState)
    rows = getters.query_one(CoverageList)
    map = getters.query_one(RiskMap)
    crumbs = getters.query_one(Breadcrumb)
    detail = getters.query_one(CoverageDetail)
    split = getters.query_one(".split", Container)
    filter_line = getters.query_one("#filter", Input)
    status = getters.query_one("#status", Static)

    def __init__(self) -> None:
        super().__init__()
        self.place = Place()
        self.view = View()
        self._facts: Facts | None = None

    def compose_body(self) -> Iterable[Widget]:
        yield EmptyState()
        yield Breadcrumb()
        yield Static(id="status", classes="line")
        with Container(classes="split"):
            yield CoverageList()
            yield RiskMap(lambda keys: self.rows.files(keys))
            with Pane():
                yield CoverageDetail()
        yield Input(id="filter")

    def on_mount(self) -> None:
        self.view = View(self.app.settings.order)
        self.filter_line.display = self.status.display = self.map.display = False

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show_facts(self, facts: Facts) -> None:
        changed = facts is not self._facts
        self._facts = facts
        has = bool(facts.sources)
        self.empty.display = not has
        self.crumbs.display = self.split.display = has
        if not has:
            self.empty.say(
                "There is nothing to show the coverage of yet.",
                ("go.sources", "add a source first: a directory with files you want to keep"),
            )
            return
        if CoverageScreen.start_at is not None:
            self.place, CoverageScreen.start_at, changed = Place(*CoverageScreen.start_at), None, True
            self.view = replace(self.view, filter_text="")
        if CoverageScreen.start_dead is not None:
            self.view, changed = replace(self.view, dead=CoverageScreen.start_dead, burnt=()), True
            self.place, CoverageScreen.start_dead = Place(), None
        if self.place.source is not None and all(row.source.id != self.place.source for row in facts.sources):
            self.place = Place()
        if changed:
            under, CoverageScreen.start_under = CoverageScreen.start_under, None
            self.read(under)
        else:
            self._show_detail()

    def read(self, under: tuple[str, bytes] | None = None) -> None:
        """Read the place one is in; the cursor stays where it is, or goes to `under`."""
        self._read(self.place, self.view, under, self.rows.cursor if self.rows.listing.place == self.place else 0)

    @work(thread=True, exclusive=True, exit_on_error=False, group="listing")
    def _read(self, place: Place, view: View, under: tuple[str, bytes] | None, row: int = 0) -> None:
        """`row`: where the cursor will stand if there is nothing `under` it."""
        worker = get_current_worker()

        def read(session: Session) -> ListingRead:
            listing = read_listing(session, place, view)
            source = source_key(session, under[0]) if under is not None else None
            file = find_file(session, source, under[1]) if under is not None and source is not None else None
            key = file.key if file is not None else None
            first = row if under is None else listing.index_of(under, key, row)
            pages = read_pages(session, listing, pages_near(listing, first))
            if listing.found is None or worker.is_cancelled:
                return ListingRead(listing, under)
            self.post_message(ListingRead(listing, under, key, pages))  # what to do next is told when it is known
            return ListingRead(with_advice(session, listing), None, None, pages)

        answer = self.app.read_or_tell(read)
        if answer is not None and not worker.is_cancelled:
            self.post_message(answer)

    @on(ListingRead)
    def listing_read(self, message: ListingRead) -> None:
        listing = message.listing
        if listing.place != self.place or listing.view != self.view:
            return  # one has moved on meanwhile
        if listing.found is None and listing.place.source is not None:
            self.action_out()  # the directory is gone
            return
        under, file, cursor = message.under, message.file, 0
        if self.rows.listing.place == listing.place:  # read again: where the cursor is by now
            cursor, current = self.rows.cursor, self.rows.current
            if under is None and current is not None:
                under = self.rows.path_of(current)
                file = current.key if isinstance(current, FileCoverage) else None
        if under is not None:
            cursor = listing.index_of(under, file, cursor)
        with_places = self._facts is not None and self._facts.three_two_one is not None
        self.rows.columns = COLUMNS_WITH_PLACES if with_places else COLUMNS
        self.rows.show_listing(listing, cursor, message.pages)
        if self.map.display:
            self.map.show_listing(listing, self.rows.cursor)
        self.crumbs.show(listing, self._facts)
        self._show_status()

    def _show_status(self) -> None:
        words = status_words(self.rows.listing, self._facts, self.rows.marked)
        self.status.display = words is not None
        self.status.update(words or "")

    @on(RiskMap.Moved)
    def map_moved(self, message: RiskMap.Moved) -> None:
        tile = message.tile
        if not tile.index <= self.rows.cursor < tile.index + tile.several:  # one of several stays the one it was
            self.rows.cursor = tile.index
        self._show_detail()

    @on(LineList.Moved)
    def _show_detail(self) -> None:
        tile = self.map.current if self.map.display else None
        if tile is not None and tile.several:
            self.detail.show_shares(tile.label, tile.shares)
        elif self._facts is not None and not self.rows.is_unread(self.rows.cursor):
            self.detail.show(self.rows.current, self.rows.listing, self.app.drives.here)

    # --- keys --------------------------------------------------------------------------------------------------------

    @property
    def path_here(self) -> bytes | None:
        row = self.rows.current
        if row is None or self._facts is None:
            return None
        source, path = self.rows.path_of(row)
        roots = {facts.source.id: facts.source.path for facts in self._facts.sources}
        return os.path.join(roots[source], path) if path else roots[source]

    def action_edit_file(self) -> None:
        """Edit this file with $EDITOR; what changed is seen by the next update."""
        path = self.path_here
        if path is not None and edit_path(self.app, path):
            self.app.notify(
                f"{self.app.key_of('go.sources')}, then {self.app.key_of('sources.update')} takes up what changed"
            )

    def why_not(self, action: str) -> str | None:
        if action in ("deleted", "back"):
            return None
        if self._facts is None or not self._facts.sources:
            return f"there is no source yet: {self.app.key_of('go.sources')}, then {self.app.key_of('sources.add')}"
        if self.map.display and action in ("filter", "unsafe_only", "sort", "mark", "mark_all"):
            return f"the map shows all of a directory, by size; {self.app.key_of('coverage.map')} shows the list again"
        if action == "edit_file" and not isinstance(self.rows.current, FileCoverage):
            return f"only a file can be edited; {self.app.key_of('coverage.open-path')} opens a directory"
        if action == "open" and isinstance(self.rows.current, FileCoverage) and not self.map.display:
            return "this is a file: what is known of it stands in the pane"
        return None

    @on(LineList.Opened)
    def action_open(self) -> None:
        """Go into the directory under the cursor; several entries in one tile of the map are shown in the list."""
        if self.map.display and self.map.current is not None and self.map.current.several:
            self.action_map()
            return
        row = self.rows.current
        if isinstance(row, DirectoryView):
            self._go(Place(row.source.id, row.path))

    def action_out(self) -> None:
        here = self.place
        if here.source is None:
            return
        above = Place(here.source, here.path.rpartition(b"/")[0]) if here.path else Place()
        self._go(above, (here.source, here.path))

    def _go(self, place: Place, under: tuple[str, bytes] | None = None) -> None:
        self.place = place
        if self.view.filter_text:
            self.view = replace(self.view, filter_text="")
            self._hide_filter()
        self._read(place, self.view, under)

    @on(Breadcrumb.Clicked)
    def crumb_clicked(self, message: Breadcrumb.Clicked) -> None:
        self._go(message.place)

    @property
    def hints(self) -> Mapping[str, str]:
        shown = {"map": "list"} if self.map.display else {}
        return {**shown, "unsafe_only": "all of it"} if self.view.unsafe_only else shown

    def action_map(self) -> None:
        """The map instead of the list, or the list again, with the cursor where it was."""
        self.map.display = not self.map.display
        self.rows.display = not self.map.display
        if self.map.display:
            self.view = replace(self.view, filter_text="", unsafe_only=False)
            self._hide_filter()
            self.map.focus()
            self.read()
        else:
            self.rows.focus()
            self._show_detail()
        self.refresh_bindings()

    def action_unsafe_only(self) -> None:
        self.view = replace(self.view, unsafe_only=not self.view.unsafe_only)
        self.read()
        self.refresh_bindings()

    def action_sort(self) -> None:
        self._sort_by(settings.next_order(self.view.order))

    def _sort_by(self, order: str) -> None:
        self.view = replace(self.view, order=order)
        self.app.keep_settings(replace(self.app.settings, order=order))
        self.read()

    @on(LineList.HeaderClicked)
    def header_clicked(self, message: LineList.HeaderClicked) -> None:
        self._sort_by(message.column.id)

    def action_mark(self) -> None:
        self.rows.toggle_mark()
        self._show_status()

    def action_mark_all(self) -> None:
        self.rows.mark_all(self._show_status)

    def action_deleted(self) -> None:
        source = self.rows.listing.source
        from .find import Deleted

        self.app.push_screen(Deleted(source.alias if source is not None else None, self.place.path))

    def action_what_if(self) -> None:
        """Choose the drives that are dead in this what-if."""
        if self._facts is None:
            return

        def chosen(dead: Dead) -> None:
            self.view = replace(self.view, dead=dead.drives, burnt=dead.places)
            self.read()

        self.app.ask(DeadDrives(self._facts, Dead(self.view.dead, self.view.burnt)), chosen)

    def action_restore(self) -> None:
        row = self.rows.current
        chosen = list(self.rows.marked) or ([self.rows.path_of(row)] if row is not None else [])
        if not chosen or self._facts is None:
            return
        aliases = {facts.source.id: facts.source.alias for facts in self._facts.sources}
        RestoreScreen.start_with = tuple(Scope(aliases[source], path) for source, path in chosen)
        self.app.call_later(self.app.run_action, "go('restore')")

    def action_back(self) -> None:
        """End the what-if, the marks, the unsafe-only view; else take note of the last job."""
        if self.app.cancel_preview():
            return
        if self.view.filter_text:
            self.view = replace(self.view, filter_text="")
            self._hide_filter()
            self.read()
        elif self.view.dead or self.view.burnt:
            self.view = replace(self.view, dead=frozenset(), burnt=())
            self.read()
        elif self.map.display:
            self.action_map()
        elif self.rows.marked:
            self.rows.marked.clear()
            self.rows.refresh()
            self._show_status()
        else:
            self.app.call_later(self.app.run_action, "dismiss_job")

    # --- the filter --------------------------------------------------------------------------------------------------

    async def action_filter(self) -> None:
        if self.focused is self.filter_line:
            typed = asyncio.Event()
            self.filter_line.call_later(typed.set)  # behind the keys it was sent before
            await typed.wait()
            self._look_everywhere(self.filter_line.value)
            return
        ends = self.app.key_of("coverage.back")
        self.filter_line.placeholder = f"part of a name; Enter keeps the filter, {ends} ends it, / looks everywhere"
        self.filter_line.display = True
        self.set_focus(self.filter_line)

    def _hide_filter(self) -> None:
        with self.filter_line.prevent(Input.Changed):
            self.filter_line.value = ""
        self.filter_line.display = False
        self.rows.focus()

    @on(Input.Changed, "#filter")
    def filter_typed(self, event: Input.Changed) -> None:
        if not self.filter_line.display:
            return  # typed before the filter ended
        if "/" in event.value:  # a path was pasted, or the keymap has another key for it: no name has one
            self._look_everywhere(self.filter_line.value.removesuffix("/"))
        elif event.value != self.view.filter_text:
            self.view = replace(self.view, filter_text=event.value)
            self.read()

    def _look_everywhere(self, text: str) -> None:
        """End the filter; its text is searched for in all sources."""
        self._hide_filter()
        if self.view.filter_text:
            self.view = replace(self.view, filter_text="")
            self.read()
        self.app.action_find(text)

    @on(Input.Submitted, "#filter")
    def filter_kept(self) -> None:
        if not self.filter_line.value:
            self._hide_filter()
        self.rows.focus()
