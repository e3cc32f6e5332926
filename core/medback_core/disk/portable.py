"""Level the differences between operating systems: directory handles, open flags, and the few calls os lacks.

A *directory handle* is an `int`. Where the system knows `dir_fd` it is a real descriptor; elsewhere (Windows) it is a
negative number standing for a path, and the same code runs, without the protection against swapped components.
"""

from __future__ import annotations

import ctypes
import errno
import itertools
import os
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_DIR_FD_CALLS = (os.open, os.stat, os.unlink, os.rename, os.mkdir, os.rmdir, os.symlink, os.readlink)
HAS_DIR_FD = all(call in os.supports_dir_fd for call in _DIR_FD_CALLS) and os.scandir in os.supports_fd
HAS_FD_TIMES = os.utime in os.supports_fd and os.chmod in os.supports_fd

CLOEXEC = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NOINHERIT", 0) | getattr(os, "O_BINARY", 0)
NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
READ_FLAGS = os.O_RDONLY | NOFOLLOW | getattr(os, "O_NONBLOCK", 0) | CLOEXEC
CREATE_FLAGS = os.O_RDWR | os.O_CREAT | os.O_EXCL | CLOEXEC  # with O_EXCL no link is followed either
DIRECTORY_FLAGS = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | CLOEXEC

_RENAME_NOREPLACE = 1
_AT_SYMLINK_NOFOLLOW = 0x100
_STATX_BTIME = 0x800
_CACHESTAT = 451  # the same number on every architecture of Linux but alpha


def file_size_limit() -> int | None:
    """The largest a file this process writes may become, in bytes; None where it is not limited."""
    if sys.platform == "win32":
        return None
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _libc() -> Any:
    if sys.platform != "linux":
        return None
    try:
        return ctypes.CDLL(None, use_errno=True)
    except OSError:
        return None


_LIBC: Any = _libc()
HAS_SYNCFS = _LIBC is not None and hasattr(_LIBC, "syncfs")
HAS_RENAMEAT2 = _LIBC is not None and hasattr(_LIBC, "renameat2")
_HAS_STATX = _LIBC is not None and hasattr(_LIBC, "statx")
if HAS_RENAMEAT2:
    _renameat2: Any = getattr(_LIBC, "renameat2")  # noqa: B009
    _renameat2.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

# --- directory handles ---------------------------------------------------------------------------------------------

_paths: dict[int, bytes] = {}  # only without dir_fd: what a handle, or a file being written, stands for
_handles = itertools.count(-1000, -1)


def place(directory: int | None, name: bytes) -> tuple[bytes, int | None]:
    """The `(path, dir_fd)` to hand to a call of `os` for an entry of a directory (None: `name` is a path)."""
    if HAS_DIR_FD or directory is None:
        return name, directory
    return os.path.join(_paths[directory], name), None


def open_root(path: bytes) -> int:
    """A handle on a directory given by a path, links in it followed. Raises OSError."""
    if HAS_DIR_FD:
        return os.open(path, DIRECTORY_FLAGS)
    if not os.path.isdir(path):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return _remember(os.path.abspath(path))


def open_directory_at(directory: int, name: bytes) -> int:
    """A handle on a subdirectory, never through a link. Raises OSError (ELOOP or ENOTDIR for a link)."""
    if HAS_DIR_FD:
        return os.open(name, DIRECTORY_FLAGS | NOFOLLOW, dir_fd=directory)
    path = os.path.join(_paths[directory], name)
    status = os.lstat(path)
    if stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return _remember(path)


def again(directory: int) -> int:
    """A second, independent handle on the same directory (its own read position and error state)."""
    if HAS_DIR_FD:
        return os.open(b".", DIRECTORY_FLAGS, dir_fd=directory)
    return _remember(_paths[directory])


def close_directory(directory: int) -> None:
    """Give a handle back."""
    if HAS_DIR_FD:
        os.close(directory)
    else:
        _paths.pop(directory, None)


