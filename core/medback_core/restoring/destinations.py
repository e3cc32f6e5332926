"""What stands at each destination of a restore: the right content, nothing, or something else."""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import NamedTuple

from medback_core import disk, names
from medback_core.errors import Refused
from medback_core.hashing import Hashed, hash_below
from medback_core.model import Identity, Progress, Reason, Source
from medback_core.pace import Pace
from medback_core.session import Session
from medback_core.session.digests import known_as, learn
from medback_core.session.expected import Expected, is_placed, mark_placed, was_put
from medback_core.session.files import join
from medback_core.session.sources import find_source, list_sources
from medback_core.session.values import signed

_CHUNK = 256  # how many are looked at together: so many directories may be held open for hashing


@dataclass(frozen=True, slots=True)
class Destination:
    """Where the files of one source go."""

    source: Source
    directory: bytes  # absolute, opened as a root: nothing below it is reached through a link
    prefix: bytes  # below `directory`
    own: bool  # the source's own place

    def rel(self, path: bytes) -> bytes:
        """Below `directory`, from a path relative to the source."""
        return join(self.prefix, path)

    def absolute(self, path: bytes) -> bytes:
        """The absolute path, from a path relative to the source."""
        return names.within(self.directory, self.rel(path))


class DestinationState(enum.Enum):
    """What stands at one destination."""

    PRESENT = enum.auto()
    MISSING = enum.auto()
    DIFFERS = enum.auto()
    OUTDATED = enum.auto()  # an older version that a restore put there, unchanged since


class _Way(enum.Enum):
    """What the directory of a destination is."""

    OPEN = enum.auto()
    MISSING = enum.auto()
    BLOCKED = enum.auto()  # it, or one above it, is a link or a file


class LookedAt(NamedTuple):
    """One destination looked at. `status` is None where nothing is; `there` where the content was not read."""

    wanted: Expected
    state: DestinationState
    status: os.stat_result | None = None
    there: Identity | None = None
    reason: Reason | None = None


def destinations(session: Session, *, source: str | None = None, to: bytes | None = None) -> list[Destination]:
    """Where each source (or only the one with that alias) is restored to. Raises Refused."""
    chosen = list_sources(session) if source is None else [find_source(session, source)]
    if to is None:
        return [Destination(one, one.path, b"", True) for one in chosen]
    directory = os.path.abspath(to)
    return [Destination(one, directory, _folder(one), False) for one in chosen]


def _folder(source: Source) -> bytes:
    """The alias as one component: it may come from a context anybody wrote."""
    alias = names.from_text(source.alias)
    return alias if names.check_component(alias) is None else source.id.encode()


def scope(path: bytes | None) -> bytes | None:
    """A path relative to a source as a person gives it, made plain; None for all of it. Raises Refused."""
    if path is None:
        return None
    plain = b"/".join(part for part in path.split(b"/") if part not in (b"", b"."))
    if not plain:
        return None
    reason = names.check_relative(plain)
    if reason is not None or path.startswith(b"/"):
        raise Refused("bad-path/not-relative", path=path, reason=reason or "it is absolute")
    return plain


def open_destination(directory: bytes) -> disk.Root | None:
    """The open root of destinations, None when there is no such directory yet. Raises Refused."""
    try:
        return disk.Root(directory, across=True)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Refused("bad-path/cannot-open", path=directory, error=error.strerror) from error


def make_root(directory: bytes, *, private: bool) -> disk.Root:
    """Make a directory that is not there (`private`: for its owner alone), and its parents, and open it. Raises
    Refused."""
    try:
        return disk.Root.made(directory, 0o700 if private else 0o755, across=True)
    except OSError as error:
        raise Refused("bad-path/cannot-make", path=directory, error=error.strerror) from error


def look(
    session: Session,
    destination: Destination,
    root: disk.Root | None,
    wanted: Iterable[Expected],
    *,
    remember: bool = True,
) -> Iterator[LookedAt | Progress]:
    """Look at the destinations of files (no links), in order. What has the right size and is not known to be right is
    read once; with `remember`, what is found right is not read again another time."""
    rows = iter(wanted)
    looked = 0
    pace = Pace()
    while chunk := list(islice(rows, _CHUNK)):
        looked += len(chunk)
        if root is None:
            yield from (LookedAt(row, DestinationState.MISSING) for row in chunk)
        else:
            yield from _look(session, destination, root, chunk, looked, remember)
        if pace.is_due():
            yield Progress("looking at what is there", looked, current=destination.absolute(chunk[-1].path))


