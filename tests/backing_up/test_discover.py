"""Discover: what already lies on a drive counts once it was read, and nothing counts that was not."""

from __future__ import annotations

import hashlib
import os
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from support.killing import killed_after
from support.saying import says
from medback_core.presenting.refusals import message
from medback_core import disk, hashing
from medback_core.backing_up.discover import discover
from medback_core.errors import NeedsAnswer, Refused
from medback_core.model import Answers, DamageFound, Excluded, Progress, Skipped, Standing, Warned
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.targets import add_pending, find_target, list_targets, pending_for
from medback_core.sidecar import FileRecord, Sidecar, parse, render
from support.worlds import MTIME, Ran, add, back, counted, new_session, rescan, run, tree, write_tree, rot

FILES = {"a.txt": 100, "sub/b.bin": 3000, "sub/deep/c": 5000, "empty": 0}


@pytest.fixture
def world(tmp_path: Path):
    write_tree(tmp_path / "photos", FILES)
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    shutil.copytree(tmp_path / "photos", tmp_path / "rsync/old/stuff", ignore=shutil.ignore_patterns(".medback*"))
    write_tree(tmp_path / "rsync", {"unknown.iso": 700})
    yield session, tmp_path
    session.close()


def find(session: Session, drive: Path, **options: Any) -> Ran:
    return run(discover(session, os.fsencode(drive), **options))


def copies(session: Session) -> dict[bytes | None, Standing]:
    (target,) = list_targets(session)
    return {copy.path: copy.standing for _, copy in copies_on(session, target.key)}


def test_what_matches_counts_as_copied_and_nothing_on_the_drive_is_changed(world):
    session, tmp = world
    before = tree(tmp / "rsync")
    summary = find(session, tmp / "rsync", answers=Answers(create=True)).summary
    assert (summary.files, summary.matched, summary.matched_bytes) == (5, 4, 8100)
    assert (summary.newly_marked, summary.unknown) == (4, 1)
    assert counted(session) == {1: 4}
    assert tree(tmp / "rsync") == before
    assert set(copies(session).values()) == {Standing.VERIFIED}
    here = parse((tmp / "photos/sub/.medback.xml").read_bytes())
    assert [bd.target for bd in here.files[b"b.bin"].bds] == [summary.target.id]


def test_a_second_time_nothing_is_read_and_nothing_is_new(world, reads):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    assert len(reads) == 5
    summary = find(session, tmp / "rsync").summary
    assert len(reads) == 5
    assert (summary.files, summary.matched, summary.newly_marked, summary.unknown) == (5, 4, 0, 1)


def test_a_dry_run_writes_nothing_anywhere(world):
    session, tmp = world
    before, db = tree(tmp / "rsync", metadata=True), list(session.db.iterdump())
    summary = find(session, tmp / "rsync", dry_run=True).summary
    assert (summary.files, summary.matched, summary.newly_marked, summary.unknown) == (5, 4, 4, 1)
    assert tree(tmp / "rsync", metadata=True) == before
    assert list(session.db.iterdump()) == db


def test_without_a_word_no_drive_becomes_a_target(world):
    session, tmp = world
    with pytest.raises(NeedsAnswer):
        find(session, tmp / "rsync")
    assert not list_targets(session) and not (tmp / "rsync/.medback-target.xml").exists()
    with pytest.raises(Refused, check=says("inside")):
        find(session, tmp / "photos/sub", answers=Answers(create=True))


def test_unknown_content_counts_without_reading_when_a_source_has_it(world, reads):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    shutil.copy2(tmp / "rsync/unknown.iso", tmp / "photos/now known.iso")
    rescan(session, "photos")
    assert counted(session) == {1: 5}
    del reads[:]
    assert find(session, tmp / "rsync").summary.matched == 5 and not reads


def test_one_content_at_several_paths_is_one_copy(world):
    session, tmp = world
    shutil.copytree(tmp / "rsync/old", tmp / "rsync/again")
    summary = find(session, tmp / "rsync", answers=Answers(create=True)).summary
    assert (summary.files, summary.matched, summary.newly_marked) == (9, 8, 4)
    assert {path for path in copies(session) if path and b"unknown" not in path} == {
        b"again/stuff/a.txt", b"again/stuff/sub/b.bin", b"again/stuff/sub/deep/c", b"again/stuff/empty",
    }  # fmt: skip
    kept = copies(session)
    find(session, tmp / "rsync")
    assert copies(session) == kept


