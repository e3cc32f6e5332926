"""The second drive before which a copy may be removed: opened, read, and asked what its own context names.

Counting copies of drives that are away loses the last one: another session may have counted on the very copy this one
removes, or this session's DB may be older than it thinks. So a copy of what anybody names goes only while another lies
on another drive that is open and locked here, at a current path, read whole and found equal in this run, and only if
that drive's own context names the content for all who are known to name it: else the next session that meets it there
would take it for a person's own file. tests/support/shelf_of_minds.py searches all orders of steps for a loss.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field

from medback_core.context import FileEntry, SourceEnd, SourceStart, read_context
from medback_core.drives.check import look_at
from medback_core.drives.drive import Drive
from medback_core.drives.matching import lies_there
from medback_core.drives.open import find_drive, open_drive
from medback_core.errors import Refused
from medback_core.model import CONTEXTS_KEPT, OLD_DIRECTORY, DamageFound, Event, Identity, Order, Reason, State, Warned
from medback_core.session import Session
from medback_core.session.copies import Copy, copies_of, withdraw_copies
from medback_core.session.digests import known_as, learn
from medback_core.session.targets import add_pending, list_targets
from medback_core.upkeep.reread import Bound, Ticker, read_in_time


@dataclass(frozen=True, slots=True)
class ToldOfSource:
    """What the newest context on a drive says of one source: as of which state (None: the version before told none),
    and when that was written (ns)."""

    now: State | None
    at: int
    named: frozenset[Identity]

    def is_older_than(self, other: ToldOfSource) -> bool:
        """Whether the other was made knowing all this one says. Two that split are both heard."""
        if self.now is None or other.now is None:
            return self.now is None and other.now is None and self.at < other.at
        return self.now.order(other.now) is Order.OLDER


@dataclass(frozen=True, slots=True)
class OpenDrive:
    """A drive that is open and locked, and what its context says of each source, by id."""

    drive: Drive
    sections: Mapping[str, ToldOfSource]


@dataclass(frozen=True, slots=True)
class Witness:
    """Another copy of a content: where it lies, and which file it was when it was read."""

    drive: Drive
    path: bytes
    status: os.stat_result

    def is_there(self) -> bool:
        """Whether it still is that very file."""
        try:
            now = self.drive.root.stat(self.path)
        except OSError:
            return False
        return now is not None and self.drive.root.is_same_drive() and _which(now) == _which(self.status)


@dataclass(slots=True)
class OpenShelf:
    """The drive that is to be freed (first), and every other target that is plugged in now."""

    opened: list[OpenDrive] = field(default_factory=list)

    def namers(self, identity: Identity, known: Collection[str]) -> set[str]:
        """The ids of the sources that name a content: `known`, those this session knows to, and those that the newest
        section on these drives says it of."""
        found = set(known)
        said: dict[str, list[ToldOfSource]] = {}
        for each in self.opened:
            for source, section in each.sections.items():
                said.setdefault(source, []).append(section)
        for source, told in said.items():
            newest = [section for section in told if not any(section.is_older_than(other) for other in told)]
            if any(identity in section.named for section in newest):
                found.add(source)
        return found

    def witnesses(self, session: Session, copy: Copy, identity: Identity, namers: Collection[str]) -> list[Copy]:
        """The copies that may serve as a witness for this one, as far as a look tells."""
        found = []
        others = {each.drive.target.key: each for each in self.opened[1:]}
        for other in copies_of(session, copy.identity):
            there = others.get(other.target)
            if there is None or other.path is None or not other.standing or is_old(other.path):
                continue
            if all(_names(there, source, identity) for source in namers) and lies_there(there.drive, other, identity):
                found.append(other)
        return found

    def drive_of(self, copy: Copy) -> Drive:
        """The open drive a copy lies on."""
        return next(each.drive for each in self.opened if each.drive.target.key == copy.target)


def _names(there: OpenDrive, source: str, identity: Identity) -> bool:
    section = there.sections.get(source)
    return section is not None and identity in section.named


def is_old(path: bytes) -> bool:
    """Whether a path on a drive is one of an older version, which no current path speaks for."""
    return path.startswith(OLD_DIRECTORY + b"/")


def open_shelf(
    session: Session, drive: Drive, identities: Collection[Identity], stack: ExitStack
) -> Generator[Event, None, OpenShelf]:
    """Open, lock and look at every other active target that is plugged in, until `stack` ends. Only what is said of
    these identities is kept in mind. One that can't be used is told and left out."""
    shelf = OpenShelf([OpenDrive(drive, sections(drive, identities))])
    for target in list_targets(session):
        if not target.counts or target.key == drive.target.key:
            continue
        where = find_drive(session, target)
        if where is None:
            continue
        try:
            other = stack.enter_context(open_drive(session, where, write=False))
            if other.filesystem.is_network or _which(os.fstat(other.root.fd)) == _which(os.fstat(drive.root.fd)):
                continue
            yield from look_at(session, other)
        except Refused as refusal:
            yield Warned("drive-not-read", target=target.name, because=refusal)
            continue
        shelf.opened.append(OpenDrive(other, sections(other, identities)))
    return shelf


