"""Things side by side with a cursor on one of them: the boxes of the shelf, the months of the timeline."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from textual import events
from textual.message import Message
from textual.widget import Widget

Item = TypeVar("Item")


class Across(Widget, Generic[Item], can_focus=True):
    """As many as fit are in sight, from `_first` on, and the one under the cursor always is."""

    ALLOW_SELECT = False

    class Moved(Message):
        """The cursor was put somewhere."""

    class Opened(Message):
        """The one under the cursor was chosen by a double click."""

    def __init__(self) -> None:
        super().__init__()
        self.items: Sequence[Item] = ()
        self.cursor = 0
        self._first = 0

    @property
    def current(self) -> Item | None:
        """The one under the cursor."""
        return self.items[self.cursor] if self.cursor < len(self.items) else None

    @property
    def _shown(self) -> int:
        """How many of them fit."""
        raise NotImplementedError

    def _index_at(self, x: int) -> int:
        """Which one a column belongs to, were there enough of them; -1 for none."""
        raise NotImplementedError

    def on_click(self, event: events.Click) -> None:
        index = self._index_at(event.x)
        if 0 <= index < min(len(self.items), self._first + self._shown):
            self._stand_on(index)
            if event.chain == 2:
                self.post_message(self.Opened())

    def on_mouse_scroll_down(self) -> None:
        self.action_go(1)

    def on_mouse_scroll_up(self) -> None:
        self.action_go(-1)

    def action_go(self, steps: int) -> None:
        """Some further right, or left."""
        self._stand_on(self.cursor + steps)

    def _stand_on(self, index: int) -> None:
        self.cursor = max(0, min(index, len(self.items) - 1))
        self._keep_in_sight()
        self.refresh()
        self.post_message(self.Moved())

    def _keep_in_sight(self) -> None:
        shown = self._shown
        self._first = max(0, min(self._first, len(self.items) - shown))
        self._first = min(self.cursor, max(self._first, self.cursor - shown + 1))

    def on_resize(self) -> None:
        self._keep_in_sight()
        self.refresh()  # it may have been drawn in this size with the first one of the size before
