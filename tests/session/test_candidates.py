"""The ranking of what a backup copies, against a plain sort."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fault_report import examples
from support import session_builder as rows
from medback_core.session import open_session
from medback_core.session.candidates import (
    below_wanted,
    best_chosen,
    choose,
    chosen,
    rank_candidates,
    ranked,
)
from medback_core.session.copies import copies_of, identity_of
from support.stored import put_file
from medback_core.session.files import ensure_directory, join, paths_of_identity
from medback_core.session.sources import list_sources
from medback_core.session.targets import counting_keys
from medback_core.model import Count, Standing, TargetState
from medback_core.session import Session


def naive(session: Session, target: int, mounted: set[int], *, fill: bool) -> list[tuple[int, int, int, bytes]]:
    """(identity, size, copies, path) of the candidates, best first, the slow and plain way."""
    counting = counting_keys(session)
    wanted = {source.key: source.wanted for source in list_sources(session)}
    ranked = []
    for (key,) in session.db.execute("SELECT id FROM identity").fetchall():
        copies = [copy for copy in copies_of(session, key) if copy.standing is not Standing.CLAIMED]
        paths = paths_of_identity(session, key)
        sound = [(row.key, source, path) for source, path, row in paths if source in mounted and not row.trouble]
        if not sound or target in {copy.target for copy in copies}:
            continue
        count = len([copy for copy in copies if copy.target in counting])
        done = count >= max(wanted[source] for source, _, _ in paths)
        if done and not fill:
            continue
        _, source, path = min(sound)
        directory, _, name = path.rpartition(b"/")
        size = identity_of(session, key).size
        ranked.append(((done, count, -size, source, directory, name), (key, size, count, path)))
    return [row for _, row in sorted(ranked)]


@pytest.mark.long
@settings(max_examples=examples(60))
@given(seed=st.integers(0, 2**32), fill=st.booleans())
def test_candidates_come_in_the_order_of_a_plain_sort(seed: int, fill: bool):
    with tempfile.TemporaryDirectory() as directory:
        session, history = rows.random_session(Path(directory) / "s.db", seed, 25)
        with session:
            rng = random.Random(seed)
            mounted = {source.key for source in rng.sample(history.sources, rng.randint(0, 2))}
            target = rng.choice(history.targets).key
            counting = counting_keys(session)
            expected = naive(session, target, mounted, fill=fill)
            count = rank_candidates(session, target, mounted, counting, fill=fill)
            assert count == Count(len(expected), sum(row[1] for row in expected))
            assert [(row.size, row.copies) for row in ranked(session)] == [row[1:3] for row in expected]
            choose(session, [(0, row.rank) for row in ranked(session)])
            best = [
                (row.identity, row.content.size, row.copies, join(row.directory, row.name))
                for row in best_chosen(session, 1000)
            ]
            assert best == expected
            order = [(row.source, row.directory, row.name) for row in chosen(session)]
            assert order == sorted(order) and len(order) == len(expected)


@pytest.mark.long
@settings(max_examples=examples(40))
@given(seed=st.integers(0, 2**32))
def test_what_is_below_wanted_equals_a_recount(seed: int):
    with tempfile.TemporaryDirectory() as directory:
        session, _ = rows.random_session(Path(directory) / "s.db", seed, 25)
        with session:
            counting = counting_keys(session)
            wanted = {source.key: source.wanted for source in list_sources(session)}
            count, room = Count(), 0
            for (key,) in session.db.execute("SELECT id FROM identity").fetchall():
                paths = paths_of_identity(session, key)
                most = max((wanted[source] for source, _, _ in paths), default=0)
                have = len([c for c in copies_of(session, key) if c.target in counting and c.standing])
                if have < most:
                    size = identity_of(session, key).size
                    count, room = count + Count(1, size), room + size * (most - have)
            assert below_wanted(session, counting) == (count, room)


def test_chosen_bands_are_copied_one_after_the_other(tmp_path: Path):
    with open_session(tmp_path / "s.db") as session:
        photos, one = rows.source(session), rows.target(session, "t1")
        for name, size in ((b"a", 1), (b"b", 300), (b"c", 20), (b"d", 200)):
            rows.put(session, photos, name, rows.content(name.decode(), size))
        rank_candidates(session, one.key, [photos.key], counting_keys(session), fill=True)
        choose(session, [(0 if row.size > 100 else 1, row.rank) for row in ranked(session) if row.size > 1])
        assert [row.name for row in chosen(session)] == [b"b", b"d", b"c"]
        choose(session, None)
        assert [row.name for row in chosen(session)] == [b"a", b"b", b"c", b"d"]


def test_what_is_recorded_while_the_chosen_are_read_changes_nothing_of_them(tmp_path: Path):
    with open_session(tmp_path / "s.db") as session:
        photos, one = rows.source(session), rows.target(session, "t1")
        with session.transaction():
            key = ensure_directory(session, photos.key, b"")
            for number in range(5000):
                put_file(session, key, rows.seen(b"%05d" % number, rows.content(number, 10)))
        rank_candidates(session, one.key, [photos.key], counting_keys(session), fill=False)
        choose(session, None)
        copied = []
        for candidate in chosen(session):
            copied.append(candidate.name)
            if len(copied) % 500 == 0:
                rows.copy(session, candidate.identity, one)
        assert copied == [b"%05d" % number for number in range(5000)]


def test_a_copy_on_a_drive_that_does_not_count_is_no_copy(tmp_path: Path):
    with open_session(tmp_path / "s.db") as session:
        photos = rows.source(session)
        gone, here = rows.target(session, "t1", TargetState.LOST), rows.target(session, "t2")
        key = rows.put(session, photos, b"f", rows.content("x"))
        rows.copy(session, key, gone)
        rank_candidates(session, here.key, [photos.key], counting_keys(session), fill=False)
        assert [row.copies for row in ranked(session)] == [0]
