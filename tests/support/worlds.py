"""Small real worlds for tests: trees of files, sessions, drives, and operations run to their end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from medback_core.backing_up.back_up import back_up
from medback_core.model import Answers, EXPLANATION, Event, Summary, is_metadata
from medback_core.session import Session, open_session
from medback_core.scanning.sources import add_source, update

MTIME = 1_700_000_000_123_456_789


class Ran(list[Event]):
    """All events of one operation; `summary` is the last."""

    @property
    def summary(self) -> Any:
        assert isinstance(self[-1], Summary), self
        return self[-1]

    def of(self, kind: type) -> list[Any]:
        return [event for event in self if isinstance(event, kind)]


def run(steps: Iterator[Event]) -> Ran:
    """Run an operation to its end."""
    return Ran(steps)


def write_tree(root: Path, files: Mapping[Any, bytes | int], *, mtime_ns: int | None = MTIME) -> None:
    """Make files by relative path; an int is a size of repeatable bytes that differ from path to path."""
    for name, content in files.items():
        assert not os.path.isabs(name), "it would lie outside the tree"
        path = os.path.join(os.fsencode(root), os.fsencode(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if isinstance(content, int):
            seed = os.fsencode(name) + b"|"
            content = (seed * (content // len(seed) + 1))[:content]
        with open(path, "wb") as stream:
            stream.write(content)
        if mtime_ns is not None:
            os.utime(path, ns=(mtime_ns, mtime_ns))


def tree(root: Path | bytes, *, metadata: bool = False) -> dict[bytes, tuple[bytes, int]]:
    """Relative path -> (content, mtime_ns) of every regular file, medback's own files only with `metadata`."""
    base = os.fsencode(root)
    found = {}
    for directory, _, names in os.walk(base):
        for name in names:
            path = os.path.join(directory, name)
            relative = os.path.relpath(path, base)
            if os.path.islink(path) or (not metadata and (b".medback" in relative or relative in EXPLANATION)):
                continue
            with open(path, "rb") as stream:
                found[relative] = stream.read(), os.stat(path).st_mtime_ns
    return found


def files_below(root: Path, *, damaged: bool = False) -> dict[bytes, bytes]:
    """Relative path -> bytes of all that is not medback's own; older versions are content too."""
    base, found = os.fsencode(root), {}
    for directory, inside, names in os.walk(base):
        if not damaged and b".medback-damaged" in inside:
            inside.remove(b".medback-damaged")
        for name in names:
            path = os.path.join(directory, name)
            if not is_metadata(name) and not os.path.islink(path):
                with open(path, "rb") as stream:
                    found[os.path.relpath(path, base)] = stream.read()
    return found


def rot(path: Path, content: bytes | None = None) -> bytes:
    """Other bytes under the same time, and of the same size if none are given; returns what the file held."""
    was, status = path.read_bytes(), path.stat()
    path.write_bytes(b"?" * len(was) if content is None else content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    return was


def new_session(where: Path) -> Session:
    return open_session(where / "session.db")


def add(session: Session, root: Path, **options: Any) -> Ran:
    return run(add_source(session, os.fsencode(root), **options))


def rescan(session: Session, *aliases: str, **options: Any) -> Ran:
    return run(update(session, aliases, **options))


def back(session: Session, drive: Path, **options: Any) -> Ran:
    """A backup onto a drive, made a target if it is none."""
    drive.mkdir(parents=True, exist_ok=True)
    return run(back_up(session, os.fsencode(drive), **{"answers": Answers(yes=True), **options}))


@contextmanager
def photos(
    where: Path, files: Mapping[Any, bytes | int], *, drives: Sequence[str] = ()
) -> Iterator[tuple[Session, Path]]:
    """A session with one source, `photos`, backed up onto these drives; all of it lies in `where`."""
    write_tree(where / "photos", files)
    session = new_session(where)
    add(session, where / "photos")
    for drive in drives:
        back(session, where / drive)
    yield session, where
    session.close()


def counted(session: Session) -> dict[int, int]:
    """Files by their number of countable copies, over all sources."""
    from medback_core.session.placements import placement_by_id
    from medback_core.session.targets import counting_keys
    from medback_core.session.tree import totals_by_source

    counting = counting_keys(session)
    by_copies: dict[int, int] = {}
    for totals in totals_by_source(session).values():
        for key, count in totals.items():
            copies = placement_by_id(session, key).copies(counting)
            by_copies[copies] = by_copies.get(copies, 0) + count.files
    return {copies: files for copies, files in by_copies.items() if files}
