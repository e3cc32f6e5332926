"""The line under the shelf: what it would cost if what is pulled out were gone, and which drive to pick up next."""

from __future__ import annotations

from textual.content import Content

from medback_core.coverage.shelf import Shelf
from medback_core.presenting.next_drive import NextDrive, next_words
from medback_core.presenting.places import loss_words
from medback_core.presenting.sentences import Key
from medback_core.presenting.units import listed


def shelf_line(shelf: Shelf, answer: NextDrive, key: Key) -> Content:
    """One line, two where drives are pulled out."""
    lines = []
    pulled = [box.target.name for box in shelf.boxes if box.pulled]
    if pulled:
        lines.append(Content.assemble((f"Without {listed(pulled)}: ", "bold $text-error"), loss_words(shelf.loss)))
    words = next_words(
        answer, otherwise=f"no drive you have takes more of it: a new one is needed ({key('targets.new')})"
    )
    if words:
        lines.append(Content.assemble(("→ ", "bold $accent"), words[0].upper() + words[1:]))
    else:
        lines.append(Content.styled("● All of it has the copies you want.", "$text-success"))
    return Content("\n").join(lines)
