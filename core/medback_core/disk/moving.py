"""Single durable changes: write one file whole, move, remove, link, and clean up after a run that was killed."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from medback_core.disk import portable, primitives
from medback_core.disk.causes import Changed
from medback_core.disk.group import Group
from medback_core.disk.root import Root
from medback_core.model import FREEING_PREFIX, TEMPORARY_PREFIX

TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + rb"[0-9a-f]{12}(?P<final>\.medback.*)?", re.DOTALL)
_OWN_MAX = 1 << 30


def write_whole(root: Root, rel: bytes, data: bytes, *, mode: int = 0o666) -> bool:
    """Replace one of medback's own files, atomically and durably; parents are made. `mode` less umask.

    Does nothing and returns False when the file holds exactly `data` already; else True. Raises OSError, and then the
    old file is still there, whole.
    """
    try:
        if root.read_whole(rel, len(data)) == data:
            return False
    except OSError:
        pass  # missing, longer, unreadable or no file: all are reasons to write it, and that will say what is wrong
    with Group(root, group_sync=False) as group:
        group.stage_bytes(rel, data, mode=mode)
        group.publish_all()
    return True


def move(root: Root, old_rel: bytes, new_rel: bytes) -> None:
    """Rename inside a root, durably, never replacing anything (FileExistsError); parents of the new name are made.
    Raises OSError, and then the file is still under its old name or, if only syncing failed, under the new one."""
    old_directory, old_name = root.split(old_rel)
    new_directory, new_name = root.split(new_rel)
    made = root.make_directories(new_directory)
    with root.directory(old_directory) as source, root.directory(new_directory) as destination:
        for path in made:  # first: a durable name in a directory that is not durable is none
            primitives.fsync_directory(root.open_directory(path.rpartition(b"/")[0]))
        primitives.rename_noreplace(source, old_name, destination, new_name)
        root.forget_directory(old_rel)
        primitives.fsync_directory(destination)
        if source != destination:
            primitives.fsync_directory(source)


def remove(root: Root, rel: bytes, *, expect: os.stat_result) -> None:
    """Unlink a file (or link) that is still the very one the caller looked at: inode, size and mtime are compared
    immediately before. Raises OSError: Changed when it is another one now, EISDIR for a directory, FileNotFoundError.
    Not synced: a name that comes back after a power cut does no harm."""
    directory, name = root.split(rel)
    with root.directory(directory) as handle:
        _check_still(root, rel, expect)
        primitives.unlink(handle, name)


def remove_before(root: Root, rel: bytes, *, expect: os.stat_result, is_there: Callable[[], bool]) -> None:
    """Unlink a copy as `remove` does, if another one still is there once this one has lost its name: were both one
    file under two paths, the other would be gone then.

    A kill in between leaves the file whole under `freeing_name`, for `put_back`; nothing ever removes such a file but
    this function. Raises OSError like `remove`, and Changed when the other copy is gone; this one has its name then.
    """
    directory, name = root.split(rel)
    with root.directory(directory) as handle:
        _check_still(root, rel, expect)
        freeing = freeing_name(name)
        primitives.rename_noreplace(handle, name, handle, freeing)
        gone = False
        try:
            gone = is_there()
        finally:
            if not gone:
                primitives.rename_noreplace(handle, freeing, handle, name)
        if not gone:
            raise Changed(rel, "the other copy is gone, or is this very file")
        primitives.unlink(handle, freeing)


def _check_still(root: Root, rel: bytes, expect: os.stat_result) -> None:
    """Raise what `remove` raises where something else lies there, or nothing."""
    found = root.stat(rel)
    if found is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), rel)
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), rel)
    if _sight(found) != _sight(expect):
        raise Changed(rel, "changed since it was looked at")


def freeing_name(name: bytes) -> bytes:
    """What a copy is called between losing its name and being removed: as long for every name, the same each time."""
    return FREEING_PREFIX + hashlib.md5(name, usedforsecurity=False).hexdigest()[:12].encode()


def put_back(root: Root, rel: bytes, names: Iterable[bytes], recorded: Iterable[bytes]) -> list[bytes]:
    """Give what a killed `remove_before` left in a directory its name again; only under the drive's lock. `names` are
    those that are there, `recorded` those that should be. Where none of them was its name, or that is taken, it gets
    one that says what it is. Returns the new names. Raises OSError."""
    names = set(names)
    left = [name for name in names if name.startswith(FREEING_PREFIX)]
    if not left:
        return []
    called = {freeing_name(name): name for name in recorded}
    given: list[bytes] = []
    with root.directory(rel) as handle:
        for name in sorted(left):
            goal, number = called.get(name, b""), 0
            while not goal or goal in names:
                number += 1
                goal = b"recovered-%s-%d" % (name.removeprefix(FREEING_PREFIX), number)
            primitives.rename_noreplace(handle, name, handle, goal)
            names.add(goal)
            given.append(goal)
        primitives.fsync_directory(handle)
    return given


def _sight(status: os.stat_result) -> tuple[int, int, int, int, int]:
    return (status.st_dev, status.st_ino, stat.S_IFMT(status.st_mode), status.st_size, status.st_mtime_ns)


def remove_empty_directory(root: Root, rel: bytes) -> bool:
    """Remove a directory if it is empty; whether it was. Raises OSError for any other reason it can't be removed."""
    directory, name = root.split(rel)
    root.forget_directory(rel)
    try:
        primitives.rmdir(root.open_directory(directory), name)
    except OSError as error:
        if error.errno in (errno.ENOTEMPTY, errno.EEXIST):
            return False
        raise
    return True


