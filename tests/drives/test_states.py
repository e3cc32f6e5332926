"""Whose word is newer: two sessions on one drive, a session DB that came back from an older copy, a drive or a source
from typing import Any, Any
from an old image, a clone, and records of the version before. Nobody's newer knowledge is lost to somebody's older."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from faults.crashes import Killed, Killer, watched
from medback_core.presenting.refusals import message
from medback_core.presenting.units import day
from medback_core import model
from medback_core.context import sections_in
from medback_core.contexts.load import add_restore_context
from medback_core.contexts.write import context_of, write_restore
from medback_core.drives import context_file
from medback_core.drives.open import set_target
from medback_core.model import Answers, Source, Standing, State, Warned
from medback_core.scanning.sources import add_source
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.gone import list_gone
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import find_target
from medback_core.session.expected import wanted_files
from medback_core.session.states import SOURCE, known_state
from medback_core.sidecar import parse, parse_source_metadata, parse_target_identity
from support.worlds import Ran, add, back, rescan, run, write_tree

FILES = {"a": 100, "b": 200, "sub/c": 300}
DAY = 86_400
CONTEXT = ".medback-context.xml"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    now = [1_764_000_000]
    monkeypatch.setattr(model, "now", lambda: now[0])
    yield now


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_tree(tmp_path / "photos", FILES)
    return tmp_path / "photos"


def session_at(path: Path, *sources: Path) -> Session:
    session = open_session(path)
    for source in sources:
        add(session, source)
    return session


def snapshot(*places: Path) -> dict[Path, tuple[bytes, int, int]]:
    """Every file, with its content, time and inode."""
    files = (path for place in places for path in sorted(place.rglob("*")) if path.is_file())
    return {path: (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_ino) for path in files}


def drive_state(drive: Path) -> State:
    state = parse_target_identity((drive / ".medback-target.xml").read_bytes()).now
    assert state is not None
    return state


def tree_state(source: Path) -> State:
    state = parse_source_metadata((source / ".medback-source.xml").read_bytes()).now
    assert state is not None
    return state


def said(ran: Ran) -> str:
    return "\n".join(message(event) for event in ran.of(Warned))


def held(session: Session, label: str) -> set[int]:
    """Sizes of the contents with a copy there that counts."""
    key = find_target(session, label).key
    return {identity.size for identity, copy in copies_on(session, key) if copy.standing > Standing.CLAIMED}


def named(source: Path, session: Session, label: str) -> set[bytes]:
    """The files of the source's root whose sidecar names a copy on a target that counts."""
    tid = find_target(session, label).id
    records = parse((source / ".medback.xml").read_bytes()).files.values()
    return {r.name for r in records if any(b.target == tid and b.standing > Standing.CLAIMED for b in r.bds)}


def wanted(session: Session, source: Source) -> dict[bytes, int]:
    return {row.path: row.content.size for row in wanted_files(session, source.key) if row.content is not None}


def older(session: Session, source: Source) -> set[tuple[bytes, int]]:
    return {(row.path, row.content.size) for row in list_gone(session, source.key)}


def sections(drive: Path, name: str = CONTEXT) -> dict[str, bytes]:
    """The bytes of each section by its source."""
    data = (drive / name).read_bytes()
    with open(drive / name, "rb") as stream:
        return {one.id: data[one.begin : one.end] for one in sections_in(stream) if one.tag == "rc"}


def take(session: Session, path: Path, **options: Any) -> Ran:
    return run(add_restore_context(session, os.fsencode(path), **options))


# --- idle runs and new states ------------------------------------------------------------------------------------------


def test_an_idle_run_rewrites_nothing_and_rotates_no_context_away(tmp_path: Path, photos: Path) -> None:
    write_tree(tmp_path / "music", {"song": 400})
    with session_at(tmp_path / "b.db", tmp_path / "music") as other:
        back(other, tmp_path / "t1")
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        back(session, tmp_path / "t2")
        back(session, tmp_path / "t1")
        before = snapshot(tmp_path / "t1", tmp_path / "t2", photos)
        for drive in ("t1", "t2", "t1"):
            back(session, tmp_path / drive)
            assert snapshot(tmp_path / "t1", tmp_path / "t2", photos) == before
    assert set(sections(tmp_path / "t1")) >= {tree_state_id(tmp_path / "music"), tree_state_id(photos)}


