"""In a terminal far too small every screen still stands, and moves: a person may be making the window larger just now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from medback_core.model import Target
from medback_tui.app import MedbackApp
from medback_tui.reading.drives import Drives
from support import picture_sessions as worlds
from support.waiting import press, settle

OpenApp = Callable[..., MedbackApp]
VIEWS = {
    "sources": "1", "targets": "2", "coverage": "3 enter", "restore": "4", "shelf": "2 tab", "timeline": "2 t",
    "map": "3 enter m", "find": "F l i s", "deleted": "3 D", "what-if": "3 w", "help": "question_mark", "log": "L",
    "settings": "comma", "add": "1 a", "edit": "1 e", "new": "2 n", "state": "2 s", "label": "2 l", "free": "2 R",
    "scope": "4 o", "palette": "ctrl+p",
}  # fmt: skip


@pytest.mark.parametrize("size", [(20, 6), (40, 10)], ids=str)
@pytest.mark.parametrize("world", [worlds.damaged, worlds.years], ids=["damaged", "years"])
async def test_every_screen_stands_in_a_tiny_terminal(
    open_app: OpenApp, tmp_path: Path, size: tuple[int, int], world: Callable[[Path], Path]
):
    app = open_app(world(tmp_path / "s.db"))
    async with app.run_test(size=size) as pilot:
        await settle(pilot)
        assert app.facts is not None
        here = app.facts.targets[0].target
        assert isinstance(here, Target)
        app.drives = Drives({here.id: b"/media/ada/blue"})
        for view, keys in VIEWS.items():
            await press(pilot, *keys.split(), "down", "right")
            assert app.return_code is None, view
            while app.screen.is_modal:
                await press(pilot, "escape")
            await press(pilot, "escape", "escape")
        await pilot.resize_terminal(120, 30)
        await settle(pilot)
