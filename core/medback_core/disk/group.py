"""Put files onto a drive in groups: written under temporary names, made durable together, then renamed."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
from collections.abc import Generator, Iterable
from types import TracebackType
from typing import Self

from medback_core.disk import portable, primitives
from medback_core.disk.reading import hash_from_drive
from medback_core.disk.root import Root
from medback_core.disk.staged import CHUNK, ContentDiffers, Staged, hash_rest, read_start, set_attributes
from medback_core.model import METADATA_PREFIX, TEMPORARY_PREFIX, Identity

SMALL = 1 << 20  # the largest file stage_small_copy is meant for
SYNC_EVERY = 64 << 20
BATCH_FILES = 2000
BATCH_BYTES = 256 << 20


class Group:
    """A batch of files on their way onto one drive.

    Stage as many as wanted (see `is_full`), `flush`, look at them with `read_back`, `publish`, record. Use it in a
    `with`: leaving it for any reason removes the temporary files that are left. Staging that fails removes its own
    temporary file and leaves the others alone, so one bad file never costs the batch. For one thread at a time.
    """

    def __init__(self, root: Root, *, group_sync: bool | None = None) -> None:
        """`group_sync` False: fsync each file even where one syncfs would be sound (cheaper for one or two files).
        Raises OSError."""
        self.root = root
        self.group_sync = root.file_system.group_sync and group_sync is not False
        self.staged_bytes = 0
        self._staged: list[Staged] = []
        self._to_sync: dict[bytes, None] = {}  # directories whose entries changed
        self._flushed = True
        self._broken = False
        self._prefix = TEMPORARY_PREFIX + secrets.token_hex(3).encode()
        self._count = 0
        self._directory = b""  # the one last used, held open
        self._fd = root.fd
        # syncfs reports failed writes since the descriptor was opened, once: so each batch needs its own.
        self._sync_fd: int | None = portable.again(root.fd) if self.group_sync else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """`abandon` what is left and give all descriptors back. Closing twice is harmless."""
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
        return len(self._staged)

    @property
    def is_full(self) -> bool:
        """Whether the batch has reached 2,000 files or 256 MiB and should be flushed and published."""
        return len(self._staged) >= BATCH_FILES or self.staged_bytes >= BATCH_BYTES

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
        self, rel: bytes, source_fd: int, *, expected: Identity, mtime_ns: int, mode: int = 0o644
    ) -> Staged:
        """Copy a file of at most 1 MiB, read whole from the start of `source_fd` and hashed; published, it never
        replaces anything. Permission bits and mtime (ns) are given to it. Parents are made.

        Raises ContentDiffers when size or hash are not as expected (nothing was written then), OSError.
        """
        data = read_start(source_fd, expected.size + 1)
        digest = hashlib.md5(data, usedforsecurity=False)
        if len(data) != expected.size or digest.digest() != expected.md5:
            raise ContentDiffers(hash_rest(source_fd, digest, len(data)))
        fd, temporary = self._create(rel, mode)
        try:
            if data:
                primitives.write(fd, data)
            staged = Staged(rel, temporary, expected, False, 0)
            set_attributes(fd, staged, mode & 0o777, mtime_ns)
            self._sync_one(fd)
        except BaseException:
            self._drop(fd, rel, temporary)
            raise
        return self._keep(fd, staged)

    def stage_copy(
        self, rel: bytes, source_fd: int, *, expected: Identity, mtime_ns: int, mode: int = 0o644
    ) -> Generator[int, None, Staged]:
        """Copy a file of any size: yields the bytes done after each chunk, returns the Staged; otherwise like
        stage_small_copy. Every 64 MiB are made durable as they grow, so that progress is honest. Closing the generator
        removes the temporary file.
        """
        fd, temporary = self._create(rel, mode)
        try:
            digest = hashlib.md5(usedforsecurity=False)
            buffer = bytearray(min(CHUNK, expected.size + 1))
            view = memoryview(buffer)
            done = unsynced = 0
            with open(source_fd, "rb", buffering=0, closefd=False) as source:
                source.seek(0)
                while got := source.readinto(buffer):
                    digest.update(view[:got])
                    done += got
                    unsynced += got
                    if done <= expected.size:  # beyond, it differs: read on only to know what it is
                        primitives.write(fd, view[:got])
                    if unsynced >= SYNC_EVERY:
                        primitives.fdatasync(fd)
                        unsynced = 0
                    yield done
            actual = Identity(done, digest.digest())
            if actual != expected:
                raise ContentDiffers(actual)
            staged = Staged(rel, temporary, expected, False, 0)
            set_attributes(fd, staged, mode & 0o777, mtime_ns)
            self._sync_one(fd)
        except BaseException:
            self._drop(fd, rel, temporary)
            raise
        return self._keep(fd, staged)

    def _create(self, rel: bytes, mode: int) -> tuple[int, bytes]:
        if self._broken:
            raise RuntimeError("this batch failed to become durable: abandon it and write its files again")
        directory, name = self.root.split(rel)
        # A sidecar's temporary file says so, and only such a one may ever be adopted as a sidecar.
        ending = name if name.startswith(METADATA_PREFIX) and len(name) < 100 else b""
        self._enter_to_write(directory)
        while True:
            temporary = self._prefix + b"%06x" % self._count + ending
            try:
                fd = primitives.create(self._fd, temporary, mode)
            except FileExistsError:
                self._prefix, self._count = TEMPORARY_PREFIX + secrets.token_hex(3).encode(), 0
                continue
            self._count += 1
            if self._count > 0xFFFFFF:
                self._prefix, self._count = TEMPORARY_PREFIX + secrets.token_hex(3).encode(), 0
            return fd, temporary

    def _sync_one(self, fd: int) -> None:
        # Without a sound syncfs the one sure time to sync is before the close: an error that is reported to nobody
        # is forgotten with the file's place in the kernel's memory.
        if not self.group_sync:
            primitives.fsync(fd)

    def _keep(self, fd: int, staged: Staged) -> Staged:
        try:
            os.close(fd)  # network file systems report here that the server had no room
        except BaseException:
            self._remove_temporary(staged.rel, staged.temporary)  # the descriptor is gone all the same
            raise
        self._staged.append(staged)
        self.staged_bytes += staged.identity.size
        self._flushed = False
        return staged

    def _drop(self, fd: int, rel: bytes, temporary: bytes) -> None:
        """Close and remove after a failure; best effort, the first error is the one that counts."""
        try:
            os.close(fd)
        except OSError:
            pass  # the bytes are thrown away: nothing depends on them
        self._remove_temporary(rel, temporary)

    def _enter(self, directory: bytes) -> int:
        """Go to a directory that exists; it stays open until the next one."""
        if directory != self._directory:
            fd = self.root.hold_directory(directory)
            self.root.release_directory(self._directory)
            self._directory, self._fd = directory, fd
        return self._fd

    def _enter_to_write(self, directory: bytes) -> None:
        """Go to a directory, made if missing, and make sure it is on this drive and still has a name."""
        if directory == self._directory and directory in self._to_sync:
            return
        status = self._make_and_enter(directory)
        if status.st_nlink == 0 and directory:  # removed behind our back while its handle was kept
            self.root.release_directory(self._directory)
            self._directory, self._fd = b"", self.root.fd
            self.root.forget_directory(directory)
            status = self._make_and_enter(directory)
        if status.st_dev != self.root.device:  # syncfs would not reach it
            raise OSError(errno.EXDEV, "another file system is mounted here", directory)
        self._to_sync[directory] = None

    def _make_and_enter(self, directory: bytes) -> os.stat_result:
        for made in self.root.make_directories(directory):
            self._to_sync[made.rpartition(b"/")[0]] = None
        return portable.stat_directory(self._enter(directory))

    # --- what becomes of the staged --------------------------------------------------------------------------------

    def flush(self) -> None:
        """Make every staged file durable under its temporary name. Raises OSError; the batch is then lost for good (the
        kernel has dropped what it could not write): only `abandon` is left, and writing its files again."""
        if self._broken:
            raise RuntimeError("this batch failed to become durable: abandon it and write its files again")
        if self._flushed:
            return
        if self._sync_fd is not None:
            self._sync(self._sync_fd)
        self._flushed = True

    def _sync(self, fd: int) -> None:
        try:
            primitives.syncfs(fd)
        except BaseException:
            self._broken = True
            raise

    def read_back(self, staged: Staged) -> tuple[bytes, bool]:
        """`(md5, proven)` of a flushed temporary file as the drive holds it. Raises OSError."""
        steps = self.read_back_steps(staged)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value

    def read_back_steps(self, staged: Staged) -> Generator[int, None, tuple[bytes, bool]]:
        """read_back for large files: yields the bytes read after each MiB. `proven` as in read_from_drive."""
        self.flush()
        directory, _ = self.root.split(staged.rel)
        fd = portable.open_for_reading(self._enter(directory), staged.temporary)
        try:
            proves = self.root.file_system.proves_reads
            identity, proven = yield from hash_from_drive(fd, staged.identity.size, proves)
        finally:
            os.close(fd)
        return identity.md5, proven

    def discard(self, staged: Staged) -> None:
        """Take one file out of the batch and remove its temporary file (it read back wrong). Best effort."""
        self._staged.remove(staged)
        self.staged_bytes -= staged.identity.size
        self._remove_temporary(staged.rel, staged.temporary)

    def publish(self) -> list[tuple[Staged, OSError | None]]:
        """Give every staged file its final name, in order, and make the names durable; the batch is empty then.

        Flushes first if that was not done. An error of one rename (FileExistsError where a copy would have replaced
        something) is returned with it, its temporary file removed, and the others go on. Raises OSError when the drive
        can't make it durable: the files are whole under their final names then, but nothing may be recorded.
        """
        self.flush()
        results: list[tuple[Staged, OSError | None]] = []
        waiting, self._staged = self._staged, []
        try:
            for index, staged in enumerate(waiting):
                directory, _, name = staged.rel.rpartition(b"/")
                try:
                    fd = self._fd if directory == self._directory else self._enter(directory)
                    rename = primitives.rename if staged.replace else primitives.rename_noreplace
                    rename(fd, staged.temporary, fd, name)
                except OSError as error:
                    self._remove_temporary(staged.rel, staged.temporary)
                    results.append((staged, error))
                except BaseException:
                    self._staged = waiting[index:]  # abandon() finds what was not renamed
                    raise
                else:
                    results.append((staged, None))
        finally:
            self.staged_bytes = sum(staged.identity.size for staged in self._staged)
        self._sync_names()
        return results

    def _sync_names(self) -> None:
        if self._sync_fd is not None:
            if self._to_sync:
                self._sync(self._sync_fd)
        else:
            try:
                for directory in self._to_sync:
                    primitives.fsync_directory(self._enter(directory))
            except BaseException:
                self._broken = True
                raise
        self._to_sync.clear()

    def abandon(self) -> None:
        """Remove all temporary files that are left, best effort: never raises OSError. The group can be used again."""
        waiting, self._staged = self._staged, []
        self.staged_bytes = 0
        for staged in waiting:
            self._remove_temporary(staged.rel, staged.temporary)
        self._flushed, self._broken = True, False

    def _remove_temporary(self, rel: bytes, temporary: bytes) -> None:
        try:
            primitives.unlink(self._enter(rel.rpartition(b"/")[0]), temporary)
        except OSError:
            pass  # the drive is gone or failing: clean_temporaries takes it on the next sight
