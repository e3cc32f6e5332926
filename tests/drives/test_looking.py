"""A look at a drive: what somebody moved, deleted, changed there by hand, and what rotted, is put right on record."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import replace
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.contexts.write import write_restore
from medback_core.contexts.load import add_restore_context
from medback_core.backing_up.discover import discover
from medback_core.errors import DriveGone, NeedsAnswer
from medback_core.model import Answers, CopyGone, DamageFound, TargetState
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.session.gone import list_gone
from medback_core.session.sources import find_source
from medback_core.session.targets import list_targets
from medback_core.sidecar import Trust, parse, render
from medback_core.drives.open import find_drive, find_drives, resolve_target, set_target
from medback_core.upkeep.verify_target import verify
from medback_core.coverage.where_is import where_is
from support.saying import told
from support.worlds import MTIME, add, back, counted, photos, run, tree, write_tree, rot


@pytest.fixture
def world(tmp_path: Path):
    with photos(tmp_path, {"a.txt": 100, "b.txt": 100, "sub/c.bin": 3000}, drives=("t1", "t2")) as made:
        yield made


def place(session: Session, path: str, target: str) -> bytes | None:
    """Where the copy of a file of photos lies on a target, as `whereis` says."""
    copies = where_is(session, [os.fsencode(path)], source="photos")[0].copies
    return next((copy.path for copy in copies if copy.target.label == target), None)


def records(directory: Path) -> dict:
    return parse((directory / ".medback.xml").read_bytes()).files


def test_drives_that_moved_are_found_by_looking_at_each_mounted_one_once(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    (tmp / "t1").rename(tmp / "elsewhere")
    looked_at = 0

    def mounted() -> list[disk.Mount]:
        nonlocal looked_at
        looked_at += 1
        places = [os.fsencode(tmp / name) for name in ("empty", "elsewhere", "t2")]
        return [disk.Mount(place, "/dev/sdx1", "ext4", True, False, 10**9, 10**9) for place in places]

    (tmp / "empty").mkdir()
    monkeypatch.setattr(disk, "removable_mounts", mounted)
    targets = {target.label: target for target in list_targets(session)}
    away = replace(targets["t1"], key=77, id="away")
    found = find_drives(session, [*targets.values(), away, replace(away, key=78)])
    assert found == {targets["t1"].id: os.fsencode(tmp / "elsewhere"), targets["t2"].id: os.fsencode(tmp / "t2")}
    assert looked_at == 1
    assert find_drive(session, targets["t1"]) == os.fsencode(tmp / "elsewhere")
    assert find_drive(session, away) is None


def test_a_file_moved_on_the_drive_by_hand_is_found_again_and_not_copied_twice(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "t1/sorted").mkdir()
    (tmp / "t1/photos/sub/c.bin").rename(tmp / "t1/sorted/holiday.bin")
    ran = back(session, tmp / "t1")
    assert ran.summary.copied == 0 and counted(session) == {2: 3}
    assert place(session, "sub/c.bin", "t1") == b"sorted/holiday.bin"
    record = records(tmp / "t1/sorted")[b"holiday.bin"]
    assert record.ours and record.verified and record.path == (find_source(session, "photos").id, b"sub/c.bin")
    assert b"c.bin" not in records(tmp / "t1/photos/sub")


def test_a_file_moved_on_a_drive_that_is_only_read_is_found_again_too(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "t1/photos/a.txt").rename(tmp / "t1/elsewhere.txt")
    back(session, tmp / "t1", dry_run=True)
    assert counted(session) == {2: 3} and place(session, "a.txt", "t1") == b"elsewhere.txt"
    back(session, tmp / "t1")
    assert b"elsewhere.txt" in records(tmp / "t1") and counted(session) == {2: 3}


def test_a_drive_that_goes_away_while_a_moved_file_is_looked_for_has_lost_nothing(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    (tmp / "t1/photos/a.txt").rename(tmp / "t1/elsewhere.txt")

    def pulled(root: disk.Root, rel: bytes) -> None:
        (tmp / "t1").rename(tmp / "drawer")
        raise OSError(errno.EIO, "Input/output error", rel)

    with monkeypatch.context() as patch, pytest.raises(DriveGone):
        patch.setattr(disk, "read_from_drive", pulled)
        run(verify(session, os.fsencode(tmp / "t1")))
    assert counted(session) == {2: 3}
    (tmp / "drawer").rename(tmp / "t1")
    run(verify(session, os.fsencode(tmp / "t1")))
    assert place(session, "a.txt", "t1") == b"elsewhere.txt" and counted(session) == {2: 3}


def test_a_file_of_the_same_size_is_not_taken_for_the_one_that_was_moved(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "t1/photos/a.txt").unlink()
    write_tree(tmp / "t1", {"mine.txt": b"?" * 100})
    ran = run(verify(session, os.fsencode(tmp / "t1")))
    assert [(gone.path, gone.state) for gone in ran.of(DamageFound)] == [
        (os.fsencode(tmp / "t1/photos/a.txt"), "missing")
    ]
    assert (ran.summary.missing, ran.summary.new) == (1, 1) and counted(session) == {1: 1, 2: 2}


def test_a_truncated_copy_is_damage_and_is_put_right_at_its_place(world: tuple[Session, Path]) -> None:
    session, tmp = world
    rot(tmp / "t1/photos/a.txt", b"?" * 40)
    found = run(verify(session, os.fsencode(tmp / "t1")))
    assert (found.summary.damaged, found.summary.missing) == (1, 0) and counted(session) == {1: 1, 2: 2}
    assert run(repair(session, os.fsencode(tmp / "t1"))).summary.repaired == 1
    assert tree(tmp / "t1/photos") == tree(tmp / "photos") and counted(session) == {2: 3}


def test_a_backup_puts_a_rotten_copy_aside_and_a_good_one_in_its_place(world: tuple[Session, Path]) -> None:
    session, tmp = world
    rot(tmp / "t1/photos/a.txt")
    assert run(verify(session, os.fsencode(tmp / "t1"))).summary.damaged == 1
    assert back(session, tmp / "t1").summary.copied == 1
    assert tree(tmp / "t1/photos") == tree(tmp / "photos") and counted(session) == {2: 3}
    kept = [path for path in tree(tmp / "t1", metadata=True) if path.startswith(b".medback-damaged/")]
    assert len(kept) == 1 and kept[0].endswith(b"/photos/a.txt")


def test_a_file_somebody_edited_on_the_drive_stays_where_it_is(world: tuple[Session, Path]) -> None:
    session, tmp = world
    write_tree(tmp / "t1/photos", {"a.txt": b"mine now"}, mtime_ns=MTIME + 10**9)
    ran = back(session, tmp / "t1")
    assert [gone.state for gone in ran.of(CopyGone)] == ["changed"]
    assert ran.summary.copied == 1 and counted(session) == {2: 3}
    assert (tmp / "t1/photos/a.txt").read_bytes() == b"mine now"


def test_an_edit_on_the_drive_that_kept_the_size_is_read(world: tuple[Session, Path]) -> None:
    session, tmp = world
    write_tree(tmp / "t1/photos", {"a.txt": b"!" * 100}, mtime_ns=MTIME + 10**9)
    back(session, tmp / "t1", dry_run=True)
    assert counted(session) == {1: 1, 2: 2}
    assert back(session, tmp / "t1").summary.copied == 1 and counted(session) == {2: 3}
    assert (tmp / "t1/photos/a.txt").read_bytes() == b"!" * 100


def test_damage_found_by_another_session_is_believed(world: tuple[Session, Path]) -> None:
    session, tmp = world
    with open_session(tmp / "other.db") as other:
        add(other, tmp / "photos")
        run(verify(other, os.fsencode(tmp / "t1")))
        rot(tmp / "t1/photos/a.txt")
        assert run(verify(other, os.fsencode(tmp / "t1"))).summary.damaged == 1
    assert counted(session) == {2: 3}
    back(session, tmp / "t1", dry_run=True)
    assert counted(session) == {1: 1, 2: 2}
    assert records(tmp / "t1/photos")[b"a.txt"].damaged


def test_a_clone_is_only_read_and_says_nothing_of_its_original(world: tuple[Session, Path]) -> None:
    session, tmp = world
    run_copy(tmp / "t1", tmp / "clone")
    (tmp / "clone/photos/a.txt").unlink()
    for name in ("a.txt", "b.txt"):
        (tmp / "photos" / name).unlink()
    found = run(restore(session, str(tmp / "clone"))).summary
    assert (found.restored, found.missing) == (1, 1)  # all of the clone was searched
    assert counted(session) == {2: 3} and list_targets(session)[0].path == os.fsencode(tmp / "t1")
    for steps in (
        verify(session, os.fsencode(tmp / "clone")),
        reclaim(session, str(tmp / "clone"), old=True, dry_run=True),
    ):
        with pytest.raises(NeedsAnswer):
            run(steps)
    assert counted(session) == {2: 3}


def test_a_clone_on_another_file_system_is_told_with_its_original_in_a_drawer(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    really = disk.describe
    monkeypatch.setattr(disk, "describe", lambda path: replace(really(path), uuid="0a1b-2c3d"))
    back(session, tmp / "t1", answers=Answers(same_drive=True))
    run_copy(tmp / "t1", tmp / "clone")
    (tmp / "t1").rename(tmp / "drawer")
    monkeypatch.setattr(disk, "describe", lambda path: replace(really(path), uuid="ffff-ffff"))
    with pytest.raises(NeedsAnswer) as asked:
        back(session, tmp / "clone", answers=Answers(create=True))
    assert asked.value.kind == "clone" and counted(session) == {2: 3}


def run_copy(one: Path, other: Path) -> None:
    """A clone: every file of a drive, times and all."""
    for path, (content, mtime_ns) in tree(one, metadata=True).items():
        write_tree(other, {path: content}, mtime_ns=mtime_ns)


def test_a_clone_made_a_target_of_its_own_is_read_before_it_counts(world: tuple[Session, Path]) -> None:
    session, tmp = world
    run_copy(tmp / "t1", tmp / "clone")
    rot(tmp / "clone/photos/a.txt")
    back(session, tmp / "clone", answers=Answers(new_id=True), update_first=False, fill=False)
    first, _, clone = list_targets(session)
    assert clone.id != first.id and (first.label, clone.label) == ("t1", "t1-2")
    assert counted(session) == {2: 1, 3: 2}
    assert list(list_gone(session, find_source(session, "photos").key)) == []


def mounted(monkeypatch: pytest.MonkeyPatch, tmp: Path, **facts: object) -> None:
    """What the drives in `tmp` lie on from now on."""
    true = disk.describe

    def described(path: bytes) -> disk.FileSystem:
        seen = true(path)
        return replace(seen, **{"shows_all": True, **facts}) if path.startswith(os.fsencode(tmp)) else seen

    monkeypatch.setattr(disk, "describe", described)


def test_making_a_target_where_another_was_seen_says_what_that_means(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    mounted(monkeypatch, tmp, uuid="another")
    (tmp / "t1").rename(tmp / "cellar")
    (tmp / "t1").mkdir()
    ran = back(session, tmp / "t1", answers=Answers(create=True))
    old = list_targets(session)[0]
    assert any(f"set-target {old.id} --state lost" in words for words in told(ran))
    assert [target.label for target in list_targets(session)] == ["t1", "t2", "t1-2"]
    assert old.state is TargetState.ACTIVE


def emptied(drive: Path) -> None:
    for entry in drive.iterdir():
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@pytest.mark.parametrize("where", ["its directory", "all of it, mounted elsewhere"])
def test_a_drive_that_was_emptied_and_made_a_target_again_counts_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    mounted(monkeypatch, tmp_path, uuid="one")
    with photos(tmp_path, {"a.txt": 100}, drives=("t1", "t2", "disk/t3")) as (session, tmp):
        assert counted(session) == {3: 1}
        if where == "its directory":
            emptied(tmp / "t1")
            ran, gone = back(session, tmp / "t1", answers=Answers(create=True)), {"t1"}
        else:  # it had t1 at its top, and t3 beside it
            emptied(tmp / "t1")
            emptied(tmp / "disk")
            mounted(monkeypatch, tmp, uuid="one", mount_point=os.fsencode(tmp / "usb"))
            ran, gone = back(session, tmp / "usb", answers=Answers(create=True)), {"t1", "t3"}
        lost = {target.label for target in list_targets(session) if target.state is TargetState.LOST}
        assert lost == gone and counted(session) == {4 - len(gone): 1}
        assert sum("It is recorded as lost" in words for words in told(ran)) == len(gone)


def test_a_second_target_on_a_file_system_costs_the_first_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a directory beside it, on a subvolume (or by a bind mount) that does not show the first, or on a drive whose
    image was plugged in beside it."""
    mounted(monkeypatch, tmp_path, uuid="one")
    with photos(tmp_path, {"a.txt": 100}, drives=("t1", "t2")) as (session, tmp):
        back(session, tmp / "beside", answers=Answers(create=True))
        (tmp / "t1").rename(tmp / "unmounted")
        mounted(monkeypatch, tmp, uuid="one", shows_all=False, mount_point=os.fsencode(tmp / "subvolume"))
        back(session, tmp / "subvolume", answers=Answers(create=True))
        (tmp / "unmounted").rename(tmp / "t1")
        mounted(monkeypatch, tmp, uuid="one", mount_point=os.fsencode(tmp / "wiped"))
        back(session, tmp / "wiped", answers=Answers(create=True))
        assert {target.state for target in list_targets(session)} == {TargetState.ACTIVE}
        assert counted(session) == {5: 1}


