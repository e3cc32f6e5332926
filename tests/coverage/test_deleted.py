"""Deleted files and older versions: listed by date and by directory, page by page, and had back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core.model import Answers
from medback_core import model
from medback_core.errors import UsageError
from medback_core.coverage.deleted import DeletedPage, deleted_count, deleted_page
from medback_core.restoring.restore import restore
from medback_core.session import gone
from medback_core.session import Session
from medback_core.session.copies import identity_key
from medback_core.session.sources import find_source
from medback_core.session.gone import add_gone
from medback_core.upkeep.rebuild import rebuild
from support.worlds import MTIME, add, back, new_session, rescan, run, write_tree

DAY = 86_400


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Session, Path]]:
    """Files deleted on three days, one replaced, one moved, one that is there again; two sources, one drive."""
    clock = [1_800_000_000]
    monkeypatch.setattr(model, "now", lambda: clock[0])
    photos = tmp_path / "photos"
    write_tree(photos, {f"{place}/{n}": 10 for place in ("a", "b") for n in range(10)})
    write_tree(photos, {"moved": b"moved", "back": b"back"})
    write_tree(tmp_path / "music", {"song": 30})
    with new_session(tmp_path) as session:
        add(session, photos)
        add(session, tmp_path / "music")
        back(session, tmp_path / "t1")
        for day in range(3):
            clock[0] += DAY
            for place in ("a", "b"):
                (photos / place / str(day)).unlink()
            if day == 0:
                (photos / "back").unlink()
                (photos / "moved").rename(photos / "elsewhere")
            if day == 1:
                write_tree(photos, {"back": b"back", "a/9": b"another"}, mtime_ns=MTIME + 10**9)
                (tmp_path / "music/song").unlink()
            assert rescan(session, answers=Answers(deletions=True)).summary.refused == ()
        yield session, tmp_path


def paths(page: DeletedPage) -> list[tuple[str, str]]:
    return [(file.source, os.fsdecode(file.path)) for file in page.files]


BY_DATE = [
    ("photos", "a/2"), ("photos", "b/2"),
    ("photos", "a/1"), ("photos", "a/9"), ("photos", "b/1"), ("music", "song"),
    ("photos", "a/0"), ("photos", "b/0"),
]  # fmt: skip


def test_the_latest_come_first_and_what_came_back_or_moved_is_not_listed(world: tuple[Session, Path]) -> None:
    session, _ = world
    page = deleted_page(session)
    assert paths(page) == BY_DATE and page.last is None
    assert [file.gone_at for file in page.files[:3]] == [1_800_000_000 + days * DAY for days in (3, 3, 2)]
    assert [os.fsdecode(file.path) for file in page.files if file.replaced] == ["a/9"]
    assert all([copy.target.label for copy in file.copies] == ["t1"] for file in page.files)
    assert deleted_count(session).files == len(BY_DATE)


@pytest.mark.parametrize("by_path", [False, True])
@pytest.mark.parametrize("limit", [1, 3, 8])
def test_the_pages_together_are_the_whole(world: tuple[Session, Path], by_path: bool, limit: int) -> None:
    session, _ = world
    found, after = [], None
    for _ in range(20):
        page = deleted_page(session, by_path=by_path, limit=limit, after=after)
        found += paths(page)
        if (after := page.last) is None:
            break
    assert found == (BY_DATE if not by_path else sorted(BY_DATE, key=lambda one: (one[0] != "photos", one[1])))


def test_a_source_a_directory_and_a_date_can_be_asked_for(world: tuple[Session, Path]) -> None:
    session, _ = world
    assert paths(deleted_page(session, source="music")) == [("music", "song")]
    assert paths(deleted_page(session, source="photos", path=b"a/")) == [one for one in BY_DATE if one[1] < "b"]
    assert paths(deleted_page(session, source="photos", path=b"a/1")) == [("photos", "a/1")]
    since = 1_800_000_000 + 2 * DAY
    assert paths(deleted_page(session, since=since)) == BY_DATE[:6]
    assert deleted_count(session, source="photos", path=b"b", since=since).files == 2


def test_what_is_restored_is_deleted_no_more(world: tuple[Session, Path]) -> None:
    session, tmp = world
    run(restore(session, "t1", source="photos", path=b"a/1", deleted=True))
    assert (tmp / "photos/a/1").stat().st_size == 10
    assert ("photos", "a/1") not in paths(deleted_page(session))


def test_no_page_sorts_or_reads_all(world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """However many are gone: each page begins where the one before ended, by an index."""
    session, _ = world
    photos, key = find_source(session, "photos"), identity_key(session, model.Identity(10, b"\0" * 16))
    session.db.execute("INSERT INTO copy (identity_id, target_id, standing) SELECT ?, id, 2 FROM target", (key,))
    add_gone(session, [(photos.key, b"many/%05d" % n, key, 0, 420, n // 7 or None) for n in range(20_000)])
    steps = [0]

    def count() -> int:
        steps[0] += 1
        return 0

    for by_path in (False, True):
        costs, after = [], None
        while True:
            steps[0] = 0
            session.db.set_progress_handler(count, 100)
            page = gone.gone_page(session, by_path=by_path, after=after, limit=500)
            session.db.set_progress_handler(None, 0)
            costs.append(steps[0])
            if len(page) < 500:
                break
            after = page[-1]
        assert len(costs) > 40
        assert max(costs) < 4 * sorted(costs)[len(costs) // 2]


def test_what_was_deleted_and_when_is_known_after_the_db_is_lost(world: tuple[Session, Path]) -> None:
    session, tmp = world
    back(session, tmp / "t1")
    back(session, tmp / "t2")
    before = deleted_page(session).files
    session.close()
    for file in tmp.glob("session.db*"):
        file.unlink()
    for drives in (["t2"], ["t1"], ["t1", "t2"]):  # t2 never held any of it, its context names it
        for file in tmp.glob("again/session.db*"):
            file.unlink()
        (tmp / "again").mkdir(exist_ok=True)
        with new_session(tmp / "again") as again:
            run(rebuild(again, [os.fsencode(tmp / name) for name in ("photos", "music", *drives)]))
            found = deleted_page(again).files
            assert [(f.source, f.path, f.content, f.gone_at, f.replaced) for f in found] == [
                (f.source, f.path, f.content, f.gone_at, f.replaced) for f in before
            ]
            assert all("t1" in [copy.target.label for copy in file.copies] for file in found)


def test_a_restore_as_of_a_date_brings_what_was_there_then_and_is_no_more(world: tuple[Session, Path]) -> None:
    """Of each path the version of that date; neither what went before, nor what is there or was moved, nor what was
    written later."""
    session, tmp = world
    back(session, tmp / "t1")
    (tmp / "photos/a/9").unlink()  # "another", since the second day
    write_tree(tmp / "photos", {"later": b"later"}, mtime_ns=1_900_000_000 * 10**9)
    rescan(session)
    back(session, tmp / "t1")
    (tmp / "photos/later").unlink()
    rescan(session, answers=Answers(deletions=True))
    for days, expected in {
        0.5: {"photos/a/0", "photos/a/1", "photos/a/2", "photos/a/9", "photos/b/0", "photos/b/1", "photos/b/2",
              "music/song"},
        2.5: {"photos/a/2", "photos/a/9", "photos/b/2"},
    }.items():  # fmt: skip
        goal = tmp / f"as of day {days}"
        at = 1_800_000_000 + int(days * DAY)
        run(restore(session, str(tmp / "t1"), deleted=True, at=at, to=os.fsencode(goal)))
        assert {os.path.relpath(file, goal) for file in goal.rglob("*") if file.is_file()} == expected
        content = (goal / "photos/a/9").read_bytes()
        assert content == (b"another" if days > 1 else b"a/9|a/9|a/")
    with pytest.raises(UsageError):
        run(restore(session, str(tmp / "t1"), at=1, to=os.fsencode(tmp / "x")))
