"""The cheapest set of targets that touches every group: an exact minimum hitting set by branch and bound.

Groups and chosen sets are bit masks over target numbers. Reductions (Weihe, "Covering trains by stations", 1998): a
group that contains another is hit with it; a target whose every group also has another no dearer one is never needed;
a group of one forces its target; parts that share no target are solved apart. Lower bound: disjoint groups. Where few
targets are in many groups, or only groups of two are left, as two copies of everything give, `_LeavingOut` is faster.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

DEPTH_MAX = 300  # of the search, well below Python's own limit
FEW, MANY = 64, 3  # with so few targets, and so many groups for each, what can be left out is looked for


@dataclass(frozen=True, slots=True)
class HittingSet:
    """A set that touches every group. `cost_least` bounds the cost of any such set from below; exact: it is met."""

    chosen: int
    cost: int
    cost_least: int

    @property
    def exact(self) -> bool:
        """Whether nothing cheaper exists."""
        return self.cost == self.cost_least


def members(mask: int) -> Iterator[int]:
    """The target numbers in a mask, ascending."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def cost_of(mask: int, weights: Sequence[int]) -> int:
    return sum(weights[number] for number in members(mask))


def cheapest(groups: Collection[int], weights: Sequence[int], *, time_limit: float) -> HittingSet:
    """The cheapest set, or when `time_limit` seconds of processor time are over the best one found by then.

    No group may be empty.
    """
    least = minimal(groups)
    fallback = greedy(least, weights)
    cost = cost_of(fallback, weights)
    search = Search(weights, time.thread_time() + time_limit)
    better = search.below(least, cost)
    if better is not None:
        cost, fallback = better
    return HittingSet(fallback, cost, lower_bound(least, weights) if search.stopped else cost)


def greedy(groups: Collection[int], weights: Sequence[int]) -> int:
    """A good set, quickly: always the target in most groups still open, then without those that proved needless."""
    chosen = 0
    left = list(groups)
    while left:
        counts = _degrees(left)
        best = max(counts, key=lambda number: (counts[number], -weights[number], -number))
        chosen |= 1 << best
        left = [group for group in left if not group >> best & 1]
    for number in sorted(members(chosen), key=lambda number: weights[number], reverse=True):
        without = chosen & ~(1 << number)
        if all(group & without for group in groups):
            chosen = without
    return chosen


def minimal(groups: Collection[int]) -> list[int]:
    """The groups that contain no other group, small ones first."""
    ordered = sorted(set(groups), key=lambda group: (group.bit_count(), group))
    if not ordered or ordered[0].bit_count() == ordered[-1].bit_count():
        return ordered
    kept: list[int] = []
    by_lowest: dict[int, list[int]] = {}  # a group's subsets have their lowest member among its own
    for group in ordered:
        if not any(group & other == other for low in members(group) for other in by_lowest.get(low, ())):
            kept.append(group)
            by_lowest.setdefault((group & -group).bit_length() - 1, []).append(group)
    return kept


def lower_bound(groups: Collection[int], weights: Sequence[int]) -> int:
    """No set costs less: one target for each of some groups that share none. Small groups should come first."""
    used = bound = 0
    for group in groups:
        if not group & used:
            used |= group
            bound += min(weights[number] for number in members(group))
    return bound


class Search:
    """One search with its limits; `stopped` tells that it ended before it knew."""

    def __init__(self, weights: Sequence[int], deadline: float, nodes_max: int | None = None) -> None:
        self.weights = weights
        self.stopped = False
        self.nodes = 0
        self._deadline = deadline
        self._nodes_max = nodes_max

    def below(self, groups: Collection[int], limit: int, enough: int = 0, depth: int = 0) -> tuple[int, int] | None:
        """The cheapest (cost, set) that costs less than `limit`, or the first found of at most `enough`; else None.

        None, or a set not proven cheapest, also when `stopped`.
        """
        if not self.goes_on(depth):
            return None
        reduced = self._reduced(groups, limit)
        if reduced is None:
            return None
        left, chosen, cost = reduced
        parts = _components(left)
        if len(parts) != 1:
            return self._apart(parts, chosen, cost, limit, depth)
        if cost + lower_bound(left, self.weights) >= limit:
            return None
        degrees = _degrees(left)
        if left[-1].bit_count() == 2 or (len(degrees) <= FEW and len(left) > MANY * len(degrees)):
            rest = _LeavingOut(left, self).cheapest_below(limit - cost, enough - cost)
            return None if rest is None else (cost + rest[0], chosen | rest[1])
        branch = max(degrees, key=lambda number: (degrees[number], -self.weights[number], -number))
        bit = 1 << branch
        best: tuple[int, int] | None = None
        trials = (
            (cost + self.weights[branch], chosen | bit, [group for group in left if not group & bit]),
            (cost, chosen, [group & ~bit for group in left]),
        )
        for spent, taken, rest in trials:
            found = self.below(rest, limit - spent, enough - spent, depth + 1)
            if found is not None:
                limit = spent + found[0]
                best = limit, taken | found[1]
                if limit <= enough:
                    break
        return best

    def _apart(self, parts: list[list[int]], chosen: int, cost: int, limit: int, depth: int) -> tuple[int, int] | None:
        """Parts that share no target, each solved for itself."""
        bounds = [lower_bound(part, self.weights) for part in parts]
        rest = sum(bounds)
        for part, bound in zip(parts, bounds, strict=True):
            rest -= bound
            found = self.below(part, limit - cost - rest, 0, depth + 1)
            if found is None:
                return None
            cost += found[0]
            chosen |= found[1]
        return (cost, chosen) if cost < limit else None

    def goes_on(self, depth: int) -> bool:
        """Count one more node; False once a limit is met."""
        self.nodes += 1
        out_of_nodes = self._nodes_max is not None and self.nodes > self._nodes_max
        if out_of_nodes or depth > DEPTH_MAX or time.thread_time() > self._deadline:
            self.stopped = True
        return not self.stopped

    def _reduced(self, groups: Collection[int], limit: int) -> tuple[list[int], int, int] | None:
        """What is left to decide, what is forced and its cost; None when that already costs `limit` or can't be."""
        chosen = cost = 0
        left = list(groups)
        while True:
            forced = 0
            for group in left:
                if not group & (group - 1):
                    if not group:
                        return None
                    forced |= group
            if forced:
                chosen |= forced
                cost += cost_of(forced, self.weights)
                left = [group for group in left if not group & forced]
            if cost >= limit:
                return None
            left = minimal(left)
            needless = self._needless(left)
            if needless:
                left = [group & ~needless for group in left]
            elif not left or left[0] & (left[0] - 1):
                return left, chosen, cost

    def _needless(self, groups: list[int]) -> int:
        """Targets that another, no dearer, can stand in for in every group."""
        common: dict[int, int] = {}  # target -> those in all of its groups
        for group in groups:
            for number in members(group):
                common[number] = common.get(number, group) & group
        gone = 0
        for number, others in common.items():
            bit = 1 << number
            weight = self.weights[number]
            if others != bit and any(self.weights[other] <= weight for other in members(others & ~bit & ~gone)):
                gone |= bit
        return gone


