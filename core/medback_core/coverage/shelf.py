"""The shelf: what each drive holds, by source or directory, and what is only there. From the roll-up, never by file."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from medback_core.coverage.places import PlaceShelf, place_shelves
from medback_core.coverage.what_if import NO_LOSS, loss_of
from medback_core.model import Happened, Source, Target, TargetState
from medback_core.planning.restore_order import Loss
from medback_core.session import Session
from medback_core.session.copies import held_by_target
from medback_core.session.counting import NOTHING
from medback_core.session.history import list_history
from medback_core.session.needs import places
from medback_core.session.placements import placement_by_id
from medback_core.session.sources import list_sources
from medback_core.session.targets import counting_keys, list_targets
from medback_core.session.tree import PlacementCounts, directory_key, largest_children, totals_by_source, totals_of

PARTS_MAX = 6  # so many have a look of their own; the rest of a source is one more


@dataclass(frozen=True, slots=True)
class Part:
    """A directory at the top of a source. `path` is b"" for what lies in none of those that stand alone."""

    source: str  # alias
    path: bytes

    @property
    def name(self) -> bytes:
        """What it is called, beside others."""
        return self.path or self.source.encode("utf-8", "surrogatepass")


@dataclass(frozen=True, slots=True)
class HeldPart:
    """What a drive holds of a part, in bytes of paths: what counts elsewhere too, and what is only here."""

    part: int  # its number
    elsewhere: int
    only: int


@dataclass(frozen=True, slots=True)
class Box:
    """One drive of the shelf, in bytes. `older`: contents no file has now; `other`: what is not medback's. Without
    `total` its size is not known yet."""

    target: Target
    place: str  # as people write it; "" where no place was named
    parts: tuple[HeldPart, ...]
    older: int
    other: int
    free: int
    total: int
    damaged: int  # files found damaged since its last repair
    pulled: bool = False


@dataclass(frozen=True, slots=True)
class Shelf:
    """The drives that are not lost, by place. `loss`: what it would cost if those pulled out died; `places`: how far
    behind each is, empty where none has a name."""

    parts: tuple[Part, ...] = ()
    boxes: tuple[Box, ...] = ()
    places: tuple[PlaceShelf, ...] = ()
    loss: Loss = NO_LOSS


def read_shelf(session: Session, pulled: Collection[int] = ()) -> Shelf:
    """The shelf with these drives (keys) pulled out of it."""
    all_held = held_by_target(session)  # first: it reads all placements at once
    parts, totals = _parts(session)
    counting = counting_keys(session) - frozenset(pulled)
    known, damaged = places(session), _damaged(session)
    boxes = []
    targets = [target for target in list_targets(session) if target.state is not TargetState.LOST]
    if known.named:
        here = known.of(Target(0, "", ""))
        targets.sort(key=lambda target: (known.of(target) != here, known.called(target).casefold()))
    bytes_held = [_held(session, one, counting) for one in totals]
    for target in targets:
        held = [HeldPart(number, *one.get(target.key, (0, 0))) for number, one in enumerate(bytes_held)]
        there = all_held.get(target.key, NOTHING).bytes
        whole, capacity = target.total_bytes or 0, target.capacity
        if capacity is not None:
            whole = min(capacity, whole or capacity)
        free = min(target.free_bytes or 0, max(0, whole - there)) if whole else 0
        boxes.append(
            Box(
                target,
                known.called(target) if known.named else "",
                tuple(one for one in held if one.elsewhere or one.only),
                older=max(0, there - sum(one.elsewhere + one.only for one in held)),
                other=max(0, whole - free - there),
                free=free,
                total=whole,
                damaged=damaged.get(target.id, 0),
                pulled=target.key in pulled,
            )
        )
    loss = loss_of(session, pulled) if pulled else NO_LOSS
    return Shelf(tuple(parts), tuple(boxes), tuple(place_shelves(session)), loss)


def _parts(session: Session) -> tuple[list[Part], list[PlacementCounts]]:
    """The largest directories at the top of all sources, then the rest of each source; each with its totals."""
    sources, whole = list_sources(session), totals_by_source(session)
    tops: list[tuple[int, Source, int, bytes]] = []
    for source in sources:
        root = directory_key(session, source.key, b"")
        if root is not None:
            tops += [(size, source, key, path) for key, path, size in largest_children(session, root, PARTS_MAX)]
    tops.sort(key=lambda top: (-top[0], top[1].key, top[3]))
    parts, totals, rest = [], [], {source.key: dict(whole[source.key]) for source in sources}
    for _, source, key, path in tops[:PARTS_MAX]:
        mine = totals_of(session, key)
        parts.append(Part(source.alias, path))
        totals.append(mine)
        for placement, count in mine.items():
            rest[source.key][placement] -= count
    for source in sources:
        if any(count.bytes for count in rest[source.key].values()):
            parts.append(Part(source.alias, b""))
            totals.append(rest[source.key])
    return parts, totals


def _held(session: Session, totals: PlacementCounts, counting: frozenset[int]) -> dict[int, tuple[int, int]]:
    """By target: the bytes it holds that another one that counts holds too, and those that none does."""
    held: dict[int, tuple[int, int]] = {}
    for placement, count in totals.items():
        solid = placement_by_id(session, placement).solid
        others = solid & counting
        for target in solid:
            elsewhere, only = held.get(target, (0, 0))
            alone = others <= {target}
            held[target] = (elsewhere, only + count.bytes) if alone else (elsewhere + count.bytes, only)
    return held


def _damaged(session: Session) -> dict[str, int]:
    """By id of a drive: what was found damaged since its last repair or backup; both put right what they can."""
    found: dict[str, int] = {}
    for entry in list_history(session):
        if entry.what is Happened.DAMAGE:
            found[entry.target] = found.get(entry.target, 0) + entry.files
        elif entry.what in (Happened.REPAIR, Happened.BACKUP):
            found[entry.target] = 0
    return found
