"""A drive whose contexts are gone: its sidecars tell of files, links and directories."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core.backing_up import back_up
from medback_core.presenting.refusals import message
from medback_core.contexts.load import add_restore_context
from medback_core.drives.story import story_at
from medback_core.model import Answers, Warned
from medback_core.restoring.restore import restore
from medback_core.session import open_session
from medback_core.upkeep.rebuild import rebuild
from support.shell import Shell
from support.worlds import back, new_session, add, rescan, run, tree, write_tree

FILES = {"open/a": 10, "secret/b": 20, "secret/deep/c": 30, "long/way/down/d": 40}
MODES = {"": 0o750, "open": 0o755, "secret": 0o700, "secret/deep": 0o755, "hollow": 0o711, "links only": 0o750}
LINKS = {"links only/deep/x": "../../open/a", "open/latest": "../secret/b", "up": "secret/deep"}


def make(photos: Path) -> None:
    """A tree with a private file, a content at two paths, links, an empty directory, one that holds only links."""
    write_tree(photos, FILES)
    write_tree(photos, {"open/twin": (photos / "secret/b").read_bytes()})
    os.chmod(photos / "secret/deep/c", 0o600)
    for name, to in LINKS.items():
        (photos / name).parent.mkdir(parents=True, exist_ok=True)
        (photos / name).symlink_to(to)
    (photos / "hollow").mkdir()
    for name, mode in MODES.items():
        os.chmod(photos / name, mode)


def picture(photos: Path) -> dict[str, object]:
    """Everything a person sees of a tree but medback's own files."""
    found: dict[str, object] = {os.fsdecode(path): content for path, content in tree(photos).items()}
    for directory, _, names in os.walk(photos):
        relative = os.path.relpath(directory, photos)
        found[f"{relative}/"] = stat.S_IMODE(os.stat(directory).st_mode)
        for name in names:
            path = os.path.join(directory, name)
            if os.path.islink(path):
                found[os.path.join(relative, name)] = os.readlink(path)
            elif ".medback" not in name:
                found[f"mode {os.path.join(relative, name)}"] = stat.S_IMODE(os.stat(path).st_mode)
    return found


def without_contexts(*drives: Path) -> None:
    for drive in drives:
        contexts = list(drive.glob(".medback-context*"))
        assert contexts
        for context in contexts:
            context.unlink()


@pytest.fixture
def lost(tmp_path: Path) -> Iterator[Path]:
    """Two drives with a half of the files each, no context on either, and the machine is gone."""
    make(tmp_path / "photos")
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos", copies=1)
        back(session, tmp_path / "blue", limit=50, label="Blue", fill=False)
        back(session, tmp_path / "red", label="Red", fill=False)
    without_contexts(tmp_path / "blue", tmp_path / "red")
    held = [len(tree(tmp_path / drive)) for drive in ("blue", "red")]
    assert all(held) and sum(held) == len(FILES)
    for left in tmp_path.glob("session.db*"):
        left.unlink()
    yield tmp_path


@pytest.mark.parametrize("first", ["", "discover", "rebuild"])
def test_without_any_context_all_files_links_directories_and_modes_come_back(lost: Path, first: str) -> None:
    run_line = Shell(lost)
    for drive in ("blue", "red"):
        if first == "discover":
            assert run_line(first, drive).code == 0
    if first == "rebuild":
        answer = run_line(first, "-y", "blue", "red")
        assert answer.code == 0 and "Blue has no context that lists all of it" in answer.words
    assert run_line("restore", "blue", "--to", "back").code in (0, 6)  # 6: the rest is on Red, if anybody knows of it
    answer = run_line("restore", "red", "--to", "back")
    assert answer.code == 0, answer.words
    assert picture(lost / "back/photos") == picture(lost / "photos")
    again = run_line("restore", "red", "--to", "back")
    assert again.code == 0 and "sidecars" not in again.words  # it was taken up, and is not read a second time


