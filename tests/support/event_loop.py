"""Catches the app when it reads or writes on its event loop, where a slow drive would hold up every key."""

from __future__ import annotations

import asyncio
import builtins
import os
import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import medback_tui
from medback_core.session.intact import Connection

APP = str(Path(medback_tui.__file__).parent)
TESTS = str(Path(__file__).parents[1])
# All that looks at a path or at what stands there. `stat` is under `exists`, `isdir` and pathlib's as well.
CALLS: dict[Any, tuple[str, ...]] = {
    builtins: ("open",),
    os: (
        "stat", "lstat", "statvfs", "open", "listdir", "scandir", "mkdir", "rename", "replace", "unlink", "rmdir",
        "fsync", "pread", "write", "link", "readlink",
    ),
    Connection: ("execute", "executemany", "executescript", "commit", "close"),
    sqlite3: ("connect",),
}  # fmt: skip
on_a_loop = asyncio._get_running_loop
WITHOUT_A_SCREEN = {"edit_path"}  # the terminal is the editor's


def culprit() -> str | None:
    """The line of the app that asked for this on the event loop; None where it is another thread's, or not the app's:
    a test's own, a module's being imported, a style sheet's that Textual reads."""
    frame, asked = sys._getframe(2), None
    while frame is not None:
        code = frame.f_code
        if code.co_filename.startswith(("<frozen importlib", "<frozen zipimport", f"{TESTS}/tui/test_")):
            return None
        if "/textual/" in code.co_filename:
            return asked
        if code.co_filename.startswith(APP):
            if code.co_name in WITHOUT_A_SCREEN:
                return None
            # Not its text: that would be read.
            asked = asked or f"  {code.co_filename}:{frame.f_lineno} in {code.co_name}"
        frame = frame.f_back
    return None


@contextmanager
def watched() -> Iterator[list[str]]:
    """The places where the app read or wrote on its event loop meanwhile."""
    found: list[str] = []

    def told(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def asked(*words: Any, **options: Any) -> Any:
            if on_a_loop() is not None and (where := culprit()) is not None:
                found.append(f"{name}{words[:1]}\n{where}")
            return call(*words, **options)

        return asked

    with pytest.MonkeyPatch.context() as patch:
        for owner, names in CALLS.items():
            for name in names:
                if hasattr(owner, name):
                    patch.setattr(owner, name, told(name, getattr(owner, name)))
        yield found
