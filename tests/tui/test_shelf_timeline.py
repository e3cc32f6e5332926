"""The shelf and the timeline: what each drive holds, what happened when; and that nothing rests on colours."""

from __future__ import annotations

import calendar
import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Static

from medback_core import model
from medback_core.presenting.units import size
from medback_tui.app import MedbackApp
from medback_tui.screens.find import Deleted
from medback_tui.screens.targets import TargetsScreen
from medback_tui.screens.timeline import Timeline
from medback_tui.widgets.shelf import OTHER, Layer, _lines
from support import picture_sessions as worlds
from support.shell import Shell
from support.waiting import press, settle, text_of, until
from support.worlds import write_tree

OpenApp = Callable[..., MedbackApp]
DAY = 86_400
BEGIN = worlds.NOW - 100 * DAY


@pytest.fixture
def lived(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Three months with the real core: Blue and Red, damage on Blue, a deletion."""
    now = [BEGIN]
    monkeypatch.setattr(model, "now", lambda: now[0])
    shell = Shell(tmp_path)
    write_tree(tmp_path / "photos", {"2024/a.jpg": 60_000, "2024/b.jpg": 60_000, "old/c.jpg": 90_000, "x": 10})
    for drive in ("blue", "red"):
        (tmp_path / drive).mkdir()
    shell("add-src", "photos")
    shell("target", "blue", "--init", "--label", "Blue", "--capacity", "400K")
    now[0] += 40 * DAY
    shell("target", "red", "--init", "--label", "Red", "--limit", "130K")
    now[0] += 40 * DAY
    rotten = tmp_path / "blue/photos/old/c.jpg"
    status = rotten.stat()
    rotten.write_bytes(b"!" * status.st_size)
    os.utime(rotten, ns=(status.st_atime_ns, status.st_mtime_ns))
    shell("verify", "blue")
    (tmp_path / "photos/2024/b.jpg").unlink()
    shell("update", "--accept-deletions")
    now[0] += DAY
    return shell


def shelf_of(app: MedbackApp) -> TargetsScreen:
    assert isinstance(app.screen, TargetsScreen)
    return app.screen


async def test_the_shelf_shows_what_each_drive_holds_and_what_it_would_cost(open_app: OpenApp, lived: Shell):
    app = open_app(lived.session)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "tab")
        screen = shelf_of(app)
        assert screen.shelf.has_focus and not screen.rows.display
        blue, red = screen.shelf.shelf.boxes
        held = {screen.shelf.shelf.parts[one.part].name: one for one in red.parts}
        assert held[b"old"].only == 90_000  # what was there on Blue is damaged
        assert blue.damaged == 1
        assert blue.older == 60_000 or red.older == 60_000  # of what was deleted
        text = text_of(pilot)
        assert "✘" in text and "1 file damaged" in text and "╱" in text and "→" in text
        await press(pilot, "right", "w")
        assert screen.current is not None and screen.current.target.label == "Red"
        assert screen.pulled == {red.target.id}
        assert "Without Red: 1 file (87.9 KiB) would be lost." in text_of(pilot)
        assert screen.shelf.shelf.boxes[1].pulled
        only = {one.part: one.only for one in screen.shelf.shelf.boxes[0].parts}
        assert sum(only.values()) == 60_010  # all of it is only on Blue now
        await press(pilot, "escape")
        assert not screen.pulled and screen.shelf.display
        await press(pilot, "escape")
        assert screen.rows.display and screen.rows.has_focus
        assert screen.current.target.label == "Red"


async def test_drives_that_have_no_room_scroll_into_sight(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.large(tmp_path / "s.db", 4000, per_directory=500))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "tab")
        assert "4 more ›" in text_of(pilot) and "Shelf 8" not in text_of(pilot)
        await press(pilot, "G")
        assert "Shelf 8" in text_of(pilot) and "‹ 4" in text_of(pilot)
        await pilot.click("ShelfView", offset=(3, 5))
        await settle(pilot)
        current = shelf_of(app).current
        assert current is not None and current.target.label == "Shelf 5"


def test_where_two_things_have_room_for_one_line_the_damage_is_shown():
    layers = [Layer(" ", "", "", 0), Layer(OTHER, "dim", "other use", 0), Layer("✘", "bad", "1 file damaged", 0)]
    assert [layer.words for layer, _ in _lines(layers, 1)] == ["1 file damaged"]
    assert [layer.words for layer, _ in _lines([*layers, Layer("▓", "", "2024", 9)], 2)] == [
        "other use",
        "1 file damaged",
    ]


@pytest.mark.parametrize("height", range(1, 16))
def test_a_box_is_full_and_what_lies_there_has_a_line(height: int):
    layers = [Layer(" ", "", "", 1000), Layer("▓", "", "a", 1), Layer("░", "", "b", 500), Layer("✘", "", "c", 0)]
    lines = _lines(layers, height)
    assert len(lines) == height
    shown = [layer.words for layer, first in lines if first and layer.words]
    assert shown == ["a", "b", "c"][-height:] if height < 3 else shown == ["a", "b", "c"]
    if height > 9:
        many = [layer.words for layer, _ in lines]
        assert many.count("") > many.count("b") > many.count("a")


async def test_the_timeline_tells_the_months_and_opens_what_was_deleted(open_app: OpenApp, lived: Shell):
    app = open_app(lived.session)
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "t")
        assert isinstance(app.screen, Timeline)
        months = app.screen.view.items
        assert len(months) == 4
        told = str(app.screen.query_one("#month", Static).render())
        assert "Blue: 1 file found damaged" in told and "photos: 1 file deleted" in told
        text = text_of(pilot)
        assert "✘" in text and "■" in text and "−1" in text and "▓ not safe" in text
        assert [month.deleted for month in months] == [0, 0, 0, 1]
        assert months[0].kept == 210_010 and months[-1].kept == 150_010
        await press(pilot, "home")
        assert "Blue: 4 files" in str(app.screen.query_one("#month", Static).render())
        await press(pilot, "enter")
        assert isinstance(app.screen, Deleted)
        first = f"{calendar.month_name[months[0].month]} {months[0].year}"
        assert f"No deleted file and no older version from {first}" in text_of(pilot)
        await press(pilot, "escape", "end", "enter")
        assert "Deleted or replaced in" in text_of(pilot) and "b.jpg" in text_of(pilot)
        await press(pilot, "escape", "home", "D")
        assert "Deleted files and older versions" in text_of(pilot) and "b.jpg" in text_of(pilot)
        await press(pilot, "escape", "escape", "3", "t")
        assert isinstance(app.screen, Timeline)


async def test_the_timeline_of_the_pictures_ends_with_what_the_header_says(open_app: OpenApp, tmp_path: Path):
    """What is made up for the pictures has no two figures for one thing."""
    app = open_app(worlds.years(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "t")
        await until(pilot, lambda: "kept, " in text_of(pilot))
        assert app.facts is not None
        not_safe = size(app.facts.shares.unsafe.bytes)
        assert set(re.findall(r"([\d.]+ \w+) not safe", text_of(pilot))) == {not_safe}


async def test_a_timeline_of_nothing_says_so(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(60, 20)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "t", "right", "home")
        assert "Nothing has happened yet" in text_of(pilot)


@pytest.mark.usefixtures("fixed_clock")
@pytest.mark.parametrize("keys", [("2", "tab"), ("2", "t")], ids=["shelf", "timeline"])
@pytest.mark.parametrize("size", [(60, 20), (160, 48)], ids=str)
async def test_hostile_names_stay_harmless(
    open_app: OpenApp, tmp_path: Path, size: tuple[int, int], keys: tuple[str, ...]
):
    app = open_app(worlds.hostile(tmp_path / "s.db"))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, *keys)
        assert not any(char in text_of(pilot) for char in "\x1b\x07\u202e\x85")
