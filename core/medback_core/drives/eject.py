"""Take a drive out: all that is written is on it, it is unmounted, and powered off where that can be had."""

from __future__ import annotations

import os
from collections.abc import Iterator

from medback_core import disk, names
from medback_core.drives.drive import identity_at
from medback_core.drives.open import resolve_target
from medback_core.errors import Refused
from medback_core.model import EjectSummary, Event
from medback_core.session import Session


def eject(session: Session, word: str) -> Iterator[Event]:
    """Unmount the drive of a target (`word`: label, id or directory); ends with an EjectSummary.

    Raises Refused where it is not plugged in, while a medback works on it ("locked"), where it is a directory of a file
    system that holds other things too, and ("busy", with what keeps it) where it can't be unmounted, or is mounted at
    another place too: it stays as it was.
    """
    target, path = resolve_target(session, word)
    if path is None:
        raise Refused("not-plugged-in", target=word if target is None else target.name)
    identity = identity_at(path)
    label = identity.label if target is None and identity is not None else "" if target is None else target.name
    called = label or names.text(path)
    filesystem = disk.describe(path)
    if os.path.realpath(path) != filesystem.mount_point or filesystem.mount_point == b"/":
        raise Refused("not-a-drive", name=called, mount=filesystem.mount_point)
    with disk.Root(path) as root, disk.lock_drive(root):
        disk.sync_drive(root)
    try:
        powered_off = disk.take_out(filesystem)
    except disk.Busy as busy:
        what = "busy/mounts" if busy.mounts else "busy/users" if busy.users else "busy"
        facts = {"users": tuple(busy.users), "mounts": tuple(busy.mounts)}
        raise Refused(what, name=called, reason=busy.reason, **facts) from busy
    yield EjectSummary(label, path, powered_off)
