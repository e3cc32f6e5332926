"""A place in the tree of sources as the coverage screen sees it: the core's listing, and how one looks at it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from medback_core import browsing
from medback_core import session as db
from medback_core.browsing import DirectoryView
from medback_core.model import Count, Source
from medback_core.rating import Rated, total
from medback_core.session import Placement, Session

from .facts import NO_SHARES, Shares, rated_shares


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
class Listing:
    """A place as it is seen. `alive`: how safe it is with no drive dead."""

    place: Place
    view: View
    found: browsing.Listing | None = None  # None: there is no such directory any more
    shares: Shares = NO_SHARES
    alive: Shares = NO_SHARES
    totals: Mapping[int, Count] = field(default_factory=dict)  # by placement, for advice
    placements: Mapping[int, Placement] = field(default_factory=dict)
    counting: frozenset[int] = frozenset()

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
    """Read a place. For a thread: a directory of a million files takes most of a second."""
    found = browsing.browse(
        session, place.source, place.path, order=view.order, filter_text=view.filter_text,
        unsafe_only=view.unsafe_only, dead=view.dead,
    )  # fmt: skip
    if found is None:
        return Listing(place, view)
    shares = _shares(session, place, view.dead)
    alive = _shares(session, place, frozenset()) if view.dead else shares
    totals: dict[int, Count] = {}
    if found.here is not None:
        totals = db.totals_of(session, found.here.key)
    else:
        for mine in db.totals_by_source(session).values():
            for number, count in mine.items():
                totals[number] = totals.get(number, Count()) + count
    return Listing(
        place, view, found, shares, alive, totals, db.all_placements(session), db.counting_keys(session) - view.dead
    )


def _shares(session: Session, place: Place, dead: frozenset[int]) -> Shares:
    """How safe the whole place is with these drives dead, whatever is filtered out of sight."""
    rated = Rated(session, dead)
    whole = Shares()
    for source in db.list_sources(session):
        if place.source is not None and source.key != place.source:
            continue
        key = db.directory_key(session, source.key, place.path)
        if key is not None:
            whole += rated_shares(rated, db.totals_of(session, key), source.wanted)
    return whole


def of_copies(view: DirectoryView) -> tuple[Count, Count, Count]:
    """Totals by number of copies: none, one, two or more."""
    return (
        view.by_copies.get(0, Count()),
        view.by_copies.get(1, Count()),
        total(count for copies, count in view.by_copies.items() if copies > 1),
    )
