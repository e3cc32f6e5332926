"""Coverage, listings and whereabouts against a recount, file by file."""

from __future__ import annotations

import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fault_report import examples
from support import session_builder as rows
from support import worlds
from support.saying import says
from medback_core.coverage import totals as operation
from medback_core.coverage.tree import ORDERS, browse, page
from medback_core.coverage.where_is import copies_of_file, where_is
from medback_core.session import open_session
from medback_core.session.copies import copies_of, identity_key, identity_of
from support.stored import put_expected
from medback_core.session.files import ensure_directory, find_file, join
from medback_core.session.gone import add_gone
from medback_core.session.rollup import refresh_oldest
from medback_core.session.sources import insert_source, list_sources
from medback_core.session.targets import counting_keys, list_targets
from medback_core.session.tree import ListedFile, directory_key, files_below
from medback_core.errors import Refused
from medback_core.model import Answers, Count, Source, Standing, Target, TargetState
from medback_core.session import Session
from medback_core.sidecar.reading import parse

FileOf = tuple[Source, bytes, ListedFile]


def every_file(session: Session) -> list[FileOf]:
    sources = {source.key: source for source in list_sources(session)}
    return [(sources[key], join(path, file.name), file) for key, path, file in files_below(session)]


def countable_copies(session: Session, file: ListedFile, dead: frozenset[int] = frozenset()) -> int:
    counting = counting_keys(session) - dead
    return len([c for c in copies_of(session, file.identity) if c.target in counting and c.standing])


def summed(counts: dict[int, list[int]]) -> dict[int, Count]:
    return {copies: Count(len(sizes), sum(sizes)) for copies, sizes in counts.items()}


def filled(by_copies: dict[int, Count]) -> dict[int, Count]:
    return {copies: count for copies, count in by_copies.items() if count.files}


def total(counts: list[int]) -> Count:
    return Count(len(counts), sum(counts))


random_sessions = settings(max_examples=examples(40))


@pytest.mark.long
@random_sessions
@given(seed=st.integers(0, 2**32))
def test_coverage_of_every_directory_equals_a_recount(seed: int):
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed)[0] as session:
        files = every_file(session)
        asked: list[tuple[str | None, bytes]] = [(None, b"")]
        for source in list_sources(session):
            paths = session.db.execute("SELECT path FROM directory WHERE source_id = ?", (source.key,)).fetchall()
            asked += [(source.alias, path) for (path,) in paths]
        for alias, path in asked:
            by_copies: dict[int, list[int]] = {}
            below: list[int] = []
            damaged = 0
            for source, where, file in files:
                if alias not in (None, source.alias) or not (path == b"" or where.startswith(path + b"/")):
                    continue
                copies = countable_copies(session, file)
                by_copies.setdefault(copies, []).append(file.content.size)
                damaged += file.trouble > 0
                if copies < source.wanted:
                    below.append(file.content.size)
            found = operation.coverage(session, source=alias, path=path)
            assert filled(found.by_copies) == summed(by_copies)
            assert sorted(found.by_copies) == list(range(len(found.by_copies))), "every number from 0 up"
            assert found.below_wanted == total(below)
            assert (found.files, found.bytes) == (
                sum(map(len, by_copies.values())),
                sum(map(sum, by_copies.values())),
            )
            assert found.damaged == damaged


@pytest.mark.long
@random_sessions
@given(seed=st.integers(0, 2**32))
def test_the_answer_to_am_i_safe_equals_a_recount(seed: int):
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed)[0] as session:
        files = [(source, countable_copies(session, file), file) for source, _, file in every_file(session)]
        found = operation.safety(session)
        assert (found.files, found.bytes) == (len(files), sum(file.content.size for _, _, file in files))
        assert found.safe_files == len([1 for source, copies, _ in files if copies >= source.wanted])
        assert found.unsafe == total([f.content.size for source, copies, f in files if copies < source.wanted])
        assert found.none == total([f.content.size for _, copies, f in files if copies == 0])
        assert found.damaged == len([1 for _, _, file in files if file.trouble])


