"""What all drives together still lack: the contents below their wanted copies, and the room for the missing copies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from medback_core.disk.filesystem import largest_file
from medback_core.drives.room import Room, Space, default_reserve, room_of
from medback_core.model import Count, Target
from medback_core.session import Session
from medback_core.session.candidates import Extent, below_wanted_groups, chosen_count
from medback_core.session.copies import bytes_on
from medback_core.session.needs import target_places
from medback_core.session.targets import list_targets


@dataclass(frozen=True, slots=True)
class Shortage:
    """`below`: identities with fewer countable copies than wanted. `room_bytes`: what must at least be added to the
    shelf before all missing copies can be made; no drive takes a second copy of what it holds."""

    below: Count
    room_bytes: int


def shortage(session: Session, here: Target | None = None, room: int = 0, *, chosen: bool = False) -> Shortage:
    """What the shelf lacks, going by the room of each active target when it was last seen, less its reserve.

    `here` is the target that is plugged in, with `room` bytes that may still go there; with `chosen`, as it will be
    once the chosen candidates of a backup lie on it.
    """
    counted = [target for target in list_targets(session) if target.counts]
    held = bytes_on(session, [target.key for target in counted])
    rooms = {target.key: _bytes_seen(target, held[target.key]) for target in counted}
    if here is not None:
        rooms[here.key] = room - (chosen_count(session).bytes if chosen else 0)
    counting, where = frozenset(rooms), target_places(session)
    takes = dict.fromkeys(rooms, 0)  # bytes that are below their wanted copies and not there yet
    below, needed = Count(), 0
    for group in below_wanted_groups(session, counting, chosen_on=here.key if here and chosen else None):
        below += group.contents
        needed += group.lack * group.contents.bytes
        for key in counting - group.holders:
            if where[key] != group.barred:
                takes[key] += group.contents.bytes
    could_take = sum(min(takes[key], max(0, left)) for key, left in rooms.items())
    return Shortage(below, max(0, needed - could_take))


def _bytes_seen(target: Target, held: int) -> int:
    """The bytes of content that could go onto a target at most: free when it was last seen, less its reserve, within
    its capacity. What is written of them is not taken off: what must be added is at least what is told."""
    free = 0 if target.free_bytes is None else target.free_bytes - default_reserve(target.total_bytes or 0)
    return free if target.capacity is None else min(free, target.capacity - held)


def room_seen(
    session: Session,
    target: Target,
    known: Extent | None = None,
    held: Mapping[int, int] | None = None,
    *,
    empty: bool = False,
) -> Room:
    """The room of a target when it was last seen, or, where it is known, of all of it (`empty`). It is no more than the
    room a backup finds there as long as nothing else was put there. `known`, `held`: see `room_of`."""
    total = target.total_bytes or 0
    free = (total or target.capacity or 0) if empty else target.free_bytes or 0
    room = room_of(session, target, Space(total, free, largest_file(target.fs_type or "")), known=known, held=held)
    return replace(room, allowed=target.capacity) if empty else room
