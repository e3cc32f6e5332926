"""Things side by side with a cursor on one of them: the boxes of the shelf, the months of the timeline."""

from __future__ import annotations

from textual.widget import Widget


class Across(Widget, can_focus=True):
    """As many as fit are in sight, from `_first` on, and the one at `cursor` always is."""

    ALLOW_SELECT = False

    def __init__(self) -> None:
        super().__init__()
        self.cursor = 0
        self._first = 0

    @property
    def _many(self) -> int:
        raise NotImplementedError

    @property
    def _shown(self) -> int:
        """How many of them fit."""
        raise NotImplementedError

    def _moved(self) -> None:
        """The cursor was put somewhere."""
        raise NotImplementedError

    def action_go(self, steps: int) -> None:
        """Some further right, or left."""
        self._stand_on(self.cursor + steps)

    def _stand_on(self, index: int) -> None:
        self.cursor = max(0, min(index, self._many - 1))
        self._keep_in_sight()
        self.refresh()
        self._moved()

    def _keep_in_sight(self) -> None:
        shown = self._shown
        self._first = max(0, min(self._first, self._many - shown))
        self._first = min(self.cursor, max(self._first, self.cursor - shown + 1))

    def on_resize(self) -> None:
        self._keep_in_sight()
        self.refresh()  # it may have been drawn in this size with the first one of the size before
