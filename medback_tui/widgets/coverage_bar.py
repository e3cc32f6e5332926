"""The bar that says how safe something is: `●●●●●●◐◐○○`, shapes first and colour on top."""

from __future__ import annotations

from medback_core.coverage.tree import FileCoverage
from medback_tui.reading.facts import Shares

from .columns import Span

SAFE, BELOW, NONE = "●", "◐", "○"


def glyph(shares: Shares) -> Span:
    """One sign for a whole directory: the worst there is in it."""
    if shares.none.files:
        return NONE, "none"
    if shares.below.files:
        return BELOW, "below"
    return (SAFE, "safe") if shares.safe.files else ("·", "dim")


def glyph_of(file: FileCoverage) -> Span:
    """One sign for a file: it is safe with its wanted copies, of which so many elsewhere."""
    if file.safe:
        return SAFE, "safe"
    return (BELOW, "below") if file.copies else (NONE, "none")


def bar(shares: Shares, width: int = 10) -> list[Span]:
    """The shares as `width` signs by bytes (by files where nothing has a size). What exists shows at least once."""
    parts = [(shares.safe, SAFE, "safe"), (shares.below, BELOW, "below"), (shares.none, NONE, "none")]
    by_bytes = shares.total.bytes > 0
    weights = [count.bytes if by_bytes else count.files for count, _, _ in parts]
    total = sum(weights)
    if not total:
        return [("·" * width, "dim")]
    lengths = [weight * width // total for weight in weights]
    left = width - sum(lengths)
    for index in sorted(range(3), key=lambda i: weights[i] * width % total, reverse=True)[:left]:
        lengths[index] += 1
    for index, (count, _, _) in enumerate(parts):
        if count.files and not lengths[index]:
            lengths[lengths.index(max(lengths))] -= 1
            lengths[index] = 1
    return [(sign * length, style) for (_, sign, style), length in zip(parts, lengths, strict=True) if length]


def room_bar(used: int, total: int, width: int = 8) -> list[Span]:
    """How full a drive is: `█████░░░`."""
    if total <= 0:
        return [("·" * width, "dim")]
    full = width if used >= total else max(1 if used > 0 else 0, min(width - 1, round(width * used / total)))
    return [("█" * full, "bar"), ("░" * (width - full), "dim")]
