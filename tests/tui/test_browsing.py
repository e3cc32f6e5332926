"""Walking the tree: in and out, filter, sort, marks; a hundred hostile names; many rows."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from made_up_shelf import add_copies, add_files, add_source, add_target
from medback_core.session import open_session
from medback_tui.jobs import operations
from medback_tui.app import MedbackApp
from medback_tui.reading.listing import Place
from medback_tui.screens.coverage import CoverageScreen
from medback_tui.screens.pick import PickDirectory
from medback_tui.screens.restore import RestoreScreen
from support import picture_sessions as worlds
from support.waiting import jobs_done, press, settle, text_of, until

pytestmark = pytest.mark.usefixtures("fixed_clock")
OpenApp = Callable[..., MedbackApp]


async def test_in_and_out_keeps_the_cursor_on_where_one_came_from(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        await press(pilot, "right", "j", "l", "enter")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        assert screen.place == Place("p4photos0000", b"2024/lisbon")
        await press(pilot, "left", "h")
        assert screen.place == Place("p4photos0000", b"")
        assert screen.rows.cursor == 1


async def test_each_mode_keeps_its_place(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "j", "1", "2", "3")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        assert screen.place == Place("p4photos0000", b"")
        assert screen.rows.cursor == 1


async def test_the_filter_narrows_as_one_types_and_escape_ends_it(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "slash", "2", "0", "2", "4")
        assert "1 of 3 “2024”" in text_of(pilot)
        assert "2019/" not in text_of(pilot)
        await press(pilot, "escape")
        assert "2019/" in text_of(pilot)


async def test_only_what_is_not_safe(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "j", "enter", "enter")
        assert "web/" in text_of(pilot)
        await press(pilot, "f")
        assert "web/" not in text_of(pilot)
        assert "raw/" in text_of(pilot)


async def test_sorting_by_key_and_by_a_click_on_the_header(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"), settings_file=tmp_path / "config" / "app.json")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        await press(pilot, "s")
        assert [row.name for row in screen.rows.listing.found.directories] == [b"research", b"photos"]  # type: ignore[union-attr]
        await pilot.click(screen.rows, offset=(42, 0))
        await settle(pilot)
        assert screen.rows.listing.view.order == "unsafe"
    again = open_app(tmp_path / "s.db", settings_file=tmp_path / "config" / "app.json")
    assert (again.settings.order, again.settings.screen) == ("unsafe", "coverage")


async def test_marks_are_added_up_and_taken_to_the_restore(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "space", "space")
        assert "2 marked: 86 files" in text_of(pilot)
        await pilot.press("r")
        await until(pilot, lambda: isinstance(app.screen, RestoreScreen))
        await settle(pilot)
        assert "photos/2019 and 1 more mark" in text_of(pilot)


async def test_every_hostile_name_is_walked_through(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.hostile(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        for index in range(screen.rows.row_count):
            screen.rows.cursor = index
            await pilot.pause()
            await pilot.pause()
            _is_harmless(text_of(pilot))
            if index < len(worlds.HOSTILE) and index % 3 == 0:
                await press(pilot, "enter")
                _is_harmless(text_of(pilot))
                await press(pilot, "left")
        for key in (
            "r",
            "o",
            "enter",
            "escape",
            "2",
            "s",
            "escape",
            "l",
            "escape",
            "1",
            "c",
            "escape",
            "d",
            "escape",
            "L",
        ):
            await press(pilot, key)
            _is_harmless(text_of(pilot))
        assert app.is_running


def _is_harmless(shown: str) -> None:
    for char in shown:
        assert char == "\n" or char.isprintable(), repr(char)


async def test_a_large_directory_is_read_page_by_page(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.large(tmp_path / "s.db", 10_000, per_directory=10_000))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "enter", "G")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        assert screen.rows.row_count == 10_000
        assert "frame-0009999.dpx" in text_of(pilot)
        assert len(screen.rows._read) <= 5, "only what was in sight, or near, was read"


async def test_a_directory_that_vanished_is_left_for_the_one_above(open_app: OpenApp, tmp_path: Path):
    from medback_core.session import open_session
    from medback_core.session.files import drop_directories, files_in
    from support.stored import remove_files
    from medback_core.session.tree import directory_key

    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter", "j", "j", "enter")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        assert screen.place == Place("p4photos0000", b"2025")
        with open_session(tmp_path / "s.db") as session, session.transaction():
            key = directory_key(session, 1, b"2025")
            assert key is not None
            remove_files(session, [row.key for row in files_in(session, key).values()])
            drop_directories(session, [key])
        app.read_facts()
        await settle(pilot)
        assert screen.place == Place("p4photos0000", b"")
        assert "2025/" not in text_of(pilot)


async def test_drives_are_sorted_by_a_title_or_a_key(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2")

        def first() -> str:
            return text_of(pilot).splitlines()[2][2:20].strip()

        assert first() == "Blue Seagate 2T"
        title = text_of(pilot).splitlines()[1].index("free")
        await pilot.press("j")
        await pilot.click(offset=(title + 1, 1))
        await settle(pilot)
        assert "free ▾" in text_of(pilot)
        assert first() == "Blue Seagate 2T", "most room first"
        await pilot.press("S", "S", "S")
        await settle(pilot)
        assert "verified" not in text_of(pilot).splitlines()[1], "not shown in so narrow a terminal, but an order"
        assert first() == "Old Toshiba", "longest unchecked first"
        assert "▌ Red WD 1T" in text_of(pilot), "the cursor stays on its drive"
        await press(pilot, "S")
        assert first() == "Blue Seagate 2T", "as they were"


@pytest.mark.parametrize(
    ("key", "name"), [("1", "photos"), ("2", "Old Toshiba"), ("3", "research/"), ("4", "Old Toshiba")]
)
async def test_a_narrow_terminal_drops_figures_but_no_name_nor_the_answer(
    open_app: OpenApp, tmp_path: Path, key: str, name: str
):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(60, 16)) as pilot:
        await settle(pilot)
        await pilot.press(key)
        await settle(pilot)
        header, *lines = text_of(pilot).splitlines()
        assert "9.2 GiB not safe" in header
        assert any(name in line for line in lines[:8])
        await pilot.click("SafetyHeader", offset=(10, 0))  # the 1 of the shortened tabs
        await settle(pilot)
        assert "1 Sources" in text_of(pilot)


async def test_a_path_is_typed_as_one_writes_it_and_a_lone_slash_chooses_nothing(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"a")
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "a")
        await pilot.press("slash", "enter")
        await settle(pilot)
        dialog = app.screen
        assert isinstance(dialog, PickDirectory)
        assert dialog.path == b"/"
        dialog.rows.focus()
        await pilot.press("slash", *"~/photos", "enter")
        await jobs_done(pilot)
        assert app.facts is not None
        assert [row.source.path for row in app.facts.sources] == [os.fsencode(tmp_path / "photos")]


async def test_without_any_copy_the_plan_says_that_nothing_would_come_back(open_app: OpenApp, tmp_path: Path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"a")
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(os.fsencode(tmp_path / "photos")))
        await jobs_done(pilot)
        await press(pilot, "4")
        assert "If this machine died now, none of 1 file" in " ".join(text_of(pilot).split())
        (tmp_path / "photos" / "a.jpg").unlink()
        await press(pilot, "f5")
        assert "1 file (1 B) missing; no drive brings any of it back" in text_of(pilot)


async def test_a_cursor_moved_while_the_place_is_read_again_stays_where_it_went(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        before = screen.rows.listing
        screen.read()
        screen.rows.action_cursor(1)
        await settle(pilot)
        assert screen.rows.listing is not before
        assert screen.rows.cursor == 1


async def test_what_to_do_next_is_in_sight_where_many_drives_hold_a_directory(open_app: OpenApp, tmp_path: Path):
    with open_session(tmp_path / "s.db") as session:
        source = add_source(session, "m4ny00000000", "archive", b"/srv/archive")
        keys = add_files(session, source, b"a", [(b"%d" % n, 1000) for n in range(40)])
        for n, key in enumerate(keys):
            add_copies(session, add_target(session, f"dr1ve{n:07d}", f"Shelf {n}"), [key])
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(160, 48)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        assert "24 more drives" in text_of(pilot) and "next for all sources: " in text_of(pilot)


async def test_what_to_do_next_says_which_place_it_is_about(open_app: OpenApp, tmp_path: Path):
    """Its figures are those of the place one is in, not of the row under the cursor that it stands below."""
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        assert "next for all sources: " in text_of(pilot)
        await press(pilot, "enter")
        assert "next for photos: " in text_of(pilot)
        await press(pilot, "j", "enter")
        await until(pilot, lambda: "next for 2024/: " in text_of(pilot))
