"""Measure medback against its peers, and how it grows: `make bench`, one row `make bench ROW=rescan`, all `SIZE=full`."""

from __future__ import annotations

import argparse
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from . import report
from .measure import Taken, differ, median, run
from .rows import CP_READ, CP_READ_B3SUM, OF_THE_APP, ROWS, Row
from .world import (
    DONE,
    FORGETS,
    MOUNTS,
    PER_DIRECTORY,
    SMALL_BYTES,
    THROTTLES,
    World,
    clear_away,
    forget_files,
    unmount,
)

DOCS = Path(__file__).parents[2] / "docs" / "benchmarks.md"
APART = "MEDBACK_BENCH_APART"  # set where the mount table is our own
ROUNDS = 3
LONG_SECONDS = 60  # a run this long is not repeated
# size -> kind of data -> (files, bytes of each)
COMPARED = {
    "tiny": {
        "small": (200, 4096),
        "large": (2, 4 << 20),
        "slow": (2, 4 << 20),
        "shelf": (1_000, 0),
        "scattered": (100, 4096),
    },
    "small": {
        "small": (50_000, 4096),
        "large": (8, 256 << 20),
        "slow": (8, 64 << 20),
        "shelf": (100_000, 0),
        "scattered": (20_000, 4096),
    },
    "full": {  # what `small` measures at the same size stands in its table
        "large": (8, 512 << 20),
        "shelf": (1_000_000, 0),
        "scattered": (100_000, 4096),
    },
}
GROWING = {"tiny": (100, 300), "small": (1_000, 10_000, 30_000), "full": (10_000, 100_000, 1_000_000)}
SCATTERED_MOST = 100_000  # directories with one file each
BASE_FILES = 10


def once(row: Row, argv: Callable[[World], Sequence[str]], world: World) -> Taken:
    """Prepare and run one side of a row."""
    words = argv(world)
    os.sync()
    if row.cold:
        forget_files()
    taken = run(words, allowed=DONE)
    if row.prints and argv is row.ours:
        printed = dict(line.split() for line in taken.out.splitlines())
        taken = Taken(float(printed[row.prints]), taken.cpu_seconds, taken.memory_mb, taken.out)
    if argv is row.ours:
        world.left(row.leaves)
    return taken


def alternating(row: Row, world: World, rounds: int) -> tuple[Taken, Taken | None, bool]:
    """The medians of our runs and of the peer's, taken in turns, and whether they are noisy: the peer's differ by more
    than a third, also when all of it was run again."""
    ours: list[Taken] = []
    peers: list[Taken] = []
    noisy = False
    for _ in range(2):
        ours, peers = [], []
        begin = time.monotonic()
        while len(ours) < rounds and (not ours or time.monotonic() - begin < LONG_SECONDS):
            ours.append(once(row, row.ours, world))
            if row.peer is not None:
                peers.append(once(row, row.peer, world))
        noisy = differ(peers)
        if not noisy:
            break
    return median(ours), median(peers) if peers else None, noisy


def _world(place: Path, data: str, files: int, file_bytes: int = SMALL_BYTES) -> World:
    per_directory = 1 if data == "scattered" else PER_DIRECTORY
    return World(place / data, files, file_bytes, slow=data == "slow", per_directory=per_directory)


def compare(rows: Sequence[Row], size: str, place: Path, results: list[report.Compared]) -> None:
    """Put into `results` every row at its size, beside its peer."""
    for data, (files, file_bytes) in COMPARED[size].items():
        if all(row.data != data for row in rows):
            continue
        with closing(_world(place, data, files, file_bytes)) as world:
            for row in rows:
                if row.data == data:
                    ours, peer, noisy = alternating(row, world, 1 if size == "tiny" else ROUNDS)
                    note = row.note(world, ours) if row.note else ""
                    results.append(report.Compared(row, files, ours, peer, note, noisy))
                    line = report.aligned(report.compared_table(results[-1:])[1:])
                    print(f"{time.strftime('%H:%M:%S')}  {line}", file=sys.stderr)


def grow(
    rows: Sequence[Row],
    size: str,
    place: Path,
    taken: dict[str, dict[int, Taken]],
    compared: Sequence[report.Compared],
) -> None:
    """Put into `taken` every row at growing numbers of files; what was compared at such a number is taken from there.
    What takes longest comes last."""
    taken.update({row.name: {} for row in rows})
    for each in compared:
        if each.row.name in taken and each.files in GROWING[size]:
            taken[each.row.name][each.files] = each.ours
    for files in (BASE_FILES, *GROWING[size]):
        for data in sorted({row.data for row in rows}):
            left = [row for row in rows if row.data == data and files not in taken[row.name]]
            if not left or (data == "scattered" and files > SCATTERED_MOST):
                continue
            with closing(_world(place / f"grow-{files}", data, files)) as world:
                for row in left:
                    taken[row.name][files] = once(row, row.ours, world)
                    seconds = report.seconds(taken[row.name][files].seconds)
                    print(f"{time.strftime('%H:%M:%S')}  {files:>9,}  {row.name:<16} {seconds}", file=sys.stderr)


