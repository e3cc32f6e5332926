"""Search everything as one types: files of all sources, deleted ones, older versions; and the list of what is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from medback_core import names
from medback_core.coverage.deleted import deleted_count, deleted_page
from medback_core.coverage.find import Found, find
from medback_core.coverage.where_is import FileWhereabouts
from medback_core.model import Count
from medback_core.presenting.places import at, lacking_words
from medback_core.presenting.units import ago, counted, name, number, plural, size
from medback_core.session import Session
from medback_core.session.gone import GoneFile, list_gone
from medback_core.session.sources import find_source
from medback_tui.jobs import operations
from medback_tui.look.keys import quiet, shown, typing
from medback_tui.reading.state import SharedApp
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog

SHOWN = 500  # of what is found; one types on rather than reading more

COLUMNS = (
    Column("path", "path", least=44, middle=True),
    Column("what", "", 24),
    Column("copies", "on", 18, rank=1),
    Column("size", "bytes", 9, right=True),
)


def draw(file: FileWhereabouts) -> list[Cell]:
    """One file: where it is, whether it is gone, on which drives it lies."""
    what: Cell = ""
    if file.gone:
        what = [(f"{'older version' if file.replaced else 'deleted'} {ago(file.gone_at)}", "dim")]
    on = ", ".join(name(copy.target.name) for copy in file.copies)
    return [
        f"{name(file.source)}/{name(file.path)}",
        what,
        [(on or "no copy", "none" if not on else "below" if file.lacks[1] else "")],
        size(file.size),
    ]


def detail(file: FileWhereabouts | None, here: dict[str, bytes]) -> Content:
    """Where each copy of a file lies."""
    if file is None:
        return Content("")
    lines = [Content.styled(f"{name(file.source)}/{name(file.path)}", "bold")]
    for copy in file.copies[:3]:
        where = name(copy.path) if copy.path else "where on it is known when the drive is next seen"
        plugged = f"  {at(copy.place)}" if copy.place else ""
        plugged += "  ▶ here" if copy.target.id in here else ""
        lines.append(Content.assemble((name(copy.target.name), "bold"), f"{plugged}  {where}"))
    if not file.copies:
        lines.append(Content.styled("no copy anywhere", "$text-error"))
    if file.lacks[1]:
        lines.append(Content.styled(lacking_words(*file.lacks), "$text-warning"))
    return Content("\n").join(lines)


class Hits(Dialog[FileWhereabouts]):
    """A list of files; Enter and r act on the one under the cursor, or bring back all that are marked."""

    DEFAULT_CLASSES = "-large"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("r", "restore", "find.restore", "bring back", "Bring this file back, or all that are marked"),
        quiet("space", "mark", "find.mark", "mark", "Mark this file"),
        quiet("asterisk", "mark_all", "find.mark-all", "mark all", "Mark all files listed, or none"),
    ]

    rows = getters.query_one("#hits", RowList)
    words = getters.query_one("#found", Static)
    copies = getters.query_one("#copies", Static)

    def compose_box(self) -> ComposeResult:
        yield Static(id="found", classes="label")
        yield RowList[FileWhereabouts](COLUMNS, draw, lambda file: (file.source, file.path, file.content), id="hits")
        yield Static(id="copies", classes="pane")

    @property
    def current(self) -> FileWhereabouts | None:
        """The file under the cursor."""
        return self.rows.current

    @on(LineList.Moved, "#hits")
    def moved(self) -> None:
        self.copies.update(detail(self.current, self.app.drives.here))

    def action_mark(self) -> None:
        self.rows.toggle_mark()

    def action_mark_all(self) -> None:
        keys = {(file.source, file.path, file.content) for file in self.rows.rows}
        self.rows.marked = set() if self.rows.marked == keys else set(keys)
        self.rows.refresh()

    def action_restore(self) -> None:
        marked = self.rows.marked
        files = [f for f in self.rows.rows if (f.source, f.path, f.content) in marked]
        if not files and self.current is not None:
            files = [self.current]

        def bring(latest: list[FileWhereabouts]) -> None:
            if bring_back(self.app, files, latest):
                self.dismiss(None)

        self.app.aside(self, lambda: self.app.read_or_tell(lambda session: latest_of(session, files)) or files, bring)


class Find(Hits):
    """The search. Returns the file to go to."""

    TITLE = "Find in all sources, deleted files and older versions"
    AUTO_FOCUS = "Input"
    keys = (
        ("find.open", "go there"),
        ("find.list", "list"),
        ("find.restore", "bring back"),
        ("find.mark", "mark"),
        ("dialog.back", "back"),
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        typing("enter", "open", "find.open", "go there", "Go to the file in Coverage; a deleted one is brought back"),
        typing("down", "to_list", "find.list", "list", "To the list"),
        quiet("slash", "type", "find.type", "type", "Type on"),
    ]

    typed = getters.query_one(Input)

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = text

    def compose_box(self) -> ComposeResult:
        yield Input(self.text, placeholder="part of a name or path, or *.cr2", select_on_focus=False)
        yield from super().compose_box()

    def on_mount(self) -> None:
        self._search(self.text)

    @on(Input.Changed)
    def text_changed(self, event: Input.Changed) -> None:
        self._search(event.value)

    @work(thread=True, exclusive=True, exit_on_error=False, group="listing")
    def _search(self, text: str) -> None:
        worker = get_current_worker()
        pattern = names.from_text(text.strip())

        def read(session: Session) -> Found:
            return find(session, [pattern], limit=SHOWN)

        found = self.app.read_or_tell(read, Found(())) if pattern else Found(())
        if found is not None and not worker.is_cancelled:
            self.call_later(self._searched, text, found)

    def _searched(self, text: str, found: Found) -> None:
        if text != self.typed.value:
            return  # one has typed on meanwhile
        self.rows.marked = set()
        self.rows.rows = found.files
        self.rows.rows_changed(0)
        if not text.strip():
            words = "A part of a name (lisbon), of a path (2024/lis), or a pattern (*.cr2)"
        elif not found.files:
            words = "Nothing found."
        else:
            words = f"the first {number(len(found.files))}" if found.more else f"{number(len(found.files))} found"
        self.words.update(Content(words))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        del parameters
        return action != "to_list" or self.focused is self.typed

    def action_to_list(self) -> None:
        if self.rows.row_count:
            self.rows.focus()

    def action_type(self) -> None:
        self.typed.focus()

    @on(Input.Submitted)
    @on(LineList.Opened)
    def action_open(self) -> None:
        """Go to the file; one that is gone is brought back."""
        file = self.current
        if file is None:
            return
        if file.gone:
            self.rows.marked = set()
            self.action_restore()
        else:
            self.dismiss(file)


@dataclass
class GonePage:
    """A page of what is gone."""

    files: tuple[FileWhereabouts, ...]
    last: GoneFile | None
    count: Count
    by_path: bool
    first: bool
    anywhere: Count | None = None  # where nothing is known of the directory that was asked about


class Deleted(Hits):
    """Deleted files and older versions: the latest first, or by directory. With `within` those that went at or after
    the first date and before the second, which is `during` such a time."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter", "restore", "deleted.restore", "bring back", "Bring this file back, or all that are marked"),
        shown("s", "sort", "deleted.sort", "by date or directory", "The latest first, or by directory"),
        shown(
            "a", "everywhere", "deleted.everywhere", "everywhere", "Those of all sources, not of one directory alone"
        ),
    ]

    def __init__(
        self,
        source: str | None = None,
        path: bytes = b"",
        within: tuple[int, int] | tuple[None, None] = (None, None),
        during: str = "",
    ) -> None:
        super().__init__()
        self.source, self.path, self.by_path = source, path, False
        self.within, self.during = within, during
        words = "Deleted files and older versions" + (f" of {self._where}" if source else "")
        self.title = f"Deleted or replaced in {during}" if during else words
        self.keys = (
            ("deleted.restore", "bring back"),
            ("find.mark", "mark"),
            ("find.mark-all", "mark all"),
            ("deleted.sort", "order"),
            *([("deleted.everywhere", "everywhere")] if source else []),
            ("dialog.back", "back"),
        )
        self.last: GoneFile | None = None
        self.reading = False

    def on_mount(self) -> None:
        self._read(None, self.by_path)

    @property
    def _where(self) -> str:
        return name(self.source or "") + (f"/{name(self.path)}" if self.path else "")

    @work(thread=True, exclusive=True, exit_on_error=False, group="listing")
    def _read(self, after: GoneFile | None, by_path: bool) -> None:
        self.reading = True
        worker = get_current_worker()
        source, path, (since, before) = self.source, self.path or None, self.within

        def read(session: Session) -> GonePage:
            page = deleted_page(
                session, source=source, path=path, since=since, before=before, by_path=by_path, after=after, limit=SHOWN
            )
            count = deleted_count(session, source=source, path=path, since=since, before=before)
            anywhere = deleted_count(session) if source is not None and not count.files else None
            return GonePage(page.files, page.last, count, by_path, after is None, anywhere)

        page = self.app.read_or_tell(read, GonePage((), None, Count(), by_path, first=True))
        if page is not None and not worker.is_cancelled:
            self.call_later(self._page_read, page)

    def _page_read(self, page: GonePage) -> None:
        if page.by_path != self.by_path:
            return
        self.last, self.reading = page.last, False
        self.rows.rows = page.files if page.first else (*self.rows.rows, *page.files)
        self.rows.rows_changed(0 if page.first else None)
        if not page.count.files:
            when = f" from {self.during}" if self.during else ""
            words = f"No deleted file and no older version{when} of which a copy exists is known here."
            if page.anywhere is not None and page.anywhere.files:
                key = self.app.key_of("deleted.everywhere")
                words = f"None is known of {self._where}. {key} lists those of all sources: {counted(page.anywhere)}."
            self.words.update(Content(words))
            return
        order = "by directory" if self.by_path else "the latest first"
        self.words.update(Content(f"{counted(page.count)} can be brought back; {order}"))

    @on(LineList.Moved, "#hits")
    def near_the_end(self) -> None:
        if self.last is not None and not self.reading and self.rows.cursor > self.rows.row_count - 100:
            self._read(self.last, self.by_path)

    def action_everywhere(self) -> None:
        self.source, self.path = None, b""
        if not self.during:
            self.query_one("#box").border_title = Content("Deleted files and older versions")
        self._read(None, self.by_path)

    def action_sort(self) -> None:
        self.by_path = not self.by_path
        self._read(None, self.by_path)

    @on(LineList.Opened)
    def opened(self) -> None:
        self.action_restore()


