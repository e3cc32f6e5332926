"""Which drives bring everything back, and in which order: planning over what a session knows."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Generator, Iterable, Iterator, KeysView, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import islice

from medback_core import names
from medback_core.coverage.what_if import NamedFile
from medback_core.errors import Refused
from medback_core.model import (
    HOME,
    Count,
    Event,
    NextTarget,
    Progress,
    Source,
    Summary,
    Target,
    TargetState,
    folded_place,
    sum_by,
)
from medback_core.planning import restore_order as planning
from medback_core.planning.trips import TRIPS
from medback_core.restoring import destinations, told
from medback_core.session import Session
from medback_core.session.counting import NOTHING
from medback_core.session.expected import empty_directories, has_expected, wanted_back, wanted_files, wanted_totals
from medback_core.session.files import join
from medback_core.session.gone import list_gone
from medback_core.session.needs import places as kept_at
from medback_core.session.needs import target_places
from medback_core.session.placements import placement_by_id
from medback_core.session.targets import list_targets
from medback_core.session.tree import PlacementCounts, directory_key, files_below

UNREACHABLE_SHOWN = 1000

# For a restore: a drive known only from a record may exist or not, so every drive we know comes before it,
# but those that seem to be failing.
_RANK = {TargetState.ACTIVE: 0, TargetState.RETIRED: 1, TargetState.SUSPECT: 3}
_RANK_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """Plug in this target: it brings so much, so much is then still missing. Counts are paths."""

    target: Target
    brings: Count
    remaining: Count
    claimed: Count = NOTHING  # the part of `brings` that is listed and not checked yet
    place: str = HOME  # where the target is kept
    trip: bool = False  # it has to be fetched from there


class PlanSummary(Summary):
    """The fewest trips and targets that bring back all that is missing, in the order to plug them in, place by place.
    Counts are paths.

    When not `exact`, fewer might do; `why` says why that is not known. `differing`: another file stands at the
    destination, which a restore leaves alone; they are not among the missing.
    """

    missing: Count
    unreachable: Count  # no usable target is said to hold it
    exact: bool
    why: str
    steps: tuple[PlannedStep, ...]
    unreachable_files: tuple[NamedFile, ...]  # the first thousand
    differing: int = 0
    as_of: int | None = None  # the date of what is known to be missing or not
    unheard: tuple[Target, ...] = ()  # drives that were not plugged in and may know something newer
    has_places: bool = False  # a place was named


def restore_plan(
    session: Session,
    *,
    all_of_it: bool = False,
    source: str | None = None,
    path: bytes | None = None,
    to: bytes | None = None,
    without: Collection[Target] = (),
    here: Collection[str] = (),
    prefer: str = TRIPS,
    more: Sequence[tuple[str | None, bytes | None]] = (),
) -> Iterator[Event]:
    """Which targets to plug in, in which order, to get back what is missing at its destination; with `all_of_it`, what
    it would take if nothing stood there. Ends with a PlanSummary. Raises Refused.

    Only of `source` (alias), only at and below `path`, and what `more` names so; `to`: another place to restore to.
    A copy that is only listed serves as well as one we know; lost targets and those `without` are left out. Looking at
    destinations may read files. Among plans that are equally good, the one with more of the targets that are `here`
    (by id), those first; these, and what is kept where this machine is, take no trip. `prefer`: the fewest TRIPS, or
    the fewest DRIVES.
    """
    asked: list[tuple[destinations.Destination, bytes | None]] = []
    for alias, below in _outermost(
        [(source, destinations.scope(path)), *((a, destinations.scope(p)) for a, p in more)]
    ):
        found = destinations.destinations(session, source=alias, to=to)
        refuse_unknown(session, found, below)
        asked += [(place, below) for place in found]
    places = list({place.source.key: place for place, _ in asked}.values())
    usable = _usable(session, without, here)
    unreachable: list[NamedFile] = []
    groups: PlacementCounts = {}
    differing = 0
    bare_places = [one for one in asked if all_of_it or _is_bare(one[0].directory)]
    if bare_places:
        for place, scope in bare_places:
            for key, count in wanted_totals(session, place.source.key, scope).items():
                groups[key] = groups.get(key, NOTHING) + count
        bare = {key for key in groups if not placement_by_id(session, key).anywhere & usable.keys()}
        if bare:
            for place, scope in bare_places:
                files = _bare_files(session, place.source, scope, bare)
                unreachable += islice(files, UNREACHABLE_SHOWN - len(unreachable))
    for place, scope in asked:
        if (place, scope) not in bare_places:
            differing += yield from _look(session, place, scope, usable.keys(), unreachable, groups)
    trips = _trips(session, usable, here)
    rank = {key: rank for key, (_, rank) in usable.items()}
    plan = planning.plan_targets(_by_holders(session, groups), rank, places=trips, prefer=prefer)
    targets = {key: target for key, (target, _) in usable.items()}
    kept = kept_at(session)
    steps = (
        replace(step, place=kept.called(step.target), trip=step.target.key in trips)
        for step in _with_claims(session, groups, targets, plan.steps)
    )
    yield PlanSummary(
        plan.missing,
        plan.unreachable,
        plan.exact,
        plan.why,
        tuple(steps),
        tuple(unreachable),
        differing,
        told.known_as_of(place.source for place in places),
        told.unheard(session, [place.source for place in places]),
        bool(kept.named),
    )


def _trips(session: Session, usable: Mapping[int, tuple[Target, int]], here: Collection[str] = ()) -> dict[int, str]:
    """The place of each usable target that has to be fetched from another one than this machine's."""
    kept = kept_at(session)
    away = {key: place for key, place in target_places(session).items() if place != folded_place(kept.here)}
    return {key: place for key, place in away.items() if key in usable and usable[key][0].id not in here}


