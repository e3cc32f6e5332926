"""Cut the power before every change of a drive: what was not durable is dropped, or torn and reordered; run it again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from faults.crashes import attempt, content_alone, contents, differences, end, fresh, judge, wholeness
from faults.power import Arrives, Dropped, PowerCut, Reordered
from faults.scenarios import SCENARIOS, Scenario, rebuild_all, session_of, verify_all
from support.fault_report import Row, within
from support.sync_modes import thinned

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
    scenario = replace(scenario, then=(*scenario.then, verify_all))
    undisturbed, known, before, count = _undisturbed(where, scenario)
    rows = {
        "kept": campaign("power cut at every change"),
        "of before": campaign("power cut at every change, the session DB of before the run"),
        "lost": campaign("power cut at every change, the session DB lost"),
    }
    tries = [("kept", point) for point in range(count)]
    if scenario.without_db:
        tries += [(("of before", "lost")[point % 2], point) for point in range(count)]
    wrong: list[str] = []
    for db, point in within(thinned(tries), SAMPLES):
        at_once = _cut(where, scenario, point, Dropped(), known, before, db)
        found = end(where, scenario)
        after = (
            differences(found, undisturbed)
            if db == "kept"
            else differences(content_alone(found), content_alone(undisturbed))
        )
        wrong += judge(rows[db], f"power cut at change {point}, DB {db}", at_once + after)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", REORDERED)
def test_what_was_not_durable_is_torn_and_reordered_by_a_power_cut(
    where: Path, name: str, campaign: Callable[[str], Row]
):
    scenario = replace(BY_NAME[name], then=(*BY_NAME[name].then, verify_all))
    undisturbed, known, before, count = _undisturbed(where, scenario)
    row = campaign("power cut at every change, torn and reordered")
    tries = [(point, seed) for seed in range(SEEDS) for point in range(count)]
    wrong: list[str] = []
    for point, seed in within(thinned(tries), SAMPLES):
        at_once = _cut(where, scenario, point, Reordered(seed * 1000 + point), known, before, "kept")
        # Half a rename leaves a file under two names: no content may be missing, and none come from nowhere.
        after = differences(_contents(end(where, scenario)), _contents(undisturbed))
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


def _undisturbed(where: Path, scenario: Scenario) -> tuple[dict[str, object], set[bytes], list[str], int]:
    """The end, the contents there may be, what is wrong from the start, and how many changes the run makes."""
    fresh(where, scenario)
    known = contents(where)
    before = wholeness(where, known)
    watching = PowerCut(where)
    assert attempt(where, scenario, watching)
    known |= contents(where)
    return end(where, scenario), known, before, watching.count


def _cut(
    where: Path, scenario: Scenario, point: int, arrives: Arrives, known: set[bytes], before: list[str], db: str
) -> list[str]:
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
    found = [problem for problem in wholeness(where, known, with_db=db == "kept") if problem not in before]
    if db == "lost":
        assert attempt(where, replace(scenario, step=rebuild_all, opens=session_of))
    return found
