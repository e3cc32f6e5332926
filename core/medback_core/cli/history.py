"""The command that tells what happened: history."""

from __future__ import annotations

import click

from medback_core.model import iso_date
from medback_core.presenting.history import event_words
from medback_core.presenting.units import date
from medback_core.presenting.units import name as shown

from .options import MOMENT, complete_targets
from .running import LISTED, Run, command


@command("history")
@click.option("--target", metavar="ID-or-LABEL", shell_complete=complete_targets, help="Only this target.")
@click.option("--source", metavar="ALIAS", help="Only this source.")
@click.option("--since", type=MOMENT, metavar="DATE", help="Only at or after DATE: 2026-11-24, or 30d.")
def history(run: Run, target: str | None, source: str | None, since: int | None) -> None:
    """Show what happened to your drives and sources.

    Visits, backups, verifies, damage, repairs and the health of drives; deletions, and how much was kept and not safe.
    The latest last. Drives and sources keep it too, so that it comes back after the session DB is lost.
    """
    from medback_core.coverage.history import history as operation

    with run.session() as session:
        found = operation(session, target=target, source=source, since=since)
        run.outcome.result["events"] = [
            {
                "at": iso_date(past.entry.at),
                "what": past.entry.what.value,
                "target": past.entry.target or None,
                "label": past.target.label if past.target is not None else None,
                "source": past.source.alias if past.source is not None else None,
                "files": past.entry.files,
                "bytes": past.entry.bytes,
                "unsafe_bytes": past.entry.unsafe,
                "health": past.entry.health or None,
            }
            for past in found
        ]
        listed = found if run.settings.verbose else found[-LISTED:]
        if len(listed) < len(found):
            run.answer_line(f"{len(found) - len(listed):,} earlier (-v lists them)")
        for past in listed:
            run.answer_line(f"{date(past.entry.at)}  {shown(past.name)}: {event_words(past.entry)}")
        if not found:
            run.answer_line("nothing has happened yet" if since is None else "nothing has happened since then")


COMMANDS = [history]
