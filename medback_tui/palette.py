"""Files in the command palette: what one types there finds them too."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from textual.command import Hit, Hits, Provider
from textual.content import Content

from medback_core import names
from medback_core.presenting.units import name, size

if TYPE_CHECKING:
    from medback_tui.app import MedbackApp

SHOWN = 20
SHORTEST = 3  # characters: fewer find half of everything


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
