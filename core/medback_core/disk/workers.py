"""Start worker processes and ask them: the near side of worker_process."""

from __future__ import annotations

import atexit
import marshal
import os
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

from medback_core.disk import portable, worker_process

HAS_PROCESSES = portable.HAS_DIR_FD and hasattr(os, "posix_spawn") and hasattr(socket, "send_fds")


class WorkerGone(Exception):
    """The worker process ended, whatever ended it: do its work here."""


class Worker:
    """One worker process. For one thread at a time. Every `ask` is answered once, in order; two may be under way."""

    def __init__(self) -> None:
        """Raises OSError when no process can be started."""
        near, far = socket.socketpair()
        with far:
            nothing = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", worker_process.__file__],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, far.fileno(), 0), *nothing],
            )
        self._socket = near

    def ask(self, what: str, parts: Sequence[Any], directories: Sequence[int]) -> None:
        """Ask for what `worker_process.answer` does; the directory handles may be closed at once. Raises WorkerGone."""
        data = marshal.dumps((what, list(parts)))
        try:
            socket.send_fds(self._socket, [worker_process.LENGTH.pack(len(data))], directories)
            self._socket.sendall(data)
        except OSError as error:
            raise WorkerGone from error

    def answer(self) -> list[Any]:
        """Wait for the answer to the oldest `ask`. Raises WorkerGone."""
        try:
            size = worker_process.LENGTH.unpack(worker_process.receive(self._socket, worker_process.LENGTH.size))[0]
            return marshal.loads(worker_process.receive(self._socket, size))
        except (EOFError, OSError) as error:
            raise WorkerGone from error

    def close(self) -> None:
        """Let it end, and wait for that: it is at once when idle."""
        self._socket.close()
        os.waitpid(self._pid, 0)


_idle: list[Worker] = []
_lock = threading.Lock()


def has_idle() -> bool:
    """Whether a worker is there already."""
    return bool(_idle)


def take_worker() -> Worker | None:
    """An idle worker, or a new one; None where there can be none. Give it back, or close it."""
    with _lock:
        if _idle:
            return _idle.pop()
    if not (HAS_PROCESSES and sys.executable):
        return None
    atexit.unregister(close_idle)
    atexit.register(close_idle)
    try:
        return Worker()
    except OSError:
        return None


def give_back(worker: Worker) -> None:
    """Keep a worker that owes no answer for the next who needs one. It ends with this process."""
    with _lock:
        _idle.append(worker)


def close_idle() -> None:
    """Let all idle workers end now."""
    with _lock:
        while _idle:
            _idle.pop().close()
