"""Places in the app: what lacks a copy elsewhere is not shown as safe, in the list, its pane, the map and the search."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.widgets import Input, TextArea

from medback_core.model import Source, Target
from medback_core.session import Session, open_session
from medback_core.session.needs import wants_of
from medback_core.session.sources import insert_source, list_sources
from medback_core.session.targets import list_targets, save_target
from medback_tui.app import MedbackApp
from medback_tui.screens.targets import ORDERS
from medback_tui.widgets.row_list import RowList
from support.session_builder import content, copy, put
from support.waiting import jobs_done, press, settle, text_of

pytestmark = pytest.mark.usefixtures("fixed_clock")
OpenApp = Callable[..., MedbackApp]


def a_session(where: Path, *, place: str | None = "Office", elsewhere: int = 1) -> Session:
    """Two drives at home and one at a place; `near.jpg` has two copies at home, `safe.jpg` one of two elsewhere."""
    session = open_session(where / "s.db")
    source = insert_source(session, Source(0, "s", "photos", b"/src", 2, scanned_at=100, elsewhere=elsewhere))
    tin, blue, red = (save_target(session, Target(0, f"t-{n}", n, place=p)) for n, p in (
        ("Tin", place), ("Blue", None), ("Red", None),
    ))  # fmt: skip
    for path, drives in ((b"near.jpg", (blue, red)), (b"2019/safe.jpg", (blue, tin)), (b"2020/near.jpg", (blue, red))):
        identity = content(path.decode(), 1000)
        put(session, source, path, identity)
        for drive in drives:
            copy(session, identity, drive)
    return session


def live(session: Session, source: Source) -> list[tuple[bytes, int | None, int | None]]:
    """The rules of a source."""
    return [(rule.path, rule.copies, rule.elsewhere) for rule in wants_of(session, source).rules]


async def test_a_file_without_its_copy_elsewhere_is_not_shown_as_safe(open_app: OpenApp, tmp_path: Path):
    a_session(tmp_path).close()
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "3")
        assert "◐ too few elsewhere 2 (2.0 KiB)" in text_of(pilot)
        await press(pilot, "enter")
        shown = text_of(pilot)
        assert "● 2019/" in shown and "◐ 2020/" in shown and "◐ near.jpg  0 of 1 elsewhere" in shown
        await press(pilot, "down", "down")
        shown = text_of(pilot)
        assert "1 copy still wanted elsewhere" in shown and "Blue  at home, verified" in shown
        await press(pilot, "m")
        assert "◐ near.jpg" in text_of(pilot) and "● 2019/" in text_of(pilot)
        await press(pilot, "m", "slash", "slash", *"near")
        await settle(pilot)
        assert "1 copy still wanted elsewhere" in text_of(pilot)


async def test_nothing_is_new_for_who_never_names_a_place(open_app: OpenApp, tmp_path: Path):
    a_session(tmp_path, place=None, elsewhere=0).close()
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(160, 40)) as pilot:
        await settle(pilot)
        said = ""
        for key in ("1", "2", "3", "w", "escape", "enter", "4"):
            await press(pilot, key)
            said += text_of(pilot)
        assert "Blue" in said and "near.jpg" in said
        for word in ("place", "elsewhere", "3-2-1", "at home", "Office", "fetch"):
            assert word not in said, word


def under_places(shown: str) -> list[str]:
    """The headings and the drives in their order."""
    lines = [line.replace("▌", " ").strip() for line in shown.splitlines()]
    return [
        line.split(",")[0] if line.startswith("at ") else line.split()[0]
        for line in lines
        if line.startswith("at ") or " active " in line
    ]


async def test_two_places_and_a_drive_burn_together(open_app: OpenApp, tmp_path: Path):
    a_session(tmp_path).close()
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(160, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "w", "space", "space", "enter")  # both places
        assert "If all at home and all at Office burnt: 3 files (2.9 KiB) lost for good." in text_of(pilot)
        await press(pilot, "escape", "w", "home", "down", "space", "home", "end", "space", "enter")
        assert "If all at Office burnt and Red died: " in text_of(pilot)


async def test_places_stand_where_drives_files_and_plans_are(open_app: OpenApp, tmp_path: Path):
    a_session(tmp_path).close()
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(160, 30)) as pilot:
        await settle(pilot)
        await press(pilot, "2")
        shown = text_of(pilot)
        assert under_places(shown) == ["at home: 2 drives", "Blue", "Red", "at Office: 1 drive", "Tin"]
        await press(pilot, "down", "down")  # the headings are passed over
        assert (tin := app.screen.query_one("#targets", RowList).current) is not None and tin.target.name == "Tin"
        await press(pilot, "up", "S", "S")  # by name, then by when they were seen: the place is a column then
        assert "at Office: 1 drive" not in under_places(text_of(pilot))
        rows = [line.replace("▌", " ").split()[:2] for line in text_of(pilot).splitlines() if " active " in line]
        assert sorted(rows) == [["Blue", "home"], ["Red", "home"], ["Tin", "Office"]]
        await press(pilot, *["S"] * (len(ORDERS) - 1))
        assert under_places(text_of(pilot))[0] == "at home: 2 drives"
        await press(pilot, "tab")
        assert "at home: 2 drives" in text_of(pilot)
        await press(pilot, "tab")
        await press(pilot, "3")
        assert "0 elsewhere" in text_of(pilot)
        await press(pilot, "w", "enter")  # the first row is the first place
        shown = text_of(pilot)
        assert "If all at home burnt: 2 files (2.0 KiB) lost for good. 1 file (1.0 KiB) comes back from Tin." in shown
        assert "1 file loses a copy that is wanted." in shown
        await press(pilot, "enter")
        assert "○ near.jpg" in text_of(pilot) and "◐ 2019/" in text_of(pilot)
        await press(pilot, "escape", "w", "end", "space", "enter")  # one drive, as before
        assert "If Red died" in text_of(pilot)
        await press(pilot, "escape", "4")
        assert "fetch it from" in text_of(pilot)


async def test_a_second_place_is_named_and_one_copy_elsewhere_is_offered(open_app: OpenApp, tmp_path: Path):
    a_session(tmp_path, place=None, elsewhere=0).close()
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(100, 40)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "end", "e")
        app.screen.query_one("#place", Input).value = " Office "
        await press(pilot, "ctrl+s")
        assert "One copy elsewhere" in text_of(pilot)
        await press(pilot, "enter")
        await jobs_done(pilot)
        with open_session(tmp_path / "s.db") as session:
            assert list_targets(session)[-1].place == "Office"
            assert [source.elsewhere for source in list_sources(session)] == [1]


async def test_place_numbers_and_rules_of_a_source_are_set(open_app: OpenApp, tmp_path: Path):
    (tmp_path / "photos/2019").mkdir(parents=True)
    session = open_session(tmp_path / "s.db")
    source = insert_source(session, Source(0, "s", "photos", os.fsencode(tmp_path / "photos"), 2))
    put(session, source, b"2019/a.jpg", content("a", 10))
    session.close()
    app = open_app(tmp_path / "s.db")

    async def fill(**values: str) -> None:
        await press(pilot, "1", "e")
        for key, value in values.items():
            widget = app.screen.query_one(f"#{key}")
            if isinstance(widget, TextArea):
                widget.text = value
            elif isinstance(widget, Input):
                widget.value = value
        await press(pilot, "ctrl+s")

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await fill(copies="2, 3 elsewhere")
        assert "no more of them elsewhere" in text_of(pilot)
        await press(pilot, "escape")
        await fill(rules="2019 three copies")
        assert "2019 three copies: a rule is like DIR" in text_of(pilot)
        await press(pilot, "escape")
        await fill(copies="2, 1 elsewhere", place="Attic", rules="2019: 3 copies, 2 elsewhere")
        await jobs_done(pilot)
        with open_session(tmp_path / "s.db") as session:
            (source,) = list_sources(session)
            assert (source.place, source.elsewhere) == ("Attic", 1)
            assert live(session, source) == [(b"2019", 3, 2)]
        shown = text_of(pilot)
        assert "kept at Attic, 2 copies wanted, 1 elsewhere" in shown and "2019: 3 copies wanted, 2 elsewhere" in shown
        await fill(rules="2019: 1 copy")
        await jobs_done(pilot)
        with open_session(tmp_path / "s.db") as session:
            assert live(session, source) == [(b"2019", 1, None)]
        await fill(rules="")
        await jobs_done(pilot)
        with open_session(tmp_path / "s.db") as session:
            assert live(session, source) == []
