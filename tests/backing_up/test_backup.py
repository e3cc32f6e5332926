"""Backing up: what is recorded is there, what is there was never in danger."""

from __future__ import annotations

from typing import Any, cast
import errno
import os
from pathlib import Path

import pytest

from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.disk import group
from medback_core.errors import DriveGone, NeedsAnswer, Refused
from medback_core.model import (
    CONTEXT_NAME,
    Answers,
    BackupSummary,
    DamageFound,
    FileDone,
    Progress,
    Skipped,
    Standing,
    TargetState,
)
from medback_core.pace import Pace
from medback_core.session import Session
from medback_core.session.copies import copies_on
from medback_core.session.files import troubled
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.sidecar import parse
from medback_core.drives.open import set_target
from support.worlds import MTIME, add, back, counted, new_session, photos, run, tree, write_tree

FILES = {"a.txt": 100, "sub/b.bin": 3000, "sub/deep/c": 5000, "empty": 0}


@pytest.fixture
def world(tmp_path: Path):
    with photos(tmp_path, FILES) as made:
        yield made


def test_all_files_arrive_whole_with_their_times(world):
    session, tmp = world
    ran = back(session, tmp / "t1")
    assert (ran.summary.copied, ran.summary.remaining) == (4, 4)  # two copies are wanted
    assert tree(tmp / "t1" / "photos") == tree(tmp / "photos")
    assert counted(session) == {1: 4}
    assert all(copy.standing is Standing.VERIFIED for _, copy in copies_on(session, list_targets(session)[0].key))


def test_what_is_free_on_a_drive_is_told_as_it_is_after_the_copying(world, monkeypatch: pytest.MonkeyPatch):
    session, tmp = world
    copied = tmp / "t1" / "photos" / "a.txt"
    monkeypatch.setattr(disk.Root, "free_bytes", lambda root: 10**11 if copied.exists() else 10**12)
    back(session, tmp / "t1")
    assert list_targets(session)[0].free_bytes == 10**11


def test_a_second_target_makes_them_safe_and_a_third_run_copies_nothing(world):
    session, tmp = world
    back(session, tmp / "t1")
    assert back(session, tmp / "t2").summary.remaining == 0
    again = back(session, tmp / "t1").summary
    assert (again.copied, again.already_there) == (0, 4)
    assert counted(session) == {2: 4}


def test_the_drives_own_sidecars_and_the_sources_say_where_the_copies_are(world):
    session, tmp = world
    back(session, tmp / "t1")
    (target,) = list_targets(session)
    there = parse((tmp / "t1/photos/sub/.medback.xml").read_bytes())
    assert there.files[b"b.bin"].ours and there.files[b"b.bin"].verified
    here = parse((tmp / "photos/sub/.medback.xml").read_bytes())
    assert [bd.target for bd in here.files[b"b.bin"].bds] == [target.id]


def test_without_verify_a_copy_is_written_not_verified(world):
    session, tmp = world
    back(session, tmp / "t1", verify=False)
    standings = {copy.standing for _, copy in copies_on(session, list_targets(session)[0].key)}
    assert standings == {Standing.WRITTEN}
    assert counted(session) == {1: 4}


def test_one_content_under_two_names_is_stored_once(tmp_path):
    write_tree(tmp_path / "s", {"one": b"same", "two/three": b"same"})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    assert back(session, tmp_path / "t").summary.copied == 1
    assert len(tree(tmp_path / "t")) == 1
    assert counted(session) == {1: 2}


def test_the_fewest_copies_go_first_then_the_largest(tmp_path):
    write_tree(tmp_path / "s", {f"f{size}": size * 1000 for size in (1, 2, 3, 4)})
    session = new_session(tmp_path)
    add(session, tmp_path / "s", copies=1)
    back(session, tmp_path / "t1", capacity=4500)
    assert set(tree(tmp_path / "t1/s")) == {b"f4"}
    ran = back(session, tmp_path / "t2", capacity=5500)
    assert set(tree(tmp_path / "t2/s")) == {b"f3", b"f2"}
    assert ran.summary.full and ran.summary.remaining == 1


