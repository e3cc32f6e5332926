"""How safe a placement is: the number of copies that count, and the sums of files by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from medback_core.model import Count, Need

from .needs import target_places
from .placements import all_placements, placement_by_id
from .store import Session
from .targets import counting_keys

NOTHING = Count()


@dataclass(frozen=True, slots=True)
class Sums:
    """Files and bytes by how safe they are."""

    count: Count = NOTHING
    by_copies: Mapping[int, Count] = field(default_factory=dict)  # every number from 0 to at least what is wanted
    below: Count = NOTHING  # with fewer copies than wanted, or fewer of them elsewhere
    apart: Count = NOTHING  # the part of `below` that lacks no copy, only some of them elsewhere
    without_elsewhere: Count = NOTHING  # with no countable copy at another place than the source's


class CopyCounter:
    """Placements as numbers of countable copies, each looked up once. Copies on the targets in `dead` do not count."""

    def __init__(self, session: Session, dead: Collection[int] = ()) -> None:
        self._session = session
        self._counting = counting_keys(session) - frozenset(dead)
        self._places = target_places(session)
        if session.holders[0] != self._counting:
            session.holders = self._counting, {}
        self._holders = session.holders[1]  # by placement
        self._away: dict[str, frozenset[int]] = {}  # place -> the targets that count and are at another

    def _holding(self, placement: int) -> frozenset[int]:
        found = self._holders.get(placement)
        if found is None:
            each = placement_by_id(self._session, placement)
            held = each.verified | each.written if each.written else each.verified
            found = self._holders[placement] = held & self._counting
        return found

    def copies(self, placement: int) -> int:
        """How many copies of this placement count."""
        return len(self._holding(placement))

    def elsewhere(self, placement: int, place: str) -> int:
        """How many of them lie at another place than this (folded)."""
        return len(self._holding(placement) & self._away_from(place))

    def _away_from(self, place: str) -> frozenset[int]:
        away = self._away.get(place)
        if away is None:
            away = self._away[place] = frozenset(key for key in self._counting if self._places[key] != place)
        return away

    def is_safe(self, placement: int, need: Need) -> bool:
        """Whether a file of this placement has the copies that are wanted, of which so many elsewhere."""
        return self.copies(placement) >= need.copies and (
            not need.elsewhere or self.elsewhere(placement, need.place) >= need.elsewhere
        )

    def below(self, need: Need) -> frozenset[int]:
        """The placements that are not safe where this is wanted."""
        return frozenset(key for key in all_placements(self._session) if not self.is_safe(key, need))

    def summed(self, parts: Iterable[tuple[Need, Mapping[int, Count]]]) -> Sums:
        """The sums of totals by placement, in parts that each want one thing."""
        sums: dict[int, list[int]] = {}
        below, apart, away = [0, 0], [0, 0], [0, 0]
        most, holders = 0, self._holders
        for need, totals in parts:
            most = max(most, need.copies)
            away_from_it = self._away_from(need.place)
            for placement, count in totals.items():
                files, size = count.files, count.bytes
                held = holders.get(placement)
                if held is None:
                    held = self._holding(placement)
                copies, elsewhere = len(held), len(held & away_from_it)
                pair = sums.get(copies) or sums.setdefault(copies, [0, 0])
                pair[0] += files
                pair[1] += size
                if copies < need.copies or elsewhere < need.elsewhere:
                    below[0] += files
                    below[1] += size
                    if copies >= need.copies:
                        apart[0] += files
                        apart[1] += size
                if not elsewhere:
                    away[0] += files
                    away[1] += size
        by_copies = {n: Count(*sums.get(n, ())) for n in range(max([most, *sums]) + 1)}
        return Sums(total(by_copies.values()), by_copies, Count(*below), Count(*apart), Count(*away))


def total(counts: Iterable[Count]) -> Count:
    """The sum of some counts."""
    return sum(counts, Count())
