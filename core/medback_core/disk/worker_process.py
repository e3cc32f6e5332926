"""A worker process: hashes, copies and reads back files by the batch, so that two processors share what one
interpreter's lock would keep to one, and so that whatever it waits for, its owner can stop at once by killing it.

Run as a script with a socket as its standard input (workers.py starts it, and says where `digests` and BLAKE3 lie);
it imports nothing else of medback, to start fast. A request is a length and a marshalled (what, parts), with the
directory descriptors of each part; it ends when the other side does. While it reads a large file it says now and then
how many more bytes it has read (an int). Anything unusual is returned as not done; the other side retries it with full
error handling.
"""

import _socket  # what `socket` imports would double the time this takes to start
import marshal
import os
import signal
import stat
import struct
import sys
from contextlib import suppress
from time import monotonic, time_ns

if __name__ == "__main__":
    sys.path += sys.argv[1:]  # behind all of Python's own
    import digests  # pyright: ignore[reportMissingImports]
else:
    from medback_core.disk import digests

TYPE_CHECKING = False  # `typing` itself would double the time this takes to start
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DESCRIPTORS_MAX = 200  # in one request; the kernel takes 253
LENGTH = struct.Struct("=I")
NOTHING = 0, 0, None
UNREAD = b"", None
NOT_READ = -1, [], []  # a directory that is left to the other side
NOT_BEGUN = -2, [], []  # a directory for which its message has no room
UNREAD_BACK = b"", None, False, 0
SMALL = 1 << 20  # bytes: a file up to that is read at once
SYNC_EVERY = 64 << 20  # bytes of a large copy that are made durable together while it grows
_SYNC_MOST = 1 << 30
_FAST = 0.25  # seconds: where that takes no longer, the next are four times as many, for each holds up the writing
_CHUNK = 1 << 20
_TELL_SECONDS = 0.05  # between two words on a large file: each takes the other side's processor for a moment
_PROBE = 64 << 10
_LISTED_MAX = 2000  # entries of one directory
_ANSWERED = 500  # entries of one message: when there are more, no further directory is begun
_READ_MAX = 16 << 20  # bytes read for one message; further files are left to the other side
_PLAIN = 1 << 63  # what SQLite stores as it is
_OURS = b".medback", b".medorg", b".mdbackup", b".mdjournal", b".bkp_id"  # what begins so is not for us to judge
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_DIRECTORY = _READ | getattr(os, "O_DIRECTORY", 0)
_CREATE = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0)


def hash_files(
    directory: int,
    files: list[tuple[bytes, int, bytes | None, int, int, int]],
    tell: "Callable[[int], None]",
) -> "list[tuple[bytes | None, bytes | None]]":
    """(MD5, BLAKE3) of each (name, size, BLAKE3 it is known by or None, mtime_ns, ctime_ns, inode), as
    `digests.made_of` has them. UNREAD for one that can't be read or is not, or does not stay while it is read, that
    very file, and for a large one that is not as it is known. `tell` hears of every chunk of a large file: how many
    more bytes are read."""
    made = []
    for name, size, known, *expected in files:
        pair = UNREAD
        with suppress(OSError):
            fd = os.open(name, _READ, dir_fd=directory)
            try:
                pair = _hash(fd, size, known, expected, tell)
            finally:
                os.close(fd)
        made.append(pair)
    return made


def _hash(
    fd: int, size: int, known: bytes | None, expected: list[int], tell: "Callable[[int], None]"
) -> "tuple[bytes | None, bytes | None]":
    if size < _CHUNK:
        data = os.read(fd, size + 1)
        return digests.made_of(data, known) if len(data) == size and _is(fd, size, expected) else UNREAD
    assert sys.platform != "win32"
    done, buffer = 0, bytearray(_CHUNK)
    view = memoryview(buffer)
    with digests.Reading(known) as reading:
        while _is(fd, size, expected) and (got := os.readv(fd, [buffer])):
            reading.update(view[:got])
            done += got
            tell(got)
        first, second = reading.made()
    if done != size or not _is(fd, size, expected) or (first is None and second != known):
        return UNREAD
    return first, second


def _is(fd: int, size: int, expected: list[int]) -> bool:
    now = os.fstat(fd)
    return now.st_size == size and [now.st_mtime_ns, now.st_ctime_ns, now.st_ino] == expected


