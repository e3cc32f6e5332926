"""The commands that bring files back: write-restore, add-restore-context, restore-status, restore."""

from __future__ import annotations

import os
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from medback_core import model, names
from medback_core.errors import Refused
from medback_core.model import (
    Answers,
    ContextSummary,
    Count,
    Event,
    NextTarget,
    RestoreStatus,
    RestoreSummary,
    iso_date,
)
from medback_core.presenting.outcomes import in_context, restored
from medback_core.presenting.telling import all_back, nothing_missing, story_words
from medback_core.presenting.units import counted, plural, size
from medback_core.presenting.units import name as shown

from .options import DIRECTORY, MOMENT, PATH
from .outcome import entry_json, facts_json, next_json, told_json
from .plans import BELOW, DRIVES, SOURCE, plug_in, restore_word, scope_words, told_by_drives
from .running import Run, command
from .targets import plugged_in, target_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from medback_core.session import Session


def _say_next(run: Run, session: Session, found: NextTarget | None, missing: Count, scope: str) -> None:
    if found is not None:
        way = f"`medback restore {restore_word(run, found.target)}{scope}`"
        brings = counted(Count(found.files, found.bytes))
        run.say(f"next: {plug_in(run, session, found.target)}run {way} (brings {brings})")
    elif missing.files:
        run.say("no known target has what is missing")


class MapType(click.ParamType):
    """`OLD=NEW`, both paths."""

    name = "map"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[bytes, bytes]:
        if isinstance(value, tuple):
            return value
        old, equals, new = names.from_text(value).partition(b"=")
        if not (equals and old and new):
            self.fail(f"{names.display_name(value)!r} is not OLD=NEW", param, ctx)
        return old, new


@command("write-restore")
@click.argument("path", type=PATH)
def write_restore(run: Run, path: bytes) -> None:
    """Write the restore context to the file PATH.

    One readable XML file: every name, size and hash, and where the copies are.
    """
    from medback_core.contexts.write import write_restore as operation

    where = os.path.abspath(path)
    parent = os.path.dirname(where)
    if not os.path.isdir(parent):
        raise Refused("no-such-path/directory", path=parent)
    with run.session() as session:
        _report_context(run, operation(session, where), "written to")


@command("add-restore-context")
@click.argument("path", type=PATH)
@click.option(
    "--map",
    "maps",
    multiple=True,
    type=MapType(),
    metavar="OLD=NEW",
    help="Sources at OLD are to be restored to NEW. May be given more than once.",
)
@click.option("--replace", is_flag=True, help="Stop expecting what an earlier context listed.")
def add_restore_context(run: Run, path: bytes, maps: tuple[tuple[bytes, bytes], ...], replace: bool) -> None:
    """Read a restore context from the file PATH.

    What it names is to be restored, from the targets it names. People may edit the file; an error names the line.
    """
    from medback_core.contexts.load import add_restore_context as operation

    if not os.path.lexists(path):
        raise Refused("no-such-path", path=path)
    with run.session() as session:
        found = run.follow(operation(session, os.path.abspath(path), maps=maps, replace=replace), ContextSummary)
        if found is not None:
            _report_context(run, found, "read from")
            run.say("next: `medback restore-status` tells which drive to plug in first")


def _report_context(run: Run, found: ContextSummary, how: str) -> None:
    run.outcome.result.update(facts_json(found))
    run.say(f"{in_context(found)}: {how} {shown(found.path)}")


@command("restore-status")
@DRIVES
@click.option("--to", type=DIRECTORY, metavar="DIR", help="Look at DIR/ALIAS/path instead of the sources' places.")
@SOURCE
@BELOW
@click.option("--unrestored", is_flag=True, help="List the files that are not restored yet.")
@click.option("--done", is_flag=True, help="End the restore: stop expecting the files that are not restored yet.")
def restore_status(
    run: Run,
    drives: tuple[bytes, ...],
    to: bytes | None,
    source: str | None,
    path: bytes | None,
    unrestored: bool,
    done: bool,
) -> None:
    """Show what is not restored yet, and what to plug in.

    On a new machine the drives that are plugged in tell what there was; a directory that is a target is named: DRIVE.
    """
    from medback_core.model import Unrestored
    from medback_core.restoring import status as operation
    from medback_core.restoring.told import refuse

    with ExitStack() as stack:
        known = stack.enter_context(run.session())
        if done:
            operation.finish_restore(known)
            refuse(known)
            run.say(
                "nothing is expected any more, and what these drives remember is not offered again; the context is kept"
            )
        session = stack.enter_context(told_by_drives(run, known, drives, "restore-status"))
        listed: list[Unrestored] = []

        def gathered() -> Iterator[Event]:
            for event in operation.restore_status(session, to=to, source=source, path=path):
                if isinstance(event, Unrestored):
                    if unrestored:
                        listed.append(event)
                else:
                    yield event

        found = run.follow(gathered(), RestoreStatus) or RestoreStatus()
        result = run.outcome.result
        result.update(facts_json(found, "next", "as_of", "unheard"), next=next_json(found.next))
        if unrestored:
            result["unrestored"] = [facts_json(file) for file in listed]
            for file in listed:
                run.answer_line(
                    f"{'differs' if file.differs else 'missing'}  {size(file.size):>10}  {shown(file.path)}"
                )
        if run.outcome.interrupted:
            return
        run.outcome.needs_more(found.missing)
        result["as_of"], result["not_plugged_in"] = iso_date(found.as_of), [t.name for t in found.unheard]
        missing = Count(found.missing, found.missing_bytes)
        if found.expected == found.present:
            whole = all_back(found.present, found.as_of, found.unheard) if found.present else nothing_missing(None)
            run.answer_line(whole)
            return
        run.answer_line(
            f"{found.present:,} of {plural(found.expected, 'file')} are in place"
            + (f", {counted(missing)} missing" if found.missing else "")
            + (f", {found.differing:,} differ" if found.differing else "")
        )
        if found.unreachable.files and found.next is not None:
            run.answer_line(f"CAN'T BE RESTORED: no target has {counted(found.unreachable)} of these (`medback plan`)")
        _say_next(run, session, found.next, missing, scope_words(source, path, to))
        if missing.files and found.next is None and to is None and not done:
            run.say("run `medback restore-status --done` to stop expecting these files")


