"""The walk through one source: directory by directory, reading what must be read, recording as it goes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing, suppress
from time import monotonic

from medback_core import disk, names
from medback_core.disk import mounts
from medback_core.disk.worker_pool import wants_workers
from medback_core.errors import Refused
from medback_core.hashing import (
    DirectoryRead,
    DirectoryToRead,
    FileToHash,
    Hashed,
    Left,
    hash_many,
)
from medback_core.model import (
    DAMAGED_DIRECTORY,
    FAMILY_SIDECAR_NAME,
    FREEING_PREFIX,
    OLD_DIRECTORY,
    SIDECAR_NAME,
    SOURCE_METADATA_NAME,
    TARGET_IDENTITY_NAME,
    TEMPORARY_PREFIX,
    DamageFound,
    Event,
    Excluded,
    Identity,
    Progress,
    Reason,
    Skipped,
    Source,
    Warned,
    is_metadata,
)
from medback_core.pace import TICK, Pace
from medback_core.scanning.compare import (
    FINE_STEP_NS,
    Directory,
    FileToRead,
    ScanCounts,
    ScanOptions,
    apply_hash,
    apply_read,
    changed_since_written,
    reconcile,
    step_ns,
    vanish,
    why_unread,
)
from medback_core.scanning.record import Recording
from medback_core.session import Session
from medback_core.session.digests import doubted
from medback_core.session.directories import facts_of, subdirectories
from medback_core.session.files import SidecarStat, find_directory, join, links_in
from medback_core.session.gaps import nested_mounts
from medback_core.session.scanning import Moved, ScanRow, has_files, has_files_on, rows_by_inode, scan_rows
from medback_core.session.sources import source_totals
from medback_core.session.targets import list_targets
from medback_core.sidecar.reading import parse, parse_family
from medback_core.sidecar.records import SIDECAR_LIMIT, Sidecar, Trust
from medback_core.sidecar.wholeness import is_whole
from medback_core.sources.entries import Entries, cannot_read, list_directory, sort_entries
from medback_core.sources.excludes import Patterns
from medback_core.sources.identity import damaged_name, keep_damaged
from medback_core.sources.nested import OTHER, SUBVOLUME, Fate, look_inside

_HELD_MAX = 200  # directories held open for hashing
_AT_ONCE_NS = 20_000_000  # between the renaming of a sidecar and what the directory says of it
_DOT = ord(".")
_DAMAGED = SIDECAR_NAME + b".damaged-"


class Walk:
    """One walk. `go` yields its events; tally, hidden, gaps, taken_in and reread are its result."""

    def __init__(
        self, session: Session, root: disk.Root, source: Source, number: int, options: ScanOptions, newest: int
    ) -> None:
        self.session = session
        self.root = root
        self.source = source
        self.number = number
        self.options = options
        self.newest = newest
        self.patterns = Patterns(source.excludes)
        self.tally = ScanCounts()
        self.hidden: list[bytes] = []  # directories that had records and are empty now, with no sidecar
        self.gaps: dict[bytes, str] = {}  # path -> why nothing is known of what is there now
        self.taken_in: dict[bytes, str] = {}  # mounts inside that belong to the source: path -> uuid
        self.nested = look_inside(session, source, root.device)
        self.recording = Recording(session, root, source, number, options, newest, self.tally)
        self._own = _session_files(session, source)
        self._doubted = doubted(session, source.key)
        self._targets = {names.below(t.path, source.path) for t in list_targets(session) if t.path is not None}
        self._stack: list[tuple[bytes, int]] = [(b"", root.device)]  # path, st_dev
        self._mounts: list[bytes] = []  # walked last: what is bound to a second place is found in its own
        self._undecided: dict[bytes, tuple[int, int]] = {}  # path -> (mode, mtime_ns) of a directory with another time
        self._walked: dict[tuple[int, int], bytes] = {}  # (device, inode) -> path, where anything is mounted inside
        if self.nested.mounts:
            self._walked[root.device, root.inode] = b""
        self._whole = False  # whether workers take whole directories
        # Directories where this process must judge by a name.
        self._judged = {os.path.dirname(path) for path in (*self._own, *self.nested.places, *self.nested.mounts)}
        self._asked: deque[tuple[bytes, int]] = deque()  # directories that workers read, as the stack has them
        self._left: deque[tuple[Directory, list[FileToRead]]] = deque()  # what they have left of them
        self._queue: deque[tuple[Directory, FileToRead]] = deque()
        self._held = 0
        self._events: list[Event] = []
        self._due = 0.0
        self._pace = Pace()
        self._bytes = 0
        self._current = b""
        self._expected = source_totals(session, source.key)[0].files

    @property
    def reread(self) -> list[int]:
        """Directories whose sidecar told something that is only staged."""
        return self.recording.reread

    def go(self, workers: int) -> Iterator[Event]:
        """Walk to the end. However it ends, what was found is recorded."""
        try:
            self._due = monotonic() + TICK
            # What belongs to the source and is not there now keeps its records, wherever the walk gets.
            self.taken_in = nested_mounts(self.session, self.source.key)
            for path, place in self.nested.places.items():
                if place.fate is Fate.AWAY:
                    self._gap(path, place.reason)
            if self.options.first:
                yield from self._count_ahead()
                self._whole = self._may_read_whole()
            one_stream = 1 if self.root.spins else workers
            files = self._expected if self._whole else 0
            with closing(hash_many(self._entries(), one_stream, on_bytes=self._count, files=files)) as results:
                for result in results:
                    if isinstance(result, DirectoryRead | Left):
                        self._take_whole(result)
                    elif result is not None:
                        directory, to_read = self._queue.popleft()
                        self._settle(directory, to_read, result)
                        directory.waiting -= 1
                        if directory.waiting == 0:
                            self.root.release_directory(directory.rel)
                            self._held -= 1
                            self._current = directory.rel
                    if monotonic() >= self._due or self.recording.has_enough:
                        yield from self._report()
                        self._due = monotonic() + TICK
            yield from self._report()
            self._events += self.recording.record(ends=True)
            yield from self._report()
            if self.tally.unhashed:
                self.gaps[b""] = f"{self.tally.unhashed:,} files were not read yet; the next update reads them"
            if self.recording.failed:
                yield self.recording.warning()
        finally:
            self.recording.record(write=False)

    def _count_ahead(self) -> Iterator[Event]:
        """How many files a first scan will meet, so that it can say how long it takes. Reads names, looks at no file; a
        mount inside counts as nothing."""
        found, stack = 0, [b""]
        while stack:
            rel = stack.pop()
            with suppress(OSError), os.scandir(os.path.join(self.source.path, rel)) as entries:
                for entry in entries:
                    is_directory = entry.is_dir(follow_symlinks=False)
                    if not (is_directory or self.patterns):
                        found += entry.is_file(follow_symlinks=False)
                        continue
                    path = os.path.join(rel, entry.name)
                    if path in self.nested.places or self.patterns.match(path, directory=is_directory):
                        continue
                    if is_directory:
                        if entry.stat(follow_symlinks=False).st_dev == self.root.device:
                            stack.append(path)
                    elif entry.is_file(follow_symlinks=False):
                        found += 1
            if self._pace.is_due():
                yield Progress("counting", found, current=rel)
        self._expected = found

    def _count(self, size: int) -> None:
        self._bytes += size

    def _report(self) -> Iterator[Event]:
        events, self._events = self._events, []
        yield from events
        if self.recording.is_due():
            self._events += self.recording.record()
        if self._pace.is_due():
            total = self._expected if self._expected >= self.tally.files else None
            yield Progress("scanning", self.tally.files, self._bytes, total, None, self._current)

    def _may_read_whole(self) -> bool:
        """Whether workers may list and read whole directories of this source: nothing of it is on record, no file of it
        can be one that was renamed, and no rule leaves anything of it out. A disk that spins is read in its order."""
        return (
            self.options.hashing
            and not (self.patterns or self.root.spins)
            and wants_workers(self._expected)
            and not has_files(self.session, self.source.key)
            and (self.newest == 0 or self.options.rehash or not has_files_on(self.session, self.root.device))
        )

    def _entries(self) -> Iterator[FileToHash | DirectoryToRead | None]:
        """Files to hash, from directory after directory, and directories to read; None when it is time to report, to
        let go of directories before more are opened, or to wait for what lies in those that workers read."""
        while self._left or self._stack or self._asked or self._enter_mount():
            if self._held + len(self._asked) >= _HELD_MAX or monotonic() >= self._due:
                yield None
            if self._left:
                yield from self._to_hash(*self._left.popleft())
                continue
            if not self._stack:
                if self._asked:
                    yield None
                continue
            rel, device = self._stack.pop()
            if self._whole and (asked := self._ask(rel, device)) is not None:
                yield asked
                continue
            found = self._visit(rel, device)
            if found is not None:
                self.recording.add(found[0])
                yield from self._to_hash(*found)

    def _to_hash(self, directory: Directory, files_to_read: list[FileToRead]) -> Iterator[FileToHash]:
        if not files_to_read:
            return
        try:
            handle = self.root.hold_directory(directory.rel)
        except OSError as error:
            directory.waiting = 0
            for to_read in files_to_read:
                self._settle(directory, to_read, error)
            return
        self._held += 1
        directory.waiting = len(files_to_read)
        for to_read in files_to_read:
            self._queue.append((directory, to_read))
            yield FileToHash(handle, to_read.name, to_read.status.st_size, to_read.status)

    def _ask(self, rel: bytes, device: int) -> DirectoryToRead | None:
        """What a worker is asked for a directory; None where this process must list it."""
        if not rel or device != self.root.device or rel in self._judged or rel in self.nested.mounts:
            return None
        parent, name = os.path.split(rel)
        try:
            handle = self.root.hold_directory(parent)
        except OSError:  # `_visit` says what is wrong
            return None
        self._asked.append((rel, device))
        return DirectoryToRead(handle, name, FINE_STEP_NS)

    def _take_whole(self, read: DirectoryRead | Left) -> None:
        """Take up a directory that a worker has read, or go there as to any other."""
        rel, device = self._asked.popleft()
        self.root.release_directory(os.path.dirname(rel))
        if read is Left.FOR_LATER:
            self._stack.append((rel, device))
            return
        found = self._visit(rel, device, read if isinstance(read, DirectoryRead) else None)
        if found is not None:
            self.recording.add(found[0])
            if found[1]:
                found[0].waiting = len(found[1])  # they are queued soon; until then it is not finished
                self._left.append(found)

    def _settle(
        self, directory: Directory, to_read: FileToRead, result: Hashed | OSError, *, read: bool = True
    ) -> None:
        event = apply_hash(directory, to_read, result, self.options, self.tally, read=read)
        if event is None:
            return
        self._events.append(event)
        if isinstance(event, Skipped) and isinstance(result, OSError) and not isinstance(result, FileNotFoundError):
            self.gaps[event.path] = result.strerror or str(result)

    # --- what is mounted inside -------------------------------------------------------------------------------------

    def _gap(self, path: bytes, reason: str) -> None:
        """Nothing is known of what is there now: its records stay."""
        self.gaps[path] = reason
        self.recording.kept.append(path)
        self._events.append(Excluded(path, reason))

    def _at_mounts(self, rel: bytes) -> set[bytes]:
        """Decide on what is mounted in a directory, or belongs there; returns the names nothing can be said of."""
        untold: set[bytes] = set()
        for path, place in self.nested.places.items():
            parent, _, name = path.rpartition(b"/")
            if parent != rel:
                continue
            by_rule = place.fate is Fate.LEFT_OUT and self.patterns.match(path, directory=True)
            if place.fate is Fate.GAP:
                self._gap(path, place.reason)
            elif place.fate is Fate.LEFT_OUT and not by_rule and has_files(self.session, self.source.key, path):
                self._gap(path, f"{place.reason} is mounted over it")
            elif place.fate is Fate.LEFT_OUT:
                self._events.append(Excluded(path, place.reason))
            if place.fate is not Fate.READ and not by_rule:
                untold.add(name)
        return untold

    def _enter_mount(self) -> bool:
        """Go on with the next file system that is mounted inside; False when there is none left."""
        if not self._mounts:
            return False
        path = self._mounts.pop(0)
        try:
            status = self.root.stat(path)
        except OSError as error:
            self._gap(path, error.strerror or "cannot be looked at")
            return True
        if status is not None and self._is_first(path, status):
            self.taken_in[path] = self.nested.places[path].fs_uuid
            self._stack.append((path, status.st_dev))
        return True

    def _is_first(self, path: bytes, status: os.stat_result) -> bool:
        """Whether a directory was not walked yet at another path (bound to a second place, or to one within itself)."""
        if not self.nested.mounts:
            return True
        first = self._walked.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            where = names.display_name(first) if first else "its root"
            self._events.append(Excluded(path, f"the same directory as {where} of this source"))
        return first == path

    def _goes_into(self, path: bytes, status: os.stat_result, device: int) -> bool:
        """Whether the walk goes into a directory found in one on `device`."""
        if path in self.nested.places:
            self._mounts.append(path)
            return False
        if status.st_dev == device:
            return self._is_first(path, status)
        if path in self.taken_in:
            return self._is_first(path, status)
        read_only = mounts.is_read_only_subvolume(os.path.join(self.source.path, path))
        if self.nested.kind(path) != "btrfs" or read_only is None:
            self._gap(path, OTHER)  # no mount table, or it was mounted a moment ago
            return False
        if path.rpartition(b"/")[2] == b".snapshots" or read_only:
            self._events.append(Excluded(path, "snapshots"))
        elif self.source.one_file_system is None:
            self._gap(path, SUBVOLUME)
        elif self.source.one_file_system:
            self._events.append(Excluded(path, SUBVOLUME))
        else:
            return self._is_first(path, status)
        return False

    # --- one directory ---------------------------------------------------------------------------------------------

    def _visit(
        self, rel: bytes, device: int, read: DirectoryRead | None = None
    ) -> tuple[Directory, list[FileToRead]] | None:
        """Look at a directory, unless a worker has `read` it, and settle what needs no reading. None: it is left out,
        or could not be read."""
        self._current = rel
        try:
            looked, listing = self._look(rel, read)
        except OSError as error:
            if not rel:
                raise Refused("unreadable", path=self.source.path, error=error.strerror) from error
            if isinstance(error, FileNotFoundError):
                self._skip(rel, error)
            else:
                event = cannot_read(self.nested.within(rel), rel, error)
                self._events.append(event)
                if isinstance(event, Skipped):
                    self.gaps[rel] = error.strerror or str(error)
            self.recording.kept.append(rel)
            return None
        if rel and TARGET_IDENTITY_NAME in listing.metadata and self._is_known_target(rel):
            self._events.append(Excluded(rel, "a backup target"))
            return None
        for name in (OLD_DIRECTORY, DAMAGED_DIRECTORY):
            path = join(rel, name)
            if name in listing.metadata and not self.patterns.match(path, directory=True):
                repaired = not rel and name == DAMAGED_DIRECTORY and TARGET_IDENTITY_NAME not in listing.metadata
                self.gaps[path] = (
                    "damaged files that a repair put aside: delete them, or rename it to back it up"
                    if repaired
                    else "kept by medback on a drive that was copied here: move or rename it to back it up"
                )
        row = find_directory(self.session, self.source.key, rel)
        key = None if row is None else row.key
        directory = Directory(rel, key, looked, empty=listing.empty, new=row is None)
        listed = listing.names() if self.options.first and listing.metadata else ()
        skipped = self._sort(directory, listing, device)
        rows: dict[bytes, ScanRow] = {}
        if row is not None:
            rows = scan_rows(self.session, row.key)
            directory.new = not rows
            directory.was, directory.write = row.sidecar, row.dirty
            if listing.empty and rel and (rows or has_files(self.session, self.source.key, rel)):
                self.hidden.append(rel)
        self._clean(directory, listing)
        self._read_sidecar(directory, listing)
        self._judge_damage(directory, listing, rows, known=row is not None and row.sidecar is not None)
        self._directories(directory, listing)
        self._links(directory, listing, skipped)
        if self._doubted:
            directory.doubted = frozenset(n for n, _ in listing.files if directory.path(n) in self._doubted)
        files_to_read = reconcile(directory, listing.files, rows, self.options, self.tally)
        if listing.read:
            apply_read(directory, listing.read, self.tally)
        if rows or directory.parsed is not None:
            vanish(directory, rows, skipped, listed, self.options)
        if files_to_read and self.newest and not self.options.rehash:
            files_to_read = self._renames(directory, files_to_read)
        if directory.inodes_changed and self.options.hashing:
            files_to_read += self._replaced(directory)
        if files_to_read:
            directory.looked_ns = _wait_a_step(files_to_read, looked)
        files_to_read.sort(key=lambda to_read: to_read.status.st_ino)  # near the order they lie in on a disk that spins
        return directory, files_to_read

    def _look(self, rel: bytes, read: DirectoryRead | None) -> tuple[int, Entries]:
        """When a directory was looked at (ns since the epoch), and what lies in it. Raises OSError."""
        if read is not None:
            listing = sort_entries(read.others, read.rows)
            if not listing.metadata and not any(row[0][0] == _DOT and is_metadata(row[0]) for row in read.rows):
                return read.looked_ns, listing
        looked = time.time_ns()
        return looked, list_directory(self.root, rel, self.nested.unasked(rel))

    def _absolute(self, path: bytes) -> bytes:
        return os.path.join(self.source.path, path)

    def _skip(self, path: bytes, error: OSError) -> None:
        self._events.append(Skipped(path, why_unread(error)))

    def _sort(self, directory: Directory, listing: Entries, device: int) -> set[bytes]:
        """Leave out what rules exclude, go into directories later; returns names nothing can be said of."""
        if self.patterns or self._own:
            self._exclude(directory, listing)
        for name, kind in listing.special:
            self._events.append(Excluded(directory.path(name), kind))
        skipped = self._at_mounts(directory.rel) if self.nested.places else set[bytes]()
        for name, error in listing.failed:
            self._skip_content(directory.path(name), error)
            self.recording.kept.append(directory.path(name))
            skipped.add(name)
        below = [
            (directory.path(name), status.st_dev)
            for name, status in sorted(listing.directories)
            if self._goes_into(directory.path(name), status, device)
        ]
        self._stack += reversed(below)
        directory.below = {path for path, _ in below}
        return skipped

    def _skip_content(self, path: bytes, error: OSError) -> None:
        """Nothing could be learned of an entry."""
        self._skip(path, error)
        if not isinstance(error, FileNotFoundError):
            self.gaps[path] = error.strerror or str(error)

    def _is_known_target(self, rel: bytes) -> bool:
        """Whether a target that this session knows lies at a directory. Another one's is a copy of an old drive, and
        content like any."""
        here = self.root.stat(rel)
        for target in list_targets(self.session):
            with suppress(OSError):
                if target.path is not None and here and os.path.samestat(os.stat(target.path), here):
                    return True
        return False

    def _exclude(self, directory: Directory, listing: Entries) -> None:
        def out(name: bytes, *, is_directory: bool = False) -> bool:
            path = directory.path(name)
            if path in self._own:
                self._events.append(Excluded(path, "the session DB"))
            elif self.patterns.match(path, directory=is_directory):
                self._events.append(Excluded(path, "excluded by a pattern"))
            else:
                return False
            return True

        listing.files[:] = [entry for entry in listing.files if not out(entry[0])]
        listing.links[:] = [name for name in listing.links if not out(name)]
        listing.special[:] = [entry for entry in listing.special if not out(entry[0])]
        listing.directories[:] = [entry for entry in listing.directories if not out(entry[0], is_directory=True)]

    def _links(self, directory: Directory, listing: Entries, skipped: set[bytes]) -> None:
        if not listing.links and directory.key is None:
            return
        before = links_in(self.session, directory.key) if directory.key is not None else {}
        if not listing.links and not before:
            return
        found: dict[bytes, bytes] = {}
        for name in listing.links:
            try:
                found[name] = self.root.readlink(directory.path(name))
            except OSError as error:
                self._skip_content(directory.path(name), error)
                skipped.add(name)
        lost = before.keys() - found.keys() - skipped
        directory.decided.lost_links = list(lost)
        now = before | found
        if now != before:
            directory.decided.links, directory.write = now, True

    def _directories(self, directory: Directory, listing: Entries) -> None:
        """Take up permissions and times of the directories in this one (and of the root), where they are new. Its
        sidecar is written for new permissions; a new time alone is no reason. Whether a new time of a directory is its
        own shows when it is listed itself."""
        known = subdirectories(self.session, directory.key) if listing.directories and directory.key is not None else ()
        before = {facts.path: facts for facts in known}
        told = None if directory.parsed is None or directory.parsed.family else directory.parsed.dirs
        for name, status in listing.directories:
            path, mode = directory.path(name), status.st_mode & 0o777
            if path not in directory.below or path in self._targets:
                continue
            was = before.get(path)
            record = told.get(name) if told is not None else None
            mtime_ns = was.mtime_ns if was is not None else None
            if record is not None and record.trust is Trust.WHOLE:
                mtime_ns = record.mtime_ns
            if mtime_ns is None:
                mtime_ns = status.st_mtime_ns
            elif mtime_ns != status.st_mtime_ns:
                self._undecided[path] = mode, status.st_mtime_ns
            if was is None or (was.mode, was.mtime_ns) != (mode, mtime_ns):
                directory.decided.seen.append((path, mode, mtime_ns))
            is_told = was is not None and was.mode == mode
            if told is not None:
                is_told = record is not None and record.trust is Trust.WHOLE and record.mode == mode
            directory.write = directory.write or not is_told
        rel = directory.rel
        if (not rel or rel in self.taken_in) and (status := self.root.stat(rel)) is not None:
            was, mode, mtime_ns = (
                facts_of(self.session, self.source.key, rel),
                status.st_mode & 0o777,
                status.st_mtime_ns,
            )
            before = was.mtime_ns if was is not None else None
            if before is not None and _is_our_time(listing, mtime_ns):
                mtime_ns = before
            if was is None or (was.mode, was.mtime_ns) != (mode, mtime_ns):
                directory.decided.seen.append((rel, mode, mtime_ns))
        undecided = self._undecided.pop(rel, None)
        if undecided is not None and not _is_our_time(listing, undecided[1]):
            directory.decided.seen.append((rel, *undecided))

    # --- its sidecar -----------------------------------------------------------------------------------------------

    def _clean(self, directory: Directory, listing: Entries) -> None:
        """Take away what a killed run left here, and adopt its sidecar if that is all there is."""
        left = [name for name in listing.metadata if name.startswith((TEMPORARY_PREFIX, FREEING_PREFIX))]
        foreign = [name for name in left if not disk.TEMPORARY.fullmatch(name)]
        self._events += [Excluded(directory.path(name), "a name medback keeps for itself") for name in foreign]
        if not left or not self.options.hashing:
            return
        try:
            cleaned = disk.clean_temporaries(self.root, directory.rel, left, is_whole)
            if SIDECAR_NAME in cleaned.adopted and (status := self.root.stat(directory.path(SIDECAR_NAME))) is not None:
                listing.metadata[SIDECAR_NAME] = status
        except OSError as error:
            self._events.append(Warned("left-over", path=self._absolute(directory.path(left[0])), error=error.strerror))

    def _read_sidecar(self, directory: Directory, listing: Entries) -> None:
        """Read the sidecar if the DB has not read it as it is now."""
        status = listing.metadata.get(SIDECAR_NAME)
        name, reader = SIDECAR_NAME, parse
        if status is not None:
            directory.stat = SidecarStat.of(status)
            if directory.stat == directory.was:
                return
        elif FAMILY_SIDECAR_NAME in listing.metadata and directory.was is None:
            name, reader = FAMILY_SIDECAR_NAME, parse_family
        else:
            return
        path = directory.path(name)
        try:
            data = self.root.read_whole(path, SIDECAR_LIMIT)
        except OSError as error:
            if disk.cause_of(error) is disk.Cause.TOO_LARGE:
                directory.parsed = Sidecar(damage="larger than a sidecar can be")
                directory.frozen = not self._move_aside(directory, path)
            else:
                self._skip(path, error)
                directory.frozen = directory.stat is not None  # not to be replaced by something that knows less
            return
        directory.parsed = reader(data)
        if name == SIDECAR_NAME:
            directory.data = data
            directory.written_ns = self._written_ns(directory)

    def _written_ns(self, directory: Directory) -> int | None:
        """When the sidecar was written where it is. None where it was brought here, as in a tree that was copied: then
        it was made after its own time, and every file has a new ctime that means nothing. None also where the file
        system does not say when it was made."""
        assert directory.stat is not None
        born = disk.birth_ns(SIDECAR_NAME, self.root.open_directory(directory.rel))
        return None if born is None or born > directory.stat.mtime_ns else directory.stat.ctime_ns

    def _judge_damage(self, directory: Directory, listing: Entries, rows: dict[bytes, ScanRow], *, known: bool) -> None:
        """Keep a damaged sidecar aside, and say whether anything was lost that the DB could not supply."""
        parsed = directory.parsed
        struck = 0 if known or parsed is None else _struck(parsed, listing)
        if parsed is None or not (parsed.damage or struck):
            return
        path = directory.path(SIDECAR_NAME if SIDECAR_NAME in listing.metadata else FAMILY_SIDECAR_NAME)
        if directory.data is not None and self.options.hashing:
            try:
                self._keep_aside(directory, listing, directory.data)
            except OSError as error:
                directory.frozen = True
                self._events.append(Warned("sidecar-not-kept", path=self._absolute(path), error=error.strerror))
        missing = any(name not in parsed.files and name not in rows for name, _ in listing.files)
        if not known and (parsed.lost or missing or struck):
            reason = (
                Reason("sidecar-lost", damage=parsed.damage)
                if parsed.damage
                else Reason("records-lost", records=struck)
            )
            self._events.append(DamageFound(path, reason))
        elif directory.data is not None and directory.data.count(b"<tag") > sum(
            len(record.tags) for record in parsed.files.values()
        ):
            self._events.append(DamageFound(path, Reason("tags-lost", damage=parsed.damage)))
        else:
            lost = "sidecar-was-damaged/known" if parsed.lost or missing else "sidecar-was-damaged"
            self._events.append(Warned(lost, path=self._absolute(path), damage=parsed.damage))

    def _keep_aside(self, directory: Directory, listing: Entries, data: bytes) -> None:
        for name, status in listing.metadata.items():
            if name.startswith(_DAMAGED) and status.st_size == len(data):
                try:
                    if self.root.read_whole(directory.path(name), status.st_size) == data:
                        return  # kept by a run that was killed before it wrote the new one
                except OSError:
                    continue
        keep_damaged(self.root, directory.path(SIDECAR_NAME), data)

    def _move_aside(self, directory: Directory, path: bytes) -> bool:
        """Make way for a new sidecar where the one that is there is too large to read; whether that was done."""
        if path != directory.path(SIDECAR_NAME) or not self.options.hashing:
            return path != directory.path(SIDECAR_NAME)
        try:
            disk.move(self.root, path, damaged_name(self.root, path))
        except OSError as error:
            self._skip(path, error)
            return False
        directory.stat = None
        return True

    # --- renames ---------------------------------------------------------------------------------------------------

    def _replaced(self, directory: Directory) -> list[FileToRead]:
        """Of the files with the size and time on record and another inode, those to be read: where the directory's
        sidecar is as this session left it, or was written before them, another file took their place by a rename; and
        where the inode was another file's, two were swapped. (In a tree that was copied, or mounted again where inodes
        do not last, all are other ones, the sidecar's too: nothing is read.)"""
        changed, directory.inodes_changed = directory.inodes_changed, []
        in_place = directory.stat is not None and directory.stat == directory.was
        found = rows_by_inode(self.session, changed[0][1].st_dev, {status.st_ino for _, status, _ in changed})
        files_to_read: dict[bytes, FileToRead] = {}
        for name, status, base in changed:
            held = frozenset(
                Identity(moved.size, moved.md5)
                for moved in found.get(status.st_ino, ())
                if (moved.size, moved.mtime_ns) == (status.st_size, status.st_mtime_ns) and moved.md5 != base.md5
            )
            if held or in_place or changed_since_written(directory, status):
                files_to_read[name] = FileToRead(name, status, base, None, True, held)
        directory.decided.puts = [row for row in directory.decided.puts if row[0] not in files_to_read]
        self.tally.reused -= len(files_to_read)
        return list(files_to_read.values())

    def _renames(self, directory: Directory, files_to_read: list[FileToRead]) -> list[FileToRead]:
        """Answer for files that were only renamed: inode, size and time of a file that is no longer where it was."""
        device = files_to_read[0].status.st_dev
        asked = {q.status.st_ino for q in files_to_read if not q.fresh and q.status.st_dev == device}
        if not asked:
            return files_to_read
        candidates = rows_by_inode(self.session, device, asked)
        if not candidates:
            return files_to_read
        left = []
        for to_read in files_to_read:
            moved = None
            if not to_read.fresh and to_read.status.st_dev == device:
                moved = self._former(directory, to_read, candidates.get(to_read.status.st_ino, ()))
            if moved is None:
                left.append(to_read)
            else:
                identity = Identity(moved.size, moved.md5)
                self._settle(directory, to_read, Hashed(identity, to_read.status), read=False)
        return left

    def _former(self, directory: Directory, to_read: FileToRead, candidates: list[Moved] | tuple[()]) -> Moved | None:
        status = to_read.status
        for moved in candidates:
            if (moved.size, moved.mtime_ns) != (status.st_size, status.st_mtime_ns) or moved.ctime_ns is None:
                continue
            if self._still_holds(moved, status.st_ino):
                continue
            # A reused inode was born after the file it is taken for was last seen.
            born = disk.birth_ns(to_read.name, self.root.open_directory(directory.rel))
            if born is not None and born <= moved.ctime_ns:
                return moved
        return None

    def _still_holds(self, moved: Moved, inode: int) -> bool:
        path = join(moved.directory, moved.name)
        try:
            if moved.source == self.source.key:
                status = self.root.stat(path)
            else:
                status = os.lstat(os.path.join(moved.source_path, path))
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:
            return True  # can't be told
        return status is not None and status.st_ino == inode


