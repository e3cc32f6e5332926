"""A copy is removed only before a witness: another one, read now on another drive, that its own drive speaks for."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from support.killing import killed_before
from support.fault_report import FULL
from support.shelf_of_minds import Rule, begin, search

from support.saying import says
from medback_core.drives import context_file
from medback_core import disk
from medback_core.backing_up import back_up as backing_up
from medback_core.backing_up.discover import discover
from medback_core.contexts.load import add_restore_context
from medback_core.errors import Refused
from medback_core.model import DamageFound
from medback_core.restoring.status import finish_restore
from medback_core.session import Session, open_session
from medback_core.session.targets import find_target
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.verify_target import verify
from support.worlds import MTIME, Ran, add, back, counted, new_session, photos, rescan, run, tree, write_tree

LATER = MTIME + 10**9


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Session, Path]]:
    """Two files on three drives, two copies wanted: each drive's are surplus."""
    with photos(tmp_path, {"a.txt": 100, "b.txt": 200}) as (session, tmp):
        for drive in ("t1", "t2"):
            back(session, tmp / drive)
        rescan(session)
        with session.transaction() as db:
            db.execute("UPDATE source SET wanted = 3")
        back(session, tmp / "t3")
        with session.transaction() as db:
            db.execute("UPDATE source SET wanted = 2")
        yield session, tmp


def surplus(session: Session, drive: str, **options: bool) -> Ran:
    return run(reclaim(session, drive, surplus=True, **options))


def held(tmp: Path) -> set[bytes]:
    """Contents on any drive, plugged in or not."""
    return {
        content
        for drive in tmp.iterdir()
        if drive.name.startswith(("t", "away"))
        for path, (content, _) in tree(drive, metadata=True).items()
        if not os.path.basename(path).startswith((b".medback.xml", b".medback-target", b".medback-context"))
    }


def unplug(tmp: Path, *drives: str) -> None:
    for drive in drives:
        os.rename(tmp / drive, tmp / f"away-{drive}")


def plug_in(tmp: Path, *drives: str) -> None:
    for drive in drives:
        os.rename(tmp / f"away-{drive}", tmp / drive)


# --- what is told of what went ---------------------------------------------------------------------------------------


