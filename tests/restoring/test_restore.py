"""Restoring: all that can be had comes back, whole; nothing that is there is lost; the target is only read."""

from __future__ import annotations

from medback_core.disk import worker_process
import os
import shutil
import stat
from functools import partial
from pathlib import Path
from typing import cast, Any

import pytest

from support.killing import killed_after
from support.saying import says
from medback_core import disk, model
from medback_core.contexts.write import write_restore
from medback_core.contexts.load import add_restore_context
from medback_core.backing_up.discover import discover
from medback_core.errors import DriveGone, Refused, UsageError
from medback_core.model import Answers, Reason, Conflict, DamageFound, FileDone, Skipped, SourceRefused, Standing
from medback_core.pace import Pace
from medback_core.restoring.restore import restore
from medback_core.restoring.status import restore_status
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.expected import has_expected
from medback_core.session.gone import list_gone
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import list_targets, pending_for
from support.worlds import MTIME, Ran, add, back, counted, new_session, photos, rescan, run, tree, write_tree, rot

FILES = {
    "a.txt": 100,
    "sub/b.bin": 3000,
    "sub/deep/c": 5000,
    "empty": 0,
    "twin 1": b"the same",
    "sub/twin 2": b"the same",
}


@pytest.fixture
def world(tmp_path: Path):
    write_tree(tmp_path / "photos", FILES)
    os.symlink("sub/b.bin", tmp_path / "photos/link")
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    back(session, tmp_path / "t1")
    yield session, tmp_path
    session.close()


def bring_back(session: Session, target: Path | str, **options: Any) -> Ran:
    return run(restore(session, str(target), **options))


def status(session: Session, **options: Any) -> Ran:
    return run(restore_status(session, **options))


def sight(root: Path) -> dict[str, tuple[Any, ...]]:
    """Everything of a tree that writing to it would change."""
    found = {}
    for directory, names, files in os.walk(root):
        for name in (*names, *files, "."):
            path = os.path.join(directory, name)
            seen = os.lstat(path)
            found[path] = seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_mode
    return found


# --- all of it comes back -----------------------------------------------------------------------------------------


def test_deleted_files_come_back_with_their_times_and_modes_and_links_last(world):
    session, tmp = world
    os.chmod(tmp / "photos/a.txt", 0o4640)
    rescan(session, "photos")
    before = tree(tmp / "photos")
    for name in ("a.txt", "empty", "twin 1", "link"):
        os.unlink(tmp / "photos" / name)
    shutil.rmtree(tmp / "photos/sub")
    ran = bring_back(session, tmp / "t1")
    summary = ran.summary
    assert (summary.restored, summary.already_right, summary.missing, summary.links) == (6, 0, 0, 1)
    assert tree(tmp / "photos") == before
    assert os.readlink(tmp / "photos/link") == "sub/b.bin"
    assert stat.S_IMODE(os.stat(tmp / "photos/a.txt").st_mode) == 0o640
    assert ran.of(FileDone)[-1].path == os.fsencode(tmp / "photos/link")


def test_restoring_what_is_there_does_nothing(world):
    session, tmp = world
    before = sight(tmp / "photos")
    summary = bring_back(session, tmp / "t1").summary
    assert (summary.restored, summary.already_right, summary.missing) == (0, 6, 0)
    assert sight(tmp / "photos") == before


def test_the_target_is_never_written_to(world):
    session, tmp = world
    shutil.rmtree(tmp / "photos")
    (tmp / "t1/photos/sub/b.bin").unlink()
    rot(tmp / "t1/photos/a.txt")
    before = sight(tmp / "t1")
    bring_back(session, tmp / "t1")
    assert sight(tmp / "t1") == before


def test_a_read_only_mount_is_enough(world, read_only):
    session, tmp = world
    before = tree(tmp / "photos")
    shutil.rmtree(tmp / "photos")
    summary = bring_back(session, read_only(tmp / "t1")).summary
    assert summary.restored == 6 and tree(tmp / "photos") == before


@pytest.fixture
def read_only(tmp_path: Path):
    """Mount a directory read-only somewhere; skipped where mounting is not allowed."""
    points: list[Path] = []

    def mount(directory: Path) -> Path:
        point = tmp_path / "read-only"
        point.mkdir()
        if os.system(f"mount --bind '{directory}' '{point}' 2>/dev/null"):
            pytest.skip("mounting is not allowed here")
        points.append(point)
        assert os.system(f"mount -o remount,bind,ro '{point}'") == 0
        return point

    yield mount
    for point in points:
        os.system(f"umount '{point}'")


def test_content_stored_once_comes_back_under_all_its_names(world):
    session, tmp = world
    assert len(list((tmp / "t1").rglob("twin*"))) == 1
    (tmp / "photos/twin 1").unlink()
    (tmp / "photos/sub/twin 2").unlink()
    assert bring_back(session, tmp / "t1").summary.restored == 2
    assert (tmp / "photos/twin 1").read_bytes() == (tmp / "photos/sub/twin 2").read_bytes() == b"the same"


def test_one_path_and_one_source_can_be_asked_for(world):
    session, tmp = world
    write_tree(tmp / "music", {"song": 77})
    add(session, tmp / "music")
    back(session, tmp / "t1")
    shutil.rmtree(tmp / "photos/sub")
    (tmp / "photos/a.txt").unlink()
    (tmp / "music/song").unlink()
    assert bring_back(session, tmp / "t1", source="photos", path=b"sub/deep").summary.restored == 1
    assert (tmp / "photos/sub/deep/c").exists() and not (tmp / "photos/sub/b.bin").exists()
    assert bring_back(session, tmp / "t1", source="music").summary.restored == 1
    assert not (tmp / "photos/a.txt").exists()


