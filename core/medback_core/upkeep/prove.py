"""Compare byte by byte what goes by one size and MD5: the key assumption, checked."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

from medback_core import disk
from medback_core.drives.open import find_drives
from medback_core.model import DamageFound, Event, Identity, Progress, ProveSummary, Reason, Skipped
from medback_core.pace import Pace
from medback_core.session import Session
from medback_core.session.checking import identities_to_prove
from medback_core.session.copies import copies_of, identity_of
from medback_core.session.files import paths_of_identity
from medback_core.session.sources import find_source, source_by_key
from medback_core.session.targets import list_targets

_CHUNK = 1 << 20


@dataclass(slots=True)
class _File:
    root: disk.Root
    path: bytes

    @property
    def shown(self) -> bytes:
        return os.path.join(self.root.path, self.path)


def prove(session: Session, *, source: str | None = None) -> Iterator[Event]:
    """Compare every file of a content with the first one, byte by byte, over the sources (or one) and the targets that
    are plugged in; ends with a ProveSummary. Nothing is changed. Raises Refused for an unknown source."""
    key = find_source(session, source).key if source is not None else None
    with ExitStack() as stack:
        roots: dict[tuple[str, int], disk.Root] = {}
        targets = list_targets(session)
        plugged = find_drives(session, targets)
        for target in targets:
            if target.id in plugged:
                roots["target", target.key] = stack.enter_context(disk.Root(plugged[target.id]))
        identities = compared = compared_bytes = differing = 0
        pace = Pace()
        for identity in identities_to_prove(session, key):
            files = _files(session, identity, roots)
            if len(files) < 2:
                continue
            identities += 1
            content = identity_of(session, identity)
            reference = files[0]
            for other in files[1:]:
                try:
                    for done in _compare(reference, other):
                        if pace.is_due():
                            yield Progress("proving", compared, compared_bytes + done, current=other.shown)
                    compared += 1
                    compared_bytes += content.size
                except _Differ:
                    differing += 1
                    if _has(reference, content):
                        yield _told(other, reference, content)
                    else:  # the others are compared with this one
                        yield _told(reference, other, content)
                        reference = other
                except OSError as error:
                    yield Skipped(other.shown, Reason.system(error))
        yield ProveSummary(identities, compared, compared_bytes, differing)


def _told(file: _File, reference: _File, content: Identity) -> DamageFound:
    """Two contents of one size and MD5, or one file that is not what it is said to be: that is for `verify`."""
    if _has(file, content):
        return DamageFound(file.shown, Reason("other-content/than", path=reference.shown))
    return DamageFound(file.shown, Reason("other-md5"))


def _has(file: _File, content: Identity) -> bool:
    """Whether a file has this size and MD5; one that can't be read has not."""
    try:
        return disk.content_on_drive(file.root, file.path).identity == content
    except OSError:
        return False


class _Differ(Exception):
    """Two files do not hold the same bytes."""


def _files(session: Session, identity: int, roots: dict[tuple[str, int], disk.Root]) -> list[_File]:
    found = []
    for source_key, path, _ in paths_of_identity(session, identity, twins=True):
        place = ("source", source_key)
        if place not in roots:
            try:
                roots[place] = disk.Root(source_by_key(session, source_key).path)
            except OSError:
                continue  # a source that is not there
        found.append(_File(roots[place], path))
    for copy in copies_of(session, identity):
        root = roots.get(("target", copy.target))
        if root is not None and copy.path is not None:
            found.append(_File(root, copy.path))
    return found


def _compare(one: _File, other: _File) -> Iterator[int]:
    """Yields the bytes compared; raises _Differ at the first difference, OSError."""
    with ExitStack() as stack:
        streams = []
        for file in (one, other):
            fd, _ = file.root.open_file(file.path)
            streams.append(stack.enter_context(os.fdopen(fd, "rb")))
        done = 0
        while True:
            first, second = streams[0].read(_CHUNK), streams[1].read(_CHUNK)
            if first != second:
                raise _Differ
            if not first:
                return
            done += len(first)
            yield done
