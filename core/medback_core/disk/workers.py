"""Start worker processes and talk to them without ever waiting for one: the near side of worker_process."""

from __future__ import annotations

import atexit
import errno
import marshal
import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import blake3

from medback_core.disk import portable, worker_process

HAS_PROCESSES = portable.HAS_DIR_FD and hasattr(os, "posix_spawn") and hasattr(socket, "send_fds")
SEND_BUFFER: int | None = None  # bytes of a socket's buffers; None is the system's choice. Tests make it tiny
_CHUNK = 1 << 16
_KILLED_MS = 100  # how long to wait for a killed process: only one that hangs in a system call takes longer
# The kernel takes no more for now: too many descriptors under way for this user, or no memory.
_NOT_NOW = frozenset({errno.ETOOMANYREFS, errno.ENOBUFS, errno.ENOMEM})
# Where a worker finds `digests` and BLAKE3: it is started without the ways to other packages.
_LIE_IN = [os.path.dirname(worker_process.__file__), os.path.dirname(os.path.dirname(blake3.__file__ or ""))]


class WorkerGone(Exception):
    """The worker process ended, for whatever reason: do its work here."""


class Worker:
    """One worker process. For one thread at a time. It answers every `ask` once, in order."""

    _socket: socket.socket
    _unsent: memoryview
    _received: bytearray

    def __init__(self) -> None:
        """Raises OSError when no process can be started."""
        if sys.platform == "win32":
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
        near, far = socket.socketpair()
        with far:
            if SEND_BUFFER is not None:
                for end in (near, far):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
            nothing = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)
            self.pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", worker_process.__file__, *_LIE_IN],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, far.fileno(), 0), *nothing],
            )
        near.setblocking(False)
        self._socket = near
        self._unsent = memoryview(b"")  # the rest of a request whose start was sent
        self._received = bytearray()

    def fileno(self) -> int:
        """For poll: readable when an answer, or the end, has come."""
        return self._socket.fileno()

    @property
    def is_sending(self) -> bool:
        """Whether a request is sent in part only: it can't take another, and `proceed` sends the rest."""
        return len(self._unsent) > 0

    def ask(self, what: str, parts: Sequence[Any], directories: Sequence[int]) -> bool:
        """Ask for what `worker_process.do_part` does; the directory handles may be closed at once. False: the socket
        takes nothing now, and nothing was sent. Raises WorkerGone; ValueError for a number beyond 64 bits."""
        assert not self._unsent and sys.platform != "win32"
        data = marshal.dumps((what, list(parts)))
        message = worker_process.LENGTH.pack(len(data)) + data
        try:
            sent = socket.send_fds(self._socket, [message], directories)  # the handles go with the first byte
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _NOT_NOW:
                return False
            raise WorkerGone from error
        self._unsent = memoryview(message)[sent:]
        return True

    def proceed(self) -> list[Any]:
        """Send what is left of a request and receive what has come, waiting for neither: the answers that are whole
        by now, and before them how many bytes of a large file were read (an int). Raises WorkerGone."""
        try:
            with suppress(BlockingIOError):
                while self._unsent:
                    self._unsent = self._unsent[self._socket.send(self._unsent) :]
            with suppress(BlockingIOError):
                while True:
                    data = self._socket.recv(_CHUNK)
                    if not data:
                        raise WorkerGone
                    self._received += data
                    if len(data) < _CHUNK:
                        break
        except OSError as error:
            raise WorkerGone from error
        return list(self._whole())

    def _whole(self) -> Iterator[Any]:
        received, start, head = self._received, 0, worker_process.LENGTH
        while len(received) - start >= head.size:
            end = start + head.size + head.unpack_from(received, start)[0]
            if len(received) < end:
                break
            yield marshal.loads(memoryview(received)[start + head.size : end])
            start = end
        del received[:start]

    def kill(self) -> None:
        """End it, whatever it does, also when it was stopped by a signal. Nothing waits longer than 0.1 s."""
        assert sys.platform != "win32"
        self._socket.close()
        with suppress(ProcessLookupError, ChildProcessError):  # where SIGCHLD is ignored the kernel has forgotten it
            os.kill(self.pid, signal.SIGKILL)
            _reap(self.pid)


_unreaped: list[int] = []  # killed, and still in a system call when last looked at
_idle: list[Worker] = []
_lock = threading.Lock()


def _reap(pid: int) -> None:
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):
        with suppress(OSError):  # no such call on this kernel: wait below
            fd = os.pidfd_open(pid)
            try:
                poll = select.poll()
                poll.register(fd, select.POLLIN)
                ended = poll.poll(_KILLED_MS)
            finally:
                os.close(fd)
            if not ended:
                _unreaped.append(pid)
                return
    os.waitpid(pid, 0)


def _is_reaped(pid: int) -> bool:
    assert sys.platform != "win32"
    try:
        return os.waitpid(pid, os.WNOHANG) != (0, 0)
    except ChildProcessError:
        return True


def has_idle() -> bool:
    """Whether a worker is there already."""
    return bool(_idle)


def take_worker() -> Worker | None:
    """An idle worker, or a new one; None where there can be none. Give it back, or kill it."""
    with _lock:
        _unreaped[:] = [pid for pid in _unreaped if not _is_reaped(pid)]
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
    """End all idle workers: they have nothing under way."""
    with _lock:
        while _idle:
            _idle.pop().kill()
