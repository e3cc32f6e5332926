"""Which targets to plug in to get back what is missing, and what would be lost if some of them died.

Pure functions over groups: all that is missing (or held), by the set of targets that hold it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple, TypeAlias

from medback_core.model import Count, sum_by
from medback_core.planning.hitting_set import Search, cheapest, members
from medback_core.planning.trips import TRIPS, cheapest_trip

Groups: TypeAlias = Mapping[frozenset[int], Count]


NOTHING = Count()


@dataclass(frozen=True, slots=True)
class Loss:
    """What has no copy left, and what still has one, lost some, and lacks what is wanted of it."""

    lost: Count = NOTHING
    weakened: Count = NOTHING

    def __add__(self, other: Loss) -> Loss:
        return Loss(self.lost + other.lost, self.weakened + other.weakened)

    def __sub__(self, other: Loss) -> Loss:
        return Loss(self.lost - other.lost, self.weakened - other.weakened)


class Held(NamedTuple):
    """Who holds files, and what is wanted of them: so many copies, so many of them on those `away`."""

    holders: frozenset[int]
    copies: int
    away: frozenset[int] = frozenset()
    elsewhere: int = 0

    def without(self, dead: Collection[int]) -> tuple[bool, bool]:
        """(lost, weakened) if all of `dead` died. What has no copy to begin with is not lost by it."""
        left = self.holders.difference(dead)
        if len(left) == len(self.holders):
            return False, False
        short = len(left) < self.copies or len(self.away.difference(dead)) < self.elsewhere
        return not left, bool(left) and short

    def loss(self, count: Count, dead: Collection[int]) -> Loss:
        """What the death of all of `dead` would cost of so much that is held so."""
        lost, weakened = self.without(dead)
        return Loss(count if lost else NOTHING, count if weakened else NOTHING)


GroupsByWanted: TypeAlias = Mapping[Held, Count]

# The search for the smallest set of most bytes soonest ends after so many steps, rather than by the clock, so that one
# shelf gives one plan.
POLISHING_NODES = 1_000


@dataclass(frozen=True, slots=True)
class Step:
    """Plug in `target`: it brings so much; so much is then still missing, what no target can bring included."""

    target: int
    brings: Count
    remaining: Count


@dataclass(frozen=True, slots=True)
class Plan:
    """The fewest trips and targets, in the order to plug them in. `missing` is all of it, `unreachable` the part no
    step brings.

    When not `exact`, there may be a plan with fewer; `why` says why that is not known.
    """

    steps: tuple[Step, ...]
    missing: Count
    unreachable: Count
    exact: bool
    why: str


def plan_targets(
    groups: Groups,
    rank: Mapping[int, int],
    *,
    places: Mapping[int, str] | None = None,
    prefer: str = TRIPS,
    time_limit: float = 1.0,
) -> Plan:
    """The exact minimum of trips, and with it of targets, that brings all that can be brought back; with `prefer`
    DRIVES the minimum of targets, and with it of trips.

    `groups`: what is missing, by the targets that hold it. `rank`: the usable targets only, 0 the best to read from.
    `places`: the place of each target that has to be fetched from elsewhere; one trip fetches any number from a place.
    Among the smallest sets the one with the fewest of the worst rank, then of the next. Steps go place by place, what
    is here first; there by rank, the best first, and within a rank by most bytes soonest. After `time_limit` seconds of
    processor time (a machine that is busy makes the same plan) a good set, with `exact` False.
    """
    places = {} if places is None else {key: place for key, place in places.items() if key in rank}
    keys = sorted(rank)
    number_of = {key: number for number, key in enumerate(keys)}
    by_mask: dict[int, Count] = {}
    missing = unreachable = Count()
    for holders, count in groups.items():
        mask = sum(1 << number_of[key] for key in holders if key in number_of)
        missing += count
        if not mask:
            unreachable += count
        elif count.files:
            by_mask[mask] = by_mask.get(mask, Count()) + count
    ranks = [rank[key] for key in keys]  # by number of target, as in all that follows
    weights = _weights(ranks)
    deadline = time.thread_time() + time_limit
    if places:
        where = [places.get(key, "") for key in keys]
        found, allowed = cheapest_trip(by_mask.keys(), weights, where, prefer=prefer, time_limit=time_limit)
        by_mask = sum_by((mask & allowed, count) for mask, count in by_mask.items())
        ranks = _place_by_place(by_mask, found.chosen, ranks, where)
        order = _order(by_mask, found.chosen, ranks, weights if found.exact else None, deadline)
        order = _together(by_mask, [number for number, _ in order], where)
    else:
        found = cheapest(by_mask.keys(), weights, time_limit=time_limit)
        order = _order(by_mask, found.chosen, ranks, weights if found.exact else None, deadline)
    steps: list[Step] = []
    remaining = missing
    for number, brings in order:
        remaining -= brings
        steps.append(Step(keys[number], brings, remaining))
    why = ""
    if not found.exact:
        least = found.cost_least // min(weights)  # the cheapest weight is that of one target and nothing else
        why = f"the search was stopped after {time_limit:g} s: at least {least} targets are needed, {len(steps)} found"
        why += " with the fewest trips" if places and prefer == TRIPS else ""
    return Plan(tuple(steps), missing, unreachable, found.exact, why)


def loss_without(groups_by_wanted: GroupsByWanted, dead: Collection[int]) -> Loss:
    """What the death of all of `dead` would cost. The holders are the targets whose copies count."""
    return sum((held.loss(count, dead) for held, count in groups_by_wanted.items()), Loss())


def every_single_and_pair(
    groups_by_wanted: GroupsByWanted, targets: Iterable[int]
) -> tuple[dict[tuple[int, ...], Loss], dict[tuple[int, ...], Loss]]:
    """`loss_without` every single target and every pair.

    A pair costs what its two cost alone, corrected for the groups that both hold, so all pairs of 50 targets take
    little more than one pass over the groups.
    """
    keys = sorted(set(targets))
    alone = dict.fromkeys(keys, Loss())
    both: dict[tuple[int, int], Loss] = {}
    for held, count in groups_by_wanted.items():
        concerned = sorted(held.holders & alone.keys())
        costs = {key: held.loss(count, (key,)) for key in concerned}
        for key, cost in costs.items():
            alone[key] += cost
        for a, b in combinations(concerned, 2):
            both[a, b] = both.get((a, b), Loss()) + held.loss(count, (a, b)) - costs[a] - costs[b]
    pairs = {(a, b): alone[a] + alone[b] + both.get((a, b), Loss()) for a, b in combinations(keys, 2)}
    return {(key,): loss for key, loss in alone.items()}, dict(pairs)


def _weights(ranks: Sequence[int]) -> list[int]:
    """Costs whose sums compare like (number of targets, number of the worst rank, number of the next, …)."""
    base = len(ranks) + 1
    levels = sorted(set(ranks))
    one = base ** len(levels)
    return [one + (base ** (levels.index(rank) - 1) if rank != levels[0] else 0) for rank in ranks]


def _place_by_place(by_mask: Mapping[int, Count], chosen: int, ranks: Sequence[int], where: Sequence[str]) -> list[int]:
    """Ranks that keep the targets of a place together: what is here first, then the place that brings the most bytes,
    and so on."""
    brings = dict.fromkeys(where, 0)
    for mask, count in by_mask.items():
        for place in {where[number] for number in members(mask & chosen)}:
            brings[place] += count.bytes
    order = sorted(brings, key=lambda place: (place != "", -brings[place], place))
    levels = max(ranks, default=0) + 1
    return [order.index(place) * levels + rank for place, rank in zip(where, ranks, strict=True)]


def _together(by_mask: Mapping[int, Count], numbers: Sequence[int], where: Sequence[str]) -> list[tuple[int, Count]]:
    """These targets in their order, but for those of a place already met, which come with it; what each brings."""
    met = list(dict.fromkeys(where[number] for number in numbers))
    left = dict(by_mask)
    order: list[tuple[int, Count]] = []
    for number in sorted(numbers, key=lambda number: met.index(where[number])):
        here = [mask for mask in left if mask >> number & 1]
        order.append((number, sum((left.pop(mask) for mask in here), Count())))
    return order


def _order(
    by_mask: Mapping[int, Count],
    chosen: int,
    ranks: Sequence[int],
    weights: Sequence[int] | None,
    deadline: float,
) -> list[tuple[int, Count]]:
    """The chosen targets with what each brings, by rank, then most bytes next.

    With `weights` another set of the same cost is taken where it brings more bytes sooner.
    """
    brings: dict[int, Count] = {}
    holding: dict[int, set[int]] = {}
    for mask, count in by_mask.items():
        for number in members(mask):
            brings[number] = brings.get(number, Count()) + count
            holding.setdefault(number, set()).add(mask)
    search = None if weights is None else Search(weights, deadline, POLISHING_NODES)
    open_masks = set(by_mask)
    order: list[tuple[int, Count]] = []
    while chosen:
        level = min(ranks[number] for number in members(chosen))
        alike = [number for number in brings if ranks[number] == level and brings[number].files]
        alike.sort(key=lambda number: (-brings[number].bytes, -brings[number].files, number))
        for number in alike:
            if chosen >> number & 1:
                break
            instead = search and _instead(search, number, chosen, open_masks)
            if instead is not None:
                chosen = instead | 1 << number
                break
        else:
            raise AssertionError("a chosen target brings nothing")
        order.append((number, brings[number]))
        chosen &= ~(1 << number)
        for mask in holding[number] & open_masks:
            for other in members(mask):
                brings[other] -= by_mask[mask]
        open_masks -= holding[number]
    return order


def _instead(search: Search, number: int, chosen: int, open_masks: Collection[int]) -> int | None:
    """The rest of a set that has `number` in it and costs what `chosen` costs, if there is one."""
    if search.stopped:
        return None
    spend = sum(search.weights[other] for other in members(chosen)) - search.weights[number]
    found = search.below([mask for mask in open_masks if not mask >> number & 1], spend + 1, enough=spend)
    return None if found is None else found[1]
