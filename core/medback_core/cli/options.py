"""The options every command shares, and the kinds of values they take: sizes, durations, paths."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import click
from click.core import ParameterSource
from click.shell_completion import CompletionItem

from medback_core import __version__, model, names
from medback_core.settings.sizes import Size, parse_size

SIZE_HELP = "SIZE is bytes, 500M or 2GiB (powers of 1024), 500MB (powers of 1000), or 10% of the drive."
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdwy])\s*", re.IGNORECASE)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800, "y": 31_536_000}
_OLDEST = 1000 * _SECONDS["y"]


@dataclass(slots=True)
class Settings:
    """What the common options say."""

    session_db: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    progress: bool = True
    yes: bool = False
    words: list[str] = field(default_factory=list)  # the command line, for the log


class SizeType(click.ParamType):
    """`500M`, `2GiB`, `1.5TB`, `10%`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        if isinstance(value, Size):
            return value
        try:
            return parse_size(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class DurationType(click.ParamType):
    """`90d`, `12h`, `3w`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is not a duration; write 90d, 12h or 3w", param, ctx)
        seconds = float(match[1]) * _SECONDS[match[2].lower()]
        if seconds > _OLDEST:
            self.fail(f"{value!r} is longer than a thousand years", param, ctx)
        return int(seconds)


class MomentType(click.ParamType):
    """`2026-11-24`, `2026-11-24T03:00:00Z` (UTC where it names no zone), or `3d`, `3d ago`: seconds since 1970."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        age = value.removesuffix(" ago")
        if _DURATION.fullmatch(age):
            return model.now() - DURATION.convert(age, param, ctx)
        from medback_core.sidecar.values import parse_date

        moment = parse_date(value)
        if moment is None:
            self.fail(f"{value!r} is not a date; write 2026-11-24, 2026-11-24T03:00:00Z or 3d", param, ctx)
        return moment


class NameType(click.ParamType):
    """A path or a name as exact bytes."""

    def __init__(self, name: str = "path") -> None:
        self.name = name

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            path = names.from_text(value)
        except UnicodeEncodeError:
            self.fail(f"{names.display_name(value)} stands for no bytes", param, ctx)
        if not path:
            self.fail("is empty", param, ctx)
        if b"\0" in path:
            self.fail("contains a NUL byte", param, ctx)
        return path


SIZE = SizeType()
DURATION = DurationType()
MOMENT = MomentType()
PATH = NameType("path")
DIRECTORY = NameType("dir")


def complete_targets(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The labels of the session's targets that begin so, else directories; nothing where the session can't be read."""
    return _complete(ctx, incomplete, sources=False)


def complete_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Like `complete_targets`, and the aliases of sources."""
    return _complete(ctx, incomplete, sources=True)


def _complete(ctx: click.Context, incomplete: str, *, sources: bool) -> list[CompletionItem]:
    from medback_core.session import open_session
    from medback_core.session.sources import list_sources
    from medback_core.session.targets import list_targets
    from medback_core.settings.preferences import read_preferences

    try:
        path = settings_of(ctx).session_db or os.environ.get("MEDBACK_SESSION_DB") or read_preferences().session
        with open_session(path) as session:
            words = [target.name for target in list_targets(session)]
            words += [source.alias for source in list_sources(session)] if sources else []
    except Exception:  # noqa: BLE001  (a shell that waits for a word is no place for any error)
        return []
    found = [CompletionItem(word) for word in words if word.startswith(incomplete) and word.isprintable()]
    return found or [CompletionItem(incomplete, type="dir")]


def settings_of(ctx: click.Context) -> Settings:
    """The settings of this command line, the same before and after the command."""
    root = ctx.find_root()
    if root.obj is None:
        root.obj = Settings()
    return root.obj


def _common(*flags: str, set_to: object = None, **how: Any) -> Callable[[Any], Any]:
    """An option whose value goes into the settings; the last one given counts."""

    def take(ctx: click.Context, param: click.Parameter, value: Any) -> None:
        if value is None or value is False or ctx.resilient_parsing or param.name is None:
            return
        if ctx.parent is not None and ctx.get_parameter_source(param.name) is ParameterSource.ENVIRONMENT:
            return  # taken before the command already, where the option itself may have outranked it
        setattr(settings_of(ctx), param.name, value if set_to is None else (not value if set_to == "off" else value))

    if "type" not in how:
        how.update(is_flag=True, default=False)
    return click.option(*flags, expose_value=False, callback=take, **how)


_COMMON = (
    _common(
        "--session-db",
        "session_db",
        type=str,
        envvar="MEDBACK_SESSION_DB",
        show_envvar=True,
        metavar="PATH",
        help="The session DB (default: ~/.bkup_dest).",
    ),
    _common("--json", "json", help="One JSON object on standard output when the command ends; words go to stderr."),
    _common("-q", "--quiet", "quiet", help="Show errors only."),
    _common("-v", "--verbose", "verbose", help="Show more: progress without a terminal, full lists, tracebacks."),
    _common("--no-progress", "progress", set_to="off", help="No progress display."),
    _common(
        "-y",
        "--yes",
        "yes",
        help="Yes to ordinary questions and to making a new target; never to a clone, a drive "
        "that seems not plugged in, or the last copy of something.",
    ),
    click.version_option(
        __version__, prog_name="medback", message="%(prog)s %(version)s", help="Show the version and exit."
    ),
)


def common_options(command: Any) -> Any:
    """Give a command the options that all commands have."""
    for option in reversed(_COMMON):
        command = option(command)
    return command


class Commands(click.Group):
    """The commands, each also under its name with `_` for `-`, and the seed's other names."""

    other_names: ClassVar = {"backup-stats": "stats"}

    def __init__(self, **how: Any) -> None:
        super().__init__(**how)
        self.sections: dict[str, list[click.Command]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands that the help shows together under a title."""
        self.sections.setdefault(title, []).extend(commands)
        for command in commands:
            self.add_command(command)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.commands)
        for title, commands in self.sections.items():
            rows = [((c.name or "").ljust(width), c.get_short_help_str(formatter.width - width - 6)) for c in commands]
            with formatter.section(title):
                formatter.write_dl(rows)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("_", "-")
        return super().get_command(ctx, self.other_names.get(name, name))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        _, command, rest = super().resolve_command(ctx, args)
        return command.name if command else None, command, rest
