"""The app on a million files: first frame, opening directories, a key while a backup hashes, memory."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bench

FILES = 1_000_000
FIRST_FRAME_SECONDS_MOST = 0.5
KEY_SECONDS_MOST = 0.05
MEMORY_MB_MOST = 150
MEASURED = """
import asyncio, hashlib, resource, statistics, sys, time
from pathlib import Path
from textual import events
from medback_core.model import Progress
from medback_tui.app import MedbackApp
from medback_tui.jobs import Job
from medback_tui.widgets.coverage_list import CoverageList

drawn = []
draw = CoverageList.render_line
CoverageList.render_line = lambda self, y: (drawn.append(time.perf_counter()), draw(self, y))[1]

def hashing(session):
    data, done = bytes(1 << 20), 0
    while True:
        hashlib.md5(data)
        done += len(data)
        yield Progress("copying", 1, done, 2, 1 << 40, b"frame.dpx")

async def until(condition):
    while not condition():
        await asyncio.sleep(0.001)

async def main():
    begin = time.perf_counter()
    app = MedbackApp(Path(sys.argv[1]), watch=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: app.facts is not None)
        print("first_frame", time.perf_counter() - begin)
        await pilot.press("3")
        await until(lambda: app.screen.rows.row_count)
        for name in ("open_source", "open_directory"):
            rows, before, begin = app.screen.rows, app.screen.rows.listing, time.perf_counter()
            await pilot.press("enter")
            await until(lambda: rows.listing is not before)
            print(name, time.perf_counter() - begin)
        app.submit(Job("target", "medback target", hashing))
        await until(lambda: app.queue.running is not None and app.queue.running.progress is not None)
        taken = []
        for _ in range(40):
            await pilot.pause(0.05)
            drawn.clear()
            begin = time.perf_counter()
            app.post_message(events.Key("j", "j"))
            await until(lambda: drawn)
            taken.append(drawn[0] - begin)
        print("key", statistics.median(taken))
        app.queue.stop_all()
        await until(lambda: not app.queue.busy)
    print("memory_mb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

asyncio.run(main())
"""


def test_a_million_files(tmp_path: Path):
    from tui import worlds

    session = worlds.large(tmp_path / "s.db", FILES, per_directory=1000)
    done = subprocess.run(
        [sys.executable, "-c", MEASURED, str(session)], check=True, capture_output=True, text=True, timeout=200
    )
    print(done.stdout)
    measured = {name: float(value) for name, value in (line.split() for line in done.stdout.splitlines())}
    assert measured["first_frame"] <= FIRST_FRAME_SECONDS_MOST
    assert measured["key"] <= KEY_SECONDS_MOST
    assert measured["memory_mb"] <= MEMORY_MB_MOST
