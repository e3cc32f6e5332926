"""Plans by trips: the fewest places to visit, then the fewest drives, or the other way round; against trying all sets."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from medback_core.model import Count
from medback_core.planning.restore_order import plan_targets
from medback_core.planning.trips import DRIVES, TRIPS

World = tuple[dict[frozenset[int], Count], dict[int, int], dict[int, str]]


def world(dice: random.Random) -> World:
    """Groups, ranks and places of a small shelf; some drives are at hand."""
    targets = dice.randint(1, 8)
    groups: dict[frozenset[int], Count] = {}
    for _ in range(dice.randint(0, 9)):
        holders = frozenset(dice.sample(range(targets), dice.randint(1, min(3, targets))))
        groups[holders] = groups.get(holders, Count()) + Count(dice.randint(1, 9), dice.randint(0, 999))
    places = {key: dice.choice("abcd") for key in range(targets) if dice.random() < 0.7}
    return groups, {key: dice.choice((0, 0, 1, 3)) for key in range(targets)}, places


def every_best(groups: dict[frozenset[int], Count], rank: dict[int, int], places: dict[int, str], prefer: str):
    """The least (trips, drives) or (drives, trips) of all sets that bring everything, by trying each."""
    best = None
    for size in range(len(rank) + 1):
        for chosen in combinations(rank, size):
            if all(holders & set(chosen) for holders in groups):
                trips = len({places[key] for key in chosen if key in places})
                cost = (trips, size) if prefer == TRIPS else (size, trips)
                best = cost if best is None else min(best, cost)
    return best


@pytest.mark.parametrize("prefer", [TRIPS, DRIVES])
def test_no_set_of_drives_is_better_on_500_random_worlds(prefer: str):
    differing = 0
    for seed in range(500):
        groups, rank, places = world(random.Random(seed))
        plan = plan_targets(groups, rank, places=places, prefer=prefer, time_limit=60)
        chosen = [step.target for step in plan.steps]
        trips = len({places[key] for key in chosen if key in places})
        cost = (trips, len(chosen)) if prefer == TRIPS else (len(chosen), trips)
        assert plan.exact and cost == every_best(groups, rank, places, prefer), seed
        assert all(holders & set(chosen) for holders in groups) and plan.unreachable == Count()
        visited = [places.get(key, "") for key in chosen]
        assert len(dict.fromkeys(visited)) == sum(a != b for a, b in zip(["-", *visited], visited, strict=False)), seed
        assert "" not in visited[sum(place == "" for place in visited) :], seed  # what is here comes first
        assert sum((step.brings for step in plan.steps), Count()) == plan.missing
        other = every_best(groups, rank, places, DRIVES if prefer == TRIPS else TRIPS)
        differing += other is not None and other[::-1] != cost
    assert differing > 5  # the two are not the same


@pytest.mark.parametrize("files", [200, 3000, 19_600])
def test_fifty_drives_at_six_places_are_exact_however_many_files_lie_on_three_of_them(files: int):
    dice = random.Random(files)
    triples = [frozenset(triple) for triple in combinations(range(50), 3)]  # there are 19,600
    groups = {triple: Count(1, dice.randint(1, 10**9)) for triple in dice.sample(triples, files)}
    places = {key: "abcdef"[key % 6] for key in range(50) if key % 6}
    plan = plan_targets(groups, dict.fromkeys(range(50), 0), places=places, time_limit=60)
    chosen = {step.target for step in plan.steps}
    assert plan.exact and all(holders & chosen for holders in groups)
    if files == len(triples):
        assert len(chosen) == 48  # any three of them alone hold something


def test_without_time_fifty_drives_have_a_good_plan_that_says_what_it_is_not():
    dice = random.Random(5)
    groups: dict[frozenset[int], Count] = {}
    for _ in range(400):
        groups[frozenset(dice.sample(range(50), 3))] = Count(1, dice.randint(1, 10**9))
    places = {key: "abcdef"[key % 6] for key in range(50) if key % 6}
    plan = plan_targets(groups, dict.fromkeys(range(50), 0), places=places, time_limit=0.0)
    assert not plan.exact and "trips" in plan.why  # no time: a good set, which it says
    assert all(holders & {step.target for step in plan.steps} for holders in groups)
