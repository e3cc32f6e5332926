"""Real file systems: really full, read-only, pulled in the middle, rotting, exFAT with its names and times."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.crashes import end_state, wholeness
from faults.kernel import Drive, answer, drive, medback
from support.fault_report import FULL, Row, sampled
from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.errors import MedbackError
from medback_core.model import Answers, Conflict, DamageFound, Skipped, TargetState, Warned
from medback_core.restoring.restore import restore
from medback_core.session import open_session
from medback_core.session.files import find_file, troubled
from support.stored import all_files
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.upkeep.verify_target import verify
from support.worlds import MTIME, add, back, counted, photos, rescan, run, tree, write_tree

pytestmark = pytest.mark.long
MIB = 1 << 20


@pytest.fixture
def away(where: Path) -> Path:
    """A directory for mount points and images, outside the world that is compared."""
    where.mkdir(parents=True)
    return where.parent / "drives"


@pytest.mark.parametrize("kind", ["tmpfs", "ext4"])
def test_a_really_full_drive_takes_what_fits_and_lies_about_nothing(
    where: Path, away: Path, kind: str, campaign: Callable[[str], Row]
):
    """Filled by somebody else in the middle of it, past all reserve."""
    row = campaign(f"a really full {kind}")
    with drive(away, kind, 4 * MIB) as full:
        write_tree(where / "photos", {f"{number:02}": 300_000 + number for number in range(20)} | {"small": 20})
        with open_session(where / "session.db") as session:
            add(session, where / "photos")
            hog = full.point / "hog"

            def fill(op: str, *_details: object) -> None:
                if op == "create" and (full.point / "photos").exists() and not hog.exists():
                    with open(hog, "wb", buffering=0) as stream:
                        try:
                            for size in (MIB, 4096):
                                while True:
                                    stream.write(bytes(size))
                        except OSError:
                            os.truncate(hog, max(0, os.stat(hog).st_size - 100_000))

            disk.set_observer(fill)
            try:
                run(back_up(session, os.fsencode(full.point), answers=Answers(create=True), label="t1", reserve=0))
            finally:
                disk.set_observer(None)
        row.tried()
        contents = {content for content, _ in tree(where / "photos").values()}
        there = {content for name, (content, _) in tree(full.point).items() if name != b"hog"}
        assert there < contents, "a short file under a final name"
        assert not list(full.point.rglob(".medback-tmp-*"))
        hog.unlink(missing_ok=True)
        done = medback(where, "target", str(full.point), "--json")
        found = answer(done)
        row.tried()
        assert done.returncode == 6 and found["remaining"] > 0 and not found["skipped"]
        assert {content for content, _ in tree(full.point).values()} <= contents
        verified = answer(medback(where, "verify", str(full.point), "--json"))
        row.misreported += verified["missing"] + len(verified["damaged"])
        assert row.clean


def test_a_read_only_drive_is_restored_from_and_nothing_else(where: Path, away: Path, campaign: Callable[[str], Row]):
    row = campaign("a drive mounted read-only")
    with drive(away, "ext4", 8 * MIB) as plugged:
        write_tree(where / "photos", {"a": 1000, "sub/b": 5000})
        assert medback(where, "add-src", "photos").returncode == 0
        assert medback(where, "target", str(plugged.point), "--init").returncode in (0, 6)
        original = tree(where / "photos")
        plugged.unplug()
        plugged.plug("ro")
        before = tree(plugged.point, metadata=True)
        (where / "photos/sub/b").unlink()
        done = medback(where, "restore", str(plugged.point), "--json")
        row.tried()
        assert done.returncode == 0 and answer(done)["restored"] == 1
        assert tree(where / "photos") == original
        for words in (("target",), ("discover",)):
            done = medback(where, *words, str(plugged.point), "--json")
            row.tried()
            assert done.returncode == 4 and "read-only" in answer(done)["error"]["message"]
        assert medback(where, "verify", str(plugged.point), "--json").returncode == 0
        assert tree(plugged.point, metadata=True) == before
        assert row.clean


def _known(where: Path) -> set[bytes]:
    return {content for content, _ in tree(where / "photos").values()}


class _Pulled:
    """Unmounts the drive, lazily as a pull does, before its Nth change."""

    def __init__(self, plugged: Drive, at: int | None) -> None:
        self.plugged, self.at, self.count = plugged, at, 0

    def __call__(self, op: str, *_details: object) -> None:
        if op == "open_lock_file":
            return
        if self.count == self.at:
            self.plugged.unplug(lazily=True)
        self.count += 1


def test_a_drive_pulled_in_the_middle_of_a_backup(where: Path, away: Path, campaign: Callable[[str], Row]):
    """Whenever it goes: nothing is written to the disk underneath, nothing is said to be there that is not, and plugged
    in again it comes to the same end."""
    row = campaign("a drive pulled in the middle")

    def attempt(plugged: Drive, at: int | None) -> int:
        pulled = _Pulled(plugged, at)
        disk.set_observer(pulled)
        try:
            with open_session(where / "session.db") as session:
                run(back_up(session, os.fsencode(plugged.point)))
        except (MedbackError, OSError):
            assert at is not None
        finally:
            disk.set_observer(None)
        return pulled.count

    def world(number: int) -> Iterator[Drive]:
        for path in [*where.glob("session.db*"), *(where / "photos").rglob(".medback*")]:
            path.unlink()
        write_tree(where / "photos", {"a": 1000, "sub/b": 5000})
        (where / "photos/sub/deep/c").unlink(missing_ok=True)
        with drive(away / str(number), "ext4", 4 * MIB) as plugged:
            with open_session(where / "session.db") as session:
                add(session, where / "photos")
                back(session, plugged.point, label="t1")
            write_tree(where / "photos", {"sub/b": b"edited", "sub/deep/c": 20}, mtime_ns=MTIME + 10**10)
            yield plugged

    def end(plugged: Drive) -> tuple[object, ...]:
        attempt(plugged, None)
        state = end_state(where)
        state.pop("targets")
        files = {name: value for name, value in tree(plugged.point).items() if not name.startswith(b"lost+found")}
        return {key: value for key, value in state.items() if key.startswith(("copies", "records"))}, files

    changes, undisturbed = 0, None
    for plugged in world(0):
        changes = attempt(plugged, None)
        undisturbed = end(plugged)
    for number, at in enumerate(sampled(range(changes), 24 if FULL else 1), 1):
        for plugged in world(number):
            attempt(plugged, at)
            row.tried()
            assert list(plugged.point.iterdir()) == [], f"written underneath after change {at}"
            plugged.plug()
            row.misreported += bool(wholeness(where, _known(where)))
            assert end(plugged) == undisturbed, f"pulled at change {at}"
    assert row.clean


def _rot(plugged: Drive, content: bytes) -> None:
    """Flip a bit of a file in the image, while it is not mounted: nothing in the file system knows."""
    plugged.unplug()
    image = bytearray(plugged.image.read_bytes())
    at = image.find(content[:4096])
    assert at >= 0
    image[at + 100] ^= 1
    plugged.image.write_bytes(image)
    plugged.plug()


def test_true_rot_of_a_copy_is_found_by_verify_and_repaired(where: Path, away: Path, campaign: Callable[[str], Row]):
    row = campaign("true rot: size, mtime and ctime as they were")
    with drive(away, "ext4", 8 * MIB) as plugged:
        write_tree(where / "photos", {"a": os.urandom(50_000), "b": os.urandom(9_000)})
        with open_session(where / "session.db") as session:
            add(session, where / "photos")
            back(session, plugged.point)
            copy = plugged.point / "photos/a"
            before = copy.stat()
            _rot(plugged, (where / "photos/a").read_bytes())
            after = copy.stat()
            assert (before.st_size, before.st_mtime_ns, before.st_ctime_ns) == (
                after.st_size,
                after.st_mtime_ns,
                after.st_ctime_ns,
            )
            assert copy.read_bytes() != (where / "photos/a").read_bytes()
            row.tried()
        done = medback(where, "verify", str(plugged.point), "--json")
        found = answer(done)
        row.misreported += (done.returncode, len(found["damaged"]), found["same"]) != (5, 1, 1)
        assert medback(where, "repair", str(plugged.point)).returncode == 0
        row.lost += copy.read_bytes() != (where / "photos/a").read_bytes()
        assert row.clean


def test_true_rot_of_a_source_is_damage_and_is_not_copied(where: Path, away: Path, campaign: Callable[[str], Row]):
    row = campaign("true rot: size, mtime and ctime as they were")
    with drive(away, "ext4", 8 * MIB) as plugged, open_session(where / "session.db") as session:
        photos = plugged.point / "photos"
        write_tree(photos, {"a": os.urandom(50_000), "b": os.urandom(9_000)})
        good = (photos / "a").read_bytes()
        add(session, photos)
        back(session, where / "t1", label="t1")
        _rot(plugged, good)
        row.tried()
        ran = (
            run(back_up(session, os.fsencode(where / "t2"), answers=Answers(create=True), label="t2"))
            if ((where / "t2").mkdir() is None)
            else None
        )
        assert ran is not None
        (found,) = ran.of(DamageFound)
        (source,) = list_sources(session)
        assert found.path == os.fsencode(photos / "a") and "damaged" in found.reason.what
        assert [path for path, _ in troubled(session, source.key)] == [b"a"]
        row.lost += any(
            content not in (good, (photos / "b").read_bytes()) for content, _ in tree(where / "t2").values()
        )
        row.lost += (where / "t1/photos/a").read_bytes() != good
        assert row.clean


NAMES: dict[str | bytes, bytes | int] = {
    'a:b?c*d|e<f>g"h\\i': 10,
    "trailing dot.": 11,
    "trailing space ": 12,
    "new\nline\ttab\x01": 13,
    "a": 14,
    "A": 15,
    "caf\u00e9": 16,
    "cafe\u0301": 17,
    b"not \xff utf-8": 18,
    "x" * 255: 19,
    "sub./deep:/b": 20,
}


def test_exfat_names_and_times(where: Path, away: Path, campaign: Callable[[str], Row]):
    row = campaign("exFAT: names, times")
    with drive(away, "exfat", 32 * MIB) as plugged, open_session(where / "session.db") as session:
        write_tree(where / "photos", NAMES, mtime_ns=MTIME)
        original = tree(where / "photos")
        add(session, where / "photos")
        ran = back(session, plugged.point)
        row.tried()
        assert ran.summary.copied == len(NAMES), ran.of(Skipped)
        again = back(session, plugged.point)
        row.misreported += again.summary.copied  # 2 s times and folded names: all must be known again
        checked = run(verify(session, os.fsencode(plugged.point))).summary
        row.misreported += (checked.same, checked.damaged, checked.missing, checked.changed) != (len(NAMES), 0, 0, 0)
        plugged.unplug()
        plugged.plug()
        for name in NAMES:
            os.unlink(os.path.join(os.fsencode(where / "photos"), os.fsencode(name)))
        row.tried()
        back_again = run(restore(session, os.fspath(plugged.point))).summary
        row.lost += tree(where / "photos") != original
        assert (back_again.restored, back_again.missing) == (len(NAMES), 0)
        assert row.clean


def test_exfat_directories_and_files_that_differ_in_case_alone(where: Path, away: Path, campaign: Callable[[str], Row]):
    """One run is enough, none is taken for another, and all come back."""
    row = campaign("exFAT: names that differ in case")
    files: dict[str | bytes, bytes | int] = {
        f"{place}/{name}{number}": f"{place} {name} {number}".encode()
        for place in ("trip", "Trip", "a/b", "A/B", "A/b")
        for name in ("file", "File", "FILE")
        for number in range(20)
    }
    files |= {"Thing": 11, "thing/x": 12, "Other/y": 13, "other": 14}
    with drive(away, "exfat", 32 * MIB) as plugged, open_session(where / "session.db") as session:
        write_tree(where / "photos", files, mtime_ns=MTIME)
        original = tree(where / "photos")
        add(session, where / "photos")
        ran = back(session, plugged.point)
        row.tried()
        assert (ran.summary.copied, ran.of(Skipped)) == (len(files), [])
        row.misreported += back(session, plugged.point).summary.copied
        checked = run(verify(session, os.fsencode(plugged.point))).summary
        row.misreported += (checked.same, checked.damaged, checked.missing) != (len(files), 0, 0)
        run(restore(session, os.fspath(plugged.point), to=os.fsencode(where / "back")))
        row.lost += tree(where / "back/photos") != original
        assert row.clean


def test_restored_to_exfat_a_name_that_differs_in_case_alone_is_told_with_the_one_that_is_there(
    where: Path, away: Path
):
    with drive(away, "exfat", 32 * MIB) as plugged, open_session(where / "session.db") as session:
        write_tree(where / "photos", {"README": b"large", "readme": b"small"})
        add(session, where / "photos")
        back(session, where / "t1")
        ran = run(restore(session, os.fspath(where / "t1"), to=os.fsencode(plugged.point / "here")))
        (conflict,) = ran.of(Conflict)
        assert conflict.reason.what == "appeared/other-name"
        assert {os.path.basename(conflict.path), conflict.reason.facts["there"]} == {b"README", b"readme"}


@pytest.mark.skipif(not FULL, reason="writes 4 GiB and reads them again: in make faults only")
def test_exfat_a_file_larger_than_4_gib(where: Path, away: Path, campaign: Callable[[str], Row], tmp_path: Path):
    size = (4 << 30) + 1
    if os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize < 2 * size:
        pytest.skip("not enough room for 4 GiB")
    row = campaign("exFAT: a file larger than 4 GiB")
    del away
    with drive(tmp_path / "drives", "exfat", 5 << 30) as plugged:
        (where / "photos").mkdir()
        with open(where / "photos/video", "wb") as stream:
            stream.truncate(size)
        with open_session(where / "session.db") as session:
            add(session, where / "photos")
            ran = back(session, plugged.point)
            row.tried()
            assert ran.summary.copied == 1
            assert (plugged.point / "photos/video").stat().st_size == size
            (source,) = list_sources(session)
            assert [row.size for _, row in all_files(session, source.key)] == [size]
    assert row.clean


def test_a_change_in_the_second_of_the_scan_is_seen_where_times_have_whole_seconds(where: Path, away: Path):
    """ext4 with inodes of 128 bytes, as ext3 and small drives have them."""
    with drive(away, "ext4", 16 * MIB, "-I", "128") as plugged, open_session(where / "session.db") as session:
        source = plugged.point / "photos"
        write_tree(source, {"other": 10})
        add(session, source)
        file = source / "a"
        for number in range(20):  # until all of it falls into one second
            file.write_bytes(b"one %2d" % number)
            rescan(session)
            seen = file.stat()
            file.write_bytes(b"two %2d" % number)
            if (file.stat().st_mtime_ns, file.stat().st_ctime_ns) == (seen.st_mtime_ns, seen.st_ctime_ns):
                break
        else:
            pytest.fail("a scan of two files took a second, twenty times")
        ran = rescan(session)
        assert not ran.of(DamageFound)
        row = find_file(session, list_sources(session)[0].key, b"a")
        assert row is not None and row.md5 == hashlib.md5(file.read_bytes()).digest()


@pytest.mark.parametrize("how", ["emptied", "formatted with the old UUID", "a directory of it"])
def test_a_drive_that_was_emptied_and_made_a_target_again_counts_once(tmp_path: Path, how: str):
    uuid = "6d656462-6163-4b13-8000-000000000001"
    options = ("-U", uuid)
    with (
        photos(tmp_path, {"a": 100}) as (session, _),
        drive(tmp_path / "drives", "ext4", 8 << 20, *options) as stick,
    ):
        place = stick.point / "backup" if how == "a directory of it" else stick.point
        back(session, place)
        back(session, stick.point / "other" if place != stick.point else tmp_path / "other")
        was = list_targets(session)[0]
        if how == "formatted with the old UUID":
            stick.unplug()
            stick.format(*options)
            stick.plug()
        else:
            for entry in place.iterdir():
                shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
        done = run(back_up(session, os.fsencode(place), answers=Answers(create=True)))
        assert [warned.what for warned in done.of(Warned)].count("drive-emptied") == 1
        assert [target.id for target in list_targets(session) if target.state is TargetState.LOST] == [was.id]
        assert counted(session) == {2: 1}
