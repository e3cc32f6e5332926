"""The shells complete, and the wrapper of docs/habits.md tells monitoring: with the real shells, on the real program."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.shell import Shell
from support.worlds import photos

ROOT = Path(__file__).parents[2]
HOSTILE = 'it\'s a:b \\ $HOME `id` "q" * , !x'  # a label a person may give


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


# What is typed before the tab key in bash and zsh, and the words the command has then.
TYPED = {
    "eject Re": ["eject", "Red Toshiba"],
    'eject "Red T': ["eject", "Red Toshiba"],
    "eject it": ["eject", HOSTILE],
    'eject "it': ["eject", HOSTILE],
    "eject 'it": ["eject", HOSTILE],
    "eject it\\'s\\ a:": ["eject", HOSTILE],
    'verify "red/ph': ["verify", "red/photos"],
    "eject ./re": ["eject", "./red"],
    "set-target X --on-plug=ver": ["set-target", "X", "--on-plug=verify"],
}
# A stand-in for the program, completed as it is; the prompt.
CALLED = """
called() { python3 -c 'import json, sys; print("<" + json.dumps(sys.argv[1:]) + ">")' "$@"; }
PS1='READY '
unset HISTFILE
"""
SHELLS = {
    "bash": (
        ["bash", "--noprofile", "--rcfile", "rc", "-i"],
        "bind 'set enable-bracketed-paste off'; source ./medback.bash; complete -F _medback_completion called\n",
    ),
    "zsh": (
        ["zsh", "-i"],
        "unsetopt PROMPT_SP PROMPT_CR; autoload -Uz compinit; compinit -u -D; bindkey '^I' complete-word\n"
        "source ./_medback; compdef _medback_completion called\n",
    ),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_inside_quotes_and_out_of_them(shelf: Path, shell: str) -> None:
    """In a shell at a terminal, which shows the words that a stand-in for `medback` is called with."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (shelf / "blue").mkdir()
    assert Shell(shelf)("target", "blue", "--init", "--label", HOSTILE).code == 0
    command, ready = SHELLS[shell]
    for name in ("rc", ".zshrc"):
        (shelf / name).write_text(CALLED + ready)
    script = (shelf / "medback.bash").read_text().replace('bash_complete "$1"', "bash_complete medback")
    (shelf / "medback.bash").write_text(script)
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "400", "ZDOTDIR": str(shelf)}
    with subprocess.Popen(command, cwd=shelf, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as running:
        os.close(theirs)
        try:
            told_until(ours, "READY ")
            for line, words in TYPED.items():
                os.write(ours, f"called {line}\t".encode())
                os.write(ours, b'"\n' if line.startswith('verify "') else b"\n")
                said = told_until(ours, "]>")
                found = json.loads(said[said.rindex("<[") + 1 : said.rindex("]>") + 1])
                assert [word.rstrip("/") for word in found] == words, line
        finally:
            running.kill()
            os.close(ours)


def told_until(terminal: int, words: str) -> str:
    """What a terminal shows, up to these words."""
    said = ""
    while words not in said:
        assert select.select([terminal], [], [], 60)[0], said
        said += os.read(terminal, 65536).decode(errors="replace")
    return said


def test_there_is_one_script_for_bash_however_it_is_asked_for(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MEDBACK_COMPLETE", "bash_source")
    asked = ran(shelf, "medback")
    assert asked.strip() == (shelf / "medback.bash").read_text().strip() and "compopt" in asked


def test_fish_completes_labels_aliases_and_paths(shelf: Path) -> None:
    def words(line: str) -> list[str]:
        return ran(shelf, "fish", "-c", f"source medback.fish; complete -C '{line}'").split("\n")

    assert "Red Toshiba" in words("medback eject Re")
    assert "photos" in words("medback export ph")
    assert any(word.startswith("verify\t") for word in words("medback verif"))
    assert any(word.startswith("red") for word in words("medback verify re"))
    assert any(word.startswith("./red") for word in words("medback eject ./re"))
    assert "--on-plug=verify" in words("medback set-target X --on-plug=ver")
    assert Shell(shelf)("set-target", "red", "--label", "one, two").code == 0
    assert "one, two" in words("medback eject one")


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
