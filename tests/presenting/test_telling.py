"""The sentences of a restore, word for word."""

from __future__ import annotations

import time

import pytest

from medback_core import model
from medback_core.model import Remembers, Target
from medback_core.presenting.telling import all_back, nothing_missing, story_words


def at(day: int, hour: int = 12, minute: int = 0) -> int:
    return int(time.mktime((2026, 11, day, hour, minute, 0, 0, 0, -1)))


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "now", lambda: at(28))


def drive(label: str, written: int | None = None) -> Target:
    return Target(1, f"id of {label}", label, seen_at=written)


def test_what_a_drive_remembers():
    told = Remembers("Blue", b"/mnt/blue", 3, 41_007, at(24, 22, 49), ("Blue", "Red", "Tin"))
    assert story_words(told) == (
        "Blue remembers 3 sources, 41,007 files, as of 24 November 22:49; they lie on Blue, Red, Tin."
    )
    assert story_words(Remembers("Blue", b"/", 1, 1)) == "Blue remembers 1 source, 1 file."
    assert "\x1b" not in story_words(Remembers("\x1b[31mBlue", b"/", 1, 1, None, ("\x1b]0;t",)))


def test_the_last_sentence_is_as_exact_as_its_knowledge():
    assert all_back(41_015, at(26, 21, 3), [drive("White", at(20))]) == (
        "All 41,015 files known as of 26 November 21:03 are back. White was not plugged in; it was last written to on "
        "20 November, plug it in to be sure."
    )
    assert all_back(2, at(26, 21, 3), [drive("White", at(20)), drive("Tin")]) == (
        "All 2 files known as of 26 November 21:03 are back. White (last written to on 20 November) and Tin were not "
        "plugged in; plug them in to be sure."
    )
    assert all_back(1, None, []) == "The one file known is back."


def test_nothing_is_missing_has_a_date_or_is_not_said():
    assert nothing_missing(at(26, 21, 3)) == "Nothing is missing of what is known as of 26 November 21:03."
    assert nothing_missing(None).startswith("Nothing is known of any file")
