"""Planning against brute force: the fewest targets, the better ones among equals, and what a death would cost."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from itertools import combinations

import pytest

from medback_core.planning import hitting_set
from medback_core.model import Count
from medback_core.planning.restore_order import Held, Loss, every_single_and_pair, loss_without, plan_targets

World = dict[frozenset[int], Count]
ACTIVE, RETIRED, SUSPECT = 0, 1, 2


def a_world(rng: random.Random, targets: int, groups: int, copies_max: int) -> World:
    """Random groups; some nobody holds, some on targets that are not usable."""
    return {
        frozenset(rng.sample(range(targets + 1), rng.randint(0, min(copies_max, targets)))): Count(
            rng.randint(1, 5), rng.randint(0, 9)
        )
        for _ in range(groups)
    }


def total(counts: Iterable[Count]) -> Count:
    return sum(counts, Count())


def brings(world: World, chosen: Iterable[int]) -> Count:
    held = set(chosen)
    return total(count for holders, count in world.items() if holders & held)


def cost(chosen: Iterable[int], rank: Mapping[int, int]) -> tuple[int, int, int]:
    ranks = [rank[target] for target in chosen]
    return len(ranks), ranks.count(SUSPECT), ranks.count(RETIRED)


def brute_force(world: World, rank: Mapping[int, int]) -> list[set[int]]:
    """All the best sets."""
    groups = [holders & rank.keys() for holders in world if holders & rank.keys()]
    able = [
        set(chosen)
        for number in range(len(rank) + 1)
        for chosen in combinations(rank, number)
        if all(group & set(chosen) for group in groups)
    ]
    best = min(cost(chosen, rank) for chosen in able)
    return [chosen for chosen in able if cost(chosen, rank) == best]


def soonest(world: World, rank: Mapping[int, int], sets: list[set[int]]) -> list[int]:
    """Of these sets, the bytes and files each step brings when each is the most any of them can bring next."""
    order: list[int] = []
    while any(len(chosen) > len(order) for chosen in sets):
        left = {holders: count for holders, count in world.items() if not holders & set(order)}
        level = min(rank[target] for chosen in sets for target in chosen - set(order))
        able = {t for chosen in sets for t in chosen - set(order) if rank[t] == level}
        best = max(able, key=lambda t: (brings(left, [t]).bytes, brings(left, [t]).files, -t))
        sets = [chosen for chosen in sets if best in chosen]
        order.append(best)
    return order


@pytest.mark.parametrize("seed", range(8))
def test_plans_equal_brute_force(seed: int) -> None:
    rng = random.Random(seed)
    for _ in range(100):
        targets = rng.randint(1, 8)
        world = a_world(rng, targets, rng.randint(0, 14), rng.choice((2, 3, 4)))
        rank = {t: rng.choice((ACTIVE, ACTIVE, RETIRED, SUSPECT)) for t in range(targets) if rng.random() < 0.9}
        plan = plan_targets(world, rank, time_limit=60)
        chosen = [step.target for step in plan.steps]

        assert plan.exact
        assert plan.why == ""
        best = brute_force(world, rank)
        assert set(chosen) in best
        assert chosen == soonest(world, rank, best)

        assert plan.missing == total(world.values())
        assert plan.unreachable == plan.missing - brings(world, rank)
        assert [rank[target] for target in chosen] == sorted(rank[target] for target in chosen)
        for number, step in enumerate(plan.steps):
            before, after = brings(world, chosen[:number]), brings(world, chosen[: number + 1])
            assert step.brings == after - before
            assert step.remaining == plan.missing - after
        if plan.steps:
            assert plan.steps[-1].remaining == plan.unreachable


def test_nothing_missing_needs_no_target() -> None:
    assert plan_targets({}, {1: 0}) == plan_targets({frozenset({1}): Count()}, {1: 0})
    assert plan_targets({}, {}).steps == ()


def test_what_lies_on_unusable_targets_only_is_unreachable() -> None:
    world = {frozenset({9}): Count(2, 20), frozenset(): Count(1, 1), frozenset({1, 9}): Count(3, 30)}
    plan = plan_targets(world, {1: ACTIVE})
    assert [step.target for step in plan.steps] == [1]
    assert plan.unreachable == plan.steps[-1].remaining == Count(3, 21)


def test_a_suspect_target_comes_last_though_it_brings_most() -> None:
    world = {frozenset({1}): Count(1, 1), frozenset({2}): Count(1, 10**12), frozenset({3}): Count(1, 5)}
    plan = plan_targets(world, {1: ACTIVE, 2: SUSPECT, 3: RETIRED})
    assert [step.target for step in plan.steps] == [1, 3, 2]


def test_fewer_targets_win_over_better_ones() -> None:
    world = {frozenset({1, 3}): Count(1, 1), frozenset({2, 3}): Count(1, 1)}
    assert [step.target for step in plan_targets(world, {1: ACTIVE, 2: ACTIVE, 3: SUSPECT}).steps] == [3]


def test_among_equal_sets_the_one_that_brings_most_first() -> None:
    world = {
        frozenset({1, 2}): Count(1, 5),
        frozenset({2, 3}): Count(1, 5),
        frozenset({3, 4}): Count(1, 5),
        frozenset({4, 1}): Count(1, 5),
        frozenset({2, 4}): Count(1, 1000),
    }
    assert [step.target for step in plan_targets(world, dict.fromkeys(range(1, 5), ACTIVE)).steps] == [2, 4]


def test_one_shelf_gives_one_plan_whatever_the_order_it_is_told_in() -> None:
    rng = random.Random(3)
    world = a_world(rng, 12, 40, 3)
    rank = {t: t % 3 for t in range(12)}
    turned = dict(sorted(world.items(), key=lambda item: rng.random()))
    assert plan_targets(world, rank) == plan_targets(turned, dict(reversed(rank.items())))


def test_out_of_time_it_says_so_and_still_brings_everything() -> None:
    rng = random.Random(4)
    world = {frozenset(rng.sample(range(60), 3)): Count(1, rng.randint(1, 99)) for _ in range(2000)}
    plan = plan_targets(world, dict.fromkeys(range(60), ACTIVE), time_limit=0.0)
    assert not plan.exact
    assert "stopped after 0 s" in plan.why
    assert f"{len(plan.steps)} found" in plan.why
    assert plan.steps[-1].remaining == Count()
    least = int(plan.why.split("at least ")[1].split()[0])
    assert 0 < least < len(plan.steps)


def test_hundreds_of_targets_do_not_overrun_the_stack() -> None:
    chain = {frozenset({n, n + 1}): Count(1, n) for n in range(900)}
    plan = plan_targets(chain, dict.fromkeys(range(901), ACTIVE), time_limit=2.0)
    assert plan.steps[-1].remaining == Count()
    assert len(plan.steps) == 450


@pytest.mark.parametrize("seed", range(4))
def test_the_cheapest_set_equals_brute_force_for_any_weights(seed: int) -> None:
    rng = random.Random(100 + seed)
    for _ in range(100):
        targets = rng.randint(2, 9)
        groups = [
            sum(1 << t for t in rng.sample(range(targets), rng.randint(1, min(4, targets))))
            for _ in range(rng.randint(1, 20))
        ]
        weights = [rng.randint(1, 9) for _ in range(targets)]
        found = hitting_set.cheapest(groups, weights, time_limit=60)
        assert found.exact
        assert all(group & found.chosen for group in groups)
        assert found.cost == hitting_set.cost_of(found.chosen, weights)
        assert found.cost == min(
            hitting_set.cost_of(mask, weights) for mask in range(1 << targets) if all(group & mask for group in groups)
        )
        least = hitting_set.minimal(groups)
        assert {g for g in groups if not any(o != g and o & g == o for o in groups)} == set(least)
        assert hitting_set.lower_bound(least, weights) <= found.cost
        assert hitting_set.cost_of(hitting_set.greedy(least, weights), weights) >= found.cost


# --- what if --------------------------------------------------------------------------------------------------------


def recount(world: Mapping[Held, Count], dead: Iterable[int]) -> Loss:
    """The same, file by file."""
    lost = weakened = Count()
    for (holders, wanted, away, elsewhere), count in world.items():
        for _ in range(count.files):
            copies = list(holders)
            for target in dead:
                if target in copies:
                    copies.remove(target)
            one = Count(1, count.bytes // count.files)
            if len(copies) < len(holders) and not copies:
                lost += one
            elif len(copies) < len(holders) and (
                len(copies) < wanted or sum(target in away for target in copies) < elsewhere
            ):
                weakened += one
    return Loss(lost, weakened)


def test_what_if_equals_a_recount_for_every_single_target_and_pair() -> None:
    for seed in range(60):
        rng = random.Random(seed)
        targets = rng.randint(1, 6)
        world: dict[Held, Count] = {}
        for holders in a_world(rng, targets, 15, 4):
            files = rng.randint(1, 4)
            away = frozenset(target for target in holders if rng.random() < 0.5)
            held = Held(holders, rng.randint(0, 4), away, rng.randint(0, 2))
            world[held] = Count(files, files * rng.randint(0, 9))
        singles, pairs = every_single_and_pair(world, range(targets))
        assert singles.keys() == {(t,) for t in range(targets)}
        assert pairs.keys() == set(combinations(range(targets), 2))
        for keys, loss in (singles | pairs).items():
            assert loss == loss_without(world, keys) == recount(world, keys)


def test_what_has_no_copy_is_not_lost_by_a_death() -> None:
    world = {
        Held(frozenset[int](), 2): Count(5, 50),
        Held(frozenset({1}), 2): Count(1, 10),
        Held(frozenset({1, 2}), 2): Count(2, 4),
    }
    assert loss_without(world, [1]) == Loss(Count(1, 10), Count(2, 4))
    assert loss_without(world, [3]) == Loss(Count(), Count())


def test_a_copy_more_than_wanted_may_die_unnoticed() -> None:
    world = {Held(frozenset({1, 2, 3}), 2): Count(1, 10)}
    assert loss_without(world, [1]) == Loss(Count(), Count())
    assert loss_without(world, [1, 2]) == Loss(Count(), Count(1, 10))


def test_the_last_copy_elsewhere_may_not() -> None:
    world = {Held(frozenset({1, 2, 3}), 2, frozenset({3}), 1): Count(1, 10)}
    assert loss_without(world, [1]) == Loss(Count(), Count())
    assert loss_without(world, [3]) == Loss(Count(), Count(1, 10))
