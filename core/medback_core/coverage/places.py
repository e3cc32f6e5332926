"""What each place has, and how much of all holds 3-2-1: three copies with the original, two media, one elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

from medback_core.model import Count, Target, TargetState
from medback_core.session import Session
from medback_core.session.counting import NOTHING
from medback_core.session.needs import every_part, places
from medback_core.session.placements import placement_by_id
from medback_core.session.targets import counting_keys, disk_groups, list_targets
from medback_core.session.tree import totals_by_source


@dataclass(frozen=True, slots=True)
class ThreeTwoOne:
    """Files by what they lack of 3-2-1; one that lacks both is in both counts. Two targets on one disk are one medium.
    Counts are paths."""

    holds: Count = NOTHING
    without_elsewhere: Count = NOTHING
    without_second: Count = NOTHING


@dataclass(frozen=True, slots=True)
class PlaceShelf:
    """The targets of a place. `behind`: what one of them would bring nearer to safe, and none of them holds."""

    place: str  # as people write it
    targets: tuple[Target, ...]
    behind: Count
    last_there: int | None  # when one of them was last seen
    here: bool  # where this machine is


def has_places(session: Session) -> bool:
    return bool(places(session).named)


def three_two_one(session: Session) -> ThreeTwoOne:
    """How much of all sources holds 3-2-1, from their totals."""
    known, counting = places(session), counting_keys(session)
    where = {target.key: known.of(target) for target in list_targets(session)}
    medium = {target.key: min(one.key for one in group) for group in disk_groups(session) for target in group}
    holds = apart = second = NOTHING
    for _, need, part in every_part(session, totals_by_source(session)):
        for number, count in part.items():
            holders = placement_by_id(session, number).solid & counting
            away = any(where[key] != need.place for key in holders)
            two = len({medium.get(key, key) for key in holders}) > 1
            holds += count if away and two else NOTHING
            apart += NOTHING if away else count
            second += NOTHING if two else count
    return ThreeTwoOne(holds, apart, second)


def place_shelves(session: Session) -> list[PlaceShelf]:
    """The places where targets that are not lost are kept, this machine's first; none where no place was named."""
    known, counting = places(session), counting_keys(session)
    if not known.named:
        return []
    shelf: dict[str, list[Target]] = {}
    for target in list_targets(session):
        if target.state is not TargetState.LOST:
            shelf.setdefault(known.of(target), []).append(target)
    where = {target.key: place for place, targets in shelf.items() for target in targets}
    behind = dict.fromkeys(shelf, NOTHING)
    for _, need, part in every_part(session, totals_by_source(session)):
        for number, count in part.items():
            holders = placement_by_id(session, number).solid & counting
            elsewhere = sum(where[key] != need.place for key in holders)
            at = {where[key] for key in holders}
            for place in shelf.keys() - at:
                if len(holders) < need.copies or (place != need.place and elsewhere < need.elsewhere):
                    behind[place] += count
    here = known.of(Target(0, "", ""))
    found = [
        PlaceShelf(
            known.shown(place),
            tuple(targets),
            behind[place],
            max((target.seen_at for target in targets if target.seen_at), default=None),
            place == here,
        )
        for place, targets in shelf.items()
    ]
    return sorted(found, key=lambda one: (not one.here, one.place))
