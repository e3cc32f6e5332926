"""Reach everything below one open directory without ever leaving it: each component opened, no link followed."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections import OrderedDict
from collections.abc import Container, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Self

from medback_core.disk import filesystem, mounts, portable, primitives
from medback_core.disk.filesystem import FileSystem

_KEPT_OPEN = 64


class _Held:
    """A directory handle that stays open, and how many hold it."""

    __slots__ = ("fd", "holders")

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.holders = 1


class Root:
    """An open directory and what lies below it.

    Relative paths are bytes components joined by b"/"; b"" is the root itself. Empty components, `.`, `..` and NUL are
    refused with OSError(EINVAL), so that no path can lead outside. The path given may contain links; below it none is
    followed. Because all is reached from the open directory, a drive that is unmounted under way never leads to
    writing on the disk underneath. For one thread at a time (descriptors it hands out may be used by any).
    """

    def __init__(self, path: bytes, *, across: bool = False) -> None:
        """Open the directory. `across`: what is mounted below belongs to it and may be written to, as in a source, and
        never on a drive. Raises OSError (FileNotFoundError, NotADirectoryError, PermissionError …)."""
        self.path = path
        self.across = across
        self.fd = portable.open_root(path)
        status = portable.stat_directory(self.fd)
        self.device = status.st_dev
        self.inode = status.st_ino
        self._held: dict[bytes, _Held] = {}
        self._idle: OrderedDict[bytes, int] = OrderedDict()  # handles that are not held, the one used last at the end
        self._still_held: dict[bytes, int] = {}  # forgotten directories that are still held, and how many times
        self._to_close: list[int] = []  # their handles: closing one in use would let its number mean another file
        self._file_system: FileSystem | None = None

    @classmethod
    def made(cls, path: bytes, mode: int = 0o700, *, across: bool = False) -> Self:
        """Make a directory, with `mode` less umask, and its parents (0755 at most) where missing, and open it. Raises
        OSError."""
        above = path
        while not os.path.lexists(above):
            above = os.path.dirname(above)
        if above != path:
            with cls(above) as root:
                rel = os.path.relpath(path, above)
                root.make_directories(os.path.dirname(rel), 0o755)
                root.make_directories(rel, mode)
        return cls(path, across=across)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close all that is open, held or not. Closing twice is harmless."""
        for fd in (*self._idle.values(), *(entry.fd for entry in self._held.values()), *self._to_close):
            portable.close_directory(fd)
        self._idle.clear()
        self._held.clear()
        self._to_close.clear()
        self._still_held.clear()
        if self.fd != -1:
            portable.close_directory(self.fd)
            self.fd = -1

    @property
    def file_system(self) -> FileSystem:
        """What the file system can do, as described when first asked (its free space is of that moment). Raises
        OSError, with ESTALE when the path leads to another drive by now, or to none."""
        if self._file_system is None:
            try:
                described = filesystem.describe(self.path)
            except FileNotFoundError as error:
                raise OSError(errno.ESTALE, "what was mounted here is gone", self.path) from error
            if described.device != self.device:
                raise OSError(errno.ESTALE, "another drive is mounted here now", self.path)
            self._file_system = described
        return self._file_system

    @cached_property
    def spins(self) -> bool:
        """Whether it lies on a disk that spins, or may: then large files are read or written one by one."""
        return mounts.spins(mounts.block_device(self.file_system.device, self.file_system.source))

    def free_bytes(self) -> int | None:
        """Bytes free on its drive now; None where that can't be asked."""
        room = self._room()
        return None if room is None else room.f_bavail * room.f_frsize

    def lacks_inodes(self) -> bool:
        """Whether its drive has room for bytes and none for another file."""
        room = self._room()
        return room is not None and room.f_files > 0 and room.f_favail == 0 and room.f_bavail > 0

    def _room(self) -> os.statvfs_result | None:
        if sys.platform == "win32":
            return None
        try:
            return os.fstatvfs(self.fd)
        except OSError:  # gone
            return None

    def is_same_drive(self) -> bool:
        """Whether the path still leads to this very directory: the drive was not unmounted, swapped or replaced."""
        try:
            status = os.stat(self.path)
        except OSError:
            return False
        return (status.st_dev, status.st_ino) == (self.device, self.inode)

    # --- directories -----------------------------------------------------------------------------------------------

    def open_directory(self, rel: bytes) -> int:
        """A handle on a directory, opened component by component, no link followed.

        The handle belongs to this Root and stays good only until other directories are opened: use it at once, or
        `directory`/`hold_directory` it. Raises FileNotFoundError, NotADirectoryError (also for a link), OSError.
        """
        if not rel:
            return self.fd
        known = self._known(rel)
        if known is not None:
            return known
        components = rel.split(b"/")
        for component in components:
            _check(component)
        start, fd = self._nearest(components)
        for count in range(start + 1, len(components) + 1):  # those above stay open too, for what lies beside it
            fd = portable.open_directory_at(fd, components[count - 1])
            self._idle[b"/".join(components[:count])] = fd
        while len(self._idle) > _KEPT_OPEN:
            portable.close_directory(self._idle.popitem(last=False)[1])
        return fd

    def _known(self, rel: bytes) -> int | None:
        """The handle on a directory that is open already."""
        held = self._held.get(rel)
        if held is not None:
            return held.fd
        fd = self._idle.get(rel)
        if fd is not None:
            self._idle.move_to_end(rel)
        return fd

    def _nearest(self, components: list[bytes]) -> tuple[int, int]:
        """How many leading components an open directory covers, and its handle."""
        for count in range(len(components) - 1, 0, -1):
            fd = self._known(b"/".join(components[:count]))
            if fd is not None:
                return count, fd
        return 0, self.fd

    def hold_directory(self, rel: bytes) -> int:
        """Like open_directory, and the handle stays good until as many `release_directory(rel)`."""
        fd = self.open_directory(rel)
        held = self._held.get(rel)
        if held is not None:
            held.holders += 1
        elif rel:
            self._held[rel] = _Held(self._idle.pop(rel))
        return fd

    def release_directory(self, rel: bytes) -> None:
        """Give back what hold_directory gave. Harmless after close."""
        if rel in self._still_held:
            self._still_held[rel] -= 1
            if self._still_held[rel] == 0:
                del self._still_held[rel]
            return
        held = self._held.get(rel)
        if held is None:
            return
        held.holders -= 1
        if held.holders == 0:
            self._idle[rel] = self._held.pop(rel).fd

    @contextmanager
    def directory(self, rel: bytes) -> Iterator[int]:
        """A handle that stays good inside the `with`."""
        fd = self.hold_directory(rel)
        try:
            yield fd
        finally:
            self.release_directory(rel)

    def forget_directory(self, rel: bytes) -> None:
        """Drop cached handles on a directory and all below: it was moved or removed. One that is held stays good for
        its holder, and is closed with the root."""
        below = rel + b"/"
        for known in [known for known in self._idle if known == rel or known.startswith(below)]:
            portable.close_directory(self._idle.pop(known))
        for known in [known for known in self._held if known == rel or known.startswith(below)]:
            entry = self._held.pop(known)
            self._still_held[known] = self._still_held.get(known, 0) + entry.holders
            self._to_close.append(entry.fd)

    def make_directories(self, rel: bytes, mode: int = 0o700) -> list[bytes]:
        """Make a directory and its parents where missing; what was made, outermost first. Not yet durable. They are
        their owner's alone until `set_directory` says otherwise.

        Raises OSError: NotADirectoryError when a file or link is in the way.
        """
        missing: list[bytes] = []
        here = rel
        while True:
            try:
                self.open_directory(here)
                break
            except FileNotFoundError:
                if not here:
                    raise
                missing.append(here)
                here = here.rpartition(b"/")[0]
        made: list[bytes] = []
        for path in reversed(missing):
            parent, _, name = path.rpartition(b"/")
            try:
                primitives.mkdir(self.open_directory(parent), name, mode)
                made.append(path)
            except FileExistsError:
                pass  # someone else made it just now; opening decides whether it is a directory
            self.open_directory(path)
        return made

    def walk(self, top: bytes = b"") -> Iterator[tuple[bytes, dict[bytes, os.stat_result | OSError], OSError | None]]:
        """A directory and all below it in path order, links not followed: its path, its entries as `scan` has them but
        in name order, and why they are not all. It goes on into those on this file system that are still among the
        entries, in their order, once the caller is done with them."""
        waiting = [top]
        while waiting:
            here = waiting.pop()
            found: list[tuple[bytes, os.stat_result | OSError]] = []
            failure = None
            try:
                found.extend(self.scan(here))
            except OSError as error:
                failure = error
            entries = dict(sorted(found, key=lambda entry: entry[0]))
            yield here, entries, failure
            for name, status in reversed(entries.items()):
                if isinstance(status, os.stat_result) and stat.S_ISDIR(status.st_mode) and status.st_dev == self.device:
                    waiting.append(here + b"/" + name if here else name)

    def scan(
        self, rel: bytes, unasked: Container[bytes] = frozenset()
    ) -> Iterator[tuple[bytes, os.stat_result | OSError]]:
        """The entries of a directory in the file system's order, each with its lstat or why there is none; those named
        `unasked` are passed over without a look (a server that is gone may never answer).

        Lazy; the directory stays open (a handle of its own) until the iterator ends. Raises OSError when the directory
        can't be opened or read any further.
        """
        handle = portable.again(self.open_directory(rel))
        try:
            with os.scandir(portable.scannable(handle)) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    if name in unasked:
                        continue
                    try:
                        status = entry.stat(follow_symlinks=False)
                    except OSError as error:
                        yield name, error
                    else:
                        yield name, status
        finally:
            portable.close_directory(handle)

    # --- files -----------------------------------------------------------------------------------------------------

    def split(self, rel: bytes) -> tuple[bytes, bytes]:
        """`(directory, name)` of a path below the root. Raises OSError(EINVAL) for what is no such path."""
        directory, slash, name = rel.rpartition(b"/")
        _check(name)
        if slash and not directory:
            raise OSError(errno.EINVAL, "not a path below the root", rel)
        return directory, name

    def open_file(self, rel: bytes) -> tuple[int, os.stat_result]:
        """A descriptor for reading, the caller's to close, and its fstat. Regular files only: OSError(EINVAL)
        otherwise, OSError(ELOOP) for a link; never waits for a FIFO."""
        directory, name = self.split(rel)
        fd = portable.open_for_reading(self.open_directory(directory), name)
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode):
                raise OSError(errno.EINVAL, "not a regular file", rel)
        except BaseException:
            os.close(fd)
            raise
        return fd, status

    def stat(self, rel: bytes) -> os.stat_result | None:
        """The lstat of an entry; None when it, or a directory on the way, is missing. Raises OSError else."""
        if not rel:
            return portable.stat_directory(self.fd)
        directory, name = self.split(rel)
        try:
            path, dir_fd = portable.place(self.open_directory(directory), name)
            return os.stat(path, dir_fd=dir_fd, follow_symlinks=False)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def read_whole(self, rel: bytes, limit: int) -> bytes:
        """All bytes of a small file. Raises OSError, with EFBIG when it has more than `limit` bytes."""
        fd, status = self.open_file(rel)
        try:
            if status.st_size > limit:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), rel)
            parts: list[bytes] = []
            left = limit + 1
            while left > 0:
                part = os.read(fd, min(left, max(status.st_size + 1, 65536)))
                if not part:
                    return parts[0] if len(parts) == 1 else b"".join(parts)
                parts.append(part)
                left -= len(part)
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), rel)
        finally:
            os.close(fd)

    def readlink(self, rel: bytes) -> bytes:
        """What a symbolic link says. Raises OSError(EINVAL) for anything else."""
        directory, name = self.split(rel)
        path, dir_fd = portable.place(self.open_directory(directory), name)
        return os.readlink(path, dir_fd=dir_fd)


def _check(component: bytes) -> None:
    if component in (b"", b".", b"..") or b"\0" in component:
        raise OSError(errno.EINVAL, "not a path below the root", component)