def test_what_does_not_fit_leaves_room_for_the_next_that_does(tmp_path):
    write_tree(tmp_path / "s", {"big": 9000, "small": 1000})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    assert back(session, tmp_path / "t", capacity=2000).summary.copied == 1
    assert set(tree(tmp_path / "t/s")) == {b"small"}


def test_limit_bounds_one_run_only(world):
    session, tmp = world
    assert back(session, tmp / "t1", limit=5000).summary.copied_bytes <= 5000
    assert back(session, tmp / "t1").summary.already_there >= 1
    assert counted(session) == {1: 4}


def test_no_fill_leaves_what_is_safe_alone(world):
    session, tmp = world
    back(session, tmp / "t1")
    back(session, tmp / "t2")
    assert back(session, tmp / "t3", fill=False).summary.copied == 0
    assert back(session, tmp / "t3").summary.copied == 4


def test_a_dry_run_changes_nothing(world):
    session, tmp = world
    back(session, tmp / "t1")
    before = tree(tmp / "t1", metadata=True)
    ran = back(session, tmp / "t1", dry_run=True)
    assert tree(tmp / "t1", metadata=True) == before
    write_tree(tmp / "photos", {"new": 10})
    assert back(session, tmp / "t1", dry_run=True, update_first=False).summary.copied == 0
    ran = back(session, tmp / "t1", dry_run=True)
    assert [os.path.basename(path) for path in ran.summary.would_copy] == [b"new"]
    assert not (tmp / "t1/photos/new").exists()


def test_a_dry_run_reckons_with_a_capacity_and_sets_none(world):
    session, tmp = world
    back(session, tmp / "t1", limit=1)
    before = list_targets(session)
    summary = run(back_up(session, os.fsencode(tmp / "t1"), dry_run=True, capacity=4000, label="Other")).summary
    assert (summary.copied, summary.full) == (2, True)
    assert [(t.label, t.capacity, t.rev) for t in list_targets(session)] == [
        (t.label, t.capacity, t.rev) for t in before
    ]


def test_a_dry_run_onto_what_is_no_target_yet_makes_it_none(world):
    session, tmp = world
    ran = back(session, tmp / "t1", dry_run=True)
    assert ran.summary.copied == 4
    assert list((tmp / "t1").iterdir()) == [] and list_targets(session) == []


def test_a_file_that_rotted_is_reported_and_not_copied(world):
    session, tmp = world
    path = tmp / "photos/a.txt"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(MTIME, MTIME))
    ran = back(session, tmp / "t1", update_first=False)
    assert ran.of(DamageFound) and ran.summary.copied == 3
    (source,) = list_sources(session)
    assert [path for path, _ in troubled(session, source.key)] == [b"a.txt"]


def test_a_rotten_twin_is_passed_over_for_a_good_one(tmp_path):
    write_tree(tmp_path / "s", {"a": b"good", "b": b"good"})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    (tmp_path / "s/a").write_bytes(b"evil")
    os.utime(tmp_path / "s/a", ns=(MTIME, MTIME))
    assert back(session, tmp_path / "t", update_first=False).summary.copied == 1
    assert [content for content, _ in tree(tmp_path / "t").values()] == [b"good"]


def test_a_changed_files_old_version_is_kept_aside_and_still_counts(world):
    session, tmp = world
    back(session, tmp / "t1")
    before = tree(tmp / "photos")[b"a.txt"]
    write_tree(tmp / "photos", {"a.txt": b"new words"}, mtime_ns=MTIME + 10**9)
    ran = back(session, tmp / "t1")
    assert (ran.summary.copied, ran.summary.superseded, ran.summary.reclaimable_bytes) == (1, 1, 100)
    assert (tmp / "t1/photos/a.txt").read_bytes() == b"new words"
    old = tmp / "t1/.medback-old/photos"
    assert tree(old) == {b"a.txt": before}
    assert parse((old / ".medback.xml").read_bytes()).files[b"a.txt"].ours, "the drive knows it too"


