"""One thing on a drive, or in a source, that can't be dealt with costs nobody else anything."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from medback_core.drives import context_file
from medback_core.cli.outcome import why
from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.upkeep import reclaim as reclaiming
from medback_core.backing_up.back_up import back_up
from medback_core.backing_up.discover import discover
from medback_core.model import Excluded, FileDone, Skipped, Warned
from medback_core.upkeep.reclaim import reclaim
from medback_core.session.copies import copies_on
from medback_core.session.targets import list_targets
from medback_core.sidecar import parse
from medback_core.upkeep.verify_target import verify
from support.worlds import add, back, counted, new_session, photos, rescan, run, write_tree

FILES = {"a/one": b"one", "a/two": b"two", "b/three": b"three", "b/four": b"four"}


@pytest.fixture
def world(tmp_path: Path):
    with photos(tmp_path, FILES) as made:
        yield made


@contextmanager
def failing(fails: Callable[[str, tuple], bool], number: int = errno.EPERM) -> Iterator[None]:
    """Each change of a drive of which this holds fails."""

    def observe(what: str, *arguments: object) -> None:
        if fails(what, arguments):
            raise OSError(number, os.strerror(number))

    disk.set_observer(observe)
    try:
        yield
    finally:
        disk.set_observer(None)


def skipped(ran) -> set[str]:
    return {os.path.basename(os.fsdecode(event.path)) for event in ran.of(Skipped)}


def test_a_file_that_cant_be_moved_aside_costs_the_rest_of_the_batch_nothing(world):
    session, tmp = world
    back(session, tmp / "t")
    write_tree(tmp / "photos", {"a/one": b"one, changed", "a/five": b"five", "b/four": b"four, changed"})
    rescan(session)
    (tmp / "t/.medback-old/photos").mkdir(parents=True)
    (tmp / "t/.medback-old/photos/a").write_bytes(b"in the way of a directory")
    ran = back(session, tmp / "t")
    assert (skipped(ran), ran.summary.copied, ran.summary.superseded) == ({"one"}, 2, 1)
    assert (tmp / "t/photos/a/one").read_bytes() == b"one", "the old version stays until it can be moved"
    assert not list((tmp / "t").rglob(".medback-tmp-*"))
    (tmp / "t/.medback-old/photos/a").unlink()
    assert back(session, tmp / "t").summary.copied == 1
    assert (tmp / "t/.medback-old/photos/a/one").read_bytes() == b"one"


def test_a_sidecar_that_cant_be_written_costs_the_records_of_its_own_directory_alone(world):
    session, tmp = world
    (tmp / "t/photos/a/.medback.xml").mkdir(parents=True)
    ran = back(session, tmp / "t")
    assert (skipped(ran), ran.summary.copied) == ({".medback.xml", "one", "two"}, 2)
    assert counted(session) == {0: 2, 1: 2}, "what is on no record counts nowhere"
    (tmp / "t/photos/a/.medback.xml").rmdir()
    again = back(session, tmp / "t")
    assert (again.summary.copied, again.summary.already_there) == (0, 4)
    assert counted(session) == {1: 4}
    records = parse((tmp / "t/photos/a/.medback.xml").read_bytes()).files
    assert all(records[name].ours for name in (b"one", b"two")), "medback put them there, and knows it still"


def test_a_source_file_that_breaks_off_is_taken_from_its_twin(tmp_path):
    big = os.urandom(2 << 20)
    write_tree(tmp_path / "s", {"a/one": big})
    session = new_session(tmp_path)
    add(session, tmp_path / "s")
    shutil.copytree(tmp_path / "s/a", tmp_path / "s/b", ignore=shutil.ignore_patterns(".medback*"))
    rescan(session)
    (tmp_path / "t/s/a").mkdir(parents=True)
    with failing(lambda what, arguments: what == "write" and opened_in(arguments[0], tmp_path / "t/s/a"), errno.EIO):
        ran = back(session, tmp_path / "t")
    assert (ran.summary.copied, list(ran.of(Skipped))) == (1, [])
    assert (tmp_path / "t/s/b/one").read_bytes() == big


def opened_in(fd: int, directory: Path) -> bool:
    return os.path.dirname(os.readlink(f"/proc/self/fd/{fd}")) == str(directory)


def test_what_was_freed_is_told_as_freed_though_the_drives_records_cant_be_written(
    world, monkeypatch: pytest.MonkeyPatch
):
    session, tmp = world
    for drive in ("t1", "t2", "t3"):
        back(session, tmp / drive)
    monkeypatch.setattr(reclaiming, "_DIRECTORIES_PER_COMMIT", 1)
    with failing(lambda what, arguments: what == "create" and arguments[1].endswith(b".medback.xml")):
        ran = run(reclaim(session, str(tmp / "t1"), surplus=True))
    assert (ran.summary.freed, len(list(ran.of(FileDone))), list(ran.of(Skipped))) == (4, 4, [])
    assert [event for event in ran.of(Warned) if "could not be updated" in message(event)]
    first = list_targets(session)[0]
    assert not [copy for _, copy in copies_on(session, first.key)]
    assert run(back_up(session, os.fsencode(tmp / "t2"))).summary.remaining == 0


def test_what_only_the_superuser_may_read_on_a_file_system_is_no_failure(world, monkeypatch: pytest.MonkeyPatch):
    session, tmp = world
    for place in ("photos/lost+found", "photos/a/lost+found", "t/lost+found"):
        (tmp / place).mkdir(parents=True)
    real = disk.Root.scan

    def scan(root: disk.Root, rel: bytes, unasked: frozenset[bytes] = frozenset()):
        if rel.endswith(b"lost+found"):
            raise PermissionError(errno.EACCES, "Permission denied", rel)
        return real(root, rel, unasked)

    monkeypatch.setattr(disk.Root, "scan", scan)
    for ran in (
        back(session, tmp / "t"),
        run(discover(session, os.fsencode(tmp / "t"))),
        run(verify(session, os.fsencode(tmp / "t"))),
    ):
        excluded = {event.path for event in ran.of(Excluded)}
        assert os.fsencode(tmp / "t/lost+found") in excluded
        assert {event.path for event in ran.of(Skipped)} <= {os.fsencode(tmp / "photos/a/lost+found")}
    assert {event.path for event in rescan(session).of(Excluded)} == {os.fsencode(tmp / "photos/lost+found")}


def test_a_context_that_could_not_be_written_is_told_as_a_failure(world, monkeypatch: pytest.MonkeyPatch):
    session, tmp = world

    def full(*_: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(context_file, "write_contexts", full)
        ran = back(session, tmp / "t1")
    assert [(event.path, why(event)) for event in ran.of(Skipped)] == [
        (
            os.fsencode(tmp / "t1/.medback-context.xml"),
            "the restore context could not be written: No space left on device",
        )
    ]
    assert ran.summary.copied and not (tmp / "t1/.medback-context.xml").exists()
    assert not back(session, tmp / "t1").of(Skipped) and (tmp / "t1/.medback-context.xml").exists()