@pytest.mark.long
@random_sessions
@given(seed=st.integers(0, 2**32))
def test_what_is_unprotected_equals_a_recount(seed: int):
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed)[0] as session:
        wanted = [
            (source.alias, path, file.content.size, copies, source.wanted)
            for source, path, file in every_file(session)
            if (copies := countable_copies(session, file)) < source.wanted
        ]
        found = [(f.source, f.path, f.size, f.copies, f.wanted) for f in operation.unprotected(session)]
        assert found == wanted
        scope = random.Random(seed).choice([b"a", b"a/b", b"\xff\xfe"])
        found = [(f.source, f.path) for f in operation.unprotected(session, "photos", scope)]
        assert found == [w[:2] for w in wanted if w[0] == "photos" and w[1].startswith(scope + b"/")]


@pytest.mark.long
@random_sessions
@given(seed=st.integers(0, 2**32))
def test_what_a_drive_holds_equals_a_recount(seed: int):
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed)[0] as session:
        counting = counting_keys(session)
        current = {file.identity for _, _, file in every_file(session)}
        held: dict[int, list[int]] = {target.key: [] for target in list_targets(session)}
        only: dict[int, list[int]] = {target.key: [] for target in list_targets(session)}
        for (key,) in session.db.execute("SELECT id FROM identity").fetchall():
            size = identity_of(session, key).size
            solid = {copy.target for copy in copies_of(session, key) if copy.standing}
            for target in solid & held.keys():
                held[target].append(size)
            if len(solid & counting) == 1 and key in current:
                only[min(solid & counting)].append(size)
        found = operation.target_holdings(session)
        assert {key: Count(each.files, each.bytes) for key, each in found.items()} == {
            key: total(sizes) for key, sizes in held.items()
        }
        assert {key: each.only_copy for key, each in found.items()} == {k: total(v) for k, v in only.items()}


@pytest.mark.long
@random_sessions
@given(seed=st.integers(0, 2**32))
def test_a_listing_equals_a_recount_with_drives_dead_or_alive(seed: int):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed)[0] as session:
        dead = frozenset(rng.sample(sorted(counting_keys(session)), min(1, len(counting_keys(session)))))
        unsafe_only, order = rng.random() < 0.5, rng.choice(list(ORDERS))
        files = every_file(session)
        for source in list_sources(session):
            for path in (b"", b"a", b"a/b"):
                found = browse(session, source.key, path, order=order, unsafe_only=unsafe_only, dead=dead)
                if directory_key(session, source.key, path) is None:
                    assert found is None
                    continue
                assert found is not None and found.here is not None
                prefix = path + b"/" if path else b""
                inside = [(w[len(prefix) :], f) for s, w, f in files if s == source and w.startswith(prefix)]
                direct = {f.key: f for where, f in inside if b"/" not in where}
                shown = {
                    k
                    for k, f in direct.items()
                    if not unsafe_only or countable_copies(session, f, dead) < source.wanted
                }
                assert set(found.files) == shown and found.files_total == len(direct)
                for view in page(session, found.files, dead=dead):
                    assert view.copies == countable_copies(session, direct[view.key], dead)
                    assert (view.size, view.wanted) == (direct[view.key].content.size, source.wanted)
                for view in found.directories:
                    below = [f for where, f in inside if where.startswith(view.name + b"/")]
                    assert view.count == total([f.content.size for f in below])
                    unsafe = [f.content.size for f in below if countable_copies(session, f, dead) < source.wanted]
                    assert view.unsafe == total(unsafe)
                    assert not unsafe_only or view.unsafe.files
                ranks = {"bytes": lambda v: -v.count.bytes, "unsafe": lambda v: -v.unsafe.bytes,
                         "name": lambda v: v.name, "checked": lambda v: -1 if v.oldest is None else v.oldest}  # fmt: skip
                assert list(found.directories) == sorted(found.directories, key=lambda v: (ranks[order](v), v.name))


