"""The small text file beside the session DB that lists where the sources are: enough to build a lost DB again."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

from medback_core import disk, names

if TYPE_CHECKING:
    from .store import Session


def list_path(path: Path) -> Path:
    """Where the list of a session DB lies."""
    return path.with_name(path.name + ".sources")


def listed_sources(path: Path) -> list[bytes]:
    """The source paths in the list beside the DB; none when it is missing. Lines that can't be read are passed over."""
    try:
        data = list_path(path).read_bytes()
    except OSError:
        return []
    return [found for line in data.splitlines() if (found := _line_to_path(line)) is not None]


def _line_to_path(line: bytes) -> bytes | None:
    if line.startswith(b'"'):
        try:
            line = names.from_text(json.loads(line))
        except (ValueError, TypeError):
            return None
    return line if os.path.isabs(line) else None


def _path_to_line(path: bytes) -> bytes:
    return path if names.xml_safe(path) else json.dumps(names.text(path)).encode()


def write_source_list(session: Session) -> None:
    """Write the list of source paths beside the DB (one a line, atomically, only when it changes)."""
    paths = [row[0] for row in session.db.execute("SELECT path FROM source ORDER BY id")]
    data = b"".join(_path_to_line(path) + b"\n" for path in paths)
    where = list_path(session.path)
    with disk.Root(os.fsencode(where.parent)) as root:
        disk.write_whole(root, os.fsencode(where.name), data, mode=0o600)
