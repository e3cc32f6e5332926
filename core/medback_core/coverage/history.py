"""What happened to targets and sources, for people: the history (`session.history`) with the things it tells of, and
month by month."""

from __future__ import annotations

import time
from dataclasses import dataclass

from medback_core import model
from medback_core.model import Happened, HistoryEntry, Source, Target
from medback_core.session import Session
from medback_core.session.history import list_history
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import find_target, list_targets


@dataclass(frozen=True, slots=True)
class Past:
    """One event, and the target or the source it happened to."""

    entry: HistoryEntry
    target: Target | None = None
    source: Source | None = None

    @property
    def name(self) -> str:
        """What the target is called, or the source."""
        return self.target.name if self.target is not None else self.source.alias if self.source is not None else ""


def history(
    session: Session, *, target: str | None = None, source: str | None = None, since: int | None = None
) -> list[Past]:
    """What happened to the targets and sources this session knows, the earliest first: of one target (id or label), of
    one source (alias), at or after a date. Raises Refused for an unknown target or source."""
    targets = [find_target(session, target)] if target is not None else list_targets(session)
    sources = [find_source(session, source)] if source is not None else list_sources(session)
    by_target = {} if target is None and source is not None else {one.id: one for one in targets}
    by_source = {} if source is None and target is not None else {one.id: one for one in sources}
    return [
        Past(entry, by_target.get(entry.target), by_source.get(entry.source))
        for entry in list_history(session, since=since)
        if entry.target in by_target or (not entry.target and entry.source in by_source)
    ]


@dataclass(frozen=True, slots=True)
class Month:
    """One month where the person is. `kept` and `unsafe`: bytes at its end, as far as that was noted by then."""

    year: int
    month: int  # 1 to 12
    events: tuple[Past, ...] = ()
    kept: int = 0
    unsafe: int = 0

    @property
    def deleted(self) -> int:
        """How many files scans found gone."""
        return sum(past.entry.files for past in self.events if past.entry.what is Happened.DELETION)

    @property
    def span(self) -> tuple[int, int]:
        """When it begins, and when the next one does."""
        year, month = _after(self.year, self.month)
        begin, end = ((year, month, 1, 0, 0, 0, 0, 0, -1) for year, month in ((self.year, self.month), (year, month)))
        return int(time.mktime(begin)), int(time.mktime(end))

    def of(self, target: str) -> frozenset[Happened]:
        """What happened to a target (an id)."""
        return frozenset(past.entry.what for past in self.events if past.entry.target == target)


def timeline(session: Session) -> tuple[Month, ...]:
    """Every month from that of the first event to this one, the earliest first; none before anything happened. What is
    dated later than now is left out: another machine's clock was wrong."""
    now = model.now()
    pasts = [past for past in history(session) if past.entry.at <= now]
    if not pasts:
        return ()
    by_month: dict[tuple[int, int], list[Past]] = {}
    for past in pasts:
        by_month.setdefault(_month(past.entry.at), []).append(past)
    months: list[Month] = []
    last: dict[str, tuple[int, int]] = {}  # source -> what it kept, and not safe
    year, month = _month(pasts[0].entry.at)
    while (year, month) <= _month(now):
        events = by_month.get((year, month), [])
        for past in events:
            if past.entry.what is Happened.SAFETY:
                last[past.entry.source] = past.entry.bytes, past.entry.unsafe
        kept, unsafe = (sum(pair[n] for pair in last.values()) for n in (0, 1))
        months.append(Month(year, month, tuple(events), kept, unsafe))
        year, month = _after(year, month)
    return tuple(months)


def _after(year: int, month: int) -> tuple[int, int]:
    return (year, month + 1) if month < 12 else (year + 1, 1)


def _month(at: int) -> tuple[int, int]:
    date = time.localtime(at)
    return date.tm_year, date.tm_mon
