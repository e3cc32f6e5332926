"""The command demo: a small real world to try medback on, as the app or as a whole story told."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from medback_core import names
from medback_core.model import Event
from medback_core.presenting.units import name as shown

from .app import open_app
from .options import DIRECTORY
from .outcome import DAMAGED
from .running import Run, command


@command("demo")
@click.argument("directory", metavar="[DIR]", type=DIRECTORY, required=False)
@click.option("--headless", is_flag=True, help="No app: run the whole story and compare what was restored.")
@click.option("--keep", is_flag=True, help="Keep the temporary directory (a DIR that is given is always kept).")
def demo(run: Run, directory: bytes | None, headless: bool, keep: bool) -> None:
    """Build a small real world to try medback on.

    In DIR, by default a temporary directory. Two sources of real files, three drives too small for all of it, a
    session DB of its own. Without a terminal, or with --headless: back up, change files, lose a drive, plan,
    restore, and check that all came back, byte for byte.
    """
    from medback_core.demo import story as operation
    from medback_core.demo.world import SESSION_NAME, is_demo

    where = Path(os.fsdecode(os.path.abspath(directory))) if directory is not None else _temporary()
    removed = directory is None and not keep
    try:
        if headless or run.settings.json or not (sys.stdin and sys.stdin.isatty() and sys.stdout.isatty()):
            _tell(run, where, kept=not removed)
        else:
            if not is_demo(where):
                run.say("building a small world …")
                operation.build_demo(where)
            open_app(run, session_db=where / SESSION_NAME)
    finally:
        if removed:
            operation.remove_world(where)
        else:
            session = names.shell_quoted(str(where / "session"))
            run.say(f"kept in {shown(str(where))}; `medback --session-db {session}` opens it")


def _tell(run: Run, where: Path, *, kept: bool) -> None:
    from medback_core.demo.story import DemoChecked, demo_story

    told: list[str] = []
    checks: list[DemoChecked] = []

    def events() -> Iterator[Event]:
        story = demo_story(where)
        for part in story:
            if isinstance(part, str):
                told.append(part)
                run.say(part)
                continue
            if isinstance(part, DemoChecked):
                checks.append(part)
            yield part

    run.follow(events())
    # Restored to another place, into its own and after the fire: all must have been compared, and be equal.
    equal = len(checks) == 3 and all(check.equal for check in checks)
    run.outcome.result.update(
        directory=str(where) if kept else None,
        equal=equal,
        files=checks[0].files if checks else 0,
        bytes=checks[0].bytes if checks else 0,
        differing=[os.fsdecode(path) for check in checks for path in check.differing],
        story=told,
    )
    if not equal and not run.outcome.interrupted:
        run.outcome.codes.add(DAMAGED)
        run.outcome.error = ("not-equal", "what was restored is not what was there")


def _temporary() -> Path:
    """A fresh name in the system's directory for temporary files; made by the demo itself."""
    for candidate in (os.environ.get("TMPDIR"), os.environ.get("TEMP"), "/var/tmp", "/tmp", "."):
        if candidate and os.path.isdir(candidate) and os.access(candidate, os.W_OK):
            return Path(candidate).absolute() / f"medback-demo-{os.urandom(4).hex()}"
    return Path.cwd() / f"medback-demo-{os.urandom(4).hex()}"


COMMANDS = [demo]
