"""File systems: told as they are, in containers too; full, foreign and shared ones; reads proven or honestly not."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.disk import Group, Root, filesystem, mounts, portable, read_from_drive, reading
from medback_core.disk.causes import Cause, cause_of
from medback_core.model import Identity


def _run(*command: str | Path) -> bool:
    return subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def tmpfs(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "tmp fs"  # a space, as the mount table escapes it
    point.mkdir()
    if not _run("mount", "-t", "tmpfs", "-o", "size=256k", "none", point):
        pytest.skip("mounting needs root")
    yield point
    _run("umount", "-l", point)


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 in an image file, loop-mounted."""
    point = tmp_path / "image"
    point.mkdir()
    with open(tmp_path / "ext4.img", "wb") as file:
        file.truncate(4 << 20)
    if shutil.which("mkfs.ext4") is None or not _run("mkfs.ext4", "-q", "-F", tmp_path / "ext4.img"):
        pytest.skip("mkfs.ext4 is not there")
    if not _run("mount", "-o", "loop", tmp_path / "ext4.img", point):
        pytest.skip("loop mounts need root")
    yield point
    _run("umount", "-l", point)


def _read(root: Root, rel: bytes) -> disk.FromDrive:
    steps = read_from_drive(root, rel)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def test_a_file_system_is_described_with_nothing_in_dev_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "uuid_of", lambda device: None)
    found = disk.describe(bytes(tmp_path))
    room = os.statvfs(tmp_path)
    assert found.device == os.stat(tmp_path).st_dev
    assert found.total == room.f_blocks * room.f_frsize and 0 < found.free <= found.total
    assert os.fsencode(tmp_path).startswith(found.mount_point)
    assert found.uuid is None or found.uuid.startswith("fsid:")
    assert not found.read_only


def test_without_a_mount_table_no_promise_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "mount_table", list)
    found = disk.describe(bytes(tmp_path))
    assert not found.group_sync and not found.proves_reads and found.uuid is None
    assert found.total > 0


def test_what_is_gone_raises() -> None:
    with pytest.raises(FileNotFoundError):
        disk.describe(b"/nowhere/at/all")


def test_a_tmpfs_is_told_and_reads_from_it_prove_nothing(tmpfs: Path) -> None:
    found = disk.describe(bytes(tmpfs))
    assert (found.kind, found.mount_point, found.uuid) == ("tmpfs", bytes(tmpfs), None)
    assert disk.share_disk(found, disk.describe(bytes(tmpfs.parent))) is None
    (tmpfs / "a").write_bytes(b"x")
    with Root(bytes(tmpfs)) as root:
        assert _read(root, b"a").proven is False


