"""Write whole files under temporary names, next to where they will be: the first half of a group commit."""

from __future__ import annotations

import errno
import hashlib
import os
import threading
from collections.abc import Generator, Iterable, Iterator
from contextlib import suppress
from typing import Self

from medback_core.disk import portable, primitives, worker_process
from medback_core.disk.digests import Reading, made_of
from medback_core.disk.reading import ended, read_through
from medback_core.disk.root import Root
from medback_core.disk.staged import CHUNK, ContentDiffers, SmallCopy, Staged, hash_rest, read_start, set_attributes
from medback_core.disk.worker_pool import TICK, WorkerPool
from medback_core.model import METADATA, TEMPORARY_PREFIX, Identity

SMALL = worker_process.SMALL  # the largest file stage_small_copy is meant for
SYNC_EVERY = worker_process.SYNC_EVERY


class Flushing:
    """One syncfs, in a thread. It may be left to end by itself: nothing can cut it short."""

    def __init__(self, fd: int) -> None:
        self._fd = os.dup(fd)
        self._error: OSError | None = None
        self._thread = threading.Thread(target=self._sync, daemon=True)
        self._thread.start()

    def _sync(self) -> None:
        try:
            primitives.syncfs(self._fd)
        except OSError as error:
            self._error = error
        finally:
            os.close(self._fd)

    @property
    def is_done(self) -> bool:
        return not self._thread.is_alive() and self._error is None

    def is_running(self) -> bool:
        """Whether it still runs after TICK seconds."""
        self._thread.join(TICK)
        return self._thread.is_alive()

    def end(self) -> OSError | None:
        """Wait for it; what went wrong."""
        self._thread.join()
        return self._error