def test_the_new_place_of_an_older_version_is_on_record_before_it_moves(world):
    session, tmp = world
    back(session, tmp / "t1")
    write_tree(tmp / "photos", {"a.txt": b"new words"}, mtime_ns=MTIME + 10**9)
    sidecar = tmp / "t1/.medback-old/photos/.medback.xml"
    told = []

    def observe(op, *details):
        if op == "rename_noreplace" and details[1] == b"a.txt":
            told.append(sidecar.exists() and b"a.txt" in parse(sidecar.read_bytes()).files)

    disk.set_observer(observe)
    try:
        back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert told == [True]


def test_a_superseded_file_another_path_still_wants_moves_to_that_path(tmp_path):
    write_tree(tmp_path / "s", {"a": b"shared", "b": b"shared"})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    back(session, tmp_path / "t")
    (stored,) = tree(tmp_path / "t/s")
    (other,) = {b"a", b"b"} - {stored}
    write_tree(tmp_path / "s", {stored: b"changed"}, mtime_ns=MTIME + 10**9)
    back(session, tmp_path / "t")
    assert {name: content for name, (content, _) in tree(tmp_path / "t/s").items()} == {
        stored: b"changed",
        other: b"shared",
    }
    assert counted(session) == {1: 2}


def test_a_file_medback_did_not_put_there_is_never_touched(world):
    session, tmp = world
    write_tree(tmp / "t1", {"photos/a.txt": b"somebody's own"})
    ran = back(session, tmp / "t1")
    assert (tmp / "t1/photos/a.txt").read_bytes() == b"somebody's own"
    assert ran.summary.copied == 4
    assert counted(session) == {1: 4}


def test_a_whole_file_without_a_record_is_adopted(world):
    session, tmp = world
    write_tree(tmp / "t1", {"photos/a.txt": 100})
    content = (tmp / "photos/a.txt").read_bytes()
    (tmp / "t1/photos/a.txt").write_bytes(content)
    ran = back(session, tmp / "t1")
    assert (ran.summary.copied, ran.summary.already_there) == (3, 1)
    assert counted(session) == {1: 4}


def test_adopting_many_files_of_a_directory_writes_its_sidecar_once(tmp_path):
    files = {f"f{number}": number + 1 for number in range(60)}
    write_tree(tmp_path / "s", files)
    write_tree(tmp_path / "t/s", files)
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    written = []
    disk.set_observer(lambda op, *_details: written.append(op) if op == "create" else None)
    try:
        ran = back(session, tmp_path / "t")
    finally:
        disk.set_observer(None)
    assert (ran.summary.copied, ran.summary.already_there) == (0, 60)
    assert len(written) < 20
    assert counted(session) == {1: 60}


def test_a_file_in_the_way_of_a_directory_is_gone_around(world):
    session, tmp = world
    write_tree(tmp / "t1", {"photos/sub": b"a file called sub"})
    back(session, tmp / "t1")
    assert (tmp / "t1/photos/sub").read_bytes() == b"a file called sub"
    assert counted(session) == {1: 4}


def test_a_planted_link_is_not_followed(world):
    session, tmp = world
    (tmp / "outside").mkdir()
    (tmp / "t1/photos").mkdir(parents=True)
    (tmp / "t1/photos/sub").symlink_to(tmp / "outside")
    back(session, tmp / "t1")
    assert list((tmp / "outside").iterdir()) == []
    assert counted(session) == {1: 4}


def test_copies_deleted_by_hand_stop_counting_and_are_made_again(world):
    session, tmp = world
    back(session, tmp / "t1")
    (tmp / "t1/photos/a.txt").unlink()
    assert back(session, tmp / "t1").summary.copied == 1
    assert (tmp / "t1/photos/a.txt").exists()


def test_a_file_moved_in_the_source_is_not_copied_again(world):
    session, tmp = world
    back(session, tmp / "t1")
    os.rename(tmp / "photos/a.txt", tmp / "photos/sub/renamed.txt")
    assert back(session, tmp / "t1").summary.copied == 0
    assert counted(session) == {1: 4}


