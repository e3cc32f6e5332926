"""The list of sources beside the session DB: whole after a kill, and nothing in it is forgotten while it is away."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from medback_core.presenting.refusals import message
from medback_core.scanning.sources import forget_left_out
from medback_core.session import Session
from medback_core.session.source_list import listed_sources
from medback_core.session.sources import find_source, list_sources
from medback_core.upkeep.rebuild import rebuild
from support.killing import killed_before
from support.worlds import add, back, new_session, rescan, run, write_tree


def test_a_list_of_sources_whose_writing_was_killed_is_written_by_the_next_opening(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": 10})
    session = new_session(tmp_path)
    with killed_before("rename", b"session.db.sources"):
        add(session, tmp_path / "photos")
    session.close()
    assert listed_sources(tmp_path / "session.db") == []
    new_session(tmp_path).close()
    assert listed_sources(tmp_path / "session.db") == [os.fsencode(tmp_path / "photos")]
    left = {path.name for path in tmp_path.iterdir()} - {"photos"}
    assert left == {"session.db", "session.db.lock", "session.db.sources", "session.db.crc"}


def lose(where: Path) -> Session:
    for file in where.glob("session.db*"):
        if not file.name.endswith(".sources"):
            file.unlink()
    return new_session(where)


@pytest.fixture
def unplugged(tmp_path: Path) -> Path:
    """Two sources; the DB is lost while one of them is away."""
    write_tree(tmp_path / "photos", {"a": 10})
    write_tree(tmp_path / "mnt/music", {"song": 20})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        add(session, tmp_path / "mnt/music", copies=3)
    (tmp_path / "mnt/music").rename(tmp_path / "away")
    (tmp_path / "mnt/music").mkdir()
    with lose(tmp_path) as session:
        assert session.needs_rebuild
        run(rebuild(session))
    return tmp_path


def test_a_source_that_is_away_when_the_db_is_lost_is_told_until_it_is_back(unplugged: Path) -> None:
    music = os.fsencode(unplugged / "mnt/music")
    for _ in range(2):
        with new_session(unplugged) as session:
            assert [note for note in session.notes if str(unplugged / "mnt/music") in message(note)]
            rescan(session)
            assert [source.alias for source in list_sources(session)] == ["photos"]
    (unplugged / "mnt/music").rmdir()
    (unplugged / "away").rename(unplugged / "mnt/music")
    with new_session(unplugged) as session:
        scans = rescan(session).summary.scans
        assert [(scan.source.alias, scan.hashed, scan.source.wanted) for scan in scans] == [
            ("photos", 0, 2),
            ("music", 0, 3),
        ]
    with new_session(unplugged) as session:
        assert session.notes == [] and find_source(session, "music").path == music


def test_a_backup_takes_up_a_source_that_is_back(unplugged: Path) -> None:
    (unplugged / "mnt/music").rmdir()
    (unplugged / "away").rename(unplugged / "mnt/music")
    with new_session(unplugged) as session:
        assert back(session, unplugged / "drive").summary.copied == 2


def test_a_source_that_never_comes_back_can_be_forgotten(unplugged: Path) -> None:
    with new_session(unplugged) as session:
        assert not forget_left_out(session, os.fsencode(unplugged / "nowhere"))
        assert forget_left_out(session, os.fsencode(unplugged / "mnt/music"))
    with new_session(unplugged) as session:
        assert session.notes == []
        rescan(session)
