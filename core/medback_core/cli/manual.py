"""The manual pages, made from the commands: `make man` writes them, the wheel has them in share/man/man1."""

from __future__ import annotations

import inspect
import os
import re
import textwrap
import time
from collections.abc import Iterator

import click

from medback_core import __version__

from . import EXIT_CODES, medback

_FILES = (
    ("~/.bkup_dest", "The session database, a cache; `medback rebuild` makes it again from the sidecars."),
    (".medback.xml", "In every directory of a source and of a target: what is there, and where its copies are."),
    ("$XDG_CONFIG_HOME/medback/settings.toml", "The settings; `medback config` shows them."),
)


def pages() -> dict[str, str]:
    """Name of the file (`medback-verify.1`) -> the page, in the man macros, dated SOURCE_DATE_EPOCH, else today."""
    root = click.Context(medback, info_name="medback")
    found = {"medback.1": "\n".join(_program(root)) + "\n"}
    for name, command in medback.commands.items():
        ctx = click.Context(command, info_name=name, parent=root)
        found[f"medback-{name}.1"] = "\n".join(_command(name, command, ctx)) + "\n"
    return found


def _program(ctx: click.Context) -> Iterator[str]:
    yield from _begun("medback", medback)
    yield from (".SH SYNOPSIS", r".B medback", _escaped("[OPTIONS] [COMMAND [ARGUMENTS]]"), ".SH DESCRIPTION")
    yield from _text(medback.help or "")
    yield ".SH COMMANDS"
    for title, commands in medback.sections.items():
        yield f".SS {_escaped(title)}"
        for command in commands:
            yield from (".TP", rf".BR medback\-{_escaped(command.name or '')} (1)")
            yield _inline(command.get_short_help_str(200))
    yield ".SH OPTIONS"
    yield from _options(medback, ctx)
    yield from (".SH EXIT STATUS", _inline(EXIT_CODES.removeprefix("Exit codes: ")))
    yield from (".SH ENVIRONMENT", ".TP", ".B MEDBACK_SESSION_DB", _escaped("The session database, as --session-db."))
    yield from (".TP", ".B MEDBACK_SETTINGS", "The settings file.", ".SH FILES")
    for path, words in _FILES:
        yield from (".TP", f".I {_escaped(path)}", _inline(words))
    yield ".SH EXAMPLES"
    yield from _text((medback.epilog or "").partition("\n\nSIZE")[0])


def _command(name: str, command: click.Command, ctx: click.Context) -> Iterator[str]:
    yield from _begun(f"medback-{name}", command)
    yield from (".SH SYNOPSIS", rf".B medback {_escaped(name)}", _escaped(" ".join(command.collect_usage_pieces(ctx))))
    yield ".SH DESCRIPTION"
    yield from _text(command.help or "")
    options = list(_options(command, ctx))
    if options:
        yield from (".SH OPTIONS", *options)
    if command.epilog:
        yield from (".PP", _inline(command.epilog))
    yield from (".PP", r"The options of all commands are in", ".BR medback (1).")
    yield from (".SH SEE ALSO", ".BR medback (1)")


def _begun(title: str, command: click.Command) -> Iterator[str]:
    date = time.strftime("%Y-%m-%d", time.gmtime(int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))))
    yield f'.TH {_escaped(title.upper())} 1 "{date}" "medback {__version__}" "medback"'
    yield from (".SH NAME", rf"{_escaped(title)} \- {_escaped(command.get_short_help_str(200).rstrip('.'))}")


def _options(command: click.Command, ctx: click.Context) -> Iterator[str]:
    common = {param.name for param in medback.get_params(ctx)} if command is not medback else set()
    for param in command.get_params(ctx):
        wanted = isinstance(param, click.Option) and param.name not in common
        record = param.get_help_record(ctx) if wanted else None
        if record is not None:
            yield from (".TP", f".B {_escaped(record[0])}", _inline(record[1]))


def _text(words: str) -> Iterator[str]:
    """Paragraphs, as click has them: one that begins with \\b keeps its lines."""
    for number, paragraph in enumerate(inspect.cleandoc(words).split("\n\n")):
        if number:
            yield ".PP"
        if paragraph.startswith("\b\n"):
            yield from (".nf", *(_escaped(line) for line in paragraph.splitlines()[1:]), ".fi")
        else:
            yield _inline(" ".join(paragraph.split()))


def _inline(words: str) -> str:
    """A paragraph, in short lines; what stands in backticks is bold."""
    bold = re.sub(r"`([^`]*)`", r"\\fB\1\\fP", words.replace("\\", r"\e").replace("-", r"\-"))
    lines = textwrap.wrap(bold, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join(_guarded(line) for line in lines)


def _escaped(words: str) -> str:
    """Text that means nothing to roff."""
    return _guarded(" ".join(words.splitlines()).replace("\\", r"\e").replace("-", r"\-"))


def _guarded(line: str) -> str:
    """A line that is no request."""
    return rf"\&{line}" if line.startswith((".", "'")) else line
