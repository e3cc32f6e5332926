"""What-if and the restore plan over whole sessions, against doing it and against trying everything."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fault_report import examples
from support import session_builder as rows
from support import worlds
from medback_core.restoring import plan as plans
from medback_core.session import open_session
from medback_core.session.copies import believe_copies, copies_of, copies_on, withdraw_copies
from medback_core.session.expected import wanted_back
from support.stored import put_expected
from medback_core.session.files import join
from support.stored import all_files
from medback_core.session.placements import all_placements
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import list_targets
from medback_core.session.tree import files_below
from medback_core.errors import Refused
from medback_core.model import Count, Source, Standing, Target, TargetState
from medback_core.restoring.plan import PlanSummary, next_target, restore_plan
from medback_core.coverage.what_if import what_if, what_if_every
from medback_core.session import Session

random_sessions = settings(max_examples=examples(200))
FileKey = tuple[str, bytes]


@contextmanager
def copy_of(session: Session, where: Path) -> Iterator[Session]:
    with closing(sqlite3.connect(where)) as raw:
        session.db.backup(raw)
    with open_session(where) as copied:
        yield copied


def facts(session: Session) -> dict[FileKey, tuple[int, int, int, int]]:
    """Each file -> (copies a restore could use, copies that count, wanted, size), copy by copy."""
    targets = {target.key: target for target in list_targets(session)}
    usable = {key for key, target in targets.items() if target.state is not TargetState.LOST}
    counting = {key for key, target in targets.items() if target.counts}
    sources = {source.key: source for source in list_sources(session)}
    found = {}
    for key, directory, file in files_below(session):
        held = {copy.target for copy in copies_of(session, file.identity) if copy.standing}
        path = sources[key].alias, join(directory, file.name)
        found[path] = len(held & usable), len(held & counting), sources[key].wanted, file.content.size
    return found


def delete_for_real(session: Session, dead: Iterable[Target], where: Path) -> tuple[set[FileKey], set[FileKey]]:
    """What is lost and what is weakened when these targets' copies are really gone from a copy of the session."""
    before = facts(session)
    with copy_of(session, where) as copied:
        for target in dead:
            withdraw_copies(copied, target.key, [copy.identity for _, copy in copies_on(copied, target.key)])
        after = facts(copied)
    lost = {path for path in before if before[path][0] and not after[path][0]}
    weakened = {p for p in before if after[p][1] < before[p][1] and after[p][1] < before[p][2]} - lost
    return lost, weakened


def counted(session: Session, paths: set[FileKey]) -> Count:
    sizes = facts(session)
    return Count(len(paths), sum(sizes[path][3] for path in paths))


@pytest.mark.long
@random_sessions
@given(seed=st.integers(0, 2**32))
def test_what_if_equals_really_deleting_the_targets(seed: int):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed, 20)[0] as session:
        targets = list_targets(session)
        dead = rng.sample(targets, rng.randint(0, len(targets)))
        lost, weakened = delete_for_real(session, dead, Path(base) / "copy.db")
        found = what_if(session, dead)
        assert (found.lost, found.weakened) == (counted(session, lost), counted(session, weakened))
        assert {(file.source, file.path) for file in found.lost_files} == lost
        bare = {path for path, (usable, *_) in facts(session).items() if not usable}
        assert found.already_bare == counted(session, bare)


@pytest.mark.long
@settings(max_examples=examples(40))
@given(seed=st.integers(0, 2**32))
def test_every_single_target_and_every_pair_equals_one_what_if_each(seed: int):
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed, 20)[0] as session:
        every = what_if_every(session)
        usable = [target for target in list_targets(session) if target.state is not TargetState.LOST]
        for size, found in ((1, every.single), (2, every.pairs)):
            assert {tuple(t.key for t in one.targets) for one in found} == {
                tuple(t.key for t in some) for some in combinations(usable, size)
            }
            for one in found:
                alone = what_if(session, one.targets)
                assert (one.lost, one.weakened) == (alone.lost, alone.weakened)
            assert [one.lost.bytes for one in found] == sorted((one.lost.bytes for one in found), reverse=True)


# --- the plan ------------------------------------------------------------------------------------------------------

RANK = {TargetState.ACTIVE: 0, TargetState.RETIRED: 1, TargetState.SUSPECT: 3}


