"""Backing up many small files: copied by worker processes, one batch staged while the other is published."""

from __future__ import annotations

from typing import Any, cast
import hashlib
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.disk import group, worker_pool, worker_process, workers
from medback_core.drives import sidecars
from medback_core.model import Answers, DamageFound, FileDone, Progress, ScanSummary, Skipped
from medback_core.scanning.sources import add_source, update
from medback_core.session.copies import copies_on
from medback_core.session.targets import list_targets
from medback_core.restoring.restore import restore
from support.fault_report import FULL
from support.processes import children, descriptors
from support.worlds import add, back, new_session, rescan, run, tree, write_tree


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A source of 60 directories of 20 small files, more than are copied in one process; a bad file among them."""
    monkeypatch.setattr(worker_pool, "_HERE", 100)
    monkeypatch.setattr(group, "BATCH_FILES", 300)
    monkeypatch.setattr(disk, "BATCH_FILES", 300)
    for number in range(1200):
        path = tmp_path / "photos" / f"d{number // 20:02d}" / f"f{number % 20:02d}"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"%d" % number * (number % 7))
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    yield session, tmp_path
    session.close()


def _whole_copies(session, drive: Path) -> int:
    """How many contents the session believes on the drive; each is whole there."""
    (target,) = list_targets(session)
    believed = list(copies_on(session, target.key))
    for identity, copy in believed:
        data = (drive / os.fsdecode(copy.path or b"")).read_bytes()
        assert (len(data), hashlib.md5(data).digest()) == identity
    return len(believed)


def test_many_small_files_are_copied_beside_and_a_bad_one_costs_no_other(many):
    session, tmp = many
    (tmp / "photos/d50/f05").write_bytes(b"changed since the scan")
    (tmp / "photos/d51/f06").unlink()
    ran = back(session, tmp / "t1", update_first=False)
    assert {event.path for event in ran.of(Skipped)} == {bytes(tmp / "photos/d50/f05"), bytes(tmp / "photos/d51/f06")}
    contents = {path.read_bytes() for path in (tmp / "photos").rglob("f*")} - {b"changed since the scan"}
    assert _whole_copies(session, tmp / "t1") == ran.summary.copied == len(contents)
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))


@pytest.mark.parametrize("asks", [1, 2, 4])
def test_a_worker_process_that_dies_costs_no_file(many, monkeypatch, asks):
    session, tmp = many
    really = workers.Worker.ask
    asked: list[workers.Worker] = []

    def dying(worker, what, parts, directories):
        took = really(worker, what, parts, directories)
        asked.append(worker)
        if len(asked) == asks:
            os.kill(worker.pid, signal.SIGKILL)
        return took

    monkeypatch.setattr(workers.Worker, "ask", dying)
    ran = back(session, tmp / "t1", update_first=False)
    assert len(asked) >= asks and not ran.of(Skipped)
    assert _whole_copies(session, tmp / "t1") == len({path.read_bytes() for path in (tmp / "photos").rglob("f*")})
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))


def _stop_at(monkeypatch, what: str) -> set[int]:
    """Every worker that is asked for this is stopped by a signal at once; their process ids, as they come."""
    stopped: set[int] = set()
    really = workers.Worker.ask

    def stopping(worker, asked, parts, directories):
        if asked == what:
            os.kill(worker.pid, signal.SIGSTOP)
            stopped.add(worker.pid)
        return really(worker, asked, parts, directories)

    monkeypatch.setattr(workers.Worker, "ask", stopping)
    return stopped


def _cancel_where_it_waits(events, stopped: set[int]) -> None:
    """Run an operation until it waits for a stopped worker and has given two turns since; end it there."""
    turns = 0
    with closing(events):
        for event in events:
            turns += bool(stopped) and isinstance(event, Progress)
            if turns > 2:
                break
    assert turns > 2
    assert not stopped & children()


@pytest.mark.timeout(120)
@pytest.mark.parametrize("what", ["copy", "read back"])
def test_a_backup_that_waits_for_a_stopped_worker_can_be_ended_and_the_next_one_goes_on(many, monkeypatch, what):
    session, tmp = many
    (tmp / "t1").mkdir()
    with monkeypatch.context() as patch:
        stopped = _stop_at(patch, what)
        _cancel_where_it_waits(
            back_up(session, bytes(tmp / "t1"), answers=Answers(create=True), update_first=False), stopped
        )
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))
    first = _whole_copies(session, tmp / "t1")
    ran = back(session, tmp / "t1", update_first=False)
    assert not ran.of(Skipped) and ran.summary.copied == _whole_copies(session, tmp / "t1") - first


@pytest.mark.timeout(120)
def test_a_restore_that_waits_for_a_stopped_worker_can_be_ended_and_the_next_one_goes_on(many, monkeypatch):
    session, tmp = many
    back(session, tmp / "t1", update_first=False)
    with monkeypatch.context() as patch:
        stopped = _stop_at(patch, "copy")
        _cancel_where_it_waits(restore(session, str(tmp / "t1"), to=bytes(tmp / "out")), stopped)
    assert not list((tmp / "out").rglob(".medback-tmp-*"))
    assert run(restore(session, str(tmp / "t1"), to=bytes(tmp / "out"))).summary.missing == 0
    assert tree(tmp / "out/photos") == tree(tmp / "photos")


@pytest.mark.timeout(120)
def test_a_scan_that_waits_for_a_stopped_worker_can_be_ended_and_the_next_one_goes_on(many, monkeypatch):
    session, _ = many
    with monkeypatch.context() as patch:
        stopped = _stop_at(patch, "hash")
        _cancel_where_it_waits(update(session, (), rehash=True), stopped)
    assert not (ran := rescan(session, rehash=True)).of(Skipped)
    assert ran.of(ScanSummary)[0].hashed == 1200


@pytest.mark.timeout(120)
def test_a_tree_of_one_small_file_in_each_directory_comes_and_goes_through_tiny_pipes(tmp_path, monkeypatch):
    """More messages than the pipes hold: nothing may wait for a pipe that is emptied only by whoever waits."""
    monkeypatch.setattr(workers, "SEND_BUFFER", 1)
    monkeypatch.setattr(worker_pool, "_HERE", 20)
    write_tree(tmp_path / "photos", {f"d{number // 9}/d{number}/f": b"%d" % number for number in range(240)})
    with closing(new_session(tmp_path)) as session:
        add(session, tmp_path / "photos")
        assert back(session, tmp_path / "t1", update_first=False).summary.copied == 240
        run(restore(session, str(tmp_path / "t1"), to=bytes(tmp_path / "out")))
    assert tree(tmp_path / "out/photos") == tree(tmp_path / "photos") == tree(tmp_path / "t1/photos")


def test_cancelled_between_two_batches_it_leaves_nothing_half_done(many):
    session, tmp = many
    (tmp / "t1").mkdir()
    with closing(
        cast("Any", back_up(session, bytes(tmp / "t1"), answers=Answers(create=True), update_first=False))
    ) as events:
        for event in events:
            if isinstance(event, FileDone):
                break
    first = _whole_copies(session, tmp / "t1")
    assert 300 <= first < 400, "the batch that was published, not the one that was staged"
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))
    ran = back(session, tmp / "t1", update_first=False)
    assert ran.summary.copied == _whole_copies(session, tmp / "t1") - first


def test_many_small_files_are_restored_beside_and_a_bad_copy_is_no_file(many):
    session, tmp = many
    back(session, tmp / "t1", update_first=False)
    before = tree(tmp / "photos")
    bad = tmp / "t1/photos/d50/f05"
    kept = os.stat(bad)
    bad.write_bytes(bytes(kept.st_size))
    os.utime(bad, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    ran = run(restore(session, str(tmp / "t1"), to=bytes(tmp / "out")))
    there = tree(tmp / "out/photos")
    assert {path for path in before if path not in there} == {b"d50/f05"}
    assert there.items() <= before.items()
    assert ran.of(DamageFound) and ran.summary.missing == 1
    assert not list((tmp / "out").rglob(".medback-tmp-*"))


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("shape", ["node_modules/p{0}/dist", "Maildir/.folder {1}/{0}/cur"])
def test_a_tree_of_very_many_directories_with_few_files_comes_and_goes(tmp_path, shape):
    """`make faults` takes 100,000 directories. No more descriptors are open for more directories."""
    count = 100_000 if FULL else 400
    write_tree(
        tmp_path / "photos",
        {f"{shape.format(n, n // 1000)}/{n}/f{k}": b"%d %d" % (n, k) for n in range(count) for k in range(1 + n % 3)},
    )
    before = most = descriptors()
    with closing(new_session(tmp_path)) as session:
        (tmp_path / "t1").mkdir()
        for operation in (
            lambda: add_source(session, bytes(tmp_path / "photos")),
            lambda: back_up(session, bytes(tmp_path / "t1"), answers=Answers(create=True), update_first=False),
            lambda: restore(session, str(tmp_path / "t1"), to=bytes(tmp_path / "out")),
        ):
            for event in operation():
                assert not isinstance(event, Skipped)
                if isinstance(event, Progress):
                    most = max(most, descriptors())
    assert most < before + 500
    assert tree(tmp_path / "out/photos") == tree(tmp_path / "photos")


def test_the_sidecar_of_a_directory_is_not_written_once_for_each_file_that_moves_aside(tmp_path, monkeypatch):
    """A directory of a hundred thousand files, of which a sixth changed, took hours: its sidecar was written for each."""
    write_tree(tmp_path / "photos", {f"one/f{number}": b"%d" % number for number in range(100)})
    with closing(new_session(tmp_path)) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t")
        write_tree(tmp_path / "photos", {f"one/f{number}": b"%d, changed" % number for number in range(20)})
        rescan(session)
        written: list[bytes] = []
        render = sidecars.render
        monkeypatch.setattr(sidecars, "render", lambda sidecar: written.append(b"") or render(sidecar))
        ran = back(session, tmp_path / "t")
    assert (ran.summary.copied, ran.summary.superseded) == (20, 20)
    assert len(written) < 10
    old = {path.name: path.read_bytes() for path in (tmp_path / "t/.medback-old/photos/one").glob("f*")}
    assert old == {f"f{number}": b"%d" % number for number in range(20)}
    assert (tmp_path / "t/photos/one/f7").read_bytes() == b"7, changed"


@pytest.fixture
def large(tmp_path, monkeypatch):
    """A source of six large files, on a disk that does not spin."""
    monkeypatch.setattr(worker_pool, "_HERE", 0)
    monkeypatch.setattr(disk.Root, "spins", False)
    monkeypatch.setattr(worker_process, "SYNC_EVERY", 1 << 20)
    write_tree(tmp_path / "photos", {f"d/f{number}": os.urandom((1 << 20) + 1 + number) for number in range(6)})
    with closing(new_session(tmp_path)) as session:
        add(session, tmp_path / "photos")
        yield session, tmp_path


def _asked_to_copy(monkeypatch) -> list[tuple[workers.Worker, int]]:
    """Who is asked to copy large files, and how many were under way already."""
    asked: list[tuple[workers.Worker, int]] = []
    really = worker_pool.WorkerPool._ask

    def noting(pool, worker, what, directories, parts, job):
        if what == "copy":
            asked.append((worker, sum(len(load.jobs) for load in pool._workers.values())))
        return really(pool, worker, what, directories, parts, job)

    monkeypatch.setattr(worker_pool.WorkerPool, "_ask", noting)
    return asked


def test_two_large_files_are_copied_beside_each_other_and_each_is_told_of_once(large, monkeypatch):
    session, tmp = large
    monkeypatch.setattr(group, "BATCH_BYTES", 1)  # each fills a batch: the next one still goes beside it
    asked = _asked_to_copy(monkeypatch)
    ran = back(session, tmp / "t1", update_first=False)
    assert _whole_copies(session, tmp / "t1") == ran.summary.copied == 6
    assert len({worker for worker, _ in asked}) == 2 and [under_way for _, under_way in asked] == [0, 1] * 3
    assert all(event.bytes <= ran.summary.copied_bytes for event in ran.of(Progress))
    run(restore(session, str(tmp / "t1"), to=bytes(tmp / "out")))
    assert len(asked) == 12 and tree(tmp / "out/photos") == tree(tmp / "photos")


def test_from_or_to_a_disk_that_spins_one_large_file_is_copied_at_a_time(large, monkeypatch):
    session, tmp = large
    asked = _asked_to_copy(monkeypatch)
    monkeypatch.setattr(disk.Root, "spins", property(lambda root: root.path == bytes(tmp / "photos")))
    assert back(session, tmp / "t1", update_first=False).summary.copied == 6
    monkeypatch.setattr(disk.Root, "spins", property(lambda root: root.path == bytes(tmp / "out")))
    run(restore(session, str(tmp / "t1"), to=bytes(tmp / "out")))
    assert not asked and tree(tmp / "out/photos") == tree(tmp / "photos")


def test_a_large_file_that_is_not_what_is_recorded_or_whose_worker_dies_costs_no_other(large, monkeypatch):
    session, tmp = large
    rotten = tmp / "photos/d/f1"
    kept = rotten.stat()
    rotten.write_bytes(rotten.read_bytes()[:-1] + b"!")
    os.utime(rotten, ns=(kept.st_atime_ns, kept.st_mtime_ns))
    really = workers.Worker.ask
    asked: list[workers.Worker] = []

    def dying(worker, what, parts, directories):
        took = really(worker, what, parts, directories)
        asked.append(worker)
        if len(asked) == 4:
            os.kill(worker.pid, signal.SIGKILL)
        return took

    monkeypatch.setattr(workers.Worker, "ask", dying)
    ran = back(session, tmp / "t1", update_first=False)
    assert {event.path for event in ran.of(DamageFound)} == {bytes(rotten)} and len(asked) > 4
    assert _whole_copies(session, tmp / "t1") == ran.summary.copied == 5
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))


@pytest.mark.timeout(120)
def test_a_backup_that_waits_for_the_stopped_worker_of_a_large_file_can_be_ended(large, monkeypatch):
    session, tmp = large
    (tmp / "t1").mkdir()
    with monkeypatch.context() as patch:
        stopped = _stop_at(patch, "copy")
        _cancel_where_it_waits(
            back_up(session, bytes(tmp / "t1"), answers=Answers(create=True), update_first=False), stopped
        )
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))
    assert back(session, tmp / "t1", update_first=False).summary.copied == 6
