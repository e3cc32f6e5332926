"""What is mounted inside a source: read, left out by rule, or a gap until the person has answered."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import sys
from pathlib import Path

import pytest

from medback_core.cli.outcome import why
from medback_core import disk, model
from medback_core.session import open_session
from medback_core.backing_up.back_up import back_up
from medback_core.coverage.totals import looked
from medback_core.disk import mounts
from medback_core.disk.mounts import MountEntry
from medback_core.errors import UsageError
from medback_core.model import Answers, Excluded, Skipped, Target, TargetState, VerifySummary
from medback_core.restoring.restore import restore
from medback_core.presenting.looked import as_of, but_for
from medback_core.scanning import sources
from medback_core.session.gaps import list_gaps, nested_mounts
from medback_core.session.targets import merge_fact
from medback_core.sources import nested
from medback_core.sources.identity import metadata_at
from medback_core.upkeep.verify_target import verify
from support.mounting import Mounter, image, mount_fixture, unmount  # noqa: F401
from support.scan_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def gaps(world: World) -> dict[str, str]:
    return {os.fsdecode(gap.path): gap.reason for gap in list_gaps(world.session)}


# --- real mounts -----------------------------------------------------------------------------------------------------


def test_a_local_file_system_inside_a_new_source_is_read_and_its_records_stay_while_it_is_away(
    world: World, mount: Mounter, tmp_path: Path
) -> None:
    disk_image = image(tmp_path / "image")
    point = world.src / "disk"
    mount("-o", "loop", disk_image, point=point)
    world.fill(["a", "disk/b", "disk/sub/c"])
    world.add()
    assert world.names() == {"a", "disk/b", "disk/sub/c"}
    assert gaps(world) == {}
    assert (point / "sub" / ".medback.xml").is_file()
    metadata = metadata_at(os.fsencode(world.src))
    assert metadata is not None
    assert [mount.path for mount in metadata.mounts] == [b"disk"]
    assert world.update().hashed == 0

    unmount(point)  # the drive is not plugged in
    (point / "left behind").write_text("not of the source")
    summary = world.update()
    assert (summary.removed, summary.added) == (0, 0)
    assert world.names() == {"a", "disk/b", "disk/sub/c"}
    assert list(gaps(world)) == ["disk"]
    assert not (point / ".medback.xml").exists()
    assert [gap.path for gap in (metadata_at(os.fsencode(world.src)) or metadata).gaps] == [b"disk"]

    mount("-o", "loop", image(tmp_path / "other"), point=point)  # another drive
    (point / "other").write_text("of another drive")
    assert world.update().removed == 0
    assert "another drive" in gaps(world)["disk"]
    assert world.names() == {"a", "disk/b", "disk/sub/c"}
    unmount(point)

    mount("-o", "loop", disk_image, point=point)
    (point / "sub" / "c").unlink()
    assert world.update().removed == 1
    assert gaps(world) == {}


def test_dirty_records_are_not_written_under_a_mount_that_is_away(world: World, mount: Mounter, tmp_path: Path) -> None:
    point = world.src / "disk"
    mount("-o", "loop", image(tmp_path / "image"), point=point)
    world.fill(["a", "disk/b"])
    world.add()
    unmount(point)
    world.back_up("disk/b", "t1")
    world.flush()
    assert list(point.iterdir()) == []


def test_a_verify_does_not_look_below_a_mount_that_is_away(world: World, mount: Mounter, tmp_path: Path) -> None:
    """Its files are not missing: they are not looked at, and stay due. What lies there now is not read for them."""
    disk_image = image(tmp_path / "image")
    point = world.src / "disk"
    mount("-o", "loop", disk_image, point=point)
    world.fill(["a", "disk/b", "disk/sub/c"])
    world.add()
    unmount(point)
    (point / "b").write_text("of another drive")
    summary = world.run(verify(world.session, os.fsencode(world.src)))
    assert isinstance(summary, VerifySummary)
    assert (summary.checked, summary.missing, summary.changed, summary.left) == (1, 0, 0, 2)
    (skipped,) = [event for event in world.events if isinstance(event, Skipped)]
    assert os.fsdecode(skipped.path) == str(point) and "nothing is mounted there" in why(skipped)
    (point / "b").unlink()
    mount("-o", "loop", disk_image, point=point)
    summary = world.run(verify(world.session, os.fsencode(world.src)))
    assert isinstance(summary, VerifySummary) and summary.checked == 2


def test_after_the_db_was_lost_a_mount_that_is_away_is_still_known(
    world: World, mount: Mounter, tmp_path: Path
) -> None:
    point = world.src / "disk"
    mount("-o", "loop", image(tmp_path / "image"), point=point)
    world.fill(["a", "disk/b"])
    world.add()
    unmount(point)
    world.lose_db()
    world.add()
    assert list(gaps(world)) == ["disk"]
    assert world.source.one_file_system is False


def test_a_restore_goes_into_a_mount_and_never_under_it(world: World, mount: Mounter, tmp_path: Path) -> None:
    disk_image = image(tmp_path / "image")
    point = world.src / "disk"
    mount("-o", "loop", disk_image, point=point)
    world.fill(["a", *[f"disk/sub/{number}" for number in range(300)]])
    world.add()
    drive = tmp_path / "drive"
    drive.mkdir()
    world.run(back_up(world.session, os.fsencode(drive), answers=Answers(create=True)))
    shutil.rmtree(point / "sub")
    (world.src / "a").unlink()
    unmount(point)
    summary = world.run(restore(world.session, os.fsdecode(drive)))
    assert isinstance(summary, model.RestoreSummary)
    assert (summary.restored, summary.missing) == (1, 300)
    assert list(point.iterdir()) == []
    assert [path for path, _ in world.told(Skipped)] == [b"disk"]
    mount("-o", "loop", disk_image, point=point)
    summary = world.run(restore(world.session, os.fsdecode(drive)))
    assert isinstance(summary, model.RestoreSummary)
    assert (summary.restored, summary.missing) == (300, 0)
    assert len(list((point / "sub").glob("[0-9]*"))) == 300


def test_memory_and_overlays_are_gaps_until_they_are_answered(world: World, mount: Mounter, tmp_path: Path) -> None:
    mount("-t", "tmpfs", "medback", point=world.src / "ram")
    for name in ("lower", "upper", "work"):
        (tmp_path / "over" / name).mkdir(parents=True)
    world.fill(["a", "ram/b"])
    world.add()
    assert world.names() == {"a"}
    assert gaps(world) == {"ram": "a file system in memory (tmpfs)"}
    assert world.told(Excluded) == [(b"ram", "a file system in memory (tmpfs)")]
    seen = looked(world.session)
    assert but_for(seen) == ", except 1 place medback did not read" and as_of(seen)

    sources.change_source(world.session, "photos", include_mounts=[os.fsencode(world.src / "ram")])
    world.update()
    assert world.names() == {"a", "ram/b"} and gaps(world) == {}
    unmount(world.src / "ram")
    assert world.update().removed == 0
    assert list(gaps(world)) == ["ram"]
    sources.change_source(world.session, "photos", drop_mounts=[os.fsencode(world.src / "ram")])
    world.update(answers=Answers(deletions=True))
    assert world.names() == {"a"} and gaps(world) == {}


def test_an_exclude_answers_too(world: World, mount: Mounter) -> None:
    mount("-t", "tmpfs", "medback", point=world.src / "ram")
    world.fill(["a", "ram/b"])
    world.add()
    sources.change_source(world.session, "photos", add_excludes=["/ram/"])
    world.update()
    assert gaps(world) == {} and nested_mounts(world.session, world.source.key) == {}


def test_one_directory_bound_to_a_second_place_is_walked_once(on_disk: Path, mount: Mounter) -> None:
    world = World(on_disk)
    world.fill(["z/x", "z/sub/y"])
    mount("--bind", str(world.src / "z"), point=world.src / "a")
    mount("--bind", str(world.src), point=world.src / "b")  # a cycle
    assert world.add().files == 2
    assert world.names() == {"z/x", "z/sub/y"}
    assert {path for path, _ in world.told(Excluded)} == {b"a", b"b"}
    assert gaps(world) == {}


def test_pseudo_file_systems_are_left_out_without_a_gap(world: World, mount: Mounter) -> None:
    mount("-t", "proc", "proc", point=world.src / "proc")
    world.fill(["a"])
    world.add()
    assert world.names() == {"a"} and gaps(world) == {}
    assert world.told(Excluded) == [(b"proc", "a pseudo file system (proc)")]


def test_a_target_at_the_root_of_a_mount_is_a_gap(world: World, mount: Mounter, tmp_path: Path) -> None:
    point = world.src / "drive"
    mount("-o", "loop", image(tmp_path / "image"), point=point)
    (point / ".medback-target.xml").write_text("<medback/>")
    world.fill(["a", "drive/b"])
    world.add()
    assert world.names() == {"a"} and gaps(world) == {"drive": "a backup target"}


def test_a_source_of_before_keeps_to_one_file_system_and_its_mounts_are_gaps(
    world: World, mount: Mounter, tmp_path: Path
) -> None:
    world.fill(["a"])
    world.add()
    with world.session.transaction() as raw:
        raw.execute("UPDATE source SET one_file_system = NULL")
    mount("-o", "loop", image(tmp_path / "image"), point=world.src / "disk")
    world.fill(["disk/b"])
    assert world.update().hashed == 0
    assert gaps(world) == {"disk": "another file system (ext4)"}
    sources.change_source(world.session, "photos", one_file_system=True)
    world.update()
    assert gaps(world) == {} and world.names() == {"a"}
    sources.change_source(world.session, "photos", one_file_system=False)
    world.update()
    assert gaps(world) == {} and world.names() == {"a", "disk/b"}


def test_a_file_system_mounted_over_records_forgets_none(world: World, mount: Mounter) -> None:
    world.fill(["a", "sub/b"])
    world.add(one_file_system=True)
    mount("-t", "tmpfs", "medback", point=world.src / "sub")
    assert world.update().removed == 0
    assert list(gaps(world)) == ["sub"] and world.names() == {"a", "sub/b"}


def test_btrfs_subvolumes_are_read_and_read_only_ones_left_out(world: World, mount: Mounter, tmp_path: Path) -> None:
    mount("-o", "loop", image(tmp_path / "image", "mkfs.btrfs", 120 << 20), point=world.src / "pool")
    pool = world.src / "pool"
    for words in (["create", pool / "vol"], ["snapshot", "-r", pool / "vol", pool / "old"]):
        subprocess.run(["btrfs", "-q", "subvolume", *map(str, words)], check=True, capture_output=True)
    world.fill(["a", "pool/b", "pool/vol/c"])
    world.add()
    assert world.names() == {"a", "pool/b", "pool/vol/c"} and gaps(world) == {}
    assert (b"pool/old", "snapshots") in world.told(Excluded)
    assert (pool / "vol" / ".medback.xml").is_file()


# --- a mount table that is given -------------------------------------------------------------------------------------


def entry(world: World, rel: str, kind: str, source: bytes, number: int) -> MountEntry:
    home = mounts.mount_of(os.fsencode(world.src), os.stat(world.src).st_dev)
    assert home is not None
    point = os.path.join(os.path.realpath(os.fsencode(world.src)), os.fsencode(rel))
    return MountEntry(os.makedev(0, 9000 + number), point, kind, source, 100_000 + number, home.number)


@pytest.mark.parametrize(
    ("kind", "source", "fate"),
    [
        ("nfs4", b"server:/export", "a network file system (nfs4)"),
        ("cifs", b"//server/share", "a network file system (cifs)"),
        ("fuse.sshfs", b"ada@host:", "a FUSE file system (fuse.sshfs)"),
        ("autofs", b"/etc/auto.misc", "an automount point"),
        ("overlay", b"overlay", "an overlay"),
        ("wonderfs", b"what", "a file system of a kind medback does not know (wonderfs)"),
    ],
)
def test_what_may_never_answer_is_not_even_looked_at(
    world: World, monkeypatch: pytest.MonkeyPatch, kind: str, source: bytes, fate: str
) -> None:
    world.fill(["a", "sub/away/x"])
    table = [*mounts.mount_table(), entry(world, "sub/away", kind, source, 1)]
    monkeypatch.setattr(mounts, "mount_table", lambda: table)
    looked_at: list[bytes] = []
    real = disk.Root.scan

    def scan(root: disk.Root, rel: bytes, unasked: frozenset[bytes] = frozenset()):
        for name, status in real(root, rel, unasked):
            looked_at.append(os.path.join(rel, name))
            yield name, status

    monkeypatch.setattr(disk.Root, "scan", scan)
    world.add()
    assert gaps(world) == {"sub/away": fate}
    assert b"sub" in looked_at and b"sub/away" not in looked_at
    assert world.names() == {"a"}


@pytest.mark.parametrize(
    ("rel", "kind", "source"),
    [
        ("snap", "zfs", b"tank/home@yesterday"),
        (".snapshots", "btrfs", b"/dev/sdz1"),
        ("cgroup", "cgroup2", b"cgroup2"),
    ],
)
def test_snapshots_and_pseudo_file_systems_are_no_gaps(
    world: World, monkeypatch: pytest.MonkeyPatch, rel: str, kind: str, source: bytes
) -> None:
    world.fill(["a", f"{rel}/x"])
    table = [*mounts.mount_table(), entry(world, rel, kind, source, 1)]
    monkeypatch.setattr(mounts, "mount_table", lambda: table)
    world.add()
    assert world.names() == {"a"} and gaps(world) == {}


def test_a_zfs_dataset_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(["a", "data/x", "data/.zfs/snapshot/old"])
    table = [*mounts.mount_table(), entry(world, "data", "zfs", b"tank/data", 1)]
    monkeypatch.setattr(mounts, "mount_table", lambda: table)
    world.add()
    assert world.names() == {"a", "data/x"} and gaps(world) == {}
    assert nested_mounts(world.session, world.source.key) == {b"data": "zfs:tank/data"}


def given(world: World, monkeypatch: pytest.MonkeyPatch, *entries: MountEntry) -> None:
    table = [*mounts.mount_table(), *entries]
    monkeypatch.setattr(mounts, "mount_table", lambda: table)


@pytest.mark.parametrize(
    ("kind", "source"), [("ext4", b"/dev/sdz1"), ("fuseblk", b"/dev/sdz1"), ("btrfs", b"/dev/sdz1")]
)
def test_what_is_local_is_read(world: World, monkeypatch: pytest.MonkeyPatch, kind: str, source: bytes) -> None:
    world.fill(["a", "disk/x"])
    given(world, monkeypatch, entry(world, "disk", kind, source, 1))
    world.add()
    assert world.names() == {"a", "disk/x"} and gaps(world) == {}


def test_a_read_only_subvolume_that_is_mounted_is_left_out(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(["a", "snap/x"])
    given(world, monkeypatch, entry(world, "snap", "btrfs", b"/dev/sdz1", 1))
    monkeypatch.setattr(mounts, "is_read_only_subvolume", lambda path: path.endswith(b"/snap") or None)
    world.add()
    assert world.names() == {"a"} and gaps(world) == {}
    assert world.told(Excluded) == [(b"snap", "a read-only snapshot")]


def test_what_is_mounted_at_a_removable_place_is_a_gap(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not where the source itself lies at one: it is on that drive as a whole."""
    world.fill(["a", "usb/stick/x"])
    given(world, monkeypatch, entry(world, "usb/stick", "ext4", b"/dev/sdz1", 1))
    top = os.path.realpath(os.fsencode(world.src))
    monkeypatch.setattr(nested, "_REMOVABLE_PLACES", (top + b"/usb/",))
    world.add()
    assert world.names() == {"a"} and gaps(world) == {"usb/stick": "a removable drive"}
    monkeypatch.setattr(nested, "_REMOVABLE_PLACES", (os.path.dirname(top) + b"/",))
    world.update()
    assert world.names() == {"a", "usb/stick/x"} and gaps(world) == {}


