"""Files that stand where a restore wanted to put other content: both sides, and what to do with one or with all."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import ClassVar, TypeAlias

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from medback_core.model import Conflict
from medback_tui import operations
from medback_tui.jobs import Job
from medback_tui.keys import shown
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList
from medback_tui.words import name, plural, size

from .dialogs import Dialog, confirm

Pair: TypeAlias = tuple[Job, Conflict]
COLUMNS = (
    Column("path", "file", 0, middle=True),
    Column("there", "there now", 10, right=True),
    Column("wanted", "in the backup", 13, right=True),
)


def _draw(pair: Pair) -> list[Cell]:
    conflict = pair[1]
    wanted = "?" if conflict.wanted is None else size(conflict.wanted.size)
    return [name(conflict.path), size(conflict.there_size), wanted]


def _date(mtime_ns: int) -> str:
    try:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(mtime_ns // 10**9)) if mtime_ns else "unknown date"
    except (OverflowError, ValueError):
        return "a date far away"


class Conflicts(Dialog[list[Pair]]):
    """Returns the conflicts that are still undecided."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("s", "decide('skip')", "conflicts.skip", "keep mine", "Keep what is there"),
        shown(
            "r",
            "decide('rename')",
            "conflicts.rename",
            "both",
            "Keep both: the restored one gets “ (medback DATE)” in its name",
        ),
        shown(
            "o",
            "decide('overwrite')",
            "conflicts.overwrite",
            "backup's",
            "Restore; what is there moves to “ (before restore DATE)”",
        ),
        shown("S", "decide_all('skip')", "conflicts.skip-all", "all: mine", "Keep what is there, for all of them"),
        shown("R", "decide_all('rename')", "conflicts.rename-all", "all: both", "Keep both, for all of them"),
        shown(
            "O",
            "decide_all('overwrite')",
            "conflicts.overwrite-all",
            "all: backup's",
            "Restore all of them; what is there is moved aside",
        ),
    ]

    def __init__(self, conflicts: list[Pair], ended: Callable[[Job], None]) -> None:
        super().__init__(classes="-large")
        self.left, self.ended = list(conflicts), ended

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = "Conflicts"
            words = "These files differ from what should be restored. Nothing was changed."
            yield Static(Content(words), classes="label")
            yield RowList[Pair](COLUMNS, _draw, lambda pair: pair[1].path)
            yield Static(id="sides", classes="pane")
            yield Static(
                "s keep mine · r keep both · o take the backup's · S R O the same for all · esc back", classes="keys"
            )

    def on_mount(self) -> None:
        self.query_one(RowList).show_rows(self.left)

    def action_give_up(self) -> None:
        self.dismiss(self.left)

    @on(LineList.Moved)
    def moved(self) -> None:
        pair = self.query_one(RowList).current
        if pair is None:
            return
        conflict: Conflict = pair[1]
        there = conflict.there_md5.hex() if conflict.there_md5 else "not read"
        lines = [
            Content.styled(name(conflict.path), "bold"),
            Content(f"there now      {size(conflict.there_size):>10}  {_date(conflict.there_mtime_ns)}  md5 {there}"),
        ]
        if conflict.wanted is not None:
            wanted = conflict.wanted
            lines.append(
                Content(
                    f"in the backup  {size(wanted.size):>10}  {_date(conflict.wanted_mtime_ns)}  md5 {wanted.md5.hex()}"
                )
            )
        lines.append(Content.styled(name(conflict.reason), "$text-muted"))
        self.query_one("#sides", Static).update(Content("\n").join(lines))

    def action_decide(self, how: str) -> None:
        """Decide the one under the cursor."""
        pair = self.query_one(RowList).current
        if pair is not None:
            self._decide([pair], how)

    def action_decide_all(self, how: str) -> None:
        """Decide all of them; replacing all asks first."""
        if how != "overwrite":
            self._decide(list(self.left), how)
            return
        words = Content(
            f"Restore {plural(len(self.left), 'file')} over what is there? What is there is not deleted: each is moved "
            "to “NAME (before restore DATE)” beside it."
        )

        def answered(answer: str | None) -> None:
            if answer == "yes":
                self._decide(list(self.left), how)

        self.app.push_screen(confirm("Replace all?", words, "Replace"), answered)

    def _decide(self, pairs: list[Pair], how: str) -> None:
        self.left = [pair for pair in self.left if pair not in pairs]
        if how != "skip":
            for job, conflict in pairs:
                self._restore(job, conflict, how)
        self.query_one(RowList).show_rows(self.left)
        if not self.left:
            self.dismiss([])

    def _restore(self, job: Job, conflict: Conflict, how: str) -> None:
        where = self._place_of(job, conflict)
        if where is None:
            self.notify(f"{name(conflict.path)} is in no source now", severity="warning", markup=False)
            return
        drive, to = job.details["drive"], job.details["to"]
        assert isinstance(drive, bytes) and (to is None or isinstance(to, bytes))
        again = operations.restore(
            drive, str(job.details["called"]), source=where[0], path=where[1], to=to, conflict=how
        )
        again.ended = self.ended
        self.app.submit(again)

    def _place_of(self, job: Job, conflict: Conflict) -> tuple[str, bytes] | None:
        """(alias, path in the source) of a destination."""
        to = job.details["to"]
        for row in self.app.facts.sources if self.app.facts is not None else ():
            alias = row.source.alias
            root = row.source.path if to is None else b"%s/%s" % (to, alias.encode("utf-8", "surrogateescape"))
            if conflict.path.startswith(root.rstrip(b"/") + b"/"):
                return alias, conflict.path[len(root.rstrip(b"/")) + 1 :]
        return None