def test_contexts_that_are_as_this_session_left_them_are_not_read_again(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(context_file, "sections_in", lambda stream: read.append(stream.name) or sections_in(stream))
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        back(session, tmp_path / "t1")
        read.clear()
        back(session, tmp_path / "t1")
        assert not read
        shutil.copytree(tmp_path / "t1", tmp_path / "image")
        (photos / "b").unlink()
        back(session, tmp_path / "t1", answers=Answers(yes=True, deletions=True))
        for name in (CONTEXT, ".medback-context-1.xml"):
            (tmp_path / "t1" / name).unlink(missing_ok=True)
        shutil.copyfile(tmp_path / "image" / CONTEXT, tmp_path / "t1" / CONTEXT)
        read.clear()
        back(session, tmp_path / "t1")
        assert read


def test_what_a_session_of_before_does_not_know_is_read_though_it_wrote_it(tmp_path: Path, photos: Path) -> None:
    deleted = {(b"b", 200)}
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
    shutil.copyfile(tmp_path / "a.db", tmp_path / "before.db")
    (photos / "b").unlink()
    for db in ("a.db", "a.db", "before.db"):
        with open_session(tmp_path / db) as session:
            back(session, tmp_path / "t1", answers=Answers(yes=True, deletions=True))
            assert older(session, find_source(session, "photos")) == deleted


def tree_state_id(source: Path) -> str:
    return parse_source_metadata((source / ".medback-source.xml").read_bytes()).id


def test_a_drive_has_its_new_state_before_its_first_new_file_has_a_name(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medback_core.backing_up import batches

    announce, seen = batches.announce_landing, []

    def announced(*args: object) -> None:
        seen.append(drive_state(tmp_path / "t1").n)
        announce(*args)  # pyright: ignore[reportArgumentType]

    monkeypatch.setattr(batches, "announce_landing", announced)
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        write_tree(photos, {"new": 400})
        back(session, tmp_path / "t1")
    assert seen == [1, 2]
    assert drive_state(tmp_path / "t1").n == 2


def test_a_kill_between_the_new_state_and_the_change_costs_nothing(
    tmp_path: Path, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from medback_core.backing_up import batches

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        write_tree(photos, {"new": 400})
        with monkeypatch.context() as patch:
            patch.setattr(batches, "announce_landing", killed)
            with pytest.raises(KeyboardInterrupt):
                back(session, tmp_path / "t1")
        assert drive_state(tmp_path / "t1").n == 2
        assert "as it was" not in said(back(session, tmp_path / "t1"))
        assert drive_state(tmp_path / "t1").n == 3
        assert held(session, "t1") == {100, 200, 300, 400}


def test_a_source_has_a_new_state_only_when_its_tree_changed(tmp_path: Path, photos: Path) -> None:
    with session_at(tmp_path / "a.db", photos) as session:
        first = tree_state(photos)
        rescan(session)
        back(session, tmp_path / "t1")
        assert tree_state(photos) == first
        (photos / "a").unlink()
        rescan(session)
        second = tree_state(photos)
        assert second.n == first.n + 1 and first.stamp in second.line
        os.symlink("b", photos / "link")
        rescan(session)
        (photos / "link").unlink()
        rescan(session)
        assert tree_state(photos).n == second.n + 2


# --- the copies on a drive: who knows better -----------------------------------------------------------------------------


def test_a_session_db_from_an_older_copy_believes_what_the_sidecars_know_to_be_gone(
    tmp_path: Path, photos: Path
) -> None:
    session = session_at(tmp_path / "a.db", photos)
    back(session, tmp_path / "t1")
    back(session, tmp_path / "t2")
    session.close()
    shutil.copyfile(tmp_path / "a.db", tmp_path / "older.db")
    with open_session(tmp_path / "a.db") as session:
        (tmp_path / "t2/photos/a").unlink()
        back(session, tmp_path / "t2", update_first=False, limit=0)
        assert held(session, "t2") == {200, 300}
        assert named(photos, session, "t2") == {b"b"}
    (tmp_path / "t2").rename(tmp_path / "away")
    os.replace(tmp_path / "older.db", tmp_path / "a.db")
    with open_session(tmp_path / "a.db") as session:
        assert held(session, "t2") == {100, 200, 300}
        write_tree(photos, {"new": 400})
        rescan(session)
        assert held(session, "t2") == {200, 300}
        assert named(photos, session, "t2") == {b"b"}


def test_two_sessions_that_know_one_source_withdraw_what_the_other_saw_gone(tmp_path: Path, photos: Path) -> None:
    with session_at(tmp_path / "a.db", photos) as ada:
        back(ada, tmp_path / "t1")
        back(ada, tmp_path / "t2")
        with session_at(tmp_path / "b.db", photos) as bob:
            assert held(bob, "t2") == {100, 200, 300}
            (tmp_path / "t2/photos/a").unlink()
            back(ada, tmp_path / "t2", limit=0)
            write_tree(photos, {"new": 400})
            rescan(bob)
            assert held(bob, "t2") == {200, 300}
            assert named(photos, bob, "t2") == {b"b"}
            rescan(ada)
            assert held(ada, "t2") == {200, 300}


def test_records_somebody_wrote_since_are_not_replaced_before_they_are_read(tmp_path: Path, photos: Path) -> None:
    with session_at(tmp_path / "a.db", photos) as ada:
        back(ada, tmp_path / "t1")
        with session_at(tmp_path / "b.db", photos) as bob:
            back(bob, tmp_path / "t2")
            write_tree(photos, {"new": 400})
            rescan(bob)
            state, names = tree_state(photos), named(photos, bob, "t2")
            (tmp_path / "t1/photos/a").unlink()
            (tmp_path / "t1/photos/sub/c").unlink()
            below = (photos / "sub/.medback.xml").read_bytes()
            back(ada, tmp_path / "t1", update_first=False, limit=0)
            set_target(ada, "t1", label="blue")
            assert tree_state(photos) == state and named(photos, bob, "t2") == names
            assert (photos / "sub/.medback.xml").read_bytes() == below
            rescan(ada)
            assert held(ada, "t2") == {100, 200, 300}
            assert named(photos, ada, "blue") == {b"b"} and named(photos / "sub", ada, "blue") == set()


def test_no_record_of_a_source_is_replaced_before_all_that_somebody_wrote_there_is_read(
    tmp_path: Path, photos: Path
) -> None:
    """Not even one that nobody else touched: what is told of it must not be older than what the metadata say it is."""
    with session_at(tmp_path / "a.db", photos) as ada:
        back(ada, tmp_path / "t1")
        with session_at(tmp_path / "b.db", photos) as bob:
            write_tree(photos, {"new": 400})
            rescan(bob)
        below = (photos / "sub/.medback.xml").read_bytes()
        (tmp_path / "t1/photos/sub/c").unlink()
        back(ada, tmp_path / "t1", update_first=False, limit=0)
        assert (photos / "sub/.medback.xml").read_bytes() == below
        rescan(ada)
        assert parse((photos / "sub/.medback.xml").read_bytes()).files[b"c"].bds == ()


def test_of_two_accounts_of_one_number_only_what_both_name_counts_until_the_drive_is_seen(
    tmp_path: Path, photos: Path
) -> None:
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        tid = find_target(session, "t1").id
        for name, change in ((".medback-source.xml", _another_stamp), (".medback.xml", _without_copies_of_a)):
            path = photos / name
            path.write_bytes(change(path.read_bytes(), tid))
        (tmp_path / "t1").rename(tmp_path / "away")
        rescan(session)
        assert held(session, "t1") == {200, 300}
        (tmp_path / "away").rename(tmp_path / "t1")
        back(session, tmp_path / "t1")
        assert held(session, "t1") == {100, 200, 300}


def _another_stamp(data: bytes, tid: str) -> bytes:
    from dataclasses import replace

    from medback_core.sidecar import render_source_metadata

    said = parse_source_metadata(data)
    facts = tuple(replace(fact, stamp="f" * 16) if fact.id == tid else fact for fact in said.targets)
    return render_source_metadata(replace(said, targets=facts))


def _without_copies_of_a(data: bytes, _: str) -> bytes:
    from medback_core.sidecar import render

    sidecar = parse(data)
    sidecar.files[b"a"].bds = ()
    return render(sidecar)


def test_a_drive_restored_from_an_old_image_is_told_looked_at_and_outranked(
    tmp_path: Path, photos: Path, clock: list[int]
) -> None:
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        shutil.copytree(tmp_path / "t1", tmp_path / "image")
        clock[0] += 3 * DAY
        write_tree(photos, {"new": 400})
        back(session, tmp_path / "t1")
        assert held(session, "t1") == {100, 200, 300, 400} and drive_state(tmp_path / "t1").n == 2
        shutil.rmtree(tmp_path / "t1")
        (tmp_path / "image").rename(tmp_path / "t1")
        ran = back(session, tmp_path / "t1", limit=0)
        assert f"t1 is as it was before {day(clock[0])}" in said(ran)
        assert held(session, "t1") == {100, 200, 300}
        assert drive_state(tmp_path / "t1").n == 3
        assert "as it was" not in said(back(session, tmp_path / "t1"))


def test_a_number_read_anywhere_is_never_given_again(tmp_path: Path, photos: Path) -> None:
    """The session DB and the drive are both from an older copy: the source alone knows how far the drive had come."""
    session_at(tmp_path / "a.db", photos).close()
    with open_session(tmp_path / "a.db") as session:
        back(session, tmp_path / "t1")
    shutil.copyfile(tmp_path / "a.db", tmp_path / "older.db")
    shutil.copytree(tmp_path / "t1", tmp_path / "image")
    with open_session(tmp_path / "a.db") as session:
        for number in range(3):
            write_tree(photos, {f"new{number}": 400 + number})
            back(session, tmp_path / "t1")
    assert drive_state(tmp_path / "t1").n == 4
    shutil.rmtree(tmp_path / "t1")
    (tmp_path / "image").rename(tmp_path / "t1")
    os.replace(tmp_path / "older.db", tmp_path / "a.db")
    with open_session(tmp_path / "a.db") as session:
        assert "t1 is older than its last known state" in said(back(session, tmp_path / "t1", limit=0))
        assert drive_state(tmp_path / "t1").n == 5
        assert held(session, "t1") == {100, 200, 300}


def test_a_clone_that_somebody_else_wrote_to_is_told_and_only_what_lies_there_counts(
    tmp_path: Path, photos: Path
) -> None:
    write_tree(tmp_path / "music", {"song": 500})
    with session_at(tmp_path / "a.db", photos) as ada, session_at(tmp_path / "b.db", tmp_path / "music") as bob:
        back(ada, tmp_path / "t1")
        shutil.copytree(tmp_path / "t1", tmp_path / "clone")
        write_tree(photos, {"new": 400})
        back(ada, tmp_path / "t1")
        (tmp_path / "t1").rename(tmp_path / "away")
        (tmp_path / "clone").rename(tmp_path / "t1")
        back(bob, tmp_path / "t1")
        assert drive_state(tmp_path / "t1").n == 2
        ran = back(ada, tmp_path / "t1", limit=0)
        assert "restored from an image, or cloned?" in said(ran)
        assert held(ada, "t1") == {100, 200, 300}
        assert drive_state(tmp_path / "t1").n == 3


def test_a_source_from_an_old_image_is_told_and_gets_a_state_above_all(
    tmp_path: Path, photos: Path, clock: list[int]
) -> None:
    with session_at(tmp_path / "a.db", photos) as session:
        shutil.copytree(photos, tmp_path / "image", symlinks=True)
        shutil.copyfile(photos / ".medback-source.xml", tmp_path / "first.xml")
        write_tree(photos, {"new": 400})
        clock[0] += DAY
        rescan(session)
        newest = tree_state(photos)
        shutil.rmtree(photos)
        (tmp_path / "image").rename(photos)
        assert f"photos is as it was before {day(clock[0])}" in said(rescan(session, answers=Answers(deletions=True)))
        state = tree_state(photos)
        assert state.n > newest.n and newest.stamp in state.line
        assert "as it was" not in said(rescan(session))
        shutil.copyfile(tmp_path / "first.xml", photos / ".medback-source.xml")  # and only this one file, once more
        assert "photos is as it was before" in said(rescan(session))
        assert tree_state(photos).n > state.n


# --- contexts ------------------------------------------------------------------------------------------------------------


def written(session: Session, path: Path) -> Path:
    write_restore(session, os.fsencode(path))
    return path


@pytest.fixture
def tales(tmp_path: Path, photos: Path, clock: list[int]) -> tuple[Path, Path]:
    """Two contexts of one session: an older one, and one of after a file changed, one went and one came."""
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        write_tree(photos, {"scratch": 50})  # no drive ever has it
        rescan(session)
        first = written(session, tmp_path / "first.xml")
        clock[0] += DAY
        write_tree(photos, {"a": 111, "new": 400}, mtime_ns=None)
        (photos / "b").unlink()
        (photos / "scratch").unlink()
        back(session, tmp_path / "t2")
        second = written(session, tmp_path / "second.xml")
    os.utime(second, (1, 1))  # what a file's own date says is nothing where there are states
    shutil.rmtree(photos)
    return first, second


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1, 0)])
def test_newer_wins_over_older_whatever_the_order_of_imports(
    tmp_path: Path, tales: tuple[Path, Path], order: tuple[int, ...]
) -> None:
    with open_session(tmp_path / "new.db") as fresh:
        for which in order:
            take(fresh, tales[which])
        (source,) = list_sources(fresh)
        assert wanted(fresh, source) == {b"a": 111, b"new": 400, b"sub/c": 300}
        assert older(fresh, source) == {(b"a", 100), (b"b", 200)}