class _LeavingOut:
    """The dearest set of targets that can be left out: of each group one must stay. Branch and bound as Tomita and
    Kameda (2007) search for a maximum clique: two that are all that is left of a group are beside each other, and of
    targets that are all beside each other only one can be left out, which bounds what can be saved. The more is left
    out, the more groups come down to two."""

    def __init__(self, groups: Collection[int], search: Search) -> None:
        self._search = search
        self._weights = search.weights
        self._all = 0
        for group in groups:
            self._all |= group
        self._beside = dict.fromkeys(members(self._all), 0)  # target -> those it is beside
        self._rests: dict[int, list[int]] = {number: [] for number in self._beside}  # -> its larger groups, without it
        for group in groups:
            for number in members(group):
                rest = group & ~(1 << number)
                if rest & (rest - 1):
                    self._rests[number].append(rest)
                else:
                    self._beside[number] |= rest
        self._spared = 0  # the most that leaving out can save; to be beaten
        self._best = -1
        self._enough = 0

    def cheapest_below(self, limit: int, enough: int) -> tuple[int, int] | None:
        """The cheapest (cost, set) touching every group that costs less than `limit`, else None; as Search.below."""
        total = cost_of(self._all, self._weights)
        self._spared = total - limit
        self._enough = total - enough
        self._leave_out(self._all, 0, 0, self._beside, 0)
        return None if self._best < 0 else (total - self._spared, self._all & ~self._best)

    def _leave_out(self, candidates: int, out: int, spared: int, beside: dict[int, int], depth: int) -> None:
        if spared > self._spared:
            self._spared, self._best = spared, out
        if not candidates or not self._search.goes_on(depth):
            return
        for number, most in reversed(self._bounded(candidates, beside)):
            if spared + most <= self._spared or (self._spared >= self._enough and self._best >= 0):
                return
            bit = 1 << number
            left = candidates & ~beside[number] & ~bit
            with_it = self._beside_without(number, left, out, beside) if left else beside
            self._leave_out(left, out | bit, spared + self._weights[number], with_it, depth + 1)
            candidates &= ~bit

    def _beside_without(self, number: int, left: int, out: int, beside: dict[int, int]) -> dict[int, int]:
        """Which are beside each other once `number` is left out too, where those `left` may still be."""
        found = beside
        for rest in self._rests[number]:
            pair = rest & left
            if pair.bit_count() == 2 and not rest & ~left & ~out:  # else one of them stays, or more may
                found = dict(beside) if found is beside else found
                low = pair & -pair
                found[low.bit_length() - 1] |= pair ^ low
                found[(pair ^ low).bit_length() - 1] |= low
        return found

    def _bounded(self, candidates: int, beside: Mapping[int, int]) -> list[tuple[int, int]]:
        """The candidates in an order, each with the most that it and those before it can save: one for each clique."""
        order: list[tuple[int, int]] = []
        before = 0
        while candidates:
            clique: list[int] = []
            joining = candidates
            while joining:
                low = joining & -joining
                clique.append(low.bit_length() - 1)
                candidates ^= low
                joining &= beside[clique[-1]]
            clique.sort(key=self._weights.__getitem__)
            order += [(number, before + self._weights[number]) for number in clique]
            before += self._weights[clique[-1]]
        return order


def _degrees(groups: Collection[int]) -> dict[int, int]:
    """In how many groups each target is."""
    counts: dict[int, int] = {}
    for group in groups:
        for number in members(group):
            counts[number] = counts.get(number, 0) + 1
    return counts


def _components(groups: list[int]) -> list[list[int]]:
    """The groups by parts that share no target; the smallest part first."""
    parts: list[tuple[int, list[int]]] = []
    for group in groups:
        touched = [part for part in parts if part[0] & group]
        if len(touched) == 1 and touched[0][0] & group == group:
            touched[0][1].append(group)
            continue
        mask = group
        together: list[int] = []
        for part in touched:
            mask |= part[0]
            together += part[1]
            parts.remove(part)
        together.append(group)
        parts.append((mask, together))
    return sorted((part for _, part in parts), key=len)
