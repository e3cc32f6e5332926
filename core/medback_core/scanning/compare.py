"""One directory's files against what the DB and its sidecar say of them: what is believed, what must be read."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Collection, Container
from dataclasses import dataclass, field
from typing import NamedTuple

from medback_core.hashing import Hashed
from medback_core.model import DamageFound, Event, Identity, Reason, Skipped, Standing, Trouble, Warned
from medback_core.session.files import SidecarStat, is_settled, join
from medback_core.session.scanning import Check, Put, ScanRow
from medback_core.session.values import load_ns, signed, store_ns
from medback_core.sidecar.records import FileRecord, Sidecar, Trust
from medback_core.sources.accounts import NO_ACCOUNTS, Accounts

_SECOND = 1_000_000_000
_PLAIN = 1 << 63  # what SQLite stores as it is
_NEVER_SEEN = (None, None, None)  # no device, inode and ctime
_GONE = (None,) * 9  # what follows the name in the Put of a file that is not there
# Two changes within one step of a file system's clock leave the same time. Linux steps by 10 ms at most; FAT, ext3 and
# small inodes of ext4 keep times in steps of 10 ms to 2 s.
FINE_STEP_NS = 20_000_000
_COARSE_STEP_NS = 2 * _SECOND
_COARSE_UNIT_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class ScanOptions:
    """How a scan treats what it finds."""

    first: bool  # the source was never scanned to its end in this DB: its sidecars say what was known before
    rehash: bool = False
    hashing: bool = True  # False: rebuild, which reads no content
    accepts: Callable[[bytes], bool] | None = None  # the person's word that new content is right
    accounts: Accounts = NO_ACCOUNTS  # whose word on the copies is newer: the sidecars', or the session's


@dataclass(slots=True)
class ScanCounts:
    """What a scan of one source has found so far."""

    files: int = 0
    hashed: int = 0
    hashed_bytes: int = 0
    reused: int = 0
    new: int = 0  # paths, before those that only moved are told apart
    accepted: int = 0
    damaged: int = 0
    unhashed: int = 0


class Base(NamedTuple):
    """What a file is on record as."""

    size: int
    md5: bytes
    mtime_ns: int
    inode: int | None  # signed, as the DB has it
    ctime_ns: int | None
    trouble: int


class FileToRead(NamedTuple):
    """A file that must be read (or found to be a renamed one) before anything can be said of it."""

    name: bytes
    status: os.stat_result
    base: Base | None
    edited: FileRecord | None  # the sidecar's record whose check is wrong
    fresh: bool  # no rename can answer it: its content itself is in doubt
    renamed: frozenset[Identity] = frozenset()  # what lay under this inode at another path: no damage if it is here now


@dataclass(slots=True)
class Decided:
    """What is to be recorded of a directory."""

    adopted: list[Put] = field(default_factory=list)  # known before, from the sidecar
    puts: list[Put] = field(default_factory=list)
    changes: list[Put] = field(default_factory=list)  # staged; with an md5 of None: gone
    back: list[bytes] = field(default_factory=list)  # new names
    seen: list[tuple[bytes, int, int]] = field(default_factory=list)  # path, mode, mtime_ns of directories, if new
    links: dict[bytes, bytes] = field(default_factory=dict)  # all of them, where any changed
    lost_links: list[bytes] = field(default_factory=list)
    claims: list[tuple[Identity, str, Standing]] = field(default_factory=list)
    told_digests: list[tuple[bytes, int, bytes, bytes]] = field(default_factory=list)  # name, size, MD5, BLAKE3 there
    checks: list[Check] = field(default_factory=list)  # what the sidecar says of when files were last read


@dataclass(slots=True, eq=False)
class Directory:
    """One directory under way: what was found in it, and what is decided of it and not on record yet."""

    rel: bytes
    key: int | None  # its row, None until it is first recorded
    looked_ns: int  # when its files were looked at; they are read after it
    decided: Decided = field(default_factory=Decided)
    stat: SidecarStat | None = None  # of the sidecar that is there now
    was: SidecarStat | None = None  # of the sidecar as the DB last read or wrote it
    parsed: Sidecar | None = None  # only when it was read in this scan
    data: bytes | None = None  # what was read of `.medback.xml`
    written_ns: int | None = None  # when a parsed sidecar was written here; None where it was copied here
    below: set[bytes] = field(default_factory=set)  # paths of the directories the walk goes into from here
    doubted: frozenset[bytes] = frozenset()  # names whose records differ in their BLAKE3
    inodes_changed: list[tuple[bytes, os.stat_result, Base]] = field(default_factory=list)  # size and time are the same
    waiting: int = 0  # questions not answered
    empty: bool = False  # nothing at all in it
    new: bool = False  # none of its files has a row yet
    write: bool = False  # its sidecar must be rewritten
    frozen: bool = False  # its sidecar must not be written
    stages: bool = False  # something in it waits for the end of the scan
    reread: bool = False  # its sidecar must be read again next time
    recorded: bool = False

    def path(self, name: bytes) -> bytes:
        return join(self.rel, name)


def reconcile(
    directory: Directory,
    files: list[tuple[bytes, os.stat_result]],
    rows: dict[bytes, ScanRow],
    options: ScanOptions,
    tally: ScanCounts,
) -> list[FileToRead]:
    """Settle every file that needs no reading; returns the questions. What is left in `rows` was not among `files`."""
    files_to_read: list[FileToRead] = []
    tally.files += len(files)
    parsed = directory.parsed
    if parsed is None and not rows:
        if options.hashing:
            return [FileToRead(name, status, None, None, False) for name, status in files]
        tally.unhashed += len(files)
        directory.reread = True
        return files_to_read
    quick = parsed is None and not options.rehash and not directory.doubted
    records = parsed.files if parsed is not None else {}
    take = rows.pop
    for name, status in files:
        row = take(name, None)
        if row is not None:
            seen = status.st_size, status.st_mtime_ns, status.st_ino, status.st_ctime_ns, status.st_mode & 0o777, 0
            if quick and row[1:7] == seen:
                tally.reused += 1
                continue
            to_read = _of_row(directory, name, status, row, records.get(name), options, tally)
        else:
            to_read = _of_record(directory, name, status, records.get(name), options, tally)
        if to_read is not None:
            if options.hashing:
                files_to_read.append(to_read)
            else:
                tally.unhashed += 1
                directory.reread = True
    return files_to_read


def _of_row(
    directory: Directory,
    name: bytes,
    status: os.stat_result,
    row: ScanRow,
    record: FileRecord | None,
    options: ScanOptions,
    tally: ScanCounts,
) -> FileToRead | None:
    """A file the DB knows."""
    base = Base(row[1], row[7], load_ns(row[2]), row[3], load_ns(row[4]), row[6])
    fresh = options.rehash or base.trouble != 0
    edited = None
    if record is not None:
        _believe(directory, record)
        if record.trust is Trust.EDITED:
            edited, fresh = record, True
        elif record.trust is Trust.WHOLE and record.md5 is not None and _same_time(record, status):
            if (record.size, record.md5) != (base.size, base.md5):
                if not fresh and not _same(base, status):
                    # Another session has recorded the file as it is now: as good as our own hash of it.
                    tally.reused += 1
                    directory.decided.changes.append(row_of(name, Identity(record.size, record.md5), status))
                    return None
                edited, fresh = record, True  # two records of one file: only its content can tell
            elif record.damaged is not None:
                fresh = True
    fresh = fresh or name in directory.doubted
    if fresh or not _same(base, status):
        return FileToRead(name, status, base, edited, fresh)
    inode, mode = signed(status.st_ino), status.st_mode & 0o777
    if base.inode == inode and base.ctime_ns != status.st_ctime_ns:
        return FileToRead(name, status, base, None, True)
    tally.reused += 1
    if base.inode is not None and base.inode != inode:
        directory.inodes_changed.append((name, status, base))
    if base.inode != inode or row[5] != mode:
        directory.decided.puts.append(row_of(name, Identity(base.size, base.md5), status))
        directory.write = directory.write or row[5] != mode
    return None


def _of_record(
    directory: Directory,
    name: bytes,
    status: os.stat_result,
    record: FileRecord | None,
    options: ScanOptions,
    tally: ScanCounts,
) -> FileToRead | None:
    """A file that only the sidecar knows, or that is not on record."""
    if record is None:
        return FileToRead(name, status, None, None, False)
    if record.md5 is None:
        return FileToRead(name, status, None, record if record.trust is Trust.EDITED else None, False)
    if record.trust is Trust.EDITED:
        return FileToRead(name, status, None, record, True)
    identity = Identity(record.size, record.md5)
    _believe(directory, record)
    if record.trust is Trust.FAMILY:
        if not _same_time(record, status) or options.rehash:
            return FileToRead(name, status, None, None, False)
        tally.reused += 1
        directory.decided.puts.append(row_of(name, identity, status))
        directory.decided.back.append(name)
        return None
    touched = changed_since_written(directory, status)
    if _same_time(record, status) and record.damaged is None and not options.rehash and not touched:
        tally.reused += 1
        _add(directory, row_of(name, identity, status), options)
        return None
    if not options.first and not _same_time(record, status):
        return FileToRead(name, status, None, None, False)  # not known here before: nothing can be said to have changed
    trouble = Trouble.NONE if record.damaged is None else Trouble.DAMAGED
    _add(directory, known(record, trouble), options)
    directory.new = False  # it has a row, which the reading may replace
    return FileToRead(name, status, _base(record), None, touched or options.rehash or record.damaged is not None)


def step_ns(ctime_ns: int) -> int:
    """How long after a change another one may leave the same time, by the look of the time."""
    return FINE_STEP_NS if ctime_ns % _COARSE_UNIT_NS else _COARSE_STEP_NS


def changed_since_written(directory: Directory, status: os.stat_result) -> bool:
    """Whether something was done to a file since the sidecar of its directory was written, perhaps to its content."""
    return directory.written_ns is not None and status.st_ctime_ns > directory.written_ns


def vanish(
    directory: Directory,
    rows: dict[bytes, ScanRow],
    skipped: Collection[bytes],
    listed: Container[bytes],
    options: ScanOptions,
) -> None:
    """Stage as gone what is on record and no longer there; nothing is forgotten yet. `rows`: those `reconcile` left;
    `skipped`: names nothing could be learned of; `listed`: all names there are, of whatever kind."""
    gone = [name for name in rows if name not in skipped] if rows else []
    if options.first and directory.parsed is not None:
        for name, record in directory.parsed.files.items():
            if name not in listed and name not in rows and record.trust is not Trust.FAMILY and record.md5 is not None:
                _believe(directory, record)
                directory.decided.adopted.append(known(record))
                if options.hashing:
                    gone.append(name)
    directory.decided.changes += [(name, *_GONE) for name in gone]


def apply_hash(
    directory: Directory,
    to_read: FileToRead,
    result: Hashed | OSError,
    options: ScanOptions,
    tally: ScanCounts,
    *,
    read: bool = True,
) -> Event | None:
    """Say of a file what its content says. `read` False: its identity is known from its former path."""
    name, status, base, edited, _, renamed = to_read
    decided = directory.decided
    if base is None and edited is None and result.__class__ is Hashed:
        decided.puts.append(row := _row_read(directory, name, result, read=read))  # type: ignore[arg-type]
        if read:
            tally.hashed += 1
            tally.hashed_bytes += row[1]
        else:
            tally.reused += 1
        decided.back.append(name)
        return None
    path = directory.path(name)
    if isinstance(result, OSError):
        if base is None and edited is not None and options.first and edited.md5 is not None:
            _add(directory, known(edited), options)
        return Skipped(path, why_unread(result))
    identity, status, _ = result
    if read:
        tally.hashed += 1
        tally.hashed_bytes += identity.size
    else:
        tally.reused += 1
    directory.write = True
    row = _row_read(directory, name, result, read=read)
    if edited is not None and edited.md5 is not None and identity == (edited.size, edited.md5):
        _believe(directory, edited, claims=True)
        if base is not None and identity != (base.size, base.md5):
            decided.changes.append(row)
        elif base is None:
            _add(directory, row, options)
        else:
            decided.puts.append(row)
        return None
    if base is None and edited is not None and edited.md5 is not None and _same_time(edited, status):
        _believe(directory, edited, claims=True)
        _add(directory, known(edited), options)
        base = _base(edited)
    if base is None:
        _add(directory, row, options)
        return None
    if identity == (base.size, base.md5):
        decided.puts.append(row)
        if edited is None or edited.trust is Trust.WHOLE:
            return None
        return Warned("record-mended", path=path)
    if not _same(base, status) or not is_settled(base.inode, base.ctime_ns) or identity in renamed:
        decided.changes.append(row)
        return None
    if options.accepts is not None and options.accepts(path):
        tally.accepted += 1
        decided.puts.append(row)
        return None
    tally.damaged += 1
    inode = signed(status.st_ino)
    if base.inode is None:
        kept_time = changed_since_written(directory, status)
    else:  # rot moves neither
        kept_time = (base.inode, base.ctime_ns) != (inode, status.st_ctime_ns)
    trouble = base.trouble or (Trouble.KEPT_TIME if kept_time else Trouble.DAMAGED)
    decided.puts.append(row_of(name, Identity(base.size, base.md5), status, trouble))
    return DamageFound(path, _DAMAGE[Trouble(trouble)])


_DAMAGE = {
    Trouble.DAMAGED: Reason("damaged"),
    Trouble.KEPT_TIME: Reason("damaged/kept-time"),
}


def _row_read(directory: Directory, name: bytes, result: Hashed, *, read: bool) -> Put:
    """The row of a file with the digests that were read of it. Where it changed so short a time before that another
    change would leave the same time, it has no ctime, and the next scan reads it again."""
    identity, status, blake3 = result
    row = row_of(name, identity, status, 0, blake3)
    return _settled(row, status.st_ctime_ns, directory.looked_ns) if read else row


def _settled(row: Put, changed_ns: int, looked_ns: int) -> Put:
    """The row of a file that was read after it was looked at, and changed last at `changed_ns`."""
    if changed_ns < looked_ns - _COARSE_STEP_NS:
        return row
    step = step_ns(changed_ns)
    if looked_ns - step <= changed_ns <= time.time_ns() + step:
        return *row[:7], None, *row[8:]
    return row


def apply_read(directory: Directory, rows: list[Put], tally: ScanCounts) -> None:
    """Files that were not on record and were read as they were listed: what `reconcile` and `apply_hash` make of such
    a file, for many at once."""
    looked_ns = directory.looked_ns
    if max([row[7] for row in rows]) >= looked_ns - _COARSE_STEP_NS:
        rows = [_settled(row, row[7], looked_ns) for row in rows]
    directory.decided.puts += rows
    directory.decided.back += [row[0] for row in rows]
    tally.files += len(rows)
    tally.hashed += len(rows)
    tally.hashed_bytes += sum([row[1] for row in rows])


def row_of(
    name: bytes, identity: Identity, status: os.stat_result, trouble: int = 0, blake3: bytes | None = None
) -> Put:
    """The row of a file as it stands, with this identity; `blake3` where it was read just now."""
    size, md5 = identity
    mtime_ns, ctime_ns, device, inode = status.st_mtime_ns, status.st_ctime_ns, status.st_dev, status.st_ino
    if not (0 <= mtime_ns < _PLAIN and 0 <= ctime_ns < _PLAIN and device < _PLAIN and inode < _PLAIN):
        return (
            name,
            size,
            md5,
            store_ns(mtime_ns),
            status.st_mode & 0o777,
            signed(device),
            signed(inode),
            store_ns(ctime_ns),
            int(trouble),
            blake3,
        )
    return name, size, md5, mtime_ns, status.st_mode & 0o777, device, inode, ctime_ns, int(trouble), blake3


def known(record: FileRecord, trouble: int = 0) -> Put:
    """The row of a file as its sidecar has it; the file itself was not read."""
    return (
        record.name,
        record.size,
        record.md5,
        store_ns(record.mtime_ns),
        record.mode,
        *_NEVER_SEEN,
        int(trouble),
        None,
    )


def _add(directory: Directory, row: Put, options: ScanOptions) -> None:
    """A file the sidecar tells of: known before in a first scan, new at this path in any other."""
    if options.first:
        directory.decided.adopted.append(row)
    else:
        directory.decided.puts.append(row)
        directory.decided.back.append(row[0])


def _base(record: FileRecord) -> Base:
    assert record.md5 is not None
    trouble = Trouble.NONE if record.damaged is None else Trouble.DAMAGED
    return Base(record.size, record.md5, record.mtime_ns, None, None, trouble)


def _same(base: Base, status: os.stat_result) -> bool:
    return base.size == status.st_size and base.mtime_ns == status.st_mtime_ns


def _same_time(record: FileRecord, status: os.stat_result) -> bool:
    if record.size != status.st_size:
        return False
    if record.trust is Trust.FAMILY:
        return record.mtime_ns // _SECOND == status.st_mtime_ns // _SECOND
    return record.mtime_ns == status.st_mtime_ns


def _believe(directory: Directory, record: FileRecord, *, claims: bool = False) -> None:
    """Take up the copies a record tells of, with their standing only where the record itself is whole, and when the
    file was last read."""
    if record.verified is not None and record.md5 is not None and record.trust is Trust.WHOLE:
        directory.decided.checks.append((record.name, record.verified, record.size, record.md5))
    if record.blake3 is not None and record.md5 is not None:
        directory.decided.told_digests.append((record.name, record.size, record.md5, record.blake3))
    if record.md5 is None or not record.bds or (record.trust is Trust.EDITED and not claims):
        return
    identity = Identity(record.size, record.md5)
    whole = record.trust is Trust.WHOLE
    for bd in record.bds:
        directory.decided.claims.append((identity, bd.target, bd.standing if whole else Standing.CLAIMED))


def why_unread(error: OSError) -> Reason:
    """Why a scan could not read a file."""
    return Reason("vanished") if isinstance(error, FileNotFoundError) else Reason.system(error)
