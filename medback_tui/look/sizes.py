"""Sizes as people type them: the same words as on the command line."""

from __future__ import annotations

from medback_core.presenting.units import name


def typed_size(text: str, whole: int | None = None) -> int | None:
    """`500G`, `2TiB`, with a `whole` also `80%` of it, in bytes; None for what is no size of at least a byte."""
    from click import BadParameter

    from medback_core.cli.options import SIZE

    try:
        size = SIZE.convert(text, None, None)
    except BadParameter:
        return None
    amount = size.amount if not size.of_drive else None if whole is None else size.amount * whole / 100
    return int(amount) if amount is not None and amount >= 1 else None


def not_a_size(text: str) -> str:
    """What to say of a text that is no size."""
    return f"“{name(text)}” is no size; write 500G, 2TiB or 80%"
