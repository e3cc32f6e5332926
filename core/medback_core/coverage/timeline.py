"""The history month by month: what happened in each, and how much was kept and not safe at its end."""

from __future__ import annotations

import time
from dataclasses import dataclass

from medback_core import model
from medback_core.coverage.history import Past, history
from medback_core.model import Happened
from medback_core.session import Session


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
