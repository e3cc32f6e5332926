"""Say where the drives lie: 3-2-1 at a glance, how far behind each place is, what would be lost with some of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from medback_core.model import Count
from medback_core.presenting.units import ago, amount, counted, files, listed, name, number, plural, size

if TYPE_CHECKING:
    from medback_core.coverage.places import PlaceShelf, ThreeTwoOne
    from medback_core.planning.restore_order import Loss


def three_two_one_words(found: ThreeTwoOne) -> str:
    """`3-2-1: 38,120 files hold it, 2,887 lack a copy elsewhere (1.2 TiB), 412 lack a second`."""
    words = f"3-2-1: {files(found.holds.files)} hold{'s' if found.holds.files == 1 else ''} it"
    apart, second = found.without_elsewhere, found.without_second
    if apart.files:
        words += f", {number(apart.files)} lack{'s' if apart.files == 1 else ''} a copy elsewhere ({size(apart.bytes)})"
    if second.files:
        words += f", {number(second.files)} lack{'s' if second.files == 1 else ''} a second"
    return words


def shelf_words(shelf: PlaceShelf) -> str:
    """`at Mia's: 4 drives, 214 GiB behind (last there 3 weeks ago)`."""
    last = "" if shelf.here or shelf.last_there is None else f" (last there {ago(shelf.last_there)})"
    return f"{at(shelf.place)}: {plural(len(shelf.targets), 'drive')}, {_behind(shelf)}{last}"


def behind_words(shelf: PlaceShelf) -> str:
    """`Mia's: 214 GiB behind`, where there is little room."""
    return f"{name(shelf.place)}: {_behind(shelf)}"


def _behind(shelf: PlaceShelf) -> str:
    return f"{amount(shelf.behind)} behind" if shelf.behind.files else "nothing behind"


def too_few_words(unsafe: Count, apart: Count, of: str = "") -> str:
    """`too few copies: 3 files (2 MiB); too few copies elsewhere: 1 file (9 KiB)`. `apart`: the part of `unsafe` that
    lacks no copy, only some of them elsewhere; `of` stands behind the first."""
    short = unsafe - apart
    parts = [f"too few copies: {counted(short)}"] if short.files or not apart.files else []
    parts += [f"too few copies elsewhere: {counted(apart)}"] if apart.files else []
    return "; ".join([parts[0] + of, *parts[1:]])


def wanted_words(copies: int | None, elsewhere: int | None) -> str:
    """`3 copies wanted, 2 elsewhere`; without the number that is None."""
    parts = [] if copies is None else [f"{plural(copies, 'copy', 'copies')} wanted"]
    parts += [] if elsewhere is None else [f"{number(elsewhere)} elsewhere"]
    return ", ".join(parts)


def lacking_words(copies: int, elsewhere: int) -> str:
    """`2 copies still wanted, 1 of them elsewhere`, for a file that lacks so many; "" where it lacks none."""
    wanted = max(copies, elsewhere)
    if not wanted:
        return ""
    words = f"{plural(wanted, 'copy', 'copies')} still wanted"
    if not elsewhere:
        return words
    return f"{words} elsewhere" if elsewhere == wanted else f"{words}, {number(elsewhere)} of them elsewhere"


def fetch_words(steps: Iterable[tuple[str, str]]) -> list[str]:
    """`at Mia's: fetch Red and Tin`, for each trip of a plan. `steps`: (place, drive) of those that take a trip."""
    trips: dict[str, list[str]] = {}
    for place, drive in steps:
        trips.setdefault(place, []).append(drive)
    return [f"{at(place)}: fetch {listed(drives)}" for place, drives in trips.items()]


def all_gone_words(places: Sequence[str], drives: Sequence[str] = ()) -> str:
    """`all at home, all at Mia's and Red`: what is gone in a what-if."""
    return listed([*(f"all {_at(place)}" for place in places), *drives])


def loss_words(loss: Loss) -> str:
    """`1 file (1.0 KiB) would be lost. 5 files (5.0 KiB) would have too few copies left.`"""
    words = f"{counted(loss.lost)} would be lost." if loss.lost.files else "nothing would be lost."
    return words + (f" {counted(loss.weakened)} would have too few copies left." if loss.weakened.files else "")


def at(place: str) -> str:
    """`at Mia's`, whether people write the `at` or not."""
    return name(_at(place))


def _at(place: str) -> str:
    return place if place.casefold().startswith("at ") else f"at {place}"