def test_to_another_directory_each_source_gets_a_folder(world):
    session, tmp = world
    before = sight(tmp / "photos")
    summary = bring_back(session, tmp / "t1", to=os.fsencode(tmp / "out")).summary
    assert summary.restored == 6
    assert tree(tmp / "out/photos") == tree(tmp / "photos")
    assert sight(tmp / "photos") == before
    assert not list((tmp / "out").rglob(".medback*"))  # it is no source
    again = bring_back(session, tmp / "t1", to=os.fsencode(tmp / "out")).summary
    assert (again.restored, again.already_right) == (0, 6)


def test_it_takes_as_many_targets_as_it_takes(world):
    session, tmp = world
    back(session, tmp / "t2")
    for name in ("photos/a.txt", "photos/empty"):
        (tmp / "t1" / name).unlink()
    for name in ("photos/sub/b.bin",):
        (tmp / "t2" / name).unlink()
    before = tree(tmp / "photos")
    shutil.rmtree(tmp / "photos")
    first = bring_back(session, tmp / "t1").summary
    assert (first.missing, first.next.target.label) == (2, "t2")
    second = bring_back(session, tmp / "t2").summary
    assert (second.missing, second.next) == (0, None)
    assert tree(tmp / "photos") == before


def test_a_dry_run_changes_nothing_and_counts_all(world):
    session, tmp = world
    shutil.rmtree(tmp / "photos/sub")
    before, db = sight(tmp / "photos"), list(session.db.iterdump())
    summary = bring_back(session, tmp / "t1", dry_run=True).summary
    assert (summary.restored, summary.missing) == (3, 0)
    assert sight(tmp / "photos") == before
    after = list(session.db.iterdump())
    assert [line for line in db if not _was_seen(line)] == [line for line in after if not _was_seen(line)]


def _was_seen(line: str) -> bool:
    """Whether a line of a dumped session DB says when a drive was seen: a dry run sees it too."""
    return 'INTO "target"' in line or "'visit'" in line


def test_gone_files_come_back_only_when_asked_for(world):
    session, tmp = world
    (tmp / "photos/sub/b.bin").unlink()
    rescan(session, "photos")
    assert bring_back(session, tmp / "t1").summary.restored == 0
    summary = bring_back(session, tmp / "t1", deleted=True).summary
    assert (summary.restored, summary.missing) == (1, 0)
    assert (tmp / "photos/sub/b.bin").stat().st_size == 3000
    assert not list(list_gone(session, find_source(session, "photos").key))


def test_odd_names_come_back_exactly(tmp_path: Path):
    names: list[bytes] = [b"\"'<&>", b"new\nline", b"tab\t", b"\x01", b"\xff\xfe", b"space ", b"dot.", b"x" * 255]
    names += [
        "caf\u00e9".encode(),
        "cafe\u0301".encode(),
        b"a",
        b"A",
        "\u202egpj".encode(),
        b"\x1b[31m",
        b"[/b]",
        b"-rf",
    ]
    write_tree(tmp_path / "odd", {name: name * 3 for name in names})
    os.symlink(b"\xff\n", os.fsencode(tmp_path / "odd") + b"/l\xff\n")
    session = new_session(tmp_path)
    add(session, tmp_path / "odd")
    back(session, tmp_path / "t1")
    before = tree(tmp_path / "odd")
    run_context = os.fsencode(tmp_path / "context.xml")
    write_restore(session, run_context)
    shutil.rmtree(tmp_path / "odd")
    with open_session(tmp_path / "another.db") as fresh:
        run(add_restore_context(fresh, run_context))
        assert bring_back(fresh, tmp_path / "t1").summary.restored == len(names)
    assert tree(tmp_path / "odd") == before
    assert os.readlink(os.fsencode(tmp_path / "odd") + b"/l\xff\n") == b"\xff\n"
    session.close()


def test_odd_times_and_sizes_are_exact(tmp_path: Path):
    write_tree(tmp_path / "odd", {"zero": b""}, mtime_ns=0)
    write_tree(tmp_path / "odd", {"before": 5}, mtime_ns=-1_500_000_000)
    write_tree(tmp_path / "odd", {"far": 6}, mtime_ns=10**10 * 10**9 + 1)
    session = new_session(tmp_path)
    add(session, tmp_path / "odd")
    back(session, tmp_path / "t1")
    before = tree(tmp_path / "odd")
    shutil.rmtree(tmp_path / "odd")
    bring_back(session, tmp_path / "t1")
    assert tree(tmp_path / "odd") == before
    session.close()


def test_deep_trees_come_back(tmp_path: Path):
    deep = "/".join(f"a directory at level {number}" for number in range(220))
    write_tree(tmp_path / "deep", {"top": 10})
    here = os.getcwd()
    os.chdir(tmp_path / "deep")
    try:
        for part in deep.split("/"):
            os.mkdir(part)
            os.chdir(part)
        Path("bottom").write_bytes(b"deep down")
    finally:
        os.chdir(here)
    session = new_session(tmp_path)
    add(session, tmp_path / "deep")
    back(session, tmp_path / "t1")
    context = os.fsencode(tmp_path / "context.xml")
    write_restore(session, context)
    with open_session(tmp_path / "another.db") as fresh:
        run(add_restore_context(fresh, context))
        assert bring_back(fresh, tmp_path / "t1", to=os.fsencode(tmp_path / "o")).summary.missing == 0
        assert status(fresh, to=os.fsencode(tmp_path / "o")).summary.present == 2
    session.close()


