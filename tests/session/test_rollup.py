"""The totals by directory and placement, after anything that can happen to a session."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fault_report import examples
from support import session_builder as rows
from medback_core.session import open_session
from medback_core.session.copies import believe_copies, copies_of
from medback_core.session.files import dirty_directories, drop_directories, files_in, find_directory, mark_sidecar
from support.stored import remove_files
from medback_core.session.placements import placement_by_id
from medback_core.session.rollup import refresh_oldest
from medback_core.session.targets import counting_keys
from medback_core.session.tree import directory_key, oldest_check, totals_by_source, totals_of
from medback_core.model import Count, Standing, TargetState
from medback_core.session import Session


def assert_totals_are_right(session: Session) -> None:
    for (key,) in session.db.execute("SELECT id FROM directory").fetchall():
        assert totals_of(session, key) == rows.totals(session, key)
    known = {row[0] for row in session.db.execute("SELECT id FROM directory")}
    assert {row[0] for row in session.db.execute("SELECT DISTINCT directory_id FROM rollup")} <= known
    assert session.db.execute("SELECT COUNT(*) FROM delta").fetchone() == (0,)
    assert session.db.execute("SELECT COUNT(*) FROM moved").fetchone() == (0,)
    for key, identities, size, counted, summed in session.db.execute(
        "SELECT p.id, p.identities, p.bytes, COUNT(i.id), COALESCE(SUM(i.size), 0) FROM placement p "
        "LEFT JOIN identity i ON i.placement_id = p.id WHERE p.id <> 1 GROUP BY p.id"
    ).fetchall():
        assert (identities, size) == (counted, summed), placement_by_id(session, key)


def assert_placements_are_the_copies(session: Session) -> None:
    for key, placement in session.db.execute("SELECT id, placement_id FROM identity").fetchall():
        members = placement_by_id(session, placement)
        copies = copies_of(session, key)
        for standing, held in zip(Standing, (members.claimed, members.written, members.verified), strict=True):
            assert held == {copy.target for copy in copies if copy.standing is standing}


def assert_oldest_checks_are_right(session: Session) -> None:
    counting = counting_keys(session)
    below: dict[int, list[int]] = {}
    for directory, identity in session.db.execute("SELECT directory_id, identity_id FROM file").fetchall():
        dates = [
            (copy.verified_at or 0) if copy.standing is Standing.VERIFIED else 0
            for copy in copies_of(session, identity)
            if copy.target in counting and copy.standing is not Standing.CLAIMED
        ]
        at: int | None = directory
        while at is not None and dates:
            below.setdefault(at, []).append(min(dates))
            at = session.db.execute("SELECT parent_id FROM directory WHERE id = ?", (at,)).fetchone()[0]
    for (key,) in session.db.execute("SELECT id FROM directory").fetchall():
        assert oldest_check(session, key) == min(below.get(key, []), default=None)


@pytest.mark.long
@settings(max_examples=examples(80))
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 40))
def test_totals_equal_a_recount_after_any_history(seed: int, steps: int):
    with tempfile.TemporaryDirectory() as directory, open_session(Path(directory) / "s.db") as session:
        history = rows.History(session, random.Random(seed))
        for number in range(steps):
            history.step()
            if number % 7 == 0:
                with session.transaction():
                    refresh_oldest(session.db)
        with session.transaction():
            refresh_oldest(session.db)
        assert_totals_are_right(session)
        assert_placements_are_the_copies(session)
        assert_oldest_checks_are_right(session)


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path / "s.db")


def test_a_rolled_back_transaction_leaves_the_totals(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    rows.put(session, photos, b"a/f", rows.content("x"))
    with pytest.raises(RuntimeError), session.transaction():
        rows.put(session, photos, b"a/g", rows.content("y"))
        rows.copy(session, rows.content("x"), one)
        raise RuntimeError
    assert_totals_are_right(session)
    rows.copy(session, rows.content("x"), one)  # the interned placement of the rolled-back one must not be used
    assert_totals_are_right(session)
    assert_placements_are_the_copies(session)


def test_a_file_that_comes_and_moves_in_one_transaction_counts_once(session: Session):
    photos, one, two = rows.source(session), rows.target(session, "t1"), rows.target(session, "t2")
    rows.put(session, photos, b"a/f", rows.content("x", 10))
    with session.transaction():
        rows.copy(session, rows.content("x", 10), one)
        rows.put(session, photos, b"a/g", rows.content("x", 10))
        rows.copy(session, rows.content("x", 10), two)
        rows.put(session, photos, b"b/h", rows.content("x", 10))
    assert_totals_are_right(session)
    totals = totals_by_source(session)[photos.key]
    assert list(totals.values()) == [Count(3, 30)]


def test_a_new_copy_dirties_every_directory_that_holds_the_content(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    for path in (b"a/f", b"b/g"):
        rows.put(session, photos, path, rows.content("x"))
    rows.put(session, photos, b"c/h", rows.content("y"))
    rows.copy(session, rows.content("x"), one)
    assert [row.path for row in dirty_directories(session, photos.key)] == [b"a", b"b"]


def test_a_copy_seen_again_as_it_was_dirties_nothing(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    key = rows.put(session, photos, b"a/f", rows.content("x"))
    rows.copy(session, key, one)
    directory = find_directory(session, photos.key, b"a")
    assert directory is not None
    mark_sidecar(session, directory.key, None)
    rows.copy(session, key, one)
    believe_copies(session, [(key, one.key, Standing.CLAIMED)])
    assert dirty_directories(session, photos.key) == []


def test_the_checks_of_a_drive_that_died_no_longer_count(session: Session):
    photos, old, new = rows.source(session), rows.target(session, "t1"), rows.target(session, "t2")
    key = rows.put(session, photos, b"a/f", rows.content("x"))
    rows.copy(session, key, old, checked=5)
    rows.copy(session, key, new, checked=50)
    root = directory_key(session, photos.key, b"")
    assert root is not None
    with session.transaction():
        refresh_oldest(session.db)
    assert oldest_check(session, root) == 5
    rows.set_state(session, old, TargetState.LOST)
    assert oldest_check(session, root) == 50
    rows.set_state(session, old, TargetState.ACTIVE)
    assert oldest_check(session, root) == 5


def test_a_directory_that_went_no_longer_ages_the_one_above(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    rows.copy(session, rows.put(session, photos, b"a/old", rows.content("x")), one, checked=5)
    rows.copy(session, rows.put(session, photos, b"b/new", rows.content("y")), one, checked=50)
    root, gone = directory_key(session, photos.key, b""), directory_key(session, photos.key, b"a")
    assert root is not None and gone is not None
    with session.transaction():
        refresh_oldest(session.db)
    assert oldest_check(session, root) == 5
    with session.transaction():
        remove_files(session, [row.key for row in files_in(session, gone).values()])
        drop_directories(session, [gone])
        refresh_oldest(session.db)
    assert oldest_check(session, root) == 50
