"""The keys of the screen one is on, made from its bindings so that it is never out of date."""

from __future__ import annotations

from collections.abc import Iterable
from textwrap import wrap
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import ActiveBinding, Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import Static

from medback_tui.look.keys import quiet, shown
from medback_tui.look.words import MEANINGS

from .dialogs import Dialog

GROUPS = {"list": "In a list", "app": "Everywhere", "job": "The running job", "go": "Screens"}


class Help(Dialog[None]):
    """One line a key: what it does, in a sentence."""

    DEFAULT_CLASSES = "-large"
    keys = ("○ no copy  ◐ fewer than wanted  ● as many as wanted", ("dialog.back", "closes"))
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("question_mark,f1,q", "give_up", "help.close", "close", "Close the help"),
        quiet("j,down", "scroll(1)", "help.down", "down", "Further down"),
        quiet("k,up", "scroll(-1)", "help.up", "up", "Further up"),
    ]

    def __init__(self, about: str, bindings: Iterable[ActiveBinding]) -> None:
        super().__init__()
        self.title = f"Keys: {about}"
        self.about, self.bindings_shown = about, list(bindings)

    def compose_box(self) -> ComposeResult:
        with VerticalScroll(id="keys"):
            yield Static(self._words())

    def on_mount(self) -> None:
        self.query_one(VerticalScroll).focus()

    def action_scroll(self, step: int) -> None:
        self.query_one(VerticalScroll).scroll_relative(y=step * 2, animate=False)

    def _words(self) -> Content:
        groups: dict[str, dict[str, list[Binding]]] = {}
        for active in self.bindings_shown:
            binding = active.binding
            if binding.system or not binding.description or binding.id is None:
                continue
            group = GROUPS.get(binding.id.partition(".")[0], self.about)
            groups.setdefault(group, {}).setdefault(binding.action, []).append(binding)
        lines: list[Content] = []
        order = [self.about, *(title for title in GROUPS.values() if title in groups)]
        for title in order:
            if title not in groups:
                continue
            lines += [Content("")] if lines else []
            lines.append(Content.styled(title, "bold $accent"))
            for bindings in groups[title].values():
                keys = "  ".join(self.app.get_key_display(binding) for binding in bindings)
                lines += self._said(keys, bindings[0].tooltip or bindings[0].description)
            if title == self.about:
                lines += [Content(""), Content.styled("What the words mean", "bold $accent")]
                for sentence in MEANINGS:
                    word, _, meaning = sentence.partition(":")
                    lines += self._said(word, meaning.strip())
        return Content("\n").join(lines)

    def _said(self, about: str, words: str) -> list[Content]:
        """What a key does or a word means: all its lines begin where the first does."""
        first, *more = wrap(words, max(20, self.app.size.width * 96 // 100 - 26))
        return [
            Content.assemble((f"  {about:<14}", "bold"), f" {first}"),
            *(Content(" " * 17 + part) for part in more),
        ]
