"""Sources and targets as rows: facts, states, aliases, what a change of them brings out of date."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from support import session_builder as rows
from support.saying import says
from medback_core.session import open_session
from medback_core.session.copies import believe_copies, copies_of, copy_on, find_identity, held_by_target, record_copies
from medback_core.session.files import ensure_directory, put_links
from medback_core.session.rollup import refresh_oldest
from medback_core.session.source_list import listed_sources
from medback_core.session.sources import (
    find_source,
    free_alias,
    list_sources,
    mark_metadata,
    metadata_is_dirty,
    new_id,
    remove_source,
    save_source,
    source_totals,
)
from medback_core.session.targets import (
    add_alias,
    add_pending,
    aliases_of,
    clear_pending,
    counting_keys,
    find_target,
    folders,
    list_targets,
    merge_fact,
    pending_for,
    save_folder,
    save_target,
    target_by_id,
    target_key,
)
from medback_core.session.tree import directory_key, oldest_check
from medback_core.errors import Refused
from medback_core.model import Count, Standing, Target, TargetState
from medback_core.session import Session
from medback_core.session.copies import Copy


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path / "s.db")


def test_ids_are_twelve_characters_nobody_confuses():
    ids = {new_id() for _ in range(200)}
    assert len(ids) == 200
    assert all(len(one) == 12 and not set(one) - set("0123456789abcdefghjkmnpqrstvwxyz") for one in ids)


def test_an_alias_is_unique(session: Session):
    photos = rows.source(session)
    assert free_alias(session, "photos") == "photos-2"
    assert free_alias(session, "photos", but=photos.key) == "photos"
    rows.source(session, "photos-2")
    assert free_alias(session, "photos") == "photos-3"


def test_a_source_is_found_by_alias_or_id_and_else_refused_with_those_there_are(session: Session):
    photos = rows.source(session)
    assert find_source(session, "photos") == find_source(session, "id-photos") == photos
    with pytest.raises(Refused, check=says("photos")):
        find_source(session, "nobody")


def test_a_changed_source_brings_metadata_out_of_date_and_a_scan_of_it_does_not(session: Session):
    photos, music = rows.source(session), rows.source(session, "music")
    for each in (photos, music):
        mark_metadata(session, each.key, dirty=False)
    save_source(session, replace(photos, scanned_at=5, device=3))
    assert not metadata_is_dirty(session, photos.key)
    save_source(session, replace(photos, wanted=4, excludes=("*.tmp",)))
    assert metadata_is_dirty(session, photos.key) and not metadata_is_dirty(session, music.key)
    save_source(session, replace(photos, path=b"/elsewhere"))
    assert metadata_is_dirty(session, music.key), "siblings name each other"
    assert listed_sources(session.path) == [b"/elsewhere", b"/src/music"]


def test_a_forgotten_source_leaves_copies_known(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    key = rows.put(session, photos, b"a/f", rows.content("x", 10))
    rows.copy(session, key, one)
    remove_source(session, photos.key)
    assert list_sources(session) == []
    assert held_by_target(session).get(one.key, Count()) == Count(1, 10)
    assert find_identity(session, rows.content("x", 10)) == key
    for table in ("file", "directory", "rollup", "link"):
        assert session.db.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (0,)


def test_what_a_source_holds_in_all(session: Session):
    photos = rows.source(session)
    for path in (b"a/f", b"g"):
        rows.put(session, photos, path, rows.content(path.hex(), 10))
    with session.transaction():
        root = ensure_directory(session, photos.key, b"a")
        put_links(session, root, {b"l": b"x"})
    assert source_totals(session, photos.key) == (Count(2, 20), 1, 2)


def test_an_id_met_in_a_record_is_no_known_target(session: Session):
    key = target_key(session, "s0me1d")
    assert target_key(session, "s0me1d") == key
    assert list_targets(session) == []
    assert [target.id for target in list_targets(session, unknown=True)] == ["s0me1d"]
    assert counting_keys(session) == frozenset()
    with pytest.raises(Refused):
        find_target(session, "s0me1d")
    known = save_target(session, Target(0, "s0me1d", "Blue"))
    assert known.key == key and counting_keys(session) == {key}


def test_a_label_two_targets_have_is_refused_with_their_ids(session: Session):
    for name in ("t1", "t2"):
        save_target(session, Target(0, name, "Blue"))
    with pytest.raises(Refused, check=says("t1 and t2")):
        find_target(session, "Blue")
    assert find_target(session, "t2").id == "t2"


def test_an_id_wins_over_a_label(session: Session):
    save_target(session, Target(0, "t1", "t2"))
    save_target(session, Target(0, "t2", "other"))
    assert find_target(session, "t2").id == "t2"


@pytest.mark.parametrize(
    ("rev", "state", "wins"),
    [
        (4, TargetState.LOST, False),
        (5, TargetState.ACTIVE, False),
        (5, TargetState.SUSPECT, True),
        (5, TargetState.LOST, True),
        (6, TargetState.ACTIVE, True),
    ],
)
def test_the_highest_revision_of_a_fact_wins_and_ties_go_to_the_worse_state(
    session: Session, rev: int, state: TargetState, wins: bool
):
    save_target(session, Target(0, "t1", "old", TargetState.RETIRED, rev=5, path=b"/mnt"))
    merge_fact(session, Target(0, "t1", "new", state, rev=rev, capacity=7))
    now = target_by_id(session, "t1")
    assert now is not None
    assert (now.label, now.state) == (("new", state) if wins else ("old", TargetState.RETIRED))
    assert now.path == b"/mnt"


def test_a_fact_introduces_an_unknown_target_and_its_copies_begin_to_count(session: Session):
    photos = rows.source(session)
    key = rows.put(session, photos, b"f", rows.content("x"))
    unknown = target_key(session, "t1")
    believe_copies(session, [(key, unknown, Standing.VERIFIED)])
    root = directory_key(session, photos.key, b"")
    assert root is not None
    with session.transaction():
        refresh_oldest(session.db)
    assert oldest_check(session, root) is None
    merge_fact(session, Target(0, "t1", "Blue", TargetState.ACTIVE))
    assert oldest_check(session, root) == 0, "it counts, and when it was checked is not known"


def test_when_a_target_was_seen_brings_no_metadata_out_of_date_but_where_does(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    mark_metadata(session, None, dirty=False)
    save_target(session, replace(one, seen_at=9, free_bytes=1))
    assert not metadata_is_dirty(session, photos.key)
    save_target(session, replace(one, path=b"/mnt"))
    assert metadata_is_dirty(session, photos.key)
    save_target(session, replace(one, label="Red"))
    assert metadata_is_dirty(session, photos.key)


def test_copies_under_a_familys_id_move_to_the_target_that_has_it(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    known, better, alone = (
        rows.put(session, photos, name, rows.content(name.hex(), 10)) for name in (b"a", b"b", b"c")
    )
    old = target_key(session, "family-uuid")
    rows.copy(session, known, one, path=b"here", checked=5)
    record_copies(session, [Copy(better, one.key, Standing.CLAIMED)])
    believe_copies(
        session, [(known, old, Standing.CLAIMED), (better, old, Standing.WRITTEN), (alone, old, Standing.CLAIMED)]
    )
    add_alias(session, one.key, "family-uuid")
    assert [c.standing for key in (known, better, alone) for c in copies_of(session, key)] == [
        Standing.VERIFIED, Standing.WRITTEN, Standing.CLAIMED,
    ]  # fmt: skip
    copy = copy_on(session, known, one.key)
    assert copy is not None and (copy.path, copy.verified_at) == (b"here", 5)
    assert target_key(session, "family-uuid") == one.key
    assert aliases_of(session, one.key) == ("family-uuid",)
    assert held_by_target(session).get(one.key, Count()) == Count(2, 20)
    assert held_by_target(session, claims=True).get(one.key, Count()) == Count(3, 30)
    assert held_by_target(session, claims=True).get(old, Count()) == Count()


def test_belief_never_lowers_what_is_known(session: Session):
    photos, one = rows.source(session), rows.target(session, "t1")
    key = rows.put(session, photos, b"f", rows.content("x"))
    rows.copy(session, key, one, path=b"p", checked=5)
    believe_copies(session, [(key, one.key, Standing.CLAIMED), (key, one.key, Standing.WRITTEN)])
    assert copies_of(session, key) == [Copy(key, one.key, Standing.VERIFIED, b"p", None, 5, False)]
    rows.copy(session, key, one, Standing.WRITTEN, path=b"q", checked=None)
    assert copies_of(session, key) == [Copy(key, one.key, Standing.WRITTEN, b"q", None, None, False)]


def test_folders_and_what_waits_for_a_drive_are_remembered(session: Session):
    one = rows.target(session, "t1")
    save_folder(session, one.key, "id-photos", b"photos\xff")
    save_folder(session, one.key, "id-photos", b"photos-2")
    assert folders(session, one.key) == {"id-photos": b"photos-2"}
    add_pending(session, one.key, [(1, b"a"), (1, b"a"), (2, b"b")])
    assert sorted(pending_for(session, one.key)) == [(1, b"a"), (2, b"b")]
    clear_pending(session, one.key, [(1, b"a")])
    assert pending_for(session, one.key) == [(2, b"b")]