def test_the_copy_medback_put_there_is_the_one_that_counts(world):
    session, tmp = world
    back(session, tmp / "t1")
    shutil.copytree(tmp / "t1/photos", tmp / "t1/a first path", ignore=shutil.ignore_patterns(".medback*"))
    kept = copies(session)
    assert find(session, tmp / "t1").summary.files == 8
    assert copies(session) == kept
    for name in ("session.db", "session.db-wal", "session.db-shm"):
        (tmp / name).unlink(missing_ok=True)
    with new_session(tmp) as fresh:
        add(fresh, tmp / "photos")
        find(fresh, tmp / "t1", rehash=True)
        assert set(copies(fresh)) == set(kept)


def test_when_the_known_place_is_damaged_a_further_one_takes_over(world):
    session, tmp = world
    back(session, tmp / "t1")
    shutil.copy2(tmp / "t1/photos/a.txt", tmp / "t1/a copy")
    (tmp / "t1/photos/.medback.xml").unlink()
    rot(tmp / "t1/photos/a.txt")
    find(session, tmp / "t1")
    assert copies(session)[b"a copy"] is Standing.VERIFIED
    assert counted(session) == {1: 4}


def test_files_moved_by_hand_are_found_again_and_deleted_ones_withdrawn(world):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    os.rename(tmp / "rsync/old", tmp / "rsync/moved")
    (tmp / "rsync/moved/stuff/a.txt").unlink()
    ran = find(session, tmp / "rsync")
    assert ran.of(Warned) and ran.summary.matched == 3
    assert counted(session) == {0: 1, 1: 3}
    assert all(path.startswith((b"moved/", b"unknown")) for path in copies(session) if path)
    assert b"a.txt" not in parse((tmp / "rsync/moved/stuff/.medback.xml").read_bytes()).files


def test_a_drives_own_records_are_believed_by_nobody(world, reads):
    session, tmp = world
    good = (tmp / "photos/a.txt").read_bytes()
    (tmp / "liar").mkdir()
    (tmp / "liar/a.txt").write_bytes(b"!" * 100)
    os.utime(tmp / "liar/a.txt", ns=(MTIME, MTIME))
    record = FileRecord(b"a.txt", 100, MTIME, hashlib.md5(good).digest(), ours=True, verified=1_700_000_000)
    absent = FileRecord(b"b.bin", 3000, MTIME, hashlib.md5((tmp / "photos/sub/b.bin").read_bytes()).digest())
    (tmp / "liar/.medback.xml").write_bytes(render(Sidecar({b"a.txt": record, b"b.bin": absent})))
    ran = find(session, tmp / "liar", answers=Answers(create=True))
    assert ran.summary.matched == 0 and ran.of(DamageFound)
    assert reads == [b"a.txt"] and counted(session) == {0: 4}


def test_rehash_finds_damage_and_withdraws_it(world, reads):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    rot(tmp / "rsync/old/stuff/a.txt")
    assert not find(session, tmp / "rsync").of(DamageFound)
    ran = find(session, tmp / "rsync", rehash=True)
    (damage,) = ran.of(DamageFound)
    assert damage.path == os.fsencode(tmp / "rsync/old/stuff/a.txt")
    assert counted(session) == {0: 1, 1: 3}


def test_a_file_touched_since_is_read_again(world, reads):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    del reads[:]
    os.utime(tmp / "rsync/old/stuff/a.txt")
    find(session, tmp / "rsync")
    assert reads == [b"a.txt"] and counted(session) == {1: 4}


def test_one_bad_entry_is_listed_and_its_copy_stays(world, monkeypatch):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    really = hashing.open_for_reading

    def refuse(directory: int | None, name: bytes) -> int:
        if name == b"a.txt":
            raise OSError(5, "Input/output error")
        return really(directory, name)

    monkeypatch.setattr(hashing, "open_for_reading", refuse)
    ran = find(session, tmp / "rsync", rehash=True)
    assert [event.path for event in ran.of(Skipped)] == [os.fsencode(tmp / "rsync/old/stuff/a.txt")]
    assert counted(session) == {1: 4}


