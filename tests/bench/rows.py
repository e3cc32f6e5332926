"""The table of all that is measured: what it is called, what is run, on what, against whom, with which goal."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .measure import Taken, run
from .world import HERE, World

Argv = list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that is measured. `ours` and `peer` prepare the world, untimed, and give the command line to time."""

    name: str
    what: str
    ours: Callable[[World], Argv]
    data: str = "small"  # small files, large files, large ones on "slow" drives, a made-up "shelf" of drives, or small
    # files "scattered" over as many directories
    leaves: str = ""  # the state the world is in afterwards
    peer: Callable[[World], Argv] | None = None
    peer_name: str = ""
    ratio_most: float | None = None
    prints: str = ""  # the seconds are those the command prints under this name, not those of the whole process
    seconds_most: float | None = None
    memory_mb_most: float | None = None
    grows: bool = True  # measured at growing numbers of files too
    cold: bool = False  # the kernel remembers no file when it begins, on either side
    note: Callable[[World, Taken], str] | None = None
    holds: Callable[[Taken], bool] | None = None  # what else must be true of its output


# --- ours ------------------------------------------------------------------------------------------------------------


def _scan(world: World) -> Argv:
    world.be("new")
    return world.medback("add-src", world.source)


def _rescan(world: World) -> Argv:
    world.be("scanned")
    return world.medback("update")


def _verify(world: World) -> Argv:
    world.be("backed-up")
    return world.medback("verify", world.drive)


def _target(*options: str) -> Callable[[World], Argv]:
    def argv(world: World) -> Argv:
        world.be("scanned")
        world.clear(world.drive)
        return world.medback("target", world.drive, "--no-update", *options)

    return argv


def _restore(world: World) -> Argv:
    world.be("backed-up")
    world.clear(world.copy)
    return world.medback("restore", world.drive, "--to", world.copy)


def _discover(world: World) -> Argv:
    world.be("scanned")
    return world.medback("discover", world.foreign(), "--init")


def _rebuild(world: World) -> Argv:
    world.be("backed-up")
    return world.medback("rebuild", world.source, world.drive)


def _write_context(world: World) -> Argv:
    return world.medback("write-restore", world.home / "written.xml", session=world.shelf())


def _read_context(world: World) -> Argv:
    world.clear(world.place / "elsewhere")
    return world.medback("add-restore-context", world.context(), session=world.place / "elsewhere/session.db")


def _on_shelf(*words: str) -> Callable[[World], Argv]:
    return lambda world: world.medback(*words, session=world.shelf())


def _plan_random(world: World) -> Argv:
    return world.medback("plan", "--all", "--json", session=world.shelf(random_triples=True))


def _plan_at_places(world: World) -> Argv:
    return world.medback("plan", "--all", "--json", session=world.shelf_at_places())


def _coverage_at_places(world: World) -> Argv:
    return [sys.executable, str(HERE / "probe.py"), "every", str(world.shelf_at_places())]


def _probe(what: str) -> Callable[[World], Argv]:
    return lambda world: [sys.executable, str(HERE / "probe.py"), what, str(world.shelf())]


# --- peers -----------------------------------------------------------------------------------------------------------


def _md5sum(world: World) -> Argv:
    return ["sh", "-c", _hash_all(world, world.plain())]


