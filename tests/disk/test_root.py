"""A root: everything below it is reached without following a link and without ever leaving it."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core.disk import Root
from medback_core.disk import root as root_module


@pytest.fixture
def top(tmp_path: Path) -> Path:
    (tmp_path / "top" / "d" / "e").mkdir(parents=True)
    (tmp_path / "top" / "d" / "f").write_bytes(b"content")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret").write_bytes(b"secret")
    return tmp_path / "top"


@pytest.fixture
def root(top: Path) -> Iterator[Root]:
    with Root(bytes(top)) as opened:
        yield opened


def test_the_path_given_may_be_a_link_but_must_be_a_directory(tmp_path: Path, top: Path) -> None:
    os.symlink("top", tmp_path / "link")
    with Root(bytes(tmp_path / "link")) as root:
        assert root.read_whole(b"d/f", 100) == b"content"
    with pytest.raises(NotADirectoryError):
        Root(bytes(top / "d" / "f"))
    with pytest.raises(FileNotFoundError):
        Root(bytes(top / "nowhere"))


@pytest.mark.parametrize(
    "rel", [b"..", b"../outside/secret", b"d/../../outside/secret", b"/etc/passwd", b"d//f", b"d/./f", b"d/f\0", b"d/"]
)
def test_no_path_leads_outside(root: Root, rel: bytes) -> None:
    for look in (root.open_file, root.stat, root.readlink, lambda rel: root.read_whole(rel, 100)):
        with pytest.raises(OSError) as caught:
            look(rel)
        assert caught.value.errno == errno.EINVAL


def test_no_link_is_followed_in_any_component(root: Root, top: Path) -> None:
    os.symlink("../outside", top / "out")
    os.symlink("../outside/secret", top / "file")
    for rel in (b"out/secret", b"file"):
        with pytest.raises(OSError):
            root.open_file(rel)
    with pytest.raises(OSError):
        list(root.scan(b"out"))
    with pytest.raises(OSError):
        root.make_directories(b"out/new")
    assert not (top.parent / "outside" / "new").exists()
    assert root.stat(b"out/secret") is None
    status = root.stat(b"file")
    assert status is not None and stat.S_ISLNK(status.st_mode)
    assert root.readlink(b"file") == b"../outside/secret"


def test_a_directory_swapped_for_a_link_after_it_was_cached_still_means_the_real_one(root: Root, top: Path) -> None:
    root.open_directory(b"d")
    (top / "d").rename(top.parent / "moved")
    os.symlink("../outside", top / "d")
    assert root.stat(b"d/secret") is None
    assert root.stat(b"d/f") is not None


@pytest.mark.timeout(10)
def test_only_regular_files_are_opened_and_a_fifo_is_not_waited_for(root: Root, top: Path) -> None:
    os.mkfifo(top / "fifo")
    for rel in (b"fifo", b"d"):
        with pytest.raises(OSError) as caught:
            root.open_file(rel)
        assert caught.value.errno == errno.EINVAL


def test_what_is_missing_is_none_and_metadata_beyond_the_limit_is_refused(root: Root) -> None:
    assert root.stat(b"nope") is None
    assert root.stat(b"nope/deeper") is None
    assert root.stat(b"d/f/below-a-file") is None
    assert root.read_whole(b"d/f", 7) == b"content"
    with pytest.raises(OSError) as caught:
        root.read_whole(b"d/f", 6)
    assert caught.value.errno == errno.EFBIG
    status = root.stat(b"")
    assert status is not None and status.st_dev == root.device


def test_a_file_beyond_the_limit_is_refused_unread_and_one_that_hides_it_when_it_is_reached(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Root(b"/proc/self") as proc:  # whose files say they are empty
        assert len(proc.read_whole(b"status", 1 << 20)) > 100
        with pytest.raises(OSError) as caught:
            proc.read_whole(b"status", 100)
        assert caught.value.errno == errno.EFBIG
    monkeypatch.setattr(os, "read", lambda *_: pytest.fail("it was read"))
    with pytest.raises(OSError) as caught:
        root.read_whole(b"d/f", 6)
    assert caught.value.errno == errno.EFBIG


def test_scan_gives_exact_names_and_lstats(root: Root, top: Path) -> None:
    weird = [b"\xff\xfe", b"new\nline", b"-rf", b"'\"<&>", "é".encode(), "e\u0301".encode(), b"x" * 255, b" ."]
    for name in weird:
        with open(os.path.join(bytes(top), b"d", b"e", name), "wb") as file:
            file.write(name)
    os.symlink("nowhere", top / "d" / "e" / "dangling")
    found = dict(root.scan(b"d/e"))
    assert set(found) == {*weird, b"dangling"}
    assert all(isinstance(status, os.stat_result) for status in found.values())
    assert all(root.read_whole(b"d/e/" + name, 300) == name for name in weird)


def test_two_scans_of_one_directory_do_not_disturb_each_other(root: Root, top: Path) -> None:
    for index in range(200):
        (top / "d" / "e" / str(index)).touch()
    one = root.scan(b"d/e")
    first = [next(one)[0] for _ in range(3)]
    assert len(list(root.scan(b"d/e"))) == 200
    assert len(first + [name for name, _ in one]) == 200


def test_directories_are_made_with_their_parents_and_what_was_made_is_told(root: Root, top: Path) -> None:
    assert root.make_directories(b"d/e/x/y") == [b"d/e/x", b"d/e/x/y"]
    assert root.make_directories(b"d/e/x/y") == []
    assert (top / "d/e/x/y").is_dir()
    with pytest.raises(NotADirectoryError):
        root.make_directories(b"d/f/x")


def test_deep_trees_far_beyond_path_max_work(root: Root) -> None:
    deep = b"/".join([b"a-rather-long-component-name" * 4] * 250)
    assert len(deep) > 4 * 4096
    root.make_directories(deep)
    assert root.stat(deep) is not None
    assert list(root.scan(deep)) == []


def test_a_directory_in_use_is_never_closed_however_many_are_opened(
    root: Root, top: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(root_module, "_KEPT_OPEN", 4)
    before = len(os.listdir("/proc/self/fd"))
    for index in range(20):
        root.make_directories(b"n%d" % index)
    with root.directory(b"d") as fd:
        inode = os.fstat(fd).st_ino
        for index in range(20):
            root.open_directory(b"n%d" % index)
        assert os.fstat(fd).st_ino == inode
        assert len(os.listdir("/proc/self/fd")) <= before + 5
    for index in range(5):
        root.open_directory(b"n%d" % index)
    assert len(os.listdir("/proc/self/fd")) <= before + 4


def test_a_directory_that_is_forgotten_stays_good_for_who_holds_it(root: Root, top: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with root.directory(b"d/e") as fd:
        inode = os.fstat(fd).st_ino
        root.forget_directory(b"d")
        (top / "d" / "e").rmdir()
        (top / "d" / "e").mkdir()
        with root.directory(b"d/e") as new:
            assert os.fstat(new).st_ino != inode or new != fd
            assert os.fstat(fd).st_nlink == 0
    root.close()
    assert len(os.listdir("/proc/self/fd")) == before - 1


def test_it_tells_when_its_path_leads_elsewhere(root: Root, top: Path) -> None:
    assert root.is_same_drive()
    top.rename(top.parent / "away")
    assert not root.is_same_drive()
    top.mkdir()
    assert not root.is_same_drive()


def test_a_drive_unmounted_under_way_is_noticed_and_nothing_is_written_underneath(tmp_path: Path) -> None:
    point = tmp_path / "mnt"
    point.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", point], capture_output=True).returncode:
        pytest.skip("mounting needs root")
    try:
        root = Root(bytes(point))
        assert root.is_same_drive()
    finally:
        subprocess.run(["umount", "-l", point], check=True)
    with root:
        assert not root.is_same_drive()
        root.make_directories(b"lost")
        assert list(point.iterdir()) == []
        with pytest.raises(OSError):
            _ = root.file_system
