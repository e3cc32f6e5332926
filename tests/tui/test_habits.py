"""What people know from other programs: undo, more room, copy the path, try a theme, settings, names in the palette."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from textual.events import Key, Paste
from textual.pilot import Pilot
from textual.widgets import Input

from medback_core.disk import Mount
from medback_core.model import Rule
from medback_core.settings.preferences import Preferences, settings_path
from medback_tui.app import MedbackApp
from medback_tui.jobs import operations
from medback_tui.palette import Palette
from medback_tui.reading.drives import Drives
from medback_tui.screens import opening
from medback_tui.screens.base import Pane
from medback_tui.screens.coverage import CoverageScreen
from medback_tui.screens.dead_drives import DeadDrives
from medback_tui.screens.find import Find
from medback_tui.screens.make_target import MakeTarget
from medback_tui.screens.pick_target import PickTarget
from support import picture_sessions as worlds
from support.waiting import jobs_done, press, settle, text_of, until

OpenApp = Callable[..., MedbackApp]


def source_of(app: MedbackApp, alias: str):
    assert app.facts is not None
    return next(row.source for row in app.facts.sources if row.source.alias == alias)


async def test_z_takes_back_a_state_a_label_what_is_wanted_and_left_out(open_app: OpenApp, tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a")
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(bytes(photos)))
        await jobs_done(pilot)
        await pilot.press("escape")
        before = source_of(app, "photos")
        app.submit(operations.change_source(before, alias="pictures", copies=3, excludes=["*.tmp"]))
        await jobs_done(pilot)
        changed = source_of(app, "pictures")
        assert (changed.wanted, changed.excludes) == (3, ("*.tmp",))
        assert "z undo" in text_of(pilot)
        await pilot.press("z")
        await jobs_done(pilot)
        again = source_of(app, "photos")
        assert (again.wanted, again.excludes) == (before.wanted, before.excludes)
        await pilot.press("z")
        await settle(pilot)
        assert "there is nothing to undo" in text_of(pilot)


async def test_z_brings_a_forgotten_source_back_as_it_was(open_app: OpenApp, tmp_path: Path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.jpg").write_bytes(b"a")
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(bytes(photos), alias="pictures", copies=3))
        await jobs_done(pilot)
        app.submit(operations.change_source(source_of(app, "pictures"), excludes=["*.tmp"]))
        await jobs_done(pilot)
        before = source_of(app, "pictures")
        app.submit(operations.forget_source(before.alias, before.path))
        await jobs_done(pilot)
        assert app.facts is not None and not app.facts.sources
        await pilot.press("z")
        await jobs_done(pilot)
        again = source_of(app, "pictures")
        assert (again.id, again.wanted, again.excludes) == (before.id, 3, ("*.tmp",))


async def test_z_takes_back_the_state_and_the_label_of_a_drive(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        before = app.facts.targets[0].target
        app.submit(operations.set_target(before, state=type(before.state)("lost"), label="Gone"))
        await jobs_done(pilot)
        assert (str(app.facts.targets[0].target.state), app.facts.targets[0].target.label) == ("lost", "Gone")
        await pilot.press("z")
        await jobs_done(pilot)
        after = app.facts.targets[0].target
        assert (after.state, after.label) == (before.state, before.label)


async def test_plus_and_underscore_give_the_list_or_the_pane_more_room(open_app: OpenApp, tmp_path: Path):
    for size in ((80, 24), (160, 48)):
        app = open_app(worlds.small(tmp_path / f"{size[0]}.db"))
        async with app.run_test(size=size) as pilot:
            await settle(pilot)
            await press(pilot, "3", "enter")
            screen = app.screen
            assert isinstance(screen, CoverageScreen)
            pane, rows = screen.query_one(Pane), screen.rows
            whole = rows.size
            await press(pilot, "plus")
            assert not pane.display and rows.size.area > whole.area
            await press(pilot, "underscore", "tab")
            assert pane.display and rows.size == whole and app.focused is pane
            small = pane.size.area
            await press(pilot, "plus")
            half = pane.size.area
            await press(pilot, "plus")
            assert small < half < pane.size.area and not rows.display
            await press(pilot, "underscore", "underscore")
            assert pane.size.area == small and rows.size == whole


async def test_the_path_is_copied_and_opened_from_where_the_cursor_is(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    opened: list[bytes] = []
    monkeypatch.setattr("medback_tui.screens.base.open_path", lambda app, path: opened.append(path))
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "Y")
        assert app.clipboard == "/home/ada/photos"
        await press(pilot, "3", "enter", "j", "Y", "o")
        assert app.clipboard == "/home/ada/photos/2024"
        assert opened == [b"/home/ada/photos/2024"]
        await press(pilot, "e")
        assert "only a file can be edited" in text_of(pilot)
        await press(pilot, "2", "Y")
        assert "has no path on this machine now" in text_of(pilot)


async def test_what_is_not_there_or_can_not_be_opened_is_said(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        opening.open_path(app, b"/nowhere/[b]x")
        await settle(pilot)
        assert "/nowhere/[b]x is not there now" in text_of(pilot)
        monkeypatch.setenv("PATH", "/nowhere")
        opening.open_path(app, bytes(tmp_path))
        assert not opening.edit_path(app, bytes(tmp_path))
        await settle(pilot)
        assert "this system has no" in text_of(pilot)
        assert "this terminal can't be handed to an editor" in text_of(pilot)


async def test_z_takes_back_how_much_of_a_drive_is_for_medback_and_where_it_is_kept(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.facts is not None

        def now() -> tuple[int | None, str | None]:
            assert app.facts is not None
            target = app.facts.targets[0].target
            return target.capacity, target.place

        assert now() == (None, None)
        app.submit(operations.set_target(app.facts.targets[0].target, capacity=10**9, place="office"))
        await jobs_done(pilot)
        assert now() == (10**9, "office")
        app.submit(operations.set_target(app.facts.targets[0].target, capacity=2 * 10**9))
        await jobs_done(pilot)
        await press(pilot, "z")
        await jobs_done(pilot)
        assert now() == (10**9, "office")
        await press(pilot, "z")
        await jobs_done(pilot)
        assert now() == (None, None)


async def test_an_emptied_field_gives_all_of_the_drive_to_medback_again(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        app.submit(operations.set_target(app.facts.targets[0].target, capacity=10**9))
        await jobs_done(pilot)
        await press(pilot, "2", "l", "tab")
        assert isinstance(app.focused, Input) and app.focused.value == "1000000000"
        await press(pilot, "delete", "ctrl+s")
        await jobs_done(pilot)
        assert app.facts.targets[0].target.capacity is None
        assert "--capacity 100%" in app.queue.jobs[-1].command


async def test_z_takes_back_what_is_wanted_elsewhere_and_the_rules(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)

        def now() -> tuple[int, int, str | None, dict[bytes, tuple[int | None, int | None]]]:
            assert app.facts is not None
            row = next(row for row in app.facts.sources if row.source.alias == "photos")
            rules = {rule.path: (rule.copies, rule.elsewhere) for rule in row.rules}
            return row.source.wanted, row.source.elsewhere, row.source.place, rules

        async def change(**what: object) -> None:
            assert app.facts is not None
            row = next(row for row in app.facts.sources if row.source.alias == "photos")
            app.submit(operations.change_source(row.source, had_rules=row.rules, **what))  # type: ignore[arg-type]
            await jobs_done(pilot)

        async def undo() -> None:
            await press(pilot, "z")
            await jobs_done(pilot)

        first = now()
        assert first == (2, 0, None, {})
        await change(elsewhere=1, place="home", rules=[Rule(b"2024", 3, 1), Rule(b"2019", None, 1)])
        second = now()
        assert second == (2, 1, "home", {b"2024": (3, 1), b"2019": (None, 1)})
        await change(rules=[Rule(b"2024", 3, None), Rule(b"2025", 1, None)])
        assert now() == (2, 1, "home", {b"2024": (3, None), b"2025": (1, None)})
        await undo()
        assert now() == second
        await undo()
        assert now() == first


async def type_in_palette(pilot: Pilot[int], text: str) -> None:
    await pilot.press("ctrl+p")
    await settle(pilot)
    await pilot.press(*text.replace(" ", "_").replace("_", " "))
    await until(pilot, lambda: text.lower() in text_of(pilot).lower().replace("…", ""), "it is typed")
    await settle(pilot)


async def test_a_drive_that_is_mounted_while_one_chooses_appears(open_app: OpenApp):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "n")
        assert "Yours is not there? Mount it," in text_of(pilot) and "/media/ada/blue" not in text_of(pilot)
        mount = Mount(b"/media/ada/blue", "/dev/sdb1", "ext4", True, False, 2 * 10**12, 14 * 10**11)
        app.drives = Drives(mounts=(mount,))
        await until(pilot, lambda: "/media/ada/blue" in text_of(pilot), "the drive appears")
        assert "▌ /media/ada/blue" in text_of(pilot)  # under the cursor: it is what one waited for


async def test_keys_typed_fast_go_where_the_first_one_leads(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))

    def type_at_once(*keys: str) -> None:
        for key in keys:
            app.post_message(Key(key, key if len(key) == 1 else None))

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "1")
        type_at_once("3", "w")
        await until(pilot, lambda: isinstance(app.screen, DeadDrives), "the what-if of Coverage, not that of Sources")
        await press(pilot, "escape")
        type_at_once("F", *"3lis")
        await until(pilot, lambda: isinstance(app.screen, Find) and app.screen.typed.value == "3lis", "all is typed")
        await press(pilot, "escape")
        type_at_once("slash", *"ph1")
        await until(pilot, lambda: app.screen.query_one("#filter", Input).value == "ph1", "the filter has it")
        assert app.current_mode == "coverage"
        await press(pilot, "escape")
        type_at_once("slash", *"2024", "slash", *"lis")
        await until(
            pilot, lambda: isinstance(app.screen, Find) and app.screen.typed.value == "2024lis", "all is typed there"
        )
        assert len(app.screen_stack) == 2, "one search, not one for each key"
        await press(pilot, "escape")
        assert app.screen.query_one("#filter", Input).value == ""


async def test_a_path_pasted_into_the_filter_is_searched_for_everywhere(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "slash")
        app.post_message(Paste("2024/lisbon"))
        await until(pilot, lambda: isinstance(app.screen, Find) and app.screen.typed.value == "2024/lisbon")
        assert len(app.screen_stack) == 2


async def test_commands_found_for_a_palette_that_is_closing_end_nothing(open_app: OpenApp):
    app = open_app()
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "ctrl+p")
        palette = app.screen
        assert isinstance(palette, Palette)
        await palette.query("*").remove()
        palette._list_visible = not palette._list_visible
        palette._show_busy = not palette._show_busy
        await press(pilot, "escape")
        assert app.is_running and app.screen is not palette


async def test_the_palette_knows_drives_and_sources_by_name(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(100, 30)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        app.drives = Drives({app.facts.targets[0].target.id: b"/media/ada/blue"})
        await pilot.press("ctrl+p")
        await settle(pilot)
        await pilot.press(*"Blue")
        await until(pilot, lambda: "Back up onto Blue Seagate 2T" in text_of(pilot), "the drive is found")
        assert "What if Blue Seagate 2T died" in text_of(pilot)
        await pilot.press(*["backspace"] * 4, *"Coverage of ph")
        await until(pilot, lambda: "Coverage of photos" in text_of(pilot), "the source is found")
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, CoverageScreen), "it goes there")
        await settle(pilot)
        assert "all sources › photos" in text_of(pilot)


async def test_a_theme_is_in_sight_at_once_and_kept_only_by_enter(open_app: OpenApp, tmp_path: Path):
    app = open_app(settings_file=tmp_path / "config" / "app.json")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        before = app.theme
        app.action_change_theme()
        await settle(pilot)
        await press(pilot, "down")
        tried = app.theme
        assert tried != before
        await press(pilot, "escape")
        assert app.theme == before
        app.action_change_theme()
        await settle(pilot)
        await press(pilot, "down", "enter")
        assert app.theme == tried
    assert open_app(settings_file=tmp_path / "config" / "app.json").theme == tried


async def test_the_settings_say_what_holds_and_the_file_is_taken_up_after_editing(
    open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MEDBACK_SETTINGS", str(tmp_path / "config" / "settings.toml"))

    def edit(app: MedbackApp, path: bytes) -> bool:
        file = Path(path.decode())
        assert file == settings_path() and "# copies = 2" in file.read_text()
        file.write_text('copies = 5\n[keys]\n"app.log" = "K"\n')
        return True

    monkeypatch.setattr("medback_tui.screens.settings.edit_path", edit)
    app = open_app(settings_file=tmp_path / "config" / "app.json")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "comma")
        assert "copies of a new source  2" in text_of(pilot)
        await press(pilot, "e")
        assert "copies of a new source  5" in text_of(pilot)
        assert "app.log = K" in text_of(pilot)
        await press(pilot, "j", "enter")
        assert app.settings.order != "name"
        await press(pilot, "escape", "K")
        assert "nothing has been done yet" in text_of(pilot)  # the log


async def test_the_settings_are_whole_in_a_narrow_terminal(open_app: OpenApp):
    app = open_app()
    async with app.run_test(size=(60, 20)) as pilot:
        await settle(pilot)
        await press(pilot, "comma")
        for words in ("on plugging a drive in", "1 %, at least 64 MiB", "as the help shows them"):
            assert words in text_of(pilot)


async def test_each_line_of_the_help_begins_where_the_words_do(open_app: OpenApp):
    app = open_app()
    async with app.run_test(size=(60, 100)) as pilot:
        await settle(pilot)
        await press(pilot, "2", "question_mark")
        lines = [line.split("│")[1].rstrip() for line in text_of(pilot).splitlines() if line.count("│") == 2]
        words = lines[lines.index("  What the words mean") + 1 : -1]
        indents = {len(line) - len(line.lstrip()) for line in words if line}
        assert indents == {2, 4, 19}  # a heading, a key or a word, and what it means, further on


async def test_a_wide_terminal_shows_more_keys(open_app: OpenApp, tmp_path: Path):
    shown: dict[int, int] = {}
    for width in (80, 160):
        app = open_app(worlds.small(tmp_path / f"{width}.db"))
        async with app.run_test(size=(width, 30)) as pilot:
            await settle(pilot)
            await press(pilot, "2")
            last = text_of(pilot).splitlines()[-1]
            shown[width] = len([part for part in last.split("  ") if part.strip()])
    assert shown[80] <= 7 < shown[160]


async def test_the_line_of_keys_of_a_dialog_follows_the_keymap(open_app: OpenApp, tmp_path: Path):
    worlds.small(tmp_path / "s.db")
    app = MedbackApp(tmp_path / "s.db", watch=False, preferences=Preferences(keys={"dead.mark": "m"}))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "3", "w")
        assert "m mark" in text_of(pilot) and "space mark" not in text_of(pilot)


async def test_of_several_drives_the_first_new_one_is_offered(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert app.facts is not None
        known = app.facts.targets[0].target
        mounts = [
            Mount(path, "/dev/sdx1", "ext4", True, read_only, 10**9, 10**9)
            for path, read_only in ((b"/media/known", False), (b"/media/cd", True), (b"/media/new", False))
        ]
        app.drives = Drives({known.id: b"/media/known"}, tuple(mounts))
        await press(pilot, "2", "n")
        assert any("▌ /media/new" in line for line in text_of(pilot).splitlines())


async def paste(pilot: Pilot[int], text: str) -> None:
    """As out of the clipboard: all of it at once, where keys would be drawn one by one."""
    pilot.app.post_message(Paste(text))
    await pilot.pause()


async def test_a_first_start_asks_what_and_where_and_then_shows_what_is_safe(open_app: OpenApp, tmp_path: Path):
    photos, drive = tmp_path / "photos", tmp_path / "blue"
    photos.mkdir()
    drive.mkdir()
    (photos / "a.jpg").write_bytes(b"a")
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        assert "What do you want to keep safe?" in text_of(pilot)
        await press(pilot, "a", "slash")
        await paste(pilot, str(photos)[1:])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, PickTarget), "the second question")
        assert "On which drive shall your files be kept safe?" in text_of(pilot)
        await press(pilot, "end", "enter", "slash")
        await paste(pilot, str(drive)[1:])
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, MakeTarget), "it is made a target")
        await until(pilot, lambda: "it would take 1 file" in text_of(pilot), "what it would take")
        await pilot.press("ctrl+s")
        await until(pilot, lambda: isinstance(app.screen, CoverageScreen), "what it knows")
        await until(pilot, lambda: "◐ photos/" in text_of(pilot), "is shown")
    assert (drive / "photos" / "a.jpg").read_bytes() == b"a"


async def test_the_bottom_line_says_what_a_key_does_now(open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))

    def hints() -> str:
        return text_of(pilot).splitlines()[-1]

    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        await press(pilot, "2")
        assert "tab shelf" in hints()
        await press(pilot, "tab")
        assert "tab list" in hints()
        await press(pilot, "3", "f")
        assert "f all of it" in hints()
        await press(pilot, "f")
        assert "f not safe" in hints()
        await press(pilot, "m")
        assert "m list" in hints()
