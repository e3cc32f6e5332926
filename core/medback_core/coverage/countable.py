"""How safe a placement is: the number of copies that count, and the sums of files by it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from medback_core import names
from medback_core.errors import Refused
from medback_core.model import Count
from medback_core.session import Session
from medback_core.session.placements import all_placements, placement_by_id
from medback_core.session.targets import counting_keys

NOTHING = Count()


class CopyCounter:
    """Placements as numbers of countable copies, each looked up once. Copies on the targets in `dead` do not count."""

    def __init__(self, session: Session, dead: Collection[int] = ()) -> None:
        self._session = session
        self._counting = counting_keys(session) - frozenset(dead)
        self._copies: dict[int, int] = {}

    def copies(self, placement: int) -> int:
        """How many copies of this placement count."""
        found = self._copies.get(placement)
        if found is None:
            found = self._copies[placement] = placement_by_id(self._session, placement).copies(self._counting)
        return found

    def below(self, wanted: int) -> frozenset[int]:
        """The placements with fewer countable copies than this."""
        return frozenset(key for key in all_placements(self._session) if self.copies(key) < wanted)

    def summed(self, totals: Mapping[int, Count], wanted: int) -> tuple[Count, dict[int, Count], Count]:
        """All, by number of copies (every one from 0 to at least `wanted`), and below `wanted`."""
        sums: dict[int, list[int]] = {}
        for placement, count in totals.items():
            pair = sums.setdefault(self.copies(placement), [0, 0])
            pair[0] += count.files
            pair[1] += count.bytes
        by_copies = {n: Count(*sums.get(n, ())) for n in range(max([wanted, *sums]) + 1)}
        return total(by_copies.values()), by_copies, total(c for n, c in by_copies.items() if n < wanted)


def total(counts: Iterable[Count]) -> Count:
    """The sum of some counts."""
    return sum(counts, Count())


def clean_path(path: bytes) -> bytes:
    """A path relative to a source as the session knows it: no `./`, no `//`, none at an end. Raises Refused."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if path.startswith(b"/") or b".." in parts:
        raise Refused("no-such-path", f"{names.display_name(path)} is not a path relative to a source")
    return b"/".join(parts)