def test_empty_directories_come_back(world):
    session, tmp = world
    (tmp / "photos/nothing/in it").mkdir(parents=True)
    rescan(session, "photos")
    context = os.fsencode(tmp / "context.xml")
    write_restore(session, context)
    shutil.rmtree(tmp / "photos")
    with open_session(tmp / "another.db") as fresh:
        run(add_restore_context(fresh, context))
        bring_back(fresh, tmp / "t1")
    assert (tmp / "photos/nothing/in it").is_dir()


# --- where the content is found -----------------------------------------------------------------------------------


def test_files_moved_on_the_drive_by_hand_are_found_by_its_records(world):
    session, tmp = world
    before = tree(tmp / "photos")
    os.rename(tmp / "t1/photos", tmp / "t1/elsewhere")
    shutil.rmtree(tmp / "photos")
    assert bring_back(session, tmp / "t1").summary.restored == 6
    assert tree(tmp / "photos") == before
    (target,) = list_targets(session)
    assert all((copy.path or b"").startswith(b"elsewhere/") for _, copy in copies_on(session, target.key))


def test_a_drive_filled_by_other_means_is_read_by_size(world):
    session, tmp = world
    big = os.urandom(3 << 20)
    write_tree(tmp / "photos", {"big": big, "big too": big[::-1], "alone": os.urandom(2 << 20)})
    rescan(session, "photos")
    before = tree(tmp / "photos")
    shutil.copytree(tmp / "photos", tmp / "rsync", symlinks=True, ignore=shutil.ignore_patterns(".medback*"))
    for number, path in enumerate(sorted((tmp / "rsync").rglob("*"))):
        if path.is_file() and not path.is_symlink():
            os.utime(path)
            path.rename(tmp / "rsync" / f"{number}")
    shutil.rmtree(tmp / "photos")
    assert bring_back(session, tmp / "rsync").summary.restored == 9
    assert tree(tmp / "photos") == before
    assert not list((tmp / "rsync").rglob(".medback*")) and len(list_targets(session)) == 1


def test_a_wrong_guess_by_size_restores_nothing_wrong(world):
    session, tmp = world
    write_tree(tmp / "photos", {"big": os.urandom(2 << 20)})
    rescan(session, "photos")
    write_tree(tmp / "rsync", {"another of that size": os.urandom(2 << 20)})
    (tmp / "photos/big").unlink()
    ran = bring_back(session, tmp / "rsync")
    assert ran.summary.restored == 0 and ran.summary.missing == 1 and not ran.of(DamageFound)
    assert not (tmp / "photos/big").exists() and not list((tmp / "photos").glob(".medback-tmp*"))


def test_damaged_content_on_the_drive_is_not_restored_and_counts_no_more(world):
    session, tmp = world
    rot(tmp / "t1/photos/a.txt")
    (tmp / "photos/a.txt").unlink()
    ran = bring_back(session, tmp / "t1")
    (damage,) = ran.of(DamageFound)
    assert damage.path == os.fsencode(tmp / "t1/photos/a.txt")
    assert ran.summary.missing == 1 and not (tmp / "photos/a.txt").exists()
    (target,) = list_targets(session)
    assert counted(session) == {0: 1, 1: 5}
    assert [path for _, path in pending_for(session, target.key)] == [b"photos/a.txt"]
    assert not list((tmp / "photos").glob(".medback-tmp*"))


def test_a_file_of_another_size_is_no_copy_any_more_and_no_damage(world):
    session, tmp = world
    os.truncate(tmp / "t1/photos/a.txt", 50)
    (tmp / "photos/a.txt").unlink()
    ran = bring_back(session, tmp / "t1")
    assert not ran.of(DamageFound) and ran.summary.missing == 1
    assert counted(session) == {0: 1, 1: 5}


def test_damage_is_withdrawn_also_where_something_else_can_not_be_read(world, monkeypatch):
    session, tmp = world
    rot(tmp / "t1/photos/a.txt")
    (tmp / "photos/a.txt").unlink()
    really = disk.Root.scan

    def scan(self: disk.Root, rel: bytes):
        if rel == b"photos/sub" and b"t1" in self.path:
            raise PermissionError(13, "Permission denied")
        return really(self, rel)

    monkeypatch.setattr(disk.Root, "scan", scan)
    ran = bring_back(session, tmp / "t1")
    assert ran.of(Skipped) and counted(session) == {0: 1, 1: 5}


def test_a_walk_withdraws_whatever_is_no_longer_on_the_drive(world):
    session, tmp = world
    (tmp / "t1/photos/sub/b.bin").unlink()  # which is not lacking
    os.rename(tmp / "t1/photos/a.txt", tmp / "t1/moved")
    (tmp / "photos/a.txt").unlink()
    assert bring_back(session, tmp / "t1").summary.restored == 1
    assert counted(session) == {0: 1, 1: 5}


def test_a_first_restore_of_twice_as_much_is_twice_the_work(tmp_path: Path):
    steps = []
    for count in (400, 800):
        here = tmp_path / str(count)
        write_tree(here / "photos", {f"{number // 100}/{number}": 20 for number in range(count)})
        with new_session(here) as session:
            add(session, here / "photos")
            back(session, here / "t1")
            write_restore(session, os.fsencode(here / "context.xml"))
        shutil.rmtree(here / "photos")
        with open_session(here / "fresh.db") as fresh:
            run(add_restore_context(fresh, os.fsencode(here / "context.xml")))
            ticks = [0]

            def tick(ticks: list[int] = ticks) -> int:
                ticks[0] += 1
                return 0

            fresh.db.set_progress_handler(tick, 100)
            assert bring_back(fresh, here / "t1").summary.restored == count
            steps.append(ticks[0])
    assert steps[1] < 2.6 * steps[0], steps


