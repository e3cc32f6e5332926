"""Which drive is advised next: one answer, whoever asks."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from made_up_shelf import add_copies, add_files, add_source, add_target
from support.shell import Shell
from support.worlds import photos, run

from medback_core.backing_up.back_up import back_up
from medback_core.demo.story import advice
from medback_core.drives import room
from medback_core.drives.drive import Drive
from medback_core.drives.room import default_reserve
from medback_core.model import Answers, Count, Target, TargetState
from medback_core.presenting.next_drive import NextDrive, Offer, next_drive, next_words
from medback_core.session import Session, open_session
from medback_core.session.sources import list_sources, save_source
from medback_core.session.targets import list_targets, save_target, target_by_key
from medback_core.session.tree import files_below
from medback_tui.reading.listing import Place, View, read_listing, with_advice

MIB = 1 << 20


def offer(key: int, room: int, *, here: bool = False) -> Offer:
    """A drive that could take some of a hundred bytes that are not safe."""
    return Offer(Target(key, f"t{key}", f"Drive {key}"), Count(10, 100), Count(10, 100), room, room >= 100, here)


def test_a_nearly_full_drive_that_is_here_does_not_hide_one_that_takes_all() -> None:
    here, away, small = offer(1, 10, here=True), offer(2, 1000), offer(3, 40)
    assert sorted([here, small, away], key=lambda one: one.order) == [away, small, here]


def test_a_drive_that_is_here_and_takes_most_is_advised_before_one_that_must_be_fetched() -> None:
    answer = NextDrive(Count(10, 100), (offer(2, 1000), offer(1, 60)))
    assert [one.target.key for one in answer.with_here({"t1"}).offers] == [1, 2]
    assert [one.target.key for one in answer.with_here(()).offers] == [2, 1]


def test_a_drive_whose_room_is_not_known_is_named_after_those_that_take_something(tmp_path: Path) -> None:
    """A session that was built again knows its drives from the sidecars alone."""
    with open_session(tmp_path / "s.db") as session:
        key = add_files(session, add_source(session, "s0urce1", "once", b"/once", wanted=1), b"", [(b"a", 5)])
        assert key
        unseen = add_target(session, "dr1ve1", "Unseen")
        save_target(session, replace(target_by_key(session, unseen.key), free_bytes=None, total_bytes=None))
        assert said(next_drive(session)).startswith("plug in Unseen (room not known): it lacks 1 file")
        add_target(session, "dr1ve2", "Fresh")
        assert [one.target.label for one in next_drive(session).offers] == ["Fresh", "Unseen"]


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


def test_a_drive_whose_room_the_records_need_is_not_named(tmp_path: Path) -> None:
    """Three thousand directories of one tiny file each: it is what is written of them that takes the room."""
    shell = Shell(tmp_path)
    with open_session(tmp_path / "session.db") as session:
        source = add_source(session, "s0urce1", "notes", b"/notes", wanted=1)
        for number in range(3000):
            add_files(session, source, b"box %d" % number, [(b"note", 3)])
        add_target(session, "dr1ve1", "Stick", free_bytes=9 * MIB, total_bytes=100 * MIB)
        assert said(next_drive(session)) == "a new drive", "the contexts take what the reserve leaves"
        listing = with_advice(session, read_listing(session, Place(), View()))
        assert next_words(listing.next, otherwise="a new drive") == "a new drive"
        assert list(advice(session)) == ["  next: plug in a new drive"]
    assert "next: plug in a new drive; then" in shell("stats").out
    with open_session(tmp_path / "session.db") as session:
        add_target(session, "dr1ve2", "Tin", free_bytes=40 * MIB, total_bytes=100 * MIB)
        words = said(next_drive(session))
        assert words.startswith("plug in Tin (") and words.endswith(": it takes some of 3,000 files (8.8 KiB)")
        add_target(session, "dr1ve3", "Large", free_bytes=400 * MIB, total_bytes=900 * MIB)
        assert said(next_drive(session)).startswith("plug in Large (") and "makes all of this safe" in words_of(session)


def words_of(session: Session) -> str:
    return said(next_drive(session))


def test_a_file_too_large_for_the_file_system_is_not_promised_a_place(tmp_path: Path) -> None:
    with open_session(tmp_path / "s.db") as session:
        source = add_source(session, "s0urce1", "films", b"/films", wanted=1)
        stick = add_target(session, "dr1ve1", "Stick", free_bytes=90_000 * MIB, total_bytes=100_000 * MIB)
        save_target(session, replace(stick, fs_type="vfat"))
        add_files(session, source, b"", [(b"film", 5000 * MIB), (b"note", 5)])
        assert "it takes some of 2 files (4.9 GiB)" in said(next_drive(session))


def space_on(
    drive: Drive, *, total: int, free: int, look: Callable[[Drive], room.Space] = room._space_on
) -> room.Space:
    """What a drive has, were it this large and so much of it free."""
    return replace(look(drive), total=total, free=free, names_free=None)


@pytest.mark.parametrize("seed", range(12))
def test_a_drive_that_is_named_takes_a_file_and_all_where_it_is_said(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is advised of a drive's room, against what a backup onto it then chooses."""
    chance, named = random.Random(seed), 0
    tree = {
        "/".join([*(f"{chance.randrange(4)}" for _ in range(chance.randrange(4))), f"f{number}"]): chance.choice(
            (1, 20, 5000, 100_000)
        )
        for number in range(60)
    }
    with photos(tmp_path, tree, drives=["tin"]) as (session, _):
        save_source(session, replace(list_sources(session)[0], wanted=2))
        (tmp_path / "blue").mkdir()
        run(back_up(session, os.fsencode(tmp_path / "blue"), answers=Answers(create=True), limit=chance.choice((0, 9))))
        blue = list_targets(session)[1]
        total = 10 * MIB
        for _ in range(12):
            free = default_reserve(total) + chance.randrange(0, 4 * MIB) // 4096 * 4096
            monkeypatch.setattr(room, "_space_on", partial(space_on, total=total, free=free))
            save_target(session, replace(blue, free_bytes=free, total_bytes=total))
            answer = next_drive(session)
            offers = [offer for offer in answer.offers if offer.target.key == blue.key]
            choice = back_up(session, blue.path or b"", dry_run=True, update_first=False, fill=False)
            chosen = run(choice).summary
            assert len(offers) <= min(1, chosen.copied), "it is named, and takes nothing"
            assert not any(offer.fits for offer in offers) or chosen.paths == answer.unsafe.files, (
                "it takes less than all"
            )
            named += len(offers)
    assert named


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
            assert best.room is not None
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