def test_replace_still_replaces_newer_by_older(tmp_path: Path, tales: tuple[Path, Path]) -> None:
    with open_session(tmp_path / "new.db") as fresh:
        take(fresh, tales[1])
        take(fresh, tales[0], replace=True)
        (source,) = list_sources(fresh)
        assert wanted(fresh, source) == {b"a": 100, b"b": 200, b"scratch": 50, b"sub/c": 300}


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_what_split_is_united_and_both_versions_are_kept(
    tmp_path: Path, photos: Path, clock: list[int], order: tuple[int, int]
) -> None:
    """One session DB, copied to another machine: each goes on without knowing the other."""
    session_at(tmp_path / "a.db", photos).close()
    shutil.copyfile(tmp_path / "a.db", tmp_path / "b.db")
    shutil.copytree(photos, tmp_path / "image")
    with open_session(tmp_path / "a.db") as ada:
        clock[0] += DAY
        write_tree(photos, {"a": 111, "ada": 500}, mtime_ns=None)
        back(ada, tmp_path / "t1")
    shutil.rmtree(photos)
    (tmp_path / "image").rename(photos)
    with open_session(tmp_path / "b.db") as bob:
        clock[0] += DAY
        write_tree(photos, {"a": 122, "bob": 600}, mtime_ns=None)
        back(bob, tmp_path / "t2")
    shutil.rmtree(photos)
    told = [tmp_path / "t1" / CONTEXT, tmp_path / "t2" / CONTEXT]
    with open_session(tmp_path / "new.db") as fresh:
        take(fresh, told[order[0]])
        assert "differ in 1 file. Both versions are kept" in said(take(fresh, told[order[1]]))
        (source,) = list_sources(fresh)
        assert wanted(fresh, source) == {b"a": 122, b"ada": 500, b"b": 200, b"bob": 600, b"sub/c": 300}
        assert (b"a", 111) in older(fresh, source)
        assert "split" not in said(take(fresh, told[order[0]]))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_contexts_of_the_version_before_go_by_the_dates_of_their_files(
    tmp_path: Path, tales: tuple[Path, Path], order: tuple[int, int]
) -> None:
    for path, date in zip(tales, (1_000_000_000, 1_000_086_400), strict=True):
        path.write_bytes(stateless(path.read_bytes()))
        os.utime(path, (date, date))
    with open_session(tmp_path / "new.db") as fresh:
        for which in order:
            take(fresh, tales[which])
        (source,) = list_sources(fresh)
        # Nobody says which of the two descends from the other: what only one tells of may be needed still.
        assert wanted(fresh, source) == {b"a": 111, b"new": 400, b"scratch": 50, b"sub/c": 300}
        assert (b"a", 100) in older(fresh, source)


