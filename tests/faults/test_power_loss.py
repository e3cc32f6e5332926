"""Cut the power before every change of a drive: what was not durable is dropped, or torn and reordered; run it again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faults.crashes import (
    Undisturbed,
    attempt,
    content_alone,
    differences,
    end_of_sight,
    fresh,
    judge,
    undisturbed,
    wholeness,
)
from faults.power import Arrives, Dropped, PowerCut, Reordered
from faults.scenarios import SCENARIOS, Scenario, rebuild_all, session_of
from support.fault_report import Row, within
from support.sync_modes import is_file_by_file, thinned

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("each_way")]

SAMPLES = 2  # cuts of each scenario in a plain run
SEEDS = 4  # of what arrives in which order, for each point of the scenarios below
REORDERED = ("first backup", "backup with superseded files", "restore over what differs", "discover")
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_what_was_not_durable_is_gone_after_a_power_cut(
    where: Path, scenario: Scenario, campaign: Callable[[str], Row]
):
    """The session DB is on another disk: it keeps all, or falls back to what it was, or is gone."""
    plain = undisturbed(where, scenario, is_file_by_file())
    rows = {
        "kept": campaign("power cut at every change"),
        "of before": campaign("power cut at every change, the session DB of before the run"),
        "lost": campaign("power cut at every change, the session DB lost"),
    }
    tries = [("kept", point) for point in range(plain.in_power)]
    if scenario.without_db:
        tries += [(("of before", "lost")[point % 2], point) for point in range(plain.in_power)]
    wrong: list[str] = []
    for db, point in within(thinned(tries), SAMPLES):
        at_once = _cut(where, scenario, point, Dropped(), plain, db)
        found = end_of_sight(where, scenario)
        after = (
            differences(found, plain.end_of_sight)
            if db == "kept"
            else differences(content_alone(found), content_alone(plain.end_of_sight))
        )
        wrong += judge(rows[db], f"power cut at change {point}, DB {db}", at_once + after)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", REORDERED)
def test_what_was_not_durable_is_torn_and_reordered_by_a_power_cut(
    where: Path, name: str, campaign: Callable[[str], Row]
):
    scenario = BY_NAME[name]
    plain = undisturbed(where, scenario, is_file_by_file())
    row = campaign("power cut at every change, torn and reordered")
    tries = [(point, seed) for seed in range(SEEDS) for point in range(plain.in_power)]
    wrong: list[str] = []
    for point, seed in within(thinned(tries), SAMPLES):
        at_once = _cut(where, scenario, point, Reordered(seed * 1000 + point), plain, "kept")
        # Half a rename leaves a file under two names: no content may be missing, and none come from nowhere.
        after = differences(_contents(end_of_sight(where, scenario)), _contents(plain.end_of_sight))
        wrong += judge(row, f"power cut at change {point}, seed {seed}", at_once + after)
    assert not wrong, "\n".join(wrong)


def _contents(state: dict[str, object]) -> dict[str, object]:
    """Which contents lie in each source and on each drive."""
    found: dict[str, object] = {}
    for tree in ("tree photos", "tree music", "tree t1", "tree t2"):
        files = state.get(tree, {})
        assert isinstance(files, dict)
        found[tree] = {content for content, _ in files.values()}
    return found


def _cut(where: Path, scenario: Scenario, point: int, arrives: Arrives, plain: Undisturbed, db: str) -> list[str]:
    """Run into the power cut and come back from it; what is wrong at once."""
    fresh(where, scenario)
    kept = where.parent / "session.before"
    if (where / "session.db").exists():
        shutil.copyfile(where / "session.db", kept)
    else:
        kept.unlink(missing_ok=True)
    cut = PowerCut(where, point)
    assert not attempt(where, scenario, cut), f"change {point} was never reached"
    cut.come_back(arrives)
    if db != "kept":
        for path in where.glob("session.db*"):
            if db == "lost" or not path.name.endswith((".sources", ".lock")):
                path.unlink() if path.is_file() else shutil.rmtree(path)
    if db == "of before" and kept.exists():
        shutil.copyfile(kept, where / "session.db")
    found = [problem for problem in wholeness(where, plain.known, with_db=db == "kept") if problem not in plain.wrong]
    if db == "lost":
        assert attempt(where, replace(scenario, step=rebuild_all, opens=session_of))
    return found
