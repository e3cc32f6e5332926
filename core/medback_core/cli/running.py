"""Run one command: open the session, follow operations, ask questions, say what happened."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, wraps
from typing import TYPE_CHECKING, Any, TypeVar

import click

from medback_core import names
from medback_core.errors import DriveGone, NeedsAnswer, Refused, UsageError
from medback_core.model import Answers, Event, Progress, ScanSummary, Summary, Warned
from medback_core.presenting.refusals import answered_no, message, sentence
from medback_core.settings.preferences import Preferences, read_preferences

from .interrupts import Interrupts
from .options import Settings, common_options
from .outcome import Outcome
from .progress import Display

if TYPE_CHECKING:
    from medback_core.session import Session

S = TypeVar("S", bound=Summary)

LISTED = 20  # entries shown of a long list, unless -v
# Which of the Answers says yes to which question.
ANSWERS = {"new-target": "create", "damaged-identity": "create", "in-place": "in_place", "replace-file": "replace"}


class Run:
    """One command under way, between the person and the core."""

    def __init__(self, settings: Settings, interrupts: Interrupts) -> None:
        self.settings = settings
        self.interrupts = interrupts
        self.outcome = Outcome()

    # --- the session -----------------------------------------------------------------------------------------------

    @property
    def session_path(self) -> str | None:
        """The path given for the session DB, here or in the settings file; None for the default."""
        return self.settings.session_db or self.preferences.session

    @cached_property
    def preferences(self) -> Preferences:
        """What the settings file says. Raises Refused where that can't be read."""
        return read_preferences()

    @contextmanager
    def session(self, *, rebuild: bool = True) -> Iterator[Session]:
        """The open session DB. A lost or damaged one beside which the list of sources lies is rebuilt first."""
        from medback_core.session import open_session

        session = open_session(self.session_path)
        try:
            for note in session.notes:
                self.warn(message(note))
            if rebuild and session.needs_rebuild:
                from medback_core.upkeep.rebuild import rebuild as rebuild_from_sidecars

                self.warn(message(Warned("session-rebuilt")))
                scans, error = self.outcome.all(ScanSummary), self.outcome.error
                self.outcome.met[ScanSummary] = []
                self.follow(rebuild_from_sidecars(session, ()))
                self.outcome.met[ScanSummary], self.outcome.error = scans, error or self.outcome.error
            yield session
        finally:
            session.close()

    # --- operations ------------------------------------------------------------------------------------------------

    def follow(self, events: Iterator[Event], kind: type[S] = Summary, *, ends_itself: bool = False) -> S | None:
        """Run an operation to its end, showing how far it is; its last summary of this kind. `ends_itself`: it looks
        itself whether a person pressed Ctrl-C.

        None when it was interrupted or its drive went away: what it did is kept, and the outcome says so. Raises what
        the operation refuses with.
        """
        if self.outcome.interrupted:
            return None
        display = Display(live=self._live(), lines=self.settings.verbose and not self.settings.quiet)
        found: S | None = None
        self.interrupts.deferred, self.interrupts.on_terminal = True, self._live()
        self.interrupts.ends_itself = ends_itself
        try:
            for event in events:
                if isinstance(event, Progress):
                    display.show(event)
                else:
                    self.outcome.take(event)
                    if isinstance(event, kind):
                        found = event
                if self.interrupts.exit_code and not (ends_itself and self.interrupts.by_person()):
                    break
        except DriveGone as error:
            self.outcome.fail(error)
        finally:
            if isinstance(events, Generator):
                events.close()  # between two of its events: it puts its work in order and ends
            display.stop()
            self.interrupts.deferred = False
        if self.interrupts.exit_code:
            self.outcome.interrupted = self.interrupts.exit_code
        return found

    def follow_asking(
        self,
        start: Callable[[Answers], Iterator[Event]],
        kind: type[S],
        answers: Answers,
        *,
        ends_itself: bool = False,
    ) -> S | None:
        """`follow`, asking the person what only a person may answer and starting again with the answer.

        Raises the NeedsAnswer itself where no person can be asked, or the answer is no.
        """
        asked: set[str] = set()
        while True:
            try:
                return self.follow(start(answers), kind, ends_itself=ends_itself)
            except NeedsAnswer as question:
                if question.kind in asked:
                    raise
                asked.add(question.kind)
                answers = replace(answers, **{self.answer(question): True})

    def answer(self, question: NeedsAnswer) -> str:
        """Ask; which of the Answers it is. Raises the question where no one can be asked."""
        if not self.can_ask():
            raise question
        no = answered_no(question)
        if question.kind == "clone":
            choice = click.prompt(
                f"{sentence(question)}\nn = another drive now, s = the same drive, anything else leaves it alone",
                default="no",
                show_default=True,
                err=True,
            )
            chosen = {"n": "new_id", "s": "same_drive"}.get(choice.strip().lower())
            if chosen is None:
                raise no
            return chosen
        answer = ANSWERS.get(question.kind)
        if answer is None:
            raise question
        if not self.confirm(sentence(question)):
            raise no
        return answer

    def can_ask(self) -> bool:
        """Whether a person sits there."""
        return sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()

    def confirm(self, question: str) -> bool:
        """Ask a yes-or-no question; the default is no."""
        return click.confirm(question, default=False, err=True)

    def _live(self) -> bool:
        s = self.settings
        return s.progress and not s.quiet and sys.stderr is not None and sys.stderr.isatty()

    # --- arguments -------------------------------------------------------------------------------------------------

    def directory(self, path: bytes) -> bytes:
        """The absolute path of a directory that must be there. Raises Refused."""
        if not os.path.lexists(path):
            raise Refused("no-such-path", path=path)
        if not os.path.isdir(path):
            raise Refused("not-a-directory", path=path)
        return os.path.abspath(path)

    # --- words -----------------------------------------------------------------------------------------------------

    def say(self, words: str, *, at_once: bool = False) -> None:
        """A line of a report, on standard output; nothing with --json or -q. `at_once`: it is not kept back in a
        buffer."""
        if not self.settings.json and not self.settings.quiet:
            self._print(words, flush=at_once)

    def answer_line(self, words: str) -> None:
        """A line of what was asked for, on standard output, with -q too."""
        if not self.settings.json:
            self._print(words)

    def say_list(
        self, lines: Sequence[str], *, before: str = "", total: int | None = None, asked: bool = False
    ) -> None:
        """The lines of a list, each with the same words `before` it; without -v the first of a long one, and how many
        more there are (of `total`, where the list itself is not whole). `asked` for: with -q too."""
        say = self.answer_line if asked else self.say
        listed = lines if self.settings.verbose else lines[:LISTED]
        for line in listed:
            say(before + line)
        more = (len(lines) if total is None else total) - len(listed)
        if more > 0:
            say(f"{before}{more:,} more" + ("" if self.settings.verbose else " (-v lists them)"))

    @staticmethod
    def _print(words: str, *, flush: bool = False) -> None:
        try:
            print(words, flush=flush)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            raise BrokenPipeError from error  # a terminal that was closed says EIO: no drive fails

    def table(self, columns: list[str | tuple[str, str]], rows: list[list[Any]]) -> None:
        """A table of what was asked for; a column given as (title, "right") stands right. Cells are no markup."""
        if self.settings.json:
            return
        titles = [column if isinstance(column, str) else column[0] for column in columns]
        right = [column != title and column[1] == "right" for column, title in zip(columns, titles, strict=True)]
        cells = [[names.display_name(str(cell)) for cell in row] for row in rows]
        if not sys.stdout.isatty():
            # Nothing may be cut off in a pipe: grep is a reader too.
            for line in _aligned([titles, *cells], right):
                self._print(line)
            return
        from rich.console import Console  # a third of the time of a short command
        from rich.table import Table
        from rich.text import Text

        console = Console(file=sys.stdout, markup=False, highlight=False, emoji=False)
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for title, stands_right in zip(titles, right, strict=True):
            justify = "right" if stands_right else "left"
            table.add_column(title, justify=justify, overflow="fold", no_wrap=stands_right)
        for row in cells:
            table.add_row(*map(Text, row))
        with console.capture() as captured:  # by itself rich ends the program where the reader has gone
            console.print(table)
        self._print(captured.get().removesuffix("\n"))

    def warn(self, message: str) -> None:
        """Something a person should know; it goes into the outcome, which is told at the end."""
        self.outcome.warnings.append(message)


