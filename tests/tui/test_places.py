"""Places in the app: what lacks a copy elsewhere is not shown as safe, in the list, its pane, the map and the search."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medback_core.model import Target
from medback_core.session import Session, open_session
from medback_core.session.sources import insert_source
from medback_core.session.targets import save_target
from medback_core.model import Source
from medback_tui.app import MedbackApp
from support.session_builder import content, copy, put
from support.waiting import press, settle, text_of

pytestmark = pytest.mark.usefixtures("fixed_clock")
OpenApp = Callable[..., MedbackApp]


def a_session(where: Path, *, place: str | None = "Office", elsewhere: int = 1) -> Session:
    """Two drives at home and one at a place; `near.jpg` has two copies at home, `safe.jpg` one of two elsewhere."""
    session = open_session(where / "s.db")
    source = insert_source(session, Source(0, "s", "photos", b"/src", 2, scanned_at=100, elsewhere=elsewhere))
    blue, red, tin = (save_target(session, Target(0, f"t-{n}", n, place=p)) for n, p in (
        ("Blue", None), ("Red", None), ("Tin", place),
    ))  # fmt: skip
    for path, drives in ((b"near.jpg", (blue, red)), (b"2019/safe.jpg", (blue, tin)), (b"2020/near.jpg", (blue, red))):
        identity = content(path.decode(), 1000)
        put(session, source, path, identity)
        for drive in drives:
            copy(session, identity, drive)
    return session


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