# --- against the sidecars ------------------------------------------------------------------------------------------


def from_the_sidecars(session: Session, source: Path) -> dict[bytes, dict[int, Count]]:
    """Directory -> what lies at and below it by the number of copies that count, as the sidecars of a source tell it."""
    counting = {target.id for target in list_targets(session) if target.counts}
    found: dict[bytes, dict[int, Count]] = {}
    for directory, _, names in os.walk(os.fsencode(source)):
        if b".medback.xml" not in names:
            continue
        where = os.path.relpath(directory, os.fsencode(source))
        above = [b""] + [
            where[:n] for n in range(1, len(where) + 1) if where[n : n + 1] in (b"", b"/") and where != b"."
        ]
        for record in parse((Path(os.fsdecode(directory)) / ".medback.xml").read_bytes()).files.values():
            solid = [bd for bd in record.bds if bd.target in counting and bd.standing is not Standing.CLAIMED]
            for each in above:
                by_copies = found.setdefault(each, {})
                by_copies[len(solid)] = by_copies.get(len(solid), Count()) + Count(1, record.size)
    return found


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_coverage_equals_the_sidecars_after_real_scans_and_backups(seed: int):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as base:
        source = Path(base) / "photos"
        worlds.write_tree(source, {f"d{n % 3}/f{n}": rng.randint(0, 4000) for n in range(12)})
        with worlds.new_session(Path(base)) as session:
            worlds.add(session, source)
            for number in range(7):
                change = rng.randrange(5)
                present = sorted(path for path in worlds.tree(source))
                if change == 0:
                    worlds.write_tree(source, {f"d{rng.randrange(4)}/new{number}": rng.randint(0, 3000)})
                elif change == 1 and len(present) > 6:
                    os.unlink(os.path.join(os.fsencode(source), rng.choice(present)))
                elif change == 2:
                    old = os.path.join(os.fsencode(source), rng.choice(present))
                    os.makedirs(source / "moved", exist_ok=True)
                    os.rename(old, os.fsencode(source / "moved" / f"m{number}"))
                elif change == 3:
                    drive = f"drive{rng.randrange(3)}"
                    known = next((t for t in list_targets(session) if t.label == drive), None)
                    if known is None or known.state is TargetState.ACTIVE:
                        limit = rng.choice([None, 8000])
                        worlds.back(session, Path(base) / drive, label=drive if known is None else None, limit=limit)
                elif list_targets(session):
                    rows.set_state(session, rng.choice(list_targets(session)), rng.choice(list(TargetState)))
                worlds.rescan(session, answers=Answers(deletions=True))
            found = operation.coverage(session, depth=9)
            by_directory = {each.path: filled(each.by_copies) for each in found.directories if each.count.files}
            assert by_directory == from_the_sidecars(session, source)


# --- in words ------------------------------------------------------------------------------------------------------


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path / "s.db")


@pytest.fixture
def photos(session: Session) -> Source:
    return rows.source(session)


@pytest.fixture
def one(session: Session) -> Target:
    return rows.target(session, "t1")


def test_depth_adds_the_directories_inside_level_by_level(session: Session, photos: Source):
    for path in (b"a/b/c/f", b"a/g", b"b/h", b"top"):
        rows.put(session, photos, path, rows.content(path.hex(), 10))

    def listed(depth: int, path: bytes = b"") -> list[tuple[bytes, int]]:
        found = operation.coverage(session, source="photos", path=path, depth=depth)
        return [(each.path, each.count.files) for each in found.directories]

    assert listed(0) == [(b"", 4)]
    assert listed(1) == [(b"", 4), (b"a", 2), (b"b", 1)]
    assert listed(9) == [(b"", 4), (b"a", 2), (b"a/b", 1), (b"a/b/c", 1), (b"b", 1)]
    assert listed(1, b"a") == [(b"a", 2), (b"a/b", 1)]
    assert listed(0, b"./a//b/") == [(b"a/b", 1)]