def _outermost(scopes: Sequence[tuple[str | None, bytes | None]]) -> list[tuple[str | None, bytes | None]]:
    """The scopes that lie in no other one: nothing is counted twice."""

    def inside(one: tuple[str | None, bytes | None], other: tuple[str | None, bytes | None]) -> bool:
        if other[0] is not None and other[0] != one[0]:
            return False
        return other[1] is None or (one[1] is not None and names.below(one[1], other[1]) is not None)

    found: list[tuple[str | None, bytes | None]] = []
    for one in dict.fromkeys(scopes):
        if not any(inside(one, other) for other in found):
            found = [other for other in found if not inside(other, one)]
            found.append(one)
    return found


def refuse_unknown(
    session: Session, places: Sequence[destinations.Destination], scope: bytes | None, *, deleted: bool = False
) -> None:
    """Raise Refused where nothing (with `deleted`: nothing that is gone) is known at or below a path in any source."""
    if scope is None or any(_knows(session, place.source, scope, deleted=deleted) for place in places):
        return
    if len(places) != 1:
        raise Refused("no-such-path/nothing-known", path=scope)
    raise Refused("no-such-path/nothing-known-of-source", path=scope, source=places[0].source.alias)


def _knows(session: Session, source: Source, scope: bytes, *, deleted: bool) -> bool:
    if deleted:
        return next(list_gone(session, source.key, scope), None) is not None
    return (
        directory_key(session, source.key, scope) is not None
        or bool(wanted_totals(session, source.key, scope))
        or next(wanted_back(session, source.key, scope), None) is not None
        or next(empty_directories(session, source.key, scope), None) is not None
    )


def _is_bare(directory: bytes) -> bool:
    """Whether nothing at all stands where files are to go: then all are missing, and no look at each is needed."""
    try:
        with os.scandir(directory) as entries:
            return next(entries, None) is None
    except FileNotFoundError:
        return True
    except OSError:
        return False  # the look says what is wrong


