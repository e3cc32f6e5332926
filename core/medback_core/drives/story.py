"""What a drive remembers, told when it is plugged in: by its identity file alone, or by its context where that is mute.

Nothing here changes a session or a drive. Taking it up is `restoring.told`.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace

from medback_core import disk, names
from medback_core.context import FileEntry, Readable, SourceStart, TargetLine, read_context
from medback_core.drives.drive import read_identity
from medback_core.drives.retelling import state_retold
from medback_core.errors import Refused
from medback_core.model import CONTEXTS_KEPT, Count, Remembers, State, TargetState
from medback_core.session import Session
from medback_core.session.targets import list_targets
from medback_core.sidecar import Holder, Remembered, TargetIdentity


@dataclass(frozen=True, slots=True)
class Story:
    """What one drive remembers. `id` is "" where the drive does not say who it is; `stamp` is another one as soon as it
    remembers anything else."""

    path: bytes
    id: str
    label: str
    sections: tuple[Remembered, ...]
    holders: tuple[Holder, ...]  # the drives what it remembers lies on
    stamp: str

    @property
    def count(self) -> Count:
        """The files it remembers."""
        return sum((Count(told.files, told.bytes) for told in self.sections), Count())

    @property
    def at(self) -> int | None:
        """The date of the newest it knows."""
        return max((told.at for told in self.sections if told.at is not None), default=None)

    @property
    def told(self) -> Remembers:
        """The same as an operation tells it."""
        on = tuple(holder.label or holder.id for holder in self.holders)
        return Remembers(self.label, self.path, len(self.sections), self.count.files, self.at, on)

    def only(self, sections: Iterable[Remembered]) -> Story:
        """The same of these sections alone."""
        return Story(self.path, self.id, self.label, tuple(sections), self.holders, self.stamp)


def story_at(path: bytes) -> Story | None:
    """What the drive at a path remembers; None where that is nothing, or nothing that can be read."""
    try:
        with disk.Root(path) as root:
            try:
                identity = read_identity(root)
            except Refused:
                identity = None
            told, holders = (), ()
            if identity is not None and not identity.damage:
                told, holders = identity.remembers, identity.holders
                if not any(root.stat(name) for name in CONTEXTS_KEPT):  # its sidecars tell of it, and of less
                    told = tuple(_as_of(one, state_retold(identity, one.source)) for one in told)
            if not told:  # written by the version before, or damaged
                name = readable_context(root)
                if name is None:
                    told = _of_folders(identity)  # its first backup was cut off: its sidecars tell of it
                else:
                    fd, status = root.open_file(name)
                    with os.fdopen(fd, "rb") as stream:
                        try:
                            told, holders = told_in(stream, at=int(status.st_mtime))
                        except Refused:
                            return None
            if not told:
                return None
            id = "" if identity is None else identity.id
            label = (identity.label if identity is not None else "") or id or names.text(os.path.basename(root.path))
            stamp = f"{zlib.crc32(repr((told, holders)).encode('utf-8', 'surrogatepass')):08x}"
            return Story(root.path, id, label, told, holders, stamp)
    except OSError:
        return None


def _of_folders(identity: TargetIdentity | None) -> tuple[Remembered, ...]:
    """The sources that have a folder on a drive; how many files is not told."""
    if identity is None or identity.damage:
        return ()
    told = [Remembered(source, names.text(folder), 0, 0) for folder, source in identity.folders]
    return tuple(_as_of(one, state_retold(identity, one.source)) for one in told)


def readable_context(root: disk.Root) -> bytes | None:
    """The name of the newest context on a drive that can be read to its end; None where there is none."""
    for name in CONTEXTS_KEPT:
        try:
            fd, _ = root.open_file(name)
        except OSError:
            continue
        with os.fdopen(fd, "rb") as stream:
            try:
                for _ in read_context(stream):
                    pass
            except (Refused, OSError):
                continue
        return name
    return None


def told_in(stream: Readable, *, at: int | None = None) -> tuple[tuple[Remembered, ...], tuple[Holder, ...]]:
    """What a context tells of, and the targets it lies on; dated `at`. Raises Refused."""
    lines: dict[str, TargetLine] = {}
    heads: list[SourceStart] = []
    counts: list[list[int]] = []
    tells: set[str] = set()  # sources of which it has a file, if only one that is gone
    holders: set[str] = set()
    for item in read_context(stream):
        if isinstance(item, FileEntry):
            if item.md5 is not None:
                tells.add(heads[-1].id)
            if item.gone is None and item.md5 is not None:
                counts[-1][0] += 1
                counts[-1][1] += item.size
                holders.update(target for target, _ in item.bds)
        elif isinstance(item, SourceStart):
            heads.append(item)
            counts.append([0, 0])
        elif isinstance(item, TargetLine) and item.state is not TargetState.LOST:
            lines[item.id] = item
    told = [
        _dated(Remembered(head.id, head.alias, files, size, at=at), head)
        for head, (files, size) in zip(heads, counts, strict=True)
        if head.id and head.id in tells
    ]
    told.sort(key=lambda one: one.source)
    on = [lines[target] for target in holders if target in lines]
    on.sort(key=lambda line: (line.label, line.id))
    return tuple(told), tuple(Holder(line.id, line.label, line.now.at if line.now else None) for line in on)


def _dated(told: Remembered, head: SourceStart) -> Remembered:
    return told if head.now is None else _as_of(told, head.now)


def _as_of(told: Remembered, state: State) -> Remembered:
    return replace(told, n=state.n, at=state.at, stamp=state.stamp)


def stories(session: Session, places: Iterable[bytes] = ()) -> list[Story]:
    """What the drives at these places and all that are plugged in remember, each drive once. Reads, and may take as
    long as the drives do."""
    candidates = [*map(os.path.abspath, places)]
    candidates += [target.path for target in list_targets(session) if target.path is not None]
    candidates += [mount.path for mount in disk.removable_mounts()]
    found: dict[str | bytes, Story] = {}
    for path in dict.fromkeys(candidates):
        story = story_at(path)
        if story is not None:
            found.setdefault(story.id or os.path.realpath(path), story)
    return list(found.values())
