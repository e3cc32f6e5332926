"""The scheduler of worker processes: it never waits for itself, and every wait of it can be ended at any moment."""

from __future__ import annotations

from typing import Any, cast
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core.disk.digests import made_of
from medback_core.disk import worker_pool, worker_process, workers
from medback_core.disk.worker_pool import WorkerPool
from support.processes import children, descriptors


@pytest.fixture(autouse=True)
def all_in_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """No job is done in this process for being small."""
    monkeypatch.setattr(worker_pool, "_HERE", 0)


@pytest.fixture
def pool() -> Iterator[WorkerPool[int]]:
    pool: WorkerPool[int] = WorkerPool(2)
    yield pool
    pool.close()
    workers.close_idle()
    assert children() == set()


class Tree:
    """Directories with a few files each, to be hashed: one job for each directory."""

    def __init__(self, where: Path, directories: int, files: int) -> None:
        self.where, self.count, self.undone = where, directories, []
        self.files = [b"f%03d" % number for number in range(files)]
        for number in range(directories):
            (where / f"d{number}").mkdir()
            for name in self.files:
                (where / f"d{number}" / os.fsdecode(name)).write_bytes(b"%d " % number + name)

    def begin(self, pool: WorkerPool[int], number: int) -> Iterator[None]:
        directory = os.open(self.where / f"d{number}", os.O_RDONLY)
        try:
            wanted = []
            for name in self.files:
                seen = os.stat(name, dir_fd=directory)
                wanted.append((name, seen.st_size, None, seen.st_mtime_ns, seen.st_ctime_ns, seen.st_ino))
            yield from pool.begin(
                "hash",
                [directory],
                [wanted],
                number,
                size=sum(size for _, size, *_ in wanted),
                here=lambda: iter(worker_process.hash_files(directory, wanted, lambda _: None)),
                undo=lambda: self.undo(number),
            )
        finally:
            os.close(directory)

    def undo(self, number: int) -> list[tuple[bytes, None]]:
        self.undone.append(number)
        return [worker_process.UNREAD] * len(self.files)

    def begin_all(self, pool: WorkerPool[int]) -> None:
        for number in range(self.count):
            for _ in self.begin(pool, number):
                pass

    def expected(self) -> list[tuple[int, list[tuple[bytes | None, bytes | None]]]]:
        return [(number, [made_of(b"%d " % number + name) for name in self.files]) for number in range(self.count)]


def finished(pool: WorkerPool[int]) -> list[tuple[int, list[bytes]]]:
    return [done for done in pool.finish() if done is not None]


def stop_all(pool: WorkerPool[int]) -> set[int]:
    """Stop the workers by a signal; the kernel's answer is waited for."""
    for pid in (stopped := {worker.pid for worker in pool._workers}):
        os.kill(pid, signal.SIGSTOP)
        os.waitpid(pid, os.WUNTRACED)
    return stopped


@pytest.mark.timeout(60)
@pytest.mark.parametrize("files", [1, 250])
def test_more_than_the_pipes_hold_is_begun_before_anything_is_collected(
    tmp_path: Path, pool: WorkerPool[int], monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """Requests and answers are both larger than what the tiny pipes hold, and far more than they hold are begun."""
    monkeypatch.setattr(workers, "SEND_BUFFER", 1)  # the kernel makes it 4.5 KB, a few messages
    tree = Tree(tmp_path, 300 if files == 1 else 8, files)
    tree.begin_all(pool)
    assert finished(pool) == tree.expected()
    assert not tree.undone


def test_what_is_under_way_is_bounded_and_holds_no_descriptor(tmp_path: Path, pool: WorkerPool[int]) -> None:
    tree = Tree(tmp_path, 200, 1)
    for number in range(2):
        assert list(tree.begin(pool, number)) == []
    stopped = stop_all(pool)
    before = descriptors()
    begun = 2
    while True:  # what was answered before it stopped makes room, at the latest when it was waited for once
        waiting = tree.begin(pool, begun)
        if next(waiting, "begun") is None and next(waiting, "begun") is None:
            break
        begun += 1
    assert len(pool) <= 2 * worker_pool._MESSAGES and begun <= 2 * worker_pool._MESSAGES + 2
    assert descriptors() == before + 1, "only that of the one that waits"
    assert next(waiting) is None, "it waits, and gives a turn again and again"
    cast("Any", waiting).close()
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)
    assert finished(pool) == tree.expected()[:begun]