def test_two_sources_of_one_name_have_two_folders(tmp_path):
    write_tree(tmp_path / "x/photos", {"a": b"one"})
    write_tree(tmp_path / "y/photos", {"a": b"two"})
    session = new_session(tmp_path)
    add(session, tmp_path / "x/photos")
    add(session, tmp_path / "y/photos")
    back(session, tmp_path / "t")
    assert {name: content for name, (content, _) in tree(tmp_path / "t").items()} == {
        b"photos/a": b"one",
        b"photos-2/a": b"two",
    }


def test_making_a_target_is_a_question(world):
    session, tmp = world
    (tmp / "t1").mkdir()
    with pytest.raises(NeedsAnswer) as asked:
        run(back_up(session, os.fsencode(tmp / "t1")))
    assert "--init" in message(asked.value) and list((tmp / "t1").iterdir()) == []


def test_an_unplugged_drives_mount_point_is_not_made_a_target(world):
    session, tmp = world
    back(session, tmp / "t1")
    os.rename(tmp / "t1", tmp / "drawer")
    (tmp / "t1").mkdir()
    with pytest.raises(NeedsAnswer) as asked:
        run(back_up(session, os.fsencode(tmp / "t1"), answers=Answers(yes=True)))
    assert asked.value.kind == "not-plugged-in" and list((tmp / "t1").iterdir()) == []


def test_a_drive_that_goes_away_under_way_ends_it_and_nothing_more_is_recorded(world):
    session, tmp = world
    (tmp / "t1").mkdir()
    with pytest.raises(DriveGone):
        for event in back_up(session, os.fsencode(tmp / "t1"), answers=Answers(yes=True)):
            if isinstance(event, Progress) and event.phase == "copying" and not (tmp / "drawer").exists():
                os.rename(tmp / "t1", tmp / "drawer")
                (tmp / "t1").mkdir()
    assert list((tmp / "t1").iterdir()) == [] and counted(session) == {0: 4}
    (tmp / "t1").rmdir()
    os.rename(tmp / "drawer", tmp / "t1")
    back(session, tmp / "t1")
    assert counted(session) == {1: 4}


def test_a_clone_is_asked_about_never_guessed(world):
    session, tmp = world
    back(session, tmp / "t1")
    os.system(f"cp -a {tmp}/t1 {tmp}/t2")
    with pytest.raises(NeedsAnswer) as asked:
        run(back_up(session, os.fsencode(tmp / "t2"), answers=Answers(yes=True, create=True)))
    assert asked.value.kind == "clone"
    run(back_up(session, os.fsencode(tmp / "t2"), answers=Answers(new_id=True)))
    assert len(list_targets(session)) == 2 and counted(session) == {2: 4}


@pytest.mark.parametrize("where", ["photos", "photos/sub", "."])
def test_a_target_that_overlaps_a_source_is_refused(world, where):
    session, tmp = world
    before = tree(tmp, metadata=True).keys()
    with pytest.raises(Refused) as refused:
        run(back_up(session, os.fsencode(tmp / where), answers=Answers(yes=True)))
    assert refused.value.kind == "overlap" and tree(tmp, metadata=True).keys() - before <= {b"session.db.lock"}


def test_a_target_that_overlaps_a_source_through_a_link_is_refused(world):
    session, tmp = world
    write_tree(tmp / "music", {"songs/a": 10})
    (tmp / "way to music").symlink_to("music")
    add(session, tmp / "way to music")
    (tmp / "drive").symlink_to("photos/sub")
    for where in ("drive", "music/songs"):
        with pytest.raises(Refused) as refused:
            run(back_up(session, os.fsencode(tmp / where), answers=Answers(yes=True)))
        assert refused.value.kind == "overlap"
    assert not list(tmp.rglob(".medback-target.xml"))


def test_a_drive_that_reads_back_wrong_is_not_believed(world, monkeypatch):
    session, tmp = world
    honest, honest_together = disk.Group.read_back_steps, disk.Group.read_back_small

    def lie(staged, md5):
        return b"\0" * 16 if staged.rel.endswith(b"b.bin") else md5

    def lying(group, staged):
        md5, proven = yield from honest(group, staged)
        return lie(staged, md5), proven

    def lying_together(group, staged):
        for read in honest_together(group, staged):
            yield read and (read[0], lie(read[0], read[1]), read[2])

    monkeypatch.setattr(disk.Group, "read_back_steps", lying)
    monkeypatch.setattr(disk.Group, "read_back_small", lying_together)
    ran = back(session, tmp / "t1")
    assert ran.of(DamageFound) and counted(session) == {0: 1, 1: 3}
    assert not (tmp / "t1/photos/sub/b.bin").exists()


