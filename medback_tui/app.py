"""medback's app: four modes on keys 1–4 over one session, a queue of jobs, and an eye on the drives."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from textual import on, work
from textual.app import SystemCommand
from textual.binding import Binding, BindingType
from textual.color import Color
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.worker import get_current_worker

from medback_core import model
from medback_core.errors import MedbackError
from medback_core.session import Session, listed_sources, open_session

from . import operations, themes
from .drives import Drives, DriveWatch
from .facts import Facts, read_facts
from .jobs import Job, JobMoved, JobQueue, JobsChanged, JobState
from .outcomes import outcome
from .screens.base import MainScreen
from .screens.coverage import CoverageScreen
from .screens.dialogs import Choice, Question, confirm
from .screens.restore import RestoreScreen
from .screens.sources import SourcesScreen
from .screens.targets import TargetsScreen
from .settings import Settings
from .settings import default_path as settings_path
from .settings import load as load_settings
from .settings import save as save_settings
from .state import LogLine, SharedApp, session_file
from .widgets.safety_header import SafetyHeader

LOOK_EVERY = 2.0  # seconds between two looks at the drives and at the session DB
LOG_MAX = 10_000


@dataclass
class FactsRead(Message):
    """The facts were read again."""

    facts: Facts


@dataclass
class DrivesSeen(Message):
    """Drives came or went."""

    drives: Drives


@dataclass
class SessionMoved(Message):
    """Somebody wrote to the session DB: a job of ours, or another medback."""


class MedbackApp(SharedApp):
    """Opens on the screen it was left on."""

    TITLE = "medback"
    CSS_PATH = "app.tcss"
    MODES = {  # noqa: RUF012 - Textual wants a plain dict
        "sources": SourcesScreen,
        "targets": TargetsScreen,
        "coverage": CoverageScreen,
        "restore": RestoreScreen,
    }
    ENABLE_COMMAND_PALETTE = True
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("1", "go('sources')", "sources", show=False, id="go.sources", tooltip="Sources: what is backed up"),
        Binding("2", "go('targets')", "targets", show=False, id="go.targets", tooltip="Targets: the drives it goes to"),
        Binding(
            "3",
            "go('coverage')",
            "coverage",
            show=False,
            id="go.coverage",
            tooltip="Coverage: what is safe, what is not",
        ),
        Binding(
            "4",
            "go('restore')",
            "restore",
            show=False,
            id="go.restore",
            tooltip="Restore: get it back, and from which drives",
        ),
        Binding(
            "X", "stop_job", "stop job", show=False, id="job.stop", tooltip="Stop the running job; what is done is kept"
        ),
        Binding(
            "y",
            "copy_command",
            "copy command",
            show=False,
            id="job.copy",
            tooltip="Copy the command line of the running (or last) job",
        ),
        Binding("L", "log", "log", show=False, id="app.log", tooltip="What happened: every job and how it ended"),
        Binding(
            "escape",
            "dismiss_job",
            "back",
            show=False,
            id="app.back",
            tooltip="Back; takes note of a job that has ended",
        ),
        Binding(
            "f5,ctrl+r",
            "reload",
            "reload",
            show=False,
            id="app.reload",
            tooltip="Read everything from the session again",
        ),
        Binding(
            "q,ctrl+q",
            "quit",
            "quit",
            show=False,
            id="app.quit",
            tooltip="Quit; asks while jobs are running",
            priority=False,
        ),
        Binding("question_mark,f1", "help", "help", id="app.help", tooltip="This help", key_display="?"),
    ]

    def __init__(
        self, session_db: Path | None = None, *, settings_file: Path | None = None, watch: bool = True
    ) -> None:
        super().__init__()
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.session_path = session_file(session_db)
        self.reader: Session | None = None
        self.facts: Facts | None = None
        self.drives = Drives()
        self.queue = JobQueue(self, self.session_path)
        self.settings = load_settings(settings_file)
        self.log_lines: list[LogLine] = []
        self.dismissed = 0
        self._watch, self._quitting = watch, False
        self._quit_code = 0
        self.set_reactive(MedbackApp.theme, self._usable_theme())

    def get_css_variables(self) -> dict[str, str]:
        """Textual's, and `$dim`: a quiet colour that stands on its own, for parts of a line."""
        variables = super().get_css_variables()
        if self.current_theme.ansi:
            return {**variables, "dim": "ansi_bright_black"}
        foreground, background = Color.parse(variables["foreground"]), Color.parse(variables["background"])
        return {**variables, "dim": background.blend(foreground, 0.6, 1.0).hex}

    def _usable_theme(self) -> str:
        return self.settings.theme if self.settings.theme in self.available_themes else themes.DARK

    # --- opening and closing -----------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._listen_for_signals()
        self._open_reader()
        self.switch_mode(self.settings.screen)
        self.theme_changed_signal.subscribe(self, self._theme_changed)
        self.read_facts()
        if self._watch:
            self._watch_drives()
        self.set_interval(0.2, self._tick)
        if self.reader is None and listed_sources(self.session_path):
            self.call_after_refresh(self._offer_rebuild)

    def _open_reader(self) -> None:
        if self.reader is None and self.session_path.exists():
            try:
                self.reader = open_session(self.session_path, create=False)
            except MedbackError as error:
                self.show_problem(error, "name another one with --session-db")

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGHUP):
            try:
                loop.add_signal_handler(number, self._told_to_end)
            except (NotImplementedError, RuntimeError, ValueError):
                return  # not the main thread, or a system without them

    def _told_to_end(self) -> None:
        self._quit_code = 143
        self._end()

    def _end(self) -> None:
        """Stop the jobs, then leave: at once when none is running."""
        self._quitting = True
        self.queue.stop_all()
        if not self.queue.busy:
            self.exit(self._quit_code, self._quit_code)

    async def action_quit(self) -> None:
        """Leave; ask first while jobs are running."""
        if not self.queue.busy:
            self._end()
            return
        running = self.queue.running
        words = Content(
            f"{running.title if running else 'A job'} is not finished. Quitting finishes the chunk under way and keeps "
            "all that is done; run it again to go on."
        )
        self.push_screen(confirm("Quit?", words, "Quit", danger=False), self._quit_answered)

    def _quit_answered(self, answer: str | None) -> None:
        if answer == "yes":
            self._end()

    def on_unmount(self) -> None:
        if self.reader is not None:
            self.reader.close()

    def _offer_rebuild(self) -> None:
        number = len(listed_sources(self.session_path))
        words = Content(
            f"There is no session DB, but a list of {number} sources lies beside where it was. Their sidecars know "
            "everything; building a new session from them hashes nothing."
        )
        choices = [Choice("no", "Start empty"), Choice("yes", "Rebuild", "primary")]
        question = Question("Rebuild the session?", words, choices, focus="yes", same_as=operations.rebuild().command)
        self.push_screen(question, self._rebuild_answered)

    def _rebuild_answered(self, answer: str | None) -> None:
        if answer == "yes":
            self.submit(operations.rebuild())

    # --- facts and drives --------------------------------------------------------------------------------------------

    def read_facts(self) -> None:
        self._read_facts()

    @work(thread=True, exclusive=True, exit_on_error=False, group="facts")
    def _read_facts(self) -> None:
        worker = get_current_worker()
        try:
            facts = self.in_session(read_facts) or Facts()
        except MedbackError as error:
            self.call_later(self.show_problem, error)
            return
        if not worker.is_cancelled:
            self.post_message(FactsRead(facts))

    @on(FactsRead)
    def facts_read(self, message: FactsRead) -> None:
        self._open_reader()
        self.facts = message.facts
        self.tell_screens()

    @work(thread=True, exit_on_error=False, group="drives")
    def _watch_drives(self) -> None:
        """In a thread for as long as the app runs: look at the drives and at the session DB."""
        stop = get_current_worker().cancelled_event
        watch, seen, stamp = DriveWatch(), None, None
        while not stop.is_set():
            targets = [row.target for row in self.facts.targets] if self.facts else []
            drives = watch.look(targets)
            if drives != seen and self.facts is not None:
                seen = drives
                self.post_message(DrivesSeen(drives))
            now = _stamp(self.session_path)
            if stamp is not None and now != stamp:
                self.post_message(SessionMoved())
            stamp = now
            stop.wait(LOOK_EVERY)

    @on(DrivesSeen)
    def drives_seen(self, message: DrivesSeen) -> None:
        before, self.drives = self.drives, message.drives
        self.tell_screens()
        for key in message.drives.here.keys() - before.here.keys() if before.mounts or before.here else ():
            row = self.facts.target(key) if self.facts else None
            if row is not None:
                self.notify(Content(f"{row.target.name} is plugged in").plain, timeout=4, markup=False)

    @on(SessionMoved)
    def session_moved(self) -> None:
        self.read_facts()

    def tell_screens(self) -> None:
        """Tell the screen in sight what is new; the others ask when they come back."""
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen):
                screen.told()

    # --- jobs --------------------------------------------------------------------------------------------------------

    def _tick(self) -> None:
        if self.queue.running is not None:
            self._tell_jobs()

    def _tell_jobs(self) -> None:
        for screen in self.screen_stack:
            if isinstance(screen, MainScreen) and screen.is_mounted:
                screen.tell_jobs()

    @on(JobMoved)
    def job_moved(self) -> None:
        self._tell_jobs()

    @on(JobsChanged)
    def jobs_changed(self, message: JobsChanged) -> None:
        job = message.job
        if job.state is JobState.RUNNING and not job.quiet:
            self._log(job.started_at, "info", job.title, f"began; same as: {job.command}")
        if job.state.over and not job.details.get("told"):
            job.details["told"] = True
            self._job_ended(job)
        self._tell_jobs()
        if self._quitting and not self.queue.busy:
            self.exit(self._quit_code, self._quit_code)

    def _job_ended(self, job: Job) -> None:
        for note in job.notes:
            self._log(note.date, note.level, job.title, note.words)
        hidden = sum(job.counts.values()) - len(job.notes)
        if hidden > 0 and len(job.notes) >= 2_000:
            self._log(job.ended_at, "warning", job.title, f"and {hidden:,} more lines like these")
        if job.crash:
            self._log(job.ended_at, "error", job.title, f"{job.error}\n{job.crash}")
        self.read_facts()
        if not job.quiet:
            level, headline, _ = outcome(job)
            self._log(job.ended_at, {"partly": "warning", "failed": "error"}.get(level, "done"), job.title, headline)
            severity = {"done": "information", "partly": "warning", "failed": "error"}[level]
            self.notify(headline, severity=severity, timeout=6, markup=False)  # type: ignore[arg-type]
        if job.ended is not None and not self._quitting:
            job.ended(job)

    def _log(self, date: int, level: str, about: str, words: str) -> None:
        self.log_lines.append(LogLine(date, level, about, words))
        del self.log_lines[:-LOG_MAX]

    def show_problem(self, error: MedbackError, way_out: str = "") -> None:
        words = f"{error}{'; ' + way_out if way_out else ''}"
        self._log(model.now(), "error", "", words)
        self.notify(words, severity="error", timeout=8, markup=False)

    def action_stop_job(self) -> None:
        """Stop the running job, or the one that waits longest."""
        job = self.queue.running or next(iter(self.queue.waiting), None)
        if job is not None:
            self.queue.stop(job)

    def action_copy_command(self) -> None:
        """Copy the command line of the running job, or of the last one."""
        job = self.queue.running or self.queue.last
        if job is not None:
            self.copy_to_clipboard(job.command)
            self.notify(f"copied: {job.command}", timeout=3, markup=False)

    def action_dismiss_job(self) -> None:
        """Take note of how the last job ended."""
        if self.queue.last is not None:
            self.dismissed = self.queue.last.number
            self._tell_jobs()

    # --- getting about -----------------------------------------------------------------------------------------------

    def action_go(self, mode: str) -> None:
        """Switch to one of the four screens."""
        if self.current_mode != mode:
            self.switch_mode(mode)
            self.keep_settings(replace(self.settings, screen=mode))

    @on(SafetyHeader.TabClicked)
    def tab_clicked(self, message: SafetyHeader.TabClicked) -> None:
        self.action_go(message.mode)

    def action_help(self) -> None:
        """The keys of the screen in sight."""
        from .screens.help import Help

        about = self.screen.MODE.capitalize() if isinstance(self.screen, MainScreen) else "Here"
        self.push_screen(Help(about, self.screen.active_bindings.values()))

    def action_log(self) -> None:
        """What happened since the app was opened."""
        from .screens.log import Log

        self.push_screen(Log(self.log_lines))

    def action_reload(self) -> None:
        """Read everything again."""
        self.read_facts()

    def keep_settings(self, settings: Settings) -> None:
        if settings != self.settings:
            self.settings = settings
            problem = save_settings(settings)
            if problem is not None:
                self._log(model.now(), "warning", "", problem)

    def _theme_changed(self, theme: object) -> None:
        del theme
        self.keep_settings(replace(self.settings, theme=self.theme))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action of the screen in sight, of the app, and the themes."""
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id is None or not active.enabled or binding.id.startswith("list."):
                continue
            key = self.get_key_display(binding)

            async def run(action: str = binding.action, node: object = active.node) -> None:
                await self.run_action(action, node)  # type: ignore[arg-type]

            words = binding.tooltip or binding.description
            yield SystemCommand(f"{words}  ({key})", binding.description, run)
        yield SystemCommand("Theme: choose another", "Dark, light, ansi and others", self.action_change_theme)


def _stamp(path: Path) -> tuple[int, ...]:
    found: list[int] = []
    for suffix in ("", "-wal"):
        try:
            status = Path(f"{path}{suffix}").stat()
        except OSError:
            continue
        found += [status.st_mtime_ns, status.st_size]
    return tuple(found)


def run(session_db: Path | None = None, *, mouse: bool = True) -> int:
    """Open the app on a session DB (the default one with None; it need not exist yet) and return its exit code.

    Raises Refused for a DB that is not ours or of a later version: before anything is drawn.
    """
    path = session_file(session_db)
    if path.exists():
        open_session(path, create=False).close()
    app = MedbackApp(path, settings_file=settings_path())
    result = app.run(mouse=mouse)
    return result if isinstance(result, int) else app.return_code or 0
