"""A new user, from the service to the day everything is gone: a real drive on a loop device, the real programs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.shell import Shell
from support.worlds import tree, write_tree
from watching.test_watch import stick

__all__ = ["stick"]


def test_a_drive_is_plugged_in_backed_up_ejected_and_brings_all_back(
    tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    shell = Shell(tmp_path)
    write_tree(tmp_path / "photos", {"2024/lisbon": 5000, "a letter": 100})
    assert shell("add-src", "photos", "--copies", "1").code == 0
    assert shell("target", "stick", "--init", "--label", "Blue").code == 0
    assert shell("set-target", "Blue", "--on-plug", "backup").code == 0
    assert shell("eject", "Blue").code == 0
    write_tree(tmp_path / "photos", {"2025/new": 7000})
    shell("service", "install", "-y")  # there may be no systemd to start it
    unit = (tmp_path / "config/systemd/user/medback-watch.service").read_text()
    (line,) = (line for line in unit.splitlines() if line.startswith("ExecStart="))
    watch = subprocess.Popen(
        shlex.split(line.removeprefix("ExecStart=")),
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TERM": "dumb"},
    )
    try:
        subprocess.run(["mount", "-o", "loop", tmp_path / "image", stick], check=True)
        assert watch.stdout is not None
        assert any("Blue is backed up: safe to unplug" in said for said in watch.stdout)
    finally:
        watch.terminate()
        assert watch.wait() == 143
    assert shell("eject", "Blue").code == 0
    had = tree(tmp_path / "photos")
    for gone in (tmp_path / "photos", tmp_path / "config"):
        shutil.rmtree(gone)
    for gone in tmp_path.glob("session*"):
        gone.unlink()
    subprocess.run(["mount", "-o", "loop", tmp_path / "image", stick], check=True)
    shutil.copy(stick / "medback-restore.py", tmp_path)
    command = [sys.executable, "-I", tmp_path / "medback-restore.py", stick, "--to", tmp_path / "back"]
    subprocess.run(command, check=True, capture_output=True)
    assert tree(tmp_path / "back/photos") == had
