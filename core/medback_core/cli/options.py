"""The options every command shares, and the kinds of values they take: sizes, durations, paths."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

import click
from click.core import ParameterSource

from medback_core import __version__, model, names
from medback_core.errors import Refused
from medback_core.sidecar.values import parse_date

SIZE_HELP = "SIZE is bytes, 500M or 2GiB (powers of 1024), 500MB (powers of 1000), or 10% of the drive."
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(?:(%)|([kmgtp]?)(i?b)?)\s*", re.IGNORECASE)
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([smhdwy])\s*", re.IGNORECASE)
_MOST = 2**63 - 1  # what the session DB and the sidecars can hold
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


@dataclass(frozen=True, slots=True)
class Size:
    """An amount of bytes, or a share of a drive."""

    amount: float
    of_drive: bool = False

    def bytes_on(self, path: bytes) -> int:
        """The bytes it means for the drive at `path`. Raises Refused when a share is asked of a drive not there."""
        if not self.of_drive:
            return int(self.amount)
        from medback_core import disk

        try:
            return int(disk.describe(path).total * self.amount / 100)
        except OSError as error:
            raise Refused("no-such-path", f"{names.display_name(path)}: {error.strerror}") from error


class SizeType(click.ParamType):
    """`500M`, `2GiB`, `1.5TB`, `10%`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Size:
        if isinstance(value, Size):
            return value
        match = _SIZE.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is no size; write 500M, 2GiB or 10%", param, ctx)
        amount = float(match[1])
        if match[2]:
            if amount > 100:
                self.fail("a drive has no more than 100%", param, ctx)
            return Size(amount, of_drive=True)
        # What dd, rsync and du users expect: M and MiB are powers of 1024, MB is what drives are sold by.
        base = 1000 if (match[4] or "").lower() == "b" else 1024
        size = Size(amount * base ** " kmgtp".index((match[3] or " ").lower()))
        if size.amount > _MOST:
            self.fail(f"{value!r} is larger than any drive", param, ctx)
        return size


class DurationType(click.ParamType):
    """`90d`, `12h`, `3w`, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = _DURATION.fullmatch(value)
        if match is None:
            self.fail(f"{value!r} is no duration; write 90d, 12h or 3w", param, ctx)
        seconds = float(match[1]) * _SECONDS[match[2].lower()]
        if seconds > _OLDEST:
            self.fail(f"{value!r} is longer than a thousand years", param, ctx)
        return int(seconds)


class MomentType(click.ParamType):
    """`2026-11-24`, `2026-11-24T03:00:00Z` (UTC where it names no zone), or an age like `3d`: seconds since 1970."""

    name = "moment"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        if _DURATION.fullmatch(value):
            return model.now() - DURATION.convert(value, param, ctx)
        moment = parse_date(value)
        if moment is None:
            self.fail(f"{value!r} is no date; write 2026-11-24, 2026-11-24T03:00:00Z or 3d", param, ctx)
        return moment


class NameType(click.ParamType):
    """A path or a name as exact bytes."""

    def __init__(self, name: str = "path") -> None:
        self.name = name

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
    _common("-q", "--quiet", "quiet", help="Say only what went wrong."),
    _common("-v", "--verbose", "verbose", help="Say more: progress without a terminal, full lists, tracebacks."),
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
