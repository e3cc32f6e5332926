"""Key bindings as this app writes them: every one has an id and a sentence that says what it does."""

from __future__ import annotations

from textual.binding import Binding


def shown(keys: str, action: str, id: str, words: str, sentence: str) -> Binding:
    """A key with a hint on the bottom line."""
    return Binding(keys, action, words, id=id, tooltip=sentence)


def typing(keys: str, action: str, id: str, words: str, sentence: str) -> Binding:
    """A key after which one types: it acts before any further key is looked at, so that none goes elsewhere. The
    action must be disabled while the text field has the focus."""
    return Binding(keys, action, words, id=id, tooltip=sentence, priority=True)


def quiet(keys: str, action: str, id: str, words: str, sentence: str) -> Binding:
    """A key one finds in the help and in the palette only."""
    return Binding(keys, action, words, show=False, id=id, tooltip=sentence)
