"""Which drive would do most for a directory: the words “next: plug in …” below the coverage list."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from medback_core.model import Count, Target
from medback_core.presenting.units import name, size
from medback_tui.look.words import counted
from medback_tui.reading.facts import Facts
from medback_tui.reading.listing import Listing


@dataclass(frozen=True, slots=True)
class Help:
    """What a drive could take of what is not safe here, and how much of it would be safe then."""

    target: Target
    takes: Count
    saves: Count
    here: bool
    room: int

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts the best first: one that is here and takes half of it or more, one that takes all, the one that takes
        most."""
        fits = min(self.room, self.takes.bytes)
        rank = 0 if self.here and 2 * fits >= self.takes.bytes else 1 if fits == self.takes.bytes else 2
        return rank, -fits, self.target.key


def helps(facts: Facts, listing: Listing, here: Collection[int]) -> list[Help]:
    """The drives that could take more of this place, the best first."""
    found = []
    for row in facts.targets:
        gain = listing.gains.get(row.target.key)
        if gain is not None and gain.takes.files and row.room:
            found.append(Help(row.target, gain.takes, gain.saves, row.target.key in here, row.room))
    return sorted(found, key=lambda help: help.order)


def next_step(facts: Facts, listing: Listing, here: Collection[int]) -> str:
    """One line: what would make this place safer."""
    unsafe = listing.shares.unsafe
    if not unsafe.files:
        return ""
    best = next(iter(helps(facts, listing, here)), None)
    if best is None:
        return "next: back it up onto one more drive (2, then n)"
    verb = "back up onto" if best.here else "plug in"
    label = f"next: {verb} {name(best.target.name)} ({size(best.room)} free)"
    if best.takes.bytes <= best.room:
        if best.saves == unsafe:
            return f"{label}: it makes all of this safe"
        if best.takes == unsafe:
            return f"{label}: one more copy of all of it"
        return f"{label}: {counted(best.takes)} of it"
    return f"{label}: some of the {size(best.takes.bytes)}"
