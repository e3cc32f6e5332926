"""The fall-backs of other systems, tried on this one: no dir_fd, no syncfs, no renameat2, no fadvise, no statvfs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

_RUN = """
import hashlib, os, shutil, sys, ctypes, types
os.supports_dir_fd = set()
os.supports_fd = set()
for name in ("posix_fadvise", "preadv", "pread", "fdatasync", "O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC",
             "RWF_NOWAIT", "statvfs", "uname", "sync"):
    delattr(os, name)
real = ctypes.CDLL
ctypes.CDLL = lambda *arguments, **options: (_ for _ in ()).throw(OSError("no libc"))
top = os.fsencode(sys.argv[1])
from medback_core import disk, hashing
from medback_core.disk import mounts, portable
from medback_core.model import Identity
ctypes.CDLL = real
mounts.mount_table = list
shutil.disk_usage = lambda path: types.SimpleNamespace(total=100, used=40, free=60)  # Windows has its own way
assert not portable.HAS_DIR_FD and not portable.HAS_SYNCFS and not portable.HAS_RENAMEAT2
os.mkdir(top + b"/drive")
with open(top + b"/source", "wb") as file:
    file.write(b"hello")
identity = Identity(5, hashlib.md5(b"hello").digest())
with disk.Root(top + b"/drive") as root, disk.lock_drive(root), disk.lock_session(top + b"/db"):
    with disk.Group(root) as group, open(top + b"/source", "rb") as file:
        first = group.stage_small_copy(b"a/b/small", file.fileno(), expected=identity, mtime_ns=10**18, mode=0o600)
        for _ in (steps := group.stage_copy(b"a/large", file.fileno(), expected=identity, mtime_ns=10**18)):
            pass
        group.stage_bytes(b"a/.medback.xml", b"<x/>")
        group.flush()
        assert group.read_back(first) == (identity.md5, False)
        assert [error for _, error in group.publish()] == [None] * 3
    with disk.Group(root) as group, open(top + b"/source", "rb") as file:
        group.stage_small_copy(b"a/large", file.fileno(), expected=identity, mtime_ns=0)
        assert isinstance(group.publish()[0][1], FileExistsError)
    assert os.stat(top + b"/drive/a/large").st_mtime_ns == 10**18
    assert sorted(name for name, _ in root.scan(b"a")) == [b".medback.xml", b"b", b"large"]
    os.symlink(top, top + b"/drive/link")
    for look in (lambda: root.open_directory(b"link"), lambda: root.open_file(b"link")):
        try:
            look()
        except OSError:
            continue
        raise SystemExit("a link was followed")
    disk.move(root, b"a/large", b"c/large")
    assert disk.write_whole(root, b"c/x", b"1") and not disk.write_whole(root, b"c/x", b"1")
    disk.remove(root, b"c/x", expect=root.stat(b"c/x"))
    disk.make_symlink(root, b"c/l", b"x")
    disk.sync_drive(root)
    assert root.is_same_drive() and root.file_system.total > 0
    assert hashing.hash_file((root.open_directory(b"c"), b"large")).identity == identity
    disk.clean_temporaries(root, b"c", [b"large"])
    disk.birth_ns(top)
print("fine")
"""


def test_everything_works_on_the_fall_backs(tmp_path: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", _RUN, str(tmp_path)], capture_output=True, text=True, env=environment)
    assert done.stdout == "fine\n", done.stderr
