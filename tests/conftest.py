"""What all tests share: the table of the fault campaigns, and nothing left over from the test before."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support.fault_report import campaign, pytest_terminal_summary  # noqa: F401  (pytest finds them here)
from support.reading import reads  # noqa: F401
from medback_core import disk
from medback_core.disk import workers


@pytest.fixture(autouse=True)
def no_idle_workers() -> Iterator[None]:
    """A test that replaces what reads or copies files must not meet a worker process an earlier one started."""
    yield
    workers.close_idle()


@pytest.fixture(autouse=True)
def no_other_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mounted on the machine the tests run on says nothing here: a drive in a test is a directory."""
    monkeypatch.setattr(disk, "removable_mounts", list)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs the tests prefers says nothing here."""
    monkeypatch.setenv("MEDBACK_SETTINGS", "/nowhere/settings.toml")
