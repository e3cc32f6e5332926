"""The page and the program at a drive's root: written once, no content, and all comes back by the program alone."""

from __future__ import annotations

import ast
import fcntl
import os
import pty
import shutil
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sidecar.test_hostile_xml import ATTACKS
from support.shell import Shell
from support.worlds import MTIME, add, back, new_session, photos, rescan, run, tree, write_tree

from medback_core import model
from medback_core.presenting.refusals import message
from medback_core.backing_up.discover import discover
from medback_core.model import EXPLANATION, Answers, Warned
from medback_core.session.targets import list_targets
from medback_core.session.copies import bytes_on

README, PROGRAM = "medback-README.txt", "medback-restore.py"
NAMES = {
    "2024/a.jpg": b"a" * 5000,
    "2024/b.jpg": b"b" * 70_000,
    "same/again.jpg": b"a" * 5000,
    b"not utf8 \xff\xfe": b"bytes",
    "line\nbreak and \x1b[31mred": b"nasty",
    "quotes \"&<>' .txt": b"xml",
    "nul-free 語 é": b"unicode",
    "empty": b"",
    "-rf": b"an option?",
    "medback-restore.py": b"a person's own file of that name",
}


def program(*words: str | Path, at: Path) -> subprocess.CompletedProcess[str]:
    """Run the program as it lies on a drive, by an interpreter that sees nothing installed."""
    shutil.copy(at / PROGRAM, at.parent / "alone.py")
    command = [sys.executable, "-I", "-S", "alone.py", *map(str, words)]
    return subprocess.run(command, cwd=at.parent, capture_output=True, text=True, errors="replace")


def contents(root: Path) -> dict[bytes, tuple[bytes, int]]:
    """Every ordinary file below a directory, also one called as the two are."""
    return {path: found for path, found in tree(root, metadata=True).items() if b".medback" not in path}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A source whose drives are full of each other's rest: `red` was written first, `blue` after a change."""
    where = tmp_path_factory.mktemp("made")
    with photos(where, NAMES, drives=["red"]) as (session, _):
        source = where / "photos"
        os.symlink("2024/a.jpg", source / "latest")
        (source / "nothing in it").mkdir(mode=0o750)
        (source / "2024").chmod(0o711)
        (source / "2024/a.jpg").chmod(0o400)
        (source / "2024/b.jpg").write_bytes(b"edited" * 1000)
        (source / "same/again.jpg").rename(source / "moved.jpg")
        write_tree(source, {"new.jpg": b"new"})
        rescan(session)
        back(session, where / "blue")
        back(session, where / "red")
    return where


@pytest.fixture
def two(made: Path, tmp_path: Path) -> Path:
    """What was `made`, for one test to change."""
    return shutil.copytree(made, tmp_path, symlinks=True, dirs_exist_ok=True)


def test_both_lie_at_the_root_and_are_no_content(two: Path) -> None:
    for drive in (two / "red", two / "blue"):
        assert (drive / README).read_text().startswith("This drive holds backups. Written by medback")
        assert stat.S_IMODE((drive / PROGRAM).stat().st_mode) & 0o444 == 0o444
    fresh = new_session(two / "red")
    run(discover(fresh, os.fsencode(two / "red"), answers=Answers(yes=True)))
    (target,) = list_targets(fresh)
    held = sum(
        len(data) for path, (data, _) in contents(two / "red").items() if os.fsdecode(path) not in (README, PROGRAM)
    )
    assert 0 < bytes_on(fresh, [target.key])[target.key] <= held
    fresh.close()


def test_it_runs_on_python_3_8() -> None:
    from medback_core.drives import explain

    text = (Path(explain.__file__).parent / "explanation" / PROGRAM).read_text()
    ast.parse(text, feature_version=(3, 8))
    later = [
        "removeprefix",
        "removesuffix",
        "zip(strict",
        "strict=",
        "file_digest",
        "match ",
        "| None",
        "list[",
        "dict[",
    ]
    assert [word for word in later if word in text] == []


