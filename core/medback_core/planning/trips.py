"""The fewest trips: which places to visit for the targets that have to be fetched.

Places are few, so that sets of them are tried in turn, the smallest first, and the cheapest set of targets is looked
for within each (`hitting_set`). A place that alone holds something must be visited, which leaves fewer to try.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Sequence
from itertools import combinations

from medback_core.planning.hitting_set import HittingSet, Search, cheapest, cost_of, greedy, lower_bound, minimal

TRIPS, DRIVES = "trips", "drives"  # what there should be the fewest of


def cheapest_trip(
    groups: Collection[int], weights: Sequence[int], where: Sequence[str], *, prefer: str, time_limit: float
) -> tuple[HittingSet, int]:
    """The cheapest set of targets from the fewest places, and the targets that are there then (a mask); with `prefer`
    DRIVES the cheapest set of as few targets as any, from as few places as that allows.

    `where`: the place of each target by number, "" where it takes no trip. `weights` compare by the number of targets
    first. No group may be empty. After `time_limit` seconds of processor time the best that was found by then.
    """
    search = Search(weights, time.thread_time() + time_limit)
    here = _mask(where, {""})
    single = min(weights, default=1)  # the weight of one target and nothing else
    limit = sum(weights) + 1
    if prefer == DRIVES:
        anywhere = cheapest(groups, weights, time_limit=time_limit)
        if not anywhere.exact:
            return anywhere, _mask(where, set(where))
        limit = (anywhere.cost // single + 1) * single  # more targets than the fewest are of no use
    best: tuple[int, int, int] | None = None  # cost, set, targets there
    visited = 0  # so many places for the best
    for number, places in _visits(groups, where, here):
        if search.stopped or (best is not None and number > visited):
            break
        allowed = here | _mask(where, places)
        found = search.below([group & allowed for group in groups], limit)
        if found is not None:
            limit, best, visited = found[0], (*found, allowed), number
    if best is None:  # no time was left: the fewest places all the same, and a good set there
        allowed = here | _mask(where, next(_visits(groups, where, here))[1])
        chosen = greedy([group & allowed for group in groups], weights)
        best = cost_of(chosen, weights), chosen, allowed
    cost, chosen, allowed = best
    least = min(cost - 1, lower_bound(minimal(groups), weights)) if search.stopped else cost
    return HittingSet(chosen, cost, least), allowed


def _visits(groups: Collection[int], where: Sequence[str], here: int) -> Iterator[tuple[int, set[str]]]:
    """The sets of places from which all can be had, with their number, the smallest first."""
    ways = {
        frozenset(place for number, place in enumerate(where) if group >> number & 1)
        for group in groups
        if not group & here
    }
    ways = {way for way in ways if not any(other < way for other in ways)}
    forced = {place for way in ways if len(way) == 1 for place in way}
    free = sorted({place for place in where if place} - forced)
    left = [way for way in ways if not way & forced]
    for more in range(len(free) + 1):
        for chosen in combinations(free, more):
            if all(way.intersection(chosen) for way in left):
                yield len(forced) + more, forced.union(chosen)


def _mask(where: Sequence[str], places: Collection[str]) -> int:
    return sum(1 << number for number, place in enumerate(where) if place in places)
