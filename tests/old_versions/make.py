"""Make the fixture of one version: a small real session with its sources and drives, packed as it stands.

Run once for each version that wrote another session DB, with the code of that version before this one on the path:

    git worktree add /tmp/before COMMIT
    PYTHONPATH=/tmp/before/core uv run python tests/old_versions/make.py tests/old_versions/NAME.tar.gz

What is in the world is told by WORLD below, which the tests import. File systems are given no uuid, so that the drives
are at home wherever they are unpacked; the inodes in the DB are moved out of the way of real ones.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import tarfile
import tempfile
from pathlib import Path

BEGAN = 1_700_000_000  # the first file's time; each further one is a second younger
WORLD = {  # alias -> path -> content, as it stands at the end
    "photos": {
        b"a.jpg": b"the first picture",
        b"2024/lisbon.jpg": b"lisbon, second version",
        b"2024/moved.jpg": b"porto",
        b"2024/twin.jpg": b"the first picture",
        b"odd/caf\xe9 \n.jpg": b"a name that is no UTF-8",
        b"odd/caf\xc3\xa9.jpg": b"a name that is",
        b"private/key": b"for the owner alone",
    },
    "notes": {b"today.txt": b"a note", b"scans/one.pdf": b"known to the family", b"scans/two.pdf": b"known as well"},
}
LINKS = {b"latest": b"2024/lisbon.jpg", b"2024/broken": b"/nowhere/at all"}
OLD = b"lisbon, first version"  # of photos/2024/lisbon.jpg
DELETED = b"deleted, and nowhere but on drives"  # photos/2024/deleted.jpg
LOST_DRIVE = "tin"  # in the DB and in the sources' metadata, on no drive
_FAMILY = (
    '<dr><fr fname="one.pdf" checksum="UMYpYqpEjnKRHOu7mQaO0Q" mtime="1700000500" size="19"><tag>letter</tag></fr></dr>'
)


def main(out: Path) -> None:
    from medback_core.disk import mounts

    mounts.uuid_of = lambda *_: None
    mounts.FSID_IS_STABLE = frozenset()
    with tempfile.TemporaryDirectory() as place:
        world = Path(place)
        _live(world)
        _pack(world, out)


def _live(world: Path) -> None:
    from medback_core.cli import main as medback
    from medback_core.session import open_session

    def run(*words: str, code: int = 0) -> None:
        assert medback([*words, "--session-db", str(world / "session.db")]) == code, words

    clock = iter(range(BEGAN, BEGAN + 500))

    def write(alias: str, path: bytes, content: bytes, mode: int = 0o644) -> None:
        file = os.path.join(os.fsencode(world / "house" / alias), path)
        os.makedirs(os.path.dirname(file), exist_ok=True)
        with open(file, "wb") as stream:
            stream.write(content)
        os.chmod(file, mode)
        now = next(clock) * 10**9 + 123456789
        os.utime(file, ns=(now, now))

    for alias, files in WORLD.items():
        for path, content in files.items():
            if path not in (b"2024/moved.jpg", b"2024/lisbon.jpg"):
                write(alias, path, content, 0o600 if path.startswith(b"private") else 0o644)
    write("photos", b"2024/porto.jpg", WORLD["photos"][b"2024/moved.jpg"])
    write("photos", b"2024/lisbon.jpg", OLD)
    write("photos", b"2024/deleted.jpg", DELETED)
    write("notes", b"left-out.tmp", b"excluded")
    photos, notes = world / "house/photos", world / "house/notes"
    (photos / "empty").mkdir()
    for name, goal in LINKS.items():
        os.symlink(goal, os.path.join(os.fsencode(photos), name))
    os.utime(notes / "scans/one.pdf", (BEGAN + 500, BEGAN + 500))
    (notes / "scans/.medorg.xml").write_text(_FAMILY)
    for drive in ("blue", "red", LOST_DRIVE):
        (world / "mnt" / drive).mkdir(parents=True)

    run("add-src", str(photos))
    run("add-src", str(notes), "--copies", "1", "--exclude", "*.tmp")
    run("target", str(world / "mnt/blue"), "--init", "--label", "Blue", code=6)
    run("target", str(world / f"mnt/{LOST_DRIVE}"), "--init", "--label", "Tin")
    run("set-target", "Tin", "--state", "lost")
    (photos / "2024/porto.jpg").rename(photos / "2024/moved.jpg")
    (photos / "2024/deleted.jpg").unlink()
    write("photos", b"2024/lisbon.jpg", WORLD["photos"][b"2024/lisbon.jpg"])
    run("target", str(world / "mnt/red"), "--init", "--label", "Red", code=6)
    run("target", str(world / "mnt/blue"))
    run("verify", str(world / "mnt/red"))
    run("write-restore", str(world / "context.xml"))
    session = open_session(world / "session.db")
    with session.transaction() as db:
        db.execute("UPDATE file SET inode = inode + (1 << 55)")
    session.close()


def _pack(world: Path, out: Path) -> None:
    """A tar whose bytes depend on nothing but what is packed; times to the nanosecond."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(world.rglob("*")):
            if path.is_relative_to(world / "mnt" / LOST_DRIVE) or path.name.endswith((".lock", "-wal", "-shm")):
                continue
            status = path.lstat()
            member = tar.gettarinfo(path, arcname=str(path.relative_to(world)))
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.pax_headers = {"mtime": f"{status.st_mtime_ns // 10**9}.{status.st_mtime_ns % 10**9:09d}"}
            if member.isreg():
                member.type, member.linkname, member.size = tarfile.REGTYPE, "", status.st_size
                with path.open("rb") as stream:
                    tar.addfile(member, stream)
            else:
                tar.addfile(member)
    out.write_bytes(gzip.compress(data.getvalue(), mtime=0))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