def test_a_good_file_elsewhere_on_the_drive_stands_in_for_a_damaged_one(world):
    session, tmp = world
    shutil.copy2(tmp / "t1/photos/a.txt", tmp / "t1/kept aside")
    rot(tmp / "t1/photos/a.txt")
    (tmp / "photos/a.txt").unlink()
    ran = bring_back(session, tmp / "t1")
    assert ran.of(DamageFound) and ran.summary.restored == 1 and ran.summary.missing == 0
    (target,) = list_targets(session)
    assert b"kept aside" in [copy.path for _, copy in copies_on(session, target.key)]
    assert counted(session) == {1: 6}


def test_a_record_that_lies_is_believed_by_nobody(world):
    session, tmp = world
    (tmp / "photos/a.txt").unlink()
    shutil.rmtree(tmp / "t1/photos")
    write_tree(tmp / "liar", {"x": b"!" * 100})
    with open_session(tmp / "theirs.db") as theirs:
        write_tree(tmp / "bait", {"a.txt": 100})
        add(theirs, tmp / "bait")
        back(theirs, tmp / "liar")
    rot(tmp / "liar/bait/a.txt", b"!" * 100)
    ran = bring_back(session, tmp / "liar")
    assert ran.summary.restored == 0 and not (tmp / "photos/a.txt").exists()


def test_what_was_read_equal_counts_as_verified(world):
    session, tmp = world
    context = os.fsencode(tmp / "context.xml")
    write_restore(session, context)
    shutil.rmtree(tmp / "photos")
    with open_session(tmp / "another.db") as fresh:
        run(add_restore_context(fresh, context))
        (target,) = list_targets(fresh)
        assert {copy.standing for _, copy in copies_on(fresh, target.key)} == {Standing.CLAIMED}
        bring_back(fresh, tmp / "t1")
        copies = [copy for _, copy in copies_on(fresh, target.key)]
        assert all(
            copy.standing is Standing.VERIFIED and copy.path and copy.verified_at and copy.ours for copy in copies
        )


def test_what_a_target_was_said_to_hold_and_does_not_is_not_said_again(world):
    session, tmp = world
    context = os.fsencode(tmp / "context.xml")
    write_restore(session, context)
    (tmp / "t1/photos/a.txt").unlink()
    shutil.rmtree(tmp / "photos")
    with open_session(tmp / "another.db") as fresh:
        run(add_restore_context(fresh, context))
        summary = bring_back(fresh, tmp / "t1").summary
        assert (summary.restored, summary.missing, summary.next) == (5, 1, None)


# --- nothing that is there is lost --------------------------------------------------------------------------------


def test_a_file_that_differs_is_left_alone_and_listed(world):
    session, tmp = world
    write_tree(tmp / "photos", {"a.txt": b"mine, and longer"}, mtime_ns=5)
    rot(tmp / "photos/sub/b.bin", b"z" * 3000)
    ran = bring_back(session, tmp / "t1")
    first, second = ran.of(Conflict)
    assert first.path == os.fsencode(tmp / "photos/a.txt") and (first.there_size, first.there_mtime_ns) == (16, 5)
    assert first.wanted.size == 100 and first.wanted_mtime_ns == MTIME
    assert second.there_md5 is not None and second.there_md5 != second.wanted.md5
    assert ran.summary.conflicts == 2 and ran.summary.missing == 0
    assert (tmp / "photos/a.txt").read_bytes() == b"mine, and longer"
    assert (tmp / "photos/sub/b.bin").read_bytes() == b"z" * 3000


def test_rename_puts_the_restored_one_beside_once(world):
    session, tmp = world
    want = (tmp / "photos/a.txt").read_bytes()
    (tmp / "photos/a.txt").write_bytes(b"mine")
    assert bring_back(session, tmp / "t1", conflict="rename").summary.restored == 1
    assert (tmp / "photos/a.txt").read_bytes() == b"mine"
    (beside,) = (tmp / "photos").glob("a (medback *).txt")
    assert beside.read_bytes() == want
    again = bring_back(session, tmp / "t1", conflict="rename").summary
    assert (again.restored, again.conflicts, again.missing) == (0, 0, 0)
    assert len(list((tmp / "photos").glob("a*.txt"))) == 2
    assert not has_expected(session)


def test_overwrite_keeps_what_was_there_under_another_name(world):
    session, tmp = world
    want = (tmp / "photos/a.txt").read_bytes()
    (tmp / "photos/a.txt").write_bytes(b"mine")
    assert bring_back(session, tmp / "t1", conflict="overwrite").summary.restored == 1
    assert (tmp / "photos/a.txt").read_bytes() == want
    (kept,) = (tmp / "photos").glob("a (before restore *).txt")
    assert kept.read_bytes() == b"mine"


def test_overwrite_gives_the_old_one_its_name_back_when_ours_fails(world):
    session, tmp = world
    (tmp / "photos/a.txt").write_bytes(b"mine")

    def fail(op: str, *details: Any) -> None:
        if op == "rename_noreplace" and details[1].startswith(b".medback-tmp"):
            raise OSError(5, "input/output error")

    disk.set_observer(fail)
    try:
        ran = bring_back(session, tmp / "t1", conflict="overwrite")
    finally:
        disk.set_observer(None)
    assert ran.summary.restored == 0 and ran.of(Skipped)
    assert (tmp / "photos/a.txt").read_bytes() == b"mine"
    assert not list((tmp / "photos").glob("*before*"))


