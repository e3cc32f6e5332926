"""medback's app: four modes on keys 1–4 over one session, a queue of jobs, and an eye on the drives."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

from textual import on
from textual.app import SystemCommand
from textual.binding import BindingType
from textual.color import Color
from textual.content import Content
from textual.filter import LineFilter, Monochrome, NoColor
from textual.screen import Screen
from textual.theme import BUILTIN_THEMES
from textual.widget import AwaitMount
from textual.widgets import Input

from medback_core import model
from medback_core.coverage.where_is import FileWhereabouts
from medback_core.presenting.refusals import message
from medback_core.presenting.units import plural
from medback_core.session import Session, open_session
from medback_core.session.opening import session_file
from medback_core.session.source_list import listed_sources
from medback_core.settings.preferences import Preferences, read_preferences
from medback_tui.jobs import operations
from medback_tui.jobs.queue import JobQueue
from medback_tui.jobs.resuming import ResumingApp
from medback_tui.jobs.telling import TellingApp
from medback_tui.jobs.unfinished import Unfinished
from medback_tui.look import themes
from medback_tui.look.keys import KEYS, SENTENCES, is_key, quiet, shown, typing
from medback_tui.look.settings import Settings, settings_path
from medback_tui.look.settings import load as load_settings
from medback_tui.look.settings import save as save_settings
from medback_tui.reading.drives import Drives
from medback_tui.reading.facts import Facts
from medback_tui.reading.state import READING_MIB, LogLine
from medback_tui.reading.watching import WatchingApp

from .palette import FoundFiles, Palette, Things
from .screens.base import MainScreen
from .screens.coverage import CoverageScreen
from .screens.dialogs import Choice, Question, choose, confirm, submit_if
from .screens.restore import RestoreScreen
from .screens.sources import SourcesScreen
from .screens.targets import TargetsScreen
from .widgets.notice_line import Notice
from .widgets.safety_header import SafetyHeader

THREADS = 32  # one that waits for a drive that hangs keeps none of the others waiting
NO_COLOR = NoColor()


class MedbackApp(TellingApp, WatchingApp, ResumingApp):
    """Opens on the screen it was left on."""

    TITLE = "medback"
    MODES = {  # noqa: RUF012 - Textual wants a plain dict
        "sources": SourcesScreen,
        "targets": TargetsScreen,
        "coverage": CoverageScreen,
        "restore": RestoreScreen,
    }
    COMMANDS = ResumingApp.COMMANDS | {FoundFiles, Things}
    BINDINGS: ClassVar[list[BindingType]] = [
        typing("1", "go('sources')", "go.sources", "sources", "Sources: what is backed up", show=False),
        typing("2", "go('targets')", "go.targets", "targets", "Targets: the drives it goes to", show=False),
        typing("3", "go('coverage')", "go.coverage", "coverage", "Coverage: what is safe, what is not", show=False),
        typing(
            "4", "go('restore')", "go.restore", "restore", "Restore: get it back, and from which drives", show=False
        ),
        typing(
            "F,ctrl+f",
            "find",
            "app.find",
            "find",
            "Find a file: in all sources, deleted, or an older version",
            show=False,
        ),
        quiet(
            "X", "stop_job", "job.stop", "stop job", "Stop the running job and keep what is done; once more: at once"
        ),
        quiet("y", "copy_command", "job.copy", "copy command", "Copy the command line of the running (or last) job"),
        quiet(
            "z",
            "undo",
            "app.undo",
            "undo",
            "Undo what was set of a source or a drive, or forgetting a source",
        ),
        quiet(
            "comma",
            "settings",
            "app.settings",
            "settings",
            "Settings: what holds, where it comes from, and how to change it",
        ),
        quiet(
            "plus",
            "zoom(1)",
            "app.more",
            "more room",
            "More room for the list, or for the pane that has the focus (tab)",
        ),
        quiet("underscore", "zoom(-1)", "app.less", "less room", "Less room for it again"),
        quiet("L", "log", "app.log", "log", "What happened: every job and how it ended"),
        quiet("escape", "dismiss_job", "app.back", "back", "Back; takes note of a job that has ended"),
        quiet("f5,ctrl+r", "reload", "app.reload", "reload", "Read everything from the session again"),
        quiet("q,ctrl+q", "quit", "app.quit", "quit", "Quit; asks while jobs are running"),
        shown("question_mark,f1", "help", "app.help", "help", "This help"),
    ]

    def __init__(
        self,
        session_db: Path | None = None,
        *,
        settings_file: Path | None = None,
        preferences: Preferences | None = None,
        watch: bool = True,
    ) -> None:
        super().__init__()
        self.preferences = preferences or Preferences()
        for theme in themes.THEMES:
            self.register_theme(theme)
        self.session_path = session_file(session_db)
        self.reader: Session | None = None
        self.facts: Facts | None = None
        self.drives = Drives(looked=False)
        self.queue = JobQueue(self, self.session_path)
        self.settings = self._saved = load_settings(settings_file)
        self._saving = Lock()
        kept = settings_file.with_name("unfinished.json") if settings_file is not None else None
        self.unfinished = Unfinished(kept, str(self.session_path))
        self.lost = 0  # sources that a list beside a session DB names that is gone
        self.log_lines: list[LogLine] = []
        self.notices: list[Notice] = []
        self.notes: list[model.Warned] = []  # what a person should know about how the session was opened
        self.dismissed = 0
        self.next_drive: str | None = None
        self._watch, self.quitting = watch, False
        self._quit_code = 0
        self._quit_question: Question | None = None
        self.set_reactive(MedbackApp.theme, self._usable_theme())

    def get_css_variables(self) -> dict[str, str]:
        """Textual's, and `$dim`: a quiet colour that stands on its own, for parts of a line; and `$here`: plugged in.
        Without colours what is not dim is as strong as the text: a red turned grey would be weaker."""
        variables = {"here": self.current_theme.primary, **super().get_css_variables()}
        if self.current_theme.ansi:
            return {**variables, "dim": "ansi_bright_black", "here": "ansi_cyan"}
        foreground, background = Color.parse(variables["foreground"]), Color.parse(variables["background"])
        if self.no_color:
            strong = ("here", "accent", "primary", "text-error", "text-warning", "text-success", "text-accent")
            variables |= dict.fromkeys(strong, variables["foreground"])
        return {**variables, "dim": background.blend(foreground, 0.6, 1.0).hex}

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Textual's; but an ansi theme without colours has none at all. Textual chooses the filter once, by the first
        theme, and its greys of ansi colours are one grey: text and background are the same."""
        filters = super().get_line_filters()
        if not (self.no_color and self.native_ansi_color):
            return filters
        return [NO_COLOR if isinstance(one, Monochrome) else one for one in filters]

    def _usable_theme(self) -> str:
        """The one the settings file names, else the one chosen last."""
        wanted = self.preferences.theme or self.settings.theme
        return wanted if wanted in self.available_themes else themes.DARK

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        if action in ("go", "find"):  # before any other key is looked at: never where one types, nor from a dialog
            return isinstance(self.screen, MainScreen) and not isinstance(self.focused, Input)
        return super().check_action(action, parameters)

    # --- opening and closing -----------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        self._listen_for_signals()
        self.set_keymap({**self.preferences.keys})
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(THREADS, "medback"))
        self.switch_mode(self.settings.screen)
        self.read_facts()
        if self._watch:
            self.watch_drives()
        self.set_interval(0.2, self.tick)
        for note in self.notes:
            words = message(note, self.key_of)
            self.log_line(model.now(), "warning", "", words)
            self.notify(words, severity="warning", timeout=10)
        if self.lost:
            self.call_after_refresh(self.offer_rebuild, "new", self.lost)
        else:
            self.find_unfinished()

    def _listen_for_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, *([signal.SIGHUP] if sys.platform != "win32" else [])):
            try:
                loop.add_signal_handler(number, self._told_to_end)
            except (NotImplementedError, RuntimeError, ValueError):
                return  # not the main thread, or a system without them

    def _told_to_end(self) -> None:
        self._quit_code = 143
        self._end(at_once=True)

    def _leave(self) -> None:
        if not self.is_headless and not sys.stdin.isatty():
            os._exit(self._quit_code)  # the terminal was closed: Textual's threads for it never end, and write on
        self.exit(self._quit_code, self._quit_code)

    def _end(self, *, at_once: bool = False) -> None:
        """Stop the jobs, then leave: at once when none is running."""
        self.quitting = True
        self.queue.stop_all(at_once=at_once)
        if not self.queue.busy:
            self._leave()

    def queue_moved(self) -> None:
        """A job began or ended: the last one of all may be what leaving waits for."""
        self.note_unfinished()
        if self.quitting and not self.queue.busy:
            self._leave()
        elif not self.quitting:
            self.keep_unfinished()
            self.call_later(self._quit_asked_of_another)

    async def action_quit(self) -> None:
        """Leave; ask first while jobs are running."""
        if self.quitting or not self.queue.busy:
            self._end(at_once=True)
            return
        self._quit_question = confirm("Quit?", self._quit_words(), "Quit", danger=False)
        choose(self, self._quit_question, yes=self._end)

    def _quit_words(self) -> Content:
        running, waiting = self.queue.running, len(self.queue.waiting)
        more = f", and {plural(waiting, 'more job waits', 'more jobs wait')}" if waiting else ""
        return Content(
            f"{running.title if running else 'A job'} is not finished{more}. Quitting finishes what is under way and "
            "keeps all that is done; the next time the app offers to go on."
        )

    async def _quit_asked_of_another(self) -> None:
        """The jobs are others than when leaving was asked about: ask about these, or not at all where none is left."""
        asked = self._quit_question
        if asked is None or asked is not self.screen or asked.words == self._quit_words():
            return
        asked.dismiss(None)
        if self.queue.busy:
            self.call_later(self.action_quit)
        else:
            self.notify(f"the jobs have ended; {self.key_of('app.quit')} quits medback")

    async def on_unmount(self) -> None:
        self.note_unfinished()
        await asyncio.to_thread(self._keep_all)

    def _keep_all(self) -> None:
        """In a thread, at the end."""
        self.unfinished.keep()
        self._save_settings()
        if self.reader is not None:
            self.reader.close()

    def offer_rebuild(self, condition: str, number: int) -> None:
        words = Content(
            f"The session DB is {condition}. A list beside it names {plural(number, 'source')}, and the sidecars there "
            "know everything: building the session from them hashes nothing."
        )
        choices = [Choice("no", "Start empty"), Choice("yes", "Rebuild", "primary")]
        job = operations.rebuild()
        submit_if(self, Question("Rebuild the session?", words, choices, focus="yes", same_as=job.command), job)

    # --- getting about -----------------------------------------------------------------------------------------------

    async def action_go(self, mode: str) -> None:
        """Switch to one of the four screens; the next key is for it."""
        if self.current_mode != mode:
            await self.go(mode)

    def go(self, mode: str) -> AwaitMount:
        """Switch to one of the four screens."""
        switched = self.switch_mode(mode)
        self.keep_settings(replace(self.settings, screen=mode))
        return switched

    @on(SafetyHeader.TabClicked)
    def tab_clicked(self, message: SafetyHeader.TabClicked) -> None:
        self.go(message.mode)

    def action_help(self) -> None:
        from .screens.help import Help

        about = self.screen.MODE.capitalize() if isinstance(self.screen, MainScreen) else "Here"
        self.push_screen(Help(about, self.screen.active_bindings.values()))

    def action_find(self, text: str = "") -> None:
        from .screens.find import Find

        self.ask(Find(text), self.go_to)

    def go_to(self, file: FileWhereabouts) -> None:
        """Show a file where it is in Coverage."""
        sources = self.facts.sources if self.facts is not None else ()
        source = next((row.source for row in sources if row.source.alias == file.source), None)
        if source is None:
            return
        self.show_coverage((source.id, file.path.rpartition(b"/")[0]), under=(source.id, file.path))

    def show_coverage(
        self,
        at: tuple[str, bytes] | None,
        *,
        under: tuple[str, bytes] | None = None,
        dead: frozenset[str] | None = None,
    ) -> None:
        """Show Coverage at this place (source and path), or of all with these drives `dead`."""
        CoverageScreen.start_at, CoverageScreen.start_under, CoverageScreen.start_dead = at, under, dead
        if isinstance(self.screen, CoverageScreen):
            self.screen.told()
        else:
            self.go("coverage")

    def action_deleted(self) -> None:
        from .screens.find import Deleted

        self.push_screen(Deleted())

    def action_help_quit(self) -> None:
        """Textual's ^c: say how to leave."""
        self.notify(f"{self.key_of('app.quit')} quits medback")

    def action_log(self) -> None:
        from .screens.log import Log

        self.push_screen(Log(self.log_lines))

    def action_zoom(self, step: int) -> None:
        if isinstance(self.screen, MainScreen):
            self.screen.zoom(step)

    def action_settings(self) -> None:
        from .screens.settings import SettingsDialog

        self.push_screen(SettingsDialog())

    def action_command_palette(self) -> None:
        """All actions, by their words."""
        if not isinstance(self.screen, Palette):
            self.push_screen(Palette(id="--command-palette"))

    def action_change_theme(self) -> None:
        from .screens.themes import PickTheme

        self.push_screen(PickTheme())

    def take_preferences(self, preferences: Preferences) -> None:
        """The settings file says this now."""
        self.preferences = preferences
        self.set_keymap({**preferences.keys})
        self.theme = self._usable_theme()
        self.refresh_bindings()
        self.aside(self, lambda: doubts_of(preferences), self._tell_doubts)

    def _tell_doubts(self, doubts: list[model.Warned]) -> None:
        for doubt in doubts:
            self.notify(message(doubt, self.key_of), severity="warning", timeout=10)

    def action_reload(self) -> None:
        self.read_facts()

    def keep_settings(self, settings: Settings) -> None:
        if settings != self.settings:
            self.settings = settings
            self.aside(self, self._save_settings, self._settings_saved, exclusive=False)

    def _save_settings(self) -> str | None:
        """In a thread: write down the settings as they are now. Returns why they can't be kept."""
        with self._saving:
            if self._saved == self.settings:
                return None
            self._saved = self.settings
            return save_settings(self._saved)

    def _settings_saved(self, problem: str | None) -> None:
        if problem is not None:
            self.log_line(model.now(), "warning", "", problem)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Every action of the screen in sight, of the app, and the themes."""
        seen: set[str] = set()  # an action with three keys is one line
        for active in screen.active_bindings.values():
            binding = active.binding
            if binding.id is None or not active.enabled or binding.id.startswith("list.") or binding.id in seen:
                continue
            seen.add(binding.id)
            key = self.get_key_display(binding)

            async def run(action: str = binding.action, node: object = active.node) -> None:
                await self.run_action(action, node)  # type: ignore[arg-type]

            words = binding.tooltip or binding.description
            yield SystemCommand(f"{words}  ({key})", binding.description, run)
        yield SystemCommand("Theme: try the others", "Dark, light, ansi and others", self.action_change_theme)


def all_keys() -> dict[str, tuple[str, str]]:
    """What a key of the settings file can be given to: (its keys without that, what it does), in all of the app."""
    from importlib import import_module
    from pkgutil import iter_modules

    from . import screens, widgets

    for room in (screens, widgets):
        for module in iter_modules(room.__path__, f"{room.__name__}."):
            import_module(module.name)
    return {name: (KEYS[name], SENTENCES[name]) for name in sorted(KEYS)}


def doubts_of(preferences: Preferences) -> list[model.Warned]:
    """What the settings file says of the app that can't be: themes and names that are not there, keys that are none."""
    from difflib import get_close_matches

    found: list[model.Warned] = []
    known = sorted({*BUILTIN_THEMES, *(theme.name for theme in themes.THEMES)})
    if preferences.theme is not None and preferences.theme not in known:
        found.append(model.Warned("unknown-theme", theme=preferences.theme, known=tuple(known)))
    names = all_keys() if preferences.keys else {}
    for binding, keys in preferences.keys.items():
        if binding not in names:
            like = tuple(get_close_matches(binding, names, 2))
            found.append(model.Warned("unknown-key/like" if like else "unknown-key", name=binding, like=like))
        for key in keys.split(","):
            if not is_key(key):
                found.append(model.Warned("wrong-key", name=binding, word=key))
    return found


def opened(session_db: Path | None = None, **options: Any) -> MedbackApp:
    """The app on a session DB, which is looked through before the app runs. Raises Refused."""
    path = session_file(session_db)
    app = MedbackApp(path, **options)
    app.notes = doubts_of(app.preferences)
    if path.exists():
        app.reader = open_session(path, create=False, cache_mib=READING_MIB)
        app.notes += app.reader.notes
    if app.reader is None or app.reader.needs_rebuild:
        app.lost = len(listed_sources(path))
    return app


def run(session_db: Path | None = None, mouse: bool = True) -> int:
    """Open the app on a session DB (the default one with None; it need not exist yet) and return its exit code.

    Raises Refused for a DB that is not ours or of a later version, and for a settings file that can't be read: before
    anything is drawn.
    """
    app = opened(session_db, settings_file=settings_path(), preferences=read_preferences())
    result = app.run(mouse=mouse)
    return result if isinstance(result, int) else app.return_code or 0
