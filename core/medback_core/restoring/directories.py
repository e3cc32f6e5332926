"""Give the directories a restore made the permissions and times of their originals, when all is in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import suppress

from medback_core import disk, names
from medback_core.errors import Refused
from medback_core.model import Event, Warned
from medback_core.restoring.destinations import Destination, open_destination
from medback_core.session import Session
from medback_core.session.directories import forget_making, in_making, note_making, wanted_directories

_OWNER = 0o700


def note_missing(session: Session, destination: Destination, root: disk.Root | None, only: bytes | None) -> None:
    """Keep in mind which directories are not there yet: those this restore will make. They alone are given anything,
    also by the restore that goes on after this one was killed."""
    missing: list[tuple[bytes, int, int]] = []
    absent: set[bytes] = set()
    for path, mode, mtime_ns in wanted_directories(session, destination.source.key, only):
        rel = destination.rel(path) if path else destination.prefix
        if path and path.rpartition(b"/")[0] in absent:
            is_there = False
        else:
            try:
                status = None if root is None else root.stat(rel)
                is_there = status is not None and stat.S_ISDIR(status.st_mode)
            except OSError:
                is_there = True  # whatever it is, it is not ours
        if not is_there:
            absent.add(path)
            missing.append((names.within(destination.directory, rel) if rel else destination.directory, mode, mtime_ns))
    note_making(session, missing)


def finish_directories(session: Session, destinations: Iterable[Destination], *, whole: bool) -> Iterator[Event]:
    """Give what was noted and exists now its permissions and time. Until the restore is `whole` its owner may write
    there, and the next one gives it again."""
    done: list[bytes] = []
    failed: dict[bytes, OSError] = {}
    for directory in dict.fromkeys(destination.directory for destination in destinations):
        noted = in_making(session, directory)
        root = None
        with suppress(Refused):  # that was told when nothing could be put there
            root = open_destination(directory) if noted else None
        if root is None:
            continue
        with root, disk.lock_drive(root):
            for path, mode, mtime_ns in noted:
                rel = names.below(path, directory) or b""
                try:
                    status = root.stat(rel)
                    if status is None or not stat.S_ISDIR(status.st_mode):
                        continue
                    given = mode if whole else mode | _OWNER
                    if not root.file_system.has_modes:
                        given = stat.S_IMODE(status.st_mode)
                    disk.set_directory(root, rel, mode=given, mtime_ns=mtime_ns)
                    done.append(path)
                except OSError as error:
                    failed[path] = error
            disk.sync_drive(root)
    if whole:
        forget_making(session, [*done, *failed])
    if failed:
        path, error = next(iter(failed.items()))
        yield Warned(
            "permissions-not-set",
            path=os.path.normpath(path),
            directories=len(failed),
            error=error.strerror or str(error),
        )
