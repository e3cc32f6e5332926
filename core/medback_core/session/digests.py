"""The second digest of contents: what is known of it, what readings teach of it, and the twins it tells apart.

BLAKE3 is kept once for each identity: of whichever content of that size and MD5 was read first. A path whose content
has another is a *twin*: no copy of that content and no damage, but something medback can't keep beside it. Twins are
told only where this session read both.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import itemgetter

from medback_core import model
from medback_core.model import Identity, Recorded
from medback_core.names import display_name

from .copies import copy_on, withdraw_copies
from .files import find_file, paths_of_identity
from .scanning import Put
from .store import Session

Read = tuple[bytes, int, bytes, bytes]  # path, size, MD5, BLAKE3

_LEARN = (
    "INSERT INTO identity (size, md5, blake3, blake3_read) VALUES (?,?,?,1) ON CONFLICT (md5, size) "
    "DO UPDATE SET blake3 = excluded.blake3, blake3_read = 1 WHERE NOT blake3_read"
)

_content = itemgetter(1, 2, 9)  # of a Put: size, MD5, BLAKE3

_AS_KNOWN = (
    "identity WHERE md5 = ? AND size = ? AND blake3 = ? AND NOT EXISTS "
    "(SELECT 1 FROM twin WHERE source_id = ? AND target_id = ? AND path = ?)"
)


def known_as(session: Session, identity: Identity) -> Recorded:
    """A content as it is to be read: with its BLAKE3, where it is known."""
    known = session.value("SELECT blake3 FROM identity WHERE md5 = ? AND size = ?", identity.md5, identity.size)
    return Recorded(identity, known)


def learn(
    session: Session, identity: Identity, blake3: bytes | None, path: bytes, *, source: int = 0, target: int = 0
) -> bool:
    """The content at a path of a source or on a target was read: its size and MD5 are right, and this is its BLAKE3
    (None: it could not be made). Returns whether it is the content on record; what only a record told of is replaced.
    False: a twin. At a place of a source that is noted with a gap; on a target it is no copy any more."""
    if blake3 is None:
        return True
    place = source, target, path
    if session.has(_AS_KNOWN, identity.md5, identity.size, blake3, *place):
        return True  # nothing to be written, which is so for most: no transaction
    with session.transaction() as db:
        row = db.execute(
            "SELECT id, blake3, blake3_read FROM identity WHERE md5 = ? AND size = ?", (identity.md5, identity.size)
        ).fetchone()
        if row is None:
            return True  # nothing is on record that it could differ from
        key, known, was_read = row
        if known == blake3 or not was_read or not _is_elsewhere(session, key, place):
            if known != blake3:
                db.execute("UPDATE identity SET blake3 = ?, blake3_read = 1 WHERE id = ?", (blake3, key))
            db.execute("DELETE FROM twin WHERE source_id = ? AND target_id = ? AND path = ?", place)
            return True
        if not (source or target):
            return False
        db.execute(
            "INSERT OR REPLACE INTO twin (source_id, target_id, path, identity_id, blake3) VALUES (?,?,?,?,?)",
            (*place, key, blake3),
        )
        if source:
            db.execute(
                "INSERT OR IGNORE INTO gap (source_id, path, reason, since) VALUES (?,?,?,?)",
                (source, path, _reason(session, key), model.now()),
            )
            db.execute("UPDATE source SET metadata_dirty = MAX(metadata_dirty, 1) WHERE id = ?", (source,))
        elif (copy := copy_on(session, key, target)) is not None and copy.path == path:
            withdraw_copies(session, target, [key])
        return False


def learn_many(session: Session, contents: Iterable[tuple[Identity, bytes | None]]) -> None:
    """Contents that were read and are those on record. Call inside a transaction."""
    session.db.executemany(_LEARN, [(*identity, blake3) for identity, blake3 in contents if blake3 is not None])


def learn_first(session: Session, source: int, read: Collection[Put]) -> bool:
    """Put the contents of files a scan has read on record, and the BLAKE3 of those that had none from a reading. False:
    some may be twins, which `learn_scanned` tells. Call inside a transaction."""
    learnt = session.db.executemany(_LEARN, map(_content, read)).rowcount
    all_are_first = learnt == len(read)  # of their identity
    return all_are_first and not session.has("twin WHERE source_id = ?", source)


def learn_scanned(session: Session, source: int, read: Collection[Read]) -> list[bytes]:
    """The paths of those files that are twins. Call inside the same transaction, when the files are recorded."""
    return [
        path for path, size, md5, blake3 in read if not learn(session, Identity(size, md5), blake3, path, source=source)
    ]


def take_up_told(session: Session, source: int, told: Iterable[Read]) -> None:
    """What the whole records of a source say, where no reading of this session says it. Where two records of one
    identity differ, nothing is known, and its files are read by the next scan. Call inside a transaction."""
    db = session.db
    for path, size, md5, blake3 in told:
        row = db.execute(
            "SELECT id, blake3, blake3_read FROM identity WHERE md5 = ? AND size = ?", (md5, size)
        ).fetchone()
        if row is None:
            db.execute("INSERT INTO identity (size, md5, blake3) VALUES (?,?,?)", (size, md5, blake3))
        elif row[1] is None and not session.has("twin WHERE identity_id = ? AND blake3 IS NULL", row[0]):
            db.execute("UPDATE identity SET blake3 = ? WHERE id = ?", (blake3, row[0]))
        elif row[1] is not None and row[1] != blake3 and not row[2]:
            db.execute("UPDATE identity SET blake3 = NULL WHERE id = ?", (row[0],))
            places = {(source, path), *((key, where) for key, where, _ in paths_of_identity(session, row[0]))}
            db.executemany(
                "INSERT OR IGNORE INTO twin (source_id, target_id, path, identity_id) VALUES (?,0,?,?)",
                [(*place, row[0]) for place in places],
            )


def doubted(session: Session, source: int) -> set[bytes]:
    """The paths of files a scan is to read, since two records differ."""
    return set(session.column("SELECT path FROM twin WHERE source_id = ? AND blake3 IS NULL", source))


def own_digests(session: Session, directory: int) -> dict[bytes, bytes]:
    """Name -> BLAKE3 of the twins in a directory (a key) of a source: what its sidecar says of them."""
    rows = session.db.execute(
        "SELECT name_of(t.path), t.blake3 FROM directory d CROSS JOIN twin t ON t.source_id = d.source_id "
        "WHERE d.id = ? AND t.blake3 IS NOT NULL AND parent_of(t.path) = d.path",
        (directory,),
    )
    return dict(rows.fetchall())


def twins_on(session: Session, target: int) -> dict[bytes, bytes]:
    """Path -> BLAKE3 of the twins on a target."""
    return dict(session.db.execute("SELECT path, blake3 FROM twin WHERE target_id = ?", (target,)).fetchall())


def twin_paths(session: Session, source: int) -> set[bytes]:
    """The paths of the twins in a source."""
    return set(session.column("SELECT path FROM twin WHERE source_id = ? AND blake3 IS NOT NULL", source))


def twins_in(session: Session, source: int, path: bytes | None = None) -> list[tuple[bytes, int, str]]:
    """(path, size, reason) of the twins in a source, or at and below a path of it."""
    rows = session.db.execute(
        "SELECT t.path, i.size, i.id FROM twin t JOIN identity i ON i.id = t.identity_id "
        "WHERE t.source_id = ?1 AND t.blake3 IS NOT NULL AND (?2 OR t.path = ?3 OR (t.path > ?4 AND t.path < ?5)) "
        "ORDER BY t.path",
        (source, not path, path, (path or b"") + b"/", (path or b"") + b"0"),
    ).fetchall()
    return [(where, size, _reason(session, key)) for where, size, key in rows]


def is_twin(session: Session, target: int, path: bytes) -> bool:
    """Whether a twin lies there on a target."""
    return session.has("twin WHERE source_id = 0 AND target_id = ? AND path = ?", target, path)


def forget_twin(session: Session, target: int, path: bytes) -> None:
    """What lies there on a target is another file now."""
    with session.transaction() as db:
        db.execute("DELETE FROM twin WHERE source_id = 0 AND target_id = ? AND path = ?", (target, path))


def settle_twins(session: Session, source: int) -> dict[bytes, str]:
    """Path -> reason of the files of a source that are still twins; a file that changed, or the last one of whose
    opposite is gone, no longer is one. Call inside a transaction, when a scan has recorded all."""
    found: dict[bytes, str] = {}
    rows = session.db.execute("SELECT path, identity_id, blake3 FROM twin WHERE source_id = ?", (source,)).fetchall()
    for path, key, blake3 in rows:
        row = find_file(session, source, path)
        if row is not None and row.identity == key and blake3 is None:
            found[path] = "two records of its content differ; the next update reads it"
            continue
        if row is not None and row.identity == key and _is_elsewhere(session, key, (source, 0, path)):
            found[path] = _reason(session, key)
            continue
        session.db.execute("DELETE FROM twin WHERE source_id = ? AND path = ?", (source, path))
        if row is not None and row.identity == key:
            session.db.execute("UPDATE identity SET blake3 = ?, blake3_read = 1 WHERE id = ?", (blake3, key))
    return found


def _is_elsewhere(session: Session, key: int, place: tuple[int, int, bytes]) -> bool:
    """Whether the content on record lies anywhere but at a place: in a source, or on a target."""
    source, target, path = place
    if any((at, where) != (source, path) for at, where, _ in paths_of_identity(session, key)):
        return True
    other = "copy WHERE identity_id = ? AND standing > 0 AND NOT (target_id = ? AND path IS ?)"
    return session.has(other, key, target, path)


def _reason(session: Session, key: int) -> str:
    others = paths_of_identity(session, key)
    alias = session.value("SELECT alias FROM source WHERE id = ?", others[0][0]) if others else None
    of = f"{display_name(alias)}/{display_name(others[0][1])}" if alias is not None else "another content"
    return f"a twin of {of}: other content of the same size and MD5, which medback cannot back up beside it"