def test_a_target_that_only_moved_within_its_file_system_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted(monkeypatch, tmp_path, uuid="one")
    with photos(tmp_path, {"a.txt": 100}, drives=("t1",)) as (session, tmp):
        (tmp / "t1").rename(tmp / "old")
        back(session, tmp / "t1", answers=Answers(create=True))
        assert counted(session) == {1: 1}
        run(verify(session, os.fsencode(tmp / "old")))
        assert counted(session) == {2: 1}


def test_an_empty_mount_point_gives_way_to_the_target_called_so(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    (tmp / "t1").rename(tmp / "cellar")
    (tmp / "t1").mkdir()
    monkeypatch.chdir(tmp)
    target, path = resolve_target(session, "t1")
    assert target is not None and target.label == "t1" and path is None
    assert set_target(session, "t1", state=TargetState.LOST).state is TargetState.LOST


# --- what is believed without being read ---------------------------------------------------------------------------

LOOKS = {"target": lambda session, drive: back_up(session, drive, limit=0, update_first=False), "discover": discover}


def on(session: Session, path: str) -> set[str]:
    """The targets a file of photos has a copy on that counts."""
    copies = where_is(session, [os.fsencode(path)], source="photos")[0].copies
    return {copy.target.label for copy in copies if copy.counts}


def seen_by(look: str, session: Session, tmp: Path) -> dict[str, set[str]]:
    """Where a and b have copies that count, after a look at the first drive."""
    run(LOOKS[look](session, os.fsencode(tmp / "t1")))
    return {path: on(session, path) for path in ("a.txt", "b.txt")}


@pytest.fixture(params=["the same session", "one built anew"])
def either(request: pytest.FixtureRequest, world: tuple[Session, Path]) -> Iterator[tuple[Session, Path]]:
    """A session that knows where each copy lies, and one that has only heard from its source that there is one."""
    session, tmp = world
    if request.param == "the same session":
        yield session, tmp
        return
    with open_session(tmp / "new.db") as fresh:
        add(fresh, tmp / "photos")
        assert counted(fresh) == {2: 3}
        yield fresh, tmp


@pytest.mark.parametrize("look", LOOKS)
def test_a_copy_that_holds_something_else_of_the_same_size_counts_no_more(
    either: tuple[Session, Path], look: str
) -> None:
    session, tmp = either
    write_tree(tmp / "t1/photos", {"a.txt": b"?" * 100}, mtime_ns=MTIME + 10**10)
    assert seen_by(look, session, tmp) == {"a.txt": {"t2"}, "b.txt": {"t1", "t2"}}


@pytest.mark.parametrize("look", LOOKS)
def test_a_record_without_its_right_check_is_not_believed(either: tuple[Session, Path], look: str) -> None:
    """It says that the content of a lies in b."""
    session, tmp = either
    there = records(tmp / "t1/photos")
    (tmp / "t1/photos/a.txt").unlink()
    sidecar = tmp / "t1/photos/.medback.xml"
    a, b = (there[name].md5.hex() for name in (b"a.txt", b"b.txt"))
    sidecar.write_text(sidecar.read_text().replace(b, a))
    assert records(tmp / "t1/photos")[b"b.txt"].trust is Trust.EDITED
    assert seen_by(look, session, tmp) == {"a.txt": {"t2"}, "b.txt": {"t1", "t2"}}


@pytest.mark.parametrize("look", LOOKS)
def test_a_copy_that_is_not_as_this_session_left_it_is_read_whatever_is_on_record(
    world: tuple[Session, Path], look: str
) -> None:
    """Somebody else's medback recorded the old content for the new file, with its time and a right check."""
    session, tmp = world
    write_tree(tmp / "t1/photos", {"a.txt": b"?" * 100}, mtime_ns=MTIME + 10**10)
    sidecar = parse((tmp / "t1/photos/.medback.xml").read_bytes())
    sidecar.files[b"a.txt"].mtime_ns = MTIME + 10**10
    (tmp / "t1/photos/.medback.xml").write_bytes(render(sidecar))
    assert seen_by(look, session, tmp) == {"a.txt": {"t2"}, "b.txt": {"t1", "t2"}}


@pytest.mark.parametrize("look", LOOKS)
def test_what_somebody_says_to_lie_there_is_read_and_counts(world: tuple[Session, Path], look: str) -> None:
    """A session that has the files itself, and knows of their copies by a context alone."""
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "context.xml"))
    write_tree(tmp / "mine", {name: content for name, (content, _) in tree(tmp / "photos").items()})
    with open_session(tmp / "new.db") as fresh:
        add(fresh, tmp / "mine")
        run(add_restore_context(fresh, os.fsencode(tmp / "context.xml")))
        assert counted(fresh) == {0: 3}
        run(LOOKS[look](fresh, os.fsencode(tmp / "t1")))
        assert counted(fresh) == {1: 3}


@pytest.mark.parametrize(("content", "later"), [(b"?" * 100, 10**10), (b"?" * 50, 0)], ids=["time", "size"])
def test_without_any_record_a_copy_counts_only_while_it_is_as_it_was(
    world: tuple[Session, Path], content: bytes, later: int
) -> None:
    session, tmp = world
    write_tree(tmp / "t1/photos", {"a.txt": content}, mtime_ns=MTIME + later)
    (tmp / "t1/photos/.medback.xml").unlink()
    back(session, tmp / "t1", limit=0)
    assert (on(session, "a.txt"), on(session, "b.txt")) == ({"t2"}, {"t1", "t2"})