def sections(drive: Drive, identities: Collection[Identity]) -> dict[str, ToldOfSource]:
    """What the newest whole context on a drive (and any damaged newer one) names of these, by source. A section with
    no id is of an unknown source."""
    found: dict[str, ToldOfSource] = {}
    for name in CONTEXTS_KEPT:
        try:
            fd, status = drive.root.open_file(name)
        except OSError:
            continue
        states: dict[str, State | None] = {}
        named: dict[str, set[Identity]] = {}
        is_whole = False
        with os.fdopen(fd, "rb") as stream, suppress(Refused):
            here: set[Identity] | None = None
            for item in read_context(stream):
                if isinstance(item, SourceStart):
                    states[item.id] = item.now
                    here = named.setdefault(item.id, set())
                elif isinstance(item, SourceEnd):
                    here = None
                elif here is not None and isinstance(item, FileEntry) and item.gone is None and item.md5 is not None:
                    identity = Identity(item.size, item.md5)
                    if identity in identities:
                        here.add(identity)
            is_whole = True
        for source, contents in named.items():
            newer = found.get(source)  # of a context that is damaged further on: it may have named more
            state = states[source] if newer is None else newer.now
            at = status.st_mtime_ns if newer is None else newer.at
            found[source] = ToldOfSource(
                state, at, frozenset(contents) | (newer.named if newer is not None else frozenset())
            )
        if is_whole:
            break
    return found


def prove_witness(
    session: Session,
    shelf: OpenShelf,
    victim: os.stat_result,
    identity: Identity,
    candidates: Sequence[Copy],
    ticker: Ticker,
) -> Generator[Event, None, Witness | None]:
    """Read the candidates whole until one is found equal: that is the witness. One that is damaged stops counting."""
    for copy in candidates:
        drive = shelf.drive_of(copy)
        assert copy.path is not None
        shown = os.path.join(drive.root.path, copy.path)
        try:
            result = yield from read_in_time(drive.root, copy.path, ticker, known_as(session, identity), Bound())
        except OSError as error:
            yield Warned("cannot-read", path=shown, error=error.strerror)
            continue
        assert result is not None  # there is no bound
        if result.identity != identity:
            with session.transaction():
                withdraw_copies(session, copy.target, [copy.identity])
                add_pending(session, copy.target, [(copy.identity, copy.path)])
            yield DamageFound(shown, Reason("no-copy/damaged"))
        elif not learn(session, identity, result.blake3, copy.path, target=copy.target):
            yield Warned("twin", path=shown)
        elif _which(result.status)[:2] != _which(victim)[:2]:
            return Witness(drive, copy.path, result.status)
    return None


def waiting_holders(
    session: Session, shelf: OpenShelf, waiting: Sequence[tuple[Identity, Copy]]
) -> Iterator[tuple[int, bool, int]]:
    """(target key, whether it is open here, bytes) for each copy elsewhere of what waits for a witness."""
    here = {each.drive.target.key for each in shelf.opened}
    counting = {target.key for target in list_targets(session) if target.counts}
    for identity, copy in waiting:
        for other in copies_of(session, copy.identity):
            if other.target in counting and other.target != copy.target and other.standing:
                yield other.target, other.target in here, identity.size


def _which(status: os.stat_result) -> tuple[int, int, int, int]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns
