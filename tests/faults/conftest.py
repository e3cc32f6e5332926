"""What the fault loops share."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from medback_core import disk, model
from medback_core.disk import filesystem


@pytest.fixture(params=["each file synced", "batches synced"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in memory where there is one: the loops are about order, not about a disk's speed. A batch becomes
    durable by one syncfs, and is so small that several are under way; or, as on exFAT, file by file."""
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
    if request.param == "batches synced":
        monkeypatch.setattr(disk.group, "BATCH_FILES", 3)
        monkeypatch.setattr(disk, "BATCH_FILES", 3)
    else:
        monkeypatch.setattr(filesystem, "_GROUP_SYNC", frozenset())
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="medback-faults-", dir=base))
    yield directory / "world"
    shutil.rmtree(directory, ignore_errors=True)
