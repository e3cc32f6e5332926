"""The sources: what is backed up, and how safe each is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import ClassVar

from textual import getters, on
from textual.binding import BindingType
from textual.content import Content
from textual.widget import Widget
from textual.widgets import Static

from medback_core import names
from medback_core.model import HOME, Answers
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.places import at, wanted_words
from medback_core.presenting.refusals import kept
from medback_core.presenting.units import age, ago, counted, name, number, percent, plural, size
from medback_tui.jobs import operations, upkeep
from medback_tui.jobs.queue import Job, JobState
from medback_tui.look.keys import quiet, shown
from medback_tui.reading.facts import Facts, SourceFacts
from medback_tui.widgets.columns import Cell, Column, Span
from medback_tui.widgets.coverage_bar import bar
from medback_tui.widgets.empty import EmptyState
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from . import backing_up, keeping
from .base import MainScreen, Pane
from .dialogs import Ask, Choice, Question, choose, confirm, submit_if

_GAPS_SHOWN = 12
_RULES_SHOWN = 3

COLUMNS = (
    Column("alias", "source"),
    Column("path", "path", rank=5, middle=True),
    Column("files", "files", 9, right=True, rank=3),
    Column("bytes", "bytes", 8, right=True, rank=1),
    Column("safe", "safe", 14),
    Column("wanted", "wants", 5, right=True, rank=2),
    Column("scanned", "scanned", 9, rank=4),
    Column("state", "state", 11),
)


ORDERS: dict[str, Callable[[SourceFacts], float | str]] = {
    "alias": lambda row: name(row.source.alias).casefold(),
    "files": lambda row: -row.shares.total.files,
    "bytes": lambda row: -row.shares.total.bytes,
    "safe": lambda row: -row.shares.unsafe.bytes,
    "scanned": lambda row: row.source.scanned_at or 0,
}


def source_state(row: SourceFacts) -> Span:
    """One word on the state of a source, the worst first."""
    if row.damaged:
        return f"{number(row.damaged)} damaged", "none"
    if row.source.refused:
        return "not updated", "below"
    if not row.mounted:
        return "not mounted", "below"
    if row.source.scanned_at is None:
        return "not scanned", "below"
    if row.looked.gaps:
        return f"{number(len(row.looked.gaps))} not read", "below"
    return "ok", "dim"


def _draw(row: SourceFacts) -> list[Cell]:
    source, shares = row.source, row.shares
    total = shares.total
    share = percent(shares.safe.bytes, total.bytes) if total.bytes else percent(shares.safe.files, total.files)
    return [
        name(source.alias),
        [(name(source.path), "dim")],
        number(total.files),
        size(total.bytes),
        [*bar(shares, 8), (f" {share:>5}", "")] if total.files else [("·", "dim")],
        str(source.wanted),
        age(source.scanned_at),
        [source_state(row)],
    ]


class SourcesScreen(MainScreen):
    """Screen 1."""

    MODE = "sources"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter", "open", "sources.open", "coverage", "See what of this source is safe"),
        shown("a", "add", "sources.add", "add", "Add a directory to be backed up"),
        shown("u", "update", "sources.update", "update", "Scan this source again"),
        shown("U", "update_all", "sources.update-all", "all", "Scan all sources again"),
        shown("c", "copies", "sources.copies", "copies", "How many copies this source wants"),
        quiet("o", "open_path", "sources.open-path", "open", "Open this directory with the system's program for it"),
        quiet("A", "accept", "sources.accept", "accept", "Accept the deletions or changes of a refused update"),
        quiet("e", "edit", "sources.edit", "edit", "Name, path (when it moved), wanted copies, what is left out"),
        quiet("g", "gaps", "sources.gaps", "not read", "List the places of this source that were not read"),
        quiet("v", "verify", "sources.verify", "verify", "Read this source again and look for damage"),
        quiet("p", "repair", "sources.repair", "repair", "Put good copies where this source is damaged"),
        quiet("P", "prove", "sources.prove", "prove", "Compare byte by byte the files of one size and MD5"),
        shown("d", "forget", "sources.forget", "forget", "Forget this source; no file is touched"),
    ]

    rows = getters.query_one("#sources", RowList)
    empty = getters.query_one(EmptyState)
    detail = getters.query_one("#source-detail", Static)

    def compose_body(self) -> Iterable[Widget]:
        yield EmptyState()
        yield RowList[SourceFacts](COLUMNS, _draw, lambda row: row.source.id, orders=ORDERS, id="sources")
        with Pane():
            yield Static(id="source-detail")

    def show_facts(self, facts: Facts) -> None:
        self.rows.display = self.query_one(Pane).display = bool(facts.sources)
        self.empty.display = not facts.sources
        if not facts.sources:
            self.empty.say(
                "Nothing is backed up yet. What do you want to keep safe?",
                ("", "A source is a directory with files you want to keep. On which drive is asked next."),
                ("sources.add", "choose the first one"),
                ("go.restore", "or restore something that was lost"),
            )
        self.rows.show_rows(facts.sources, follow_new=self.app.queue.made_something)

    @property
    def current(self) -> SourceFacts | None:
        return self.rows.current

    @property
    def path_here(self) -> bytes | None:
        return None if self.current is None else self.current.source.path

    def why_not(self, action: str) -> str | None:
        row = self.current
        if action == "add":
            return None
        if row is None:
            return f"there is no source yet: {self.app.key_of('sources.add')} adds the first one"
        if action == "gaps" and not row.looked.gaps:
            return f"all of {name(row.source.alias)} was read: there is nothing to list"
        if action == "accept" and not row.source.refused:
            return f"no update of {name(row.source.alias)} was refused: there is nothing to accept"
        if action == "accept" and not row.mounted:
            return f"{name(row.source.alias)} is not mounted: mount it first"
        return None

    @on(LineList.Moved)
    def moved(self) -> None:
        row = self.current
        if row is None:
            return
        unsafe = row.shares.unsafe
        lines = [Content.assemble((name(row.source.path), "bold"), f"   scanned {ago(row.source.scanned_at)}")]
        if unsafe.files:
            bare = f"; with no copy at all: {counted(row.shares.none)}" if row.shares.none.files else ""
            lines.append(Content(f"not safe: {counted(unsafe)}{bare}"))
        elif row.shares.total.files:
            words = plural(row.source.wanted, "copy", "copies")
            lines.append(Content(f"safe{as_of(row.looked)}{but_for(row.looked)}: {words}"))
        if row.source.refused:
            words = kept(row.source.refused, self.app.key_of)
            lines.append(Content.assemble(("last update refused: ", "$text-warning"), words))
        elif not row.mounted:
            update, edit = self.app.key_of("sources.update"), self.app.key_of("sources.edit")
            words = f"mount it, then {update} updates it; {edit} tells where it is now, if it moved"
            lines.append(Content.assemble(("not mounted: ", "$text-warning"), words))
        elif row.damaged:
            repair, where = self.app.key_of("sources.repair"), self.app.key_of("go.coverage")
            words = f"the content changed, size and time did not; {repair} repairs, {where} shows where"
            lines.append(Content.assemble((f"{plural(row.damaged, 'file')} damaged: ", "$text-error"), words))
        if row.looked.gaps:
            gap, more = row.looked.gaps[0], len(row.looked.gaps) - 1
            words = f"{name(gap.path) or 'all of it'}: {gap.reason}" + (f", and {number(more)} more" if more else "")
            lines.append(
                Content.assemble(
                    ("not read: ", "$text-warning"), f"{words}; {self.app.key_of('sources.gaps')} lists them"
                )
            )
        facts = self.app.facts
        if row.source.elsewhere or (facts is not None and facts.three_two_one is not None):
            wanted = wanted_words(row.source.wanted, row.source.elsewhere or None)
            lines.append(Content(f"kept {at(row.source.place or HOME)}, {wanted}"))
        for rule in row.rules[:_RULES_SHOWN]:
            lines.append(Content(f"{name(rule.path)}: {wanted_words(rule.copies, rule.elsewhere)}"))
        if len(row.rules) > _RULES_SHOWN:
            more, edit = number(len(row.rules) - _RULES_SHOWN), self.app.key_of("sources.edit")
            lines.append(Content(f"and {more} more rules for directories; {edit} lists them"))
        if row.source.excludes:
            lines.append(Content(f"left out: {', '.join(name(pattern) for pattern in row.source.excludes)}"))
        self.detail.update(Content("\n").join(lines))

    @on(LineList.Opened)
    def action_open(self) -> None:
        from .coverage import CoverageScreen

        row = self.current
        if row is not None:
            CoverageScreen.start_at = (row.source.id, b"")
            self.app.call_later(self.app.run_action, "go('coverage')")

    def action_add(self) -> None:
        from .pick import PickDirectory

        def chosen(path: bytes) -> None:
            job = operations.add_source(path)
            if self.app.facts is not None and not self.app.facts.sources and not self.app.facts.targets:
                job.ended = self._ask_for_drive
            self.app.submit(job)

        words = (
            "Every file is read once. Its record is kept in a small .medback.xml in its directory. "
            "Nothing else is changed."
        )
        self.app.ask(PickDirectory("Add a source", "back up this directory", words=words), chosen)

    def _ask_for_drive(self, job: Job) -> None:
        """The first source is there: the second question of a first start, unless one went on to something else."""
        if job.state is JobState.DONE and self.is_current:
            backing_up.choose_drive(self.app, first=True)

    def action_update(self) -> None:
        if self.current is not None:
            self.app.submit(operations.update([self.current.source.alias]))

    def action_update_all(self) -> None:
        self.app.submit(operations.update([]))

    def action_verify(self) -> None:
        row = self.current
        if row is not None:
            keeping.verify(self.app, row.source.path, row.source.alias, row.shares.total)

    def action_repair(self) -> None:
        if self.current is not None:
            keeping.repair(self.app, self.current.source.path, self.current.source.alias)

    def action_prove(self) -> None:
        if self.current is not None:
            self.app.submit(upkeep.prove(self.current.source.alias))

    def action_edit(self) -> None:
        from .edit_source import edit_source

        if self.current is not None:
            edit_source(self.app, self.current)

    def action_accept(self) -> None:
        row = self.current
        if row is None or not row.source.refused:
            return
        alias = row.source.alias
        words = Content(
            f"{kept(row.source.refused, self.app.key_of)}\n\nAccepting takes what is there now as what you want. "
            "Files that are gone stay on the drives that have them. They are no longer backed up or counted. If they "
            f"should be here, screen {self.app.key_of('go.restore')} brings them back."
        )
        choices = [
            Choice("no", "No"),
            Choice("deletions", "The deletions are right", "error"),
            Choice("changes", "The changes are right", "error"),
        ]

        def accept(**what: bool) -> None:
            self.app.submit(operations.update([alias], answers=Answers(**what)))

        choose(
            self.app, Question(f"Believe it? {name(alias)}", words, choices, danger=True),
            deletions=lambda: accept(deletions=True), changes=lambda: accept(changes=True),
        )  # fmt: skip

    def action_gaps(self) -> None:
        row = self.current
        if row is None or not row.looked.gaps:
            return
        alias = names.shell_quoted(row.source.alias)
        lines = [
            Content.assemble((name(gap.path) or "all of it", "bold"), f": {gap.reason}, since {ago(gap.since)}")
            for gap in row.looked.gaps[:_GAPS_SHOWN]
        ]
        if (more := len(row.looked.gaps) - _GAPS_SHOWN) > 0:
            lines.append(Content(f"and {number(more)} more: medback sources -v"))
        lines += [
            Content(""),
            Content(
                "Nothing below these places is backed up as it is now. "
                f"{self.app.key_of('sources.edit')} leaves one out. To take in a mount:"
            ),
            Content.styled(f"medback set-source {alias} --include-mount DIR", "$text-muted"),
        ]
        choices = [Choice("no", "OK")]
        self.app.push_screen(Question(f"Not read: {name(row.source.alias)}", Content("\n").join(lines), choices))

    def action_copies(self) -> None:
        row = self.current
        if row is None:
            return
        alias = row.source.alias

        def answered(value: str) -> None:
            if int(value) != row.source.wanted:
                self.app.submit(operations.change_source(row.source, copies=int(value)))

        def check(value: str) -> str | None:
            return None if value.isdigit() and 1 <= int(value) <= 99 else "a number from 1 to 99"

        words = f"How many copies, each on another drive, should every file of {name(alias)} have?"
        self.app.ask(Ask("Wanted copies", words, str(row.source.wanted), check), answered)

    def action_forget(self) -> None:
        row = self.current
        if row is None:
            return
        job = operations.forget_source(row.source.alias, row.source.path)
        words = Content(
            f"Forget {name(row.source.alias)} with {counted(row.shares.total)}? No file is deleted, neither there nor "
            "on any drive, and its copies stay. It is no longer watched or backed up."
        )
        submit_if(self.app, confirm("Forget a source", words, "Forget it", same_as=job.command), job)
