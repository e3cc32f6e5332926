"""Show on standard error how far an operation is: a live line on a terminal, a line every few seconds without one."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from medback_core.model import Progress
from medback_core.presenting.units import lasting, size
from medback_core.presenting.units import name as shown

if TYPE_CHECKING:
    from rich.live import Live

LINE_EVERY = 3.0  # seconds, without a terminal
DRAW_EVERY = 0.1


class Display:
    """What follows an operation. Never lets a closed terminal end it: showing is not what the work is for."""

    def __init__(self, *, live: bool, lines: bool) -> None:
        self._wants_live = live
        self._lines = lines
        self._live: Live | None = None
        self._phase = ""
        self._started = 0.0
        self._first = Progress("")
        self._last = 0.0

    def show(self, event: Progress) -> None:
        """Draw this state, not more often than a person can read."""
        if not (self._wants_live or self._lines):
            return
        now = time.monotonic()
        if event.phase != self._phase:
            self._phase, self._started, self._first, self._last = event.phase, now, event, 0.0
        if self._last and now - self._last < (DRAW_EVERY if self._wants_live else LINE_EVERY):
            return
        self._last = now
        try:
            if self._wants_live:
                self._draw(event, now - self._started)
            else:
                parts = [event.phase, *self._parts(event, now - self._started)]
                current = f"  {shown(event.current)}" if event.current else ""
                print(" · ".join(part for part in parts if part) + current, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            self._wants_live = self._lines = False  # the terminal went away; the work goes on

    def stop(self) -> None:
        """Take the live line away: something else is to be said."""
        live, self._live = self._live, None
        if live is not None:
            try:
                live.stop()
            except (OSError, ValueError):
                self._wants_live = False

    def _parts(self, event: Progress, seconds: float) -> list[str]:
        files = f"{event.files:,}" + (f" of {event.files_total:,}" if event.files_total is not None else "") + " files"
        amount = size(event.bytes) + (f" of {size(event.bytes_total)}" if event.bytes_total is not None else "")
        rate = left = share = ""
        moved = event.bytes - self._first.bytes
        if seconds >= 1 and moved > 0:
            rate = f"{size(moved / seconds)}/s"
        fraction = event.fraction
        if fraction is not None:
            share = f"{int(100 * fraction)} %"
            gone = fraction - (self._first.fraction or 0.0)
            if seconds >= 2 and gone > 0 and fraction < 1:
                left = lasting(seconds * (1 - fraction) / gone)
        return [share, files, amount if event.bytes or event.bytes_total else "", rate, left]

    def _draw(self, event: Progress, seconds: float) -> None:
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        if self._live is None:
            from rich.console import Console
            from rich.live import Live

            console = Console(file=sys.stderr, markup=False, highlight=False, emoji=False)
            self._live = Live(
                console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._live.start()
        words = " · ".join(part for part in (event.phase, *self._parts(event, seconds)) if part)
        grid = Table.grid(padding=(0, 1))
        sign: Text | ProgressBar = Text("•", style="bold")
        if event.fraction is not None:
            sign = ProgressBar(total=1.0, completed=event.fraction, width=16)
        grid.add_row(sign, Text(words, overflow="ellipsis", no_wrap=True))
        whole = Table.grid()
        whole.add_row(grid)
        # Always two lines, so that the display does not jump.
        whole.add_row(
            Text(f"  {shown(event.current)}" if event.current else " ", style="dim", overflow="ellipsis", no_wrap=True)
        )
        self._live.update(whole, refresh=True)
