"""Say numbers, sizes, dates and paths the way every screen says them."""

from __future__ import annotations

from medback_core import model, names

# What the words on the screens mean, in one sentence each.
STATES = {
    model.TargetState.ACTIVE: "active: its copies count, and it is backed up onto",
    model.TargetState.RETIRED: "retired: its copies no longer count; it can still be restored from",
    model.TargetState.SUSPECT: "suspect: its copies don't count until it is verified; restored from last",
    model.TargetState.LOST: "lost: its copies are gone; plugged in again, it is announced as found",
}
MEANINGS = (
    *STATES.values(),
    "verified: a copy that was read back equal, and when",
    "written: a copy that is on the drive and was not read back",
    "by hearsay: somebody's record says so; it does not count, but a restore asks there",
    "damaged: content that changed though size and time did not; it is never copied",
    "only here: what would be lost with a drive, since nothing else holds it",
)

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_AGES = (
    (31_536_000, "year"),
    (2_592_000, "month"),
    (604_800, "week"),
    (86_400, "day"),
    (3_600, "hour"),
    (60, "minute"),
)


def size(count: int) -> str:
    """Bytes for people: `38.2 MiB`, three digits of what matters."""
    if count < 1000:
        return f"{count} B"
    value, number_of_unit = count / 1024, 1
    while value >= 999.5 and number_of_unit < len(_UNITS) - 1:
        value /= 1024
        number_of_unit += 1
    unit = _UNITS[number_of_unit]
    return f"{value:.1f} {unit}" if abs(value) < 99.95 else f"{value:.0f} {unit}"


def number(value: int) -> str:
    """`41,007`."""
    return f"{value:,}"


def files(count: int) -> str:
    """`1 file`, `41,007 files`."""
    return f"{count:,} file{'' if count == 1 else 's'}"


def counted(count: model.Count) -> str:
    """`412 files, 38.2 GiB`."""
    return f"{files(count.files)}, {size(count.bytes)}"


def plural(count: int, one: str, many: str | None = None) -> str:
    """`1 drive`, `3 drives`."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def ago(date: int | None, *, never: str = "never") -> str:
    """How long ago a date is: `3 weeks ago`, `yesterday`, `just now`. 0 and None are `never`."""
    if not date:
        return never
    seconds = max(0, model.now() - date)
    for length, unit in _AGES:
        if seconds >= length:
            times = seconds // length
            if unit == "day" and times == 1:
                return "yesterday"
            return f"{times} {unit}{'' if times == 1 else 's'} ago"
    return "just now"


def age(date: int | None, *, never: str = "never") -> str:
    """Like `ago`, for a narrow column: `3 weeks`, `20 min`, `now`."""
    said = ago(date, never=never).removesuffix(" ago")
    head, minutes, _ = said.partition(" minute")
    return "now" if said == "just now" else f"{head} min" if minutes else said


def lasting(seconds: float) -> str:
    """A duration still to come: `18 min left`, `40 s left`, `2 h 10 min left`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s left"
    minutes = round(whole / 60)
    if minutes < 60:
        return f"{minutes} min left"
    return f"{minutes // 60} h {minutes % 60:02d} min left" if minutes < 2880 else f"{minutes // 1440} days left"


def percent(part: float, whole: float) -> str:
    """`41 %`; never 100 % before it is all, never 0 % when there is some."""
    if whole <= 0:
        return "100 %"
    share = 100 * part / whole
    if part < whole:
        share = min(share, 99)
    if part > 0:
        share = max(share, 1)
    return f"{int(share)} %"


def name(value: bytes | str) -> str:
    """A file name or path, harmless on every terminal."""
    return names.display_name(value)


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
    first = head[: width - len(tail) - 2]
    return f"{first}…/{tail}"


def command(*words: bytes | str) -> str:
    """`medback target /mnt/blue`, quoted for a shell."""
    return " ".join(["medback", *(names.shell_quoted(word) for word in words)])
