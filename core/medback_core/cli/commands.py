"""Make a click command of a function that takes the Run first."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import click

from .options import common_options
from .running import Run


def command(name: str) -> Callable[[Callable[..., None]], click.Command]:
    """Like click.command, with the common options and the Run of this command line as the first argument."""

    def make(function: Callable[..., None]) -> click.Command:
        @click.pass_context
        @functools.wraps(function)
        def started(ctx: click.Context, /, **arguments: Any) -> None:
            run: Run = ctx.meta["medback.run"]
            function(run, **arguments)

        return common_options(click.command(name, context_settings={"max_content_width": 100})(started))

    return make
