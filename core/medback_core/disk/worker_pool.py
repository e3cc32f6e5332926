"""The scheduler of worker processes: jobs on many small files, or on one large one, done in workers or in this process,
their results handed out in the order the jobs were begun.

Nothing here blocks: requests are sent as far as the socket takes them, answers are read whenever some are there, and
every wait is a `poll` of at most TICK seconds, after which the caller gets a turn in which it may stop.
"""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Generic, TypeVar

from medback_core.disk import primitives, worker_process, workers
from medback_core.disk.workers import Worker, WorkerGone, give_back, has_idle, take_worker

TICK = 0.1  # seconds a caller may go without a turn
AT_ONCE = 250  # files of one job: some milliseconds
# What one worker may have under way. It has enough to do while this process is busy with something else.
_FILES = 1000
_BYTES = 32 << 20
_MESSAGES = 32
_HERE = 400  # files done in this process: for fewer, no process is worth starting
_HERE_BYTES = 32 << 10  # that many bytes count as a further file
Known = TypeVar("Known")


@dataclass(eq=False, slots=True)
class _Job(Generic[Known]):
    known: Known
    files: int
    bytes: int
    undo: Callable[[], list[Any]]
    read: int = 0  # bytes of a large file that its worker has told of so far
    results: list[Any] | None = None


@dataclass(slots=True)
class _Load:
    """What one worker has under way, oldest first."""

    jobs: deque[_Job] = field(default_factory=deque)
    files: int = 0
    bytes: int = 0

    def takes(self, files: int, size: int) -> bool:
        """Whether so much more is within the bounds; a worker with nothing to do takes any job."""
        return not self.jobs or (
            len(self.jobs) < _MESSAGES and self.files + files <= _FILES and self.bytes + size <= _BYTES
        )


def _is_large(job: _Job[Any]) -> bool:
    return job.files == 1 and job.bytes > worker_process.SMALL


def _weight(files: int, size: int) -> int:
    return files + size // _HERE_BYTES


def wants_workers(files: int) -> bool:
    """Whether there can be workers, and so many files are worth starting them. A fault test's observer sees every
    change, so all is done in this process then."""
    return workers.HAS_PROCESSES and primitives.observer is None and (has_idle() or files > _HERE)


