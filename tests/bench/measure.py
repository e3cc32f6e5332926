"""Run a command and say what it took: time, processor time, peak memory; fit how it grows."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Taken:
    """What one run of a command took, or the median of several."""

    seconds: float
    cpu_seconds: float  # user and system, children included
    memory_mb: float  # peak resident, of the largest process
    out: str = ""


def run(argv: Sequence[str | bytes], *, allowed: Sequence[int] = (0,)) -> Taken:
    """Run a command to its end. Raises RuntimeError with its last words when it ends with another code.

    This process must stay small: the peak a child is charged with begins with that of the process that started it.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin = time.perf_counter()
        # As a person has it: compiled once, whatever this shell says of writing that down.
        shell = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        shell["MEDBACK_SETTINGS"] = "/there/are/none"  # and whatever this person set
        child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=shell)
        try:
            _, status, usage = os.wait4(child.pid, 0)
        except BaseException:  # the bench is stopped: nothing may hold what it has mounted
            child.kill()
            child.wait()
            raise
        seconds = time.perf_counter() - begin
        child.returncode = os.waitstatus_to_exitcode(status)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if child.returncode not in allowed:
        raise RuntimeError(f"{argv} ended with {child.returncode}: {texts[0][-300:]}{texts[1][-1000:]}")
    return Taken(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, texts[0])


def median(runs: Sequence[Taken]) -> Taken:
    """The median of each figure, with the output of the last."""
    return Taken(
        statistics.median(each.seconds for each in runs),
        statistics.median(each.cpu_seconds for each in runs),
        statistics.median(each.memory_mb for each in runs),
        runs[-1].out,
    )


def differ(runs: Sequence[Taken]) -> bool:
    """Whether the slowest of these runs took more than a third longer than the fastest."""
    seconds = [each.seconds for each in runs]
    return len(seconds) > 1 and max(seconds) > min(seconds) * 4 / 3


def exponent(seconds: Mapping[int, float], base: float) -> float | None:
    """The slope of log(seconds beyond `base`) over log(files), by least squares; None where it hardly grows.

    `base` is what the same work takes on next to nothing: with it, starting up would hide the growth.
    """
    if max(seconds.values()) < 1.5 * base + 0.02:
        return None
    points = [(math.log(files), math.log(taken - base)) for files, taken in seconds.items() if taken > base * 1.05]
    if len(points) < 2:
        return None
    x_mean, y_mean = (statistics.mean(axis) for axis in zip(*points, strict=True))
    return sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)