def test_a_first_backup_that_was_cut_off_before_any_context_is_told_by_sidecars(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version before wrote a context at the end alone."""
    make(tmp_path / "photos")

    def cut(*_: object) -> None:
        raise KeyboardInterrupt

    with new_session(tmp_path) as session, monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        add(session, tmp_path / "photos", copies=1)
        patch.setattr(back_up._Run, "_tell_ahead", lambda _: iter(()))
        patch.setattr(back_up._Run, "finish", cut)
        back(session, tmp_path / "blue", label="Blue")
    assert not list((tmp_path / "blue").glob(".medback-context*"))
    assert b"<remembers" not in (tmp_path / "blue/.medback-target.xml").read_bytes()
    for left in tmp_path.glob("session.db*"):
        left.unlink()
    answer = Shell(tmp_path)("restore", "blue", "--to", "back")
    assert answer.code == 0 and "sidecars" in answer.words, answer.words
    assert tree(tmp_path / "back/photos") == tree(tmp_path / "photos")


def test_what_lies_among_the_older_versions_is_one(tmp_path: Path) -> None:
    """Not the file, whichever of the two is read first or has the later time."""
    write_tree(tmp_path / "photos", {"a": b"first", "b": 100})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        write_tree(tmp_path / "photos", {"a": b"the second"}, mtime_ns=1_600_000_000_000_000_000)
        rescan(session, answers=Answers(changes=True))
        back(session, tmp_path / "blue")
    without_contexts(tmp_path / "blue")
    with open_session(tmp_path / "new.db") as session:
        run(restore(session, str(tmp_path / "blue"), to=os.fsencode(tmp_path / "back")))
        assert tree(tmp_path / "back/photos") == tree(tmp_path / "photos")
        run(restore(session, str(tmp_path / "blue"), path=b"a", deleted=True, to=os.fsencode(tmp_path / "older")))
        assert (tmp_path / "older/photos/a").read_bytes() == b"first"


def test_the_context_of_another_drive_knows_better(tmp_path: Path) -> None:
    """What sidecars tell is as old as their drive. Two that tell of one file differently are named, with their dates."""
    write_tree(tmp_path / "photos", {"a": b"first", "b": 100})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        write_tree(tmp_path / "photos", {"a": b"the second"}, mtime_ns=1_750_000_000_000_000_000)
        rescan(session, answers=Answers(changes=True))
        back(session, tmp_path / "red")
    without_contexts(tmp_path / "blue")
    for order in (("blue", "red"), ("red", "blue")):
        goal = os.fsencode(tmp_path / f"{order[0]} first")
        said: list[str] = []
        with open_session(tmp_path / f"{order[0]} first.db") as session:
            for name in order:
                said += [message(one) for one in run(restore(session, str(tmp_path / name), to=goal)).of(Warned)]
        split = [words for words in said if "differ in" in words]
        assert len(split) == 1, said
        assert re.fullmatch(r"photos: blue \(.*\) and red \(.*\) differ in 1 file\. Both versions are kept", split[0])
        assert tree(tmp_path / f"{order[0]} first/photos") == tree(tmp_path / "photos"), order


def test_a_source_no_context_on_the_drive_tells_of_is_told_by_the_sidecars_too(tmp_path: Path) -> None:
    """Somebody with another session made a backup onto the drive after its contexts were gone."""
    make(tmp_path / "photos")
    write_tree(tmp_path / "docs", {"d": 300})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
    without_contexts(tmp_path / "blue")
    with open_session(tmp_path / "other.db") as session:
        add(session, tmp_path / "docs")
        back(session, tmp_path / "blue")
    with open_session(tmp_path / "new.db") as session:
        told = run(rebuild(session, [os.fsencode(tmp_path / "blue")])).of(Warned)
        assert any("sidecars" in message(warned) for warned in told)
        run(restore(session, str(tmp_path / "blue"), to=os.fsencode(tmp_path / "back")))
    assert picture(tmp_path / "back/photos") == picture(tmp_path / "photos")
    assert tree(tmp_path / "back/docs") == tree(tmp_path / "docs")


def test_what_is_told_is_the_same_while_the_drive_is(lost: Path) -> None:
    """Its stamp is not that of the context that is gone: a context of that state knows more, and is still news."""
    one, two = (story_at(os.fsencode(lost / "blue")) for _ in range(2))
    assert one is not None and one == two
    assert one.sections[0].stamp.encode() not in (lost / "blue/.medback-target.xml").read_bytes()


def test_a_context_that_is_no_newer_takes_nothing_back_of_the_directories_a_newer_one_told(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"sub/a": 10})
    os.chmod(tmp_path / "photos/sub", 0o755)
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "blue")
        os.chmod(tmp_path / "photos/sub", 0o700)
        rescan(session)
        back(session, tmp_path / "red")
    with open_session(tmp_path / "new.db") as session:
        for drive in ("red", "blue"):
            run(add_restore_context(session, os.fsencode(tmp_path / drive / ".medback-context.xml")))
        run(restore(session, str(tmp_path / "red"), to=os.fsencode(tmp_path / "back")))
    assert stat.S_IMODE(os.stat(tmp_path / "back/photos/sub").st_mode) == 0o700
