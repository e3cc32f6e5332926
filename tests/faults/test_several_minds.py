"""Lives with several minds: two machines, an older session DB, drives cloned, nested and rolled back (see `minds`)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from faults.minds import Step, steps_of, went_wrong
from support.fault_report import FULL, Row


def step(name: str, mind: int = 0, a: int = 0, b: int = 0, c: int = 0) -> Step:
    return Step(name, mind, a, b, c, None)


OWN, SHARED = 0, 1  # which of a machine's two sources
ONE = 3  # `add` with one wanted copy
SURPLUS, OLD = 1, 0  # what `reclaim` frees

ONCE_LOST = {
    "a target inside another counts its files as copies of its own": [
        step("add", 1, SHARED),
        step("plug", 1, 2, 2),
        step("back_up", 1, 2, 3),
        step("plug", 0, 1, 1),
        step("add", 0, SHARED),
        step("nest", 0, 2, 1),
        step("back_up", 0, 0, 3),
    ],
    "two machines free each other's surplus": [
        step("add", 0, SHARED, ONE),
        step("add", 1, SHARED, ONE),
        step("visit", 0, 1),
        step("visit", 1, 2),
        step("update", 0),
        step("reclaim", 0, 0, SURPLUS),
        step("reclaim", 1, 0, SURPLUS),
    ],
    "an older session DB frees what it was told was gone": [
        step("add", 0, OWN, ONE),
        step("visit", 0, 0, 0),
        step("visit", 0, 1, 1),
        step("keep_db", 0),
        step("reclaim", 0, 0, SURPLUS),
        step("put_db_back", 0),
        step("reclaim", 0, 1, SURPLUS),
    ],
    "somebody else's context, said to be done, is told as deleted": [
        step("add", 0, OWN),
        step("visit", 0, 0),
        step("add", 1, SHARED),
        step("plug", 1, 0),
        step("take_up", 1, 0, 0, 1),
        step("say_it_is_done", 1),
        step("back_up", 1, 0, 3),
    ],
    "a context of before wins over a newer one": [
        step("add", 0, OWN),
        step("visit", 0, 0, 0),
        step("visit", 0, 1, 1),
        step("write_file", 0, 0, 6, 0),
        step("back_up", 0, 0, 3),
        step("write_file", 0, 0, 6, 0),
        step("back_up", 0, 0, 3),
    ],
    "copies deleted by hand from the other drive that is plugged in": [
        step("add", 0, OWN, ONE),
        step("visit", 0, 0, 0),
        step("visit", 0, 1, 1),
        *(step("harm_on_drive", 0, 1, 0, 0) for _ in range(4)),
        step("reclaim", 0, 0, SURPLUS),
    ],
    "a machine that did not look at the source tells of it as it was, over what a newer context says": [
        step("add", 0, SHARED, ONE),
        step("add", 1, SHARED, ONE),
        step("visit", 0, 0, 0),
        step("visit", 0, 1, 1),
        step("write_file", 0, 2, 2, 0),
        step("back_up", 0, 0, 3),
        step("write_file", 0, 2, 2, 0),
        step("visit", 1, 1),
        step("plug", 0, 1, 1),
        step("reclaim", 0, 1, SURPLUS),
    ],
    "a machine that restored a part tells of the rest as it was, over what a newer context says": [
        step("add", 0, OWN, ONE),
        step("visit", 0, 0, 0),
        step("plug", 0, 2, 1),
        step("back_up", 0, 1, 8),
        step("edit_with_an_older_time", 0, 0, 0),
        step("plug", 1, 2, 1),
        step("restore_here", 1, 0, 0, 2),
        step("back_up", 0, 0, 3),
        step("visit", 1, 0, 2, 4),
    ],
    "a machine that restored a part tells again, and later, of what it could not restore, as it was": [
        step("add", 0, OWN, ONE),
        step("plug", 0, 0, 0),
        step("back_up", 0, 0, 3),
        step("plug", 0, 2, 1),
        step("back_up", 0, 1, 8),
        step("write_file", 0, 45, 2, 25),
        step("plug", 1, 2, 2),
        step("visit", 0, 0, 2),
        step("restore_here", 1, 0, 0, 2),
        step("back_up", 1, 0, 0),
    ],
    "a directory comes back with its sidecar, and another machine tells the tree under the state that never had it": [
        step("add", 1, SHARED, ONE),
        step("directory_comes_and_goes", 0, 2, 2),
        step("update", 1),
        step("visit", 1, 2, 3),
        step("directory_comes_and_goes", 0, 2, 2),
        step("add", 0, SHARED, ONE),
        step("visit", 0, 0, 3),
    ],
    "an older session DB lists what it finds on a drive as an older version, under the date of the file": [
        step("add", 0, SHARED, ONE),
        step("add", 1, OWN, ONE),
        step("add", 1, SHARED, ONE),
        step("write_file", 1, 2, 5, 2),
        step("lose_db", 1, 57, 38, 23),
        step("visit", 0, 2, 1, 4),
        step("edit_with_an_older_time", 1, 2, 10),
        step("keep_db", 1),
        step("write_file", 0, 1, 3, 1),
        step("nest", 0, 0, 2, 4),
        step("visit", 1, 1, 37, 1),
        step("put_db_back", 1),
        step("reclaim", 1, 47, 56),
    ],
    "a version that a scan saw go is told under the date of its file, since a drive told of it too": [
        step("add", 0, 0, 3, 0),
        step("plug", 0, 1, 1, 0),
        step("back_up", 0, 1, 3, 0),
        step("plug", 1, 2, 2, 0),
        step("back_up", 1, 2, 3, 0),
        step("plug", 0, 56, 52, 48),
        step("back_up", 0, 51, 8, 34),
        step("clone", 0, 11, 24, 48),
        step("write_file", 0, 36, 18, 21),
        step("take_up", 0, 33, 20, 19),
        step("visit", 1, 11, 58, 29),
        step("back_up", 0, 10, 4, 33),
        step("restore_here", 1, 11, 42, 14),
        step("back_up", 1, 7, 35, 39),
    ],
    "an old drive copied into a source": [
        step("add", 0, OWN),
        step("visit", 0, 0, 0),
        step("copy_a_drive_into_a_source", 0, 0, 0, 1),
        step("visit", 0, 1, 1),
    ],
}


@pytest.mark.parametrize("what", ONCE_LOST)
def test_what_another_mind_once_broke(what: str) -> None:
    kind, told = went_wrong(0, ONCE_LOST[what])
    assert not kind, told


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(30 if FULL else 4))
def test_a_life_with_several_minds(campaign: Callable[[str], Row], seed: int) -> None:
    row = campaign("steps in lives with several minds")
    steps = steps_of(seed, 200 if FULL else 50)
    row.tries = len(steps)
    kind, told = went_wrong(seed, steps)
    row.lost += kind == "loss" or kind.startswith("drill")
    assert not kind, f"seed {seed}; `python -m faults.minds {seed}` makes it shorter\n{told}"
