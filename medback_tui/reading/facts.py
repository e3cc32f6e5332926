"""What the header, the sources and the targets screen show, read from the session DB in one go."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from medback_core.coverage.places import PlaceShelf, ThreeTwoOne, has_places, place_shelves, three_two_one
from medback_core.coverage.totals import Holdings, looked, target_holdings
from medback_core.model import HOME, Count, Looked, Need, Rule, Source, Target, folded_place
from medback_core.session import Session
from medback_core.session.copies import held_by_target
from medback_core.session.counting import NOTHING, CopyCounter
from medback_core.session.expected import has_expected
from medback_core.session.needs import every_part, machine_place, target_places, wants_of
from medback_core.session.placements import placement_by_id
from medback_core.session.sources import list_sources
from medback_core.session.targets import counting_keys, list_targets, lost_together
from medback_core.session.tree import totals_by_source, trouble_below


@dataclass(frozen=True, slots=True)
class Shares:
    """Files and bytes by how safe they are: no copy that counts, fewer than wanted or fewer of them elsewhere, as many
    as wanted. `apart`: the part of `below` that lacks no copy, only some of them elsewhere."""

    none: Count = NOTHING
    below: Count = NOTHING
    safe: Count = NOTHING
    apart: Count = NOTHING

    def __add__(self, other: Shares) -> Shares:
        return Shares(
            self.none + other.none, self.below + other.below, self.safe + other.safe, self.apart + other.apart
        )

    def __sub__(self, other: Shares) -> Shares:
        return Shares(
            self.none - other.none, self.below - other.below, self.safe - other.safe, self.apart - other.apart
        )

    @property
    def total(self) -> Count:
        return self.none + self.below + self.safe

    @property
    def unsafe(self) -> Count:
        return self.none + self.below


NO_SHARES = Shares()
_ALL = Looked()


@dataclass(frozen=True, slots=True)
class SourceFacts:
    """One row of the sources screen."""

    source: Source
    shares: Shares
    damaged: int
    mounted: bool
    looked: Looked = _ALL
    rules: tuple[Rule, ...] = ()  # for directories inside


@dataclass(frozen=True, slots=True)
class TargetFacts:
    """One row of the targets screen. `only`: what would be lost with it; `dies_with`: those on the same disk."""

    target: Target
    held: Count
    claimed: Count
    only: Count
    dies_with: tuple[Target, ...] = ()

    @property
    def whole(self) -> int | None:
        """How large the drive is for medback: what it may fill at most, or all of it; None until it is looked at."""
        total, capacity = self.target.total_bytes, self.target.capacity
        return total if capacity is None else min(capacity, total or capacity)

    @property
    def room(self) -> int | None:
        """How much medback can still put there, as far as is known."""
        free, capacity = self.target.free_bytes, self.target.capacity
        if capacity is None:
            return free
        left = max(0, capacity - self.held.bytes)
        return left if free is None else min(free, left)


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything the first two screens and the header need."""

    sources: tuple[SourceFacts, ...] = ()
    targets: tuple[TargetFacts, ...] = ()
    shares: Shares = NO_SHARES
    expected: bool = False  # an imported context is in force
    looked: Looked = _ALL
    three_two_one: ThreeTwoOne | None = None  # None if no place was named
    places: tuple[PlaceShelf, ...] = ()  # the shelf place by place; empty if none was named

    @property
    def wanted(self) -> int | None:
        """The number of copies every source wants, None where they differ."""
        numbers = {row.source.wanted for row in self.sources}
        return numbers.pop() if len(numbers) == 1 else None

    @property
    def place_of(self) -> dict[int, str]:
        """Target key -> where it is kept, this machine's place first; empty where no place was named."""
        return {target.key: shelf.place for shelf in self.places for target in shelf.targets}

    @property
    def every_place(self) -> dict[str, str]:
        """The places of all sources and targets, folded -> as people write them; HOME alone where none was named."""
        kept = [row.source.place or HOME for row in self.sources] + [shelf.place for shelf in self.places]
        return {folded_place(place): place for place in reversed(kept)} or {folded_place(HOME): HOME}

    @property
    def damaged(self) -> int:
        """How many files of the sources are damaged."""
        return sum(row.damaged for row in self.sources)

    @property
    def disk_groups(self) -> list[list[TargetFacts]]:
        """The targets that would be lost together, two or more in a group."""
        found: dict[int, list[TargetFacts]] = {}
        for row in self.targets:
            if row.dies_with:
                found.setdefault(min(row.target.key, *(one.key for one in row.dies_with)), []).append(row)
        return list(found.values())

    def target(self, identifier: str) -> TargetFacts | None:
        """The row of a target by its id."""
        return next((row for row in self.targets if row.target.id == identifier), None)


def is_there(path: bytes) -> bool:
    """Whether a source's directory is there. Pictures of a made-up shelf replace it, like the clock."""
    return os.path.isdir(path)


def rated_shares(counter: CopyCounter, parts: Iterable[tuple[Need, Mapping[int, Count]]]) -> Shares:
    """Sort totals by placement into how safe they are."""
    sums = counter.summed(parts)
    none = sums.by_copies[0]
    return Shares(none, sums.below - none, sums.count - sums.below, sums.apart)


def read_facts(session: Session, before: Facts | None = None) -> Iterator[Facts]:
    """Read them all, twice: at once with what would be lost with each drive as it was `before` (that takes most of a
    second for a million files), then exactly. Looks at the sources' paths too, so never on the event loop."""
    counter = CopyCounter(session)
    totals = totals_by_source(session)
    sources = []
    for source in list_sources(session):
        wants = wants_of(session, source)
        shares = rated_shares(counter, wants.parts(session, b"", totals.get(source.key, {})))
        damaged = trouble_below(session, source.key)
        there = is_there(source.path)
        sources.append(SourceFacts(source, shares, damaged, there, looked(session, source.alias), wants.rules))
    targets = []
    together = lost_together(session)
    solid, with_claims = held_by_target(session), held_by_target(session, claims=True)
    for target in list_targets(session):
        held = solid.get(target.key, NOTHING)
        claimed = with_claims.get(target.key, NOTHING) - held
        was = before.target(target.id) if before is not None else None
        only = was.only if was is not None else NOTHING
        targets.append(TargetFacts(target, held, claimed, only, together.get(target.key, ())))
    shares = sum((row.shares for row in sources), Shares())
    quick = Facts(tuple(sources), tuple(targets), shares, has_expected(session), looked(session))
    shelves = tuple(place_shelves(session))
    if shelves or has_places(session):
        quick = replace(quick, three_two_one=three_two_one(session), places=shelves)
    yield quick
    holdings = target_holdings(session)
    exact = tuple(replace(row, only=holdings.get(row.target.key, Holdings()).only_copy) for row in targets)
    if exact != quick.targets:
        yield replace(quick, targets=exact)


def unsafe_with(session: Session, target: int) -> Count:
    """What would still be below its wanted copies if this target (a key, or a new one) got all that lacks
    one: from the roll-up, in a few milliseconds."""
    counting = counting_keys(session) | {target}
    unsafe = NOTHING
    totals = totals_by_source(session)
    where = target_places(session)
    where.setdefault(target, folded_place(machine_place(session)))
    for _, need, part in every_part(session, totals):
        for number, count in part.items():
            holders = placement_by_id(session, number).solid & counting | {target}
            elsewhere = sum(where[key] != need.place for key in holders) if need.elsewhere else 0
            if len(holders) < need.copies or elsewhere < need.elsewhere:
                unsafe += count
    return unsafe
