"""What a command says last of all: whether all is safe, and what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from medback_core import names
from medback_core.model import Count, Gap, Looked, iso_date
from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.units import ago, counted, plural
from medback_core.presenting.units import command as command_line
from medback_core.presenting.units import name as shown

from .running import Run

if TYPE_CHECKING:
    from medback_core.session import Session


def say_what_is_gone(run: Run, count: int, since: int | None) -> None:
    """One line on files a scan found gone: where to see those that can be had back."""
    if count:
        verb = "is" if count == 1 else "are"
        run.say(
            f"{plural(count, 'file')} {verb} gone since the last scan; those with a copy: "
            f"`medback deleted --since {iso_date(since)}`"
        )


def say_what_is_unsafe(run: Run, session: Session) -> None:
    """One line on what still needs a drive, and what to do about it."""
    if run.settings.json or run.settings.quiet or run.outcome.interrupted:
        return
    from medback_core.coverage.totals import safety
    from medback_core.presenting.places import too_few_words

    safe = safety(session)
    if safe.unsafe.files:
        whole = counted(Count(safe.files, safe.bytes))
        if safe.none.files == safe.files:
            run.say(f"none of {whole} has a copy yet")
        else:
            none = f", no copy at all: {counted(safe.none)}" if safe.none.files else ""
            run.say(too_few_words(safe.unsafe, safe.apart, f" of {whole}{none}"))
        say_next(run, session)
    elif safe.files:
        run.say(safe_words(Count(safe.files, safe.bytes), safe.looked))
    say_gaps(run, safe.looked.gaps)


def say_next(run: Run, session: Session, *, but: int | None = None) -> None:
    """One line on the drive to pick up next. `but`: the key of the one that just took all it can."""
    from medback_core.drives.open import find_drives
    from medback_core.presenting.next_drive import next_drive, next_words
    from medback_core.session.targets import list_targets

    here = find_drives(session, list_targets(session))
    answer = next_drive(session, but=but).with_here(here)
    if answer.unsafe.files:
        best = answer.best
        way = (
            f"`{command_line('target', here[best.target.id])}`" if best and best.here else "then `medback target PATH`"
        )
        run.say(f"next: {next_words(answer, otherwise='plug in a new drive')}; {way}")


def safe_words(count: Count, looked: Looked) -> str:
    """That all of it is safe, as far as it was looked at."""
    return f"safe{as_of(looked)}{but_for(looked)}: {counted(count)} with all wanted copies"


def say_gaps(run: Run, gaps: Sequence[Gap]) -> None:
    """The places that were not read, and what a person can do about it."""
    lines = []
    for gap in gaps:
        where = f"{shown(gap.source)}/{shown(gap.path)}" if gap.path else shown(gap.source)
        lines.append(f"{where}: {gap.reason}, since {ago(gap.since)}")
    run.say_list(lines, before="not read: ")
    if gaps:
        run.say(
            "`medback set-source ALIAS --include-mount DIR` includes what is mounted there, `--exclude PATTERN` "
            "leaves a place out"
        )


def gaps_json(gaps: Sequence[Gap]) -> list[dict[str, Any]]:
    """Gaps as every command reports them."""
    return [
        {"source": gap.source, "path": names.text(gap.path), "reason": gap.reason, "since": iso_date(gap.since)}
        for gap in gaps
    ]
