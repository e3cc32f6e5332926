"""Where a content lies on a drive, and what is done about the file that stands there already.

FOLDER/relative/path, plain. A file of ours that a current path still wants is moved to where that path belongs, one
that none wants moves into `.medback-old/`, one that rotted into `.medback-damaged/`; a file medback did not put there
is never touched.
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import chain

from medback_core import disk, names
from medback_core.drives.aside import keep_damaged_file
from medback_core.drives.matching import same_time
from medback_core.drives.open import Drive, write_identity
from medback_core.drives.sidecars import Recorder, Unrecorded
from medback_core.model import OLD_DIRECTORY, TARGET_IDENTITY_NAME, Identity, Source, is_metadata
from medback_core.session import Session
from medback_core.session.checking import copies_below
from medback_core.session.copies import Copy, copy_on, find_identity, record_copies
from medback_core.session.digests import is_twin, known_as, learn
from medback_core.session.files import join, paths_of_identity
from medback_core.session.sources import source_by_key
from medback_core.session.targets import folders, save_folder
from medback_core.sidecar import FileRecord


class There(enum.Enum):
    """What stands where a file is to go."""

    NOTHING = enum.auto()
    THE_SAME = enum.auto()  # the very content: nothing to copy
    OURS = enum.auto()  # another content medback put there: superseded
    ROTTEN = enum.auto()  # medback put it there, and it is not what it was, though as old: kept aside
    FOREIGN = enum.auto()  # left alone; ours gets another name


_FREE = (There.NOTHING, There.THE_SAME)
_GIVES_WAY = (There.OURS, There.ROTTEN)


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
        self._directories: dict[bytes, bytes] = {}
        self._folds = _folds_names(drive.root)
        # On a drive that folds names, of what is in a directory or promised there: the names, and the names folded.
        self._inside: dict[bytes, tuple[set[bytes], set[str]]] = {}

    def of(self, source_key: int) -> tuple[Source, bytes]:
        """(source, its folder on the drive). The folder is the alias at first use, for ever after; another source
        with that name (perhaps another machine's) has its own: NAME-2. Remembered on the drive at once."""
        found = self._sources.get(source_key)
        if found is None:
            source = source_by_key(self.session, source_key)
            folder, is_new = self._choose_folder(source)
            if is_new:
                drive = self.drive
                save_folder(self.session, drive.target.key, source.id, folder)
                drive.identity = replace(drive.identity, folders=(*drive.identity.folders, (folder, source.id)))
                write_identity(self.session, drive)
            found = self._sources[source_key] = source, folder
        return found

    def place(self, source_key: int, path: bytes) -> bytes:
        """Where a path of a source lies on the drive, when nothing else stands there by that name.

        A file (or a planted link) that stands where a directory must be is gone around: the directory gets another
        name. Raises OSError.
        """
        directory, name = os.path.split(path)
        if self.drive.filesystem.restricted_names:
            name = disk.escape_component(name)
        return join(self.place_directory(source_key, directory), name)

    def place_directory(self, source_key: int, path: bytes) -> bytes:
        """Where a directory of a source lies on the drive; like `place`."""
        folder = self.of(source_key)[1]
        if not path:
            return self._directory(folder)
        return self._directory(join(folder, disk.escape_path(path) if self.drive.filesystem.restricted_names else path))

    def planned_directory(self, source_key: int, path: bytes) -> bytes:
        """Where a directory of a source would lie when nothing is in its way; nothing is remembered or made."""
        known = self._sources.get(source_key)
        folder = known[1] if known is not None else self._choose_folder(source_by_key(self.session, source_key))[0]
        if not path:
            return folder
        return join(folder, disk.escape_path(path) if self.drive.filesystem.restricted_names else path)

    def _directory(self, plain: bytes) -> bytes:
        """The directory to use for `plain`: itself, unless something else than a directory has that name, or the
        drive holds its name to be that of another directory (`Trip` and `trip`)."""
        known = self._directories.get(plain)
        if known is not None:
            return known
        parent, _, name = plain.rpartition(b"/")
        parent = self._directory(parent) if parent else b""
        if len(self._directories) > 10_000:
            self._directories.clear()  # bounds the memory; each is looked at again when met again
            self._inside.clear()
        used = disk.free_name(
            chain([join(parent, name)], disk.other_names(join(parent, name + b"~"))),
            lambda path: self._is_taken(parent, os.path.basename(path), self.drive.root.stat(path)),
        )
        name = os.path.basename(used)
        if self._folds:
            exact, folded = self._names_in(parent)
            exact.add(name)
            folded.add(names.folded(name))
        self._directories[plain] = used
        return used

    def _is_taken(self, parent: bytes, name: bytes, status: os.stat_result | None) -> bool:
        """Whether what stands there (None: nothing) keeps a directory from having this name."""
        if status is not None and not stat.S_ISDIR(status.st_mode):
            return True
        if not self._folds:
            return False
        exact, folded = self._names_in(parent)
        return name not in exact and (status is not None or names.folded(name) in folded)

    def _names_in(self, parent: bytes) -> tuple[set[bytes], set[str]]:
        inside = self._inside.get(parent)
        if inside is None:
            try:
                exact = {name for name, _ in self.drive.root.scan(parent)}
            except FileNotFoundError:
                exact = set()
            inside = self._inside[parent] = exact, set(map(names.folded, exact))
        return inside

    def _choose_folder(self, source: Source) -> tuple[bytes, bool]:
        """(the folder of a source on this drive, whether it is still to be remembered)."""
        drive = self.drive
        taken = {folder: source_id for source_id, folder in folders(self.session, drive.target.key).items()}
        for folder, source_id in taken.items():
            if source_id == source.id:
                return folder, False
        base = names.from_text(source.alias).replace(b"/", b"_")
        if is_metadata(base) or base in (b"", b".", b".."):
            base = b"_" + base
        folded = {names.folded(name) for name in taken} if self._folds else set()
        folder = disk.free_name(
            (
                (disk.escape_component(name) if drive.filesystem.restricted_names else name)
                for name in disk.numbered(base)
            ),
            lambda name: name in taken or names.folded(name) in folded or not _can_be_folder(drive, name),
        )
        return folder, True


def _folds_names(root: disk.Root) -> bool:
    """Whether the drive holds names that differ in case alone to be one (FAT, exFAT, NTFS, most of macOS)."""
    try:
        return root.stat(TARGET_IDENTITY_NAME.upper()) is not None
    except OSError:
        return False


def _can_be_folder(drive: Drive, name: bytes) -> bool:
    try:
        status = drive.root.stat(name)
    except OSError:
        return False
    return status is None or (stat.S_ISDIR(status.st_mode) and status.st_dev == drive.root.device)


def occupant(drive: Drive, recorder: Recorder, path: bytes, wanted: Identity) -> Occupant:
    """Look at what stands at `path`. A file with no record is hashed. Raises OSError."""
    status = drive.root.stat(path)
    if status is None:
        return Occupant(path, There.NOTHING)
    directory, name = os.path.split(path)
    if not stat.S_ISREG(status.st_mode):
        return Occupant(path, There.FOREIGN)
    record = recorder.lookup(directory, name)
    other = There.FOREIGN
    session = drive.session
    if session is not None and is_twin(session, drive.target.key, path):
        return Occupant(path, There.FOREIGN, record)
    if record is not None and record.ours and same_time(drive, status.st_mtime_ns, record.mtime_ns):
        other = There.ROTTEN
    if record is not None and record.md5 is not None and record.size == status.st_size and record.damaged is None:
        if Identity(record.size, record.md5) != wanted:
            return Occupant(path, There.OURS if record.ours else There.FOREIGN, record)
    elif status.st_size != wanted.size:
        return Occupant(path, other, record)
    read = disk.content_on_drive(drive.root, path, None if session is None else known_as(session, wanted))
    if read.identity != wanted:
        return Occupant(path, other, record)
    if session is not None and not learn(session, wanted, read.blake3, path, target=drive.target.key):
        return Occupant(path, There.FOREIGN, record)
    ours = record is not None and record.ours
    found = FileRecord(name, wanted.size, status.st_mtime_ns, wanted.md5, mode=status.st_mode & 0o777, ours=ours)
    found.blake3 = read.blake3
    return Occupant(path, There.THE_SAME, found)


def free_place(
    drive: Drive, recorder: Recorder, path: bytes, wanted: Identity, taken: Collection[bytes] = ()
) -> Occupant:
    """Where content can go, and what stands there: nothing, a file of ours that may be displaced, or the same already.

    That is `path`; where a foreign file stands there, or it is promised to others (`taken`), a name beside it. What a
    run that was killed put under such a name is found again so. Raises OSError.
    """
    places = (where for where in chain([path], disk.other_names(path)) if where not in taken)
    return disk.free_name(
        (occupant(drive, recorder, where, wanted) for where in places),
        lambda found: found.there not in (*_FREE, *(_GIVES_WAY if found.path == path else ())),
    )


def displace(layout: Layout, recorder: Recorder, occupants: Iterable[Occupant]) -> list[bool | OSError]:
    """Move files of ours away, to where a current path wants them or into `.medback-old/`. One that rotted goes into
    `.medback-damaged/`: it is not a copy. Returns for each, in order: True for one that went into `.medback-old/`,
    False for one that went elsewhere, or why it could not be moved.

    All new places are on record, durably, before the first file moves, with one writing of each sidecar: a directory
    may have a hundred thousand files. The DB is told after each move. Call when the successors are durable. Raises
    DriveGone.
    """
    drive = layout.drive
    outcome: list[bool | OSError] = []
    moves: list[_Move] = []
    taken: set[bytes] = set()
    for found in occupants:
        outcome.append(False)
        try:
            if found.there is There.ROTTEN:
                keep_damaged_file(drive.root, found.path)
            else:
                moves.append(_planned_move(layout, recorder, found, taken, len(outcome) - 1))
        except OSError as error:
            outcome[-1] = error
    unrecorded: dict[bytes, OSError] = {}
    if moves:
        try:
            recorder.commit()
        except Unrecorded as error:
            unrecorded = error.directories
        except OSError as error:
            unrecorded = {os.path.dirname(move.goal): error for move in moves}
    for move in moves:
        directory, name = os.path.split(move.goal)
        try:
            if directory in unrecorded:
                raise unrecorded[directory]
            disk.move(drive.root, move.found.path, move.goal)
        except OSError as error:
            outcome[move.index] = error
            with suppress(OSError):  # can't be told now: the next look tells
                if drive.root.stat(move.goal) is None:
                    recorder.drop(directory, name)
            continue
        outcome[move.index] = move.old
        _moved(layout, recorder, move)
    return outcome


@dataclass(frozen=True)
class _Move:
    """A file of ours and where it goes; `old`: no current path wants it. `index`: the place in what was asked."""

    found: Occupant
    goal: bytes
    identity: int | None
    old: bool
    index: int


def _planned_move(layout: Layout, recorder: Recorder, found: Occupant, taken: set[bytes], index: int) -> _Move:
    """Where it goes, put on record; `taken` are the names promised so far. Raises OSError."""
    session, drive, record = layout.session, layout.drive, found.record
    assert record is not None and record.md5 is not None
    key = find_identity(session, Identity(record.size, record.md5))
    goal, place, old = None, record.path or drive.true_place(found.path), False
    for source_key, path, _ in paths_of_identity(session, key) if key is not None else ():
        candidate = layout.place(source_key, path)
        if candidate != found.path:
            goal, place = candidate, (layout.of(source_key)[0].id, path)
            break
    if goal is None:
        old = True
        goal = join(OLD_DIRECTORY, found.path)
    goal = disk.free_name(
        chain([goal], disk.other_names(goal)), lambda path: path in taken or drive.root.stat(path) is not None
    )
    taken.add(goal)
    goal_directory, goal_name = os.path.split(goal)
    recorder.put(goal_directory, replace(record, name=goal_name, path=place))
    return _Move(found, goal, key, old, index)


def _moved(layout: Layout, recorder: Recorder, move: _Move) -> None:
    recorder.drop(*os.path.split(move.found.path))
    if move.identity is None:
        return
    session, target = layout.session, layout.drive.target.key
    copy, record = copy_on(session, move.identity, target), move.found.record
    if record is not None and copy is not None and copy.path in (None, move.found.path):
        record_copies(session, [replace(copy, path=move.goal, mtime_ns=record.mtime_ns)])


def bring_current(layout: Layout, recorder: Recorder) -> None:
    """Move what lies in `.medback-old/` and is wanted again to where a current path wants it: there no reclaim takes it
    for an older version, on this machine or another. Raises OSError."""
    session, drive = layout.session, layout.drive
    wanted: list[Occupant] = []
    for identity, copy in copies_below(session, drive.target.key, OLD_DIRECTORY):
        assert copy.path is not None
        if not any(True for _ in paths_of_identity(session, copy.identity)):
            continue
        record = recorder.lookup(*os.path.split(copy.path))
        status = drive.root.stat(copy.path)
        if record is None or record.damaged is not None or status is None or status.st_size != identity.size:
            continue
        if (record.size, record.md5) == identity and same_time(drive, status.st_mtime_ns, record.mtime_ns):
            wanted.append(Occupant(copy.path, There.OURS, record))
    for outcome in displace(layout, recorder, wanted):
        if isinstance(outcome, OSError):
            raise outcome
    recorder.commit()


def record_of(
    layout: Layout,
    source_key: int,
    path: bytes,
    where: bytes,
    copy: Copy,
    identity: Identity,
    mode: int,
    *,
    blake3: bytes | None = None,
    alone: bool = False,
) -> FileRecord:
    """The record for a file just put on the drive: its true place where that is not plain to see, and its twins.
    `alone`: no other path is known to have the content."""
    source, folder = layout.of(source_key)
    others = () if alone else paths_of_identity(layout.session, copy.identity)
    twins = [
        (layout.of(other_source)[0].id, other)
        for other_source, other, _ in others
        if (other_source, other) != (source_key, path)
    ]
    return FileRecord(
        where.rpartition(b"/")[2],
        identity.size,
        copy.mtime_ns or 0,
        identity.md5,
        mode=mode,
        verified=copy.verified_at,
        path=None if join(folder, path) == where else (source.id, path),
        twins=tuple(sorted(twins)),
        ours=True,
        blake3=blake3,
    )
