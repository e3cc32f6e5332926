"""The small text file beside the session DB that lists where the sources are: enough to build a lost DB again."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from medback_core import disk, names

from .store import Session

_LIST_MAX = 1 << 20  # bytes


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


def left_out(session: Session) -> list[bytes]:
    """Paths in the list that are no source of this session: they were away when it was rebuilt."""
    known = session.column("SELECT path FROM source")
    return [path for path in listed_sources(session.path) if path not in known]


def write_source_list(session: Session, *, also: Iterable[bytes] = (), dropped: Iterable[bytes] = ()) -> None:
    """Write the list of source paths beside the DB (one a line, atomically, only when it changes).

    A path once in the list stays there until it is `dropped`: a source that is away while a lost DB is rebuilt must
    not be forgotten. `also` are further such paths. Call under the session's lock. Raises OSError.
    """
    paths = session.column("SELECT path FROM source ORDER BY id")
    gone = set(dropped)
    paths += [path for path in (*left_out(session), *also) if path not in gone]
    data = b"".join(
        (path if names.xml_safe(path) else json.dumps(names.text(path)).encode()) + b"\n"
        for path in dict.fromkeys(paths)
    )
    where = list_path(session.path)
    with disk.Root(os.fsencode(where.parent)) as root:
        disk.write_whole(root, os.fsencode(where.name), data, mode=0o600)


def mend_source_list(session: Session) -> None:
    """Write the list where it lacks a source, because the process that added it was killed before it was written, and
    remove what was left of that attempt. Call under the session's lock. Raises OSError."""
    where = list_path(session.path)
    write_source_list(session)
    with disk.Root(os.fsencode(where.parent)) as root:
        for name, status in list(root.scan(b"")):
            if disk.TEMPORARY.fullmatch(name) is None or isinstance(status, OSError) or status.st_size > _LIST_MAX:
                continue
            if stat.S_ISREG(status.st_mode) and _is_list(root.read_whole(name, _LIST_MAX)):
                disk.remove(root, name, expect=status)


def _is_list(data: bytes) -> bool:
    lines = data.splitlines()
    return bool(lines) and all(_line_to_path(line) is not None for line in lines)


def lacks_a_source(session: Session) -> bool:
    """Whether a source of the session is missing from the list."""
    return not set(listed_sources(session.path)).issuperset(session.column("SELECT path FROM source"))
