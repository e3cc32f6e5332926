"""The job that runs, how far it is and what it would be on the command line; afterwards, how it ended and what next."""

from __future__ import annotations

from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events, getters
from textual.strip import Strip
from textual.widget import Widget

from medback_core.presenting.outcomes import outcome
from medback_core.presenting.units import lasting, name, number, percent, plural, short_path, size
from medback_tui.jobs import queue as jobs
from medback_tui.jobs.queue import Job, JobQueue, JobState
from medback_tui.reading.state import SharedApp

from .columns import Span, fit

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
HINTS = (("job.stop", "stop"), ("app.back", "cancel"), ("job.copy", "copy"), ("app.undo", "undo"), ("app.log", "log"))
SIGNS = {"done": "✔", "partly": "▲", "failed": "✘"}


class JobBar(Widget):
    """Two lines while there is something to say, none otherwise."""

    app = getters.app(SharedApp)
    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "jobs--text", "jobs--dim", "jobs--strong", "jobs--done", "jobs--partly", "jobs--failed", "jobs--bar",
    }  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._lines: tuple[list[Span], list[Span]] = ([], [])
        self._ended = False
        self.display = False

    def show(self, queue: JobQueue, dismissed: int) -> None:
        """Say what is going on. `dismissed`: the number of the last ended job a person has taken note of."""
        running, last = queue.running, queue.last
        if running is not None:
            self._lines, self._ended = self._of_running(running, len(queue.waiting)), False
        elif last is not None and last.number > dismissed:
            self._lines, self._ended = self._of_ended(last), True
        else:
            self._lines = ([], [])
        self.display = bool(self._lines[0])
        self.refresh()

    def _of_running(self, job: Job, waiting: int) -> tuple[list[Span], list[Span]]:
        turn = SPINNER[int(jobs.monotonic() * 10) % len(SPINNER)]
        stopping = job.state is JobState.STOPPING
        first: list[Span] = [(f"{turn} ", "bar"), (name(job.title), "strong")]
        progress = job.progress
        is_wide = self.app.size.width >= 100  # this bar has no size before it is first shown
        if job.ends_itself:
            first.append(("  stopping: what is copied whole is made safe first", "partly"))
            if progress is not None:
                first.append((f" ({progress.phase})", "text"))
        elif stopping:
            first.append(("  stopping: the chunk under way is finished, what is done is kept", "partly"))
        elif progress is not None:
            first.append((f"  {progress.phase}", "text"))
            if progress.bytes_total:
                first.append((f"  {percent(progress.bytes, progress.bytes_total)}", "strong"))
                if is_wide:
                    first.append((f" of {size(progress.bytes_total)}", "text"))
            elif progress.files_total:
                first.append((f"  {percent(progress.files, progress.files_total)}", "strong"))
                if is_wide:
                    first.append((f" of {number(progress.files_total)} files", "text"))
            else:
                first.append((f"  {number(progress.files)} files", "text"))
                if progress.bytes:
                    first.append((f", {size(progress.bytes)}", "text"))
            if job.rate:
                first.append((f"  {size(int(job.rate))}/s", "text"))
            if job.seconds_left is not None:
                first.append((f"  {lasting(job.seconds_left)}", "text"))
            if progress.current:
                first.append(("  ", "text"))
                first.append((name(progress.current), "path"))
        more = f"  +{plural(waiting, 'job')} waiting" if waiting else ""
        stop = self.app.key_of("app.back" if job.quiet else "job.stop")
        say = "cancel" if job.quiet else "stop at once" if job.ends_itself else "stop"
        keys = f"{more}  {stop} {say}  {self.app.key_of('job.copy')} copy"
        second: list[Span] = [("  same as: ", "dim"), (job.command, "text"), (keys, "dim")]
        return first, second

    def _of_ended(self, job: Job) -> tuple[list[Span], list[Span]]:
        level, headline, advice = outcome(job, self.app.way_to)
        undo = f"  {self.app.key_of('app.undo')} undo" if job.undo is not None and level == "done" else ""
        first: list[Span] = [(f"{SIGNS[level]} ", level), (headline, "strong")]
        second: list[Span] = [
            ("  ", "text"),
            (advice or f"same as: {job.command}", "text"),
            (f"{undo}  {self.app.key_of('app.back')} dismiss  {self.app.key_of('app.log')} log", "dim"),
        ]
        return first, second

    def render_line(self, y: int) -> Strip:
        width = self.size.width - 2
        line = self._lines[y] if y < 2 else []
        segments = [Segment(" ", self._style("text"))]
        # The last part but one gives way first: the hint at the end of the second line stays readable.
        tail = cell_len(line[-1][0]) if y == 1 and line else 0
        if tail and self._ended and sum(cell_len(text) for text, _ in line) > width:
            line, tail = line[:-1], 0  # what to do next matters more than how to dismiss it
        left = width - tail
        for text, style in line[: len(line) - (1 if tail else 0)]:
            if left <= 0:
                break
            if style == "path":
                text, style = short_path(text, left) if left >= 10 else "", "dim"
            shown = text if cell_len(text) <= left else fit(text, left)
            segments.append(Segment(shown, self._style(style)))
            left -= cell_len(shown)
        if tail:
            segments.append(Segment(line[-1][0], self._style(line[-1][1])))
        return Strip(segments).adjust_cell_length(self.size.width, self._style("text"))

    def on_click(self, event: events.Click) -> None:
        """A hint presses its key; anywhere else a click takes note of a job that has ended."""
        line = self.render_line(1).text
        for binding, words in HINTS:
            begin = line.rfind(f"{self.app.key_of(binding)} {words}")
            if event.y == 1 and begin >= 0 and begin <= event.x < begin + len(words) + 2:
                self.app.simulate_key(self.app.keys_of(binding)[0])
                return
        if self._ended:
            self.app.simulate_key(self.app.keys_of("app.back")[0])

    def _style(self, name: str) -> Style:
        return self.rich_style + self.get_component_rich_style(f"jobs--{name}", partial=True)
