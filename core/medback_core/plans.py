"""What would be lost if drives died, and which drives bring everything back: planning over what a session knows."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeAlias

from . import destinations, planning
from . import session as db
from .model import Count, Event, NextTarget, Progress, Source, Summary, Target, TargetState
from .planning import Loss
from .rating import NOTHING
from .session import PlacementCounts, Session

UNREACHABLE_SHOWN = 1000

# For a restore: a drive only somebody's record names may be there or not, so every drive we know comes before it,
# but those that seem to be failing.
_RANK = {TargetState.ACTIVE: 0, TargetState.RETIRED: 1, TargetState.SUSPECT: 3}
_RANK_UNKNOWN = 2


@dataclass(frozen=True, slots=True)
class NamedFile:
    """A file by its source's alias and its path there."""

    source: str
    path: bytes
    size: int


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What the death of some targets would cost. Counts are paths.

    `lost`: files that have a copy on them and none on any other drive a restore would use (active, retired, suspect;
    claims don't count): gone if the source dies too. `weakened`: files that lose a countable copy, keep one somewhere,
    and are then below the wanted number. `already_bare`: files that have no copy even now.
    """

    lost: Count
    weakened: Count
    already_bare: Count
    lost_files: Iterator[NamedFile]  # directory by directory, read as it is asked for


@dataclass(frozen=True, slots=True)
class TargetsLoss:
    """What the death of one target, or of two together, would cost."""

    targets: tuple[Target, ...]
    lost: Count
    weakened: Count


@dataclass(frozen=True, slots=True)
class WhatIfEvery:
    """Every single target and every pair, the worst first."""

    single: tuple[TargetsLoss, ...]
    pairs: tuple[TargetsLoss, ...]
    already_bare: Count


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """Plug in this target: it brings so much, so much is then still missing. Counts are paths."""

    target: Target
    brings: Count
    remaining: Count
    claimed: Count = NOTHING  # the part of `brings` that only somebody's word says is there


@dataclass(frozen=True, slots=True)
class PlanSummary(Summary):
    """The fewest targets that bring back all that is missing, in the order to plug them in. Counts are paths.

    When not `exact`, fewer targets might do; `why` says why that is not known. `differing`: another file stands at the
    destination, which a restore leaves alone; they are not among the missing.
    """

    missing: Count
    unreachable: Count  # no usable target is said to hold it
    exact: bool
    why: str
    steps: tuple[PlannedStep, ...]
    unreachable_files: tuple[NamedFile, ...]  # the first thousand
    differing: int = 0


# --- what if -------------------------------------------------------------------------------------------------------

_Groups: TypeAlias = dict[tuple[frozenset[int], int], Count]


@dataclass(frozen=True, slots=True)
class _Held:
    """The files of all sources by who holds them: what every what-if is computed from."""

    usable: _Groups  # by the targets a restore would read, wanted 1: of these nothing is ever weakened
    counted: _Groups  # by the targets whose copies count, and the wanted number
    both: _Groups  # like `usable`, only of files that have a countable copy
    bare: Count


def _held(session: Session) -> _Held:
    targets = db.list_targets(session)
    usable = frozenset(target.key for target in targets if target.state is not TargetState.LOST)
    counting = frozenset(target.key for target in targets if target.counts)
    held = _Held({}, {}, {}, NOTHING)
    bare = NOTHING
    totals = db.totals_by_source(session)
    for source in db.list_sources(session):
        for key, count in totals[source.key].items():
            solid = db.placement(session, key).solid
            if not solid & usable:
                bare += count
            _add(held.usable, (solid & usable, 1), count)
            if solid & counting:
                _add(held.counted, (solid & counting, source.wanted), count)
                _add(held.both, (solid & usable, 1), count)
    return _Held(held.usable, held.counted, held.both, bare)


def _add(groups: _Groups, key: tuple[frozenset[int], int], count: Count) -> None:
    groups[key] = groups.get(key, NOTHING) + count


def _loss(usable: Loss, counted: Loss, both: Loss) -> Loss:
    # What loses a countable copy and is then below the wanted number has either none at all left on any drive, and is
    # lost, or it is weakened.
    return Loss(usable.lost, counted.lost + counted.weakened - both.lost)


def what_if(session: Session, targets: Sequence[Target]) -> WhatIf:
    """What would be lost and weakened if these targets died together. See WhatIf for what the words mean."""
    held = _held(session)
    dead = frozenset(target.key for target in targets)
    loss = _loss(*(planning.what_if(groups, dead) for groups in (held.usable, held.counted, held.both)))
    return WhatIf(loss.lost, loss.weakened, held.bare, _lost_files(session, dead))


def _lost_files(session: Session, dead: frozenset[int]) -> Iterator[NamedFile]:
    usable = frozenset(t.key for t in db.list_targets(session) if t.state is not TargetState.LOST)
    lost = [
        key for key, each in db.all_placements(session).items() if (here := each.solid & usable) and not here - dead
    ]
    aliases = {source.key: source.alias for source in db.list_sources(session)}
    for source, directory, file in db.files_below(session, placements=lost):
        yield NamedFile(aliases[source], db.join(directory, file.name), file.content.size)


def what_if_every(session: Session) -> WhatIfEvery:
    """What would be lost and weakened if any one target died, and any two: those a restore would use, worst first."""
    held = _held(session)
    targets = {t.key: t for t in db.list_targets(session) if t.state is not TargetState.LOST}
    every = [planning.every_single_and_pair(groups, targets) for groups in (held.usable, held.counted, held.both)]
    single, pairs = ([dict(one[number]) for one in every] for number in (0, 1))
    return WhatIfEvery(_worst_first(targets, *single), _worst_first(targets, *pairs), held.bare)


def _worst_first(
    targets: Mapping[int, Target],
    usable: Mapping[tuple[int, ...], Loss],
    counted: Mapping[tuple[int, ...], Loss],
    both: Mapping[tuple[int, ...], Loss],
) -> tuple[TargetsLoss, ...]:
    found = [(keys, _loss(loss, counted[keys], both[keys])) for keys, loss in usable.items()]
    found.sort(key=lambda item: (-item[1].lost.bytes, -item[1].lost.files, -item[1].weakened.bytes, item[0]))
    return tuple(TargetsLoss(tuple(targets[key] for key in keys), loss.lost, loss.weakened) for keys, loss in found)


# --- the restore plan ----------------------------------------------------------------------------------------------


def restore_plan(
    session: Session,
    *,
    all_of_it: bool = False,
    source: str | None = None,
    path: bytes | None = None,
    to: bytes | None = None,
    without: Collection[Target] = (),
) -> Iterator[Event]:
    """Which targets to plug in, in which order, to get back what is missing at its destination; with `all_of_it`, what
    it would take if nothing stood there. Ends with a PlanSummary. Raises Refused.

    Only of `source` (alias), only at and below `path`; `to`: another place to restore to. Claims serve as well as
    copies we know; lost targets and those `without` are left out. Looking at destinations may read files.
    """
    places = destinations.destinations(session, source=source, to=to)
    scope = destinations.scope(path)
    usable = _usable(session, without)
    unreachable: list[NamedFile] = []
    groups: PlacementCounts = {}
    differing = 0
    if all_of_it:
        for place in places:
            for key, count in db.wanted_totals(session, place.source.key, scope).items():
                groups[key] = groups.get(key, NOTHING) + count
        bare = {key for key in groups if not db.placement(session, key).anywhere & usable.keys()}
        if bare:
            for place in places:
                files = _bare_files(session, place.source, scope, bare)
                unreachable += islice(files, UNREACHABLE_SHOWN - len(unreachable))
    else:
        for place in places:
            missing = _Missing(session, place.source, usable, unreachable, groups)
            yield from missing.look(place, scope)
            differing += missing.differing
    plan = planning.plan_targets(_by_holders(session, groups), {key: rank for key, (_, rank) in usable.items()})
    targets = {key: target for key, (target, _) in usable.items()}
    yield PlanSummary(
        plan.missing,
        plan.unreachable,
        plan.exact,
        plan.why,
        tuple(_with_claims(session, groups, targets, plan.steps)),
        tuple(unreachable),
        differing,
    )


def _usable(session: Session, without: Collection[Target]) -> dict[int, tuple[Target, int]]:
    """The targets a restore may be told to use, with their rank: 0 the best to read from."""
    out = {target.key for target in without}
    return {
        target.key: (target, _RANK[target.state] if target.known else _RANK_UNKNOWN)
        for target in db.list_targets(session, unknown=True)
        if target.key not in out and target.state is not TargetState.LOST
    }


def _by_holders(session: Session, groups: Mapping[int, Count]) -> dict[frozenset[int], Count]:
    found: dict[frozenset[int], Count] = {}
    for key, count in groups.items():
        holders = db.placement(session, key).anywhere
        found[holders] = found.get(holders, NOTHING) + count
    return found


def _bare_files(
    session: Session, source: Source, scope: bytes | None, placements: Collection[int]
) -> Iterator[NamedFile]:
    if db.has_expected(session):
        for file in db.wanted_back(session, source.key, scope):
            if file.content is not None and file.placement in placements:
                yield NamedFile(source.alias, file.path, file.content.size)
        return
    for _, directory, file in db.files_below(session, source.key, scope or b"", placements=placements):
        yield NamedFile(source.alias, db.join(directory, file.name), file.content.size)


class _Missing:
    """Gathers what is missing at the destination of one source."""

    def __init__(
        self,
        session: Session,
        source: Source,
        usable: Collection[int],
        unreachable: list[NamedFile],
        groups: PlacementCounts,
    ) -> None:
        self.differing = 0
        self._session = session
        self._source = source
        self._usable = frozenset(usable)
        self._unreachable = unreachable
        self._groups = groups

    def look(self, place: destinations.Destination, scope: bytes | None) -> Iterator[Progress]:
        sums: dict[int, list[int]] = {}
        files = (row for row in db.wanted_back(self._session, self._source.key, scope) if row.content is not None)
        root = destinations.open_root(place.directory)
        try:
            for found in destinations.look(self._session, place, root, files):
                if isinstance(found, Progress):
                    yield found
                elif found.state is destinations.State.MISSING:
                    assert found.wanted.content is not None
                    pair = sums.setdefault(found.wanted.placement, [0, 0])
                    pair[0] += 1
                    pair[1] += found.wanted.content.size
                    self._note(found.wanted.path, found.wanted.content.size, found.wanted.placement)
                elif found.state is destinations.State.DIFFERS:
                    self.differing += 1
        finally:
            if root is not None:
                root.close()
        for key, pair in sums.items():
            self._groups[key] = self._groups.get(key, NOTHING) + Count(*pair)

    def _note(self, path: bytes, size: int, placement: int) -> None:
        if len(self._unreachable) >= UNREACHABLE_SHOWN:
            return
        if not db.placement(self._session, placement).anywhere & self._usable:
            self._unreachable.append(NamedFile(self._source.alias, path, size))


def _with_claims(
    session: Session, groups: Mapping[int, Count], targets: Mapping[int, Target], steps: Iterable[planning.Step]
) -> Iterator[PlannedStep]:
    left = {key: db.placement(session, key) for key in groups}
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
    plan = planning.plan_targets(_by_holders(session, groups), {key: rank for key, (_, rank) in usable.items()})
    if not plan.steps:
        return None
    first = plan.steps[0]
    return NextTarget(usable[first.target][0], first.brings.files, first.brings.bytes)


def room_lacking(session: Session) -> int:
    """Bytes the shelf still lacks for all copies that are wanted and missing, given the room on each active target when
    it was last seen."""
    _, needed = db.below_wanted(session, db.counting_keys(session))
    room = 0
    for target in db.list_targets(session):
        if target.counts and target.free_bytes is not None:
            allowed = target.free_bytes
            if target.capacity is not None:
                allowed = min(allowed, target.capacity - db.held_by(session, target.key).bytes)
            room += max(0, allowed)
    return max(0, needed - room)
