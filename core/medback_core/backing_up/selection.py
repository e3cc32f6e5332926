"""Which files a drive gets: the choice of the best that fit."""

from __future__ import annotations

from collections.abc import Iterator

from medback_core.drives.room import Room
from medback_core.model import Count
from medback_core.session import Ranked, Session, choose, ranked


def choose_best(session: Session, room: Room, candidates: Count) -> Count:
    """Choose from the ranked candidates what goes onto the drive, and in which order; returns how much that is.

    If all fits, all goes in directory order. Else the choice is by exact rank, the next that fits when the best does
    not, and the copying in bands (fewest copies, then largest by powers of 16), directory order within a band: nearly
    the exact order, at a fifth of the sidecar writes (measured: 3.9 a directory against 19).
    """
    most = candidates.bytes + candidates.files * room.block
    if most <= room.free and (room.allowed is None or candidates.bytes <= room.allowed) and room.max_file is None:
        return choose(session, None)
    return choose(session, _bands(session, room))


def _bands(session: Session, room: Room) -> Iterator[tuple[int, int]]:
    for candidate in ranked(session):
        if room.max_file is not None and candidate.size > room.max_file:
            continue
        if room.fits(candidate.size):
            room = room.less(candidate.size)
            yield _band(candidate), candidate.rank


def _band(candidate: Ranked) -> int:
    # Sizes have at most 63 bits, so 16 bands of size within a number of copies.
    return (int(candidate.filler) << 20) + (candidate.copies << 5) + 16 - (candidate.size.bit_length() + 3) // 4