def summary(*args: object, **options: object) -> PlanSummary:
    last = list(restore_plan(*args, **options))[-1]  # type: ignore[arg-type]
    assert isinstance(last, PlanSummary)
    return last


def ranks(targets: Iterable[Target]) -> dict[int, int]:
    return {t.key: RANK[t.state] if t.known else 2 for t in targets if t.state is not TargetState.LOST}


def cheapest(files: list[tuple[int, frozenset[int]]], rank: dict[int, int]) -> list[int]:
    """The ranks of the best set of targets that brings all that can be brought, by trying every set: fewest targets,
    then fewest of the worst rank, then of the next."""
    reachable = [holders & rank.keys() for _, holders in files if holders & rank.keys()]
    worst = max(rank.values(), default=0)
    for size in range(len(rank) + 1):
        fitting = [
            sorted((rank[key] for key in some), reverse=True)
            for some in combinations(rank, size)
            if all(holders & set(some) for holders in reachable)
        ]
        if fitting:
            return min(fitting, key=lambda some: [some.count(level) for level in range(worst, -1, -1)])
    raise AssertionError


def wanted_files(session: Session, source: str | None, path: bytes | None) -> list[tuple[int, frozenset[int]]]:
    """(size, targets said to hold it) of every file to be brought back."""
    found = []
    for each in list_sources(session):
        if source in (None, each.alias):
            for row in wanted_back(session, each.key, path):
                assert row.identity is not None and row.content is not None
                holders = frozenset(copy.target for copy in copies_of(session, row.identity))
                found.append((row.content.size, holders))
    return found


def assert_plan_brings(plan: PlanSummary, files: list[tuple[int, frozenset[int]]], rank: dict[int, int]) -> None:
    left = list(files)
    assert plan.missing == Count(len(left), sum(size for size, _ in left))
    for step in plan.steps:
        brought = [each for each in left if step.target.key in each[1]]
        left = [each for each in left if step.target.key not in each[1]]
        assert step.brings == Count(len(brought), sum(size for size, _ in brought)) and brought
        assert step.remaining == Count(len(left), sum(size for size, _ in left))
    assert plan.unreachable == Count(len(left), sum(size for size, _ in left))
    assert not any(holders & rank.keys() for _, holders in left)
    order = [rank[step.target.key] for step in plan.steps]
    assert order == sorted(order), "the best state first"
    assert sorted(order, reverse=True) == cheapest(files, rank)


@pytest.mark.long
@random_sessions
@given(seed=st.integers(0, 2**32))
def test_the_plan_for_all_of_it_equals_trying_every_set_of_targets(seed: int):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as base, rows.random_session(Path(base) / "s.db", seed, 20)[0] as session:
        targets = list_targets(session, unknown=True)
        without = rng.sample(targets, rng.randint(0, 2))
        source = rng.choice([None, "photos", "music"])
        path = rng.choice([None, None, b"", b"a", b"a/b", b"a/b/f1"])
        with session.transaction():  # some of it is only told of by an imported context
            for number in range(rng.choice([0, 0, 3])):
                key = rng.choice(session.db.execute("SELECT id FROM identity").fetchall() or [(None,)])[0]
                where = rng.choice([b"a/f%d", b"a/b/f%d", b"new/f%d"]) % number
                if key is not None:
                    alias = find_source(session, "photos").key
                    put_expected(session, [(alias, where, key, 1, 0o644, None, None)])
        files = wanted_files(session, source, path or None)
        rank = ranks(target for target in targets if target not in without)
        try:
            plan = summary(session, all_of_it=True, source=source, path=path, without=without)
        except Refused:
            assert path and not files
            return
        assert plan.exact and plan.why == ""
        assert_plan_brings(plan, files, rank)
        assert len(plan.unreachable_files) == plan.unreachable.files
        first = next_target(session, _groups(session, files), without=without)
        if plan.steps:
            assert first is not None and first.target == plan.steps[0].target
            assert Count(first.files, first.bytes) == plan.steps[0].brings
        else:
            assert first is None