def _usable(session: Session, without: Collection[Target], here: Collection[str] = ()) -> dict[int, tuple[Target, int]]:
    """The targets a restore may be told to use, with their rank: 0 the best to read from. One that is here comes before
    one of its kind that has to be fetched."""
    out = {target.key for target in without}
    return {
        target.key: (
            target,
            2 * (_RANK[target.state] if target.known else _RANK_UNKNOWN) + (bool(here) and target.id not in here),
        )
        for target in list_targets(session, unknown=True)
        if target.key not in out and target.state is not TargetState.LOST
    }


def _by_holders(session: Session, groups: Mapping[int, Count]) -> dict[frozenset[int], Count]:
    return sum_by((placement_by_id(session, key).anywhere, count) for key, count in groups.items())


def _bare_files(
    session: Session, source: Source, scope: bytes | None, placements: Collection[int]
) -> Iterator[NamedFile]:
    if has_expected(session):
        for file in wanted_back(session, source.key, scope):
            if file.content is not None and file.placement in placements:
                yield NamedFile(source.alias, file.path, file.content.size)
        return
    for _, directory, file in files_below(session, source.key, scope or b"", placements=placements):
        yield NamedFile(source.alias, join(directory, file.name), file.content.size)


def _look(
    session: Session,
    place: destinations.Destination,
    scope: bytes | None,
    usable: KeysView[int],
    unreachable: list[NamedFile],
    groups: PlacementCounts,
) -> Generator[Progress, None, int]:
    """Add what is missing at a destination; returns at how many another file stands."""
    differing, sums = 0, defaultdict[int, list[int]](lambda: [0, 0])
    files = wanted_files(session, place.source.key, scope)
    with destinations.open_destination(place.directory) or nullcontext() as root:
        for found in destinations.look(session, place, root, files):
            if isinstance(found, Progress):
                yield found
                continue
            row = found.wanted
            assert row.content is not None
            if found.state in (destinations.DestinationState.MISSING, destinations.DestinationState.OUTDATED):
                sums[row.placement][0] += 1
                sums[row.placement][1] += row.content.size
                shows = len(unreachable) < UNREACHABLE_SHOWN
                if shows and usable.isdisjoint(placement_by_id(session, row.placement).anywhere):
                    unreachable.append(NamedFile(place.source.alias, row.path, row.content.size))
            elif found.state is destinations.DestinationState.DIFFERS:
                differing += 1
    for key, pair in sums.items():
        groups[key] = groups.get(key, NOTHING) + Count(*pair)
    return differing


def _with_claims(
    session: Session, groups: Mapping[int, Count], targets: Mapping[int, Target], steps: Iterable[planning.Step]
) -> Iterator[PlannedStep]:
    left = {key: placement_by_id(session, key) for key in groups}
    for step in steps:
        here = [key for key, each in left.items() if step.target in each.anywhere]
        claimed = sum((groups[key] for key in here if step.target in left[key].claimed), NOTHING)
        yield PlannedStep(targets[step.target], step.brings, step.remaining, claimed)
        for key in here:
            del left[key]


def next_target(
    session: Session, groups: Mapping[int, Count], *, without: Collection[Target] = ()
) -> NextTarget | None:
    """The target to plug in next for what is missing, given by placement id; None where no usable target has any."""
    usable = _usable(session, without)
    rank = {key: rank for key, (_, rank) in usable.items()}
    plan = planning.plan_targets(_by_holders(session, groups), rank, places=_trips(session, usable))
    if not plan.steps:
        return None
    first = plan.steps[0]
    return NextTarget(usable[first.target][0], first.brings.files, first.brings.bytes)


def unreachable(session: Session, groups: Mapping[int, Count]) -> Count:
    """The part of what is missing, given by placement id, that no usable target is said to hold."""
    usable = _usable(session, ()).keys()
    bare = (count for key, count in groups.items() if not placement_by_id(session, key).anywhere & usable)
    return sum(bare, NOTHING)
