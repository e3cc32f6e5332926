"""Which files a drive gets: the choice of the best that fit."""

from __future__ import annotations

from collections.abc import Iterator

from medback_core.backing_up.layout import Layout
from medback_core.drives.room import Directories, Room
from medback_core.model import Count
from medback_core.session import Session
from medback_core.session.candidates import Extent, choose, ranked


class Selection:
    """The choice of what goes onto one drive; `no_inodes`: what did not fit had room in bytes."""

    def __init__(self, session: Session, layout: Layout, room: Room) -> None:
        self.session = session
        self.layout = layout
        self.room = room
        self.no_inodes = False

    def choose(self, candidates: Count, extent: Extent) -> Count:
        """Choose from the ranked candidates what goes, and in which order; returns how much that is.

        If all fits, all goes in directory order. Else the choice is by exact rank, the next that fits when the best
        does not, and the copying in bands (fewest copies, then largest by powers of 16), directory order within a band:
        nearly the exact order, at a fifth of the sidecar writes (measured: 3.9 a directory against 19).
        """
        takes_all = self.room.max_file is None and self.room.takes_all(candidates, extent.directories, extent.names)
        return choose(self.session, None if takes_all else self._bands())

    def _bands(self) -> Iterator[tuple[int, int]]:
        room, directories = self.room, Directories(self.layout.drive.root, self.room)
        places: dict[tuple[int, bytes], bytes] = {}
        for candidate in ranked(self.session):
            if room.max_file is not None and candidate.size > room.max_file:
                continue
            source = candidate.source, candidate.directory
            place = places.get(source)
            if place is None:
                place = places[source] = self.layout.planned_directory(*source)
            twins = (candidate.paths - 1) * (40 + len(candidate.directory) + len(candidate.name))
            extra, inodes = directories.cost(place)
            cost = room.cost(candidate.size, len(candidate.name) + twins) + extra
            if room.fits(candidate.size, cost, inodes + 1):
                room = room.less(candidate.size, cost, inodes + 1)
                directories.enter(place)
                # Sizes have at most 63 bits, so 16 bands of size within what ranks alike else.
                band = (int(candidate.filler) << 24) + (candidate.copies << 6) + (int(not candidate.apart) << 5)
                yield (band + 16 - (candidate.size.bit_length() + 3) // 4), candidate.rank
            elif room.fits(candidate.size, cost, 0):
                self.no_inodes = True
