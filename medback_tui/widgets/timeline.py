"""The timeline: months across; a line of signs for each drive, deletions, and how much was kept and not safe."""

from __future__ import annotations

import calendar
from collections.abc import Callable, Sequence
from typing import ClassVar, TypeAlias

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.strip import Strip

from medback_core import disk
from medback_core.coverage.history import Month
from medback_core.model import Happened, Target
from medback_core.presenting.units import name, size
from medback_tui.look.keys import quiet
from medback_tui.widgets.across import Across

# What a month of a drive shows, the most urgent first; a visit alone is a dot.
SIGNS = (
    (Happened.DAMAGE, "✘", "bad"),
    (Happened.REPAIR, "+", "good"),
    (Happened.VERIFY, "✓", "good"),
    (Happened.BACKUP, "■", "bar"),
)
VISIT = "·"
LABEL, NARROWEST, WIDEST = 16, 4, 8  # cells of the names, and of a month
KEPT, UNSAFE = "░", "▓"


Cells: TypeAlias = "tuple[str, str] | list[tuple[str, str]]"  # words and their look


class TimelineView(Across[Month]):
    """Shows months; the one under the cursor is `current`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "timeline--row", "timeline--cursor", "timeline--bad", "timeline--good", "timeline--bar", "timeline--dim",
        "timeline--kept", "timeline--unsafe", "timeline--deleted",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("left,h", "go(-1)", "timeline.left", "earlier", "The month before"),
        quiet("right,l", "go(1)", "timeline.right", "later", "The month after"),
        quiet("pageup", "go(-12)", "timeline.year-left", "a year earlier", "A year earlier"),
        quiet("pagedown", "go(12)", "timeline.year-right", "a year later", "A year later"),
        quiet("home,g", "go(-10000)", "timeline.first", "first", "The first month"),
        quiet("end,G", "go(10000)", "timeline.last", "last", "This month"),
    ]

    targets: Sequence[Target] = ()

    def show_months(self, months: Sequence[Month], targets: Sequence[Target]) -> None:
        """Show these, the cursor on the last one in which something happened."""
        self.items, self.targets = months, targets
        self._stand_on(max((n for n, month in enumerate(months) if month.events), default=0))

    def _index_at(self, x: int) -> int:
        return self._first + (x - LABEL) // self._width if x >= LABEL else -1

    @property
    def _shown(self) -> int:
        return max(1, (self.size.width - LABEL) // NARROWEST)

    @property
    def _width(self) -> int:
        several = max(1, min(self._shown, len(self.items)))
        return max(NARROWEST, min(WIDEST, (self.size.width - LABEL) // several))

    # --- drawing -----------------------------------------------------------------------------------------------------

    @property
    def _drives(self) -> int:
        """How many lines of drives there is room for: the curve needs two, the rest four."""
        return min(len(self.targets), max(1, self.size.height - 6))

    def render_line(self, y: int) -> Strip:
        row = self.get_component_rich_style("timeline--row")
        drives = self._drives
        if y == 0:
            return self._line(row, "", self._year)
        if y == 1:
            return self._line(row, "", lambda month: (calendar.month_abbr[month.month], "dim"))
        if y < 2 + drives:
            target = self.targets[y - 2]
            label = name(target.name)
            if y == 1 + drives and drives < len(self.targets):
                return self._line(row, f"{len(self.targets) - drives + 1} more drives", lambda month: ("", ""))
            return self._line(row, label, lambda month: self._signs(month, target))
        if y == 2 + drives:
            return self._line(row, "deleted", self._deleted)
        if y == 3 + drives:
            return self._line(row, "", lambda month: ("", ""))
        return self._curve(row, y - 4 - drives, self.size.height - 4 - drives)

    def _line(self, row: Style, label: str, cell: Callable[[Month], Cells]) -> Strip:
        width, dim = self._width, row + self._part("dim")
        segments = [Segment(set_cell_size(label, LABEL - 1) + " ", row if label else dim)]
        for number, month in enumerate(self.items[self._first : self._first + self._shown], self._first):
            found = cell(month)
            spans = found if isinstance(found, list) else [found]
            style = self._part("cursor") if number == self.cursor else Style()
            left = width
            for text, look in spans:
                text = set_cell_size(text, min(left, len(text)))
                left -= len(text)
                segments.append(Segment(text, row + (self._part(look) if look else Style()) + style))
            segments.append(Segment(" " * left, row + style))
        return Strip(segments).adjust_cell_length(self.size.width, row)

    def _year(self, month: Month) -> tuple[str, str]:
        is_first = month is self.items[self._first] or month.month == 1
        return (str(month.year), "dim") if is_first else ("", "")

    def _signs(self, month: Month, target: Target) -> list[tuple[str, str]]:
        happened = month.of(target.id)
        found = [(sign, look) for what, sign, look in SIGNS if what in happened]
        if any(past.entry.health == disk.FAILING for past in month.events if past.entry.target == target.id):
            found.insert(0, ("!", "bad"))
        return (found or ([(VISIT, "dim")] if happened else []))[: self._width - 1]

    def _deleted(self, month: Month) -> tuple[str, str]:
        count = month.deleted
        words = f"−{count}" if count < 1000 else f"−{count // 1000}k"
        return (words, "deleted") if count else ("", "")

    def _curve(self, row: Style, line: int, height: int) -> Strip:
        """A line of the columns that say what was kept: what is not safe of it stands at the bottom."""
        most = max((month.kept for month in self.items), default=0)
        level = height - line  # of the lowest line: 1
        label = ""
        if most and level == 1:
            label = f"{UNSAFE} not safe" if any(month.unsafe for month in self.items) else "all safe"
        elif most and line == 0:
            label = f"{KEPT} {size(most)} kept"

        def cell(month: Month) -> tuple[str, str]:
            full = _lines(month.kept, most, height)
            bad = min(full, _lines(month.unsafe, most, height))
            wide = self._width - 1
            if level <= bad:
                return UNSAFE * wide, "unsafe"
            return (KEPT * wide, "kept") if level <= full else ("", "")

        return self._line(row, label, cell)

    def _part(self, style: str) -> Style:
        return self.get_component_rich_style(f"timeline--{style}", partial=True)


def _lines(part: int, most: int, height: int) -> int:
    """How high a column is; what is there at all has one line."""
    return 0 if not part or not most else max(1, round(part * height / most))
