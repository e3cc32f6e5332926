"""Twins, two contents of one size and MD5, are told apart by every reading: no damage, no copy, a gap."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from blake3 import blake3

from medback_core.backing_up.discover import discover
from medback_core.coverage.where_is import where_is
from medback_core.model import DamageFound, Skipped, Warned
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.session.gaps import list_gaps
from medback_core.sidecar import parse, render
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.upkeep.verify_target import verify
from support.collision import ONE, TWO
from support.worlds import MTIME, add, back, counted, new_session, rescan, run, tree, write_tree


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with new_session(tmp_path) as session:
        yield session


def gaps(session: Session) -> list[bytes]:
    return [gap.path for gap in list_gaps(session)]


def scanned(session: Session, tmp_path: Path, files: dict[str, bytes] | None = None) -> None:
    write_tree(tmp_path / "photos", {"one": ONE} if files is None else files)
    add(session, tmp_path / "photos")


def test_a_scan_tells_them_apart_and_one_of_them_is_a_gap_until_it_changes(session: Session, tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"one": ONE, "two": TWO})
    ran = add(session, tmp_path / "photos")
    assert [warned for warned in ran.of(Warned) if warned.what == "twin"]
    (gap,) = list_gaps(session)
    assert gap.path in (b"one", b"two") and "twin of photos/" in gap.reason
    sidecar = parse((tmp_path / "photos/.medback.xml").read_bytes())
    digests = {name: record.blake3 for name, record in sidecar.files.items()}
    assert digests == {b"one": blake3(ONE).digest(), b"two": blake3(TWO).digest()}
    assert b"<gap" in (tmp_path / "photos/.medback-source.xml").read_bytes()
    back(session, tmp_path / "t1")
    assert sorted(gaps(session)) == [gap.path], "nor is it forgotten by an update that reads nothing"
    rescan(session)
    assert gaps(session) == [gap.path]
    kept, other = (b"one", b"two") if gap.path == b"two" else (b"two", b"one")
    first = where_is(session, [kept], source="photos")[0].copies
    assert first and where_is(session, [other], source="photos")[0].copies == ()
    write_tree(tmp_path / "photos", {os.fsdecode(gap.path): b"something else"})
    rescan(session)
    assert gaps(session) == []


def test_the_one_that_stays_is_a_gap_no_more_when_the_other_is_gone(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path, {"one": ONE, "two": TWO, **{f"f{n}": b"%d" % n for n in range(10)}})
    (gap,) = gaps(session)
    os.unlink(tmp_path / "photos" / os.fsdecode({b"one": b"two", b"two": b"one"}[gap]))
    rescan(session)
    assert gaps(session) == []
    back(session, tmp_path / "t1")
    assert (tmp_path / "t1/photos" / os.fsdecode(gap)).read_bytes() == (
        tmp_path / "photos" / os.fsdecode(gap)
    ).read_bytes()


def test_neither_comes_back_under_the_name_of_the_other(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path, {"one": ONE, "two": TWO})
    (gap,) = gaps(session)
    kept = {b"one": b"two", b"two": b"one"}[gap]
    back(session, tmp_path / "t1")
    held = {b"one": ONE, b"two": TWO}[kept]
    for name in (b"one", b"two"):
        os.unlink(tmp_path / "photos" / os.fsdecode(name))
    ran = run(restore(session, str(tmp_path / "t1")))
    assert {path: content for path, (content, _) in tree(tmp_path / "photos").items()} == {kept: held}
    (said,) = ran.of(Skipped)
    assert said.path == bytes(tmp_path / "photos") + b"/" + gap and said.reason.what == "twin-not-restored"
    assert (ran.summary.restored, ran.summary.missing, ran.summary.missing_bytes) == (1, 1, len(TWO))
    named = run(restore(session, str(tmp_path / "t1"), path=gap, to=bytes(tmp_path / "out")))
    assert len(named.of(Skipped)) == 1 and named.summary.missing == 1
    assert run(restore(session, str(tmp_path / "t1"), path=kept)).summary.missing == 0
    assert gap not in (tmp_path / "t1/.medback-context.xml").read_bytes()
    assert b'name="' + gap not in (tmp_path / "t1/photos/.medback.xml").read_bytes()


def test_a_copy_that_is_swapped_for_its_twin_is_no_damage_and_no_copy(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "t1", {"photos/one": TWO})
    ran = run(verify(session, os.fsencode(tmp_path / "t1")))
    assert ran.of(DamageFound) == [] and ran.of(Skipped)
    assert (ran.summary.damaged, ran.summary.changed) == (0, 1) and counted(session) == {0: 1}
    record = parse((tmp_path / "t1/photos/.medback.xml").read_bytes()).files[b"one"]
    assert record.damaged is None and record.blake3 == blake3(TWO).digest()
    assert run(repair(session, os.fsencode(tmp_path / "t1"))).summary.repaired == 0
    back(session, tmp_path / "t1")
    assert counted(session) == {1: 1}, "the content has a copy again, beside the twin"
    assert (tmp_path / "t1/photos/one").read_bytes() == TWO, "which was neither moved nor replaced"
    contents = {path.read_bytes() for path in (tmp_path / "t1/photos").glob("one*")}
    assert contents == {ONE, TWO}
    rescan(session)
    back(session, tmp_path / "t1")
    assert counted(session) == {1: 1}


def test_a_new_version_does_not_move_the_twin_that_stands_in_its_place(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "t1", {"photos/one": TWO})
    run(verify(session, os.fsencode(tmp_path / "t1")))
    write_tree(tmp_path / "photos", {"one": b"a new version"})
    rescan(session)
    back(session, tmp_path / "t1")
    assert (tmp_path / "t1/photos/one").read_bytes() == TWO and counted(session) == {1: 1}


def test_a_source_file_that_is_swapped_for_its_twin_is_not_copied_in_its_name(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "photos", {"one": TWO})
    ran = back(session, tmp_path / "t2", update_first=False)
    assert ran.of(DamageFound) == [] and ran.of(Skipped)
    assert not (tmp_path / "t2/photos/one").exists() and gaps(session) == [b"one"]
    assert counted(session) == {1: 1}


def test_a_verify_of_a_source_tells_it(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "photos", {"one": TWO})
    ran = run(verify(session, os.fsencode(tmp_path / "photos")))
    assert ran.of(DamageFound) == [] and ran.of(Skipped) and gaps(session) == [b"one"]
    assert ran.summary.same == 0


def test_a_restore_takes_no_twin_for_the_content(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "t1", {"photos/one": TWO})
    os.unlink(tmp_path / "photos/one")
    ran = run(restore(session, str(tmp_path / "t1")))
    assert ran.summary.missing == 1 and ran.of(DamageFound) == [] and ran.of(Skipped)
    assert not (tmp_path / "photos/one").exists() and counted(session) == {0: 1}
    assert (tmp_path / "t1/photos/one").read_bytes() == TWO


def test_a_restore_leaves_a_twin_that_stands_where_the_content_should(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "photos", {"one": TWO}, mtime_ns=MTIME + 1)
    ran = run(restore(session, str(tmp_path / "t1")))
    assert ran.summary.conflicts == 1 and (tmp_path / "photos/one").read_bytes() == TWO


def test_a_look_and_a_discover_count_no_twin(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "t1", {"photos/one": TWO}, mtime_ns=MTIME + 10**9)
    ran = run(discover(session, os.fsencode(tmp_path / "t1"), rehash=True))
    assert counted(session) == {0: 1} and ran.of(DamageFound) == []
    write_tree(tmp_path / "t2", {"found": TWO})
    back(session, tmp_path / "t2", dry_run=False)
    ran = run(discover(session, os.fsencode(tmp_path / "t2"), rehash=True))
    assert ran.summary.matched == 1, "its own copy alone"
    assert (tmp_path / "t2/found").read_bytes() == TWO


def test_no_twin_repairs_the_content(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    back(session, tmp_path / "t2")
    write_tree(tmp_path / "t2", {"photos/one": TWO})
    write_tree(tmp_path / "t1", {"photos/one": bytes(len(ONE))})
    os.unlink(tmp_path / "photos/one")
    run(verify(session, os.fsencode(tmp_path / "t1")))
    assert run(repair(session, os.fsencode(tmp_path / "t1"))).summary.repaired == 0
    assert (tmp_path / "t1/photos/one").read_bytes() == bytes(len(ONE))


def test_a_session_built_anew_knows_of_them(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path, {"a/one": ONE, "b/two": TWO})
    assert len(gaps(session)) == 1
    with open_session(tmp_path / "anew.db") as again:
        run(rebuild(again, [os.fsencode(tmp_path / "photos")]))
        assert gaps(again), "their records differ"
        rescan(again)
        assert len(gaps(again)) == 1


def test_only_what_this_session_read_is_told_to_be_a_twin(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    with session.transaction() as db:
        db.execute("UPDATE identity SET blake3 = ?, blake3_read = 0", (blake3(TWO).digest(),))
    assert run(verify(session, os.fsencode(tmp_path / "t1"))).summary.same == 1
    assert counted(session) == {1: 1} and gaps(session) == []


def test_a_twin_that_stands_where_the_content_should_go_is_not_adopted(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    write_tree(tmp_path / "t1", {"photos/one": TWO})
    back(session, tmp_path / "t1")
    assert counted(session) == {1: 1} and (tmp_path / "t1/photos/one").read_bytes() == TWO
    assert {path.read_bytes() for path in (tmp_path / "t1/photos").glob("one*")} == {ONE, TWO}


def test_a_look_that_reads_a_twin_counts_it_not_and_says_so_once(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "t1", {"photos/one": TWO}, mtime_ns=MTIME + 10**9)
    sidecar = tmp_path / "t1/photos/.medback.xml"
    there = parse(sidecar.read_bytes())
    there.files[b"one"].mtime_ns = MTIME + 10**9
    sidecar.write_bytes(render(there))
    ran = back(session, tmp_path / "t1")
    assert ran.of(Skipped) and ran.of(DamageFound) == []
    assert (tmp_path / "t1/photos/one").read_bytes() == TWO
    assert {path.read_bytes() for path in (tmp_path / "t1/photos").glob("one*")} == {ONE, TWO}
    assert back(session, tmp_path / "t1").of(Skipped) == []


def test_a_copy_that_was_moved_is_not_found_again_in_its_twin(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    back(session, tmp_path / "t1")
    os.unlink(tmp_path / "t1/photos/one")
    write_tree(tmp_path / "t1", {"elsewhere": TWO})
    run(verify(session, os.fsencode(tmp_path / "t1")))
    assert counted(session) == {0: 1}


def test_no_twin_is_a_witness(session: Session, tmp_path: Path) -> None:
    scanned(session, tmp_path)
    for drive in ("t1", "t2", "t3"):
        back(session, tmp_path / drive, **({"fill": True} if drive == "t3" else {}))
    rescan(session)
    write_tree(tmp_path / "t2", {"photos/one": TWO})
    os.rename(tmp_path / "t3", tmp_path / "away")
    with session.transaction() as db:
        db.execute("UPDATE source SET wanted = 1")
    assert run(reclaim(session, "t1", surplus=True)).summary.freed == 0
    assert (tmp_path / "t1/photos/one").read_bytes() == ONE
