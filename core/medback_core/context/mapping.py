"""Rewrite the path of a source that is to be restored somewhere else (`--map OLD=NEW`)."""

from __future__ import annotations

from collections.abc import Sequence


def apply_map(path: bytes, maps: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Replace a leading run of whole components of `path` by the longest OLD of `maps` that fits; the first of equals.

    One replacement at most: what NEW says is not mapped again. A path no OLD fits comes back as it is.
    """
    best: tuple[int, bytes] | None = None
    for old, new in maps:
        stem = old.rstrip(b"/")
        fits = path.startswith(stem) and path[len(stem) : len(stem) + 1] in (b"", b"/")
        if old and fits and (best is None or len(stem) > best[0]):
            best = len(stem), new
    if best is None:
        return path
    length, new = best
    rest = path[length:].lstrip(b"/")
    stem = new.rstrip(b"/")
    return (stem + b"/" + rest if rest else stem) or b"/"
