"""Work on many small files, done here or in worker processes, its results collected in the order it was begun."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from medback_core.disk import primitives
from medback_core.disk.workers import Worker, WorkerGone, give_back, has_idle, take_worker

AT_ONCE = 250  # files of one errand: some milliseconds
_UNDER_WAY = 1000  # files a worker may have: it works on while we do other things, and a socket holds their results
_HERE = 400  # files done in this process: for fewer, no process is worth starting
Known = TypeVar("Known")


@dataclass(eq=False, slots=True)
class _Errand(Generic[Known]):
    known: Known
    files: int
    undo: Callable[[], list[Any]]
    worker: Worker | None = None
    results: list[Any] | None = None


@dataclass(slots=True)
class _Load:
    """What a worker owes answers for, oldest first."""

    errands: deque[_Errand] = field(default_factory=deque)
    files: int = 0


class Errands(Generic[Known]):
    """What is under way on one drive. For one thread at a time."""

    def __init__(self) -> None:
        self._errands: deque[_Errand[Known]] = deque()
        self._workers: dict[Worker, _Load] = {}
        self._workers_max = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        self._here = 0 if has_idle() else _HERE

    def begin(
        self,
        what: str,
        directories: list[int],
        files: list[tuple],
        known: Known,
        *,
        here: Callable[[], list[Any]],
        undo: Callable[[], list[Any]],
    ) -> None:
        """Begin one errand of `worker_process.answer` on some files of these open directories, which may be closed when
        this returns. `here` does the same in this process; `undo` makes nothing of it, and gives the results of that:
        it is called when the errand was cut off in the middle. A fault test's observer sees all, so all is done here.
        """
        errand = _Errand(known, len(files), undo)
        self._errands.append(errand)
        worker = self._next_worker(len(files)) if primitives.observer is None and self._here <= 0 else None
        if worker is not None:
            try:
                worker.ask(what, [files], directories)
                errand.worker = worker
                self._workers[worker].errands.append(errand)
                self._workers[worker].files += errand.files
                return
            except (WorkerGone, ValueError):  # a number beyond 64 bits is none marshal knows
                self._lose(worker)
        self._here -= len(files)
        try:
            errand.results = here()
        except BaseException:
            self._errands.pop()
            undo()
            raise

    def _next_worker(self, files: int) -> Worker | None:
        """A worker that may be asked now; waits for one when all have enough to do."""
        if len(self._workers) < self._workers_max:
            started = take_worker()
            if started is not None:
                self._workers[started] = _Load()
                return started
        if not self._workers:
            return None
        worker, load = min(self._workers.items(), key=lambda each: each[1].files)
        while load.errands and load.files + files > _UNDER_WAY:
            self._wait(worker)
        return worker if worker in self._workers else None

    def _wait(self, worker: Worker) -> None:
        """For the answer to its oldest errand."""
        load = self._workers[worker]
        try:
            load.errands[0].results = worker.answer()[0]
        except WorkerGone:
            self._lose(worker)
        else:
            load.files -= load.errands.popleft().files

    def _lose(self, worker: Worker) -> None:
        """A worker is gone: nothing it had under way is believed, whatever it got done."""
        load = self._workers.pop(worker)
        worker.close()
        while load.errands:
            errand = load.errands.popleft()
            errand.results = errand.undo()

    def finish(self) -> Iterator[tuple[Known, list[Any]]]:
        """Wait for all, in the order they were begun: what the caller knows each by, and its results."""
        while self._errands:
            errand = self._errands[0]
            if errand.results is None:
                assert errand.worker is not None
                self._wait(errand.worker)
            self._errands.popleft()
            assert errand.results is not None
            yield errand.known, errand.results

    def close(self) -> None:
        """Give the workers back. All must be finished."""
        for worker in self._workers:
            give_back(worker)
        self._workers.clear()