def test_an_unreadable_directory_withdraws_nothing(world, monkeypatch):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    really = disk.Root.scan

    def scan(self: disk.Root, rel: bytes):
        if rel == b"old/stuff/sub":
            raise PermissionError(13, "Permission denied")
        return really(self, rel)

    monkeypatch.setattr(disk.Root, "scan", scan)
    ran = find(session, tmp / "rsync")
    assert len(ran.of(Skipped)) == 1 and counted(session) == {1: 4}


def test_links_fifos_and_other_mounts_are_not_entered(world):
    session, tmp = world
    os.symlink(tmp / "photos", tmp / "rsync/link")
    os.symlink(tmp / "photos/a.txt", tmp / "rsync/old/stuff/link")
    os.mkfifo(tmp / "rsync/fifo")
    ran = find(session, tmp / "rsync", answers=Answers(create=True))
    assert ran.summary.files == 5 and not ran.of(Skipped)
    assert [event.path for event in ran.of(Excluded)] == [os.fsencode(tmp / "rsync/fifo")]


def test_a_drive_with_no_room_for_records_is_still_taken_up(world, monkeypatch):
    session, tmp = world

    def full(op: str, *details: Any) -> None:
        if (
            op == "write"
            and b"<dr v=" in bytes(details[1])
            and b"rsync" in os.readlink(f"/proc/self/fd/{details[0]}".encode())
        ):
            raise OSError(28, "No space left on device")

    disk.set_observer(full)
    try:
        ran = find(session, tmp / "rsync", answers=Answers(create=True))
    finally:
        disk.set_observer(None)
    assert any("records" in message(event) for event in ran.of(Warned))
    assert counted(session) == {1: 4}


def test_what_waited_for_the_drive_is_settled(world):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    (target,) = list_targets(session)
    (identity, copy) = next(iter(copies_on(session, target.key)))
    assert identity and copy.path is not None
    add_pending(session, target.key, [(copy.identity, copy.path)])
    find(session, tmp / "rsync")
    assert not pending_for(session, target.key)


def test_tags_and_further_knowledge_of_records_stay(world):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    where = tmp / "rsync/old/stuff/.medback.xml"
    sidecar = parse(where.read_bytes())
    sidecar.files[b"a.txt"].tags = ("keep",)
    where.write_bytes(render(sidecar))
    find(session, tmp / "rsync", rehash=True)
    assert parse(where.read_bytes()).files[b"a.txt"].tags == ("keep",)


def test_a_damaged_sidecar_on_the_drive_is_kept_aside(world):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    where = tmp / "rsync/old/stuff/.medback.xml"
    where.write_bytes(where.read_bytes()[:150])
    find(session, tmp / "rsync")
    assert list((tmp / "rsync/old/stuff").glob(".medback.xml.damaged-*"))
    assert counted(session) == {1: 4} and set(parse(where.read_bytes()).files) == {b"a.txt", b"empty"}


def test_a_sidecar_with_something_odd_in_it_is_written_anew(world, reads):
    session, tmp = world
    find(session, tmp / "rsync", answers=Answers(create=True))
    where = tmp / "rsync/old/stuff/.medback.xml"
    whole = where.read_bytes()
    where.write_bytes(whole.replace(b"</dr>", b"<<< </dr>"))
    del reads[:]
    find(session, tmp / "rsync")
    assert where.read_bytes() == whole and not reads
    assert list((tmp / "rsync/old/stuff").glob(".medback.xml.damaged-*"))


def test_what_lies_there_is_made_durable_before_it_counts(world):
    session, tmp = world
    order = []

    def watch(op: str, *details: Any) -> None:
        if op in ("syncfs", "sync_all"):
            order.append("sync")
        elif op == "write" and b"<dr v=" in bytes(details[1]):
            order.append("record")

    disk.set_observer(watch)
    try:
        find(session, tmp / "rsync", answers=Answers(create=True))
    finally:
        disk.set_observer(None)
    assert order[0] == "sync" and "record" in order


