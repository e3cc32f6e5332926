"""Say numbers, sizes and dates the way every command says them."""

from __future__ import annotations

import time

from medback_core import model, names
from medback_core.model import Count

_UNITS = ("KiB", "MiB", "GiB", "TiB", "PiB")


def size(count: float) -> str:
    """Bytes for people: `38.2 MiB`."""
    if abs(count) < 1000:
        return f"{int(count)} B"
    value = float(count)
    for unit in _UNITS:
        value /= 1024
        if abs(value) < 999.5 or unit == _UNITS[-1]:
            return f"{value:.1f} {unit}" if abs(value) < 99.95 else f"{value:.0f} {unit}"
    raise AssertionError


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 file`, `41,007 files`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def counted(count: Count) -> str:
    """`412 files (8.1 GiB)`."""
    return f"{plural(count.files, 'file')} ({size(count.bytes)})"


def date(seconds: int | None, *, never: str = "never") -> str:
    """A date in the local time of the person; 0 and None are `never`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else never


def ago(seconds: int | None, *, never: str = "never") -> str:
    """How long ago: `3 weeks ago`, `just now`."""
    if not seconds:
        return never
    past = max(0, model.now() - seconds)
    for length, unit in ((604_800, "week"), (86_400, "day"), (3600, "hour"), (60, "minute")):
        if past >= 2 * length or (past >= length and unit != "week"):
            return f"{plural(past // length, unit)} ago"
    return "just now"


def lasting(seconds: float) -> str:
    """A time still to come: `18 min left`."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s left"
    minutes = round(whole / 60)
    return f"{minutes} min left" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min left"


def shown(name: bytes | str) -> str:
    """A file name, a label or any text from a drive, harmless on every terminal."""
    return names.display_name(name)
