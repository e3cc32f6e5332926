"""The figures as tables: for the terminal, and for docs/benchmarks.md between its markers."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .measure import Taken, exponent
from .rows import Row
from .world import MOUNTS

EXPONENT_MOST = 1.1  # n·log n between 10,000 and 1,000,000 is 1.09


@dataclass(frozen=True, slots=True)
class Compared:
    """A row at its size, with its peer's figures where it has one."""

    row: Row
    files: int
    ours: Taken
    peer: Taken | None
    note: str = ""
    noisy: bool = False

    @property
    def ratio(self) -> float | None:
        return self.ours.seconds / self.peer.seconds if self.peer else None

    def goals(self) -> list[tuple[str, bool]]:
        """Each goal in words, and whether it is met."""
        row, found = self.row, []
        if row.ratio_most is not None and self.ratio is not None:
            found.append((f"≤ {row.ratio_most:g} ×", self.ratio <= row.ratio_most))
        if row.seconds_most is not None:
            found.append((f"≤ {row.seconds_most:g} s", self.ours.seconds <= row.seconds_most))
        if row.memory_mb_most is not None:
            found.append((f"≤ {row.memory_mb_most:g} MB", self.ours.memory_mb <= row.memory_mb_most))
        if row.holds is not None:
            found.append(("exact", row.holds(self.ours)))
        return found


@dataclass(frozen=True, slots=True)
class Grown:
    """A row at growing numbers of files; `base` is what it takes on ten."""

    row: Row
    base: Taken
    at: Mapping[int, Taken]

    @property
    def exponent(self) -> float | None:
        """Of processor time, which other people's work disturbs least; of the seconds a row prints, where it does."""
        if self.row.prints:
            return exponent({files: taken.seconds for files, taken in self.at.items()}, self.base.seconds)
        return exponent({files: taken.cpu_seconds for files, taken in self.at.items()}, self.base.cpu_seconds)

    def goals(self) -> list[tuple[str, bool]]:
        """Each goal in words, and whether it is met, at the largest number of files."""
        last = self.at[max(self.at)]
        found = [] if self.exponent is None else [(f"≤ n^{EXPONENT_MOST}", self.exponent <= EXPONENT_MOST)]
        if self.row.memory_mb_most is not None:
            found.append((f"≤ {self.row.memory_mb_most:g} MB", last.memory_mb <= self.row.memory_mb_most))
        return found


def compared_table(results: Sequence[Compared]) -> list[list[str]]:
    """Rows of cells, the heading first."""
    table = [["row", "what", "files", "medback", "peer", "ratio", "goal", "met", "CPU", "memory"]]
    for each in results:
        peer = f"{seconds(each.peer.seconds)} {each.row.peer_name}" if each.peer else ""
        goals, met = _goals(each.goals())
        table.append(
            [
                each.row.name,
                each.row.what + (f": {each.note}" if each.note else ""),
                f"{each.files:,}",
                seconds(each.ours.seconds),
                peer,
                (f"{each.ratio:.2f}" if each.ratio else "") + (" (noisy)" if each.noisy else ""),
                goals,
                met,
                seconds(each.ours.cpu_seconds) + (f" : {seconds(each.peer.cpu_seconds)}" if each.peer else ""),
                f"{each.ours.memory_mb:.0f} MB",
            ]
        )
    return table


def growth_table(results: Sequence[Grown]) -> list[list[str]]:
    """Rows of cells, the heading first: seconds and peak memory at each number of files."""
    sizes = sorted({files for each in results for files in each.at})
    table = [["row", *(f"{files:,} files" for files in sizes), "exponent", "goal", "met"]]
    for each in results:
        cells = [
            f"{seconds(taken.seconds)}, {taken.memory_mb:.0f} MB" if (taken := each.at.get(n)) is not None else ""
            for n in sizes
        ]
        goals, met = _goals(each.goals())
        power = "flat" if each.exponent is None else f"{each.exponent:.2f}"
        table.append([each.row.name, *cells, power, goals, met])
    return table


def _goals(goals: Sequence[tuple[str, bool]]) -> tuple[str, str]:
    missed = [words for words, met in goals if not met]
    return ", ".join(words for words, _ in goals), "" if not goals else "yes" if not missed else "NO"


def seconds(taken: float) -> str:
    """A time with three figures: `0.052 s`, `1.24 s`, `71.3 s`."""
    return f"{taken:.3f} s" if taken < 1 else f"{taken:.2f} s" if taken < 10 else f"{taken:.1f} s"


def aligned(table: Sequence[Sequence[str]]) -> str:
    """For a terminal."""
    widths = [max(len(row[n]) for row in table) for n in range(len(table[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table)


def markdown(table: Sequence[Sequence[str]]) -> str:
    """For the documentation."""
    head, *rows = (f"| {' | '.join(row)} |" for row in table)
    return "\n".join([head, "|" + "---|" * len(table[0]), *rows])


def machine(place: Path, load_before: float) -> str:
    """What it was measured on, in one paragraph."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    kind = subprocess.run(["df", "--output=fstype", place], capture_output=True, text=True, check=True).stdout.split()[
        -1
    ]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    memory_gib = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    return (
        f"{time.strftime('%Y-%m-%d')}, commit {commit.stdout.strip()}: {os.cpu_count()} CPUs"
        f" ({model[1] if model else platform.machine()}), {memory_gib:.0f} GiB of memory, Linux {platform.release()},"
        f" Python {platform.python_version()}. Sources and drives are"
        f" {'ext4 file systems of their own in images on' if MOUNTS else 'directories of'} one {kind} disk, so that"
        f" every copy reads and writes the same disk. Load average {load_before:.1f} before and {os.getloadavg()[0]:.1f}"
        f" after: whatever is above {os.cpu_count()} was other people's work."
    )


def keep(docs: Path, size: str, text: str) -> None:
    """Put `text` between the markers of `size` in the page."""
    page = docs.read_text()
    begin, end = f"<!-- {size} -->\n", f"<!-- end of {size} -->"
    before, rest = page.split(begin)
    docs.write_text(before + begin + text + rest[rest.index(end) :])
