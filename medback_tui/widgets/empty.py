"""What a screen shows while there is nothing to show: what this is for, and which key comes next."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static


class EmptyState(Static):
    """A few centred lines; the key is shown as a key."""

    def say(self, title: str, *lines: tuple[str, str]) -> None:
        """Show a title and (key, what it does) lines; a line without a key is just words."""
        parts: list[Content] = [Content.styled(title, "bold"), Content("")]
        for key, words in lines:
            parts.append(
                Content.assemble((f" {key} ", "bold $accent on $panel"), f"  {words}") if key else Content(words)
            )
        self.update(Content("\n").join(parts))