def test_another_file_system_mounted_inside_is_left_out(world):
    session, tmp = world
    (tmp / "rsync/inside").mkdir()
    if os.system(f"mount -t tmpfs none '{tmp / 'rsync/inside'}' 2>/dev/null"):
        pytest.skip("mounting is not allowed here")
    try:
        write_tree(tmp / "rsync/inside", {"elsewhere": 10})
        ran = find(session, tmp / "rsync", answers=Answers(create=True))
    finally:
        os.system(f"umount '{tmp / 'rsync/inside'}'")
    assert ran.summary.files == 5
    assert [event.path for event in ran.of(Excluded)] == [os.fsencode(tmp / "rsync/inside")]


def test_a_family_drive_keeps_its_id_and_its_files_are_read(world, reads):
    session, tmp = world
    (tmp / "rsync/.bkp_id").write_text("4f1b6c1e-1111-4222-8333-444455556666")
    (tmp / "rsync/old/stuff/.medorg.xml").write_text(
        '<dr><fr fname="a.txt" mtime="1700000000" size="100" checksum="AAAAAAAAAAAAAAAAAAAAAA"/></dr>'
    )
    before = (tmp / "rsync/old/stuff/.medorg.xml").read_bytes()
    summary = find(session, tmp / "rsync", answers=Answers(create=True)).summary
    assert summary.target.id == "4f1b6c1e-1111-4222-8333-444455556666"
    assert summary.matched == 4 and len(reads) == 5
    assert (tmp / "rsync/old/stuff/.medorg.xml").read_bytes() == before


def test_claims_of_others_end_with_a_look(world):
    from medback_core.contexts.write import write_restore
    from medback_core.contexts.load import add_restore_context

    session, tmp = world
    back(session, tmp / "t1")
    write_restore(session, os.fsencode(tmp / "context.xml"))
    (tmp / "t1/photos/a.txt").unlink()
    with open_session(tmp / "new.db") as fresh:
        run(add_restore_context(fresh, os.fsencode(tmp / "context.xml")))
        summary = find(fresh, tmp / "t1").summary
        assert (summary.matched, summary.newly_marked) == (3, 3)
        target = find_target(fresh, "t1")
        assert {copy.standing for _, copy in copies_on(fresh, target.key)} == {Standing.VERIFIED}
        assert len(list(copies_on(fresh, target.key))) == 3


def test_cancelling_keeps_what_is_recorded_and_running_again_ends_the_same(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("medback_core.backing_up.discover._BATCH", 5)
    monkeypatch.setattr("medback_core.pace.TICK", -1.0)
    files: dict[str | bytes, bytes | int] = {f"d{number // 4}/{number}": 60 for number in range(40)}
    write_tree(tmp_path / "photos", files)
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    shutil.copytree(tmp_path / "photos", tmp_path / "rsync", ignore=shutil.ignore_patterns(".medback*"))
    steps = discover(session, os.fsencode(tmp_path / "rsync"), answers=Answers(create=True))
    for event in steps:
        if isinstance(event, Progress) and event.files > 25:
            break
    steps.close()  # type: ignore[attr-defined]
    some = counted(session)
    assert 10 < some[1] < 40
    assert not list((tmp_path / "rsync").rglob(".medback-tmp*"))
    summary = find(session, tmp_path / "rsync").summary
    assert (summary.matched, summary.newly_marked) == (40, 40 - some[1])
    session.close()


def test_killed_at_any_change_it_converges(tmp_path: Path):
    number = 0
    while True:
        for stale in ("rsync", "s", "photos"):
            shutil.rmtree(tmp_path / stale, ignore_errors=True)
        (tmp_path / "s").mkdir()
        write_tree(tmp_path / "photos", {"a": 10, "sub/b": 20})
        write_tree(tmp_path / "rsync", {"x/a": (tmp_path / "photos/a").read_bytes(), "x/y/b": 20})
        session = new_session(tmp_path / "s")
        add(session, tmp_path / "photos")
        killed = killed_after(number, partial(find, session, tmp_path / "rsync", answers=Answers(create=True)))
        summary = find(session, tmp_path / "rsync", answers=Answers(create=True)).summary
        assert (summary.files, summary.matched, summary.unknown) == (2, 1, 1), number
        assert counted(session) == {1: 1, 0: 1}
        assert not list((tmp_path / "rsync").rglob(".medback-tmp*"))
        assert len(list_targets(session)) == 1
        session.close()
        if not killed:
            break
        number += 1
    assert number > 5