def test_all_sources_are_listed_and_each_measured_by_its_own_wish(session: Session, photos: Source, one: Target):
    music = rows.source(session, "music", wanted=1)
    for source in (photos, music):
        rows.copy(session, rows.put(session, source, b"f", rows.content("x", 10)), one)
    found = operation.coverage(session)
    assert [(each.source, each.below_wanted) for each in found.directories] == [
        ("photos", Count(1, 10)),
        ("music", Count()),
    ]
    assert found.below_wanted == Count(1, 10)


@pytest.mark.parametrize("path", [b"nowhere", b"/a", b"a/../b", b"f"])
def test_a_directory_nobody_knows_is_refused(session: Session, photos: Source, path: bytes):
    rows.put(session, photos, b"f", rows.content("x"))
    with pytest.raises(Refused):
        operation.coverage(session, source="photos", path=path)
    with pytest.raises(Refused):
        operation.coverage(session, path=path)


def test_nothing_at_all_is_covered_in_an_empty_session(session: Session):
    found = operation.coverage(session)
    assert (found.files, found.by_copies, found.oldest, found.directories) == (0, {0: Count()}, None, ())
    assert operation.safety(session) == operation.Safety()
    listing = browse(session, None)
    assert listing is not None and listing.directories == () and list(listing.files) == []


def test_claims_and_unknown_drives_never_count(session: Session, photos: Source, one: Target):
    key = rows.put(session, photos, b"f", rows.content("x", 10))
    unknown = rows.target(session, "t2", known=False)
    rows.copy(session, key, one, Standing.CLAIMED)
    rows.copy(session, key, unknown)
    assert operation.coverage(session).by_copies == {0: Count(1, 10), 1: Count(), 2: Count()}
    (file,) = page(session, [1])
    assert (file.copies, file.claimed, file.safe) == (0, 1, False)


def test_the_oldest_check_tells_never_from_unknown(session: Session, photos: Source, one: Target):
    two = rows.target(session, "t2")
    for path, checks in ((b"a/f", [7, 9]), (b"b/f", [8, None]), (b"c/f", [])):
        key = rows.put(session, photos, path, rows.content(path.hex()))
        for on, date in zip((one, two), checks, strict=False):
            rows.copy(session, key, on, checked=date)
    with session.transaction():
        refresh_oldest(session.db)
    found = operation.coverage(session, depth=1)
    assert [(each.path, each.oldest) for each in found.directories] == [(b"", 0), (b"a", 7), (b"b", 0), (b"c", None)]
    listing = browse(session, photos.key, order="checked")
    assert listing is not None and [view.path for view in listing.directories] == [b"c", b"b", b"a"]


def test_a_filter_takes_directories_and_sources_by_their_last_name(session: Session, photos: Source):
    for path in (b"Lisbon/x/f", b"Porto/lisbon-day/f", b"list.txt", b"\xff/f"):
        rows.put(session, photos, path, rows.content(path.hex()))
    listing = browse(session, photos.key, filter_text="LIS")
    assert listing is not None
    assert [view.name for view in listing.directories] == [b"Lisbon"]
    assert (len(listing.files), listing.files_total, listing.directories_total) == (1, 1, 3)
    top = browse(session, None, filter_text="hot")
    assert top is not None and [view.name for view in top.directories] == [b"photos"]


# --- where is it ---------------------------------------------------------------------------------------------------