def test_all_comes_back_by_python_3_8_itself(two: Path) -> None:
    near = [shutil.which("python3.8"), *Path.home().glob(".pyenv/versions/3.8.*/bin/python3.8")]
    versions = {python: subprocess.run([python, "-V"], capture_output=True).stdout for python in near if python}
    python = next((python for python, said in versions.items() if said.startswith(b"Python 3.8")), None)
    if python is None:
        pytest.skip("Python 3.8 is not installed")
    shutil.copy(two / "red" / PROGRAM, two / "alone.py")
    command = [python, "-I", "-S", "alone.py", "red", "blue", "--to", "back"]
    ran = subprocess.run(command, cwd=two, capture_output=True, text=True, errors="replace")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert contents(two / "back/photos") == contents(two / "photos")


def test_all_comes_back_with_nothing_installed(two: Path) -> None:
    before = [tree(two / drive, metadata=True) for drive in ("red", "blue")]
    ran = program("red", "blue", "--to", "back", at=two / "red")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert contents(two / "back/photos") == contents(two / "photos")
    assert os.readlink(two / "back/photos/latest") == "2024/a.jpg"
    assert (two / "back/photos/nothing in it").is_dir()
    for path, mode in (("2024", 0o711), ("2024/a.jpg", 0o400), ("nothing in it", 0o750)):
        assert stat.S_IMODE((two / "back/photos" / path).stat().st_mode) == mode
    assert [tree(two / drive, metadata=True) for drive in ("red", "blue")] == before
    assert "\x1b" not in ran.stdout


def test_drive_after_drive_in_any_order_the_newest_is_back(two: Path) -> None:
    shutil.rmtree(two / "blue/photos")  # blue tells the newest, and holds nothing now
    ran = program("blue", "--to", "back", at=two / "red")
    assert ran.returncode == 6
    assert program("blue", "red", "--to", "back", at=two / "red").returncode == 0
    assert contents(two / "back/photos") == contents(two / "photos")
    again = program("red", "--to", "back", at=two / "red")
    assert again.returncode == 0
    assert "0 files restored" in again.stdout


def test_the_list_says_what_there_is(two: Path) -> None:
    ran = program("red", "--list", "--files", at=two / "red")
    assert ran.returncode == 0
    assert f"photos: {len(NAMES) + 1} files" in ran.stdout
    assert "line\\u000abreak" in ran.stdout
    shutil.rmtree(two / "red/photos/2024")
    assert program("red", "--list", at=two / "red").returncode == 6


