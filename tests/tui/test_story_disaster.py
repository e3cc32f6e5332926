"""Everything is gone but three drives of different age: on a new machine the app itself says what they hold and which
keys bring it back. In a real terminal, on real mounts."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from medback_core.session import open_session
from support.mounting import Mounter, image, mount_fixture, unmount  # noqa: F401  (the fixture)
from support.terminal import PROGRAM, Terminal
from support.worlds import add, back, rescan, tree, write_tree

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux for a real terminal")


def test_three_drives_bring_the_newest_of_everything_back(tmp_path: Path, mount: Mounter):
    drives = [tmp_path / name for name in ("tin", "blue", "white")]
    for drive in drives:
        mount("-o", "loop", image(tmp_path / f"{drive.name}.img"), point=drive)
        (drive / "lost+found").rmdir()
    photos = tmp_path / "photos"
    write_tree(photos, {"a.jpg": 5000, "diary.txt": 40})
    with open_session(tmp_path / "old.db") as session:
        add(session, photos, copies=1)
        for drive in drives:
            back(session, drive, label=drive.name.title(), fill=False)
        for number, drive in enumerate(drives):
            (photos / "diary.txt").write_text(f"day {number}\n" * (number + 2))
            write_tree(photos, {f"later {number}/c.jpg": 400 + number})
            rescan(session)
            back(session, drive, fill=False)
    for drive in drives:
        unmount(drive)
    as_it_was = tree(photos)
    shutil.rmtree(photos)
    home = tmp_path / "new home"
    home.mkdir()

    terminal = Terminal(home, width=110, height=30)
    try:
        # Plugged in for this one program, not for all that runs on this machine; and it sees no other drive.
        plug_in = "findmnt -rno SOURCE | grep ^/dev/loop | xargs -r -n1 umount -l; " + "; ".join(
            f"mount -o loop {shlex.quote(f'{drive}.img')} {shlex.quote(str(drive))}" for drive in drives
        )
        start = f"{plug_in}; exec {shlex.quote(str(PROGRAM))} --session-db {shlex.quote(str(tmp_path / 'new.db'))}"
        terminal.run("unshare", "--mount", "--propagation", "private", "bash", "-c", start)
        terminal.wait_for("3 drives that are here remember files")
        terminal.press("4")
        shown = terminal.wait_for("plan to bring it back")
        key = re.search(r"(\S) (?:makes )?(?:a )?plan", shown)
        terminal.press(key.group(1) if key and len(key.group(1)) == 1 else "a")
        used: list[str] = []
        while len(used) < len(drives):  # each holds something that the others lack
            terminal.wait_for("Enter restores from it")
            shown = terminal.wait_until_gone(f"{used[-1]} is plugged in: Enter" if used else "no drive at all")
            found = re.search(r"(\w+) is plugged in: Enter restores from it", shown)
            if found is None:
                continue
            used.append(found.group(1))
            terminal.press("Enter")
            if len(used) == 1:
                terminal.wait_for("To their original places")  # the question, not the line of the job that asks it
                terminal.press("Tab")  # from "Leave it" to "To their original places"
                terminal.press("Enter")
            terminal.wait_for(f"restore from {used[-1]}")
        terminal.wait_for("All 5 files known as of")
        terminal.press("q")
        terminal.wait_for("exit=0")
        assert sorted(used) == ["Blue", "Tin", "White"] and terminal.is_sane()
    finally:
        terminal.close()
    assert tree(photos) == as_it_was
