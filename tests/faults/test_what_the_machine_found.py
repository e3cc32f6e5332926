"""What the state machine and the campaigns found, each as the few steps it took. Every one of these was wrong once."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core import disk, model
from medback_core.backing_up.back_up import back_up
from medback_core.model import SOURCE_METADATA_NAME, TARGET_IDENTITY_NAME, Answers, Identity, Standing
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.targets import list_targets
from medback_core.sidecar import parse
from medback_core.scanning.sources import update
from medback_core.upkeep.verify_target import verify
from support.worlds import MTIME, add, back, counted, new_session, rescan, run, write_tree, rot


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Session, Path]]:
    """Two files, backed up onto one drive."""
    write_tree(tmp_path / "photos", {"a.txt": 100, "sub/b.bin": 3000})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t1")
        yield session, tmp_path


def standings(session: Session) -> dict[Identity, Standing]:
    return {what: copy.standing for what, copy in copies_on(session, list_targets(session)[0].key)}


def test_an_older_version_that_was_edited_on_the_drive_is_a_claim_and_no_copy(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "photos/a.txt").unlink()
    rescan(session)
    write_tree(tmp / "t1", {"photos/a.txt": b"!" * 100}, mtime_ns=MTIME + 10**9)
    back(session, tmp / "t1")
    assert sorted(standings(session).values()) == [Standing.CLAIMED, Standing.VERIFIED]


def test_a_second_file_of_an_older_version_takes_nothing_from_the_copy_that_is_good(
    world: tuple[Session, Path],
) -> None:
    session, tmp = world
    content = (tmp / "photos/a.txt").read_bytes()
    (tmp / "photos/a.txt").unlink()
    rescan(session)
    write_tree(tmp / "t1", {"a.txt": content}, mtime_ns=MTIME + 10**9)  # copied by hand, with its sidecar
    (tmp / "t1/.medback.xml").write_bytes((tmp / "t1/photos/.medback.xml").read_bytes())
    back(session, tmp / "t1")
    assert set(standings(session).values()) == {Standing.VERIFIED}


def test_a_reclaim_that_frees_nothing_tells_the_sources_what_it_saw_all_the_same(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "t1/photos/a.txt").unlink()
    run(reclaim(session, os.fspath(tmp / "t1"), old=True))
    assert parse((tmp / "photos/.medback.xml").read_bytes()).files[b"a.txt"].bds == ()


@pytest.mark.parametrize("first", ["restore", "lost session"])
def test_damage_found_by_a_restore_or_a_look_can_be_repaired(world: tuple[Session, Path], first: str) -> None:
    session, tmp = world
    good = (tmp / "photos/a.txt").read_bytes()
    rot(tmp / "t1/photos/a.txt")
    run(restore(session, os.fspath(tmp / "t1"), to=os.fsencode(tmp / "elsewhere")))
    if first == "lost session":
        session.db.execute("DELETE FROM pending")
    run(verify(session, os.fsencode(tmp / "t1")))
    assert counted(session) == {0: 1, 1: 1}
    assert run(repair(session, os.fsencode(tmp / "t1"))).summary.repaired == 1
    assert (tmp / "t1/photos/a.txt").read_bytes() == good
    assert counted(session) == {1: 2}


def test_a_sidecar_older_than_the_last_look_makes_no_copy_of_what_was_seen_to_be_gone(
    world: tuple[Session, Path],
) -> None:
    """Found after a rebuild: a sidecar it must read again was not rewritten, and brought back what a reclaim had freed."""
    session, tmp = world
    sidecar = tmp / "photos/.medback.xml"
    older = sidecar.read_bytes()
    (tmp / "t1/photos/a.txt").unlink()
    run(verify(session, os.fsencode(tmp / "t1")))
    sidecar.write_bytes(older)
    rescan(session)
    assert counted(session) == {0: 1, 1: 1}
    assert parse(sidecar.read_bytes()).files[b"a.txt"].bds == ()
    back(session, tmp / "t1")  # seen there again, it counts again
    assert counted(session) == {1: 2}


def test_a_directory_that_was_away_makes_no_copy_of_what_went_meanwhile(world: tuple[Session, Path]) -> None:
    """Its sidecar came back with it, and says what was true when it left; this session never saw the copy go."""
    session, tmp = world
    (tmp / "photos/sub").rename(tmp / "away")
    rescan(session, answers=Answers(deletions=True))
    (tmp / "t1/photos/sub/b.bin").unlink()
    run(verify(session, os.fsencode(tmp / "t1")))
    with open_session(tmp / "another.db") as another:
        add(another, tmp / "photos")
        run(verify(another, os.fsencode(tmp / "t1")))
        write_tree(tmp / "photos", {"new": 50})
        back(another, tmp / "t1")
        (tmp / "away").rename(tmp / "photos/sub")
        rescan(another)
        assert counted(another) == {0: 1, 1: 2}


@pytest.mark.parametrize("what", ["update", "verify", "target"])
def test_a_second_run_writes_nothing_at_all(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Not even the same bytes again: with a damaged file in the source every sidecar it reads was written anew. A verify
    is told in the history of the drive and of the sources, however often there is one."""
    session, tmp = world
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
    rot(tmp / "photos/a.txt")
    step = {
        "update": lambda: update(session),
        "verify": lambda: verify(session, os.fsencode(tmp / "t1")),
        "target": lambda: back_up(session, os.fsencode(tmp / "t1")),
    }[what]
    run(step())
    named: set[bytes] = set()
    disk.set_observer(lambda op, *of: named.add(of[-1]) if op.startswith("rename") else None)
    try:
        run(step())
    finally:
        disk.set_observer(None)
    assert named == ({TARGET_IDENTITY_NAME, SOURCE_METADATA_NAME} if what == "verify" else set())
