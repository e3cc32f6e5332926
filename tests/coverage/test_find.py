"""Finding files by name among sources, deleted files and older versions."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core.model import Answers
from medback_core.coverage.find import find
from medback_core.errors import Refused
from medback_core.session import Session, finding
from support.worlds import MTIME, add, back, new_session, rescan, write_tree


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shelf")


@pytest.fixture
def world(shelf: Path) -> Iterator[Session]:
    """Made by the first test; none changes it."""
    photos, music = shelf / "photos", shelf / "music"
    with new_session(shelf) as session:
        if not photos.exists():
            write_tree(
                photos,
                {"2024/lisbon/DSC_1.CR2": 10, "2024/lisbon/notes.txt": 11, "2024/tram_28.jpg": 12, "100%.txt": 13},
            )
            write_tree(photos, {"2019/old.cr2": 14, "2019/changed.txt": 15, "2019/Äpfel.jpg": 16, "plain": 17})
            write_tree(music, {"lisbon.ogg": 18, "2024/[live].ogg": 19})
            (photos / os.fsdecode(b"2019/caf\xe9.cr2")).write_bytes(b"x" * 20)
            add(session, photos)
            add(session, music)
            back(session, shelf / "t1")
            (photos / "2019/old.cr2").unlink()
            write_tree(photos, {"2019/changed.txt": 33}, mtime_ns=MTIME + 10**9)
            rescan(session, answers=Answers(deletions=True))
        yield session


def paths(session: Session, *patterns: str, source: str | None = None, limit: int | None = None) -> list[str]:
    found = find(session, [os.fsencode(one) for one in patterns], source=source, limit=limit)
    return [
        f"{file.source}/{os.fsdecode(file.path)}" + ("!" if file.gone else "") + ("~" if file.replaced else "")
        for file in found.files
    ]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.cr2", ["photos/2019/caf\udce9.cr2", "photos/2024/lisbon/DSC_1.CR2", "photos/2019/old.cr2!"]),
        ("LISBON", ["music/lisbon.ogg", "photos/2024/lisbon/DSC_1.CR2", "photos/2024/lisbon/notes.txt"]),
        ("changed", ["photos/2019/changed.txt", "photos/2019/changed.txt!~"]),
        ("äPFEL", ["photos/2019/Äpfel.jpg"]),
        ("\udce9", ["photos/2019/caf\udce9.cr2"]),
        ("m_2", ["photos/2024/tram_28.jpg"]),
        ("0%", ["photos/100%.txt"]),
        ("2024/lis", ["photos/2024/lisbon/DSC_1.CR2", "photos/2024/lisbon/notes.txt"]),
        ("2024/tr", ["photos/2024/tram_28.jpg"]),
        ("photos/2024/tram_28.jpg", ["photos/2024/tram_28.jpg"]),
        ("photos/pl", ["photos/plain"]),
        ("lisbon/*.cr2", ["photos/2024/lisbon/DSC_1.CR2"]),
        ("2019/*.cr2", ["photos/2019/caf\udce9.cr2", "photos/2019/old.cr2!"]),
        ("20??/*.jpg", ["photos/2019/Äpfel.jpg", "photos/2024/tram_28.jpg"]),
        ("019/old", ["photos/2019/old.cr2!"]),
        ("äpf*", ["photos/2019/Äpfel.jpg"]),
        ("ÄPFEL.J[^p]G", []),
        ("[A-D]sc_?.[c]r2", ["photos/2024/lisbon/DSC_1.CR2"]),
        ("[live*", ["music/2024/[live].ogg"]),
        ("[^p-Z]*.OGG", ["music/lisbon.ogg", "music/2024/[live].ogg"]),
        ("nowhere", []),
        ("", []),
    ],
)  # fmt: skip
def test_what_a_pattern_finds(world: Session, pattern: str, expected: list[str]) -> None:
    found = paths(world, pattern)
    assert sorted(found) == sorted(expected)
    assert [one for one in found if "!" in one] == found[len(found) - sum("!" in one for one in found) :]


def test_several_patterns_find_what_any_of_them_finds_once(world: Session) -> None:
    assert paths(world, "tram", "*.jpg") == ["photos/2024/tram_28.jpg", "photos/2019/Äpfel.jpg"]


def test_the_closest_name_comes_first(world: Session) -> None:
    assert paths(world, "lisbon")[0] == "music/lisbon.ogg"


def test_one_source_alone_can_be_asked(world: Session) -> None:
    assert paths(world, "lisbon", source="music") == ["music/lisbon.ogg"]
    with pytest.raises(Refused):
        paths(world, "lisbon", source="nothing")


def test_no_more_than_asked_for_and_it_is_said(world: Session) -> None:
    found = find(world, [b"20"], limit=2)
    assert len(found.files) == 2 and found.more
    assert not find(world, [b"tram"], limit=2).more


def test_copies_are_told_of_what_is_there_and_of_what_is_gone(world: Session) -> None:
    for file in find(world, [b"*.cr2"]).files:
        assert [copy.target.label for copy in file.copies] == ["t1"]


def test_a_search_by_name_reads_an_index_alone(world: Session) -> None:
    """What makes it answer within a fifth of a second at a million files."""
    plans: list[str] = []
    world.db.set_trace_callback(plans.append)
    finding.find_files(world, b"lisbon", limit=5)
    world.db.set_trace_callback(None)
    statement = next(one for one in plans if "FROM file f WHERE" in one)
    plan = " ".join(row[3] for row in world.db.execute(f"EXPLAIN QUERY PLAN {statement}"))
    assert "COVERING INDEX" in plan, plan
