"""What the report tells, read from the session DB."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from medback_core import model, names
from medback_core.coverage.places import PlaceShelf, ThreeTwoOne, has_places, place_shelves, three_two_one
from medback_core.coverage.totals import Holdings, Safety, coverage, safety, target_holdings
from medback_core.coverage.tree import DirectoryView, browse
from medback_core.model import Count, Source, Target
from medback_core.presenting.next_drive import NextDrive, next_drive
from medback_core.presenting.treemap import CELL_HEIGHT, squarified
from medback_core.restoring.plan import PlanSummary, restore_plan
from medback_core.session import Session
from medback_core.session.counting import NOTHING
from medback_core.session.needs import places
from medback_core.session.placements import all_placements, placement_by_id
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets, lost_together
from medback_core.session.tree import PlacementCounts, children, directory_key, totals_by_source, totals_of

LISTED, WORST = 40, 15  # directories listed of each drive, and of what is not safe
MAP_WIDTH, MAP_HEIGHT = 1000, 420
_MAPPED = 60  # directories of a source on the map; the smaller ones are one tile
_WORTH_A_TILE = 1 / 2000  # of the whole


@dataclass(frozen=True, slots=True)
class ReportTile:
    """A directory on the map: where it lies there, what it is called, and how safe it is."""

    x: float
    y: float
    width: float
    height: float
    source: str
    name: bytes
    count: Count
    unsafe: Count
    none: Count

    @property
    def sign(self) -> str:
        """`○` something has no copy, `◐` something has too few, `●` all has its copies."""
        return "○" if self.none.files else "◐" if self.unsafe.files else "●"

    @property
    def label(self) -> bytes:
        """Its path, from the source on."""
        return names.utf8(self.source).encode() + (b"/" + self.name if self.name else b"")

    @property
    def parts(self) -> Iterator[tuple[str, float, float]]:
        """What has no copy, too few, enough: the colour, the top edge and the height of each, from above."""
        top = self.y
        shares = (("none", self.none), ("below", self.unsafe - self.none), ("safe", self.count - self.unsafe))
        for kind, count in shares:
            height = self.height * count.bytes / (self.count.bytes or 1)
            if height > 0:
                yield kind, round(top, 1), round(height, 1)
            top += height


@dataclass(frozen=True, slots=True)
class DirectoryHeld:
    """What a drive holds of a directory, and all that is in it. `path` b"": the files directly in the source."""

    source: str
    path: bytes
    count: Count
    whole: Count


@dataclass(frozen=True, slots=True)
class ReportDrive:
    """A drive of the shelf. `held`: directories of which it holds something, the largest first."""

    target: Target
    place: str
    holdings: Holdings
    dies_with: tuple[Target, ...]
    held: tuple[DirectoryHeld, ...]

    @property
    def used(self) -> int:
        """How much of it was full when it was last seen, in percent."""
        total = self.target.total_bytes or 0
        return 0 if not total else min(100, max(0, round(100 * (1 - (self.target.free_bytes or 0) / total))))


@dataclass(frozen=True, slots=True)
class SourceRow:
    """A source, and how safe it is. `by_copies`: number of copies that count -> files."""

    source: Source
    place: str
    view: DirectoryView
    back: Count  # what some drive of the plan is said to hold

    @property
    def by_copies(self) -> list[tuple[int, Count]]:
        """The numbers of copies some file has, the fewest first."""
        return sorted((copies, count) for copies, count in self.view.by_copies.items() if count.files)


@dataclass(frozen=True, slots=True)
class ReportFacts:
    """All that the page is made from."""

    made: int
    safe: Safety
    next: NextDrive
    sources: tuple[SourceRow, ...]
    unsafe: tuple[DirectoryView, ...]  # directories with the most that is not safe, at the top of the sources
    tiles: tuple[ReportTile, ...]
    drives: tuple[ReportDrive, ...]
    plan: PlanSummary | None
    has_places: bool
    places: tuple[PlaceShelf, ...] = ()
    three_two_one: ThreeTwoOne | None = None
    by_copies: Mapping[int, Count] = field(default_factory=dict)


def gather(session: Session) -> ReportFacts:
    """Read them. Looks at no drive and at no source: what is known is told, with its dates."""
    known = places(session)
    views = [view for view in _directories(session, None) if view.count.files or view.source.scanned_at]
    below = {view.source.key: _directories(session, view.source.key) for view in views}
    whole = coverage(session)
    plan = _plan(session) if whole.files else None
    back = _back(session, [] if plan is None else [step.target for step in plan.steps])
    named = has_places(session)
    unsafe = sorted(
        (view for inside in below.values() for view in inside if view.unsafe.files), key=lambda v: -v.unsafe.bytes
    )
    return ReportFacts(
        model.now(),
        safety(session),
        next_drive(session),
        tuple(SourceRow(view.source, known.called(view.source), view, back[view.source.key]) for view in views),
        tuple(unsafe[:WORST]),
        tuple(_tiles(views, below)),
        tuple(_drives(session)),
        plan,
        named,
        tuple(place_shelves(session)),
        three_two_one(session) if named else None,
        whole.by_copies,
    )


def _directories(session: Session, source: int | None) -> list[DirectoryView]:
    found = browse(session, source, order="bytes")
    return [] if found is None else list(found.directories)


def _plan(session: Session) -> PlanSummary | None:
    return next((event for event in restore_plan(session, all_of_it=True) if isinstance(event, PlanSummary)), None)


def _back(session: Session, targets: Sequence[Target]) -> dict[int, Count]:
    """Source key -> what these targets bring back of it."""
    keys = {target.key for target in targets}
    return {
        source: sum((n for key, n in part.items() if placement_by_id(session, key).anywhere & keys), NOTHING)
        for source, part in totals_by_source(session).items()
    }


def _drives(session: Session) -> Iterator[ReportDrive]:
    known, together, holdings = places(session), lost_together(session), target_holdings(session)
    held = _held(session)
    for target in list_targets(session):
        yield ReportDrive(
            target,
            known.called(target),
            holdings.get(target.key, Holdings()),
            together.get(target.key, ()),
            tuple(sorted(held[target.key], key=lambda one: (-one.count.bytes, one.source, one.path))),
        )


def _held(session: Session) -> dict[int, list[DirectoryHeld]]:
    """Target key -> what it holds of each directory at the top of a source, and of the files beside them."""
    placements = all_placements(session)
    found: dict[int, list[DirectoryHeld]] = defaultdict(list)
    for source in list_sources(session):
        key = directory_key(session, source.key, b"")
        if key is None:
            continue
        rest: PlacementCounts = dict(totals_of(session, key))
        parts = [(child.path, child.totals) for child in children(session, key)]
        for _, totals in parts:
            for number, count in totals.items():
                rest[number] = rest.get(number, NOTHING) - count
        for path, totals in [*parts, (b"", rest)]:
            whole, there = NOTHING, defaultdict[int, Count](Count)
            for number, count in totals.items():
                whole += count
                for target in placements[number].solid:
                    there[target] += count
            for target, count in there.items():
                if count.files:
                    found[target].append(DirectoryHeld(source.alias, path, count, whole))
    return found


# --- the map ---------------------------------------------------------------------------------------------------------


def _tiles(views: list[DirectoryView], below: Mapping[int, list[DirectoryView]]) -> Iterator[ReportTile]:
    """The sources as a field, each divided into its directories; what is smaller than one can see is one tile."""
    shown = sorted((view for view in views if view.count.bytes), key=lambda view: -view.count.bytes)
    everything = sum(view.count.bytes for view in shown)
    height = int(MAP_HEIGHT / CELL_HEIGHT)
    for view, field_ in zip(shown, squarified([v.count.bytes for v in shown], MAP_WIDTH, height), strict=True):
        large = [one for one in below[view.source.key] if one.count.bytes > everything * _WORTH_A_TILE][:_MAPPED]
        parts = [(one.name, one.count, one.unsafe, one.by_copies.get(0, NOTHING)) for one in large]
        count, unsafe, none = view.count, view.unsafe, view.by_copies.get(0, NOTHING)
        for one in parts:
            count, unsafe, none = count - one[1], unsafe - one[2], none - one[3]
        if count.bytes > 0:
            parts.append((b"", count, unsafe, none))
        parts.sort(key=lambda one: -one[1].bytes)
        weights = [one[1].bytes for one in parts]
        for part, place in zip(parts, squarified(weights, field_.width, field_.height), strict=True):
            if place.width and place.height:
                yield ReportTile(
                    field_.left + place.left,
                    (field_.top + place.top) * CELL_HEIGHT,
                    place.width,
                    place.height * CELL_HEIGHT,
                    view.source.alias,
                    *part,
                )
