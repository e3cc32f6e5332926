"""Where the drives lie: coverage, ranking, what-if and 3-2-1 against recounts, file by file, in random small worlds."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from medback_core.coverage.places import has_places, place_shelves, three_two_one
from medback_core.coverage.totals import coverage, safety, unprotected
from medback_core.coverage.tree import browse
from medback_core.coverage.what_if import PlaceLoss, what_if_every, what_if_places
from medback_core.errors import Refused
from medback_core.model import Count, Identity, Rule, Source, Target, TargetState, folded_place
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
        return folded_place(kept.place or here)

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


def assert_is_what_taking_it_away_takes(shelf: Shelf, told: PlaceLoss, burnt: Session) -> None:
    """Really take away what is told to be gone, in a copy of the session, and count what is left file by file."""
    session = shelf.session
    sources = {source.key: source for source in list_sources(session)}
    gone = {key for key, source in sources.items() if shelf.place(source) in map(folded_place, told.places)}
    before = {file: shelf.holders(identity) for file, identity in shelf.files.items()}
    for target in told.targets:
        save_target(burnt, replace(target_by_key(burnt, target.key), state=TargetState.LOST))
    after = Shelf(burnt, shelf.files)
    left = {file: after.holders(identity) for file, identity in shelf.files.items()}
    lost = [f for f in shelf.files if f[0] in gone and not left[f]]
    back = [f for f in shelf.files if f[0] in gone and left[f]]
    assert told.lost == Count(len(lost), sum(shelf.files[f].size for f in lost))
    assert told.back == Count(len(back), sum(shelf.files[f].size for f in back))
    named = sorted((sources[key].alias, path) for key, path in lost)
    assert sorted((file.source, file.path) for file in told.lost_files) == named
    brought = {target.key for target, _ in told.by}
    assert sum(count.files for _, count in told.by) == len(back)
    assert all({target.key for target in left[f]} & brought for f in back)
    weakened = [
        f
        for f in shelf.files
        if f not in lost
        and sum(t.counts for t in left[f]) < sum(t.counts for t in before[f])
        and not after.is_safe(sources[f[0]], f[1], shelf.files[f])
    ]
    assert told.weakened == Count(len(weakened), sum(shelf.files[f].size for f in weakened))
    for key in gone:
        remove_source(burnt, key)
    burnt.close()


@pytest.mark.parametrize("seed", range(20))
def test_a_place_takes_what_really_taking_it_away_takes(tmp_path: Path, seed: int):
    shelf = lived(tmp_path, 200 + seed)
    session, dice = shelf.session, random.Random(seed)
    every = what_if_every(session).places
    for number, told in enumerate(every):
        (place,) = told.places
        there = [target for target in list_targets(session) if shelf.place(target) == folded_place(place)]
        assert [t.key for t in told.targets] == [t.key for t in there if t.state is not TargetState.LOST]
        assert what_if_places(session, [place.upper() + " "]).lost == told.lost
        assert_is_what_taking_it_away_takes(shelf, told, session.copied_to(tmp_path / f"burnt-{number}"))
    for number in range(3 if every else 0):  # several places at once, and drives beside them
        gone = [one.places[0] for one in dice.sample(every, dice.randint(1, len(every)))]
        drives = dice.sample(list_targets(session), dice.randint(0, 2))
        told = what_if_places(session, gone, drives)
        usable = [target for target in list_targets(session) if target.state is not TargetState.LOST]
        dead = {t.key for t in usable if shelf.place(t) in map(folded_place, gone) or t.key in {d.key for d in drives}}
        assert {target.key for target in told.targets} == dead and set(told.places) == set(gone)
        assert all(shelf.place(target) not in map(folded_place, gone) for target in told.further)
        assert_is_what_taking_it_away_takes(shelf, told, session.copied_to(tmp_path / f"both-{number}"))


@pytest.mark.parametrize("seed", range(12))
def test_drives_weaken_what_then_lacks_copies_or_lacks_them_elsewhere(tmp_path: Path, seed: int):
    shelf = lived(tmp_path, 400 + seed)
    session = shelf.session
    sources = {source.key: source for source in list_sources(session)}
    every = what_if_every(session)
    for told in (*every.single, *every.pairs):
        after = session.copied_to(tmp_path / "after.db")
        for target in told.targets:
            save_target(after, replace(target_by_key(after, target.key), state=TargetState.LOST))
        left = Shelf(after, shelf.files)
        weakened = lost = 0
        for (key, path), identity in shelf.files.items():
            had, has = shelf.holders(identity), left.holders(identity)
            lost += bool(had) and not has
            fewer = sum(t.counts for t in has) < sum(t.counts for t in had)
            weakened += bool(has) and fewer and not left.is_safe(sources[key], path, identity)
        assert (told.lost.files, told.weakened.files) == (lost, weakened)
        after.close()


@pytest.mark.parametrize("seed", range(12))
def test_a_place_is_behind_by_what_a_drive_there_would_bring_nearer_to_safe(tmp_path: Path, seed: int):
    shelf = lived(tmp_path, 500 + seed)
    session = shelf.session
    sources = {source.key: source for source in list_sources(session)}
    for told in place_shelves(session):
        there = folded_place(told.place)
        behind = Count()
        for (key, path), identity in shelf.files.items():
            source, (copies, elsewhere) = sources[key], shelf.counted(sources[key], identity)
            wanted, apart = shelf.need(source, path)
            held = any(shelf.place(target) == there for target in shelf.holders(identity) if target.counts)
            if not held and (copies < wanted or (there != shelf.place(source) and elsewhere < apart)):
                behind += Count(1, identity.size)
        assert told.behind == behind, told.place
        kept = [t.key for t in list_targets(session) if t.state is not TargetState.LOST and shelf.place(t) == there]
        assert [target.key for target in told.targets] == kept


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
        what_if_places(session, ["attic"])


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
