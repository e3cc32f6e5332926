"""Which drive is advised next."""

from __future__ import annotations

from medback_core.model import Count, Target
from medback_tui.advice import Help


def helper(key: int, *, here: bool, room: int) -> Help:
    """A drive that could take some of a hundred bytes that are not safe."""
    return Help(Target(key, f"t{key}", f"Drive {key}"), Count(10, 100), Count(10, 100), here, room)


def test_a_nearly_full_drive_that_is_here_does_not_hide_one_that_takes_all():
    here, away, small = helper(1, here=True, room=10), helper(2, here=False, room=1000), helper(3, here=False, room=40)
    assert sorted([here, small, away], key=lambda help: help.order) == [away, small, here]


def test_a_drive_that_is_here_and_takes_most_is_advised_before_one_that_must_be_fetched():
    here, away = helper(1, here=True, room=60), helper(2, here=False, room=1000)
    assert sorted([away, here], key=lambda help: help.order) == [here, away]