def test_a_full_drive_keeps_what_fits_and_leaves_no_short_file(world):
    session, tmp = world
    write_tree(tmp / "photos", {"sub/deep/with it": 10})

    def full(op, *details):
        if op == "write" and len(details) > 1 and details[1] and len(bytes(details[1])) == 5000:
            raise OSError(errno.ENOSPC, "No space left on device")

    disk.set_observer(full)
    try:
        ran = back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert ran.summary.full and not ran.of(Skipped)
    assert counted(session) == {0: 1, 1: 4}
    assert set(tree(tmp / "t1/photos")) == {b"a.txt", b"sub/b.bin", b"sub/deep/with it", b"empty"}
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))


def test_cancelling_keeps_what_is_done_and_leaves_nothing_half_done(tmp_path, monkeypatch):
    for module in (disk, group):
        monkeypatch.setattr(module, "BATCH_FILES", 300)
    write_tree(tmp_path / "s", {f"d{i % 7}/f{i}": 50 + i for i in range(700)})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    (tmp_path / "t").mkdir()
    steps = back_up(session, os.fsencode(tmp_path / "t"), answers=Answers(yes=True))
    for event in steps:
        if isinstance(event, FileDone) and event.action == "copied":
            break
    cast("Any", steps).close()
    done = counted(session).get(1, 0)
    assert 0 < done < 700
    assert not [name for name in tree(tmp_path / "t", metadata=True) if b"tmp-" in name]
    assert back(session, tmp_path / "t").summary.copied == 700 - done
    assert {c for c, _ in tree(tmp_path / "t/s").values()} == {c for c, _ in tree(tmp_path / "s").values()}


def forty_files_in_batches_of_ten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Session:
    write_tree(tmp_path / "s", {f"d{number % 8}/f{number}": 50 + number for number in range(40)})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(disk.Group, "is_full", property(lambda group: group.staged_count >= 10))
    monkeypatch.setattr(Pace, "is_due", lambda _pace: True)
    return session


def test_cancelled_with_two_batches_under_way_it_leaves_neither(tmp_path, monkeypatch):
    session = forty_files_in_batches_of_ten(tmp_path, monkeypatch)
    steps = back_up(session, os.fsencode(tmp_path / "t"), answers=Answers(yes=True))
    assert any(len(list((tmp_path / "t").rglob(".medback-tmp-*"))) > 10 for _ in steps)
    cast("Any", steps).close()
    assert not list((tmp_path / "t").rglob(".medback-tmp-*"))
    back(session, tmp_path / "t")
    assert counted(session) == {1: 40}


def test_asked_to_end_it_keeps_all_that_is_copied_whole(tmp_path, monkeypatch):
    session = forty_files_in_batches_of_ten(tmp_path, monkeypatch)

    def staged() -> int:
        return len(list((tmp_path / "t").rglob(".medback-tmp-*")))

    def enough() -> bool:
        return bool(asked)

    asked: list[int] = []
    events = []
    for event in back_up(session, os.fsencode(tmp_path / "t"), answers=Answers(yes=True), enough=enough):
        events.append(event)
        if not asked and (there := staged()) > 10:  # two batches are under way
            asked.append(there)
    summary = events[-1]
    assert isinstance(summary, BackupSummary) and summary.stopped
    assert asked[0] <= summary.copied < 40
    assert sum(isinstance(event, FileDone) for event in events) == summary.copied
    assert counted(session) == {1: summary.copied, 0: 40 - summary.copied}
    assert len(tree(tmp_path / "t/s")) == summary.copied and not staged()
    assert (tmp_path / "t" / os.fsdecode(CONTEXT_NAME)).exists(), (
        "the drive may be taken away now, and tells what it holds"
    )
    done = cast("BackupSummary", back(session, tmp_path / "t").summary)
    assert (done.copied, done.already_there, done.stopped) == (40 - summary.copied, summary.copied, False)