def test_files_and_bytes_under_way_are_bounded(tmp_path: Path, pool: WorkerPool[int]) -> None:
    tree = Tree(tmp_path, 2, 1)
    tree.begin_all(pool)
    stop_all(pool)
    assert pool.has_room(worker_pool._FILES - 1, 0) and not pool.has_room(worker_pool._FILES, 0)
    assert pool.has_room(1, worker_pool._BYTES // 2) and not pool.has_room(1, worker_pool._BYTES)


def test_a_stopped_worker_is_waited_for_in_turns_and_ends_when_the_pool_is_closed(
    tmp_path: Path, pool: WorkerPool[int]
) -> None:
    tree = Tree(tmp_path, 4, 3)
    for number in range(2):
        list(tree.begin(pool, number))
    stopped = stop_all(pool)
    for number in range(2, 4):
        list(tree.begin(pool, number))
    results = pool.finish()
    first = next(results)
    while first is not None:  # what was answered before it was stopped
        first = next(results)
    assert next(results) is None
    pool.close()
    assert not stopped & children()
    assert tree.undone and tree.undone[-1] == 3
    tree.begin_all(pool)  # it can be used again
    assert finished(pool) == tree.expected()


def test_a_worker_that_is_killed_loses_only_what_it_had(tmp_path: Path, pool: WorkerPool[int]) -> None:
    tree = Tree(tmp_path, 60, 2)
    for number in range(20):
        list(tree.begin(pool, number))
    os.kill(next(iter(pool._workers)).pid, signal.SIGKILL)
    for number in range(20, 60):
        for _ in tree.begin(pool, number):
            pass
    results = finished(pool)
    assert [number for number, _ in results] == list(range(60))
    for (number, digests), (_, expected) in zip(results, tree.expected(), strict=True):
        assert digests == ([worker_process.UNREAD] * 2 if number in tree.undone else expected)
    assert len(tree.undone) < 60, "another one went on"


def test_workers_that_die_at_once_are_not_started_for_ever(
    tmp_path: Path, pool: WorkerPool[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []
    really = workers.Worker

    def doomed() -> workers.Worker:
        worker = really()
        os.kill(worker.pid, signal.SIGKILL)
        os.waitid(os.P_PID, worker.pid, os.WEXITED | os.WNOWAIT)
        started.append(worker.pid)
        return worker

    monkeypatch.setattr(workers, "Worker", doomed)
    tree = Tree(tmp_path, 40, 2)
    tree.begin_all(pool)
    for (number, digests), (_, expected) in zip(finished(pool), tree.expected(), strict=True):
        assert digests == ([worker_process.UNREAD] * 2 if number in tree.undone else expected)
    assert 0 < len(started) <= 4


def test_an_idle_worker_that_was_stopped_does_not_hold_up_the_end(tmp_path: Path, pool: WorkerPool[int]) -> None:
    tree = Tree(tmp_path, 2, 1)
    tree.begin_all(pool)
    finished(pool)
    stopped = stop_all(pool)
    pool.close()
    assert workers.has_idle()
    workers.close_idle()
    assert not stopped & children()


def test_too_many_descriptors_under_way_is_no_death_of_a_worker(
    tmp_path: Path, pool: WorkerPool[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel bounds the descriptors a user has under way, whatever program sent them."""
    tree = Tree(tmp_path, 3, 2)
    list(tree.begin(pool, 0))

    def refused(*_: object) -> int:
        raise OSError(workers.errno.ETOOMANYREFS, "Too many references")

    with monkeypatch.context() as patch:
        patch.setattr(workers.socket, "send_fds", refused)
        list(tree.begin(pool, 1))
    list(tree.begin(pool, 2))
    assert finished(pool) == tree.expected() and not tree.undone
