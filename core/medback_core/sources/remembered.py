"""A source that lost its `.medback-source.xml`, and a session that does not know it: the drives may still know it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from medback_core import disk
from medback_core.errors import Refused
from medback_core.model import CONTEXT_NAME, FAMILY_SIDECAR_NAME, SIDECAR_NAME
from medback_core.session import Session
from medback_core.session.sources import source_by_id
from medback_core.session.targets import list_targets
from medback_core.sidecar.source_metadata import RuleFact, SourceMetadata

if TYPE_CHECKING:
    from medback_core.context import SourceStart


@dataclass(slots=True)
class _Section:
    """What a context tells of a source at the path asked for, and how much of that lies there as it says."""

    head: SourceStart
    files: int = 0
    there: int = 0


def remembered_as(session: Session, path: bytes) -> SourceMetadata | None:
    """What the drives that are plugged in know of the source that lay at `path`, where most of its files lie there
    still, by name, size and time. None where no drive does, or no sidecar shows that this ever was a source. Reads the
    contexts of the drives."""
    best: _Section | None = None
    try:
        with disk.Root(path) as root:
            if root.stat(SIDECAR_NAME) is None and root.stat(FAMILY_SIDECAR_NAME) is None:
                return None
            for section in _sections(session, root):
                if 2 * section.there > section.files and (best is None or _date(section) > _date(best)):
                    best = section
    except OSError:
        return None
    if best is None:
        return None
    head = best.head
    return SourceMetadata(
        head.id,
        head.alias,
        head.wanted,
        head.excludes,
        max(head.rev, 1),
        now=head.now,
        elsewhere=head.elsewhere,
        place=head.place or None,
        rules=tuple(RuleFact(rule) for rule in head.rules),
    )


def _date(section: _Section) -> int:
    return 0 if section.head.now is None else section.head.now.at


def _sections(session: Session, root: disk.Root) -> Iterator[_Section]:
    from medback_core.context import FileEntry, SourceStart, read_context  # few sources are to be looked for

    places = [target.path for target in list_targets(session) if target.path is not None]
    places += [mount.path for mount in disk.removable_mounts()]
    for place in dict.fromkeys(places):
        try:
            with disk.Root(place) as drive:
                fd, _ = drive.open_file(CONTEXT_NAME)
            with os.fdopen(fd, "rb") as stream:
                found: list[_Section] = []
                here: _Section | None = None
                for item in read_context(stream):
                    if isinstance(item, SourceStart):
                        is_it = item.id and item.src_path == root.path and source_by_id(session, item.id) is None
                        here = _Section(item) if is_it else None
                        found += [here] if here is not None else []
                    elif isinstance(item, FileEntry) and here is not None and item.gone is None:
                        status = root.stat(os.path.join(item.directory, item.name))
                        here.files += 1
                        here.there += status is not None and (status.st_size, status.st_mtime_ns) == (
                            item.size,
                            item.mtime_ns,
                        )
        except (OSError, Refused):
            continue  # another drive may know it
        yield from found
