"""What the fault loops share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from support import sync_modes as ways
from medback_core import model


@pytest.fixture(params=[ways.FILE_BY_FILE, ways.TOGETHER])
def each_way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """For the loops: a batch becomes durable file by file, or by one syncfs."""
    ways.go(request.param, monkeypatch)


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in memory where there is one: the loops are about order, not about a disk's speed."""
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="medback-faults-", dir=base))
    yield directory / "world"
    shutil.rmtree(directory, ignore_errors=True)