def stat_directory(directory: int) -> os.stat_result:
    return os.fstat(directory) if HAS_DIR_FD else os.stat(_paths[directory])


def scannable(directory: int) -> int | bytes:
    """What to hand to os.scandir for a handle."""
    return directory if HAS_DIR_FD else _paths[directory]


def open_for_reading(directory: int | None, name: bytes) -> int:
    """A descriptor on a file: no link followed, no FIFO waited for."""
    path, dir_fd = place(directory, name)
    if not NOFOLLOW and stat.S_ISLNK(os.lstat(path).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return os.open(path, READ_FLAGS, dir_fd=dir_fd)


def remember_open(fd: int, path: bytes) -> None:
    """Without calls on descriptors: keep the path a descriptor was created under, for set_times."""
    if not HAS_FD_TIMES:
        _paths[fd] = path


def path_of_open(fd: int) -> bytes:
    """Without calls on descriptors: the path `fd` was created under."""
    return _paths[fd]


def _remember(path: bytes) -> int:
    handle = next(_handles)
    _paths[handle] = path
    return handle


# --- calls os lacks ------------------------------------------------------------------------------------------------


def syncfs(fd: int) -> None:
    """Linux syncfs. Raises OSError, also for an earlier write of this file system that failed since `fd` was opened."""
    if _LIBC.syncfs(fd) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def renameat2_noreplace(source: int, old: bytes, destination: int, new: bytes) -> int:
    """Linux renameat2(RENAME_NOREPLACE): the error number, 0 for success."""
    if _renameat2(source, old, destination, new, _RENAME_NOREPLACE) == 0:
        return 0
    return ctypes.get_errno()


def full_fsync(fd: int) -> None:
    """fsync that reaches the medium: macOS needs F_FULLFSYNC for what fsync means elsewhere."""
    if sys.platform == "darwin":
        import fcntl

        try:
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            return
        except OSError as error:
            if error.errno not in (errno.ENOTSUP, errno.EINVAL, errno.ENOTTY):
                raise
    os.fsync(fd)


def cached_pages(fd: int) -> int | None:
    """How many pages of a file lie in the page cache (Linux cachestat, kernel 6.5); None when it can't be known."""
    if _LIBC is None:
        return None
    span = (ctypes.c_uint64 * 2)(0, 0)  # offset 0, length 0: to the end
    counts = (ctypes.c_uint64 * 5)()  # cached, dirty, in writeback, evicted, recently evicted
    if _LIBC.syscall(ctypes.c_long(_CACHESTAT), ctypes.c_int(fd), span, counts, ctypes.c_uint(0)) != 0:
        return None
    return counts[0]


def birth_ns(path: bytes, directory: int | None = None) -> int | None:
    """When a file was created, ns since the epoch (a link itself, not what it points to); None where not known."""
    if _HAS_STATX:
        buffer = ctypes.create_string_buffer(256)
        at = -100 if directory is None else directory  # AT_FDCWD
        if _LIBC.statx(at, path, _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, buffer) != 0:
            return None
        (mask,) = struct.unpack_from("=I", buffer, 0)
        if not mask & _STATX_BTIME:
            return None
        seconds, nanoseconds = struct.unpack_from("=qI", buffer, 80)
        return seconds * 1_000_000_000 + nanoseconds
    place_, dir_fd = place(directory, path)
    try:
        status = os.stat(place_, dir_fd=dir_fd, follow_symlinks=False)
    except OSError:
        return None
    born = getattr(status, "st_birthtime", None)
    return None if born is None else int(born * 1_000_000_000)


@contextmanager
def scratch_directory() -> Iterator[Path]:
    """A private directory in the system's place for temporary files, gone with all that is in it afterwards."""
    import tempfile  # and with it half of the standard library, for few commands

    with tempfile.TemporaryDirectory(prefix="medback-") as where:
        yield Path(where)
