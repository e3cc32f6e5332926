"""Rows of the session DB that only tests read or write so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from medback_core.model import Identity
from medback_core.session import Session
from medback_core.session.copies import identity_key
from medback_core.session.files import FileRow, files_in
from medback_core.session.scanning import put_files
from medback_core.session.values import signed, store_ns


class Seen(NamedTuple):
    """One file as it was seen: goes into `put_file`."""

    name: bytes
    identity: Identity
    mtime_ns: int
    mode: int
    device: int | None
    inode: int | None
    ctime_ns: int | None
    trouble: int = 0


def put_file(session: Session, directory: int, seen: Seen) -> int:
    """Insert or replace one file of a directory; returns its identity's row key. Call inside a transaction."""
    device, inode = (None if number is None else signed(number) for number in (seen.device, seen.inode))
    times = store_ns(seen.mtime_ns), store_ns(seen.ctime_ns)
    row = seen.name, *seen.identity, times[0], seen.mode, device, inode, times[1], seen.trouble, None
    put_files(session, directory, [row])
    return identity_key(session, seen.identity)


def all_files(session: Session, source: int) -> Iterator[tuple[bytes, FileRow]]:
    """(directory path, row) of every file of a source, in directory order."""
    rows = session.db.execute("SELECT id, path FROM directory WHERE source_id = ? ORDER BY path", (source,)).fetchall()
    for key, path in rows:
        for _, row in sorted(files_in(session, key).items()):
            yield path, row


def remove_files(session: Session, keys: Iterable[int]) -> None:
    """These paths are no longer in their source. Identities and copies stay known. Call inside a transaction."""
    session.db.executemany("DELETE FROM file WHERE id = ?", ((key,) for key in keys))


def put_expected(
    session: Session, rows: Iterable[tuple[int, bytes, int | None, int | None, int | None, bytes | None, int | None]]
) -> None:
    """Insert (source key, path, identity key, mtime_ns, mode, link goal, gone date). Call inside a transaction."""
    session.db.executemany(
        "INSERT OR REPLACE INTO expected (source_id, path, identity_id, mtime_ns, mode, goal, gone_at) "
        "VALUES (?,?,?,?,?,?,?)",
        ((s, p, i, store_ns(m) if m is not None else None, mode, goal, gone) for s, p, i, m, mode, goal, gone in rows),
    )
