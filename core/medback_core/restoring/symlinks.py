"""Restore symbolic links as what they are, and directories with nothing in them; both after all files."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Generator, Mapping
from dataclasses import dataclass

from medback_core import disk, model, names
from medback_core.drives.aside import beside, clear_way, is_beside, move_back, set_aside
from medback_core.model import Conflict, Event, FileDone, Reason, Skipped
from medback_core.restoring.destinations import Destination
from medback_core.restoring.record import note_directory
from medback_core.session import Session
from medback_core.session.expected import empty_directories, wanted_links
from medback_core.session.files import ensure_directory, links_in, put_links
from medback_core.sources.nested import away_from


@dataclass(slots=True)
class LinksDone:
    """What came of them."""

    made: int = 0
    conflicts: int = 0


def restore_links(
    session: Session, destination: Destination, root: disk.Root, only: bytes | None, *, conflict: str, dry_run: bool
) -> Generator[Event, None, LinksDone]:
    """Make every link of a source that is missing; returns LinksDone. What stands there is treated as `conflict` says,
    and is never followed. Directories that should be there empty are made too."""
    done = LinksDone()
    stamp = model.date_stamp(model.now()).encode()
    before = b"before restore " + stamp
    noted: dict[bytes, dict[bytes, bytes]] = {}
    away = away_from(session, destination.source, root) if destination.own else []
    for row in list(wanted_links(session, destination.source.key, only)):
        assert row.goal is not None
        if _is_below(row.path, away):
            continue  # the restore has said that its drive is not there
        rel = destination.rel(row.path)
        path = destination.absolute(row.path)
        try:
            if conflict == "overwrite" and not dry_run:
                clear_way(root, rel.rpartition(b"/")[0], before)
            status = root.stat(rel)
            if status is not None and stat.S_ISLNK(status.st_mode) and root.readlink(rel) == row.goal:
                _note(noted, row.path, row.goal)
                continue
            aside = None
            if status is not None:
                if conflict == "skip":
                    done.conflicts += 1
                    yield Conflict(path, Reason("no-link-there"), None, 0, status.st_size, status.st_mtime_ns)
                    continue
                if dry_run:
                    done.made += 1
                    continue
                if conflict == "rename":
                    if _is_beside(root, rel, row.goal):
                        continue
                    rel = beside(rel, b"medback " + stamp, root)
                else:
                    moved, failed = set_aside(root, [rel], before)
                    for error in failed.values():
                        raise error
                    aside = moved.get(rel)
            done.made += 1
            if dry_run:
                continue
            try:
                disk.make_symlink(root, rel, row.goal)
            except OSError:
                done.made -= 1
                if aside is not None:
                    move_back(root, aside, rel)
                raise
        except OSError as error:
            yield Skipped(path, Reason("link-not-made", error=error.strerror or str(error)))
            continue
        if rel == destination.rel(row.path):
            _note(noted, row.path, row.goal)
        yield FileDone("restored", path)
    if not dry_run:
        for path in list(empty_directories(session, destination.source.key, only)):
            if _is_below(path, away):
                continue
            try:
                if conflict == "overwrite":
                    clear_way(root, destination.rel(path), before)
                root.make_directories(destination.rel(path))
            except OSError as error:
                yield Skipped(
                    destination.absolute(path), Reason("directory-not-made", error=error.strerror or str(error))
                )
        if done.made:
            disk.sync_drive(root)
        if destination.own:
            _record(session, destination.source.key, noted)
    return done


def _note(noted: dict[bytes, dict[bytes, bytes]], path: bytes, goal: bytes) -> None:
    directory, name = os.path.split(path)
    noted.setdefault(directory, {})[name] = goal


def _is_beside(root: disk.Root, rel: bytes, goal: bytes) -> bool:
    directory, name = root.split(rel)
    for candidate, status in root.scan(directory):
        if isinstance(status, OSError) or not stat.S_ISLNK(status.st_mode):
            continue
        path = directory + b"/" + candidate if directory else candidate
        if is_beside(candidate, name, b"medback 00000000-000000") and root.readlink(path) == goal:
            return True
    return False


def _is_below(path: bytes, places: Collection[bytes]) -> bool:
    return any(names.below(path, place) is not None for place in places)


def _record(session: Session, source: int, noted: Mapping[bytes, dict[bytes, bytes]]) -> None:
    with session.transaction():
        for directory, links in noted.items():
            key = ensure_directory(session, source, directory)
            there = links_in(session, key)
            if any(there.get(name) != goal for name, goal in links.items()):
                put_links(session, key, {**there, **links})
                note_directory(session, source, directory)
