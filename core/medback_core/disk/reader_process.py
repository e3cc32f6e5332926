"""A reader process: reads and hashes small files by the batch, so that two processors share what one language lock
would keep to one.

Run as a script with a socket as its standard input (readers.py starts it). It imports nothing of medback and changes
nothing. A request is a length and a marshalled list, a directory descriptor with each of its parts; it ends when the
other side does.
"""

import _socket  # what `socket` imports would double the time this takes to start
import marshal
import os
import signal
import struct
from contextlib import suppress
from hashlib import md5

DIRECTORIES_MAX = 200  # descriptors in one request; the kernel takes 253
LENGTH = struct.Struct("=I")
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)


def hash_files(directory: int, files: list[tuple[bytes, int, int, int, int]]) -> list[bytes]:
    """The MD5 of each (name, size, mtime_ns, ctime_ns, inode); b"" for one that can't be read or is not, or does not
    stay while it is read, that very file."""
    digests = []
    for name, size, mtime_ns, ctime_ns, inode in files:
        digest = b""
        try:
            fd = os.open(name, _FLAGS, dir_fd=directory)
            try:
                data = os.read(fd, size + 1)
                now = os.fstat(fd)
            finally:
                os.close(fd)
            if (len(data), now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino) == (
                size, size, mtime_ns, ctime_ns, inode,
            ):  # fmt: skip
                digest = md5(data, usedforsecurity=False).digest()
        except OSError:
            pass  # the other side looks at it with the care any file gets, and says what is wrong
        digests.append(digest)
    return digests


def serve(connection: _socket.socket) -> None:
    """Answer requests until the other side is gone."""
    while True:
        head, ancillary, _, _ = connection.recvmsg(LENGTH.size, _socket.CMSG_LEN(4 * DIRECTORIES_MAX))
        if len(head) < LENGTH.size:
            return
        descriptors: list[int] = []
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                descriptors += struct.unpack(f"={len(data) // 4}i", data)
        try:
            parts = marshal.loads(receive(connection, LENGTH.unpack(head)[0]))
            answer = [hash_files(fd, files) for fd, files in zip(descriptors, parts, strict=True)]
        finally:
            for fd in descriptors:
                os.close(fd)
        send(connection, marshal.dumps(answer))


def send(connection: _socket.socket, data: bytes) -> None:
    """Send an answer, its length first."""
    connection.sendall(LENGTH.pack(len(data)) + data)


def receive(connection: _socket.socket, size: int) -> bytearray:
    """So many bytes. Raises EOFError when the other side ends before."""
    data = bytearray(size)
    view = memoryview(data)
    while view:
        got = connection.recv_into(view)
        if not got:
            raise EOFError
        view = view[got:]
    return data


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who started us decides what a Ctrl-C ends
    with suppress(EOFError, OSError):  # the other side was killed
        serve(_socket.socket(fileno=0))
