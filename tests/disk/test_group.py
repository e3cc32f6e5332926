"""Group commit: whole or not at all under a final name, durable before it counts, nothing left behind."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from medback_core import disk
from medback_core.disk import ContentDiffers, Group, Root, Staged, portable, primitives, staging
from medback_core.model import TEMPORARY_PREFIX, Identity

Ops = list[tuple[Any, ...]]


@pytest.fixture(autouse=True)
def no_observer_left() -> Iterator[None]:
    yield
    disk.set_observer(None)


@pytest.fixture
def drive(tmp_path: Path) -> Iterator[Root]:
    (tmp_path / "drive").mkdir()
    with Root(bytes(tmp_path / "drive")) as root:
        yield root


@pytest.fixture
def _syncs_together(drive: Root) -> None:
    """For tests of batches that one syncfs makes durable."""
    if not drive.file_system.group_sync:
        pytest.skip(f"no sound syncfs on {drive.file_system.kind}")


class Source:
    """A file to be copied."""

    def __init__(self, path: Path, data: bytes) -> None:
        path.write_bytes(data)
        self.fd = os.open(path, os.O_RDONLY)
        self.identity = Identity(len(data), hashlib.md5(data).digest())
        self.data = data


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Callable[..., Source]]:
    made: list[Source] = []

    def make(data: bytes = b"hello") -> Source:
        made.append(Source(tmp_path / f"source{len(made)}", data))
        return made[-1]

    yield make
    for item in made:
        os.close(item.fd)


def _small(group: Group, rel: bytes, item: Source, mode: int = 0o644) -> Staged:
    return group.stage_small_copy(rel, item.fd, expected=item.identity, mtime_ns=1_700_000_000_123456789, mode=mode)


def _large(group: Group, rel: bytes, item: Source, expected: Identity | None = None) -> Staged:
    steps = group.stage_copy(rel, item.fd, expected=expected or item.identity, mtime_ns=5, mode=0o640)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def _files(root: Root) -> dict[str, bytes]:
    top = Path(os.fsdecode(root.path))
    return {str(path.relative_to(top)): path.read_bytes() for path in top.rglob("*") if path.is_file()}


def _temporaries(root: Root) -> list[str]:
    return [name for name in _files(root) if TEMPORARY_PREFIX.decode() in name]


def _record(ops: Ops, then: Callable[[int, tuple[Any, ...]], None] = lambda n, op: None) -> None:
    def observe(*op: Any) -> None:
        ops.append(op)
        then(len(ops), op)

    disk.set_observer(observe)


# --- what is staged and published ----------------------------------------------------------------------------------


def test_copies_get_their_content_time_and_permissions_under_their_final_names(
    drive: Root, source: Callable[..., Source]
) -> None:
    small, large, empty = source(b"small"), source(os.urandom(2_500_000)), source(b"")
    with Group(drive) as group:
        _small(group, b"a/b/small", small, 0o600)
        _large(group, b"a/large", large)
        _small(group, b"empty", empty)
        assert set(_files(drive)) == set(_temporaries(drive))  # nothing has a final name yet
        results = group.publish()
    assert [error for _, error in results] == [None, None, None]
    assert _files(drive) == {"a/b/small": b"small", "a/large": large.data, "empty": b""}
    status = os.stat(drive.path + b"/a/b/small")
    assert status.st_mtime_ns == 1_700_000_000_123456789
    assert stat.S_IMODE(status.st_mode) == 0o600
    assert status.st_ino == results[0][0].inode


def test_setuid_setgid_and_sticky_are_never_given(drive: Root, source: Callable[..., Source]) -> None:
    with Group(drive) as group:
        _small(group, b"a", source(), 0o7755)
        group.publish()
    assert stat.S_IMODE(os.stat(drive.path + b"/a").st_mode) == 0o755


def test_permissions_are_exact_whatever_the_umask_and_never_wider_on_the_way(
    drive: Root, source: Callable[..., Source]
) -> None:
    old = os.umask(0o077)
    try:
        with Group(drive) as group:
            _small(group, b"a", source(), 0o664)
            group.stage_bytes(b"own.xml", b"<x/>")
            group.publish()
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(drive.path + b"/a").st_mode) == 0o664
    assert stat.S_IMODE(os.stat(drive.path + b"/own.xml").st_mode) == 0o600
    ops: Ops = []
    _record(ops)
    with Group(drive) as group:
        _small(group, b"secret", source(), 0o600)
    assert [op[3] for op in ops if op[0] == "create"] == [0o600]


@pytest.mark.parametrize("mtime_ns", [0, -1_500_000_000, 1, 253_402_300_799 * 10**9])
def test_odd_times_are_exact(tmp_path: Path, drive: Root, source: Callable[..., Source], mtime_ns: int) -> None:
    if mtime_ns > 2**33 * 10**9:
        mtime_ns = (2**33) * 10**9  # as far as ext4 goes
    item = source()
    with Group(drive) as group:
        group.stage_small_copy(b"a", item.fd, expected=item.identity, mtime_ns=mtime_ns)
        group.publish()
    assert os.stat(drive.path + b"/a").st_mtime_ns == mtime_ns


def test_a_copy_never_replaces_and_the_others_of_its_batch_go_on(drive: Root, source: Callable[..., Source]) -> None:
    Path(os.fsdecode(drive.path), "taken").write_bytes(b"precious")
    with Group(drive) as group:
        for name in (b"first", b"taken", b"last"):
            _small(group, name, source(b"new"))
        results = group.publish()
    assert [type(error) for _, error in results] == [type(None), FileExistsError, type(None)]
    assert _files(drive) == {"first": b"new", "taken": b"precious", "last": b"new"}


def test_without_renameat2_a_copy_still_never_replaces(
    drive: Root, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portable, "renameat2_noreplace", lambda *arguments: errno.EINVAL)
    os.symlink("nowhere", os.path.join(drive.path, b"taken"))
    with Group(drive) as group:
        _small(group, b"free", source(b"new"))
        _small(group, b"taken", source(b"new"))
        results = group.publish()
    assert [type(error) for _, error in results] == [type(None), FileExistsError]
    assert os.readlink(drive.path + b"/taken") == b"nowhere"
    assert _temporaries(drive) == []


def test_our_own_files_replace_what_is_there(drive: Root) -> None:
    for data in (b"old", b"new"):
        with Group(drive) as group:
            group.stage_stream(b"d/.medback.xml", iter([data[:1], b"", data[1:]]))
            group.publish()
    assert _files(drive) == {"d/.medback.xml": b"new"}


def test_content_that_differs_is_told_and_leaves_nothing(drive: Root, source: Callable[..., Source]) -> None:
    wrong = Identity(5, b"\0" * 16)
    for data in (b"HELLO", b"HELLO longer", b"HEL", b"x" * 1_500_000):
        item = source(data)
        with Group(drive) as group:
            with pytest.raises(ContentDiffers) as small:
                group.stage_small_copy(b"d/a", item.fd, expected=wrong, mtime_ns=0)
            with pytest.raises(ContentDiffers) as large:
                _large(group, b"d/a", item, wrong)
            assert small.value.actual == large.value.actual == item.identity
            assert group.staged_count == 0
            assert _files(drive) == {}


def test_a_file_that_grew_since_it_was_scanned_is_not_read_in_crumbs(
    drive: Root, source: Callable[..., Source]
) -> None:
    item = source(b"x" * 1_500_000)
    with Group(drive) as group, pytest.raises(ContentDiffers) as found:
        for number, _ in enumerate(group.stage_copy(b"d/a", item.fd, expected=Identity(5, b"\0" * 16), mtime_ns=0)):
            assert number < 30
    assert found.value.actual == item.identity


def test_a_copy_cancelled_in_the_middle_leaves_nothing(drive: Root, source: Callable[..., Source]) -> None:
    item = source(bytes(3_000_000))
    with Group(drive) as group:
        steps = group.stage_copy(b"a", item.fd, expected=item.identity, mtime_ns=0)
        assert next(steps) == 1 << 20
        assert len(_temporaries(drive)) == 1
        steps.close()
        assert _files(drive) == {}
        assert group.publish() == []


def test_leaving_the_group_for_any_reason_leaves_no_temporary_file(drive: Root, source: Callable[..., Source]) -> None:
    with pytest.raises(KeyboardInterrupt), Group(drive) as group:
        _small(group, b"a", source())
        group.stage_bytes(b"b", b"x")
        assert len(_temporaries(drive)) == 2
        raise KeyboardInterrupt
    assert _files(drive) == {}


def test_what_read_back_wrong_can_be_taken_out_alone(drive: Root, source: Callable[..., Source]) -> None:
    with Group(drive) as group:
        bad, good = _small(group, b"bad", source()), _small(group, b"good", source())
        group.flush()
        with open(drive.path + b"/" + bad.temporary, "r+b") as file:
            file.write(b"rot")
        assert group.read_back(bad)[0] != bad.identity.md5
        assert group.read_back(good)[0] == good.identity.md5
        group.discard(bad)
        assert group.staged_bytes == 5
        group.publish()
    assert _files(drive) == {"good": b"hello"}


def test_two_groups_never_meet_even_if_they_draw_the_same_name(
    drive: Root, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    draws = iter([b"aaaaaa", b"aaaaaa", b"bbbbbb"])
    monkeypatch.setattr(staging, "_drawn_prefix", lambda: TEMPORARY_PREFIX + next(draws))
    with Group(drive) as one, Group(drive) as other:
        _small(one, b"a", source(b"one"))
        _small(other, b"b", source(b"other"))
        one.publish()
        other.publish()
    assert _files(drive) == {"a": b"one", "b": b"other"}


# --- durability ----------------------------------------------------------------------------------------------------


def _positions(ops: Ops, *kinds: str) -> list[int]:
    return [index for index, op in enumerate(ops) if op[0] in kinds]


@pytest.mark.usefixtures("_syncs_together")
def test_together_all_bytes_are_synced_before_the_first_name_and_all_names_before_publish_returns(
    drive: Root, source: Callable[..., Source]
) -> None:
    ops: Ops = []
    with Group(drive) as group:
        _record(ops)
        for index in range(20):
            _small(group, b"d%d/f" % index, source())
        group.publish()
    writes, syncs = _positions(ops, "create", "write", "chmod", "utime"), _positions(ops, "syncfs")
    renames = _positions(ops, "rename", "rename_noreplace")
    assert len(syncs) == 2 and len(renames) == 20  # once a batch, not once a file
    assert max(writes) < syncs[0] < min(renames) <= max(renames) < syncs[1]
    assert _positions(ops, "fsync", "fsync_directory") == []


def test_one_by_one_each_file_is_synced_before_its_name_and_each_directory_after(
    drive: Root, source: Callable[..., Source]
) -> None:
    ops: Ops = []
    with Group(drive, group_sync=False) as group:
        _record(ops, lambda n, op: ops.append(("of", os.readlink(f"/proc/self/fd/{op[1]}"))))
        _small(group, b"new/deep/f", source())
        group.stage_bytes(b"new/deep/.medback.xml", b"<x/>")
        group.publish()
    kinds = [op[0] for op in ops if op[0] != "of"]
    assert kinds[-8:-5].count("rename") == 0 and "syncfs" not in kinds
    first_rename = min(_positions(ops, "rename", "rename_noreplace"))
    assert len([index for index in _positions(ops, "fsync") if index < first_rename]) == 2
    assert max(_positions(ops, "write", "utime", "chmod")) < max(_positions(ops, "fsync")) < first_rename
    synced = {os.fsencode(ops[index + 1][1]) for index in _positions(ops, "fsync_directory") if index > first_rename}
    assert synced == {drive.path, drive.path + b"/new", drive.path + b"/new/deep"}


def test_large_files_are_made_durable_as_they_grow(
    drive: Root, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(staging, "SYNC_EVERY", 2 << 20)
    ops: Ops = []
    _record(ops)
    with Group(drive) as group:
        _large(group, b"a", source(bytes(5 << 20)))
    assert len(_positions(ops, "fdatasync")) == 2


@pytest.mark.usefixtures("_syncs_together")
def test_a_failed_sync_is_never_retried_and_nothing_of_its_batch_is_published(
    drive: Root, source: Callable[..., Source]
) -> None:
    calls: list[str] = []

    def fail(op: str, *details: Any) -> None:
        if op in ("syncfs", "fsync"):
            calls.append(op)
            raise OSError(errno.EIO, "medium error")

    with Group(drive) as group:
        _small(group, b"a", source())
        disk.set_observer(fail)
        with pytest.raises(OSError, match="medium error"):
            group.flush()
        for forbidden in (group.flush, group.publish, lambda: group.stage_bytes(b"b", b"x")):
            with pytest.raises(RuntimeError, match="abandon"):
                forbidden()
        assert calls == ["syncfs"]
        disk.set_observer(None)
        group.abandon()
        _small(group, b"a", source(b"again"))  # written anew, and then it may be tried
        group.publish()
    assert _files(drive) == {"a": b"again"}


@pytest.mark.usefixtures("_syncs_together")
def test_a_batch_whose_flush_was_begun_and_failed_is_lost_and_never_synced_again(
    drive: Root, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def fail(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "medium error")

    with Group(drive) as group:
        _small(group, b"a", source())
        monkeypatch.setattr(disk.primitives, "syncfs", fail)
        group.begin_flush()
        with pytest.raises(OSError, match="medium error"):
            group.publish()
        with pytest.raises(RuntimeError, match="abandon"):
            group.publish()
        assert len(calls) == 1
    assert _files(drive) == {}


@pytest.mark.usefixtures("_syncs_together")
def test_a_flush_that_was_begun_is_waited_for_before_the_first_name(
    drive: Root, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    go_on = threading.Event()
    syncfs, rename, end = primitives.syncfs, primitives.rename_noreplace, staging.Flushing.end

    def slow(fd: int) -> None:
        go_on.wait()
        order.append("sync")
        syncfs(fd)

    def named(*arguments: Any) -> None:
        order.append("name")
        go_on.set()
        rename(*arguments)

    def waiting(flushing: staging.Flushing) -> OSError | None:
        go_on.set()
        return end(flushing)

    with Group(drive) as group:
        _small(group, b"a", source())
        monkeypatch.setattr(primitives, "syncfs", slow)
        monkeypatch.setattr(primitives, "rename_noreplace", named)
        monkeypatch.setattr(staging.Flushing, "end", waiting)
        group.begin_flush()
        group.publish()
    assert order == ["sync", "name", "sync"]


@pytest.mark.usefixtures("_syncs_together")
def test_what_is_staged_after_a_flush_was_begun_is_flushed_too(
    drive: Root, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []
    syncfs = disk.primitives.syncfs

    def note(fd: int) -> None:
        held.append(len(list(Path(os.fsdecode(drive.path)).rglob(".medback-tmp-*"))))
        syncfs(fd)

    with Group(drive) as group:
        _small(group, b"a", source())
        monkeypatch.setattr(disk.primitives, "syncfs", note)
        group.begin_flush()
        _small(group, b"b", source(b"later"))
        group.publish()
    assert held[1:] == [2, 0]  # both under their temporary names, then the names
    assert set(_files(drive)) == {"a", "b"}


def test_nothing_is_read_back_before_it_is_durable(drive: Root, source: Callable[..., Source]) -> None:
    with Group(drive) as group:
        staged = _small(group, b"a", source(b"good"))
        group.begin_read_back(group.staged)
        temporary = Path(os.fsdecode(drive.path)) / os.fsdecode(staged.temporary)
        temporary.write_bytes(b"evil")
        assert [one and one[1] for one in group.read_back_small(group.staged)] == [b""]
        temporary.write_bytes(b"good")
        group.begin_read_back(group.staged)
        assert [one and one[1] for one in group.read_back_small(group.staged)] == [staged.identity.md5]
        group.begin_read_back(group.staged)  # and never asked for: it ends with the group
    assert _files(drive) == {}


@pytest.mark.usefixtures("_syncs_together")
def test_each_group_has_its_own_error_state(drive: Root) -> None:
    with Group(drive) as one, Group(drive) as other:
        ops: Ops = []
        _record(ops)
        for group in (one, other):
            group.stage_bytes(b"x", b"1")
            group.flush()
    fds = [op[1] for op in ops if op[0] == "syncfs"]
    assert len(set(fds)) == 2 and drive.fd not in fds


# --- every fault at every operation --------------------------------------------------------------------------------


def _whole_run(root: Root, items: list[Source]) -> None:
    with Group(root) as group:
        for index, item in enumerate(items):
            where = b"d%d/f%d" % (index % 2, index)
            if root.stat(where) is None:
                if index == 0:
                    _large(group, where, item)
                else:
                    _small(group, where, item, 0o600)
        group.stage_bytes(b"d0/.medback.xml", b"<new/>")
        group.publish()


def _assert_only_whole_files(root: Root, items: list[Source]) -> None:
    for name, data in _files(root).items():
        if TEMPORARY_PREFIX.decode() in name:
            continue
        if name.endswith(".xml"):
            assert data in (b"<old/>", b"<new/>")
        else:
            assert data == items[int(name.rpartition("f")[2])].data


@pytest.mark.parametrize("group_sync", [True, False])
@pytest.mark.parametrize("fault", ["kill", "error"])
def test_at_any_operation_a_fault_leaves_only_whole_files_and_a_second_run_finishes(
    tmp_path: Path, source: Callable[..., Source], fault: str, group_sync: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    items = [source(os.urandom(1_200_000)), source(b"one"), source(b"two"), source(b"")]
    number = 0
    while True:
        number += 1
        top = tmp_path / f"run{number}"
        (top / "d0").mkdir(parents=True)
        (top / "d0" / ".medback.xml").write_bytes(b"<old/>")
        with Root(bytes(top)) as root:
            if not group_sync:
                described = root.file_system
                object.__setattr__(described, "group_sync", False)
            if _run_with_fault(root, items, number, fault):
                assert number > 15
                return
            _assert_only_whole_files(root, items)
            if fault == "error":
                assert _temporaries(root) == []
            for directory in (b"", b"d0", b"d1"):
                if root.stat(directory) is not None:
                    names = [name for name, _ in root.scan(directory)]
                    disk.clean_temporaries(root, directory, names)
            assert _temporaries(root) == []
            _whole_run(root, items)
            assert sorted(_files(root)) == ["d0/.medback.xml", "d0/f0", "d0/f2", "d1/f1", "d1/f3"]
            _assert_only_whole_files(root, items)


def _run_with_fault(root: Root, items: list[Source], number: int, fault: str) -> bool:
    """One run with a fault at its Nth operation; whether it came to its end undisturbed."""
    count = 0

    def observe(op: str, *details: Any) -> None:
        nonlocal count
        count += 1
        if count == number:
            if fault == "kill":
                os._exit(9)
            raise OSError(errno.EIO, "injected")

    if fault == "error":
        disk.set_observer(observe)
        try:
            _whole_run(root, items)
        except OSError:
            pass
        finally:
            disk.set_observer(None)
        return count < number
    child = os.fork()
    if child == 0:
        try:
            disk.set_observer(observe)
            _whole_run(root, items)
            os._exit(0)
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code in (0, 9)
    return code == 0


def test_the_first_error_is_the_one_told_even_if_cleaning_up_fails_too(
    drive: Root, source: Callable[..., Source]
) -> None:
    def fail(op: str, *details: Any) -> None:
        if op in ("write", "unlink"):
            raise OSError(errno.ENOSPC if op == "write" else errno.EROFS, op)

    with Group(drive) as group:
        disk.set_observer(fail)
        with pytest.raises(OSError) as caught:
            _small(group, b"a", source())
    assert caught.value.errno == errno.ENOSPC


def test_no_descriptor_is_leaked_by_errors(drive: Root, source: Callable[..., Source]) -> None:
    item = source()
    before = len(os.listdir("/proc/self/fd"))
    for op_to_fail in ("write", "utime", "create", "fsync", "syncfs"):

        def fail(op: str, *details: Any, bad: str = op_to_fail) -> None:
            if op == bad:
                raise OSError(errno.EIO, op)

        for group_sync in (None, False):
            disk.set_observer(fail)
            try:
                with Group(drive, group_sync=group_sync) as group:
                    _small(group, b"a", item)
                    group.flush()
            except OSError:
                pass
            disk.set_observer(None)
    assert len(os.listdir("/proc/self/fd")) == before


# --- directories that are not what they were -----------------------------------------------------------------------


def test_a_directory_removed_behind_our_back_is_made_again(drive: Root, source: Callable[..., Source]) -> None:
    drive.make_directories(b"d")
    drive.open_directory(b"d")
    os.rmdir(drive.path + b"/d")
    with Group(drive) as group:
        _small(group, b"d/a", source())
        group.publish()
        os.unlink(drive.path + b"/d/a")
        os.rmdir(drive.path + b"/d")
        _small(group, b"d/a", source())  # the very directory it is in
        group.publish()
    assert _files(drive) == {"d/a": b"hello"}


def test_directories_removed_behind_our_back_are_made_again_with_those_above(
    drive: Root, source: Callable[..., Source]
) -> None:
    with Group(drive) as group:
        _small(group, b"d/e/f/a", source())
        group.publish()
        shutil.rmtree(drive.path + b"/d")
        _small(group, b"d/e/f/a", source())
        group.publish()
    assert _files(drive) == {"d/e/f/a": b"hello"}


def test_a_link_planted_for_a_directory_leads_nowhere(
    tmp_path: Path, drive: Root, source: Callable[..., Source]
) -> None:
    (tmp_path / "outside").mkdir()
    os.symlink(bytes(tmp_path / "outside"), drive.path + b"/d")
    with Group(drive) as group:
        for rel in (b"d/a", b"d/x/a", b"../outside/a", b"/a", b"x/../../outside/a", b"a/", b""):
            with pytest.raises(OSError):
                _small(group, rel, source())
        group.publish()
    assert list((tmp_path / "outside").iterdir()) == []


def test_short_writes_are_finished(drive: Root, source: Callable[..., Source], monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(primitives.os, "write", lambda fd, data: real(fd, bytes(data)[:1000]))
    items = [source(os.urandom(5_500)), source(os.urandom(70_000))]
    with Group(drive) as group:
        _small(group, b"a", items[0])
        _large(group, b"b", items[1])
        group.publish()
    assert _files(drive) == {"a": items[0].data, "b": items[1].data}


def test_what_a_file_system_cannot_hold_of_permissions_and_time_is_noted_and_no_failure(
    drive: Root, source: Callable[..., Source]
) -> None:
    def refuse(op: str, *details: Any) -> None:
        if op in ("chmod", "utime"):
            raise PermissionError(errno.EPERM, op)

    with Group(drive) as group:
        disk.set_observer(refuse)
        _small(group, b"a", source(), 0o777)
        disk.set_observer(None)
        group.publish()
    assert _files(drive) == {"a": b"hello"}


def test_a_drive_that_fails_while_permissions_or_time_are_set_is_a_failure(
    drive: Root, source: Callable[..., Source]
) -> None:
    for bad in ("chmod", "utime"):

        def fail(op: str, *details: Any, bad: str = bad) -> None:
            if op == bad:
                raise OSError(errno.EIO, op)

        with Group(drive) as group:
            disk.set_observer(fail)
            with pytest.raises(OSError, match=bad):
                _small(group, b"a", source(), 0o777)
            disk.set_observer(None)
            assert _files(drive) == {}


def test_a_source_that_has_grown_does_not_fill_the_drive(drive: Root, source: Callable[..., Source]) -> None:
    ops: Ops = []
    _record(ops)
    with Group(drive) as group, pytest.raises(ContentDiffers):
        _large(group, b"a", source(bytes(4 << 20)), Identity(1 << 20, b"\0" * 16))
    assert sum(len(op[2]) for op in ops if op[0] == "write") <= 1 << 20


def test_a_temporary_file_tells_what_it_would_become(drive: Root) -> None:
    with Group(drive) as group:
        names = [
            group.stage_bytes(b"d/" + name, b"x").temporary
            for name in (b".medback.xml", b".medback-target.xml", b"other")
        ]
    assert [name[len(TEMPORARY_PREFIX) + 12 :] for name in names] == [b".medback.xml", b".medback-target.xml", b""]


def test_each_primitive_masks_special_bits_itself(drive: Root) -> None:
    fd = primitives.create(drive.fd, b"a", 0o7755)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o755
    primitives.chmod(fd, 0o6711)
    assert stat.S_IMODE(os.fstat(fd).st_mode) == 0o711
    os.close(fd)
