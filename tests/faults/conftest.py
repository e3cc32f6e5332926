"""What the fault loops share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import sync_modes as ways
from support.mounting import unmount_all
from medback_core import model


@pytest.fixture(params=[ways.FILE_BY_FILE, ways.TOGETHER])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the loops: a batch becomes durable file by file, or by one syncfs."""
    ways.go(request.param, monkeypatch)


@pytest.fixture(scope="session")
def in_memory() -> Iterator[Path]:
    """A directory in memory where there is one: the loops are about order, not about a disk's speed."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="medback-faults-", dir=base))
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def where(in_memory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where a world is made. Beside it stands what worlds were made from (`crashes.fresh`), and nothing else."""
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
    yield in_memory / "world"
    unmount_all(in_memory)
    for path in in_memory.iterdir():
        if path.name != "made":
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink()
