"""What happened to targets and sources, for people: the history (`session.history`) with the things it tells of."""

from __future__ import annotations

from dataclasses import dataclass

from medback_core.model import HistoryEntry, Source, Target
from medback_core.session import Session
from medback_core.session.history import list_history
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import find_target, list_targets


@dataclass(frozen=True, slots=True)
class Past:
    """One event, and the target or the source it happened to."""

    entry: HistoryEntry
    target: Target | None = None
    source: Source | None = None

    @property
    def name(self) -> str:
        """What the target is called, or the source."""
        return self.target.name if self.target is not None else self.source.alias if self.source is not None else ""


def history(
    session: Session, *, target: str | None = None, source: str | None = None, since: int | None = None
) -> list[Past]:
    """What happened to the targets and sources this session knows, the earliest first: of one target (id or label), of
    one source (alias), at or after a date. Raises Refused for an unknown target or source."""
    targets = [find_target(session, target)] if target is not None else list_targets(session)
    sources = [find_source(session, source)] if source is not None else list_sources(session)
    by_target = {} if target is None and source is not None else {one.id: one for one in targets}
    by_source = {} if source is None and target is not None else {one.id: one for one in sources}
    return [
        Past(entry, by_target.get(entry.target), by_source.get(entry.source))
        for entry in list_history(session, since=since)
        if entry.target in by_target or (not entry.target and entry.source in by_source)
    ]
