"""How values too large for SQLite's 64-bit integers are stored and read back."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import overload

from medback_core.model import Standing

_LIMIT = 1 << 63


@overload
def store_ns(value: int) -> int | str: ...
@overload
def store_ns(value: None) -> None: ...
def store_ns(value: int | None) -> int | str | None:
    """A time in nanoseconds as a column value: text where 64 bits do not hold it (after the year 2262)."""
    return value if value is None or -_LIMIT <= value < _LIMIT else str(value)


@overload
def load_ns(value: int | str) -> int: ...
@overload
def load_ns(value: None) -> None: ...
def load_ns(value: int | str | None) -> int | None:
    """The inverse of `store_ns`."""
    return int(value) if value.__class__ is str else value  # type: ignore[return-value]


def signed(value: int) -> int:
    """An inode or device number (unsigned 64 bits) as a signed one; equal numbers stay equal."""
    return value if value < _LIMIT else value - (1 << 64)


@dataclass(frozen=True, slots=True)
class Placement:
    """Target keys by the standing of the copy there."""

    verified: frozenset[int]
    written: frozenset[int]
    claimed: frozenset[int]

    @property
    def solid(self) -> frozenset[int]:
        """The targets whose copy would count if the target does."""
        return self.verified | self.written

    @property
    def anywhere(self) -> frozenset[int]:
        """The targets listed as holding it: a restore uses these."""
        return self.verified | self.written | self.claimed

    @property
    def members(self) -> Iterator[tuple[int, Standing]]:
        """Each target, and the standing of the copy there."""
        for standing, targets in zip(Standing, (self.claimed, self.written, self.verified), strict=True):
            yield from ((target, standing) for target in targets)

    def copies(self, counting: Collection[int]) -> int:
        """How many countable copies, given the keys of the targets that count."""
        return sum(1 for key in self.verified if key in counting) + sum(1 for key in self.written if key in counting)
