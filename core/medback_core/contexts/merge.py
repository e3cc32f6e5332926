"""Merge one section of a context into a session: newer wins over older, whatever the order they are read in.

Which of two is newer their states say (`model.State`). Where neither descends from the other they have split: both are
true, path by path, and of two contents at one path the later is the file and the other an older version of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from medback_core.context import ContextItem, DirectoryEntry, DirectoryFact, FileEntry, LinkEntry, TargetLine
from medback_core.model import Identity, Order, Source, State
from medback_core.session import Session
from medback_core.session.copies import identity_key
from medback_core.session.directories import put_expected_directories
from medback_core.session.expected import expects_of
from medback_core.session.files import join
from medback_core.session.merging import (
    GoneRow,
    LiveRow,
    MergeRules,
    begin_incoming,
    merge_incoming,
    put_incoming,
    take_claims,
)
from medback_core.session.scanning import has_files
from medback_core.session.states import (
    EXPECTED,
    SOURCE,
    TARGET,
    AsOf,
    absorb,
    keep_state,
    known_state,
    note_number,
    note_state_read,
    note_told,
    told_of,
    was_read,
)
from medback_core.session.targets import target_key

_BATCH = 2000


@dataclass(frozen=True, slots=True)
class Merged:
    order: Order  # how what the session knew stands to the section
    mine: State | None
    theirs: State
    differing: int = 0  # paths of which the two tell different contents
    older: int = 0  # files of the section that are older versions now


class Incoming:
    """The rows of one section on their way into the session. To be used inside one transaction."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._live: list[LiveRow] = []
        self._gone: list[GoneRow] = []
        self._claims: list[tuple[int, int]] = []
        self._targets: dict[str, int] = {}
        self.facts: list[DirectoryFact] = []
        begin_incoming(session)

    def add(self, item: ContextItem) -> None:
        """One entry. A file without a hash was never readable: it says nothing."""
        if isinstance(item, FileEntry):
            if item.md5 is not None:
                self._file(item, item.md5)
        elif isinstance(item, LinkEntry):
            self._live.append((join(item.directory, item.name), None, None, None, item.to))
        elif isinstance(item, DirectoryFact):
            self.facts.append(item)
        elif isinstance(item, DirectoryEntry):
            self._live.append((item.directory, None, None, None, None))
        if len(self._live) + len(self._gone) + len(self._claims) >= _BATCH:
            self.flush()

    def _file(self, entry: FileEntry, md5: bytes) -> None:
        key = identity_key(self._session, Identity(entry.size, md5))
        path = join(entry.directory, entry.name)
        if entry.gone is None:
            self._live.append((path, key, entry.mtime_ns, entry.mode, None))
        else:
            self._gone.append((path, key, entry.mtime_ns, entry.mode, entry.gone))
        for target, _ in entry.bds:
            there = self._targets.get(target)
            if there is None:
                there = self._targets[target] = target_key(self._session, target)
            self._claims.append((there, key))

    def flush(self) -> None:
        """All that was added is in the session's temporary tables."""
        put_incoming(self._session, self._live, self._gone, self._claims)
        self._live, self._gone, self._claims = [], [], []


def order_of(session: Session, mine: State | None, theirs: State) -> Order:
    """How what this session knows of a source's tree stands to a section of it: also by what it read long ago, which
    the lines are too short for."""
    if mine is None:
        return Order.OLDER
    order = mine.order(theirs)
    return Order.NEWER if order is Order.SPLIT and was_read(session, theirs.stamp) else order


def merge_section(
    session: Session,
    source: Source,
    incoming: Incoming,
    theirs: State,
    targets: tuple[TargetLine, ...],
    *,
    again: State | bool | None = False,
    outranked: bool = False,
) -> Merged:
    """Merge what was added to `incoming`. Call inside a transaction.

    `outranked`: the source itself lies before us and was looked at; what it does not hold is an older version at most.
    `again`: what is expected is read in again after the DB was lost, and this is the state of what was taken up before
    (None: nothing yet): what the sidecars told of since says nothing of what was still to come back.
    """
    incoming.flush()
    mine = known_state(session, SOURCE, source.id) if again is False else again or None
    assert mine is not True
    knows = again is False and (has_files(session, source.key) or expects_of(session, source.key))
    if mine is None and knows:  # known by a version that made no states
        mine = State(0, "", source.scanned_at or 0, "")
    order = order_of(session, mine, theirs)
    wins = order in (Order.OLDER, Order.SAME) or (order is Order.SPLIT and mine is not None and theirs.at >= mine.at)
    ordered = order in (Order.OLDER, Order.NEWER) and mine is not None
    dates = (0 if mine is None else mine.at, theirs.at)
    # A scan makes a newer state of the tree, and knows nothing newer of what is not back yet.
    word = known_state(session, EXPECTED, source.id)
    renews = (
        (outranked or not wins)
        and order in (Order.OLDER, Order.SPLIT)
        and word is not None
        and (word.order(theirs) is Order.OLDER or theirs.at >= word.at)
    )
    take_claims(session, source.key, source.id, {line.id: _as_of(line) for line in targets})
    differing, older = merge_incoming(
        session, source.key, MergeRules(wins and not outranked, ordered, *dates, keeps_tree=outranked, renews=renews)
    )
    if (wins and not outranked) or renews:
        keep_state(session, EXPECTED, source.id, theirs)
    if not outranked:
        put_expected_directories(
            session, [(source.key, f.directory, f.mode, f.mtime_ns) for f in incoming.facts], replace=wins
        )
    _note(session, source, order, theirs, targets, was_scanned=source.scanned_at is not None or outranked)
    return Merged(order, mine, theirs, differing, older)


def _as_of(line: TargetLine) -> AsOf:
    return AsOf(line.now.n, line.now.stamp) if line.now is not None else AsOf()


def _note(
    session: Session,
    source: Source,
    order: Order,
    theirs: State,
    targets: tuple[TargetLine, ...],
    *,
    was_scanned: bool,
) -> None:
    """As of which states this session knows the source now."""
    if order in (Order.SAME, Order.NEWER):
        note_state_read(session, SOURCE, source.id, theirs)
    elif order is Order.SPLIT or was_scanned:
        absorb(session, source.id, theirs)
    else:
        keep_state(session, SOURCE, source.id, theirs)
    known_of = told_of(session, source.id, only_told=True)
    for line in targets:
        if line.now is None:
            continue
        note_number(session, TARGET, line.id, line.now.n)
        known = known_of.get(line.id, AsOf())
        if not was_scanned and order in (Order.SAME, Order.OLDER) and line.now.n > known.n:
            note_told(session, source.id, [(line.id, _as_of(line))])
