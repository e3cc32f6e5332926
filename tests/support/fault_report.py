"""The table `make faults` ends with: case, tries, lost, misreported; one row a case, summed over all that reports to it.

How a campaign reports its row: take the fixture `campaign`, name the case, count as you go.

    @pytest.mark.long
    def test_a_cut_sidecar_loses_nothing(campaign):
        row = campaign("sidecar cut at every byte")
        for cut in sampled(range(len(whole)), 40):
            row.tried()
            row.lost += records_lost(cut)          # content or records that are gone and should not be
            row.misreported += told_wrongly(cut)   # said to be what it is not: a copy, damage, a count
        assert row.clean

Plain assertions inside the loop do as well: a test that fails counts as misreported (unless it counted what it found
itself), so that the table never looks better than the run. Tests of several modules and processes may name one case:
their rows are added up. `long` marks what `make faults` runs; FULL says that it is whole this time, `sampled` cuts a
loop down when it is not. A test that skips shows up below the table with its reason.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pytest

FULL = os.environ.get("MEDBACK_FAULTS") == "full"
PROPERTY = "campaign"
T = TypeVar("T")


def examples(most: int) -> int:
    """So many random worlds in a full run; else a quarter of them."""
    return most if FULL else max(3, most // 4)


def sampled(points: Sequence[T], most: int) -> Sequence[T]:
    """All points in a full run; else at most so many, spread evenly, the first and the last included."""
    if FULL or len(points) <= most:
        return points
    if most == 1:
        return [points[0]]
    return [points[i] for i in sorted({round(k * (len(points) - 1) / (most - 1)) for k in range(most)})]


def within(points: Sequence[T], most: int) -> Sequence[T]:
    """All points in a full run; else at most so many, each from the middle of its part: the first and the last change
    of a run show least."""
    if FULL or len(points) <= most:
        return points
    return [points[(2 * part + 1) * len(points) // (2 * most)] for part in range(most)]


@dataclass
class Row:
    """What one case came to so far."""

    case: str
    tries: int = 0
    lost: int = 0
    misreported: int = 0

    def tried(self) -> None:
        self.tries += 1

    @property
    def clean(self) -> bool:
        return self.tries > 0 and not self.lost and not self.misreported


@pytest.fixture
def campaign(request: pytest.FixtureRequest) -> Iterator[Callable[[str], Row]]:
    """Opens rows of the table; they travel with the test's report, from whichever process ran it."""
    rows: list[Row] = []

    def open_row(case: str) -> Row:
        rows.append(Row(case))
        return rows[-1]

    yield open_row
    for row in rows:
        request.node.user_properties.append((PROPERTY, [row.case, row.tries, row.lost, row.misreported]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Add up the rows of all reports and print them."""
    rows: dict[str, Row] = {}
    failed = {report.nodeid for kind in ("failed", "error") for report in terminalreporter.stats.get(kind, [])}
    for reports in list(terminalreporter.stats.values()):
        for report in reports:
            if getattr(report, "when", None) == "teardown":  # the fixture has closed its rows by then
                _add(rows, report, failed)
    if not rows:
        return
    width = max(len(case) for case in rows)
    terminalreporter.section("what was tried")
    terminalreporter.write_line(f"{'case':{width}}  {'tries':>8}  {'lost':>6}  {'misreported':>11}")
    for case, row in sorted(rows.items()):
        terminalreporter.write_line(f"{case:{width}}  {row.tries:8}  {row.lost:6}  {row.misreported:11}")


def _add(rows: dict[str, Row], report: pytest.TestReport, failed: set[str]) -> None:
    for name, value in report.user_properties:
        if name == PROPERTY and isinstance(value, list):
            case, tries, lost, misreported = value
            row = rows.setdefault(case, Row(case))
            row.tries += tries
            row.lost += lost
            row.misreported += misreported + (report.nodeid in failed and not lost and not misreported)