@pytest.mark.parametrize("beside", [True, False])
def test_asked_to_end_it_gives_up_the_large_file_under_way(tmp_path, monkeypatch, beside):
    """Copied by a worker, and by this process."""
    write_tree(tmp_path / "s", {"large": 64 << 20})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(Pace, "is_due", lambda _pace: True)
    if not beside:
        monkeypatch.setattr(disk.Root, "spins", True)
    asked: list[bool] = []
    events = []
    for event in back_up(session, os.fsencode(tmp_path / "t"), answers=Answers(yes=True), enough=lambda: bool(asked)):
        events.append(event)
        if isinstance(event, Progress) and event.phase == "copying" and event.current:
            asked.append(True)
    assert isinstance(events[-1], BackupSummary) and events[-1].stopped and events[-1].copied == 0
    assert not list((tmp_path / "t").rglob(".medback-tmp-*")) and not list((tmp_path / "t").rglob("large"))
    back(session, tmp_path / "t")
    assert counted(session) == {1: 1}


def test_asked_to_end_before_it_copies_it_ends_with_nothing(tmp_path):
    write_tree(tmp_path / "s", {"a": 10})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    (tmp_path / "t").mkdir()
    events = list(back_up(session, os.fsencode(tmp_path / "t"), answers=Answers(yes=True), enough=lambda: True))
    assert not any(isinstance(event, BackupSummary) for event in events)
    assert not (tmp_path / "t/s").exists()
    back(session, tmp_path / "t")
    assert counted(session) == {1: 1}


@pytest.mark.parametrize("state", ["retired", "suspect", "lost"])
def test_only_an_active_target_is_written_to(world, state):
    session, tmp = world
    back(session, tmp / "t1")
    set_target(session, list_targets(session)[0].id, state=TargetState(state))
    write_tree(tmp / "photos", {"new": 10})
    with pytest.raises(Refused) as refused:
        back(session, tmp / "t1")
    assert refused.value.kind == "not-active" and not (tmp / "t1/photos/new").exists()


def test_a_second_run_at_the_same_time_is_refused_naming_the_first(world):
    session, tmp = world
    (tmp / "t1").mkdir()
    steps = back_up(session, os.fsencode(tmp / "t1"), answers=Answers(yes=True))
    next(steps)
    with pytest.raises(Refused) as refused:
        run(back_up(session.again(), os.fsencode(tmp / "t1"), answers=Answers(yes=True)))
    assert refused.value.kind == "locked" and str(os.getpid()) in message(refused.value)
    cast("Any", steps).close()


def test_a_copy_a_killed_run_put_under_another_name_is_found_again(world):
    session, tmp = world
    write_tree(tmp / "t1/photos", {"a.txt": b"somebody else's"})
    beside = os.fsdecode(disk.collision_name(b"a.txt"))
    write_tree(tmp / "t1/photos", {beside: (tmp / "photos/a.txt").read_bytes()})
    ran = back(session, tmp / "t1")
    assert (ran.summary.copied, ran.summary.already_there) == (3, 1)
    assert sorted(os.fsdecode(n) for n in tree(tmp / "t1/photos") if b"/" not in n) == sorted(
        ["a.txt", beside, "empty"]
    )


def test_identities_a_power_cut_took_the_names_of_are_adopted(world):
    """On a drive without a journal a file that replaces another can lose its name: it lies whole beside it then."""
    session, tmp = world
    back(session, tmp / "t1")
    for path in (tmp / "photos/.medback-source.xml", tmp / "t1/.medback-target.xml"):
        path.rename(path.with_name(f".medback-tmp-0123456789ab{path.name}"))
    (tmp / "photos/.medback-tmp-0123456789ac.medback-source.xml").write_bytes(b"<medback")
    write_tree(tmp / "photos", {"new": 10})
    ran = back(session, tmp / "t1")
    assert ran.summary.copied == 1 and len(list_targets(session)) == 1
    assert (tmp / "photos/.medback-source.xml").exists() and (tmp / "t1/.medback-target.xml").exists()
    assert not list(tmp.rglob(".medback-tmp-*"))
