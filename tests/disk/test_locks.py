"""Locks: two medbacks never write at once, and a killed one locks nobody out."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.saying import says
from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.disk import Root
from medback_core.errors import Refused

_HOLD = """
import sys, time
from medback_core import disk
kind, path = sys.argv[1], sys.argv[2].encode()
lock = disk.lock_session(path) if kind == "session" else disk.lock_drive(disk.Root(path))
with lock:
    print("held", flush=True)
    sys.stdin.read()
"""


def _hold(kind: str, path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", _HOLD, kind, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None and process.stdout.readline() == b"held\n"
    return process


@pytest.mark.parametrize("kind", ["session", "drive"])
def test_a_second_process_is_refused_with_the_pid_of_the_first_and_a_kill_frees_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "db" if kind == "session" else tmp_path
    process = _hold(kind, path)
    try:
        with Root(bytes(tmp_path)) as root:
            with pytest.raises(Refused) as caught, _lock(kind, path, root):
                pass
            assert caught.value.kind == "locked"
            assert f"pid {process.pid}" in message(caught.value)
            process.send_signal(signal.SIGKILL)
            process.wait()
            with _lock(kind, path, root):
                pass
    finally:
        process.kill()
        process.communicate()


def _lock(kind: str, path: Path, root: Root):
    return disk.lock_session(bytes(path)) if kind == "session" else disk.lock_drive(root)


def test_the_lock_is_given_back_at_the_end_of_the_with_and_after_an_error(tmp_path: Path) -> None:
    with Root(bytes(tmp_path)) as root:
        for kind in ("session", "drive"):
            for _ in range(2):
                with pytest.raises(ZeroDivisionError), _lock(kind, tmp_path / "db", root):
                    raise ZeroDivisionError
            with _lock(kind, tmp_path / "db", root), pytest.raises(Refused, check=says(f"pid {os.getpid()}")):
                _lock(kind, tmp_path / "db", root).__enter__()


def test_the_lock_file_is_private_from_its_first_byte_and_no_link_is_followed(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        with disk.lock_session(bytes(tmp_path / "db")):
            pass
    finally:
        os.umask(old)
    assert stat.S_IMODE(os.stat(tmp_path / "db.lock").st_mode) == 0o600
    (tmp_path / "victim").write_bytes(b"precious")
    os.symlink("victim", tmp_path / "other.lock")
    with pytest.raises(OSError), disk.lock_session(bytes(tmp_path / "other")):
        pass
    assert (tmp_path / "victim").read_bytes() == b"precious"


def test_locking_a_drive_writes_nothing_on_it(tmp_path: Path) -> None:
    with Root(bytes(tmp_path)) as root, disk.lock_drive(root):
        assert list(tmp_path.iterdir()) == []


def test_a_drive_whose_directory_cannot_be_locked_is_locked_for_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "drive").mkdir()
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "gettempdir", lambda: str(tmp_path / "tmp"))
    import fcntl

    real = fcntl.flock

    def flock(fd: int, how: int) -> None:
        if stat.S_ISDIR(os.fstat(fd).st_mode):
            raise OSError(errno.EBADF, "no locks on directories here")
        real(fd, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with Root(bytes(tmp_path / "drive")) as root, disk.lock_drive(root):
        with pytest.raises(Refused, check=says(f"pid {os.getpid()}")), disk.lock_drive(root):
            pass
        assert list((tmp_path / "drive").iterdir()) == []
