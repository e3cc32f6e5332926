"""What a scan reads and writes in bulk: rows as plain tuples, and changes staged until the end of the scan (promise 6).

A *run* is one scan, or one `update` over several sources. While it lasts, temporary tables hold which new rows were
known before from sidecars, and which links are to go.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import NamedTuple

from .copies import chunks, marks
from .files import AS_SEEN, drop_directories
from .store import Session
from .values import load_ns, signed

# name, size, mtime_ns, inode, ctime_ns, mode, trouble, md5, key: the first six in the order a scan compares them
ScanRow = tuple
# name, size, md5, mtime_ns, mode, device, inode, ctime_ns, trouble, BLAKE3 if a reading has made it just now: times
# through store_ns, numbers through signed
Put = tuple
Check = tuple[bytes, int, int, bytes]  # name, date, size, md5

_PATH = "CAST(CASE WHEN length(d.path) THEN d.path || x'2f' || f.name ELSE f.name END AS BLOB)"


class Moved(NamedTuple):
    """A file recorded under some path with a given inode: a rename if that path no longer holds the inode."""

    source_path: bytes
    source: int
    directory: bytes
    name: bytes
    inode: int
    size: int
    mtime_ns: int
    ctime_ns: int | None
    md5: bytes


class ScanChanges(NamedTuple):
    """What a scan found gone or changed in one source, beside what was known before."""

    removals: int  # paths
    changes: int  # paths
    vanished: int  # contents without any path left
    moved: int  # paths whose content has a new path


def begin_run(session: Session) -> int:
    """Start a run; returns the largest file key there is: what is above it is new in this run."""
    db = session.db
    db.execute("CREATE TEMP TABLE IF NOT EXISTS known_before (id INTEGER PRIMARY KEY)")
    db.execute("CREATE TEMP TABLE IF NOT EXISTS lost_link (directory_id INTEGER, name BLOB, source_id INTEGER)")
    db.execute("DELETE FROM temp.known_before")
    db.execute("DELETE FROM temp.lost_link")
    return session.value("SELECT COALESCE(MAX(id), 0) FROM file")


def begin_scan(session: Session, source: int) -> int:
    """Forget what an earlier scan staged for this source and give this scan its number."""
    with session.transaction() as db:
        forget_staged(session, source)
        db.execute("UPDATE source SET scan_number = scan_number + 1 WHERE id = ?", (source,))
        return session.value("SELECT scan_number FROM source WHERE id = ?", source)


def read_all_sidecars(session: Session, source: int) -> None:
    """The next scan reads every sidecar of this source, changed or not."""
    with session.transaction() as db:
        db.execute(
            "UPDATE directory SET sidecar_inode = NULL, sidecar_size = NULL, sidecar_mtime_ns = NULL, "
            "sidecar_ctime_ns = NULL WHERE source_id = ?",
            (source,),
        )


def forget_staged(session: Session, source: int) -> None:
    """Nothing is staged for this source. Call inside a transaction."""
    session.db.execute("DELETE FROM staged WHERE source_id = ?", (source,))
    session.db.execute("DELETE FROM temp.lost_link WHERE source_id = ?", (source,))


def has_files(session: Session, source: int, path: bytes = b"") -> bool:
    """Whether any file is recorded in this source at or below a directory."""
    below = "AND (d.path = ? OR (d.path > ? AND d.path < ?))" if path else ""
    bounds = (path, path + b"/", path + b"0") if path else ()
    return session.has(
        f"directory d JOIN file f ON f.directory_id = d.id WHERE d.source_id = ? {below}", source, *bounds
    )


def has_files_on(session: Session, device: int) -> bool:
    """Whether any file is recorded, in any source, that was last seen on this device."""
    return session.has("file WHERE device = ?", signed(device))


def has_gone(session: Session, source: int) -> bool:
    """Whether any path is remembered as gone from this source."""
    return session.has("gone WHERE source_id = ?", source)


def scan_rows(session: Session, directory: int) -> dict[bytes, ScanRow]:
    """The files of a directory by name, as tuples in the order a scan compares them. Times may be text (`load_ns`)."""
    rows = session.db.execute(
        "SELECT f.name, i.size, f.mtime_ns, f.inode, f.ctime_ns, f.mode, f.trouble, i.md5, f.id "
        "FROM file f JOIN identity i ON i.id = f.identity_id WHERE f.directory_id = ?",
        (directory,),
    )
    return {row[0]: row for row in rows}


def record_rows(
    session: Session, directory: int
) -> list[tuple[bytes, int, int, bytes, int, int, int, int | None, bytes | None]]:
    """(name, size, mtime_ns, md5, mode, trouble, placement id, date it was last read, BLAKE3) of a directory's files:
    what its sidecar says."""
    rows = session.db.execute(
        "SELECT f.name, i.size, f.mtime_ns, i.md5, f.mode, f.trouble, i.placement_id, f.read_at, i.blake3 "
        "FROM file f JOIN identity i ON i.id = f.identity_id WHERE f.directory_id = ?",
        (directory,),
    )
    return [row if row[2].__class__ is int else (*row[:2], load_ns(row[2]), *row[3:]) for row in rows]


def rows_by_inode(session: Session, device: int, inodes: Collection[int]) -> dict[int, list[Moved]]:
    """Files recorded with these inodes (as they are, unsigned), in any source, that are not in trouble."""
    found: dict[int, list[Moved]] = {}
    back = {signed(inode): inode for inode in inodes}
    for chunk in chunks(back):
        rows = session.db.execute(
            "SELECT s.path, s.id, d.path, f.name, f.inode, i.size, f.mtime_ns, f.ctime_ns, i.md5 FROM file f "
            "JOIN identity i ON i.id = f.identity_id JOIN directory d ON d.id = f.directory_id "
            f"JOIN source s ON s.id = d.source_id WHERE f.inode IN ({marks(chunk)}) AND f.device = ? AND f.trouble = 0",
            (*chunk, signed(device)),
        )
        for row in rows:
            inode = back[row[4]]
            source_path, source, directory, name, _, size, mtime_ns, ctime_ns, md5 = row
            moved = Moved(source_path, source, directory, name, inode, size, load_ns(mtime_ns), load_ns(ctime_ns), md5)
            found.setdefault(inode, []).append(moved)
    return found


# --- what is recorded as the walk goes. All to be called inside a transaction --------------------------------------


_PUT = (
    "INTO file (directory_id, name, identity_id, mtime_ns, mode, device, inode, ctime_ns, trouble) "
    "VALUES (?11, ?1, (SELECT id FROM identity WHERE md5 = ?3 AND size = ?2), ?4, ?5, ?6, ?7, ?8, ?9)"
)
# OR IGNORE spares SQLite the journal that every statement needs which fires a trigger and can fail half-way: it halves
# the time of a first scan. A name comes twice only where a file system lists it twice.
_PUT_NEW = f"INSERT OR IGNORE {_PUT}"
_PUT_ANY = f"INSERT {_PUT} {AS_SEEN}"


def put_files(session: Session, directory: int, rows: Collection[Put], *, new: bool = False) -> None:
    """Insert or replace files of one directory; those with a BLAKE3 after `learn_first`, which puts their contents on
    record. `new`: none of them has a row yet."""
    db = session.db
    contents = [row[1:3] for row in rows if row[9] is None]
    if contents:
        db.executemany("INSERT OR IGNORE INTO identity (size, md5) VALUES (?,?)", contents)
    # The directory is bound, not written out: one statement serves every directory.
    db.executemany(_PUT_NEW if new else _PUT_ANY, [(*row, directory) for row in rows])


def has_other_files(session: Session, directory: int, rows: Collection[Put]) -> bool:
    """Whether any of these is not on record exactly: its content, its time and its mode."""
    same = (
        "file f JOIN identity i ON i.id = f.identity_id "
        "WHERE f.directory_id = ? AND f.name = ? AND i.size = ? AND i.md5 = ? AND f.mtime_ns = ? AND f.mode = ?"
    )
    return not all(session.has(same, directory, *row[:5]) for row in rows)


def note_checks(session: Session, directory: int, checks: Collection[Check]) -> None:
    """Files a sidecar says were read, and held this content then."""
    session.db.executemany(
        "UPDATE file SET read_at = ?3 WHERE directory_id = ?1 AND name = ?2 AND COALESCE(read_at, 0) < ?3 "
        "AND identity_id = (SELECT id FROM identity WHERE md5 = ?5 AND size = ?4)",
        ((directory, *row) for row in checks),
    )


def mark_known(session: Session, directory: int, names: Iterable[bytes], newest: int) -> None:
    """These files, new to the DB, were known before: a sidecar told of them."""
    session.db.executemany(
        "INSERT OR IGNORE INTO temp.known_before SELECT id FROM file WHERE directory_id = ? AND name = ? AND id > ?",
        ((directory, name, newest) for name in names),
    )


def returned(session: Session, source: int, rows: Iterable[tuple[bytes, int, bytes]]) -> None:
    """(path, size, md5) that are in the source: no longer gone."""
    session.db.executemany(
        "DELETE FROM gone WHERE source_id = ?1 AND path = ?2 AND identity_id = "
        "(SELECT id FROM identity WHERE md5 = ?4 AND size = ?3)",
        ((source, *row) for row in rows),
    )


def stage(session: Session, source: int, directory: int, rows: Iterable[Put]) -> None:
    """These files changed (or, with an md5 of None, are gone): to be applied at the end of the scan."""
    session.db.executemany(
        "INSERT OR REPLACE INTO staged (file_id, source_id, size, md5, mtime_ns, mode, device, inode, ctime_ns) "
        "SELECT id, ?9, ?2, ?3, ?4, ?5, ?6, ?7, ?8 FROM file WHERE directory_id = ?10 AND name = ?1",
        ((*row[:8], source, directory) for row in rows),
    )


def loses_links(session: Session, source: int) -> bool:
    """Whether a scan found links of this source gone."""
    return session.has("temp.lost_link WHERE source_id = ?", source)


def lose_links(session: Session, source: int, directory: int, names: Iterable[bytes]) -> None:
    """These links are gone: to be applied at the end of the scan."""
    session.db.executemany(
        "INSERT INTO temp.lost_link (directory_id, name, source_id) VALUES (?,?,?)",
        ((directory, name, source) for name in names),
    )


def mark_seen(session: Session, number: int, directories: Iterable[int]) -> None:
    """The scan with this number has been in these directories."""
    session.db.executemany("UPDATE directory SET seen = ? WHERE id = ?", ((number, key) for key in directories))


def keep_below(session: Session, source: int, path: bytes, number: int) -> None:
    """A directory that could not be read: it and all below it counts as seen."""
    session.db.execute(
        "UPDATE directory SET seen = ? WHERE source_id = ? AND (path = ? OR (path > ? AND path < ?))",
        (number, source, path, path + b"/", path + b"0"),
    )


def mark_dirty(session: Session, directories: Iterable[int]) -> None:
    """The sidecars of these directories say less than the DB."""
    session.db.executemany("UPDATE directory SET dirty = 1 WHERE id = ?", ((key,) for key in directories))


# --- the end of a scan ---------------------------------------------------------------------------------------------


def stage_unseen(session: Session, source: int, number: int) -> None:
    """Files in directories this scan did not meet are gone."""
    with session.transaction() as db:
        db.execute(
            "INSERT OR REPLACE INTO staged (file_id, source_id) SELECT f.id, d.source_id FROM directory d "
            "JOIN file f ON f.directory_id = d.id WHERE d.source_id = ? AND d.seen <> ?",
            (source, number),
        )


def has_staged_removals(session: Session) -> bool:
    """Whether any source has paths staged as gone."""
    return session.has("staged WHERE md5 IS NULL")


def weigh(session: Session, source: int, run: Collection[int], newest: int) -> ScanChanges:
    """Count what is staged for a source. `run`: the sources walked in this run, where a content may have moved to."""
    db = session.db
    removals, changes = db.execute(
        "SELECT COALESCE(SUM(md5 IS NULL), 0), COALESCE(SUM(md5 IS NOT NULL), 0) FROM staged WHERE source_id = ?",
        (source,),
    ).fetchone()
    _weigh_contents(session, source, run, newest)
    vanished, moved = db.execute(
        "SELECT COALESCE(SUM(arrived = 0 AND NOT stays), 0), COALESCE(SUM(MIN(paths, arrived)), 0) FROM temp.vanishing"
    ).fetchone()
    return ScanChanges(removals, changes, vanished, moved)


def _weigh_contents(session: Session, source: int, run: Collection[int], newest: int) -> None:
    """Fill temp.vanishing: each content with a staged removal, how many new paths it has, whether an old one stays."""
    db = session.db
    sources = ",".join(str(int(key)) for key in run)
    db.execute("DROP TABLE IF EXISTS temp.vanishing")
    db.execute("DROP TABLE IF EXISTS temp.arriving")
    db.execute(
        "CREATE TEMP TABLE arriving AS SELECT i.id AS identity_id, COUNT(*) AS paths FROM staged s "
        f"JOIN identity i ON i.md5 = s.md5 AND i.size = s.size WHERE s.source_id IN ({sources}) GROUP BY i.id"
    )
    db.execute("CREATE INDEX temp.arriving_identity ON arriving (identity_id)")
    db.execute(
        f"""
        CREATE TEMP TABLE vanishing AS SELECT v.identity_id AS identity_id, v.paths AS paths,
            COALESCE((SELECT a.paths FROM temp.arriving a WHERE a.identity_id = v.identity_id), 0) + (
                SELECT COUNT(*) FROM file o JOIN directory d ON d.id = o.directory_id
                WHERE o.identity_id = v.identity_id AND o.id > {int(newest)} AND d.source_id IN ({sources})
                AND NOT EXISTS (SELECT 1 FROM temp.known_before k WHERE k.id = o.id)
                AND NOT EXISTS (SELECT 1 FROM staged t WHERE t.file_id = o.id)
            ) AS arrived,
            EXISTS (
                SELECT 1 FROM file o JOIN directory d ON d.id = o.directory_id
                WHERE o.identity_id = v.identity_id AND d.source_id IN ({sources})
                AND NOT EXISTS (SELECT 1 FROM staged t WHERE t.file_id = o.id)
            ) AS stays
        FROM (SELECT f.identity_id AS identity_id, COUNT(*) AS paths FROM staged s JOIN file f ON f.id = s.file_id
              WHERE s.source_id = ? AND s.md5 IS NULL GROUP BY f.identity_id) v
        """,
        (source,),
    )
    db.execute("CREATE INDEX temp.vanishing_identity ON vanishing (identity_id)")


def known_before(session: Session, source: int, newest: int) -> tuple[int, int]:
    """(contents, paths) of a source that were known before this run."""
    return session.db.execute(
        "SELECT COUNT(DISTINCT f.identity_id), COUNT(*) FROM directory d JOIN file f ON f.directory_id = d.id "
        "WHERE d.source_id = ? AND (f.id <= ? OR f.id IN (SELECT id FROM temp.known_before))",
        (source, newest),
    ).fetchone()


def vanished_paths(session: Session, source: int, below: bytes | None = None) -> list[bytes]:
    """Paths staged as gone whose content has no path left (only at and below a directory, where given).
    `weigh` must have been called for this source."""
    scope = "" if below is None else "AND (d.path = ? OR (d.path > ? AND d.path < ?))"
    rows = session.db.execute(
        f"SELECT {_PATH} FROM staged s JOIN file f ON f.id = s.file_id JOIN directory d ON d.id = f.directory_id "
        "JOIN temp.vanishing v ON v.identity_id = f.identity_id "
        f"WHERE s.source_id = ? AND s.md5 IS NULL AND v.arrived = 0 AND NOT v.stays {scope}",
        (source,) if below is None else (source, below, below + b"/", below + b"0"),
    )
    return [row[0] for row in rows]


def apply_staged(session: Session, source: int, number: int, date: int) -> None:
    """Make what the scan staged true: changed contents, paths that went, links, directories. `weigh` must have been
    called for this source. Call inside a transaction."""
    db = session.db
    db.execute(
        "UPDATE directory SET dirty = 1, stale = 1 WHERE id IN "
        "(SELECT f.directory_id FROM staged s JOIN file f ON f.id = s.file_id WHERE s.source_id = ?)",
        (source,),
    )
    db.execute(
        "INSERT OR IGNORE INTO identity (size, md5) "
        "SELECT size, md5 FROM staged WHERE source_id = ? AND md5 IS NOT NULL",
        (source,),
    )
    # What had this content before, where no path has it any more: a path that went, or the older version of one.
    db.execute(
        f"INSERT OR IGNORE INTO gone (source_id, path, identity_id, mtime_ns, mode, gone_at) "
        f"SELECT d.source_id, {_PATH}, f.identity_id, f.mtime_ns, f.mode, ? FROM staged s "
        "JOIN file f ON f.id = s.file_id JOIN directory d ON d.id = f.directory_id "
        "LEFT JOIN temp.vanishing v ON v.identity_id = f.identity_id "
        "LEFT JOIN identity i ON i.md5 = s.md5 AND i.size = s.size "
        "WHERE s.source_id = ? AND (s.md5 IS NULL AND v.arrived = 0 OR s.md5 IS NOT NULL AND i.id <> f.identity_id) "
        "AND (EXISTS (SELECT 1 FROM copy c WHERE c.identity_id = f.identity_id) "
        "OR EXISTS (SELECT 1 FROM expected e WHERE e.source_id = d.source_id AND e.identity_id = f.identity_id "
        f"AND e.path = {_PATH}))",
        (date, source),
    )
    db.execute(
        "UPDATE file SET identity_id = (SELECT id FROM identity i WHERE i.md5 = s.md5 AND i.size = s.size), "
        "mtime_ns = s.mtime_ns, mode = s.mode, device = s.device, inode = s.inode, ctime_ns = s.ctime_ns, trouble = 0, "
        "read_at = NULL FROM staged s WHERE s.file_id = file.id AND s.source_id = ? AND s.md5 IS NOT NULL",
        (source,),
    )
    db.execute(
        "DELETE FROM file WHERE id IN (SELECT file_id FROM staged WHERE source_id = ? AND md5 IS NULL)", (source,)
    )
    lost = "SELECT l.directory_id FROM temp.lost_link l WHERE l.source_id = ?"
    db.execute(f"UPDATE directory SET dirty = 1 WHERE id IN ({lost})", (source,))
    db.execute(
        "DELETE FROM link WHERE (directory_id, name) IN "
        "(SELECT directory_id, name FROM temp.lost_link WHERE source_id = ?)",
        (source,),
    )
    unseen = session.column(
        "SELECT id FROM directory WHERE source_id = ? AND seen <> ? AND path <> x''", source, number
    )
    if unseen:
        db.execute(
            "UPDATE directory SET dirty = 1 WHERE id IN (SELECT parent_id FROM directory WHERE source_id = ?1 "
            "AND seen <> ?2 AND path <> x'') AND (seen = ?2 OR path = x'')",
            (source, number),
        )
        drop_directories(session, unseen)
    forget_staged(session, source)
