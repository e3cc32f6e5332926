"""The commands that bring copies onto drives: target, discover."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from medback_core import names
from medback_core.model import Answers, BackupSummary, Count, DiscoverSummary, Target
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.outcomes import backed_up, discovered
from medback_core.presenting.plugging import NO_SOURCES
from medback_core.presenting.units import counted, plural, size
from medback_core.presenting.units import name as shown
from medback_core.settings.sizes import Size

from .options import PATH, SIZE, SIZE_HELP
from .outcome import facts_json
from .running import Run, command
from .safety import say_next, say_what_is_gone, say_what_is_unsafe
from .targets import plugged_in, target_json

if TYPE_CHECKING:
    from medback_core.session import Session

INIT = click.option("--init", is_flag=True, help="Make PATH a target without asking.")
LABEL = click.option("--label", metavar="NAME", help="What people call the drive.")
NEW_ID = click.option("--new-id", is_flag=True, help="It is a clone: make it a target of its own.")
SAME_DRIVE = click.option("--same-drive", is_flag=True, help="It is the known drive, at a new place.")


@command("target")
@click.argument("path", type=PATH)
@INIT
@LABEL
@click.option(
    "--capacity",
    type=SIZE,
    metavar="SIZE",
    help="Fill at most this much of the drive, now and later; kept in the drive's identity.",
)
@click.option("--reserve", type=SIZE, metavar="SIZE", help="Leave this much free.")
@click.option("--limit", type=SIZE, metavar="SIZE", help="Copy at most this much in this run.")
@click.option("--source", metavar="ALIAS", help="Copy only files of this source.")
@click.option("--no-update", is_flag=True, help="Do not scan the sources first.")
@click.option("--no-fill", is_flag=True, help="Stop when everything has its wanted copies.")
@click.option("--no-verify", is_flag=True, help="Do not read back what was written.")
@click.option("--dry-run", is_flag=True, help="Scan the sources and show what would be copied; copy nothing.")
@click.option(
    "--readme/--no-readme",
    default=None,
    help="Keep medback-README.txt and medback-restore.py on the drive, or not; kept in the drive's identity.",
)
@click.option("--place", metavar="PLACE", help="Where the drive is kept: home, office, …; kept in its identity.")
@NEW_ID
@SAME_DRIVE
def target(
    run: Run,
    path: bytes,
    init: bool,
    capacity: Size | None,
    reserve: Size | None,
    limit: Size | None,
    no_update: bool,
    no_fill: bool,
    no_verify: bool,
    dry_run: bool,
    new_id: bool,
    same_drive: bool,
    **said: Any,
) -> None:
    """Copy the best files onto the drive at PATH.

    Until it is full, those with the fewest copies first, then the largest. A drive that is no target yet becomes
    one, after a question. Every copy is read back before it counts.
    """
    from medback_core.backing_up.back_up import back_up

    where = run.directory(path)
    sizes = {
        name: None if given is None else given.bytes_on(where)
        for name, given in (("capacity", capacity), ("reserve", reserve or run.preferences.reserve), ("limit", limit))
    }
    with run.session() as session:
        summary = run.follow_asking(
            lambda answers: back_up(
                session,
                where,
                answers=answers,
                update_first=not no_update,
                fill=not no_fill,
                verify=not no_verify,
                dry_run=dry_run,
                enough=run.interrupts.by_person,
                **sizes,
                **said,
            ),
            BackupSummary,
            Answers(create=init, yes=run.settings.yes, new_id=new_id, same_drive=same_drive),
            ends_itself=True,
        )
        found = summary or _so_far(run, session, where)
        _report_target(
            run,
            session,
            found,
            whole=summary is not None and not summary.stopped,
            dry_run=dry_run,
            limited=limit is not None,
        )


def _so_far(run: Run, session: Session, where: bytes) -> BackupSummary | None:
    """What a run that ended early did, as far as it was recorded."""
    from medback_core.session.candidates import below_wanted
    from medback_core.session.targets import counting_keys

    known = plugged_in(session, where)
    if known is None:
        return None
    done = run.outcome.done["copied"]
    left = below_wanted(session, counting_keys(session))[0]
    return BackupSummary(
        known,
        done.files,
        done.bytes,
        remaining=left.files,
        remaining_bytes=left.bytes,
        free_bytes=known.free_bytes or 0,
    )


def _report_target(
    run: Run, session: Session, summary: BackupSummary | None, *, whole: bool, dry_run: bool, limited: bool
) -> None:
    from medback_core.session.sources import list_sources

    result = run.outcome.result
    if summary is None:
        result.update(target=None, copied=0, copied_bytes=0)
        return
    result.update(
        target=target_json(summary.target),
        **facts_json(summary, "target", "would_copy", "paths", "looked", "gone", "gone_since", "stopped"),
    )
    if dry_run:
        result["would_copy"] = [names.text(path) for path in summary.would_copy]
    run.outcome.needs_more(summary.remaining)
    say_what_is_gone(run, summary.gone, summary.gone_since)
    name = shown(summary.target.name or summary.target.id)
    done = Count(summary.copied, summary.copied_bytes)
    if dry_run:
        run.say_list([f"would copy {shown(path)}" for path in summary.would_copy])
        run.say(f"would copy {counted(done)} onto {name}")
    else:
        run.say(f"{name}: {backed_up(summary)}")
    if summary.no_inodes:
        run.say(
            f"{name} has room but no inodes left: its file system can take no more files. A file system made with "
            "more inodes could use the rest"
        )
    if summary.unproven:
        run.say(f"{plural(summary.unproven, 'copy', 'copies')} read back equal, perhaps from a cache, not the drive")
    if summary.remaining:
        left = Count(summary.remaining, summary.remaining_bytes)
        then = " then" if dry_run else ""
        what = "a further copy" if limited else "another drive"
        run.say(f"{counted(left)} still need{'s' if left.files == 1 else ''} {what}{then}")
        if summary.lacking_bytes:
            run.say(f"You are {size(summary.lacking_bytes)} short")
        if not dry_run:
            say_next(run, session, but=None if limited else summary.target.key)
    elif not list_sources(session):
        run.say(NO_SOURCES)
    elif dry_run:
        run.say(f"all files then have their wanted copies{as_of(summary.looked)}{but_for(summary.looked)}")
    elif whole:
        run.say(f"all files have their wanted copies{as_of(summary.looked)}{but_for(summary.looked)}")
    old, surplus = summary.reclaimable_bytes - summary.surplus_bytes, summary.surplus_bytes
    parts = [f"{size(old)} of older versions"] if old else []
    parts += [f"{size(surplus)} of copies that have enough others"] if surplus else []
    also = ", with another drive that holds them plugged in too" if surplus else ""
    if parts:
        flags = " --old" * bool(old) + " --surplus" * bool(surplus)
        where = names.shell_quoted(summary.target.name or summary.target.id)
        run.say(f"{' and '.join(parts)} can be freed there{also}: `medback reclaim {where}{flags}`")


@command("discover")
@click.argument("path", type=PATH)
@INIT
@LABEL
@click.option("--dry-run", is_flag=True, help="Show what would be found; record nothing.")
@click.option("--rehash", is_flag=True, help="Read every file again, trusting no record.")
@NEW_ID
@SAME_DRIVE
def discover(
    run: Run, path: bytes, init: bool, label: str | None, dry_run: bool, rehash: bool, new_id: bool, same_drive: bool
) -> None:
    """Mark what already lies on the drive at PATH.

    Every file of yours that is found there counts as a copy. For drives filled by rsync, by hand, or by another
    program of the family. Nothing is copied.
    """
    from medback_core.backing_up.discover import discover as operation

    where = run.directory(path)
    with run.session() as session:
        summary = run.follow_asking(
            lambda answers: operation(session, where, answers=answers, label=label, dry_run=dry_run, rehash=rehash),
            DiscoverSummary,
            Answers(create=init, yes=run.settings.yes, new_id=new_id, same_drive=same_drive),
        )
        if summary is None:
            known = plugged_in(session, where)
            summary = None if known is None else DiscoverSummary(known)
        run.outcome.result.update(
            target=None if summary is None else target_json(summary.target),
            **facts_json(summary or DiscoverSummary(Target(0, "", "")), "target"),
        )
        if summary is None or run.outcome.interrupted:
            return
        would = "would be " if dry_run else ""
        run.say(f"{shown(summary.target.name)}: {discovered(summary, would=would)}")
        if not dry_run:
            say_what_is_unsafe(run, session)


target.epilog = SIZE_HELP
COMMANDS: list[Any] = [target, discover]