def test_overwrite_moves_a_directory_in_the_way_aside_with_all_in_it(world):
    session, tmp = world
    want = (tmp / "photos/a.txt").read_bytes()
    (tmp / "photos/a.txt").unlink()
    os.unlink(tmp / "photos/link")
    write_tree(tmp / "photos", {"a.txt/inside": b"precious", "link/below": b"mine"})
    assert [one.reason.what for one in bring_back(session, tmp / "t1").of(Conflict)] == [
        "directory-there",
        "no-link-there",
    ]
    assert bring_back(session, tmp / "t1", conflict="overwrite").summary.conflicts == 0
    assert (tmp / "photos/a.txt").read_bytes() == want and os.readlink(tmp / "photos/link") == "sub/b.bin"
    kept = {path.name: path.read_bytes() for path in (tmp / "photos").glob("*(before restore *)*/*")}
    assert kept == {"inside": b"precious", "below": b"mine"}


@pytest.mark.parametrize("what", ["a file", "a link"])
def test_overwrite_moves_what_is_where_a_directory_should_be_aside(world, what: str):
    session, tmp = world
    (tmp / "photos/sub/deep/nothing in it").mkdir()
    os.symlink("c", tmp / "photos/sub/deep/link")
    rescan(session, "photos")
    back(session, tmp / "t1")
    whole = tree(tmp / "photos")
    shutil.rmtree(tmp / "photos/sub")
    if what == "a file":
        (tmp / "photos/sub").write_bytes(b"mine")
    else:
        os.symlink(tmp, tmp / "photos/sub")
    for conflict in ("skip", "rename"):
        ran = bring_back(session, tmp / "t1", conflict=conflict)
        assert {one.reason.what for one in ran.of(Conflict) if one.reason} == {"no-directory-there"}
        assert ran.summary.restored == 0 and ran.summary.conflicts == 3
    assert bring_back(session, tmp / "t1", conflict="overwrite").summary.conflicts == 0
    (kept,) = (tmp / "photos").glob("sub (before restore *)")
    assert os.readlink(kept) == os.fspath(tmp) if what == "a link" else kept.read_bytes() == b"mine"
    kept.unlink()
    assert tree(tmp / "photos") == whole
    assert (tmp / "photos/sub/deep/nothing in it").is_dir() and os.readlink(tmp / "photos/sub/deep/link") == "c"


def test_what_changed_its_kind_between_two_drives_comes_back_with_overwrite(world):
    """A new machine and two drives, the older one first."""
    session, tmp = world
    write_tree(tmp / "photos", {"p/f": b"a file first", "d/x": b"in a directory first", "d/y/z": b"too"})
    rescan(session, "photos")
    back(session, tmp / "t1")
    (tmp / "photos/p/f").unlink()
    shutil.rmtree(tmp / "photos/d")
    write_tree(tmp / "photos", {"p/f/deep": b"a directory now", "d": b"a file now"})
    rescan(session, "photos", answers=Answers(deletions=True, changes=True))
    back(session, tmp / "t2")
    with open_session(tmp / "new.db") as new:
        bring_back(new, tmp / "t1", to=os.fsencode(tmp / "to"))
        ran = bring_back(new, tmp / "t2", to=os.fsencode(tmp / "to"))
        assert ran.summary.conflicts == 2
        ran = bring_back(new, tmp / "t2", to=os.fsencode(tmp / "to"), conflict="overwrite")
        assert (ran.summary.conflicts, ran.summary.missing) == (0, 0)
        there = tree(tmp / "to/photos")
        kept = sorted(content for path, (content, _) in there.items() if b"(before restore " in path)
        assert kept == [b"a file first", b"in a directory first", b"too"]
        assert {path: at for path, at in there.items() if b"(before restore " not in path} == tree(tmp / "photos")


def test_a_file_that_appears_under_way_is_not_overwritten(world):
    session, tmp = world
    (tmp / "photos/a.txt").unlink()

    def intrude(op: str, *details: Any) -> None:
        if op == "rename_noreplace":
            (tmp / "photos/a.txt").write_bytes(b"just now")

    disk.set_observer(intrude)
    try:
        ran = bring_back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert ran.of(Conflict) and ran.summary.restored == 0
    assert (tmp / "photos/a.txt").read_bytes() == b"just now"


def test_names_beside_fit_and_stay_whole_characters(world):
    session, tmp = world
    name = "é" * 125 + ".jpeg"
    write_tree(tmp / "photos", {name: b"from the backup"})
    rescan(session, "photos")
    back(session, tmp / "t1")
    (tmp / "photos" / name).write_bytes(b"mine")
    assert bring_back(session, tmp / "t1", conflict="rename").summary.restored == 1
    (beside,) = (tmp / "photos").glob("é* (medback *).jpeg")
    assert beside.read_bytes() == b"from the backup"
    assert bring_back(session, tmp / "t1", conflict="rename").summary.restored == 0


def test_links_that_differ_are_conflicts_too(world):
    session, tmp = world
    os.unlink(tmp / "photos/link")
    os.symlink("elsewhere", tmp / "photos/link")
    assert bring_back(session, tmp / "t1").summary.conflicts == 1
    assert os.readlink(tmp / "photos/link") == "elsewhere"
    assert bring_back(session, tmp / "t1", conflict="overwrite").summary.links == 1
    assert os.readlink(tmp / "photos/link") == "sub/b.bin"
    (kept,) = (tmp / "photos").glob("link (before*")
    assert os.readlink(kept) == "elsewhere"


# --- nothing leads outside ----------------------------------------------------------------------------------------


def test_a_link_planted_at_the_destination_leads_nowhere(world):
    session, tmp = world
    (tmp / "outside").mkdir()
    shutil.rmtree(tmp / "photos/sub")
    os.symlink(tmp / "outside", tmp / "photos/sub")
    assert bring_back(session, tmp / "t1").summary.conflicts == 3
    assert not os.listdir(tmp / "outside")


