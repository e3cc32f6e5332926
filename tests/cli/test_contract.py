"""The command line as a script sees it: exit codes, JSON, and nothing changed where it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from worlds import tree, write_tree

MEDBACK = [sys.executable, "-c", "import sys; from medback_core.cli import main; sys.exit(main())"]


class Shell:
    def __init__(self, where: Path) -> None:
        self.where = where
        self.environment = {**os.environ, "MEDBACK_SESSION_DB": str(where / "session.db"), "HOME": str(where)}

    def run(self, *words: str) -> tuple[int, dict[str, Any]]:
        """(exit code, the one JSON object on standard output)."""
        done = subprocess.run(
            [*MEDBACK, *words, "--json"],
            cwd=self.where,
            env=self.environment,
            capture_output=True,
            timeout=60,
            check=False,
        )
        found = json.loads(done.stdout)
        assert found["exit_code"] == done.returncode, done.stderr
        assert {"skipped", "excluded", "warnings"} <= found.keys()
        return done.returncode, found


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    write_tree(tmp_path / "photos", {"a.txt": 100, "sub/b.bin": 3000})
    for drive in ("t1", "t2"):
        (tmp_path / drive).mkdir()
    return Shell(tmp_path)


def test_the_whole_journey_of_a_file(shell: Shell) -> None:
    code, found = shell.run("add-src", "photos")
    assert (code, found["sources"][0]["files"], found["sources"][0]["hashed"]) == (0, 2, 2)
    code, found = shell.run("target", "t1", "--init", "--label", "Blue")
    assert (code, found["copied"], found["remaining"]) == (6, 2, 2)
    assert shell.run("target", "t2", "-y")[0] == 0
    code, found = shell.run("stats")
    assert code == 0 and found["by_copies"]["2"]["files"] == 2 and found["below_wanted"]["files"] == 0
    original = tree(shell.where / "photos")
    (shell.where / "photos/sub/b.bin").unlink()
    code, found = shell.run("restore-status")
    assert (code, found["missing"]) == (6, 1) and found["next"]["files"] == 1
    code, found = shell.run("restore", "Blue")
    assert (code, found["restored"], found["missing"]) == (0, 1, 0)
    assert tree(shell.where / "photos") == original


def test_a_drive_that_is_no_target_is_left_alone_without_an_answer(shell: Shell) -> None:
    shell.run("add-src", "--srd-dir", "photos")
    code, found = shell.run("target", "t1")
    assert code == 4 and found["error"]["kind"] == "new-target"
    assert list((shell.where / "t1").iterdir()) == []


@pytest.mark.parametrize(
    "words",
    [("add-src", "nowhere"), ("target", "nowhere"), ("restore", "nobody"), ("add_restore_context", "nowhere.xml")],
)
def test_what_is_not_there_is_refused(shell: Shell, words: tuple[str, ...]) -> None:
    assert shell.run(*words)[0] == 4


def test_an_emptied_source_is_refused_and_kept(shell: Shell) -> None:
    shell.run("add-src", "photos")
    for path in sorted((shell.where / "photos").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert shell.run("update")[0] == 4
    assert shell.run("stats")[1]["files"] == 2


def test_damage_on_a_drive_is_exit_5(shell: Shell) -> None:
    shell.run("add-src", "photos")
    shell.run("target", "t1", "--init")
    path = shell.where / "t1/photos/a.txt"
    times = path.stat().st_mtime_ns
    path.write_bytes(b"?" * 100)
    os.utime(path, ns=(times, times))
    code, found = shell.run("verify", "t1")
    assert code == 5 and len(found["damaged"]) == 1


def test_a_lost_session_comes_back_hashing_nothing(shell: Shell) -> None:
    shell.run("add-src", "photos", "--alias", "pictures", "--copies", "3")
    shell.run("target", "t1", "--init", "--label", "Blue")
    for path in shell.where.glob("session.db*"):
        path.unlink()
    code, found = shell.run("add-src", "photos")
    assert code == 0 and found["sources"][0]["hashed"] == 0 and found["sources"][0]["alias"] == "pictures"
    assert shell.run("targets")[1]["targets"][0]["label"] == "Blue"
    assert shell.run("stats")[1]["by_copies"]["1"]["files"] == 2


def test_a_context_brings_all_back_on_a_new_machine(shell: Shell) -> None:
    shell.run("add-src", "photos")
    shell.run("target", "t1", "--init")
    original = tree(shell.where / "photos")
    os.rename(shell.where / "photos", shell.where / "lost")
    for path in shell.where.glob("session.db*"):
        path.unlink()
    assert shell.run("add-restore-context", "t1/.medback-context.xml")[0] == 0
    assert shell.run("restore", "t1")[1]["restored"] == 2
    assert tree(shell.where / "photos") == original
    assert shell.run("update")[1]["sources"][0]["hashed"] == 0


def test_a_name_no_terminal_should_see_is_told_harmlessly(shell: Shell) -> None:
    (shell.where / os.fsdecode(b"photos/\x1b[31mred\xff")).write_bytes(b"x")
    shell.run("add-src", "photos")
    done = subprocess.run(
        [*MEDBACK, "stats", "--unprotected"], cwd=shell.where, env=shell.environment, capture_output=True, check=False
    )
    assert done.returncode == 0 and b"\x1b" not in done.stdout and b"\\xff" in done.stdout
