"""A person's afternoon with the installed program in a real terminal: from an empty session to restored files."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from pathlib import Path

import pytest

from support.worlds import tree
from support.terminal import PROGRAM, Terminal

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux for a real terminal")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    root = tmp_path / "home" / "photos"
    for number in range(5):
        file = root / f"trip {number % 2}" / f"IMG {number} [x].jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(os.urandom(30_000 + number))
    return root


def choose_path(terminal: Terminal, path: Path) -> None:
    """In the directory picker: type a path."""
    terminal.wait_for("type a path")
    terminal.press("/")
    terminal.type(str(path))
    terminal.press("Enter")


def back_up_onto(terminal: Terminal, drive: Path) -> None:
    """Make a directory a target and copy onto it, from where a drive is chosen."""
    terminal.wait_for("another directory")
    terminal.press("End")
    terminal.wait_for("▌ another directory")
    terminal.press("Enter")
    choose_path(terminal, drive)
    terminal.wait_for("it would take 5 files")
    terminal.press("C-s")
    terminal.wait_for(f"target {drive.name}: 5 files (146 KiB) copied")
    terminal.press("Escape")
    terminal.wait_until_gone(f"target {drive.name}: 5 files (146 KiB) copied")


def test_from_an_empty_session_to_restored_files(terminal: Terminal, photos: Path, tmp_path: Path):
    drives = [tmp_path / "blue", tmp_path / "red"]
    for drive in drives:
        drive.mkdir()
    session = tmp_path / "s.db"
    original = tree(photos)

    terminal.run(PROGRAM, "--session-db", session)
    terminal.wait_for("Nothing is backed up yet")
    terminal.press("a")
    choose_path(terminal, photos)
    terminal.wait_for("On which drive shall your files be kept safe?")
    back_up_onto(terminal, drives[0])
    terminal.wait_for("◐ photos/")  # what it knows now, in Coverage
    terminal.press("2")
    terminal.wait_for("n new")
    terminal.press("n")
    back_up_onto(terminal, drives[1])
    terminal.wait_for("all safe")
    terminal.press("3")
    terminal.wait_for("● photos/")
    terminal.press("q")
    terminal.wait_for("exit=0")

    for directory in photos.glob("trip*"):
        shutil.rmtree(directory)
    shutil.rmtree(drives[0])

    terminal.type("clear")
    terminal.press("Enter")
    terminal.run(PROGRAM, "--session-db", session)
    terminal.wait_for("1 Sources")
    terminal.press("4")
    terminal.wait_for("5 files (146 KiB) missing")
    terminal.wait_for("red is plugged in: Enter restores from it")  # blue, which is not, would serve as well
    terminal.press("Enter")
    terminal.wait_for("5 files (146 KiB) restored")
    terminal.wait_for("Nothing is missing")
    terminal.press("q")
    terminal.wait_for("exit=0")
    assert tree(photos) == original
    assert terminal.is_sane()


@pytest.mark.parametrize(("words", "grabbed"), [((), "1"), (("--no-mouse",), "0"), (("tui", "--no-mouse"), "0")])
def test_the_mouse_is_left_to_the_terminal_when_asked(
    terminal: Terminal, tmp_path: Path, words: tuple[str, ...], grabbed: str
):
    terminal.run(PROGRAM, "--session-db", tmp_path / "s.db", *words)
    terminal.wait_for("Nothing is backed up yet")
    assert terminal.mouse == grabbed


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=["SIGTERM", "SIGHUP"])
def test_a_signal_leaves_a_sane_terminal(terminal: Terminal, tmp_path: Path, number: signal.Signals):
    terminal.run(PROGRAM, "--session-db", tmp_path / "s.db")
    terminal.wait_for("Nothing is backed up yet")
    os.kill(terminal.program(), number)
    terminal.wait_for("exit=143")
    assert terminal.is_sane()


def test_a_crash_leaves_a_sane_terminal(terminal: Terminal, tmp_path: Path):
    crash = tmp_path / "crash.py"
    crash.write_text(
        "import sys\nfrom pathlib import Path\nfrom medback_tui.app import MedbackApp, run\n"
        "def boom(self):\n    raise RuntimeError('boom')\n"
        "MedbackApp.action_log = boom\nsys.exit(run(Path(sys.argv[1])))\n"
    )
    terminal.run(sys.executable, crash, tmp_path / "s.db")
    terminal.wait_for("Nothing is backed up yet")
    terminal.press("L")
    terminal.wait_for("exit=1")
    assert terminal.is_sane()


def test_a_foreign_file_is_refused_before_anything_is_drawn(terminal: Terminal, tmp_path: Path):
    (tmp_path / "s.db").write_text("my novel, chapter one" * 20)
    terminal.run(PROGRAM, "--session-db", tmp_path / "s.db")
    shown = terminal.wait_for("exit=4")
    assert "not a medback session DB" in shown.replace("\n", "")
    assert (tmp_path / "s.db").read_text().startswith("my novel")
