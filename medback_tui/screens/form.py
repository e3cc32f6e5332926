"""Change several values at once: one line each, or several lines for a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import getters, on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static, TextArea

from medback_core.drives.open import check_label
from medback_core.errors import UsageError
from medback_core.presenting.refusals import message
from medback_tui.look.keys import shown

from .dialogs import Dialog

Values = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Field:
    """One value: what it is, what it is now; with `lines`, one item a line."""

    id: str
    label: str
    value: str
    placeholder: str = ""
    lines: int = 0


def bad_label(label: str) -> str | None:
    """What to say of a text that can't be a drive's label."""
    try:
        check_label(label)
    except UsageError as error:
        return message(error)
    return None


class Form(Dialog[Values]):
    """Returns the values by field id, None for Esc. `check` says what is wrong with them, or nothing."""

    BINDINGS: ClassVar[list[BindingType]] = [
        shown("ctrl+s", "keep", "form.keep", "keep", "Keep what is written here"),
    ]
    keys = ("tab next", ("form.keep", "keep"), ("dialog.back", "changes nothing"))
    problem = getters.query_one("#problem", Static)

    def __init__(self, title: str, fields: Sequence[Field], check: Callable[[Values], str | None]) -> None:
        super().__init__(classes="-tight" if len(fields) > 4 else None)  # so that all of it is seen in 24 lines
        self.title, self.fields, self.check = title, fields, check

    def compose_box(self) -> ComposeResult:
        for field in self.fields:
            yield Static(Content(field.label), classes="label")
            if field.lines:
                area = TextArea(field.value, id=field.id, compact=True, tab_behavior="focus")
                area.styles.height = field.lines
                yield area
            else:
                yield Input(field.value, placeholder=field.placeholder, id=field.id, select_on_focus=True)
        yield Static(id="problem")
        with Horizontal(id="answers"):
            yield Button("Cancel", id="no", compact=True)
            yield Button("Keep", id="yes", variant="primary", compact=True)

    @property
    def values(self) -> Values:
        """What is written there now."""
        typed = {widget.id: widget.value for widget in self.query(Input)}
        typed |= {widget.id: widget.text for widget in self.query(TextArea)}
        return {field.id: typed[field.id] for field in self.fields}

    @on(Input.Changed)
    @on(TextArea.Changed)
    def typed(self) -> None:
        self.problem.update(Content(self.check(self.values) or ""))

    @on(Input.Submitted)
    def next_field(self) -> None:
        self.focus_next()

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        if event.button.id == "yes":
            self.action_keep()
        else:
            self.dismiss(None)

    def action_keep(self) -> None:
        values = self.values
        problem = self.check(values)
        if problem is None:
            self.dismiss(values)
        else:
            self.problem.update(Content(problem))
