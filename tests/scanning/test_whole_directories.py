"""A scan whose workers list and read whole directories records what one without workers does."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.disk import worker_pool, worker_process, workers
from medback_core.model import Progress, ScanSummary
from medback_core.scanning import compare, record, walk
from medback_core.scanning.compare import Directory, ScanCounts
from medback_core.session.directories import directories_below
from medback_core.session.files import links_in
from medback_core.session.gaps import list_gaps
from medback_core.sidecar.records import FileRecord, Sidecar
from medback_core.sidecar.writing import render
from medback_core.sources.entries import sort_entries
from support.collision import ONE, TWO
from support.mounting import Mounter, mount_fixture  # noqa: F401
from support.scan_world import OLD, World
from support.stored import all_files

NAMES = [b"plain", b"new\nline", b"invalid \xff\xfe", b"\x01control", b"<&>\"'", b".hidden", b"n" * 255]
LONG_AGO = -(10**15)  # how fresh a file may be: a worker reads those of a moment ago too


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are worth starting for one file, and are on any disk; they read files that were just made. What
    they read is recorded at once, before what they left is read."""
    monkeypatch.setattr(worker_pool, "_HERE", 0)
    monkeypatch.setattr(disk.Root, "spins", False)
    monkeypatch.setattr(walk, "FINE_STEP_NS", LONG_AGO)
    monkeypatch.setattr(record, "_READ_FILES", 1)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture(name="taken")
