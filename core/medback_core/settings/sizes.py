"""Amounts of bytes as people write them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from medback_core.errors import Refused

_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(%)|([kmgtp]?)(i?b)?)\s*", re.IGNORECASE)
_MOST = 2**63 - 1  # what the session DB and the sidecars can hold


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of bytes, or a share of a drive."""

    amount: float
    of_drive: bool = False

    def bytes_on(self, path: bytes) -> int:
        """The bytes it means for the drive at `path`. Raises Refused when a share is asked of a drive not there."""
        if not self.of_drive:
            return int(self.amount)
        from medback_core import disk

        try:
            return int(disk.describe(path).total * self.amount / 100)
        except OSError as error:
            raise Refused("no-such-path/error", path=path, error=error.strerror) from error


def parse_size(text: str) -> Size:
    """`500M`, `2GiB` (powers of 1024), `1.5TB` (powers of 1000), `10%` of a drive. Raises ValueError, saying why."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no size; write 500M, 2GiB or 10%")
    amount = float(match[1])
    if match[2]:
        if amount > 100:
            raise ValueError("a drive has no more than 100%")
        return Size(amount, of_drive=True)
    # What dd, rsync and du users expect: M and MiB are powers of 1024, MB is what drives are sold by.
    base = 1000 if (match[4] or "").lower() == "b" else 1024
    size = Size(amount * base ** " kmgtp".index((match[3] or " ").lower()))
    if size.amount > _MOST:
        raise ValueError(f"{text!r} is larger than any drive")
    return size