def _aligned(rows: list[list[str]], right: list[bool]) -> Iterator[str]:
    """The rows of a table as lines, their columns as wide as their widest cell."""
    if all(cell.isascii() for row in rows for cell in row):
        cell_len: Callable[[str], int] = len
    else:
        from rich.cells import cell_len  # a twentieth of the time of a short command
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        padded = []
        for cell, width, stands_right in zip(row, widths, right, strict=True):
            blank = " " * (width - cell_len(cell))
            padded.append(blank + cell if stands_right else cell + blank)
        yield "  ".join(padded).rstrip()


class OneCommand(click.Command):
    """A command that says what it takes where it was given more."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.allow_extra_args = True  # kept in ctx.args, which is looked at here
        left = super().parse_args(ctx, args)
        if left and not ctx.resilient_parsing:
            takes = [one.metavar or (one.name or "").upper() for one in self.params if isinstance(one, click.Argument)]
            facts = {"command": self.name, "more": ", ".join(left)}
            if takes:
                raise UsageError("usage/one-only", takes=takes[0].strip("[]"), **facts)
            raise UsageError("usage/options-only", **facts)
        return left


def command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Like click.command, with the common options and the Run of this command line as the first argument."""

    def make(function: Callable[..., None]) -> click.Command:
        @click.pass_context
        @wraps(function)
        def started(ctx: click.Context, /, **arguments: Any) -> None:
            run: Run = ctx.meta["medback.run"]
            function(run, **arguments)

        return common_options(click.command(name, OneCommand, context_settings={"max_content_width": 100})(started))

    return make
