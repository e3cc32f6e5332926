"""A session of any size in seconds: the placement the tool itself makes, rows loaded in bulk.

uv run python tests/bench/make_session.py /tmp/million.db 1000000 50 [--random-triples]
"""

from __future__ import annotations

import hashlib
import random
import sys
from bisect import bisect_left
from dataclasses import dataclass, replace
from pathlib import Path

from medback_core.session import open_session
from medback_core.session.files import ensure_directory
from medback_core.session.placements import intern_placement
from medback_core.session.rollup import refresh_oldest
from medback_core.session.needs import save_rules
from medback_core.session.sources import insert_source, list_sources, save_source
from medback_core.session.targets import list_targets, save_target
from medback_core.model import Rule, Source, Standing, Target
from medback_core.session import Session

PER_DIRECTORY = 25
EPOCH = 1_790_000_000  # seconds: the first backup
MONTH = 30 * 86_400
TWINS = 0.03  # so many files have a content that another path has too


@dataclass(slots=True)
class Segment:
    """Contents with the same holders, the largest first."""

    holders: tuple[int, ...]  # target numbers, in the order they were filled
    members: list[int]


def place(sizes: list[int], targets: int, *, share: float, seed: int, rounds: int = 3) -> list[Segment]:
    """Fill mismatched drives as a backup does: fewest copies first, then the largest, until full; in rounds, because
    files keep arriving and drives come back. `share`: room of the shelf over the bytes there are."""
    rng = random.Random(seed)
    weights = [rng.uniform(0.5, 4) for _ in range(targets)]
    room = [sum(sizes) * share * weight / sum(weights) for weight in weights]
    segments: list[Segment] = []
    arrived = list(range(len(sizes)))
    rng.shuffle(arrived)
    for number in range(rounds):
        new = arrived[number * len(sizes) // rounds : (number + 1) * len(sizes) // rounds]
        segments.append(Segment((), sorted(new, key=sizes.__getitem__, reverse=True)))
        for target in rng.sample(range(targets), targets):
            segments = _fill(segments, sizes, target, room[target] / rounds)
    return segments


def _fill(segments: list[Segment], sizes: list[int], target: int, room: float) -> list[Segment]:
    segments.sort(key=lambda segment: (len(segment.holders), -sizes[segment.members[0]]))
    filled: list[Segment] = []
    for segment in segments:
        first = last = len(segment.members)
        if target not in segment.holders and len(segment.holders) < 3:
            first = bisect_left(segment.members, -room, key=lambda member: -sizes[member])  # the next that fits
            last = first
            while last < len(segment.members) and room >= sizes[segment.members[last]]:
                room -= sizes[segment.members[last]]
                last += 1
        parts = (segment.holders, 0, first), ((*segment.holders, target), first, last), (segment.holders, last, None)
        filled += [Segment(holders, members) for holders, a, b in parts if (members := segment.members[a:b])]
    return filled


def place_at_random(files: int, targets: int, *, copies: int = 3, seed: int = 1) -> list[Segment]:
    """Every content on so many targets at random, all of them alike: no plan is harder to make."""
    rng = random.Random(seed)
    found: dict[tuple[int, ...], list[int]] = {}
    for member in range(files):
        found.setdefault(tuple(sorted(rng.sample(range(targets), copies))), []).append(member)
    return [Segment(holders, members) for holders, members in found.items()]


def make_session(path: Path, files: int, targets: int = 12, *, random_triples: bool = False, seed: int = 1) -> Path:
    """Make a session DB with two sources of `files` files in all, in directories of 25 and one of a tenth of all, over so many targets."""
    rng = random.Random(seed)
    sizes = [int(rng.lognormvariate(13, 2)) for _ in range(files)]
    with open_session(path) as session, session.transaction():
        sources = [
            insert_source(session, Source(0, f"s0urce00000{n}", name, b"/home/ada/" + name.encode()))
            for n, name in enumerate(("photos", "archive"))
        ]
        for source in sources:  # what a drive that is plugged in remembers is only offered then, not taken up
            save_source(session, replace(source, scanned_at=EPOCH))
        shelf = [
            save_target(session, Target(0, f"dr1ve{n:07d}", f"Shelf {n:02d}", created=EPOCH, seen_at=EPOCH + n))
            for n in range(targets)
        ]
        placed = place_at_random(files, targets) if random_triples else place(sizes, targets, share=1.8, seed=seed)
        _load_identities(session, sizes, placed, [target.key for target in shelf])
        _load_files(session, files, [source.key for source in sources], rng)
        refresh_oldest(session.db)
    return path


def name_places(path: Path, places: int = 6) -> None:
    """Keep the targets at so many places, want one copy elsewhere, and of two directories more."""
    with open_session(path) as session:
        for number, target in enumerate(list_targets(session)):
            if number % places:
                save_target(session, replace(target, place=f"place {number % places}"))
        for source in list_sources(session):
            save_source(session, replace(source, elsewhere=1))
            save_rules(session, source.key, [Rule(b"1996", 3, 2), Rule(b"1999/01", 1, 1)])


def _load_identities(session: Session, sizes: list[int], segments: list[Segment], keys: list[int]) -> None:
    verified = int(Standing.VERIFIED)
    identities: list[tuple[int, int, bytes, int, int | None]] = []
    copies: list[tuple[int, int, int, bytes, int, int]] = []
    for segment in segments:
        held = sorted(keys[number] for number in segment.holders)
        placement = intern_placement(session, [(key, verified) for key in held])
        dates = {key: EPOCH + n * MONTH // 10 for n, key in enumerate(held)}
        oldest = min(dates.values(), default=None)
        total = sum(sizes[member] for member in segment.members)
        if held:
            session.db.execute(
                "UPDATE placement SET identities = identities + ?, bytes = bytes + ? WHERE id = ?",
                (len(segment.members), total, placement),
            )
        for member in segment.members:
            digest = hashlib.md5(b"%d" % member).digest()
            identities.append((member + 1, sizes[member], digest, placement, oldest))
            copies += [(member + 1, key, verified, b"photos/%07d" % member, 1, dates[key]) for key in held]
    identities.sort()
    copies.sort()
    session.db.executemany(
        "INSERT INTO identity (id, size, md5, placement_id, checked_at) VALUES (?,?,?,?,?)", identities
    )
    session.db.executemany(
        "INSERT INTO copy (identity_id, target_id, standing, path, mtime_ns, verified_at, ours) VALUES (?,?,?,?,?,?,1)",
        copies,
    )


def _load_files(session: Session, files: int, sources: list[int], rng: random.Random) -> None:
    first = 0
    for number in range(files):
        many = files // 10 if number == 0 else PER_DIRECTORY  # somebody always has one directory with everything in it
        path = b"inbox" if number == 0 else b"%d/%02d/%05d" % (1996 + number // 2 % 30, number // 60 % 20, number)
        key = ensure_directory(session, sources[number % len(sources)], path)
        rows = []
        for n in range(first, min(files, first + many)):
            identity = rng.randrange(files) if rng.random() < TWINS else n
            rows.append((key, b"IMG_%07d.jpg" % n, identity + 1, EPOCH * 10**9 + n, 0o644, 1, n, 1))
        session.db.executemany(
            "INSERT OR IGNORE INTO file (directory_id, name, identity_id, mtime_ns, mode, device, inode, ctime_ns) "
            "VALUES (?,?,?,?,?,?,?,?)",
            rows,
        )
        first += many
        if first >= files:
            break


if __name__ == "__main__":
    where, *numbers = [word for word in sys.argv[1:] if not word.startswith("-")]
    make_session(Path(where), *map(int, numbers), random_triples="--random-triples" in sys.argv)
