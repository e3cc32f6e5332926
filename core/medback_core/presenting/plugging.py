"""What is said of drives that come and go."""

from __future__ import annotations

from medback_core.model import (
    DamageFound,
    Event,
    LockedHere,
    OnPlug,
    PlugDone,
    PluggedIn,
    SourceRefused,
    Target,
    Unplugged,
    Warned,
)
from medback_core.names import display_name
from medback_core.presenting.refusals import message, sentence
from medback_core.presenting.units import ago, command, counted, name, plural

_DOES = {
    OnPlug.BACKUP: "backing up onto it now",
    OnPlug.VERIFY: "verifying it now",
    OnPlug.NOTHING: "",
}
NO_SOURCES = "no sources yet; `medback add-src DIR` adds one"
_DONE = {OnPlug.BACKUP: "backed up", OnPlug.VERIFY: "verified"}


def plug_words(event: Event) -> str | None:
    """One line for an event of `watch` that is to be told at once, None for any other."""
    match event:
        case PluggedIn(label, path, action, known, waiting, sources):
            words = f"{name(label)} is here ({display_name(path)})"
            if not known:
                return f"{words}: no target of this session"
            if action is not OnPlug.NOTHING:
                return f"{words}: {_DOES[action]}"
            if not sources:
                return f"{words}: {NO_SOURCES}"
            return f"{words}: {counted(waiting)} need a drive" if waiting.files else f"{words}: all has its copies"
        case LockedHere(label, device):
            return locked_words(label, device)
        case Unplugged(label):
            return f"{name(label)} was unplugged"
        case PlugDone(label, path, action, True, _, damaged) if damaged:
            words = (
                f"{name(label)} is {_DONE[action]}: {plural(damaged, 'copy', 'copies')} on it found damaged or missing"
            )
            return f"{words}. `{command('repair', path)}` mends what other drives have; unplug it after that"
        case PlugDone(label, _, action, True):
            words = f"{name(label)} is {_DONE[action]}"
            if event.short.files:
                need = "needs" if event.short.files == 1 else "need"
                words = f"{name(label)} is full, {counted(event.short)} still {need} another drive"
            without = [plural(event.left_out, "source")] if event.left_out else []
            without += [plural(event.skipped, "file")] if event.skipped else []
            words += f", {plural(event.left, 'copy', 'copies')} still to be read another time" if event.left else ""
            return f"{words}{', without ' if without else ''}{' and '.join(without)}: safe to unplug"
        case PlugDone(label, _, _, False, reason):
            return f"{name(label)}: {sentence(reason)}{'; it is tried again within a minute' if event.again else ''}"
        case DamageFound(path, reason, state):
            return f"{state}: {display_name(path)}: {sentence(reason)}"
        case Warned():
            return f"warning: {message(event)}"
        case SourceRefused(alias, refusal):
            return f"refused: {name(alias)}: {message(refusal)}"
        case _:
            return None


def locked_words(label: str, device: str = "") -> str:
    """`Blue is here, locked (/dev/sdb1): unlock it first`."""
    return f"{name(label)} is here, locked{f' ({name(device)})' if device else ''}: unlock it first"


def health_words(target: Target) -> str:
    """What the disk of a target last said of itself, and when; "" where nothing was heard."""
    if target.health is None:
        return ""
    from medback_core.disk import FAILING

    said = "that it is failing" if target.health == FAILING else "good health"
    return f"its disk reported {said} {ago(target.health_at)}"
