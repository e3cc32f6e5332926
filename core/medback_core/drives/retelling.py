"""What a drive's sidecars tell of the sources, said as a context says it: for a drive whose contexts are gone.

A sidecar says where a file belonged when it was put there. What was deleted or renamed in its source since then is not
told, nor where a source lay, nor how many copies of it were wanted.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection, Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from medback_core import disk, names
from medback_core.context import (
    DirectoryEntry,
    Entry,
    FileEntry,
    LinkEntry,
    SourceSection,
    SourceStart,
    TargetLine,
    write_context,
)
from medback_core.drives.walk import DriveDirectory, walk_drive
from medback_core.model import OLD_DIRECTORY, STAMP_DIGITS, WANTED_DEFAULT, Event, Standing, State, Warned
from medback_core.session.files import join
from medback_core.sidecar import TargetIdentity
from medback_core.sidecar.records import DirRecord, FileRecord, Place, Trust

_NO_DATE = 0  # when an older version went is not told by a sidecar
_NAME = b"context.xml"


@dataclass(slots=True)
class _Told:
    """What was found of one source."""

    live: dict[bytes, FileEntry] = field(default_factory=dict)  # by path
    others: list[Entry] = field(default_factory=list)  # older versions, links, directories that don't lie there
    facts: dict[bytes, tuple[int, int]] = field(default_factory=dict)


def state_retold(identity: TargetIdentity, source: str) -> State:
    """As of which state the sidecars of a drive tell of a source: always the same one while the drive is in one state,
    and a second older than the state its context told of, which knew more."""
    remembered = next((told for told in identity.remembers if told.source == source), None)
    n = 0 if remembered is None else remembered.n
    at = remembered.at if remembered is not None and remembered.at else identity.now.at if identity.now else 0
    words = f"{identity.id} {identity.now.stamp if identity.now else ''} {source}"
    stamp = hashlib.md5(words.encode(), usedforsecurity=False).hexdigest()[:STAMP_DIGITS]
    return State(n, stamp, max(0, at - 1), identity.id)


def retold(
    root: disk.Root, identity: TargetIdentity, wanted: Collection[str], scratch: Path
) -> Generator[Event, None, tuple[bytes, tuple[str, ...]]]:
    """Read all sidecars of a drive and write what they tell of the sources `wanted` (ids) as a context into a
    directory; returns its path and the ids of the sources they tell of. Where a source lay is not told: as a place it
    gets one in the home directory. Raises DriveGone."""
    told: dict[str, _Told] = {}
    places: dict[bytes, Place] = {}  # directory on the drive -> the one it is a copy of
    of_folder = dict(identity.folders)
    for step in walk_drive(root, family=False):
        if isinstance(step, DriveDirectory):
            _take(identity.id, of_folder, step, told, places)
        elif isinstance(step, Warned):
            yield step
    folders = {source: folder for folder, source in identity.folders}
    home = os.fsencode(os.path.expanduser("~"))
    sections: list[SourceSection] = []
    for source in sorted(told.keys() & set(wanted)):
        folder = folders.get(source, source.encode())
        now = state_retold(identity, source)
        head = SourceStart(source, os.path.join(home, folder), names.text(folder), WANTED_DEFAULT, now=now)
        found = told[source]
        entries = sorted([*found.live.values(), *found.others], key=lambda entry: entry.directory)
        sections.append(SourceSection(head, entries, found.facts.get))
    line = TargetLine(identity.id, identity.label, identity.state, identity.rev, identity.now)
    where = os.fsencode(scratch)
    with disk.Root(where) as here, disk.Group(here, group_sync=False) as group:
        group.stage_stream(_NAME, write_context([line], sections), mode=0o600)
        for _, error in group.publish():
            if error is not None:
                raise error
    return os.path.join(where, _NAME), tuple(section.head.id for section in sections)


def words_on(label: str) -> Warned:
    """What a person is told of it."""
    return Warned("told-by-sidecars", drive=label)


def _take(
    target: str,
    of_folder: dict[bytes, str],
    step: DriveDirectory,
    told: dict[str, _Told],
    places: dict[bytes, Place],
) -> None:
    here = places.get(step.rel)
    if here is None and step.rel in of_folder:
        here = of_folder[step.rel], b""
    is_old = step.rel.split(b"/", 1)[0] == OLD_DIRECTORY
    there = dict(step.files)
    for record in step.sidecar.files.values():
        status = there.get(record.name)
        if status is not None and status.st_size == record.size and record.md5 is not None and record.damaged is None:
            for place in _places_of(record, here):
                _put(told.setdefault(place[0], _Told()), _entry(target, record, place[1], is_old=is_old))
    for record in step.sidecar.dirs.values():
        where = _place_of(record, step.rel, here, of_folder)
        if where is None or record.trust is not Trust.WHOLE:
            continue
        found = told.setdefault(where[0], _Told())
        found.facts[where[1]] = record.mode, record.mtime_ns
        if record.name:
            places[join(step.rel, record.name)] = where
            continue
        found.others.append(DirectoryEntry(where[1]))
        found.others += [LinkEntry(where[1], name, to) for name, to in record.links]
    links = [link for link in step.sidecar.links.values() if link.trust is Trust.WHOLE]
    if here is not None and links:
        told.setdefault(here[0], _Told()).others += [LinkEntry(here[1], link.name, link.to) for link in links]


def _places_of(record: FileRecord, here: Place | None) -> Iterator[Place]:
    if record.path is not None:
        yield record.path
    elif here is not None:
        yield here[0], join(here[1], record.name)
    yield from record.twins


def _place_of(record: DirRecord, rel: bytes, here: Place | None, of_folder: dict[bytes, str]) -> Place | None:
    """Which directory of which source a record tells of."""
    if record.name and not rel:
        return (of_folder[record.name], b"") if record.name in of_folder else None
    if record.path is not None or not record.name or here is None:
        return record.path
    return here[0], join(here[1], record.name)


def _entry(target: str, record: FileRecord, path: bytes, *, is_old: bool) -> FileEntry:
    directory, name = os.path.split(path)
    holder = ((target, Standing.VERIFIED),)
    gone = _NO_DATE if is_old else None
    return FileEntry(directory, name, record.size, record.mtime_ns, record.mode, record.md5, holder, gone)


def _put(found: _Told, entry: FileEntry) -> None:
    """Of two files that are said to be one path the younger is it, the other an older version."""
    if entry.gone is not None:
        found.others.append(entry)
        return
    path = join(entry.directory, entry.name)
    other = found.live.get(path)
    if other is not None and (other.size, other.md5) != (entry.size, entry.md5):
        older, entry = sorted((other, entry), key=lambda one: one.mtime_ns)
        found.others.append(older._replace(gone=_NO_DATE))
    found.live[path] = entry
