"""What is no longer in a source while a copy of it exists: deleted files and older versions, page by page."""

from __future__ import annotations

from dataclasses import dataclass

from medback_core.coverage.where_is import FileWhereabouts, views_of
from medback_core.model import Count
from medback_core.session import Session
from medback_core.session.copies import copies_of_many
from medback_core.session.gone import GoneFile, gone_count, gone_page
from medback_core.session.needs import places
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import list_targets
from medback_core.session.tree import clean_path

PAGE = 500


@dataclass(frozen=True, slots=True)
class DeletedPage:
    """Some deleted files and older versions with their copies; `last` is where the next page goes on, None after the
    last one."""

    files: tuple[FileWhereabouts, ...]
    last: GoneFile | None


def deleted_page(
    session: Session,
    *,
    source: str | None = None,
    path: bytes | None = None,
    since: int | None = None,
    before: int | None = None,
    by_path: bool = False,
    after: GoneFile | None = None,
    limit: int = PAGE,
) -> DeletedPage:
    """The next page behind `after`: of all sources or of one (an alias), at and below `path`, gone at or after `since`
    and before `before` (seconds since the epoch). The latest first, or by source and path. Raises Refused for an
    unknown source."""
    within = None if source is None else find_source(session, source).key
    found = gone_page(
        session, source=within, path=_below(path), since=since, before=before, by_path=by_path, after=after, limit=limit
    )
    aliases = {one.key: one.alias for one in list_sources(session)}
    targets = {target.key: target for target in list_targets(session, unknown=True)}
    copies, known = copies_of_many(session, {file.identity for file in found}), places(session)
    files = tuple(
        FileWhereabouts(
            aliases[file.source],
            file.path,
            file.content,
            file.mtime_ns,
            views_of(copies.get(file.identity, []), targets, known),
            gone=True,
            gone_at=file.gone_at,
            replaced=file.replaced,
        )
        for file in found
    )
    return DeletedPage(files, found[-1] if len(found) == limit else None)


def deleted_count(
    session: Session,
    *,
    source: str | None = None,
    path: bytes | None = None,
    since: int | None = None,
    before: int | None = None,
) -> Count:
    """How many files all pages have, and their bytes. Raises Refused for an unknown source."""
    within = None if source is None else find_source(session, source).key
    return gone_count(session, source=within, path=_below(path), since=since, before=before)


def _below(path: bytes | None) -> bytes | None:
    return clean_path(path) or None if path is not None else None
