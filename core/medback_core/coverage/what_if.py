"""What would be lost, and what weakened, if drives died: from the totals of the sources, never file by file."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from medback_core import names
from medback_core.errors import Refused
from medback_core.model import Count, Need, Source, Target, TargetState, folded_place
from medback_core.planning import restore_order as planning
from medback_core.planning.restore_order import Held, Loss
from medback_core.session import Session
from medback_core.session.counting import NOTHING
from medback_core.session.files import join
from medback_core.session.needs import every_part, places, target_places
from medback_core.session.placements import all_placements, placement_by_id
from medback_core.session.sources import list_sources
from medback_core.session.targets import disk_groups, list_targets
from medback_core.session.tree import files_below, totals_by_source


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
    one that is only listed is none): gone if the source dies too. `weakened`: files that lose a countable copy, are
    not lost, and then lack copies that are wanted, or copies elsewhere. `already_bare`: files that have no copy
    even now.
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
class PlaceLoss:
    """What it would cost if places were gone, with all their targets and all sources at them, and further targets.
    Counts are paths.

    `lost`: files of these sources that have no copy on any target that is left (one that is only listed is none): gone
    for good. `back`: the other files of these sources; `by` are the targets that bring them, and what each brings.
    `weakened`: files, of any source, that lose a countable copy, are not lost, and then lack copies that are wanted, or
    copies elsewhere.
    """

    places: tuple[str, ...]  # as people write them
    targets: tuple[Target, ...]  # all that are gone
    further: tuple[Target, ...]  # those of them that are kept at none of these places
    sources: tuple[Source, ...]
    lost: Count
    weakened: Count
    back: Count
    by: tuple[tuple[Target, Count], ...]
    lost_files: Iterator[NamedFile]  # directory by directory, read as it is asked for


@dataclass(frozen=True, slots=True)
class WhatIfEvery:
    """Every single target and every pair, the worst first; those that lie on one disk, which would be lost together;
    and every place with all that is kept there."""

    single: tuple[TargetsLoss, ...]
    pairs: tuple[TargetsLoss, ...]
    already_bare: Count
    together: tuple[TargetsLoss, ...] = ()
    places: tuple[PlaceLoss, ...] = ()


_Groups: TypeAlias = dict[Held, Count]
Part: TypeAlias = tuple[Need, Mapping[int, Count]]
"""What is wanted of some files, and these files by placement."""
NO_LOSS = Loss()


@dataclass(frozen=True, slots=True)
class _Held:
    """The files of all sources by who holds them: what every what-if is computed from."""

    usable: _Groups  # by the targets a restore would read, wanted 1: of these nothing is ever weakened
    counted: _Groups  # by the targets whose copies count, and what is wanted
    both: _Groups  # like `usable`, only of files that have a countable copy
    bare: Count


def _held(session: Session, parts: Iterable[Part] | None = None) -> _Held:
    """`parts`: what is asked about, by what is wanted; all sources where there are none."""
    if parts is None:
        parts = ((need, part) for _, need, part in every_part(session, totals_by_source(session)))
    targets = list_targets(session)
    usable = frozenset(target.key for target in targets if target.state is not TargetState.LOST)
    counting = frozenset(target.key for target in targets if target.counts)
    held = _Held({}, {}, {}, NOTHING)
    bare, where = NOTHING, target_places(session)
    for need, part in parts:
        for key, count in part.items():
            solid = placement_by_id(session, key).solid
            if not solid & usable:
                bare += count
            _add(held.usable, Held(solid & usable, 1), count)
            if solid & counting:
                _add(held.counted, _wanted(need, solid & counting, where), count)
                _add(held.both, Held(solid & usable, 1), count)
    return _Held(held.usable, held.counted, held.both, bare)


def _wanted(need: Need, counting: frozenset[int], where: Mapping[int, str]) -> Held:
    """Targets that count, and what is wanted of what they hold."""
    if not need.elsewhere:
        return Held(counting, need.copies)
    return Held(counting, need.copies, frozenset(k for k in counting if where[k] != need.place), need.elsewhere)


def _add(groups: _Groups, key: Held, count: Count) -> None:
    groups[key] = groups.get(key, NOTHING) + count


def _loss(usable: Loss, counted: Loss, both: Loss) -> Loss:
    # What loses a countable copy and then lacks what is wanted has either none at all left on any drive, and is lost,
    # or it is weakened.
    return Loss(usable.lost, counted.lost + counted.weakened - both.lost)


def what_if(session: Session, targets: Sequence[Target]) -> WhatIf:
    """What would be lost and weakened if these targets died together. See WhatIf for what the words mean."""
    held = _held(session)
    dead = frozenset(target.key for target in targets)
    loss = _lost_with(held, dead)
    return WhatIf(loss.lost, loss.weakened, held.bare, _lost_files(session, dead))


def loss_of(session: Session, dead: Collection[int], parts: Iterable[Part] | None = None) -> Loss:
    """What would be lost and weakened of these files (None: of all) if these targets (by key) died. See WhatIf for what
    the words mean."""
    return _lost_with(_held(session, parts), frozenset(dead))


def _lost_files(session: Session, dead: frozenset[int]) -> Iterator[NamedFile]:
    usable = frozenset(t.key for t in list_targets(session) if t.state is not TargetState.LOST)
    lost = [key for key, each in all_placements(session).items() if (here := each.solid & usable) and not here - dead]
    aliases = {source.key: source.alias for source in list_sources(session)}
    for source, directory, file in files_below(session, placements=lost):
        yield NamedFile(aliases[source], join(directory, file.name), file.content.size)


def what_if_every(session: Session) -> WhatIfEvery:
    """What would be lost and weakened if any one target died, and any two: those a restore would use, worst first; and
    what each place would take with it, where anybody named one."""
    held = _held(session)
    targets = {t.key: t for t in list_targets(session) if t.state is not TargetState.LOST}
    every = [planning.every_single_and_pair(groups, targets) for groups in (held.usable, held.counted, held.both)]
    single, pairs = zip(*every, strict=True)
    losses = [(group, _lost_with(held, frozenset(one.key for one in group))) for group in disk_groups(session)]
    together = [TargetsLoss(group, loss.lost, loss.weakened) for group, loss in losses]
    together.sort(key=lambda one: (-one.lost.bytes, -one.lost.files, -one.weakened.bytes))
    every_place = [_places_loss(session, {place}) for place in _places_in_use(session)]
    every_place.sort(key=lambda one: (-one.lost.bytes, -one.lost.files, -one.weakened.bytes, one.places))
    alone, in_pairs = _worst_first(targets, *single), _worst_first(targets, *pairs)
    return WhatIfEvery(alone, in_pairs, held.bare, tuple(together), tuple(every_place))


# --- places -----------------------------------------------------------------------------------------------------------


def _places_in_use(session: Session) -> list[str]:
    """The places (folded) where a source or a target that is not lost is kept; none where none was named."""
    known = places(session)
    if not known.named:
        return []
    kept = [known.of(source) for source in list_sources(session)]
    kept += [known.of(target) for target in list_targets(session) if target.state is not TargetState.LOST]
    return sorted(set(kept))


def what_if_places(session: Session, gone: Sequence[str], further: Sequence[Target] = ()) -> PlaceLoss:
    """What would be lost, come back and be weakened if all that is kept at some places were gone, and these targets
    too. Raises Refused for a place nothing is kept at."""
    known = places(session)
    used = _places_in_use(session) or [folded_place(known.here)]
    for place in gone:
        if folded_place(place) not in used:
            listed = names.display_name(", ".join(map(known.shown, used)))
            raise Refused("no-such-place", place=place, known=listed)
    return _places_loss(session, {folded_place(place) for place in gone}, further)


def _places_loss(session: Session, gone_places: Collection[str], further: Sequence[Target] = ()) -> PlaceLoss:
    known, where = places(session), target_places(session)
    targets = {t.key: t for t in list_targets(session) if t.state is not TargetState.LOST}
    there = frozenset(key for key in targets if where[key] in gone_places)
    dead = there | (targets.keys() & {target.key for target in further})
    usable = targets.keys() - dead
    counting = frozenset(key for key, target in targets.items() if target.counts)
    lost = back = weakened = NOTHING
    groups: dict[frozenset[int], Count] = {}
    bare: dict[int, set[int]] = {}  # source -> placements of which nothing is left
    for source, need, part in every_part(session, totals_by_source(session)):
        gone = known.of(source) in gone_places
        for key, count in part.items():
            solid = placement_by_id(session, key).solid
            left = solid & usable
            if gone and not left:
                lost += count
                bare.setdefault(source.key, set()).add(key)
                continue
            if gone:
                back += count
                groups[left] = groups.get(left, NOTHING) + count
            if any(_wanted(need, solid & counting, where).without(dead)):
                weakened += count
    rank = {key: targets[key].state.badness for key in usable}
    plan = planning.plan_targets(groups, rank, places={key: where[key] for key in usable})
    sources = tuple(source for source in list_sources(session) if known.of(source) in gone_places)
    return PlaceLoss(
        tuple(known.shown(place) for place in sorted(gone_places)),
        tuple(targets[key] for key in sorted(dead)),
        tuple(targets[key] for key in sorted(dead - there)),
        sources,
        lost,
        weakened,
        back,
        tuple((targets[step.target], step.brings) for step in plan.steps),
        _bare_files(session, sources, bare),
    )


def _bare_files(session: Session, sources: Sequence[Source], bare: Mapping[int, set[int]]) -> Iterator[NamedFile]:
    for source in sources:
        if source.key in bare:
            for _, directory, file in files_below(session, source.key, placements=bare[source.key]):
                yield NamedFile(source.alias, join(directory, file.name), file.content.size)


def _lost_with(held: _Held, dead: frozenset[int]) -> Loss:
    return _loss(*(planning.loss_without(groups, dead) for groups in (held.usable, held.counted, held.both)))


def _worst_first(
    targets: Mapping[int, Target],
    usable: Mapping[tuple[int, ...], Loss],
    counted: Mapping[tuple[int, ...], Loss],
    both: Mapping[tuple[int, ...], Loss],
) -> tuple[TargetsLoss, ...]:
    found = [(keys, _loss(loss, counted[keys], both[keys])) for keys, loss in usable.items()]
    found.sort(key=lambda item: (-item[1].lost.bytes, -item[1].lost.files, -item[1].weakened.bytes, item[0]))
    return tuple(TargetsLoss(tuple(targets[key] for key in keys), loss.lost, loss.weakened) for keys, loss in found)
