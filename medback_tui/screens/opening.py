"""Leave the app for a moment: open a file or a directory, edit it, or take its path along."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from contextlib import suppress

from textual.app import SuspendNotSupported

from medback_core.presenting.units import name
from medback_tui.reading.state import SharedApp


def open_path(app: SharedApp, path: bytes) -> None:
    """Open it with the program the system has for it."""
    opener = "open" if sys.platform == "darwin" else "xdg-open"

    def start() -> str:
        if not os.path.exists(path):
            return f"{name(path)} is not there now"
        try:
            subprocess.Popen(
                [opener, path], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                start_new_session=True,
            )  # fmt: skip
        except OSError:
            return f"this system has no {opener}; {app.key_of('app.copy-path')} copies the path"
        return ""

    def tell(problem: str) -> None:
        if problem:
            app.notify(problem, severity="warning")
        else:
            app.notify(f"opened {name(path)}", timeout=3)

    app.aside(app.screen, start, tell, exclusive=False)


def edit_path(app: SharedApp, path: bytes) -> bool:
    """Edit it with $VISUAL or $EDITOR in this terminal; False when that could not be done. Jobs go on meanwhile."""
    words = os.environ.get("VISUAL") or os.environ.get("EDITOR") or "vi"
    code = 127  # as a shell has it for a program that is not there
    try:
        with app.suspend(), suppress(OSError):
            code = subprocess.run([*shlex.split(words), path], check=False).returncode
    except SuspendNotSupported:
        app.notify("this terminal can't be handed to an editor", severity="warning")
        return False
    app.refresh()
    if code:
        app.notify(f"{name(words)} did not end well ({code}); EDITOR names the editor", severity="warning")
    return not code


def copy_path(app: SharedApp, path: bytes) -> None:
    """Put the path on the clipboard, as one word of a shell."""
    from medback_core import names

    app.copy_to_clipboard(names.shell_quoted(names.text(path)))
    app.notify(f"copied: {name(path)}", timeout=3)
