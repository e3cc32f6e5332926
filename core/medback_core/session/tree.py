"""The tree of sources as coverage and the app browse it: totals by placement, children, sorted pages."""

from __future__ import annotations

import json
from array import array
from collections.abc import Collection, Iterator
from typing import NamedTuple

from medback_core.errors import Refused
from medback_core.model import Count, Identity

from .copies import chunks, marks
from .store import Session
from .values import load_ns

PlacementCounts = dict[int, Count]  # placement id -> files and bytes


class ChildDirectory(NamedTuple):
    """A directory with the totals of all below it."""

    key: int
    path: bytes
    totals: PlacementCounts
    oldest: int | None  # oldest last check below; 0: something was never read back; None: nothing has a copy


class ListedFile(NamedTuple):
    """A file as a listing shows it."""

    key: int
    directory: int
    name: bytes
    identity: int
    content: Identity
    placement: int
    mtime_ns: int
    checked_at: int | None
    trouble: int


def clean_path(path: bytes) -> bytes:
    """A path relative to a source as the session knows it: no `./`, no `//`, none at an end. Raises Refused."""
    parts = [part for part in path.split(b"/") if part not in (b"", b".")]
    if path.startswith(b"/") or b".." in parts:
        raise Refused("no-such-path/not-relative", path=path)
    return b"/".join(parts)


def directory_key(session: Session, source: int, path: bytes) -> int | None:
    """The row key of a directory of a source (b"" its root), None where there is none."""
    return session.value("SELECT id FROM directory WHERE source_id = ? AND path = ?", source, path)


def directory_path(session: Session, key: int) -> tuple[int, bytes]:
    """(source key, relative path) of a directory row."""
    return session.db.execute("SELECT source_id, path FROM directory WHERE id = ?", (key,)).fetchone()


def totals_of(session: Session, directory: int) -> PlacementCounts:
    """Files and bytes below a directory by placement."""
    rows = session.db.execute("SELECT placement_id, files, bytes FROM rollup WHERE directory_id = ?", (directory,))
    return {placement: Count(files, size) for placement, files, size in rows}


def totals_by_source(session: Session) -> dict[int, PlacementCounts]:
    """Source key -> files and bytes by placement of the whole source."""
    found: dict[int, PlacementCounts] = {key: {} for key in session.column("SELECT id FROM source ORDER BY id")}
    rows = session.db.execute(
        "SELECT d.source_id, r.placement_id, r.files, r.bytes FROM directory d JOIN rollup r ON r.directory_id = d.id "
        "WHERE d.path = x''"
    )
    for source, placement_id, files, size in rows:
        found[source][placement_id] = Count(files, size)
    return found


def oldest_check(session: Session, directory: int) -> int | None:
    """The oldest last check below a directory (see ChildDirectory.oldest)."""
    return session.value("SELECT oldest FROM directory WHERE id = ?", directory)


def children(session: Session, directory: int) -> list[ChildDirectory]:
    """The directories directly inside one, with their totals, in path order."""
    found: dict[int, ChildDirectory] = {
        row[0]: ChildDirectory(row[0], row[1], {}, row[2])
        for row in session.db.execute(
            "SELECT id, path, oldest FROM directory WHERE parent_id = ? ORDER BY path", (directory,)
        )
    }
    rows = session.db.execute(
        "SELECT r.directory_id, r.placement_id, r.files, r.bytes FROM directory d "
        "JOIN rollup r ON r.directory_id = d.id WHERE d.parent_id = ?",
        (directory,),
    )
    for key, placement_id, files, size in rows:
        found[key].totals[placement_id] = Count(files, size)
    return list(found.values())


def largest_children(session: Session, directory: int, limit: int) -> list[tuple[int, bytes, int]]:
    """(row key, path, bytes below) of the largest directories directly inside one, the largest first."""
    return session.db.execute(
        "SELECT d.id, d.path, SUM(r.bytes) AS below FROM directory d JOIN rollup r ON r.directory_id = d.id "
        "WHERE d.parent_id = ? GROUP BY d.id HAVING below > 0 ORDER BY below DESC, d.path LIMIT ?",
        (directory, limit),
    ).fetchall()


def file_count(session: Session, directory: int) -> int:
    """How many files lie directly in a directory."""
    return session.value("SELECT COUNT(*) FROM file WHERE directory_id = ?", directory)


def file_keys(
    session: Session,
    directory: int,
    *,
    order: str = "name",
    filter_text: str = "",
    placements: Collection[int] | None = None,
    unsafe: Collection[int] = (),
) -> array[int]:
    """Row keys of the files directly in a directory, by `name`, `bytes` (largest first), `unsafe` (the largest whose
    placement is among `unsafe` first) or `checked` (never, then oldest first); only those whose name contains
    `filter_text`, whatever its case, and whose placement is among `placements` where given."""
    columns = {
        "name": "f.name",
        "bytes": "i.size DESC, f.name",
        "unsafe": f"CASE WHEN i.placement_id IN ({_numbers(unsafe)}) THEN i.size ELSE -1 END DESC, f.name",
        "checked": "i.checked_at, f.name",
    }
    where, values = ["f.directory_id = ?"], [directory]
    if filter_text:
        condition, value = _contains(filter_text)
        where.append(condition)
        values.append(value)  # type: ignore[arg-type]
    if placements is not None:
        where.append(f"i.placement_id IN ({_numbers(placements)})")
    tables = "file f" if order == "name" and placements is None else "file f JOIN identity i ON i.id = f.identity_id"
    # In one row: a row each costs more than finding it, and takes turns with the other threads at every one.
    keys = f"SELECT f.id FROM {tables} WHERE {' AND '.join(where)} ORDER BY {columns[order]}"
    joined = session.value(f"SELECT group_concat(id) FROM ({keys})", *values)
    return array("q", json.loads(f"[{joined or ''}]"))