def test_a_directory_swapped_for_a_link_under_way_leads_nowhere(world):
    session, tmp = world
    (tmp / "outside").mkdir()
    shutil.rmtree(tmp / "photos/sub/deep")
    (tmp / "photos/sub/b.bin").unlink()

    def swap(op: str, *details: Any) -> None:
        if op == "create" and not os.path.islink(tmp / "photos/sub"):
            os.rename(tmp / "photos/sub", tmp / "moved")
            os.symlink(tmp / "outside", tmp / "photos/sub")

    disk.set_observer(swap)
    try:
        bring_back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert not os.listdir(tmp / "outside")


def test_links_on_the_target_are_not_followed(world):
    session, tmp = world
    (tmp / "secret").write_bytes((tmp / "photos/a.txt").read_bytes())
    (tmp / "photos/a.txt").unlink()
    (tmp / "t1/photos/a.txt").unlink()
    os.symlink(tmp / "secret", tmp / "t1/photos/a.txt")
    assert bring_back(session, tmp / "t1").summary.restored == 0


def test_an_alias_that_would_lead_outside_is_only_a_name(tmp_path: Path):
    write_tree(tmp_path / "t", {"x": b"content"})
    evil = tmp_path / "evil.xml"
    evil.write_text(
        '<root v="1"><rc id="s1" src_path="/nowhere/x" alias="../../up">'
        '<file name="x" size="7" mtime="1" md5="9a0364b9e99bb480dd25e1f0284c8555"/></rc></root>'
    )
    (tmp_path / "a/b").mkdir(parents=True)
    with new_session(tmp_path) as session:
        run(add_restore_context(session, os.fsencode(evil)))
        bring_back(session, tmp_path / "t", to=os.fsencode(tmp_path / "a/b"))
    (found,) = [path for path in tmp_path.rglob("x") if path.is_file() and "t" not in path.parts[-2:-1]]
    assert found.is_relative_to(tmp_path / "a/b")


def test_a_source_named_like_a_way_out_gets_a_folder_by_its_id(world):
    session, tmp = world
    source = find_source(session, "photos")
    session.db.execute("UPDATE source SET alias = '../up'")
    bring_back(session, tmp / "t1", to=os.fsencode(tmp / "out"))
    assert tree(tmp / "out" / source.id) == tree(tmp / "photos") and not (tmp / "up").exists()


def test_fifos_on_the_drive_hang_nothing(world):
    session, tmp = world
    (tmp / "photos/a.txt").unlink()
    (tmp / "t1/photos/a.txt").unlink()
    os.mkfifo(tmp / "t1/photos/a.txt")
    assert bring_back(session, tmp / "t1").summary.missing == 1


# --- one bad entry ------------------------------------------------------------------------------------------------


def test_what_does_not_fit_is_listed_and_smaller_ones_still_come(world):
    session, tmp = world
    back(session, tmp / "t2")
    before = tree(tmp / "photos")
    shutil.rmtree(tmp / "photos")

    def full(op: str, *details: Any) -> None:
        if op == "write" and len(details[1]) >= 3000 and b"dr v=" not in bytes(details[1]):
            raise OSError(28, "No space left on device")

    disk.set_observer(full)
    try:
        ran = bring_back(session, tmp / "t2")
    finally:
        disk.set_observer(None)
    assert ran.summary.restored == 4 and ran.summary.missing == 2
    assert len([event for event in ran.of(Skipped) if event.reason == Reason("no-room")]) == 2
    assert ran.summary.next is not None and ran.summary.next.target.name == "t2", (
        "another drive would have no room either"
    )
    assert not list((tmp / "photos").rglob(".medback-tmp*"))
    assert bring_back(session, tmp / "t1").summary.missing == 0
    assert tree(tmp / "photos") == before


def test_a_failed_sync_costs_only_what_can_not_be_written(world):
    session, tmp = world
    before = tree(tmp / "photos")
    shutil.rmtree(tmp / "photos")
    failed = []

    def once(op: str, *details: Any) -> None:
        if op == "syncfs" and not failed:
            failed.append(op)
            raise OSError(5, "input/output error")

    disk.set_observer(once)
    try:
        ran = bring_back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert failed and ran.summary.missing == 0
    assert tree(tmp / "photos") == before


def test_an_unreadable_file_on_the_drive_is_listed_and_stays_a_copy(world, monkeypatch):
    session, tmp = world
    monkeypatch.setattr(worker_process, "copy_files", lambda _change, _from, _to, files: [(0, 0, None)] * len(files))
    (tmp / "photos/a.txt").unlink()
    really = disk.Root.open_file

    def open_file(self: disk.Root, rel: bytes):
        if rel == b"photos/a.txt":
            raise OSError(5, "Input/output error", rel)
        return really(self, rel)

    disk.Root.open_file = open_file
    try:
        ran = bring_back(session, tmp / "t1")
    finally:
        disk.Root.open_file = really
    assert ran.summary.missing == 1 and ran.of(Skipped)
    assert counted(session) == {1: 6}


