"""Numbers, sizes, dates and names as every front end says them: one rounding, one unit, one word for one thing."""

from __future__ import annotations

import time
from collections.abc import Sequence

from medback_core import model, names
from medback_core.model import Count

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_AGES = (
    (31_536_000, "year"),
    (2_592_000, "month"),
    (604_800, "week"),
    (86_400, "day"),
    (3_600, "hour"),
    (60, "minute"),
)


def size(count: float) -> str:
    """Bytes for people, in binary units: `38.2 MiB`, three digits of what matters."""
    if abs(count) < 1000:
        return f"{int(count)} B"
    value, unit = count / 1024, 1
    while abs(value) >= 999.5 and unit < len(_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{value:.1f} {_UNITS[unit]}" if abs(value) < 99.95 else f"{value:.0f} {_UNITS[unit]}"


def number(value: int) -> str:
    """`41,007`."""
    return f"{value:,}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 drive`, `3 drives`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def files(count: int) -> str:
    """`1 file`, `41,007 files`."""
    return plural(count, "file")


def counted(count: Count) -> str:
    """`412 files (38.2 GiB)`."""
    return f"{files(count.files)} ({size(count.bytes)})"


def amount(count: Count) -> str:
    """`214 GiB`, or `12 files` where all of them are empty."""
    return size(count.bytes) if count.bytes or not count.files else files(count.files)


def percent(part: float, whole: float) -> str:
    """`41 %`; 100 % only when it is all, 0 % only when it is none."""
    if whole <= 0:
        return "100 %"
    share = 100 * part / whole
    if part < whole:
        share = min(share, 99)
    if part > 0:
        share = max(share, 1)
    return f"{int(share)} %"


def ago(date: int | None, *, never: str = "never") -> str:
    """How long ago a date is: `3 weeks ago`, `yesterday`, `just now`. 0 and None are `never`."""
    if not date:
        return never
    seconds = max(0, model.now() - date)
    for length, unit in _AGES:
        if seconds >= length:
            times = seconds // length
            return "yesterday" if unit == "day" and times == 1 else f"{plural(times, unit)} ago"
    return "just now"


def age(date: int | None, *, never: str = "never") -> str:
    """Like `ago`, for a narrow column: `3 weeks`, `20 min`, `now`."""
    said = ago(date, never=never).removesuffix(" ago")
    head, minutes, _ = said.partition(" minute")
    return "now" if said == "just now" else f"{head} min" if minutes else said


def lasting(seconds: float) -> str:
    """A time still to come: `40 s left`, `18 min left`, `2 h 10 min left`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s left"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min left"
    return f"{minutes // 60} h {minutes % 60:02d} min left" if minutes < 2880 else f"{minutes // 1440} days left"


def date(seconds: int | None, *, never: str = "never") -> str:
    """A date and time where the person is: `2026-11-24 22:49`. 0 and None are `never`."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds)) if seconds else never


def day(seconds: int | None, *, never: str = "never") -> str:
    """A day where the person is, for a sentence: `24 November`, with the year where it is another one."""
    if not seconds:
        return never
    date = time.localtime(seconds)
    this_year = date.tm_year == time.localtime(model.now()).tm_year
    return f"{date.tm_mday} {time.strftime('%B', date)}" + ("" if this_year else f" {date.tm_year}")


def moment(seconds: int | None, *, never: str = "never") -> str:
    """A day and time where the person is, for a sentence: `24 November 22:49`."""
    return f"{day(seconds)} {time.strftime('%H:%M', time.localtime(seconds))}" if seconds else never


def name(value: bytes | str) -> str:
    """A file name, a label or any text from a drive, harmless on every terminal."""
    return names.display_name(value)


def listed(values: Sequence[bytes | str], *, none: str = "none yet") -> str:
    """`Blue, Red and Tin`; `none` where there are none."""
    called = [name(value) for value in values]
    return f"{', '.join(called[:-1])} and {called[-1]}" if len(called) > 1 else called[0] if called else none


def short_path(path: bytes | str, width: int) -> str:
    """A path in at most `width` characters: the start and the name stay, the middle becomes `…`."""
    shown = name(path)
    if len(shown) <= width:
        return shown
    if width < 5:
        return shown[-max(1, width) :]
    head, _, tail = shown.rpartition("/")
    if len(tail) + 2 >= width:
        return "…" + shown[-(width - 1) :]
    return f"{head[: width - len(tail) - 2]}…/{tail}"


def command(*words: bytes | str) -> str:
    """`medback target /mnt/blue`, quoted for a shell."""
    return " ".join(["medback", *(names.shell_quoted(word) for word in words)])
