"""Backing up many small files: copied by worker processes, one batch staged while the other is published."""

from __future__ import annotations

import hashlib
import os
import signal
from contextlib import closing
from pathlib import Path

import pytest

from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.disk import errands, workers
from medback_core.model import DamageFound, FileDone, Skipped
from medback_core.session import copies_on, list_targets
from medback_core.restoring.restore import restore
from support.worlds import add, back, new_session, run, tree


@pytest.fixture
def many(tmp_path, monkeypatch):
    """A source of 60 directories of 20 small files, more than are copied in one process; a bad file among them."""
    monkeypatch.setattr(errands, "_HERE", 100)
    monkeypatch.setattr(disk.group, "BATCH_FILES", 300)
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
        data = (drive / os.fsdecode(copy.path)).read_bytes()
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
    monkeypatch.setattr(workers, "_idle", [])
    really = workers.Worker.ask
    asked: list[workers.Worker] = []

    def dying(worker, what, parts, directories):
        really(worker, what, parts, directories)
        asked.append(worker)
        if len(asked) == asks:
            os.kill(worker._pid, signal.SIGKILL)

    monkeypatch.setattr(workers.Worker, "ask", dying)
    ran = back(session, tmp / "t1", update_first=False)
    assert len(asked) >= asks and not ran.of(Skipped)
    assert _whole_copies(session, tmp / "t1") == len({path.read_bytes() for path in (tmp / "photos").rglob("f*")})
    assert not list((tmp / "t1").rglob(".medback-tmp-*"))


def test_cancelled_between_two_batches_it_leaves_nothing_half_done(many):
    session, tmp = many
    (tmp / "t1").mkdir()
    with closing(back_up(session, bytes(tmp / "t1"), create=True, update_first=False)) as events:
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
