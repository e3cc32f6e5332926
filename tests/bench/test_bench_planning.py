"""How fast a plan is, whether it is exact, and how many drives it saves against always taking the fullest next."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping

import pytest

from medback_core.model import Count
from medback_core.planning import every_single_and_pair, plan_targets

pytestmark = pytest.mark.bench

World = dict[frozenset[int], Count]
FILES = 1_000_000


def as_the_tool_places(rng: random.Random, targets: int, copies: int) -> World:
    """Every file goes onto the emptiest drives of a shelf of mismatched ones, until it is nearly full."""
    free = {target: rng.uniform(1e12, 8e12) for target in range(targets)}
    batches = 4000
    size_mean = 0.9 * sum(free.values()) / copies / batches
    world: World = {}
    for _ in range(batches):
        size = int(rng.expovariate(1 / size_mean))
        chosen = sorted(free, key=free.__getitem__, reverse=True)[:copies]
        for target in chosen:
            free[target] -= size
        holders = frozenset(chosen)
        world[holders] = world.get(holders, Count()) + Count(FILES // batches, size)
    return world


def at_random(rng: random.Random, targets: int, copies: int, groups: int = 3000) -> World:
    return {frozenset(rng.sample(range(targets), copies)): Count(1, rng.randint(1, 10**9)) for _ in range(groups)}


def fullest_next(world: Mapping[frozenset[int], Count]) -> int:
    """How many drives it takes to plug in the one with most missing bytes, again and again."""
    left = dict(world)
    steps = 0
    while left:
        held: dict[int, int] = {}
        for holders, count in left.items():
            for target in holders:
                held[target] = held.get(target, 0) + count.bytes
        best = max(held, key=held.__getitem__)
        left = {holders: count for holders, count in left.items() if best not in holders}
        steps += 1
    return steps


@pytest.mark.parametrize(
    ("name", "targets", "copies", "seconds_most", "exact"),
    [
        ("placed", 12, 2, 0.5, True),
        ("placed", 50, 2, 1.0, True),
        ("placed", 100, 2, 2.0, True),
        ("placed", 30, 3, 2.0, True),
        ("placed", 50, 3, 2.0, None),
        ("random", 50, 2, 1.0, True),
        ("random", 30, 3, 2.0, None),
        ("random", 50, 3, 2.0, None),
    ],
)
def test_a_plan(name: str, targets: int, copies: int, seconds_most: float, exact: bool | None) -> None:
    rng = random.Random(2024)
    world = (as_the_tool_places if name == "placed" else at_random)(rng, targets, copies)
    rank = {target: 2 if target % 7 == 6 else 0 for target in range(targets)}
    begin = time.perf_counter()
    plan = plan_targets(world, rank)
    seconds = time.perf_counter() - begin
    print(
        f"\n{targets} targets, {copies} copies {name}: {len(world)} groups, {seconds:.3f} s, "
        f"{'exact' if plan.exact else 'not exact'}, {len(plan.steps)} drives ({fullest_next(world)} by fullest next)"
    )
    assert seconds < seconds_most
    assert exact is None or plan.exact is exact
    assert len(plan.steps) <= fullest_next(world)


def test_every_single_and_pair_of_50_targets() -> None:
    rng = random.Random(7)
    world = {
        (frozenset(rng.sample(range(50), rng.randint(1, 4))), rng.randint(1, 3)): Count(300, 10**9) for _ in range(3000)
    }
    begin = time.perf_counter()
    singles, pairs = every_single_and_pair(world, range(50))
    seconds = time.perf_counter() - begin
    print(f"\nevery single and pair of 50 targets: {len(world)} groups, {seconds:.3f} s")
    assert (len(singles), len(pairs)) == (50, 1225)
    assert seconds < 0.5
