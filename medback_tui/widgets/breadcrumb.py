"""Where one is in the tree, and how much lies there: `photos › 2024 › lisbon`; each part can be clicked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from medback_core.presenting.units import ago, name, number
from medback_tui.reading.facts import Facts
from medback_tui.reading.listing import Listing, Place

from .columns import Span

SEPARATOR = " › "


class Breadcrumb(Widget):
    """One line."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"crumbs--part", "crumbs--here", "crumbs--dim"}
    DEFAULT_CSS = """
    Breadcrumb {
        height: 1;
        & > .crumbs--part { color: $primary; }
        & > .crumbs--here { text-style: bold; }
        & > .crumbs--dim { color: $dim; }
    }
    """

    @dataclass
    class Clicked(Message):
        place: Place

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[tuple[str, Place]] = []
        self._right = ""

    def show(self, listing: Listing, facts: Facts | None) -> None:
        """Draw the way to this place."""
        self._parts = [("all sources", Place())]
        source = listing.source
        if source is not None:
            self._parts.append((name(source.alias), Place(source.id)))
            path = b""
            for part in listing.place.path.split(b"/") if listing.place.path else []:
                path = path + b"/" + part if path else part
                self._parts.append((name(part), Place(source.id, path)))
        total = listing.shares.total.files
        whole = facts.shares.total.files if facts is not None else total
        self._right = f"{number(total)} of {number(whole)}" if source is not None else f"{number(total)} files"
        if source is not None:
            self._right += f" · scanned {ago(source.scanned_at)}"
        self.refresh()

    def _shown(self) -> list[tuple[str, Place]]:
        """The parts that fit: the first and the last ones, `…` between."""
        room = self.size.width - cell_len(self._right) - 4
        parts = list(self._parts)
        while len(parts) > 3 and sum(cell_len(text) + len(SEPARATOR) for text, _ in parts) > room:
            at = 2 if parts[1][0] == "…" else 1
            parts[1 : at + 1] = [("…", parts[at][1])]
        return parts

    def render_line(self, y: int) -> Strip:
        del y
        width = self.size.width
        parts = self._shown()
        spans: list[Span] = [(" ", "dim")]
        for number_, (text, _) in enumerate(parts):
            if number_:
                spans.append((SEPARATOR, "dim"))
            spans.append((text, "here" if number_ == len(parts) - 1 else "part"))
        gap = width - sum(cell_len(text) for text, _ in spans) - cell_len(self._right) - 1
        if gap > 0:
            spans += [(" " * gap, "dim"), (self._right, "dim")]
        return Strip([Segment(text, self._style(style)) for text, style in spans]).adjust_cell_length(
            width, self._style("dim")
        )

    def _style(self, part: str) -> Style:
        return self.rich_style + self.get_component_rich_style(f"crumbs--{part}", partial=True)

    def on_click(self, event: events.Click) -> None:
        left = 1
        for text, place in self._shown():
            if left <= event.x < left + cell_len(text):
                self.post_message(self.Clicked(place))
            left += cell_len(text) + len(SEPARATOR)
