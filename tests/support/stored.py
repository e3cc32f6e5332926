"""Rows of the session DB that only tests read or write so."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from medback_core.session import Session
from medback_core.session.files import FileRow, files_in
from medback_core.session.values import store_ns


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
