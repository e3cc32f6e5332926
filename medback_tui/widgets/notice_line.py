"""What just happened, or why a key can't do anything: for some seconds, in lines of its own that cover nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content
from textual.notifications import SeverityLevel
from textual.widgets import Static

SHOWN = 3  # the newest
STYLES: dict[str, tuple[str, str]] = {
    "information": ("· ", "$accent"), "warning": ("▲ ", "$text-warning"), "error": ("✘ ", "bold $text-error"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Notice:
    """Words for a person, until a time of the monotonic clock."""

    words: str
    severity: SeverityLevel
    until: float


class NoticeLine(Static):
    """Shows the newest notices; takes no room while there are none."""

    def __init__(self) -> None:
        super().__init__()
        self.display = False

    def show(self, notices: Sequence[Notice]) -> None:
        """Show these, the oldest first."""
        lines = []
        for notice in notices[-SHOWN:]:
            sign, style = STYLES[notice.severity]
            lines.append(Content.assemble((sign, style), notice.words))
        self.update(Content("\n").join(lines))
        self.display = bool(lines)
