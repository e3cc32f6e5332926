"""Change what is set of a source: its name, where it is now, how many copies, what is left out."""

from __future__ import annotations

import os
import re

from medback_core import names
from medback_core.errors import UsageError
from medback_core.model import Rule
from medback_core.presenting.refusals import sentence
from medback_core.presenting.units import name, plural
from medback_tui.jobs import operations
from medback_tui.reading.facts import SourceFacts
from medback_tui.reading.state import SharedApp

from .form import Field, Form, Values

NUMBERS = re.compile(r"(\d{1,2})(?:,\s*(\d{1,2}) elsewhere)?")
RULE = re.compile(
    r"(?P<path>[^/].*?):\s*(?:(?P<copies>\d{1,2}) cop(?:y|ies))?(?:(?(copies),\s*)(?P<elsewhere>\d{1,2}) elsewhere)?"
)


def edit_source(app: SharedApp, facts: SourceFacts) -> None:
    """Show the values, and change those that are others afterwards."""
    source = facts.source
    lines = {_line(rule): rule for rule in facts.rules}
    numbers = f"{source.wanted}, {source.elsewhere} elsewhere" if source.elsewhere else str(source.wanted)

    def answered(values: Values) -> None:
        typed = _lines(values["rules"])
        copies, elsewhere = _numbers(values["copies"]) or (source.wanted, source.elsewhere)
        rules = [lines.get(line) or _rule(line) for line in typed]
        change = {
            "path": source.path if values["path"] == name(source.path) else _path(values["path"]),
            "alias": source.alias if values["alias"] == name(source.alias) else values["alias"].strip(),
            "copies": copies,
            "excludes": _lines(values["excludes"]),
            "place": source.place or "" if values["place"] == name(source.place or "") else values["place"].strip(),
            "elsewhere": elsewhere,
            "rules": [rule for rule in rules if rule is not None],
        }
        if change != {
            "path": source.path, "alias": source.alias, "copies": source.wanted, "excludes": list(source.excludes),
            "place": source.place or "", "elsewhere": source.elsewhere, "rules": list(facts.rules),
        }:  # fmt: skip
            app.submit(operations.change_source(source, had_rules=facts.rules, **change))

    fields = [
        Field("alias", "Name", name(source.alias)),
        Field("path", "Where it is now, should it have moved or be mounted elsewhere", name(source.path)),
        Field("copies", "Wanted copies, each on another drive (3, or: 3, 1 elsewhere)", numbers),
        Field("place", "The place where it is kept: home, office", name(source.place or ""), "home"),
        Field("rules", "Rules for directories, like 2019/wedding: 3 copies, 2 elsewhere", "\n".join(lines), lines=2),
        Field("excludes", "Left out: one pattern a line, like *.tmp or cache/", "\n".join(source.excludes), lines=2),
    ]
    app.ask(Form(f"Edit {name(source.alias)}", fields, check), answered)


def check(values: Values) -> str | None:
    """What is wrong with these values."""
    from medback_core.sources.excludes import Patterns

    if not values["alias"].strip():
        return "a source needs a name"
    if not os.path.isabs(_path(values["path"])):
        return "where it is must be a whole path, from / on"
    if _numbers(values["copies"]) is None:
        return "wanted copies: a number from 1 to 99, and no more of them elsewhere"
    for line in _lines(values["rules"]):
        if _rule(line) is None:
            return f"{line}: a rule is like DIR: 3 copies, 1 elsewhere"
    try:
        Patterns(_lines(values["excludes"]))
    except UsageError as error:
        return sentence(error)
    return None


def _path(text: str) -> bytes:
    return os.path.expanduser(names.from_text(text.strip()))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _numbers(text: str) -> tuple[int, int] | None:
    """(copies, of which so many elsewhere); None where the text does not say so."""
    found = NUMBERS.fullmatch(text.strip())
    if found is None:
        return None
    copies, elsewhere = int(found[1]), int(found[2] or 0)
    return (copies, elsewhere) if 0 < copies >= elsewhere else None


def _line(rule: Rule) -> str:
    """`2019/wedding: 3 copies, 2 elsewhere`."""
    numbers = [] if rule.copies is None else [plural(rule.copies, "copy", "copies")]
    numbers += [] if rule.elsewhere is None else [f"{rule.elsewhere} elsewhere"]
    return f"{name(rule.path)}: {', '.join(numbers)}"


def _rule(line: str) -> Rule | None:
    """What a line says; None where it is no rule."""
    found = RULE.fullmatch(line)
    if found is None or found["copies"] is found["elsewhere"] is None:
        return None
    copies, elsewhere = (None if found[key] is None else int(found[key]) for key in ("copies", "elsewhere"))
    if copies == 0 or (copies is not None and elsewhere is not None and elsewhere > copies):
        return None
    return Rule(names.from_text(found["path"].strip("/")), copies, elsewhere)