@command("restore")
@click.argument("target", metavar="TARGET")
@SOURCE
@BELOW
@click.option("--deleted", is_flag=True, help="What is gone from the sources, instead of what should be there.")
@click.option(
    "--at",
    type=MOMENT,
    metavar="DATE",
    help="With --deleted: as it was then, 2026-11-24 or 3d ago, older versions too.",
)
@click.option("--to", type=DIRECTORY, metavar="DIR", help="Restore to DIR/ALIAS/path instead of the sources' places.")
@click.option(
    "--conflict",
    type=click.Choice(["skip", "rename", "overwrite"]),
    default="skip",
    show_default=True,
    help="Where another file is in the way: leave it, restore under another name beside it, or move it aside first.",
)
@click.option(
    "--in-place", is_flag=True, help="Restore to the original places, also of sources that were never on this machine."
)
@click.option("--dry-run", is_flag=True, help="Show what would be restored; restore nothing.")
def restore(
    run: Run,
    target: str,
    source: str | None,
    path: bytes | None,
    deleted: bool,
    at: int | None,
    to: bytes | None,
    conflict: str,
    in_place: bool,
    dry_run: bool,
) -> None:
    """Copy back from TARGET what is missing.

    TARGET is a directory, an id or a label. Files are found by size and hash, and checked while they are copied. The
    target is only read. On a new machine the drive itself tells what there was, and each further one what is newer.
    """
    from medback_core.restoring.restore import restore as operation

    with run.session() as session:
        found = run.follow_asking(
            lambda answers: operation(
                session,
                target,
                source=source,
                path=path,
                deleted=deleted,
                at=at,
                to=None if to is None else os.path.abspath(to),
                conflict=conflict,
                dry_run=dry_run,
                answers=answers,
            ),
            RestoreSummary,
            Answers(in_place=in_place),
        )
        whole = found is not None
        scope = scope_words(source, path, to) + (" --deleted" if deleted else "")
        scope += f" --at {iso_date(at)}" if at is not None else ""
        found = found or _so_far(run, session, target)
        _report_restore(run, session, found, whole=whole, dry_run=dry_run, deleted=deleted, scope=scope)


def _so_far(run: Run, session: Session, word: str) -> RestoreSummary | None:
    """What a restore that ended early brought back."""
    from medback_core.drives.open import resolve_target

    known, path = resolve_target(session, word)
    if known is None and path is not None:
        known = plugged_in(session, path)
    done = run.outcome.done["restored"]
    return None if known is None else RestoreSummary(known, done.files, done.bytes)


def _report_restore(
    run: Run,
    session: Session,
    found: RestoreSummary | None,
    *,
    whole: bool,
    dry_run: bool,
    deleted: bool,
    scope: str,
) -> None:
    outcome = run.outcome
    done, since = outcome.done["restored"], outcome.all(model.DeletedSince)
    outcome.result.update(
        target=None if found is None else target_json(found.target),
        restored=done.files if found is None else found.restored,
        restored_bytes=done.bytes if found is None else found.restored_bytes,
        already_right=0 if found is None else found.already_right,
        conflicts=[entry_json(conflict) for conflict in outcome.all(model.Conflict)],
        links=0 if found is None else found.links,
        missing=found.missing if found is not None and whole else None,
        missing_bytes=found.missing_bytes if found is not None and whole else None,
        next=next_json(found.next) if found is not None else None,
        told=[told_json(one) for one in outcome.all(model.Remembers)],
        as_of=iso_date(found.as_of) if found is not None else None,
        not_plugged_in=[target.name for target in found.unheard] if found is not None else [],
        deleted_since=[names.text(gone.path) for gone in since],
    )
    for one in outcome.all(model.Remembers):
        run.say(story_words(one))
    if found is None or not whole:
        run.say(f"{counted(done)} restored before it ended")
        return
    outcome.needs_more(found.missing)
    would = "would be " if dry_run else ""
    missing = Count(found.missing, found.missing_bytes)
    run.say(f"{shown(found.target.name)}: {restored(found, would=would)}")
    if found.conflicts:
        in_the_way = any(conflict.reason.what == "no-directory-there" for conflict in outcome.all(model.Conflict))
        ways = "--conflict overwrite" if in_the_way else "--conflict rename or --conflict overwrite"
        run.say(f"{ways} settles the conflicts")
    if since:
        run.say(f"deleted since they were restored, and left there: {plural(len(since), 'file')}")
        run.say_list([shown(gone.path) for gone in since], before="  ")
    failed = outcome.all(model.Skipped) or outcome.all(model.SourceRefused)
    if not (deleted or dry_run or missing.files or found.conflicts or failed):
        count = found.restored + found.already_right
        run.say(all_back(count, found.as_of, found.unheard) if count else nothing_missing(None))
    _say_next(run, session, found.next, missing, scope)


COMMANDS = [write_restore, add_restore_context, restore_status, restore]
