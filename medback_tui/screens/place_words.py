"""What the coverage screen says in its status line: a what-if, marks, a filter."""

from __future__ import annotations

from collections.abc import Mapping

from textual.content import Content

from medback_core.coverage.what_if import PlaceLoss
from medback_core.model import Count
from medback_core.presenting.places import all_gone_words, loss_words
from medback_core.presenting.units import counted, files, listed, name, number
from medback_tui.reading.facts import Facts
from medback_tui.reading.listing import Listing


def status_words(listing: Listing, facts: Facts | None, marked: Mapping[tuple[str, bytes], Count]) -> Content | None:
    """One line, or None when there is nothing to say but where one is."""
    view = listing.view
    parts: list[Content] = []
    if listing.burnt is not None:
        parts.append(_burnt_words(listing.burnt))
    elif view.dead and facts is not None:
        drives = [name(row.target.name) for row in facts.targets if row.target.id in view.dead]
        words = loss_words(listing.loss)
        parts.append(Content.assemble((f" If {', '.join(drives)} died: ", "bold $text-error"), words))
    if marked:
        total = sum(marked.values(), Count())
        parts.append(Content.assemble((f" {len(marked)} marked: ", "bold $accent"), counted(total)))
    if view.filter_text or view.unsafe_only:
        what = f"“{name(view.filter_text)}”" if view.filter_text else ""
        what += " only what is not safe" if view.unsafe_only else ""
        parts.append(Content(f" {number(listing.count)} of {number(listing.of)} {what}"))
    return Content("  ").join(parts) if parts else None


def _burnt_words(loss: PlaceLoss) -> Content:
    """What fires at these places would take, and what comes back from where."""
    lost = f"{counted(loss.lost)} lost for good." if loss.lost.files else "nothing is lost for good."
    back = ""
    if loss.back.files:
        back = f" {counted(loss.back)} come{'s' if loss.back.files == 1 else ''} back from "
        back += f"{listed([target.name for target, _ in loss.by])}."
    loses = "loses" if loss.weakened.files == 1 else "lose"
    weak = f" {files(loss.weakened.files)} {loses} a copy that is wanted." if loss.weakened.files else ""
    gone = f" If {all_gone_words(loss.places)} burnt"
    if loss.further:
        gone += f" and {listed([target.name for target in loss.further])} died"
    return Content.assemble((f"{gone}: ", "bold $text-error"), lost + back + weak)
