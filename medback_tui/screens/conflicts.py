"""Files that stand where a restore wanted to put other content: both sides, and what to do with one or with all."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import closing
from typing import ClassVar, TypeAlias

from textual import on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static
from textual.worker import get_current_worker

from medback_core import disk, names
from medback_core.model import Conflict
from medback_core.presenting.refusals import sentence
from medback_core.presenting.units import name, plural, size
from medback_tui.jobs import operations
from medback_tui.jobs.queue import Job
from medback_tui.look.keys import shown
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog, choose, confirm

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

    TITLE = "Conflicts"
    DEFAULT_CLASSES = "-large"
    AUTO_FOCUS = "RowList"
    keys = (
        ("conflicts.skip", "mine"),
        ("conflicts.rename", "both"),
        ("conflicts.overwrite", "the backup's"),
        "for all:",
        ("conflicts.skip-all", "mine"),
        ("conflicts.rename-all", "both"),
        ("conflicts.overwrite-all", "the backup's"),
        ("dialog.back", "later"),
    )
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
        super().__init__()
        self.left, self.ended = list(conflicts), ended
        self.read: dict[bytes, str] = {}  # path -> md5 of what is there, or why it is not known

    def compose_box(self) -> ComposeResult:
        yield Static(Content("These files differ from the backup. Nothing was changed."), classes="label")
        yield RowList[Pair](COLUMNS, _draw, lambda pair: pair[1].path)
        yield Static(id="sides", classes="pane")

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
        if conflict.there_md5 is None and conflict.path not in self.read:
            self._read(conflict.path)
        there = conflict.there_md5.hex() if conflict.there_md5 else self.read.get(conflict.path, "being read …")
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
        lines.append(Content.styled(sentence(conflict.reason), "$text-muted"))
        self.query_one("#sides", Static).update(Content("\n").join(lines))

    @work(thread=True, exclusive=True, exit_on_error=False, group="pick")
    def _read(self, path: bytes) -> None:
        """Hash what is there, for as long as the cursor stays on it: a restore has no need to."""
        worker = get_current_worker()
        directory, file = os.path.split(path)
        try:
            with disk.Root(directory) as root, closing(disk.read_from_drive(root, file)) as steps:
                while not worker.is_cancelled:
                    try:
                        next(steps)
                    except StopIteration as end:
                        self.call_later(self._read_there, path, end.value.identity.md5.hex())
                        return
        except OSError as error:
            self.call_later(self._read_there, path, f"unknown: {error.strerror}")

    def _read_there(self, path: bytes, md5: str) -> None:
        self.read[path] = md5
        self.moved()

    def action_decide(self, how: str) -> None:
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
        choose(self.app, confirm("Replace all?", words, "Replace"), yes=lambda: self._decide(list(self.left), how))

    def _decide(self, pairs: list[Pair], how: str) -> None:
        self.left = [pair for pair in self.left if pair not in pairs]
        if how != "skip":
            # One job for all the conflicts of a restore, if none of them was decided otherwise; else one
            # for each file.
            for job in dict.fromkeys(job for job, _ in pairs):
                conflicts = [conflict for of, conflict in pairs if of is job]
                if len(conflicts) > 1 and len(conflicts) == len(job.conflicts):
                    again = job.details | {"conflict": how}
                    self._submit(operations.restore(again.pop("drive"), again.pop("called"), **again))  # type: ignore[arg-type]
                else:
                    for conflict in conflicts:
                        self._restore(job, conflict, how)
        self.query_one(RowList).show_rows(self.left)
        if not self.left:
            self.dismiss([])

    def _submit(self, job: Job) -> None:
        job.ended = self.ended
        self.app.submit(job)

    def _restore(self, job: Job, conflict: Conflict, how: str) -> None:
        where = self._place_of(job, conflict)
        if where is None:
            self.notify(f"{name(conflict.path)} is in no source now", severity="warning")
            return
        drive, to = job.details["drive"], job.details["to"]
        assert isinstance(drive, bytes) and (to is None or isinstance(to, bytes))
        self._submit(
            operations.restore(drive, str(job.details["called"]), source=where[0], path=where[1], to=to, conflict=how)
        )

    def _place_of(self, job: Job, conflict: Conflict) -> tuple[str, bytes] | None:
        """(alias, path in the source) of a destination."""
        to = job.details["to"]
        for row in self.app.facts.sources if self.app.facts is not None else ():
            alias = row.source.alias
            root = row.source.path if to is None else b"%s/%s" % (to, alias.encode("utf-8", "surrogateescape"))
            inside = names.below(conflict.path, root)
            if inside is not None:
                return alias, inside
        return None
