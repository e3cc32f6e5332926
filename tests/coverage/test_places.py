"""Where the drives lie: coverage, ranking, what-if and 3-2-1 against recounts, file by file, in random small worlds."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from medback_core.coverage.places import has_places, place_shelves, three_two_one
from medback_core.coverage.totals import coverage, safety, unprotected
from medback_core.coverage.tree import browse
from medback_core.coverage.what_if import what_if_every, what_if_place
from medback_core.errors import Refused
from medback_core.model import Count, Identity, Rule, Source, Target, TargetState, folded
from medback_core.session import Session, open_session
from medback_core.session.candidates import below_wanted_groups, rank_candidates, ranked
from medback_core.session.copies import copies_of, identity_key, withdraw_copies
from medback_core.session.needs import learn_rules, list_rules, machine_place, save_rules, spelled
from medback_core.session.sources import insert_source, list_sources, remove_source, save_source
from medback_core.session.surplus import are_enough, surplus_copies
from medback_core.session.targets import counting_keys, list_targets, save_target, target_by_key
from support.saying import says
from support.session_builder import content, copy, put

PLACES = (None, "home", "Office", "at Mia's", " OFFICE ")


@dataclass
class Shelf:
    """A session with the truth beside it: what lies where, file by file."""

    session: Session
    files: dict[tuple[int, bytes], Identity]

    def place(self, kept: Source | Target) -> str:
        here = machine_place(self.session) if isinstance(kept, Target) else "home"
        return folded(kept.place or here)

    def holders(self, identity: Identity) -> list[Target]:
        found = copies_of(self.session, identity_key(self.session, identity))
        targets = {target.key: target for target in list_targets(self.session)}
        return [targets[one.target] for one in found if targets[one.target].state is not TargetState.LOST]

    def need(self, source: Source, path: bytes) -> tuple[int, int]:
        copies, elsewhere = source.wanted, source.elsewhere
        for rule in list_rules(self.session, source.key):  # by path: the deepest last
            if path.startswith(rule.path + b"/"):
                copies = copies if rule.copies is None else rule.copies
                elsewhere = elsewhere if rule.elsewhere is None else rule.elsewhere
        return copies, elsewhere

    def counted(self, source: Source, identity: Identity) -> tuple[int, int]:
        """(copies that count, of which so many elsewhere)."""
        counting = [target for target in self.holders(identity) if target.counts]
        return len(counting), sum(self.place(target) != self.place(source) for target in counting)

    def is_safe(self, source: Source, path: bytes, identity: Identity) -> bool:
        (copies, elsewhere), (wanted, apart) = self.counted(source, identity), self.need(source, path)
        return copies >= wanted and elsewhere >= apart


def lived(where: Path, seed: int, steps: int = 40) -> Shelf:
    """A random history: files and copies come and go, drives and sources move, rules are made and dropped."""
    dice = random.Random(seed)
    session = open_session(where / f"{seed}.db")
    shelf = Shelf(session, {})
    for n in range(2):
        insert_source(session, Source(0, f"s{n}", f"source{n}", b"/src/%d" % n, 2))
    for n in range(4):
        save_target(session, Target(0, f"t{n}", f"T{n}"))
    directories = (b"", b"a", b"a/b", b"a/b/c", b"d")
    for _ in range(steps):
        source, target = dice.choice(list_sources(session)), dice.choice(list_targets(session))
        identity = content(f"{seed}/{dice.randrange(12)}")
        match dice.randrange(9):
            case 0 | 1 | 2:
                path = b"/".join(filter(None, (dice.choice(directories), b"f%d" % dice.randrange(4))))
                put(session, source, path, identity)
                shelf.files[source.key, path] = identity
            case 3 | 4:
                copy(session, identity, target)
            case 5:
                withdraw_copies(session, target.key, [identity_key(session, identity)])
            case 6:
                state = dice.choice((TargetState.ACTIVE, TargetState.ACTIVE, TargetState.RETIRED, TargetState.LOST))
                save_target(session, replace(target, place=dice.choice(PLACES), state=state))
            case 7:
                wanted = dice.randrange(1, 4)
                elsewhere = dice.randrange(wanted + 1)
                place = dice.choice(PLACES)
                save_source(session, replace(source, place=place, wanted=wanted, elsewhere=elsewhere))
            case _:
                numbers = (dice.choice((None, 1, 3)), dice.choice((None, 0, 1)))
                save_rules(session, source.key, [Rule(dice.choice(directories[1:]), *numbers, rev=dice.randrange(9))])
    return shelf


@pytest.mark.parametrize("seed", range(12))
def test_coverage_is_what_a_recount_finds(tmp_path: Path, seed: int):
    shelf = lived(tmp_path, seed)
    session = shelf.session
    for source in list_sources(session):
        for found in coverage(session, source=source.alias, depth=9).directories:
            below = {
                path: identity
                for (key, path), identity in shelf.files.items()
                if key == source.key and (not found.path or path.startswith(found.path + b"/"))
            }
            unsafe = [i for path, i in below.items() if not shelf.is_safe(source, path, i)]
            apart = [i for i in below.values() if not shelf.counted(source, i)[1]]
            assert found.below_wanted == Count(len(unsafe), sum(i.size for i in unsafe)), found.path
            assert found.without_elsewhere == Count(len(apart), sum(i.size for i in apart)), found.path
            here = browse(session, source.key, found.path)
            assert here is not None and here.here is not None and here.here.unsafe == found.below_wanted
            assert here.here.without_elsewhere == found.without_elsewhere
        listed = {(file.path) for file in unprotected(session, source.alias)}
        files = ((p, i) for (key, p), i in shelf.files.items() if key == source.key)
        assert listed == {path for path, i in files if not shelf.is_safe(source, path, i)}
    by_key = {source.key: source for source in list_sources(session)}
    assert safety(session).safe_files == sum(shelf.is_safe(by_key[k], p, i) for (k, p), i in shelf.files.items())
    whole = three_two_one(session)
    each = [shelf.counted(by_key[key], identity) for (key, _), identity in shelf.files.items()]
    assert whole.without_elsewhere.files == sum(not elsewhere for _, elsewhere in each)
    assert whole.without_second.files == sum(copies < 2 for copies, _ in each)
    assert whole.holds.files == sum(copies > 1 and elsewhere > 0 for copies, elsewhere in each)


@pytest.mark.parametrize("seed", range(12))
def test_what_a_drive_gets_first_is_what_it_brings_nearer_to_safe(tmp_path: Path, seed: int):
    shelf = lived(tmp_path, 100 + seed)
    session = shelf.session
    sources = {source.key: source for source in list_sources(session)}
    counting = counting_keys(session)
    paths: dict[Identity, list[tuple[Source, bytes]]] = {}
    for (key, path), identity in shelf.files.items():
        paths.setdefault(identity, []).append((sources[key], path))
    lacking = {i for i, wanting in paths.items() if not all(shelf.is_safe(s, p, i) for s, p in wanting)}
    groups = below_wanted_groups(session, counting)
    assert sum(group.contents.files for group in groups) == len(lacking)
    for target in list_targets(session):
        gaining: dict[Identity, tuple[int, bool]] = {}
        for identity, wanting in paths.items():
            if target.key in {one.target for one in copies_of(session, identity_key(session, identity))}:
                continue
            short = apart = False
            for source, path in wanting:
                (copies, elsewhere), (wanted, away) = shelf.counted(source, identity), shelf.need(source, path)
                short |= copies < wanted
                apart |= elsewhere < away and shelf.place(target) != shelf.place(source)
            if short or apart:
                gaining[identity] = shelf.counted(wanting[0][0], identity)[0], not apart
        rank_candidates(session, target.key, list(sources), counting, fill=False)
        found = list(ranked(session))
        order = [(one.copies, not one.apart, -one.size) for one in found]
        assert order == sorted(order) and not any(one.filler for one in found)
        assert sorted(gaining.values()) == sorted((one.copies, not one.apart) for one in found)
        others = {i: [t.key for t in shelf.holders(i) if t.counts and t.key != target.key] for i in paths}
        for identity, keys in others.items():
            enough = all(
                len(keys) >= shelf.need(s, p)[0]
                and sum(shelf.place(target_by_key(session, k)) != shelf.place(s) for k in keys) >= shelf.need(s, p)[1]
                for s, p in paths[identity]
            )
            assert are_enough(session, identity_key(session, identity), keys) is enough
        with session.transaction() as db:
            db.execute("UPDATE copy SET ours = 1, path = CAST(identity_id AS BLOB)")
        surplus = {identity for identity, _ in surplus_copies(session, target.key, counting)}
        held = {i for i in paths if target.key in {c.target for c in copies_of(session, identity_key(session, i))}}
        assert surplus == {i for i in held if are_enough(session, identity_key(session, i), others[i])}


@pytest.mark.parametrize("seed", range(20))
def test_a_place_takes_what_really_taking_it_away_takes(tmp_path: Path, seed: int):
    shelf = lived(tmp_path, 200 + seed)
    session = shelf.session
    for told in what_if_every(session).places:
        there = folded(told.place)
        assert what_if_place(session, told.place.upper() + " ").lost == told.lost
        burnt = session.copied_to(tmp_path / f"burnt-{seed}-{there.replace(' ', '')}")
        gone = {source.key for source in list_sources(session) if shelf.place(source) == there}
        dead = [target for target in list_targets(session) if shelf.place(target) == there]
        before = {(k, p): shelf.holders(i) for (k, p), i in shelf.files.items()}
        for target in dead:
            save_target(burnt, replace(target_by_key(burnt, target.key), state=TargetState.LOST))
        after = Shelf(burnt, shelf.files)
        left = {(k, p): after.holders(i) for (k, p), i in shelf.files.items()}
        lost = [f for f in shelf.files if f[0] in gone and not left[f]]
        back = [f for f in shelf.files if f[0] in gone and left[f]]
        assert told.lost == Count(len(lost), sum(shelf.files[f].size for f in lost))
        assert told.back == Count(len(back), sum(shelf.files[f].size for f in back))
        assert sorted((file.source, file.path) for file in told.lost_files) == sorted(
            (next(s.alias for s in list_sources(session) if s.key == k), p) for k, p in lost
        )
        brought = {target.key for target, _ in told.by}
        assert sum(count.files for _, count in told.by) == len(back)
        assert all({target.key for target in left[f]} & brought for f in back)
        by_key = {source.key: source for source in list_sources(session)}
        weakened = [
            f
            for f in shelf.files
            if (
                f not in lost
                and sum(t.counts for t in left[f])
                < min(sum(t.counts for t in before[f]), shelf.need(by_key[f[0]], f[1])[0])
            )
            or (
                f not in lost
                and sum(t.counts for t in left[f]) < sum(t.counts for t in before[f])
                and sum(t.counts for t in left[f]) < shelf.need(by_key[f[0]], f[1])[0]
            )
        ]
        assert told.weakened.files == len(weakened)
        for key in gone:
            remove_source(burnt, key)
        burnt.close()


def test_a_place_is_one_in_whatever_case_and_with_spaces_around(tmp_path: Path):
    session = open_session(tmp_path / "db")
    source = insert_source(session, Source(0, "s", "photos", b"/photos"))
    blue = save_target(session, Target(0, "t", "Blue"))
    assert not has_places(session) and place_shelves(session) == [] and what_if_every(session).places == ()
    put(session, source, b"a", content("a", 10))
    copy(session, content("a", 10), blue)
    assert coverage(session).without_elsewhere == Count(1, 10)  # a drive is where the machine is that made it
    save_target(session, replace(target_by_key(session, blue.key), place=spelled(session, "  The   Office ")))
    assert spelled(session, "the office") == "The Office" and spelled(session, " ") is None
    assert coverage(session).without_elsewhere == Count()
    save_source(session, replace(list_sources(session)[0], place="THE OFFICE"))
    assert coverage(session).without_elsewhere == Count(1, 10)
    assert [shelf.place for shelf in place_shelves(session)] == ["The Office"] or has_places(session)
    with pytest.raises(Refused, check=says("nothing is kept at")):
        what_if_place(session, "attic")


def test_of_two_rules_for_a_directory_the_higher_rev_is_true_and_then_the_stricter(tmp_path: Path):
    session = open_session(tmp_path / "db")
    source = insert_source(session, Source(0, "s", "photos", b"/photos"))
    learn_rules(session, source.key, [Rule(b"a", 3, 0, 4)])
    learn_rules(session, source.key, [Rule(b"a", 1, 1, 4)])
    assert list_rules(session, source.key) == [Rule(b"a", 3, 1, 4)]
    learn_rules(session, source.key, [Rule(b"a", 9, 9, 3)])
    assert list_rules(session, source.key) == [Rule(b"a", 3, 1, 4)]
    learn_rules(session, source.key, [Rule(b"a", rev=5)])  # dropped, by somebody who knew more
    assert list_rules(session, source.key)[0].dropped