def test_a_full_drive_refuses_one_file_and_takes_the_next_smaller(tmpfs: Path, tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(bytes(300_000))
    (tmp_path / "small").write_bytes(b"x")
    with Root(bytes(tmpfs)) as root, Group(root) as group:
        for name, expect_error in (("big", True), ("small", False)):
            data = (tmp_path / name).read_bytes()
            identity = Identity(len(data), hashlib.md5(data).digest())
            with open(tmp_path / name, "rb") as file:
                try:
                    group.stage_small_copy(name.encode(), file.fileno(), expected=identity, mtime_ns=0)
                except OSError as error:
                    assert expect_error and error.errno == errno.ENOSPC
        group.publish()
    assert [path.name for path in tmpfs.iterdir()] == ["small"]


def test_a_file_system_mounted_inside_a_root_is_never_written_to(tmpfs: Path) -> None:
    with Root(bytes(tmpfs.parent)) as root, Group(root) as group, pytest.raises(OSError) as caught:
        group.stage_bytes(b"tmp fs/x", b"x")
    assert caught.value.errno == errno.EXDEV
    assert list(tmpfs.iterdir()) == []


def test_an_image_shares_the_disk_its_file_lies_on_and_proves_no_reads(image: Path) -> None:
    found = disk.describe(bytes(image))
    assert found.kind == "ext4"
    assert found.uuid is not None
    (image / "a").write_bytes(b"x" * 10_000)
    os.sync()
    with Root(bytes(image)) as root:
        assert _read(root, b"a").proven is False  # answered from the page cache of the image file
    if not mounts.whole_disks(os.stat(image.parent).st_dev):
        pytest.skip("the image's own disk is not known here")
    assert disk.share_disk(found, disk.describe(bytes(image.parent)))
    assert disk.share_disk(disk.describe(bytes(image.parent)), found)


def test_a_read_only_drive_is_told(image: Path) -> None:
    assert _run("mount", "-o", "remount,ro", image)
    assert disk.describe(bytes(image)).read_only
    with Root(bytes(image)) as root:
        with disk.lock_drive(root):  # enough to restore from
            pass
        with pytest.raises(OSError) as caught:
            disk.write_whole(root, b"x", b"x")
        assert caught.value.errno == errno.EROFS


@pytest.fixture
def exfat(tmp_path: Path) -> Iterator[Path]:
    point = tmp_path / "exfat"
    point.mkdir()
    with open(tmp_path / "exfat.img", "wb") as file:
        file.truncate(4 << 20)
    if shutil.which("mkfs.exfat") is None or not _run("mkfs.exfat", tmp_path / "exfat.img"):
        pytest.skip("mkfs.exfat is not there")
    loop = subprocess.run(["losetup", "-f", "--show", tmp_path / "exfat.img"], capture_output=True, text=True)
    device = loop.stdout.strip()
    try:
        if not device or not (_run("mount.exfat-fuse", device, point) or _run("mount", "-t", "exfat", device, point)):
            pytest.skip("exFAT can't be mounted here")
        yield point
    finally:
        if not _run("umount", point):
            _run("umount", "-l", point)
        _run("losetup", "-d", device)


def test_on_exfat_escaped_names_are_taken_and_a_name_that_folds_replaces_nothing(exfat: Path) -> None:
    forbidden = [b"a:b", b"q?", b"\xff", b"x\x01", b"back\\slash", b"end.", b'"<|>*']
    with Root(bytes(exfat)) as root:
        assert root.file_system.restricted_names and root.file_system.coarse_times
        assert not root.file_system.group_sync
        assert disk.share_disk(root.file_system, root.file_system)
        with Group(root) as group:
            for name in [*map(disk.escape_component, forbidden), b"Photo", b"PHOTO", disk.collision_name(b"PHOTO")]:
                identity = Identity(3, hashlib.md5(b"abc").digest())
                (exfat.parent / "abc").write_bytes(b"abc")
                with open(exfat.parent / "abc", "rb") as source:
                    group.stage_small_copy(name, source.fileno(), expected=identity, mtime_ns=10**18)
            results = {staged.rel: error for staged, error in group.publish()}
        assert isinstance(results.pop(b"PHOTO"), FileExistsError)
        assert set(results.values()) == {None}
        assert {name for name, _ in root.scan(b"")} == set(results)


@pytest.mark.parametrize(
    ("kind", "group_sync", "coarse", "max_file", "restricted"),
    [
        ("ext4", True, False, None, False),
        ("btrfs", True, False, None, False),
        ("ext3", False, False, None, False),
        ("vfat", False, True, 0xFFFFFFFF, True),
        ("exfat", False, True, None, True),
        ("fuseblk", False, True, None, True),
        ("ntfs3", False, False, None, True),
        ("nfs4", False, False, None, False),
        ("fuse.sshfs", False, False, None, False),
        ("overlay", False, False, None, False),
    ],
)
def test_what_each_kind_can_do(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    group_sync: bool,
    coarse: bool,
    max_file: int | None,
    restricted: bool,
) -> None:
    entry = mounts.MountEntry(os.stat(tmp_path).st_dev, b"/", kind, b"/dev/sdz1")
    monkeypatch.setattr(mounts, "mount_table", lambda: [entry])
    found = disk.describe(bytes(tmp_path))
    assert found.group_sync is (group_sync and portable.HAS_SYNCFS)
    assert (found.coarse_times, found.max_file, found.restricted_names) == (coarse, max_file, restricted)
    if kind in ("nfs4", "fuse.sshfs", "overlay", "fuseblk"):
        assert not found.proves_reads


def test_an_old_kernel_gets_no_group_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filesystem, "_kernel", lambda: (5, 7))
    assert not disk.describe(bytes(tmp_path)).group_sync


