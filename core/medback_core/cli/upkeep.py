"""The commands that keep copies good, and show it: verify, repair, reclaim, prove, export."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from medback_core import model, names
from medback_core.errors import NeedsAnswer, UsageError
from medback_core.manifests.writing import FORMATS
from medback_core.model import (
    Answers,
    Count,
    ExportSummary,
    ProveSummary,
    ReclaimSummary,
    RepairSummary,
    VerifySummary,
)
from medback_core.presenting.outcomes import proved, reclaimed, repaired, verified
from medback_core.presenting.refusals import sentence
from medback_core.presenting.units import counted, plural, size
from medback_core.presenting.units import name as shown
from medback_core.settings.sizes import Size

from .options import DURATION, PATH, SIZE, SIZE_HELP, complete_names, complete_targets
from .outcome import DAMAGED, entry_json, facts_json, next_json
from .running import Run, command
from .targets import target_json


@command("verify")
@click.argument("path", type=PATH, required=False)
@click.option("--all", "everything", is_flag=True, help="All drives that are plugged in, the longest unread first.")
@click.option(
    "--older-than", type=DURATION, metavar="AGE", help="Only files that were not checked for this long: 90d, 12h, 3w."
)
@click.option("--max-bytes", type=SIZE, metavar="SIZE", help="Read at most this much, the oldest checked first.")
@click.option("--for", "seconds", type=DURATION, metavar="TIME", help="Read for this long at most: 30m, 2h.")
@click.option(
    "--against",
    type=PATH,
    metavar="MANIFEST",
    help="Compare with a list that md5sum, sha1sum, sha256sum, b3sum, hashdeep, BagIt, ASC MHL or medback wrote; "
    "its paths are relative to PATH, which can be any directory, or begin with it.",
)
def verify(
    run: Run,
    path: bytes | None,
    everything: bool,
    older_than: int | None,
    max_bytes: Size | None,
    seconds: int | None,
    against: bytes | None,
) -> None:
    """Read a source or target again and report.

    Each file is same, changed, missing, new or damaged. A copy that is damaged or missing stops counting at once.
    After a stop, or with --max-bytes or --for, the next verify continues where this one ended. When all is read, the
    next one starts again. A suspect target that is clean is active again.
    """
    from medback_core.upkeep.verify_all import verify_all
    from medback_core.upkeep.verify_target import verify as operation

    if everything == (path is not None) or (everything and against is not None):
        raise UsageError("usage/one-or-all")
    if path is None:
        if max_bytes is not None and max_bytes.of_drive:
            raise UsageError("usage/share-of-one-drive")
        limit = None if max_bytes is None else int(max_bytes.amount)
        with run.session() as session:
            events = verify_all(session, older_than=older_than, max_bytes=limit, seconds=seconds)
            _report_verify(run, run.follow(events, VerifySummary))
        return
    where = run.directory(path)
    if against is not None:
        from medback_core.upkeep.verify_against import verify_against

        if older_than is not None or max_bytes is not None or seconds is not None:
            raise UsageError("usage/against-reads-all")
        _report_verify(run, run.follow(verify_against(where, os.path.abspath(against)), VerifySummary))
        run.outcome.result["not_listed"] = [entry_json(entry) for entry in run.outcome.all(model.NotListed)]
        return
    with run.session() as session:
        limit = None if max_bytes is None else max_bytes.bytes_on(where)
        found = run.follow(
            operation(session, where, older_than=older_than, max_bytes=limit, seconds=seconds), VerifySummary
        )
        _report_verify(run, found)
        if found is not None and found.damaged:
            run.say(f"next: `medback repair {names.shell_quoted(path)}`")


def _report_verify(run: Run, found: VerifySummary | None) -> None:
    done = run.outcome.done["verified"]
    summary = found or VerifySummary(checked=done.files, checked_bytes=done.bytes, same=done.files)
    run.outcome.result.update(
        **facts_json(summary, "damaged"),
        damaged=[entry_json(entry) for entry in run.outcome.all(model.DamageFound) if entry.state == "damaged"],
        problems=[{**entry_json(entry), "state": entry.state} for entry in run.outcome.all(model.DamageFound)],
    )
    if summary.changed or summary.missing or summary.damaged:  # what can't be read is damage, or skipped: as told
        run.outcome.codes.add(DAMAGED)
    run.answer_line(verified(summary))
    if summary.unproven:
        run.say(f"{plural(summary.unproven, 'file was', 'files were')} perhaps read from a cache, not from the drive")
    if summary.left:
        run.say(f"{plural(summary.left, 'file')} not read yet; run it again to continue")


@command("repair")
@click.argument("path", type=PATH)
@click.option("--from", "from_target", metavar="TARGET", help="Take good copies from this target only.")
@click.option("--dry-run", is_flag=True, help="Show what would be repaired; change nothing.")
def repair(run: Run, path: bytes, from_target: str | None, dry_run: bool) -> None:
    """Put good copies where bad ones are.

    PATH is a source or a target; good copies are taken from the sources and the targets that are plugged in. What was
    damaged is kept aside.
    """
    from medback_core.upkeep.repair import repair as operation

    where = run.directory(path)
    with run.session() as session:
        found = run.follow(operation(session, where, from_target=from_target, dry_run=dry_run), RepairSummary)
        mended, left = run.outcome.all(model.Repaired), run.outcome.all(model.Unrepairable)
        run.outcome.result.update(
            repaired=[{"path": names.text(one.path), "from": one.source} for one in mended],
            unrepairable=[entry_json(one) for one in left],
        )
        would = "would be " if dry_run else ""
        run.say_list([f"{would}repaired {shown(one.path)} from {shown(one.source)}" for one in mended])
        if found is not None and not mended and not left:
            run.say("nothing is known to be damaged there; `medback verify` looks")
        elif found is not None:
            run.say(repaired(found, would=would))


@command("reclaim")
@click.argument("target", metavar="TARGET", shell_complete=complete_targets)
@click.option("--old", is_flag=True, help="Older versions, in .medback-old/ there.")
@click.option("--surplus", is_flag=True, help="Copies beyond the wanted number of verified ones on other targets.")
@click.option("--dry-run", is_flag=True, help="Show what would be freed; free nothing.")
def reclaim(run: Run, target: str, old: bool, surplus: bool, dry_run: bool) -> None:
    """Free room on TARGET, after showing what goes.

    A copy of what a source or a restore context still names is removed only while another copy of it lies on a second
    target that is plugged in too: that one is read first. Nothing is freed on a network file system.
    """
    from medback_core.upkeep.reclaim import reclaim as operation

    if not (old or surplus):
        raise UsageError("usage/nothing-to-free")
    with run.session() as session:
        found = run.follow(operation(session, target, old=old, surplus=surplus, dry_run=True), ReclaimSummary)
        if found is not None:
            run.say_list([shown(path) for path in found.paths])
            run.say(
                f"{counted(Count(found.freed, found.freed_bytes))} can go"
                + (f"; {found.kept:,} stay: they are still needed" if found.kept else "")
            )
            _say_what_a_second_drive_would_do(run, found)
        if found is not None and found.freed and not dry_run:
            count = Count(found.freed, found.freed_bytes)
            if not run.settings.yes:
                question = NeedsAnswer("reclaim", files=count.files, bytes=count.bytes, target=found.target.name)
                if not run.can_ask() or not run.confirm(sentence(question)):
                    raise question
            # What was told by the look beforehand is told again by the run itself.
            for told in (run.outcome.warnings, run.outcome.all(model.Skipped), run.outcome.all(model.DamageFound)):
                told.clear()
            found = run.follow(operation(session, target, old=old, surplus=surplus), ReclaimSummary)
            done = run.outcome.done["freed"]
            if found is not None:
                run.say(f"{reclaimed(found)} on {shown(found.target.name)}")
                _say_what_a_second_drive_would_do(run, found)
            else:
                run.outcome.result.update(freed=done.files, freed_bytes=done.bytes)
        if found is not None:
            run.outcome.result.update(_reclaim_json(found))


def _reclaim_json(found: ReclaimSummary) -> dict[str, Any]:
    return {
        **facts_json(found, "target", "paths", "serving", "after_backup"),
        "target": target_json(found.target),
        "paths": [names.text(path) for path in found.paths],
        "second_drives": [next_json(one) for one in found.serving],
        "after_backup": [next_json(one) for one in found.after_backup],
    }


def _say_what_a_second_drive_would_do(run: Run, found: ReclaimSummary) -> None:
    if not found.waiting.files:
        return
    run.say(
        f"{counted(found.waiting)} of these can go while another drive that holds them is plugged in too: a copy is "
        "removed only after the other one was read"
    )
    if found.serving:
        drives = ", ".join(f"{shown(one.target.name)} ({size(one.bytes)})" for one in found.serving)
        run.say(f"one of these is enough: {drives}")
    for one in found.after_backup:
        what = counted(Count(one.files, one.bytes))
        run.say(
            f"{shown(one.target.name)} is plugged in and holds {what} of them, but its record does not say for which "
            f"source: run `medback target {names.shell_quoted(one.target.path or b'')}` first"
        )


@command("prove")
@click.option("--source", metavar="ALIAS", help="Only contents of this source.")
def prove(run: Run, source: str | None) -> None:
    """Compare byte by byte what has one size and MD5.

    In the sources and on the targets that are plugged in: do files that are taken for one content really agree?
    """
    from medback_core.upkeep.prove import prove as operation

    with run.session() as session:
        found = run.follow(operation(session, source=source), ProveSummary)
        summary = found or ProveSummary()
        differing_files = [entry_json(entry) for entry in run.outcome.all(model.DamageFound)]
        run.outcome.result.update(facts_json(summary), differing_files=differing_files)
        if found is not None:
            run.answer_line(proved(found))


@command("export")
@click.argument("what", metavar="SOURCE-or-TARGET", shell_complete=complete_names)
@click.option("--format", "form", type=click.Choice(list(FORMATS)), required=True, help="The program it is for.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    metavar="FILE",
    help="Write it to this file, not to standard output; asks before it replaces one.",
)
def export(run: Run, what: str, form: str, output: bytes | None) -> None:
    """List all files of a source or a target with their digests, for another program.

    Paths are relative to the source, or to the drive; medback's own files are left out. Nothing is read but what
    medback knows. `medback verify PATH --against FILE` is the way back.
    """
    from medback_core.upkeep.export import export as operation

    if output is None and run.settings.json:
        raise UsageError("usage/json-and-output")
    with run.session() as session:
        write = None if output is not None else sys.stdout.buffer.write
        found = run.follow_asking(
            lambda answers: operation(session, what, form, to=output, write=write, answers=answers),
            ExportSummary,
            Answers(replace=run.settings.yes),
        )
        if output is None:
            sys.stdout.flush()
        if found is None:
            return
        run.outcome.result.update(facts_json(found), format=form)
        if output is not None:
            run.say(f"{plural(found.files, 'file')} listed in {shown(output)}")


verify.epilog = SIZE_HELP
COMMANDS = [verify, repair, reclaim, prove, export]
