"""Lives in which drives rotate between places, every number held against a recount, and fires (see `places_life`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.places_life import Life, ask, fires
from support.fault_report import FULL, Row


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(20 if FULL else 1))
def test_every_number_of_a_life_between_places_is_what_a_recount_finds(
    campaign: Callable[[str], Row], where: Path, seed: int
) -> None:
    row = campaign("months of drives between places, and fires")
    where.mkdir()
    life = Life(where / "life", seed)
    life.begin()
    for month in range(12 if FULL else 5):
        row.tried()
        life.month(month)
        found = ask(life)
        row.misreported += bool(found)
        assert not found, f"month {month}: " + "\n".join([*found, *life.log])
        if month % 4 == 3:
            burnt = list(fires(life, where))
            row.lost += bool(burnt)
            assert not burnt, f"month {month}: " + "\n".join([*burnt, *life.log])
    shutil.rmtree(where)
