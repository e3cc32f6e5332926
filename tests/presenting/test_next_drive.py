"""Which drive is advised next: one answer, whoever asks."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_shelf import add_copies, add_files, add_source, add_target
from support.shell import Shell

from medback_core.demo.story import advice
from medback_core.drives.room import default_reserve
from medback_core.model import Count, Target, TargetState
from medback_core.presenting.next_drive import NextDrive, Offer, next_drive, next_words
from medback_core.session import Session, open_session
from medback_core.session.sources import list_sources, save_source
from medback_core.session.targets import list_targets, save_target
from medback_core.session.tree import files_below
from medback_tui.reading.listing import Place, View, read_listing, with_advice

MIB = 1 << 20


def offer(key: int, room: int, *, here: bool = False) -> Offer:
    """A drive that could take some of a hundred bytes that are not safe."""
    return Offer(Target(key, f"t{key}", f"Drive {key}"), Count(10, 100), Count(10, 100), room, here)


def test_a_nearly_full_drive_that_is_here_does_not_hide_one_that_takes_all() -> None:
    here, away, small = offer(1, 10, here=True), offer(2, 1000), offer(3, 40)
    assert sorted([here, small, away], key=lambda one: one.order) == [away, small, here]


def test_a_drive_that_is_here_and_takes_most_is_advised_before_one_that_must_be_fetched() -> None:
    answer = NextDrive(Count(10, 100), (offer(2, 1000), offer(1, 60)))
    assert [one.target.key for one in answer.with_here({1}).offers] == [1, 2]
    assert [one.target.key for one in answer.with_here(()).offers] == [2, 1]


def test_above_all_sources_each_lacks_what_it_wants_itself(tmp_path: Path) -> None:
    with open_session(tmp_path / "s.db") as session:
        once = add_source(session, "s0urce1", "once", b"/once", wanted=1)
        twice = add_source(session, "s0urce2", "twice", b"/twice", wanted=2)
        full, _ = add_target(session, "dr1ve1", "Full"), add_target(session, "dr1ve2", "Fresh")
        keys = [*add_files(session, once, b"", [(b"a", 5)]), *add_files(session, twice, b"", [(b"b", 7), (b"c", 0)])]
        add_copies(session, full, keys)
        answer = next_drive(session)
        assert [(one.target.label, one.takes) for one in answer.offers] == [("Fresh", Count(2, 7))]
        assert "plug in Fresh" in said(answer) and "it makes all of this safe" in said(answer)
        dead = next_drive(session, dead={full.key}).best
        assert dead is not None and (dead.takes, dead.saves) == (Count(3, 12), Count(1, 5))


def said(answer: NextDrive) -> str:
    return next_words(answer, otherwise="a new drive")


def test_a_drive_on_which_nothing_fits_is_never_named(tmp_path: Path) -> None:
    with open_session(tmp_path / "s.db") as session:
        source = add_source(session, "s0urce1", "films", b"/films", wanted=1)
        small = add_target(session, "dr1ve1", "Small", free_bytes=200 * MIB, total_bytes=100_000 * MIB)
        add_files(session, source, b"", [(b"film", 858 * MIB), (b"another", 900 * MIB)])
        reserve = default_reserve(small.total_bytes or 0)
        assert reserve > 200 * MIB, "its room is less than nothing"
        assert said(next_drive(session)) == "a new drive"
        add_target(session, "dr1ve2", "Roomy", free_bytes=1800 * MIB, total_bytes=100_000 * MIB)
        assert said(next_drive(session)) == "a new drive", "there is room, but less than the smaller film takes"
        add_files(session, source, b"sub", [(b"note", 5)])
        assert "plug in Roomy" in said(next_drive(session))
        assert "plug in Roomy" in said(next_drive(session, source.key, b"sub"))
        assert said(next_drive(session, but=list_targets(session)[1].key)) == "a new drive"


def test_a_file_larger_than_every_drive_says_so(tmp_path: Path) -> None:
    with open_session(tmp_path / "s.db") as session:
        source = add_source(session, "s0urce1", "films", b"/films", wanted=1)
        add_target(session, "dr1ve1", "Stick", free_bytes=500 * MIB, total_bytes=512 * MIB)
        add_files(session, source, b"", [(b"film", 858 * MIB), (b"note", 5)])
        words = said(next_drive(session))
        assert words.startswith("plug in Stick") and words.endswith("; bigger than every drive you own: 858 MiB")
        assert next_drive(session, source.key, b"nowhere").unsafe == Count()


def shelf(session: Session, chance: random.Random) -> None:
    targets = []
    for number in range(chance.randint(0, 4)):
        total = chance.choice([64, 600, 5_000, 100_000]) * MIB
        state = TargetState.ACTIVE if chance.random() < 0.8 else chance.choice(list(TargetState))
        capacity = chance.choice([None, None, total // 3])
        free = int(total * chance.random() ** 3)
        targets.append(
            add_target(
                session, f"dr1ve{number}", f"Drive {number}", state=state, total_bytes=total, free_bytes=free,
                capacity=capacity,
            )
        )  # fmt: skip
    for number in range(chance.randint(1, 3)):
        source = add_source(session, f"s0urce{number}", f"src{number}", b"/src%d" % number, wanted=chance.randint(1, 3))
        most = chance.choice([1, 100, 2_000])
        files = [(b"f%d" % one, chance.randint(0, most * MIB)) for one in range(chance.randint(1, 6))]
        keys = add_files(session, source, b"", files)
        for target in targets:
            add_copies(session, target, [key for key in keys if chance.random() < 0.4])


@pytest.mark.parametrize("seed", range(50))
def test_the_command_line_the_app_and_the_demo_give_one_answer(seed: int, tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    with open_session(tmp_path / "session.db") as session:
        shelf(session, random.Random(seed))
        answer = next_drive(session)
        words = said(answer)
        listing = with_advice(session, read_listing(session, Place(), View()))
        assert next_words(listing.next.with_here(()), otherwise="a new drive") == words
        assert [line.removeprefix("  next: ") for line in advice(session)] == (
            [next_words(answer, otherwise="plug in a new drive")] if words else []
        )
        told = [line for line in shell("stats").out.splitlines() if line.startswith("next: ")]
        expected = f"next: {next_words(answer, otherwise='plug in a new drive')}; then `medback target PATH`"
        assert told == ([expected] if words else [])
        best = answer.best
        if best is not None:
            free = (best.target.free_bytes or 0) - default_reserve(best.target.total_bytes or 0)
            wanted = {source.key: source.wanted for source in list_sources(session)}
            sizes = [file.content.size for key, _, file in files_below(session) if wanted[key]]
            assert best.takes.files and min(sizes) <= best.room <= max(0, free)


def test_a_drive_for_another_place_is_asked_for_where_none_would_do(tmp_path: Path) -> None:
    with open_session(tmp_path / "s.db") as session:
        source = add_source(session, "s0urce1", "films", b"/films", wanted=2)
        save_source(session, replace(source, elsewhere=1))
        home = [
            add_target(session, f"dr1ve{n}", f"Home {n}", free_bytes=900 * MIB, total_bytes=9000 * MIB) for n in "ab"
        ]
        keys = add_files(session, source, b"", [(b"film", 5 * MIB)])
        for target in home:
            add_copies(session, target, keys)
        assert said(next_drive(session)) == "a new drive, one for another place than home"
        add_files(session, source, b"new", [(b"note", 5)])
        words = said(next_drive(session))
        assert "plug in Home a" in words and words.endswith("a drive for another place than home is needed"), words
        away = add_target(session, "dr1vec", "Tin", free_bytes=900 * MIB, total_bytes=9000 * MIB)
        save_target(session, replace(away, place="Office"))
        assert said(next_drive(session)).startswith("plug in Tin (at Office, ")