def taken_fixture(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The names of the files that workers read as they listed them."""
    names: list[bytes] = []
    real = walk.apply_read

    def apply_read(directory, rows, tally) -> None:
        names.extend(row[0] for row in rows)
        real(directory, rows, tally)

    monkeypatch.setattr(walk, "apply_read", apply_read)
    return names


def fill(world: World) -> None:
    """A tree of all that a scan may meet."""
    for folder in ("odd", "odd/deeper", "odd/deeper/more"):
        for name in NAMES:
            world.write(f"{folder}/{os.fsdecode(name)}", b"of " + folder.encode() + name)
    world.write("odd/empty", b"")
    world.write("odd/shut", "no permission").chmod(0o000)
    world.write("odd/open", "all permissions").chmod(0o777)
    world.write("odd/before", "before 1970", mtime_ns=-1_500_000_001)
    world.write("odd/after", "after 2262", mtime_ns=9_500_000_000_000_000_001)
    world.write("large/a", bytes(range(256)) * 5000)
    world.write("large/b", b"small beside it")
    world.write("special/file", "x")
    os.mkfifo(world.src / "special" / "fifo")
    os.symlink("file", world.src / "special" / "link")
    os.symlink(b"/no\xffwhere", os.fsencode(world.src / "special" / "dangling"))
    os.link(world.write("hard/a", "one inode"), world.src / "hard" / "b")
    world.write("twins/one", ONE)
    world.write("twins/two", TWO)
    (world.src / "nothing" / "in" / "here").mkdir(parents=True)
    world.write("ours/.medback-context-other.xml", "<x/>")
    world.write("ours/.medback-old/kept", "kept aside")
    world.write("ours/file", "beside them")
    world.write("family/.bkp_id", "x")
    world.write("family/file", "beside it")
    world.write("nearly/.medback-other", "content, whatever it is called")
    world.write("nearly/.mdbackup.xml.txt", "this too")
    told = FileRecord(b"told", 4, OLD, bytes(16))
    world.write("told/told", "what")
    world.write("told/new", "not on record")
    world.write("told/.medback.xml", render(Sidecar({b"told": told})))
    for index in range(60):
        world.write(f"many/{index:02}/file", f"content {index}")
    for folder, _, _ in os.walk(world.src, topdown=False):
        os.utime(folder, ns=(OLD, OLD))


def outcome(world: World, summary: ScanSummary) -> dict[str, object]:
    """All that a scan left behind, but for what no two trees have in common (inodes, ids, dates)."""
    top, source = os.fsencode(world.src), summary.source.key
    sidecars: dict[bytes, bytes] = {}
    for folder, _, names in os.walk(top):
        for name in names:
            if name.startswith(b".medback") and name != b".medback-source.xml":
                path = os.path.join(folder, name)
                sidecars[os.path.relpath(path, top)] = Path(os.fsdecode(path)).read_bytes()
    directories = list(directories_below(world.session, source, None))
    return {
        "rows": {
            (path, row.name): (row.size, row.md5, row.mtime_ns, row.mode, row.trouble, row.inode is None)
            for path, row in all_files(world.session, source)
        },
        "digests": world.session.db.execute(
            "SELECT size, md5, blake3, blake3_read FROM identity ORDER BY 1, 2"
        ).fetchall(),
        "twins": world.session.db.execute("SELECT path, blake3 FROM twin ORDER BY path").fetchall(),
        "sidecars": sidecars,
        "directories": [(d.path, d.mode, d.mtime_ns if d.path else 0) for d in directories],
        "links": {d.path: links_in(world.session, d.key) for d in directories},
        "gaps": [(gap.path, gap.reason) for gap in list_gaps(world.session)],
        "totals": world.session.db.execute(
            "SELECT d.path, r.files, r.bytes FROM rollup r JOIN directory d ON d.id = r.directory_id ORDER BY 1, 2"
        ).fetchall(),
        "summary": (summary.files, summary.bytes, summary.hashed, summary.hashed_bytes, summary.reused, summary.added),
        "events": sorted(
            repr(one).replace(repr(top)[2:-1], "") for one in world.events[:-1] if not isinstance(one, Progress)
        ),
    }


def both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fill: Callable[[World], None], **options
) -> tuple[dict[str, object], dict[str, object]]:
    """What a scan with workers leaves, and one without."""
    found = []
    for name in ("with", "none"):
        (tmp_path / name).mkdir()
        world = World(tmp_path / name)
        fill(world)
        with monkeypatch.context() as patch:
            if name == "none":
                patch.setattr(workers, "HAS_PROCESSES", False)
            found.append(outcome(world, world.add(alias="photos", **options)))
        world.session.close()
    return found[0], found[1]


def test_workers_record_what_this_process_would(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bytes]
) -> None:
    with_workers, without = both(tmp_path, monkeypatch, fill)
    assert with_workers == without
    assert len(taken) > 80
    assert {b"one", b"two", b"empty", *NAMES} <= set(taken)
    assert not {b"told", b"new", b"kept", b"before", b"after"} & set(taken)


def test_where_a_rule_leaves_something_out_this_process_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bytes]
) -> None:
    with_workers, without = both(tmp_path, monkeypatch, fill, excludes=["hard/*"])
    assert with_workers == without
    assert not taken


def test_what_is_mounted_inside_is_judged_by_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bytes], mount: Mounter
) -> None:
    def filled(world: World) -> None:
        fill(world)
        mount("-t", "tmpfs", "none", point=world.src / "odd" / "deeper" / "memory")
        world.write("odd/deeper/memory/unread", "a file in memory")
        world.write("beside/file", "of a directory mounted twice")
        mount("--bind", str(world.src / "beside"), point=world.src / "hard" / "again")
        for folder in ("odd/deeper/memory", "odd/deeper", "beside", "hard"):
            os.utime(world.src / folder, ns=(OLD, OLD))

    with_workers, without = both(tmp_path, monkeypatch, filled)
    assert with_workers == without
    assert b"unread" not in taken
    assert b"one" in taken


def test_workers_that_die_leave_all_to_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bytes]
) -> None:
    real = workers.Worker.ask

    def ask(worker: workers.Worker, *request) -> bool:
        os.kill(worker.pid, signal.SIGKILL)
        return real(worker, *request)

    monkeypatch.setattr(workers.Worker, "ask", ask)
    with_workers, without = both(tmp_path, monkeypatch, fill)
    assert with_workers == without
    assert not taken


def test_more_than_one_message_has_room_for_is_asked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bytes]
) -> None:
    def wide(world: World) -> None:
        for folder in range(6):
            for index in range(700):
                world.write(f"{folder}/{index}", b"%d of %d" % (index, folder))
        for index in range(2100):
            world.write(f"wider/{index}", b"")
        for folder, _, _ in os.walk(world.src, topdown=False):
            os.utime(folder, ns=(OLD, OLD))

    with_workers, without = both(tmp_path, monkeypatch, wide)
    assert with_workers == without
    assert len(taken) == 6 * 700, "the widest is listed here"


def test_a_file_that_was_just_written_is_left_to_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: list[bytes]
) -> None:
    monkeypatch.setattr(walk, "FINE_STEP_NS", 10**15)
    with_workers, without = both(tmp_path, monkeypatch, fill)
    assert with_workers == without
    assert not taken


def test_a_directory_that_moved_into_a_new_source_is_not_read(world: World, taken: list[bytes]) -> None:
    world.fill([f"{folder}/{index}" for folder in "abc" for index in range(20)])
    world.add()
    assert len(taken) == 60
    other = world.base / "other"
    other.mkdir()
    (world.src / "a").rename(other / "a")
    (other / "a" / ".medback.xml").unlink()
    summary = world.add(other)
    assert (summary.hashed, summary.reused) == (0, 20)
    assert len(taken) == 60


def test_what_an_interrupted_scan_has_recorded_is_not_read_again(world: World, taken: list[bytes]) -> None:
    world.fill([f"{folder}/{index}" for folder in "abc" for index in range(20)])
    world.add()
    for rehash in (False, True):
        for sidecar in world.src.rglob(".medback.xml"):
            sidecar.unlink()
        world.session.db.execute("UPDATE source SET scanned_at = NULL")
        summary = world.update(rehash=rehash)
        assert (summary.hashed, summary.removed, len(taken)) == (60 * rehash, 0, 60)


def test_a_file_of_a_coarse_clock_that_just_changed_is_read_again(world: World) -> None:
    looked, now = 1_700_000_001_000_000_000, 1_700_000_000_500_000_000
    rows = [
        (b"%d" % ctime, 1, bytes(16), OLD, 0o644, 1, 1, ctime, 0, bytes(32)) for ctime in (now, now + 1, OLD - 10**12)
    ]
    directory = Directory(b"", None, looked)
    compare.apply_read(directory, rows, ScanCounts())
    assert [row[7] for row in directory.decided.puts] == [None, now + 1, OLD - 10**12]


# --- in a worker -----------------------------------------------------------------------------------------------------


def read(directory: Path, name: bytes = b"d", fresh: int = LONG_AGO) -> tuple[int, list[tuple], list[tuple]]:
    parent = os.open(directory, os.O_RDONLY)
    try:
        return worker_process.read_directories([parent], [[(name, fresh)]])[0][0]
    finally:
        os.close(parent)


@pytest.mark.parametrize("change", ["append", "rewrite keeping size and mtime"])
def test_a_file_that_changes_while_it_is_read_gets_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    (tmp_path / "d").mkdir()
    for name in ("a", "b"):
        (tmp_path / "d" / name).write_bytes(b"x" * 100)
        os.utime(tmp_path / "d" / name, ns=(OLD, OLD))
    path = tmp_path / "d" / "b"
    real = os.read

    def reading(fd: int, size: int) -> bytes:
        data = real(fd, size)
        if os.fstat(fd).st_ino == path.stat().st_ino:
            path.write_bytes(b"y" * (101 if change == "append" else 100))
            os.utime(path, ns=(OLD, OLD))
        return data

    before = path.stat()
    monkeypatch.setattr(worker_process.os, "read", reading)
    _, rows, others = read(tmp_path)
    assert [row[0] for row in rows] == [b"a"]
    assert [(name, os.stat_result(*status)) for name, *status in others] == [(b"b", before)]


def test_a_message_has_room_for_so_many_files(tmp_path: Path) -> None:
    for folder in ("a", "b", "c"):
        (tmp_path / folder).mkdir()
        for index in range(300):
            (tmp_path / folder / str(index)).write_bytes(b"x")
    parent = os.open(tmp_path, os.O_RDONLY)
    try:
        told = worker_process.read_directories(
            [parent, parent], [[(b"a", LONG_AGO), (b"b", LONG_AGO)], [(b"c", LONG_AGO)]]
        )
    finally:
        os.close(parent)
    assert [[len(one[1]) for one in part] for part in told] == [[300, 300], [0]]
    assert told[1] == [worker_process.NOT_BEGUN]


def test_a_directory_of_files_that_were_read_is_not_empty() -> None:
    listing = sort_entries([], [(b"a", 1, bytes(16), OLD, 0o644, 1, 1, OLD, 0, None)])
    assert not listing.empty
    assert listing.names() == {b"a"}


def test_a_link_is_no_directory_and_what_is_fresh_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a").write_bytes(b"x")
    os.symlink("real", tmp_path / "d")
    assert read(tmp_path) == worker_process.NOT_READ
    assert read(tmp_path, b"missing") == worker_process.NOT_READ
    _, rows, others = read(tmp_path, b"real", 10**15)
    assert (rows, [name for name, *_ in others]) == ([], [b"a"])