def set_directory(root: Root, rel: bytes, *, mode: int, mtime_ns: int | None = None) -> None:
    """Give a directory permission bits and, where given, its time. What the file system can't hold is no failure.
    Raises OSError, also where it belongs to another user (EPERM)."""
    with root.directory(rel) as handle:
        status = portable.stat_directory(handle)
        if mtime_ns is not None and status.st_mtime_ns != mtime_ns:
            _where_it_can(lambda: primitives.utime(handle, status.st_atime_ns, mtime_ns))
        if stat.S_IMODE(status.st_mode) != mode:
            _where_it_can(lambda: primitives.chmod(handle, mode))


def set_file_mode(root: Root, rel: bytes, mode: int) -> None:
    """Give a file permission bits, as `set_directory` does. Raises OSError."""
    fd, status = root.open_file(rel)
    try:
        if stat.S_IMODE(status.st_mode) != mode:
            _where_it_can(lambda: primitives.chmod(fd, mode))
    finally:
        os.close(fd)


def _where_it_can(change: Callable[[], None]) -> None:
    try:
        change()
    except OverflowError:
        pass  # a time this system can't hold
    except OSError as error:
        if error.errno not in primitives.UNSUPPORTED:
            raise


def make_symlink(root: Root, rel: bytes, to: bytes) -> None:
    """Make a symbolic link, never replacing anything (FileExistsError); parents are made. Raises OSError (EPERM where
    the file system knows no links). Not durable before `sync_drive`."""
    directory, name = root.split(rel)
    root.make_directories(directory)
    primitives.symlink(to, root.open_directory(directory), name)


def sync_drive(root: Root) -> None:
    """Make single changes (links, removals) durable: syncfs where that is sound, elsewhere as far as the system goes.
    Raises OSError."""
    if root.file_system.group_sync:
        primitives.syncfs(root.fd)
    else:
        primitives.sync_all()


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What clean_temporaries did in one directory."""

    removed: int = 0
    adopted: tuple[bytes, ...] = ()  # names that whole temporary files were given
    failed: int = 0  # could not be removed; harmless, tried again next time


def clean_temporaries(
    root: Root, rel: bytes, names: Iterable[bytes], is_whole: Callable[[bytes, bytes], bool] = lambda name, data: False
) -> Cleaned:
    """Remove what a killed run left in a directory, of the `names` that are there; only under the drive's lock.

    Where a file of medback's own is missing, the newest temporary one that `is_whole` (its name, its bytes) holds to be
    complete is adopted first (a power cut on a file system without a journal can lose a name, never both files). Only
    regular files whose whole name is one of medback's temporary names are touched. Raises OSError when adopting fails.
    """
    prefix = rel + b"/" if rel else b""
    found = _temporaries(root, prefix, names)
    if not found:
        return Cleaned()
    adopted: dict[bytes, bytes] = {}  # temporary name -> the name it was given
    with root.directory(rel) as handle:
        for name, final in found:
            missing = final and root.stat(prefix + final) is None
            if missing and _is_whole_file(root, prefix + name, final, is_whole):
                primitives.rename_noreplace(handle, name, handle, final)
                primitives.fsync_directory(handle)
                adopted[name] = final
        removed = failed = 0
        for name, _ in found:
            if name in adopted:
                continue
            try:
                primitives.unlink(handle, name)
                removed += 1
            except OSError:
                failed += 1
    return Cleaned(removed, tuple(adopted.values()), failed)


def read_own(root: Root, name: bytes, limit: int, is_whole: Callable[[bytes, bytes], bool]) -> bytes:
    """All bytes of one of medback's own files at the root; where it is missing, those of the temporary one that
    `clean_temporaries` will adopt. Raises OSError, FileNotFoundError where there is neither."""
    try:
        return root.read_whole(name, limit)
    except FileNotFoundError:
        for temporary, final in _temporaries(root, b"", [entry for entry, _ in root.scan(b"")]):
            if final == name and _is_whole_file(root, temporary, name, is_whole):
                return root.read_whole(temporary, limit)
        raise


def _temporaries(root: Root, prefix: bytes, names: Iterable[bytes]) -> list[tuple[bytes, bytes]]:
    """(name, the name it was to be given, b"" for content) of every temporary file among these, the newest first."""
    found: list[tuple[int, bytes, bytes]] = []
    for name in names:
        match = TEMPORARY.fullmatch(name)
        status = root.stat(prefix + name) if match is not None else None
        if match is not None and status is not None and stat.S_ISREG(status.st_mode):
            found.append((status.st_mtime_ns, name, match["final"] or b""))
    return [(name, final) for _, name, final in sorted(found, reverse=True)]


def _is_whole_file(root: Root, rel: bytes, final: bytes, is_whole: Callable[[bytes, bytes], bool]) -> bool:
    try:
        return is_whole(final, root.read_whole(rel, _OWN_MAX))
    except OSError:
        return False  # can't be read: nothing to adopt
