"""A real terminal for a test: tmux with a shell in it, keys sent to it, its picture read back."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

PROGRAM = Path(sys.executable).with_name("medback")
PATIENCE = 200.0  # seconds; only how long a failure takes to be told, on a machine however busy


class Terminal:
    """A shell in a tmux of its own, of a fixed size; closed with `close`."""

    def __init__(self, home: Path, width: int = 80, height: int = 24) -> None:
        self.socket = f"medback-test-{os.getpid()}-{time.monotonic_ns()}"
        environment = {
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / ".config"),
            "PATH": os.environ["PATH"],
            "TERM": "xterm-256color",
            "LANG": "C.UTF-8",
            "PS1": "ready$ ",
        }
        words = [
            "exec",  # the shell of who runs the tests is not to stand between
            "env",
            "-i",
            *(f"{key}={value}" for key, value in environment.items()),
            "bash",
            "--norc",
            "--noprofile",
        ]
        self._tmux("new-session", "-d", "-x", str(width), "-y", str(height), shlex.join(words))
        self.wait_for("ready$")

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(
            ["tmux", "-L", self.socket, "-f", "/dev/null", *words], check=True, capture_output=True, text=True
        )
        return done.stdout

    @property
    def screen(self) -> str:
        """What stands on the terminal now."""
        return self._tmux("capture-pane", "-p")

    def press(self, *keys: str) -> None:
        """Press keys by tmux's names: `a`, `Enter`, `Escape`, `Down`."""
        self._tmux("send-keys", *keys)

    def type(self, text: str) -> None:
        """Type text as it is."""
        self._tmux("send-keys", "-l", text)

    def run(self, *words: str | Path) -> None:
        """Run a command in the shell; its exit code is told as `exit=N`."""
        self.type(shlex.join(str(word) for word in words) + '; echo "exit=$?"')
        self.press("Enter")

    def wait_for(self, words: str, seconds: float = PATIENCE) -> str:
        """Until the words stand there; returns the picture."""
        end = time.monotonic() + seconds
        while words not in (shown := self.screen):
            if time.monotonic() > end:
                raise AssertionError(f"“{words}” never appeared on:\n{shown}")
            time.sleep(0.05)
        return shown

    def wait_until_gone(self, words: str, seconds: float = PATIENCE) -> str:
        """Until the words no longer stand there."""
        end = time.monotonic() + seconds
        while words in (shown := self.screen):
            if time.monotonic() > end:
                raise AssertionError(f"“{words}” stayed on:\n{shown}")
            time.sleep(0.05)
        return shown

    def program(self) -> int:
        """The process id of what runs in the shell."""
        shell = self._tmux("list-panes", "-F", "#{pane_pid}").strip()
        return int(subprocess.run(["pgrep", "-P", shell], check=True, capture_output=True, text=True).stdout.split()[0])

    @property
    def mouse(self) -> str:
        """`1` when the program in the terminal gets the mouse, else `0`."""
        return self._tmux("display-message", "-p", "#{mouse_any_flag}").strip()

    def is_sane(self) -> bool:
        """Whether the terminal echoes, reads lines, shows its cursor and is out of the alternate screen."""
        self.type("clear; stty -a")
        self.press("Enter")
        settings = self.wait_for("icanon")
        flags = self._tmux("display-message", "-p", "#{alternate_on} #{cursor_flag} #{mouse_any_flag}").split()
        return " -icanon" not in settings and " -echo " not in settings and flags == ["0", "1", "0"]

    def close(self) -> None:
        """End the tmux server of this terminal."""
        subprocess.run(["tmux", "-L", self.socket, "kill-server"], check=False, capture_output=True)
