"""What a person would be told, for tests that look for words of it."""

import re
from collections.abc import Callable, Iterable

from medback_core.errors import MedbackError
from medback_core.model import Warned
from medback_core.presenting.refusals import message


def says(pattern: str) -> Callable[[MedbackError], bool]:
    """For `pytest.raises(…, check=says("overlap"))`: the message of the refusal has this in it."""
    return lambda error: re.search(pattern, message(error)) is not None


def told(events: Iterable[object]) -> list[str]:
    """The messages of the warnings among these events."""
    return [message(event) for event in events if isinstance(event, Warned)]
