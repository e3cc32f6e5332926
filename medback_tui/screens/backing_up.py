"""From “back up onto this” to the copying: the drive, whether it is a target, a preview, and the job."""

from __future__ import annotations

from textual.content import Content

from medback_core import model
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.next_drive import NextDrive
from medback_core.presenting.refusals import sentence
from medback_core.presenting.units import counted, files, name, number, size
from medback_tui.jobs import operations
from medback_tui.jobs.queue import Job
from medback_tui.reading.state import SharedApp

from . import previewing
from .dialogs import Choice, Question, choose, submit_if
from .make_target import MakeTarget, NewTarget
from .pick import PickDirectory
from .pick_target import PickTarget

SHOWN_MAX = 5
CREATE = model.Answers(create=True)


def choose_drive(app: SharedApp, *, first: bool = False) -> None:
    """Let a person choose a drive or a directory, then go on with it. `first`: it is the second question of a first
    start; afterwards Coverage shows what is safe."""

    def chosen(path: bytes) -> None:
        if path:
            onto(app, path, first=first)
        else:
            app.ask(PickDirectory("Back up onto", "use this directory as a target"), chosen)

    app.ask(PickTarget(first=first), chosen)


def onto(app: SharedApp, path: bytes, *, first: bool = False) -> None:
    """Back up onto a path: a target is previewed, anything else becomes one first."""

    def look() -> None:
        from medback_core.drives.open import identity_at

        identity = identity_at(path)
        app.call_later(waiting.stop)
        if identity is not None and identity.id:
            app.call_later(preview, app, path, identity.label or identity.id)
        else:
            app.call_later(make, app, path, first)

    waiting = app.set_timer(0.5, lambda: app.notify(f"looking at {name(path)} …", timeout=3))  # a drive may be asleep
    app.run_worker(look, thread=True, exit_on_error=False)


def make(app: SharedApp, path: bytes, first: bool = False) -> None:
    """Ask what a new target needs, showing what it would take; then make it and copy, or recognise what lies there."""

    def show_coverage(job: Job) -> None:
        del job
        app.call_later(app.run_action, "go('coverage')")

    def made(new: NewTarget) -> None:
        if new.then == "discover":
            app.submit(operations.discover(path, new.label, answers=CREATE, label=new.label))
        else:
            job = operations.back_up(path, new.label, answers=CREATE, label=new.label, capacity=new.capacity)
            if first:
                job.ended = show_coverage
            app.submit(job)

    app.ask(MakeTarget(path), made)


def preview(app: SharedApp, path: bytes, called: str, **options: object) -> None:
    """Scan the sources, find out what would be copied, show it, and copy it when the person says so."""
    job = operations.back_up(path, called, dry_run=True, **options)  # type: ignore[arg-type]
    previewing.preview(app, job, lambda ended: _previewed(app, ended))


def _again(job: Job, **changed: object) -> dict[str, object]:
    keys = ("answers", "label", "capacity")
    return {**{key: job.details[key] for key in keys}, **changed}


def _previewed(app: SharedApp, job: Job) -> None:
    path, called = job.details["path"], job.details["called"]
    assert isinstance(path, bytes) and isinstance(called, str)
    question = job.question
    if question is not None:
        _answer(app, job, path, called, question.kind)
        return
    summary = job.summary
    assert isinstance(summary, model.BackupSummary)
    options = _again(job)
    real = operations.back_up(path, called, **options)  # type: ignore[arg-type]
    shown = name(called)
    if not summary.copied:
        safe = f"everything has its wanted copies{as_of(summary.looked)}{but_for(summary.looked)}"
        why = _afterwards(summary, job.next) if summary.remaining else safe
        previewing.tell(
            app,
            "Nothing to do",
            _nothing_goes(shown, summary, why),
        )
        return

    choices = [Choice("no", "Not now"), Choice("yes", "Copy", "primary")]
    words = _preview_words(shown, summary, _afterwards(summary, job.next))
    submit_if(app, Question(f"Back up onto {shown}", words, choices, focus="yes", same_as=real.command), real)


def _nothing_goes(shown: str, summary: model.BackupSummary, why: str) -> str:
    if not summary.remaining:
        return f"There is nothing to copy: {why}."
    full = f"{shown} has no room for any more of it." if summary.full else f"{shown} has a copy of all it could take."
    return f"{full} {why}"


def _preview_words(shown: str, summary: model.BackupSummary, afterwards: str) -> Content:
    count = model.Count(summary.copied, summary.copied_bytes)
    free = size(max(0, summary.free_bytes - summary.copied_bytes))
    same = summary.paths - summary.copied
    lines = [
        Content.assemble("copies ", (counted(count), "bold"), f" onto {shown}"),
        *([Content(same_words(summary.copied, same))] if same > 0 else []),
        Content("the drive is then full" if summary.full else f"{free} are free there afterwards"),
        Content(afterwards),
    ]
    if summary.would_copy:
        paths = summary.would_copy[:SHOWN_MAX]
        lines += [Content(""), *(Content.styled(f"  {name(path)}", "$text-muted") for path in paths)]
        more = summary.copied - len(paths)
        if more > 0:
            lines.append(Content.styled(f"  and {files(more)} more", "$text-muted"))
    return Content("\n").join(lines)


def same_words(copied: int, same: int) -> str:
    """Why fewer files are copied than are made safe."""
    files_ = "file has" if same == 1 else "files have"
    return f"that is enough for {number(copied + same)}: {number(same)} {files_} the same content as others"


def _afterwards(summary: model.BackupSummary, next_one: NextDrive | None = None) -> str:
    """What will still not be safe."""
    left = model.Count(summary.remaining, summary.remaining_bytes)
    if not left.files:
        return f"everything then has its wanted copies{but_for(summary.looked)}"
    words = f"{counted(left)} still {'needs' if left.files == 1 else 'need'} another drive."
    if summary.lacking_bytes:
        words += f" You are {size(summary.lacking_bytes)} short."
    if next_one is not None and next_one.too_large:
        words += f" Bigger than every drive you own: {size(next_one.too_large)}."
    return words


def _answer(app: SharedApp, job: Job, path: bytes, called: str, kind: str) -> None:
    """The core asked something only a person can answer."""
    if kind == "new-target":
        make(app, path)
        return
    choices = [Choice("no", "Cancel")]
    if kind == "clone":
        choices += [Choice("same", "It is the same drive"), Choice("new", "Give it a new id")]
    else:
        choices += [Choice("create", "Make a new target")]
        if kind == "not-plugged-in":
            choices.insert(1, Choice("same", "It is that drive"))

    def again(**answer: bool) -> None:
        preview(app, path, called, **_again(job, answers=model.Answers(**answer)))

    choose(
        app, Question("One question first", Content(sentence(job.error)), choices, danger=True),
        create=lambda: make(app, path), same=lambda: again(same_drive=True), new=lambda: again(new_id=True),
    )  # fmt: skip
