"""The pictures in the README show the app as it is now."""

from __future__ import annotations

import asyncio
import re
import threading
from pathlib import Path

import record
import take
from medback_tui.app import MedbackApp


def _shown(picture: str) -> list[str]:
    """What can be read on a picture."""
    return [text.replace("&#160;", " ") for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture)]


def test_the_pictures_are_up_to_date(tmp_path: Path):
    taken = take.take_all(tmp_path / "s.db")
    kept = {path.stem: path.read_text("utf-8") for path in take.DIRECTORY.glob("*.svg") if path.stem != "story"}
    assert kept.keys() == taken.keys()
    for name, picture in taken.items():
        assert _shown(kept[name]) == _shown(picture), f"{name}.svg is stale: make screenshots"


async def test_a_picture_is_taken_when_all_that_is_read_for_it_is_there(tmp_path: Path):
    """However late: a page of rows, or what a pane says, took a while on a busy machine."""
    app, late, there = MedbackApp(tmp_path / "none.db", watch=False), threading.Event(), []
    async with app.run_test() as pilot:
        await take.at_rest(pilot)
        app.aside(app.screen, late.wait, there.append)
        asyncio.get_running_loop().call_later(0.2, late.set)
        await take.at_rest(pilot)
        assert there == [True]


def test_a_recorded_line_keeps_its_columns_and_colours():
    line = "\x1b[38;2;1;2;3m a  b \x1b[7;48;5;16mc\x1b[0m"
    assert re.findall(r'x="([0-9.]+)" y[^>]*>(.)<', record.drawn(line)) == [("8.4", "a"), ("33.6", "b"), ("50.4", "c")]
    assert 'fill="#010203">a' in record.drawn(line) and '<rect x="50.4" width="8.4"' in record.drawn(line)


def test_the_story_is_one_small_file_that_asks_for_nothing_else():
    story = record.OUT.read_text("utf-8")
    assert len(story) <= 400_000
    assert story.count('class="f"') == len(record.STORY)
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|<script|<image", story)