def _numbers(keys: Collection[int]) -> str:
    return ",".join(str(int(key)) for key in keys)


def _contains(text: str) -> tuple[str, bytes]:
    """A condition on f.name and its value. LIKE folds the case of ASCII alone, but five times as fast."""
    if text.isascii() and len(text) < 1000:
        escaped = text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
        return "CAST(f.name AS TEXT) LIKE CAST(? AS TEXT) ESCAPE '\\'", b"%" + escaped.encode() + b"%"
    return "name_contains(f.name, ?)", text.encode("utf-8", "surrogatepass")


_LISTED = (
    "SELECT f.id, f.directory_id, f.name, i.id, i.size, i.md5, i.placement_id, f.mtime_ns, i.checked_at, f.trouble "
    "FROM file f JOIN identity i ON i.id = f.identity_id"
)


def _listed(row: tuple) -> ListedFile:
    key, directory, name, identity, size, md5, placement, mtime_ns, checked_at, trouble = row
    content = Identity(size, md5)
    return ListedFile(key, directory, name, identity, content, placement, load_ns(mtime_ns), checked_at, trouble)


def files_by_key(session: Session, keys: Collection[int]) -> dict[int, ListedFile]:
    """A page of files by row key."""
    found = {}
    for chunk in chunks(keys):
        for row in session.db.execute(f"{_LISTED} WHERE f.id IN ({marks(chunk)})", chunk):
            found[row[0]] = _listed(row)
    return found


def files_below(
    session: Session,
    source: int | None = None,
    path: bytes = b"",
    *,
    placements: Collection[int] | None = None,
) -> Iterator[tuple[int, bytes, ListedFile]]:
    """(source key, directory path, file), directory by directory: of all sources or one, at and below `path` (a
    directory or a file), only those whose placement is among `placements` where given. Do not write while iterating."""
    conditions, values = "", []
    if placements is not None:
        conditions += f" AND i.placement_id IN ({_numbers(placements)})"
    if source is not None:
        conditions += " AND d.source_id = ?"
        values.append(source)
    scopes: list[tuple[str, list[bytes]]] = [("", [])]
    if path:
        parent, _, name = path.rpartition(b"/")
        scopes = [
            ("AND d.path = ? AND f.name = ?", [parent, name]),
            ("AND d.path >= ? AND d.path < ? AND (d.path = ? OR d.path > ?)", [path, path + b"0", path, path + b"/"]),
        ]
    for scope, bounds in scopes:
        # CROSS JOIN fixes the order of the loops: directory by directory, so that nothing is sorted.
        rows = session.db.execute(
            "SELECT d.source_id, d.path, f.id, f.directory_id, f.name, i.id, i.size, i.md5, i.placement_id, "
            "f.mtime_ns, i.checked_at, f.trouble FROM directory d CROSS JOIN file f ON f.directory_id = d.id "
            f"CROSS JOIN identity i ON i.id = f.identity_id WHERE true {conditions} {scope} "
            "ORDER BY d.source_id, d.path, f.name",
            [*values, *bounds],
        )
        for row in rows:
            yield row[0], row[1], _listed(row[2:])


def sizes_within(
    session: Session, source: int, path: bytes, placements: Collection[int], bounds: tuple[int, int]
) -> Iterator[int]:
    """The size of each content within the bounds, with one of these placements, that a file of a source at and below a
    directory has. In no order; all contents of the session are looked through, so ask only where it must be known."""
    scope, values = "", [*bounds, source]
    if path:
        scope = "AND (d.path = ? OR (d.path > ? AND d.path < ?))"
        values += [path, path + b"/", path + b"0"]
    rows = session.db.execute(
        f"SELECT i.size FROM identity i WHERE i.size BETWEEN ? AND ? AND i.placement_id IN ({_numbers(placements)}) "
        "AND EXISTS (SELECT 1 FROM file f JOIN directory d ON d.id = f.directory_id "
        f"WHERE f.identity_id = i.id AND d.source_id = ? {scope})",
        values,
    )
    return (size for (size,) in rows)


def trouble_below(session: Session, source: int, path: bytes = b"") -> int:
    """How many files at and below a directory are damaged or changed keeping their time."""
    where, values = "", [source]
    if path:
        where = "AND (d.path = ? OR (d.path > ? AND d.path < ?))"
        values += [path, path + b"/", path + b"0"]
    # CROSS JOIN: from the few files in trouble to their directories, never through all directories.
    return session.value(
        "SELECT COUNT(*) FROM file f INDEXED BY file_in_trouble CROSS JOIN directory d ON d.id = f.directory_id "
        f"WHERE f.trouble > 0 AND d.source_id = ? {where}",
        *values,
    )
