"""End every operation at every one of its changes, look at what is there, run it again: the same end as undisturbed."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.crashes import Killer, attempt, content_alone, differences, end, fresh, judge, undisturbed, wholeness
from faults.scenarios import SCENARIOS, Scenario, back_up_t1
from medback_core.restoring.restore import restore
from medback_core.session import open_session
from support.fault_report import Row, within
from support.sync_modes import is_file_by_file, thinned
from support.worlds import run, tree

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


@pytest.mark.parametrize("scenario", [s for s in SCENARIOS if s.step is back_up_t1], ids=lambda scenario: scenario.name)
def test_what_a_cut_off_backup_put_on_its_drive_comes_back_from_that_drive_alone(
    where: Path, scenario: Scenario, campaign: Callable[[str], Row]
):
    """The machine is gone, another one has the drive: what lies there comes back, what does not is missing."""
    row = campaign("a backup killed at every change, its drive on a new machine")
    changes = undisturbed(where, scenario, is_file_by_file()).changes
    wrong: list[str] = []
    for point in within(thinned(range(changes)), 2 * SAMPLES):
        fresh(where, scenario)
        before = _contents(where / "t1")
        assert not attempt(where, scenario, Killer(point))
        row.tried()
        wanted, there = _contents(where / "photos"), _contents(where / "t1")
        if not (there - before) & wanted:
            continue
        with open_session(where / "new.db") as session:
            told = run(restore(session, os.fspath(where / "t1"), to=os.fsencode(where / "elsewhere"))).summary
        lost = (there & wanted) - _contents(where / "elsewhere")
        left = sum(content not in there for content, _ in tree(where / "photos").values())
        row.lost += bool(lost)
        row.misreported += told.missing != left
        if lost or told.missing != left:
            wrong.append(f"killed at change {point}: {len(lost)} not back; {left} are missing, not {told.missing}")
    assert not wrong, "\n".join(wrong)


def _contents(root: Path) -> set[bytes]:
    return {content for content, _ in tree(root).values()}