def _hash_all(world: World, directory: Path) -> str:
    each = min(500, -(-world.files // 8))  # few large files: both processes have some
    return f"find '{directory}' -type f -print0 | xargs -0 -n {each} -P 2 md5sum > /dev/null"


def _md5sum_of_drive(world: World) -> Argv:
    world.be("backed-up")
    return ["sh", "-c", _hash_all(world, world.drive)]


def _md5sum_of_foreign(world: World) -> Argv:
    return ["sh", "-c", _hash_all(world, world.foreign())]


def _cat_drive(world: World) -> Argv:
    world.be("backed-up")
    return ["sh", "-c", f"find '{world.drive}' -type f -exec cat {{}} + > /dev/null"]


def _find(world: World) -> Argv:
    return ["sh", "-c", f"find '{world.plain()}' -printf '%s %T@ %i\\n' > /dev/null"]


def _walk(world: World) -> Argv:
    return [sys.executable, str(HERE / "probe.py"), "walk", str(world.plain())]


def _cp(world: World) -> Argv:
    world.clear(world.copy)
    return ["sh", "-c", f"cp -a '{world.plain()}' '{world.copy}' && sync"]


def _cp_md5sum(world: World) -> Argv:
    argv = _cp(world)
    argv[2] += " && " + _hash_all(world, world.copy)
    return argv


def _cp_read(world: World) -> Argv:
    """As it must be done to learn what the drive holds, not what the kernel remembers."""
    argv = _cp(world)
    argv[2] += " && echo 1 > /proc/sys/vm/drop_caches && " + _hash_all(world, world.copy)
    return argv


def _cp_read_b3sum(world: World) -> Argv:
    argv = _cp(world)
    b3sum = f"'{sys.executable}' '{HERE / 'probe.py'}' b3sum '{world.copy}'"
    argv[2] += f" && echo 1 > /proc/sys/vm/drop_caches && {b3sum}"
    return argv


# --- words -----------------------------------------------------------------------------------------------------------


def _plan_note(*, random_triples: bool) -> Callable[[World, Taken], str]:
    def note(world: World, taken: Taken) -> str:
        plan = json.loads(taken.out)
        shelf = str(world.shelf(random_triples=random_triples))
        printed = run([sys.executable, str(HERE / "probe.py"), "fullest", shelf]).out.split()
        exact = "exact" if plan["exact"] else f"not exact ({plan['why']})"
        return f"{printed[1]} groups, {len(plan['steps'])} drives, {exact}; {printed[3]} by the fullest next"

    return note


def _every_note(world: World, taken: Taken) -> str:
    printed = dict(line.split(" ") for line in taken.out.splitlines())
    slowest, most = (1000 * float(printed[name]) for name in ("every", "every_99"))
    return f"{int(printed['directories']):,} directories: the slowest {slowest:.2f} ms, 99 of 100 within {most:.2f} ms"


def _plan_exact(taken: Taken) -> bool:
    return json.loads(taken.out)["exact"]


MD5SUM, CP, CP_MD5SUM = "find, md5sum -P2", "cp -a, sync", "cp -a, sync, md5sum of the copy"
CP_READ = "the same, the copy read from the drive"
CP_READ_B3SUM = "cp -a, sync, BLAKE3 of the copy read from the drive"
COLD_MD5SUM = "find, md5sum -P2 of the drive, cold"

ROWS = (
    Row("hash-large", "add-src of large files: both digests", _scan, "large", leaves="scanned", peer=_md5sum, peer_name=MD5SUM,
        ratio_most=1.25),
    Row("target-large", "target of large files, --no-verify", _target("--no-verify"), "large", peer=_cp, peer_name=CP,
        ratio_most=1.15),
    Row("target-large-read", "the same, read back", _target(), "large", leaves="backed-up", peer=_cp_read_b3sum, peer_name=CP_READ_B3SUM,
        ratio_most=1.1),
    Row("verify-large", "verify of large files", _verify, "large", leaves="backed-up", peer=_cat_drive,
        peer_name="cat of the drive, cold", ratio_most=1.1, cold=True),
    Row("restore-large", "restore of large files", _restore, "large", leaves="backed-up", peer=_cp, peer_name=CP, ratio_most=1.15),
    Row("target-slow", "target of large files, --no-verify, a drive of 150 MB/s", _target("--no-verify"), "slow", peer=_cp,
        peer_name=CP, ratio_most=1.1),
    Row("target-slow-read", "the same, read back", _target(), "slow", peer=_cp_read, peer_name=CP_READ, ratio_most=1.1),
    Row("scan", "first scan of small files", _scan, leaves="scanned", peer=_md5sum, peer_name=MD5SUM, ratio_most=2.5),
    Row("rescan", "update, nothing changed", _rescan, leaves="scanned", peer=_walk, peer_name="a stat walk in Python",
        ratio_most=2.5, memory_mb_most=300),
    Row("rescan-find", "the same", _rescan, leaves="scanned", peer=_find, peer_name="a stat walk in C (find)", grows=False),
    Row("target-written", "target of small files, --no-verify", _target("--no-verify"), peer=_cp, peer_name=CP,
        ratio_most=1.5, grows=False),
    Row("target", "target of small files, read back", _target(), leaves="backed-up", peer=_cp_md5sum, peer_name=CP_MD5SUM),
    Row("target-read", "the same", _target(), peer=_cp_read, peer_name=CP_READ, ratio_most=0.7, grows=False),
    Row("verify", "verify of small files", _verify, leaves="backed-up", peer=_md5sum_of_drive, peer_name=COLD_MD5SUM,
        ratio_most=2.0, cold=True),
    Row("restore", "restore of small files", _restore, leaves="backed-up", peer=_cp, peer_name=CP, ratio_most=1.3),
    Row("rebuild", "rebuild from sidecars", _rebuild, leaves="backed-up"),
    Row("scan-scattered", "first scan, one small file in each directory", _scan, "scattered", leaves="scanned",
        peer=_md5sum, peer_name=MD5SUM),
    Row("target-scattered", "target of the same, read back", _target(), "scattered", leaves="backed-up",
        peer=_cp_md5sum, peer_name=CP_MD5SUM),
    Row("restore-scattered", "restore of the same", _restore, "scattered", leaves="backed-up", peer=_cp, peer_name=CP),
    Row("discover", "discover on a drive filled by hand", _discover, peer=_md5sum_of_foreign, peer_name=COLD_MD5SUM,
        ratio_most=2.0, cold=True),
    Row("write-context", "write-restore", _write_context, "shelf"),
    Row("read-context", "add-restore-context into an empty session", _read_context, "shelf"),
    Row("stats", "stats", _on_shelf("stats"), "shelf", seconds_most=0.18),
    Row("what-if", "what-if of every single and pair of 50 targets", _on_shelf("what-if"), "shelf"),
    Row("plan", "plan --all, 50 targets as placed by the tool", _on_shelf("plan", "--all", "--json"), "shelf",
        seconds_most=1.0, note=_plan_note(random_triples=False), holds=_plan_exact),
    Row("plan-lost", "plan, and nothing stands where the files go", _on_shelf("plan", "--json"), "shelf", seconds_most=1.0),
    Row("plan-random", "the same, every file on three targets at random", _plan_random, "shelf", note=_plan_note(random_triples=True)),
    Row("plan-places", "plan --all, 50 targets at 6 places", _plan_at_places, "shelf", seconds_most=1.0,
        holds=_plan_exact),
    Row("coverage-places", "the coverage of each directory there is, at 6 places, with rules: the slowest (processor time)",
        _coverage_at_places, "shelf", prints="every", seconds_most=0.001, note=_every_note),
    Row("coverage", "the coverage of any directory (the slowest of 200)", _probe("coverage"), "shelf",
        prints="coverage", seconds_most=0.05),
    Row("search", "a search by name (the slowest of three)", _probe("search"), "shelf", prints="search", seconds_most=0.2),
    Row("glob", "a search by a glob (the slower of two)", _probe("search"), "shelf", prints="glob", seconds_most=0.2),
    Row("shelf", "what the shelf in the app reads, with its advice (the slowest of 10)", _probe("views"), "shelf", prints="shelf", seconds_most=0.1),
    Row("map", "the map of risk: read and laid out (the slowest of 10)", _probe("views"), "shelf", prints="map", seconds_most=0.1),
    Row("first-frame", "first frame of the app, 80×24", _probe("app"), "shelf", prints="first_frame",
        seconds_most=0.5, memory_mb_most=150),
    Row("from-start", "the same, from the start of the process", _probe("app"), "shelf", prints="from_start",
        seconds_most=1.0),
    Row("list", "its widest directory sorted, filtered, scrolled in the app: the slowest", _probe("list"), "shelf",
        prints="list", seconds_most=0.2, memory_mb_most=150),
    Row("open-directory", "opening a directory in the app", _probe("app"), "shelf", prints="open_directory",
        seconds_most=0.05),
    Row("key", "a key to its repaint while a job hashes", _probe("app"), "shelf", prints="key", seconds_most=0.05,
        grows=False),
    Row("help", "medback --help", lambda world: world.medback("--help"), "shelf", seconds_most=0.12, grows=False),
)  # fmt: skip

# What the app promises of any number of files: `--row=app` is all of these.
OF_THE_APP = ("search", "glob", "shelf", "map", "first-frame", "from-start", "list", "open-directory", "key")
