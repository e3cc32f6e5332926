"""The questions around a restore: what, where to, and which context."""

from __future__ import annotations

import os
from collections.abc import Callable

from textual.content import Content

from medback_core import names
from medback_core.model import CONTEXT_NAME, Answers, Count, RestoreStatus
from medback_core.presenting.refusals import sentence
from medback_core.presenting.units import counted, files, name, number
from medback_core.restoring.plan import PlanSummary
from medback_tui.jobs import operations
from medback_tui.jobs.queue import Job
from medback_tui.reading.state import SharedApp

from .dialogs import Choice, Question, choose
from .file_list import FileLine, FileList
from .pick import PickDirectory


def choose_destination(app: SharedApp, now: bytes | None, chosen: Callable[[bytes | None], None]) -> None:
    """In place (None), or under a directory."""
    words = "In place: each file where it was. Elsewhere: as DIRECTORY/source/path, and nothing in place is touched."
    if now is not None:
        words += f"\n\nnow: {name(now)}"
    choices = [Choice("no", "Leave it"), Choice("place", "In place"), Choice("other", "Elsewhere …", "primary")]

    hint = "A directory of each source's name is made there. A new directory can be typed (/)."
    other = PickDirectory("Restore to", "restore into this directory", new=True, words=hint)
    question = Question("Where to?", Content(words), choices, focus="place")
    choose(app, question, place=lambda: chosen(None), other=lambda: app.ask(other, chosen))


def ask_in_place(app: SharedApp, job: Job, ended: Callable[[Job], None]) -> None:
    """Sources that were never on this machine would go to their original places: the person says whether that is right,
    or where else."""
    options = {key: job.details[key] for key in ("source", "path", "to", "conflict", "deleted")}
    drive, called = job.details["drive"], str(job.details["called"])
    assert isinstance(drive, bytes)

    def again(**changes: object) -> None:
        job = operations.restore(drive, called, **{**options, **changes})  # type: ignore[arg-type]
        job.ended = ended
        app.submit(job)

    choices = [
        Choice("no", "Leave it"),
        Choice("place", "To their original places", "error"),
        Choice("other", "Elsewhere …", "primary"),
    ]
    words = Content(sentence(job.error))
    other = PickDirectory("Restore to", "restore into this directory", new=True)
    choose(
        app, Question("These were never on this machine", words, choices, danger=True),
        place=lambda: again(answers=Answers(in_place=True)), other=lambda: app.ask(other, lambda to: again(to=to)),
    )  # fmt: skip


def show_unreachable(app: SharedApp, plan: PlanSummary) -> None:
    """List the files no drive can bring back; the core names the first ones only when there are very many."""
    shown = len(plan.unreachable_files)
    more = f"; the first {shown} of them:" if shown < plan.unreachable.files else ""
    rows = [
        FileLine(b"%s/%s" % (names.from_text(file.source), file.path), file.size) for file in plan.unreachable_files
    ]
    words = Content(f"{counted(plan.unreachable)} would not come back{more}")
    app.push_screen(FileList("No drive has these", words, rows))


def show_unrestored(app: SharedApp, job: Job) -> None:
    """List what a look at the destinations did not find there."""
    found = job.summary
    assert isinstance(found, RestoreStatus)
    missing = f"missing {counted(Count(found.missing, found.missing_bytes))}"
    words = f"{number(found.present)} of {files(found.expected)} are there; {missing}; {number(found.differing)} differ"
    if found.next is not None:
        way = "restore from" if found.next.target.id in app.drives.here else "plug in"
        brings = counted(Count(found.next.files, found.next.bytes))
        words += f"\nnext: {way} {name(found.next.target.name)} ({brings})"
    shown = len(job.unrestored)
    if shown < found.missing + found.differing:
        words += f"\nthe first {number(shown)}:"
    rows = [FileLine(file.path, file.size, "differs" if file.differs else "") for file in job.unrestored]
    app.push_screen(FileList("Not restored yet", Content(words), rows))


def load_context(app: SharedApp) -> None:
    """Choose a restore context and load it; drives that are here and carry one are offered first."""
    drives = [*app.drives.here.values(), *(mount.path for mount in app.drives.mounts)]

    def first_with_one() -> bytes | None:
        return next((path for path in drives if os.path.exists(os.path.join(path, CONTEXT_NAME))), None)

    def pick(start: bytes | None) -> None:
        dialog = PickDirectory("Load a restore context", "load", start, files=True)
        app.ask(dialog, lambda path: app.submit(operations.load_context(path)))

    app.aside(app.screen, first_with_one, pick)


def write_context(app: SharedApp) -> None:
    """Choose a directory and write the restore context there."""

    def chosen(path: bytes) -> None:
        app.submit(operations.write_context(os.path.join(path, b"medback-context.xml")))

    app.ask(PickDirectory("Write the restore context into", "write it here"), chosen)
