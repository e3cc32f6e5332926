"""Which contents would gain from a copy on a target, best first: the ranking of a backup, as temporary tables.

Rank: fewest countable copies, then largest, then path; contents that have their wanted copies come after all others.
A million candidates stay in SQLite's temporary store, never in Python objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from medback_core.model import Count, Identity

from .placements import all_placements
from .store import Session
from .values import load_ns


class Candidate(NamedTuple):
    """One content to copy, with the current path it is copied from."""

    identity: int
    content: Identity
    source: int
    directory: bytes
    name: bytes
    file: int
    copies: int
    paths: int  # current paths that have this content, in any source
    mtime_ns: int
    mode: int
    inode: int | None
    ctime_ns: int | None
    blake3: bytes | None  # of the content, where it is known


def rank_candidates(
    session: Session, target: int, sources: Collection[int], counting: frozenset[int], *, fill: bool
) -> Count:
    """Fill the temporary table of candidates for a target from these mounted sources; returns how many and how large.

    Wanted is the maximum over all the paths of a content, in any source. A content with a solid copy on the target is
    no candidate; one that has its wanted copies is one only with `fill`. Files in trouble are never copied.
    """
    db = session.db
    db.execute("DROP TABLE IF EXISTS temp.candidate")
    db.execute("DROP TABLE IF EXISTS temp.placed_copies")
    db.execute("CREATE TEMP TABLE placed_copies (placement_id INTEGER PRIMARY KEY, copies INTEGER)")
    db.executemany(
        "INSERT INTO temp.placed_copies VALUES (?, ?)",
        [(key, p.copies(counting)) for key, p in all_placements(session).items() if target not in p.solid],
    )
    db.execute(
        "CREATE TEMP TABLE candidate (rank INTEGER PRIMARY KEY, identity_id INTEGER, size INTEGER, copies INTEGER, "
        "file_id INTEGER, filler INTEGER, paths INTEGER, band INTEGER)"
    )
    mounted = ",".join(str(int(key)) for key in sources) or "NULL"
    # CROSS JOIN fixes the order of the loops: one pass over the identities, never one per placement.
    db.execute(
        f"""
        INSERT INTO temp.candidate (identity_id, size, copies, file_id, filler, paths)
        SELECT best.identity_id, best.size, best.copies, f.id, best.copies >= best.wanted, best.paths FROM (
            SELECT i.id AS identity_id, i.size AS size, p.copies AS copies, MAX(s.wanted) AS wanted, COUNT(*) AS paths,
                MIN(CASE WHEN d.source_id IN ({mounted}) AND f.trouble = 0 THEN f.id END) AS file_id
            FROM identity i
            CROSS JOIN temp.placed_copies p ON p.placement_id = i.placement_id
            CROSS JOIN file f ON f.identity_id = i.id
            CROSS JOIN directory d ON d.id = f.directory_id
            CROSS JOIN source s ON s.id = d.source_id
            GROUP BY i.id
        ) best JOIN file f ON f.id = best.file_id JOIN directory d ON d.id = f.directory_id
        WHERE best.copies < best.wanted OR ?
        ORDER BY best.copies >= best.wanted, best.copies, best.size DESC, d.source_id, d.path, f.name
        """,
        (fill,),
    )
    count, size = db.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM temp.candidate").fetchone()
    return Count(count, size)


class Ranked(NamedTuple):
    """A candidate as the choice sees it."""

    rank: int
    size: int
    copies: int
    filler: bool  # has its wanted copies already
    source: int
    directory: bytes
    name: bytes
    paths: int


def ranked(session: Session) -> Iterator[Ranked]:
    """Every candidate, best first."""
    rows = session.db.execute(
        "SELECT c.rank, c.size, c.copies, c.filler, d.source_id, d.path, f.name, c.paths FROM temp.candidate c "
        "CROSS JOIN file f ON f.id = c.file_id CROSS JOIN directory d ON d.id = f.directory_id ORDER BY c.rank"
    )
    for row in rows:
        yield Ranked(row[0], row[1], row[2], bool(row[3]), *row[4:])


class Extent(NamedTuple):
    """How much there is to tell of: files, and the bytes of the names of files and directories."""

    files: int = 0
    directories: int = 0  # and links
    names: int = 0


def candidate_extent(session: Session) -> Extent:
    """What the candidates, and the twins of each, add to the records. The directories are those of all sources."""
    files, paths, size = session.db.execute(
        "SELECT COUNT(*), COALESCE(SUM(c.paths), 0), COALESCE(SUM(c.paths * (length(f.name) + length(d.path))), 0) "
        "FROM temp.candidate c CROSS JOIN file f ON f.id = c.file_id CROSS JOIN directory d ON d.id = f.directory_id"
    ).fetchone()
    directories = session.db.execute("SELECT COUNT(*) FROM directory").fetchone()[0]
    return Extent(files, directories, size + 40 * (paths - files))


def known_extent(session: Session, *, but: int) -> tuple[Extent, int]:
    """(what a context of this session tells of, how many targets there are beside the one with the key `but`)."""
    files = names = 0
    for table, name in (
        ("file", "name"),
        ("link", "name"),
        ("gone", "path"),
        ("expected", "path"),
        ("directory", "path"),
    ):
        count, size = session.db.execute(f"SELECT COUNT(*), COALESCE(SUM(length({name})), 0) FROM {table}").fetchone()
        files, names = files + count, names + size
    targets = session.db.execute("SELECT COUNT(*) FROM target WHERE id <> ?", (but,)).fetchone()[0]
    told = "SELECT (SELECT COUNT(*) FROM directory) + (SELECT COUNT(*) FROM link)"
    return Extent(files, session.db.execute(told).fetchone()[0], names), targets


def choose(session: Session, bands: Iterable[tuple[int, int]] | None) -> Count:
    """Choose candidates by (band, rank), a lower band being copied earlier, or all of them in directory order (None).
    Returns how many contents and bytes are chosen."""
    db = session.db
    if bands is None:
        db.execute("UPDATE temp.candidate SET band = 0")
    else:
        db.execute("CREATE TEMP TABLE IF NOT EXISTS chosen (rank INTEGER PRIMARY KEY, band INTEGER)")
        db.execute("DELETE FROM temp.chosen")
        db.executemany("INSERT INTO temp.chosen (band, rank) VALUES (?, ?)", bands)
        db.execute("UPDATE temp.candidate SET band = (SELECT c.band FROM temp.chosen c WHERE c.rank = candidate.rank)")
    db.execute("DROP TABLE IF EXISTS temp.going")
    db.execute("CREATE TEMP TABLE going (position INTEGER PRIMARY KEY, rank INTEGER)")
    db.execute(
        "INSERT INTO temp.going (rank) SELECT c.rank FROM temp.candidate c JOIN file f ON f.id = c.file_id "
        "JOIN directory d ON d.id = f.directory_id WHERE c.band IS NOT NULL "
        "ORDER BY c.band, d.source_id, d.path, f.name"
    )
    return chosen_count(session)


_CANDIDATE = """
SELECT c.identity_id, i.size, i.md5, d.source_id, d.path, f.name, f.id, c.copies, c.paths, f.mtime_ns, f.mode, f.inode,
    f.ctime_ns, i.blake3
