"""What happened: one row an event. A cache like the rest: drives and sources tell it again (`sidecar.history`)."""

from __future__ import annotations

from collections.abc import Iterable

from medback_core import model
from medback_core.model import DAILY, Happened, HistoryEntry

from .counting import CopyCounter
from .needs import every_part
from .sources import list_sources
from .store import Session
from .tree import totals_by_source

_KEPT = 20_000  # rows at most; a stranger's drive may tell a lot
_COLUMNS = "at, what, target, source, files, bytes, unsafe, health"


def note_event(session: Session, entry: HistoryEntry) -> None:
    """Something happened. The sources' metadata is to tell of it; of a visit or a reading of the health only when it is
    written anyway, so that a run that changed nothing writes nothing."""
    with session.transaction() as db:
        if entry.what in DAILY:
            _is_last_of_day(session, entry)
        db.execute(
            f"INSERT INTO history ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET "
            "files = files + excluded.files, bytes = CASE WHEN what = 'safety' THEN 0 ELSE bytes END + excluded.bytes, "
            "unsafe = excluded.unsafe, health = excluded.health",
            entry,
        )
        if not entry.passing:
            own = "" if entry.target else " WHERE sid = ?"
            db.execute(
                f"UPDATE source SET metadata_dirty = MAX(metadata_dirty, 1){own}",
                () if entry.target else (entry.source,),
            )


def note_files(
    session: Session, what: Happened, files: int, bytes: int = 0, *, target: str = "", source: str = ""
) -> None:
    """Something happened to so many files just now; where they are none nothing did."""
    if files > 0:
        note_event(session, HistoryEntry(model.now(), what, target, source, files, bytes))


def learn_history(session: Session, told: Iterable[HistoryEntry]) -> None:
    """Take up what a drive or a source tells. What is known already stays."""
    told = list(told)
    known = set(list_history(session, since=min(entry.at for entry in told))) if told else set()
    news = [entry for entry in told if entry not in known]
    if not news:
        return
    with session.transaction() as db:
        for entry in news:
            if entry.what not in DAILY or _is_last_of_day(session, entry):
                db.execute(f"INSERT OR IGNORE INTO history ({_COLUMNS}) VALUES (?,?,?,?,?,?,?,?)", entry)
        oldest = "SELECT at FROM history ORDER BY at DESC LIMIT 1 OFFSET ?"
        db.execute(f"DELETE FROM history WHERE at <= ({oldest})", (_KEPT,))


def _is_last_of_day(session: Session, entry: HistoryEntry) -> bool:
    """Whether nothing later of this thing is known on that day; what is earlier goes. Call inside a transaction."""
    day = entry.at - entry.at % 86_400
    same = "what = ? AND target = ? AND source = ? AND at >= ? AND at < ?"
    thing = entry.what, entry.target, entry.source
    later = session.db.execute(f"SELECT 1 FROM history WHERE {same}", (*thing, entry.at + 1, day + 86_400)).fetchone()
    if later is None:
        session.db.execute(f"DELETE FROM history WHERE {same}", (*thing, day, entry.at))
    return later is None


def list_history(
    session: Session, *, target: str | None = None, source: str | None = None, since: int | None = None
) -> list[HistoryEntry]:
    """What is known, the earliest first: of one target and of one source (ids; both are meant where both are given),
    from a date on."""
    rows = session.db.execute(
        f"SELECT {_COLUMNS} FROM history WHERE (?1 IS NULL AND ?2 IS NULL OR target = ?1 OR source = ?2) AND at >= ?3 "
        "ORDER BY at, what, target, source",
        (target, source, -(1 << 63) if since is None else since),
    )
    return [HistoryEntry(row[0], Happened(row[1]), *row[2:]) for row in rows]


def note_safety(session: Session) -> None:
    """How much each source keeps and how much of it is not safe, where that is not what was noted last."""
    last = dict(
        session.db.execute(
            "SELECT source, bytes || ' ' || unsafe FROM history h WHERE what = 'safety' AND at = (SELECT MAX(at) "
            "FROM history WHERE what = 'safety' AND target = '' AND source = h.source)"
        )
    )
    counter = CopyCounter(session)
    sums = {source.id: [0, 0] for source in list_sources(session)}
    for source, need, part in every_part(session, totals_by_source(session)):
        summed = counter.summed([(need, part)])
        sums[source.id][0] += summed.count.bytes
        sums[source.id][1] += summed.below.bytes
    for id, (kept, unsafe) in sums.items():
        if last.get(id, "0 0") != f"{kept} {unsafe}":
            note_event(session, HistoryEntry(model.now(), Happened.SAFETY, "", id, 0, kept, unsafe))
