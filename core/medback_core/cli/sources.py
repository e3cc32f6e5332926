"""The commands about sources: add-src, sources, set-source, remove-src, update, rebuild."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from medback_core import names
from medback_core.errors import Refused, UsageError
from medback_core.model import Answers, Rule, ScanSummary, Source, iso_date
from medback_core.presenting.outcomes import scanned
from medback_core.presenting.places import at, wanted_words
from medback_core.presenting.plugging import NO_SOURCES
from medback_core.presenting.refusals import kept, message
from medback_core.presenting.telling import story_words
from medback_core.presenting.units import ago, plural, size
from medback_core.presenting.units import command as command_line
from medback_core.presenting.units import name as shown

from .options import DIRECTORY, PATH
from .outcome import facts_json, told_json
from .running import Run, command
from .safety import gaps_json, say_gaps, say_what_is_gone, say_what_is_unsafe
from .targets import target_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from medback_core.session import Session


def _absolute(_ctx: click.Context, _param: click.Parameter, paths: Sequence[bytes]) -> list[bytes]:
    return [os.path.abspath(path) for path in paths]


ONE_FILE_SYSTEM = click.option(
    "--one-file-system/--no-one-file-system",
    "one_file_system",
    default=None,
    help="Read nothing that is mounted inside; or read what is local, as a new source does.",
)
INCLUDE_MOUNT = click.option(
    "--include-mount",
    "include_mounts",
    multiple=True,
    type=PATH,
    callback=_absolute,
    metavar="DIR",
    help="What is mounted at DIR belongs to the source. May be given more than once.",
)
WORKERS = click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    metavar="N",
    help="Processes that read and hash; one where the disk spins.",
)
COPIES = click.IntRange(1, 99)
ELSEWHERE = click.option(
    "--elsewhere", type=click.IntRange(0, 99), metavar="N", help="How many of the copies are wanted at another place."
)
PLACE = click.option("--place", metavar="PLACE", help="Where it is kept: home, office, …; '': at home.")


def scan_json(scan: ScanSummary) -> dict[str, Any]:
    """One source as add-src, update and rebuild report it."""
    return {
        "alias": scan.source.alias,
        "id": scan.source.id,
        "path": names.text(scan.source.path),
        **facts_json(scan, "source"),
    }


def source_json(session: Session, source: Source) -> dict[str, Any]:
    from medback_core.session.gaps import list_gaps, nested_mounts
    from medback_core.session.needs import places, wants_of
    from medback_core.session.sources import source_totals

    count, links, directories = source_totals(session, source.key)
    return {
        "alias": source.alias,
        "id": source.id,
        "path": names.text(source.path),
        "files": count.files,
        "bytes": count.bytes,
        "links": links,
        "directories": directories,
        "copies": source.wanted,
        "elsewhere": source.elsewhere,
        "place": places(session).called(source),
        "rules": [_rule_json(session, source, rule) for rule in wants_of(session, source).rules],
        "excludes": list(source.excludes),
        "one_file_system": source.one_file_system is not False,
        "mounts": [names.text(path) for path in nested_mounts(session, source.key)],
        "not_read": len(list_gaps(session, source.key)),
        "last_scanned": iso_date(source.scanned_at),
        "mounted": os.path.isdir(source.path),
        "refused": kept(source.refused),
    }


def _rule_json(session: Session, source: Source, rule: Rule) -> dict[str, Any]:
    """What is wanted below a directory; null where it is as above it."""
    from medback_core.session.tree import directory_key

    missing = directory_key(session, source.key, rule.path) is None
    return {"path": names.text(rule.path), "copies": rule.copies, "elsewhere": rule.elsewhere, "missing": missing}


def _rule_words(source: Source, rule: dict[str, Any]) -> str:
    """`photos/2019/wedding: 3 copies wanted, 2 elsewhere`."""
    missing = ", this directory is not there now" if rule["missing"] else ""
    wanted = wanted_words(rule["copies"], rule["elsewhere"])
    return f"{shown(source.alias)}/{shown(rule['path'])}: {wanted}{missing}"


def _report_gaps(run: Run, session: Session) -> None:
    """The gaps of all sources, in the JSON."""
    from medback_core.session.gaps import list_gaps

    run.outcome.result["gaps"] = gaps_json(list_gaps(session))


def report_scans(run: Run) -> None:
    """The scans of this run, in the JSON and in words."""
    run.outcome.result["sources"] = [scan_json(scan) for scan in run.outcome.all(ScanSummary)]
    for scan in run.outcome.all(ScanSummary):
        run.say(f"{shown(scan.source.alias)}: {scanned(scan)}")
    gone = [scan for scan in run.outcome.all(ScanSummary) if scan.removed]
    since = min((scan.source.scanned_at or 0 for scan in gone), default=None)
    say_what_is_gone(run, sum(scan.removed for scan in gone), since)


@command("add-src")
@click.argument("directory", metavar="DIR", type=DIRECTORY, required=False)
@click.option("--srd-dir", "--src-dir", "srd_dir", type=DIRECTORY, metavar="DIR", help="The directory, by name.")
@click.option("--alias", metavar="NAME", help="What to call it (default: the directory's name).")
@click.option("--copies", type=COPIES, metavar="N", help="How many copies are wanted (default: 2).")
@click.option(
    "--exclude",
    "excludes",
    multiple=True,
    metavar="PATTERN",
    help="Leave out what matches, as in .gitignore. May be given more than once.",
)
@ELSEWHERE
@PLACE
@ONE_FILE_SYSTEM
@INCLUDE_MOUNT
@WORKERS
def add_src(run: Run, directory: bytes | None, srd_dir: bytes | None, **said: Any) -> None:
    """Register DIR as a source and scan it.

    A known one is scanned again. Local file systems mounted inside are read as well; for others, `--include-mount`
    says so. Every file is hashed once; a .medback.xml in each directory keeps what is known of
    its files.
    """
    if (directory is None) == (srd_dir is None):
        raise UsageError("usage/one-directory")
    from medback_core.scanning.sources import add_source

    path = run.directory(directory or srd_dir or b"")
    with run.session() as session:
        run.follow(add_source(session, path, default_copies=run.preferences.copies, **said))
        _report_gaps(run, session)
        report_scans(run)
        say_what_is_unsafe(run, session)


@command("sources")
def sources(run: Run) -> None:
    """List the sources, and what in them was not read."""
    from medback_core.coverage.places import has_places
    from medback_core.session.gaps import list_gaps
    from medback_core.session.sources import list_sources

    with run.session() as session:
        found = list_sources(session)
        rows = [source_json(session, source) for source in found]
        run.outcome.result["sources"] = rows
        gaps = list_gaps(session)
        run.outcome.result["gaps"] = gaps_json(gaps)
        if not rows:
            run.answer_line(NO_SOURCES)
            return
        run.table(
            ["alias", ("files", "right"), ("bytes", "right"), ("copies", "right"), "scanned", "state", "path"],
            [
                [
                    row["alias"],
                    f"{row['files']:,}",
                    size(row["bytes"]),
                    row["copies"],
                    ago(source.scanned_at),
                    row["refused"] or _state(row),
                    row["path"],
                ]
                for row, source in zip(rows, found, strict=True)
            ],
        )
        named = has_places(session)
        for row, source in zip(rows, found, strict=True):
            if named or source.elsewhere:
                wanted = wanted_words(source.wanted, source.elsewhere or None)
                run.say(f"{shown(source.alias)}: kept {at(row['place'])}, {wanted}")
            for rule in row["rules"]:
                run.say(_rule_words(source, rule))
        say_gaps(run, gaps)


def _state(row: dict[str, Any]) -> str:
    if not row["mounted"]:
        return "not mounted"
    return plural(row["not_read"], "place") + " not read" if row["not_read"] else "ok"


@command("set-source")
@click.argument("alias")
@click.option("--alias", "new_alias", metavar="NAME", help="A new alias.")
@click.option("--path", type=DIRECTORY, metavar="DIR", help="Where it is mounted now.")
@click.option("--copies", type=COPIES, metavar="N", help="How many copies are wanted.")
@click.option("--exclude", "add_excludes", multiple=True, metavar="PATTERN", help="A further pattern to leave out.")
@click.option(
    "--no-exclude",
    "drop_excludes",
    multiple=True,
    metavar="PATTERN",
    help="Drop a pattern: what matches it is backed up again.",
)
@ELSEWHERE
@PLACE
@click.option(
    "--below",
    type=PATH,
    metavar="DIR",
    help="--copies and --elsewhere are for the files in DIR, relative to the source.",
)
@click.option(
    "--no-below", "drop_rules", multiple=True, type=PATH, metavar="DIR", help="Drop what --below said of DIR."
)
@ONE_FILE_SYSTEM
@INCLUDE_MOUNT
@click.option(
    "--no-include-mount",
    "drop_mounts",
    multiple=True,
    type=PATH,
    callback=_absolute,
    metavar="DIR",
    help="Stop expecting what was mounted at DIR.",
)
def set_source(run: Run, alias: str, path: bytes | None, **said: Any) -> None:
    """Change a source: its name, path, place, copies, excludes, what is mounted inside."""
    given = {option for option, value in said.items() if value not in (None, (), [])}
    if "below" in given and not given & {"copies", "elsewhere"}:
        raise UsageError("usage/below-needs-numbers")
    if path is None and not given:
        raise UsageError("usage/nothing-to-set-source")
    from medback_core.scanning.sources import change_source

    with run.session() as session:
        changed = change_source(session, alias, path=None if path is None else run.directory(path), **said)
        run.outcome.result["source"] = source_json(session, changed)
        away = f" ({changed.elsewhere} elsewhere)" if changed.elsewhere else ""
        kept = "" if changed.place is None else f", kept {at(changed.place)}"
        run.say(
            f"{shown(changed.alias)}: {shown(changed.path)}, {plural(changed.wanted, 'copy', 'copies')} wanted"
            + f"{away}{kept}"
            + (f", leaves out {shown(' '.join(changed.excludes))}" if changed.excludes else "")
        )
        for rule in run.outcome.result["source"]["rules"]:
            run.say(_rule_words(changed, rule))
        if given & {"add_excludes", "drop_excludes", "one_file_system", "include_mounts", "drop_mounts"}:
            run.say("next: run `medback update`")
        else:
            say_what_is_unsafe(run, session)


@command("remove-src")
@click.argument("alias")
def remove_src(run: Run, alias: str) -> None:
    """Forget a source.

    No file is deleted, and no copy of it becomes disposable; add-src takes it up again.
    """
    from medback_core.scanning.sources import forget_left_out, forget_source
    from medback_core.session.sources import find_source

    with run.session() as session:
        if "/" in alias and forget_left_out(session, os.path.abspath(names.from_text(alias))):
            run.say(f"{shown(alias)} is forgotten; nothing there was changed. `medback add-src` adds it again.")
            return
        before = source_json(session, find_source(session, alias))
        gone = forget_source(session, alias)
        run.outcome.result["source"] = before
        run.say(f"{shown(gone.alias)} is forgotten; its files and their copies stay. `medback add-src` adds it again.")


@command("update")
@click.argument("aliases", metavar="[ALIAS]...", nargs=-1)
@click.option("--rehash", is_flag=True, help="Read every file again, trusting no record.")
@click.option("--accept-deletions", is_flag=True, help="Accept that many files are gone.")
@click.option("--accept-changes", is_flag=True, help="Accept that many files have changed.")
@click.option(
    "--accept",
    multiple=True,
    metavar="PATTERN",
    help="Accept the new content of these files, which are reported as damaged. May be given more than once.",
)
@WORKERS
def update(run: Run, aliases: tuple[str, ...], accept_deletions: bool, accept_changes: bool, **said: Any) -> None:
    """Scan the sources again, all or those named.

    A source that looks unmounted, or of which more than a quarter vanished or changed, is refused and kept as it was.
    """
    from medback_core.scanning import sources as operation
    from medback_core.session.sources import list_sources

    with run.session() as session:
        answers = Answers(deletions=accept_deletions, changes=accept_changes)
        run.follow(operation.update(session, aliases, answers=answers, **said))
        _report_gaps(run, session)
        report_scans(run)
        say_what_is_unsafe(run, session)
        if not list_sources(session):
            run.say(NO_SOURCES)


@command("rebuild")
@click.argument("directories", metavar="[DIR]...", nargs=-1, type=DIRECTORY)
def rebuild(run: Run, directories: tuple[bytes, ...]) -> None:
    """Build a new session DB from the sidecars alone.

    DIR are sources, or targets that are plugged in; by default the sources the old session knew. The old DB is set
    aside. Nothing is hashed: files no sidecar knows are counted, and `medback update` hashes them.
    """
    from medback_core.drives.open import identity_at
    from medback_core.session.opening import session_file
    from medback_core.session.source_list import listed_sources
    from medback_core.upkeep.rebuild import rebuild as operation
    from medback_core.upkeep.rebuild import rebuilt_session, sort_directories

    paths = [run.directory(path) for path in directories]
    where = session_file(run.session_path)
    if not paths and not listed_sources(where):
        raise Refused("nothing-to-rebuild", path=str(where))
    sort_directories(paths)  # refuses before the old DB is set aside
    with rebuilt_session(where) as session:
        for note in session.notes:
            run.warn(message(note))
        summary = run.follow(operation(session, paths))
        report_scans(run)
        unhashed = sum(scan.unhashed for scan in run.outcome.all(ScanSummary))
        run.outcome.result["unhashed"] = unhashed
        run.outcome.result["targets"] = [target_json(target) for target in getattr(summary, "targets", ())]
        _say_what_is_remembered(run, session, [path for path in paths if identity_at(path) is not None])
        if unhashed:
            run.say(f"{plural(unhashed, 'file has', 'files have')} no hash in any sidecar; next: `medback update`")
        else:
            say_what_is_unsafe(run, session)


def _say_what_is_remembered(run: Run, session: Session, drives: Sequence[bytes]) -> None:
    """What these drives tell of sources that are not here, and what to do about it."""
    from medback_core.drives.story import story_at
    from medback_core.restoring.told import news_of

    told = [news_of(session, story).told for path in drives if (story := story_at(path)) is not None]
    told = [one for one in told if one.sources]
    run.outcome.result["told"] = [told_json(one, taken=False) for one in told]
    for one in told:
        run.say(story_words(one))
    if told:
        run.say(f"next: `{command_line('plan', *(one.path for one in told))}` says which drives bring it back")


COMMANDS = [add_src, sources, set_source, remove_src, update, rebuild]