def _groups(session: Session, files: list[tuple[int, frozenset[int]]]) -> dict[int, Count]:
    by_holders = {each.anywhere: key for key, each in all_placements(session).items()}
    groups: dict[int, Count] = {}
    for size, holders in files:
        key = by_holders[holders]
        groups[key] = groups.get(key, Count()) + Count(1, size)
    return groups


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_the_plan_for_what_is_missing_on_disk_equals_trying_every_set(seed: int):
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as base:
        source, other = Path(base) / "photos", Path(base) / "elsewhere"
        worlds.write_tree(source, {f"d{n % 3}/f{n}": 10 + n for n in range(10)})
        with worlds.new_session(Path(base)) as session:
            worlds.add(session, source)
            (photos,) = list_sources(session)
            targets = [rows.target(session, f"t{n}") for n in range(4)]
            held: dict[bytes, frozenset[int]] = {}
            for directory, file in all_files(session, photos.key):
                some = rng.sample(targets, rng.randint(0, 2))
                for target in some:
                    rows.copy(session, file.identity, target, rng.choice(list(Standing)))
                held[join(directory, file.name)] = frozenset(target.key for target in some)
            missing, differing = [], 0
            to = rng.choice([None, other])
            for path, (content, _) in worlds.tree(source).items():
                fate = rng.randrange(3)
                place = Path(base) / "elsewhere" / "photos" if to else source
                file = place / path.decode()
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content) if to else None
                if fate == 0:
                    file.unlink()
                    missing.append((len(content), held[path]))
                elif fate == 1:
                    file.write_bytes(b"other " + content)
                    differing += 1
            plan = summary(session, to=None if to is None else str(to).encode())
            assert_plan_brings(plan, missing, ranks(targets))
            assert plan.differing == differing


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path / "s.db")


@pytest.fixture
def photos(session: Session) -> Source:
    return rows.source(session)


def test_a_lost_drive_is_never_planned_and_a_suspect_one_comes_last(session: Session, photos: Source):
    lost, suspect = rows.target(session, "t1", TargetState.LOST), rows.target(session, "t2", TargetState.SUSPECT)
    active, retired = rows.target(session, "t3"), rows.target(session, "t4", TargetState.RETIRED)
    for number, holders in enumerate([(lost, suspect), (active, lost), (retired,), (suspect, active), (lost,)]):
        key = rows.put(session, photos, b"f%d" % number, rows.content(number, 10 ** (6 - number)))
        for target in holders:
            rows.copy(session, key, target)
    plan = summary(session, all_of_it=True)
    assert [step.target.id for step in plan.steps] == ["t3", "t4", "t2"]
    assert [file.path for file in plan.unreachable_files] == [b"f4"]
    plan = summary(session, all_of_it=True, without=[suspect])
    assert [file.path for file in plan.unreachable_files] == [b"f0", b"f4"]


def test_of_drives_that_serve_as_well_the_one_that_is_here_is_taken(session: Session, photos: Source):
    first, second, suspect = (
        rows.target(session, "t1"),
        rows.target(session, "t2"),
        rows.target(session, "t3", TargetState.SUSPECT),
    )
    key = rows.put(session, photos, b"a", rows.content(1, 10))
    for target in (first, second, suspect):
        rows.copy(session, key, target)
    assert [step.target.id for step in summary(session, all_of_it=True, here={second.id}).steps] == ["t2"]
    assert [step.target.id for step in summary(session, all_of_it=True, here={first.id}).steps] == ["t1"]
    assert [step.target.id for step in summary(session, all_of_it=True, here={suspect.id}).steps] == ["t1"]


def test_a_drive_that_only_a_record_names_is_planned_when_nothing_else_has_it(session: Session, photos: Source):
    known, unknown = rows.target(session, "t1"), rows.target(session, "t2", known=False)
    both, alone = (rows.put(session, photos, name, rows.content(name.hex(), 10)) for name in (b"a", b"b"))
    for target in (known, unknown):
        believe_copies(session, [(both, target.key, Standing.CLAIMED)])
    assert [step.target.id for step in summary(session, all_of_it=True, path=b"a").steps] == ["t1"]
    believe_copies(session, [(alone, unknown.key, Standing.CLAIMED)])
    plan = summary(session, all_of_it=True)
    assert [(step.target.id, step.brings.files, step.claimed.files) for step in plan.steps] == [("t2", 2, 2)]


