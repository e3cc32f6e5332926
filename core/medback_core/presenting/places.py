"""Say where the drives lie: 3-2-1 at a glance, and how far behind each place is."""

from __future__ import annotations

from medback_core.coverage.places import PlaceShelf, ThreeTwoOne
from medback_core.presenting.units import ago, files, name, number, plural, size


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
    behind = f"{size(shelf.behind.bytes)} behind" if shelf.behind.files else "nothing behind"
    last = "" if shelf.here or shelf.last_there is None else f" (last there {ago(shelf.last_there)})"
    return f"{at(shelf.place)}: {plural(len(shelf.targets), 'drive')}, {behind}{last}"


def at(place: str) -> str:
    """`at Mia's`, whether people write the `at` or not."""
    shown = name(place)
    return shown if shown.casefold().startswith("at ") else f"at {shown}"
