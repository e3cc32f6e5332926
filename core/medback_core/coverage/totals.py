"""How well files are covered: by directory from the roll-up, by file for listings, by drive for the shelf."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from medback_core import names
from medback_core.errors import Refused
from medback_core.model import Count, Looked
from medback_core.session import Session
from medback_core.session.counting import NOTHING, CopyCounter, total
from medback_core.session.files import join
from medback_core.session.gaps import list_gaps
from medback_core.session.needs import Wants, every_part, wants_of
from medback_core.session.placements import current_identities, identities_by_placement, placement_by_id
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import counting_keys, list_targets
from medback_core.session.tree import (
    PlacementCounts,
    children,
    clean_path,
    directory_key,
    files_below,
    oldest_check,
    totals_by_source,
    totals_of,
    trouble_below,
)

_ALL = Looked()


@dataclass(frozen=True, slots=True)
class DirectoryCoverage:
    """All files at and below one directory. `oldest` is the oldest last check of a countable copy below: 0 where one
    was never read back, None where nothing below has a countable copy."""

    source: str  # alias
    path: bytes  # relative, b"" the source itself
    count: Count
    by_copies: dict[int, Count]  # number of countable copies, every one from 0 up -> files
    below_wanted: Count
    oldest: int | None
    without_elsewhere: Count = NOTHING  # no countable copy at another place than the source's
    apart: Count = NOTHING  # the part of `below_wanted` that lacks no copy, only some of them elsewhere


@dataclass(frozen=True, slots=True)
class Coverage:
    """The coverage of what was asked for, and of its directories down to the depth asked for."""

    files: int
    bytes: int
    by_copies: dict[int, Count]
    below_wanted: Count
    damaged: int  # files whose content is not what was recorded
    oldest: int | None
    directories: tuple[DirectoryCoverage, ...]
    without_elsewhere: Count = NOTHING  # as in DirectoryCoverage
    apart: Count = NOTHING


@dataclass(frozen=True, slots=True)
class UnprotectedFile:
    """A file with fewer countable copies than wanted, or with fewer of them elsewhere."""

    source: str  # alias
    path: bytes
    size: int
    copies: int
    wanted: int
    elsewhere: int = 0  # so many of the copies are
    elsewhere_wanted: int = 0


@dataclass(frozen=True, slots=True)
class Safety:
    """The answer to "am I safe", over all sources. Counts are paths."""

    files: int = 0
    bytes: int = 0
    safe_files: int = 0  # that have the copies that are wanted, and so many of them elsewhere
    unsafe: Count = NOTHING  # all others, those with no copy included
    none: Count = NOTHING  # no countable copy at all
    apart: Count = NOTHING  # the part of `unsafe` that lacks no copy, only some of them elsewhere
    damaged: int = 0
    looked: Looked = _ALL


@dataclass(frozen=True, slots=True)
class Holdings:
    """What lies on one target. Counts are identities."""

    files: int = 0
    bytes: int = 0
    only_copy: Count = NOTHING  # wanted by a current path, and this is the only countable copy


def coverage(session: Session, *, source: str | None = None, path: bytes = b"", depth: int = 0) -> Coverage:
    """The coverage of all sources, of one (by alias), or of a directory of one, read from the roll-up.

    `directories`: with depth 0 only where it starts (each source, or that directory); each further level adds the
    directories inside, in path order. Raises Refused for an unknown source or directory.
    """
    sources = list_sources(session) if source is None else [find_source(session, source)]
    path = clean_path(path)
    counter = CopyCounter(session)
    listed: list[DirectoryCoverage] = []
    starts: list[DirectoryCoverage] = []
    damaged = 0
    for each in sources:
        key = directory_key(session, each.key, path)
        if key is None:
            if source is None:
                continue
            raise Refused("no-such-path/directory-of-source", path=path, source=each.alias)
        wants = wants_of(session, each)
        start = _rate(session, counter, wants, path, totals_of(session, key), oldest_check(session, key))
        starts.append(start)
        listed.append(start)
        listed += _below(session, counter, wants, key, depth)
        damaged += trouble_below(session, each.key, path)
    if path and not starts:
        raise Refused("no-such-path/in-no-source", path=path)
    most = max((max(start.by_copies) for start in starts), default=0)
    by_copies = {n: total(start.by_copies.get(n, Count()) for start in starts) for n in range(most + 1)}
    whole = total(start.count for start in starts)
    oldest = min((start.oldest for start in starts if start.oldest is not None), default=None)
    below = total(start.below_wanted for start in starts)
    without = total(start.without_elsewhere for start in starts)
    apart = total(start.apart for start in starts)
    return Coverage(whole.files, whole.bytes, by_copies, below, damaged, oldest, tuple(listed), without, apart)


def _rate(
    session: Session, counter: CopyCounter, wants: Wants, path: bytes, totals: PlacementCounts, oldest: int | None
) -> DirectoryCoverage:
    sums = counter.summed(wants.parts(session, path, totals))
    return DirectoryCoverage(
        wants.source.alias,
        path,
        sums.count,
        dict(sums.by_copies),
        sums.below,
        oldest,
        sums.without_elsewhere,
        sums.apart,
    )


def _below(
    session: Session, counter: CopyCounter, wants: Wants, directory: int, depth: int
) -> Iterator[DirectoryCoverage]:
    if depth <= 0:
        return
    for child in children(session, directory):
        yield _rate(session, counter, wants, child.path, child.totals, child.oldest)
        yield from _below(session, counter, wants, child.key, depth - 1)


def unprotected(session: Session, source: str | None = None, path: bytes = b"") -> Iterator[UnprotectedFile]:
    """Every file with fewer countable copies than wanted, or fewer of them elsewhere, directory by directory: of all
    sources or one (by alias), or only at and below `path` (a directory or a file). Do not write through this session
    while iterating."""
    sources = list_sources(session) if source is None else [find_source(session, source)]
    path = clean_path(path)
    counter = CopyCounter(session)
    for each in sources:
        wants = wants_of(session, each)
        unsafe = {need: counter.below(need) for need in {wants.at(b""), *(wants.at(rule.path) for rule in wants.rules)}}
        somewhere = frozenset[int]().union(*unsafe.values())
        for _, directory, file in files_below(session, each.key, path, placements=somewhere):
            need = wants.at(directory)
            if file.placement in unsafe[need]:
                yield UnprotectedFile(
                    each.alias,
                    join(directory, file.name),
                    file.content.size,
                    counter.copies(file.placement),
                    need.copies,
                    counter.elsewhere(file.placement, need.place),
                    need.elsewhere,
                )


def looked(session: Session, source: str | None = None, path: bytes = b"") -> Looked:
    """How far all sources, one (by alias) or a place in it were looked at. Raises Refused for an unknown source."""
    sources = list_sources(session) if source is None else [find_source(session, source)]
    path, asked = clean_path(path), {each.alias for each in sources}
    dates = [each.scanned_at for each in sources]
    gaps = [
        gap
        for gap in list_gaps(session)
        if gap.source in asked and (not path or names.overlap(b"/" + gap.path, b"/" + path))
    ]
    at = None if None in dates else min((date for date in dates if date is not None), default=None)
    unscanned = tuple(each.alias for each in sources if each.scanned_at is None)
    return Looked(at, any(each.refused for each in sources), tuple(gaps), unscanned)


def safety(session: Session) -> Safety:
    """Whether all sources are safe, read from their roots' totals."""
    counter = CopyCounter(session)
    parts = ((need, part) for _, need, part in every_part(session, totals_by_source(session)))
    sums = counter.summed(parts)
    whole, unsafe, none = sums.count, sums.below, sums.by_copies[0]
    damaged = sum(trouble_below(session, source.key) for source in list_sources(session))
    return Safety(
        whole.files, whole.bytes, whole.files - unsafe.files, unsafe, none, sums.apart, damaged, looked(session)
    )


def target_holdings(session: Session) -> dict[int, Holdings]:
    """Target key -> what lies there (copies that are only listed left out), for every known target."""
    counting = counting_keys(session)
    held = {target.key: Count() for target in list_targets(session)}
    only = dict.fromkeys(held, Count())
    single: dict[int, int] = {}
    for key, count in identities_by_placement(session).items():
        solid = placement_by_id(session, key).solid
        for target in solid & held.keys():
            held[target] += count
        countable = solid & counting
        if len(countable) == 1:
            single[key] = min(countable)
    for key, count in current_identities(session, single.keys()).items():
        only[single[key]] += count
    return {key: Holdings(count.files, count.bytes, only[key]) for key, count in held.items()}
