"""One file as a manifest tells of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Entry(NamedTuple):
    """A file by its path relative to where the manifest belongs; what a manifest does not say is None.

    `digests`: algorithm ("md5", "blake3", "sha1", "sha256") to digest. `mtime_ns`: nanoseconds since 1970; `exact` is
    whether the manifest has the time to the nanosecond, not to the second. `verified`: seconds since 1970.
    """

    path: bytes
    size: int | None
    mtime_ns: int | None
    digests: Mapping[str, bytes]
    verified: int | None = None
    exact: bool = True
