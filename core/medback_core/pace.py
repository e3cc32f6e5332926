"""How often a long operation says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from time import monotonic
from typing import TypeVar

from .model import Event

TICK = 0.1  # seconds between two reports: also how long an operation may go without a chance to be cancelled

Step = TypeVar("Step")
Result = TypeVar("Result")


class Pace:
    """When it is time to report again: at once, then ten times a second at most."""

    def __init__(self) -> None:
        self._told = 0.0

    def is_due(self) -> bool:
        """Whether it is time; then the next report is due a tick later."""
        now = monotonic()
        if now - self._told <= TICK:
            return False
        self._told = now
        return True


def never() -> bool:
    """Of an operation that is to go on to its end."""
    return False


def until(enough: Callable[[], bool], events: Iterator[Event]) -> Iterator[Event]:
    """The events of an operation, which is closed as soon as it is enough."""
    for event in events:
        yield event
        if enough():
            break
    if isinstance(events, Generator):
        events.close()


def reporting(
    steps: Generator[Step, None, Result], pace: Pace, event: Callable[[Step], Event]
) -> Generator[Event, None, Result]:
    """Run to its end what yields how many bytes are done, or only gives turns, reporting at the pace; gives what it
    returns."""
    with closing(steps):
        while True:
            try:
                done = next(steps)
            except StopIteration as end:
                return end.value
            if pace.is_due():
                yield event(done)
