"""`medback` alone and `medback tui`: open the app."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

from medback_core.errors import UsageError

from .running import Run, command


def open_app(run: Run, *, mouse: bool = True, session_db: Path | None = None) -> None:
    """Open the app and stay until it is left. Raises UsageError without a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stdout and sys.stdout.isatty()) or run.settings.json:
        raise UsageError("usage/needs-terminal")
    # By name: the core imports and runs without the app and without textual.
    application = importlib.import_module("medback_tui.app")
    run.interrupts.release()  # the app closes its jobs itself
    path = session_db or (Path(run.session_path) if run.session_path else None)
    run.outcome.codes.add(application.run(path, mouse))


@command("tui")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")
def tui(run: Run, no_mouse: bool) -> None:
    """Open the app, as `medback` alone does."""
    open_app(run, mouse=not no_mouse)


COMMANDS = [tui]
