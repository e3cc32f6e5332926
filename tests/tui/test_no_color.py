"""NO_COLOR and the ansi themes: everything can be read, and what is in danger is at least as strong as the rest."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.segment import Segment
from textual.pilot import Pilot

from medback_tui.app import MedbackApp
from support import picture_sessions as worlds
from support.waiting import press, settle

pytestmark = pytest.mark.usefixtures("fixed_clock")
THEMES = ["medback-dark", "medback-light", "ansi-dark"]


def drawn(pilot: Pilot[int]) -> list[Segment]:
    """The text that goes to the terminal, past Textual's filters."""
    app, out = pilot.app, []
    for strip in app.screen._compositor.render_strips():
        line = list(strip)
        for one in app.get_line_filters():
            line = one.apply(line, app.screen.styles.background)
        out += [one for one in line if one.text.strip() and one.style is not None]
    return out


def check_danger(found: list[Segment]) -> None:
    """What has no copy or is damaged is bold, never dim."""
    for one in found:
        if "○" in one.text or "✘" in one.text:
            assert one.style is not None and one.style.bold and not one.style.dim, one


@pytest.mark.parametrize("theme", THEMES)
async def test_without_colours_all_can_be_read_and_danger_is_bold(
    open_app: Callable[..., MedbackApp], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theme: str
):
    monkeypatch.setenv("NO_COLOR", "1")
    app = open_app(worlds.damaged(tmp_path / "s.db"))
    app.theme = theme
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        for keys in ("1", "2", "s", "escape", "3", "w", "escape", "enter", "question_mark", "escape", "4", "n"):
            await press(pilot, keys)
            found = drawn(pilot)
            for one in found:
                assert one.style is not None
                color, behind = one.style.color, one.style.bgcolor
                if color is None or color.is_default:
                    continue
                assert behind is None or color.get_truecolor() != behind.get_truecolor(foreground=False), (keys, one)
                assert len({*color.get_truecolor()}) == 1, f"a colour: {one}"
        await press(pilot, "3")
        check_danger(drawn(pilot))


@pytest.mark.parametrize("theme", THEMES)
async def test_danger_is_bold_and_plugged_in_has_a_colour_of_its_own(
    open_app: Callable[..., MedbackApp], tmp_path: Path, theme: str
):
    app = open_app(worlds.damaged(tmp_path / "s.db"))
    app.theme = theme
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "enter")
        check_danger(drawn(pilot))
        variables = app.get_css_variables()
        assert len({variables["here"], variables["text-success"], variables["foreground"]}) == 3
