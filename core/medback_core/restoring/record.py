"""Record what a restore put in place: at its destination, in its source, and as a copy read whole from the drive."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from medback_core import model
from medback_core.model import Standing
from medback_core.restoring.destinations import Destination
from medback_core.session import Session
from medback_core.session.copies import Copy, record_copies
from medback_core.session.digests import learn_many
from medback_core.session.expected import mark_placed
from medback_core.session.files import ensure_directory, find_directory, mark_sidecar, record_files
from medback_core.session.gone import forget_gone
from medback_core.session.missing_files import MissingFile, PossibleLocation, mark_missing
from medback_core.session.sources import source_by_key
from medback_core.session.states import mark_changed


class Placed(NamedTuple):
    """A file that stands in place, durably."""

    missing: MissingFile
    location: PossibleLocation  # where it was read
    rel: bytes  # where it stands, below the root of its destination
    status: os.stat_result
    drive_mtime_ns: int
    blake3: bytes | None  # of what was read


def record_placed(
    session: Session,
    destinations: Mapping[int, Destination],
    target: int | None,
    placed: list[Placed],
    given_up: list[int],
    *,
    deleted: bool,
) -> None:
    """Record these files, and the rows that were given up. `target` is the key of the drive, None for none of ours."""
    if not placed:
        if given_up:
            mark_missing(session, given_up, in_place=False)
        return
    with session.transaction():
        mark_placed(
            session,
            [
                (destinations[p.missing.source].absolute(p.missing.path), p.missing.identity, p.status)
                for p in placed
                if p.rel == destinations[p.missing.source].rel(p.missing.path)
            ],
            put=True,
        )
        learn_many(session, ((p.missing.content, p.blake3) for p in placed if p.missing.blake3 is None))
        directories: dict[tuple[int, bytes], int] = {}
        rows: list[tuple[int, bytes, int, os.stat_result]] = []
        for one in placed:
            source = one.missing.source
            if not destinations[source].own:
                continue
            directory, _, name = one.rel.rpartition(b"/")
            key = directories.get((source, directory))
            if key is None:
                key = directories[source, directory] = note_directory(session, source, directory)
            rows.append((key, name, one.missing.identity, one.status))
            if deleted:
                forget_gone(session, source, one.missing.path, one.missing.identity)
        record_files(session, rows)
        for source in {source for source, _ in directories}:
            mark_changed(session, source_by_key(session, source).id)
        if target is not None:
            _note_copies(session, target, placed)
        mark_missing(session, (p.missing.row for p in placed), in_place=True)
        mark_missing(session, given_up, in_place=False)


def _note_copies(session: Session, target: int, placed: Iterable[Placed]) -> None:
    """Each content read whole from the drive is a verified copy there, wherever it was found."""
    now = model.now()
    fresh: dict[int, Copy] = {}
    for one in placed:
        key, location = one.missing.identity, one.location
        if key not in fresh:
            fresh[key] = Copy(key, target, Standing.VERIFIED, location.path, one.drive_mtime_ns, now, location.ours)
    record_copies(session, fresh.values())


def note_directory(session: Session, source: int, directory: bytes) -> int:
    """The row of a directory in which a file was put: its sidecar says less than the session now. Call inside a
    transaction. A sidecar there that this session never read is left to the next scan (source_records sees to that)."""
    key = ensure_directory(session, source, directory)
    row = find_directory(session, source, directory)
    assert row is not None
    if not row.dirty:
        mark_sidecar(session, key, row.sidecar, dirty=True)
    return key