@contextmanager
def _alone(directory: Path) -> Iterator[Path]:
    """A place to measure in, while no other bench does in this directory; what one that was killed left is cleared away
    first. Drives of others, which `stats` and plans would look at, are not mounted for what is measured; where that
    can't be, it is said."""
    with open(directory / "bench.lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            sys.exit(f"another bench measures in {directory}")
        for left in directory.glob("bench-*/"):
            clear_away(left)
        for line in Path("/proc/self/mounts").read_text().splitlines():
            drive = Path(line.split()[1])
            with suppress(OSError):
                if (drive / ".medback-target.xml").exists() and not (APART in os.environ and unmount(drive)):
                    print(f"a drive of medback's is mounted at {drive}: `stats` and plans look at it", file=sys.stderr)
        place = Path(tempfile.mkdtemp(prefix="bench-", dir=directory))
        try:
            yield place
        finally:
            clear_away(place)


def _apart() -> None:
    """Go on in a mount table of our own: what others have mounted can be left out, and whatever ends this bench, also
    kill -9, what it has mounted goes with it."""
    if MOUNTS and APART not in os.environ and shutil.which("unshare"):
        words = ["unshare", "--mount", sys.executable, "-m", "bench", *sys.argv[1:]]
        if subprocess.run(["unshare", "--mount", "true"], check=False, stderr=subprocess.DEVNULL).returncode == 0:
            os.execvpe("unshare", words, os.environ | {APART: "1"})


def main() -> int:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--size", choices=COMPARED, default="small")
    names = [row.name for row in ROWS]
    parser.add_argument("--row", action="append", choices=[*names, "app"], help="only this one; app: those of the app")
    parser.add_argument("--growth", action="store_true", help="with --row: at growing numbers of files too")
    parser.add_argument("--minutes", type=int, default=0, help="stop then, and write what was measured")
    parser.add_argument("--dir", type=Path, default=DOCS.parents[1] / ".build", help="a directory on a real disk")
    options = parser.parse_args()
    _apart()
    wanted = {*(options.row or names), *(OF_THE_APP if "app" in (options.row or ()) else ())}
    rows = [row for row in ROWS if row.name in wanted]
    rows = [
        row
        for row in rows
        if (THROTTLES or row.data != "slow")
        and (FORGETS or not (row.cold or row.peer_name in (CP_READ, CP_READ_B3SUM)))
    ]
    load_before = os.getloadavg()[0]
    options.dir.mkdir(parents=True, exist_ok=True)
    for ends in (signal.SIGTERM, signal.SIGALRM):
        signal.signal(ends, lambda *_: sys.exit("stopped"))  # and what is mounted is unmounted
    signal.alarm(60 * options.minutes)
    compared: list[report.Compared] = []
    taken: dict[str, dict[int, Taken]] = {}
    with _alone(options.dir) as place:
        growing = (
            [row for row in rows if row.grows and row.data in ("small", "shelf", "scattered")]
            if options.growth or not options.row
            else []
        )
        try:
            compare([row for row in rows if row.peer or row.seconds_most or row.note], options.size, place, compared)
            if growing:
                grow(growing, options.size, place, taken, compared)
        except (KeyboardInterrupt, SystemExit):
            signal.alarm(0)
            print("\nstopped: what follows was measured before", file=sys.stderr)
        machine = report.machine(place, load_before)
    grown = [
        report.Grown(row, sizes.pop(BASE_FILES), sizes)
        for row in growing
        if BASE_FILES in (sizes := taken.get(row.name, {})) and len(sizes) > 1
    ]
    tables = [table for table in (report.compared_table(compared), report.growth_table(grown)) if len(table) > 1]
    print(machine, *map(report.aligned, tables), sep="\n\n")
    if compared and not options.row and options.size != "tiny":
        report.keep(DOCS, options.size, "\n\n".join(["\n" + machine, *map(report.markdown, tables)]) + "\n\n")
    missed = [f"{each.row.name} {goal}" for each in (*compared, *grown) for goal, met in each.goals() if not met]
    noisy = [each.row.name for each in compared if each.noisy]
    if noisy:
        print("\nnoisy, the peer's runs differ by more than a third: " + ", ".join(noisy))
    if options.size == "tiny":
        print("\nevery row runs; at this size the figures mean nothing")
        return 0
    print("\nnot met: " + "; ".join(missed) if missed else "\nall goals met")
    return 0


if __name__ == "__main__":
    sys.exit(main())
