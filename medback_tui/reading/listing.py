"""A place in the tree of sources as the coverage screen sees it: the core's listing, and how one looks at it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace

from medback_core.coverage import tree as browsing
from medback_core.coverage.tree import DirectoryView, FileCoverage
from medback_core.coverage.what_if import NO_LOSS, Part, PlaceLoss, loss_of, what_if_places
from medback_core.errors import Refused
from medback_core.model import Count, Source
from medback_core.planning.restore_order import Loss
from medback_core.presenting.next_drive import ALL_SAFE, NextDrive, next_drive
from medback_core.session import Session
from medback_core.session.counting import CopyCounter, total
from medback_core.session.needs import wants_of
from medback_core.session.sources import list_sources, source_by_id
from medback_core.session.targets import list_targets
from medback_core.session.tree import directory_key, totals_of
from medback_tui.reading.facts import NO_SHARES, Shares, rated_shares

PAGE = 128  # files that are read together


@dataclass(frozen=True, slots=True)
class Place:
    """Where one is: in a source (its id), or at the top, where the sources are listed. What a person chose is kept by
    ids: a row has another key in a session DB that was built again or put in the place of this one."""

    source: str | None = None
    path: bytes = b""


@dataclass(frozen=True, slots=True)
class View:
    """How one looks at a place; `dead` drives don't count; `burnt`: where people keep things, all of it is gone; the
    drives there are among the dead."""

    order: str = "name"
    filter_text: str = ""
    unsafe_only: bool = False
    dead: frozenset[str] = frozenset()  # ids
    burnt: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Listing:
    """A place as it is seen. `loss`: what of it the death of the dead drives would cost."""

    place: Place
    view: View
    found: browsing.DirectoryContents | None = None  # None: there is no such directory any more
    shares: Shares = NO_SHARES
    loss: Loss = NO_LOSS
    burnt: PlaceLoss | None = None  # what it costs if all that is kept at these places is gone, and the dead drives
    next: NextDrive = ALL_SAFE  # what would make the place safer, whichever drives are plugged in: see `with_advice`

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

    def index_of(self, under: tuple[str, bytes], file: int | None, otherwise: int) -> int:
        """The row of a directory by its source (id) and path, of a file by its key; `otherwise` where it has none."""
        if self.found is None:
            return otherwise
        for index, row in enumerate(self.found.directories):
            if (row.source.id, row.path) == under:
                return index
        if file is not None and file in self.found.files:
            return len(self.found.directories) + self.found.files.index(file)
        return otherwise

    def keys_on(self, pages: Iterable[int]) -> list[int]:
        """The keys of the files on these pages."""
        if self.found is None:
            return []
        return [key for page in sorted(pages) for key in self.found.files[page * PAGE : (page + 1) * PAGE]]

    @property
    def by_copies(self) -> tuple[Count, Count, Count]:
        """Files and bytes of the whole place by number of copies: none, one, two or more."""
        if self.found is None:
            return Count(), Count(), Count()
        views = self.found.directories if self.found.here is None else (self.found.here,)
        none, one, more = zip(*map(of_copies, views), strict=True) if views else ((), (), ())
        return sum(none, Count()), sum(one, Count()), sum(more, Count())


def shares_of(view: DirectoryView) -> Shares:
    """How safe a directory is."""
    none = view.by_copies.get(0, Count())
    return Shares(none, view.unsafe - none, view.count - view.unsafe, view.apart)


def source_key(session: Session, identifier: str | None) -> int | None:
    """The key of a source in this session; None where it has none of that id."""
    found = None if identifier is None else source_by_id(session, identifier)
    return None if found is None else found.key


def target_keys(session: Session, identifiers: Collection[str]) -> frozenset[int]:
    """The keys of these drives in this session."""
    found = list_targets(session) if identifiers else ()
    return frozenset(target.key for target in found if target.id in identifiers)


def read_listing(session: Session, place: Place, view: View) -> Listing:
    """Read a place. For a thread: a directory of a million files takes a quarter of a second."""
    source, dead = source_key(session, place.source), target_keys(session, view.dead)
    if source is None and place.source is not None:
        return Listing(place, view)
    found = browsing.browse(
        session, source, place.path, order=view.order, filter_text=view.filter_text, unsafe_only=view.unsafe_only,
        dead=dead,
    )  # fmt: skip
    if found is None:
        return Listing(place, view)
    parts = list(_parts(session, place))
    shares = rated_shares(CopyCounter(session, dead), parts)
    loss = loss_of(session, dead, parts) if dead else NO_LOSS
    burnt = _burnt(session, view) if view.burnt else None
    return Listing(place, view, found, shares, loss, burnt)


@dataclass(frozen=True, slots=True)
class Pages:
    """Files of a listing that were read, and the numbers of the pages they are on. A file of one of these that is not
    among them went away since the listing was made."""

    numbers: frozenset[int] = frozenset()
    files: tuple[FileCoverage, ...] = ()


NO_PAGES = Pages()


def pages_near(listing: Listing, row: int) -> frozenset[int]:
    """The page of a row and those on both sides, the first and the last."""
    if listing.found is None or not listing.found.files:
        return frozenset()
    last = (len(listing.found.files) - 1) // PAGE
    page = max(0, row - len(listing.found.directories)) // PAGE
    return frozenset(n for n in (0, page - 1, page, page + 1, last) if 0 <= n <= last)


def read_pages(session: Session, listing: Listing, numbers: Iterable[int]) -> Pages:
    """Read these pages. For a thread: each takes a millisecond or two."""
    files = browsing.page(session, listing.keys_on(numbers), dead=target_keys(session, listing.view.dead))
    return Pages(frozenset(numbers), tuple(files))


def with_advice(session: Session, listing: Listing) -> Listing:
    """The same with what would make the place safer. Of many files that takes longer than all the rest."""
    source, dead = source_key(session, listing.place.source), target_keys(session, listing.view.dead)
    return replace(listing, next=next_drive(session, source, listing.place.path, dead=dead))


def _burnt(session: Session, view: View) -> PlaceLoss | None:
    """The what-if of its places and dead drives; None where nothing is kept at one of them any more."""
    dead = [target for target in list_targets(session) if target.id in view.dead]
    try:
        return replace(what_if_places(session, view.burnt, dead), lost_files=iter(()))
    except Refused:
        return None


def _parts(session: Session, place: Place) -> Iterator[Part]:
    """All the files of a place, whatever is filtered out of sight, by what is wanted of them."""
    for source in list_sources(session):
        if place.source is not None and source.id != place.source:
            continue
        key = directory_key(session, source.key, place.path)
        if key is not None:
            yield from wants_of(session, source).parts(session, place.path, totals_of(session, key))


def of_copies(view: DirectoryView) -> tuple[Count, Count, Count]:
    """Totals by number of copies: none, one, two or more."""
    return (
        view.by_copies.get(0, Count()),
        view.by_copies.get(1, Count()),
        total(count for copies, count in view.by_copies.items() if copies > 1),
    )
