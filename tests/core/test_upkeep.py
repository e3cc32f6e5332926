"""Drives over the years: verify, repair, states, reclaim, prove."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medback_core.model import DamageFound, TargetState
from medback_core.prove import prove
from medback_core.reclaim import reclaim
from medback_core.repair import repair
from medback_core.session import Session, list_targets
from medback_core.sidecar import parse
from medback_core.targets import set_target
from medback_core.verify import verify
from worlds import MTIME, add, back, counted, new_session, rescan, run, tree, write_tree


@pytest.fixture
def world(tmp_path: Path):
    write_tree(tmp_path / "photos", {"a.txt": 100, "sub/b.bin": 3000})
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    back(session, tmp_path / "t1")
    back(session, tmp_path / "t2")
    yield session, tmp_path
    session.close()


def rot(path: Path) -> None:
    """Other bytes, the same size and time."""
    times = path.stat().st_mtime_ns
    path.write_bytes(b"?" * path.stat().st_size)
    os.utime(path, ns=(times, times))


def test_a_sound_drive_is_all_same_and_its_dates_are_kept(world: tuple[Session, Path]) -> None:
    session, tmp = world
    found = run(verify(session, os.fsencode(tmp / "t1"))).summary
    assert (found.checked, found.same, found.damaged, found.missing, found.new) == (2, 2, 0, 0, 0)
    assert parse((tmp / "t1/photos/.medback.xml").read_bytes()).files[b"a.txt"].verified


def test_rot_on_a_drive_stops_counting_everywhere_and_is_repaired(world: tuple[Session, Path]) -> None:
    session, tmp = world
    rot(tmp / "t1/photos/a.txt")
    ran = run(verify(session, os.fsencode(tmp / "t1")))
    assert ran.summary.damaged == 1 and ran.of(DamageFound)
    assert counted(session) == {1: 1, 2: 1}
    here = parse((tmp / "photos/.medback.xml").read_bytes()).files[b"a.txt"]
    assert len(here.bds) == 1
    assert run(repair(session, os.fsencode(tmp / "t1"))).summary.repaired == 1
    assert (tmp / "t1/photos/a.txt").read_bytes() == (tmp / "photos/a.txt").read_bytes()
    assert counted(session) == {2: 2}
    assert any(content == b"?" * 100 for content, _ in tree(tmp / "t1", metadata=True).values())


def test_a_rotten_source_file_is_repaired_from_a_drive(world: tuple[Session, Path]) -> None:
    session, tmp = world
    good = (tmp / "photos/a.txt").read_bytes()
    rot(tmp / "photos/a.txt")
    assert run(verify(session, os.fsencode(tmp / "photos"))).summary.damaged == 1
    assert run(repair(session, os.fsencode(tmp / "photos"))).summary.repaired == 1
    assert (tmp / "photos/a.txt").read_bytes() == good
    assert rescan(session).summary.scans[0].damaged == 0


def test_a_verify_goes_on_where_it_stopped(world: tuple[Session, Path]) -> None:
    session, tmp = world
    first = run(verify(session, os.fsencode(tmp / "t1"), max_bytes=50)).summary
    assert (first.checked, first.left) == (1, 1)
    assert run(verify(session, os.fsencode(tmp / "t1"))).summary.checked == 2


def test_files_missing_and_new_on_a_drive_are_told(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "t1/photos/a.txt").unlink()
    write_tree(tmp / "t1", {"mine": b"own"})
    found = run(verify(session, os.fsencode(tmp / "t1"))).summary
    assert (found.missing, found.new) == (1, 1)


def test_a_lost_drive_that_turns_up_is_suspect_until_a_clean_verify(world: tuple[Session, Path]) -> None:
    session, tmp = world
    target = list_targets(session)[0]
    set_target(session, target.id, state=TargetState.LOST)
    assert counted(session) == {1: 2}
    run(verify(session, os.fsencode(tmp / "t1")))
    assert list_targets(session)[0].state is TargetState.ACTIVE
    assert counted(session) == {2: 2}


def test_reclaim_frees_old_versions_and_nothing_else(world: tuple[Session, Path]) -> None:
    session, tmp = world
    write_tree(tmp / "photos", {"a.txt": b"new"}, mtime_ns=MTIME + 10**9)
    back(session, tmp / "t1")
    before = tree(tmp / "t1/photos")
    assert run(reclaim(session, str(tmp / "t1"), old=True, dry_run=True)).summary.freed == 1
    assert run(reclaim(session, str(tmp / "t1"), old=True)).summary.freed == 1
    assert tree(tmp / "t1/photos") == before
    assert not [name for name in tree(tmp / "t1", metadata=True) if b"old/photos/a.txt" in name]


def test_surplus_goes_only_while_enough_verified_copies_stay_elsewhere(world: tuple[Session, Path]) -> None:
    session, tmp = world
    assert run(reclaim(session, str(tmp / "t1"), surplus=True)).summary.freed == 0
    back(session, tmp / "t3")
    assert run(reclaim(session, str(tmp / "t1"), surplus=True)).summary.freed == 2
    assert counted(session) == {2: 2}


def test_two_files_of_one_size_and_md5_are_told_apart_by_prove(tmp_path: Path) -> None:
    # The pair published by Wang et al. (2004): 128 bytes each, one MD5.
    one = bytearray.fromhex(
        "d131dd02c5e6eec4693d9a0698aff95c2fcab58712467eab4004583eb8fb7f8955ad340609f4b30283e488832571415a"
        "085125e8f7cdc99fd91dbdf280373c5bd8823e3156348f5bae6dacd436c919c6dd53e2b487da03fd02396306d248cda0"
        "e99f33420f577ee8ce54b67080a80d1ec69821bcb6a8839396f9652b6ff72a70"
    )
    two = bytearray(one)
    for place, bit in ((19, 0x80), (45, 0x80), (59, 0x80), (83, 0x80), (109, 0x80), (123, 0x80)):
        two[place] ^= bit
    write_tree(tmp_path / "s", {"one": bytes(one), "two": bytes(two)})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    ran = run(prove(session))
    assert (ran.summary.compared, ran.summary.differing) == (0, 1) and ran.of(DamageFound)


def test_rot_met_by_a_session_that_knew_nothing_stays_on_record_for_a_repair(world: tuple[Session, Path]) -> None:
    """As after a verify that withdrew a copy and was ended before it could say so on the drive."""
    session, tmp = world
    rot(tmp / "t1/photos/a.txt")
    with session.transaction() as db:
        db.execute("DELETE FROM copy")
    run(verify(session, os.fsencode(tmp / "t1")))
    assert parse((tmp / "t1/photos/.medback.xml").read_bytes()).files[b"a.txt"].damaged is not None
    assert run(repair(session, os.fsencode(tmp / "t1"))).summary.repaired == 1
