"""A place in the tree of sources as the coverage screen sees it: the core's listing, and how one looks at it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from medback_core.coverage import tree as browsing
from medback_core.coverage.countable import NOTHING, CopyCounter, total
from medback_core.coverage.tree import DirectoryView
from medback_core.model import Count, Need, Source
from medback_core.session import Session
from medback_core.session.needs import every_part, target_places, wants_of
from medback_core.session.placements import all_placements
from medback_core.session.sources import list_sources
from medback_core.session.targets import counting_keys
from medback_core.session.tree import PlacementCounts, directory_key, totals_by_source, totals_of
from medback_tui.reading.facts import NO_SHARES, Shares, rated_shares


@dataclass(frozen=True, slots=True)
class Place:
    """Where one is: no source is the top, where the sources are listed."""

    source: int | None = None
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class View:
    """How one looks at a place; `dead` drives don't count."""

    order: str = "name"
    filter_text: str = ""
    unsafe_only: bool = False
    dead: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Gain:
    """What a drive could take of what is not safe in a place, and how much of it would be safe then."""

    takes: Count = NOTHING
    saves: Count = NOTHING

    def __add__(self, other: Gain) -> Gain:
        return Gain(self.takes + other.takes, self.saves + other.saves)

    def __sub__(self, other: Gain) -> Gain:
        return Gain(self.takes - other.takes, self.saves - other.saves)


@dataclass(frozen=True, slots=True)
class Listing:
    """A place as it is seen. `alive`: how safe it is with no drive dead."""

    place: Place
    view: View
    found: browsing.DirectoryContents | None = None  # None: there is no such directory any more
    shares: Shares = NO_SHARES
    alive: Shares = NO_SHARES
    gains: Mapping[int, Gain] = field(default_factory=dict)  # by the key of each target that counts

    @property
    def source(self) -> Source | None:
        """The source one is in, None at the top."""
        return self.found.here.source if self.found is not None and self.found.here is not None else None

    @property
    def count(self) -> int:
        """How many entries are shown."""
        return len(self.found.directories) + len(self.found.files) if self.found is not None else 0

    @property
    def of(self) -> int:
        """How many entries there are without a filter."""
        return self.found.directories_total + self.found.files_total if self.found is not None else 0


def shares_of(view: DirectoryView) -> Shares:
    """How safe a directory is."""
    none = view.by_copies.get(0, Count())
    return Shares(none, view.unsafe - none, view.count - view.unsafe)


def read_listing(session: Session, place: Place, view: View) -> Listing:
    """Read a place. For a thread: a directory of a million files takes a quarter of a second."""
    found = browsing.browse(
        session, place.source, place.path, order=view.order, filter_text=view.filter_text,
        unsafe_only=view.unsafe_only, dead=view.dead,
    )  # fmt: skip
    if found is None:
        return Listing(place, view)
    shares = _shares(session, place, view.dead)
    alive = _shares(session, place, frozenset()) if view.dead else shares
    if found.here is not None:
        here = found.here
        inside = wants_of(session, here.source).parts(session, here.path, totals_of(session, here.key))
    else:
        inside = [(need, part) for _, need, part in every_part(session, totals_by_source(session))]
    return Listing(place, view, found, shares, alive, _gains(session, inside, view.dead))


def _gains(session: Session, inside: Iterable[tuple[Need, PlacementCounts]], dead: Collection[int]) -> dict[int, Gain]:
    """What each target that counts could take: all that a copy there brings nearer to safe, but what it holds."""
    counting = counting_keys(session) - frozenset(dead)
    placements, where = all_placements(session), target_places(session)
    every = {where[key]: Gain() for key in counting}  # by place
    held = dict.fromkeys(counting, Gain())
    for need, totals in inside:
        for number, count in totals.items():
            holders = placements[number].solid & counting
            short = need.copies - len(holders)
            elsewhere = sum(where[key] != need.place for key in holders) if need.elsewhere else 0
            for place in every:
                apart = need.elsewhere - elsewhere if place != need.place else 0
                if short <= 0 and apart <= 0:
                    continue
                left = max(short - 1, need.elsewhere - elsewhere - (place != need.place))
                gain = Gain(count, count if left <= 0 else NOTHING)
                every[place] += gain
                for target in holders:
                    if where[target] == place:
                        held[target] += gain
    return {target: every[where[target]] - gain for target, gain in held.items()}


def _shares(session: Session, place: Place, dead: frozenset[int]) -> Shares:
    """How safe the whole place is with these drives dead, whatever is filtered out of sight."""
    counter = CopyCounter(session, dead)
    whole = Shares()
    for source in list_sources(session):
        if place.source is not None and source.key != place.source:
            continue
        key = directory_key(session, source.key, place.path)
        if key is not None:
            whole += rated_shares(
                counter, wants_of(session, source).parts(session, place.path, totals_of(session, key))
            )
    return whole


def of_copies(view: DirectoryView) -> tuple[Count, Count, Count]:
    """Totals by number of copies: none, one, two or more."""
    return (
        view.by_copies.get(0, Count()),
        view.by_copies.get(1, Count()),
        total(count for copies, count in view.by_copies.items() if copies > 1),
    )
