"""Cases of a life with drives that no module of its own shows: each was, or could be, somebody's loss."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core import disk, model
from medback_core.backing_up.back_up import back_up
from medback_core.backing_up.discover import discover
from medback_core.model import Answers, DamageFound, Skipped
from medback_core.upkeep.reclaim import reclaim
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.upkeep.verify_target import verify
from support.sync_modes import FILE_BY_FILE, go
from support.worlds import MTIME, add, back, counted, new_session, rescan, run, tree, write_tree


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Session, Path]]:
    with new_session(tmp_path) as session:
        yield session, tmp_path


@pytest.mark.parametrize(
    ("way", "reason"), [(FILE_BY_FILE, "changed-while-copied"), ("by a worker, then again alone", "changed-since-scan")]
)
def test_a_file_that_changes_while_it_is_copied_is_skipped_and_copied_the_next_time(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch, way: str, reason: str
):
    session, tmp = world
    if way == FILE_BY_FILE:
        go(way, monkeypatch)
    else:
        monkeypatch.setattr(disk.Root, "spins", False)  # it may, where there is no disk at all: in memory
    write_tree(tmp / "photos", {"a": 3 << 20, "b": 100})
    add(session, tmp / "photos")

    def edit(op: str, *_details: object) -> None:
        if op == "write" and (tmp / "t1/photos").exists():
            with open(tmp / "photos/a", "r+b") as stream:
                stream.seek((3 << 20) - 10)
                stream.write(b"edited")

    (tmp / "t1").mkdir()
    disk.set_observer(edit)
    try:
        ran = run(back_up(session, os.fsencode(tmp / "t1"), answers=Answers(create=True)))
    finally:
        disk.set_observer(None)
    (skipped,) = ran.of(Skipped)
    assert skipped.path == os.fsencode(tmp / "photos/a") and skipped.reason.what == reason
    assert set(tree(tmp / "t1/photos")) == {b"b"} and not list((tmp / "t1").rglob(".medback-tmp-*"))
    assert counted(session) == {0: 1, 1: 1}
    back(session, tmp / "t1")
    assert tree(tmp / "t1/photos") == tree(tmp / "photos")


def test_a_file_that_changed_since_the_scan_is_skipped_and_no_damage(world: tuple[Session, Path]):
    session, tmp = world
    write_tree(tmp / "photos", {"a": 100, "b": 200})
    add(session, tmp / "photos")
    write_tree(tmp / "photos", {"a": b"!" * 100}, mtime_ns=MTIME + 10**9)
    ran = back(session, tmp / "t1", update_first=False)
    (skipped,) = ran.of(Skipped)
    assert skipped.path == os.fsencode(tmp / "photos/a") and skipped.reason.what == "changed-since-scan"
    assert not ran.of(DamageFound) and counted(session) == {0: 1, 1: 1}
    assert back(session, tmp / "t1").summary.copied == 1
    assert tree(tmp / "t1/photos") == tree(tmp / "photos")


def test_two_machines_with_a_source_of_one_name_share_a_drive(tmp_path: Path):
    """Two folders, and the context on the drive tells of both."""
    for machine, size in (("one", 100), ("two", 200)):
        write_tree(tmp_path / machine / "photos", {"a": size, "only " + machine: size + 1})
        with open_session(tmp_path / machine / "session.db") as session:
            add(session, tmp_path / machine / "photos")
            back(session, tmp_path / "t1")
    with open_session(tmp_path / "one/session.db") as session:
        back(session, tmp_path / "t1")  # and the first one again, over what the second wrote
    for machine, folder in (("one", "photos"), ("two", "photos-2")):
        assert tree(tmp_path / "t1" / folder) == tree(tmp_path / machine / "photos")
    assert not (tmp_path / "t1/.medback-old").exists()
    context = (tmp_path / "t1/.medback-context.xml").read_bytes()
    assert context.count(b"<rc ") == 2 and b"only one" in context and b"only two" in context
    for machine in ("one", "two"):
        original = tree(tmp_path / machine / "photos")
        with open_session(tmp_path / machine / "session.db") as session:
            for name in original:
                os.unlink(tmp_path / machine / "photos" / os.fsdecode(name))
            run(restore(session, os.fspath(tmp_path / "t1")))
        assert tree(tmp_path / machine / "photos") == original


def test_a_target_that_is_a_hard_linked_twin_of_the_source_costs_the_source_nothing(world: tuple[Session, Path]):
    session, tmp = world
    write_tree(tmp / "photos", {"a": 100, "sub/b": 200, "c": 300})
    for name in tree(tmp / "photos"):
        twin = tmp / "t1/photos" / os.fsdecode(name)
        twin.parent.mkdir(parents=True, exist_ok=True)
        os.link(tmp / "photos" / os.fsdecode(name), twin)
    add(session, tmp / "photos")
    run(discover(session, os.fsencode(tmp / "t1"), answers=Answers(create=True)))
    write_tree(tmp / "photos", {"d": 400})
    back(session, tmp / "t1")
    os.unlink(tmp / "t1/photos/d")  # as a tool that saves room does with equal files of one disk
    os.link(tmp / "photos/d", tmp / "t1/photos/d")
    os.rename(tmp / "photos/d", tmp / "photos/moved")
    write_tree(tmp / "photos", {"d": b"another d"})
    with open(tmp / "photos/a", "r+b") as stream:  # edited in place, and so its twin
        stream.write(b"edited")
    os.utime(tmp / "photos/a", ns=(MTIME + 10**10, MTIME + 10**10))
    os.unlink(tmp / "photos/c")
    os.replace(_written(tmp / "new", b"a new b"), tmp / "photos/sub/b")
    before = tree(tmp / "photos")
    for _ in range(2):
        back(session, tmp / "t1")
        run(verify(session, os.fsencode(tmp / "t1")))
        run(reclaim(session, os.fspath(tmp / "t1"), old=True, surplus=True))
    run(restore(session, os.fspath(tmp / "t1"), conflict="overwrite"))
    assert tree(tmp / "photos") == before
    back(session, tmp / "t2")
    assert {content for content, _ in tree(tmp / "t2/photos").values()} == {content for content, _ in before.values()}


def _written(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def test_a_clock_that_was_moved_back_and_files_from_the_future(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
):
    session, tmp = world
    future = 4_102_444_800 * 10**9  # the year 2100
    monkeypatch.setattr(model, "now", lambda: 1_900_000_000)
    write_tree(tmp / "photos", {"a": 100, "b": 200}, mtime_ns=future)
    add(session, tmp / "photos")
    back(session, tmp / "t1")
    monkeypatch.setattr(model, "now", lambda: 1_000_000_000)
    write_tree(tmp / "photos", {"b": b"!" * 200}, mtime_ns=MTIME)  # older than what it was, and yet newer
    scan = rescan(session).summary.scans[0]
    assert (scan.hashed, scan.changed, scan.reused) == (1, 1, 1)
    assert back(session, tmp / "t1").summary.copied == 1
    assert tree(tmp / "t1/photos") == tree(tmp / "photos")
    again = back(session, tmp / "t1").summary
    assert (again.copied, again.remaining) == (0, 2)  # two copies are wanted
    assert run(verify(session, os.fsencode(tmp / "t1"))).summary.same >= 2
    assert rescan(session).summary.scans[0].hashed == 0
