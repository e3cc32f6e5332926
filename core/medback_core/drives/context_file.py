"""The restore context every target carries: from any surviving drive one learns all that existed and where it lies."""

from __future__ import annotations

import os

from medback_core import disk
from medback_core.context import foreign_sections
from medback_core.contexts.write import context_of
from medback_core.drives.open import Drive
from medback_core.errors import Refused
from medback_core.model import CONTEXT_NAME
from medback_core.session import Session, list_sources, list_targets

CONTEXTS_KEPT = (CONTEXT_NAME, b".medback-context-1.xml", b".medback-context-2.xml")
_CHUNK = 1 << 20


def write_contexts(session: Session, drive: Drive) -> None:
    """Write the session's context onto the drive; the last three are kept. Sections of sources this session does not
    know are kept word for word. Raises OSError; an old context is then still there."""
    drive.check()
    root = drive.root
    known = {source.id for source in list_sources(session)} | {t.id for t in list_targets(session, unknown=True)}
    with disk.Group(root, group_sync=False) as group:
        foreign = _foreign(root, known)
        staged = group.stage_stream(CONTEXT_NAME, context_of(session, foreign=foreign))
        group.flush()
        if _is_current(root, staged.identity.size, staged.identity.md5):
            return
        _keep_older(root)
        for _, error in group.publish():
            if error is not None:
                raise error


def _keep_older(root: disk.Root) -> None:
    """Make the context that is there the first of the older ones. It is copied, not moved: at every instant there is a
    whole one under the name people look for. Raises OSError."""
    try:
        fd, _ = root.open_file(CONTEXT_NAME)
    except FileNotFoundError:
        return
    with os.fdopen(fd, "rb") as stream, disk.Group(root, group_sync=False) as group:
        if root.stat(CONTEXTS_KEPT[1]) is not None:
            oldest = root.stat(CONTEXTS_KEPT[2])
            if oldest is not None:
                disk.remove(root, CONTEXTS_KEPT[2], expect=oldest)
            disk.move(root, CONTEXTS_KEPT[1], CONTEXTS_KEPT[2])
        group.stage_stream(CONTEXTS_KEPT[1], iter(lambda: stream.read(_CHUNK), b""))
        for _, error in group.publish():
            if error is not None:
                raise error


def _foreign(root: disk.Root, known: set[str]) -> list[bytes]:
    """Sections of other sessions in the newest context that can be read."""
    for name in CONTEXTS_KEPT:
        try:
            fd, _ = root.open_file(name)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as stream:
            try:
                return list(foreign_sections(stream, known))
            except Refused:
                continue  # damaged: an older one may still have them
    return []


def _is_current(root: disk.Root, size: int, md5: bytes) -> bool:
    there = root.stat(CONTEXT_NAME)
    if there is None or there.st_size != size:
        return False
    try:
        return disk.content_on_drive(root, CONTEXT_NAME).md5 == md5
    except OSError:
        return False
