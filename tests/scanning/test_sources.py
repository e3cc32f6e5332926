"""Sources are added, recognised, changed and forgotten; overlaps and mistakes are refused."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from medback_core.presenting.refusals import message
from medback_core import disk, model
from medback_core.scanning import sources
from medback_core.session import open_session
from medback_core.session.copies import copies_of
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import save_target
from medback_core.errors import Refused, UsageError
from medback_core.model import ScanSummary, Warned
from medback_core.sources.identity import metadata_at
from support.scan_world import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def refusal(world: World, path: Path, **options) -> Refused:
    with pytest.raises(Refused) as caught:
        world.add(path, **options)
    assert caught.value.exit_code == 4
    return caught.value


def test_the_alias_is_the_base_name_and_never_taken_twice(world: World) -> None:
    world.fill(["a"])
    world.add()
    twin = world.base / "x" / "photos"
    twin.mkdir(parents=True)
    (twin / "a").write_text("another a")
    world.add(twin)
    assert [source.alias for source in list_sources(world.session)] == ["photos", "photos-2"]
    assert world.names(find_source(world.session, "photos-2")) == {"a"}
    assert refusal(world, world.base / "x", alias="photos").kind == "overlap"
    (world.base / "y").mkdir()
    assert refusal(world, world.base / "y", alias="photos").kind == "alias-taken"


def test_a_base_name_no_terminal_can_show_becomes_a_harmless_alias(world: World) -> None:
    path = os.path.join(os.fsencode(world.base), b"odd\x1b[31m\xff")
    os.mkdir(path)
    world.run(sources.add_source(world.session, path))
    source = world.source
    assert source.alias.isprintable()
    assert source.path == path
    assert world.update().files == 0


@pytest.mark.parametrize("alias", ["", "a/b", ".", "..", "x\x1b", ".medback-old", "y" * 300])
def test_an_impossible_alias_is_a_usage_error(world: World, alias: str) -> None:
    with pytest.raises(UsageError):
        world.add(alias=alias)
    assert list_sources(world.session) == []


def test_too_few_copies_and_bad_patterns_are_usage_errors(world: World) -> None:
    with pytest.raises(UsageError):
        world.add(copies=0)
    with pytest.raises(UsageError):
        world.add(excludes=["!"])
    assert list_sources(world.session) == []


def test_missing_paths_and_files_are_refused(world: World) -> None:
    assert refusal(world, world.base / "nowhere").kind == "missing"
    (world.base / "file").write_text("x")
    assert refusal(world, world.base / "file").kind == "not-a-directory"


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="this system has no /proc")
def test_what_shows_the_running_system_is_no_source(world: World) -> None:
    assert refusal(world, Path("/proc/self")).kind == "pseudo-file-system"
    assert not list_sources(world.session)


def test_overlapping_sources_are_refused_also_through_links(world: World) -> None:
    world.fill(["sub/a"])
    world.add()
    (world.base / "link").symlink_to(world.src / "sub")
    for path in (world.src / "sub", world.base, world.base / "link"):
        assert refusal(world, path).kind == "overlap"
    assert len(list_sources(world.session)) == 1


def test_sources_and_targets_may_not_overlap(world: World) -> None:
    target = world.base / "drive"
    (target / "sub").mkdir(parents=True)
    save_target(world.session, model.Target(-1, "t1", "Drive", path=os.fsencode(target)))
    assert refusal(world, target).kind == "overlap"
    assert refusal(world, target / "sub").kind == "overlap"
    assert refusal(world, world.base).kind == "overlap"
    foreign = world.base / "foreign"
    (foreign / "deep").mkdir(parents=True)
    (foreign / ".medback-target.xml").write_text("<x/>")
    assert refusal(world, foreign / "deep").kind == "overlap"


def test_adding_a_known_path_scans_it_again(world: World) -> None:
    world.fill(["a"])
    world.add()
    world.fill(["b"])
    (world.base / "link").symlink_to(world.src)
    summary = world.add(world.base / "link", copies=4)
    assert (summary.added, summary.files) == (1, 2)
    assert len(list_sources(world.session)) == 1
    assert world.source.wanted == 4


def test_a_moved_source_is_recognised(world: World) -> None:
    world.fill(["a", "sub/b"])
    world.add()
    key, identifier = world.source.key, world.source.id
    world.src.rename(world.base / "elsewhere")
    summary = world.add(world.base / "elsewhere")
    assert (summary.hashed, summary.reused) == (0, 2)
    assert (world.source.key, world.source.id, world.source.alias) == (key, identifier, "photos")
    assert any("moved" in message(warning) for warning in world.of(Warned))


def test_a_copied_source_becomes_one_of_its_own(world: World) -> None:
    world.fill(["a", "sub/b"])
    world.add(copies=3)
    shutil.copytree(world.src, world.base / "copy")
    summary = world.add(world.base / "copy")
    first, second = list_sources(world.session)
    assert first.id != second.id
    assert second.alias == "copy"
    assert summary.hashed == 0
    assert any("copy of the source" in message(warning) for warning in world.of(Warned))
    found = metadata_at(second.path)
    assert found is not None
    assert found.id == second.id
    assert not world.update_all().refused


def test_sources_know_their_siblings_and_targets(world: World) -> None:
    world.fill(["a"])
    world.add()
    other = world.base / "music"
    other.mkdir()
    world.add(other)
    world.introduce("t1")
    world.flush()
    found = metadata_at(world.source.path)
    assert found is not None
    assert [(s.alias, s.path) for s in found.siblings] == [("music", os.fsencode(other))]
    assert [t.id for t in found.targets] == ["t1"]
    sources.forget_source(world.session, "music")
    found = metadata_at(world.source.path)
    assert found is not None
    assert found.siblings == ()


def test_a_sibling_this_session_does_not_know_stays_named(world: World) -> None:
    world.fill(["a"])
    world.add()
    (world.base / "music").mkdir()
    world.add(world.base / "music")
    world.lose_db()
    world.add()
    assert any("music" in message(warning) for warning in world.of(Warned))
    found = metadata_at(world.source.path)
    assert found is not None
    assert [sibling.alias for sibling in found.siblings] == ["music"]


def test_facts_another_session_changed_later_are_taken_up(world: World) -> None:
    world.fill(["a"])
    world.add()
    other = open_session(world.base / "other-db")
    mine, world.session = world.session, other
    world.add()
    sources.change_source(other, "photos", copies=5, add_excludes=["*.tmp"], new_alias="pictures")
    world.session = mine
    world.update()
    assert (world.source.wanted, world.source.excludes, world.source.alias) == (5, ("*.tmp",), "pictures")
    other.close()


def test_changing_a_source(world: World) -> None:
    world.fill(["a"])
    world.add(excludes=["x", "y"])
    source = sources.change_source(
        world.session, "photos", new_alias="pictures", copies=3, add_excludes=["z"], drop_excludes=["x"]
    )
    assert (source.alias, source.wanted, source.excludes, source.rev) == ("pictures", 3, ("y", "z"), 2)
    found = metadata_at(source.path)
    assert found is not None
    assert (found.alias, found.wanted, found.excludes) == ("pictures", 3, ("y", "z"))
    with pytest.raises(Refused):
        sources.change_source(world.session, "nobody", copies=1)


def test_a_source_is_only_pointed_at_itself(world: World) -> None:
    world.fill(["a"])
    world.add()
    (world.base / "other").mkdir()
    with pytest.raises(Refused) as caught:
        sources.change_source(world.session, "photos", path=os.fsencode(world.base / "other"))
    assert caught.value.kind == "not-this-source"
    world.src.rename(world.base / "remounted")
    source = sources.change_source(world.session, "photos", path=os.fsencode(world.base / "remounted"))
    assert source.path == os.fsencode(world.base / "remounted")
    assert world.update().reused == 1


def test_forgetting_a_source_touches_no_file(world: World) -> None:
    world.fill(["a", "sub/b"])
    world.add()
    world.back_up("a", "t1")
    identity = world.row("a").identity
    before = sorted(path.name for path in world.src.rglob("*"))
    sources.forget_source(world.session, "photos")
    assert list_sources(world.session) == []
    assert sorted(path.name for path in world.src.rglob("*")) == before
    assert len(copies_of(world.session, identity)) == 1
    assert world.add().hashed == 0


def test_two_medbacks_at_once_are_refused(world: World) -> None:
    world.fill(["a"])
    world.add()
    with disk.lock_session(os.fsencode(world.session.path)):
        with pytest.raises(Refused) as caught:
            world.update_all()
        assert caught.value.kind == "locked"
        assert str(os.getpid()) in message(caught.value)
    with disk.Root(world.source.path) as root, disk.lock_drive(root):
        assert world.refusal().kind == "locked"
        assert world.source.refused == ""
    world.update()


def test_an_unknown_alias_is_refused_before_anything_is_done(world: World) -> None:
    world.fill(["a"])
    world.add()
    world.fill(["b"])
    with pytest.raises(Refused):
        world.update_all(aliases=["photos", "nobody"])
    assert world.names() == {"a"}


def test_only_the_named_sources_are_updated(world: World) -> None:
    world.fill(["a"])
    world.add()
    other = world.base / "music"
    other.mkdir()
    world.add(other)
    world.fill(["b"])
    (other / "c").write_text("c")
    summary = world.update_all(aliases=["music"])
    assert [scan.source.alias for scan in summary.scans] == ["music"]
    assert world.names() == {"a"}


def test_the_last_event_is_the_summary(world: World) -> None:
    world.fill(["a"])
    world.add()
    assert isinstance(world.events[-1], ScanSummary)
    assert sum(isinstance(event, ScanSummary) for event in world.events) == 1