def test_what_lies_on_a_disk_the_kernel_calls_removable_is_a_gap(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    world.fill(["a", "disk/x"])
    given(world, monkeypatch, entry(world, "disk", "ext4", b"/dev/sdz1", 1))
    (tmp_path / "removable").write_text("1\n")
    monkeypatch.setattr(mounts, "block_device", lambda device, source: 42 if source == b"/dev/sdz1" else None)
    monkeypatch.setattr(mounts, "whole_disks", lambda device: {os.fsencode(tmp_path)} if device == 42 else set())
    world.add()
    assert world.names() == {"a"} and gaps(world) == {"disk": "a removable drive"}
    (tmp_path / "removable").write_text("0\n")
    world.update()
    assert world.names() == {"a", "disk/x"} and gaps(world) == {}


def test_a_known_target_mounted_at_a_place_that_was_taken_in_is_a_gap(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Backups are not backed up, and what the source had there stays on record."""
    world.fill(["a", "disk/x"])
    place = entry(world, "disk", "ext4", b"/dev/sdz1", 1)
    given(world, monkeypatch, place)
    world.add(include_mounts=[place.point])
    assert world.names() == {"a", "disk/x"}
    (world.src / "disk" / "x").unlink()
    (world.src / "disk" / ".medback-target.xml").write_text("<medback-target/>")
    (world.src / "disk" / "copy").write_text("a copy")
    merge_fact(world.session, Target(0, "t1", "Blue", TargetState.ACTIVE, path=place.point))
    world.update()
    assert world.names() == {"a", "disk/x"} and gaps(world) == {"disk": "a backup target"}


def test_a_place_that_was_taken_in_and_is_not_mounted_automatically_yet_keeps_its_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(["a", "disk/x"])
    given(world, monkeypatch, place := entry(world, "disk", "ext4", b"/dev/sdz1", 1))
    world.add(include_mounts=[place.point])
    (world.src / "disk" / "x").unlink()
    monkeypatch.undo()
    given(world, monkeypatch, entry(world, "disk", "autofs", b"/etc/auto.misc", 1))
    assert world.update().removed == 0
    assert world.names() == {"a", "disk/x"} and gaps(world) == {"disk": "nothing is mounted there now"}


def test_without_a_mount_table_a_place_that_was_taken_in_is_not_called_away(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(["a", "disk/x"])
    given(world, monkeypatch, place := entry(world, "disk", "ext4", b"/dev/sdz1", 1))
    world.add(include_mounts=[place.point])
    monkeypatch.setattr(mounts, "mount_table", list)
    world.fill(["disk/y"])
    world.update()
    assert world.names() == {"a", "disk/x", "disk/y"} and gaps(world) == {}


def test_what_a_later_mount_lies_over_is_not_seen(world: World) -> None:
    top = os.path.realpath(os.fsencode(world.src))
    table = [
        MountEntry(1, b"/", "ext4", b"/dev/sda1", 60, 1),
        MountEntry(2, b"/proc", "proc", b"proc", 22, 60),
        MountEntry(3, top + b"/x/deep", "nfs", b"s:/", 61, 60),
        MountEntry(4, top + b"/x", "ext4", b"/dev/sdb1", 62, 60),
        MountEntry(5, top + b"/x", "xfs", b"/dev/sdc1", 63, 62),
    ]
    assert {path: entry.kind for path, entry in mounts.mounts_inside(top, 1, table).items()} == {b"x": "xfs"}


def test_a_mount_that_lies_elsewhere_is_a_usage_error(world: World) -> None:
    world.fill(["a"])
    with pytest.raises(UsageError):
        world.add(include_mounts=[b"/elsewhere"])


# --- what is said ----------------------------------------------------------------------------------------------------


def test_safe_has_a_date_when_it_is_older_than_a_day(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(["a"])
    world.add()
    assert as_of(looked(world.session)) == ""
    later = model.now() + 90_000
    monkeypatch.setattr(model, "now", lambda: later)
    assert as_of(looked(world.session)).startswith(" as of ")


def test_an_ordinary_user_cannot_read_a_directory_and_is_told(tmp_path: Path) -> None:
    become = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    source = tmp_path / "photos"
    (source / "private").mkdir(parents=True)
    (source / "a").write_text("a")
    (source / "private" / "b").write_text("b")
    (source / "private").chmod(0)
    for directory in (tmp_path, source) if become else ():
        os.chown(directory, 65534, 65534)
    above = tmp_path
    while above != above.parent:  # pytest's own directories let nobody through
        if become and not above.stat().st_mode & 0o001 and above.is_relative_to(tempfile.gettempdir()):
            above.chmod(above.stat().st_mode | 0o011)
        above = above.parent
    program = "import sys; from medback_core.cli import main; sys.exit(main())"
    words = ["--session-db", str(tmp_path / "db"), "--json", "add-src", str(source)]
    done = subprocess.run(
        [*become, sys.executable, "-c", program, *words],
        capture_output=True,
        text=True,
        env={**os.environ, "HOME": str(tmp_path)},
        cwd=tmp_path,
    )
    if "ModuleNotFoundError" in done.stderr or ("Permission" in done.stderr and not done.stdout):
        pytest.skip("another user can't run Python from here")
    assert done.returncode == 3, done.stderr
    session = open_session(tmp_path / "db")
    assert [(gap.path, gap.reason) for gap in list_gaps(session)] == [(b"private", "Permission denied")]
    session.close()
