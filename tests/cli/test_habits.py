"""The shells complete, and the wrapper of docs/habits.md tells monitoring: with the real shells, on the real program."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.shell import Shell
from support.worlds import photos

ROOT = Path(__file__).parents[2]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A drive whose label has a space; `medback` is on PATH, and works on this session."""
    with photos(tmp_path, {"a": 100}, drives=["red"]):
        pass
    assert Shell(tmp_path)("set-target", "red", "--label", "Red Toshiba").code == 0
    monkeypatch.setenv("MEDBACK_SESSION_DB", str(tmp_path / "session.db"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if shutil.which("medback") is None:
        pytest.skip("medback is not installed in this environment")
    for shell, file in (("bash", "medback.bash"), ("fish", "medback.fish"), ("zsh", "_medback")):
        (tmp_path / file).write_text(Shell(tmp_path)("completion", shell).out)
    return tmp_path


def ran(shelf: Path, *command: str) -> str:
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run(command, cwd=shelf, capture_output=True, text=True, check=False)
    return done.stdout


def test_bash_completes_labels_aliases_and_paths(shelf: Path) -> None:
    def words(*typed: str) -> list[str]:
        line = " ".join(f"'{word}'" for word in typed)
        script = f"source medback.bash; COMP_WORDS=({line}); COMP_CWORD={len(typed) - 1}; compopt() {{ echo $2; }}; "
        script += '_medback_completion medback; printf "%s\\n" "${COMPREPLY[@]}"'
        return [line for line in ran(shelf, "bash", "-c", script).splitlines() if line]

    assert words("medback", "eject", "Re") == ["Red\\ Toshiba"]
    assert words("medback", "eject", "Red\\ T") == ["Red\\ Toshiba"]
    assert words("medback", "export", "ph") == ["photos"]
    assert words("medback", "verif") == ["verify"]
    assert words("medback", "verify", "re") == ["default"], "a path: bash does it"


def test_there_is_one_script_for_bash_however_it_is_asked_for(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MEDBACK_COMPLETE", "bash_source")
    asked = ran(shelf, "medback")
    assert asked.strip() == (shelf / "medback.bash").read_text().strip() and "printf '%q'" in asked


def test_fish_completes_labels_aliases_and_paths(shelf: Path) -> None:
    def words(line: str) -> list[str]:
        return ran(shelf, "fish", "-c", f"source medback.fish; complete -C '{line}'").split("\n")

    assert "Red Toshiba" in words("medback eject Re")
    assert "photos" in words("medback export ph")
    assert any(word.startswith("verify\t") for word in words("medback verif"))
    assert any(word.startswith("red") for word in words("medback verify re"))


def test_zsh_completes_labels_and_aliases(shelf: Path) -> None:
    script = shelf / "typed.zsh"
    script.write_text(
        """
zmodload zsh/zpty
for typed seen in 'medback eject R' 'Toshiba' 'medback export ph' 'photos'; do
    zpty z zsh -f -i
    zpty -w z "PS1=; fpath=($PWD \\$fpath); autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word; echo REA''DY"
    zpty -r z out '*READY*'
    zpty -w -n z "$typed"$'\\t'
    zpty -r z out "*$seen*" && print -r -- "completed $seen"
    zpty -d z
done
"""
    )
    assert ran(shelf, "zsh", "-f", "typed.zsh").splitlines() == [f"completed {word}" for word in ("Toshiba", "photos")]


def test_the_wrapper_tells_monitoring(shelf: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", (ROOT / "docs/habits.md").read_text(), re.DOTALL)
    (shelf / "medback-check").write_text(script)

    def check(*words: str) -> tuple[int, str]:
        done = subprocess.run(["sh", "medback-check", *words], cwd=shelf, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout

    assert check("update") == (0, "OK: medback update\n")
    assert check("verify", "--all", "--for", "1h")[0] == 0
    code, words = check("verify", "nowhere")
    assert code == 2 and words.startswith("CRITICAL: medback verify: ") and words.count("\n") == 1
    (shelf / "red/photos/a").write_bytes(b"b" * 100)
    assert check("verify", "--all")[0] == 2
    assert check("restore-status", "--no-such-option")[0] == 3
