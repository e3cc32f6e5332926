"""A new session DB from the sidecars alone."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest

from medback_core.presenting.refusals import message
from medback_core import hashing, model, pace
from medback_core.scanning import walk
from medback_core.session import open_session
from medback_core.session.copies import copies_of
from medback_core.session.source_list import listed_sources
from medback_core.session.sources import list_sources
from medback_core.session.targets import find_target, save_target
from medback_core.errors import Refused
from medback_core.model import Answers, RebuildSummary, Standing, TargetState, Warned
from medback_core.upkeep.rebuild import rebuild, rebuilt_session
from medback_core.restoring.restore import restore
from support.scan_world import OLD, World
from support.worlds import add, back, files_below, rescan, run, write_tree


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def rebuilt(world: World, *directories: Path) -> RebuildSummary:
    world.session.close()
    world.session = rebuilt_session(world.base / "db")

    def refuse(*_args, **_options) -> None:
        raise AssertionError("content was read")

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((hashing, "hash_file"), (hashing, "hash_fd"), (walk, "apply_hash")):
            patch.setattr(module, name, refuse)
        summary = world.run(rebuild(world.session, [os.fsencode(path) for path in directories]))
    assert isinstance(summary, RebuildSummary)
    return summary


def two_sources(world: World) -> Path:
    world.fill(["a", "sub/b"])
    (world.src / "link").symlink_to("a")
    world.add(copies=3, excludes=["*.tmp"])
    music = world.base / "music"
    music.mkdir()
    (music / "song").write_text("la la")
    world.add(music, copies=1)
    world.back_up("a", "t1")
    target = find_target(world.session, "t1")
    save_target(world.session, model.Target(target.key, "t1", "Blue", TargetState.SUSPECT, rev=3, created=1))
    world.flush()
    return music


@pytest.mark.parametrize("again", ["rebuild", "scan"])
def test_what_sidecars_tell_gets_a_state_of_its_own(tmp_path: Path, again: str) -> None:
    """A directory that was deleted, told of, and put back with its sidecar: no drive tells it under the old state."""
    source, first, second = tmp_path / "s", tmp_path / "first", tmp_path / "second"
    write_tree(source, {"a": 3, "album/photo": 5})
    with open_session(tmp_path / "first.db") as session:
        add(session, source, copies=1)
        os.rename(source / "album", tmp_path / "album")
        rescan(session, answers=Answers(deletions=True))
        back(session, first)
    os.rename(tmp_path / "album", source / "album")
    if again == "rebuild":
        with rebuilt_session(tmp_path / "second.db") as session:
            run(rebuild(session, [os.fsencode(source)]))
            back(session, second)
    else:
        with open_session(tmp_path / "second.db") as session:
            add(session, source, copies=1)
            back(session, second)
    for number, order in enumerate([(first, second), (second, first)]):
        goal = tmp_path / f"back {number}"
        with open_session(tmp_path / f"new {number}.db") as session:
            for drive in order:
                run(restore(session, os.fspath(drive), to=os.fsencode(goal)))
        assert files_below(goal / "s") == files_below(source)


def test_a_session_that_is_rebuilt_again_is_told_of_no_older_source(tmp_path: Path) -> None:
    source, drive = tmp_path / "s", tmp_path / "drive"
    write_tree(source, {"a": 3})
    with open_session(tmp_path / "first.db") as session:
        add(session, source, copies=1)
        back(session, drive)
    for number in range(2):
        with rebuilt_session(tmp_path / f"{number}.db") as session:
            run(rebuild(session, [os.fsencode(source)]))
            for found in (back(session, drive), rescan(session)):
                assert "source-older" not in [warned.what for warned in found.of(Warned)]


def state(world: World) -> list[tuple]:
    return [
        (source.id, source.alias, source.path, source.wanted, source.excludes, world.files(source))
        for source in sorted(list_sources(world.session), key=lambda source: source.alias)
    ]


@pytest.mark.parametrize("steps", [1, 3, 5, 7])
def test_a_rebuild_that_is_cut_off_is_no_session_with_less_in_it(
    world: World, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    """Whoever opens it next builds it again: what had come so far never stands for all."""
    monkeypatch.setattr(pace, "TICK", -1)  # an event for each look at the clock
    two_sources(world)
    before = state(world)
    world.session.close()
    world.session = rebuilt_session(world.base / "db")
    events = rebuild(world.session)
    for _ in range(steps):
        assert not isinstance(next(events), RebuildSummary)
    assert isinstance(events, Generator)
    events.close()
    world.session.close()
    world.session = open_session(world.base / "db")
    assert world.session.needs_rebuild and not list_sources(world.session)
    world.run(rebuild(world.session))
    assert state(world) == before


def test_the_list_beside_the_db_is_enough(world: World) -> None:
    two_sources(world)
    before = state(world)
    summary = rebuilt(world)
    assert state(world) == before
    assert [(scan.files, scan.hashed, scan.unhashed) for scan in summary.scans] == [(2, 0, 0), (1, 0, 0)]
    assert world.targets_of("a") == {"t1": Standing.VERIFIED}
    target = find_target(world.session, "t1")
    assert (target.label, target.state, target.rev) == ("Blue", TargetState.SUSPECT, 3)
    assert summary.scans[0].links == 1
    assert [(scan.hashed, scan.reused) for scan in world.update_all().scans] == [(0, 2), (0, 1)]


def test_the_old_db_is_set_aside_and_kept(world: World) -> None:
    two_sources(world)
    rebuilt(world)
    assert len(list(world.base.glob("db.aside-*"))) >= 1
    assert any("aside" in message(note) for note in world.session.notes)


def test_siblings_are_taken_along(world: World) -> None:
    two_sources(world)
    before = state(world)
    (world.base / "db.sources").unlink()
    rebuilt(world, world.src)
    assert state(world) == before


def test_a_source_that_is_away_is_named_and_left_out(world: World) -> None:
    music = two_sources(world)
    music.rename(world.base / "unplugged")
    music.mkdir()
    summary = rebuilt(world)
    assert [scan.source.alias for scan in summary.scans] == ["photos"]
    assert any("music" in message(warning) for warning in world.of(Warned))
    assert list(music.iterdir()) == []


def test_files_no_sidecar_knows_are_counted_and_hashed_by_the_next_update(world: World) -> None:
    two_sources(world)
    world.fill(["new", "elsewhere/new too"])
    world.write("a", "changed", mtime_ns=OLD + 1)
    summary = rebuilt(world, world.src)
    assert summary.scans[0].unhashed == 3
    assert world.names() == {"a", "sub/b"}
    scan = world.update()
    assert (scan.hashed, scan.added, scan.changed) == (3, 2, 1)


def test_records_of_missing_files_stay_until_an_update_weighs_them(world: World) -> None:
    world.fill([f"{number}" for number in range(40)])
    world.add()
    for number in range(30):
        (world.src / f"{number}").unlink()
    summary = rebuilt(world)
    assert summary.scans[0].files == 40
    assert world.refusal().kind == "too-many-deletions"
    assert len(world.names()) == 40


def test_nothing_is_written_to_a_source(world: World) -> None:
    two_sources(world)
    world.fill(["new"])
    before = {path: path.lstat() for path in world.src.rglob("*")}
    rebuilt(world)
    after = {path: path.lstat() for path in world.src.rglob("*")}
    assert after.keys() == before.keys()
    assert all(after[path].st_mtime_ns == before[path].st_mtime_ns for path in before)


def test_only_a_new_session_is_filled(world: World) -> None:
    two_sources(world)
    with pytest.raises(Refused) as caught:
        world.run(rebuild(world.session, []))
    assert caught.value.kind == "not-new"
    world.session.close()
    world.session = rebuilt_session(world.base / "db")
    with pytest.raises(Refused) as caught:
        world.run(rebuild(world.session, [os.fsencode(world.base / "nowhere")]))
    assert caught.value.kind == "missing"


def test_a_target_given_is_introduced(world: World) -> None:
    from medback_core.backing_up.back_up import back_up

    world.fill(["a", "sub/b"])
    world.add()
    drive = world.base / "drive"
    drive.mkdir()
    world.run(back_up(world.session, os.fsencode(drive), answers=Answers(create=True), label="Blue"))
    assert world.targets_of("a")
    summary = rebuilt(world, world.src, drive)
    assert [target.label for target in summary.targets] == ["Blue"]
    (copy,) = copies_of(world.session, world.row("sub/b").identity)
    assert (copy.standing, copy.path, copy.ours) == (Standing.VERIFIED, b"photos/sub/b", True)


@pytest.mark.parametrize("what", ["an empty mount point", "a drive that is no target", "a drive without its identity"])
def test_what_is_neither_a_source_nor_a_target_is_refused_and_not_remembered(world: World, what: str) -> None:
    from medback_core.backing_up.back_up import back_up

    world.fill(["a", "sub/b"])
    world.add()
    drive = world.base / "drive"
    drive.mkdir()
    world.run(back_up(world.session, os.fsencode(drive), answers=Answers(create=True)))
    if what == "a drive without its identity":
        (drive / ".medback-target.xml").unlink()
        (drive / ".medback.xml").write_bytes((drive / "photos/.medback.xml").read_bytes())
    else:
        drive.rename(world.base / "unplugged")
        drive.mkdir()
    if what == "a drive that is no target":
        (drive / "somebody's").write_text("file")
    with pytest.raises(Refused, match="neither-source-nor-target"):
        rebuilt(world, world.src, drive)
    assert os.fsencode(drive) not in listed_sources(world.session.path)


def test_a_source_that_lost_its_metadata_is_built_from_its_sidecars(world: World) -> None:
    two_sources(world)
    (world.src / ".medback-source.xml").unlink()
    assert rebuilt(world, world.src).scans[0].files == 2


@pytest.mark.parametrize("what", ["text", "another program's DB", "a directory", "a FIFO"])
def test_what_is_no_session_is_not_moved_aside(tmp_path: Path, what: str) -> None:
    path = tmp_path / "db"
    if what == "text":
        path.write_text("a letter")
    elif what == "a directory":
        path.mkdir()
    elif what == "a FIFO":
        os.mkfifo(path)
    else:
        with closing(sqlite3.connect(path)) as db:
            db.execute("CREATE TABLE accounts (name)")
    with pytest.raises(Refused, match="not-a-session"):
        rebuilt_session(path)
    assert os.listdir(tmp_path) == ["db"]