def test_a_file_is_told_with_its_copies_those_that_count_first(session: Session, photos: Source, one: Target):
    key = rows.put(session, photos, b"a/f", rows.content("x", 10))
    lost, claimed = rows.target(session, "t2", TargetState.LOST), rows.target(session, "t3")
    rows.copy(session, key, claimed, Standing.CLAIMED)
    rows.copy(session, key, lost, path=b"p")
    rows.copy(session, key, one, Standing.WRITTEN, path=b"photos/a/f", checked=None)
    (found,) = where_is(session, [b"a/f"], source="photos")
    assert (found.source, found.path, found.size, found.md5) == ("photos", b"a/f", 10, rows.content("x").md5.hex())
    assert [(view.target.id, view.counts, view.standing, view.path) for view in found.copies] == [
        ("t1", True, Standing.WRITTEN, b"photos/a/f"),
        ("t3", False, Standing.CLAIMED, None),
        ("t2", False, Standing.VERIFIED, b"p"),
    ]
    file = find_file(session, photos.key, b"a/f")
    assert file is not None and copies_of_file(session, file.key) == list(found.copies)
    assert copies_of_file(session, 999) == []


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (b"/src/photos/a/f", [b"a/f"]),
        (b"/src/photos/a", [b"a/f", b"a/g"]),
        (b"/src/photos", [b"a/f", b"a/g", b"top"]),
        (b"/src/photos/./a/../a//f", [b"a/f"]),
        (b"/src/photos/empty", []),
    ],
)
def test_an_absolute_path_is_looked_up_among_the_sources(
    session: Session, photos: Source, path: bytes, found: list[bytes]
):
    rows.source(session, "photos-2")
    for each in (b"a/f", b"a/g", b"top"):
        rows.put(session, photos, each, rows.content(each.hex()))
    with session.transaction():
        ensure_directory(session, photos.key, b"empty")
    assert sorted(one.path for one in where_is(session, [path])) == found


def test_a_path_is_found_through_a_link_above_it(session: Session, tmp_path: Path):
    (tmp_path / "real" / "a").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    source = insert_source(session, Source(0, "s", "photos", os.fsencode(tmp_path / "real")))
    rows.put(session, source, b"a/f", rows.content("x"))
    assert where_is(session, [os.fsencode(tmp_path / "link" / "a" / "f")])[0].path == b"a/f"


@pytest.mark.parametrize("path", [b"/src/photos/nothing", b"/src/photosX/f", b"/elsewhere", b"relative"])
def test_a_path_that_names_nothing_is_refused(session: Session, photos: Source, path: bytes):
    rows.put(session, photos, b"f", rows.content("x"))
    with pytest.raises(Refused):
        where_is(session, [path])


def test_a_deleted_file_is_found_when_asked_for(session: Session, photos: Source, one: Target):
    with session.transaction():
        key = identity_key(session, rows.content("x", 10))
    rows.copy(session, key, one)
    add_gone(session, [(photos.key, b"a/f", key, 1, 0o644, 77)])
    with pytest.raises(Refused, check=says("--deleted")):
        where_is(session, [b"a/f"], source="photos")
    (found,) = where_is(session, [b"a"], source="photos", deleted=True)
    assert (found.path, found.gone, found.gone_at, len(found.copies)) == (b"a/f", True, 77, 1)
    with pytest.raises(Refused):
        where_is(session, [b"b"], source="photos", deleted=True)


def test_what_only_an_imported_context_tells_of_is_found(session: Session, photos: Source, one: Target):
    with session.transaction():
        key = identity_key(session, rows.content("x", 10))
        put_expected(session, [(photos.key, b"a/f", key, 1, 0o644, None, None)])
    rows.copy(session, key, one, Standing.CLAIMED)
    (found,) = where_is(session, [b"a/f"], source="photos")
    assert [view.standing for view in found.copies] == [Standing.CLAIMED]


def test_a_real_backup_is_covered_and_found(tmp_path: Path):
    worlds.write_tree(tmp_path / "photos", {"a/f": b"one", "a/g": b"two", b"a/\xff[/b]": b"three"})
    with worlds.new_session(tmp_path) as session:
        worlds.add(session, tmp_path / "photos")
        worlds.back(session, tmp_path / "blue", label="Blue")
        assert filled(operation.coverage(session).by_copies) == {1: Count(3, 11)}
        (found,) = where_is(session, [os.fsencode(tmp_path / "photos" / "a" / "f")])
        (copy,) = found.copies
        assert copy.counts and copy.path == b"photos/a/f" and copy.verified_at is not None
        shutil.rmtree(tmp_path / "blue")
        assert operation.target_holdings(session)[copy.target.key].only_copy == Count(3, 11)