def read_directories(
    parents: list[int], parts: "list[list[tuple[bytes, int]]]"
) -> "list[list[tuple[int, list, list]]]":
    """Look at every entry of each (directory, ns) in these open ones, and read its small files. For each: when that was
    begun (ns since the epoch); (name, size, MD5, mtime_ns, permissions, device, inode, ctime_ns, 0, BLAKE3) of every
    file that was read; and (name, its lstat as the arguments of `os.stat_result`) of all else, also of files that
    changed less than so many ns before that, or can't be read as `hash_files` reads. NOT_READ for a directory that
    can't be listed to its end, is large, or holds what may be medback's own; NOT_BEGUN for those behind as much as one
    message has room for."""
    told = []
    listed, room = 0, _READ_MAX
    for parent, wanted in zip(parents, parts, strict=True):
        told.append([])
        for name, fresh in wanted:
            one = NOT_READ if listed < _ANSWERED else NOT_BEGUN
            if one is NOT_READ:
                with suppress(OSError):
                    fd = os.open(name, _DIRECTORY, dir_fd=parent)
                    try:
                        one = _read_directory(fd, fresh, room)
                    finally:
                        os.close(fd)
            told[-1].append(one)
            listed += len(one[1]) + len(one[2])
            room -= sum([row[1] for row in one[1]])
    return told


def _read_directory(directory: int, fresh: int, room: int) -> "tuple[int, list, list]":
    looked = time_ns()
    settled = min(looked - fresh, _PLAIN)
    files, others = [], []
    with os.scandir(directory) as entries:
        for entry in entries:
            if len(files) + len(others) == _LISTED_MAX:
                return NOT_READ
            name = os.fsencode(entry.name)
            if name.startswith(_OURS):
                return NOT_READ
            status = entry.stat(follow_symlinks=False)
            inode, mtime_ns = status.st_ino, status.st_mtime_ns
            if (
                status.st_mode & 0o170000 == stat.S_IFREG
                and status.st_size < min(_CHUNK, room)
                and 0 <= status.st_ctime_ns < settled
                and 0 <= mtime_ns < _PLAIN
                and max(status.st_dev, inode) < _PLAIN
            ):
                room -= status.st_size
                files.append((inode, name, status))
            else:
                others.append((name, *status.__reduce__()[1]))
    files.sort()  # near the order they lie in
    asked: list[tuple[bytes, int, bytes | None, int, int, int]] = [
        (name, s.st_size, None, s.st_mtime_ns, s.st_ctime_ns, inode) for inode, name, s in files
    ]
    rows = []
    made = hash_files(directory, asked, lambda _: None)
    for (name, size, _, mtime_ns, ctime_ns, inode), (_, _, status), pair in zip(asked, files, made, strict=True):
        if pair == UNREAD:
            others.append((name, *status.__reduce__()[1]))
        else:
            mode = status.st_mode & 0o777
            rows.append((name, size, pair[0], mtime_ns, mode, status.st_dev, inode, ctime_ns, 0, pair[1]))
    return looked, rows, others


def copy_files(
    change,
    source: int,
    target: int,
    files: list[tuple[bytes, int, bytes, bytes | None, int | None, int, int, int, bytes]],
    tell: "Callable[[int], None]" = lambda size: None,
) -> "Iterator[tuple[int, int, bytes | None]]":
    """Copy each (name, size, MD5, BLAKE3 it is known by or None, mtime_ns it must have or None, mtime_ns to give, mode,
    mode in another group than the original's, temporary name) from one directory into another: (inode of the copy,
    mtime_ns of the original, BLAKE3), or NOTHING where anything was unusual: nothing is left of it then. `tell` hears
    of every chunk of a large file.

    `change` has the six changes this makes: `primitives`, or Plain in a process of its own.
    """
    return (_copy(change, source, target, tell, *file) for file in files)


def _copy(
    change,
    source: int,
    target: int,
    tell: "Callable[[int], None]",
    name: bytes,
    size: int,
    digest: bytes,
    known: bytes | None,
    seen_ns: int | None,
    mtime_ns: int,
    mode: int,
    least: int,
    temporary: bytes,
) -> "tuple[int, int, bytes | None]":
    try:
        fd = os.open(name, _READ, dir_fd=source)
        try:
            there = os.fstat(fd)
            if not stat.S_ISREG(there.st_mode) or (seen_ns is not None and there.st_mtime_ns != seen_ns):
                return NOTHING
            if size > SMALL:
                second = None

                def fill(out: int) -> None:
                    nonlocal second
                    second = _copy_large(change, fd, out, size, digest, known, tell)

            else:
                data = os.read(fd, size + 1)
                made = digests.made_of(data, known)
                if len(data) != size or not _is_right(made, digest, known):
                    return NOTHING
                second = made[1]

                def fill(out: int) -> None:
                    if data:
                        change.write(out, data)

            inode = _put(change, target, temporary, mode, least, there.st_gid, mtime_ns, fill)
        finally:
            os.close(fd)
    except (OSError, OverflowError):
        return NOTHING
    return inode, there.st_mtime_ns, second


