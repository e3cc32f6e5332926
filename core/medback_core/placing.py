"""Where a content lies on a drive, and what is done about the file that stands there already.

FOLDER/relative/path, plain. A file of ours that a current path still wants is moved to where that path belongs, one
that none wants moves into `.medback-old/`; a file medback did not put there is never touched.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Collection
from dataclasses import dataclass, replace

from . import disk, names
from .model import OLD_DIRECTORY, Identity, Source, is_metadata
from .session import (
    Copy,
    Session,
    copy_on,
    find_identity,
    folders,
    join,
    paths_of_identity,
    record_copies,
    save_folder,
    source_by_key,
)
from .sidecar import FileRecord
from .target_records import Recorder
from .targets import Drive, write_identity


class There(enum.Enum):
    """What stands where a file is to go."""

    NOTHING = enum.auto()
    THE_SAME = enum.auto()  # the very content: nothing to copy
    OURS = enum.auto()  # another content medback put there: superseded
    FOREIGN = enum.auto()  # left alone; ours gets another name


@dataclass(frozen=True, slots=True)
class Occupant:
    """What stands at `path`; `record` is what is known of it."""

    path: bytes
    there: There
    record: FileRecord | None = None


class Layout:
    """The folders of the sources on one drive, remembered while a backup runs."""

    def __init__(self, session: Session, drive: Drive) -> None:
        self.session = session
        self.drive = drive
        self._sources: dict[int, tuple[Source, bytes]] = {}

    def of(self, source_key: int) -> tuple[Source, bytes]:
        """(source, its folder on the drive). The folder is the alias at first use, for ever after; another source
        with that name (perhaps another machine's) has its own: NAME-2. Remembered on the drive at once."""
        found = self._sources.get(source_key)
        if found is None:
            source = source_by_key(self.session, source_key)
            found = self._sources[source_key] = source, self._folder(source)
        return found

    def occupant(drive: Drive, recorder: Recorder, path: bytes, wanted: Identity) -> Occupant:
    """Look at what stands at `path`. A file with no record is hashed. Raises OSError."""
    status = drive.root.stat(path)
    if status is None:
        return Occupant(path, There.NOTHING)
    directory, name = os.path.split(path)
    if not stat.S_ISREG(status.st_mode):
        return Occupant(path, There.FOREIGN)
    record = recorder.lookup(directory, name)
    if record is not None and record.md5 is not None and record.size == status.st_size:
        if Identity(record.size, record.md5) != wanted:
            return Occupant(path, There.OURS if record.ours else There.FOREIGN, record)
    elif status.st_size != wanted.size:
        return Occupant(path, There.FOREIGN)
    if _content(drive.root, path) != wanted:
        return Occupant(path, There.FOREIGN)
    ours = record is not None and record.ours
    found = FileRecord(name, wanted.size, status.st_mtime_ns, wanted.md5, mode=status.st_mode & 0o777, ours=ours)
    return Occupant(path, There.THE_SAME, found)


def _content(root: disk.Root, path: bytes) -> Identity:
    steps = disk.read_from_drive(root, path)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value.identity


def another_name(drive: Drive, path: bytes, taken: Collection[bytes] = ()) -> bytes:
    """A free name beside `path`, for when that one is taken: `~` and six hex digits before the extension. `taken` are
    names promised to others. Raises OSError."""
    directory, name = os.path.split(path)
    candidate = disk.collision_name(name)
    while (goal := join(directory, candidate)) in taken or drive.root.stat(goal) is not None:
        candidate = disk.collision_name(candidate + b"~")
    return goal


def displace(layout: Layout, recorder: Recorder, found: Occupant) -> bool:
    """Move a file of ours out of the way, to where a current path wants it or into `.medback-old/`; True for the latter.

    Its new place is on record, durably, before it moves; then the DB is told. Call when its successor is durable.
    Raises OSError.
    """
    session, drive, record = layout.session, layout.drive, found.record
    assert record is not None and record.md5 is not None
    identity = Identity(record.size, record.md5)
    key = find_identity(session, identity)
    goal, place, old = None, record.path or layout.true_place(found.path), False
    for source_key, path, _ in paths_of_identity(session, key) if key is not None else ():
        candidate = layout.plain_place(source_key, path)
        if candidate != found.path:
            goal, place = candidate, (layout.of(source_key)[0].id, path)
            break
    if goal is None:
        old = True
        goal = join(OLD_DIRECTORY, found.path)
    if drive.root.stat(goal) is not None:
        goal = another_name(drive, goal)
    goal_directory, goal_name = os.path.split(goal)
    recorder.put(goal_directory, replace(record, name=goal_name, path=place))
    recorder.commit()
    disk.move(drive.root, found.path, goal)
    recorder.drop(*os.path.split(found.path))
    if key is not None:
        copy = copy_on(session, key, drive.target.key)
        if copy is not None and copy.path in (None, found.path):
            record_copies(session, [replace(copy, path=goal, mtime_ns=record.mtime_ns)])
    return old


def record_of(
    layout: Layout, source_key: int, path: bytes, where: bytes, copy: Copy, identity: Identity, mode: int
) -> FileRecord:
    """The record for a file just put on the drive: its true place where that is not plain to see, and its twins."""
    source, folder = layout.of(source_key)
    twins = [
        (layout.of(other_source)[0].id, other)
        for other_source, other, _ in paths_of_identity(layout.session, copy.identity)
        if (other_source, other) != (source_key, path)
    ]
    return FileRecord(
        os.path.basename(where),
        identity.size,
        copy.mtime_ns or 0,
        identity.md5,
        mode=mode,
        verified=copy.verified_at,
        path=None if join(folder, path) == where else (source.id, path),
        twins=tuple(sorted(twins)),
        ours=True,
    )
