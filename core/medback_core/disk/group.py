"""Put files onto a drive in groups: written under temporary names, made durable together, then renamed."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Generator, Iterable, Iterator
from itertools import groupby, islice
from operator import attrgetter

from medback_core.disk import portable, primitives, worker_process
from medback_core.disk.reading import ended, hash_from_drive
from medback_core.disk.staged import Staged
from medback_core.disk.staging import Flushing, Staging
from medback_core.disk.worker_pool import AT_ONCE, WorkerPool
from medback_core.model import Recorded

BATCH_FILES = 2000
BATCH_BYTES = 256 << 20


class Group(Staging):
    """A batch of files on their way onto one drive.

    Stage as many as wanted (see `is_full`), `flush`, look at them with `read_back`, `publish`, record. Use it in a
    `with`: leaving it for any reason removes the temporary files that are left. Staging that fails removes its own
    temporary file and leaves the others alone, so one bad file never costs the batch. For one thread at a time.
    """

    _reading: tuple[WorkerPool[list[Staged]], deque[list[Staged]]] | None = None

    @property
    def is_full(self) -> bool:
        """Whether the batch has reached 2,000 files or 256 MiB and should be flushed and published. The large copy that
        was begun last does not count: another may be copied beside it."""
        return self.staged_count >= BATCH_FILES or self.staged_bytes - self._latest_large >= BATCH_BYTES

    def begin_flush(self) -> None:
        """Begin to flush while the caller works on another group; `flush` waits for it and says how it ended."""
        assert not self._begun, "copies that were begun are finished first"
        # A fault test's observer sees all in order, so nothing is begun early for it.
        if self._sync_fd is not None and not self._flushed and not self._broken and primitives.observer is None:
            self._flushing = Flushing(self._sync_fd)
            self._flushed = True

    def flush_steps(self) -> Iterator[None]:
        """Begin to flush and wait for it, giving the caller a turn every tenth of a second. `flush` must follow: it
        says how it ended."""
        self.begin_flush()
        while self._flushing is not None and self._flushing.is_running():
            yield

    def flush(self) -> None:
        """Make every staged file durable under its temporary name. Raises OSError; the batch is then lost for good (the
        kernel has dropped what it could not write): only `abandon` is left, and writing its files again."""
        self._may_stage()
        assert not self._begun, "copies that were begun are finished first"
        flushing, self._flushing = self._flushing, None
        if flushing is not None and (error := flushing.end()) is not None:
            self._broken = True
            raise error
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
        """`(md5, proven)` of a flushed temporary file as the drive holds it; the md5 is b"" where it is right, and the
        content is another all the same. By the BLAKE3 the staging made, where it did. Raises OSError."""
        return ended(self.read_back_steps(staged))

    def read_back_steps(self, staged: Staged) -> Generator[int, None, tuple[bytes, bool]]:
        """read_back for large files: yields the bytes read after each MiB. `proven` as in read_from_drive."""
        self.flush()
        fd = portable.open_for_reading(self._enter(staged.directory), staged.temporary)
        try:
            proves = self.root.file_system.proves_reads
            known = Recorded(staged.identity, staged.blake3)
            identity, second, proven = yield from hash_from_drive(fd, staged.identity.size, proves, known)
        finally:
            os.close(fd)
        is_other = staged.blake3 is not None and second != staged.blake3  # than was written just now, whatever its MD5
        return b"" if is_other and identity == staged.identity else identity.md5, proven

    def begin_read_back(self, staged: Iterable[Staged]) -> None:
        """Begin what `read_back_small` does, as far as workers have room for it, if the batch is durable by now:
        nothing is waited for. Call it again to begin more."""
        if self._flushed and (self._flushing is None or self._flushing.is_done):
            pool, jobs = self._open_reading(staged)
            while jobs and pool.has_room(len(jobs[0]), _size(jobs[0])):
                for _ in self._begin_reading(pool, jobs.popleft()):
                    pass

    def read_back_small(self, staged: Iterable[Staged]) -> Iterator[tuple[Staged, bytes, bool] | None]:
        """Read back many small files of the flushed batch: (file, md5, proven) in their order; the md5 is b"" for one
        that `read_back` must look at, and so must it at one that is left out. None is a turn for the caller while it
        waits."""
        self.flush()
        proves = self.root.file_system.proves_reads
        try:
            pool, jobs = self._open_reading(staged)
            while jobs:
                for _ in self._begin_reading(pool, jobs.popleft()):
                    yield None
            for done in pool.finish():
                if done is None:
                    yield None
                    continue
                for one, (first, second, uncached, _) in zip(*done, strict=True):
                    # Where BLAKE3 is known and says no, `read_back` says what it is.
                    is_other = first is not None and second is not None and one.blake3 is not None
                    yield one, one.identity.md5 if first is None else b"" if is_other else first, uncached and proves
        finally:
            self._end_reading()

    def _open_reading(self, staged: Iterable[Staged]) -> tuple[WorkerPool[list[Staged]], deque[list[Staged]]]:
        """The pool, and the jobs that were not begun yet."""
        if self._reading is None:
            jobs = deque(_jobs(staged))
            self._reading = WorkerPool(files=sum(map(len, jobs))), jobs
        return self._reading

    def _begin_reading(self, pool: WorkerPool[list[Staged]], some: list[Staged]) -> Iterator[None]:
        try:
            handle = self._enter(some[0].directory)
        except OSError:  # `read_back` says what is wrong
            return
        files = [(one.temporary, one.identity.size, one.blake3) for one in some]
        yield from pool.begin(
            "read back",
            [handle],
            [files],
            some,
            size=_size(some),
            here=lambda: worker_process.read_back(handle, files),
            undo=lambda: [worker_process.UNREAD_BACK] * len(files),
        )

    def _end_reading(self) -> None:
        if self._reading is not None:
            self._reading[0].close()
            self._reading = None

    def abandon(self) -> None:
        """Remove all temporary files that are left, best effort: never raises OSError. The group can be used again."""
        self._end_reading()
        super().abandon()

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
                    self._remove_temporary(staged.directory, staged.temporary)
                    results.append((staged, error))
                except BaseException:
                    self._staged = waiting[index:]  # abandon() finds what was not renamed
                    raise
                else:
                    self._to_sync[directory] = None
                    results.append((staged, None))
        finally:
            self.staged_bytes = sum(staged.identity.size for staged in self._staged)
        self._sync_names()
        return results

    def publish_all(self) -> None:
        """`publish` where the first file that can't get its name ends it: raises its OSError."""
        for _, error in self.publish():
            if error is not None:
                raise error

    def _sync_names(self) -> None:
        if self._sync_fd is not None:
            if self._to_sync:
                self._sync(self._sync_fd)
            alone = [directory for directory in self._to_sync if directory in self._beyond]
        else:
            alone = list(self._to_sync)
        try:
            for directory in alone:
                primitives.fsync_directory(self._enter(directory))
        except BaseException:
            self._broken = True
            raise
        self._to_sync.clear()


def _size(files: list[Staged]) -> int:
    return sum(one.identity.size for one in files)


def _jobs(staged: Iterable[Staged]) -> Iterator[list[Staged]]:
    for _, these in groupby(staged, key=attrgetter("directory")):
        while together := list(islice(these, AT_ONCE)):
            yield together