FROM temp.candidate c JOIN identity i ON i.id = c.identity_id JOIN file f ON f.id = c.file_id
JOIN directory d ON d.id = f.directory_id
"""


def _candidate(row: tuple) -> Candidate:
    identity, size, md5, source, directory, name, file, copies, paths, mtime_ns, mode, inode, ctime_ns, blake3 = row
    content, mtime, ctime = Identity(size, md5), load_ns(mtime_ns), load_ns(ctime_ns)
    return Candidate(identity, content, source, directory, name, file, copies, paths, mtime, mode, inode, ctime, blake3)


def chosen(session: Session) -> Iterator[Candidate]:
    """The chosen candidates in copying order: band by band, directory order within. Read in pages, so that what is
    recorded meanwhile never meets an open query."""
    position = 0
    while True:
        rows = session.db.execute(
            f"{_CANDIDATE} JOIN temp.going g ON g.rank = c.rank WHERE g.position > ? ORDER BY g.position LIMIT 2000",
            (position,),
        ).fetchall()
        if not rows:
            return
        for row in rows:
            yield _candidate(row)
        position += len(rows)


def best_chosen(session: Session, limit: int) -> list[Candidate]:
    """The first chosen candidates by rank, for a preview."""
    return [
        _candidate(row)
        for row in session.db.execute(f"{_CANDIDATE} WHERE c.band IS NOT NULL ORDER BY c.rank LIMIT ?", (limit,))
    ]


def chosen_count(session: Session) -> Count:
    """How many contents and bytes are chosen."""
    row = session.db.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM temp.candidate WHERE band IS NOT NULL")
    return Count(*row.fetchone())


class Below(NamedTuple):
    """Contents below their wanted copies that have the same holders and lack the same number."""

    holders: frozenset[int]  # targets with a solid copy, counting or not
    lack: int
    contents: Count


def below_wanted_groups(session: Session, counting: frozenset[int], *, chosen_on: int | None = None) -> list[Below]:
    """What has fewer copies on the targets that count than some source wants of it; with `chosen_on` as it will be once
    the chosen candidates have a copy more, on that target."""
    db = session.db
    placements = all_placements(session)
    db.execute("DROP TABLE IF EXISTS temp.placed_copies")
    db.execute("CREATE TEMP TABLE placed_copies (placement_id INTEGER PRIMARY KEY, copies INTEGER)")
    most = db.execute("SELECT COALESCE(MAX(wanted), 0) FROM source").fetchone()[0]
    copies = {key: p.copies(counting) for key, p in placements.items()}
    db.executemany("INSERT INTO temp.placed_copies VALUES (?, ?)", [row for row in copies.items() if row[1] < most])
    chosen = "0" if chosen_on is None else "i.id IN (SELECT identity_id FROM temp.candidate WHERE band IS NOT NULL)"
    rows = db.execute(
        f"""
        SELECT placement, chosen, wanted - copies - chosen AS lack, COUNT(*), SUM(size) FROM (
            SELECT i.placement_id AS placement, i.size AS size, p.copies AS copies, MAX(s.wanted) AS wanted,
                {chosen} AS chosen
            FROM identity i CROSS JOIN temp.placed_copies p ON p.placement_id = i.placement_id
            CROSS JOIN file f ON f.identity_id = i.id CROSS JOIN directory d ON d.id = f.directory_id
            CROSS JOIN source s ON s.id = d.source_id
            GROUP BY i.id
        ) WHERE lack > 0 GROUP BY placement, chosen, lack
        """
    )
    more = frozenset[int]() if chosen_on is None else frozenset({chosen_on})
    return [
        Below(placements[key].solid | (more if is_chosen else frozenset()), lack, Count(files, size))
        for key, is_chosen, lack, files, size in rows
    ]


def below_wanted(session: Session, counting: frozenset[int]) -> tuple[Count, int]:
    """(identities below their wanted copies and their bytes, bytes of room all their missing copies would take)."""
    groups = below_wanted_groups(session, counting)
    return sum((each.contents for each in groups), Count()), sum(each.lack * each.contents.bytes for each in groups)
