"""Questions: to confirm, to choose one answer, to type one value. Esc always answers no."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Generic, Literal, TypeVar

from textual import events, getters, on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from medback_tui.jobs.queue import Job
from medback_tui.look.keys import press, pressing, quiet, shown
from medback_tui.reading.state import SharedApp
from medback_tui.widgets.notice_line import NoticeLine

Result = TypeVar("Result")


class Dialog(ModalScreen[Result], Generic[Result]):
    """Base of all that opens above a screen: a box with the `title`, what `compose_box` yields, and its `keys`."""

    app = getters.app(SharedApp)
    keys: Sequence[tuple[str, str] | str] = ()  # see KeysLine
    CSS_PATH = [  # noqa: RUF012 - as Textual has it
        "../widgets/chrome.tcss",
        "../widgets/lists.tcss",
        "dialogs.tcss",
    ]
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("escape", "give_up", "dialog.back", "back", "Close this and change nothing"),
    ]

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content(self.title or "")
            yield from self.compose_box()
            if self.keys:
                yield KeysLine(*self.keys)

    def compose_box(self) -> ComposeResult:
        """What stands between the title and the keys."""
        raise NotImplementedError

    def on_mount(self) -> None:
        self.mount(NoticeLine())

    def on_screen_resume(self) -> None:
        self.app.show_notices()

    def action_give_up(self) -> None:
        self.dismiss(None)


class KeysLine(Static):
    """The keys of a dialog in one line, as they are now: `(binding id, words)`, or words alone. Each can be clicked."""

    def __init__(self, *hints: tuple[str, str] | str) -> None:
        super().__init__(classes="keys")
        self.hints = hints

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self._show())
        self._show()

    def _show(self) -> None:
        keys: dict[str, Binding] = {}
        for active in self.screen.active_bindings.values():
            one = active.binding
            if one.id is not None and (one.id not in keys or one.key == "enter"):  # of several keys the first, or Enter
                keys[one.id] = one
        said = [
            Content(hint) if isinstance(hint, str) else pressing(
                keys[hint[0]].key, f"{self.app.get_key_display(keys[hint[0]])} {hint[1]}"
            )
            for hint in self.hints
            if isinstance(hint, str) or hint[0] in keys
        ]  # fmt: skip
        self.update(Content(" · ").join(said))

    def on_click(self, event: events.Click) -> None:
        press(self.app, event)


@dataclass(frozen=True, slots=True)
class Choice:
    """One answer to a question: what it returns, what its button says."""

    value: str
    label: str
    variant: Literal["default", "primary", "success", "warning", "error"] = "default"


class Question(Dialog[str]):
    """A title, some words, one button for each answer; the first answer changes nothing and has the focus, unless
    another is named. Returns the answer's value, None for Esc."""

    BINDINGS: ClassVar[list[BindingType]] = [
        quiet("left,h,up,k", "app.focus_previous", "question.previous", "previous", "The answer before"),
        quiet("right,l,down,j", "app.focus_next", "question.next", "next", "The next answer"),
        shown("y", "copy", "question.copy", "copy command", "Copy the command line that does the same"),
    ]

    def __init__(
        self,
        title: str,
        words: Content,
        choices: Sequence[Choice],
        *,
        focus: str = "",
        same_as: str = "",
        danger: bool = False,
    ) -> None:
        super().__init__()
        self.title, self.words, self.choices = title, words, choices
        self.first, self.same_as = focus or choices[0].value, same_as
        self.set_class(danger, "-danger")

    def compose_box(self) -> ComposeResult:
        yield Static(self.words, id="words")
        if self.same_as:
            yield Static(
                Content(f"same as: {self.same_as}   ({self.app.key_of('question.copy')} copies it)"), id="same"
            )
        with Horizontal(id="answers"):
            for choice in self.choices:
                yield Button(Content(choice.label), id=f"answer-{choice.value}", variant=choice.variant, compact=True)

    def on_mount(self) -> None:
        self.query_one(f"#answer-{self.first}", Button).focus()

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        self.dismiss((event.button.id or "").removeprefix("answer-"))

    def action_copy(self) -> None:
        if self.same_as:
            self.app.copy_to_clipboard(self.same_as)
            self.notify("copied", timeout=2)


def confirm(title: str, words: Content, yes: str, *, same_as: str = "", danger: bool = True) -> Question:
    """A yes-or-no question about something that can't simply be undone: the focus is on No. Returns "yes" or not."""
    choices = [Choice("no", "No"), Choice("yes", yes, "error" if danger else "primary")]
    return Question(title, words, choices, same_as=same_as, danger=danger)


def choose(app: SharedApp, question: Question, **ways: Callable[[], object]) -> None:
    """Ask, and go the way of the answer, where it has one."""
    app.ask(question, lambda answer: ways[answer]() if answer in ways else None)


def submit_if(app: SharedApp, question: Question, job: Job) -> None:
    """Ask, and queue the job where the answer is yes."""
    choose(app, question, yes=lambda: app.submit(job))


class Ask(Dialog[str]):
    """Type one value. `check` says what is wrong with it, or nothing."""

    keys = ("enter takes it", ("dialog.back", "changes nothing"))

    def __init__(self, title: str, words: str, value: str, check: Callable[[str], str | None] | None = None) -> None:
        super().__init__()
        self.title, self.words, self.value, self.check = title, words, value, check

    def compose_box(self) -> ComposeResult:
        yield Static(Content(self.words), id="words")
        yield Input(self.value, select_on_focus=True)
        yield Static(id="problem")

    @on(Input.Changed)
    def typed(self, event: Input.Changed) -> None:
        problem = self.check(event.value.strip()) if self.check else None
        self.query_one("#problem", Static).update(Content(problem or ""))

    @on(Input.Submitted)
    def done(self, event: Input.Submitted) -> None:
        value = event.value.strip()
        problem = self.check(value) if self.check else None
        if problem is None:
            self.dismiss(value)
