"""Which contents would gain from a copy on a target, best first: the ranking of a backup, as temporary tables.

Rank: fewest countable copies, then what lacks one elsewhere where the target is elsewhere, then largest, then path.
What the target would bring no nearer to safe comes after all others.
A million candidates stay in SQLite's temporary store, never in Python objects.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

from medback_core.model import Count, Identity, Need

from .needs import begin_asking, target_places
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

    What is wanted of a content is what any of its paths wants, in any source. A content with a solid copy on the target
    is no candidate; one that a copy there would bring no nearer to what is wanted is one only with `fill`. Files in
    trouble are never copied.
    """
    db = session.db
    needs = begin_asking(session)
    _rate_placements(session, needs, counting, target)
    db.execute("DROP TABLE IF EXISTS temp.candidate")
    db.execute(
        "CREATE TEMP TABLE candidate (rank INTEGER PRIMARY KEY, identity_id INTEGER, size INTEGER, copies INTEGER, "
        "file_id INTEGER, filler INTEGER, paths INTEGER, band INTEGER, apart INTEGER)"
    )
    mounted = ",".join(str(int(key)) for key in sources) or "NULL"
    # CROSS JOIN fixes the order of the loops: one pass over the identities, never one per placement.
    db.execute(
        f"""
        INSERT INTO temp.candidate (identity_id, size, copies, file_id, filler, paths, apart)
        SELECT best.identity_id, best.size, best.copies, f.id, NOT best.helps, best.paths, best.apart FROM (
            SELECT i.id AS identity_id, i.size AS size, k.copies AS copies, MAX(k.helps) AS helps,
                MAX(k.apart) AS apart, COUNT(*) AS paths,
                MIN(CASE WHEN d.source_id IN ({mounted}) AND f.trouble = 0 THEN f.id END) AS file_id
            FROM identity i
            CROSS JOIN temp.free_of_it p ON p.placement_id = i.placement_id
            CROSS JOIN file f ON f.identity_id = i.id
            CROSS JOIN directory d ON d.id = f.directory_id
            CROSS JOIN temp.asks a ON a.directory_id = d.id
            CROSS JOIN temp.rated k ON k.placement_id = i.placement_id AND k.need = a.need
            GROUP BY i.id
        ) best JOIN file f ON f.id = best.file_id JOIN directory d ON d.id = f.directory_id
        WHERE best.helps OR ?
        ORDER BY NOT best.helps, best.copies, NOT best.apart, best.size DESC, d.source_id, d.path, f.name
        """,
        (fill,),
    )
    return session.count("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM temp.candidate")


def _rate_placements(session: Session, needs: Sequence[Need], counting: frozenset[int], target: int) -> None:
    """Fill temp.free_of_it with the placements without a solid copy on the target, and temp.rated with what a copy
    there would do for each where each thing is wanted."""
    db, where = session.db, target_places(session)
    for table in ("free_of_it", "rated"):
        db.execute(f"DROP TABLE IF EXISTS temp.{table}")
    db.execute("CREATE TEMP TABLE free_of_it (placement_id INTEGER PRIMARY KEY)")
    db.execute(
        "CREATE TEMP TABLE rated (placement_id INTEGER, need INTEGER, copies INTEGER, helps INTEGER, apart INTEGER, "
        "PRIMARY KEY (placement_id, need)) WITHOUT ROWID"
    )
    free = {key: each.solid & counting for key, each in all_placements(session).items() if target not in each.solid}
    db.executemany("INSERT INTO temp.free_of_it VALUES (?)", [(key,) for key in free])
    rows: list[tuple[int, int, int, bool, bool]] = []
    for number, need in enumerate(needs):
        is_apart = where[target] != need.place
        for key, holders in free.items():
            elsewhere = sum(1 for holder in holders if where[holder] != need.place) if need.elsewhere else 0
            apart = is_apart and elsewhere < need.elsewhere
            rows.append((key, number, len(holders), apart or len(holders) < need.copies, apart))
    db.executemany("INSERT INTO temp.rated VALUES (?,?,?,?,?)", rows)


class Ranked(NamedTuple):
    """A candidate as the choice sees it."""

    rank: int
    size: int
    copies: int
    filler: bool  # a copy more brings it no nearer to what is wanted
    source: int
    directory: bytes
    name: bytes
    paths: int
    apart: bool  # it lacks a copy elsewhere, and the target is elsewhere


def ranked(session: Session) -> Iterator[Ranked]:
    """Every candidate, best first."""
    rows = session.db.execute(
        "SELECT c.rank, c.size, c.copies, c.filler, d.source_id, d.path, f.name, c.paths, c.apart "
        "FROM temp.candidate c "
        "CROSS JOIN file f ON f.id = c.file_id CROSS JOIN directory d ON d.id = f.directory_id ORDER BY c.rank"
    )
    for row in rows:
        rank, size, copies, filler, source, directory, name, paths, apart = row
        yield Ranked(rank, size, copies, bool(filler), source, directory, name, paths, bool(apart))


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
    return Extent(files, session.value("SELECT COUNT(*) FROM directory"), size + 40 * (paths - files))