def bring_back(app: SharedApp, files: Sequence[FileWhereabouts], latest: Sequence[FileWhereabouts]) -> int:
    """Queue a restore of each file from a drive that is here, if it is among the `latest`; say which drive to plug in
    where none is. Returns how many were queued."""
    here, queued = app.drives.here, 0
    away: list[FileWhereabouts] = []
    for file in files:
        if file not in latest:
            where = next((copy for copy in file.copies if copy.path is not None), None)
            lies = f" This one lies on {name(where.target.name)}: {name(where.path or b'')}." if where else ""
            _say(app, f"Only the latest older version of {name(file.path)} can be brought back.{lies}")
            continue
        copy = next((copy for copy in file.copies if copy.target.id in here), None)
        if copy is None:
            away.append(file)
            continue
        job = operations.restore(
            here[copy.target.id],
            copy.target.name,
            source=file.source,
            path=file.path,
            deleted=file.gone,
            conflict="rename" if file.replaced else "skip",
        )
        if app.queue.queued(job.command) is None:
            app.submit(job)
        queued += 1
    if away:
        _say_away(app, away)
    return queued


def latest_of(session: Session, files: Sequence[FileWhereabouts]) -> list[FileWhereabouts]:
    """Those of these that have no later version among what is gone."""

    def is_latest(file: FileWhereabouts) -> bool:
        first = next(list_gone(session, find_source(session, file.source).key, file.path), None)
        return first is None or first.content == file.content

    return [file for file in files if not file.gone or is_latest(file)]


def _say_away(app: SharedApp, files: Sequence[FileWhereabouts]) -> None:
    first = files[0]
    drives = " or ".join(name(copy.target.name) for copy in first.copies)
    what = name(first.path) if len(files) == 1 else f"{plural(len(files), 'file')}, {name(first.path)} among them,"
    if not drives:
        _say(app, f"{what}: no drive has a copy.")
    else:
        _say(app, f"{what}: plug in {drives} first.")


def _say(app: SharedApp, words: str) -> None:
    app.notify(words, severity="warning", timeout=8)
