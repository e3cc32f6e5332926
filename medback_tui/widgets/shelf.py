"""The shelf: each drive a box, filled with what it holds. Every look is a texture and a word first, a colour second."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import groupby
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.binding import BindingType
from textual.strip import Strip

from medback_core.coverage.shelf import Box, Shelf
from medback_core.presenting.places import behind_words, shelf_words
from medback_core.presenting.units import age, name, plural, size
from medback_tui.look.keys import quiet
from medback_tui.widgets.across import Across
from medback_tui.widgets.columns import fit

NARROWEST, WIDEST, GAP = 17, 30, 2  # cells of a box, and between two
TEXTURES = ("▓", "░", "█", "▚", "▞", "▤", "▥")  # of the parts, one after the other
ONLY, OTHER, OLDER, BAD = "╱", "·", "∙", "✘"
_FRAMES = {False: "┌─┐│└┘", True: "┏━┓┃┗┛"}  # under the cursor: heavy
_PULLED = "┌╌┐╎└┘"


@dataclass(frozen=True, slots=True)
class Layer:
    """So many lines of a box in one look, the first with a word in it."""

    texture: str
    style: str
    words: str
    weight: int  # bytes; 0: one line whatever it weighs


class ShelfView(Across[Box]):
    """Shows a `Shelf`. Which drive its cursor stands on is `current`."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "shelf--row", "shelf--cursor", "shelf--only", "shelf--bad", "shelf--dim", "shelf--here",
        "shelf--part0", "shelf--part1", "shelf--part2", "shelf--part3",
    }  # fmt: skip
    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("left,h,up,k", "go(-1)", "shelf.left", "left", "The drive to the left"),
        quiet("right,l,down,j", "go(1)", "shelf.right", "right", "The drive to the right"),
        quiet("home,g", "go(-1000)", "shelf.first", "first", "The first drive"),
        quiet("end,G", "go(1000)", "shelf.last", "last", "The last drive"),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.shelf = Shelf()
        self.here: Collection[str] = ()
        self._looks: dict[tuple[int, int, int], list[tuple[Layer, bool]]] = {}  # see `_laid_out`

    def show_shelf(self, shelf: Shelf, here: Collection[str], on: str | None = None) -> None:
        """Show these drives, the cursor on the same one as before, or on the one with this id."""
        wanted = self.current.target.id if on is None and self.current is not None else on
        self.shelf, self.items, self.here = shelf, shelf.boxes, here
        self._looks.clear()
        drives = [box.target.id for box in shelf.boxes]
        self.cursor = drives.index(wanted) if wanted in drives else min(self.cursor, max(0, len(drives) - 1))
        self._keep_in_sight()
        self.refresh()

    # --- measures ----------------------------------------------------------------------------------------------------

    def _index_at(self, x: int) -> int:
        return self._first + x // (self._width + GAP)

    @property
    def _shown(self) -> int:
        """How many boxes are in sight."""
        return max(1, (self.size.width + GAP) // (NARROWEST + GAP))

    @property
    def _width(self) -> int:
        """Of a box: as wide as lets all that are in sight fit."""
        several = max(1, min(self._shown, len(self.shelf.boxes)))
        return min(WIDEST, max(NARROWEST, (self.size.width + GAP) // several - GAP), self.size.width)

    @property
    def _in_sight(self) -> tuple[Box, ...]:
        return self.shelf.boxes[self._first : self._first + self._shown]

    # --- drawing -----------------------------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        row = self.get_component_rich_style("shelf--row")
        boxes, height = self._in_sight, self.size.height
        head = 1 if any(box.place for box in boxes) or len(boxes) < len(self.shelf.boxes) else 0
        segments: list[Segment] = []
        if y < head:
            segments = self._heads(row)
        else:
            for box in boxes:
                if segments:
                    segments.append(Segment(" " * GAP, row))
                segments += self._line_of(box, y - head, height - head, row)
        return Strip(segments).adjust_cell_length(self.size.width, row)

    def _heads(self, row: Style) -> list[Segment]:
        """The places above their drives, how far behind each is, and how many drives are out of sight."""
        strong, dim = row + Style(bold=True), row + self._part("dim")
        segments = []
        for place, boxes in groupby(self._in_sight, key=lambda box: box.place):
            room = sum(self._width + GAP for _ in boxes) - GAP
            behind = (shelf for shelf in self.shelf.places if shelf.place == place)
            ways = [words for shelf in behind for words in (shelf_words(shelf), behind_words(shelf))]
            words = next((words for words in ways if cell_len(words) <= room), name(place))
            segments.append(Segment(fit(words, room) + " " * GAP, strong))
        behind = len(self.shelf.boxes) - self._first - len(self._in_sight)
        out = " ".join(
            words
            for words in (f"‹ {self._first} more" if self._first else "", f"{behind} more ›" if behind else "")
            if words
        )
        if not out:
            return segments
        width = max(0, self.size.width - cell_len(out) - 1)
        return [*Strip(segments).adjust_cell_length(width, row), Segment(f" {out}", dim)]

    def _line_of(self, box: Box, line: int, height: int, row: Style) -> list[Segment]:
        """One line of a box: its top, what it holds, its bottom, and when it was seen."""
        chosen = box is self.current and self.has_focus
        frame = _PULLED if box.pulled else _FRAMES[chosen]
        inside = self._width - 2
        edge = row + (self.get_component_rich_style("shelf--cursor") if chosen else Style())
        here = box.target.id in self.here
        if line == 0:
            mark = " ▶" if here else ""
            label = f" {set_cell_size(name(box.target.name), inside - 2 - len(mark)).rstrip()}{mark} "
            style = edge + Style(bold=True) + (self._part("here") if here else Style())
            rest = frame[1] * (inside - cell_len(label))
            return [Segment(frame[0], edge), Segment(label, style), Segment(rest + frame[2], edge)]
        if line == height - 1:
            seen = age(box.target.seen_at)
            seen = "seen just now" if seen == "now" else f"seen {seen}"  # not "seen now": it is not here any more
            words = "pulled out" if box.pulled else "here now" if here else seen
            if not box.target.counts and not box.pulled:
                words = f"{box.target.state}, {words.removeprefix('seen ')}"
            style = row + self._part("here" if here and not box.pulled else "dim")
            return [Segment(set_cell_size(f"  {words}", self._width), style)]
        if line == height - 2:
            words = f" {size(box.free)} free " if box.total else " size unknown "
            words = set_cell_size(words, min(cell_len(words), inside))
            return [Segment(frame[4] + words + frame[1] * (inside - cell_len(words)) + frame[5], edge)]
        if line > height - 2 or height < 4:
            return [Segment(" " * self._width, row)]
        key = box.target.key, inside - 2, height - 3
        if key not in self._looks:  # laid out once for a size
            self._looks[key] = _lines(_layers(box, self.shelf, inside - 2), height - 3)
        layer, first = self._looks[key][line - 1]
        text = layer.texture * inside
        style = row if not layer.style else row + self._part(layer.style)
        if box.pulled:
            text, style = " " * inside, row + self._part("dim")
        words = layer.words if first else ""
        if words:
            words = set_cell_size(words, min(cell_len(words), inside - 2))
            before = (inside - cell_len(words) - 2) // 2
            after = inside - before - cell_len(words) - 2
            middle = [Segment(text[:before], style), Segment(f" {words} ", style), Segment(text[:after], style)]
        else:
            middle = [Segment(text, style)]
        return [Segment(frame[3], edge), *middle, Segment(frame[3], edge)]

    def _part(self, style: str) -> Style:
        return self.get_component_rich_style(f"shelf--{style}", partial=True)


def _layers(box: Box, shelf: Shelf, width: int) -> list[Layer]:
    """What lies in a box, from the top: what is free first, what is damaged last. `width`: cells for words."""
    layers = [Layer(" ", "", "", box.free)]
    if box.other:
        words = f"{size(box.other)} other use"  # files of others, and what the file system keeps for itself
        layers.append(Layer(OTHER, "dim", words if cell_len(words) <= width else "other use", 0))
    if box.older:
        layers.append(Layer(OLDER, "dim", "older versions", box.older))
    for held in box.parts:
        part = name(shelf.parts[held.part].name)
        if held.elsewhere:
            texture = TEXTURES[held.part % len(TEXTURES)]
            layers.append(Layer(texture, f"part{held.part % 4}", part, held.elsewhere))
        if held.only:
            words = "only here" if held.elsewhere else f"{part} only here"
            layers.append(Layer(ONLY, "only", words if cell_len(words) <= width else part, held.only))
    if box.damaged:
        layers.append(Layer(BAD, "bad", f"{plural(box.damaged, 'file')} damaged", 0))
    return layers


def _lines(layers: list[Layer], height: int) -> list[tuple[Layer, bool]]:
    """The look of each line, and whether it is the first in that look. What lies there has a line at least, as long as
    there are lines; what has no room is left out, the smallest first, and damage last of all."""
    while sum(layer.texture != " " for layer in layers) > height:
        there = [layer for layer in layers if layer.texture != " "]
        out = min(there, key=lambda layer: (layer.texture == BAD, layer.weight == 0, layer.weight))
        layers = [layer for layer in layers if layer is not out]
    whole = sum(layer.weight for layer in layers) or 1
    lines = [1 if layer.texture != " " else 0 for layer in layers]
    shares = [layer.weight * height / whole for layer in layers]
    for _ in range(height - sum(lines)):  # each further line to what lacks most of its share
        best = max(range(len(layers)), key=lambda i: shares[i] - lines[i])
        lines[best] += 1
    return [(layer, number == 0) for layer, many in zip(layers, lines, strict=True) for number in range(many)]
