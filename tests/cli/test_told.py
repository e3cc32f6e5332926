"""Everything is gone, and there are the drives: what a person reads, and the exit codes."""

from __future__ import annotations

import io
import os
import sys
import tarfile
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.cli import running
from medback_core.disk import Mount
from support.shell import Shell
from support.worlds import tree, write_tree


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A new machine: a drive of the old one, `blue`, and nothing else."""
    write_tree(tmp_path / "photos", {"a.txt": 100, "sub/b.bin": 3000})
    (tmp_path / "blue").mkdir()
    shell = Shell(tmp_path)
    assert shell("add-src", "photos").code == 0 and shell("target", "blue", "--init", "--label", "Blue").code == 6
    (tmp_path / "photos").rename(tmp_path / "as it was")
    for left in tmp_path.glob("session.db*"):
        left.unlink()
    return shell


def plugged_in(monkeypatch: pytest.MonkeyPatch, *drives: Path) -> None:
    mounts = [Mount(os.fsencode(drive), "/dev/sdx1", "ext4", True, False, 10**9, 10**9) for drive in drives]
    monkeypatch.setattr(disk, "removable_mounts", lambda: mounts)


def test_a_plan_says_what_a_plugged_in_drive_remembers_and_the_next_command_works(shell: Shell, monkeypatch):
    plugged_in(monkeypatch, shell.where / "blue")
    answer = shell("plan")
    assert answer.code == 0
    assert "Blue remembers 1 source, 2 files, as of " in answer.out and "; they lie on Blue." in answer.out
    assert f"next: run `medback restore {shell.where}/blue`" in answer.out
    assert "add-restore-context" not in answer.words
    status = shell("restore-status", "--to", "out")
    assert status.code == 6 and "0 of 2 files are in place" in status.out
    back = shell("restore", "Blue", "--to", "out")  # by the label it gives itself
    assert back.code == 0 and "All 2 files known as of " in back.out and " are back." in back.out
    assert tree(shell.where / "out/photos") == tree(shell.where / "as it was")
    assert "All 2 files known as of " in shell("restore-status", "--to", "out").out


def test_a_drive_that_tells_nothing_is_named(shell: Shell):
    (shell.where / "new").mkdir()
    answer = shell("plan", "new")
    assert f"{shell.where}/new tells of no files: there is no record on it that can be read" in answer.err


def test_of_two_drives_that_hold_all_a_plan_takes_the_one_that_is_here(tmp_path: Path, monkeypatch):
    write_tree(tmp_path / "photos", {"a.txt": 100, "sub/b.bin": 3000})
    shell = Shell(tmp_path)
    assert shell("add-src", "photos").code == 0
    for drive in ("Blue", "Red"):
        (tmp_path / drive).mkdir()
        shell("target", drive, "--init", "--label", drive)
    (tmp_path / "photos").rename(tmp_path / "as it was")
    for left in tmp_path.glob("session.db*"):
        left.unlink()
    plugged_in(monkeypatch, tmp_path / "Red")
    assert f"next: run `medback restore {tmp_path}/Red`" in shell("plan").out
    plugged_in(monkeypatch)
    for named in ("Red", "Blue"):
        assert f"next: run `medback restore {tmp_path}/{named}`" in shell("plan", named).out


def test_nothing_is_missing_is_never_said_without_a_date(shell: Shell):
    for line in (("plan",), ("plan", "--all"), ("restore-status",)):
        answer = shell(*line)
        assert answer.code == 0 and "nothing is missing" not in answer.words.lower()
        assert "Nothing is known of any file" in answer.out
    answer = shell("plan", "blue")
    assert "Blue remembers" in answer.out and "missing: 2 files" in answer.out
    shell("restore", "blue", "--in-place")
    assert "Nothing is missing of what is known as of " in shell("plan").out


def test_to_the_original_places_yes_is_no_answer(shell: Shell, monkeypatch):
    answer = shell("restore", "blue", "-y")
    assert answer.code == 4 and "--in-place answers yes" in answer.err
    assert f"{shell.where}/blue" in answer.err and "They would be put at" in answer.err
    assert f"{shell.where}/photos" in answer.err and not (shell.where / "photos").exists()
    monkeypatch.setattr(running.Run, "can_ask", lambda _: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("n\n"))
    assert shell("restore", "blue").code == 4 and not (shell.where / "photos").exists()
    monkeypatch.setattr(sys, "stdin", io.StringIO("y\n"))
    assert shell("restore", "blue").code == 0
    assert tree(shell.where / "photos") == tree(shell.where / "as it was")


def test_done_says_no_to_what_the_drives_tell(shell: Shell, monkeypatch):
    plugged_in(monkeypatch, shell.where / "blue")
    assert "Blue remembers" in shell("plan").out
    answer = shell("restore-status", "--done")
    assert answer.code == 0 and "Blue remembers" not in answer.out
    assert "Blue remembers" not in shell("plan").out
    assert "Blue remembers" in shell("plan", "blue").out  # named: asked for


def test_what_is_only_offered_is_told_with_the_command_that_takes_it_in(shell: Shell, monkeypatch):
    write_tree(shell.where / "mine", {"x": 10})
    shell("add-src", "mine")
    plugged_in(monkeypatch, shell.where / "blue")
    code, found = shell.json("plan")
    assert code == 0 and found["missing"]["files"] == 0
    assert [(told["drive"], told["taken"], told["files"]) for told in found["told"]] == [("Blue", False, 2)]
    assert f"`medback plan {shell.where}/blue` uses it" in shell("plan").out
    assert shell.json("plan", "blue")[1]["missing"]["files"] == 2
    assert [source["alias"] for source in shell.json("sources")[1]["sources"]] == ["mine"]


@pytest.mark.parametrize("command", ["restore", "restore-status", "plan"])
def test_a_path_of_which_nothing_is_known_is_refused(shell: Shell, command: str):
    line = [command, "blue", "--to", "out", "--path"]
    answer = shell(*line, "TYPO")
    assert answer.code == 4 and "nothing is known of TYPO" in answer.err
    assert shell(*line, "sub").code != 4
    if command == "restore":
        assert shell(*line, "sub", "--deleted").code == 4


def test_a_rebuild_from_a_drive_says_what_it_remembers(shell: Shell):
    answer = shell("rebuild", "blue")
    assert answer.code == 0 and "Blue remembers 1 source, 2 files" in answer.out
    assert f"next: `medback plan {shell.where}/blue`" in answer.out
    assert "nothing is missing" not in answer.words.lower()
    assert "missing: 2 files" in shell("plan").out  # the drive's place is known now


@pytest.mark.parametrize("command", ["restore", "verify", "repair", "reclaim"])
def test_a_refusal_names_no_option_the_command_lacks(shell: Shell, command: str):
    (shell.where / "blue/.medback-target.xml").write_bytes(b"garbage")
    line = {"restore": ["--to", "out"], "reclaim": ["--old"]}.get(command, [])
    answer = shell(command, "blue", *line)
    if command in ("restore", "verify"):
        assert answer.code == 0 and "does not say which drive it is" in answer.err
        return
    assert answer.code == 4
    options = shell(command, "--help").out
    for word in answer.err.replace("(", " ").replace(")", " ").replace(":", " ").split():
        assert not word.startswith("--") or word in options or "`medback target`" in answer.err


@pytest.mark.parametrize("version", ["schema-1", "schema-2", "schema-3"])
def test_a_drive_of_the_versions_before_tells_too(tmp_path: Path, version: str):
    with tarfile.open(Path(__file__).parents[1] / "old_versions" / f"{version}.tar.gz") as packed:
        packed.extraction_filter = getattr(tarfile, "tar_filter", None)  # not there before 3.11.4
        packed.extractall(tmp_path / "old")
    shell = Shell(tmp_path)
    drive = tmp_path / "old/mnt/blue"
    assert b"<remembers" not in (drive / ".medback-target.xml").read_bytes()
    assert " remembers 2 sources, " in shell("plan", str(drive)).out
    shell("restore", str(drive), "--to", "out")
    assert (tmp_path / "out/photos/a.jpg").read_bytes() == (tmp_path / "old/house/photos/a.jpg").read_bytes()


def test_the_help_and_the_readme_have_the_story(shell: Shell):
    root = Path(__file__).parents[2]
    for page in (shell("--help").out, (root / "README.md").read_text()):
        story = page[page.index("Everything is gone. I have my drives.") :]
        for words in ("medback plan", "medback restore Blue --to", "--in-place", "medback restore-status --to"):
            assert words in story
