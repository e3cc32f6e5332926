"""What all screens share: the session, the facts read from it, the drives that are here, the jobs, the settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import TypeVar

from textual.app import App
from textual.binding import Binding
from textual.dom import DOMNode
from textual.notifications import SeverityLevel
from textual.screen import Screen
from textual.worker import get_current_worker

from medback_core import model
from medback_core.errors import MedbackError, Refused
from medback_core.presenting.refusals import message
from medback_core.session import Session, open_session
from medback_core.settings.preferences import Preferences
from medback_tui.jobs.queue import Job, JobQueue
from medback_tui.look.keys import IN_WORDS, KEYS
from medback_tui.look.settings import Settings
from medback_tui.reading.drives import Drives
from medback_tui.reading.facts import Facts
from medback_tui.widgets.notice_line import Notice, NoticeLine

Answer = TypeVar("Answer")
LOG_MAX = 10_000
READING_MIB = 4  # of the DB that a connection which only reads for a screen keeps in memory


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of the log screen."""

    date: int
    level: str  # info, warning, error
    about: str
    words: str


class SharedApp(App[int]):
    """The app as its screens see it; `app.MedbackApp` is the one that runs."""

    session_path: Path
    reader: Session | None  # as long as it is open, the DB was looked through: others open it by that
    facts: Facts | None  # None until they were first read
    drives: Drives
    queue: JobQueue
    settings: Settings
    preferences: Preferences
    log_lines: list[LogLine]
    notices: list[Notice]
    quitting: bool  # leaving as soon as the running job has stopped
    next_drive: str | None  # the id of the target a plan for something missing wants plugged in next
    dismissed: int  # number of the last ended job a person has taken note of

    def submit(self, job: Job) -> Job:
        """Queue a job; one that does just this and is not over yet is not queued again."""
        same = self.queue.queued(job.command)
        if same is not None:
            self.notify(f"{same.title}: this is under way already", timeout=4)
            return same
        return self.queue.submit(job)

    def keep_theme(self) -> None:
        """The theme in sight is the one to begin with."""
        self.keep_settings(replace(self.settings, theme=self.theme))

    def take_preferences(self, preferences: Preferences) -> None:
        """The settings file was changed: its keys and its theme hold from now on."""
        raise NotImplementedError

    def cancel_preview(self) -> bool:
        """Stop the preview that was asked for and is not there yet; False where there is none."""
        job = self.queue.preview
        if job is None:
            return False
        self.queue.stop(job)
        self.notify(f"{job.title}: cancelled", timeout=4)
        return True

    def read_facts(self) -> object:
        """Read what the screens show again, in a thread."""
        raise NotImplementedError

    def keep_settings(self, settings: Settings) -> None:
        raise NotImplementedError

    def key_of(self, binding: str) -> str:
        """The key a person presses for a binding, by its id: `sources.update`."""
        key = self.keys_of(binding)[0]
        return IN_WORDS.get(key) or self.get_key_display(Binding(key, ""))

    def way_to(self, binding: str) -> str:
        """The same, and the screen it is on where that is another: `2, then n`."""
        screen = binding.partition(".")[0]
        first = f"{self.key_of(f'go.{screen}')}, then " if screen in self.MODES and screen != self.current_mode else ""
        return f"{first}{self.key_of(binding)}"

    def keys_of(self, binding: str) -> tuple[str, ...]:
        """All keys of a binding, by Textual's names."""
        return tuple((self._keymap.get(binding) or KEYS[binding]).split(","))

    def offer_rebuild(self, condition: str, number: int) -> None:
        """Offer to build the session again from the sources a list beside it names; `condition`: of its DB."""
        raise NotImplementedError

    def action_find(self, text: str = "") -> None:
        """Open the search with this text."""
        raise NotImplementedError

    def queue_moved(self) -> None:
        """A job was queued, began or ended."""

    def ask(self, dialog: Screen[Answer], then: Callable[[Answer], object]) -> None:
        """Open a dialog, and go on with its answer where it has one."""

        def answered(answer: Answer | None) -> None:
            if answer is not None:
                then(answer)

        self.push_screen(dialog, answered)

    # --- notices -----------------------------------------------------------------------------------------------------

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Tell a person something for some seconds, in lines that cover nothing. `message` is harmless to show."""
        del title, markup
        seconds = 5.0 if timeout is None else timeout
        kept = [notice for notice in self.notices if notice.words != message]
        self.notices = [*kept, Notice(message, severity, monotonic() + seconds)]
        self.show_notices()
        self.set_timer(seconds + 0.05, self.show_notices)

    def clear_notices(self) -> None:
        """What was told for some seconds is not so any more."""
        self.notices = []
        self.show_notices()

    def show_notices(self) -> None:
        """Show on the screen on top what was told lately."""
        now = monotonic()
        self.notices = [notice for notice in self.notices if notice.until > now]
        for screen in self.screen_stack:
            for line in screen.query(NoticeLine):
                line.show(self.notices if screen is self.screen else ())

    def log_line(self, date: int, level: str, about: str, words: str) -> None:
        self.log_lines.append(LogLine(date, level, about, words))
        del self.log_lines[:-LOG_MAX]

    def show_problem(self, error: MedbackError) -> None:
        """Tell of an error that is over."""
        words = message(error, self.key_of)
        if not self.log_lines or self.log_lines[-1].words != words:  # what stays wrong is logged once
            self.log_line(model.now(), "error", "", words)
        self.notify(words, severity="error", timeout=8)

    # --- reading -----------------------------------------------------------------------------------------------------

    def in_session(self, read: Callable[[Session], Answer]) -> Answer | None:
        """Run a read with a connection of its own: for a thread. None while there is no session DB yet."""
        try:
            reader = self.reader
            if reader is not None and reader.is_current:
                with reader.reading():
                    session = reader.again()
            else:
                session = open_session(self.session_path, create=False, cache_mib=READING_MIB)
            with session, session.reading():
                return read(session)
        except Refused as refused:
            if refused.kind == "no-session":
                return None
            raise

    def aside(
        self,
        widget: DOMNode,
        do: Callable[[], Answer],
        then: Callable[[Answer], object],
        *,
        exclusive: bool = True,
    ) -> None:
        """Do what reads or writes in a worker thread, then call `then` with the answer on the event loop. An answer is
        dropped when its widget is gone or, if `exclusive`, has asked again."""

        def work() -> None:
            worker, answer = get_current_worker(), do()
            if not worker.is_cancelled:
                self.call_from_thread(then, answer)

        widget.run_worker(work, group="aside", thread=True, exclusive=exclusive)

    def read_or_tell(self, read: Callable[[Session], Answer], otherwise: Answer | None = None) -> Answer | None:
        """`in_session`, where an error is told to the person: None then. `otherwise`: while there is no session DB."""
        try:
            answer = self.in_session(read)
        except MedbackError as error:
            self.call_later(self.show_problem, error)
            return None
        return otherwise if answer is None else answer
