"""The questions before copies are read again, repaired or freed: the same for a source and for a drive."""

from __future__ import annotations

from textual.content import Content

from medback_core import model
from medback_core.model import Count
from medback_core.presenting.units import counted, files, name, plural, size
from medback_tui.jobs import upkeep
from medback_tui.jobs.queue import Job
from medback_tui.look.sizes import not_a_size, typed_size
from medback_tui.reading.state import SharedApp

from .dialogs import Ask, Choice, Question, choose, confirm, submit_if
from .previewing import preview, tell

OLD_DAYS = 90
SHOWN_MAX = 6


def verify(app: SharedApp, path: bytes, called: str, holds: Count) -> None:
    """Ask how much to read, then read it again."""
    words = Content(
        f"{name(called)} holds {counted(holds)}. Each file read is compared with its record, the longest unchecked "
        f"first. You can stop it ({app.key_of('job.stop')}): what was read is kept, and the next verify continues "
        "there."
    )
    choices = [
        Choice("no", "Cancel"),
        Choice("some", "A part …"),
        Choice("old", f"Unread for {OLD_DAYS} days"),
        Choice("all", "All of it", "primary"),
    ]

    def bad(text: str) -> str | None:
        return None if typed_size(text) else not_a_size(text)

    def some() -> None:
        dialog = Ask("How much to read", "At most this much, the longest unchecked first:", "100G", bad)
        app.ask(dialog, lambda text: app.submit(upkeep.verify(path, called, max_bytes=typed_size(text))))

    every = upkeep.verify(path, called)
    choose(
        app, Question(f"Verify {name(called)}", words, choices, focus="all", same_as=every.command), some=some,
        old=lambda: app.submit(upkeep.verify(path, called, older_than=OLD_DAYS * upkeep.DAY)),
        all=lambda: app.submit(every),
    )  # fmt: skip


def repair(app: SharedApp, path: bytes, called: str) -> None:
    """See which good copies are plugged in for damaged files, then put them in place if the person agrees."""

    def found(job: Job) -> None:
        summary = job.summary
        assert isinstance(summary, model.RepairSummary)
        real = upkeep.repair(path, called)
        lines = [Content(note.words.removeprefix("repaired ")) for note in job.notes[:SHOWN_MAX]]
        if len(job.notes) > SHOWN_MAX:
            lines.append(Content.styled(f"and {len(job.notes) - SHOWN_MAX:,} more", "$text-muted"))
        if not summary.repaired:
            head = "No damage is known there. Verify it to read all of it."
            if summary.unrepairable:
                head = (
                    f"{plural(summary.unrepairable, 'file is', 'files are')} damaged, and no good copy is plugged in:"
                )
            tell(app, f"Repair {name(called)}", Content("\n").join([Content(head), *lines]))
            return
        left = f"; for {summary.unrepairable:,} no good copy is plugged in" if summary.unrepairable else ""
        head = Content.assemble(
            (f"{files(summary.repaired)} can be repaired", "bold"),
            f"{left}. A good copy is checked, then put in place. The damaged file is kept in .medback-damaged/.",
        )
        words = Content("\n").join([head, Content(""), *lines])
        question = confirm(f"Repair {name(called)}?", words, "Repair", same_as=real.command, danger=False)
        submit_if(app, question, real)

    preview(app, upkeep.repair(path, called, dry_run=True), found)


def reclaim(app: SharedApp, path: bytes, called: str) -> None:
    """Ask what may go from a drive, show what that is, and free it on the person's word."""
    words = Content(
        "Older versions: what was replaced or deleted in your sources since, kept in .medback-old/.\n"
        "Surplus: copies of what has its wanted number of verified copies on other drives.\n\n"
        "A file that is still in a source is removed only while another drive with it is plugged in; "
        "that copy is read first. Files medback did not put there stay. You see first what would be removed."
    )
    choices = [
        Choice("no", "Cancel"), Choice("old", "Older versions"), Choice("surplus", "Surplus"), Choice("both", "Both")
    ]  # fmt: skip

    def free(*, old: bool = False, surplus: bool = False) -> None:
        job = upkeep.reclaim(path, called, old=old, surplus=surplus, dry_run=True)
        preview(app, job, lambda ended: _free(app, ended, upkeep.reclaim(path, called, old=old, surplus=surplus)))

    choose(
        app, Question(f"Free room on {name(called)}", words, choices), old=lambda: free(old=True),
        surplus=lambda: free(surplus=True), both=lambda: free(old=True, surplus=True),
    )  # fmt: skip


def _free(app: SharedApp, previewed: Job, real: Job) -> None:
    summary = previewed.summary
    assert isinstance(summary, model.ReclaimSummary)
    title = f"{real.title[0].upper()}{real.title[1:]}"
    kept = f"; {plural(summary.kept, 'file stays', 'files stay')}: something still needs them" if summary.kept else ""
    second = _second_drive(app, summary)
    if not summary.freed:
        tell(app, title, Content("\n").join([Content(f"Nothing there can go{kept}."), *second]))
        return
    going = counted(Count(summary.freed, summary.freed_bytes))
    lines = [Content.assemble("deletes ", (going, "bold"), f" from the drive, for good{kept}"), Content("")]
    lines += [Content.styled(f"  {name(path)}", "$text-muted") for path in summary.paths[:SHOWN_MAX]]
    if summary.freed > SHOWN_MAX:
        lines.append(Content.styled(f"  and {files(summary.freed - SHOWN_MAX)} more", "$text-muted"))
    words = Content("\n").join([*lines, *second])
    question = confirm(f"{title}?", words, f"Delete {size(summary.freed_bytes)}", same_as=real.command)
    submit_if(app, question, real)


def _second_drive(app: SharedApp, summary: model.ReclaimSummary) -> list[Content]:
    """What could go too with a second drive, and which one that is."""
    if not summary.waiting.files:
        return []
    lines = [
        Content(""),
        Content(f"{counted(summary.waiting)} can go while another drive that holds them is here too."),
    ]
    for one in summary.serving[:SHOWN_MAX]:
        lines.append(Content.assemble("  plug in ", (name(one.target.name), "bold"), f" for {size(one.bytes)} of it"))
    for one in summary.after_backup[:SHOWN_MAX]:
        label = (name(one.target.name), "bold")
        why = f" first ({app.key_of('targets.back-up')}): it does not say whose {size(one.bytes)} it holds"
        lines.append(Content.assemble("  back up onto ", label, why))
    return lines
