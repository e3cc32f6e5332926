"""Record what a walk finds as it goes: rows into the DB, sidecars of finished directories in group commits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from time import monotonic

from medback_core import disk
from medback_core.model import SIDECAR_NAME, Event, Identity, Source, Standing, Warned
from medback_core.scanning.compare import Decided, Directory, ScanCounts, ScanOptions
from medback_core.session import Session
from medback_core.session.copies import (
    believe_copies,
    copy_on,
    doubt_copies,
    find_identity,
    identity_key,
    withdraw_copies,
)
from medback_core.session.digests import learn_first, learn_scanned, take_up_told
from medback_core.session.directories import has_other_directories, put_directories
from medback_core.session.files import ensure_directory, mark_sidecar, put_links
from medback_core.session.scanning import (
    has_gone,
    has_other_files,
    keep_below,
    lose_links,
    mark_dirty,
    mark_known,
    mark_seen,
    note_checks,
    put_files,
    returned,
    stage,
)
from medback_core.session.states import mark_changed
from medback_core.session.targets import target_key
from medback_core.sidecar.reading import parse
from medback_core.sidecar.records import SIDECAR_LIMIT, Sidecar, Trust
from medback_core.sources.identity import keep_damaged, write_metadata
from medback_core.sources.sidecars import (
    Copies,
    Unwritten,
    file_remains,
    put_sidecars,
    render_sidecar,
    unwritten_warning,
)

_FILES = 10000  # rows to a transaction
_READ_FILES = 2500  # of directories that workers read: they read on while these are recorded
_DIRECTORIES = 1000
_SECONDS = 1.5


class Recording:
    """The directories under way of one walk."""

    def __init__(
        self,
        session: Session,
        root: disk.Root,
        source: Source,
        number: int,
        options: ScanOptions,
        newest: int,
        tally: ScanCounts,
    ) -> None:
        self.kept: list[bytes] = []  # paths that could not be read: nothing at or below them is gone
        self.reread: list[int] = []  # directories whose sidecar told something that is only staged
        self.failed: list[Unwritten] = []
        self._session = session
        self._root = root
        self._source = source
        self._number = number
        self._manner = options
        self._newest = newest
        self._tally = tally
        self._gone = has_gone(session, source.key)
        self._writes = options.hashing
        self._directories: list[Directory] = []
        self._targets: dict[str, int] = {}
        self._last = monotonic()
        self._added = 0  # rows that directories came with
        self._twins: list[bytes] = []  # found since they were told of
        self._weighed: set[Directory] = set()  # whose sidecars had their say on what is not there
        self._announced = False  # the tree has its new state in the metadata
        self._wanted: list[tuple[int, bytes, bytes]] = []  # sidecars to be written; each sync holds up the walk
        self._written = monotonic()

    def add(self, directory: Directory) -> None:
        """A directory is under way."""
        self._directories.append(directory)
        self._added += len(directory.decided.puts)

    @property
    def has_enough(self) -> bool:
        """Whether so much came with the directories that it should be recorded before more is taken."""
        return self._added >= _READ_FILES

    def is_due(self) -> bool:
        """Whether enough has come together for a transaction."""
        count = len(self._directories)
        return (
            self.has_enough
            or monotonic() - self._last >= _SECONDS
            or count >= _DIRECTORIES
            or sum(len(directory.decided.puts) for directory in self._directories) >= _FILES
        )

    def warning(self) -> Warned:
        """What to say of the sidecars that could not be written."""
        return unwritten_warning(self._source, self.failed)

    def record(self, *, write: bool = True, ends: bool = False) -> list[Event]:
        """Record all that was found so far; with `write`, also the sidecars of directories that are finished, as soon
        as many have come together. `ends`: there will be no more."""
        self._last = monotonic()
        self._added = 0
        if not self._directories and not self.kept and not self._wanted:
            return []
        events: list[Event] = []
        # What fails is not recorded again: rows that were new were taken back, and their keys become those of others.
        directories, self._directories = self._directories, []
        with self._session.transaction():
            changed = not self._announced and any(map(self._is_changed, directories))
            for directory in directories:
                self._put(directory)
            self._believe(directories)
            mark_seen(self._session, self._number, (self._key(d) for d in directories if not d.recorded))
            for path in self.kept:
                keep_below(self._session, self._source.key, path, self._number)
            finished = [directory for directory in directories if directory.waiting == 0]
            wanted = list(self._sidecars(finished, events)) if write and self._writes else []
            if not write or not self._writes:
                self._leave(finished)
            mark_dirty(self._session, [key for key, _, _ in wanted])
            self._wanted += wanted
            if changed:
                mark_changed(self._session, self._source.id)
        twins, self._twins = self._twins, []
        events += [Warned("twin", path=os.path.join(self._source.path, path)) for path in twins]
        self.kept.clear()
        self._directories = [directory for directory in directories if directory.waiting]
        for directory in self._directories:
            directory.decided, directory.recorded = Decided(), True
        if changed and wanted:
            self._announced = True
            try:
                write_metadata(self._session, self._root, self._source, begins=True)  # the new state comes first
            except OSError as error:
                self.failed.append(Unwritten(b"", error))
        if write and self._wanted and (ends or self._last - self._written >= _SECONDS):
            wanted, self._wanted = self._wanted, []
            failed = put_sidecars(self._session, self._root, wanted)
            self._written = monotonic()
            self.failed += failed
            if any(disk.cause_of(failure.error) in disk.OF_THE_DRIVE for failure in failed):
                self._writes = False  # and spare the rest of the walk the attempt
        return events

    def _is_changed(self, directory: Directory) -> bool:
        """Whether the tree is not as this session knew it. What is only staged is weighed at the end of the scan. What
        a sidecar tells counts too, whatever state the source's metadata names: a directory that was put back brought
        its sidecar along, and that state may never have had it."""
        decided = directory.decided
        if decided.back or decided.links or decided.adopted:
            return True
        if has_other_directories(self._session, self._source.key, decided.seen):
            return True
        if directory.key is None or not decided.puts:
            return bool(decided.puts)
        return has_other_files(self._session, directory.key, decided.puts)

    @staticmethod
    def _key(directory: Directory) -> int:
        assert directory.key is not None
        return directory.key

    def _put(self, directory: Directory) -> None:
        session, source, decided = self._session, self._source.key, directory.decided
        if directory.key is None:
            directory.key = ensure_directory(session, source, directory.rel)
        key = directory.key
        read = [row for row in (*decided.adopted, *decided.puts, *decided.changes) if row[9] is not None]
        is_learnt = not read or learn_first(session, source, read)
        if decided.adopted:
            put_files(session, key, decided.adopted, new=directory.new)
            directory.new = False  # what was in doubt has a row now, and is put again below
            mark_known(session, key, (row[0] for row in decided.adopted), self._newest)
        if decided.puts:
            put_files(session, key, decided.puts, new=directory.new)
        if decided.told_digests:
            take_up_told(session, source, [(directory.path(row[0]), *row[1:]) for row in decided.told_digests])
        if not is_learnt:
            self._twins += learn_scanned(
                session, source, [(directory.path(row[0]), row[1], row[2], row[9]) for row in read]
            )
        if decided.checks:
            note_checks(session, key, decided.checks)
        if decided.changes:
            stage(session, source, key, decided.changes)
            directory.stages = True
        if decided.back:
            self._tally.new += len(decided.back)
            directory.write = True
        if self._gone:
            rows = (*decided.puts, *decided.adopted)
            returned(session, source, ((directory.path(row[0]), row[1], row[2]) for row in rows))
        if decided.seen:
            put_directories(session, source, decided.seen)
        if decided.links:
            put_links(session, key, decided.links)
        if decided.lost_links:
            lose_links(session, source, key, decided.lost_links)
        if directory.waiting and directory.write:
            mark_dirty(session, (key,))  # killed before it is finished, it must not look so

    def _believe(self, directories: list[Directory]) -> None:
        """Take up the copies the sidecars tell of."""
        identities: dict[Identity, int] = {}
        rows: list[tuple[int, int, Standing]] = []
        accounts = self._manner.accounts
        for directory in directories:
            for identity, tid, standing in directory.decided.claims:
                target = self._target(tid)
                key = identities.get(identity)
                if key is None:
                    key = identities[identity] = identity_key(self._session, identity)
                # A directory that was away comes back with what was true when it left.
                new_to_us = tid in accounts.same and copy_on(self._session, key, target) is None
                if new_to_us or tid in accounts.older or tid in accounts.split:
                    standing = Standing.CLAIMED
                rows.append((key, target, standing))
            if accounts.withdraws and directory.parsed is not None and directory not in self._weighed:
                self._weighed.add(directory)
                self._take_away(directory.parsed)
        if rows:
            believe_copies(self._session, rows)

    def _target(self, tid: str) -> int:
        target = self._targets.get(tid)
        if target is None:
            target = self._targets[tid] = target_key(self._session, tid)
        return target

    def _take_away(self, sidecar: Sidecar) -> None:
        """The sidecar knows more of some targets than this session: what it does not name there is not there. Before
        anything is written: it must not be told again what it knew to be gone."""
        accounts = self._manner.accounts
        for tids, take in ((accounts.newer, withdraw_copies), (accounts.split, doubt_copies)):
            for tid in tids:
                unnamed = {
                    key
                    for record in sidecar.files.values()
                    if record.md5 is not None and all(bd.target != tid for bd in record.bds)
                    if (key := find_identity(self._session, Identity(record.size, record.md5))) is not None
                }
                target = self._target(tid)
                take(self._session, target, [key for key in unnamed if copy_on(self._session, key, target)])

    def _leave(self, finished: list[Directory]) -> None:
        """Nothing is written now: note which directories' sidecars say less than the DB."""
        for directory in finished:
            key = self._key(directory)
            if not self._manner.hashing:
                if directory.stat is not None and not directory.reread and _is_ours(directory.parsed):
                    mark_sidecar(self._session, key, directory.stat)
            elif directory.parsed is not None or directory.write or (directory.stat is None and not directory.empty):
                mark_dirty(self._session, (key,))

    def _sidecars(self, finished: list[Directory], events: list[Event]) -> Iterator[tuple[int, bytes, bytes]]:
        """(key, path, bytes) of the sidecars that must be written."""
        copies = Copies(self._session)
        for directory in finished:
            parsed, key = directory.parsed, self._key(directory)
            if parsed is None and not directory.write and (directory.stat is not None or directory.empty):
                continue
            if directory.frozen or directory.empty:
                if directory.write:
                    mark_dirty(self._session, (key,))
                continue
            if directory.stages:
                # Written at the end of the scan, when it is known what is true.
                mark_sidecar(self._session, key, directory.stat, dirty=True)
                if parsed is not None:
                    self.reread.append(key)
                continue
            try:
                old = parsed if parsed is not None else self._old(directory, events)
            except OSError as error:
                self.failed.append(Unwritten(directory.rel, error))
                mark_dirty(self._session, (key,))
                continue
            data = render_sidecar(self._session, key, old, copies, file_remains(self._root, directory.rel))
            if data != directory.data:
                yield key, directory.rel, data
            elif directory.stat is not None:
                mark_sidecar(self._session, key, directory.stat)

    def _old(self, directory: Directory, events: list[Event]) -> Sidecar | None:
        """The sidecar that is there, which this scan had no reason to read before."""
        if directory.stat is None:
            return None
        path = directory.path(SIDECAR_NAME)
        try:
            directory.data = self._root.read_whole(path, SIDECAR_LIMIT)
        except FileNotFoundError:
            return None
        old = parse(directory.data)
        if old.damage:
            keep_damaged(self._root, path, directory.data)
            events.append(Warned("sidecar-rewritten", path=path, damage=old.damage))
        return old


def _is_ours(parsed: Sidecar | None) -> bool:
    return (
        parsed is not None
        and not (parsed.damage or parsed.family)
        and all(record.trust is Trust.WHOLE for record in parsed.files.values())
    )
