"""The bottom line: what the keys do here. As many as fit, in a narrow terminal at most seven; `?` and `^p`
always."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget

HINTS_MAX = 7
WIDE = 100  # cells; from here on as many as fit, also of the keys that have no hint in less
ALWAYS = ("help",)


class KeyHints(Widget):
    """Made from the bindings that are active now; each hint can be clicked."""

    ALLOW_SELECT = False
    COMPONENT_CLASSES: ClassVar[set[str]] = {"hints--key", "hints--text"}

    def __init__(self) -> None:
        super().__init__()
        self._hints: list[tuple[str, str, str]] | None = None  # key as shown, words, key to press; None: to be read

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, self._bindings_changed)

    def on_unmount(self) -> None:
        self.screen.bindings_updated_signal.unsubscribe(self)

    def _bindings_changed(self, screen: Screen[object]) -> None:
        del screen
        self._hints = None  # several changes in a row are read once, when they are drawn
        self.refresh()

    def on_resize(self) -> None:
        self._hints = None

    def _read(self) -> list[tuple[str, str, str]]:
        seen: dict[str, tuple[str, str, str]] = {}
        always: dict[str, tuple[str, str, str]] = {}
        quiet: dict[str, tuple[str, str, str]] = {}
        now: Mapping[str, str] = getattr(self.screen, "hints", {})
        of_screen = f"{type(self.screen).__dict__.get('MODE', '-')}."
        for active in self.screen.active_bindings.values():
            binding = active.binding
            if not active.enabled or binding.action in seen:
                continue
            words = now.get(binding.action, binding.description.lower())
            shown = (self.app.get_key_display(binding), words, binding.key)
            if binding.show:
                (always if binding.action in ALWAYS else seen).setdefault(binding.action, shown)
            elif self.size.width >= WIDE and (binding.id or "").startswith(of_screen):
                quiet.setdefault(binding.action, shown)
        tail = [always[action] for action in ALWAYS if action in always]
        if self.app.use_command_palette and not self.screen.is_modal:
            tail.append(("^p", "all", self.app.COMMAND_PALETTE_BINDING))
        room = self.size.width - 1 - sum(self._width(hint) for hint in tail)
        chosen: list[tuple[str, str, str]] = []
        for hint in [*seen.values(), *quiet.values()]:
            if len(chosen) + len(tail) >= HINTS_MAX and self.size.width < WIDE:
                break
            if self._width(hint) <= room:
                room -= self._width(hint)
                chosen.append(hint)
        return chosen + tail

    @staticmethod
    def _width(hint: tuple[str, str, str]) -> int:
        return cell_len(hint[0]) + cell_len(hint[1]) + 3

    def render_line(self, y: int) -> Strip:
        del y
        if self._hints is None:
            self._hints = self._read()
        segments = [Segment(" ", self._style("text"))]
        for key, words, _ in self._hints:
            segments += [Segment(key, self._style("key")), Segment(f" {words}  ", self._style("text"))]
        return Strip(segments).adjust_cell_length(self.size.width, self._style("text"))

    def _style(self, name: str) -> Style:
        return self.rich_style + self.get_component_rich_style(f"hints--{name}", partial=True)

    def on_click(self, event: events.Click) -> None:
        left = 1
        for hint in self._hints or ():
            if left <= event.x < left + self._width(hint):
                self.app.simulate_key(hint[2])
            left += self._width(hint)