def stateless(data: bytes) -> bytes:
    """As the version before wrote it."""
    data = re.sub(rb'(<(?:rc|dr) [^>]*?) mode="[^"]*" mtime="[^"]*"', rb"\1", data)
    data = re.sub(rb' (?:at|by|line|n|stamp)="[^"]*"', b"", data)
    return re.sub(rb"<check [^>]*>\n", b"", data)


def test_an_edited_context_is_told_and_taken(tmp_path: Path, tales: tuple[Path, Path]) -> None:
    tales[1].write_bytes(tales[1].read_bytes().replace(b'name="new"', b'name="neu"'))
    with open_session(tmp_path / "new.db") as fresh:
        assert "it was edited, or a part of it is missing" in said(take(fresh, tales[1]))
        (source,) = list_sources(fresh)
        assert b"neu" in wanted(fresh, source)


def test_a_friends_section_stays_word_for_word_through_imports_and_rotations(tmp_path: Path, photos: Path) -> None:
    write_tree(tmp_path / "music", {"song": 400})
    with session_at(tmp_path / "b.db", tmp_path / "music") as bob:
        back(bob, tmp_path / "t1")
    music = tree_state_id(tmp_path / "music")
    theirs = sections(tmp_path / "t1")[music]
    shutil.rmtree(tmp_path / "music")
    with session_at(tmp_path / "a.db", photos) as ada:
        take(ada, tmp_path / "t1" / CONTEXT)
        for number in range(5):
            write_tree(photos, {f"new{number}": 500 + number})
            back(ada, tmp_path / "t1")
            assert sections(tmp_path / "t1")[music] == theirs
        back(ada, tmp_path / "t2")
        assert sections(tmp_path / "t2")[music] == theirs
    with open_session(tmp_path / "new.db") as fresh:
        take(fresh, tmp_path / "t1" / CONTEXT)
        assert wanted(fresh, find_source(fresh, "music")) == {b"song": 400}