def test_a_uuid_and_the_fsid_made_of_it_are_one_file_system() -> None:
    uuid = "0b1c2d3e-4f50-6172-8394-a5b6c7d8e9fa"
    raw = bytes.fromhex(uuid.replace("-", ""))
    fsid = int.from_bytes(raw[:8], "little") ^ int.from_bytes(raw[8:], "little")
    assert disk.same_uuid(uuid, f"fsid:{fsid:016x}") is True
    assert disk.same_uuid(f"fsid:{fsid:016x}", uuid) is True
    assert disk.same_uuid(uuid, uuid) is True
    assert disk.same_uuid(uuid, "1" + uuid[1:]) is False
    assert disk.same_uuid(uuid, "fsid:0000000000000001") is None  # another, or a btrfs: can't be told
    assert disk.same_uuid(None, uuid) is None
    assert disk.same_uuid("1234-ABCD", "fsid:0000000000000001") is False


def test_the_fsid_of_an_ext4_is_the_one_computed_from_its_uuid(image: Path, tmp_path: Path) -> None:
    shown = subprocess.run(["dumpe2fs", "-h", tmp_path / "ext4.img"], capture_output=True, text=True).stdout
    uuid = next((line.split()[-1] for line in shown.splitlines() if "UUID" in line), None)
    if uuid is None:
        pytest.skip("dumpe2fs is not there")
    assert disk.same_uuid(uuid, disk.describe(bytes(image)).uuid) is True


def test_a_reading_back_is_proven_only_when_nothing_was_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = os.urandom(2_500_000)
    (tmp_path / "a").write_bytes(data)
    with open(tmp_path / "a", "rb") as file:
        os.fsync(file.fileno())
    with Root(bytes(tmp_path)) as root:
        if not root.file_system.proves_reads or not hasattr(os, "posix_fadvise"):
            pytest.skip(f"{root.file_system.kind} proves nothing")
        proven = _read(root, b"a")
        assert proven.identity == Identity(len(data), hashlib.md5(data).digest())
        assert proven.proven
        monkeypatch.setattr(reading, "_drop_cache", lambda fd: True)  # says so and does nothing
        assert _read(root, b"a").proven is False
        monkeypatch.setattr(portable, "cached_pages", lambda fd: None)  # an older kernel: asked page by page
        assert _read(root, b"a").proven is False
        monkeypatch.undo()
        monkeypatch.setattr(portable, "cached_pages", lambda fd: None)
        assert _read(root, b"a").proven
        monkeypatch.delattr(os, "preadv")
        assert _read(root, b"a").proven is False  # nobody can tell


def test_a_file_that_changes_while_it_is_read_back_is_told(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(2_500_000))
    with Root(bytes(tmp_path)) as root:
        steps = read_from_drive(root, b"a")
        next(steps)
        (tmp_path / "a").write_bytes(b"x" * 2_500_000)
        with pytest.raises(OSError) as caught:
            list(steps)
        assert caught.value.errno == errno.ESTALE


def test_the_day_of_birth_is_told_where_it_is_known(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x")
    os.utime(tmp_path / "a", ns=(1, 1))
    born = disk.birth_ns(bytes(tmp_path / "a"))
    if born is None:
        pytest.skip("not known on this file system")
    assert abs(born - os.stat(tmp_path / "a").st_ctime_ns) < 10 * 10**9
    directory = os.open(tmp_path, os.O_RDONLY)
    assert disk.birth_ns(b"a", directory) == born
    os.close(directory)
    assert disk.birth_ns(b"/nowhere") is None


def test_drives_for_the_picker_answer_everywhere(tmpfs: Path) -> None:
    assert all(mount.path != b"/" for mount in disk.removable_mounts())


def test_what_is_not_there_any_more_when_it_is_first_described_is_gone(tmp_path: Path) -> None:
    """A drive that was pulled out right after the start of a restore onto it."""
    (tmp_path / "there").mkdir()
    with Root(os.fsencode(tmp_path / "there")) as root:
        (tmp_path / "there").rmdir()
        with pytest.raises(OSError) as caught:
            _ = root.file_system
    assert cause_of(caught.value) is Cause.GONE
