"""Turn Ctrl-C, SIGTERM and SIGHUP into a clean stop: the first one stops between events, a second one quits at once."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

_STOPPING = b"\r\x1b[Kstopping: what is copied whole is made safe first; Ctrl-C again stops at once\n"
_SHOW_CURSOR = b"\r\x1b[?25h\n"


class Interrupted(BaseException):
    """A signal came while nothing was running that would have to be closed first."""


class Interrupts:
    """Catches the signals while it is entered (in the main thread only; elsewhere it does nothing)."""

    def __init__(self) -> None:
        self.exit_code = 0  # 130 or 143 once a signal came
        self.deferred = False  # an operation is running: it looks at `exit_code` between events
        self.on_terminal = False
        self.ends_itself = False  # the operation ends soon after a Ctrl-C without being closed
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                # nohup means it: a hang-up that was ignored before stays ignored.
                if number is None or (name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN):
                    continue
                self._before[number] = signal.signal(number, self._caught)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def by_person(self) -> bool:
        """Whether it was Ctrl-C: a person can wait, and see for what; a machine that is shut down can't."""
        return self.exit_code == 130

    def release(self) -> None:
        """Put the earlier signal handlers back."""
        for number, handler in self._before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        self._before.clear()

    def _caught(self, number: int, _frame: FrameType | None) -> None:
        code = 130 if number == signal.SIGINT else 143
        if self.exit_code:
            if number in (signal.SIGINT, signal.SIGTERM):
                if self.on_terminal:
                    os.write(2, _SHOW_CURSOR)  # noqa: TID251 - the terminal, no drive; sys.stderr may be in use below us
                os._exit(code)
            return  # a closed terminal may hang up twice
        self.exit_code = code
        if not self.deferred:
            raise Interrupted
        if self.ends_itself and code == 130 and self.on_terminal:
            os.write(2, _STOPPING)  # noqa: TID251 - as above
