"""What would be lost if drives died: the app's line says of all sources what the command line does."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import pytest
from made_up_shelf import add_copies, add_files, add_source, add_target
from support.session_builder import random_session

from medback_core.coverage.what_if import loss_of, what_if
from medback_core.session import Session, open_session
from medback_core.session.needs import every_part
from medback_core.session.targets import list_targets
from medback_core.session.tree import totals_by_source
from medback_tui.reading.facts import read_facts
from medback_tui.reading.listing import Listing, Place, View, read_listing
from medback_tui.screens.place_words import status_words


def seen_without(session: Session, *dead: str, place: Place = Place()) -> Listing:  # noqa: B008
    return read_listing(session, place, View(dead=frozenset(dead)))


def test_a_file_that_had_too_few_and_is_lost_takes_nothing_from_those_that_then_have_too_few(tmp_path: Path) -> None:
    with open_session(tmp_path / "s.db") as session:
        source = add_source(session, "s0urce1", "photos", b"/photos", wanted=2)
        keys = add_files(session, source, b"", [(b"f%d" % number, 1024) for number in range(6)])
        blue, red = add_target(session, "dr1ve1", "Blue"), add_target(session, "dr1ve2", "Red")
        add_copies(session, blue, keys)
        add_copies(session, red, keys[1:])
        listing = seen_without(session, blue.id)
        *_, facts = read_facts(session)
        words = status_words(listing, facts, {})
        assert words is not None
        assert words.plain.strip() == (
            "If Blue died: 1 file (1.0 KiB) would be lost. 5 files (5.0 KiB) would have too few copies left."
        )


@pytest.mark.parametrize("seed", range(20))
def test_the_app_and_the_command_line_count_the_same(seed: int, tmp_path: Path) -> None:
    session, _ = random_session(tmp_path / "s.db", seed)
    with session:
        targets = list_targets(session)
        for dead in [*combinations(targets, 1), *combinations(targets, 2)]:
            told = what_if(session, dead)
            loss = seen_without(session, *(target.id for target in dead)).loss
            assert (loss.lost, loss.weakened) == (told.lost, told.weakened)


def test_nothing_dies_where_no_drive_does(tmp_path: Path) -> None:
    session, _ = random_session(tmp_path / "s.db", 1)
    with session:
        parts = [(need, part) for _, need, part in every_part(session, totals_by_source(session))]
        none = loss_of(session, (), parts)
        assert (none.lost.files, none.weakened.files) == (0, 0)