def _is_right(made: "tuple[bytes | None, bytes | None]", digest: bytes, known: bytes | None) -> bool:
    """Whether these digests are of the content; where BLAKE3 is known only its yes counts."""
    first, second = made
    if first is None:
        return second == known
    return first == digest and (known is None or second is None)


def in_any_group(mode: int) -> int:
    """The permissions of a copy whose group is not its original's: group and others may what both may with the
    original, so that the copy is open to no others."""
    both = mode >> 3 & mode & 0o7
    return mode & 0o700 | both << 3 | both


def _put(
    change,
    target: int,
    temporary: bytes,
    mode: int,
    least: int,
    group: int,
    mtime_ns: int,
    fill: "Callable[[int], None]",
) -> int:
    """Make a file, have it filled, and give it its attributes (`least` are its permissions where its group is not
    `group`); its inode. Nothing is left of it where that fails. Raises OSError, OverflowError."""
    out = change.create(target, temporary, least)
    try:
        try:
            fill(out)
            status = os.fstat(out)
            if status.st_gid != group:
                mode = least
            if stat.S_IMODE(status.st_mode) != mode:
                change.chmod(out, mode)
            change.utime(out, status.st_atime_ns, mtime_ns)
        finally:
            os.close(out)
    except (OSError, OverflowError):
        with suppress(OSError):
            change.unlink(target, temporary)
        raise
    return status.st_ino


def _copy_large(
    change, source: int, out: int, size: int, digest: bytes, known: bytes | None, tell: "Callable[[int], None]"
) -> bytes | None:
    """Copy all of an open file, and give its BLAKE3. While one chunk is hashed it is written and the next one read;
    what was written is made durable beside that. Raises OSError, also where it is not what it should be."""
    assert sys.platform != "win32"
    done = unsynced = 0

    def sync(fd: int) -> None:
        begun = monotonic()
        change.fdatasync(fd)
        if change is Plain:
            is_fast = monotonic() - begun <= _FAST
            Plain.sync_every = min(4 * Plain.sync_every, _SYNC_MOST) if is_fast else SYNC_EVERY

    buffer, other = bytearray(_CHUNK), bytearray(_CHUNK)
    with (
        digests.Reading(known) as reading,
        digests.Beside(reading.update) as hashing,
        digests.Beside(sync) as syncing,
    ):
        while got := os.readv(source, [buffer]):
            chunk = memoryview(buffer)[:got]
            done += got
            unsynced += got
            if done > size:
                raise OSError
            hashing.begin(chunk)
            change.write(out, chunk)
            tell(got)
            if unsynced >= (Plain.sync_every if change is Plain else SYNC_EVERY):
                syncing.begin(out)
                unsynced = 0
                if change is not Plain:
                    syncing.wait()  # a fault test sees all in order
            buffer, other = other, buffer
        hashing.wait()
        syncing.wait()
        made = reading.made()
    if done != size or not _is_right(made, digest, known):
        raise OSError
    return made[1]


def read_back(
    directory: int, files: list[tuple[bytes, int, bytes | None]]
) -> "Iterator[tuple[bytes | None, bytes | None, bool, int]]":
    """Read each (name, size, BLAKE3 it is known by or None) as the drive holds it: its digests, as `digests.made_of`
    has them, whether the kernel's memory held none of it, and its mtime_ns. UNREAD_BACK for one that can't be read,
    has another size, changes meanwhile, or is no regular file. The drive is told of all of them before the first is
    waited for."""
    opened = [_open_uncached(directory, name, size) for name, size, _ in files][::-1]
    try:
        for _, size, known in files:
            fd, uncached = opened[-1]
            read = UNREAD_BACK
            with suppress(OSError):
                before = os.fstat(fd)
                is_file = stat.S_ISREG(before.st_mode)
                data = os.read(fd, size + 1) if is_file else b""
                as_it_was = [before.st_mtime_ns, before.st_ctime_ns, before.st_ino]
                if is_file and len(data) == size and _is(fd, size, as_it_was):
                    first, second = digests.made_of(data, known)
                    read = first, second, uncached, before.st_mtime_ns
            _close(opened.pop()[0])
            yield read
    finally:
        for fd, _ in opened:
            _close(fd)


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


