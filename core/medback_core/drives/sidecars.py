"""Gather changes of a drive's sidecars and write them in durable groups."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from medback_core import disk
from medback_core.drives.drive import Drive, begin_change
from medback_core.model import SIDECAR_NAME
from medback_core.session.files import join
from medback_core.sidecar import SIDECAR_LIMIT, DirRecord, FileRecord, LinkRecord, Place, Sidecar, Trust, parse, render
from medback_core.sources.identity import damaged_name


class _Note(NamedTuple):
    """What a reading adds to the record of a file, if there is one."""

    damaged: int | None
    verified: int | None  # None: as it is; so is BLAKE3
    blake3: bytes | None


@dataclass(slots=True)
class _Changes:
    puts: dict[bytes, FileRecord] = field(default_factory=dict)
    drops: set[bytes] = field(default_factory=set)
    notes: dict[bytes, _Note] = field(default_factory=dict)
    rewrite: bool = False
    dirs: dict[bytes | Place, DirRecord] | None = None  # all that is to be said of directories; None: as it is
    links: dict[bytes, LinkRecord] | None = None
    directory: dict[bytes, DirRecord] = field(default_factory=dict)  # single ones


def read_target_sidecar(root: disk.Root, directory: bytes) -> Sidecar | None:
    """The sidecar of a directory as it is (salvaged where damaged), None where there is none.

    Raises OSError when it is there and can't be read.
    """
    data = _bytes(root, directory)
    return None if data is None else parse(data)


def _bytes(root: disk.Root, directory: bytes) -> bytes | None:
    try:
        return root.read_whole(join(directory, SIDECAR_NAME), SIDECAR_LIMIT)
    except (FileNotFoundError, NotADirectoryError):
        return None


def tree_check(dirs: Iterable[DirRecord], links: Iterable[LinkRecord]) -> int:
    """A check over what is said of directories and links, their times left out; 0 for nothing, -1 where any of it was
    edited or damaged."""
    dirs, links = list(dirs), list(links)
    if any(record.trust is not Trust.WHOLE for record in (*dirs, *links)):
        return -1
    said = sorted((record.name, record.path or ("", b""), record.mode, record.links) for record in dirs)
    held = sorted((link.name, link.to) for link in links)
    return zlib.crc32(repr((said, held)).encode()) or 1 if said or held else 0


class Unrecorded(OSError):
    """Some sidecars could not be written; all others are."""

    def __init__(self, directories: dict[bytes, OSError]) -> None:
        first = next(iter(directories.values()))
        super().__init__(first.errno, first.strerror or str(first))
        self.directories = directories


class Recorder:
    """Changes of records by directory, written by `commit`. Unknown parts of a sidecar are kept."""

    def __init__(self, drive: Drive) -> None:
        self.drive = drive
        self._changes: dict[bytes, _Changes] = {}
        self._read: tuple[bytes, Sidecar] | None = None  # the sidecar looked at last

    def __len__(self) -> int:
        return len(self._changes)

    def lookup(self, directory: bytes, name: bytes) -> FileRecord | None:
        """The record of a file on the drive, with what was put or dropped and is not written yet. Raises OSError."""
        changes = self._changes.get(directory)
        if changes is not None:
            if name in changes.puts:
                return changes.puts[name]
            if name in changes.drops:
                return None
        if self._read is None or self._read[0] != directory:
            self._read = directory, read_target_sidecar(self.drive.root, directory) or Sidecar()
        return self._read[1].files.get(name)

    def put(self, directory: bytes, record: FileRecord) -> None:
        """This is what lies there under `record.name`."""
        changes = self._changes.setdefault(directory, _Changes())
        changes.puts[record.name] = record
        changes.drops.discard(record.name)
        changes.notes.pop(record.name, None)

    def drop(self, directory: bytes, name: bytes) -> None:
        """Nothing we know of lies there under that name any more."""
        changes = self._changes.setdefault(directory, _Changes())
        changes.puts.pop(name, None)
        changes.notes.pop(name, None)
        changes.drops.add(name)

    def note(
        self, directory: bytes, name: bytes, *, damaged: int | None, verified: int | None, blake3: bytes | None
    ) -> None:
        """The file was read: its record, if it has one, says whether it is damaged, when it was last found right, and
        its BLAKE3; what is None of the last two stays as it is."""
        self._changes.setdefault(directory, _Changes()).notes[name] = _Note(damaged, verified, blake3)

    def put_tree(self, directory: bytes, dirs: Iterable[DirRecord], links: Iterable[LinkRecord]) -> None:
        """This is all that its sidecar says of directories and links."""
        changes = self._changes.setdefault(directory, _Changes())
        changes.dirs = {record.key: record for record in dirs}
        changes.links = {record.name: record for record in links}

    def put_directory(self, directory: bytes, record: DirRecord) -> None:
        """This is what its sidecar says of one directory in it; a new time alone is no reason to write it."""
        self._changes.setdefault(directory, _Changes()).directory[record.name] = record

    def rewrite(self, directory: bytes) -> None:
        """The sidecar is damaged: set it aside and write what could be saved of it."""
        self._changes.setdefault(directory, _Changes()).rewrite = True

    def commit(self) -> None:
        """Write every sidecar that changed, durably; a damaged one is kept aside first. Raises Unrecorded when some
        can't be written (the others are), OSError when the drive can make none durable. What was not written waits for
        the next `commit`."""
        if not self._changes:
            return
        self.drive.check()
        failed: dict[bytes, OSError] = {}
        with disk.Group(self.drive.root) as group:
            for directory, changes in self._changes.items():
                try:
                    data = self._changed(directory, changes)
                    if data is not None:
                        group.stage_bytes(join(directory, SIDECAR_NAME), data)
                except OSError as error:
                    failed[directory] = error
            for staged, error in group.publish():
                if error is not None:
                    failed[staged.directory] = error
        self._changes = {directory: self._changes[directory] for directory in failed}
        self._read = None
        if failed:
            raise Unrecorded(failed)

    def commit_for(self, directory: bytes) -> None:
        """`commit`, where only this directory's sidecar matters now. Raises OSError when it could not be written."""
        try:
            self.commit()
        except Unrecorded as unrecorded:
            if directory in unrecorded.directories:
                raise unrecorded.directories[directory] from unrecorded

    def _changed(self, directory: bytes, changes: _Changes) -> bytes | None:
        """What a sidecar should be now, None where it is that already. Raises OSError."""
        there = _bytes(self.drive.root, directory)
        sidecar = Sidecar() if there is None else parse(there)
        if sidecar.damage:
            begin_change(self.drive)
            path = join(directory, SIDECAR_NAME)
            disk.move(self.drive.root, path, damaged_name(self.drive.root, path))
        for name in changes.drops:
            sidecar.files.pop(name, None)
        for name, record in changes.puts.items():
            was = sidecar.files.get(name)
            if was is not None and not record.extra:
                record.extra = was.extra
                record.tags = record.tags or was.tags
            if was is not None and record.blake3 is None and (was.size, was.md5) == (record.size, record.md5):
                record.blake3 = was.blake3
            sidecar.files[name] = record
        for name, note in changes.notes.items():
            noted = sidecar.files.get(name)
            if noted is not None:
                noted.damaged = note.damaged
                noted.verified = note.verified or noted.verified
                noted.blake3 = note.blake3 or noted.blake3
        self._tree(sidecar, changes)
        data = render(sidecar)
        holds = sidecar.files or sidecar.dirs or sidecar.links
        if data == there or (there is None and not holds):
            return None
        begin_change(self.drive)
        return data

    @staticmethod
    def _tree(sidecar: Sidecar, changes: _Changes) -> None:
        """What is said of directories and links, with what a later version said of the same."""
        if changes.dirs is not None and changes.links is not None:
            for record in changes.dirs.values():
                if (was := sidecar.dirs.get(record.key)) is not None:
                    record.extra = was.extra
            for name, link in changes.links.items():
                if name in sidecar.links:
                    link.extra = sidecar.links[name].extra
            sidecar.dirs, sidecar.links = changes.dirs, changes.links
        for record in changes.directory.values():
            was = sidecar.dirs.get(record.key)
            if was is None or tree_check([was], ()) != tree_check([record], ()):
                sidecar.dirs[record.key] = record

    def try_commit(self) -> OSError | None:
        """`commit`, where the session may know more than the drive for a while: what can't be written is let go, for
        the next look to put right. Returns why. Raises DriveGone."""
        try:
            self.commit()
        except OSError as error:
            self.drive.check()
            self._changes.clear()
            self._read = None
            return error
        return None