def test_a_drive_without_a_backup_is_said_to_be_that(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    assert Shell(tmp_path)("target", "red", "--init").code == 0
    ran = program("red", "--list", at=tmp_path / "red")
    assert (ran.returncode, ran.stderr) == (4, "medback-restore: these drives hold no backup yet\n")


def test_the_records_alone_are_enough(two: Path) -> None:
    for context in two.glob("*/.medback-context*.xml"):
        context.unlink()
    assert program("red", "blue", "--to", "back", at=two / "red").returncode == 0
    assert contents(two / "back/photos").items() >= contents(two / "photos").items()


def test_a_damaged_copy_is_not_brought_back_and_a_good_one_elsewhere_is(two: Path) -> None:
    (two / "red/photos/2024/b.jpg").write_bytes(b"EDITED" * 1000)
    assert program("red", "--to", "one", at=two / "red").returncode == 5
    assert not (two / "one/photos/2024/b.jpg").exists()
    assert program("red", "blue", "--to", "one", at=two / "red").returncode == 0
    assert contents(two / "one/photos") == contents(two / "photos")


def test_a_copy_that_medback_found_damaged_is_told_as_that(two: Path) -> None:
    sidecar = two / "red/photos/2024/.medback.xml"
    mark = b'<file name="a.jpg" damaged="2026-01-01T00:00:00Z"'
    sidecar.write_bytes(sidecar.read_bytes().replace(b'<file name="a.jpg"', mark))
    (two / "red/photos/2024/a.jpg").unlink()
    ran = program("red", "--to", "one", at=two / "red")
    assert ran.returncode == 5 and "damaged on every one of these drives that has it: photos/2024/a.jpg" in ran.stdout


def test_what_is_there_already_is_left_alone(two: Path) -> None:
    write_tree(two / "back/photos", {"2024/b.jpg": b"y" * 6000, "new.jpg": b"new"})
    (two / "back/photos/2024").chmod(0o705)
    ran = program("red", "blue", "--to", "back", at=two / "red")
    assert ran.returncode == 3
    assert (two / "back/photos/2024/b.jpg").read_bytes() == b"y" * 6000
    assert stat.S_IMODE((two / "back/photos/2024").stat().st_mode) == 0o705
    assert "something else is there, left alone: photos/2024/b.jpg" in ran.stdout


def test_no_link_is_followed_at_either_end(two: Path) -> None:
    outside = two / "outside"
    outside.mkdir()
    write_tree(outside, {"b.jpg": b"edited" * 1000})
    (two / "back/photos").mkdir(parents=True)
    os.symlink(outside, two / "back/photos/2024")
    shutil.rmtree(two / "red/photos/2024")
    os.symlink(outside, two / "red/photos/2024")
    assert program("red", "--to", "back", at=two / "red").returncode in (3, 5)
    assert sorted(os.listdir(outside)) == ["b.jpg"]
    assert program("red", "--to", "other", at=two / "red").returncode in (5, 6)
    assert not (two / "other/photos/2024/b.jpg").exists()


@pytest.mark.parametrize("line", [
    '<file name="../../out" size="3" mtime="1.0" md5="acbd18db4cc2f85cedef654fccc4a4d8"/>',
    '<file name64="Li4vb3V0" size="3" mtime="1.0" md5="acbd18db4cc2f85cedef654fccc4a4d8"/>',
    '<dr name=".."><file name="out" size="3" mtime="1.0" md5="acbd18db4cc2f85cedef654fccc4a4d8"/></dr>',
    '<dr path="/tmp/../.."><file name="out" size="3" mtime="1.0" md5="acbd18db4cc2f85cedef654fccc4a4d8"/></dr>',
    '<link name="../out" to="/etc/passwd"/>',
    '<file name="big" size="99999999999999999999999999" mtime="1e999" md5="zz" mode="99999"/>',
])  # fmt: skip
def test_a_context_with_a_way_out_leads_nowhere(tmp_path: Path, two: Path, line: str) -> None:
    (two / "evil").mkdir()
    (two / "evil/foo").write_bytes(b"foo")
    (two / "evil/.medback-context.xml").write_text(f'<root v="1"><rc id="x" alias="../x">{line}</rc></root>')
    ran = program("evil", "--to", "deep/er/back", at=two / "red")
    assert "Traceback" not in ran.stderr
    assert not list(tmp_path.rglob("out"))
    assert {path.name for path in (two / "deep/er").iterdir()} == {"back"}


@pytest.mark.parametrize("attack", sorted(ATTACKS))
def test_xml_attacks_end_in_words(two: Path, attack: str) -> None:
    for name in (".medback-context.xml", ".medback-target.xml", "photos/.medback.xml"):
        (two / "blue" / name).write_bytes(ATTACKS[attack])
    ran = program("blue", "red", "--to", "back", at=two / "red")
    assert "Traceback" not in ran.stderr
    assert contents(two / "back/photos") == contents(two / "photos")


def test_nothing_is_written_to_a_drive(two: Path) -> None:
    ran = program("red", "--to", "red/back", at=two / "red")
    assert ran.returncode == 4
    assert not (two / "red/back").exists()


@pytest.mark.parametrize("to", ["blue/back", "blue", "to blue", "to blue/deep/er", "nowhere yet", "to red"])
def test_nothing_is_written_to_another_drive_or_through_a_link_to_one(two: Path, to: str) -> None:
    os.symlink("blue", two / "to blue")
    os.symlink("red", two / "to red")
    os.symlink("blue/not there", two / "nowhere yet")
    before = [tree(two / drive, metadata=True) for drive in ("red", "blue")]
    ran = program("red", "--to", to, at=two / "red")
    assert ran.returncode == 4 and "Traceback" not in ran.stderr
    assert [tree(two / drive, metadata=True) for drive in ("red", "blue")] == before
    assert not (two / "blue/not there").exists() and not (two / "blue/back").exists()


def test_a_link_to_a_place_of_ones_own_is_as_good_as_the_place(two: Path) -> None:
    (two / "place").mkdir()
    os.symlink("place", two / "link")
    assert program("red", "blue", "--to", "link", at=two / "red").returncode == 0
    assert contents(two / "place/photos") == contents(two / "photos")


def test_after_a_kill_the_next_run_removes_what_was_unfinished_and_nothing_else(two: Path) -> None:
    shutil.copy(two / "red" / PROGRAM, two / "killed.py")
    kill = "import os, runpy, sys; os.fsync = lambda fd: os.kill(os.getpid(), 9); sys.argv = sys.argv[1:]; "
    command = [sys.executable, "-c", kill + "runpy.run_path(sys.argv[0], run_name='__main__')"]
    ran = subprocess.run([*command, "killed.py", "red", "blue", "--to", "back"], cwd=two, capture_output=True)
    assert ran.returncode == -9
    left, *_ = (path for path in (two / "back").rglob(".medback-restore-tmp-*"))
    mine = left.with_name(".medback-restore-tmp-my notes")
    mine.write_text("mine")
    busy = left.with_name(".medback-restore-tmp-1-777")
    with open(busy, "xb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as another run does that is at work
        assert program("red", "blue", "--to", "back", at=two / "red").returncode == 0
    assert sorted(path.name for path in (two / "back").rglob(".medback-restore-tmp-*")) == sorted(
        [mine.name, busy.name]
    )
    assert contents(two / "back/photos") == contents(two / "photos")


def test_after_a_kill_the_next_run_gives_directories_their_permissions(two: Path) -> None:
    """A directory that a killed run made has permissions of its own; one that a person made has not."""
    (two / "to/photos").mkdir(parents=True)
    (two / "to/photos/2024").mkdir()
    os.chmod(two / "to/photos/2024", 0o1700)
    (two / "to/photos/nothing in it").mkdir(mode=0o700)
    assert program("blue", "red", "--to", "to", at=two / "blue").returncode == 0
    modes = {name: stat.S_IMODE((two / "to/photos" / name).stat().st_mode) for name in ("2024", "nothing in it")}
    assert modes == {"2024": 0o711, "nothing in it": 0o700}


def watched(at: Path, before: str, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the program after a few lines of Python that see what it does."""
    shutil.copy(at / "red" / PROGRAM, at / "watched.py")
    code = f"import os, runpy, sys\n{before}\nsys.argv = sys.argv[1:]\nrunpy.run_path(sys.argv[0], run_name='__main__')"
    command = [sys.executable, "-c", code, "watched.py", *words]
    return subprocess.run(command, cwd=at, capture_output=True, text=True, errors="replace")


NAMED_LAST = """
synced, sync, link = set(), os.fsync, os.link
def fsync(fd):
    sync(fd)
    synced.add(os.fstat(fd).st_ino)
def named(old, new, src_dir_fd, **how):
    if os.stat(old, dir_fd=src_dir_fd).st_ino not in synced:
        print("not durable:", new)
    link(old, new, src_dir_fd=src_dir_fd, **how)
os.fsync, os.link = fsync, named
"""


def test_a_file_gets_its_name_when_it_is_durable(two: Path) -> None:
    ran = watched(two, NAMED_LAST, "red", "blue", "--to", "back")
    assert ran.returncode == 0
    assert "not durable" not in ran.stdout
    assert contents(two / "back/photos") == contents(two / "photos")


FAILS = """
import errno
sync = os.fsync
def fsync(fd):
    if os.fstat(fd).st_size == 5000:
        raise OSError(errno.EIO, "Input/output error")
    sync(fd)
os.fsync = fsync
"""


def test_a_file_that_can_not_be_made_durable_gets_no_name_and_all_others_do(two: Path) -> None:
    ran = watched(two, FAILS, "red", "blue", "--to", "back")
    assert ran.returncode == 3
    assert "could not be written: photos/2024/a.jpg: Input/output error" in ran.stdout
    assert not list((two / "back").rglob(".medback-restore-tmp-*"))
    wanted = contents(two / "photos")
    lost = {path for path, (data, _) in wanted.items() if len(data) == 5000}
    assert lost
    assert contents(two / "back/photos") == {path: wanted[path] for path in wanted.keys() - lost}


READS = """
import collections
reads, open_ = collections.Counter(), os.open
def opened(path, flags, *rest, **how):
    if flags & 3 == os.O_RDONLY and os.fsencode(path).startswith(b"equal"):
        reads[path] += 1
    return open_(path, flags, *rest, **how)
os.open = opened
import atexit
atexit.register(lambda: print("reads", sum(reads.values())))
"""


def test_without_records_each_file_is_looked_through_once(tmp_path: Path) -> None:
    """However many contents of one size are looked for: what is not there makes nothing be read again."""
    names = {f"equal{number}": b"%03d" % number for number in range(40)}
    with photos(tmp_path, names, drives=["red"]):
        pass
    for sidecar in tmp_path.glob("red/**/.medback.xml"):
        sidecar.unlink()
    for number in range(20):
        (tmp_path / "red/photos" / f"equal{number}").write_bytes(b"bad")
    ran = watched(tmp_path, READS, "red", "--to", "back")
    assert ran.returncode == 6
    assert "20 files restored" in ran.stdout
    assert ran.stdout.count("on none of these drives: ") == 20
    reads = next(line for line in ran.stdout.splitlines() if line.startswith("reads"))
    assert int(reads[6:]) <= 40 + 20  # once to find out, once to copy


def on_terminal(at: Path, *words: str, columns: int = 60) -> tuple[int, str, bytes]:
    """Run the program with its standard error on a terminal: the exit code, its output, and what the terminal got."""
    shutil.copy(at / "red" / PROGRAM, at / "alone.py")
    ours, theirs = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "PYTHONUTF8": "1"}
    command = [sys.executable, "-S", "alone.py", *words]
    with subprocess.Popen(command, cwd=at, stdout=subprocess.PIPE, stderr=theirs, env=environment) as ran:
        os.close(theirs)
        got = b""
        while True:
            try:
                piece = os.read(ours, 65536)
            except OSError:  # the other end is closed
                break
            if not piece:
                break
            got += piece
        assert ran.stdout is not None
        said = ran.stdout.read().decode(errors="replace")
    os.close(ours)
    return ran.returncode, said, got


@pytest.mark.parametrize("columns", [12, 60])
def test_one_line_on_a_terminal_says_how_far_it_is(tmp_path: Path, columns: int) -> None:
    hostile = [b"\x1b[2J\x1b]0;title\x07", b"line\nbreak", "\u202egpj.exe".encode(), b"\xff\xfe", "語".encode() * 60]
    with photos(tmp_path, {name: b"%d" % number for number, name in enumerate(hostile)}, drives=["red"]):
        pass
    slow = (tmp_path / "red" / PROGRAM).read_text().replace("self._next = now + 0.1", "self._next = 0.0")
    (tmp_path / "red" / PROGRAM).write_text(slow)  # each word is shown, so that none depends on the time
    code, said, got = on_terminal(tmp_path, "red", "--to", "back", columns=columns)
    assert code == 0 and "5 files restored" in said
    assert ("5 of 5 files (100%): "[: columns - 1]).encode() in got
    lines = got.decode().split("\r")
    assert all(letter.isprintable() for line in lines for letter in line)
    assert all(sum(2 if letter == "語" else 1 for letter in line) < columns for line in lines)
    assert lines[-2].strip(" ") == lines[-1] == ""  # and it takes it away when it is done


def test_no_progress_where_there_is_no_terminal(two: Path) -> None:
    assert program("red", "blue", "--to", "back", at=two / "red").stderr == ""


def test_nothing_is_written_to_a_drive_by_another_mount_of_it(tmp_path: Path, two: Path) -> None:
    if os.getuid() != 0:
        pytest.skip("mounting needs root")
    inside, second = two / "blue/inside", tmp_path / "second mount"
    inside.mkdir()
    second.mkdir()
    if subprocess.run(["mount", "--bind", inside, second], capture_output=True).returncode != 0:
        pytest.skip("nothing can be mounted here")
    try:
        ran = program("blue", "--to", second / "back", at=two / "blue")
    finally:
        subprocess.run(["umount", second], check=True)
    assert ran.returncode == 4 and "overlap" in ran.stderr
    assert not any(inside.iterdir())


@pytest.mark.parametrize("harm", ["cut", "gone", "gone, and who it is"])
@pytest.mark.parametrize("order", [("red", "blue"), ("blue", "red")])
def test_a_newer_drive_without_a_whole_context_brings_its_newer_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, harm: str, order: tuple[str, str]
) -> None:
    (tmp_path / "photos/links alone").mkdir(parents=True)
    os.symlink("../a", tmp_path / "photos/links alone/to a")
    with photos(tmp_path, {"a": b"old", "b": b"same", "gone": b"deleted"}, drives=["red"]) as (session, _):
        (tmp_path / "photos/gone").unlink()
        monkeypatch.setattr(model, "now", lambda: int(time.time()) + 1000)
        write_tree(tmp_path / "photos", {"a": b"newer", "sub/new": b"new"}, mtime_ns=MTIME + 10**9)
        rescan(session, answers=Answers(deletions=True, changes=True))
        back(session, tmp_path / "blue")
    for number, context in enumerate(sorted((tmp_path / "blue").glob(".medback-context*.xml"))):
        data = context.read_bytes()
        context.write_bytes(data[: data.index(b"<file")]) if harm == "cut" and not number else context.unlink()
    if harm == "gone, and who it is":
        (tmp_path / "blue/.medback-target.xml").write_bytes(b"\0" * 300)
        for sidecar in (tmp_path / "blue").rglob(".medback.xml"):
            os.utime(sidecar, (model.now(), model.now()))  # the clock of this test
    ran = program(*order, "--to", "to", at=tmp_path / "red")
    assert ran.returncode == 0 and "may come back" in ran.stderr
    found = {path: data for path, (data, _) in contents(tmp_path / "to/photos").items()}
    assert found == {b"a": b"newer", b"b": b"same", b"sub/new": b"new", b"gone": b"deleted"}
    shutil.rmtree(tmp_path / "to")
    assert program("blue", "--to", "to", at=tmp_path / "red").returncode == 0
    alone = {path: data for path, (data, _) in contents(tmp_path / "to/photos").items()}
    assert alone == {b"a": b"newer", b"b": b"same", b"sub/new": b"new"}
    links = [folder / "links alone/to a" for folder in (tmp_path / "to").iterdir()]
    # Beside the rest where nothing says whose it is.
    assert [os.readlink(link) for link in links if link.is_symlink()] == ["../a"]


def test_an_older_drive_without_a_context_brings_nothing_back_that_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with photos(tmp_path, {"a": b"old", "gone": b"deleted"}, drives=["red"]) as (session, _):
        (tmp_path / "photos/gone").unlink()
        monkeypatch.setattr(model, "now", lambda: int(time.time()) + 1000)
        write_tree(tmp_path / "photos", {"a": b"newer"}, mtime_ns=MTIME + 10**9)
        rescan(session, answers=Answers(deletions=True, changes=True))
        back(session, tmp_path / "blue")
    for context in (tmp_path / "red").glob(".medback-context*.xml"):
        context.unlink()
    ran = program("red", "blue", "--to", "to", at=tmp_path / "red")
    assert ran.returncode == 0 and not ran.stderr
    assert {path: data for path, (data, _) in contents(tmp_path / "to/photos").items()} == {b"a": b"newer"}


def test_a_source_without_files_comes_back_as_a_directory(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": b"a"}) as (session, _):
        (tmp_path / "inbox").mkdir()
        add(session, tmp_path / "inbox")
        back(session, tmp_path / "red")
    assert program("red", "--to", "back", at=tmp_path / "red").returncode == 0
    assert (tmp_path / "back/inbox").is_dir() and list((tmp_path / "back/inbox").iterdir()) == []


@pytest.mark.parametrize("drives", [["red"], ["red", "blue"], ["blue", "red"]])
def test_what_changed_its_kind_comes_back_as_it_was_last(tmp_path: Path, drives: list[str]) -> None:
    """Red has it all as it was first as well: links, files and directories that are none of these any more."""
    first = {"file": b"becomes a link", "way/in": b"becomes a link", "deep/x": b"becomes a file", "stays": b"stays"}
    with photos(tmp_path, first | {"only/gone": b"gone", ".medbackup": b"mine"}, drives=["red", "blue"]) as (
        session,
        _,
    ):
        source = tmp_path / "photos"
        os.symlink("stays", source / "old-link")
        (source / "empty").mkdir()
        rescan(session)
        back(session, tmp_path / "red")
        back(session, tmp_path / "blue")
        for path in ("way", "deep", "only", "empty"):
            shutil.rmtree(source / path)
        (source / "old-link").unlink()
        (source / "file").unlink()
        os.symlink("stays", source / "file")
        os.symlink("nowhere", source / "way")
        (source / "deep").write_bytes(b"a file now")
        rescan(session, answers=Answers(deletions=True, changes=True))
        back(session, tmp_path / "red")
    ran = program(*drives, "--to", "back", at=tmp_path / "red")
    assert (ran.returncode, ran.stderr) == (0, "")
    back_at = tmp_path / "back/photos"
    found = {path.name: os.readlink(path) if path.is_symlink() else path.read_bytes() for path in back_at.iterdir()}
    assert found == {
        "file": "stays",
        "way": "nowhere",
        "deep": b"a file now",
        "stays": b"stays",
        ".medbackup": b"mine",
    }


def test_a_split_source_comes_back_as_the_union(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": b"a", "b": b"b"}, drives=["red"]) as (one, _):
        two = new_session(tmp_path / "red")
        two.close()
        shutil.copytree(tmp_path / "photos", tmp_path / "elsewhere")
        write_tree(tmp_path / "photos", {"c": b"c"})
        rescan(one)
        back(one, tmp_path / "red")
    shutil.rmtree(tmp_path / "photos")
    (tmp_path / "elsewhere").rename(tmp_path / "photos")  # as if another machine had gone on from before
    write_tree(tmp_path / "photos", {"d": b"d"})
    (tmp_path / "other").mkdir()
    other = new_session(tmp_path / "other")
    add(other, tmp_path / "photos")
    back(other, tmp_path / "blue")
    other.close()
    assert program("red", "blue", "--to", "back", at=tmp_path / "red").returncode == 0
    assert set(contents(tmp_path / "back/photos")) == {b"a", b"b", b"c", b"d"}


def test_of_a_split_source_both_versions_are_told(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": b"first", "b": b"b"}) as (one, _):
        shutil.copytree(tmp_path / "photos", tmp_path / "elsewhere")
        write_tree(tmp_path / "photos", {"a": b"of red"}, mtime_ns=MTIME + 10**9)
        rescan(one, answers=Answers(changes=True))
        back(one, tmp_path / "red")
    shutil.rmtree(tmp_path / "photos")
    (tmp_path / "elsewhere").rename(tmp_path / "photos")  # as if another machine had gone on from before
    write_tree(tmp_path / "photos", {"a": b"of blue"}, mtime_ns=MTIME + 2 * 10**9)
    (tmp_path / "other").mkdir()
    with new_session(tmp_path / "other") as other:
        add(other, tmp_path / "photos")
        back(other, tmp_path / "blue")
    ran = program("red", "blue", "--to", "back", at=tmp_path / "red")
    assert ran.returncode == 0
    (line,) = (line for line in ran.stdout.splitlines() if line.startswith("two drives tell of two versions of"))
    there = (tmp_path / "back/photos/a").read_bytes()
    assert {there, Path(line.rsplit(": the other one is ")[1]).read_bytes()} == {b"of red", b"of blue"}


def test_a_copy_that_can_not_be_read_is_told_as_that(two: Path) -> None:
    copy = two / "red/photos/2024/a.jpg"
    copy.unlink()
    copy.symlink_to("b.jpg")  # whatever is no file to read: root may read every file
    (two / "red/photos/same/again.jpg").unlink(missing_ok=True)
    ran = program("red", "--to", "one", at=two / "red")
    assert ran.returncode == 3 and "in a file that can't be read (try it as root): photos/2024/a.jpg" in ran.stdout


def test_of_several_of_one_size_that_can_not_be_read_none_is_called_damaged(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": b"1", "b": b"2", "c": b"3"}, drives=["red"]) as (session, _):
        back(session, tmp_path / "red")
    for name in "abc":
        (tmp_path / f"red/photos/{name}").unlink()
        (tmp_path / f"red/photos/{name}").symlink_to("nowhere")
    ran = program("red", "--to", "one", at=tmp_path / "red")
    assert ran.returncode == 3 and "damaged" not in ran.stdout
    assert ran.stdout.count("in a file that can't be read") == 3 and "3 files are not back" in ran.stdout


def test_it_can_be_left_off_and_the_drive_remembers_that(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": b"a"}, drives=["red"]) as (session, _):
        back(session, tmp_path / "red", readme=False)
        assert not EXPLANATION & set(map(os.fsencode, os.listdir(tmp_path / "red")))
        write_tree(tmp_path / "photos", {"b": b"b"})
        rescan(session)
        back(session, tmp_path / "red")
        assert not EXPLANATION & set(map(os.fsencode, os.listdir(tmp_path / "red")))
        back(session, tmp_path / "red", readme=True)
        assert set(map(os.fsencode, os.listdir(tmp_path / "red"))) >= EXPLANATION


def test_a_persons_own_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    (tmp_path / "red" / README).write_bytes(b"my own notes")
    with photos(tmp_path, {"a": b"a"}, drives=["red"]) as (session, _):
        back(session, tmp_path / "red", readme=False)
        assert (tmp_path / "red" / README).read_bytes() == b"my own notes"


def test_an_older_one_is_replaced_and_a_drive_that_refuses_says_so(tmp_path: Path) -> None:
    with photos(tmp_path, {"a": b"a"}, drives=["red"]) as (session, _):
        good = (tmp_path / "red" / PROGRAM).read_bytes()
        (tmp_path / "red" / PROGRAM).write_bytes(b"# Written by medback 0.1\n")
        (tmp_path / "red" / README).unlink()
        (tmp_path / "red" / README).mkdir()
        ran = back(session, tmp_path / "red")
        assert (tmp_path / "red" / PROGRAM).read_bytes() == good
        assert any(README in message(event) for event in ran.of(Warned))