class Staging:
    """The files on their way onto one drive, and the descriptors that takes. See Group, which is all others use."""

    def __init__(self, root: Root, *, group_sync: bool | None = None, backs_up: bool = False) -> None:
        """`group_sync` False: fsync each file even where one syncfs would be sound (cheaper for one or two files).
        `backs_up`: no copy is readable to more people than the file it is copied from. Raises OSError."""
        self.root = root
        self._backs_up = backs_up
        self.group_sync = root.file_system.group_sync and group_sync is not False
        self.staged_bytes = 0
        self._latest_large = 0  # bytes of the large copy that was begun last
        self._staged: list[Staged] = []
        self._elsewhere = False  # the directory last found fit lies on a file system mounted inside
        self._beyond: set[bytes] = set()  # such directories: syncfs does not reach them
        self._to_sync: dict[bytes, None] = {}  # directories whose entries changed
        self._flushed = True
        self._broken = False
        self._flushing: Flushing | None = None
        self._copies: WorkerPool[tuple[list[SmallCopy], list[bytes]]] = WorkerPool()
        self._begun = 0
        self._prefix = _drawn_prefix()
        self._count = 0
        self._directory = b""  # the one last used, held open
        self._fd = root.fd
        self._checked: bytes | None = None  # the directory last found fit to be written to, while it is that one
        # syncfs reports failed writes since the descriptor was opened, once: so each batch needs its own.
        self._sync_fd: int | None = portable.again(root.fd) if self.group_sync else None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """`abandon` what is left and give all descriptors back. Closing twice is harmless."""
        self._flushing = None  # it ends by itself
        try:
            self.abandon()
        finally:
            self.root.release_directory(self._directory)
            self._directory, self._fd = b"", self.root.fd
            if self._sync_fd is not None:
                os.close(self._sync_fd)
                self._sync_fd = None

    @property
    def staged(self) -> tuple[Staged, ...]:
        """What is staged and not yet published, in order."""
        return tuple(self._staged)

    @property
    def staged_count(self) -> int:
        """How many files are staged and not yet published."""
        return len(self._staged) + self._begun

    # --- staging ---------------------------------------------------------------------------------------------------

    def stage_bytes(self, rel: bytes, data: bytes, *, mode: int = 0o666) -> Staged:
        """Write a whole file of medback's own; published, it replaces what is there. `mode` less umask. Parents are
        made. Raises OSError."""
        return self.stage_stream(rel, (data,), mode=mode)

    def stage_stream(self, rel: bytes, chunks: Iterable[bytes], *, mode: int = 0o666) -> Staged:
        """stage_bytes for what is too long for memory. What iterating raises, and OSError, is passed on."""
        fd, temporary = self._create(rel, mode)
        try:
            digest = hashlib.md5(usedforsecurity=False)
            size = unsynced = 0
            for chunk in chunks:
                if chunk:
                    primitives.write(fd, chunk)
                    digest.update(chunk)
                    size += len(chunk)
                    unsynced += len(chunk)
                    if unsynced >= SYNC_EVERY:
                        primitives.fdatasync(fd)
                        unsynced = 0
            staged = Staged(rel, temporary, Identity(size, digest.digest()), True, os.fstat(fd).st_ino)
            self._sync_one(fd)
        except BaseException:
            self._drop(fd, rel, temporary)
            raise
        return self._keep(fd, staged)

    def stage_small_copy(
        self,
        rel: bytes,
        source_fd: int,
        *,
        expected: Identity,
        mtime_ns: int,
        mode: int = 0o644,
        blake3: bytes | None = None,
    ) -> Staged:
        """Copy a file of at most 1 MiB, read whole from the start of `source_fd` and hashed: by the BLAKE3 it is known
        by, where there is one, and by MD5 where that says no. The Staged has the BLAKE3 that was read. Published, it
        never replaces anything. Permission bits and mtime (ns) are given to it. Parents are made.

        Raises ContentDiffers when size or MD5 are not as expected (nothing was written then), OSError.
        """
        data = read_start(source_fd, expected.size + 1)
        first, second = made_of(data, blake3)
        if len(data) != expected.size or first not in (None, expected.md5):
            raise ContentDiffers(hash_rest(source_fd, data))
        fd, temporary = self._create(rel, self._least(mode))
        try:
            if data:
                primitives.write(fd, data)
            staged = Staged(rel, temporary, expected, False, 0, second)
            set_attributes(fd, staged, self._mode_of(fd, source_fd, mode), mtime_ns)
            self._sync_one(fd)
        except BaseException:
            self._drop(fd, rel, temporary)
            raise
        return self._keep(fd, staged)

    def begin_copies(self, directory: bytes, source: int, files: list[SmallCopy]) -> Iterator[None]:
        """Begin to copy files from an open directory into one of the drive's, which is made if missing: small ones
        together, a large one alone. The fast way, open only where `group_sync` is. `finish_copies` tells what came of
        them. Gives the caller a turn every tenth of a second while it waits. Raises OSError."""
        assert self.group_sync
        self._may_stage()
        self._enter_to_write(directory)
        if self._elsewhere:
            raise OSError(errno.EXDEV, "syncfs does not reach what is mounted here", directory)
        temporaries = [self._next_temporary() for _ in files]
        size = sum(file.content.size for file in files)
        self._begun += len(files)
        self.staged_bytes += size
        large = len(files) == 1 and size > SMALL
        if large:
            self._latest_large = size

        def here() -> Iterator[tuple[int, int, bytes | None]]:
            if large and primitives.observer is None:
                return iter([worker_process.NOTHING])  # `stage_copy` gives its caller turns
            return worker_process.copy_files(primitives, source, target, wanted)

        wanted = [
            (
                f.name,
                f.content.size,
                f.content.md5,
                f.blake3,
                f.seen_ns,
                f.mtime_ns,
                f.mode & 0o777,
                self._least(f.mode),
                temporary,
            )
            for f, temporary in zip(files, temporaries, strict=True)
        ]
        target = self._fd
        yield from self._copies.begin(
            "copy",
            [source, target],
            [wanted],
            (files, temporaries),
            size=size,
            here=here,
            undo=lambda: self._undo_copies(directory, temporaries),
        )

    def _undo_copies(self, directory: bytes, temporaries: list[bytes]) -> list[tuple[int, int, bytes | None]]:
        for temporary in temporaries:  # most were never made
            self._remove_temporary(directory, temporary)
        return [worker_process.NOTHING] * len(temporaries)

    def finish_copies(self) -> Iterator[tuple[SmallCopy, Staged | None, int] | None]:
        """Wait for all copies that were begun, in order; the last is the mtime (ns) of the original. A Staged of None
        is a file with which anything was unusual: nothing is left of it, and staging it alone tells what is wrong.
        None alone is a turn for the caller while it waits."""
        for done in self._copies.finish():
            if done is None:
                yield None
                continue
            (files, temporaries), results = done
            self._begun -= len(files)
            copied = []
            for file, temporary, (inode, mtime_ns, second) in zip(files, temporaries, results, strict=True):
                if inode:
                    staged = Staged(file.rel, temporary, file.content, False, inode, second)
                    self._staged.append(staged)
                    self._flushed = False
                    copied.append((file, staged, mtime_ns))
                else:
                    self.staged_bytes -= file.content.size
                    copied.append((file, None, 0))
            yield from copied
        self._latest_large = 0

    def cut_short(self) -> None:
        """Large copies that workers have not finished come to nothing: `finish_copies` tells of them as unusual."""
        self._copies.cut_short()

    @property
    def bytes_to_come(self) -> int:
        """Of `staged_bytes`: what workers have yet to read of large files."""
        return self._copies.bytes_to_come

    def stage_copy(
        self,
        rel: bytes,
        source_fd: int,
        *,
        expected: Identity,
        mtime_ns: int,
        mode: int = 0o644,
        blake3: bytes | None = None,
    ) -> Generator[int, None, Staged]:
        """Copy a file of any size: yields the bytes done after each chunk, returns the Staged; otherwise like
        stage_small_copy. Every 64 MiB are made durable as they grow, so that progress is honest. Closing the generator
        removes the temporary file.
        """
        from concurrent.futures import ThreadPoolExecutor, wait  # dear to import, and no small file needs it

        fd, temporary = self._create(rel, self._least(mode))
        beside = ThreadPoolExecutor(2)
        try:
            reading = Reading(blake3)
            # Little for what should be small, but no crumbs: it may have grown since it was scanned.
            size = min(CHUNK, max(expected.size + 1, 1 << 16))
            chunk, other = (memoryview(bytearray(size)) for _ in range(2))
            done = unsynced = 0
            # While one chunk is hashed in a thread it is written and the next one read; another waits for the drive.
            with reading, open(source_fd, "rb", buffering=0, closefd=False) as source:
                source.seek(0)
                hashed = synced = beside.submit(_nothing)
                while got := source.readinto(chunk):
                    hashed.result()
                    hashed = beside.submit(reading.update, chunk[:got])
                    done += got
                    unsynced += got
                    if done <= expected.size:  # beyond, it differs: read on only to know what it is
                        primitives.write(fd, chunk[:got])
                    chunk, other = other, chunk
                    if unsynced >= SYNC_EVERY:
                        while wait([synced], TICK).not_done:
                            yield done
                        synced.result()
                        synced = beside.submit(primitives.fdatasync, fd)
                        if primitives.observer is not None:
                            synced.result()  # it sees all in order
                        unsynced = 0
                    yield done
                while wait([hashed, synced], TICK).not_done:
                    yield done
                synced.result()
                hashed.result()
            first, second = reading.made()
            if first is None and (done != expected.size or second != blake3):
                # BLAKE3 may only say yes: what was written tells; where it is not all, what it was read from.
                again = read_through(fd if done <= expected.size else source_fd)
                (_, first), second = ended(again)
            if done != expected.size or first not in (None, expected.md5):
                raise ContentDiffers(Identity(done, first or b""))
            staged = Staged(rel, temporary, expected, False, 0, second)
            set_attributes(fd, staged, self._mode_of(fd, source_fd, mode), mtime_ns)
            self._sync_one(fd)
        except BaseException:
            self._drop(fd, rel, temporary)
            raise
        finally:
            beside.shutdown(wait=False, cancel_futures=True)  # a sync under way may take long: it ends by itself
        return self._keep(fd, staged)

    def _least(self, mode: int) -> int:
        """The permissions of a copy until its group is known to be its original's."""
        mode &= 0o777
        return worker_process.in_any_group(mode) if self._backs_up else mode

    def _mode_of(self, fd: int, source_fd: int, mode: int) -> int:
        """The permissions of a copy by its group and that of the file it is copied from."""
        least = self._least(mode)
        return mode & 0o777 if os.fstat(fd).st_gid == os.fstat(source_fd).st_gid else least

    def _create(self, rel: bytes, mode: int) -> tuple[int, bytes]:
        self._may_stage()
        directory, name = self.root.split(rel)
        # A sidecar's temporary file says so, and only such a one may ever be adopted as a sidecar.
        ending = name if METADATA.match(name) and len(name) < 100 else b""
        again = True
        while True:
            self._enter_to_write(directory)
            temporary = self._next_temporary() + ending
            try:
                fd = primitives.create(self._fd, temporary, mode)
            except FileExistsError:
                self._prefix, self._count = _drawn_prefix(), 0
                continue
            except FileNotFoundError:  # the directory was removed since it was checked
                if not again:
                    raise
                self._checked, again = None, False
                continue
            return fd, temporary

    def _may_stage(self) -> None:
        if self._broken:
            raise RuntimeError("this batch failed to become durable: abandon it and write its files again")

    def _next_temporary(self) -> bytes:
        if self._count > 0xFFFFFF:
            self._prefix, self._count = _drawn_prefix(), 0
        self._count += 1
        return self._prefix + b"%06x" % (self._count - 1)

    def _sync_one(self, fd: int) -> None:
        # Without a sound syncfs the one sure time to sync is before the close: an error that is not reported
        # is forgotten with the file's place in the kernel's memory.
        if not self.group_sync or self._elsewhere:
            primitives.fsync(fd)

    def _keep(self, fd: int, staged: Staged) -> Staged:
        try:
            os.close(fd)  # network file systems report here that the server had no room
        except BaseException:
            self._remove_temporary(staged.directory, staged.temporary)  # the descriptor is gone all the same
            raise
        self._staged.append(staged)
        self.staged_bytes += staged.identity.size
        self._flushed = False
        return staged

    def _drop(self, fd: int, rel: bytes, temporary: bytes) -> None:
        """Close and remove after a failure; best effort, the first error is the one that counts."""
        with suppress(OSError):  # the bytes are thrown away: nothing depends on them
            os.close(fd)
        self._remove_temporary(rel.rpartition(b"/")[0], temporary)

    def _enter(self, directory: bytes) -> int:
        """Go to a directory that exists; it stays open until the next one."""
        if directory != self._directory:
            fd = self.root.hold_directory(directory)
            self.root.release_directory(self._directory)
            self._directory, self._fd, self._checked = directory, fd, None
        return self._fd

    def _enter_to_write(self, directory: bytes) -> None:
        """Go to a directory, made if missing, and make sure it is on this drive and still has a name."""
        if directory == self._checked:
            return
        status = self._make_and_enter(directory)
        if status.st_nlink == 0 and directory:  # removed behind our back while its handle was kept
            self.root.release_directory(self._directory)
            self._directory, self._fd = b"", self.root.fd
            self.root.forget_directory(directory.partition(b"/")[0])  # those above may be gone too
            status = self._make_and_enter(directory)
        self._elsewhere = status.st_dev != self.root.device
        if self._elsewhere and not self.root.across:
            raise OSError(errno.EXDEV, "another file system is mounted here", directory)
        if self._elsewhere:
            self._beyond |= {directory, *(made for made in self._to_sync if directory.startswith(made + b"/"))}
        self._checked = directory

    def _make_and_enter(self, directory: bytes) -> os.stat_result:
        for made in self.root.make_directories(directory):
            self._to_sync[made.rpartition(b"/")[0]] = None
        return portable.stat_directory(self._enter(directory))

    # --- taking back ------------------------------------------------------------------------------------------------

    def discard(self, staged: Staged) -> None:
        """Take one file out of the batch and remove its temporary file (it read back wrong). Best effort."""
        self._staged.remove(staged)
        self.staged_bytes -= staged.identity.size
        self._remove_temporary(staged.directory, staged.temporary)

    def abandon(self) -> None:
        """Remove all temporary files that are left, best effort: never raises OSError. The group can be used again."""
        self._copies.close()
        if self._flushing is not None:
            self._flushing.end()
            self._flushing = None
        waiting, self._staged = self._staged, []
        self.staged_bytes = self._begun = self._latest_large = 0
        for staged in waiting:
            self._remove_temporary(staged.directory, staged.temporary)
        self._flushed, self._broken = True, False

    def _remove_temporary(self, directory: bytes, temporary: bytes) -> None:
        with suppress(OSError):  # the drive is gone or failing: clean_temporaries takes it on the next sight
            primitives.unlink(self._enter(directory), temporary)


def _nothing() -> None:
    """What is under way before anything is."""


def _drawn_prefix() -> bytes:
    return TEMPORARY_PREFIX + os.urandom(3).hex().encode()
