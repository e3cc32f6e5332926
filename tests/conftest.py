"""What all tests share: the table of the fault campaigns, and nothing left over from the test before."""

from __future__ import annotations

import gc
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from support.fault_report import campaign, pytest_terminal_summary  # noqa: F401  (pytest finds them here)
from support.mounting import detach_all, unmount_all
from support.reading import reads  # noqa: F401
from medback_core import disk
from medback_core.disk import portable, workers
from medback_core.session import opening, store
from medback_core.session.intact import Connection

# A verdict doesn't depend on how busy the machine is.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

MEMORY, ROOM = "/dev/shm", 2 << 30


def _in_memory() -> None:
    """The tests' directories lie in memory where it has room: a tenth of the suite's time went into a disk's renames.
    A test that needs a disk takes `on_disk`."""
    if "TMPDIR" not in os.environ and os.access(MEMORY, os.W_OK):
        status = os.statvfs(MEMORY)
        if status.f_bavail * status.f_frsize > ROOM:
            os.environ["TMPDIR"] = MEMORY
            tempfile.tempdir = None  # not what was found before


_in_memory()


def pytest_xdist_auto_num_workers() -> int:
    """Two more than there are processors: a third of its time a test waits for a drive, a terminal or a program. Each
    takes up to 500 MB of memory."""
    return (os.cpu_count() or 1) + 2


def pytest_collection_finish() -> None:
    """What all tests share is never garbage, and an app that ended is little of it: to look through all that lives after
    each 7,000 objects took a quarter of the time of the app's tests. A process of theirs takes 220 MB so."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 10)


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish() -> None:
    """The garbage is looked through once, and pytest told what broke in it; the other four times it looks, all that
    lives would be looked through as well: a second for each process that runs tests of the app."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def no_idle_workers() -> Iterator[None]:
    """A test that replaces what reads or copies files must not meet a worker process an earlier one started."""
    yield
    workers.close_idle()


@pytest.fixture(autouse=True)
def nothing_stays_mounted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Also when a test fails in the middle, and before its directory is removed."""
    if "tmp_path" in request.fixturenames:
        request.getfixturevalue("tmp_path")
    yield
    unmount_all(tmp_path_factory.getbasetemp())


@pytest.fixture
def on_disk() -> Iterator[Path]:
    """A directory on a disk, for what a file system in memory does not do."""
    with tempfile.TemporaryDirectory(prefix="medback-test-", dir="/var/tmp") as directory:
        yield Path(directory)
        unmount_all(Path(directory))


@pytest.fixture(autouse=True, scope="session")
def no_loop_device_stays(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A device whose drive was still in use when its test ended is let go when all tests have."""
    yield
    detach_all(tmp_path_factory.getbasetemp())


@pytest.fixture(autouse=True)
def no_other_drives(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mounted on the machine the tests run on says nothing here: a drive in a test is a directory."""
    monkeypatch.setattr(disk, "removable_mounts", list)


@pytest.fixture(autouse=True)
def no_health(monkeypatch: pytest.MonkeyPatch) -> None:
    """The disks of this machine are not asked how they are."""
    monkeypatch.setattr(disk, "health_of", lambda _: None)


class Unwaiting(Connection):
    """One that doesn't wait either when a new DB becomes one with a WAL."""

    def __init__(self, database: str, *words: Any, beside: Path, **options: Any) -> None:
        super().__init__(database, *words, beside=beside, **options)
        self.execute("PRAGMA synchronous = OFF")


@pytest.fixture(autouse=True)
def no_waiting_for_the_medium(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sync is made as ever, and a test sees it by the observer, but the medium is not waited for: a power cut is tested
    by a model of it (`faults/power.py`). The tests of `disk` itself and of real drives wait."""
    if request.path.parent.name == "disk" or request.path.name.startswith("test_real") or "syncs" in request.keywords:
        return
    monkeypatch.setattr(portable, "full_fsync", lambda _: None)
    monkeypatch.setattr(portable, "syncfs", lambda _: None)
    monkeypatch.setattr(os, "fdatasync", lambda _: None)
    monkeypatch.setattr(os, "sync", lambda: None)
    really = store.connect

    def connect(path: Path, cache_mib: int) -> sqlite3.Connection:
        db = really(path, cache_mib)
        db.execute("PRAGMA synchronous = OFF")
        return db

    monkeypatch.setattr(store, "connect", connect)
    monkeypatch.setattr(opening, "connect", connect)
    monkeypatch.setattr(store, "Connection", Unwaiting)


_migrate, _empty = opening._migrate, sqlite3.connect(":memory:", check_same_thread=False)


def _copied(db: sqlite3.Connection) -> None:
    if opening._version(db):
        _migrate(db)
    elif not opening._version(_empty):
        _migrate(db)
        db.backup(_empty)
    else:
        _empty.backup(db)


@pytest.fixture(autouse=True)
def tables_made_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new session DB gets its empty tables as a copy of the first one's: to make them is two fifths of what a new one
    takes. The tests of `session` itself and of DBs of earlier versions make them each time."""
    if request.path.parent.name not in ("session", "old_versions"):
        monkeypatch.setattr(opening, "_migrate", _copied)


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the person who runs the tests prefers says nothing here."""
    monkeypatch.setenv("MEDBACK_SETTINGS", "/nowhere/settings.toml")
