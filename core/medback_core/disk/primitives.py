"""Every single change made to a drive: one function per system call, each announced to an observer first.

Nothing else in medback may create, write, rename or remove anything on a drive. `observer` is for fault tests: it is
called with the operation's name and its arguments *before* the operation is done, and may count, record, raise, or end
the process. A descriptor among the arguments can be turned into a path with /proc/self/fd.

Directories are handles of `Root` (see portable), names are single components. All functions raise OSError.
"""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from medback_core.disk import portable
from medback_core.disk.portable import CREATE_FLAGS, place

Observer = Callable[..., None]
Buffer = bytes | bytearray | memoryview

observer: Observer | None = None

# What file systems answer that can't sync a directory, or know no such attribute: no failure of the drive.
UNSUPPORTED = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})
_NO_RENAMEAT2 = UNSUPPORTED


def set_observer(function: Observer | None) -> None:
    """Call `function(op, *arguments)` before every change from now on; None ends it. For tests."""
    global observer
    observer = function


def create(directory: int, name: bytes, mode: int) -> int:
    """Create a file that must not exist yet, not even as a link; the descriptor reads and writes. `mode` less umask;
    setuid, setgid and sticky are never given."""
    mode &= 0o777
    if observer is not None:
        observer("create", directory, name, mode)
    path, dir_fd = place(directory, name)
    fd = os.open(path, CREATE_FLAGS, mode, dir_fd=dir_fd)
    portable.remember_open(fd, path)
    return fd


def open_lock_file(path: bytes) -> int:
    """Open a lock file, or a note that need not last, for reading and writing, creating it with mode 0600; no link is
    followed."""
    if observer is not None:
        observer("open_lock_file", path)
    return os.open(path, os.O_RDWR | os.O_CREAT | portable.NOFOLLOW | portable.CLOEXEC, 0o600)


def write(fd: int, buffer: Buffer) -> None:
    """Write all of the buffer at the descriptor's position, however many calls that takes."""
    if observer is not None:
        observer("write", fd, buffer)
    written = os.write(fd, buffer)
    if written == len(buffer):
        return
    rest = memoryview(buffer)
    while written < len(rest):
        rest = rest[written:]
        if observer is not None:
            observer("write", fd, rest)
        written = os.write(fd, rest)
        if written == 0:
            raise OSError(errno.EIO, "the drive takes no more bytes and gives no reason")


def truncate(fd: int, size: int) -> None:
    """Cut a file (a lock file or a note only: content is never truncated in place)."""
    if observer is not None:
        observer("truncate", fd, size)
    os.ftruncate(fd, size)


def fsync(fd: int) -> None:
    """Make a file durable. Never call it again after it failed: the kernel has dropped the pages; write again."""
    if observer is not None:
        observer("fsync", fd)
    portable.full_fsync(fd)


def fdatasync(fd: int) -> None:
    """Make a file's bytes durable. Never call it again after it failed."""
    if observer is not None:
        observer("fdatasync", fd)
    if sys.platform == "linux" and hasattr(os, "fdatasync"):
        os.fdatasync(fd)
    else:
        portable.full_fsync(fd)


def fsync_directory(directory: int) -> None:
    """Make a directory's entries durable, where the file system can sync a directory at all."""
    if observer is not None:
        observer("fsync_directory", directory)
    if not portable.HAS_DIR_FD:
        return
    try:
        portable.full_fsync(directory)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise


def syncfs(fd: int) -> None:
    """Make all of a file system durable. Sound only where FileSystem.group_sync says so, and only for writes made
    since `fd` was opened. Never call it again after it failed."""
    if observer is not None:
        observer("syncfs", fd)
    portable.syncfs(fd)


def sync_all() -> None:
    """Ask for all file systems to be synced: what is left where syncfs is not sound. Promises nothing."""
    if observer is not None:
        observer("sync_all")
    if sys.platform != "win32" and hasattr(os, "sync"):
        os.sync()


def rename(source: int, old: bytes, destination: int, new: bytes) -> None:
    """Rename, atomically replacing what is there."""
    if observer is not None:
        observer("rename", source, old, destination, new)
    from_path, from_fd = place(source, old)
    to_path, to_fd = place(destination, new)
    os.replace(from_path, to_path, src_dir_fd=from_fd, dst_dir_fd=to_fd)


def rename_noreplace(source: int, old: bytes, destination: int, new: bytes) -> None:
    """Rename only if nothing is there, else FileExistsError. Decided by the file system itself (so that its own idea
    of equal names holds); where it can't, by asking it first, which is safe only under the drive's lock."""
    if observer is not None:
        observer("rename_noreplace", source, old, destination, new)
    if portable.HAS_RENAMEAT2:
        code = portable.renameat2_noreplace(source, old, destination, new)
        if code == 0:
            return
        if code not in _NO_RENAMEAT2:
            raise OSError(code, os.strerror(code), new)
    from_path, from_fd = place(source, old)
    to_path, to_fd = place(destination, new)
    try:
        os.stat(to_path, dir_fd=to_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(from_path, to_path, src_dir_fd=from_fd, dst_dir_fd=to_fd)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new)


def unlink(directory: int, name: bytes) -> None:
    """Remove a name of a file or link."""
    if observer is not None:
        observer("unlink", directory, name)
    path, dir_fd = place(directory, name)
    os.unlink(path, dir_fd=dir_fd)


def mkdir(directory: int, name: bytes, mode: int = 0o700) -> None:
    """Make a directory, by default for its owner alone: it is opened to others, if at all, when all is in it."""
    if observer is not None:
        observer("mkdir", directory, name)
    path, dir_fd = place(directory, name)
    os.mkdir(path, mode, dir_fd=dir_fd)


def rmdir(directory: int, name: bytes) -> None:
    """Remove an empty directory."""
    if observer is not None:
        observer("rmdir", directory, name)
    path, dir_fd = place(directory, name)
    os.rmdir(path, dir_fd=dir_fd)


def utime(fd: int, atime_ns: int, mtime_ns: int) -> None:
    """Set the times of an open file or directory, ns since the epoch."""
    if observer is not None:
        observer("utime", fd, atime_ns, mtime_ns)
    if portable.HAS_FD_TIMES:
        os.utime(fd, ns=(atime_ns, mtime_ns))
    else:
        os.utime(portable.path_of_open(fd), ns=(atime_ns, mtime_ns))


def chmod(fd: int, mode: int) -> None:
    """Set the permission bits of an open file or directory; setuid, setgid and sticky are never given. Nothing where
    descriptors have no permissions (Windows: a read-only file could be neither renamed nor removed)."""
    mode &= 0o777
    if observer is not None:
        observer("chmod", fd, mode)
    if portable.HAS_FD_TIMES:
        os.chmod(fd, mode)


def symlink(to: bytes, directory: int, name: bytes) -> None:
    """Make a symbolic link where nothing is yet (FileExistsError)."""
    if observer is not None:
        observer("symlink", to, directory, name)
    path, dir_fd = place(directory, name)
    os.symlink(to, path, dir_fd=dir_fd)
