"""The curve of a plan: how much is back after each drive, as a row of blocks."""

from __future__ import annotations

from collections.abc import Sequence

from .columns import Span

BLOCKS = "▁▂▃▄▅▆▇█"


def curve(back: Sequence[int], whole: int, width: int) -> list[Span]:
    """Blocks for the bytes that are back after 1, 2, … drives. More drives than room: every so many."""
    if not back or whole <= 0:
        return []
    each = max(1, min(6, width // len(back)))
    shown = list(back) if len(back) <= width else [back[i * len(back) // width] for i in range(width)]
    spans: list[Span] = []
    for amount in shown:
        level = min(len(BLOCKS) - 1, amount * len(BLOCKS) // (whole + 1))
        spans.append((BLOCKS[level] * each, "safe" if amount >= whole else "bar"))
    return spans


def progress_line(part: int, whole: int, width: int) -> list[Span]:
    """How much of the whole a part is: `━━━━━╌╌╌╌`."""
    full = width if whole <= 0 else min(width, part * width // whole)
    return [("━" * full, "bar"), ("╌" * (width - full), "dim")]
