"""Read the files of a source again: rot is what differs though size and time are as recorded."""

from __future__ import annotations

import os
import stat
from collections import Counter
from collections.abc import Generator, Iterator

from medback_core import disk, model, names
from medback_core.errors import Refused
from medback_core.model import (
    DamageFound,
    Event,
    Happened,
    Identity,
    Reason,
    Skipped,
    Source,
    Trouble,
    VerifySummary,
    Warned,
)
from medback_core.session import Session
from medback_core.session.checking import due_files, note_done, note_read, queue_files
from medback_core.session.digests import known_as, learn
from medback_core.session.files import (
    FileRow,
    file_by_key,
    files_in,
    find_directory,
    is_settled,
    join,
    mark_trouble,
    path_of_file,
)
from medback_core.session.history import note_files
from medback_core.sources.excludes import Patterns
from medback_core.sources.identity import read_metadata, stands
from medback_core.sources.nested import Fate, look_inside
from medback_core.sources.sidecars import flush_sources
from medback_core.upkeep.reread import RESUMED, Bound, Ticker, is_no_damage, read_in_time

_TOGETHER = 500


def verify_source(session: Session, source: Source, below: bytes, before: int | None, bound: Bound) -> Iterator[Event]:
    """Verify the files of a source at and below a directory, those checked before a date (all with None); ends with a
    VerifySummary. The caller holds the session's lock. Raises Refused for a source that does not stand there."""
    try:
        root = disk.Root(source.path)
    except OSError as error:
        raise Refused("unreadable", path=source.path, error=error.strerror) from error
    with root:
        if not stands(session, source, root, read_metadata(root)):
            raise Refused("not-mounted", path=source.path, source=source.alias)
        run = _VerifySource(session, source, root, bound)
        yield from run.read(below, before)
        new = run.new_files(below)
    yield from flush_sources(session)
    yield VerifySummary(**run.counts, new=new)


class _VerifySource:
    def __init__(self, session: Session, source: Source, root: disk.Root, bound: Bound) -> None:
        self.session = session
        self.source = source
        self.root = root
        self.bound = bound
        self.counts: Counter[str] = Counter()  # what the VerifySummary says
        self._nested = look_inside(session, source, root.device)
        self._elsewhere = {path: place for path, place in self._nested.places.items() if place.fate is not Fate.READ}
        self._told: set[bytes] = set()  # those of them that were said
        self._read: list[int] = []
        self._good: list[int] = []

    def read(self, below: bytes, before: int | None) -> Iterator[Event]:
        """Read what is due, oldest check first, and record what was found."""
        due = queue_files(self.session, self.source.key, below, model.now(), before)
        if due.resumed:
            yield RESUMED
        ticker = Ticker("verifying", due.files, due.bytes)
        try:
            for key in due_files(self.session):
                row = file_by_key(self.session, key)
                if row is None:
                    continue
                path = path_of_file(self.session, key)[1]
                place = self._not_looked_at(path)
                if place is not None:
                    if place not in self._told:
                        self._told.add(place)
                        shown = os.path.join(self.source.path, place)
                        yield Skipped(shown, Reason("not-looked-at", because=self._elsewhere[place].reason))
                    continue
                if self.bound.is_reached(ticker.files, ticker.bytes + row.size):
                    break
                if not (yield from self._one(path, row, ticker)):
                    break
                self._read.append(key)
                if len(self._read) >= _TOGETHER:
                    self._keep()
        finally:
            self._keep()
            checked, size = self.counts["checked"], self.counts["checked_bytes"]
            note_files(self.session, Happened.VERIFY, checked, size, source=self.source.id)
            note_files(self.session, Happened.DAMAGE, self.counts["damaged"], source=self.source.id)
        self.counts["left"] = due.files - ticker.files

    def _not_looked_at(self, path: bytes) -> bytes | None:
        """The place a file lies below where something is mounted, or was, that is not read now."""
        return next((place for place in self._elsewhere if names.below(path, place) is not None), None)

    def _one(self, path: bytes, row: FileRow, ticker: Ticker) -> Generator[Event, None, bool]:
        """Read one. False: the time was up in the middle of it, and it is still to be read."""
        session, counts = self.session, self.counts
        shown = os.path.join(self.source.path, path)
        if ticker.pace.is_due():
            yield ticker.event(0, shown)
        try:
            content = Identity(row.size, row.md5)
            result = yield from read_in_time(self.root, path, ticker, known_as(session, content), self.bound)
        except FileNotFoundError:
            ticker.files += 1
            counts["missing"] += 1
            yield DamageFound(shown, Reason("missing"), "missing")
            return True
        except OSError as error:
            ticker.files += 1
            counts["unreadable"] += 1
            if is_no_damage(error):
                yield Skipped(shown, Reason.system(error))
            else:
                yield DamageFound(shown, Reason.system(error), "unreadable")
            return True
        if result is None:
            return False
        ticker.files += 1
        ticker.bytes += result.identity.size
        counts["checked"] += 1
        counts["checked_bytes"] += result.identity.size
        counts["unproven"] += not result.proven
        if result.identity == content and not learn(session, content, result.blake3, path, source=self.source.key):
            counts["changed"] += 1
            yield Skipped(shown, Reason("other-content"))
        elif result.identity == content:
            counts["same"] += 1
            self._good.append(row.key)
            if row.trouble:
                mark_trouble(session, self.source.key, path, Trouble.NONE)
        elif (result.status.st_size, result.status.st_mtime_ns) != (row.size, row.mtime_ns) or not is_settled(
            row.inode, row.ctime_ns
        ):
            counts["changed"] += 1
            yield Warned("changed-since", path=shown)
        else:
            counts["damaged"] += 1
            kept = row.ctime_ns is not None and row.ctime_ns != result.status.st_ctime_ns
            mark_trouble(session, self.source.key, path, Trouble.KEPT_TIME if kept else Trouble.DAMAGED)
            yield DamageFound(shown, Reason("damaged/kept-time" if kept else "damaged"))
        return True

    def _keep(self) -> None:
        """Record what was read so far."""
        with self.session.transaction():
            note_read(self.session, self._good, model.now())
            note_done(self.session, self._read, source=self.source.key)
        self._good.clear()
        self._read.clear()

    def new_files(self, below: bytes) -> int:
        """Files on disk that the session does not know: the next update takes them up."""
        patterns = Patterns(self.source.excludes)
        nested = self._nested
        new = 0
        waiting = [below]
        while waiting:
            directory = waiting.pop()
            row = find_directory(self.session, self.source.key, directory)
            known = files_in(self.session, row.key) if row is not None else {}
            try:
                entries = list(self.root.scan(directory, nested.unasked(directory)))
            except OSError:
                continue  # the update lists what can't be read
            for name, status in entries:
                if isinstance(status, OSError) or model.is_metadata(name):
                    continue
                path, is_directory = join(directory, name), stat.S_ISDIR(status.st_mode)
                if patterns and patterns.match(path, directory=is_directory):
                    continue
                of_it = status.st_dev == self.root.device or path in nested.places
                if is_directory and (of_it or find_directory(self.session, self.source.key, path) is not None):
                    waiting.append(path)
                elif stat.S_ISREG(status.st_mode) and name not in known:
                    new += 1
        return new