def test_a_file_on_the_drive_that_fails_while_it_is_read_is_listed_and_stays_a_copy(world, monkeypatch):
    from medback_core import hashing

    session, tmp = world
    (tmp / "photos/a.txt").unlink()

    def fail(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(worker_process, "copy_files", lambda _change, _from, _to, files: [(0, 0, None)] * len(files))
    monkeypatch.setattr(disk.Group, "stage_small_copy", fail)
    monkeypatch.setattr(hashing, "hash_fd", fail)
    ran = bring_back(session, tmp / "t1")
    assert [event.path for event in ran.of(Skipped)] == [os.fsencode(tmp / "t1/photos/a.txt")]
    assert ran.summary.missing == 1 and counted(session) == {1: 6}


@pytest.fixture
def forty(tmp_path: Path, monkeypatch):
    """Forty lost files and a larger one, which come back in batches of ten; what they were."""
    files = {f"{number:03}": 50 for number in range(40)} | {"zz big": os.urandom(5 << 20)}
    with photos(tmp_path, files, drives=("t1",)) as (session, _):
        before = tree(tmp_path / "photos")
        shutil.rmtree(tmp_path / "photos")
        monkeypatch.setattr(disk, "AT_ONCE", 5)
        monkeypatch.setattr(disk.Group, "is_full", property(lambda group: group.staged_count >= 10))
        yield session, before


def test_a_drive_that_goes_away_ends_it_with_what_is_done_kept(forty, tmp_path: Path):
    session, before = forty
    steps = restore(session, str(tmp_path / "t1"))
    seen = []
    with pytest.raises(DriveGone):
        for event in steps:
            seen.append(event)
            if len([e for e in seen if isinstance(e, FileDone)]) == 10:
                os.rename(tmp_path / "t1", tmp_path / "gone")
                (tmp_path / "t1").mkdir()
                shutil.rmtree(tmp_path / "gone")
    os.rmdir(tmp_path / "t1")
    assert 10 <= len(tree(tmp_path / "photos")) < 40
    assert not list((tmp_path / "photos").glob(".medback-tmp*"))
    assert counted(session) == {1: len(before)}  # a drive that went away has lost nothing


def test_cancelling_keeps_what_is_published_and_leaves_nothing_else(forty, tmp_path: Path):
    session, before = forty
    steps = restore(session, str(tmp_path / "t1"))
    done = 0
    for event in steps:
        done += isinstance(event, FileDone)
        if done == 15:
            break
    cast("Any", steps).close()
    there = tree(tmp_path / "photos")
    assert done <= len(there) < len(before) and there.items() <= before.items()
    assert not list((tmp_path / "photos").glob(".medback-tmp*"))
    assert bring_back(session, tmp_path / "t1").summary.missing == 0
    assert tree(tmp_path / "photos") == before


def test_cancelled_with_two_batches_under_way_it_leaves_neither(forty, tmp_path: Path, monkeypatch):
    session, _ = forty
    monkeypatch.setattr(Pace, "is_due", lambda _pace: True)
    steps = restore(session, str(tmp_path / "t1"))
    assert any(len(list((tmp_path / "photos").glob(".medback-tmp*"))) > 10 for _ in steps)
    cast("Any", steps).close()
    assert not list((tmp_path / "photos").glob(".medback-tmp*"))
    assert bring_back(session, tmp_path / "t1").summary.missing == 0


def test_killed_at_any_change_it_converges(tmp_path: Path):
    write_tree(tmp_path / "photos", {"a": 10, "sub/b": 20, "sub/c": b"same", "sub/d": b"same"})
    os.symlink("a", tmp_path / "photos/l")
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    back(session, tmp_path / "t1")
    before = tree(tmp_path / "photos")

    number = 0
    while True:
        shutil.rmtree(tmp_path / "photos")
        (tmp_path / "photos").mkdir()
        (tmp_path / "photos/a").write_bytes(b"mine")
        killed = killed_after(number, partial(bring_back, session, tmp_path / "t1", conflict="overwrite"))
        there = tree(tmp_path / "photos")
        kept = [content for name, (content, _) in there.items() if name == b"a" or b"before" in name]
        assert b"mine" in kept, number
        for name, found in there.items():
            if name in before and found != before[name]:
                assert name == b"a" and found[0] == b"mine"
        summary = bring_back(session, tmp_path / "t1", conflict="overwrite").summary
        assert summary.missing == 0
        after = tree(tmp_path / "photos")
        assert before.items() <= after.items() and len(after) == 5, number
        if not killed:
            break
        number += 3
    assert number > 10
    session.close()


# --- what is refused ----------------------------------------------------------------------------------------------


def test_a_destination_on_the_target_is_refused(world):
    session, tmp = world
    before = sight(tmp / "t1")
    for to in (tmp / "t1/out", tmp / "t1", tmp):
        with pytest.raises(Refused, check=says("overlap")):
            bring_back(session, tmp / "t1", to=os.fsencode(to))
    assert sight(tmp / "t1") == before


def test_a_drive_that_is_not_plugged_in_is_refused(world):
    session, tmp = world
    shutil.rmtree(tmp / "t1")
    (tmp / "t1").mkdir()
    (tmp / "photos/a.txt").unlink()
    with pytest.raises(Refused, check=says("plugged in")):
        bring_back(session, tmp / "t1")
    assert counted(session) == {1: 6}


def test_another_source_at_the_place_is_not_written_into(world):
    session, tmp = world
    shutil.move(tmp / "photos", tmp / "old")
    write_tree(tmp / "photos", {"theirs": 10})
    with open_session(tmp / "another.db") as other:
        add(other, tmp / "photos")
    before = sight(tmp / "photos")
    ran = bring_back(session, tmp / "t1")
    assert ran.of(SourceRefused) and sight(tmp / "photos") == before


@pytest.mark.parametrize("path", [b"../x", b"/etc", b"a/../../b"])
def test_paths_that_are_none_are_refused(world, path: bytes):
    session, tmp = world
    with pytest.raises(Refused):
        bring_back(session, tmp / "t1", path=path)


def test_an_unknown_way_with_conflicts_is_refused(world):
    session, tmp = world
    with pytest.raises(UsageError):
        bring_back(session, tmp / "t1", conflict="maybe")


# --- after it -----------------------------------------------------------------------------------------------------


def test_the_next_scan_reads_nothing_that_was_just_restored(world):
    session, tmp = world
    shutil.rmtree(tmp / "photos")
    bring_back(session, tmp / "t1")
    scans = rescan(session, "photos").summary.scans
    assert [(scan.hashed, scan.reused, scan.removed, scan.added) for scan in scans] == [(0, 6, 0, 0)]
    assert counted(session) == {1: 6}


def test_what_the_source_holds_again_survives_the_loss_of_the_session(world):
    session, tmp = world
    shutil.rmtree(tmp / "photos")
    bring_back(session, tmp / "t1")
    with open_session(tmp / "another.db") as fresh:
        summary = add(fresh, tmp / "photos").summary
        assert (summary.hashed, summary.reused) == (0, 6)
        assert counted(fresh) == {1: 6}


def test_total_loss_of_the_machine(tmp_path: Path):
    old = tmp_path / "old machine"
    write_tree(tmp_path / "home/photos", {f"p{n}": 100 + n for n in range(30)} | {"sub/x": b"same", "sub/y": b"same"})
    write_tree(tmp_path / "home/music", {f"m{n}": 1000 + n for n in range(10)})
    os.symlink("p1", tmp_path / "home/photos/favourite")
    old.mkdir()
    with new_session(old) as session:
        add(session, tmp_path / "home/photos", copies=2)
        add(session, tmp_path / "home/music", copies=1)
        back(session, tmp_path / "t1", limit=8000)
        back(session, tmp_path / "t2")
        assert 0 not in counted(session)
        back(session, tmp_path / "t1", limit=1)
    before = tree(tmp_path / "home")
    shutil.rmtree(old)
    shutil.rmtree(tmp_path / "home")

    with new_session(tmp_path) as session:
        ran = run(add_restore_context(session, os.fsencode(tmp_path / "t1/.medback-context.xml")))
        assert (ran.summary.sources, ran.summary.files, ran.summary.targets) == (2, 42, 2)
        assert {source.alias: source.wanted for source in list_sources(session)} == {"photos": 2, "music": 1}
        first = bring_back(session, tmp_path / "t1").summary
        assert first.missing > 0 and first.next.target.label == "t2"
        # In the middle of it: an update and a lost session change nothing about what is expected.
        rescan(session)
        assert status(session).summary.expected == 42
    for name in ("session.db", "session.db-wal", "session.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with new_session(tmp_path) as session:
        middle = status(session).summary
        assert (middle.expected, middle.missing) == (42, first.missing)
        second = bring_back(session, tmp_path / "t2").summary
        assert second.missing == 0
        assert tree(tmp_path / "home") == before
        after = status(session).summary
        assert (after.expected, after.present, after.missing, after.next) == (42, 42, 0, None)
        assert not has_expected(session)
        scans = rescan(session).summary.scans
        assert sum(scan.hashed for scan in scans) == 0 and sum(scan.files for scan in scans) == 42
        assert 0 not in counted(session)
        t2 = next(target for target in list_targets(session) if target.label == "t2")
        standings = [copy.standing for _, copy in copies_on(session, t2.key)]
        assert standings.count(Standing.VERIFIED) >= second.restored


def test_a_restore_goes_on_where_it_was_after_the_session_is_lost(world):
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "context.xml"))
    before = tree(tmp / "photos")
    shutil.rmtree(tmp / "photos")
    with open_session(tmp / "new.db") as fresh:
        run(add_restore_context(fresh, os.fsencode(tmp / "context.xml")))
    for name in ("new.db", "new.db-wal", "new.db-shm", "new.db.sources"):
        (tmp / name).unlink(missing_ok=True)
    with open_session(tmp / "new.db") as fresh:
        assert bring_back(fresh, tmp / "t1").summary.restored == 6
    assert tree(tmp / "photos") == before


