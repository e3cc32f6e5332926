"""End what is run before one of its changes of a drive, as `kill -9` would."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from medback_core import disk


class Killed(BaseException):
    """The process ended here. Not an Exception: nothing may handle it."""


def killed_after(changes: int, steps: Callable[[], object]) -> bool:
    """Run this until it has made so many changes of a drive; whether there was one more, before which it was killed."""
    made = 0

    def count(_op: str, *_details: object) -> None:
        nonlocal made
        made += 1
        if made > changes:
            raise Killed

    disk.set_observer(count)
    try:
        steps()
    except Killed:
        return True
    finally:
        disk.set_observer(None)
    return False


@contextmanager
def killed_before(change: str, name: bytes) -> Iterator[None]:
    """What runs in here is killed before this change (`rename`, `unlink`, …) of this name, and has to come to it."""

    def kill(op: str, *details: object) -> None:
        if op == change and details[-1] == name:
            raise Killed

    disk.set_observer(kill)
    try:
        with pytest.raises(Killed):
            yield
    finally:
        disk.set_observer(None)
