"""Jobs that can be made again in another run of the app, by their recipes."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec

from medback_tui.jobs.queue import Job, Recipe

Args = ParamSpec("Args")
MAKERS: dict[str, Callable[..., Job]] = {}
# What a person answered to a question was about what was there then: it is asked again.
_ANSWERS = "answers"


def resumable(make: Callable[Args, Job]) -> Callable[Args, Job]:
    """A maker of jobs that can be made again in another run of the app: long ones that are safe to repeat."""
    key = getattr(make, "__name__", "")
    MAKERS[key] = make

    @wraps(make)
    def made(*args: Args.args, **options: Args.kwargs) -> Job:
        job = make(*args, **options)
        if not job.quiet:
            kept = [(option, fixed(value)) for option, value in options.items() if option != _ANSWERS]
            job.recipe = Recipe(key, tuple(map(fixed, args)), tuple(kept))
        return job

    return made


def fixed(value: object) -> object:
    """A list as the tuple it was before it was kept."""
    return tuple(value) if isinstance(value, list) else value