def test_a_discovered_drive_restores_too(world):
    session, tmp = world
    shutil.copytree(tmp / "photos", tmp / "rsync", ignore=shutil.ignore_patterns(".medback*"), symlinks=True)
    run(discover(session, os.fsencode(tmp / "rsync"), answers=Answers(create=True)))
    before = tree(tmp / "photos")
    shutil.rmtree(tmp / "photos")
    assert bring_back(session, "rsync").summary.restored == 6
    assert tree(tmp / "photos") == before


def test_the_date_in_names_is_the_models(world, monkeypatch):
    session, tmp = world
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
    (tmp / "photos/a.txt").write_bytes(b"mine")
    bring_back(session, tmp / "t1", conflict="rename")
    assert (tmp / "photos/a (medback 20270115-080000).txt").exists()


@pytest.mark.parametrize("way", ["cannot be made", "is a file"])
def test_a_source_whose_place_cant_be_had_stops_no_other(world, way: str):
    session, tmp = world
    write_tree(tmp / "far/music", {"song": 50})
    add(session, tmp / "far/music")
    back(session, tmp / "t1")
    before = tree(tmp / "far/music")
    for place in ("photos", "far"):
        shutil.rmtree(tmp / place)
    (tmp / "photos").write_text("in the way")
    if way == "cannot be made":
        session.db.execute("UPDATE source SET path = ? WHERE alias = 'photos'", (os.fsencode(tmp / "photos/deep"),))
    ran = bring_back(session, tmp / "t1")
    assert [event.alias for event in ran.of(SourceRefused)] == ["photos"]
    assert (ran.summary.restored, ran.summary.missing) == (1, len(FILES))
    assert tree(tmp / "far/music") == before
    assert (tmp / "photos").read_text() == "in the way"
    with pytest.raises(Refused):
        bring_back(session, tmp / "t1", source="photos")
