"""The map of risk: rectangles that fill the field, a cursor that is the list's, and how safe each part is."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from medback_tui.app import MedbackApp
from medback_tui.reading.listing import Place
from medback_tui.screens.coverage import CoverageScreen
from medback_core.presenting.treemap import squarified
from support import picture_sessions as worlds
from support.waiting import press, settle, text_of

pytestmark = pytest.mark.usefixtures("fixed_clock")
OpenApp = Callable[..., MedbackApp]


@pytest.mark.parametrize("seed", range(20))
def test_the_rectangles_fill_the_field_without_overlap_each_with_its_share(seed: int):
    chance = random.Random(seed)
    width, height = chance.randint(20, 160), chance.randint(8, 48)
    weights = sorted((chance.expovariate(1) + 0.01 for _ in range(chance.randint(1, 30))), reverse=True)
    rects = squarified(weights, width, height)
    cells = [[0] * width for _ in range(height)]
    for rect in rects:
        for y in range(rect.top, rect.bottom):
            for x in range(rect.left, rect.right):
                cells[y][x] += 1
    assert all(number == 1 for row in cells for number in row)
    for weight, rect in zip(weights, rects, strict=True):
        share = weight / sum(weights) * width * height
        assert abs(rect.width * rect.height - share) <= rect.width + rect.height + 1  # each edge half a cell


async def test_arrows_move_enter_zooms_and_the_list_has_the_same_cursor(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "m")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        assert {tile.label for tile in screen.map.tiles} == {"photos/", "research/"}
        areas = {tile.label: tile.at.width * tile.at.height for tile in screen.map.tiles}
        assert areas["research/"] > areas["photos/"]  # 8 GB and 3 GB
        await press(pilot, "right", "left", "right")
        assert screen.map.current is not None
        assert screen.map.current.label == f"{screen.rows.current.name.decode()}/"  # type: ignore[union-attr]
        while screen.map.current.label != "photos/":
            await press(pilot, "left")
        await press(pilot, "enter")
        assert screen.place == Place("p4photos0000", b"")
        assert any(tile.label == "2024/" for tile in screen.map.tiles)
        await press(pilot, "backspace")
        assert screen.place == Place()
        assert screen.map.current.label == "photos/"
        await press(pilot, "m")
        assert screen.rows.display
        assert screen.rows.has_focus


async def test_a_what_if_recolours_the_map(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "m")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)

        def family() -> int:
            return next(tile.shares.none.files for tile in screen.map.tiles if tile.label == "2019/")

        assert family() == 0
        await press(pilot, "w", "space", "enter")
        assert family() == 10  # of 40, 30 lie on another drive
        await press(pilot, "escape")
        assert family() == 0


async def test_many_files_are_one_tile_that_enter_shows_in_the_list(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.large(tmp_path / "s.db", 4000, per_directory=500))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "enter", "m")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        tile = max(screen.map.tiles, key=lambda one: one.several)
        assert tile.several >= 500
        while screen.map.current is not tile:
            before = screen.map.current
            await press(pilot, "right")
            if screen.map.current is before:
                await press(pilot, "down")
        await press(pilot, "enter")
        assert screen.rows.display
        assert screen.rows.cursor == tile.index


async def test_without_colours_danger_has_the_strongest_sign(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NO_COLOR", "1")
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "m")
        text = text_of(pilot)
        assert "○ 2024/" in text
        assert "▓" in text
        assert "◐" in text


@pytest.mark.parametrize("size", [(60, 20), (80, 24), (160, 48)], ids=str)
async def test_hostile_names_are_tiles_like_others(open_app: OpenApp, tmp_path: Path, size: tuple[int, int]):
    app = open_app(worlds.hostile(tmp_path / "s.db"))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "m", "down", "right", "up")
        assert not any(char in text_of(pilot) for char in "\x1b\x07\u202e\x85")


async def test_a_file_that_is_one_of_several_in_a_tile_keeps_the_cursor(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.large(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "G", "enter")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        while screen.rows.listing.found is not None and screen.rows.listing.found.directories:
            await press(pilot, "G", "enter")
        await press(pilot, "j", "j", "j", "m", "m")
        assert screen.rows.cursor == 3
