"""One directory under two paths is one directory; one target inside another counts no file twice; one disk dies once."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from support.saying import says
from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.backing_up.discover import discover
from medback_core.coverage.what_if import what_if_every
from medback_core.disk import Lies, mounts, overlap
from medback_core.drives.open import set_target
from medback_core.errors import NeedsAnswer, Refused
from medback_core.model import Answers, Excluded, Warned
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.session.targets import disk_groups
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.verify_target import verify
from support.mounting import Mounter, image, mount_fixture  # noqa: F401
from support.worlds import Ran, add, back, counted, new_session, photos, run, tree, write_tree


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Session, Path]]:
    with photos(tmp_path, {"a.txt": 100, "sub/b.txt": 200}, drives=("t1",)) as world:
        yield world


def at(path: Path) -> bytes:
    return os.fsencode(path)


# --- one directory, two paths -----------------------------------------------------------------------------------------


def test_how_directories_lie_to_each_other(mount: Mounter, tmp_path: Path) -> None:
    for name in ("top/in/deep", "other", "top/hole"):
        (tmp_path / name).mkdir(parents=True)
    mount("--bind", str(tmp_path / "top/in"), point=tmp_path / "bound")
    mount("-t", "tmpfs", "none", point=tmp_path / "top/hole")
    mount("--bind", str(tmp_path / "top/hole"), point=tmp_path / "hole")
    mount("--bind", str(tmp_path / "other"), point=tmp_path / "around/x")
    (tmp_path / "other/part").mkdir()
    mount("--bind", str(tmp_path / "other/part"), point=tmp_path / "view/x")
    cases = {
        ("top", "top"): Lies.SAME,
        ("top", "other"): None,
        ("top/in", "top"): Lies.INSIDE,
        ("top", "top/in/deep"): Lies.AROUND,
        ("bound", "top/in"): Lies.SAME,
        ("bound/deep", "top/in/deep"): Lies.SAME,
        ("bound/deep", "top"): Lies.INSIDE,
        ("top", "bound"): Lies.AROUND,
        ("bound/not/there/yet", "top/in"): Lies.INSIDE,
        ("hole", "top/hole"): Lies.SAME,
        ("hole", "top"): Lies.INSIDE,
        ("around", "other"): Lies.AROUND,
        ("view", "other"): Lies.SHARES,
        ("other", "view"): Lies.SHARES,
    }
    found = {pair: disk.lies(at(tmp_path / pair[0]), at(tmp_path / pair[1])) for pair in cases}
    assert found == cases
    assert disk.lies(at(tmp_path / "hole"), at(tmp_path / "top"), mounted=False) is None
    assert disk.path_inside(at(tmp_path / "bound/deep"), at(tmp_path / "top")) == b"in/deep"


def test_without_a_mount_table_real_paths_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mounts, "mount_table", list)
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "link").symlink_to("a")
    assert disk.lies(at(tmp_path / "link/b"), at(tmp_path / "a")) is Lies.INSIDE
    assert disk.lies(at(tmp_path / "a"), at(tmp_path / "aa")) is None


def test_a_source_by_a_second_path_is_that_source(world: tuple[Session, Path], mount: Mounter) -> None:
    session, tmp = world
    mount("--bind", str(tmp / "photos"), point=tmp / "second")
    before = (tmp / "photos/.medback-source.xml").read_bytes()
    ran = add(session, tmp / "second")
    assert ran.summary.source.path == at(tmp / "photos")
    assert [s.path for s in list_sources(session)] == [at(tmp / "photos")]
    assert (tmp / "photos/.medback-source.xml").read_bytes() == before
    assert any("is the source photos" in message(warned) for warned in ran.of(Warned))
    add(session, tmp / "photos")
    assert run(verify(session, at(tmp / "second"))).summary.checked == 2


@pytest.mark.parametrize("part", ["sub", "."])
def test_a_part_of_a_source_by_a_second_path_is_no_target_and_no_source(
    world: tuple[Session, Path],
    mount: Mounter,
    part: str,
) -> None:
    session, tmp = world
    mount("--bind", str(tmp / "photos" / part), point=tmp / "second")
    with pytest.raises(Refused, check=says("photos")):
        back(session, tmp / "second")
    if part == "sub":
        with pytest.raises(Refused, check=says("lies inside the source photos")):
            add(session, tmp / "second")
    assert not list(tmp.rglob("photos/**/.medback-target.xml"))


@pytest.mark.parametrize("how", ["same", "part", "inside"])
def test_a_restore_never_writes_to_the_drive_it_reads_from_by_whatever_path(
    world: tuple[Session, Path],
    mount: Mounter,
    how: str,
) -> None:
    session, tmp = world
    if how == "inside":
        (tmp / "t1/photos/photos").mkdir()
        mount("--bind", str(tmp / "t1/photos"), point=tmp / "away/photos")
    else:
        mount("--bind", str(tmp / "t1" / ("photos" if how == "part" else "")), point=tmp / "away")
    before = tree(tmp / "t1", metadata=True)
    with pytest.raises(Refused, check=says("never writes to its target")):
        run(restore(session, str(tmp / "t1"), to=at(tmp / "away" / ("new" if how != "inside" else ""))))
    assert tree(tmp / "t1", metadata=True) == before


# --- a target in a target ---------------------------------------------------------------------------------------------


def test_a_new_target_may_not_lie_in_or_around_another(world: tuple[Session, Path], mount: Mounter) -> None:
    session, tmp = world
    mount("--bind", str(tmp / "t1/photos/sub"), point=tmp / "bound")
    (tmp / "around").mkdir()
    back(session, tmp / "around/t2")
    for place in ("t1/inner", "bound", "around"):
        with pytest.raises(Refused, check=says("one file would count as two copies")):
            back(session, tmp / place)
        assert not (tmp / place / ".medback-target.xml").exists()
    assert len(list_targets(session)) == 2


def test_a_new_target_may_not_lie_in_one_that_another_session_made(world: tuple[Session, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with new_session(tmp_path / "other") as other:
        write_tree(tmp_path / "music", {"song": 10})
        add(other, tmp_path / "music")
        with pytest.raises(Refused, check=says("lies on a backup target")):
            back(other, tmp_path / "t1/inner")


def nested(session: Session, tmp: Path) -> Path:
    """A target inside another, as the version before allowed it."""
    inner = tmp / "t1/inner"
    back(session, tmp / "t2")
    shutil.move(tmp / "t2", inner)
    (tmp / "elsewhere").mkdir()
    with session.transaction() as db:
        db.execute("UPDATE target SET path = ? WHERE label = 't2'", (at(inner),))
    return inner


def test_a_new_target_may_not_lie_around_one_that_another_session_made(
    world: tuple[Session, Path], tmp_path: Path
) -> None:
    (session, tmp), inner = world, tmp_path / "disk/some/where"
    write_tree(tmp_path / "docs", {"d": 10})
    with open_session(tmp_path / "other.db") as other:
        add(other, tmp_path / "docs")
        back(other, inner)
    with pytest.raises(Refused, match="overlap/around-a-target"):
        back(session, tmp_path / "disk")
    assert not (tmp_path / "disk/.medback-target.xml").exists()
    back(session, tmp / "elsewhere")


def test_nested_targets_of_before_are_read_and_not_written(world: tuple[Session, Path]) -> None:
    session, tmp = world
    inner = nested(session, tmp)
    before = tree(tmp / "t1", metadata=True)
    for place in (tmp / "t1", inner):
        for step in (
            lambda place=place: back(session, place),
            lambda place=place: run(discover(session, at(place))),
            lambda place=place: run(reclaim(session, str(place), surplus=True)),
        ):
            with pytest.raises(Refused, check=says("Nothing is written to it")):
                step()
        assert run(verify(session, at(place))).summary.same == 2
    (tmp / "photos/a.txt").unlink()
    assert run(restore(session, str(inner))).summary.restored == 1
    assert tree(tmp / "t1", metadata=True) == before


def test_each_file_belongs_to_the_innermost_target(world: tuple[Session, Path]) -> None:
    """One physical file counted as two copies: the outer one was discovered around the inner one."""
    session, tmp = world
    inner = nested(session, tmp)
    shutil.rmtree(tmp / "t1/photos")
    outer = next(target for target in list_targets(session) if target.label == "t1")
    with session.transaction() as db:
        db.execute("UPDATE copy SET path = CAST('inner/' || path AS BLOB) WHERE target_id = ?", (outer.key,))
    assert counted(session) == {2: 2}
    run(verify(session, at(tmp / "t1")))
    assert counted(session) == {1: 2} and not list(copies_on(session, outer.key))
    ran = run(discover(session, at(tmp / "t1"), dry_run=True))
    assert ran.summary.files == 0 and [event.path for event in ran.of(Excluded)] == [at(inner)]


def test_two_drives_with_one_id_of_the_family_are_asked_about(tmp_path: Path) -> None:
    family = b"0f0e0d0c-0b0a-0908-0706-050403020100\n"
    with photos(tmp_path, {"a.txt": 100}) as (session, tmp):
        for drive in ("t1", "t2"):
            write_tree(tmp / drive, {".bkp_id": family, "old/a.txt": (tmp / "photos/a.txt").read_bytes()})
        run(discover(session, at(tmp / "t1"), answers=Answers(create=True)))
        (tmp / "t2/old/a.txt").unlink()
        for answers in (Answers(create=True), Answers(yes=True)):
            with pytest.raises(NeedsAnswer, check=says("--new-id or --same-drive")) as asked:
                run(discover(session, at(tmp / "t2"), answers=answers))
            assert asked.value.kind == "clone"
        assert counted(session) == {1: 1} and not (tmp / "t2/.medback-target.xml").exists()
        run(discover(session, at(tmp / "t2"), answers=Answers(create=True, new_id=True)))
        assert counted(session) == {1: 1} and len({t.id for t in list_targets(session)}) == 2


# --- one disk ---------------------------------------------------------------------------------------------------------


def test_whether_two_file_systems_share_a_disk_is_same_different_or_unknown(
    mount: Mounter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = disk.describe(at(tmp_path))
    assert disk.share_disk(here, here) is True
    mount("-t", "tmpfs", "none", point=tmp_path / "ram")
    assert disk.share_disk(here, disk.describe(at(tmp_path / "ram"))) is None
    fake = {name: replace(here, device=number, kind=kind, source=name) for number, (name, kind) in enumerate(
        [(b"pool/a", "zfs"), (b"pool/b", "zfs"), (b"lake/a", "zfs"), (b"server:/x", "nfs4"), (b"server:/y", "nfs4")], 1
    )}  # fmt: skip
    assert disk.share_disk(fake[b"pool/a"], fake[b"pool/b"]) is True
    assert disk.share_disk(fake[b"pool/a"], fake[b"lake/a"]) is None
    assert disk.share_disk(fake[b"server:/x"], fake[b"server:/y"]) is None
    disks = {os.makedev(8, 1): b"/sys/sda", os.makedev(8, 2): b"/sys/sda", os.makedev(8, 17): b"/sys/sdb"}
    monkeypatch.setattr(mounts, "whole_disks", lambda device: frozenset((disks[device],)))
    one, two, three = (replace(here, device=device, kind="ext4") for device in disks)
    assert disk.share_disk(one, two) is True
    assert disk.share_disk(one, three) is False
    # A btrfs lies on all its devices, whichever it was mounted by.
    for name, number in (("sda1", b"8:1\n"), ("sdb1", b"8:17\n")):
        write_tree(tmp_path / "sys/fs/btrfs/1234/devices" / name, {"dev": number})
    monkeypatch.setattr(overlap, "_BTRFS", at(tmp_path / "sys/fs/btrfs"))
    pool = replace(here, device=os.makedev(8, 1), kind="btrfs")
    assert disk.share_disk(pool, three) is True


def test_two_images_on_one_file_system_die_with_its_disk(mount: Mounter, tmp_path: Path) -> None:
    for name in ("one", "two"):
        mount("-o", "loop", image(tmp_path / f"{name}.img"), point=tmp_path / name)
    one, two = (disk.describe(at(tmp_path / name)) for name in ("one", "two"))
    assert one.device != two.device and disk.share_disk(one, two) is True
    assert disk.share_disk(one, disk.describe(at(tmp_path))) is True


def notes(ran: Ran) -> list[str]:
    return [message(event) for event in ran.of(Warned) if "are on one disk" in message(event)]


def test_targets_on_one_disk_are_told_once_and_die_together_in_a_what_if(world: tuple[Session, Path]) -> None:
    session, tmp = world
    assert notes(back(session, tmp / "t2")) == ["t1 and t2 are on one disk: if that disk fails, all of them are lost"]
    assert notes(back(session, tmp / "t2")) == [] and notes(back(session, tmp / "t1")) == []
    assert notes(back(session, tmp / "t3")) == [
        "t1, t2 and t3 are on one disk: if that disk fails, all of them are lost"
    ]
    (together,) = what_if_every(session).together
    assert [target.label for target in together.targets] == ["t1", "t2", "t3"]
    assert together.lost.files == 2 and counted(session) == {3: 2}  # counting is as it was
    os.rename(tmp / "t3", tmp / "away")
    assert [len(group) for group in disk_groups(session)] == [3]  # what was seen is kept


def test_what_a_person_says_of_a_disk_outranks_the_kernel_and_is_kept(world: tuple[Session, Path]) -> None:
    session, tmp = world
    back(session, tmp / "t2")
    set_target(session, "t1", disk_name="left")
    assert len(disk_groups(session)) == 1  # nothing is said of the other: as it was seen
    set_target(session, "t2", disk_name="right")
    assert disk_groups(session) == [] and what_if_every(session).together == ()
    back(session, tmp / "t2")
    assert b' disk="right"' in (tmp / "t2/.medback-target.xml").read_bytes()
    assert (tmp / "photos/.medback-source.xml").read_bytes().count(b' disk="') == 2
    assert (tmp / "t2/.medback-context.xml").read_bytes().count(b' disk="') == 2
    with open_session(tmp / "new.db") as new:
        add(new, tmp / "photos")
        assert {target.label: target.disk for target in list_targets(new)} == {"t1": "left", "t2": "right"}
    for drive in ("t1", "t2"):
        set_target(session, drive, disk_name="")
    assert [target.disk for target in list_targets(session)] == [None, None] and len(disk_groups(session)) == 1
    assert b" disk=" not in (tmp / "t2/.medback-target.xml").read_bytes()


def test_one_name_makes_one_disk(world: tuple[Session, Path], mount: Mounter) -> None:
    session, tmp = world
    mount("-t", "tmpfs", "none", point=tmp / "ram")
    assert notes(back(session, tmp / "ram")) == [] and disk_groups(session) == []
    for drive in ("t1", "ram"):
        set_target(session, drive, disk_name="the box in the cellar")
    assert [[target.label for target in group] for group in disk_groups(session)] == [["t1", "ram"]]


@pytest.mark.parametrize("point", ["the same", "another"])
def test_a_part_of_a_file_system_says_nothing_of_targets_in_its_other_parts(
    tmp_path: Path, mount: Mounter, point: str
) -> None:
    """A bind mount shows a part of its file system, and so does the mount of a subvolume."""
    with photos(tmp_path, {"a": 100}) as (session, tmp):
        for part, at in (("one", "mnt"), ("two", "mnt" if point == "the same" else "mnt2")):
            (tmp / "disk" / part).mkdir(parents=True)
            mount("--bind", str(tmp / "disk" / part), point=tmp / at)
            back(session, tmp / at, answers=Answers(create=True))
            subprocess.run(["umount", str(tmp / at)], check=True)
        assert counted(session) == {2: 1}
