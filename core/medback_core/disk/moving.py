"""Single durable changes: write one file whole, move, remove, link, and clean up after a run that was killed."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from medback_core.disk import primitives
from medback_core.disk.group import Group
from medback_core.disk.root import Root
from medback_core.model import SIDECAR_NAME, TEMPORARY_PREFIX

TEMPORARY = re.compile(re.escape(TEMPORARY_PREFIX) + rb"[0-9a-f]{12}(?P<final>\.medback.*)?", re.DOTALL)
_SIDECAR_MAX = 1 << 30


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
        for _, error in group.publish():
            if error is not None:
                raise error
    return True


def move(root: Root, old_rel: bytes, new_rel: bytes) -> None:
    """Rename inside a root, durably, never replacing anything (FileExistsError); parents of the new name are made.
    Raises OSError, and then the file is still under its old name or, if only syncing failed, under the new one."""
    old_directory, old_name = root.split(old_rel)
    new_directory, new_name = root.split(new_rel)
    made = root.make_directories(new_directory)
    with root.directory(old_directory) as source, root.directory(new_directory) as destination:
        primitives.rename_noreplace(source, old_name, destination, new_name)
        root.forget_directory(old_rel)
        primitives.fsync_directory(destination)
        for path in reversed(made):
            primitives.fsync_directory(root.open_directory(path.rpartition(b"/")[0]))
        if source != destination:
            primitives.fsync_directory(source)


def remove(root: Root, rel: bytes, *, expect: os.stat_result) -> None:
    """Unlink a file (or link) that is still the very one the caller looked at: inode, size and mtime are compared
    immediately before. Raises OSError: ESTALE when it is another one now, EISDIR for a directory, FileNotFoundError.
    Not synced: a name that comes back after a power cut does no harm."""
    directory, name = root.split(rel)
    with root.directory(directory) as handle:
        found = root.stat(rel)
        if found is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), rel)
        if stat.S_ISDIR(found.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), rel)
        if _sight(found) != _sight(expect):
            raise OSError(errno.ESTALE, "changed since it was looked at", rel)
        primitives.unlink(handle, name)


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
    adopted: bool = False  # a whole temporary sidecar became the sidecar
    failed: int = 0  # could not be removed; harmless, tried again next time


def clean_temporaries(
    root: Root, rel: bytes, names: Iterable[bytes], is_whole: Callable[[bytes], bool] = lambda data: False
) -> Cleaned:
    """Remove what a killed run left in a directory, of the `names` that are there; only under the drive's lock.

    When the directory has no sidecar, the newest temporary sidecar that `is_whole` holds to be complete is adopted
    first (a power cut on a file system without a journal can lose a name, never both files). Only regular files whose
    whole name is one of medback's temporary names are touched. Raises OSError when adopting fails.
    """
    found: list[tuple[bytes, os.stat_result]] = []
    prefix = rel + b"/" if rel else b""
    for name in names:
        if TEMPORARY.fullmatch(name) is None:
            continue
        status = root.stat(prefix + name)
        if status is not None and stat.S_ISREG(status.st_mode):
            found.append((name, status))
    if not found:
        return Cleaned()
    with root.directory(rel) as handle:
        adopted = _adopt(root, prefix, handle, found, is_whole)
        removed = failed = 0
        for name, _ in found:
            if name == adopted:
                continue
            try:
                primitives.unlink(handle, name)
                removed += 1
            except OSError:
                failed += 1
    return Cleaned(removed, adopted is not None, failed)


def _adopt(
    root: Root, prefix: bytes, handle: int, found: list[tuple[bytes, os.stat_result]], is_whole: Callable[[bytes], bool]
) -> bytes | None:
    """Make the newest whole temporary sidecar the sidecar; its name, or None."""
    if root.stat(prefix + SIDECAR_NAME) is not None:
        return None
    for name, _ in sorted(found, key=lambda item: item[1].st_mtime_ns, reverse=True):
        match = TEMPORARY.fullmatch(name)
        if match is None or match["final"] != SIDECAR_NAME:
            continue
        try:
            data = root.read_whole(prefix + name, _SIDECAR_MAX)
        except OSError:
            continue  # can't be read: nothing to adopt
        if is_whole(data):
            primitives.rename_noreplace(handle, name, handle, SIDECAR_NAME)
            primitives.fsync_directory(handle)
            return name
    return None
