"""End every operation at every one of its changes, look at what is there, run it again: the same end as undisturbed."""

from __future__ import annotations

import errno
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.crashes import Killer, attempt, content_alone, differences, end, fresh, judge, undisturbed, wholeness
from faults.scenarios import SCENARIOS, Scenario
from support.fault_report import Row, within
from support.sync_modes import is_file_by_file, thinned

pytestmark = [pytest.mark.long, pytest.mark.usefixtures("each_way")]

SAMPLES = 2  # disturbances of each scenario in a plain run


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_disturbed_at_any_change_it_converges(where: Path, scenario: Scenario, campaign: Callable[[str], Row]):
    """Killed before each change of a drive and each transaction; each change of a drive fails, once with EIO, once
    with ENOSPC."""
    rows = {
        None: campaign("killed at every change"),
        errno.EIO: campaign("every change of a drive fails once: EIO"),
        errno.ENOSPC: campaign("every change of a drive fails once: ENOSPC"),
    }
    plain = undisturbed(where, scenario, is_file_by_file())
    tries = [(None, point) for point in range(plain.changes)]
    tries += [(code, point) for code in (errno.EIO, errno.ENOSPC) for point in range(plain.on_drives)]
    wrong: list[str] = []
    for code, point in within(thinned(tries), SAMPLES):
        fresh(where, scenario)
        went_on = attempt(where, scenario, Killer(point, error=code))
        assert went_on == (code is not None), f"point {point} was never reached"
        at_once = [problem for problem in wholeness(where, plain.known) if problem not in plain.wrong]
        found = end(where, scenario)
        if code is not None and is_file_by_file():  # the file that failed may have gone from its twin
            at_once += differences(content_alone(found), content_alone(plain.end))
        else:
            at_once += differences(found, plain.end)
        what = f"killed at change {point}" if code is None else f"change {point} failed with {errno.errorcode[code]}"
        wrong += judge(rows[code], what, at_once)
    assert not wrong, "\n".join(wrong)
