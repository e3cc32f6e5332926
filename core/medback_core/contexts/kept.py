"""The imported contexts kept beside the session DB: `<db>.context-N.xml`, and `.done.xml` once all of it is back.

The last line of a kept file is a comment that says which source of the session each section became, so that taking it
up again needs none of the options it was first read with.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from medback_core import disk

_CHUNK = 1 << 20
_COMMENT = re.compile(rb"<!-- medback sources ([A-Za-z0-9+/=]*) -->\n\Z")
_TAIL_BYTES = 1 << 22


class LoadedSection(NamedTuple):
    """What a section became, in the order of the sections; with no id it was left out."""

    id: str = ""
    alias: str = ""
    path: bytes = b""
    told: bool = False  # by a drive: it was not imported by a person
    at: int | None = None  # the date of what a drive told


def _names(session_path: Path) -> dict[int, tuple[bytes, bool]]:
    """Number -> (file name, whether it is done)."""
    pattern = re.compile(re.escape(os.fsencode(session_path.name)) + rb"\.context-([0-9]{1,9})(\.done)?\.xml")
    found: dict[int, tuple[bytes, bool]] = {}
    for name in os.listdir(os.fsencode(session_path.parent)):
        match = pattern.fullmatch(name)
        if match:
            found[int(match[1])] = name, match[2] is not None
    return found


def waiting(session_path: Path) -> list[bytes]:
    """Paths of the kept contexts that are not done, oldest first."""
    parent = os.fsencode(session_path.parent)
    return [os.path.join(parent, name) for _, (name, done) in sorted(_names(session_path).items()) if not done]


def keep(session_path: Path, stream: BinaryIO, places: Sequence[LoadedSection]) -> bytes:
    """Keep a context, word for word, durably; returns its path. Raises OSError."""
    number = max(_names(session_path), default=0) + 1
    name = os.fsencode(f"{session_path.name}.context-{number}.xml")
    words = json.dumps([_written(place) for place in places])
    comment = b"\n<!-- medback sources %b -->\n" % base64.b64encode(words.encode("utf-8", "surrogateescape"))

    def pieces() -> Iterator[bytes]:
        stream.seek(0)
        while piece := stream.read(_CHUNK):
            yield piece
        yield comment

    parent = os.fsencode(session_path.parent)
    with disk.Root(parent) as root, disk.Group(root, group_sync=False) as group:
        group.stage_stream(name, pieces(), mode=0o600)
        group.publish_all()
    return os.path.join(parent, name)


def _written(place: LoadedSection) -> list[object]:
    row: list[object] = [place.id, place.alias, base64.b64encode(place.path).decode()]
    return [*row, place.at] if place.told else row


def _read(row: list[Any]) -> LoadedSection:
    id, alias, path, *told = row
    at = told[0] if told and isinstance(told[0], int) else None
    return LoadedSection(str(id), str(alias), base64.b64decode(path), bool(told), at)


def places_in(path: bytes) -> list[LoadedSection]:
    """What the sections of a kept context became; empty when the file does not say."""
    try:
        with open(path, "rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - _TAIL_BYTES))
            found = _COMMENT.search(stream.read())
        if found is None:
            return []
        rows = json.loads(base64.b64decode(found[1]).decode())
        return [_read(row) for row in rows]
    except (OSError, ValueError, TypeError, binascii.Error):
        return []  # hand-edited: then the sections say themselves where they belong


def mark_done(session_path: Path, paths: Sequence[bytes]) -> None:
    """These are all back, or no longer asked for: kept on, never taken up again. Raises OSError."""
    if not paths:
        return
    with disk.Root(os.fsencode(session_path.parent)) as root:
        for path in paths:
            name = os.path.basename(path)
            disk.move(root, name, name.removesuffix(b".xml") + b".done.xml")


def drop(session_path: Path, path: bytes) -> None:
    """Remove one that was kept for an import that then failed. Raises OSError."""
    with disk.Root(os.fsencode(session_path.parent)) as root:
        status = root.stat(os.path.basename(path))
        if status is not None:
            disk.remove(root, os.path.basename(path), expect=status)
