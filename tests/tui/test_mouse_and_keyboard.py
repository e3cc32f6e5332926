"""The main job from an empty session to restored files, once by clicks alone and once by keys alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from medback_tui.app import MedbackApp
from medback_tui.reading.drives import Drives
from medback_tui.screens.make_target import MakeTarget
from support.waiting import jobs_done, settle, text_of, until
from support.worlds import tree, write_tree

OpenApp = Callable[..., MedbackApp]


@pytest.fixture
def belongings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Photos and an empty drive in the home of the person."""
    home = tmp_path / "home"
    photos, drive = home / "photos", home / "blue"
    write_tree(photos, {"2024/a.jpg": 900, "2019/b.jpg": 800})
    drive.mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    return photos, drive


async def click(pilot: Pilot[int], words: str, *, times: int = 1) -> None:
    """Click where these words stand, once they do."""
    await until(pilot, lambda: words in text_of(pilot), f"“{words}” stands there:\n{text_of(pilot)}")
    await settle(pilot)
    lines = text_of(pilot).splitlines()
    row = next(number for number, line in enumerate(lines) if words in line)
    await pilot.click(offset=(lines[row].index(words) + 1, row), times=times)
    await settle(pilot)


def plugged_in(app: MedbackApp, drive: Path) -> None:
    assert app.facts is not None
    app.drives = Drives({row.target.id: bytes(drive) for row in app.facts.targets})
    app.tell_screens()


async def test_the_mouse_alone_is_enough(open_app: OpenApp, tmp_path: Path, belongings: tuple[Path, Path]):
    photos, drive = belongings
    original = tree(photos)
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await click(pilot, "choose the first one")
        await click(pilot, "photos/", times=2)
        await click(pilot, "back up this directory", times=2)
        await click(pilot, "another directory", times=2)
        await click(pilot, "blue/", times=2)
        await click(pilot, "use this directory as a target", times=2)
        await until(pilot, lambda: isinstance(app.screen, MakeTarget), "it is made a target")
        await click(pilot, "it would take 2 files")
        await click(pilot, "Copy onto it")
        await jobs_done(pilot)
        await click(pilot, "✔ target blue")
        assert "✔ target blue" not in text_of(pilot)
        plugged_in(app, drive)
        await click(pilot, "3 Coverage")
        await click(pilot, "photos/", times=2)
        await click(pilot, "2024/", times=2)
        await click(pilot, "a.jpg")
        assert "a.jpg" in text_of(pilot) and "verified" in text_of(pilot)
        await click(pilot, "all sources")
        await click(pilot, "w what if")
        await click(pilot, "⏎ show")
        assert "If blue died" in text_of(pilot)
        shutil.rmtree(photos / "2019")
        await click(pilot, "4 Restore")
        await until(pilot, lambda: "1 file (800 B) missing" in text_of(pilot), "the loss is noticed")
        await click(pilot, "⏎ restore")
        await jobs_done(pilot)
    assert tree(photos) == original


async def test_the_keyboard_alone_is_enough(open_app: OpenApp, tmp_path: Path, belongings: tuple[Path, Path]):
    photos, drive = belongings
    original = tree(photos)
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:

        async def press(words: str, *keys: str) -> None:
            await until(pilot, lambda: words in text_of(pilot), f"“{words}” stands there:\n{text_of(pilot)}")
            await settle(pilot)
            for key in keys:
                await pilot.press(key)
                await settle(pilot)

        await press("choose the first one", "a")
        await press("back up this directory", *"/~/pho", "tab", "enter")
        await press("another directory", "end", "enter")
        await press("use this directory as a target", *"/~/bl", "tab", "enter")
        await press("it would take 2 files", "ctrl+s")
        await jobs_done(pilot)
        await press("blue: 2 files", "escape")
        plugged_in(app, drive)
        await press("photos/", "3", "enter", "G", "enter")
        await press("a.jpg", "w")
        await press("What if these drives died", "enter")
        await press("If blue died", "escape")
        shutil.rmtree(photos / "2019")
        await press("Coverage", "4")
        await press("1 file (800 B) missing", "enter")
        await jobs_done(pilot)
    assert tree(photos) == original