def test_a_reclaim_that_was_cut_off_before_it_wrote_the_context_is_told_of_by_the_next(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world

    def cut(*_, **__) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(context_file, "write_contexts", cut)
        surplus(session, "t1")
    copy = f"<bd>{find_target(session, 't1').id}</bd>".encode()
    context = tmp / "t1/.medback-context.xml"
    assert not tree(tmp / "t1") and copy in context.read_bytes()
    assert surplus(session, "t1").summary.freed == 0
    assert copy not in context.read_bytes()


# --- what a second drive is for -------------------------------------------------------------------------------------


def test_surplus_goes_with_one_other_drive_plugged_in_the_further_copies_may_be_away(
    world: tuple[Session, Path],
) -> None:
    session, tmp = world
    unplug(tmp, "t2")
    assert surplus(session, "t1").summary.freed == 2
    assert counted(session) == {2: 2} and not tree(tmp / "t1")


def test_without_a_second_drive_nothing_that_is_named_goes_and_it_is_said_which_one_would_do(
    world: tuple[Session, Path],
) -> None:
    session, tmp = world
    (tmp / "t2/photos/a.txt").unlink()
    run(verify(session, os.fsencode(tmp / "t2")))
    back(session, tmp / "t1", limit=0)
    unplug(tmp, "t2", "t3")
    for dry_run in (True, False):
        found = surplus(session, "t1", dry_run=dry_run).summary
        assert (found.freed, found.kept) == (0, 1)
        assert (found.waiting.files, found.waiting.bytes) == (1, 200)
        assert {(drive.target.label, drive.bytes) for drive in found.serving} == {("t2", 200), ("t3", 200)}
        assert not found.after_backup
    assert len(tree(tmp / "t1")) == 2


def test_a_witness_that_rotted_is_none_and_counts_no_more(world: tuple[Session, Path]) -> None:
    session, tmp = world
    for path in (tmp / "t2/photos/a.txt", tmp / "t3/photos/a.txt"):
        status = path.stat()
        path.write_bytes(b"?" * status.st_size)
        os.utime(path, ns=(status.st_mtime_ns, status.st_mtime_ns))
    ran = surplus(session, "t1")
    assert ran.summary.freed == 1 and len(ran.of(DamageFound)) == 2
    assert (tmp / "t1/photos/a.txt").read_bytes() == (tmp / "photos/a.txt").read_bytes()
    assert counted(session) == {1: 1, 2: 1}


def test_what_went_by_hand_from_a_drive_that_is_plugged_in_is_no_witness(world: tuple[Session, Path]) -> None:
    session, tmp = world
    shutil.rmtree(tmp / "t2/photos")
    shutil.rmtree(tmp / "t3/photos")
    assert surplus(session, "t1").summary.freed == 0 and len(tree(tmp / "t1")) == 2


def test_one_file_under_two_names_is_no_witness_of_itself(world: tuple[Session, Path]) -> None:
    session, tmp = world
    unplug(tmp, "t3")
    (tmp / "t2/photos/a.txt").unlink()
    os.link(tmp / "t1/photos/a.txt", tmp / "t2/photos/a.txt")
    assert surplus(session, "t1").summary.freed == 1
    assert (tmp / "t1/photos/a.txt").exists()


def test_a_witness_that_is_gone_once_the_copy_lost_its_name_saves_it(tmp_path: Path) -> None:
    """As through a file system that shows one file under two numbers."""
    write_tree(tmp_path, {"photos/a": b"content"})
    with disk.Root(os.fsencode(tmp_path)) as root:
        status = root.stat(b"photos/a")
        assert status is not None
        with pytest.raises(OSError, match="the other copy is gone"):
            disk.remove_before(root, b"photos/a", expect=status, is_there=lambda: root.stat(b"photos/a") is not None)
    assert tree(tmp_path) == {b"photos/a": (b"content", MTIME)}


def test_what_lies_among_the_older_versions_is_no_witness_until_a_backup_moved_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with photos(tmp_path, {"a.txt": b"one"}, drives=("t1", "t2")) as (session, tmp):
        write_tree(tmp / "photos", {"a.txt": b"two"}, mtime_ns=LATER)
        back(session, tmp / "t2")
        write_tree(tmp / "photos", {"a.txt": b"one"}, mtime_ns=LATER + 10**9)
        rescan(session)
        with session.transaction() as db:
            db.execute("UPDATE source SET wanted = 1")
        assert (tmp / "t2/.medback-old/photos/a.txt").read_bytes() == b"one"
        found = surplus(session, "t1").summary
        assert found.freed == 0 and [drive.target.label for drive in found.after_backup] == ["t2"]
        with monkeypatch.context() as patch:  # its context names it, and yet it lies where any reclaim may free it
            patch.setattr(backing_up, "bring_current", lambda *_: None)
            back(session, tmp / "t2")
        assert surplus(session, "t1").summary.freed == 0
        back(session, tmp / "t2")
        assert not (tmp / "t2/.medback-old/photos/a.txt").exists()
        assert surplus(session, "t1").summary.freed == 1 and b"one" in held(tmp)


def test_a_drive_whose_own_context_does_not_name_it_is_no_witness_until_a_backup_told_it(tmp_path: Path) -> None:
    """Else the session that put it there would free it some day: nobody would have told it that it is wanted."""
    with photos(tmp_path, {"a.txt": b"one"}, drives=("t1",)) as (session, tmp):
        with session.transaction() as db:
            db.execute("UPDATE source SET wanted = 1")
        write_tree(tmp / "attic", {"same": b"one"})
        with open_session(tmp / "other.db") as other:
            add(other, tmp / "attic")
            back(other, tmp / "t2")
        run(discover(session, os.fsencode(tmp / "t2")))
        found = surplus(session, "t1").summary
        assert found.freed == 0 and [drive.target.label for drive in found.after_backup] == ["t2"]
        back(session, tmp / "t2")
        assert surplus(session, "t1").summary.freed == 1
        write_tree(tmp / "attic", {"same": b"another"}, mtime_ns=LATER)
        with open_session(tmp / "other.db") as other:
            back(other, tmp / "t2")
            assert run(reclaim(other, "t2", old=True)).summary.freed == 0
        assert b"one" in held(tmp)


def test_nothing_is_freed_on_a_network_file_system(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, _ = world
    describe = disk.describe
    monkeypatch.setattr(disk, "describe", lambda path: replace(describe(path), kind="nfs4"))
    with pytest.raises(Refused, check=says("network")):
        surplus(session, "t1")


# --- several minds --------------------------------------------------------------------------------------------------


def test_two_sessions_of_one_source_never_free_what_the_other_counts_on(
    world: tuple[Session, Path],
) -> None:
    session, tmp = world
    contents = {(tmp / "photos" / name).read_bytes() for name in ("a.txt", "b.txt")}
    with open_session(tmp / "other.db") as other:
        add(other, tmp / "photos")
        for drive in ("t1", "t2", "t3"):
            run(verify(other, os.fsencode(tmp / drive)))
        for mind in (session, other):  # each frees what it can as long as it knows of one more copy
            with mind.transaction() as db:
                db.execute("UPDATE source SET wanted = 1")
        for mind, plugged, away in (
            (session, "t1", ("t2", "t3")), (other, "t2", ("t1", "t3")), (session, "t3", ("t1", "t2")),
            (session, "t1", ("t3",)), (other, "t2", ("t1",)), (other, "t3", ("t1",)), (session, "t2", ("t1",)),
            (session, "t2", ("t3",)), (other, "t1", ("t2",)), (session, "t3", ()), (other, "t1", ()),
        ):  # fmt: skip
            unplug(tmp, *away)
            surplus(mind, plugged)
            plug_in(tmp, *away)
            assert contents <= held(tmp)


def test_a_session_that_came_back_from_an_older_copy_loses_nothing(world: tuple[Session, Path]) -> None:
    session, tmp = world
    contents = {(tmp / "photos" / name).read_bytes() for name in ("a.txt", "b.txt")}
    with session.transaction() as db:
        db.execute("UPDATE source SET wanted = 1")
    session.close()
    shutil.copytree(tmp, tmp.parent / "kept", ignore=shutil.ignore_patterns("t*", "photos"))
    for freed, away in (("t1", ("t3",)), ("t2", ("t1",))):
        unplug(tmp, *away)
        with new_session(tmp) as again:
            surplus(again, freed)
        plug_in(tmp, *away)
    for path in (tmp.parent / "kept").iterdir():
        shutil.copyfile(path, tmp / path.name)
    unplug(tmp, "t1", "t2")
    with new_session(tmp) as again:
        found = surplus(again, "t3").summary
    assert found.freed == 0 and found.waiting.files == 2
    plug_in(tmp, "t1", "t2")
    assert contents <= held(tmp)


def test_somebodys_only_copy_stays_after_their_context_was_taken_up(tmp_path: Path) -> None:
    """Row 4: the friend's source is known here now, nothing of it is expected any more, and no file of it is here."""
    write_tree(tmp_path / "hers", {"letter": b"dear"})
    with open_session(tmp_path / "hers.db") as hers:
        add(hers, tmp_path / "hers")
        back(hers, tmp_path / "t1")
    with photos(tmp_path, {"same": b"dear"}, drives=("t1",)) as (session, tmp):
        # The one copy of it on the drive is hers and mine: it goes among the older versions when mine changes.
        run(
            add_restore_context(
                session,
                os.fsencode(tmp / "t1/.medback-context.xml"),
                maps=[(os.fsencode(tmp / "hers"), os.fsencode(tmp / "restored"))],
            )
        )
        finish_restore(session)
        shutil.rmtree(tmp / "hers")
        write_tree(tmp / "photos", {"same": b"changed"}, mtime_ns=LATER)
        rescan(session)
        old = tmp / "t1/.medback-old/hers/letter"
        old.parent.mkdir(parents=True)
        os.rename(tmp / "t1/hers/letter", old)
        run(verify(session, os.fsencode(tmp / "t1")))
        assert run(reclaim(session, "t1", old=True)).summary.freed == 0 and old.read_bytes() == b"dear"


# --- killed under way -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sidecar", ["kept", "lost"])
@pytest.mark.parametrize("then", ["look", "discover", "read-only"])
def test_a_kill_between_the_name_and_the_file_loses_neither(
    world: tuple[Session, Path], sidecar: str, then: str
) -> None:
    session, tmp = world
    before = tree(tmp / "t1")
    with killed_before("unlink", disk.freeing_name(b"b.txt")):
        surplus(session, "t1")
    left = tmp / "t1/photos" / os.fsdecode(disk.freeing_name(b"b.txt"))
    assert left.exists() and not (tmp / "t1/photos/b.txt").exists()
    unplug(tmp, "t2", "t3")  # nothing that comes now may lose it: it may be the last
    if sidecar == "lost":
        (tmp / "t1/photos/.medback.xml").unlink()
    steps = {
        "look": lambda: verify(session, os.fsencode(tmp / "t1")),
        "discover": lambda: discover(session, os.fsencode(tmp / "t1")),
        "read-only": lambda: discover(session, os.fsencode(tmp / "t1"), dry_run=True),
    }
    run(steps[then]())
    if then == "read-only":
        assert left.exists()
        return
    assert not left.exists()
    assert {content for content, _ in tree(tmp / "t1").values()} == {content for content, _ in before.values()}
    if sidecar == "kept":
        assert tree(tmp / "t1") == before
        plug_in(tmp, "t2", "t3")
        assert surplus(session, "t1").summary.freed == 2 and not tree(tmp / "t1")


def test_cleaning_never_removes_a_copy_that_was_about_to_go(tmp_path: Path) -> None:
    name = os.fsdecode(disk.freeing_name(b"a"))
    write_tree(tmp_path, {name: b"content"})
    with disk.Root(os.fsencode(tmp_path)) as root:
        assert disk.clean_temporaries(root, b"", [os.fsencode(name)]).removed == 0
    assert (tmp_path / name).exists()


# --- every order of steps -------------------------------------------------------------------------------------------

BOTH_KNOW_IT = ((0,), (0,))
EACH_KNOWS_ONE = ((0,), (1,))
ONE_KNOWS_BOTH = ((0, 1), (1,))


@pytest.mark.parametrize("known", [BOTH_KNOW_IT, EACH_KNOWS_ONE, ONE_KNOWS_BOTH])
def test_no_order_of_four_steps_loses_what_was_backed_up(known: tuple[tuple[int, ...], ...]) -> None:
    way, worlds = search(begin(known), Rule(), 4)
    assert way is None and worlds > 500


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("known", [BOTH_KNOW_IT, EACH_KNOWS_ONE, ONE_KNOWS_BOTH] if FULL else [BOTH_KNOW_IT])
def test_no_order_of_seven_steps_loses_what_was_backed_up(known: tuple[tuple[int, ...], ...]) -> None:
    way, _ = search(begin(known), Rule(), 7 if FULL else 5)
    assert way is None


@pytest.mark.parametrize("known", [BOTH_KNOW_IT, EACH_KNOWS_ONE, ONE_KNOWS_BOTH])
def test_the_rule_of_before_loses_it_in_four_steps(known: tuple[tuple[int, ...], ...]) -> None:
    way, _ = search(begin(known), Rule(witness=False), 4)
    assert way is not None and way[-1][1] == "frees"


def test_a_session_that_came_back_loses_it_all_alone_by_the_rule_of_before() -> None:
    way, _ = search(begin(BOTH_KNOW_IT), Rule(witness=False), 6, without=lambda step: step[0] in ("session 1", "drive"))
    assert way is not None and any(step[1] == "is as it was" for step in way)


def test_a_witness_whose_drive_was_not_told_loses_it_in_six_steps() -> None:
    way, _ = search(begin(EACH_KNOWS_ONE), Rule(told=False), 6, without=lambda step: step[1] not in MADE)
    assert way is not None and len(way) == 6


MADE = ("source 0", "backs up onto", "frees")
