"""The pictures in the README show the app as it is now."""

from __future__ import annotations

import re
from pathlib import Path

import take


def _shown(picture: str) -> list[str]:
    """What can be read on a picture."""
    return [text.replace("&#160;", " ") for text in re.findall(r"<text[^>]*>([^<]*)</text>", picture)]


def test_the_pictures_are_up_to_date(tmp_path: Path):
    taken = take.take_all(tmp_path / "s.db")
    kept = {path.stem: path.read_text("utf-8") for path in take.DIRECTORY.glob("*.svg")}
    assert kept.keys() == taken.keys()
    for name, picture in taken.items():
        assert _shown(kept[name]) == _shown(picture), f"{name}.svg is stale: make screenshots"
