"""Tests that mount something take root, or a user namespace: an ordinary user tries them in one of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

AMONG_MOUNTS = ("tests/scanning/test_mounts_inside.py", "tests/drives/test_one_disk.py")
NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount"]


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() == 0, reason="root mounts in the tests themselves")
def test_an_ordinary_user_tries_what_is_mounted_inside_others(tmp_path: Path) -> None:
    try:
        tried = subprocess.run(
            [*NAMESPACE, "mount", "-t", "tmpfs", "none", str(tmp_path)], capture_output=True, text=True
        )
    except FileNotFoundError:
        pytest.skip("unshare is not installed")
    if tried.returncode:
        pytest.skip(f"no user namespace that mounts: {tried.stderr.strip()}")
    pytest_here = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*NAMESPACE, *pytest_here, *AMONG_MOUNTS, "-k", "not ordinary_user"],  # there is only one user in there
        cwd=Path(__file__).parents[1],
        env={**os.environ, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "must be superuser" not in done.stdout, "it was tried"
