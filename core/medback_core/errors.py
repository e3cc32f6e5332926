"""The few ways an operation ends early, each carrying the words a person needs."""

from __future__ import annotations


class MedbackError(Exception):
    """Base of every error medback raises on purpose. `exit_code` is the one of the command line's contract."""

    exit_code = 1
    kind = "error"


class UsageError(MedbackError):
    """What was asked makes no sense, whatever lies on the drives."""

    exit_code = 2
    kind = "usage"


class Refused(MedbackError):
    """Refused for safety: nothing was changed. `kind` is a short stable word for scripts."""

    exit_code = 4

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind


class NeedsAnswer(Refused):
    """A question only a person may answer (a new target, a clone); `option` is the flag that answers it."""

    def __init__(self, kind: str, message: str, *, option: str) -> None:
        super().__init__(kind, message)
        self.option = option


class DriveGone(MedbackError):
    """The drive stopped answering in the middle; what was recorded is kept."""

    exit_code = 3
    kind = "drive-gone"
