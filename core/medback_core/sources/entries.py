"""What lies in one directory of a source, sorted by what a scan does with it, and what to say of one that is closed."""

from __future__ import annotations

import os
import stat
from collections.abc import Container, Iterable
from dataclasses import dataclass, field

from medback_core import disk
from medback_core.model import Excluded, Reason, Skipped, is_metadata

_LOST_AND_FOUND = b"lost+found"
_FORMAT = 0o170000
_DOT = ord(".")
_SPECIAL = {
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(slots=True)
class Entries:
    """The entries of one directory. `failed` could not be looked at; medback's own are in `metadata` alone."""

    files: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    directories: list[tuple[bytes, os.stat_result]] = field(default_factory=list)
    links: list[bytes] = field(default_factory=list)
    special: list[tuple[bytes, str]] = field(default_factory=list)
    failed: list[tuple[bytes, OSError]] = field(default_factory=list)
    metadata: dict[bytes, os.stat_result] = field(default_factory=dict)
    read: list[tuple] = field(default_factory=list)  # files that were read as they were listed: the rows they get

    @property
    def empty(self) -> bool:
        """Whether there is nothing at all, nothing of medback's either."""
        files = self.files or self.read
        return not (files or self.directories or self.links or self.special or self.failed or self.metadata)

    def names(self) -> set[bytes]:
        """The names of all that is content, of whatever kind."""
        groups = self.files, self.read, self.directories, self.special, self.failed
        return {entry[0] for group in groups for entry in group}.union(self.links)


def list_directory(root: disk.Root, rel: bytes, unasked: Container[bytes] = frozenset()) -> Entries:
    """Look at every entry once, but for those `unasked`. Raises OSError when the directory can't be read to its end."""
    return sort_entries(root.scan(rel, unasked))


def sort_entries(entries: Iterable[tuple[bytes, os.stat_result | OSError]], read: list[tuple] | None = None) -> Entries:
    """The entries of a directory by what they are; `read` as in Entries."""
    found = Entries(read=read or [])
    files = found.files
    for name, status in entries:
        if name[0] == _DOT and is_metadata(name):
            if not isinstance(status, OSError):
                found.metadata[name] = status
            continue
        if isinstance(status, OSError):
            found.failed.append((name, status))
            continue
        kind = status.st_mode & _FORMAT
        if kind == stat.S_IFREG:
            files.append((name, status))
        elif kind == stat.S_IFDIR:
            found.directories.append((name, status))
        elif kind == stat.S_IFLNK:
            found.links.append(name)
        else:
            found.special.append((name, _SPECIAL.get(kind, "neither a file nor a directory")))
    return found


def cannot_read(rel: bytes, path: bytes, error: OSError) -> Skipped | Excluded:
    """What to say of a directory that can't be read, by its path below the root and the one to be shown.

    File systems keep a `lost+found` at their root that only the superuser may read, and nothing of the person's is in
    it: left out by rule, or every backup of every ordinary user would end with a failure.
    """
    if rel == _LOST_AND_FOUND and isinstance(error, PermissionError):
        return Excluded(path, "belongs to the file system")
    return Skipped(path, Reason.system(error))