def test_a_step_tells_what_of_it_is_hearsay(session: Session, photos: Source):
    one = rows.target(session, "t1")
    for name, standing in ((b"a", Standing.VERIFIED), (b"b", Standing.CLAIMED)):
        rows.copy(session, rows.put(session, photos, name, rows.content(name.hex(), 10)), one, standing)
    (step,) = summary(session, all_of_it=True).steps
    assert (step.brings, step.claimed) == (Count(2, 20), Count(1, 10))


def test_a_retired_drive_saves_from_loss_and_not_from_weakness(session: Session, photos: Source):
    active, retired = rows.target(session, "t1"), rows.target(session, "t2", TargetState.RETIRED)
    key = rows.put(session, photos, b"f", rows.content("x", 10))
    for target in (active, retired):
        rows.copy(session, key, target)
    found = what_if(session, [active])
    assert (found.lost, found.weakened) == (Count(), Count(1, 10))
    assert what_if(session, [retired]).weakened == Count()
    assert what_if(session, [active, retired]).lost == Count(1, 10)


def test_a_claim_saves_nothing(session: Session, photos: Source):
    one, two = rows.target(session, "t1"), rows.target(session, "t2")
    key = rows.put(session, photos, b"f", rows.content("x", 10))
    rows.copy(session, key, one)
    rows.copy(session, key, two, Standing.CLAIMED)
    assert what_if(session, [one]).lost == Count(1, 10)
    found = what_if(session, [two])
    assert (found.lost, found.weakened) == (Count(), Count())


def test_a_file_without_any_copy_is_not_lost_by_a_drive(session: Session, photos: Source):
    one = rows.target(session, "t1")
    rows.put(session, photos, b"f", rows.content("x", 10))
    found = what_if(session, [one])
    assert (found.lost, found.already_bare, list(found.lost_files)) == (Count(), Count(1, 10), [])


def test_only_so_many_unreachable_files_are_named(session: Session, photos: Source, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(plans, "UNREACHABLE_SHOWN", 3)
    music = rows.source(session, "music")
    for number in range(4):
        for source in (photos, music):
            rows.put(session, source, b"a/f%d" % number, rows.content(number))
    for plan in (summary(session, all_of_it=True), summary(session)):
        assert plan.unreachable.files == 8
        assert [(file.source, file.path) for file in plan.unreachable_files] == [
            ("photos", b"a/f%d" % number) for number in range(3)
        ]


@pytest.mark.parametrize("path", [b"nowhere", b"/a", b"a/../b"])
def test_a_path_nobody_knows_is_refused(session: Session, photos: Source, path: bytes):
    rows.put(session, photos, b"a/f", rows.content("x"))
    for all_of_it in (True, False):
        with pytest.raises(Refused):
            summary(session, all_of_it=all_of_it, path=path)


def test_nothing_missing_needs_no_drive(session: Session, photos: Source):
    plan = summary(session)
    assert (plan.missing, plan.steps, plan.exact) == (Count(), (), True)
    assert next_target(session, {}) is None


@pytest.mark.parametrize("left", [None, ()])
def test_where_nothing_stands_the_plan_needs_no_look_at_each_file_and_says_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, left: tuple[()] | None
) -> None:
    worlds.write_tree(tmp_path / "photos", {"a": b"a", "d/b": b"same", "d/c": b"same", "e": b"lacks a copy"})
    with closing(worlds.new_session(tmp_path)) as session:
        worlds.add(session, tmp_path / "photos")
        worlds.back(session, tmp_path / "t1", update_first=False)
        (target,) = list_targets(session)
        gone = [
            key for content, copy in copies_on(session, target.key) if content.size == 12 for key in [copy.identity]
        ]
        withdraw_copies(session, target.key, gone)
        shutil.rmtree(tmp_path / "photos")
        if left is not None:
            (tmp_path / "photos").mkdir()
        with monkeypatch.context() as patch:
            patch.setattr(plans, "_is_bare", lambda _directory: False)
            looked = list(restore_plan(session))[-1]
        monkeypatch.setattr(plans, "_look", None)
        assert list(restore_plan(session)) == [looked]
        assert isinstance(looked, PlanSummary) and (looked.missing.files, looked.unreachable.files) == (4, 1)
