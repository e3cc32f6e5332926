"""Key bindings as this app writes them: every one has an id and a sentence that says what it does. A sentence that
names a key asks for it by that id (`app.key_of`), so that it is right with any keymap."""

from __future__ import annotations

import re
from functools import partial
from typing import Any

from textual import events
from textual.app import App
from textual.binding import Binding
from textual.content import Content
from textual.keys import Keys, key_to_character
from textual.style import Style

KEYS: dict[str, str] = {}  # binding id -> its keys, as they are without a keymap; of all modules that are loaded
IN_WORDS = {"enter": "Enter", "tab": "Tab", "f5": "F5"}  # how a sentence calls a key, where it is not as in the hints
SENTENCES: dict[str, str] = {}  # binding id -> what it does
_NAMED = frozenset(str(key.value) for key in Keys)


def shown(
    keys: str, action: str, id: str, words: str, sentence: str, *, show: bool = True, priority: bool = False
) -> Binding:
    """A key with a hint on the bottom line."""
    KEYS[id], SENTENCES[id] = keys, sentence
    return Binding(keys, action, words, show=show, id=id, tooltip=sentence, priority=priority)


# A key one finds in the help and in the palette only.
quiet = partial(shown, show=False)
# A key after which one types, or on another screen: it acts before any further key is looked at, so that none goes to
# what was there before. The action must be disabled while a text field has the focus.
typing = partial(shown, priority=True)


def is_key(text: str) -> bool:
    """Whether it can be a key as a settings file names it: `B`, `f2`, `ctrl+t`, `question_mark`."""
    name = re.sub(r"^(?:(?:ctrl|shift|alt|super|hyper|meta)\+)+", "", text)
    return len(name) == 1 or name in _NAMED or key_to_character(name) is not None


def pressing(key: str, words: str | Content) -> Content:
    """Words that press a key when they are clicked."""
    return (Content(words) if isinstance(words, str) else words).stylize(Style.from_meta({"key": key}))


def press(app: App[Any], click: events.Click) -> None:
    """Press the key of the words that were clicked, if any."""
    key = click.style.meta.get("key")
    if key:
        app.simulate_key(key)
