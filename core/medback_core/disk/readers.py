"""Start reader processes and ask them: the near side of reader_process."""

from __future__ import annotations

import marshal
import os
import socket
import sys
import threading

from medback_core.disk import portable, reader_process

HAS_PROCESSES = portable.HAS_DIR_FD and hasattr(os, "posix_spawn") and hasattr(socket, "send_fds")


class ReaderGone(Exception):
    """The reader process ended, whatever ended it: do its work here."""


class Reader:
    """One reader process. For one thread at a time."""

    def __init__(self) -> None:
        """Raises OSError when no process can be started."""
        near, far = socket.socketpair()
        with far:
            nothing = (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0), (os.POSIX_SPAWN_DUP2, 1, 2)
            self._pid = os.posix_spawn(
                sys.executable,
                [sys.executable, "-I", "-S", reader_process.__file__],
                os.environ,
                file_actions=[(os.POSIX_SPAWN_DUP2, far.fileno(), 0), *nothing],
            )
        self._socket = near

    def hash_files(self, parts: list[tuple[int, list[tuple[bytes, int, int, int, int]]]]) -> list[list[bytes]]:
        """For each (directory handle, files) what `reader_process.hash_files` says. Raises ReaderGone."""
        data = marshal.dumps([files for _, files in parts])
        try:
            head = reader_process.LENGTH.pack(len(data))
            socket.send_fds(self._socket, [head], [directory for directory, _ in parts])
            self._socket.sendall(data)
            size = reader_process.LENGTH.unpack(reader_process.receive(self._socket, reader_process.LENGTH.size))[0]
            return marshal.loads(reader_process.receive(self._socket, size))
        except (EOFError, OSError) as error:
            raise ReaderGone from error

    def close(self) -> None:
        """Let it end, and wait for that: it is at once when idle."""
        self._socket.close()
        os.waitpid(self._pid, 0)


_idle: list[Reader] = []
_lock = threading.Lock()


def has_idle() -> bool:
    """Whether a reader is there already."""
    return bool(_idle)


def take_reader() -> Reader | None:
    """An idle reader, or a new one; None where there can be none. Give it back, or close it."""
    with _lock:
        if _idle:
            return _idle.pop()
    if not (HAS_PROCESSES and sys.executable):
        return None
    try:
        return Reader()
    except OSError:
        return None


def give_back(reader: Reader) -> None:
    """Keep a reader for the next who needs one. It ends with this process."""
    with _lock:
        _idle.append(reader)
