"""In the command palette beside the actions: what can be done with each drive and source by name, and files."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from textual.command import CommandList, CommandPalette, Hit, Hits, Provider
from textual.content import Content

from medback_core import names
from medback_core.presenting.units import name, size
from medback_tui.jobs import operations

if TYPE_CHECKING:
    from medback_tui.app import MedbackApp

Command: TypeAlias = tuple[str, str, Callable[[], object]]  # what it is called, what it does, doing it
SHOWN = 20
SHORTEST = 3  # characters: fewer find half of everything


class Palette(CommandPalette):
    """Textual's, which ends the app where commands are found when its list is not there any more (or not yet)."""

    def _watch__list_visible(self) -> None:
        if self.query(CommandList):
            super()._watch__list_visible()

    async def _watch__show_busy(self) -> None:
        if self.query(CommandList):
            await super()._watch__show_busy()


class Things(Provider):
    """`Back up onto Red`, `Update photos`: the actions with the names of things."""

    async def search(self, query: str) -> Hits:
        """The commands that fit."""
        matcher = self.matcher(query)
        for words, sentence, do in self._commands():
            score = matcher.match(words)
            if score > 0:
                yield Hit(score, matcher.highlight(words), do, help=sentence)

    def _commands(self) -> Iterator[Command]:
        from .screens import backing_up, keeping

        app: MedbackApp = self.app  # type: ignore[assignment]
        facts = app.facts

        for row in facts.targets if facts is not None else ():
            called, here = name(row.target.name), app.drives.here.get(row.target.id)
            dead = frozenset({row.target.id})
            yield f"What if {called} died", "Coverage without this drive", partial(app.show_coverage, None, dead=dead)
            if here is not None:
                yield f"Back up onto {called}", "Shows first what would be copied", partial(
                    backing_up.preview, app, here, row.target.name
                )  # fmt: skip
                yield f"Verify {called}", "Read again what lies on it", partial(
                    keeping.verify, app, here, row.target.name, row.held
                )  # fmt: skip
        for row in facts.sources if facts is not None else ():
            called = name(row.source.alias)
            yield f"Update {called}", "Scan this source again", partial(
                lambda alias: app.submit(operations.update([alias])), row.source.alias
            )  # fmt: skip
            yield f"Coverage of {called}", "What of it is safe", partial(app.show_coverage, (row.source.id, b""))


class FoundFiles(Provider):
    """Files of all sources whose name has what one types, below the commands."""

    async def search(self, query: str) -> Hits:
        """The files that fit."""
        from medback_core.coverage.find import find

        app: MedbackApp = self.app  # type: ignore[assignment]
        pattern = names.from_text(query.strip())
        if len(query.strip()) < SHORTEST:
            return
        found = await asyncio.to_thread(app.in_session, lambda session: find(session, [pattern], limit=SHOWN))
        for place, file in enumerate(found.files if found is not None else ()):
            if file.gone:
                continue
            words = Content(f"{name(file.source)}/{name(file.path)}")
            yield Hit(0.1 - place / 1000, words, partial(app.go_to, file), help=f"{size(file.size)}: go there")
