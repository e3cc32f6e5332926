"""Pictures of every screen: empty, small, large, damaged, with a job, narrow and wide, without colours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot

from medback_core import model
from medback_core.disk import Mount
from medback_core.model import Progress
from medback_tui.app import MedbackApp
from medback_tui.reading.drives import Drives
from medback_tui.jobs.queue import Job
from medback_tui.screens.pick_target import PickTarget
from medback_tui.screens.settings import SettingsDialog
from support import picture_sessions as worlds
from support.waiting import settle, until

pytestmark = pytest.mark.usefixtures("fixed_clock")

NARROW, WIDE = (80, 24), (160, 48)
SCREENS = {"sources": "1", "targets": "2", "coverage": "3", "restore": "4"}
Snap = Callable[..., bool]
OpenApp = Callable[..., MedbackApp]


def pressing(*keys: str) -> Callable[[Pilot[int]], Awaitable[None]]:
    """Press keys one after the other, each when the app has come to rest."""

    async def run(pilot: Pilot[int]) -> None:
        await settle(pilot)
        for key in keys:
            await pilot.press(key)
            await settle(pilot)

    return run


@pytest.mark.parametrize(
    ("screen", "size"),
    [*((screen, NARROW) for screen in SCREENS), ("coverage", WIDE)],
    ids=[*(f"{screen}-narrow" for screen in SCREENS), "coverage-wide"],
)
def test_an_empty_session_names_the_next_key(snap_compare: Snap, open_app: OpenApp, screen: str, size: tuple[int, int]):
    assert snap_compare(open_app(), terminal_size=size, run_before=pressing(SCREENS[screen]))


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
@pytest.mark.parametrize("screen", SCREENS)
def test_a_small_shelf(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, screen: str, size: tuple[int, int]):
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, terminal_size=size, run_before=pressing(SCREENS[screen]))


@pytest.mark.parametrize("screen", SCREENS)
def test_a_large_shelf(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, screen: str):
    app = open_app(worlds.large(tmp_path / "s.db", 4000, per_directory=500))
    keys = ["enter", "enter", "G"] if screen == "coverage" else []
    assert snap_compare(app, run_before=pressing(SCREENS[screen], *keys))


@pytest.mark.parametrize("screen", SCREENS)
def test_damage_and_a_refused_update(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, screen: str):
    app = open_app(worlds.damaged(tmp_path / "s.db"))
    keys = {"sources": ["j"], "coverage": ["enter", "j", "enter", "enter", "G", "k"]}.get(screen, [])
    assert snap_compare(app, run_before=pressing(SCREENS[screen], *keys))


@pytest.mark.parametrize("size", [NARROW, WIDE], ids=["narrow", "wide"])
def test_a_file_and_its_copies(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, size: tuple[int, int]):
    app = open_app(worlds.small(tmp_path / "s.db"))
    keys = ("3", "enter", "j", "enter", "enter", "j", "j", "enter", "j")
    assert snap_compare(app, terminal_size=size, run_before=pressing(*keys))


def test_a_what_if_recolours_the_tree(snap_compare: Snap, open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing("3", "enter", "w", "space", "enter"))


@pytest.mark.parametrize("size", [(60, 20), NARROW, (120, 30), WIDE], ids=str)
def test_the_map_of_risk(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, size: tuple[int, int]):
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, terminal_size=size, run_before=pressing("3", "enter", "m"))


VIEWS = {
    "shelf": ("2", "tab"),
    "shelf-pulled": ("2", "tab", "right", "w"),
    "timeline": ("2", "t"),
    "map": ("3", "enter", "m"),
}


@pytest.mark.parametrize("size", [(60, 20), NARROW, (120, 30), WIDE], ids=str)
@pytest.mark.parametrize("view", ["shelf", "timeline"])
def test_the_shelf_and_the_timeline(
    snap_compare: Snap, open_app: OpenApp, tmp_path: Path, view: str, size: tuple[int, int]
):
    app = open_app(worlds.years(tmp_path / "s.db"))
    assert snap_compare(app, terminal_size=size, run_before=pressing(*VIEWS[view]))


@pytest.mark.parametrize("look", ["medback-light", "ansi-dark", "no-color"])
@pytest.mark.parametrize("view", ["shelf-pulled", "timeline", "map"])
def test_shelf_timeline_and_map_in_every_look(
    snap_compare: Snap, open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, view: str, look: str
):
    if look == "no-color":
        monkeypatch.setenv("NO_COLOR", "1")
    app = open_app(worlds.years(tmp_path / "s.db"))
    app.theme = app.theme if look == "no-color" else look
    assert snap_compare(app, run_before=pressing(*VIEWS[view]))


def test_the_drives_of_a_what_if(snap_compare: Snap, open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing("3", "w", "space"))


def test_a_filter_says_how_many_of_how_many(snap_compare: Snap, open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    keys = ("3", "enter", "j", "enter", "enter", "j", "j", "j", "enter", "slash", "4", "2")
    assert snap_compare(app, run_before=pressing(*keys))


def test_only_what_is_not_safe_and_marks(snap_compare: Snap, open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing("3", "enter", "f", "space", "space"))


def test_a_drive_that_can_not_be_had(snap_compare: Snap, open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing("4", "e", "x"))


@pytest.mark.parametrize(
    "keys", ["question_mark", "L", "a", "c", "d", "e"], ids=["help", "log", "add", "copies", "forget", "edit"]
)
def test_what_opens_above_the_sources(
    snap_compare: Snap, open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keys: str
):
    home = Path("/tmp/medback-picture-home")
    for name in ("photos", "research", "music", ".config"):
        (home / name).mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("HOME", str(home))
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing("1", keys))


@pytest.mark.parametrize(
    "keys", ["n", "s", "l", "v", "R", "question_mark"], ids=["new", "state", "label", "verify", "free", "help"]
)
def test_what_opens_above_the_targets(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, keys: str):
    app = open_app(worlds.small(tmp_path / "s.db"))

    async def run(pilot: Pilot[int]) -> None:
        await pressing("2")(pilot)
        assert app.facts is not None
        app.drives = Drives({app.facts.targets[0].target.id: b"/media/ada/blue"})
        app.tell_screens()
        await pressing(keys)(pilot)

    assert snap_compare(app, run_before=run)


DIALOGS = [(dialog, size) for dialog in ("settings", "first-drive") for size in [(60, 20), NARROW, (120, 30), WIDE]]
LOOKS = ["medback-light", "ansi-dark", "no-color"]


@pytest.mark.parametrize(
    ("dialog", "size", "look"),
    [
        *((*one, "medback-dark") for one in DIALOGS),
        *((one, NARROW, look) for one in ("settings", "first-drive") for look in LOOKS),
    ],
    ids=str,
)
def test_settings_and_the_question_for_the_first_drive(
    snap_compare: Snap,
    open_app: OpenApp,
    monkeypatch: pytest.MonkeyPatch,
    dialog: str,
    size: tuple[int, int],
    look: str,
):
    monkeypatch.setenv("MEDBACK_SETTINGS", "/home/ada/.config/medback/settings.toml")
    if look == "no-color":
        monkeypatch.setenv("NO_COLOR", "1")
    app = open_app()
    app.theme = app.theme if look == "no-color" else look
    mounts = (
        Mount(b"/media/ada/blue", "/dev/sdb1", "ext4", True, False, 2 * 10**12, 14 * 10**11),
        Mount(b"/media/ada/CAMERA", "/dev/sdc1", "vfat", True, True, 64 * 10**9, 10**9),
        Mount(b"/srv", "/dev/sda3", "xfs", False, False, 10**12, 9 * 10**10),
    )

    async def run(pilot: Pilot[int]) -> None:
        await settle(pilot)
        app.session_path = Path("/home/ada/.bkup_dest")
        app.drives = Drives(mounts=mounts)
        app.push_screen(SettingsDialog() if dialog == "settings" else PickTarget(first=True))
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=run)


@pytest.mark.parametrize("keys", [["o"], ["t"], ["m"], ["question_mark"]], ids=["what", "where", "bare", "help"])
def test_what_opens_above_the_restore(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, keys: list[str]):
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing("4", *keys))


def test_the_palette_knows_every_action(snap_compare: Snap, open_app: OpenApp, tmp_path: Path):
    app = open_app(worlds.small(tmp_path / "s.db"))

    async def run(pilot: Pilot[int]) -> None:
        await pressing("3", "ctrl+p")(pilot)
        await pilot.pause(0.3)
        for part in "not":
            await pilot.press(part)
        await pilot.pause(0.6)
        pilot.app.screen.query_one("Input").cursor_blink = False  # type: ignore[attr-defined]

    assert snap_compare(app, run_before=run)


COPYING = [
    Progress("copying", 10, 40_000_000_000, 81, 100_000_000_000, b"photos/2019/family/IMG_8811.CR2"),
    Progress("copying", 11, 40_120_000_000, 81, 100_000_000_000, b"photos/2019/family/IMG_8812.CR2"),
    Progress("copying", 12, 40_240_000_000, 81, 100_000_000_000, b"photos/2019/a very long name of a directory/I.CR2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("screen", "size"),
    [*((screen, NARROW) for screen in SCREENS), ("targets", WIDE)],
    ids=[*(f"{screen}-narrow" for screen in SCREENS), "targets-wide"],
)
def test_a_running_job(
    snap_compare: Snap, open_app: OpenApp, tmp_path: Path, script: Callable, screen: str, size: tuple[int, int]
):
    app = open_app(worlds.small(tmp_path / "s.db"))
    copying = script(COPYING)

    async def run(pilot: Pilot[int]) -> None:
        await pressing(SCREENS[screen])(pilot)
        app.submit(Job("target Blue Seagate 2T", "medback target /media/ada/blue --no-fill", copying, kind="target"))
        app.submit(Job("update all sources", "medback update", copying, kind="update"))
        await until(pilot, copying.told.is_set)
        await settle(pilot)

    assert snap_compare(app, terminal_size=size, run_before=run)


def _ended(open_app: OpenApp, session: Path, script: Callable, events: list[model.Event], kind: str = "target"):
    app = open_app(session)
    ending = script(events, then_wait=False)

    async def run(pilot: Pilot[int]) -> None:
        await settle(pilot)
        app.submit(Job("target Blue Seagate 2T", "medback target /media/ada/blue --no-fill", ending, kind=kind))
        await until(pilot, lambda: not app.queue.busy)
        await settle(pilot)

    return app, run


def test_a_job_that_ended_says_what_next(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, script: Callable):
    blue = model.Target(1, "k3v9q2x8ab7m", "Blue Seagate 2T")
    summary = model.BackupSummary(blue, 812, 30_000_000_000, remaining=40, remaining_bytes=8_000_000_000, full=True)
    app, run = _ended(open_app, worlds.small(tmp_path / "s.db"), script, [*COPYING, summary])
    assert snap_compare(app, run_before=run)


def test_a_job_that_skipped_files_says_so(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, script: Callable):
    blue = model.Target(1, "k3v9q2x8ab7m", "Blue Seagate 2T")
    troubles = [
        model.Skipped(b"photos/2019/a[/b].jpg", model.Reason("system", error="Permission denied")),
        model.DamageFound(b"photos/2019/\x1b[31m.CR2", model.Reason("damaged")),
        model.Warned("same-disk", path=b"/run/media/ada/blue", source="photos"),
    ]
    app, run = _ended(
        open_app, worlds.small(tmp_path / "s.db"), script, [*troubles, model.BackupSummary(blue, 3, 3_000)]
    )

    async def log_too(pilot: Pilot[int]) -> None:
        await run(pilot)
        await pressing("L", "k", "k")(pilot)

    assert snap_compare(app, run_before=log_too)


def test_a_refused_job_names_the_way_out(snap_compare: Snap, open_app: OpenApp, tmp_path: Path):
    from medback_core.errors import Refused

    app = open_app(worlds.small(tmp_path / "s.db"))

    def refuse(session: object):
        raise Refused("overlap/inside-source", path=b"/home/ada/photos/2024", source="photos")
        yield

    async def run(pilot: Pilot[int]) -> None:
        await settle(pilot)
        app.submit(Job("target 2024", "medback target /home/ada/photos/2024", refuse))
        await until(pilot, lambda: not app.queue.busy)
        await settle(pilot)

    assert snap_compare(app, run_before=run)


@pytest.mark.parametrize("theme", ["medback-light", "ansi-dark", "ansi-light"])
def test_other_themes(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, theme: str):
    app = open_app(worlds.small(tmp_path / "s.db"))
    app.theme = theme
    assert snap_compare(app, run_before=pressing("3", "enter"))


@pytest.mark.parametrize("screen", SCREENS)
def test_without_colours_the_signs_remain(
    snap_compare: Snap, open_app: OpenApp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, screen: str
):
    monkeypatch.setenv("NO_COLOR", "1")
    app = open_app(worlds.small(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing(SCREENS[screen]))


@pytest.mark.parametrize("keys", [["1"], ["2"], ["3", "enter", "j"], ["3", "enter", "G"], ["4", "o", "enter"]])
def test_hostile_names_break_nothing(snap_compare: Snap, open_app: OpenApp, tmp_path: Path, keys: list[str]):
    app = open_app(worlds.hostile(tmp_path / "s.db"))
    assert snap_compare(app, run_before=pressing(*keys))
