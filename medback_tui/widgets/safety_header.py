"""The line that is always there: the four screens, and the answer to “am I safe?”."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from medback_core.presenting.looked import as_of, but_for
from medback_core.presenting.places import three_two_one_words
from medback_core.presenting.units import amount, number
from medback_tui.reading.facts import Facts

from .columns import Span
from .coverage_bar import bar

TABS = (("sources", "1 Sources"), ("targets", "2 Targets"), ("coverage", "3 Coverage"), ("restore", "4 Restore"))


def _cells(spans: Iterable[Span]) -> int:
    return sum(cell_len(text) for text, _ in spans)


class SafetyHeader(Widget):
    """One line high; a tab can be clicked."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "header--name", "header--tab", "header--here", "header--none", "header--below", "header--safe", "header--dim",
    }  # fmt: skip

    @dataclass
    class TabClicked(Message):
        mode: str

    def __init__(self, mode: str) -> None:
        super().__init__()
        self.mode = mode
        self._facts: Facts | None = None
        self._jobs = 0

    def show(self, facts: Facts | None, jobs: int) -> None:
        """Draw these facts and this number of unfinished jobs."""
        self._facts, self._jobs = facts, jobs
        self.refresh()

    def render_line(self, y: int) -> Strip:
        del y
        width = self.size.width
        left: list[Span] = [(" medback ", "name")]
        for mode, title in self._tabs():
            left.append((title, "here" if mode == self.mode else "tab"))
        room = width - _cells(left) - 2
        right = next((said for said in self._answers() if _cells(said) <= room), [])
        jobs: Span = (f"⟳{self._jobs} ", "name")  # running and waiting
        if self._jobs and _cells([jobs, *right]) <= room:
            right = [jobs, *right]
        gap = width - _cells(left + right) - 1
        spans = [*left, (" " * max(0, gap), "tab"), *right, (" ", "tab")]
        return Strip([Segment(text, self._style(style)) for text, style in spans]).adjust_cell_length(
            width, self._style("tab")
        )

    def _tabs(self) -> list[tuple[str, str]]:
        """(mode, text) of the tabs. Where there is no room for the answer beside them, only the one that is open is
        named: the answer matters more."""
        whole = [(mode, f" {title} ") for mode, title in TABS]
        least = min((_cells(said) for said in self._answers() if said), default=0)
        if len(" medback ") + sum(len(text) for _, text in whole) + least + 2 <= self.size.width:
            return whole
        return [(mode, title if mode == self.mode else title[:3]) for mode, title in whole]

    def _style(self, name: str) -> Style:
        base = self.rich_style
        return base + self.get_component_rich_style(f"header--{name}", partial=True)

    def _answers(self) -> list[list[Span]]:
        """The answer in several lengths, the longest first."""
        facts = self._facts
        if facts is None:
            return [[]]
        if not facts.shares.total.files:
            return [[("nothing to keep safe yet", "dim")], []]
        unsafe = facts.shares.unsafe
        total = facts.shares.total
        if unsafe.files:
            style = "none" if facts.shares.none.files else "below"
            short: Span = (f"{amount(unsafe)} not safe", style)
        else:
            short = ("all else safe" if facts.damaged else "all safe", "safe")
            if facts.looked.gaps:
                short = (f"safe{as_of(facts.looked)}{but_for(facts.looked)}", "below")
            elif dated := as_of(facts.looked):
                short = (f"{short[0]}{dated}", "safe")
        damaged: list[Span] = [(f"✘ {number(facts.damaged)} damaged", "none")] if facts.damaged else []
        copies = f"{facts.wanted} cop{'y' if facts.wanted == 1 else 'ies'}" if facts.wanted else "their copies"
        long: Span = (f"{number(facts.shares.safe.files)} of {number(total.files)} files have {copies} · ", "tab")
        blank: Span = ("  ", "tab")
        drawn = bar(facts.shares)
        shorter = [[(f"safe but {number(len(facts.looked.gaps))} not read", "below")]] if facts.looked.gaps else []
        ends = [[*damaged, (" · ", "tab"), short], damaged] if damaged else [[short], *shorter]
        small: list[Span] = [*bar(facts.shares, 5), (" ", "tab")]
        starts: list[list[Span]] = [[*drawn, blank, long], [*drawn, blank], small, []]
        said = [[*start, *end] for end in ends for start in starts]
        if facts.three_two_one is not None:
            words: Span = (f" · {three_two_one_words(facts.three_two_one)}", "tab")
            apart = facts.three_two_one.without_elsewhere
            few: Span = (f" · {amount(apart)} not elsewhere" if apart.files else " · 3-2-1", "tab")
            said = [[*one, more] for more in (words, few) for one in said] + said
        return said

    def on_click(self, event: events.Click) -> None:
        left = len(" medback ")
        for mode, title in self._tabs():
            if left <= event.x < left + len(title):
                self.post_message(self.TabClicked(mode))
            left += len(title)
