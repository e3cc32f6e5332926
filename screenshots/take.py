"""Take the pictures of the README: a made-up shelf, a fixed clock, one SVG each. `make screenshots`

The pictures are the same on every machine with the same Textual, so that a test can tell when they are stale.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from textual.pilot import Pilot

import made_up_shelf
from medback_core import disk, model
from medback_tui.app import MedbackApp
from medback_tui.reading import facts
from medback_tui.reading.drives import Drives

DIRECTORY = Path(__file__).parent
SIZES = {"narrow": (80, 24), "wide": (132, 36)}
LIGHT = "medback-light"
LISBON = ("3", "enter", "j", "enter", "enter")


@dataclass(frozen=True)
class Picture:
    """The keys that lead there, in which made-up world, how large, and in which theme."""

    keys: tuple[str, ...]
    world: Callable[[Path], Path] = made_up_shelf.small
    size: str = "narrow"
    theme: str | None = None


SHELF = Picture(("2", "tab", "right", "right"), made_up_shelf.years)
TIMELINE = Picture(("2", "t"), made_up_shelf.years)
MAP = Picture((*LISBON, "m"), size="wide")
PICTURES = {
    "sources": Picture(("1",)),
    "targets": Picture(("2",)),
    "coverage": Picture(LISBON),
    "restore": Picture(("4",)),
    "what-if": Picture(("3", "enter", "w", "space", "enter")),
    "map": MAP,
    "map-light": replace(MAP, theme=LIGHT),
    "shelf": SHELF,
    "shelf-light": replace(SHELF, theme=LIGHT),
    "timeline": TIMELINE,
    "timeline-light": replace(TIMELINE, theme=LIGHT),
    "file": Picture((*LISBON, "j", "j", "enter", "j"), size="wide"),
    "help": Picture(("3", "question_mark")),
}
GOES_ON = {"jobs", "drives"}  # workers that end when a person says so


async def at_rest(pilot: Pilot[int]) -> None:
    """Wait until nothing is being read, however long that takes, and all of it is drawn."""
    quiet = 0
    while quiet < 4:
        await pilot.pause()
        reading = [one for one in pilot.app.workers if one.group not in GOES_ON and not one.is_finished]
        await asyncio.gather(*(one.wait() for one in reading), return_exceptions=True)
        screen = pilot.app.screen  # it lays out and draws by a timer
        drawing = screen._layout_required or screen._repaint_required or bool(screen._dirty_widgets)
        quiet = 0 if reading or drawing else quiet + 1
        await asyncio.sleep(0.005)


async def _take(session: Path, picture: Picture) -> str:
    app = MedbackApp(session, watch=False)
    if picture.theme is not None:
        app.theme = picture.theme
    async with app.run_test(size=SIZES[picture.size]) as pilot:
        await at_rest(pilot)
        blue = next(row.target for row in app.facts.targets) if app.facts is not None else None
        if blue is not None and blue.path is not None:
            app.drives = Drives({blue.id: blue.path})
            app.tell_screens()
        for key in picture.keys:
            await pilot.press(key)
            await at_rest(pilot)
        return re.sub(r"\bterminal-\d+-", "terminal-", app.export_screenshot(title="medback"))


_WORLDS: tuple[Callable[[Path], Path], ...] = (made_up_shelf.small, made_up_shelf.years)


def take_all(session: Path) -> dict[str, str]:
    """Every picture by name, from session DBs that are made at `session` and beside it."""
    for variable in ("NO_COLOR", "TEXTUAL_THEME", "COLORTERM"):
        os.environ.pop(variable, None)
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
    os.environ["TZ"] = "UTC"
    clock, model.now = model.now, lambda: made_up_shelf.NOW
    there, facts.is_there = facts.is_there, lambda path: bool(path)
    try:
        made = {world: world(session.with_name(f"{session.name}-{world.__name__}")) for world in _WORLDS}
        return {name: asyncio.run(_take(made[one.world], one)) for name, one in PICTURES.items()}
    finally:
        model.now, facts.is_there = clock, there


def main() -> int:
    """Write them into `screenshots/` (or the directory named as the only argument)."""
    directory = Path(sys.argv[1]) if len(sys.argv) > 1 else DIRECTORY
    with disk.Root(os.fsencode(directory.parent)) as above:
        above.make_directories(os.fsencode(directory.name))
    session = directory / ".session.db"
    with disk.Root(os.fsencode(directory)) as root:
        try:
            for name, picture in take_all(session).items():
                disk.write_whole(root, f"{name}.svg".encode(), picture.encode())
        finally:
            for entry, status in list(root.scan(b"")):
                if entry.startswith(b".session.db") and isinstance(status, os.stat_result):
                    disk.remove(root, entry, expect=status)
    return 0


if __name__ == "__main__":
    sys.exit(main())
