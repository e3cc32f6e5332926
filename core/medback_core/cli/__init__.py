"""The command line of medback: a thin front end over the operations, with the exit codes of docs/cli.md."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

import click

from medback_core import names
from medback_core.errors import MedbackError, UsageError

from . import app, backup, demo, devices, history, plans, reporting, restore, sources, targets, upkeep
from .interrupts import Interrupted, Interrupts
from .options import SIZE_HELP, Commands, Settings, common_options
from .outcome import BUG, REFUSED, SKIPPED, USAGE
from .reporting import keep_traceback
from .running import Run

COMPLETE = "_MEDBACK_COMPLETE"  # set by the scripts of `medback completion`
EXIT_CODES = (
    "Exit codes: 0 done; 2 usage; 3 done, but for entries that are listed; 4 refused, nothing changed; 5 damage found; "
    "6 done as far as it goes, more targets are needed; 130 interrupted, run it again to continue."
)


EVERYTHING_IS_GONE = """\b
Everything is gone. I have my drives.
  medback plan                          what the plugged-in drives remember, and which to use
  medback restore Blue --to ~/back      from the drive it names (--in-place: where everything was)
  medback restore Red --to ~/back       each further drive it asks for, until all is back
  medback restore-status --to ~/back    what is back, as of when, and which drive to plug in to be sure"""


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog=f"{EVERYTHING_IS_GONE}\n\n{SIZE_HELP} {EXIT_CODES}",
)
@click.option("--no-mouse", is_flag=True, help="In the app: leave the mouse to the terminal.")
@common_options
@click.pass_context
def medback(ctx: click.Context, no_mouse: bool) -> None:
    """Backups over a shelf of drives smaller than your data.

    medback knows what is not safe yet, which drive to plug in next, and whether all of it comes back. Files stay
    ordinary files on ordinary drives. Without a command it opens the app.
    """
    if ctx.invoked_subcommand is None:
        app.open_app(ctx.meta["medback.run"], mouse=not no_mouse)
    elif no_mouse:
        raise UsageError("usage/no-mouse")


for _title, *_modules in (
    ("To begin with", app, demo),
    ("Sources", sources),
    ("Targets", backup, targets, devices),
    ("What is safe", plans),
    ("Getting it back", restore),
    ("Over the years", upkeep, history),
):
    for _module in _modules:
        medback.add_section(_title, *_module.COMMANDS)
medback.add_section("medback itself", *devices.ABOUT)


def main(args: Sequence[str] | None = None) -> int:
    """Run one command line (default: the process's own); returns the exit code, never raises for what can go wrong."""
    words = list(sys.argv[1:] if args is None else args)
    if args is None and COMPLETE in os.environ:
        from click.shell_completion import shell_complete

        from . import shells  # bash, as ours writes it

        return shell_complete(medback, {"obj": Settings()}, "medback", COMPLETE, os.environ[COMPLETE])
    reporting.open_streams()
    # Names may hold any byte, and any locale may lie: nothing printed may end the work.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    with Interrupts() as interrupts:
        run = Run(Settings(words=words), interrupts)
        _run(run, words)
        run.outcome.interrupted = run.outcome.interrupted or interrupts.exit_code
        interrupts.deferred = True  # what is left is telling: a signal now must not cut it short
        return reporting.finish(run)


def _run(run: Run, words: list[str]) -> None:
    outcome, settings = run.outcome, run.settings
    try:
        with medback.make_context("medback", words, obj=settings) as context:
            context.meta["medback.run"] = run
            medback.invoke(context)
    except click.exceptions.Exit as ended:
        outcome.codes.add(ended.exit_code)
        settings.json = False  # --help and --version have answered
    except click.ClickException as error:
        settings.json = settings.json or "--json" in words
        outcome.codes.add(USAGE)
        outcome.error = ("usage", error.format_message())
        if isinstance(error, click.UsageError) and error.ctx is not None:
            print(f"usage: see {error.ctx.command_path} --help", file=sys.stderr)
    except click.Abort:
        if not run.interrupts.exit_code:
            outcome.codes.add(REFUSED)
            outcome.error = ("not-answered", "there was no answer; nothing was changed")
    except Interrupted:
        pass  # the exit code is already kept
    except MedbackError as error:
        outcome.fail(error)
    except BrokenPipeError:
        reporting.silence()  # the reader has seen enough; what was done is kept
    except OSError as error:
        from medback_core.disk.causes import OF_THE_DRIVE, Cause, cause_of

        # What a drive that fails, or is full or gone, answers at any call: no bug.
        if cause_of(error) in (*OF_THE_DRIVE, Cause.CHANGED, Cause.TOO_LARGE):
            outcome.codes.add(SKIPPED)
            what = names.display_name(error.filename) + ": " if error.filename is not None else ""
            outcome.error = (
                "drive-fails",
                f"{what}{error.strerror}; what was recorded is kept, run it again to continue",
            )
        else:
            _unexpected(run, error)
    except Exception as error:  # noqa: BLE001 - the one place where a bug ends: logged, told in one line, exit code 1
        _unexpected(run, error)


def _unexpected(run: Run, error: Exception) -> None:
    import sqlite3

    outcome = run.outcome
    bug = isinstance(error, sqlite3.ProgrammingError | sqlite3.IntegrityError | sqlite3.InterfaceError)
    if isinstance(error, sqlite3.DatabaseError) and not bug:
        from pathlib import Path

        from medback_core.session.opening import default_path
        from medback_core.session.store import explained

        outcome.fail(explained(Path(run.session_path) if run.session_path else default_path(), error))
        return
    where = keep_traceback(run.settings.words, error)
    outcome.codes.add(BUG)
    words = " ".join(str(error).split()) or type(error).__name__
    outcome.error = ("unexpected", f"unexpected error: {type(error).__name__}: {words} ({where})")
    if run.settings.verbose:
        import traceback

        traceback.print_exception(error, file=sys.stderr)
