"""The commands that answer questions: stats, whereis, find, deleted, what-if, plan."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import click

from medback_core import names
from medback_core.errors import Refused
from medback_core.model import Count, Remembers, Target, TargetState, iso_date
from medback_core.presenting.places import (
    all_gone_words,
    at,
    fetch_words,
    lacking_words,
    three_two_one_words,
    too_few_words,
)
from medback_core.presenting.telling import differ_words, nothing_missing, story_words
from medback_core.presenting.units import ago, counted, date, listed, plural, size
from medback_core.presenting.units import command as command_line
from medback_core.presenting.units import name as shown

from .options import DIRECTORY, MOMENT, PATH
from .outcome import count_json, facts_json, told_json
from .running import LISTED, Run, command
from .safety import gaps_json, safe_words, say_gaps, say_next

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from medback_core.coverage.places import PlaceShelf
    from medback_core.coverage.totals import Coverage, UnprotectedFile
    from medback_core.coverage.what_if import NamedFile, PlaceLoss, TargetsLoss
    from medback_core.coverage.where_is import CopyView, FileWhereabouts
    from medback_core.restoring.plan import PlanSummary
    from medback_core.session import Session

DRIVES = click.argument("drives", metavar="[DRIVE]...", nargs=-1, type=DIRECTORY)
SOURCE = click.option("--source", metavar="ALIAS", help="Only this source.")
BELOW = click.option("--path", type=PATH, metavar="PATH", help="Only at and below this path, relative to the source.")


def named_targets(session: Session, words: Iterable[str]) -> list[Target]:
    """The targets these words name. Raises Refused."""
    from medback_core.drives.open import resolve_target

    found = []
    for word in words:
        target = resolve_target(session, word)[0]
        if target is None:
            raise Refused("not-a-target/unknown", target=word)
        found.append(target)
    return found


@contextmanager
def told_by_drives(run: Run, session: Session, drives: Sequence[bytes], word: str) -> Iterator[Session]:
    """The session to look and plan with: where drives that are plugged in remember what this session does not know, a
    copy that knows it. Says what they remember."""
    from medback_core.restoring.told import Told, listen

    paths = [run.directory(path) for path in drives]
    with ExitStack() as stack:
        told = run.follow(listen(session, stack, paths), Told) or Told(session)
        run.outcome.result["told"] = [told_json(one) for one in run.outcome.all(Remembers)]
        run.outcome.result["told"] += [told_json(story.told, taken=False) for story in told.offered]
        for one in run.outcome.all(Remembers):
            run.say(story_words(one))
        for story in told.offered:
            way = command_line(word, story.path)
            run.say(f"{story_words(story.told)} This session does not know that: `{way}` uses it.")
        yield told.session


def restore_word(run: Run, target: Target) -> str:
    """What names a drive to `restore`, quoted: where it is, if it just told what it remembers."""
    return names.shell_quoted(
        next((told.path for told in run.outcome.all(Remembers) if told.drive == target.name), target.name)
    )


def plug_in(run: Run, session: Session, target: Target) -> str:
    """`plug in Blue and `, nothing where it is here."""
    from medback_core.drives.open import find_drive

    here = (
        any(told.drive == target.name for told in run.outcome.all(Remembers)) or find_drive(session, target) is not None
    )
    return "" if here else f"plug in {shown(target.name)} and "


def drives_here(run: Run, session: Session) -> set[str]:
    """The ids of the targets that are plugged in, and of those that just told what they remember."""
    from medback_core.drives.open import find_drives, resolve_target
    from medback_core.session.targets import list_targets

    told = [resolve_target(session, names.text(one.path))[0] for one in run.outcome.all(Remembers)]
    return {*find_drives(session, list_targets(session, unknown=True)), *(one.id for one in told if one is not None)}


def scope_words(source: str | None, path: bytes | None, to: bytes | None) -> str:
    """The options that were given, as one may paste them into a shell behind the next command."""
    given = (("--source", source), ("--path", path), ("--to", to))
    return "".join(f" {option} {names.shell_quoted(value)}" for option, value in given if value is not None)


def _by_copies(by_copies: dict[int, Count]) -> dict[str, dict[str, int]]:
    return {str(copies): count_json(count) for copies, count in sorted(by_copies.items())}


@command("stats")
@SOURCE
@BELOW
@click.option(
    "--depth",
    type=click.IntRange(0, 1000),
    default=1,
    show_default=True,
    metavar="N",
    help="How many levels of directories to list.",
)
@click.option("--unprotected", "list_files", is_flag=True, help="List every file that has too few copies.")
def stats(run: Run, source: str | None, path: bytes | None, depth: int, list_files: bool) -> None:
    """Show how many copies your files have.

    Files and bytes by number of copies, in all and by directory, and what is below the wanted number.
    """
    from medback_core.coverage import totals as operation
    from medback_core.coverage.places import has_places, place_shelves, three_two_one

    with run.session() as session:
        result = run.outcome.result
        unprotected: list[UnprotectedFile] = []
        if list_files:
            for file in operation.unprotected(session, source, path or b""):
                if run.settings.json:
                    unprotected.append(file)
                else:
                    run.answer_line(
                        f"{file.copies} of {file.wanted}{_away(file)}  {size(file.size):>10}  "
                        f"{shown(file.source)}/{shown(file.path)}"
                    )
            result["unprotected"] = [facts_json(file) for file in unprotected]
        found = _coverage(session, source, path or b"", depth)
        whole = three_two_one(session)
        seen = operation.looked(session, source, path or b"")
        facts = (whole.holds, whole.without_elsewhere, whole.without_second)
        result.update(
            files=found.files,
            bytes=found.bytes,
            by_copies=_by_copies(found.by_copies),
            below_wanted=count_json(found.below_wanted),
            without_elsewhere=count_json(found.without_elsewhere),
            three_two_one=dict(
                zip(("holds", "without_elsewhere", "without_second"), map(count_json, facts), strict=True)
            ),
            places=[_shelf_json(shelf) for shelf in place_shelves(session)],
            damaged_files=found.damaged,
            gaps=gaps_json(seen.gaps),
            unscanned=seen.unscanned,
            directories=[
                {
                    "source": d.source,
                    "path": names.text(d.path),
                    "files": d.count.files,
                    "bytes": d.count.bytes,
                    "by_copies": _by_copies(d.by_copies),
                    "below_wanted": count_json(d.below_wanted),
                    "without_elsewhere": count_json(d.without_elsewhere),
                    "oldest_check": iso_date(d.oldest) if d.oldest else None,
                }
                for d in found.directories
            ],
        )
        if not list_files:
            _show_coverage(run, found)
        if not found.files:
            run.say("no files yet; `medback add-src DIR` adds a source")
        elif found.below_wanted.files:
            run.say(
                too_few_words(found.below_wanted, found.apart) + ("" if list_files else " (--unprotected lists them)")
            )
            say_next(run, session)
        else:
            run.say(safe_words(Count(found.files, found.bytes), seen))
        say_gaps(run, seen.gaps)
        if seen.unscanned and found.files:
            run.say(f"not scanned to the end yet: {listed(seen.unscanned)}; `medback update` goes on")
        if found.damaged:
            run.say(f"{plural(found.damaged, 'file is', 'files are')} damaged; see `medback repair`")
        if has_places(session):
            run.say(three_two_one_words(whole))


def _shelf_json(shelf: PlaceShelf) -> dict[str, Any]:
    return {
        "place": shelf.place,
        "targets": [target.id for target in shelf.targets],
        "behind": count_json(shelf.behind),
        "last_there": iso_date(shelf.last_there),
        "here": shelf.here,
    }


def _away(file: UnprotectedFile) -> str:
    """` (0 of 1 elsewhere)`, where copies are wanted elsewhere."""
    return f" ({file.elsewhere} of {file.elsewhere_wanted} elsewhere)" if file.elsewhere_wanted else ""


def _coverage(session: Session, source: str | None, path: bytes, depth: int) -> Coverage:
    """The coverage of a directory, or of the one file of that name."""
    from medback_core.coverage import totals as operation
    from medback_core.coverage.where_is import where_is

    try:
        return operation.coverage(session, source=source, path=path, depth=depth)
    except Refused:
        if not path or source is None:
            raise
        files = [f for f in where_is(session, [path], source=source) if f.path == path.strip(b"/")]
        if not files:
            raise
    file = files[0]
    copies = sum(copy.counts for copy in file.copies)
    count, nothing = Count(1, file.size), Count()
    by_copies = dict.fromkeys(range(copies), nothing) | {copies: count}
    below, apart = count if any(file.lacks) else nothing, count if file.lacks[0] == 0 < file.lacks[1] else nothing
    without = nothing if file.away else count
    return operation.Coverage(1, count.bytes, by_copies, below, 0, None, (), without, apart)


def _show_coverage(run: Run, found: Coverage) -> None:
    run.table(
        ["copies", ("files", "right"), ("bytes", "right")],
        [
            [copies or "none", f"{count.files:,}", size(count.bytes)]
            for copies, count in sorted(found.by_copies.items())
        ],
    )
    if not found.directories:
        return
    run.answer_line("")
    most = max((max(d.by_copies) for d in found.directories), default=0)
    columns: list[str | tuple[str, str]] = ["directory", ("files", "right"), ("bytes", "right")]
    columns += [(f"{n} copies" if n != 1 else "1 copy", "right") for n in range(most + 1)]
    rows = []
    for d in found.directories:
        cells = [size(d.by_copies[n].bytes) if d.by_copies.get(n, Count()).files else "·" for n in range(most + 1)]
        where = f"{shown(d.source)}/{shown(d.path)}" if d.path else shown(d.source)
        mark = "●" if not d.below_wanted.files else ("○" if d.by_copies.get(0, Count()).files else "◐")
        rows.append([f"{mark} {where}", f"{d.count.files:,}", size(d.count.bytes), *cells, ago(d.oldest)])
    run.table([*columns, "oldest check"], rows)


@command("whereis")
@click.argument("paths", metavar="PATH...", nargs=-1, required=True, type=PATH)
@click.option("--source", metavar="ALIAS", help="PATH is relative to this source.")
@click.option("--deleted", is_flag=True, help="Files that are no longer in a source.")
def whereis(run: Run, paths: tuple[bytes, ...], source: str | None, deleted: bool) -> None:
    """Show where the copies of a file are.

    On which targets, under which path there, last verified when. PATH is absolute, or relative to --source; a
    directory stands for all files in it.
    """
    from medback_core.coverage.where_is import where_is

    with run.session() as session:
        found = where_is(session, paths, source=source, deleted=deleted)
        run.outcome.result["files"] = [_file_json(file) for file in found]
        for file in found:
            gone = f", gone since {iso_date(file.gone_at)}" if file.gone_at else ", gone" if file.gone else ""
            run.answer_line(f"{shown(file.source)}/{shown(file.path)}  {size(file.size)}  md5 {file.md5}{gone}")
            for copy in file.copies:
                run.answer_line(f"  {_copy_words(copy)}")
            if not file.copies:
                run.answer_line("  no copy anywhere")
            if file.lacks[1]:
                run.answer_line(f"  {lacking_words(*file.lacks)}")


@command("find")
@click.argument("patterns", metavar="PATTERN...", nargs=-1, required=True, type=PATH)
@SOURCE
def find(run: Run, patterns: tuple[bytes, ...], source: str | None) -> None:
    """Find files by name, deleted ones too.

    PATTERN is a part of the name or of the path, in any case: lisbon, 2024/lis. With *, ? or [ it is the whole name:
    '*.cr2', or the end of the path: 'lisbon/*.cr2'. Looks through all sources, deleted files and older versions.
    """
    from medback_core.coverage.find import find as operation

    with run.session() as session:
        found = operation(session, patterns, source=source).files
        run.outcome.result["files"] = [_file_json(file) for file in found]
        for file in found:
            gone = ""
            if file.gone:
                what = "older version" if file.replaced else "deleted"
                gone = f"{what} {date(file.gone_at, never='at an unknown date')}, "
            on = _drives(file)
            lacking = f"; {lacking_words(*file.lacks)}" if file.lacks[1] else ""
            run.answer_line(f"{shown(file.source)}/{shown(file.path)}  {size(file.size)}  {gone}on {on}{lacking}")
        if not found:
            run.answer_line("nothing found")


def _there(file: FileWhereabouts) -> list[CopyView]:
    """Its copies on drives that are not lost."""
    return [copy for copy in file.copies if copy.target.state is not TargetState.LOST]


def _drives(file: FileWhereabouts) -> str:
    """The drives that have it, the lost ones last."""
    lost = [f"{shown(copy.target.name)} (lost)" for copy in file.copies if copy.target.state is TargetState.LOST]
    return ", ".join([*(shown(copy.target.name) for copy in _there(file)), *lost]) or "no drive"


def _file_json(file: FileWhereabouts) -> dict[str, Any]:
    return {
        "source": file.source,
        "path": names.text(file.path),
        "size": file.size,
        "md5": file.md5,
        "gone": file.gone,
        "gone_at": iso_date(file.gone_at),
        "replaced": file.replaced,
        "wanted": file.need.copies if file.need is not None else None,
        "elsewhere_wanted": file.need.elsewhere if file.need is not None else None,
        "copies": [
            {
                "target": copy.target.id,
                "label": copy.target.label,
                "state": copy.target.state.value if copy.target.known else "unknown",
                "standing": copy.standing.name.lower(),
                "path": None if copy.path is None else names.text(copy.path),
                "verified": iso_date(copy.verified_at),
                "counts": copy.counts,
                "place": copy.place or None,
            }
            for copy in file.copies
        ],
    }


def _copy_words(copy: CopyView) -> str:
    state = copy.target.state.value if copy.target.known else "unknown"
    where = "place not known until it is seen" if copy.path is None else shown(copy.path)
    checked = f"verified {ago(copy.verified_at)}" if copy.verified_at else copy.standing.name.lower()
    kept = f", {at(copy.place)}" if copy.place else ""
    counts = "" if copy.counts else ", does not count"
    return f"{shown(copy.target.name)} ({state}{kept}): {where}, {checked}{counts}"


@command("deleted")
@SOURCE
@BELOW
@click.option("--since", type=MOMENT, metavar="DATE", help="Only what went at or after DATE: 2026-11-24, or 3d ago.")
def deleted(run: Run, source: str | None, path: bytes | None, since: int | None) -> None:
    """List deleted files and older versions of which a copy exists.

    The latest first. `medback restore TARGET --deleted` brings them back.
    """
    from medback_core.coverage.deleted import deleted_count, deleted_page

    with run.session() as session:
        count = deleted_count(session, source=source, path=path, since=since)
        files: list[FileWhereabouts] = []
        after = None
        while True:
            page = deleted_page(session, source=source, path=path, since=since, after=after)
            files += page.files
            after = page.last
            if after is None or not (run.settings.json or run.settings.verbose):
                break
        run.outcome.result["files"] = [_file_json(file) for file in files]
        lines = []
        for file in files:
            when = date(file.gone_at, never="date not known")
            what = "older version" if file.replaced else "deleted"
            lines.append(
                f"{when}  {shown(file.source)}/{shown(file.path)}  {size(file.size)}  {what}, on {_drives(file)}"
            )
        run.say_list(lines, total=count.files, asked=True)
        if not files:
            run.answer_line("no deleted file and no older version with a copy is known")
            return
        first = next((file for file in files if _there(file)), None)
        if first is None:
            return
        where = names.shell_quoted(_there(first)[0].target.name)
        run.say(
            f"next: `medback restore {where} --deleted{scope_words(first.source, first.path, None)}` brings back one"
        )


@command("what-if")
@click.argument("words", metavar="[ID-or-LABEL]...", nargs=-1)
@click.option(
    "--place",
    "gone",
    metavar="PLACE",
    multiple=True,
    help="All that is kept there dies: its targets and its sources. May be given more than once, and beside targets.",
)
def what_if(run: Run, words: tuple[str, ...], gone: tuple[str, ...]) -> None:
    """Show what is lost if these targets die.

    Lost is what has no copy on any other target, and is gone for good if its source dies too; weakened is what keeps
    one and then lacks copies that are wanted. Without a target: every single one and every pair, the worst first.
    """
    from medback_core.coverage.what_if import what_if, what_if_every, what_if_places

    with run.session() as session:
        result = run.outcome.result
        if gone:
            _report_place(run, what_if_places(session, gone, named_targets(session, words)))
            return
        if not words:
            every = what_if_every(session)
            result.update(
                single=[_loss_json(e) for e in every.single],
                pairs=[_loss_json(e) for e in every.pairs],
                together=[_loss_json(e) for e in every.together],
                places=[_place_json(e) for e in every.places],
                already_bare=count_json(every.already_bare),
            )
            rows = [
                [
                    listed([t.name for t in e.targets]),
                    f"{e.lost.files:,}",
                    size(e.lost.bytes),
                    f"{e.weakened.files:,}",
                    size(e.weakened.bytes),
                ]
                for e in (*every.together, *every.single, *every.pairs[: None if run.settings.verbose else LISTED])
            ]
            for e in every.together:
                run.say(f"{listed([t.name for t in e.targets])} are on one disk: they fail together")
            if rows:
                run.table(
                    [
                        "if this dies",
                        ("files lost", "right"),
                        ("bytes lost", "right"),
                        ("weakened", "right"),
                        ("bytes", "right"),
                    ],
                    rows,
                )
                run.say("lost: no copy would be left on any drive. weakened: fewer copies than wanted would be left")
                for e in every.places:
                    run.say(
                        f"if {all_gone_words(e.places)} is gone: lost for good: {counted(e.lost)}; "
                        f"comes back: {counted(e.back)} (`{command_line('what-if', '--place', *e.places)}`)"
                    )
            else:
                run.answer_line("no targets yet")
            _say_bare(run, every.already_bare)
            return
        found = what_if(session, named_targets(session, words))
        lost_files = list(found.lost_files)
        result.update(
            lost=count_json(found.lost),
            weakened=count_json(found.weakened),
            lost_files=[facts_json(file) for file in lost_files],
            already_bare=count_json(found.already_bare),
        )
        run.answer_line(f"lost: {counted(found.lost)}, if their sources die too; weakened: {counted(found.weakened)}")
        run.say_list(_file_lines(lost_files), before="  ", asked=True)
        _say_bare(run, found.already_bare)


def _report_place(run: Run, found: PlaceLoss) -> None:
    lost_files = list(found.lost_files)
    run.outcome.result.update(_place_json(found), lost_files=[facts_json(file) for file in lost_files])
    burnt = [shown(one.alias) for one in found.sources] + [shown(one.name) for one in found.targets]
    what = all_gone_words(found.places, [one.name for one in found.further])
    are = "is" if len(found.places) + len(found.further) == 1 else "are"
    run.answer_line(f"if {what} {are} gone ({', '.join(burnt)}):")
    run.answer_line(f"  lost for good: {counted(found.lost)}")
    run.say_list(_file_lines(lost_files), before="    ", asked=True)
    run.answer_line(f"  comes back: {counted(found.back)}")
    for target, brings in found.by:
        run.answer_line(f"    from {shown(target.name)}: {counted(brings)}")
    run.answer_line(f"  lose a copy that is wanted: {counted(found.weakened)}")


def _file_lines(files: Sequence[NamedFile]) -> list[str]:
    return [f"{shown(file.source)}/{shown(file.path)}  {size(file.size)}" for file in files]


def _place_json(found: PlaceLoss) -> dict[str, Any]:
    return {
        "place": found.places[0] if len(found.places) == 1 else None,
        "kept_at": list(found.places),
        "targets": [target.id for target in found.targets],
        "sources": [source.alias for source in found.sources],
        "lost": count_json(found.lost),
        "weakened": count_json(found.weakened),
        "back": count_json(found.back),
        "by": [{"target": t.id, "label": t.label, **count_json(brings)} for t, brings in found.by],
    }


def _say_bare(run: Run, bare: Count) -> None:
    if bare.files:
        run.say(f"{counted(bare)} have no copy even now")


def _loss_json(loss: TargetsLoss) -> dict[str, Any]:
    return {
        "targets": [target.id for target in loss.targets],
        "labels": [target.label for target in loss.targets],
        "lost": count_json(loss.lost),
        "weakened": count_json(loss.weakened),
    }


@command("plan")
@DRIVES
@click.option("--all", "all_of_it", is_flag=True, help="Plan to restore everything, as if all of it were gone.")
@SOURCE
@BELOW
@click.option("--to", type=DIRECTORY, metavar="DIR", help="Restore to DIR/ALIAS/path instead of the sources' places.")
@click.option(
    "--without", multiple=True, metavar="TARGET", help="Plan without this target. May be given more than once."
)
@click.option(
    "--prefer",
    type=click.Choice(["trips", "drives"]),
    default="trips",
    show_default=True,
    help="The fewest trips to other places, then the fewest drives; or the other way round.",
)
def plan(
    run: Run,
    drives: tuple[bytes, ...],
    all_of_it: bool,
    source: str | None,
    path: bytes | None,
    to: bytes | None,
    without: tuple[str, ...],
    prefer: str,
) -> None:
    """Say which targets bring back what is missing.

    The fewest that do, in the order to plug them in: the most bytes soonest, suspect ones last, lost ones never. What
    no target can bring stands first. On a new machine the drives that are plugged in tell what there was; a directory
    that is a target is named: DRIVE.
    """
    from medback_core.restoring.plan import PlanSummary, restore_plan

    with run.session() as known, told_by_drives(run, known, drives, "plan") as session:
        here = () if all_of_it else drives_here(run, session)
        found = run.follow(
            restore_plan(
                session,
                all_of_it=all_of_it,
                source=source,
                path=path,
                to=to,
                without=named_targets(session, without),
                here=here,
                prefer=prefer,
            ),
            PlanSummary,
        )
        if found is not None:
            _report_plan(run, session, found, scope_words(source, path, to), all_of_it=all_of_it)


def _report_plan(run: Run, session: Session, found: PlanSummary, scope: str, *, all_of_it: bool) -> None:
    run.outcome.result.update(
        missing=count_json(found.missing),
        unreachable=count_json(found.unreachable),
        exact=found.exact,
        why=found.why,
        as_of=iso_date(found.as_of),
        not_plugged_in=[target.name for target in found.unheard],
        differing=found.differing,
        steps=[
            {
                "target": step.target.id,
                "label": step.target.label,
                "state": step.target.state.value if step.target.known else "unknown",
                "files": step.brings.files,
                "bytes": step.brings.bytes,
                "remaining_files": step.remaining.files,
                "remaining_bytes": step.remaining.bytes,
                "claimed_files": step.claimed.files,
                "place": step.place,
                "trip": step.trip,
            }
            for step in found.steps
        ],
        unreachable_files=[facts_json(file) for file in found.unreachable_files],
    )
    if not found.missing.files:
        words = nothing_missing(found.as_of, found.unheard)
        if found.differing:
            words += f" But {differ_words(found.differing)}: `medback restore` lists them as conflicts."
        run.answer_line(words if all_of_it or found.as_of is None else f"{words} (--all: if all of it were gone)")
        return
    if found.unreachable.files:
        run.answer_line(f"CAN'T BE RESTORED: no target that can be used has {counted(found.unreachable)}:")
        lines = _file_lines(found.unreachable_files)
        run.say_list(lines, before="  ", total=found.unreachable.files, asked=True)
    run.answer_line(f"{'to bring back' if all_of_it else 'missing'}: {counted(found.missing)}")
    rows: list[list[Any]] = [
        [
            number,
            step.target.name,
            step.target.state.value if step.target.known else "unknown",
            f"{step.brings.files:,}",
            size(step.brings.bytes),
            counted(step.remaining) if step.remaining.files else "nothing",
        ]
        for number, step in enumerate(found.steps, 1)
    ]
    if rows:
        run.table(
            [("", "right"), "plug in", "state", ("files", "right"), ("bytes", "right"), "then still missing"], rows
        )
    for words in fetch_words((step.place, step.target.name) for step in found.steps if step.trip):
        run.say(words)
    if not found.exact:
        run.say(f"fewer drives might do: {found.why}")
    claimed = sum(step.claimed.files for step in found.steps)
    if claimed:
        run.say(f"{plural(claimed, 'file')} of these are listed in the record and not checked yet")
    if found.differing:
        run.say(f"{differ_words(found.differing)} and would be left alone")
    if found.steps and not all_of_it:
        first = found.steps[0].target
        run.say(f"next: {plug_in(run, session, first)}run `medback restore {restore_word(run, first)}{scope}`")


@command("report")
@click.argument("file", metavar="FILE.html", type=PATH)
def report(run: Run, file: bytes) -> None:
    """Write one HTML page: what is safe, and how all of it comes back.

    The shelf, a map, the plan, what each drive holds, and a sheet of one page to print and keep with the drives: how to
    get everything back from them, with and without medback. Opened in a browser it asks for nothing outside of itself.
    """
    from medback_core.model import Answers, ReportSummary
    from medback_core.report.write import write_report

    with run.session() as session:
        found = run.follow_asking(
            lambda answers: write_report(session, file, answers), ReportSummary, Answers(replace=run.settings.yes)
        )
        if found is not None:
            run.outcome.result.update(path=names.text(os.path.abspath(found.path)), bytes=found.bytes)
            run.say(f"written: {shown(found.path)}; its last page is the one to print and keep with the drives")


COMMANDS = [stats, whereis, find, deleted, what_if, plan, report]
