"""One directory under two paths is one directory; one target inside another counts no file twice; one disk dies once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.backing_up.discover import discover
from medback_core.disk import Lies, mounts
from medback_core.errors import NeedsAnswer, Refused
from medback_core.model import Excluded, Warned
from medback_core.restoring.restore import restore
from medback_core.session import Session, copies_on, list_sources, list_targets
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.verify_target import verify
from support.mounting import Mounter, image, mount_fixture  # noqa: F401
from support.worlds import add, back, counted, new_session, photos, run, tree, write_tree


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
    assert any("is the source photos" in warned.message for warned in ran.of(Warned))
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
    with pytest.raises(Refused, match="photos"):
        back(session, tmp / "second")
    if part == "sub":
        with pytest.raises(Refused, match="lies inside the source photos"):
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
    with pytest.raises(Refused, match="never writes to its target"):
        run(restore(session, str(tmp / "t1"), to=at(tmp / "away" / ("new" if how != "inside" else ""))))
    assert tree(tmp / "t1", metadata=True) == before


# --- a target in a target ---------------------------------------------------------------------------------------------


def test_a_new_target_may_not_lie_in_or_around_another(world: tuple[Session, Path], mount: Mounter) -> None:
    session, tmp = world
    mount("--bind", str(tmp / "t1/photos/sub"), point=tmp / "bound")
    (tmp / "around").mkdir()
    back(session, tmp / "around/t2")
    for place in ("t1/inner", "bound", "around"):
        with pytest.raises(Refused, match="one file would count as two copies"):
            back(session, tmp / place)
        assert not (tmp / place / ".medback-target.xml").exists()
    assert len(list_targets(session)) == 2


def test_a_new_target_may_not_lie_in_one_that_another_session_made(world: tuple[Session, Path], tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with new_session(tmp_path / "other") as other:
        write_tree(tmp_path / "music", {"song": 10})
        add(other, tmp_path / "music")
        with pytest.raises(Refused, match="lies inside a target"):
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
            with pytest.raises(Refused, match="nothing is written to it"):
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
        run(discover(session, at(tmp / "t1"), create=True))
        (tmp / "t2/old/a.txt").unlink()
        for answers in ({"create": True}, {"yes": True}):
            with pytest.raises(NeedsAnswer, match="--new-id or --same-drive") as asked:
                run(discover(session, at(tmp / "t2"), **answers))
            assert asked.value.kind == "clone"
        assert counted(session) == {1: 1} and not (tmp / "t2/.medback-target.xml").exists()
        run(discover(session, at(tmp / "t2"), create=True, new_id=True))
        assert counted(session) == {1: 1} and len({t.id for t in list_targets(session)}) == 2