def _look(
    session: Session,
    destination: Destination,
    root: disk.Root,
    chunk: Sequence[Expected],
    looked: int,
    remember: bool,
) -> Iterator[LookedAt | Progress]:
    found: list[LookedAt] = []
    doubtful: list[int] = []
    known, way = b"", _Way.OPEN  # the directory last asked for: a whole one is often missing
    for row in chunk:
        directory = destination.rel(row.path).rpartition(b"/")[0]
        if directory != known:
            known, way = directory, _way_to(root, directory)
        if way is _Way.OPEN:
            one = _by_sight(session, destination, root, row)
        elif way is _Way.BLOCKED:
            one = LookedAt(row, DestinationState.DIFFERS, reason=Reason("no-directory-there"))
        else:
            one = LookedAt(row, DestinationState.MISSING)
        if one is None:
            doubtful.append(len(found))
            one = LookedAt(row, DestinationState.DIFFERS)
        found.append(one)
    if doubtful:
        yield from _read(session, destination, root, found, doubtful, looked, remember)
    for one in found:
        outdated = one.state is DestinationState.DIFFERS and _is_outdated(session, destination, one)
        yield one._replace(state=DestinationState.OUTDATED) if outdated else one


def _is_outdated(session: Session, destination: Destination, found: LookedAt) -> bool:
    """Only what drives told of a source gets newer while it is restored: never what was scanned here."""
    status = found.status
    if destination.source.scanned_at is not None or status is None or not stat.S_ISREG(status.st_mode):
        return False
    return was_put(session, destination.absolute(found.wanted.path), status)


def _is_it(session: Session, row: Expected, result: Hashed | OSError) -> bool:
    """Whether what was read is the content that should be there, and no twin of it."""
    if not isinstance(result, Hashed) or result.identity != row.content:
        return False
    return learn(session, result.identity, result.blake3, row.path)


def _way_to(root: disk.Root, directory: bytes) -> _Way:
    way = _Way.OPEN
    while directory:
        try:
            status = root.stat(directory)
        except OSError as error:
            # Each file says what else is wrong.
            return _Way.BLOCKED if disk.cause_of(error) is disk.Cause.BLOCKED else _Way.OPEN
        if status is not None:
            return way if stat.S_ISDIR(status.st_mode) else _Way.BLOCKED
        way, directory = _Way.MISSING, directory.rpartition(b"/")[0]
    return way


def _by_sight(session: Session, destination: Destination, root: disk.Root, row: Expected) -> LookedAt | None:
    """What one look tells; None when only reading does."""
    assert row.identity is not None and row.content is not None
    try:
        status = root.stat(destination.rel(row.path))
    except OSError as error:
        return LookedAt(row, DestinationState.MISSING, reason=Reason.system(error))
    if status is None:
        return LookedAt(row, DestinationState.MISSING)
    if not stat.S_ISREG(status.st_mode):
        return LookedAt(row, DestinationState.DIFFERS, status, None, _in_the_way(status.st_mode))
    if status.st_size != row.content.size:
        return LookedAt(row, DestinationState.DIFFERS, status, None, Reason("another-file-there"))
    known = (
        destination.own
        and row.trouble == 0
        and row.inode == signed(status.st_ino)
        and row.ctime_ns == status.st_ctime_ns
        and row.mtime_ns == status.st_mtime_ns
    )
    if known or is_placed(session, destination.absolute(row.path), row.identity, status):
        return LookedAt(row, DestinationState.PRESENT, status, row.content)
    return None


def _in_the_way(mode: int) -> Reason:
    if stat.S_ISDIR(mode):
        return Reason("directory-there")
    return Reason("link-there" if stat.S_ISLNK(mode) else "special-there")


def _read(
    session: Session,
    destination: Destination,
    root: disk.Root,
    found: list[LookedAt],
    doubtful: Sequence[int],
    looked: int,
    remember: bool,
) -> Iterator[Progress]:
    placed: list[tuple[bytes, int, os.stat_result]] = []
    pace = Pace()
    rows = [found[index].wanted for index in doubtful]
    asked = [(destination.rel(row.path), row.content and known_as(session, row.content)) for row in rows]
    try:
        for number, result in hash_below(root, asked):
            row, index = rows[number], doubtful[number]
            assert row.identity is not None
            if result is None:
                yield Progress("reading what is there", looked, current=destination.absolute(row.path))
                continue
            if _is_it(session, row, result):
                assert isinstance(result, Hashed)
                found[index] = LookedAt(row, DestinationState.PRESENT, result.status, result.identity)
                placed.append((destination.absolute(row.path), row.identity, result.status))
            elif isinstance(result, Hashed):
                found[index] = LookedAt(
                    row, DestinationState.DIFFERS, result.status, result.identity, Reason("another-file-there")
                )
            else:
                reason, status = Reason("there-unreadable", error=result.strerror or str(result)), None
                with suppress(OSError):
                    status = root.stat(destination.rel(row.path))
                found[index] = LookedAt(row, DestinationState.DIFFERS, status, None, reason)
            if pace.is_due():
                yield Progress("reading what is there", looked, current=destination.absolute(row.path))
    finally:
        if placed and remember:
            mark_placed(session, placed)
