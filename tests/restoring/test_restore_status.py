"""What is not restored yet: counted by looking, read no more than once, and which target is the next."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from medback_core.contexts.write import write_restore
from medback_core.contexts.load import add_restore_context
from medback_core.errors import Refused
from medback_core.model import TargetState, Unrestored
from medback_core.restoring.restore import restore
from medback_core.restoring.status import finish_restore, restore_status
from medback_core.session import Session, open_session
from medback_core.session.expected import has_expected
from medback_core.drives.open import set_target
from support.worlds import Ran, add, back, new_session, photos, rescan, run, write_tree

FILES = {"a.txt": 100, "sub/b.bin": 3000, "sub/deep/c": 5000, "twin 1": b"the same", "sub/twin 2": b"the same"}


@pytest.fixture
def world(tmp_path: Path):
    with photos(tmp_path, FILES, drives=("t1",)) as made:
        yield made


def status(session: Session, **options: Any) -> Ran:
    return run(restore_status(session, **options))


def counts(ran: Ran) -> tuple[int, int, int, int]:
    summary = ran.summary
    return summary.expected, summary.present, summary.missing, summary.differing


def test_when_all_is_there_nothing_is_read_and_nothing_missing(world, reads):
    session, _ = world
    ran = status(session)
    assert counts(ran) == (5, 5, 0, 0) and ran.summary.next is None
    assert not reads


def test_paths_are_counted_and_what_is_not_there_is_listed(world):
    session, tmp = world
    (tmp / "photos/twin 1").unlink()
    (tmp / "photos/sub/twin 2").unlink()
    (tmp / "photos/a.txt").write_bytes(b"another")
    ran = status(session)
    assert counts(ran) == (5, 2, 2, 1) and ran.summary.missing_bytes == 16
    listed = {(event.path, event.size, event.differs) for event in ran.of(Unrestored)}
    assert listed == {
        (os.fsencode(tmp / "photos/a.txt"), 100, True),
        (os.fsencode(tmp / "photos/sub/twin 2"), 8, False),
        (os.fsencode(tmp / "photos/twin 1"), 8, False),
    }
    following = ran.summary.next
    assert (following.target.label, following.files, following.bytes) == ("t1", 2, 16)


def test_content_that_changed_keeping_size_and_time_differs(world):
    session, tmp = world
    was = (tmp / "photos/a.txt").stat()
    (tmp / "photos/a.txt").write_bytes(b"?" * 100)
    os.utime(tmp / "photos/a.txt", ns=(was.st_atime_ns, was.st_mtime_ns))
    assert counts(status(session)) == (5, 4, 0, 1)
    rescan(session, "photos")  # which reports the damage, and still wants the good content
    assert counts(status(session)) == (5, 4, 0, 1)


def test_what_came_back_by_other_means_is_read_once(world, reads):
    session, tmp = world
    shutil.copytree(tmp / "photos", tmp / "copy")
    shutil.rmtree(tmp / "photos")
    shutil.move(tmp / "copy", tmp / "photos")
    assert counts(status(session)) == (5, 5, 0, 0)
    assert len(reads) == 5
    assert counts(status(session)) == (5, 5, 0, 0)
    assert len(reads) == 5
    (tmp / "photos/a.txt").write_bytes((tmp / "photos/a.txt").read_bytes()[::-1])
    assert counts(status(session)) == (5, 4, 0, 1)
    assert len(reads) == 6


def test_a_file_restored_elsewhere_is_not_read_again(world, reads):
    session, tmp = world
    out = os.fsencode(tmp / "out")
    assert counts(status(session, to=out)) == (5, 0, 5, 0)
    run(restore(session, str(tmp / "t1"), to=out))
    assert counts(status(session, to=out)) == (5, 5, 0, 0)
    assert not reads


def test_one_source_and_one_path_can_be_asked_for(world):
    session, tmp = world
    shutil.rmtree(tmp / "photos/sub")
    assert counts(status(session, source="photos", path=b"sub/deep/")) == (1, 0, 1, 0)
    assert counts(status(session, path=b".")) == (5, 2, 3, 0)
    with pytest.raises(Refused):
        status(session, source="nobody")
    with pytest.raises(Refused):
        status(session, path=b"../photos")


def test_directories_and_links_in_the_way_are_not_the_file(world):
    session, tmp = world
    (tmp / "photos/a.txt").rename(tmp / "aside")
    os.symlink(tmp / "aside", tmp / "photos/a.txt")
    (tmp / "photos/twin 1").unlink()
    (tmp / "photos/twin 1").mkdir()
    assert counts(status(session)) == (5, 3, 0, 2)
    shutil.move(tmp / "photos/sub", tmp / "sub")
    os.symlink(tmp / "sub", tmp / "photos/sub")
    assert counts(status(session)) == (5, 0, 0, 5)


def test_the_next_target_is_the_best_of_those_that_can_be_had(world):
    session, tmp = world
    write_tree(tmp / "photos", {"large": 9000})
    rescan(session, "photos")
    back(session, tmp / "t2")
    shutil.rmtree(tmp / "photos")
    assert status(session).summary.next.target.label == "t2"
    set_target(session, "t2", state=TargetState.LOST)
    following = status(session).summary.next
    assert (following.target.label, following.files) == ("t1", 5)
    set_target(session, "t1", state=TargetState.LOST)
    assert status(session).summary.next is None


def test_what_is_expected_ends_when_all_of_it_is_there(world):
    session, tmp = world
    context = os.fsencode(tmp / "context.xml")
    write_restore(session, context)
    with open_session(tmp / "new.db") as fresh:
        run(add_restore_context(fresh, context))
        assert counts(status(fresh)) == (5, 5, 0, 0)
        assert has_expected(fresh)  # there, but nobody has recorded it yet
        rescan(fresh)
        assert counts(status(fresh)) == (5, 5, 0, 0)
        assert not has_expected(fresh)
        assert counts(status(fresh)) == (5, 5, 0, 0)


def test_what_is_expected_outlives_a_scan_that_does_not_find_it(world):
    session, tmp = world
    context = os.fsencode(tmp / "context.xml")
    write_restore(session, context)
    shutil.rmtree(tmp / "photos/sub")
    with open_session(tmp / "new.db") as fresh:
        run(add_restore_context(fresh, context))
        rescan(fresh)
        for _ in range(2):  # looking ends nothing either
            assert counts(status(fresh)) == (5, 2, 3, 0)
        finish_restore(fresh)
        assert counts(status(fresh)) == (2, 2, 0, 0)


def test_a_restore_begun_is_not_forgotten_by_a_scan(tmp_path: Path):
    write_tree(tmp_path / "photos", {f"{number:02}": 50 for number in range(40)})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t1")
        back(session, tmp_path / "t2")
        for number in range(5):
            (tmp_path / f"t1/photos/{number:02}").unlink()
        shutil.rmtree(tmp_path / "photos")
        run(restore(session, str(tmp_path / "t1")))
        rescan(session)  # five of forty are gone: believed
        ran = status(session)
        assert counts(ran) == (40, 35, 5, 0) and ran.summary.next.target.label == "t2"
        run(restore(session, str(tmp_path / "t2")))
        assert counts(status(session)) == (40, 40, 0, 0) and not has_expected(session)


def test_what_a_restore_of_a_part_brought_back_may_be_deleted_again(world):
    session, tmp = world
    file = tmp / "photos/sub/b.bin"
    file.unlink()
    assert run(restore(session, str(tmp / "t1"), path=b"sub/b.bin")).summary.restored == 1
    rescan(session)
    file.unlink()
    rescan(session)
    assert counts(status(session)) == (4, 4, 0, 0)
    assert run(restore(session, str(tmp / "t1"))).summary.restored == 0 and not file.exists()


def test_what_came_back_may_be_deleted_again_while_others_are_waited_for(world):
    session, tmp = world
    (tmp / "t1/photos/sub/b.bin").unlink()
    for name in ("a.txt", "sub/b.bin"):
        (tmp / "photos" / name).unlink()
    assert run(restore(session, str(tmp / "t1"))).summary.missing == 1
    (tmp / "photos/a.txt").unlink()
    rescan(session)
    assert [event.path for event in status(session).of(Unrestored)] == [os.fsencode(tmp / "photos/sub/b.bin")]


def test_a_restore_to_another_place_says_nothing_of_what_the_source_should_hold(world):
    session, tmp = world
    (tmp / "t1/photos/a.txt").unlink()
    assert run(restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "out"))).summary.missing == 1
    (tmp / "photos/a.txt").unlink()
    rescan(session)
    assert counts(status(session)) == (4, 4, 0, 0)


def test_closing_it_in_the_middle_does_no_harm(world):
    session, tmp = world
    (tmp / "photos/a.txt").unlink()
    steps = restore_status(session)
    next(steps)
    steps.close()  # type: ignore[attr-defined]
    assert counts(status(session)) == (5, 4, 1, 0)
