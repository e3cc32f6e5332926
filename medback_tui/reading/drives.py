"""Notice which known targets are plugged in, and where. Reads only; meant for a thread."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from medback_core import disk
from medback_core.disk import Mount
from medback_core.drives.drive import locked_here
from medback_core.model import CONTEXT_NAME, TARGET_IDENTITY_NAME, Target

if TYPE_CHECKING:
    from medback_core.drives.story import Story


@dataclass(frozen=True, slots=True)
class Drives:
    """What is plugged in now: where each drive is that says which target it is, by that id, and all mounts a person may
    mean. Not by row key: a drive has another one in the copy of a session that a plan is made in."""

    here: dict[str, bytes] = field(default_factory=dict)
    mounts: tuple[Mount, ...] = ()
    looked: bool = True  # False: not looked at yet
    locked: dict[str, str] = field(default_factory=dict)  # device of the encrypted container that is here and not open
    offers: tuple[Story, ...] = ()  # what drives that are here remember, and this session does not know


class DriveWatch:
    """Looks at the drives again and again, reading an identity file only when it changed."""

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[tuple[int, int, int, int], str | None]] = {}
        self._stories: dict[bytes, tuple[tuple[object, ...], Story | None]] = {}

    def look(self, targets: Iterable[Target]) -> Drives:
        """The drives that are here now. Never raises: what can't be read is not here."""
        targets = list(targets)
        mounts = tuple(disk.removable_mounts())
        places = [target.path for target in targets if target.path] + [mount.path for mount in mounts]
        here: dict[str, bytes] = {}
        for path in dict.fromkeys(places):
            if (found := self._id_at(path)) is not None:
                here.setdefault(found, path)
        return Drives(here, mounts, locked=locked_here(target for target in targets if target.id not in here))

    def stories(self, drives: Drives) -> list[Story]:
        """What the drives that are here remember, each drive once. A context is read only where the identity does not
        tell, and only when it changed. Never raises."""
        from medback_core.drives.story import story_at

        found: dict[str | bytes, Story] = {}
        for path in dict.fromkeys([*drives.here.values(), *(mount.path for mount in drives.mounts)]):
            stamp = tuple(_sight(os.path.join(path, name)) for name in (TARGET_IDENTITY_NAME, CONTEXT_NAME))
            known = self._stories.get(path)
            if known is None or known[0] != stamp:
                known = self._stories[path] = (stamp, story_at(path) if any(stamp) else None)
            if known[1] is not None:
                found.setdefault(known[1].id or path, known[1])
        return list(found.values())

    def _id_at(self, path: bytes) -> str | None:
        file = os.path.join(path, TARGET_IDENTITY_NAME)
        stamp = _sight(file)
        if stamp is None:
            self._known.pop(path, None)
            return None
        known = self._known.get(path)
        if known is None or known[0] != stamp:
            from medback_core.drives.open import identity_at

            identity = identity_at(path)
            known = self._known[path] = (stamp, (identity.id or None if identity is not None else None))
        return known[1]


def _sight(path: bytes) -> tuple[int, int, int, int] | None:
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size
