"""Files found by a part of their path or by a glob, and their copies: for `find` and for the app's search."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass

from medback_core import names
from medback_core.coverage.where_is import FileWhereabouts, views_of
from medback_core.session import Session
from medback_core.session.copies import copies_of_many
from medback_core.session.digests import twin_paths
from medback_core.session.finding import FoundFile, find_files
from medback_core.session.needs import places, wants_of
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import list_targets


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, the closest names first, what is gone behind; `more`: there is more than was asked for."""

    files: tuple[FileWhereabouts, ...]
    more: bool = False


def find(session: Session, patterns: Iterable[bytes], *, source: str | None = None, limit: int | None = None) -> Found:
    """The files of all sources (or of one, by its alias), deleted ones and older versions whose path has a part like
    one of the patterns, or whose name a glob (`*.cr2`) fits, in any case. At most `limit`. Raises Refused for an
    unknown source."""
    within = None if source is None else find_source(session, source).key
    rows: dict[tuple[int, bytes, int], FoundFile] = {}
    more = False
    words = list(patterns)
    for pattern in words:
        for file in find_files(session, pattern, source=within, limit=None if limit is None else limit + 1):
            rows[file.source, file.path, file.identity] = file
    found = sorted(rows.values(), key=lambda file: _closeness(file, words))
    if limit is not None and len(found) > limit:
        found, more = found[:limit], True
    sources = {one.key: one for one in list_sources(session)}
    wants = {key: wants_of(session, sources[key]) for key in {file.source for file in found}}
    known = places(session)
    targets = {target.key: target for target in list_targets(session, unknown=True)}
    copies = copies_of_many(session, {file.identity for file in found})
    twins = {key: twin_paths(session, key) for key in {file.source for file in found}}
    return Found(
        tuple(
            FileWhereabouts(
                sources[file.source].alias,
                file.path,
                file.content,
                file.mtime_ns,
                ()
                if not file.gone and file.path in twins[file.source]
                else views_of(copies.get(file.identity, []), targets, known),
                gone=file.gone,
                gone_at=file.gone_at,
                replaced=file.replaced,
                need=None if file.gone else wants[file.source].at(os.path.dirname(file.path)),
            )
            for file in found
        ),
        more,
    )


def _closeness(file: FoundFile, words: list[bytes]) -> tuple[object, ...]:
    """Files that are there before those that are gone; a name that is what was typed, begins so, has it, before a
    directory that has it."""
    last = names.folded(os.path.basename(file.path))
    best = 3
    for word in words:
        text = names.folded(word)
        best = min(best, 0 if last == text else 1 if last.startswith(text) else 2 if text in last else 3)
    return file.gone, best, file.source, file.path, -(file.gone_at or 0)
