"""Which drive is advised next."""

from __future__ import annotations

from pathlib import Path

from medback_core.session import open_session
from medback_core.model import Count, Target
from medback_tui.reading.advice import Help, next_step
from medback_tui.reading.facts import read_facts
from medback_tui.reading.listing import Place, View, read_listing
from made_up_shelf import add_copies, add_files, add_source, add_target


def helper(key: int, *, here: bool, room: int) -> Help:
    """A drive that could take some of a hundred bytes that are not safe."""
    return Help(Target(key, f"t{key}", f"Drive {key}"), Count(10, 100), Count(10, 100), here, room)


def test_a_nearly_full_drive_that_is_here_does_not_hide_one_that_takes_all():
    here, away, small = helper(1, here=True, room=10), helper(2, here=False, room=1000), helper(3, here=False, room=40)
    assert sorted([here, small, away], key=lambda help: help.order) == [away, small, here]


def test_a_drive_that_is_here_and_takes_most_is_advised_before_one_that_must_be_fetched():
    here, away = helper(1, here=True, room=60), helper(2, here=False, room=1000)
    assert sorted([away, here], key=lambda help: help.order) == [here, away]


def test_above_all_sources_each_lacks_what_it_wants_itself(tmp_path: Path):
    with open_session(tmp_path / "s.db") as session:
        once = add_source(session, "s0urce1", "once", b"/once", wanted=1)
        twice = add_source(session, "s0urce2", "twice", b"/twice", wanted=2)
        full, fresh = add_target(session, "dr1ve1", "Full"), add_target(session, "dr1ve2", "Fresh")
        keys = [*add_files(session, once, b"", [(b"a", 5)]), *add_files(session, twice, b"", [(b"b", 7), (b"c", 0)])]
        add_copies(session, full, keys)
        facts, listing = list(read_facts(session))[-1], read_listing(session, Place(), View())
        assert "Fresh" in next_step(facts, listing, ())
        assert "makes all of this safe" in next_step(facts, listing, ())
        assert (listing.gains[fresh.key].takes, listing.gains[full.key].takes) == (Count(2, 7), Count())
        dead = read_listing(session, Place(), View(dead=frozenset({full.key})))
        assert (dead.gains[fresh.key].takes, dead.gains[fresh.key].saves) == (Count(3, 12), Count(1, 5))
        assert full.key not in dead.gains
