"""Drives over the years: verify, repair, states, reclaim, prove."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Never

import pytest

from medback_core import disk
from medback_core.presenting.refusals import message, sentence
from medback_core import model
from medback_core.contexts.write import write_restore
from medback_core.contexts.load import add_restore_context
from medback_core.backing_up.discover import discover
from medback_core.errors import Refused
from medback_core.model import Answers, DamageFound, FileDone, Progress, Skipped, TargetState, Warned
from medback_core.upkeep.prove import prove
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.session.gaps import list_gaps
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.sidecar import parse
from medback_core.disk.digests import Reading
from medback_core.drives.sidecars import Recorder
from medback_core.drives.open import set_target
from medback_core.upkeep import verify_as_it_is
from medback_core.upkeep.verify_target import verify
from medback_core.coverage.where_is import where_is
from support.worlds import MTIME, add, back, counted, new_session, photos, rescan, run, tree, write_tree, rot


@pytest.fixture
def world(tmp_path: Path):
    with photos(tmp_path, {"a.txt": 100, "sub/b.bin": 3000}, drives=("t1", "t2")) as made:
        yield made


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
    (gap,) = list_gaps(session, list_sources(session)[0].key)
    assert gap.path == b".medback-damaged" and gap.reason.startswith("damaged files that a repair put aside")


def test_a_copy_that_was_written_to_is_not_told_with_the_time_on_record(world: tuple[Session, Path]) -> None:
    session, tmp = world
    copy = next(path for path in (tmp / "t1/photos").rglob("*") if path.is_file() and path.name != ".medback.xml")
    copy.write_bytes(bytes(byte ^ 1 for byte in copy.read_bytes()))
    (found,) = run(verify(session, os.fsencode(tmp / "t1"))).of(DamageFound)
    assert "time" not in sentence(found.reason) and "not what" in sentence(found.reason)


@pytest.mark.parametrize("keeps_time", [True, False])
def test_what_was_read_and_found_damaged_counts_as_read(world: tuple[Session, Path], keeps_time: bool) -> None:
    session, tmp = world
    copy = tmp / "t1/photos/a.txt"
    rot(copy)
    if not keeps_time:  # then the look at the drive reads it already
        os.utime(copy)
    for _ in range(2):  # found, and on record from then on
        found = run(verify(session, os.fsencode(tmp / "t1"))).summary
        assert (found.checked, found.checked_bytes, found.same) == (2, 3100, 1)
        assert found.damaged + found.changed == 1


@pytest.mark.parametrize("where", ["t1", "photos", "alone"])
def test_a_verify_ends_in_the_middle_of_a_large_file_when_its_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    with photos(tmp_path, {"a": 3 << 20, "b": (3 << 20) + 1}, drives=["t1"]) as (session, _):
        if where == "alone":
            (tmp_path / "t1").rename(tmp_path / "alone")
            (tmp_path / "alone/.medback-target.xml").unlink()
        read = 0

        def update(self: Reading, data: memoryview, plain=Reading.update) -> None:
            nonlocal read
            read += 1
            plain(self, data)

        monkeypatch.setattr(Reading, "update", update)
        monkeypatch.setattr("time.monotonic", lambda: float(read))  # a second for each MiB
        first = run(verify(session, os.fsencode(tmp_path / where), seconds=4)).summary
        assert (first.checked, first.same, first.left, read) == (1, 1, 1, 4)
        if where != "alone":  # what lies on a drive that no session knows is not remembered
            second = run(verify(session, os.fsencode(tmp_path / where), seconds=1)).summary
            assert (second.checked, second.checked_bytes, second.left) == (1, (3 << 20) + 1, 0), (
                "the first is read whole"
            )


def test_a_verify_goes_on_where_it_stopped_and_then_begins_anew(world: tuple[Session, Path]) -> None:
    session, tmp = world
    for where in (os.fsencode(tmp / "t1"), os.fsencode(tmp / "photos")):
        first = run(verify(session, where, max_bytes=50)).summary
        assert (first.checked, first.left) == (1, 1)
        rest = run(verify(session, where, max_bytes=50)).summary
        assert (rest.checked, rest.left) == (1, 0) and first.checked_bytes + rest.checked_bytes == 3100
        assert run(verify(session, where)).summary.checked == 2


def test_a_verify_that_was_cancelled_goes_on_where_it_was(world: tuple[Session, Path]) -> None:
    session, tmp = world
    steps = verify(session, os.fsencode(tmp / "t1"))
    next(event for event in steps if isinstance(event, FileDone))
    steps.close()  # type: ignore[attr-defined]
    assert run(verify(session, os.fsencode(tmp / "t1"))).summary.checked == 1


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


def test_a_copy_medback_did_not_put_there_is_never_surplus(world: tuple[Session, Path]) -> None:
    session, tmp = world
    write_tree(tmp / "t3", {"mine.txt": (tmp / "photos/a.txt").read_bytes()})
    run(discover(session, os.fsencode(tmp / "t3"), answers=Answers(create=True)))
    assert counted(session) == {2: 1, 3: 1}
    assert run(reclaim(session, "t3", surplus=True)).summary.freed == 0 and (tmp / "t3/mine.txt").exists()


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


def test_prove_tells_damage_from_two_contents_of_one_md5(world: tuple[Session, Path]) -> None:
    session, tmp = world
    rot(tmp / "photos/a.txt")
    ran = run(prove(session))
    assert ran.summary.differing == 1 and ran.summary.compared == 3
    (found,) = ran.of(DamageFound)
    assert found.path == os.fsencode(tmp / "photos/a.txt") and found.reason.what == "other-md5"


def test_when_a_source_was_last_read_survives_a_lost_session(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    day = 86_400
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
    assert run(verify(session, os.fsencode(tmp / "photos/sub"))).summary.checked == 1
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000 + 10 * day)
    for lost in (False, True):
        other = open_session(tmp / f"other{lost}.db") if lost else session
        add(other, tmp / "photos")
        assert run(verify(other, os.fsencode(tmp / "photos"), older_than=20 * day)).summary.checked == 1 - lost
    with open_session(tmp / "third.db") as third:
        add(third, tmp / "photos")
        write_tree(tmp / "photos", {"sub/b.bin": b"changed"}, mtime_ns=MTIME + 10**9)
        rescan(third)
        assert run(verify(third, os.fsencode(tmp / "photos"), older_than=20 * day)).summary.checked == 1


def test_a_verify_of_a_directory_reads_all_that_lies_below_it(tmp_path: Path) -> None:
    with new_session(tmp_path) as session:
        write_tree(tmp_path / "photos", {"a": 10, "sub/b": 20, "sub/deep/c": 30, "sub/deep/er/d": 40, "subway/e": 50})
        add(session, tmp_path / "photos")
        assert run(verify(session, os.fsencode(tmp_path / "photos/sub"))).summary.checked == 3


def test_a_verify_of_a_source_that_is_not_there_is_refused(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "photos").rename(tmp / "elsewhere")
    (tmp / "photos").mkdir()
    with pytest.raises(Refused) as refused:
        run(verify(session, os.fsencode(tmp / "photos")))
    assert refused.value.kind == "not-mounted"


def test_what_is_excluded_is_not_new(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": 1, "b.tmp": 2, "cache/c": 3})
    session = new_session(tmp_path)
    add(session, tmp_path / "photos", excludes=["*.tmp", "cache/"])
    assert run(verify(session, os.fsencode(tmp_path / "photos"))).summary.new == 0


def test_a_damaged_source_file_that_was_edited_since_is_left_alone(world: tuple[Session, Path]) -> None:
    session, tmp = world
    rot(tmp / "photos/a.txt")
    run(verify(session, os.fsencode(tmp / "photos")))
    write_tree(tmp / "photos", {"a.txt": b"edited"}, mtime_ns=MTIME + 10**9)
    assert run(repair(session, os.fsencode(tmp / "photos"))).summary.unrepairable == 1
    assert (tmp / "photos/a.txt").read_bytes() == b"edited"


def test_known_damage_is_told_until_it_is_right_again(world: tuple[Session, Path]) -> None:
    session, tmp = world
    good = (tmp / "t1/photos/a.txt").read_bytes()
    rot(tmp / "t1/photos/a.txt")
    for _ in range(2):
        assert run(verify(session, os.fsencode(tmp / "t1"))).summary.damaged == 1
    write_tree(tmp / "t1/photos", {"a.txt": good})
    found = run(verify(session, os.fsencode(tmp / "t1"))).summary
    assert (found.damaged, found.same) == (0, 2) and counted(session) == {2: 2}


def test_a_suspect_drive_is_active_again_when_a_round_ends_clean(world: tuple[Session, Path]) -> None:
    session, tmp = world
    target = list_targets(session)[0]
    run(verify(session, os.fsencode(tmp / "t1"), max_bytes=50))
    set_target(session, target.id, state=TargetState.SUSPECT)  # what was read before says nothing any more
    states = []
    for _ in range(2):
        run(verify(session, os.fsencode(tmp / "t1"), max_bytes=50))
        states.append(list_targets(session)[0].state)
    assert states == [TargetState.SUSPECT, TargetState.ACTIVE]


def test_a_suspect_drive_with_damage_stays_suspect_until_a_whole_clean_round(world: tuple[Session, Path]) -> None:
    session, tmp = world
    target = list_targets(session)[0]
    set_target(session, target.id, state=TargetState.SUSPECT)
    rot(tmp / "t1/photos/a.txt")
    run(verify(session, os.fsencode(tmp / "t1"), max_bytes=50))
    run(repair(session, os.fsencode(tmp / "t1")))
    run(verify(session, os.fsencode(tmp / "t1"), max_bytes=50))
    assert list_targets(session)[0].state is TargetState.SUSPECT
    run(verify(session, os.fsencode(tmp / "t1")))
    assert list_targets(session)[0].state is TargetState.ACTIVE


def test_a_target_was_last_verified_when_its_oldest_check_was(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    assert all(target.verified_at for target in list_targets(session))  # it was read back
    later = 1_900_000_000
    monkeypatch.setattr(model, "now", lambda: later)
    first = list_targets(session)[0].verified_at
    run(verify(session, os.fsencode(tmp / "t1"), max_bytes=50))
    assert list_targets(session)[0].verified_at == first
    run(verify(session, os.fsencode(tmp / "t1"), max_bytes=50))
    assert list_targets(session)[0].verified_at == later
    write_tree(tmp / "photos", {"new": 10})
    back(session, tmp / "t1", verify=False)
    assert list_targets(session)[0].verified_at is None


def test_a_check_dated_in_the_future_is_none(world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    session, tmp = world
    for where in ("t1", "photos"):
        monkeypatch.setattr(model, "now", lambda: 3_000_000_000)
        run(verify(session, os.fsencode(tmp / where)))
        monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
        assert run(verify(session, os.fsencode(tmp / where), older_than=86_400)).summary.checked == 2


def refusing(recorder: Recorder) -> None:
    """A drive that takes no sidecar any more."""
    if len(recorder):
        raise OSError(errno.EIO, "Input/output error")


def test_a_failing_drive_that_takes_no_marks_still_loses_its_copies(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    rot(tmp / "t1/photos/a.txt")
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "commit", refusing)
        ran = run(verify(session, os.fsencode(tmp / "t1")))
    assert ran.summary.damaged == 1 and any("can't take all" in message(warning) for warning in ran.of(Warned))
    assert counted(session) == {1: 1, 2: 1}
    assert run(repair(session, os.fsencode(tmp / "t1"))).summary.repaired == 1
    assert counted(session) == {2: 2}


def test_what_a_failing_drive_could_not_be_told_is_not_believed_again(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    old = old_version(session, tmp)
    rot(old)
    with monkeypatch.context() as patch:
        patch.setattr(Recorder, "commit", refusing)
        assert run(verify(session, os.fsencode(tmp / "t1"))).summary.damaged == 1
    back(session, tmp / "t1")
    gone = where_is(session, [b"a.txt"], source="photos", deleted=True)
    assert [copy.target.label for file in gone for copy in file.copies] == ["t2"]


def test_older_versions_are_found_and_brought_back(world: tuple[Session, Path]) -> None:
    session, tmp = world
    before = (tmp / "photos/a.txt").read_bytes()
    write_tree(tmp / "photos", {"a.txt": b"second"}, mtime_ns=MTIME + 10**9)
    (tmp / "photos/sub/b.bin").unlink()
    back(session, tmp / "t1")
    gone = {file.path: file for file in where_is(session, [b""], source="photos", deleted=True)}
    assert gone.keys() == {b"a.txt", b"sub/b.bin"} and all(file.gone_at for file in gone.values())
    assert gone[b"a.txt"].copies[0].path == b".medback-old/photos/a.txt"
    found = run(restore(session, str(tmp / "t1"), deleted=True)).summary
    assert (found.restored, found.conflicts) == (1, 0)  # an older version is brought back only where it is named
    assert (tmp / "photos/a.txt").read_bytes() == b"second" and (tmp / "photos/sub/b.bin").exists()
    ran = run(restore(session, str(tmp / "t1"), deleted=True, path=b"a.txt", conflict="rename"))
    assert ran.summary.restored == 1
    assert sorted(content for path, (content, _) in tree(tmp / "photos").items() if path.startswith(b"a")) == sorted(
        [before, b"second"]
    )


def test_a_full_drive_says_what_could_be_freed_for_what_has_too_few_copies(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": 1000, "b": 1000})
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    for drive in ("t1", "t2", "t3"):
        assert back(session, tmp_path / drive, capacity=2000).summary.reclaimable_bytes == 0
    write_tree(tmp_path / "photos", {"c": 900})
    found = back(session, tmp_path / "t3").summary
    assert (found.full, found.remaining, found.surplus_bytes, found.reclaimable_bytes) == (True, 1, 2000, 2000)
    assert run(reclaim(session, "t3", surplus=True)).summary.freed_bytes == 2000
    assert back(session, tmp_path / "t3", fill=False).summary.copied == 1
    assert counted(session) == {1: 1, 2: 2}


def test_older_versions_that_are_the_last_copy_of_something_named_are_not_called_reclaimable(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": 1000})
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    back(session, tmp_path / "t1")
    write_tree(tmp_path / "photos", {"a": b"new"}, mtime_ns=MTIME + 10**9)
    assert back(session, tmp_path / "t1").summary.reclaimable_bytes == 1000
    write_tree(tmp_path / "photos", {"again": (tmp_path / "t1/.medback-old/photos/a").read_bytes()})
    assert back(session, tmp_path / "t1", limit=0).summary.reclaimable_bytes == 0


def test_rot_met_by_a_session_that_knew_nothing_stays_on_record_for_a_repair(world: tuple[Session, Path]) -> None:
    """As after a verify that withdrew a copy and was ended before it could say so on the drive."""
    session, tmp = world
    rot(tmp / "t1/photos/a.txt")
    with session.transaction() as db:
        db.execute("DELETE FROM copy")
    run(verify(session, os.fsencode(tmp / "t1")))
    assert parse((tmp / "t1/photos/.medback.xml").read_bytes()).files[b"a.txt"].damaged is not None
    assert run(repair(session, os.fsencode(tmp / "t1"))).summary.repaired == 1


def old_version(session: Session, tmp: Path) -> Path:
    """An older version of a.txt, alone on t1; returns where."""
    write_tree(tmp / "photos", {"a.txt": b"new"}, mtime_ns=MTIME + 10**9)
    back(session, tmp / "t1")
    set_target(session, "t2", state=TargetState.LOST)
    return tmp / "t1/.medback-old/photos/a.txt"


def test_an_older_version_that_is_wanted_again_goes_only_when_enough_verified_copies_stay(
    world: tuple[Session, Path],
) -> None:
    session, tmp = world
    content = (tmp / "photos/a.txt").read_bytes()
    write_tree(tmp / "photos", {"a.txt": b"new"}, mtime_ns=MTIME + 10**9)
    back(session, tmp / "t1")
    write_tree(tmp / "photos", {"again.txt": content})
    rescan(session)
    assert run(reclaim(session, "t1", old=True)).summary.freed == 0  # two copies are wanted, t2 has but one
    back(session, tmp / "t3", verify=False)
    assert run(reclaim(session, "t1", old=True)).summary.freed == 0
    run(verify(session, os.fsencode(tmp / "t3")))
    assert run(reclaim(session, "t1", old=True)).summary.freed == 1


def test_what_is_only_expected_keeps_its_last_copy(world: tuple[Session, Path]) -> None:
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "context.xml"))
    old = old_version(session, tmp)
    run(add_restore_context(session, os.fsencode(tmp / "context.xml"), replace=True))
    found = run(reclaim(session, "t1", old=True)).summary
    assert (found.freed, found.kept) == (0, 1) and old.exists()


def test_what_another_machines_context_names_keeps_its_last_copy(world: tuple[Session, Path]) -> None:
    session, tmp = world
    write_tree(tmp / "attic", {"same.txt": (tmp / "photos/a.txt").read_bytes()})
    with open_session(tmp / "other.db") as other:
        add(other, tmp / "attic")
        assert back(other, tmp / "t1").summary.copied == 0  # it lies there already
    old = old_version(session, tmp)
    found = run(reclaim(session, "t1", old=True)).summary
    assert (found.freed, found.kept) == (0, 1) and old.exists()


def test_a_file_that_was_changed_after_the_preview_is_not_freed(world: tuple[Session, Path]) -> None:
    session, tmp = world
    old = old_version(session, tmp)
    steps = reclaim(session, "t1", old=True)
    next(event for event in steps if isinstance(event, Progress) and event.phase == "reclaiming")
    old.write_bytes(b"!" * 100)
    assert run(steps).summary.freed == 0 and old.read_bytes() == b"!" * 100


def test_a_dry_run_of_reclaim_frees_nothing(world: tuple[Session, Path]) -> None:
    session, tmp = world
    old = old_version(session, tmp)
    found = run(reclaim(session, "t1", old=True, dry_run=True)).summary
    assert found.paths == (os.fsencode(old),) and old.exists()


def test_older_versions_take_of_the_capacity_after_a_lost_session_too(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": 1000})
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    back(session, tmp_path / "t1", capacity=2500)
    write_tree(tmp_path / "photos", {"a": b"new" * 300}, mtime_ns=MTIME + 10**9)
    back(session, tmp_path / "t1")
    with open_session(tmp_path / "other.db") as other:
        add(other, tmp_path / "photos")
        write_tree(tmp_path / "photos", {"b": 900})
        found = back(other, tmp_path / "t1").summary
        assert (found.copied, found.full) == (0, True)


@pytest.mark.parametrize("taken_from", [None, "t1"])
def test_after_a_rebuild_a_copy_on_a_plugged_in_drive_is_good_for_a_repair(
    world: tuple[Session, Path], taken_from: str | None
) -> None:
    session, tmp = world
    good = (tmp / "photos/a.txt").read_bytes()
    rot(tmp / "photos/a.txt")
    session.close()
    for file in tmp.glob("session.db*"):
        file.unlink()
    with new_session(tmp) as again:
        run(rebuild(again, [os.fsencode(tmp / "photos")]))
        assert run(verify(again, os.fsencode(tmp / "photos"))).summary.damaged == 1
        ran = run(repair(again, os.fsencode(tmp / "photos"), from_target=taken_from and str(tmp / taken_from)))
        assert ran.summary.repaired == 1, ran
    assert (tmp / "photos/a.txt").read_bytes() == good


def test_a_drive_mounted_elsewhere_since_a_rebuild_is_good_for_a_repair(world: tuple[Session, Path]) -> None:
    session, tmp = world
    good = (tmp / "photos/a.txt").read_bytes()
    rot(tmp / "photos/a.txt")
    run(verify(session, os.fsencode(tmp / "photos")))
    (tmp / "t1").rename(tmp / "elsewhere")
    assert run(repair(session, os.fsencode(tmp / "photos"), from_target=str(tmp / "elsewhere"))).summary.repaired == 1
    assert (tmp / "photos/a.txt").read_bytes() == good


def _spoil_identity(drive: Path, how: str) -> None:
    file = drive / ".medback-target.xml"
    file.unlink() if how == "gone" else file.write_bytes(b"" if how == "empty" else bytes(512))


@pytest.mark.parametrize(("number", "doubted"), [(errno.EACCES, 0), (errno.EIO, 1)])
def test_what_this_person_may_not_read_of_a_drive_that_does_not_say_who_it_is_is_no_damage(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch, number: int, doubted: int
) -> None:
    session, tmp = world
    _spoil_identity(tmp / "t1", "gone")

    def refused(*_: object) -> Never:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(verify_as_it_is, "read_in_time", refused)
    ran = run(verify(session, os.fsencode(tmp / "t1")))
    assert ran.summary.unreadable == 2 and len(ran.of(Skipped)) == 2 * (1 - doubted)
    assert [warned.what for warned in ran.of(Warned)].count("drive-in-doubt") == doubted
    assert counted(session) == ({1: 2} if doubted else {2: 2})


@pytest.mark.parametrize("how", ["empty", "garbage", "gone"])
@pytest.mark.parametrize("wrong", ["missing", "damaged"])
def test_what_a_drive_that_does_not_say_who_it_is_lacks_stops_counting(
    world: tuple[Session, Path], how: str, wrong: str
) -> None:
    session, tmp = world
    _spoil_identity(tmp / "t1", how)
    run(verify(session, os.fsencode(tmp / "t1")))
    assert counted(session) == {2: 2}  # all is there
    (tmp / "t1/photos/a.txt").unlink() if wrong == "missing" else rot(tmp / "t1/photos/a.txt")
    ran = run(verify(session, os.fsencode(tmp / "t1")))
    assert getattr(ran.summary, wrong) == 1 and [warned.what for warned in ran.of(Warned)].count("drive-in-doubt") == 1
    assert counted(session) == {1: 2}
    assert [target.state for target in list_targets(session)] == [TargetState.SUSPECT, TargetState.ACTIVE]
    with pytest.raises(Refused, match="not-active"):  # but it says again who it is
        back(session, tmp / "t1", answers=Answers(same_drive=True))
    run(verify(session, os.fsencode(tmp / "t1")))
    assert counted(session) == {1: 2}
    run(repair(session, os.fsencode(tmp / "t1")))
    run(verify(session, os.fsencode(tmp / "t1")))
    assert list_targets(session)[0].state is TargetState.ACTIVE
    assert counted(session) == {2: 2} if wrong == "damaged" else counted(session) == {1: 1, 2: 1}


def test_another_drive_that_does_not_say_who_it_is_says_nothing_of_the_one_that_was_there(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    true = disk.describe
    first = true(os.fsencode(tmp)).uuid or "the first"
    monkeypatch.setattr(disk, "describe", lambda path: replace(true(path), uuid=first))
    run(verify(session, os.fsencode(tmp / "t1")))  # a file system in memory has none of its own
    _spoil_identity(tmp / "t1", "garbage")
    (tmp / "t1/photos/a.txt").unlink()
    monkeypatch.setattr(disk, "describe", lambda path: replace(true(path), uuid="another"))
    assert run(verify(session, os.fsencode(tmp / "t1"))).summary.missing == 1
    assert counted(session) == {2: 2}


def test_files_a_person_swapped_are_not_counted_below_nothing(tmp_path: Path) -> None:
    """On a drive that was filled by hand each of the two is no longer what its record says, and is found again."""
    write_tree(tmp_path / "photos", {"a": 3000, "b": 500})
    shutil.copytree(tmp_path / "photos", tmp_path / "t1/photos")
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        run(discover(session, os.fsencode(tmp_path / "t1"), answers=Answers(create=True)))
        for name, to in (("a", "c"), ("b", "a"), ("c", "b")):
            (tmp_path / "t1/photos" / name).rename(tmp_path / "t1/photos" / to)
        found = run(verify(session, os.fsencode(tmp_path / "t1"))).summary
    assert (found.new, found.same, found.left) == (0, 2, 0)
