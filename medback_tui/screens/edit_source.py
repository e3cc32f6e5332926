"""Change what is set of a source: its name, where it is now, how many copies, what is left out."""

from __future__ import annotations

import os

from medback_core import names
from medback_core.errors import UsageError
from medback_core.model import Source
from medback_core.presenting.refusals import sentence
from medback_core.presenting.units import name
from medback_tui.jobs import operations
from medback_tui.reading.state import SharedApp

from .form import Field, Form, Values


def edit_source(app: SharedApp, source: Source) -> None:
    """Show the values, and change those that are others afterwards."""

    def answered(values: Values | None) -> None:
        if values is None:
            return
        path = source.path if values["path"] == name(source.path) else _path(values["path"])
        alias = source.alias if values["alias"] == name(source.alias) else values["alias"].strip()
        change = {"alias": alias, "path": path, "copies": int(values["copies"]), "excludes": _patterns(values)}
        if change != {
            "alias": source.alias, "path": source.path, "copies": source.wanted, "excludes": list(source.excludes)
        }:  # fmt: skip
            app.submit(operations.change_source(source, **change))

    fields = [
        Field("alias", "Name", name(source.alias)),
        Field("path", "Where it is now, should it have moved or be mounted elsewhere", name(source.path)),
        Field("copies", "Wanted copies, each on another drive", str(source.wanted)),
        Field("excludes", "Left out: one pattern a line, like *.tmp or cache/", "\n".join(source.excludes), lines=3),
    ]
    app.push_screen(Form(f"Edit {name(source.alias)}", fields, check), answered)


def check(values: Values) -> str | None:
    """What is wrong with these values."""
    from medback_core.sources.excludes import Patterns

    if not values["alias"].strip():
        return "a source needs a name"
    if not os.path.isabs(_path(values["path"])):
        return "where it is must be a whole path, from / on"
    if not (values["copies"].isdigit() and 1 <= int(values["copies"]) <= 99):
        return "wanted copies: a number from 1 to 99"
    try:
        Patterns(_patterns(values))
    except UsageError as error:
        return sentence(error)
    return None


def _path(text: str) -> bytes:
    return os.path.expanduser(names.from_text(text.strip()))


def _patterns(values: Values) -> list[str]:
    return [line.strip() for line in values["excludes"].splitlines() if line.strip()]
