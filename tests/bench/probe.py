"""What a row can't see from outside, printed as `name seconds` a line: probe.py walk|b3sum|coverage|every|search|fullest|app|list PATH."""

from __future__ import annotations

from typing import Any
import asyncio
import hashlib
import os
import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

KEYS = 40


def top(app: Any) -> Any:
    """The screen that is shown, of whatever class."""
    return app.screen


def walk(root: str) -> None:
    """The least a rescan could do in Python: one `scandir` walk with a stat of every file."""
    left = [root]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)
                else:
                    entry.stat(follow_symlinks=False)


def b3sum(root: str) -> None:
    """The BLAKE3 of every file, as b3sum makes it on one thread."""
    from blake3 import blake3

    buffer = bytearray(1 << 20)
    view = memoryview(buffer)
    for directory, _, names in os.walk(root):
        for name in names:
            digest = blake3()
            with open(os.path.join(directory, name), "rb", buffering=0) as file:
                while got := file.readinto(buffer):
                    digest.update(view[:got])
            digest.hexdigest()


def coverage(path: str) -> None:
    """The slowest of 200 directories, the roots and what lies right below them included."""
    from medback_core.coverage import totals as operation
    from medback_core.session import open_session

    with open_session(Path(path)) as session:
        whole = operation.coverage(session, depth=3)
        asked = [(each.source, each.path) for each in whole.directories]
        random.Random(1).shuffle(asked)
        asked = sorted(asked, key=lambda each: each[1].count(b"/") + bool(each[1]))[:200]
        taken = []
        for source, directory in asked:
            begin = time.perf_counter()
            operation.coverage(session, source=source, path=directory)
            taken.append(time.perf_counter() - begin)
    print("coverage", max(taken))
    print("coverage_median", statistics.median(taken))


