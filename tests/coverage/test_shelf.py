"""What the shelf lacks, now and after a backup that is only looked at."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import session_builder as rows
from medback_core.session import open_session
from medback_core.session.targets import save_target
from medback_core.model import Count, Source, Target, TargetState
from medback_core.session import Session
from medback_core.coverage.shelf_room import shortage
from support.worlds import add, back, new_session, write_tree


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path / "s.db")


@pytest.fixture
def photos(session: Session) -> Source:
    return rows.source(session)


def drive(session: Session, name: str, free: int | None, **more: object) -> Target:
    return save_target(session, Target(0, name, "", free_bytes=free, **more))  # type: ignore[arg-type]


def test_without_any_drive_all_wanted_copies_lack_room(session: Session, photos: Source):
    rows.put(session, photos, b"f", rows.content("x", 1000))
    assert (shortage(session).below, shortage(session).room_bytes) == (Count(1, 1000), 2000)


def test_room_counts_as_far_as_a_drive_may_be_filled(session: Session, photos: Source):
    rows.put(session, photos, b"f", rows.content("x", 1000))
    drive(session, "t1", 700)
    drive(session, "t2", 10_000, capacity=300)
    drive(session, "t3", 10_000, state=TargetState.RETIRED)
    drive(session, "t4", None)
    assert shortage(session).room_bytes == 1000
    drive(session, "t5", 1000, total_bytes=1 << 20)
    assert shortage(session).room_bytes == 1000, "what is kept free on every drive is no room"


def test_one_large_drive_is_no_room_for_two_copies(session: Session, photos: Source):
    rows.put(session, photos, b"f", rows.content("x", 1000))
    one = drive(session, "t1", 10**9)
    assert shortage(session).room_bytes == 1000
    rows.copy(session, rows.content("x", 1000), one)
    assert shortage(session).room_bytes == 1000, "what it holds it can't hold again"
    drive(session, "t2", 999)
    assert shortage(session).room_bytes == 1
    drive(session, "t2", 1000)
    assert (shortage(session).below, shortage(session).room_bytes) == (Count(1, 1000), 0)


def test_what_a_retired_drive_holds_it_has_no_room_for(session: Session, photos: Source):
    one = drive(session, "t1", 10**9, state=TargetState.RETIRED)
    rows.copy(session, rows.put(session, photos, b"f", rows.content("x", 10)), one)
    assert shortage(session).room_bytes == 20


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32))
def test_a_dry_run_says_what_the_run_then_leaves(seed: int):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as base:
        tmp = Path(base)
        sizes = {f"d{n % 3}/f{n}": rng.choice([0, 10, 500, 4000, 9000]) for n in range(8)}
        write_tree(tmp / "photos", sizes)
        with new_session(tmp) as session:
            add(session, tmp / "photos", copies=rng.randint(1, 3))
            for _ in range(3):
                where = tmp / f"t{rng.randrange(3)}"
                bounds = {"capacity": rng.choice([4000, 12_000, 40_000]), "limit": rng.choice([None, 5000])}
                where.mkdir(exist_ok=True)
                would = back(session, where, dry_run=True, **bounds).summary
                did = back(session, where, update_first=False, **bounds).summary
                for what in ("copied", "copied_bytes", "remaining", "remaining_bytes", "full", "lacking_bytes"):
                    assert getattr(would, what) == getattr(did, what), what