def test_a_rotation_keeps_what_only_an_older_context_tells(tmp_path: Path, photos: Path) -> None:
    """The newest context there is damaged, or a program that knew nothing of it wrote over it: the ones before have it."""
    write_tree(tmp_path / "music", {"song": 400})
    with session_at(tmp_path / "b.db", tmp_path / "music") as bob:
        back(bob, tmp_path / "t1")
    music = tree_state_id(tmp_path / "music")
    theirs = sections(tmp_path / "t1")[music]
    with session_at(tmp_path / "a.db", photos) as ada:
        back(ada, tmp_path / "t1")
        (tmp_path / "t1" / CONTEXT).write_bytes(b"<root v='1'/>")
        for number in range(4):
            write_tree(photos, {f"new{number}": 500 + number})
            back(ada, tmp_path / "t1")
        assert sections(tmp_path / "t1")[music] == theirs


def test_what_another_session_told_of_a_source_is_read_before_its_section_is_replaced(
    tmp_path: Path, photos: Path, clock: list[int]
) -> None:
    """Two copies of one source: what the other one had is an older version here, and not forgotten."""
    session_at(tmp_path / "a.db", photos).close()
    shutil.copyfile(tmp_path / "a.db", tmp_path / "b.db")
    shutil.copytree(photos, tmp_path / "image")
    with open_session(tmp_path / "b.db") as bob:
        clock[0] += 2 * DAY  # later than what is written here
        write_tree(photos, {"bob": 600, "a": 122}, mtime_ns=None)
        back(bob, tmp_path / "t2")
    shutil.rmtree(photos)
    (tmp_path / "image").rename(photos)
    with open_session(tmp_path / "a.db") as ada:
        clock[0] -= DAY
        write_tree(photos, {"ada": 700})
        back(ada, tmp_path / "t1", limit=0)
        shutil.copyfile(tmp_path / "t2" / CONTEXT, tmp_path / "t1" / CONTEXT)
        back(ada, tmp_path / "t1")
        source = find_source(ada, "photos")
        assert older(ada, source) == {(b"bob", 600), (b"a", 122)}
        assert wanted(ada, source) == {b"a": 100, b"ada": 700, b"b": 200, b"sub/c": 300}
        assert len(re.findall(rb"<rc ", (tmp_path / "t1" / CONTEXT).read_bytes())) == 1
        assert b'name="bob"' in (tmp_path / "t1" / CONTEXT).read_bytes()
        before = snapshot(tmp_path / "t1", photos)
        back(ada, tmp_path / "t1")
        assert snapshot(tmp_path / "t1", photos) == before
        known = known_state(ada, SOURCE, source.id)
        assert known is not None and known == tree_state(photos)