def _open_uncached(directory: int, name: bytes, size: int) -> tuple[int, bool]:
    """A descriptor on a file whose cached pages were dropped and whose reading was begun, -1 where that can't be; and
    whether no page was left."""
    try:
        fd = os.open(name, _READ, dir_fd=directory)
    except OSError:
        return -1, False
    if sys.platform != "linux":
        return fd, False
    try:
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
        uncached = is_uncached(fd, size)
        os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_WILLNEED)
    except (OSError, AttributeError):  # a system that takes no such advice
        return fd, False
    return fd, uncached


def is_uncached(fd: int, size: int) -> bool:
    """Whether none of a file lies in the page cache, probed every 64 KiB: it can't be known without waiting. False
    where the system or the file system can't tell."""
    if sys.platform != "linux" or not hasattr(os, "preadv") or not hasattr(os, "RWF_NOWAIT"):
        return False
    probe = bytearray(1)
    # From the end: a probe may start reading ahead, which must not make the next one look cached.
    for offset in range((size - 1) // _PROBE * _PROBE, -1, -_PROBE):
        try:
            os.preadv(fd, [probe], offset, os.RWF_NOWAIT)
        except BlockingIOError:
            continue
        except OSError:
            return False
        return False
    return True


class Plain:
    """The changes a copy makes, as the calls they are."""

    sync_every = SYNC_EVERY  # as fast as this worker's last syncs were

    @staticmethod
    def create(directory: int, name: bytes, mode: int) -> int:
        return os.open(name, _CREATE, mode, dir_fd=directory)

    @staticmethod
    def write(fd: int, data: bytes | memoryview) -> None:
        if os.write(fd, data) != len(data):
            raise OSError  # the drive is nearly full, most likely: the other side finds out

    @staticmethod
    def fdatasync(fd: int) -> None:
        getattr(os, "fdatasync", os.fsync)(fd)  # macOS and Windows have none

    @staticmethod
    def chmod(fd: int, mode: int) -> None:
        os.chmod(fd, mode)

    @staticmethod
    def utime(fd: int, atime_ns: int, mtime_ns: int) -> None:
        os.utime(fd, ns=(atime_ns, mtime_ns))

    @staticmethod
    def unlink(directory: int, name: bytes) -> None:
        os.unlink(name, dir_fd=directory)


def do_part(what: str, descriptors: list[int], parts: list, tell: "Callable[[int], None]") -> list:
    if what == "hash":
        return [hash_files(fd, files, tell) for fd, files in zip(descriptors, parts, strict=True)]
    if what == "read":
        return read_directories(descriptors, parts)
    if what == "read back":
        return [list(read_back(fd, files)) for fd, files in zip(descriptors, parts, strict=True)]
    pairs = zip(descriptors[::2], descriptors[1::2], strict=True)
    return [
        list(copy_files(Plain, source, target, files, tell))
        for (source, target), files in zip(pairs, parts, strict=True)
    ]


def serve(connection: _socket.socket) -> None:
    """Answer requests until the other side is gone."""
    assert sys.platform != "win32"
    untold, told_at = 0, monotonic()

    def tell(size: int) -> None:
        nonlocal untold, told_at
        untold += size
        now = monotonic()
        if now - told_at < _TELL_SECONDS:
            return
        with suppress(BlockingIOError):  # the other side is busy: it is told with the next chunk
            connection.send(_frame(untold), _socket.MSG_DONTWAIT)
            untold, told_at = 0, now

    while True:
        head, ancillary, _, _ = connection.recvmsg(LENGTH.size, _socket.CMSG_LEN(4 * DESCRIPTORS_MAX))
        if not head:
            return
        descriptors: list[int] = []
        for level, kind, data in ancillary:
            if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS:
                descriptors += struct.unpack(f"={len(data) // 4}i", data)
        try:
            head += receive(connection, LENGTH.size - len(head))
            what, parts = marshal.loads(receive(connection, LENGTH.unpack(head)[0]))
            result = do_part(what, descriptors, parts, tell)
        finally:
            for fd in descriptors:
                os.close(fd)
        untold = 0
        connection.sendall(_frame(result))


def _frame(said: int | list) -> bytes:
    data = marshal.dumps(said)
    return LENGTH.pack(len(data)) + data


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
