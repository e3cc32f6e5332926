"""Keep two medbacks from writing the same session or the same drive: kernel locks that end with their process."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from medback_core.disk import portable, primitives
from medback_core.disk.root import Root
from medback_core.errors import Refused

_HELD = frozenset({errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES, errno.EDEADLK})


@contextmanager
def lock_session(db_path: bytes) -> Iterator[None]:
    """Hold the lock of a session DB, a file `<db>.lock` (mode 0600, never removed) beside it.

    Raises Refused("locked") naming the holder's pid when another process, or this one, holds it; OSError when the lock
    file can't be made. The kernel gives the lock back when the process ends, however it ends.
    """
    with _lock_file(db_path + b".lock", db_path):
        yield


@contextmanager
def lock_drive(root: Root) -> Iterator[None]:
    """Hold the lock of a drive: of the root directory's own descriptor, so nothing is written and a read-only mount is
    enough. Raises Refused("locked") like lock_session. Where directories can't be locked (network, Windows), a file in
    the machine's temporary directory stands in, which keeps off the medbacks of this machine."""
    handle = portable.again(root.fd)
    try:
        if not portable.HAS_DIR_FD or not _try_lock(handle, root.path, None):
            user = os.getuid() if sys.platform != "win32" else 0
            status = portable.stat_directory(root.fd)
            name = f"medback-{user}-{status.st_dev:x}-{status.st_ino:x}.lock"
            import tempfile

            with _lock_file(os.fsencode(os.path.join(tempfile.gettempdir(), name)), root.path):
                yield
        else:
            yield
    finally:
        portable.close_directory(handle)


@contextmanager
def _lock_file(path: bytes, called: bytes) -> Iterator[None]:
    fd = primitives.open_lock_file(path)
    try:
        if not _try_lock(fd, called, fd):
            raise Refused("locked/no-locks", path=called)
        primitives.truncate(fd, 0)
        os.lseek(fd, 0, os.SEEK_SET)
        primitives.write(fd, b"%d\n" % os.getpid())
        yield
    finally:
        os.close(fd)


def _try_lock(fd: int, called: bytes, pid_file: int | None) -> bool:
    """Take the lock; False when this file system knows no locks. Raises Refused when it is held."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(fd, 1 << 30, os.SEEK_SET)  # a byte far beyond the pid, which stays readable
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in _HELD:
            return False
        pid = _pid_in(pid_file) or _pid_by_kernel(fd)
        refusal = Refused("locked/pid", path=called, pid=str(pid)) if pid else Refused("locked", path=called)
        raise refusal from None
    return True


def _pid_in(fd: int | None) -> int | None:
    if fd is None:
        return None
    try:
        os.lseek(fd, 0, os.SEEK_SET)
        return int(os.read(fd, 32) or b"0") or None
    except (OSError, ValueError):
        return None


def _pid_by_kernel(fd: int) -> int | None:
    """Who holds the flock on this file, from /proc/locks; None when it doesn't say."""
    if not portable.HAS_DIR_FD or sys.platform == "win32":
        return None
    try:
        status = os.fstat(fd)
        with open("/proc/locks", "rb") as file:
            lines = file.read().splitlines()
    except OSError:
        return None
    exact = b"%02x:%02x:%d" % (os.major(status.st_dev), os.minor(status.st_dev), status.st_ino)
    by_inode: int | None = None
    for line in lines:
        fields = line.split()
        if len(fields) < 6 or fields[1] != b"FLOCK" or not fields[4].isdigit() or fields[4] == b"0":
            continue
        if fields[5] == exact:
            return int(fields[4])
        if fields[5].endswith(b":%d" % status.st_ino):  # btrfs shows another device number than stat
            by_inode = int(fields[4])
    return by_inode