def test_sections_of_the_version_before_do_not_pile_up(tmp_path: Path, photos: Path) -> None:
    """A machine with the version before writes its source's section anew at each run, without a state."""
    write_tree(tmp_path / "music", {"song": 400})
    with session_at(tmp_path / "a.db", photos) as ada, session_at(tmp_path / "b.db", tmp_path / "music") as bob:
        back(ada, tmp_path / "t1")
        for number in range(4):
            write_tree(tmp_path / "music", {f"song{number}": 500 + number})
            back(bob, tmp_path / "t1")
            path = tmp_path / "t1" / CONTEXT
            path.write_bytes(stateless(path.read_bytes()))
            write_tree(photos, {f"new{number}": 600 + number})
            back(ada, tmp_path / "t1")
        data = (tmp_path / "t1" / CONTEXT).read_bytes()
        assert len(re.findall(rb"<rc ", data)) == 2
        assert b'name="song3"' in data and b'name="new3"' in data


def test_a_time_after_2262_comes_through_a_context_and_the_session(tmp_path: Path) -> None:
    line = '<file name="x" size="7" mtime="13569465600.123456789" md5="9a0364b9e99bb480dd25e1f0284c8555"/>'
    early = line.replace('"x"', '"y"').replace('mtime="', 'mtime="-')
    path = tmp_path / "context.xml"
    path.write_text(f'<root v="1"><rc id="s" src_path="/no/where">{line}{early}</rc></root>')
    with open_session(tmp_path / "new.db") as fresh:
        take(fresh, path)
        take(fresh, path)
        said = b"".join(context_of(fresh)).decode()
        assert 'mtime="13569465600.123456789"' in said and 'mtime="-13569465600.123456789"' in said


