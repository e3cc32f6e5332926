"""Which drives' stories a person was told, and what became of them: each is an offer once."""

from __future__ import annotations

from .store import Session


def note_heard(session: Session, drive: str, stamp: str, *, taken: bool) -> None:
    """What a drive remembers (as of this stamp) was taken up, or is not wanted."""
    with session.transaction() as db:
        db.execute("INSERT OR REPLACE INTO heard (drive, stamp, taken) VALUES (?,?,?)", (drive, stamp, taken))


def is_refused(session: Session, drive: str, stamp: str) -> bool:
    """Whether a person said no to what a drive remembers as of this stamp."""
    return _answer(session, drive, stamp) == 0


def is_heard(session: Session, drive: str, stamp: str) -> bool:
    """Whether what a drive remembers as of this stamp was taken up."""
    return _answer(session, drive, stamp) == 1


def _answer(session: Session, drive: str, stamp: str) -> int | None:
    row = session.db.execute("SELECT taken FROM heard WHERE drive = ? AND stamp = ?", (drive, stamp)).fetchone()
    return None if row is None else row[0]


def heard_drives(session: Session) -> set[str]:
    """The ids of the drives whose word was taken up."""
    return {row[0] for row in session.db.execute("SELECT drive FROM heard WHERE taken")}
