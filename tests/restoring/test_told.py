"""A drive tells its story: what it remembers is announced, planned with, and taken up when a restore begins."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from medback_core.presenting.refusals import message
from medback_core import model
from medback_core.contexts.load import add_restore_context
from medback_core.coverage.totals import coverage
from medback_core.drives.drive import identity_at
from medback_core.drives.story import Story, story_at
from medback_core.errors import NeedsAnswer, Refused
from medback_core.model import (
    Answers,
    Conflict,
    DamageFound,
    DeletedSince,
    Remembers,
    SourceRefused,
    UpdateSummary,
    Warned,
)
from medback_core.restoring.plan import restore_plan
from medback_core.restoring.restore import restore
from medback_core.restoring.status import finish_restore, restore_status
from medback_core.restoring.told import Told, listen, news_of, refuse
from medback_core.session import Session, open_session
from medback_core.session.expected import has_expected
from medback_core.session.gone import list_gone
from medback_core.session.sources import list_sources, save_source
from medback_core.session.targets import list_targets
from medback_core.sources.identity import metadata_at
from medback_core.upkeep.verify_target import verify
from support.worlds import Ran, add, back, new_session, rescan, run, tree, write_tree

DAY = 86_400
FIRST = {"photos/a": b"first", "photos/b": 2000, "photos/sub/c": 70_000, "docs/d": 10}


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets the date of the core."""
    now = [1_790_000_000]
    monkeypatch.setattr(model, "now", lambda: now[0])

    def later(seconds: int) -> None:
        now[0] += seconds

    return later


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Where each test has its drives, and what they were when they were made."""
    return tmp_path_factory.mktemp("lost"), tmp_path_factory.mktemp("as made")


@pytest.fixture
def lost(places: tuple[Path, Path], clock: Callable[[int], None]) -> Path:
    """Three drives of different age, and the machine is gone. White is the oldest, Red the newest: since Blue was
    written, `a` changed, `b` was deleted and `e` is new."""
    where, as_made = places
    if not (as_made / "as it was").exists():
        _lose(where, clock)
        shutil.copytree(where, as_made, dirs_exist_ok=True)
    else:
        clock(2 * DAY)
    shutil.rmtree(where)
    shutil.copytree(as_made, where)
    clock(DAY)
    return where


def _lose(where: Path, clock: Callable[[int], None]) -> None:
    home = where / "home"
    write_tree(home, FIRST)
    with new_session(where) as session:
        for name in ("photos", "docs"):
            add(session, home / name)
        back(session, where / "white")
        clock(DAY)
        back(session, where / "blue")
        clock(DAY)
        write_tree(home, {"photos/a": b"second"}, mtime_ns=1_750_000_000_000_000_000)
        write_tree(home, {"photos/e": 3000})
        os.unlink(home / "photos/b")
        rescan(session, answers=Answers(deletions=True, changes=True))
        back(session, where / "red")
    home.rename(where / "as it was")
    for left in where.glob("session.db*"):
        left.unlink()


@pytest.fixture
def fresh(lost: Path):
    with new_session(lost) as session:
        yield session


def heard(session: Session, *drives: Path) -> tuple[ExitStack, Told]:
    stack = ExitStack()
    return stack, run(listen(session, stack, [os.fsencode(drive) for drive in drives])).summary


def to(session: Session, drive: Path, goal: Path, **options) -> Ran:
    return run(restore(session, str(drive), to=os.fsencode(goal), **options))


def newest(lost: Path) -> dict:
    return tree(lost / "as it was")


def knows_nothing(session: Session) -> bool:
    return not list_sources(session) and not list_targets(session, unknown=True) and not has_expected(session)


# --- what the identity says ---------------------------------------------------------------------------------------


def test_the_identity_says_what_its_context_tells_and_where_that_lies(lost: Path):
    identity = identity_at(os.fsencode(lost / "red"))
    assert identity is not None
    assert {(told.alias, told.files) for told in identity.remembers} == {("photos", 3), ("docs", 1)}
    assert sum(told.bytes for told in identity.remembers) == len(b"second") + 3000 + 70_000 + 10
    assert [holder.label for holder in identity.holders] == ["blue", "red", "white"]
    story = story_at(os.fsencode(lost / "red"))
    assert story is not None and (story.label, story.count.files) == ("red", 4)


def test_a_source_of_which_all_is_deleted_is_remembered_by_that(tmp_path: Path):
    """An older drive says what its files were: the newer word is that they are gone, and which versions there were."""
    write_tree(tmp_path / "photos", {"a": 100, "b": 200})
    with open_session(tmp_path / "old.db") as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        for name in "ab":
            (tmp_path / "photos" / name).unlink()
        (tmp_path / "photos" / "later").mkdir()  # not empty: its drive is there
        assert rescan(session, answers=Answers(deletions=True)).of(UpdateSummary)[-1].refused == ()
        back(session, tmp_path / "blue")
    story = story_at(os.fsencode(tmp_path / "blue"))
    assert story is not None and [(told.alias, told.files) for told in story.sections] == [("photos", 0)]
    (tmp_path / "blue/.medback-target.xml").write_bytes(b"not readable")  # then its context is asked
    again = story_at(os.fsencode(tmp_path / "blue"))
    assert again is not None and [(told.alias, told.files) for told in again.sections] == [("photos", 0)]
    with open_session(tmp_path / "new.db") as session:
        run(restore(session, str(tmp_path / "blue"), to=os.fsencode(tmp_path / "back")))
        assert {gone.path for gone in list_gone(session, list_sources(session)[0].key)} == {b"a", b"b"}


def test_what_is_not_back_when_a_person_says_that_a_restore_is_over_is_remembered_as_gone(tmp_path: Path):
    """No path is dropped: what the session tells of the source next has it as deleted, and it can be asked for."""
    write_tree(tmp_path / "photos", {"a": 100, "b": 200})
    with open_session(tmp_path / "old.db") as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
    shutil.rmtree(tmp_path / "photos")
    with open_session(tmp_path / "new.db") as session:
        run(add_restore_context(session, os.fsencode(tmp_path / "blue/.medback-context.xml")))
        run(restore(session, str(tmp_path / "blue"), path=b"a", answers=Answers(in_place=True)))
        finish_restore(session)
        assert [gone.path for gone in list_gone(session, list_sources(session)[0].key)] == [b"b"]


def test_announcing_reads_nothing_but_the_identity(lost: Path):
    (lost / "red/.medback-context.xml").write_bytes(b"not to be read")
    story = story_at(os.fsencode(lost / "red"))
    assert story is not None and story.count.files == 4


def test_a_drive_of_the_version_before_tells_by_its_newest_readable_context(lost: Path):
    file = lost / "red/.medback-target.xml"
    lines = [
        line for line in file.read_bytes().splitlines(True) if b"<remembers" not in line and b"<holder" not in line
    ]
    file.write_bytes(b"".join(lines))
    story = story_at(os.fsencode(lost / "red"))
    assert story is not None and (story.count.files, len(story.sections)) == (4, 2)
    assert [holder.label for holder in story.holders] == ["blue", "red", "white"]
    shutil.copy(lost / "red/.medback-context.xml", lost / "red/.medback-context-1.xml")
    (lost / "red/.medback-context.xml").write_bytes(b"<root v='1'><rc")
    again = story_at(os.fsencode(lost / "red"))
    assert again is not None and again.count.files == 4


def test_a_backup_of_nothing_new_leaves_the_identity_as_it_was(tmp_path: Path, clock: Callable[[int], None]):
    write_tree(tmp_path / "photos", {"a": 100})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        before = (tmp_path / "blue/.medback-target.xml").read_bytes()
        clock(DAY)
        rescan(session)
        back(session, tmp_path / "blue")
        assert (tmp_path / "blue/.medback-target.xml").read_bytes() == before


def test_what_another_session_is_remembered_for_stays_said(tmp_path: Path):
    for name in ("ada", "ben"):
        write_tree(tmp_path / name / "files", {name: 100})
        with open_session(tmp_path / f"{name}.db") as session:
            add(session, tmp_path / name / "files", alias=name)
            back(session, tmp_path / "blue")
    story = story_at(os.fsencode(tmp_path / "blue"))
    assert story is not None and sorted(told.alias for told in story.sections) == ["ada", "ben"]


# --- looking and planning -----------------------------------------------------------------------------------------


def test_a_plan_and_a_status_know_what_the_drive_knows_and_the_session_learns_nothing(fresh: Session, lost: Path):
    stack, told = heard(fresh, lost / "blue")
    with stack:
        assert [story.label for story in told.taken] == ["blue"]
        plan = run(restore_plan(told.session)).summary
        assert (plan.missing.files, plan.unreachable.files, len(plan.steps)) == (4, 0, 1)
        found = run(restore_status(told.session)).summary
        assert (found.expected, found.missing, found.next.target.label) == (4, 4, plan.steps[0].target.label)
    assert knows_nothing(fresh) and coverage(fresh).files == 0


def test_a_session_with_sources_of_its_own_is_only_offered_it(lost: Path, tmp_path: Path, monkeypatch):
    write_tree(tmp_path / "mine", {"x": 1})
    with new_session(lost) as session:
        add(session, tmp_path / "mine")
        back(session, lost / "blue")  # another machine's drive, used here too
        stack, told = heard(session)
        with stack:
            assert not told.taken and [story.label for story in told.offered] == ["blue"]
            assert told.session is session
        stack, told = heard(session, lost / "blue")  # named: taken up
        with stack:
            assert told.taken and len(list_sources(told.session)) == 3
        assert len(list_sources(session)) == 1


def test_a_no_is_remembered_until_the_drive_remembers_something_else(fresh: Session, lost: Path):
    story = story_at(os.fsencode(lost / "blue"))
    assert story is not None
    run_told = lambda: run(listen(fresh, ExitStack(), [])).summary
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("medback_core.restoring.told.stories", lambda session, places=(): [story])
        assert run_told().taken
        refuse(fresh, [story])
        assert not run_told().taken and not run_told().offered
        changed = Story(story.path, story.id, story.label, story.sections, story.holders, "another")
        patch.setattr("medback_core.restoring.told.stories", lambda session, places=(): [changed])
        assert run_told().taken


# --- restoring ----------------------------------------------------------------------------------------------------


def test_to_another_place_no_question_is_asked_and_all_comes_back(fresh: Session, lost: Path):
    ran = to(fresh, lost / "red", lost / "out")
    assert [told.files for told in ran.of(Remembers)] == [4]
    to(fresh, lost / "white", lost / "out")
    summary = to(fresh, lost / "blue", lost / "out").summary
    assert summary.missing == 0 and tree(lost / "out") == newest(lost)


def test_what_is_newer_on_a_further_drive_replaces_what_the_restore_put_there(fresh: Session, lost: Path):
    to(fresh, lost / "white", lost / "out")
    assert (lost / "out/photos/a").read_bytes() == b"first"
    ran = to(fresh, lost / "red", lost / "out")
    assert not ran.of(Conflict)
    assert [os.path.basename(gone.path) for gone in ran.of(DeletedSince)] == [b"b"]
    assert (lost / "out/photos/b").exists()  # listed, not removed
    (lost / "out/photos/b").unlink()
    assert tree(lost / "out") == newest(lost)
    assert to(fresh, lost / "blue", lost / "out").summary.restored == 0  # older: it changes nothing back
    assert (lost / "out/photos/a").read_bytes() == b"second"


def test_what_somebody_changed_since_the_restore_is_a_conflict(fresh: Session, lost: Path):
    to(fresh, lost / "white", lost / "out")
    (lost / "out/photos/a").write_bytes(b"mine!")
    ran = to(fresh, lost / "red", lost / "out")
    assert [os.path.basename(one.path) for one in ran.of(Conflict)] == [b"a"]
    assert (lost / "out/photos/a").read_bytes() == b"mine!"


def test_what_was_there_before_the_restore_does_not_give_way(fresh: Session, lost: Path):
    write_tree(lost / "out", {"photos/a": b"first"})  # not put there by us, if equal to the older version
    to(fresh, lost / "white", lost / "out")
    ran = to(fresh, lost / "red", lost / "out")
    assert [os.path.basename(one.path) for one in ran.of(Conflict)] == [b"a"]
    assert (lost / "out/photos/a").read_bytes() == b"first"


def test_the_end_says_of_when_it_knows_and_which_drive_was_not_heard(fresh: Session, lost: Path):
    white = identity_at(os.fsencode(lost / "white"))
    assert white is not None and white.now is not None
    summary = to(fresh, lost / "blue", lost / "out").summary
    assert [(target.label, target.seen_at) for target in summary.unheard] == [("white", white.now.at)]
    story = story_at(os.fsencode(lost / "blue"))
    assert story is not None and summary.as_of == story.at
    summary = to(fresh, lost / "red", lost / "out").summary
    assert [target.label for target in summary.unheard] == ["white"]
    assert summary.as_of == story_at(os.fsencode(lost / "red")).at > story.at  # type: ignore[union-attr]
    assert to(fresh, lost / "white", lost / "out").summary.unheard == ()


def test_a_dry_run_tells_what_would_come_back_and_the_session_learns_nothing(fresh: Session, lost: Path):
    assert to(fresh, lost / "red", lost / "out", dry_run=True).summary.restored == 4
    assert knows_nothing(fresh) and not (lost / "out").exists()


# --- to the original places ---------------------------------------------------------------------------------------


def test_to_the_places_of_sources_never_on_this_machine_is_a_question(fresh: Session, lost: Path):
    with pytest.raises(NeedsAnswer) as asked:
        run(restore(fresh, str(lost / "red")))
    assert asked.value.kind == "in-place" and "--in-place" in message(asked.value)
    words = message(asked.value)
    assert str(lost / "red") in words and str(lost / "home/photos") in words and "4 files" in words
    assert knows_nothing(fresh) and not (lost / "home").exists()
    assert not list(lost.glob("session.db.context*")) and not (lost / "session.db.sources").read_text().strip()
    run(restore(fresh, str(lost / "red"), answers=Answers(in_place=True)))
    run(restore(fresh, str(lost / "blue")))  # answered
    assert tree(lost / "home") == newest(lost)


def test_the_question_is_asked_again_when_the_session_was_lost_in_the_middle(fresh: Session, lost: Path):
    to(fresh, lost / "blue", lost / "out")
    fresh.close()
    for left in lost.glob("session.db*"):
        if b".context-" not in os.fsencode(left):
            left.unlink()
    with new_session(lost) as session, pytest.raises(NeedsAnswer):
        run(restore(session, str(lost / "blue")))
    assert not (lost / "home").exists()


def test_who_imports_the_context_by_hand_has_answered(fresh: Session, lost: Path):
    run(add_restore_context(fresh, os.fsencode(lost / "red/.medback-context.xml")))
    run(restore(fresh, str(lost / "red")))
    run(restore(fresh, str(lost / "blue")))
    assert tree(lost / "home") == newest(lost)


def test_somebody_elses_source_at_a_path_of_ours_is_another_source(fresh: Session, lost: Path):
    write_tree(lost / "home/photos", {"mine": 5})
    add(fresh, lost / "home/photos")
    mine = list_sources(fresh)[0]
    to(fresh, lost / "red", lost / "out")
    assert {source.alias for source in list_sources(fresh)} == {"photos", "photos-2", "docs"}
    assert list_sources(fresh)[0] == mine
    assert (lost / "out/photos-2/e").exists() and not (lost / "out/photos/e").exists()


def test_a_restore_of_our_own_leaves_alone_what_the_drive_remembers_of_others(lost: Path, tmp_path: Path):
    write_tree(tmp_path / "mine", {"x": 10})
    with new_session(lost) as session:
        add(session, tmp_path / "mine")
        back(session, lost / "blue")
        os.unlink(tmp_path / "mine/x")
        ran = run(restore(session, str(lost / "blue")))
        assert ran.summary.restored == 1 and len(list_sources(session)) == 1
        assert any("also knows" in message(warned) for warned in ran.of(Warned))
        with pytest.raises(NeedsAnswer):
            run(restore(session, str(lost / "blue"), source="docs"))


# --- a drive that does not say who it is --------------------------------------------------------------------------


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _garbage(path: Path) -> None:
    path.write_bytes(b"\0garbage" * 100)


def _unreadable(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _missing(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("spoil", [_empty, _garbage, _unreadable, _missing])
def test_a_drive_that_does_not_say_who_it_is_is_restored_from_and_verified(fresh: Session, lost: Path, spoil):
    spoil(lost / "red/.medback-target.xml")
    spoil(lost / "blue/.medback-target.xml")
    before = tree(lost / "red", metadata=True)
    ran = to(fresh, lost / "red", lost / "out")
    if spoil is not _missing:
        assert any("does not say which drive it is" in message(warned) for warned in ran.of(Warned))
    to(fresh, lost / "blue", lost / "out")
    assert tree(lost / "out") == newest(lost)
    read = run(verify(fresh, os.fsencode(lost / "red")))
    assert (read.summary.damaged, read.summary.missing) == (0, 0) and read.summary.same == read.summary.checked > 0
    (file,) = (lost / "red").rglob("e")
    was = file.stat()
    file.write_bytes(b"?" * was.st_size)
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert [os.path.basename(one.path) for one in run(verify(fresh, os.fsencode(lost / "red"))).of(DamageFound)] == [
        b"e"
    ]
    file.write_bytes(tree(lost / "as it was")[b"photos/e"][0])
    os.utime(file, ns=(was.st_atime_ns, was.st_mtime_ns))
    assert tree(lost / "red", metadata=True) == before


def test_a_known_drive_whose_identity_is_damaged_is_restored_from(tmp_path: Path):
    write_tree(tmp_path / "photos", {"a": 100})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        _garbage(tmp_path / "blue/.medback-target.xml")
        os.unlink(tmp_path / "photos/a")
        assert run(restore(session, str(tmp_path / "blue"))).summary.restored == 1


def test_an_empty_place_of_a_drive_is_a_drive_not_plugged_in(tmp_path: Path):
    write_tree(tmp_path / "photos", {"a": 100})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        shutil.rmtree(tmp_path / "blue")
        (tmp_path / "blue").mkdir()
        with pytest.raises(Refused) as refused:
            run(restore(session, str(tmp_path / "blue")))
        assert refused.value.kind == "not-plugged-in" and "--" not in message(refused.value)


def test_what_gives_way_is_missing_to_a_plan_and_a_status(fresh: Session, lost: Path):
    to(fresh, lost / "white", lost / "out")
    stack, told = heard(fresh, lost / "red")
    with stack:
        plan = run(restore_plan(told.session, to=os.fsencode(lost / "out"))).summary
        assert (plan.missing.files, plan.differing) == (2, 0)  # `a`, and `e`, which is new
        found = run(restore_status(told.session, to=os.fsencode(lost / "out"))).summary
        assert (found.missing, found.differing) == (2, 0)


def test_an_older_version_never_replaces_what_a_restore_put_there(fresh: Session, lost: Path):
    to(fresh, lost / "red", lost / "out")
    ran = to(fresh, lost / "white", lost / "out", deleted=True, path=b"a")
    assert (lost / "out/photos/a").read_bytes() == b"second" and not ran.summary.restored


def test_what_was_scanned_here_gives_way_to_nothing(tmp_path: Path, clock: Callable[[int], None]):
    write_tree(tmp_path / "photos", {"a": b"first"})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        old = (tmp_path / "blue/.medback-context.xml").read_bytes()
        write_tree(tmp_path / "photos", {"a": b"second"}, mtime_ns=1_750_000_000_000_000_000)
        rescan(session, answers=Answers(changes=True))
        back(session, tmp_path / "blue")
        os.unlink(tmp_path / "photos/a")
        run(restore(session, str(tmp_path / "blue")))
        (tmp_path / "old.xml").write_bytes(old)
        run(add_restore_context(session, os.fsencode(tmp_path / "old.xml")))
        run(restore(session, str(tmp_path / "blue")))
        assert (tmp_path / "photos/a").read_bytes() == b"second"


def test_an_import_by_hand_answers_for_what_a_drive_told_before(fresh: Session, lost: Path):
    to(fresh, lost / "red", lost / "out")
    with pytest.raises(NeedsAnswer):
        run(restore(fresh, str(lost / "red")))
    run(add_restore_context(fresh, os.fsencode(lost / "red/.medback-context.xml")))
    run(restore(fresh, str(lost / "red")))
    run(restore(fresh, str(lost / "blue")))
    assert tree(lost / "home") == newest(lost)


def test_a_scan_answers_too(fresh: Session, lost: Path):
    to(fresh, lost / "red", lost / "out")
    for source in list_sources(fresh):
        assert not source.in_place
        save_source(fresh, replace(source, scanned_at=model.now()))
    assert all(source.in_place for source in list_sources(fresh))


def test_into_another_source_nothing_goes(fresh: Session, lost: Path):
    write_tree(lost / "home", {"mine": 5})
    add(fresh, lost / "home")
    refused = run(restore(fresh, str(lost / "red"), source="photos", answers=Answers(in_place=True))).of(SourceRefused)
    assert [one.kind for one in refused] == ["overlap"] and "--to" in message(refused[0].refusal)
    assert os.listdir(lost / "home") != [] and not (lost / "home/photos").exists()


def test_what_was_scanned_here_outranks_a_drive_another_machine_wrote(tmp_path: Path):
    write_tree(tmp_path / "photos", {"a": 100})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
    shutil.copy(tmp_path / "session.db", tmp_path / "other.db")
    with open_session(tmp_path / "other.db") as other:
        write_tree(tmp_path / "photos", {"b": 100})
        rescan(other)
        back(other, tmp_path / "blue")
    story = story_at(os.fsencode(tmp_path / "blue"))
    assert story is not None and story.count.files == 2
    with new_session(tmp_path) as session:
        assert news_of(session, story).sections == ()


def test_a_restore_that_was_ended_can_be_asked_for_again(fresh: Session, lost: Path):
    to(fresh, lost / "red", lost / "out")
    finish_restore(fresh)
    assert not list_sources(fresh) and not has_expected(fresh)
    told = to(fresh, lost / "white", lost / "again").of(Remembers)
    assert [one.drive for one in told] == ["white", "red"]  # Red's place is known, and it is there: it is heard as well
    to(fresh, lost / "red", lost / "again")
    assert tree(lost / "again") == newest(lost)


@pytest.mark.parametrize("order", ["blue red tin", "red blue tin", "tin red blue"])
def test_where_two_drives_split_the_later_is_live_whatever_comes_last(
    tmp_path: Path, clock: Callable[[int], None], order: str
):
    home = tmp_path / "home/photos"
    write_tree(home, {"a": b"base", "k": 50})
    with new_session(tmp_path) as session:
        add(session, home)
        back(session, tmp_path / "tin")
    shutil.copytree(home, tmp_path / "base")
    shutil.copy(tmp_path / "session.db", tmp_path / "other.db")
    for number, (db, drive) in enumerate((("session.db", "blue"), ("other.db", "red"))):
        clock(DAY)
        shutil.rmtree(home)
        shutil.copytree(tmp_path / "base", home)
        new = {"a": b"of " + drive.encode(), f"only on {drive}": 100}
        write_tree(home, new, mtime_ns=1_750_000_000_000_000_000 + number * 10**12)
        with open_session(tmp_path / db) as session:
            rescan(session, answers=Answers(changes=True, deletions=True))
            back(session, tmp_path / drive)
    with open_session(tmp_path / "fresh.db") as session:
        summaries = [
            to(session, tmp_path / drive, tmp_path / "out").summary for drive in [*order.split(), *order.split()]
        ]
        summary = summaries[-1]
        assert (summary.missing, summary.conflicts) == (0, 0)
    assert (tmp_path / "out/photos/a").read_bytes() == b"of red"
    assert set(os.listdir(tmp_path / "out/photos")) == {"a", "k", "only on blue", "only on red"}


def test_a_restore_elsewhere_writes_nothing_into_the_source_it_only_heard_of(tmp_path: Path) -> None:
    """The originals are still there, and another session looks after them."""
    write_tree(tmp_path / "photos", {"a": b"a", "sub/b": b"b"})
    with open_session(tmp_path / "first.db") as session:
        add(session, tmp_path / "photos")
        for drive in ("one", "two"):
            back(session, tmp_path / drive)
    before = tree(tmp_path / "photos", metadata=True)
    with open_session(tmp_path / "second.db") as session:
        run(restore(session, os.fspath(tmp_path / "one"), to=os.fsencode(tmp_path / "back")))
    assert tree(tmp_path / "photos", metadata=True) == before
    assert tree(tmp_path / "back/photos").keys() == tree(tmp_path / "photos").keys()


def test_where_a_drive_was_last_seen_stays_on_record_when_a_new_session_scans_the_source(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": b"a"})
    with open_session(tmp_path / "first.db") as session:
        add(session, tmp_path / "photos")
        for drive in ("one", "two"):
            back(session, tmp_path / drive)
        known = {target.id: (target.path, target.fs_uuid) for target in list_targets(session)}
    shutil.move(tmp_path / "two", tmp_path / "put away")
    with open_session(tmp_path / "second.db") as session:
        run(restore(session, os.fspath(tmp_path / "one"), to=os.fsencode(tmp_path / "back")))  # it hears of `two`
        add(session, tmp_path / "photos")
        back(session, tmp_path / "one")
        assert {target.id: (target.path, target.fs_uuid) for target in list_targets(session)} == known
    metadata = metadata_at(os.fsencode(tmp_path / "photos"))
    assert metadata is not None
    assert {fact.id: (fact.path, fact.fs_uuid) for fact in metadata.targets} == known