def test_a_context_edited_on_the_drive_is_read_before_it_is_replaced(tmp_path: Path, photos: Path) -> None:
    """Its section still has the stamp it had, and no longer says what that stands for."""
    with session_at(tmp_path / "a.db", photos) as session:
        back(session, tmp_path / "t1")
        path = tmp_path / "t1" / CONTEXT
        (line,) = (line for line in path.read_bytes().splitlines(True) if b'name="a"' in line)
        added = re.sub(rb'md5="[0-9a-f]+"', b'md5="9a0364b9e99bb480dd25e1f0284c8555"', line)
        added = added.replace(b'name="a" size="100"', b'name="added" size="7"')
        path.write_bytes(path.read_bytes().replace(line, line + added))
        back(session, tmp_path / "t1")
        source = find_source(session, "photos")
        assert wanted(session, source).keys() == {b"a", b"b", b"sub/c"}
        assert older(session, source) == {(b"added", 7)}
        data = path.read_bytes()
        assert data.count(b"<rc ") == 1 and b'name="added"' in data


def test_a_scan_that_is_killed_leaves_a_state_that_descends_from_the_one_before(tmp_path: Path):
    """Else the next scan takes that for all there was, and tells of a tree that split from what the drives remember."""
    photos = tmp_path / "photos"
    write_tree(photos, {"a": 10, "b/c": 20})
    with open_session(tmp_path / "first.db") as session:
        run(add_source(session, os.fsencode(photos)))
    first = parse_source_metadata((photos / ".medback-source.xml").read_bytes())
    write_tree(photos, {"b/new": 30})
    announced, number, killed = 0, 20, True
    while killed:
        number, killed = number + 2, False
        shutil.copytree(photos, tmp_path / "w")
        try:
            with watched(Killer(number)), open_session(tmp_path / f"{number}.db") as session:
                run(add_source(session, os.fsencode(tmp_path / "w")))
        except Killed:
            killed = True
        now = parse_source_metadata((tmp_path / "w/.medback-source.xml").read_bytes()).now
        assert now is not None and first.now is not None
        if now.stamp != first.now.stamp:
            announced += killed
            assert first.now.stamp in now.line, number
        shutil.rmtree(tmp_path / "w")
    assert announced
