"""Jobs that were asked for and not finished, kept for the next time: by quitting, a kill or a crash."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock

from medback_core import names
from medback_tui.jobs import operations, upkeep  # noqa: F401  their makers are in MAKERS by that
from medback_tui.jobs.queue import Job, Recipe
from medback_tui.jobs.recipe import MAKERS, fixed, resumable
from medback_tui.look.settings import write_beside


def remade(recipe: Recipe) -> Job | None:
    """The job of a recipe; None for one that a changed app or file no longer makes sense of."""
    make = MAKERS.get(recipe.maker)
    if make is None:
        return None
    try:
        return resumable(make)(*recipe.arguments, **dict(recipe.options))
    except (TypeError, ValueError, AttributeError):
        return None


@dataclass(slots=True)
class Unfinished:
    """The recipes of a session that wait for a person's word, kept in a file with those that run or wait to run."""

    path: Path | None  # None: kept nowhere
    session: str
    left: tuple[Recipe, ...] | None = None  # of earlier runs; None: not read yet
    running: tuple[Recipe, ...] = ()  # of this one: what runs or waits now
    _one_at_a_time: Lock = field(default_factory=Lock)

    def load(self) -> tuple[Recipe, ...]:
        """What earlier runs left. For a thread."""
        with self._one_at_a_time:
            return self._left(self._read())

    def _left(self, kept: dict[str, list[object]]) -> tuple[Recipe, ...]:
        if self.left is None:
            found = map(_decoded, kept.get(self.session, []))
            self.left = tuple(recipe for recipe in found if recipe is not None)
        return self.left

    def keep(self) -> str | None:
        """Keep what is left and what is running. Returns why it can't be kept, None when it is. For a thread."""
        if self.path is None:
            return None
        with self._one_at_a_time:
            kept = self._read()
            now: list[object] = [_encoded(recipe) for recipe in dict.fromkeys([*self.running, *self._left(kept)])]
            if kept.get(self.session, []) == now:
                return None
            kept[self.session] = now
            return write_beside(self.path, {session: recipes for session, recipes in kept.items() if recipes})

    def _read(self) -> dict[str, list[object]]:
        if self.path is None:
            return {}
        try:
            kept = json.loads(self.path.read_text("utf-8"))
        except (OSError, ValueError):
            return {}
        if not isinstance(kept, dict):
            return {}
        return {key: value for key, value in kept.items() if isinstance(value, list)}


def _encoded(recipe: Recipe) -> dict[str, object]:
    return {
        "job": recipe.maker,
        "with": [_plain(value) for value in recipe.arguments],
        "options": {option: _plain(value) for option, value in recipe.options},
    }


def _decoded(kept: object) -> Recipe | None:
    match kept:
        case {"job": str(maker), "with": list(arguments), "options": dict(options)}:
            named = tuple((str(option), _value(value)) for option, value in options.items())
            return Recipe(maker, tuple(map(_value, arguments)), named)
    return None


def _plain(value: object) -> object:
    if isinstance(value, bytes):
        return {"bytes": names.text(value)}
    return list(value) if isinstance(value, tuple | list) else value


def _value(value: object) -> object:
    if isinstance(value, dict):
        return names.from_text(str(value.get("bytes", "")))
    return fixed(value)
