"""Keys and theme of the settings file: they hold in the app, and its hints and help follow them."""

from __future__ import annotations

from pathlib import Path

from medback_core.settings.preferences import read_preferences
from medback_tui.app import MedbackApp
from medback_tui.screens.coverage import CoverageScreen
from medback_tui.screens.find import Find
from support import picture_sessions as pictures
from support.waiting import press, settle, text_of


async def test_keys_and_theme_of_the_settings_file_hold_and_the_hints_follow(tmp_path: Path):
    file = tmp_path / "settings.toml"
    file.write_text('theme = "medback-light"\n[keys]\n"coverage.unsafe" = "n"\n"app.find" = "ctrl+o"\n')
    app = MedbackApp(pictures.small(tmp_path / "s.db"), preferences=read_preferences(file), watch=False)
    async with app.run_test(size=(120, 30)) as pilot:
        await settle(pilot)
        assert app.theme == "medback-light"
        await press(pilot, "3")
        assert "n not safe" in text_of(pilot) and "f not safe" not in text_of(pilot)
        screen = app.screen
        assert isinstance(screen, CoverageScreen)
        await press(pilot, "f")
        assert not screen.view.unsafe_only
        await press(pilot, "n")
        assert screen.view.unsafe_only
        await press(pilot, "F")
        assert app.screen is screen
        await press(pilot, "ctrl+o")
        assert isinstance(app.screen, Find)
