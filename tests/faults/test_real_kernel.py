"""The installed program and the real kernel: calls that fail, signals, closed outputs, two runs at once."""

from __future__ import annotations

import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.crashes import attempt, contents, differences, end, fresh, judge, undated, wholeness
from faults.kernel import MEDBACK, answer, calls_made, can_trace, environment, injected, medback
from faults.scenarios import SCENARIOS, Scenario
from support.fault_report import FULL, Row, sampled
from medback_core import disk
from support.worlds import tree

pytestmark = pytest.mark.long

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
COMMANDS = {
    "first scan": ("add-src", "photos"),
    "backup with superseded files": ("target", "t1"),
    "discover": ("discover", "t1", "--init", "--label", "t1"),
    "restore over what differs": ("restore", "t1", "--conflict", "overwrite"),
}
CALLS = ("/^openat$", "/^write$", "/^fsync$", "/^fdatasync$", "/^syncfs$", "/^rename", "/^mkdir")
ANSWERS = ("error=ENOSPC", "error=EIO", "error=EINTR", "signal=KILL")
MOST = 6
OPENS = 12  # of the files a command opens once it has begun with the world
HURT = "backup with superseded files"


@pytest.fixture
def world(where: Path) -> Path:
    can_trace(where)
    return where


@pytest.mark.parametrize("calls", CALLS if FULL else ["/^rename"])
@pytest.mark.parametrize("name", COMMANDS if FULL else [HURT])
def test_a_call_that_fails_or_kills_costs_nothing(world: Path, name: str, calls: str, campaign: Callable[[str], Row]):
    """Where the scenario makes no such call there is nothing to try."""
    scenario = BY_NAME[name]
    fresh(world, scenario)
    known = contents(world)
    assert attempt(world, scenario)
    known |= contents(world)
    undisturbed = end(world, scenario)
    wrong: list[str] = []
    numbers = range(1, MOST + 1)
    if calls == "/^openat$":
        fresh(world, scenario)
        made = calls_made(world, calls, *COMMANDS[name])
        numbers = made[:: max(1, len(made) // OPENS)]
    every = [(when, what) for when in sampled(numbers, 4) for what in ANSWERS]
    for when, what in every if FULL else every[-1:]:
        fresh(world, scenario)
        done = injected(world, calls, what, str(when), *COMMANDS[name])
        if done is None:
            continue
        case = f"{what.partition('=')[2]} from {calls.strip('/^$')}"
        at_once = wholeness(world, known)
        # A part of the program itself that can't be read is nothing it could go on without.
        unread = "ImportError" in done.stderr or "ModuleNotFoundError" in done.stderr
        if "Traceback" in done.stderr or (done.returncode == 1 and not unread):
            at_once.append(f"no clear end: {done.returncode} {done.stderr[-300:]}")
        after = differences(undated(end(world, scenario)), undated(undisturbed))
        wrong += judge(campaign(f"strace: {what.partition('=')[2]}"), f"{case} call {when}", at_once + after)
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("signal", "when", "code"), [("INT", "2", 130), ("INT", "2+", 130), ("TERM", "2", 143), ("HUP", "2", 143)]
)
def test_a_signal_stops_a_backup_and_the_next_run_goes_on(
    world: Path, signal: str, when: str, code: int, campaign: Callable[[str], Row]
):
    """Once, it stops cleanly; again and again, at once."""
    scenario = BY_NAME["first backup"]
    fresh(world, scenario)
    known = contents(world)
    assert attempt(world, scenario)
    undisturbed = end(world, scenario)
    fresh(world, scenario)
    (world / "t1").mkdir()
    done = injected(world, "/^rename", f"signal={signal}", when, "target", "t1", "--init", "--label", "t1")
    assert done is not None
    wrong = wholeness(world, known)
    if done.returncode != code or "Traceback" in done.stderr:
        wrong.append(f"ended with {done.returncode}: {done.stderr[-300:]}")
    wrong += differences(end(world, scenario), undisturbed)
    assert judge(campaign("SIGINT once and again, SIGTERM, SIGHUP"), f"SIG{signal} {when}", wrong) == []


@pytest.mark.parametrize("shut", ["pipe", "closed", "terminal"])
def test_a_backup_is_made_though_nobody_listens(where: Path, shut: str, campaign: Callable[[str], Row]):
    """Standard output is a pipe nobody reads, or closed, or a terminal that was closed."""
    scenario = BY_NAME["first backup"]
    fresh(where, scenario)
    (where / "t1").mkdir()
    words = ("target", "t1", "--init", "--label", "t1", "--no-fill")
    if shut == "closed":
        done = medback(where, *words, before=("sh", "-c", 'exec "$@" >&- 2>&-', "sh"))
    else:
        reads, writes = pty.openpty() if shut == "terminal" else os.pipe()
        os.close(reads)
        done = medback(where, *words, stdout=writes, stderr=writes if shut == "terminal" else subprocess.DEVNULL)
        os.close(writes)
    wrong = wholeness(where, contents(where))
    there, wanted = ({content for content, _ in tree(where / name).values()} for name in ("t1", "photos"))
    if there != wanted or done.returncode not in (0, 6):
        wrong.append(f"not all was copied, ended with {done.returncode}")
    assert judge(campaign("standard output closed"), shut, wrong) == []


def test_a_second_run_is_refused_naming_the_first(where: Path, campaign: Callable[[str], Row]):
    fresh(where, BY_NAME[HURT])
    row = campaign("two runs at once")
    before = tree(where / "t1", metadata=True)
    with disk.lock_session(os.fsencode(where / "session.db")):
        done = medback(where, "target", "t1", "--json")
        row.tried()
        assert done.returncode == 4 and str(os.getpid()) in answer(done)["error"]["message"]
    with disk.Root(os.fsencode(where / "t1")) as root, disk.lock_drive(root):
        done = medback(where, "target", "t1", "--json")
        row.tried()
        assert done.returncode == 4 and answer(done)["error"]["kind"] == "locked"
    assert tree(where / "t1", metadata=True) == before


def test_of_two_programs_started_together_none_spoils_what_the_other_does(where: Path, campaign: Callable[[str], Row]):
    scenario: Scenario = BY_NAME["first backup"]
    fresh(where, scenario)
    known = contents(where)
    (where / "t1").mkdir()
    words = ("target", "t1", "--init", "--label", "t1")
    row = campaign("two runs at once")
    for _ in range(3 if FULL else 1):
        both = [
            subprocess.Popen([MEDBACK, *words], cwd=where, env=environment(where), stderr=subprocess.PIPE)
            for _ in range(2)
        ]
        codes = sorted((one.communicate(), one.returncode)[1] for one in both)
        wrong = wholeness(where, known)
        if codes not in ([0, 0], [0, 4], [4, 6], [6, 6]):
            wrong.append(f"ended with {codes}")
        assert judge(row, "two programs", wrong) == []
