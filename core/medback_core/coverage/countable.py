"""How safe a placement is (`session.counting`), and paths as people give them."""

from __future__ import annotations

from medback_core.errors import Refused
from medback_core.session.counting import NOTHING, CopyCounter, Sums, total

__all__ = ["NOTHING", "CopyCounter", "Sums", "clean_path", "total"]


def clean_path(path: bytes) -> bytes:
    """A path relative to a source as the session knows it: no `./`, no `//`, none at an end. Raises Refused."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if path.startswith(b"/") or b".." in parts:
        raise Refused("no-such-path/not-relative", path=path)
    return b"/".join(parts)
