"""What a drive keeps of the sources' directories: who may read them, their times, empty ones, and links.

A directory is made for its owner alone. When all is in it, it gets the permissions of its original: no copy is readable
to more people than what it is a copy of.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

from medback_core import disk, names
from medback_core.backing_up.layout import Layout
from medback_core.drives.drive import Drive
from medback_core.drives.sidecars import Recorder, tree_check
from medback_core.model import DAMAGED_DIRECTORY, OLD_DIRECTORY, Event, Source, Warned
from medback_core.session import Session
from medback_core.session.directories import (
    DirectoryFacts,
    directories_below,
    facts_of,
    file_modes,
    has_links,
    private_files_on,
    subdirectories,
)
from medback_core.session.files import join, links_in
from medback_core.session.targets import folders
from medback_core.sidecar.records import DirRecord, FileRecord, LinkRecord, Sidecar, Trust

_OWNER = 0o700
_AT_ONCE = 500


class _There(NamedTuple):
    """A directory of a source that lies on the drive."""

    source: Source
    facts: DirectoryFacts
    where: bytes
    mode: int  # as it is on the drive
    wanted: int  # as it should be there


class _Loose(NamedTuple):
    """A file on the drive with other permissions than it should have."""

    where: bytes
    record: FileRecord
    mode: int  # of its original
    wanted: int  # what it should have there
    was_open: bool  # it was open to a group its original is not


class Tree:
    """The directories of some sources on one drive during one backup."""

    def __init__(self, session: Session, drive: Drive, sources: list[Source]) -> None:
        self.session = session
        self.drive = drive
        self.sources = sources
        self.recorder = Recorder(drive)
        self._said: dict[bytes, int] = {}  # what the sidecars tell of directories and links: where -> check
        self._loose: list[_Loose] = []
        self._modes: dict[bytes, tuple[int, int]] = {}  # (permissions, group) of the directories a look came by
        self._sources = {source.id: source for source in sources}
        self._tightened = 0

    def seen(self, directory: bytes, entries: Mapping[bytes, os.stat_result | OSError], sidecar: Sidecar) -> None:
        """A look at the drive came by here."""
        for name, status in entries.items():
            if isinstance(status, os.stat_result) and stat.S_ISDIR(status.st_mode):
                self._modes[join(directory, name)] = stat.S_IMODE(status.st_mode), status.st_gid
        check = tree_check(sidecar.dirs.values(), sidecar.links.values())
        if check:
            self._said[directory] = check
        place = self.drive.true_place(join(directory, b"x"))
        if not self.drive.filesystem.has_modes or place is None or not sidecar.files:
            return
        source, above = self._sources.get(place[0]), place[1].rpartition(b"/")[0]
        if source is None:
            return
        for name, mode in file_modes(self.session, source.key, above):
            record, status = sidecar.files.get(name), entries.get(name)
            if record is None or not record.ours or record.path is not None or record.trust is not Trust.WHOLE:
                continue
            if not isinstance(status, os.stat_result):
                continue
            now, wanted = status.st_mode & 0o777, disk.in_any_group(mode)
            if now != wanted:
                wanted = permitted(mode, status.st_gid, os.path.join(source.path, above, name))
            if (now, record.mode) != (wanted, mode):
                self._loose.append(_Loose(join(directory, name), record, mode, wanted, now == mode != wanted))

    # --- before the copying ------------------------------------------------------------------------------------------

    def tighten(self, layout: Layout) -> Iterator[Event]:
        """Narrow the permissions of what more people can read than its original: an earlier medback, or a change of the
        original, left it so."""
        if not self.drive.filesystem.has_modes:
            return
        known = set(folders(self.session, self.drive.target.key))
        for name in (OLD_DIRECTORY, DAMAGED_DIRECTORY):
            status = self.drive.root.stat(name)
            if status is not None and stat.S_ISDIR(status.st_mode) and status.st_mode & 0o077:
                self._set(name, _OWNER)
        for source in self.sources:
            if source.id not in known:
                continue
            for there in self._walk(layout, source):
                if there.mode & ~there.wanted:
                    self._set(there.where, there.wanted)
        loose, self._loose = self._loose, []
        for file in loose:
            self._set_file(file)
        if self._tightened:
            disk.sync_drive(self.drive.root)
            name = names.display_name(self.drive.target.name)
            yield Warned("too-readable", places=self._tightened, target=self.drive.target.name)

    def _set(self, where: bytes, mode: int) -> None:
        try:
            disk.set_directory(self.drive.root, where, mode=mode)
        except OSError:
            return  # another user's: only its owner can
        self._modes.pop(where, None)  # looked at again when it is asked for
        self._tightened += 1

    def _set_file(self, file: _Loose) -> None:
        try:
            disk.set_file_mode(self.drive.root, file.where, file.wanted)
        except OSError:
            return
        self._tightened += file.was_open or bool(file.record.mode & ~file.mode)
        if file.record.mode != file.mode:
            self.recorder.put(os.path.dirname(file.where), replace(file.record, mode=file.mode))

    # --- after it ----------------------------------------------------------------------------------------------------

    def record(self, layout: Layout, *, changed: bool) -> Iterator[Event]:
        """Tell the drive's sidecars of its directories, of those that are not there and of links; then give the
        directories their permissions. Nothing is written that is as it should be."""
        error = self.recorder.try_commit()
        opened: list[_There] = []
        for source in self.sources:
            known = source.id in folders(self.session, self.drive.target.key)
            if not known and not has_links(self.session, source.key) and not self._has_directories(source):
                continue
            try:
                opened += self._record(layout, source)
            except OSError as problem:
                error = error or problem
            if len(self.recorder) >= _AT_ONCE:
                error = self.recorder.try_commit() or error
        error = self.recorder.try_commit() or error
        for there in opened:
            try:
                disk.set_directory(self.drive.root, there.where, mode=there.wanted)
            except OSError as problem:
                error = error or problem
        if opened:
            disk.sync_drive(self.drive.root)
        if error is not None:
            yield Warned("directories-not-recorded", target=self.drive.target.name, error=error.strerror or str(error))
        if not self.drive.filesystem.has_modes and changed:
            yield from self._tell_private()

    def _has_directories(self, source: Source) -> bool:
        root = facts_of(self.session, source.key, b"")
        return root is not None and bool(subdirectories(self.session, root.key))

    def _record(self, layout: Layout, source: Source) -> Iterator[_There]:
        """Put what differs into the recorder; the directories that are to be opened to others now."""
        links = has_links(self.session, source.key)
        for there in self._walk(layout, source, make=True):
            dirs, held = self._told(layout, there, links)
            if tree_check(dirs, held) != self._said.get(there.where, 0):
                self.recorder.put_tree(there.where, dirs, held)
            if not there.facts.path and there.facts.mode is not None:
                folder = DirRecord(there.where, there.facts.mode, there.facts.mtime_ns or 0)
                self.recorder.put_directory(b"", folder)
            if len(self.recorder) >= _AT_ONCE:
                self.recorder.commit()
            differs = there.mode != there.wanted and (there.mode == _OWNER or there.mode & ~there.wanted)
            if differs and self.drive.filesystem.has_modes:
                yield there

    def _told(self, layout: Layout, there: _There, links: bool) -> tuple[list[DirRecord], list[LinkRecord]]:
        """What the sidecar of a directory on the drive says of the directories and links of its original."""
        source, dirs = there.source, []
        for below in subdirectories(self.session, there.facts.key):
            where = layout.place_directory(source.key, below.path)
            if self._mode(where) is not None:
                if below.mode is not None:
                    name, plain = where.rpartition(b"/")[2], below.path.rpartition(b"/")[2]
                    path = None if name == plain else (source.id, below.path)
                    dirs.append(DirRecord(name, below.mode, below.mtime_ns or 0, path))
                continue
            for absent in list(directories_below(self.session, source.key, below.path)):
                if absent.mode is None:
                    continue
                held = tuple(sorted(links_in(self.session, absent.key).items())) if links else ()
                dirs.append(DirRecord(b"", absent.mode, absent.mtime_ns or 0, (source.id, absent.path), held))
        own = links_in(self.session, there.facts.key) if links else {}
        return dirs, [LinkRecord(name, to) for name, to in sorted(own.items())]

    def _walk(self, layout: Layout, source: Source, *, make: bool = False) -> Iterator[_There]:
        """The directories of a source that lie on the drive (with `make`, the topmost is as good as there)."""
        root = facts_of(self.session, source.key, b"")
        if root is None:
            return
        waiting = [root]
        while waiting:
            facts = waiting.pop()
            where = layout.place_directory(source.key, facts.path)
            found = self._mode(where)
            if found is None and not (make and not facts.path):
                continue
            mode, group = (_OWNER, -1) if found is None else found
            wanted = mode
            if facts.mode is not None:
                wanted = permitted(facts.mode, group, os.path.join(source.path, facts.path)) | _OWNER
            if not facts.path and is_shut_away(source.path):
                wanted = _OWNER
            yield _There(source, facts, where, mode, wanted)
            waiting += subdirectories(self.session, facts.key)

    def _mode(self, where: bytes) -> tuple[int, int] | None:
        """The permissions and the group of a directory on the drive; None where there is none."""
        known = self._modes.get(where)
        if known is not None:
            return known
        status = self.drive.root.stat(where)
        if status is None or not stat.S_ISDIR(status.st_mode):
            return None
        return stat.S_IMODE(status.st_mode), status.st_gid

    def _tell_private(self) -> Iterator[Event]:
        shut = [source.key for source in self.sources if is_shut_away(source.path)]
        count = private_files_on(self.session, self.drive.target.key, shut)
        if count:
            yield Warned(
                "private-files-readable", files=count, target=self.drive.target.name, kind=self.drive.filesystem.kind
            )


def permitted(mode: int, group: int, original: bytes) -> int:
    """The permissions a copy with this group may have: those of its original, or where that has another group (or
    can't be looked at) what everybody may."""
    least = disk.in_any_group(mode)
    if least == mode:
        return mode
    try:
        return mode if os.lstat(original).st_gid == group else least
    except OSError:
        return least


def is_shut_away(path: bytes) -> bool:
    """Whether a directory above `path` lets only some people through, so that what is below is private to them."""
    above = names.and_above(os.path.dirname(os.path.realpath(path)))
    try:
        return not all(os.stat(one).st_mode & stat.S_IXOTH for one in above)
    except OSError:
        return True
