"""The map of risk: the directory one is in as a treemap. Area is bytes; sign, texture and tone say how safe it is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from medback_core.coverage.tree import FileCoverage
from medback_core.model import Count
from medback_core.presenting.treemap import Rect, squarified
from medback_core.presenting.units import name, plural, size
from medback_core.session.counting import NOTHING
from medback_tui.look.keys import quiet
from medback_tui.reading.facts import NO_SHARES, Shares
from medback_tui.reading.listing import Listing, shares_of

from .coverage_bar import bar, glyph

FILES_EACH = 256  # a directory with more files than this shows them as one tile
SMALLEST = 14  # cells; what would have fewer is put together into one tile
TEXTURES = {"safe": "░", "below": "▒", "none": "▓", "dim": "·"}

NOWHERE = Rect(0, 0, 0, 0)

FetchFiles: TypeAlias = Callable[[Sequence[int]], list[FileCoverage]]


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of the map. `index`: its row in the list, or that of the first of the `several` rows it stands for
    (0: it is one row)."""

    label: str
    shares: Shares
    index: int
    several: int = 0
    damaged: int = 0
    at: Rect = NOWHERE

    @property
    def count(self) -> Count:
        return self.shares.total


class RiskMap(Widget, can_focus=True):
    """Shows a `Listing` as a map. Which row of the list its cursor stands for is `current.index`."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "map--row", "map--cursor", "map--none", "map--below", "map--safe", "map--dim",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("left,h", "go(-1, 0)", "map.left", "left", "The tile to the left"),
        quiet("right,l", "go(1, 0)", "map.right", "right", "The tile to the right"),
        quiet("up,k", "go(0, -1)", "map.up", "up", "The tile above"),
        quiet("down,j", "go(0, 1)", "map.down", "down", "The tile below"),
    ]

    @dataclass
    class Moved(Message):
        """The cursor stands on another tile."""

        tile: Tile

    def __init__(self, fetch: FetchFiles) -> None:
        super().__init__()
        self.tiles: list[Tile] = []
        self.current: Tile | None = None
        self._entries: list[Tile] = []
        self._fetch = fetch

    # --- what is shown -----------------------------------------------------------------------------------------------

    def show_listing(self, listing: Listing, cursor: int) -> None:
        """Show a place, with the cursor on the tile of this row of the list."""
        self._entries = sorted(self._read(listing), key=lambda tile: -_weight(tile))
        self._lay_out(cursor)

    def _read(self, listing: Listing) -> list[Tile]:
        found = listing.found
        if found is None:
            return []
        tiles = []
        files = NO_SHARES if found.here is None else shares_of(found.here)
        for index, view in enumerate(found.directories):
            shares = shares_of(view)
            tiles.append(Tile(f"{name(view.name)}/", shares, index, damaged=view.damaged))
            if found.here is not None:
                files -= shares
        first = len(found.directories)
        if len(found.files) > FILES_EACH:
            tiles.append(Tile(plural(len(found.files), "file"), files, first, len(found.files)))
        else:
            numbers = {key: first + number for number, key in enumerate(found.files)}
            for file in self._fetch(found.files):
                damaged = 1 if file.trouble else 0
                tiles.append(Tile(name(file.name), _shares_of_file(file), numbers[file.key], damaged=damaged))
        return tiles

    def _lay_out(self, cursor: int) -> None:
        width, height = self.size
        tiles = self._joined(width * height)
        places = squarified([_weight(tile) for tile in tiles], width, height)
        self.tiles = [
            replace(tile, at=at) for tile, at in zip(tiles, places, strict=False) if at.width > 0 and at.height > 0
        ]
        best = next((tile for tile in self.tiles if tile.index == cursor), None)
        self._stand_on(best or next(iter(self.tiles), None))
        self.refresh()

    def _joined(self, cells: int) -> list[Tile]:
        """The entries, largest first, and all that are too small to be seen as one."""
        whole = sum(_weight(tile) for tile in self._entries)
        big = [tile for tile in self._entries if _weight(tile) * cells >= SMALLEST * whole]
        small = self._entries[len(big) :]
        if len(small) < 2:
            return [*big, *small]
        first = min(tile.index for tile in small)
        number = sum(tile.several or 1 for tile in small)
        shares = sum((tile.shares for tile in small), NO_SHARES)
        joined = Tile(f"{number:,} smaller", shares, first, number, sum(tile.damaged for tile in small))
        return sorted([*big, joined], key=lambda tile: -_weight(tile))

    def on_resize(self) -> None:
        self._lay_out(self.current.index if self.current is not None else 0)

    # --- the cursor --------------------------------------------------------------------------------------------------

    def _stand_on(self, tile: Tile | None) -> None:
        self.current = tile
        self.refresh()
        if tile is not None:
            self.post_message(self.Moved(tile))

    def action_go(self, across: int, down: int) -> None:
        """The nearest tile in a direction; those that lie beside the cursor's tile come first."""
        here = self.current
        if here is None:
            return
        best: tuple[tuple[float, ...], Tile] | None = None
        for tile in self.tiles:
            distance = _beside(here.at, tile.at, across, down)
            if distance is not None and (best is None or distance < best[0]):
                best = distance, tile
        if best is not None:
            self._stand_on(best[1])

    def on_click(self, event: events.Click) -> None:
        for tile in self.tiles:
            at = tile.at
            if at.left <= event.x < at.right and at.top <= event.y < at.bottom:
                self._stand_on(tile)

    # --- drawing -----------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        row = self.get_component_rich_style("map--row")
        segments: list[Segment] = []
        for tile in sorted((one for one in self.tiles if one.at.top <= y < one.at.bottom), key=lambda one: one.at.left):
            segments += self._line_of(tile, y - tile.at.top, row)
        return Strip(segments).adjust_cell_length(self.size.width, row)

    def _line_of(self, tile: Tile, line: int, row: Style) -> list[Segment]:
        """One line of a tile: the label, the bytes, then the texture. Its last column stays empty: the border."""
        width = max(1, tile.at.width - 1)
        gap = [Segment(" " * (tile.at.width - width), row)]
        sign, style = glyph(tile.shares)
        heads = 2 if tile.at.height > 2 else 1
        if line == 0:
            mark = "▶" if tile is self.current else ""
            damage = f"✘{tile.damaged:,} " if tile.damaged else ""
            label = set_cell_size(f"{mark}{sign} {damage}{tile.label}", width)
            if tile is self.current:
                return [Segment(label, row + self.get_component_rich_style("map--cursor")), *gap]
            return [Segment(label, row + self.get_component_rich_style(f"map--{style}", partial=True)), *gap]
        if line < heads:
            text = set_cell_size(f"  {size(tile.count.bytes)}", width)
            return [Segment(text, row + self.get_component_rich_style("map--dim", partial=True)), *gap]
        return [*self._texture(tile, line - heads, tile.at.height - heads, width, row), *gap]

    def _texture(self, tile: Tile, line: int, lines: int, width: int, row: Style) -> list[Segment]:
        """A line of the part of a tile that shows, cell by cell, how much of it is how safe."""
        start, end = line * width, (line + 1) * width
        segments, at = [], 0
        for text, style in bar(tile.shares, lines * width):
            cells = min(end, at + len(text)) - max(start, at)
            if cells > 0:
                look = row + self.get_component_rich_style(f"map--{style}", partial=True)
                segments.append(Segment(TEXTURES[style] * cells, look))
            at += len(text)
        return segments


def _weight(tile: Tile) -> int:
    """The area of a tile: its bytes; what is empty has one, so that it can be seen."""
    return max(1, tile.count.bytes)


def _shares_of_file(file: FileCoverage) -> Shares:
    count = Count(1, file.size)
    if file.safe:
        return Shares(safe=count)
    if not file.copies:
        return Shares(none=count)
    return Shares(below=count, apart=count if file.copies >= file.wanted else NOTHING)


def _beside(here: Rect, there: Rect, across: int, down: int) -> tuple[float, ...] | None:
    """How far a tile lies in a direction: first whether it is on the same level, then the gap, then how far it is off.
    None: it does not lie there."""
    if across:
        gap = there.left - here.right if across > 0 else here.left - there.right
        shared = min(here.bottom, there.bottom) - max(here.top, there.top)
        off = abs((here.top + here.bottom) - (there.top + there.bottom))
    else:
        gap = there.top - here.bottom if down > 0 else here.top - there.bottom
        shared = min(here.right, there.right) - max(here.left, there.left)
        off = abs((here.left + here.right) - (there.left + there.right))
    return (0 if shared > 0 else 1, gap, off) if gap >= 0 else None
