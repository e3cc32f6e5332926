"""The questions around a restore: what, where to, and which context."""

from __future__ import annotations

import os
from collections.abc import Callable

from textual.content import Content

from medback_core.model import CONTEXT_NAME
from medback_tui import operations
from medback_tui.plan_facts import Scope
from medback_tui.state import SharedApp
from medback_tui.words import name

from .dialogs import Choice, Question
from .pick import PickDirectory
from .pick_scope import PickScope


def choose_scope(app: SharedApp, chosen: Callable[[Scope | None], None]) -> None:
    """Everything, a source, a directory, or a file."""
    app.push_screen(PickScope(), chosen)


def choose_destination(app: SharedApp, now: bytes | None, chosen: Callable[[tuple[bytes | None] | None], None]) -> None:
    """In place, or under a directory. The answer is a tuple so that None can mean in place."""
    words = "In place: each file where it was. Elsewhere: as DIRECTORY/source/path, and nothing in place is touched."
    if now is not None:
        words += f"\n\nnow: {name(now)}"
    choices = [Choice("no", "Leave it"), Choice("place", "In place"), Choice("other", "Elsewhere …", "primary")]

    def answered(answer: str | None) -> None:
        if answer == "place":
            chosen((None,))
        elif answer == "other":
            app.push_screen(
                PickDirectory("Restore to", "restore into this directory"),
                lambda path: chosen((path,)) if path is not None else None,
            )

    app.push_screen(Question("Where to?", Content(words), choices, focus="place"), answered)


def load_context(app: SharedApp) -> None:
    """Choose a restore context and load it; drives that are here and carry one are offered first."""
    start = None
    for path in [*app.drives.here.values(), *(mount.path for mount in app.drives.mounts)]:
        if os.path.exists(os.path.join(path, CONTEXT_NAME)):
            start = path
            break

    def chosen(path: bytes | None) -> None:
        if path is not None:
            app.submit(operations.load_context(path))

    app.push_screen(PickDirectory("Load a restore context", "load", start, files=True), chosen)


def write_context(app: SharedApp) -> None:
    """Choose a directory and write the restore context there."""

    def chosen(path: bytes | None) -> None:
        if path is not None:
            app.submit(operations.write_context(os.path.join(path, b"medback-context.xml")))

    app.push_screen(PickDirectory("Write the restore context into", "write it here"), chosen)
