"""The few ways an operation ends early, as facts: which one, and what it is about. `presenting` makes the sentence."""

from __future__ import annotations

from typing import TypeAlias

# What a refusal or a warning is about: paths are bytes, names text, numbers and sizes whole, dates seconds. Another
# refusal or warning says why.
Fact: TypeAlias = object


class MedbackError(Exception):
    """Base of every error medback raises on purpose: which one (`overlap/inside-source`) and its facts. `exit_code` is
    the one of the command line's contract."""

    exit_code = 1

    def __init__(self, what: str, **facts: Fact) -> None:
        super().__init__(what, facts)
        self.what = what
        self.facts = facts

    @property
    def kind(self) -> str:
        """The first word of `what`: short and stable, for scripts."""
        return self.what.partition("/")[0]

    def __str__(self) -> str:
        """For logs and tests only: people are told by `presenting.refusals`."""
        return ", ".join([self.what, *(f"{name}={value!s}" for name, value in self.facts.items())])


class UsageError(MedbackError):
    """What was asked makes no sense, whatever lies on the drives."""

    exit_code = 2


class Refused(MedbackError):
    """Refused for safety: nothing was changed."""

    exit_code = 4


class NeedsAnswer(Refused):
    """A question only a person may answer (a new target, a clone): `Answers` carries the answer."""


class DriveGone(MedbackError):
    """The drive stopped answering in the middle; what was recorded is kept."""

    exit_code = 3
