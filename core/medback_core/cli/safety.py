"""What a command says last of all: whether all is safe, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from medback_core.model import Count
from medback_core.presenting.units import counted

from .running import Run

if TYPE_CHECKING:
    from medback_core.session import Session


def say_what_is_unsafe(run: Run, session: Session) -> None:
    """One line on what still needs a drive, and what to do about it."""
    if run.settings.json or run.settings.quiet or run.outcome.interrupted:
        return
    from medback_core.coverage.totals import safety

    safe = safety(session)
    if safe.unsafe.files:
        whole = counted(Count(safe.files, safe.bytes))
        if safe.none.files == safe.files:
            run.say(f"nothing of {whole} has a copy yet")
        else:
            none = f", no copy at all: {counted(safe.none)}" if safe.none.files else ""
            run.say(f"too few copies: {counted(safe.unsafe)} of {whole}{none}")
        run.say("next: plug in a drive and run `medback target PATH`")
    elif safe.files:
        run.say(f"safe: {counted(Count(safe.files, safe.bytes))} with all wanted copies")