def _wait_a_step(files_to_read: list[FileToRead], looked_ns: int) -> int:
    """Wait, 20 ms at most, until what changes after the files are read can't leave them the time they have: of files
    that were written just now. Returns since when that is so. (Where times are kept coarsely it would take too long:
    those files are read again by the next scan.)"""
    since = max(
        (
            ctime_ns
            for to_read in files_to_read
            if step_ns(ctime_ns := to_read.status.st_ctime_ns) == FINE_STEP_NS and ctime_ns <= looked_ns + FINE_STEP_NS
        ),
        default=0,
    )
    if since + FINE_STEP_NS < looked_ns:
        return looked_ns
    time.sleep(max(0, since + FINE_STEP_NS + 1_000_000 - time.time_ns()) / 1e9)
    return time.time_ns()


def _is_our_time(listing: Entries, mtime_ns: int) -> bool:
    """Whether the writing of medback's own files into a directory left it this time."""
    written = [listing.metadata.get(name) for name in (SIDECAR_NAME, SOURCE_METADATA_NAME)]
    return any(one is not None and abs(one.st_ctime_ns - mtime_ns) <= _AT_ONCE_NS for one in written)


def _struck(parsed: Sidecar, listing: Entries) -> int:
    """How many records that speak of copies have a wrong check and can't be told to be of a file that is there: their
    name, size or MD5 was struck, and their copies with it."""
    sizes = {name: status.st_size for name, status in listing.files}
    return sum(
        record.trust is Trust.EDITED
        and bool(record.bds or record.tags)
        and (record.md5 is None or sizes.get(name) != record.size)
        for name, record in parsed.files.items()
    )


_BESIDE_DB = (b"", b"-wal", b"-shm", b"-journal", b".new", b".lock", b".sources", b".crc")


def _session_files(session: Session, source: Source) -> frozenset[bytes]:
    """Where the session DB and what belongs to it lie inside the source: never content."""
    database = os.path.realpath(os.fsencode(session.path))
    rel = names.below(database, os.path.realpath(source.path))
    if rel is None:
        return frozenset()
    return frozenset(rel + ending for ending in _BESIDE_DB)
