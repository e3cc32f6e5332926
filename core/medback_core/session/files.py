"""Directories, files and links of the sources, as the scan sees and reconciles them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import NamedTuple

from medback_core.model import Trouble

from .rollup import flush
from .store import Session
from .values import load_ns, signed, store_ns

# SQL: the file `f` in the directory `d` is no twin (see `digests`).
NO_TWIN = (
    "NOT EXISTS (SELECT 1 FROM twin t WHERE t.identity_id = f.identity_id AND t.source_id = d.source_id "
    "AND t.blake3 IS NOT NULL AND name_of(t.path) = f.name AND parent_of(t.path) = d.path)"
)


class SidecarStat(NamedTuple):
    """A sidecar file as the DB last read or wrote it: unchanged means no need to parse it."""

    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, stat: os.stat_result) -> SidecarStat:
        return cls(signed(stat.st_ino), stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


class DirectoryRow(NamedTuple):
    """One directory of a source; `path` is relative, b"" the root."""

    key: int
    path: bytes
    sidecar: SidecarStat | None
    dirty: bool
    device: int | None


def is_settled(inode: int | None, ctime_ns: int | None) -> bool:
    """Whether a change since a file was read shows in its times. Where it changed so shortly before that another change
    would leave the same ones, it is recorded with its inode and no ctime."""
    return inode is None or ctime_ns is not None


class FileRow(NamedTuple):
    """One file of a source. `inode` and `ctime_ns` are None while this DB only knows it from a sidecar; for `ctime_ns`
    alone see `is_settled`."""

    key: int
    name: bytes
    identity: int
    size: int
    md5: bytes
    mtime_ns: int
    mode: int
    device: int | None
    inode: int | None
    ctime_ns: int | None
    trouble: int


_FILE = (
    "f.id, f.name, f.identity_id, i.size, i.md5, f.mtime_ns, f.mode, f.device, f.inode, f.ctime_ns, f.trouble "
    "FROM file f JOIN identity i ON i.id = f.identity_id"
)


def _file(row: tuple) -> FileRow:
    key, name, identity, size, md5, mtime_ns, mode, device, inode, ctime_ns, trouble = row
    return FileRow(key, name, identity, size, md5, load_ns(mtime_ns), mode, device, inode, load_ns(ctime_ns), trouble)


_DIRECTORY = (
    "SELECT id, path, sidecar_inode, sidecar_size, sidecar_mtime_ns, sidecar_ctime_ns, dirty, device FROM directory"
)


def _directory(row: tuple) -> DirectoryRow:
    stat = None if row[2] is None else SidecarStat(row[2], row[3], load_ns(row[4]), load_ns(row[5]))
    return DirectoryRow(row[0], row[1], stat, bool(row[6]), row[7])


def find_directory(session: Session, source: int, path: bytes) -> DirectoryRow | None:
    """The row of a directory, None when this DB never saw it."""
    row = session.db.execute(f"{_DIRECTORY} WHERE source_id = ? AND path = ?", (source, path)).fetchone()
    return None if row is None else _directory(row)


def ensure_directory(session: Session, source: int, path: bytes) -> int:
    """The row key of a directory, made with all above it where new. Call inside a transaction."""
    known = session.value("SELECT id FROM directory WHERE source_id = ? AND path = ?", source, path)
    if known is not None:
        return known
    parent = None if path == b"" else ensure_directory(session, source, os.path.dirname(path))
    key = session.db.execute(
        "INSERT INTO directory (source_id, parent_id, path) VALUES (?,?,?)", (source, parent, path)
    ).lastrowid
    assert key is not None
    return key


def files_in(session: Session, directory: int) -> dict[bytes, FileRow]:
    return {row[1]: _file(row) for row in session.db.execute(f"SELECT {_FILE} WHERE f.directory_id = ?", (directory,))}


def links_in(session: Session, directory: int) -> dict[bytes, bytes]:
    """The symlinks of one directory: name -> where it points."""
    return dict(session.db.execute("SELECT name, goal FROM link WHERE directory_id = ?", (directory,)).fetchall())


def file_by_key(session: Session, key: int) -> FileRow | None:
    """One file by its row key."""
    row = session.db.execute(f"SELECT {_FILE} WHERE f.id = ?", (key,)).fetchone()
    return _file(row) if row else None


def path_of_file(session: Session, key: int) -> tuple[int, bytes]:
    """(source key, path relative to the source) of a file row."""
    source, directory, name = session.db.execute(
        "SELECT d.source_id, d.path, f.name FROM file f JOIN directory d ON d.id = f.directory_id WHERE f.id = ?",
        (key,),
    ).fetchone()
    return source, join(directory, name)


def join(directory: bytes, name: bytes) -> bytes:
    """A relative path from a relative directory (b"" the root) and a name."""
    return directory + b"/" + name if directory else name


def find_file(session: Session, source: int, path: bytes) -> FileRow | None:
    """The file at a path relative to its source."""
    directory, name = os.path.split(path)
    row = session.db.execute(
        f"SELECT {_FILE} JOIN directory d ON d.id = f.directory_id WHERE d.source_id = ? AND d.path = ? AND f.name = ?",
        (source, directory, name),
    ).fetchone()
    return _file(row) if row else None


# SQL: a file that has a row already is as it was seen now. When its content was last read is known as long as it stays.
AS_SEEN = (
    "ON CONFLICT (directory_id, name) DO UPDATE SET identity_id = excluded.identity_id, "
    "mtime_ns = excluded.mtime_ns, mode = excluded.mode, device = excluded.device, inode = excluded.inode, "
    "ctime_ns = excluded.ctime_ns, trouble = excluded.trouble, "
    "read_at = CASE WHEN identity_id = excluded.identity_id THEN read_at END"
)


def record_files(session: Session, rows: Iterable[tuple[int, bytes, int, os.stat_result]]) -> None:
    """Files as they stand, just hashed: (directory key, name, identity key, status). Call inside a transaction."""
    session.db.executemany(
        "INSERT INTO file (directory_id, name, identity_id, mtime_ns, mode, device, inode, ctime_ns, trouble) "
        f"VALUES (?,?,?,?,?,?,?,?,0) {AS_SEEN}",
        (
            (
                directory,
                name,
                identity,
                store_ns(status.st_mtime_ns),
                status.st_mode & 0o777,
                signed(status.st_dev),
                signed(status.st_ino),
                store_ns(status.st_ctime_ns),
            )
            for directory, name, identity, status in rows
        ),
    )


def put_links(session: Session, directory: int, links: dict[bytes, bytes]) -> None:
    """Make the links of a directory exactly these. Call inside a transaction."""
    if links_in(session, directory) != links:
        session.db.execute("DELETE FROM link WHERE directory_id = ?", (directory,))
        session.db.executemany(
            "INSERT INTO link (directory_id, name, goal) VALUES (?,?,?)", ((directory, *pair) for pair in links.items())
        )


def mark_sidecar(session: Session, directory: int, stat: SidecarStat | None, *, dirty: bool = False) -> None:
    """Remember the sidecar as just read or written (None: there is none), and whether it says less than the DB."""
    with session.transaction() as db:
        db.execute(
            "UPDATE directory SET sidecar_inode = ?, sidecar_size = ?, sidecar_mtime_ns = ?, sidecar_ctime_ns = ?, "
            "dirty = ? WHERE id = ?",
            (None, None, None, None, int(dirty), directory)
            if stat is None
            else (stat.inode, stat.size, store_ns(stat.mtime_ns), store_ns(stat.ctime_ns), int(dirty), directory),
        )


def some_sidecars(session: Session, source: int, most: int) -> list[tuple[bytes, SidecarStat]]:
    """At most so many directories of a source, and their sidecars as this DB last read or wrote them."""
    some = "WHERE source_id = ? AND sidecar_inode IS NOT NULL LIMIT ?"
    rows = map(_directory, session.db.execute(f"{_DIRECTORY} {some}", (source, most)))
    return [(row.path, row.sidecar) for row in rows if row.sidecar is not None]


def dirty_directories(session: Session, source: int) -> list[DirectoryRow]:
    """Directories whose sidecar says less than the DB, in path order."""
    rows = session.db.execute(f"{_DIRECTORY} WHERE source_id = ? AND dirty ORDER BY path", (source,))
    return [_directory(row) for row in rows]


def drop_directories(session: Session, keys: Iterable[int]) -> None:
    """Forget directories that are gone and hold no rows any more. Call inside a transaction."""
    keys = list(keys)
    flush(session.db)  # totals climb by parent rows: before those go
    session.db.executemany(
        "UPDATE directory SET stale = 1 WHERE id = (SELECT parent_id FROM directory WHERE id = ?)",
        ((key,) for key in keys),
    )
    session.db.executemany("DELETE FROM link WHERE directory_id = ?", ((key,) for key in keys))
    session.db.executemany("DELETE FROM rollup WHERE directory_id = ?", ((key,) for key in keys))
    session.db.executemany("UPDATE directory SET parent_id = NULL WHERE parent_id = ?", ((key,) for key in keys))
    session.db.executemany("DELETE FROM directory WHERE id = ?", ((key,) for key in keys))


def paths_of_identity(session: Session, identity: int, *, twins: bool = False) -> list[tuple[int, bytes, FileRow]]:
    """(source key, relative path, row) of every current path with this content, in source and path order; its twins
    are among them only with `twins`."""
    rows = session.db.execute(
        f"SELECT d.source_id, d.path, {_FILE} JOIN directory d ON d.id = f.directory_id WHERE f.identity_id = ? "
        f"AND (? OR {NO_TWIN}) "
        "ORDER BY d.source_id, d.path, f.name",
        (identity, twins),
    )
    return [(row[0], join(row[1], row[3]), _file(row[2:])) for row in rows]


def mark_trouble(session: Session, source: int, path: bytes, trouble: Trouble) -> None:
    """A file's content is not what its record says (or, with NONE, is again); its sidecar is to say so."""
    row = find_file(session, source, path)
    if row is None or row.trouble == trouble:
        return
    with session.transaction() as db:
        db.execute("UPDATE file SET trouble = ? WHERE id = ?", (int(trouble), row.key))
        db.execute("UPDATE directory SET dirty = 1 WHERE id = (SELECT directory_id FROM file WHERE id = ?)", (row.key,))


def troubled(session: Session, source: int) -> list[tuple[bytes, FileRow]]:
    """(relative path, row) of every file of a source that is damaged or changed keeping its time."""
    rows = session.db.execute(
        "SELECT d.path, f.id, f.name, f.identity_id, i.size, i.md5, f.mtime_ns, f.mode, f.device, f.inode, f.ctime_ns, "
        "f.trouble FROM file f INDEXED BY file_in_trouble CROSS JOIN directory d ON d.id = f.directory_id "
        "CROSS JOIN identity i ON i.id = f.identity_id WHERE f.trouble > 0 AND d.source_id = ? ORDER BY d.path, f.name",
        (source,),
    )
    return [(join(row[0], row[2]), _file(row[1:])) for row in rows]