def every(path: str) -> None:
    """Every directory there is, in processor time: the slowest, and the 99th of 100. One that takes longer than half a
    millisecond is asked twice more, and the least counts: what is in it is the same, what else the machine does is not."""
    from medback_core.coverage.totals import coverage
    from medback_core.session import open_session

    with open_session(Path(path)) as session:

        def taken(source: str, directory: bytes) -> float:
            begin = time.thread_time()
            coverage(session, source=source, path=directory)
            return time.thread_time() - begin

        asked = session.db.execute(
            "SELECT s.alias, d.path FROM directory d JOIN source s ON s.id = d.source_id"
        ).fetchall()
        found = []
        for each in asked:
            least = taken(*each)
            found.append(least if least < 0.0005 else min(least, taken(*each), taken(*each)))
    found.sort()
    print("directories", len(found))
    print("every", found[-1])
    print("every_99", found[len(found) * 99 // 100])


def search(path: str) -> None:
    """The slowest of three searches: a name few have, one all have, and one nobody has; and the slower of two globs."""
    from medback_core.coverage.find import find
    from medback_core.session import open_session

    with open_session(Path(path)) as session:
        for what, words in (("search", (b"0004217", b"IMG", b"no such name")), ("glob", (b"*4217.JPG", b"*.cr2"))):
            taken = []
            for word in words:
                begin = time.perf_counter()
                find(session, [word], limit=1000)
                taken.append(time.perf_counter() - begin)
            print(what, max(taken))


def fullest(path: str) -> None:
    """How many groups a plan has to touch, and how many drives it takes to plug in the fullest next, again and again."""
    from medback_core.session import open_session
    from medback_core.session.placements import placement_by_id
    from medback_core.session.tree import totals_by_source
    from medback_core.model import Count

    left: dict[frozenset[int], Count] = {}
    with open_session(Path(path)) as session:
        for totals in totals_by_source(session).values():
            for key, count in totals.items():
                holders = placement_by_id(session, key).anywhere
                if holders:
                    left[holders] = left.get(holders, Count()) + count
    print("groups", len(left))
    steps = 0
    while left:
        held: dict[int, int] = {}
        for holders, count in left.items():
            for target in holders:
                held[target] = held.get(target, 0) + count.bytes
        best = max(held, key=held.__getitem__)
        left = {holders: count for holders, count in left.items() if best not in holders}
        steps += 1
    print("drives", steps)


def since_start() -> float:
    """Seconds since this process was started, by the clock that the kernel notes it in. (psutil adds the date of the
    boot, which the kernel tells in whole seconds.)"""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started / os.sysconf("SC_CLK_TCK")


async def until(condition: Callable[[], bool]) -> None:
    """Until it holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


async def app(path: str) -> None:
    """First frame, from the app's first line and from the start of the process; opening a source and a directory; a key
    while a job hashes."""
    from textual import events

    from medback_core.model import Progress
    from medback_tui.app import opened
    from medback_tui.jobs.queue import Job
    from medback_tui.widgets.coverage_list import CoverageList

    drawn: list[float] = []
    draw = CoverageList.render_line
    CoverageList.render_line = lambda self, y: (drawn.append(time.perf_counter()), draw(self, y))[1]

    def hashing(session):
        data, done = bytes(1 << 20), 0
        while True:
            hashlib.md5(data)
            done += len(data)
            yield Progress("copying", 1, done, 2, 1 << 40, b"frame.dpx")

    begin = time.perf_counter()
    shown = opened(Path(path), watch=False)
    async with shown.run_test(size=(80, 24)) as pilot:
        await until(lambda: shown.facts is not None)
        print("first_frame", time.perf_counter() - begin)
        print("from_start", since_start())
        await pilot.press("3")
        await until(lambda: top(shown).rows.row_count)
        for name in ("open_source", "open_directory"):
            await pilot.press("G")  # the last source is the one with the widest directory, and that stands last in it
            rows, before, begin = top(shown).rows, top(shown).rows.listing, time.perf_counter()
            shown.post_message(events.Key("enter", "\r"))
            await until(lambda rows=rows, before=before: rows.listing.place != before.place)
            print(name, time.perf_counter() - begin)
        print("rows", top(shown).rows.row_count)
        if top(shown).rows.row_count <= KEYS:
            return
        shown.submit(Job("target", "medback target", hashing))
        await until(lambda: shown.queue.running is not None and shown.queue.running.progress is not None)
        taken = []
        for _ in range(KEYS):
            await pilot.pause(0.05)
            drawn.clear()
            begin = time.perf_counter()
            shown.post_message(events.Key("j", "j"))
            await until(lambda: bool(drawn))
            taken.append(drawn[0] - begin)
        print("key", statistics.median(taken))
        shown.queue.stop_all()
        await until(lambda: not shown.queue.busy)


def views(path: str) -> None:
    """What the shelf, the map and the timeline read, and laying out the map: the slowest of ten each; the shelf with
    a drive pulled out too."""
    from medback_core.coverage.shelf import read_shelf
    from medback_core.coverage.history import timeline
    from medback_core.presenting.next_drive import next_drive
    from medback_core.session import open_session
    from medback_core.session.sources import list_sources
    from medback_tui.reading.listing import Place, View, read_listing
    from medback_tui.widgets.risk_map import RiskMap

    with open_session(path) as session:
        pulled = [frozenset(), frozenset({read_shelf(session).boxes[0].target.key})]
        places = [Place(), Place(list_sources(session)[0].id)]

        def shelf(turn: int) -> None:
            read_shelf(session, pulled[turn % 2])
            next_drive(session, dead=pulled[turn % 2])

        def risk_map(turn: int) -> None:
            RiskMap(lambda keys: [])._read(read_listing(session, places[turn % 2], View()))

        for name, read in (("shelf", shelf), ("map", risk_map), ("timeline", lambda _: timeline(session))):
            taken = []
            for turn in range(10):
                begin = time.perf_counter()
                read(turn)
                taken.append(time.perf_counter() - begin)
            print(name, max(taken))


async def listing(path: str) -> None:
    """The widest directory: the slowest of going to its end, each order, the filter, what is not safe; then a restore
    plan, so that the process's memory is that of an app all of which was used."""
    from medback_tui.app import opened

    shown = opened(Path(path), watch=False)
    async with shown.run_test(size=(80, 24)) as pilot:
        await until(lambda: shown.facts is not None)
        await pilot.press("3")
        rows = top(shown).rows
        await until(lambda: rows.row_count > 0)
        for _ in range(2):
            before = rows.listing
            await pilot.press("G", "enter")
            await until(lambda before=before: rows.listing.place != before.place)
        print("rows", rows.row_count)
        taken = []
        for key in ("s", "s", "s", "s", "f", "f", "slash", "7", "7"):
            before, begin = rows.listing, time.perf_counter()
            await pilot.press(key)
            if key != "slash":
                await until(lambda before=before: rows.listing is not before)
                taken.append(time.perf_counter() - begin)
        await pilot.press("escape")
        begin = time.perf_counter()
        await pilot.press("G")
        taken.append(time.perf_counter() - begin)
        print("list", max(taken))
        await pilot.press("4")
        await until(lambda: top(shown).plan is not None)


if __name__ == "__main__":
    what, where = sys.argv[1:]
    if what in ("app", "list"):
        asyncio.run({"app": app, "list": listing}[what](where))
    else:
        probes = {
            "walk": walk,
            "b3sum": b3sum,
            "coverage": coverage,
            "every": every,
            "search": search,
            "fullest": fullest,
            "views": views,
        }
        probes[what](where)
