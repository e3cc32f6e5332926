"""What a screen shows while there is nothing to show: what this is for, and which key comes next. It can be clicked."""

from __future__ import annotations

from textual import events, getters
from textual.content import Content
from textual.widgets import Static

from medback_tui.look.keys import press, pressing
from medback_tui.reading.state import SharedApp


class EmptyState(Static):
    """A few centred lines; the key is shown as a key."""

    app = getters.app(SharedApp)

    def say(self, title: str, *lines: tuple[str, str]) -> None:
        """Show a title and (binding id, what it does) lines; a line without a binding is just words."""
        parts: list[Content] = [Content.styled(title, "bold"), Content("")]
        for binding, words in lines:
            line = Content(words)
            if binding:
                line = Content.assemble((f" {self.app.key_of(binding)} ", "bold $accent on $panel"), f"  {words}")
                line = pressing(self.app.keys_of(binding)[0], line)
            parts.append(line)
        self.update(Content("\n").join(parts))

    def on_click(self, event: events.Click) -> None:
        press(self.app, event)
