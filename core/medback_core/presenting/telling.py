"""What drives remember, and how much of it is back: the sentences of a restore."""

from __future__ import annotations

from collections.abc import Sequence

from medback_core.model import Remembers, Target
from medback_core.presenting.units import day, files, moment, name, plural


def story_words(told: Remembers) -> str:
    """`Blue remembers 3 sources, 41,007 files, as of 24 November 22:49; they lie on Blue, Red, Tin.`"""
    words = f"{name(told.drive)} remembers {plural(told.sources, 'source')}"
    if told.files:  # else its sidecars must be read first
        words += f", {files(told.files)}"
    if told.as_of is not None:
        words += f", as of {moment(told.as_of)}"
    lie = "it lies" if told.files == 1 else "they lie"
    return f"{words}; {lie} on {', '.join(name(drive) for drive in told.on)}." if told.on else f"{words}."


def all_back(count: int, as_of: int | None, unheard: Sequence[Target]) -> str:
    """`All 41,015 files known as of 26 November 21:03 are back. White was not plugged in; it was last written to on 20
    November, plug it in to be sure.`"""
    dated = f" known as of {moment(as_of)}" if as_of else " known"
    first = f"All {files(count)}{dated} are back." if count != 1 else f"The one file{dated} is back."
    return " ".join([first, *not_plugged_in(unheard)])


def nothing_missing(as_of: int | None, unheard: Sequence[Target] = ()) -> str:
    """`Nothing is missing of what is known as of 26 November 21:03.`, and which drives may know more."""
    if as_of is None:
        return "Nothing is known of any file. Plug in a drive, or name the directory it is mounted at."
    return " ".join([f"Nothing is missing of what is known as of {moment(as_of)}.", *not_plugged_in(unheard)])


def differ_words(count: int) -> str:
    """`3 files differ from what should be there`."""
    return f"{files(count)} {'differs' if count == 1 else 'differ'} from what should be there"


def not_plugged_in(unheard: Sequence[Target]) -> list[str]:
    """The sentence on the drives that may know something newer; none where there are none."""
    if not unheard:
        return []
    if len(unheard) == 1:
        written = unheard[0].seen_at
        when = f"it was last written to on {day(written)}, " if written else ""
        return [f"{name(unheard[0].name)} was not plugged in; {when}plug it in to be sure."]
    called = [name(t.name) + (f" (last written to on {day(t.seen_at)})" if t.seen_at else "") for t in unheard]
    return [f"{', '.join(called[:-1])} and {called[-1]} were not plugged in; plug them in to be sure."]
