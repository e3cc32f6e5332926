"""The commands about drives as things one plugs in, and about medback itself: watch, eject, config, service, …"""

from __future__ import annotations

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from medback_core import names
from medback_core.errors import NeedsAnswer, UsageError
from medback_core.model import DamageFound, EjectSummary, Event, PlugDone, Progress, SourceRefused, Waiting, Warned
from medback_core.presenting.outcomes import ejected
from medback_core.presenting.plugging import plug_words
from medback_core.presenting.refusals import message, sentence
from medback_core.presenting.units import name as shown
from medback_core.presenting.units import plural
from medback_core.settings.preferences import ENVIRONMENT, EXAMPLE, NAMES, Preferences, settings_path
from medback_core.settings.sizes import Size
from medback_core.settings.systemd import commands, install, remove_units, run_commands, units

from .options import SIZE, complete_targets
from .outcome import SKIPPED, count_json
from .progress import Display
from .running import Run, command

_NOTIFY_SECONDS = 5


@dataclass(slots=True)
class _Desktop:
    """One notification that is updated, where there is a desktop and notify-send; else nothing."""

    number: str = ""

    def tell(self, words: str) -> None:
        import subprocess

        command_line = ["notify-send", "--app-name=medback", "--print-id"]
        command_line += [f"--replace-id={self.number}"] if self.number else []
        try:
            ran = subprocess.run(
                [*command_line, "medback", words], capture_output=True, timeout=_NOTIFY_SECONDS, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return
        if ran.returncode == 0 and ran.stdout.strip().isdigit():
            self.number = ran.stdout.strip().decode()


@command("watch")
@click.option("--once", is_flag=True, help="Do what is to be done for the drives that are here, and end.")
@click.option(
    "--verify-bytes", type=SIZE, metavar="SIZE", default="50G", help="How much a verify reads at most (default: 50G)."
)
def watch(run: Run, once: bool, verify_bytes: Size) -> None:
    """Notice drives as they are plugged in, and do what they are set to.

    `medback set-target TARGET --on-plug backup` makes a target do its part by itself; each drive is told of, and when
    it may be unplugged. Runs until it is stopped.
    """
    from medback_core.watching.watch import watch as operation

    preferences = run.preferences
    desktop = _Desktop()
    display = Display(live=False, lines=run.settings.verbose)
    done: list[dict[str, Any]] = []
    path = Path(run.session_path) if run.session_path else None
    events = operation(
        path,
        on_plug=preferences.on_plug,
        reserve=preferences.reserve,
        verify_bytes=int(verify_bytes.amount),
        changes=() if once else None,
    )
    try:
        run.interrupts.deferred = True
        for event in events:
            _tell(run, event, desktop, display, done)
            if run.interrupts.exit_code:
                break
            run.interrupts.deferred = not isinstance(event, Waiting)  # a stop need not wait for a drive
    finally:
        run.interrupts.deferred = True
        events.close()  # type: ignore[attr-defined]
        display.stop()
    run.outcome.interrupted = run.interrupts.exit_code
    run.outcome.result["done"] = done


def _tell(run: Run, event: Event, desktop: _Desktop, display: Display, done: list[dict[str, Any]]) -> None:
    if isinstance(event, Progress):
        display.show(event)
        return
    words = plug_words(event)
    if words is None:
        run.outcome.take(event)
        return
    run.say(words, at_once=True)
    if isinstance(event, Warned) and not run.settings.json:
        return  # told now: it may run for months
    if isinstance(event, DamageFound | SourceRefused | Warned):
        run.outcome.take(event)
        return
    desktop.tell(words)
    if isinstance(event, PlugDone):
        run.outcome.needs_more(event.short.files)
        short = count_json(event.short)  # what a full one has no room for
        told = {"target": event.label, "action": event.action, "finished": event.finished, "reason": event.reason}
        done.append({**told, "short": short})


@command("eject")
@click.argument("target", metavar="TARGET", shell_complete=complete_targets)
def eject(run: Run, target: str) -> None:
    """Write what is still to be written, unmount TARGET, and power it off where that can be done."""
    from medback_core.drives.eject import eject as operation

    with run.session() as session:
        found = run.follow(operation(session, target), EjectSummary)
    if found is not None:
        run.outcome.result.update(label=found.label, path=names.text(found.path), powered_off=found.powered_off)
        run.say(f"{shown(found.label)} is {ejected(found)}")


@command("service")
@click.argument("action", type=click.Choice(["install", "show", "remove"]))
def service(run: Run, action: str) -> None:
    """Let systemd start medback: install, show or remove its units.

    For the person who runs it: `watch` all the time, `update` once a day, and `verify --all --for 1h` once a day. What
    is written and started is shown first. Exit codes of what ran: `systemctl --user status medback-update`.
    """
    wanted = units(*_given(run))
    run.outcome.result["units"] = [{"path": str(unit.path), "state": unit.state, "text": unit.text} for unit in wanted]
    if action == "show":
        for unit in wanted:
            run.answer_line(f"# {names.display_name(str(unit.path))} ({unit.state})\n{unit.text}")
        return
    if action == "install":
        for unit in wanted:
            run.say(f"# {names.display_name(str(unit.path))}\n{unit.text}")
        _ask(run, NeedsAnswer("install-units", units=len(wanted), directory=str(wanted[0].path.parent)))
        install(wanted)
        if not _tell_systemd(run, commands(start=True)):
            run.outcome.codes.add(SKIPPED)
            run.warn(message(Warned("not-started")))
        run.say(f"{plural(len(wanted), 'unit')} written to {names.display_name(str(wanted[0].path.parent))}")
    else:
        ours = [unit for unit in wanted if unit.state in ("installed", "differs")]
        if not ours:
            run.say("no unit of medback's is there")
            return
        for unit in ours:
            run.say(names.display_name(str(unit.path)))
        _ask(run, NeedsAnswer("remove-units", units=len(ours)))
        _tell_systemd(run, commands(start=False))
        gone = remove_units(wanted)
        _tell_systemd(run, commands(start=True)[:1])
        run.say(f"{plural(len(gone), 'unit')} removed")
    run.outcome.result["units"] = [
        {"path": str(unit.path), "state": unit.state, "text": unit.text} for unit in units(*_given(run))
    ]


def _given(run: Run) -> tuple[list[str], dict[str, str]]:
    """What the units must say so that they work on the same session and by the same settings."""
    words, environment = [], {}
    if run.settings.session_db:
        words = ["--session-db", os.path.abspath(run.settings.session_db)]
    if os.environ.get(ENVIRONMENT):
        environment[ENVIRONMENT] = os.path.abspath(os.environ[ENVIRONMENT])
    return words, environment


def _ask(run: Run, question: NeedsAnswer) -> None:
    if not run.settings.yes and (not run.can_ask() or not run.confirm(sentence(question))):
        raise question


def _tell_systemd(run: Run, wanted: list[list[str]]) -> bool:
    """Whether it did all of it."""
    done = True
    for line, complaint in run_commands(wanted):
        if complaint:
            done = False
            run.warn(f"`{' '.join(line)}` said: {complaint}")
        else:
            run.say(" ".join(line))
    return done


@command("config")
@click.option("--example", is_flag=True, help="Print a settings file with every setting, to begin with.")
@click.option("--keys", is_flag=True, help="List what a key of the app can be given to: name, keys, what it does.")
def config(run: Run, example: bool, keys: bool) -> None:
    """Show the settings: the file, each value, and where it comes from."""
    if example:
        run.answer_line(EXAMPLE.rstrip())
        run.outcome.result["example"] = EXAMPLE
        return
    if keys:
        found = _app().all_keys()
        run.outcome.result["keys"] = {name: pressed for name, (pressed, _) in found.items()}
        run.table(["name", "keys", "what"], [[name, *said] for name, said in found.items()])
        return
    where, preferences = settings_path(), run.preferences
    values = {name: _value(preferences, name) for name in NAMES}
    origin = {name: "file" if name in preferences.given else "default" for name in NAMES}
    if run.settings.session_db:
        values["session"], origin["session"] = run.settings.session_db, "option or MEDBACK_SESSION_DB"
    run.outcome.result.update(
        file=str(where),
        exists=where.exists(),
        values={name: {"value": values[name], "from": origin[name]} for name in NAMES},
    )
    run.say(f"{names.display_name(str(where))}{'' if where.exists() else ' (not there: `medback config --example`)'}")
    run.table(["setting", "value", "from"], [[name, values[name], origin[name]] for name in NAMES])
    if preferences.theme is not None or preferences.keys:
        for doubt in _app().doubts_of(preferences):
            run.warn(message(doubt))


def _app() -> Any:
    """The app, by name: the core imports and runs without it."""
    try:
        return importlib.import_module("medback_tui.app")
    except ImportError as error:
        raise UsageError("usage/needs-app") from error


def _value(preferences: Preferences, name: str) -> Any:
    value = getattr(preferences, name)
    if name == "session":
        return value or "~/.bkup_dest"
    if name == "reserve":
        if value is None:
            return "1 %, at least 64 MiB"
        return f"{value.amount:g}%" if value.of_drive else int(value.amount)
    if name == "theme":
        return value or "the one chosen last"
    return dict(value) if name == "keys" else value


@command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(run: Run, shell: str) -> None:
    """Print the completion for a shell.

    bash: `medback completion bash > ~/.local/share/bash-completion/completions/medback`. zsh: to a file `_medback` on
    your fpath. fish: `~/.config/fish/completions/medback.fish`.
    """
    from . import COMPLETE, medback
    from .shells import completion_of

    source = completion_of(shell)(medback, {}, "medback", COMPLETE).source()
    run.answer_line(source.rstrip())
    run.outcome.result["script"] = source


COMMANDS = [watch, eject]
ABOUT = [config, service, completion]
