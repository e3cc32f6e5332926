"""The `<event>` elements of `.medback-target.xml` and `.medback-source.xml`: what happened, bounded in number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from ..model import DAILY, HISTORY_TOLD, Happened, HistoryEntry
from . import values
from .checks import ATTRIBUTES, exact
from .metadata import Elements, element_line, unknown_of
from .records import NOTHING, Extra, valid_id

_DAY = 86_400


@dataclass(frozen=True, slots=True)
class ToldEvent:
    """An event, and what a later version says of it."""

    entry: HistoryEntry
    extra: Extra = NOTHING


def parse_history(elements: Elements) -> tuple[ToldEvent, ...]:
    """The events of a metadata file. A kind that only a later version knows is kept as an unknown element."""
    told: list[ToldEvent] = []
    unknown: list[str] = []
    for element in elements.all("event"):
        at, what = values.parse_date(element.get("at")), element.get("what", "")
        target, source = element.get("target", ""), element.get("source", "")
        if at is None or what not in list(Happened) or not all(not id or valid_id(id) for id in (target, source)):
            unknown.append(exact(element))
            continue
        entry = HistoryEntry(
            at,
            Happened(what),
            target,
            source,
            files=values.parse_number(element.get("files")) or 0,
            bytes=values.parse_number(element.get("bytes")) or 0,
            unsafe=values.parse_number(element.get("unsafe")) or 0,
            health=element.get("health", ""),
        )
        told.append(ToldEvent(entry, unknown_of(element, ATTRIBUTES["event"])))
    elements.extra = Extra(elements.extra.attributes, (*elements.extra.elements, *unknown[-HISTORY_TOLD:]))
    return tuple(told)


def history_lines(told: Iterable[ToldEvent]) -> list[str]:
    """The lines of these events, the earliest first."""
    lines = []
    for one in sorted(told, key=lambda one: _key(one.entry)):
        said = one.entry._asdict() | {"at": values.format_date(one.entry.at)}
        if said["at"] is not None:
            lines.append(element_line("event", {name: value or None for name, value in said.items()}, one.extra))
    return lines


def merged_history(told: Iterable[ToldEvent], known: Iterable[HistoryEntry]) -> tuple[ToldEvent, ...]:
    """What a file tells and what a session knows, together: of each day one of what is kept daily. Where that is more
    than a file holds, of each month; then the oldest go."""
    every = {_key(one.entry): one for one in told}
    for entry in known:
        was = every.get(_key(entry))
        every[_key(entry)] = ToldEvent(entry, NOTHING if was is None else was.extra)
    found = _once([every[key] for key in sorted(every)], _day)
    if len(found) > HISTORY_TOLD:
        found = _once(found, _month)
    return tuple(found[-HISTORY_TOLD:])


def _key(entry: HistoryEntry) -> tuple[int, str, str, str]:
    return entry.at, entry.what.value, entry.target, entry.source


def _once(told: Sequence[ToldEvent], span: Callable[[int], object]) -> list[ToldEvent]:
    """Of what is kept daily only the last of each thing in each span of time; in order of time."""
    last = {
        (one.entry.what, one.entry.target, one.entry.source, span(one.entry.at)): one
        for one in told
        if one.entry.what in DAILY
    }
    kept = {id(one) for one in last.values()}
    return [one for one in told if one.entry.what not in DAILY or id(one) in kept]


def _day(at: int) -> object:
    return at // _DAY


def _month(at: int) -> object:
    date = datetime.fromtimestamp(at, UTC)
    return date.year, date.month
