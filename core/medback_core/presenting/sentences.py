"""Make a sentence of a template and facts: how each kind of fact is shown is decided here, once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from string import Formatter

from medback_core import names
from medback_core.presenting import units

Key = Callable[[str], str]  # the id of a binding of the app -> the key a person presses for it


class _Sentence(Formatter):
    """`{path}` as a name that is harmless to show, a number as `41,007`, several as `a, b and c`. After a colon:
    `{copies:copy is|copies are}` counts, `{total:size}` is bytes, `{at:day}` a date, `{path:quoted}` for a shell, and
    `{key:sources.update}` the key of a binding. Several warnings follow each other, each behind a semicolon."""

    def __init__(self, said: Callable[[object], str], key: Key | None) -> None:
        self.said = said
        self.key = key

    def get_value(self, key: int | str, args: object, kwargs: Mapping[str, object]) -> object:
        return None if key == "key" else kwargs[str(key)]

    def format_field(self, value: object, format_spec: str) -> str:
        if format_spec == "quoted":
            return names.shell_quoted(value) if isinstance(value, bytes | str) else str(value)
        if isinstance(value, int):
            if "|" in format_spec:
                return units.plural(value, *format_spec.split("|"))
            return {"size": units.size, "day": units.day}.get(format_spec, units.number)(value)
        if format_spec and self.key is not None:
            return self.key(format_spec)
        if isinstance(value, tuple) and value and all(isinstance(one, bytes | str) for one in value):
            return units.listed(value)
        if isinstance(value, tuple):
            return "".join(f"; {self.said(one)}" for one in value)
        return units.name(value) if isinstance(value, bytes | str) else self.said(value)


def filled(template: str, facts: Mapping[str, object], said: Callable[[object], str], key: Key | None = None) -> str:
    """The template with its facts. `said` makes the words of a fact that is itself a refusal or a warning."""
    return _Sentence(said, key).vformat(template, (), facts)
