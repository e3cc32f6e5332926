"""Whose word is newer: what a source's sidecars say of its copies and its tree, or what this session knows.

Each is as of a state (`session/states`). Of two accounts of the copies on one target the one as of the higher number is
true, withdrawals included. With the same number and another stamp two sessions wrote without knowing each other, and
only what both name counts, until the drive is seen: its own word ends it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

from medback_core.model import STAMP_DIGITS, Event, Order, Source, State, Warned
from medback_core.session import Session
from medback_core.session.copies import has_copies
from medback_core.session.scanning import read_all_sidecars
from medback_core.session.sources import mark_metadata
from medback_core.session.states import (
    SOURCE,
    AsOf,
    absorb,
    keep_state,
    known_state,
    last_there,
    mark_changed,
    note_there,
    note_told,
    told_of,
)
from medback_core.sidecar.source_metadata import SourceMetadata


@dataclass(frozen=True, slots=True)
class Accounts:
    """What the sidecars of a source are as of, against what the session knows. Targets by their id."""

    newer: dict[str, AsOf] = field(default_factory=dict)  # the sidecars are right: what they do not name is not there
    split: dict[str, AsOf] = field(default_factory=dict)  # only what both name
    older: frozenset[str] = frozenset()  # the session is right
    same: frozenset[str] = frozenset()  # a sidecar that names more than the session knows came from elsewhere
    tree: State | None = None  # the state the metadata tells of
    is_older: bool = False  # and it is from before the one the source was last seen in
    withdraws: bool = False  # the sidecars may take copies away from what the session believes


NO_ACCOUNTS = Accounts()


def weigh_accounts(session: Session, source: Source, metadata: SourceMetadata | None) -> Accounts:
    """Compare the two before a scan. Where the sidecars may know better, all of them are to be read in it."""
    if metadata is None or metadata.id != source.id:
        return NO_ACCOUNTS
    mine = told_of(session, source.id)
    newer: dict[str, AsOf] = {}
    split: dict[str, AsOf] = {}
    older: set[str] = set()
    same: set[str] = set()
    for fact in metadata.targets:
        theirs, known = AsOf(fact.n, fact.stamp), mine.get(fact.id, AsOf())
        if theirs.n > known.n:
            newer[fact.id] = theirs
        elif theirs.n == known.n and theirs.stamp != known.stamp:
            split[fact.id] = theirs
        elif theirs.n < known.n:
            older.add(fact.id)
        elif theirs.n:
            same.add(fact.id)
    tree, known = metadata.now, known_state(session, SOURCE, source.id)
    is_older = False
    if tree is not None:
        seen = last_there(session, source.id)
        is_older = known is not None and known.order(tree) is Order.NEWER and seen not in ("", tree.stamp)
        note_there(session, source.id, tree.stamp)
    if is_older:
        mark_changed(session, source.id)  # it gets a state above all that is known
    withdraws = any(has_copies(session, target) for target in (*newer, *split))
    if withdraws:
        read_all_sidecars(session, source.key)
    return Accounts(newer, split, frozenset(older), frozenset(same), tree, is_older, withdraws)


def tell_older(session: Session, source: Source, accounts: Accounts) -> Iterator[Event]:
    """Say so where a source's records are from before a state that is known: it was restored from an image, say."""
    known = known_state(session, SOURCE, source.id)
    if known is not None and accounts.is_older:
        yield Warned("source-older", source=source.alias, at=known.at)


def settle_accounts(session: Session, source: Source, accounts: Accounts) -> None:
    """All sidecars were read: this session knows what they know. Its next state of the tree descends from theirs."""
    with session.transaction():
        rows = list(accounts.newer.items())
        # What both name is as of neither: a stamp of its own, so that a session that has either takes it for a split
        # too.
        rows += [(target, AsOf(state.n, _stamp())) for target, state in accounts.split.items()]
        note_told(session, source.id, rows)
        tree, known = accounts.tree, known_state(session, SOURCE, source.id)
        if tree is None:
            return
        order = Order.OLDER if known is None else known.order(tree)
        if order is Order.OLDER:
            keep_state(session, SOURCE, source.id, tree)
        elif order is Order.SPLIT:
            absorb(session, source.id, tree)
        elif order is Order.NEWER:
            mark_metadata(session, source.key, dirty=True)


def _stamp() -> str:
    return os.urandom(STAMP_DIGITS // 2).hex()
