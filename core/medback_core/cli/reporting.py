"""Tell at the end of a command what went otherwise than expected, on standard error, print the JSON object, and keep
the traceback of an unexpected error where a person can find it."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Sequence

from medback_core import model, names
from medback_core.presenting.refusals import message
from medback_core.presenting.units import name as shown
from medback_core.presenting.units import plural

from .outcome import SKIPPED, Entry, Outcome, why
from .running import LISTED, Run


def open_streams() -> None:
    """Where a standard stream is closed, let it lead to nothing: or the next file that is opened would be in its place,
    and be written to."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # The lowest number that is free: the one of that stream.
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open as long as the program runs


def finish(run: Run) -> int:
    """Say all that is left to say; the exit code. A reader that has gone away (a closed pipe) changes nothing; a disk
    that is too full for the answer does."""
    try:
        _flush(sys.stdout)
        for line in _closing_words(run.outcome, quiet=run.settings.quiet, whole=run.settings.verbose):
            print(line, file=sys.stderr)
        _flush(sys.stderr)
        if run.settings.json:
            print(run.outcome.as_json())
            _flush(sys.stdout)
    except (OSError, ValueError) as error:
        from medback_core.disk.causes import Cause, cause_of

        if isinstance(error, OSError) and cause_of(error) in (Cause.NO_ROOM, Cause.TOO_LARGE):
            run.outcome.codes.add(SKIPPED)
            print(f"medback: the answer could not be written: {error.strerror}", file=sys.stderr)
        silence()
    return run.outcome.exit_code


def silence() -> None:
    """Point standard output (and error, where it is gone too) at nothing, so that
    the interpreter's last flush is quiet."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, AttributeError):
            try:
                # Not os.open: this only replaces a descriptor that leads nowhere any more.
                with open(os.devnull, "wb") as nothing:
                    os.dup2(nothing.fileno(), stream.fileno())
            except (OSError, ValueError, AttributeError):
                continue


def _flush(stream: object) -> None:
    if stream is not None:
        stream.flush()  # type: ignore[attr-defined]


def _closing_words(outcome: Outcome, *, quiet: bool, whole: bool) -> list[str]:
    lines = [f"warning: {shown(message)}" for message in dict.fromkeys(outcome.warnings) if not quiet]
    lines += _listed("skipped", outcome.all(model.Skipped), whole)
    if not quiet and outcome.all(model.Excluded) and whole:
        lines += _listed("excluded", outcome.all(model.Excluded), whole)
    elif not quiet and outcome.all(model.Excluded):
        lines.append(f"{plural(len(outcome.all(model.Excluded)), 'entry', 'entries')} excluded by rule (-v lists them)")
    if not quiet:
        lines += _listed("new", outcome.all(model.NotListed), whole)
    for state in dict.fromkeys(found.state for found in outcome.all(model.DamageFound)):
        lines += _listed(state, [found for found in outcome.all(model.DamageFound) if found.state == state], whole)
    lines += _listed("in the way", outcome.all(model.Conflict), whole)
    lines += _listed("not repaired", outcome.all(model.Unrepairable), whole)
    told = set()
    for refusal in outcome.all(model.SourceRefused):
        words = message(refusal.refusal)
        told.add(words)
        lines.append(f"refused: {shown(refusal.alias)}: {words}")
    if outcome.error is not None and outcome.error[1] not in told:
        lines.append(f"medback: {shown(outcome.error[1])}")
    if outcome.interrupted:
        lines.append("interrupted: what was done is kept; run it again to continue")
    return lines


def _listed(what: str, entries: Sequence[Entry], whole: bool) -> list[str]:
    upto = len(entries) if whole or len(entries) <= LISTED + 1 else LISTED
    lines = [f"{what}: {shown(entry.path)}: {shown(why(entry))}" for entry in entries[:upto]]
    if upto < len(entries):
        lines.append(f"{what}: {len(entries) - upto:,} more (-v or --json lists them)")
    return lines


def keep_traceback(words: list[str], error: BaseException) -> str:
    """Write the traceback to medback's log directory; where it is, or why it is nowhere."""
    import traceback

    import platformdirs

    from medback_core import disk

    lines = [f"medback {shlex.join(words)}\n", *traceback.format_exception(error)]
    data = "".join(names.display_name(line.rstrip("\n")) + "\n" for line in "".join(lines).splitlines()).encode()
    directory = platformdirs.user_log_path("medback", appauthor=False)
    name = f"error-{model.date_stamp(model.now())}-{os.getpid()}.log"
    there = next(parent for parent in (directory, *directory.parents) if parent.is_dir())
    try:
        with disk.Root(os.fsencode(there)) as root:
            rel = os.fsencode((directory / name).relative_to(there).as_posix())
            disk.write_whole(root, rel, data, mode=0o600)
    except OSError as problem:
        return f"no log could be written: {problem.strerror}; -v shows the traceback"
    return f"log: {names.display_name(str(directory / name))}"
