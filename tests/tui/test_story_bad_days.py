"""Three bad days in a real terminal, with nothing known beforehand but what the screens say: a directory was deleted, a
copy is damaged, a drive is full."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from medback_core.session import open_session
from support.mounting import Mounter, mount_fixture  # noqa: F401  (the fixture)
from support.terminal import PROGRAM, Terminal
from support.worlds import add, back, rot, tree, write_tree

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux for a real terminal")


def open_app(terminal: Terminal, session: Path) -> None:
    terminal.run(PROGRAM, "--session-db", session)
    terminal.wait_for("1 Sources")


def leave(terminal: Terminal) -> None:
    terminal.wait_until_gone("X stop")  # while a job runs, the app asks first
    terminal.press("q")
    terminal.wait_for("exit=0")
    assert terminal.is_sane()


def test_a_deleted_directory_comes_back(terminal: Terminal, tmp_path: Path):
    photos, session = tmp_path / "photos", tmp_path / "s.db"
    write_tree(photos, {f"2024/{n}.jpg": 2000 + n for n in range(20)} | {f"lisbon/{n}.jpg": 900 + n for n in range(3)})
    with open_session(session) as known:
        add(known, photos, copies=1)
        back(known, tmp_path / "blue", label="Blue", fill=False)
    original = tree(photos)
    shutil.rmtree(photos / "lisbon")

    open_app(terminal, session)
    terminal.wait_for("photos")
    terminal.press("u")
    terminal.wait_for("3 removed")
    terminal.wait_for("what was removed may come back: 3, then D lists it")
    terminal.press("3")
    terminal.wait_for("● photos/")
    terminal.press("D")
    terminal.wait_for("3 files (2.6 KiB) can be brought back")
    terminal.wait_for("* mark all")
    terminal.press("*", "Enter")
    terminal.wait_until_gone("can be brought back")
    terminal.wait_for("23 files")  # what Coverage knows again
    leave(terminal)
    assert tree(photos) == original


def test_a_damaged_copy_is_found_and_repaired(terminal: Terminal, tmp_path: Path):
    photos, session = tmp_path / "photos", tmp_path / "s.db"
    write_tree(photos, {f"2024/{n}.jpg": 2000 + n for n in range(5)})
    with open_session(session) as known:
        add(known, photos)
        for drive in ("blue", "red"):
            back(known, tmp_path / drive, label=drive.title(), fill=False)
    good = rot(tmp_path / "blue" / "photos" / "2024" / "3.jpg")

    open_app(terminal, session)
    terminal.press("2")
    terminal.wait_for("▌ Blue")
    terminal.wait_for("▶ here")
    terminal.press("v")
    terminal.wait_for("All of it")
    terminal.press("Enter")
    terminal.wait_for("next: repair it (p)")
    terminal.wait_for("✘ 1 bad")
    terminal.press("p")
    terminal.wait_for("1 file can be repaired")
    terminal.press("Right", "Enter")
    terminal.wait_until_gone("1 bad")
    terminal.wait_for("✔ repair Blue: 1 file repaired")
    leave(terminal)
    assert (tmp_path / "blue" / "photos" / "2024" / "3.jpg").read_bytes() == good


def test_a_full_drive_takes_what_fits_and_the_next_one_the_rest(terminal: Terminal, tmp_path: Path, mount: Mounter):
    photos, session, small, large = (tmp_path / name for name in ("photos", "s.db", "small", "large"))
    write_tree(photos, {f"2024/{n:02}.jpg": 200_000 + n for n in range(20)})
    mount("-t", "tmpfs", "-o", "size=3m", "small", point=small)
    with open_session(session) as known:
        add(known, photos, copies=1)
    large.mkdir()

    def target(drive: Path) -> None:
        terminal.press("n")
        terminal.wait_for("another directory")
        terminal.press("End")
        terminal.wait_for("▌ another directory")
        terminal.press("Enter")
        terminal.wait_for("type a path")
        terminal.press("/")
        terminal.type(str(drive)[1:])
        terminal.press("Enter")

    open_app(terminal, session)
    terminal.press("2")
    terminal.wait_for("No drive is a target yet")
    target(small)
    terminal.wait_for("it would be full")
    terminal.press("C-s")
    shown = terminal.wait_for("choose a new drive (n)")
    assert "copied" in shown and "still not safe" in shown
    assert 0 < len(tree(small)) < 20
    target(large)
    terminal.wait_for("everything would then have its wanted copies")
    terminal.press("C-s")
    terminal.wait_for("everything has its wanted copies")
    leave(terminal)
    held = [{path.rpartition(b"/")[2] for path in tree(drive)} for drive in (small, large)]
    assert held[0] | held[1] == {b"%02d.jpg" % n for n in range(20)} and not held[0] & held[1]
