"""Single changes: atomic, durable, never over something else, and tidy after a kill."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.power import Dropped, PowerCut
from medback_core import disk
from medback_core.disk import Cleaned, Root, portable
from support.killing import Killed


@pytest.fixture(autouse=True)
def no_observer_left() -> Iterator[None]:
    yield
    disk.set_observer(None)


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "d").mkdir()
    with Root(bytes(tmp_path)) as opened:
        yield opened


def _ops() -> list[tuple[Any, ...]]:
    ops: list[tuple[Any, ...]] = []
    disk.set_observer(lambda *op: ops.append(op))
    return ops


def test_a_whole_file_is_replaced_durably_and_only_if_it_differs(root: Root, tmp_path: Path) -> None:
    assert disk.write_whole(root, b"new/.medback.xml", b"one")
    ops = _ops()
    assert not disk.write_whole(root, b"new/.medback.xml", b"one")
    assert ops == []
    assert disk.write_whole(root, b"new/.medback.xml", b"two!")
    assert [op[0] for op in ops] == ["create", "write", "fsync", "rename", "fsync_directory"]
    assert disk.write_whole(root, b"new/.medback.xml", b"two")  # a prefix of what is there differs too
    assert (tmp_path / "new" / ".medback.xml").read_bytes() == b"two"
    assert os.listdir(tmp_path / "new") == [".medback.xml"]


def test_writing_over_a_link_replaces_the_link_and_not_what_it_points_to(root: Root, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"precious")
    os.symlink("../victim", tmp_path / "d" / ".medback.xml")
    disk.write_whole(root, b"d/.medback.xml", b"x")
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert not (tmp_path / "d" / ".medback.xml").is_symlink()


def test_a_write_that_fails_leaves_the_old_file_and_no_other(root: Root, tmp_path: Path) -> None:
    disk.write_whole(root, b"d/x", b"old")

    for bad in ("write", "fsync", "rename"):

        def fail(op: str, *details: Any, bad: str = bad) -> None:
            if op == bad:
                raise OSError(errno.ENOSPC, op)

        disk.set_observer(fail)
        with pytest.raises(OSError):
            disk.write_whole(root, b"d/x", b"new")
        disk.set_observer(None)
        assert os.listdir(tmp_path / "d") == ["x"]
        assert (tmp_path / "d" / "x").read_bytes() == b"old"


def test_a_move_never_replaces_and_new_directories_are_durable_before_it_both_after_it(
    root: Root, tmp_path: Path
) -> None:
    (tmp_path / "d" / "a").write_bytes(b"a")
    (tmp_path / "d" / "b").write_bytes(b"b")
    with pytest.raises(FileExistsError):
        disk.move(root, b"d/a", b"d/b")
    ops = _ops()
    disk.move(root, b"d/a", b"x/y/a")
    disk.set_observer(None)
    assert [op[0] for op in ops] == ["mkdir"] * 2 + ["fsync_directory"] * 2 + ["rename_noreplace"] + [
        "fsync_directory"
    ] * 2
    assert (tmp_path / "x/y/a").read_bytes() == b"a"
    assert (tmp_path / "d/b").read_bytes() == b"b"
    with pytest.raises(FileNotFoundError):
        disk.move(root, b"d/a", b"d/c")


@pytest.mark.parametrize("new", ["d/b", "e/b", "new/deep/b"])
def test_wherever_the_power_is_cut_a_moved_file_has_one_name_and_once_it_is_moved_the_new_one(
    tmp_path: Path, new: str
) -> None:
    drive = tmp_path / "world" / "t1"
    moved, point = False, 0
    while not moved:
        shutil.rmtree(drive, ignore_errors=True)
        (drive / "d").mkdir(parents=True)
        (drive / "e").mkdir()
        (drive / "d" / "a").write_bytes(b"a")
        cut = PowerCut(tmp_path / "world", point)
        with Root(bytes(drive)) as root:
            disk.set_observer(cut)
            try:
                disk.move(root, b"d/a", new.encode())
                moved = True
            except Killed:
                point += 1
            finally:
                disk.set_observer(None)
        cut.come_back(Dropped())
        names = [os.fspath(path.relative_to(drive)) for path in drive.rglob("*") if path.is_file()]
        assert len(names) == 1 and (drive / names[0]).read_bytes() == b"a"
        assert names[0] == new if moved else names[0] in ("d/a", new)
    assert point >= 2


def test_a_moved_directory_is_not_found_under_its_old_name_any_more(root: Root, tmp_path: Path) -> None:
    root.make_directories(b"d/e")
    disk.move(root, b"d", b"moved")
    assert root.stat(b"d/e") is None
    disk.write_whole(root, b"d/e/f", b"x")
    assert (tmp_path / "d/e/f").exists() and not (tmp_path / "moved/e/f").exists()


def test_only_the_very_file_that_was_looked_at_is_removed(root: Root, tmp_path: Path) -> None:
    path = tmp_path / "d" / "a"
    path.write_bytes(b"one")
    seen = root.stat(b"d/a")
    assert seen is not None
    path.write_bytes(b"two!")
    with pytest.raises(OSError) as caught:
        disk.remove(root, b"d/a", expect=seen)
    assert caught.value.errno == errno.ESTALE
    path.unlink()
    path.write_bytes(b"one")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns + 1))
    with pytest.raises(OSError):
        disk.remove(root, b"d/a", expect=seen)
    assert path.exists()
    now = root.stat(b"d/a")
    assert now is not None
    disk.remove(root, b"d/a", expect=now)
    assert not path.exists()
    with pytest.raises(FileNotFoundError):
        disk.remove(root, b"d/a", expect=now)
    directory = root.stat(b"d")
    assert directory is not None
    with pytest.raises(IsADirectoryError):
        disk.remove(root, b"d", expect=directory)


def test_only_an_empty_directory_is_removed(root: Root, tmp_path: Path) -> None:
    (tmp_path / "d" / "a").touch()
    assert not disk.remove_empty_directory(root, b"d")
    (tmp_path / "d" / "a").unlink()
    assert disk.remove_empty_directory(root, b"d")
    assert not (tmp_path / "d").exists()
    disk.write_whole(root, b"d/b", b"x")
    assert (tmp_path / "d" / "b").exists()


def test_a_link_is_made_as_it_is_and_never_over_something(root: Root, tmp_path: Path) -> None:
    disk.make_symlink(root, b"new/l", b"../nowhere\xff")
    assert os.readlink(bytes(tmp_path / "new" / "l")) == b"../nowhere\xff"
    with pytest.raises(FileExistsError):
        disk.make_symlink(root, b"new/l", b"other")
    disk.sync_drive(root)


# --- after a kill --------------------------------------------------------------------------------------------------

STALE = ".medback-tmp-0123456789ab"
STALE_SIDECAR = STALE + ".medback.xml"


def _clean(root: Root, *names: str) -> Cleaned:
    return disk.clean_temporaries(root, b"d", [name.encode() for name in names], lambda name, data: data == b"whole")


def test_leftovers_go_and_nothing_that_only_looks_like_one(root: Root, tmp_path: Path) -> None:
    keep = ["a", ".medback-tmp-", ".medback-tmp-0123", "x.medback-tmp-0123456789ab", STALE + "0", STALE + ".jpg"]
    for name in [STALE, STALE_SIDECAR, *keep]:
        (tmp_path / "d" / name).write_bytes(b"x")
    (tmp_path / "d" / ".medback-tmp-aaaaaaaaaaaa").mkdir()
    os.symlink("a", tmp_path / "d" / ".medback-tmp-bbbbbbbbbbbb")
    before = set(os.listdir(tmp_path / "d"))
    assert _clean(root, *before) == Cleaned(removed=2)
    assert set(os.listdir(tmp_path / "d")) == before - {STALE, STALE_SIDECAR}


def test_a_whole_temporary_sidecar_is_adopted_when_the_real_one_is_missing(root: Root, tmp_path: Path) -> None:
    older, newer = STALE_SIDECAR, ".medback-tmp-ffffffffffff.medback.xml"
    torn = ".medback-tmp-cccccccccccc.medback.xml"
    for index, (name, data) in enumerate([(older, b"whole"), (newer, b"whole"), (torn, b"who")]):
        (tmp_path / "d" / name).write_bytes(data)
        os.utime(tmp_path / "d" / name, ns=(index, index))
    ops = _ops()
    assert _clean(root, older, newer, torn) == Cleaned(removed=2, adopted=(b".medback.xml",))
    assert os.listdir(tmp_path / "d") == [".medback.xml"]
    assert os.stat(tmp_path / "d" / ".medback.xml").st_mtime_ns == 1
    kinds = [op[0] for op in ops]
    assert kinds.index("fsync_directory") < kinds.index("unlink")  # adopted durably before anything goes


def test_the_real_sidecar_outranks_any_temporary_one(root: Root, tmp_path: Path) -> None:
    (tmp_path / "d" / ".medback.xml").write_bytes(b"real")
    (tmp_path / "d" / STALE_SIDECAR).write_bytes(b"whole")
    assert _clean(root, STALE_SIDECAR) == Cleaned(removed=1)
    assert (tmp_path / "d" / ".medback.xml").read_bytes() == b"real"


def test_content_that_looks_like_a_sidecar_is_never_adopted_as_one(root: Root, tmp_path: Path) -> None:
    (tmp_path / "d" / STALE).write_bytes(b"whole")  # the temporary file of a copy
    assert _clean(root, STALE) == Cleaned(removed=1)
    assert os.listdir(tmp_path / "d") == []


def test_a_leftover_that_cannot_be_removed_is_counted_and_no_error(root: Root, tmp_path: Path) -> None:
    (tmp_path / "d" / STALE).write_bytes(b"x")

    def fail(op: str, *details: Any) -> None:
        raise OSError(errno.EROFS, op)

    disk.set_observer(fail)
    assert _clean(root, STALE) == Cleaned(failed=1)


def test_without_renameat2_a_move_still_never_replaces(
    root: Root, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "HAS_RENAMEAT2", False)
    for name in "ab":
        (tmp_path / "d" / name).write_bytes(name.encode())
    with pytest.raises(FileExistsError):
        disk.move(root, b"d/a", b"d/b")
    disk.move(root, b"d/a", b"d/c")
    assert sorted(os.listdir(tmp_path / "d")) == ["b", "c"]