def known_extent(session: Session) -> Extent:
    """What a context of this session tells of."""
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
    told = session.value("SELECT (SELECT COUNT(*) FROM directory) + (SELECT COUNT(*) FROM link)")
    return Extent(files, told, names)


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
    return session.count("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM temp.candidate WHERE band IS NOT NULL")


def chosen_paths(session: Session) -> int:
    """How many files of the sources have one of the chosen contents."""
    return session.value(
        "SELECT COUNT(*) FROM temp.candidate c JOIN file f ON f.identity_id = c.identity_id WHERE c.band IS NOT NULL"
    )


class Below(NamedTuple):
    """Contents below what is wanted that have the same holders and lack the same."""

    holders: frozenset[int]  # targets with a solid copy, counting or not
    lack: int  # so many copies at least
    contents: Count
    barred: str | None = None  # the place where a copy more would not do (folded): only copies elsewhere are lacking


_BELOW = """
SELECT placement, chosen, lack, COUNT(*), SUM(size),
    CASE WHEN NOT short AND least = most THEN least END AS barred FROM (
    SELECT i.placement_id AS placement, i.size AS size, {chosen} AS chosen, MAX(k.lack) AS lack, MAX(k.short) AS short,
        MIN(k.barred) AS least, MAX(k.barred) AS most
    FROM identity i CROSS JOIN temp.short_of p ON p.placement_id = i.placement_id
    CROSS JOIN file f ON f.identity_id = i.id CROSS JOIN temp.asks a ON a.directory_id = f.directory_id
    CROSS JOIN temp.lacks k ON k.placement_id = i.placement_id AND k.need = a.need AND k.chosen = {chosen}
    GROUP BY i.id
) GROUP BY placement, chosen, lack, barred
"""


def below_wanted_groups(session: Session, counting: frozenset[int], *, chosen_on: int | None = None) -> list[Below]:
    """What has fewer copies on the targets that count than some path wants of it, or fewer of them elsewhere; with
    `chosen_on` as it will be once the chosen candidates have a copy more, on that target."""
    db, where = session.db, target_places(session)
    placements = all_placements(session)
    needs = begin_asking(session)
    places = sorted({need.place for need in needs})
    more = frozenset[int]() if chosen_on is None else frozenset({chosen_on})
    for table in ("short_of", "lacks"):
        db.execute(f"DROP TABLE IF EXISTS temp.{table}")
    db.execute("CREATE TEMP TABLE short_of (placement_id INTEGER PRIMARY KEY)")
    db.execute(
        "CREATE TEMP TABLE lacks (placement_id INTEGER, need INTEGER, chosen INTEGER, lack INTEGER, short INTEGER, "
        "barred INTEGER, PRIMARY KEY (placement_id, need, chosen)) WITHOUT ROWID"
    )
    rows: list[tuple[int, int, int, int, bool, int | None]] = []
    for number, need in enumerate(needs):
        for key, each in placements.items():
            for chosen in (0, 1) if more else (0,):
                holders = (each.solid | more if chosen else each.solid) & counting
                elsewhere = sum(1 for holder in holders if where[holder] != need.place) if need.elsewhere else 0
                lack = max(need.copies - len(holders), need.elsewhere - elsewhere)
                if lack > 0:
                    barred = places.index(need.place) if elsewhere < need.elsewhere else None
                    rows.append((key, number, chosen, lack, len(holders) < need.copies, barred))
    db.executemany("INSERT INTO temp.lacks VALUES (?,?,?,?,?,?)", rows)
    db.execute("INSERT INTO temp.short_of SELECT DISTINCT placement_id FROM temp.lacks")
    is_chosen = (
        "0" if chosen_on is None else "(i.id IN (SELECT identity_id FROM temp.candidate WHERE band IS NOT NULL))"
    )
    found = db.execute(_BELOW.format(chosen=is_chosen)).fetchall()
    return [
        Below(
            placements[key].solid | (more if chosen else frozenset()),
            lack,
            Count(files, size),
            None if barred is None else places[barred],
        )
        for key, chosen, lack, files, size, barred in found
    ]


def below_wanted(session: Session, counting: frozenset[int]) -> tuple[Count, int]:
    """(identities below their wanted copies and their bytes, bytes of room all their missing copies would take)."""
    groups = below_wanted_groups(session, counting)
    return sum((each.contents for each in groups), Count()), sum(each.lack * each.contents.bytes for each in groups)
