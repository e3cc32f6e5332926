"""All files of a source, or all copies on a target, in path order: what a manifest lists."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from .expected import full_path
from .store import Session
from .values import load_ns


class ExportRow(NamedTuple):
    """A file by its path relative to the source or the drive. `verified`: when it was last read whole and right."""

    path: bytes
    size: int
    md5: bytes
    blake3: bytes | None
    mtime_ns: int | None
    verified: int | None


def files_in_order(session: Session, source: int) -> Iterator[ExportRow]:
    """The files the last scan of a source saw, ordered by the bytes of their paths. Do not write while iterating."""
    rows = session.db.execute(
        f"SELECT {full_path('f')} AS p, i.size, i.md5, i.blake3, f.mtime_ns, f.read_at FROM directory d "
        "JOIN file f ON f.directory_id = d.id JOIN identity i ON i.id = f.identity_id WHERE d.source_id = ? ORDER BY p",
        (source,),
    )
    for path, size, md5, blake3, mtime_ns, read_at in rows:
        yield ExportRow(path, size, md5, blake3, load_ns(mtime_ns), read_at)


def copies_in_order(session: Session, target: int) -> Iterator[ExportRow]:
    """The copies that lie on a target, where it is known where, ordered by the bytes of their paths on it. Do not write
    while iterating."""
    rows = session.db.execute(
        "SELECT c.path, i.size, i.md5, i.blake3, c.mtime_ns, c.verified_at FROM copy c JOIN identity i "
        "ON i.id = c.identity_id WHERE c.target_id = ? AND c.standing > 0 AND c.path IS NOT NULL ORDER BY c.path",
        (target,),
    )
    for path, size, md5, blake3, mtime_ns, verified in rows:
        yield ExportRow(path, size, md5, blake3, load_ns(mtime_ns), verified)
