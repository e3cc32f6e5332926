"""Where the copies of a file lie: for `whereis` and for the app's detail pane."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from medback_core import names
from medback_core.errors import Refused
from medback_core.model import Count, Identity, Need, Source, Standing, Target, folded_place, sum_by
from medback_core.session import Session
from medback_core.session.copies import Copy, copies_of, copies_of_many
from medback_core.session.digests import twin_paths
from medback_core.session.expected import has_expected, wanted_back
from medback_core.session.files import file_by_key, join
from medback_core.session.gone import list_gone
from medback_core.session.needs import Places, Wants, places, wants_of
from medback_core.session.placements import placement_by_id
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import list_targets
from medback_core.session.tree import clean_path, directory_key, files_below, totals_of


@dataclass(frozen=True, slots=True)
class CopyView:
    """One copy of a content, as a person is told of it."""

    target: Target
    standing: Standing
    path: bytes | None  # on the target; None until it is looked at
    verified_at: int | None
    counts: bool
    place: str = ""  # of the target, as people write it; "" where no place was named


@dataclass(frozen=True, slots=True)
class FileWhereabouts:
    """A file and every copy of it, the countable ones first. `gone`: it is no longer in its source."""

    source: str  # alias
    path: bytes  # relative to the source
    content: Identity
    mtime_ns: int
    copies: tuple[CopyView, ...]
    gone: bool = False
    gone_at: int | None = None  # None if the date is not known
    replaced: bool = False  # gone, and another content is at that path now: an older version
    need: Need | None = None  # what is wanted of it; None where it is gone

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def md5(self) -> str:
        return self.content.md5.hex()

    @property
    def away(self) -> int:
        """How many of the copies that count lie at another place than the source."""
        here = self.need.place if self.need is not None else ""
        return sum(copy.counts and bool(copy.place) and folded_place(copy.place) != here for copy in self.copies)

    @property
    def lacks(self) -> tuple[int, int]:
        """(copies, copies elsewhere) that are wanted and not there yet."""
        if self.need is None:
            return 0, 0
        counting = sum(copy.counts for copy in self.copies)
        return max(0, self.need.copies - counting), max(0, self.need.elsewhere - self.away)


def where_is(
    session: Session, paths: Iterable[bytes], *, source: str | None = None, deleted: bool = False
) -> list[FileWhereabouts]:
    """Every copy of the files at these paths; a directory stands for all files below it.

    Paths are relative to `source` (an alias) where it is given, else they are looked up among the sources by their
    place on disk. With `deleted` the files that are no longer in their source. Raises Refused for a path that names
    nothing.
    """
    targets = {target.key: target for target in list_targets(session, unknown=True)}
    sources = list_sources(session)
    within = None if source is None else find_source(session, source)
    known, wants = places(session), dict[int, Wants]()
    found: list[FileWhereabouts] = []
    for path in paths:
        owner, relative = _locate(sources, within, path)
        rows = list(_gone(session, owner, relative) if deleted else _current(session, owner, relative))
        if not rows and not (relative == b"" or directory_key(session, owner.key, relative) is not None):
            raise _unknown(session, owner, relative, path, deleted=deleted)
        copies = copies_of_many(session, {row[1] for row in rows})
        twins = set() if deleted else twin_paths(session, owner.key)
        if owner.key not in wants:
            wants[owner.key] = wants_of(session, owner)
        for relative_path, identity, content, mtime_ns, gone_at in rows:
            views = () if relative_path in twins else views_of(copies.get(identity, []), targets, known)
            need = None if deleted else wants[owner.key].at(os.path.dirname(relative_path))
            found.append(
                FileWhereabouts(
                    owner.alias, relative_path, content, mtime_ns, views, gone=deleted, gone_at=gone_at, need=need
                )
            )
    return found


_Row = tuple[bytes, int, Identity, int, int | None]  # path, identity key, content, mtime_ns, gone_at


def _current(session: Session, source: Source, path: bytes) -> Iterator[_Row]:
    seen = {join(directory, file.name): file for _, directory, file in files_below(session, source.key, path or b"")}
    for relative, file in seen.items():
        yield relative, file.identity, file.content, file.mtime_ns, None
    if has_expected(session):  # what an imported context tells of and no scan has seen
        for each in wanted_back(session, source.key, path or None):
            if each.path not in seen and each.identity is not None and each.content is not None:
                yield each.path, each.identity, each.content, each.mtime_ns, None


def _gone(session: Session, source: Source, path: bytes) -> Iterator[_Row]:
    for file in list_gone(session, source.key, path or None):
        yield file.path, file.identity, file.content, file.mtime_ns, file.gone_at


def _locate(sources: list[Source], within: Source | None, path: bytes) -> tuple[Source, bytes]:
    """The source a path belongs to, and the path relative to it."""
    if within is not None and not os.path.isabs(path):
        return within, clean_path(path)
    absolute = os.path.abspath(path)
    parent, name = os.path.split(absolute)
    for candidate in (absolute, os.path.join(os.path.realpath(parent), name)):
        for each in sources if within is None else [within]:
            inside = names.below(candidate, each.path)
            if inside is not None:
                return each, inside
    if within is not None:
        raise Refused("no-such-path/outside-source", path=path, source=within.alias)
    raise Refused("no-such-path/outside-all", path=path)


def _unknown(session: Session, source: Source, relative: bytes, path: bytes, *, deleted: bool) -> Refused:
    if deleted:
        return Refused("no-such-path/no-deleted", path=path, source=source.alias)
    if next(list_gone(session, source.key, relative), None) is not None:
        return Refused("no-such-path/deleted", path=path, source=source.alias)
    return Refused("no-such-path/not-scanned", path=path, source=source.alias)


def copies_of_file(session: Session, file_key: int) -> list[CopyView]:
    """Every copy of one file (a row key of a listing), the countable ones first; empty when it is gone meanwhile."""
    file = file_by_key(session, file_key)
    if file is None:
        return []
    targets = {target.key: target for target in list_targets(session, unknown=True)}
    return list(views_of(copies_of(session, file.identity), targets, places(session)))


def holders(session: Session, source: int, path: bytes = b"") -> list[tuple[Target, Count]]:
    """The drives that hold countable copies of what is at and below a directory of a source (row key), and how much of
    it; those that hold most first. From the roll-up: a few milliseconds."""
    key = directory_key(session, source, path)
    totals = totals_of(session, key) if key is not None else {}
    held = sum_by((t, count) for placed, count in totals.items() for t in placement_by_id(session, placed).solid)
    found = [(target, held[target.key]) for target in list_targets(session) if target.counts and target.key in held]
    return sorted(found, key=lambda one: (-one[1].bytes, -one[1].files, one[0].name))


def views_of(copies: Iterable[Copy], targets: dict[int, Target], known: Places) -> tuple[CopyView, ...]:
    """Copies as a person is told of them, the countable ones first."""
    views = []
    for copy in copies:
        target = targets[copy.target]
        counts = target.counts and copy.standing is not Standing.CLAIMED
        place = known.called(target) if known.named else ""
        views.append(CopyView(target, copy.standing, copy.path, copy.verified_at, counts, place))
    views.sort(key=lambda view: (not view.counts, view.target.state.badness, -view.standing, view.target.name))
    return tuple(views)
