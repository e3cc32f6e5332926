"""Lay weights out as rectangles in a field of terminal cells: a squarified treemap (Bruls, Huizing, van Wijk 2000)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

CELL_HEIGHT = 2.0  # a cell of a terminal is about twice as high as wide


class Rect(NamedTuple):
    """Cells from (left, top) up to but not (right, bottom)."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top


def squarified(weights: Sequence[float], width: int, height: int) -> list[Rect]:
    """One rectangle for each weight, in their order: together they fill the field, and each has its share of it but for
    the rounding to whole cells. The weights must be positive and sorted, the largest first. A weight of less than a
    cell may get a rectangle without any."""
    left, top, right, bottom = 0.0, 0.0, float(width), height * CELL_HEIGHT
    rest = sum(weights)
    found: list[Rect] = []
    at = 0
    while at < len(weights) and rest > 0:
        area = (right - left) * (bottom - top) / rest  # of a weight of 1
        side = min(right - left, bottom - top)
        end, row = at + 1, weights[at]
        while end < len(weights) and _worst(weights[at : end + 1], row + weights[end], area, side) <= _worst(
            weights[at:end], row, area, side
        ):
            row += weights[end]
            end += 1
        depth = row * area / side if side > 0 else 0.0
        along = 0.0
        for weight in weights[at:end]:
            length = weight / row * side
            if right - left >= bottom - top:  # a column at the left
                found.append(_cells(left, top + along, left + depth, top + along + length))
            else:  # a row at the top
                found.append(_cells(left + along, top, left + along + length, top + depth))
            along += length
        if right - left >= bottom - top:
            left += depth
        else:
            top += depth
        rest -= row
        at = end
    return found


def _worst(row: Sequence[float], total: float, area: float, side: float) -> float:
    """How far from a square the worst rectangle of a row is: 1 is a square."""
    if side <= 0 or total <= 0:
        return float("inf")
    depth = total * area / side
    ratios = [weight * area / depth / depth for weight in (row[0], row[-1])]
    return max(max(ratio, 1 / ratio) for ratio in ratios if ratio > 0)


def _cells(left: float, top: float, right: float, bottom: float) -> Rect:
    # An edge that two rectangles share is rounded in the same way for both, so that they meet.
    return Rect(*(int(edge + 0.5 + 1e-9) for edge in (left, top / CELL_HEIGHT, right, bottom / CELL_HEIGHT)))
