"""Which drive should be picked up next, and what will it make safe: the one answer every front end gives."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from medback_core.coverage.shelf_room import room_seen
from medback_core.model import Count, Need, Target
from medback_core.presenting.places import at
from medback_core.presenting.units import counted, name, size
from medback_core.session import Session
from medback_core.session.candidates import Extent, known_extent
from medback_core.session.copies import bytes_on
from medback_core.session.counting import NOTHING
from medback_core.session.needs import places, target_places, wants_of
from medback_core.session.placements import all_placements
from medback_core.session.sources import list_sources
from medback_core.session.targets import counting_keys, list_targets
from medback_core.session.tree import directory_key, sizes_within, totals_by_source, totals_of


@dataclass(frozen=True, slots=True)
class Offer:
    """What a drive could do for what is not safe. Counts are paths: all that a copy there brings nearer to safe
    (`takes`), and the part of it that has all its copies then (`saves`). `room`: bytes that could go there, when it was
    last seen, None where this session has not seen it yet; `fits`: all of it goes there."""

    target: Target
    takes: Count
    saves: Count
    room: int | None
    fits: bool
    here: bool = False

    @property
    def order(self) -> tuple[int, int, int]:
        """Sorts the best first: one that is here and takes half of it or more, one that takes all, the one that takes
        most, one whose room is not known."""
        if self.room is None:
            return 0 if self.here else 3, -self.takes.bytes, self.target.key
        most = min(self.room, self.takes.bytes)
        rank = 0 if self.here and (self.fits or 2 * most >= self.takes.bytes) else 1 if self.fits else 2
        return rank, -most, self.target.key


@dataclass(frozen=True, slots=True)
class NextDrive:
    """The answer. `offers`: drives that take at least one file, the best first. `too_large`: the size of the largest
    file where it is larger than every drive, else 0. Counts are paths."""

    unsafe: Count = NOTHING
    offers: tuple[Offer, ...] = ()
    too_large: int = 0
    apart: Count = NOTHING  # what lacks a copy elsewhere that no drive can take
    place: str = ""  # … elsewhere than here, as people write it
    places: Mapping[int, str] = field(default_factory=dict)  # target key -> where it is kept; empty: none was named

    @property
    def best(self) -> Offer | None:
        """The drive to pick up next."""
        return next(iter(self.offers), None)

    def with_here(self, here: Collection[str]) -> NextDrive:
        """The answer where the drives with these ids are plugged in."""
        offers = [replace(offer, here=offer.target.id in here) for offer in self.offers]
        return replace(self, offers=tuple(sorted(offers, key=lambda offer: offer.order)))


ALL_SAFE = NextDrive()


@dataclass(frozen=True, slots=True)
class _Group:
    """Files of one source that lie on the same drives (`solid`) and need the same."""

    source: int
    placement: int
    solid: frozenset[int]
    count: Count
    need: Need
    short: int  # copies
    apart: int  # copies at another place

    def gains(self, target: int, place: str) -> bool:
        """Whether a copy on this drive, at this place, brings the files nearer to safe."""
        return target not in self.solid and (self.short > 0 or (self.apart > 0 and place != self.need.place))

    def is_safe_with(self, place: str) -> bool:
        """Whether one copy more, at this place, is the last they need."""
        return self.short <= 1 and self.apart - (place != self.need.place) <= 0


def next_drive(
    session: Session,
    source: int | None = None,
    path: bytes = b"",
    *,
    dead: Collection[int] = (),
    but: int | None = None,
) -> NextDrive:
    """The answer for all sources, or for a directory of one. `dead`: keys of drives that do not count; `but`: the key
    of one that is not to be named, since it just took all it can. A drive's room is the sum a backup chooses by, so
    that one which is named takes a file. Of a million files in a few milliseconds, and in some tenths of a second where
    it must be known how large single files are."""
    counting = counting_keys(session) - frozenset(dead)
    groups = list(_groups(session, source, path, counting))
    unsafe = sum((group.count for group in groups), NOTHING)
    if not unsafe.files:
        return ALL_SAFE
    targets = [target for target in list_targets(session) if target.key in counting]
    offers, where, known = [], target_places(session), known_extent(session)
    held = bytes_on(session, [target.key for target in targets])
    rooms = {target.key: room_seen(session, target, known, held) for target in targets}
    for target in targets:
        lacking = [group for group in groups if group.gains(target.key, where[target.key])]
        takes, room = sum((group.count for group in lacking), NOTHING), rooms[target.key]
        if target.key == but or not takes.files:
            continue
        saves = sum((group.count for group in lacking if group.is_safe_with(where[target.key])), NOTHING)
        if target.free_bytes is None:  # known from sidecars alone
            offers.append(Offer(target, takes, saves, None, False))
        elif _takes_one(session, lacking, path, room.largest):
            fits = room.takes_all(takes, known.directories) and not _is_one_above(session, lacking, path, room.max_file)
            offers.append(Offer(target, takes, saves, room.content, fits))
    taking = [where[offer.target.key] for offer in offers]
    lacking = [group for group in groups if group.apart > 0 and all(at == group.need.place for at in taking)]
    apart, kept_at = sum((group.count for group in lacking), NOTHING), places(session)
    from_place = kept_at.shown(lacking[0].need.place) if lacking else ""
    kept = {target.key: kept_at.called(target) for target in targets} if kept_at.named else {}
    too_large = _too_large(session, groups, path, targets, known, held)
    return NextDrive(unsafe, tuple(offers), too_large, apart, from_place, kept).with_here(())


def _groups(session: Session, source: int | None, path: bytes, counting: frozenset[int]) -> Iterator[_Group]:
    """What is not safe, by source, placement and what is wanted."""
    placements, where = all_placements(session), target_places(session)
    whole = {} if path else totals_by_source(session)
    for one in list_sources(session):
        if source is not None and one.key != source:
            continue
        key = directory_key(session, one.key, path) if path else None
        totals = whole.get(one.key, {}) if key is None else totals_of(session, key)
        for need, part in wants_of(session, one).parts(session, path, totals):
            for number, count in part.items():
                solid = placements[number].solid & counting
                short = need.copies - len(solid)
                apart = need.elsewhere - sum(where[holder] != need.place for holder in solid) if need.elsewhere else 0
                if count.files and (short > 0 or apart > 0):
                    yield _Group(one.key, number, solid, count, need, short, apart)


def _takes_one(session: Session, groups: Sequence[_Group], path: bytes, largest: int) -> bool:
    """Whether at least one of these files is no larger than this. None of them is looked up where one of average size
    is not in one of the groups: the smallest is no larger."""
    if any(largest >= group.count.bytes // group.count.files for group in groups):
        return True
    return any(True for _ in _sizes(session, groups, path, (0, largest)))


def _is_one_above(session: Session, groups: Sequence[_Group], path: bytes, bound: int | None) -> bool:
    """Whether one of these files is larger than this, which no drive with such a bound takes."""
    if bound is None or sum(group.count.bytes for group in groups) <= bound:
        return False
    return any(True for _ in _sizes(session, groups, path, (bound + 1, (1 << 63) - 1)))


def _too_large(
    session: Session,
    groups: Sequence[_Group],
    path: bytes,
    targets: Sequence[Target],
    known: Extent,
    held: Mapping[int, int],
) -> int:
    """The size of the largest file that no drive could take when it is empty; 0 where there is none."""
    if not targets or any(target.total_bytes is None and target.capacity is None for target in targets):
        return 0
    most = max(room_seen(session, target, known, held, empty=True).largest for target in targets)
    groups = [group for group in groups if group.count.bytes > most]  # no file is larger than all of its group
    return max(_sizes(session, groups, path, (most + 1, (1 << 63) - 1)), default=0)


def _sizes(session: Session, groups: Sequence[_Group], path: bytes, bounds: tuple[int, int]) -> Iterator[int]:
    if bounds[0] > bounds[1]:
        return
    for source in {group.source: None for group in groups}:
        numbers = [group.placement for group in groups if group.source == source]
        yield from sizes_within(session, source, path, numbers, bounds)


def next_words(answer: NextDrive, *, otherwise: str, away: str = "plug in") -> str:
    """`plug in Blue (room for 42 GiB): it makes all of this safe`; "" where all is safe. `otherwise`: what to do where
    no drive takes anything more, as the front end says it; `away`: what to do with a drive that is not here. It says
    so where a drive for another place is needed."""
    if not answer.unsafe.files:
        return ""
    best = answer.best
    if best is None:
        words = otherwise
        if answer.apart == answer.unsafe:
            words += f", one for another place than {name(answer.place)}"
    else:
        kept = f"{at(answer.places[best.target.key])}, " if best.target.key in answer.places else ""
        room = "room not known" if best.room is None else f"room for {size(best.room)}"
        label = f"{'back up onto' if best.here else away} {name(best.target.name)} ({kept}{room})"
        if best.room is None:
            words = f"{label}: it lacks {counted(best.takes)}"
        elif not best.fits:
            part = f"at most {size(best.room)}" if best.room < best.takes.bytes else "some"
            words = f"{label}: it takes {part} of {counted(best.takes)}"
        elif best.saves == answer.unsafe:
            words = f"{label}: it makes all of this safe"
        elif best.takes == answer.unsafe:
            words = f"{label}: one more copy of all of it"
        else:
            words = f"{label}: it takes {counted(best.takes)}"
    if answer.apart.files and (best is not None or answer.apart != answer.unsafe):
        words += f"; for {counted(answer.apart)} a drive for another place than {name(answer.place)} is needed"
    if answer.too_large:
        words += f"; bigger than every drive you own: {size(answer.too_large)}"
    return words
