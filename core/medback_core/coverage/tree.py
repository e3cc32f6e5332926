"""The tree of sources as a listing shows it: sorted, filtered, and as it would be if some drives died."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from medback_core import names
from medback_core.model import Count, Identity, Need, Source
from medback_core.session import Session
from medback_core.session.counting import NOTHING, CopyCounter
from medback_core.session.files import troubled
from medback_core.session.needs import Wants, wants_of
from medback_core.session.placements import placement_by_id
from medback_core.session.sources import list_sources, source_by_key
from medback_core.session.tree import (
    PlacementCounts,
    children,
    directory_key,
    directory_path,
    file_count,
    file_keys,
    files_by_key,
    oldest_check,
    totals_of,
    trouble_below,
)


@dataclass(frozen=True, slots=True)
class DirectoryView:
    """A directory (or, with `path` b"", a whole source) with what is below it."""

    key: int
    source: Source
    path: bytes
    count: Count
    by_copies: dict[int, Count]  # number of countable copies, every one from 0 up -> files
    unsafe: Count  # with fewer copies than wanted, or fewer of them elsewhere
    oldest: int | None  # oldest check of a countable copy; 0: one was never read back; None: nothing has a copy
    damaged: int = 0  # files whose content changed though their size and time did not
    apart: Count = NOTHING  # the part of `unsafe` that lacks no copy, only some of them elsewhere
    without_elsewhere: Count = NOTHING  # no countable copy at another place than the source's

    @property
    def name(self) -> bytes:
        """The last component; for a source its alias."""
        return self.path.rpartition(b"/")[2] if self.path else self.source.alias.encode("utf-8", "surrogateescape")


# The orders of a listing; of directories here, of files in `session/tree`.
ORDERS: dict[str, Callable[[DirectoryView], tuple[int, bytes]]] = {
    "name": lambda view: (0, view.name),
    "bytes": lambda view: (-view.count.bytes, view.name),
    "unsafe": lambda view: (-view.unsafe.bytes, view.name),
    "checked": lambda view: (-1 if view.oldest is None else view.oldest, view.name),
}


@dataclass(frozen=True, slots=True)
class FileCoverage:
    """A file as a listing shows it."""

    key: int
    name: bytes
    content: Identity
    mtime_ns: int
    copies: int  # countable
    claimed: int  # said to be on so many further targets
    wanted: int
    checked_at: int | None  # as DirectoryView.oldest
    trouble: int
    elsewhere: int = 0  # of the countable copies, those at another place than the source's
    elsewhere_wanted: int = 0

    @property
    def size(self) -> int:
        return self.content.size

    @property
    def safe(self) -> bool:
        return not any(self.lacks)

    @property
    def lacks(self) -> tuple[int, int]:
        """(copies, copies elsewhere) that are wanted and not there yet."""
        return max(0, self.wanted - self.copies), max(0, self.elsewhere_wanted - self.elsewhere)


@dataclass(frozen=True, slots=True)
class DirectoryContents:
    """What lies directly in a directory, as asked for. The totals count what there is before any filter."""

    here: DirectoryView | None  # None at the top, where the sources are listed
    directories: tuple[DirectoryView, ...]
    files: array[int]  # row keys, for `page`
    directories_total: int
    files_total: int


def browse(
    session: Session,
    source: int | None,
    path: bytes = b"",
    *,
    order: str = "name",
    filter_text: str = "",
    unsafe_only: bool = False,
    dead: Collection[int] = frozenset(),
) -> DirectoryContents | None:
    """What lies directly in a directory of a source (row key), or with None the sources themselves; None where there is
    no such directory (any more).

    `order`: `name`; `bytes`, `unsafe` (bytes below the wanted number), largest first; `checked`, the longest unchecked
    first. `filter_text`: only what has it in its name, in any case. `dead`: target keys whose copies do not count.
    """
    counter = CopyCounter(session, dead)
    if source is None:
        here, files, files_total = None, array("q"), 0
        views = [
            replace(
                _view(
                    session,
                    counter,
                    wants_of(session, each),
                    key,
                    b"",
                    totals_of(session, key),
                    oldest_check(session, key),
                ),
                damaged=trouble_below(session, each.key),
            )
            for each in list_sources(session)
            if (key := directory_key(session, each.key, b"")) is not None
        ]
    else:
        key = directory_key(session, source, path)
        if key is None:
            return None
        owner = source_by_key(session, source)
        wants = wants_of(session, owner)
        here = _view(session, counter, wants, key, path, totals_of(session, key), oldest_check(session, key))
        start = path + b"/" if path else b""
        damaged: Counter[bytes] = Counter()  # by directory directly in this one
        for file, _ in troubled(session, source):
            child, slash, _ = file[len(start) :].partition(b"/")
            if slash and file.startswith(start):
                damaged[start + child] += 1
        views = [
            replace(_view(session, counter, wants, c.key, c.path, c.totals, c.oldest), damaged=damaged[c.path])
            for c in children(session, key)
        ]
        below = counter.below(wants.at(path)) if unsafe_only or order == "unsafe" else frozenset()
        files = file_keys(
            session,
            key,
            order=order,
            filter_text=filter_text,
            placements=below if unsafe_only else None,
            unsafe=below,
        )
        files_total = file_count(session, key) if unsafe_only or filter_text else len(files)
    total = len(views)
    folded = filter_text.casefold()
    views = [
        view
        for view in views
        if (not folded or folded in names.folded(view.name)) and (not unsafe_only or view.unsafe.files)
    ]
    views.sort(key=ORDERS[order])
    return DirectoryContents(here, tuple(views), files, total, files_total)


def _view(
    session: Session,
    counter: CopyCounter,
    wants: Wants,
    key: int,
    path: bytes,
    totals: PlacementCounts,
    oldest: int | None,
) -> DirectoryView:
    sums = counter.summed(wants.parts(session, path, totals))
    return DirectoryView(
        key,
        wants.source,
        path,
        sums.count,
        dict(sums.by_copies),
        sums.below,
        oldest,
        apart=sums.apart,
        without_elsewhere=sums.without_elsewhere,
    )


def page(session: Session, keys: Collection[int], *, dead: Collection[int] = frozenset()) -> list[FileCoverage]:
    """The files with these row keys, in the order of the keys; one that is gone meanwhile is left out."""
    counter = CopyCounter(session, dead)
    rows = files_by_key(session, keys)
    needs: dict[int, Need] = {}
    for directory in {row.directory for row in rows.values()}:
        source, path = directory_path(session, directory)
        needs[directory] = wants_of(session, source_by_key(session, source)).at(path)
    found = []
    for key in keys:
        row = rows.get(key)
        if row is None:
            continue
        need = needs[row.directory]
        claimed = len(placement_by_id(session, row.placement).claimed)
        found.append(
            FileCoverage(
                key,
                row.name,
                row.content,
                row.mtime_ns,
                counter.copies(row.placement),
                claimed,
                need.copies,
                row.checked_at,
                row.trouble,
                counter.elsewhere(row.placement, need.place),
                need.elsewhere,
            )
        )
    return found
