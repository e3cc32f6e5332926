"""Many files read as their drive holds them: what is as recorded is said so, all else is left to more care."""

from __future__ import annotations

import os
from hashlib import md5
from pathlib import Path

import pytest
from blake3 import blake3

from medback_core import disk
from medback_core.disk import worker_pool, workers
from medback_core.model import Identity, Recorded
from support.worlds import write_tree

CONTENT = b"as it should be"


def _should_be(content: bytes, *, by_blake3: bool = True) -> Recorded:
    return Recorded(Identity(len(content), md5(content).digest()), blake3(content).digest() if by_blake3 else None)


@pytest.mark.parametrize("in_workers", [False, True])
@pytest.mark.parametrize("by_blake3", [False, True])
def test_results_come_in_order_and_what_is_unusual_is_left_to_more_care(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_workers: bool, by_blake3: bool
) -> None:
    if in_workers:
        monkeypatch.setattr(worker_pool, "_HERE", 0)
    large = os.urandom((1 << 20) + 1)
    write_tree(
        tmp_path,
        {"d/a": CONTENT, "d/b": b"as it shouldn't", "d/c": CONTENT + b"!", "large": large, "e/a": CONTENT, "e/z": b""},
    )
    os.mkfifo(tmp_path / "e/pipe")
    should = _should_be(CONTENT, by_blake3=by_blake3)
    wanted = [(path, should) for path in (b"d/a", b"d/b", b"d/c", b"d/none")]
    wanted += [(b"large", _should_be(large)), (b"e/a", should), (b"e/z", _should_be(b"")), (b"e/pipe", _should_be(b""))]
    try:
        with disk.Root(bytes(tmp_path)) as root:
            found = [read for read in disk.read_many(root, wanted) if read is not None]
    finally:
        workers.close_idle()
    right = [read is not disk.ALONE for read in found]
    assert right == [True, False, False, False, False, True, True, False]
    assert found[0].mtime_ns == (tmp_path / "d/a").stat().st_mtime_ns
    assert found[0].blake3 == blake3(CONTENT).digest()


def test_a_directory_that_cannot_be_opened_leaves_its_batch_to_more_care(tmp_path: Path) -> None:
    write_tree(tmp_path, {"d/a": CONTENT})
    wanted = [(path, _should_be(CONTENT)) for path in (b"d/a", b"none/a")]
    with disk.Root(bytes(tmp_path)) as root:
        assert list(disk.read_many(root, wanted)) == [disk.ALONE] * 2


def test_where_blake3_says_no_a_right_md5_is_no_yes(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": CONTENT})
    known = _should_be(CONTENT)._replace(blake3=b"\1" * 32)
    with disk.Root(bytes(tmp_path)) as root:
        assert list(disk.read_many(root, [(b"a", known)])) == [disk.ALONE]
