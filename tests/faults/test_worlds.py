"""A world of the fault loops that is a copy is, to the session, the world that was copied."""

from __future__ import annotations

from pathlib import Path

import pytest

from faults.crashes import Killer, attempt, contents, end, fresh, wholeness
from faults.scenarios import SCENARIOS, Scenario
from support.fault_report import within

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("each_way")]


@pytest.mark.parametrize("scenario", within(SCENARIOS, 4), ids=lambda scenario: scenario.name)
def test_a_copy_of_a_world_takes_the_same_changes_to_the_same_end(where: Path, scenario: Scenario):
    told = []
    for _ in range(2):
        changes = Killer()
        fresh(where, scenario)
        whole = wholeness(where, contents(where))
        assert attempt(where, scenario, changes)
        told.append((changes.count, changes.on_drives, whole, end(where, scenario)))
    assert told[0] == told[1]