class WorkerPool(Generic[Known]):
    """Jobs under way, each known to the caller by something. For one thread at a time. `close` it in the end."""

    def __init__(self, workers: int | None = None, *, files: int = 0) -> None:
        """At most so many workers; by default one for each processor. `files` is how many there will be, if known."""
        if workers is None:
            workers = len(os.sched_getaffinity(0)) if sys.platform == "linux" else 2
        self._jobs: deque[_Job[Known]] = deque()
        self._workers: dict[Worker, _Load] = {}
        self._workers_max = workers
        self._to_take = 2 * workers  # how many workers may be taken in all: those that die are not replaced for ever
        self._here = 0 if has_idle() or files > _HERE else _HERE

    def __len__(self) -> int:
        """How many jobs were begun and not handed out."""
        return len(self._jobs)

    @property
    def bytes_read(self) -> int:
        """Of the large files that workers are reading now."""
        return sum(load.jobs[0].read for load in self._workers.values() if load.jobs)

    @property
    def bytes_to_come(self) -> int:
        """What workers have yet to read of the large files they are copying or reading."""
        jobs = (job for load in self._workers.values() for job in load.jobs)
        return sum(max(job.bytes - job.read, 0) for job in jobs if _is_large(job))

    def has_room(self, files: int, size: int) -> bool:
        """Whether `begin` of a job of so many files and bytes would hand it to a worker at once."""
        return self._is_for_workers(files, size) and self._free_worker(files, size) is not None

    def _is_for_workers(self, files: int, size: int) -> bool:
        # A fault test's observer sees every change, so all is done here then.
        return primitives.observer is None and _weight(files, size) > self._here

    def begin(
        self,
        what: str,
        directories: Sequence[int],
        parts: Sequence[Sequence[tuple]],
        known: Known,
        *,
        size: int,
        here: Callable[[], Iterator[Any]],
        undo: Callable[[], list[Any]],
    ) -> Iterator[None]:
        """Begin one job of `worker_process.do_part` on some files of these open directories, which may be closed when
        this ends: in a worker, waiting until one has room, or here. Gives the caller a turn every TICK seconds. With no
        directories it is done here.

        `size` is the bytes of all files. `here` does the same in this process, one result after another. `undo` makes
        nothing of what was done of it, and gives the results of that: it is called when the job was cut off.
        """
        job = _Job(known, sum(len(part) for part in parts), size, undo)
        if directories and self._is_for_workers(job.files, size):
            self._here = 0
            while (worker := self._free_worker(job.files, size)) is None and self._workers:
                self._wait()
                yield
            if worker is not None and self._ask(worker, what, directories, parts, job):
                return
        self._here -= _weight(job.files, size)
        results = []
        turn = monotonic() + TICK
        try:
            for result in here():
                results.append(result)
                if monotonic() > turn:
                    yield
                    turn = monotonic() + TICK
        except BaseException:
            undo()
            raise
        job.results = results
        self._jobs.append(job)

    def _ask(self, worker: Worker, what: str, directories: Sequence[int], parts: Sequence[Any], job: _Job) -> bool:
        """Whether the worker got the job."""
        try:
            if not worker.ask(what, parts, directories):
                return False
        except ValueError:  # a number beyond 64 bits is none that marshal knows
            return False
        except WorkerGone:
            self._lose(worker)
            return False
        load = self._workers[worker]
        load.jobs.append(job)
        load.files += job.files
        load.bytes += job.bytes
        self._jobs.append(job)
        return True

    def _free_worker(self, files: int, size: int) -> Worker | None:
        """A worker that may be asked now, the one with least to do; None when all have enough, or there is none."""
        if len(self._workers) < self._workers_max and self._to_take > 0:
            self._to_take -= 1
            taken = take_worker()
            if taken is not None:
                self._workers[taken] = _Load()
                return taken
            self._to_take = 0
        free = [w for w, load in self._workers.items() if load.takes(files, size) and not w.is_sending]
        return min(free, key=lambda worker: self._workers[worker].bytes + self._workers[worker].files, default=None)

    def _wait(self) -> None:
        """Until a worker has something to say or takes more of what it is sent, TICK seconds at most."""
        assert sys.platform != "win32"  # no worker starts there
        poll = select.poll()
        by_fd = {worker.fileno(): worker for worker, load in self._workers.items() if load.jobs}
        for fd, worker in by_fd.items():
            poll.register(fd, select.POLLIN | (select.POLLOUT if worker.is_sending else 0))
        for fd, _ in poll.poll(TICK * 1000):
            worker = by_fd[fd]
            try:
                for said in worker.proceed():
                    self._hear(self._workers[worker], said)
            except WorkerGone:
                self._lose(worker)

    def _hear(self, load: _Load, said: Any) -> None:
        if isinstance(said, int):
            load.jobs[0].read += said
            return
        job = load.jobs.popleft()
        load.files -= job.files
        load.bytes -= job.bytes
        job.results = [result for part in said for result in part]

    def _lose(self, worker: Worker) -> None:
        """A worker is gone: nothing it had under way is believed, whatever it got done."""
        load = self._workers.pop(worker)
        worker.kill()
        for job in load.jobs:
            job.results = job.undo()

    def finish(self) -> Iterator[tuple[Known, list[Any]] | None]:
        """Wait for all, in the order they were begun: what the caller knows each by, and its results. None is a turn
        for the caller while it waits."""
        while self._jobs:
            yield from self.finish_oldest()
        self.close()  # others may have the workers now

    def finish_oldest(self) -> Iterator[tuple[Known, list[Any]] | None]:
        """The same for the one begun first."""
        job = self._jobs[0]
        while job.results is None:
            self._wait()
            if job.results is None:
                yield None
        self._jobs.popleft()
        yield job.known, job.results

    def cut_short(self) -> None:
        """Large files that workers have not finished, and what they have behind them, come to nothing: `finish` has no
        more to wait for than small ones."""
        for worker, load in list(self._workers.items()):
            if any(_is_large(job) for job in load.jobs):
                self._lose(worker)

    def close(self) -> None:
        """Undo all that was not handed out, and give the workers back; one that still has something under way is
        killed, which no signal and no hanging drive can delay. The pool can be used again."""
        for worker, load in self._workers.items():
            if load.jobs:
                worker.kill()
            else:
                give_back(worker)
        self._workers.clear()
        self._to_take = 2 * self._workers_max
        jobs, self._jobs = self._jobs, deque()
        for job in jobs:
            job.undo()
