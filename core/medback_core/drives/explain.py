"""The two files at a drive's root that explain it: a page in plain words, and a program that restores without medback.

They are never run or read by medback, and they are no content of the drive.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

from medback_core import disk
from medback_core.drives.drive import Drive
from medback_core.model import README_NAME, RESTORE_PROGRAM_NAME, Event, Warned
from medback_core.names import within

_MARK = b"Written by medback"  # in the first lines of both
_MARK_WITHIN = 200
_LIMIT = 1 << 20


def explain(drive: Drive) -> Iterator[Event]:
    """Bring both files up to date, durably, or remove them where the drive's identity says `readme="no"`.

    A file of that name that medback did not write is left as it is. What can't be written is told: nothing depends on
    it.
    """
    for name, data in _explanation().items():
        try:
            if not _may_replace(drive, name):
                continue
            if drive.identity.readme:
                disk.write_whole(drive.root, name, data)
            elif (status := drive.root.stat(name)) is not None:
                disk.remove(drive.root, name, expect=status)
        except OSError as error:
            yield Warned("not-written", path=within(drive.root.path, name), error=error.strerror)


def explanation_sizes(drive: Drive) -> list[int]:
    """The bytes of each of the two files that is still to be written to this drive."""
    if not drive.identity.readme:
        return []
    return [len(data) for name, data in _explanation().items() if drive.root.stat(name) is None]


@cache
def _explanation() -> dict[bytes, bytes]:
    from importlib import resources

    folder = resources.files("medback_core.drives") / "explanation"
    return {name: (folder / name.decode()).read_bytes() for name in (README_NAME, RESTORE_PROGRAM_NAME)}


def _may_replace(drive: Drive, name: bytes) -> bool:
    """Whether there is nothing of that name, or a file that medback wrote. Raises OSError."""
    if drive.root.stat(name) is None:
        return drive.identity.readme
    return _MARK in drive.root.read_whole(name, _LIMIT)[:_MARK_WITHIN]
