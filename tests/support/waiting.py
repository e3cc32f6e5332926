"""Wait for the app to have read, planned or worked, without sleeping for a fixed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.app import App
from textual.pilot import Pilot

from medback_tui.app import MedbackApp
from support.terminal import PATIENCE

GOES_ON = {"jobs", "drives"}  # workers that end when a person or a test says so


async def nothing_ready(*_: float) -> None:
    """Until the event loop has nothing to do now: it would wait for a timer, a thread or a key. All messages are handled
    then. It stands in for Textual's `wait_for_idle`, which after every key waits until the process used no processor
    for a fiftieth of a second."""
    loop = asyncio.get_running_loop()
    await asyncio.sleep(0)
    while loop._ready:  # type: ignore[attr-defined]
        await asyncio.sleep(0)


async def settle(pilot: Pilot[int]) -> None:
    """Until nothing is being read any more and all of it is on the screen."""
    async with asyncio.timeout(PATIENCE):
        quiet = 0
        while quiet < 2:
            await pilot.pause()
            reading = [one for one in pilot.app.workers if one.group not in GOES_ON and not one.is_finished]
            await asyncio.gather(*(one.wait() for one in reading), return_exceptions=True)
            moves = _moves(pilot.app)
            quiet = 0 if reading or moves else quiet + 1
            if moves:  # what is changed together is drawn together, by a timer
                await asyncio.sleep(0.002)


def _moves(app: App[int]) -> bool:
    """Whether the screen's next frame will lay out or draw something, or a message just came of the last. What is laid
    out may have more to draw, so a screen can take several frames to come to rest."""
    screen = app.screen
    return not app._exit and bool(
        screen._layout_required
        or screen._scroll_required
        or screen._repaint_required
        or screen._recompose_required
        or screen._dirty_widgets
        or screen._callbacks
        or asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
    )


async def press(pilot: Pilot[int], *keys: str) -> None:
    """Press one key after the other, each when what the one before it asked for is on the screen."""
    for key in keys:
        await pilot.press(key)
        await settle(pilot)


async def until(pilot: Pilot[int], condition: Callable[[], bool], what: str = "") -> None:
    """Until a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"never came true: {what}")
        await pilot.pause(0.01)
    await pilot.pause()
    while _moves(pilot.app) and time.monotonic() < end:  # until it is drawn
        await pilot.pause(0.002)


async def jobs_done(pilot: Pilot[int]) -> None:
    """Until no job runs or waits, and what they changed is shown."""
    app = pilot.app
    assert isinstance(app, MedbackApp)
    await settle(pilot)  # what was just asked for is a job now
    await until(pilot, lambda: not app.queue.busy, "the jobs end")
    await settle(pilot)


def text_of(pilot: Pilot[int]) -> str:
    """All that stands on the screen, line by line."""
    screen = pilot.app.screen
    width, height = screen.size
    strips = screen._compositor.render_strips()
    del width, height
    return "\n".join(strip.text for strip in strips)
