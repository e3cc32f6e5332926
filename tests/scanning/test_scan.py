"""A scan believes what is rightly on record, reads the rest, and believes nothing deleted in haste."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import sqlite3
import unicodedata
from collections.abc import Generator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from medback_core.cli.outcome import why
from medback_core.presenting.refusals import message
from medback_core import disk, hashing, model, pace
from medback_core.scanning import compare, record, sources, walk
from medback_core.sources import entries as listing
from medback_core.session import open_session
from medback_core.session.copies import copies_of
from medback_core.session.files import find_directory, find_file
from medback_core.session.gone import list_gone
from medback_core.session.sources import find_source
from medback_core.session.targets import save_target
from medback_core.session.gaps import list_gaps
from medback_core.scanning.sources import update
from medback_core.sidecar import whole as sidecar_is_whole
from medback_core.sidecar.source_metadata import parse_source_metadata
from medback_core.model import Answers, DamageFound, Event, Excluded, Skipped, Standing, Trouble, Warned
from support.killing import killed_after
from support.scan_world import OLD, World
from support.worlds import Ran

ODD_NAMES = [
    b"plain",
    b"\"double\" 'single'",
    b"<&>",
    b"new\nline",
    b"tab\there",
    b"\x01control",
    b"invalid \xff\xfe",
    b"trailing space ",
    b"trailing dot.",
    b"n" * 255,
    unicodedata.normalize("NFC", "é").encode(),
    unicodedata.normalize("NFD", "é").encode(),
    b"a",
    b"A",
    "\u202egpj.exe".encode(),
    b"\x1b[31mred",
    b"[b] markup",
    b"-leading",
    b"\\backslash",
]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def numbered(count: int, directory: str = "") -> list[str]:
    return [f"{directory}{number:03d}.jpg" for number in range(count)]


# --- what is there ---------------------------------------------------------------------------------------------------


def test_a_first_scan_records_every_file(world: World) -> None:
    world.fill(["a.jpg", "2024/b.jpg", "2024/lisbon/c.jpg"])
    world.write("empty", b"")
    summary = world.add()
    assert (summary.files, summary.hashed, summary.added, summary.reused) == (4, 4, 4, 0)
    assert summary.directories == 3
    assert world.files()["empty"] == (0, "d41d8cd98f00b204e9800998ecf8427e", OLD, 0)
    assert world.names() == {"a.jpg", "2024/b.jpg", "2024/lisbon/c.jpg", "empty"}
    record = world.sidecar("2024/lisbon").files[b"c.jpg"]
    assert (record.size, record.mtime_ns, record.md5) == (28, OLD, world.row("2024/lisbon/c.jpg").md5)
    assert (world.src / ".medback-source.xml").exists()


def test_odd_names_round_trip_through_sidecar_and_db(world: World) -> None:
    for number, name in enumerate(ODD_NAMES):
        path = os.path.join(os.fsencode(world.src), name)
        with open(path, "wb") as stream:
            stream.write(b"content %d" % number)
    world.add()
    before = world.files()
    assert {os.fsencode(name) for name in before} == set(ODD_NAMES)
    assert set(world.sidecar().files) == set(ODD_NAMES)
    world.lose_db()
    summary = world.add()
    assert summary.hashed == 0
    assert world.files() == before


@pytest.mark.parametrize("mtime_ns", [0, -1_500_000_001, 1, 4_102_444_800_123_456_789, 9_500_000_000_000_000_001])
def test_times_are_exact_however_odd(world: World, mtime_ns: int) -> None:
    file = world.write("a", "x", mtime_ns=mtime_ns)
    stored = file.stat().st_mtime_ns
    world.add()
    assert world.files()["a"][2] == stored
    assert world.sidecar().files[b"a"].mtime_ns == stored
    assert world.update().hashed == 0
    world.lose_db()
    assert world.add().hashed == 0
    assert world.update().hashed == 0


def test_a_sparse_file_beyond_four_gib_is_recorded_with_its_size(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(world.src / "large", "wb") as stream:
        stream.truncate(4_300_000_000)
    fake = model.Identity(4_300_000_000, bytes(16))

    def hashed(entries, workers, **_options):
        for entry in entries:
            yield walk.Hashed(fake, os.stat(entry.name, dir_fd=entry.directory))

    monkeypatch.setattr(walk, "hash_many", hashed)
    world.add()
    assert world.files()["large"][0] == 4_300_000_000
    assert world.sidecar().files[b"large"].size == 4_300_000_000


def test_an_unchanged_source_is_neither_read_nor_written(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill([*numbered(20), *numbered(20, "sub/")])
    world.add()
    sidecars = [(world.src / d / ".medback.xml").stat() for d in ("", "sub")]
    parsed: list[bytes] = []
    monkeypatch.setattr(walk, "parse", parsed.append)
    changes: list[str] = []
    disk.set_observer(lambda op, *_: changes.append(op))
    try:
        summary = world.update()
    finally:
        disk.set_observer(None)
    assert (summary.hashed, summary.reused, summary.added, summary.changed) == (0, 40, 0, 0)
    assert not parsed
    assert [op for op in changes if op not in ("open_lock_file", "truncate", "write")] == []
    assert [(world.src / d / ".medback.xml").stat() for d in ("", "sub")] == sidecars


def test_links_are_recorded_as_they_are_and_never_followed(world: World, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_text("not ours")
    world.fill(["a"])
    for name, goal in {"dangling": "nowhere", "cycle": "cycle", "outward": str(outside), "here": "."}.items():
        (world.src / name).symlink_to(goal)
    summary = world.add()
    assert (summary.files, summary.links) == (1, 4)
    assert {name: link.to for name, link in world.sidecar().links.items()} == {
        b"dangling": b"nowhere",
        b"cycle": b"cycle",
        b"outward": os.fsencode(outside),
        b"here": b".",
    }
    (world.src / "dangling").unlink()
    (world.src / "here").unlink()
    (world.src / "here").symlink_to("a")
    assert world.update().links == 3
    assert {n: link.to for n, link in world.sidecar().links.items()} == {
        b"cycle": b"cycle",
        b"outward": os.fsencode(outside),
        b"here": b"a",
    }


def test_what_is_no_file_is_excluded_and_nothing_hangs(world: World) -> None:
    world.fill(["a"])
    os.mkfifo(world.src / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(world.src / "socket"))
        world.add()
    assert dict(world.told(Excluded)) == {b"fifo": "a FIFO", b"socket": "a socket"}
    assert not world.of(Skipped)
    assert world.names() == {"a"}


def test_metadata_is_ignored_silently(world: World) -> None:
    world.fill(["a", ".medback-old/b", "sub/.bkp_id", "sub/.mdjournal.xml", "sub/c"])
    assert world.add().files == 2
    assert not world.of(Excluded)


def test_excluded_patterns_leave_files_and_directories_out(world: World) -> None:
    world.fill(["a.jpg", "a.tmp", "cache/x", "sub/cache/y", "sub/keep.tmp", "sub/b"])
    summary = world.add(excludes=["*.tmp", "!keep.tmp", "/cache/"])
    assert world.names() == {"a.jpg", "sub/cache/y", "sub/keep.tmp", "sub/b"}
    assert dict(world.told(Excluded)).keys() == {b"a.tmp", b"cache"}
    assert summary.files == 4


def test_files_excluded_later_are_no_mass_deletion(world: World) -> None:
    world.fill([*numbered(40, "raw/"), "a.jpg"])
    world.add()
    sources.change_source(world.session, "photos", add_excludes=["raw/"])
    summary = world.update()
    assert (summary.files, summary.removed) == (1, 40)


def test_a_known_target_inside_is_left_out(world: World) -> None:
    world.fill(["a", "drive/b"])
    (world.src / "drive" / ".medback-target.xml").write_text("<medback/>")
    drive = os.fsencode(world.src / "drive")
    world.add()
    save_target(world.session, model.Target(-1, "t1", "Drive", path=drive, created=1))
    world.update(answers=Answers(deletions=True))
    assert world.names() == {"a"}
    assert world.told(Excluded) == [(b"drive", "a backup target")]
    assert list_gaps(world.session) == []


def test_an_old_drive_copied_into_the_source_is_content_like_any(world: World) -> None:
    world.fill(["a", "old drive/Photos/b", "old drive/.medback-old/c"])
    (world.src / "old drive" / ".medback-target.xml").write_text("<medback/>")
    world.add()
    assert world.names() == {"a", "old drive/Photos/b"}
    (gap,) = list_gaps(world.session)
    assert gap.path == b"old drive/.medback-old"
    world.add(excludes=[".medback-old"])
    assert list_gaps(world.session) == []


def test_the_session_db_is_no_content(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.fill(["a"])
    assert world.add(tmp_path).files == 1
    excluded = {event.path for event in world.of(Excluded)}
    assert excluded >= {os.fsencode(tmp_path / name) for name in ("db", "db.lock", "db.sources")}
    world.session.close()
    world.session = open_session(tmp_path / "db")
    assert (tmp_path / "db.crc").exists() and world.add(tmp_path).files == 1
    world.session.close()


def test_deep_and_wide_directories_work(world: World) -> None:
    deep = world.src
    fd = os.open(deep, os.O_RDONLY)
    for _ in range(220):
        os.mkdir("a-directory-with-a-long-name", dir_fd=fd)
        below = os.open("a-directory-with-a-long-name", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=fd))
    os.close(fd)
    (world.src / "wide").mkdir()
    for number in range(3000):
        (world.src / "wide" / str(number)).touch()
    summary = world.add()
    assert (summary.files, summary.directories) == (3001, 222)
    assert not world.of(Skipped)
    assert world.update().reused == 3001


# --- one bad entry ---------------------------------------------------------------------------------------------------


def unreadable(monkeypatch: pytest.MonkeyPatch, *paths: bytes) -> None:
    """Make directories unreadable (tests may run as root, whom no permission stops)."""
    real = walk.list_directory

    def refuse(root: disk.Root, rel: bytes, unasked: frozenset[bytes]) -> listing.Entries:
        if rel in paths:
            raise PermissionError(13, "Permission denied", rel)
        return real(root, rel, unasked)

    monkeypatch.setattr(walk, "list_directory", refuse)


def test_an_unreadable_directory_keeps_its_records(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill([*numbered(3), *numbered(30, "locked/"), *numbered(30, "locked/below/")])
    world.add()
    unreadable(monkeypatch, b"locked")
    summary = world.update()
    assert world.told(Skipped) == [(b"locked", "Permission denied")]
    assert (summary.files, summary.removed) == (63, 0)
    assert [(gap.path, gap.reason) for gap in list_gaps(world.session)] == [(b"locked", "Permission denied")]
    monkeypatch.undo()
    world.update()
    assert list_gaps(world.session) == []


def test_what_cannot_even_be_looked_at_keeps_its_records(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(["a", "b", "sub/c", "sub/below/d"])
    (world.src / "link").symlink_to("a")
    world.add()
    before = world.files()
    real = walk.list_directory

    def failing(root: disk.Root, rel: bytes, unasked: frozenset[bytes]) -> listing.Entries:
        found = real(root, rel, unasked)
        if not rel:
            found.failed = [(name, OSError(5, "Input/output error")) for name in (b"a", b"link", b"sub")]
            found.files = [entry for entry in found.files if entry[0] != b"a"]
            found.directories, found.links = [], []
        return found

    monkeypatch.setattr(walk, "list_directory", failing)
    summary = world.update()
    assert {path for path, _ in world.told(Skipped)} == {b"a", b"link", b"sub"}
    assert (world.files(), summary.removed, summary.links) == (before, 0, 1)


def test_a_file_that_cannot_be_read_is_skipped_and_keeps_its_record(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(["a", "b"])
    world.add()
    before = world.files()
    world.write("a", "other", mtime_ns=OLD + 1)
    world.fill(["new"])
    real = hashing.open_for_reading

    def failing(directory: int | None, name: bytes) -> int:
        if name in (b"a", b"new"):
            raise OSError(5, "Input/output error")
        return real(directory, name)

    monkeypatch.setattr(hashing, "open_for_reading", failing)
    world.update()
    assert set(world.told(Skipped)) == {
        (b"a", "Input/output error"),
        (b"new", "Input/output error"),
    }
    assert world.files() == before


def test_a_file_that_changes_or_vanishes_while_it_is_scanned_is_skipped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(["a", "gone", "growing"])
    real = walk.list_directory

    def meanwhile(root: disk.Root, rel: bytes, unasked: frozenset[bytes]) -> listing.Entries:
        found = real(root, rel, unasked)
        (world.src / "gone").unlink(missing_ok=True)
        return found

    monkeypatch.setattr(walk, "list_directory", meanwhile)
    world.add()
    assert set(world.told(Skipped)) == {(b"gone", "was removed while it was being scanned")}
    assert world.names() == {"a", "growing"}


def test_a_directory_that_vanishes_in_mid_walk_is_skipped(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.fill(["a", *numbered(30, "sub/")])
    world.add()
    real = walk.list_directory

    def meanwhile(root: disk.Root, rel: bytes, unasked: frozenset[bytes]) -> listing.Entries:
        if rel == b"sub":
            (world.src / "sub").rename(world.base / "elsewhere")
        return real(root, rel, unasked)

    monkeypatch.setattr(walk, "list_directory", meanwhile)
    summary = world.update()
    assert [path for path, _ in world.told(Skipped)] == [b"sub"]
    assert summary.files == 31
    assert not (world.src / "sub").exists()


# --- the interlock ---------------------------------------------------------------------------------------------------


def test_an_empty_mount_point_is_refused_and_nothing_forgotten(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    before = world.files()
    world.src.rename(world.base / "drive")
    world.src.mkdir()
    for options in ({}, {"answers": Answers(deletions=True)}):
        assert world.refusal(**options).kind == "source-empty"
        assert world.files() == before
        assert list(world.src.iterdir()) == []
        assert world.source.refused
    world.src.rmdir()
    (world.base / "drive").rename(world.src)
    assert world.update().reused == 2
    assert not world.source.refused


def test_a_source_that_lost_its_metadata_file_goes_on_where_its_sidecars_show_that_it_is_it(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    was = world.source
    (world.src / ".medback-source.xml").unlink()
    world.fill(["c"])
    done = Ran(update(world.session))
    assert [warned.what for warned in done.of(Warned)] == ["metadata-lost"]
    assert world.names() == {"a", "b", "c"}
    assert parse_source_metadata((world.src / ".medback-source.xml").read_bytes()).id == was.id
    assert not Ran(update(world.session)).of(Warned)


def test_a_copy_of_a_source_without_the_metadata_file_is_refused(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    shutil.copytree(world.src, world.base / "copy")
    shutil.rmtree(world.src)
    (world.base / "copy").rename(world.src)
    (world.src / ".medback-source.xml").unlink()
    world.fill(["c"])
    assert world.refusal().kind == "not-mounted"
    assert world.names() == {"a", "b"}
    assert not (world.src / ".medback-source.xml").exists()


def test_a_source_that_lost_its_metadata_file_is_asked_about_what_is_gone_like_any_other(world: World) -> None:
    world.fill(["a", "b", "sub/c"])
    world.add()
    (world.src / ".medback-source.xml").unlink()
    (world.src / "a").unlink()
    assert world.update().removed == 1
    assert (world.src / ".medback-source.xml").exists()
    (world.src / ".medback-source.xml").unlink()
    for name in ("b", "sub/c"):
        (world.src / name).unlink()
    for _ in range(2):  # the new metadata file is no answer
        assert world.refusal().kind == "too-many-deletions"
        assert world.names() == {"b", "sub/c"}
    assert world.update(answers=Answers(deletions=True)).removed == 2


def test_another_source_mounted_at_the_path_is_refused(world: World) -> None:
    world.fill(["a"])
    world.add()
    other = World(world.base / "x") if (world.base / "x").mkdir() is None else None
    assert other is not None
    other.fill(["z"])
    other.add()
    world.src.rename(world.base / "mine")
    other.src.rename(world.src)
    assert world.refusal().kind == "not-mounted"
    assert world.names() == {"a"}


def test_a_missing_source_is_refused(world: World) -> None:
    world.fill(["a"])
    world.add()
    world.src.rename(world.base / "away")
    assert world.refusal().kind == "missing"
    assert world.names() == {"a"}


def test_a_directory_emptied_to_its_mount_point_is_refused(world: World) -> None:
    world.fill(["a", "b", "drive/c", "drive/sub/d"])
    world.add()
    (world.src / "drive").rename(world.base / "unplugged")
    (world.src / "drive").mkdir()
    assert world.refusal().kind == "source-empty"
    assert "drive/sub/d" in world.names()
    assert list((world.src / "drive").iterdir()) == []
    summary = world.update(answers=Answers(deletions=True))
    assert (summary.removed, world.names()) == (2, {"a", "b"})


def test_a_directory_whose_files_went_but_whose_sidecar_stayed_is_believed(world: World) -> None:
    world.fill(["a", "b", "sub/c"])
    world.add()
    (world.src / "sub" / "c").unlink()
    assert world.update().removed == 1


def test_a_directory_on_another_device_is_a_gap_and_keeps_its_records(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.fill(["a", "sub/b"])
    real = walk.list_directory

    def mounted(root: disk.Root, rel: bytes, unasked: frozenset[bytes]) -> listing.Entries:
        found = real(root, rel, unasked)
        found.directories = [
            (name, os.stat_result((*status[:2], status.st_dev + 1, *status[3:10])))
            if name == b"mnt"
            else (name, status)
            for name, status in found.directories
        ]
        return found

    world.fill(["mnt/elsewhere"])
    with monkeypatch.context() as patch:
        patch.setattr(walk, "list_directory", mounted)
        world.add()
        assert world.told(Excluded) == [(b"mnt", "another file system")]
        assert world.names() == {"a", "sub/b"}
    world.update()
    assert "mnt/elsewhere" in world.names()
    monkeypatch.setattr(walk, "list_directory", mounted)
    world.update()
    assert "mnt/elsewhere" in world.names()
    assert [(gap.path, gap.reason) for gap in list_gaps(world.session)] == [(b"mnt", "another file system")]


def test_many_deletions_are_refused_until_accepted(world: World) -> None:
    world.fill(numbered(40))
    world.add()
    before = world.files()
    sidecar = (world.src / ".medback.xml").read_bytes()
    for name in numbered(11):
        (world.src / name).unlink()
    refusal = world.refusal()
    assert refusal.kind == "too-many-deletions"
    assert "--accept-deletions" in message(refusal.refusal)
    assert world.files() == before
    assert (world.src / ".medback.xml").read_bytes() == sidecar
    summary = world.update(answers=Answers(deletions=True))
    assert (summary.files, summary.removed) == (29, 11)
    assert set(world.sidecar().files) == {os.fsencode(name) for name in numbered(40)[11:]}


def test_few_deletions_and_a_quarter_are_believed(world: World) -> None:
    world.fill(numbered(12))
    world.add()
    for name in numbered(10):
        (world.src / name).unlink()
    assert world.update().removed == 10
    world.fill(numbered(60))
    world.update()
    for name in numbered(15):
        (world.src / name).unlink()
    assert world.update().removed == 15


@pytest.mark.parametrize("count", [1, 3])
def test_a_small_source_that_vanished_whole_is_asked_about(world: World, count: int) -> None:
    world.fill(numbered(count))
    world.add()
    for name in numbered(count):
        (world.src / name).unlink()
    assert world.refusal().kind == "too-many-deletions"
    assert world.names() == set(numbered(count))
    assert world.update(answers=Answers(deletions=True)).removed == count


def test_a_refused_update_rewrites_no_sidecar(world: World) -> None:
    world.fill([*numbered(20, "a/"), *numbered(20, "b/"), "c/stays"])
    world.add()
    before = {path: path.stat().st_ino for path in world.src.rglob(".medback*.xml")}
    for directory in ("a", "b"):
        for name in numbered(15, f"{directory}/"):
            (world.src / name).unlink()
    assert world.refusal().kind == "too-many-deletions"
    assert {path: path.stat().st_ino for path in world.src.rglob(".medback*.xml")} == before
    assert world.update(answers=Answers(deletions=True)).removed == 30


def test_new_files_are_recorded_even_when_the_rest_is_refused(world: World) -> None:
    world.fill(numbered(40))
    world.add()
    for name in numbered(30):
        (world.src / name).unlink()
    world.fill(["new", "sub/new too"])
    world.refusal()
    assert world.names() == {*numbered(40), "new", "sub/new too"}
    assert b"new too" in world.sidecar("sub").files


def test_ransomware_is_refused(world: World) -> None:
    world.fill(numbered(40))
    world.add()
    before = world.files()
    for name in numbered(40):
        world.write(name, os.urandom(30), mtime_ns=OLD + 5)
    refusal = world.refusal()
    assert refusal.kind == "too-many-changes"
    assert world.files() == before
    assert world.refusal(answers=Answers(deletions=True)).kind == "too-many-changes"
    assert world.update(answers=Answers(changes=True)).changed == 40
    assert world.files() != before


def test_ransomware_that_renames_is_refused(world: World) -> None:
    world.fill(numbered(40))
    world.add()
    for name in numbered(40):
        (world.src / name).unlink()
        world.write(name + ".locked", os.urandom(30))
    assert world.refusal().kind == "too-many-deletions"
    assert set(numbered(40)) <= world.names()


def test_a_refused_source_does_not_hold_up_the_others(world: World, tmp_path: Path) -> None:
    world.fill(["a"])
    world.add()
    other = tmp_path / "music"
    other.mkdir()
    (other / "song").write_text("la")
    world.add(other)
    world.src.rename(tmp_path / "away")
    (other / "second").write_text("li")
    summary = world.update_all()
    assert summary.refused == ("photos",)
    assert [scan.added for scan in summary.scans] == [1]


# --- changes, moves --------------------------------------------------------------------------------------------------


def test_a_changed_file_gets_its_new_content_and_no_copies(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    world.back_up("a", "t1")
    world.write("a", "newer", mtime_ns=OLD + 7)
    summary = world.update()
    assert (summary.changed, summary.hashed) == (1, 1)
    assert world.row("a").size == 5
    assert world.targets_of("a") == {}
    assert world.sidecar().files[b"a"].bds == ()


def test_a_touched_file_is_no_change(world: World) -> None:
    world.fill(["a"])
    world.add()
    os.utime(world.src / "a", ns=(OLD + 9, OLD + 9))
    summary = world.update()
    assert (summary.hashed, summary.changed) == (1, 0)
    assert world.sidecar().files[b"a"].mtime_ns == OLD + 9
    assert world.update().hashed == 0


def test_a_renamed_file_keeps_its_copies_and_is_not_read_again(world: World) -> None:
    world.fill(["a", "b", "sub/c"])
    world.add()
    world.back_up("a", "t1")
    os.rename(world.src / "a", world.src / "sub" / "renamed")
    summary = world.update()
    assert (summary.hashed, summary.moved, summary.removed, summary.added) == (0, 1, 0, 0)
    assert world.targets_of("sub/renamed") == {"t1": Standing.VERIFIED}
    assert [bd.target for bd in world.sidecar("sub").files[b"renamed"].bds] == ["t1"]
    assert b"a" not in world.sidecar().files


def test_moving_everything_is_no_mass_deletion(world: World) -> None:
    world.fill(numbered(40, "old/"))
    world.add()
    os.rename(world.src / "old", world.src / "new")
    summary = world.update()
    assert (summary.moved, summary.removed, summary.hashed, summary.added) == (40, 0, 0, 0)
    assert world.names() == set(numbered(40, "new/"))
    assert find_directory(world.session, world.source.key, b"old") is None


def test_a_copied_then_deleted_file_keeps_its_copies(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    world.back_up("a", "t1")
    world.write("elsewhere/a", (world.src / "a").read_bytes(), mtime_ns=OLD + 3)
    (world.src / "a").unlink()
    summary = world.update()
    assert (summary.hashed, summary.moved, summary.removed) == (1, 1, 0)
    assert world.targets_of("elsewhere/a") == {"t1": Standing.VERIFIED}


def test_a_deleted_duplicate_is_removed_not_moved(world: World) -> None:
    world.write("a", "same")
    world.write("b", "same")
    world.fill(["c"])
    world.add()
    (world.src / "b").unlink()
    summary = world.update()
    assert (summary.moved, summary.removed) == (0, 1)


def test_a_reused_inode_is_read(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.write("a", "first content")
    world.fill(["other"])
    world.add()
    row = world.row("a")
    (world.src / "a").rename(world.src / "b")
    with open(world.src / "b", "r+b") as stream:
        stream.write(b"other CONTENT")
    os.utime(world.src / "b", ns=(OLD, OLD))
    assert row.ctime_ns is not None
    monkeypatch.setattr(disk, "birth_ns", lambda *_: (row.ctime_ns or 0) + 1)
    summary = world.update()
    assert summary.hashed == 1
    assert world.row("b").md5 != row.md5
    monkeypatch.setattr(disk, "birth_ns", lambda *_: None)
    os.rename(world.src / "b", world.src / "c")
    assert world.update().hashed == 1


def test_a_hard_link_beside_is_read(world: World) -> None:
    world.fill(["a"])
    world.add()
    os.link(world.src / "a", world.src / "b")
    summary = world.update()
    assert (summary.hashed, summary.added, summary.moved) == (2, 1, 0)


def test_swapped_files_keep_what_is_theirs(world: World) -> None:
    world.write("a", "content of the first")
    world.write("b", "the second", mtime_ns=OLD + 1)
    world.add()
    md5s = world.row("a").md5, world.row("b").md5
    os.rename(world.src / "a", world.src / "t")
    os.rename(world.src / "b", world.src / "a")
    os.rename(world.src / "t", world.src / "b")
    summary = world.update()
    assert (world.row("b").md5, world.row("a").md5) == md5s
    assert (summary.hashed, summary.changed, summary.removed) == (0, 2, 0)


def test_a_file_moved_to_another_source_keeps_its_copies(world: World, tmp_path: Path) -> None:
    world.fill(numbered(20))
    world.add()
    other = tmp_path / "archive"
    other.mkdir()
    world.add(other)
    world.back_up("003.jpg", "t1")
    for name in numbered(20):
        os.rename(world.src / name, other / name)
    summary = world.update_all()
    assert not summary.refused
    assert [(s.files, s.moved, s.removed, s.hashed) for s in summary.scans] == [(0, 20, 0, 0), (20, 0, 0, 0)]
    archive = find_source(world.session, "archive")
    identity = find_file(world.session, archive.key, b"003.jpg")
    assert identity is not None
    assert len(copies_of(world.session, identity.identity)) == 1


def test_a_record_leaves_its_old_sidecar_only_after_its_new_place_is_durable(world: World) -> None:
    world.fill([*numbered(5, "old/"), "new/x"])
    world.add()
    for name in numbered(5):
        os.rename(world.src / "old" / name, world.src / "new" / name)
    order: list[str] = []

    def observe(op: str, *details) -> None:
        if op == "rename":
            for directory in ("old", "new"):
                if os.fstat(details[0]).st_ino == (world.src / directory).stat().st_ino:
                    order.append(directory)

    disk.set_observer(observe)
    try:
        assert world.update().moved == 5
    finally:
        disk.set_observer(None)
    assert order == ["new", "old"]


def test_a_deleted_file_is_remembered_and_regains_its_copies_when_it_reappears(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    world.back_up("a", "t1")
    content = (world.src / "a").read_bytes()
    (world.src / "a").unlink()
    world.update()
    assert [gone.path for gone in list_gone(world.session, world.source.key)] == [b"a"]
    world.write("back/again", content, mtime_ns=OLD + 11)
    world.update()
    assert world.targets_of("back/again") == {"t1": Standing.VERIFIED}
    world.write("a", content)
    world.update()
    assert list(list_gone(world.session, world.source.key)) == []


def test_a_file_that_became_a_directory(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    (world.src / "a").unlink()
    world.fill(["a/inside"])
    assert world.update().removed == 1
    assert world.names() == {"a/inside", "b"}


# --- rot and edits that keep their time ------------------------------------------------------------------------------


def test_content_that_changed_keeping_its_time_is_reported_and_never_adopted(world: World) -> None:
    world.write("a", "original content")
    world.fill(["b"])
    world.add()
    world.back_up("a", "t1")
    md5 = world.row("a").md5
    world.rewrite_keeping_time("a", b"0riginal content")
    for _ in range(3):
        summary = world.update()
        assert summary.damaged == 1
        assert [path for path, _ in world.told(DamageFound)] == [b"a"]
        row = world.row("a")
        assert (row.md5, row.trouble) == (md5, Trouble.KEPT_TIME)
    assert world.targets_of("a") == {"t1": Standing.VERIFIED}
    assert world.sidecar().files[b"a"].damaged is not None


def test_trouble_ends_when_the_content_is_right_again(world: World) -> None:
    world.write("a", "original content")
    world.add()
    world.rewrite_keeping_time("a", b"0riginal content")
    world.update()
    world.rewrite_keeping_time("a", b"original content")
    assert world.update().damaged == 0
    assert world.row("a").trouble == Trouble.NONE
    assert world.sidecar().files[b"a"].damaged is None


def test_trouble_ends_when_the_file_is_changed_openly(world: World) -> None:
    world.write("a", "original content")
    world.add()
    world.rewrite_keeping_time("a", b"0riginal content")
    world.update()
    world.write("a", "0riginal content", mtime_ns=OLD + 1)
    summary = world.update()
    assert (summary.changed, summary.damaged, world.row("a").trouble) == (1, 0, Trouble.NONE)


def test_the_persons_word_adopts_the_new_content(world: World) -> None:
    world.write("docs/a", "original content")
    world.write("b", "original content!")
    world.add()
    world.rewrite_keeping_time("docs/a", b"edited content !")
    world.rewrite_keeping_time("b", b"edited content !!")
    world.update()
    summary = world.update(accept=["docs/"])
    assert (summary.changed, summary.damaged) == (1, 1)
    assert world.row("docs/a").trouble == Trouble.NONE
    assert world.row("b").trouble == Trouble.KEPT_TIME
    world.update()
    assert [path for path, _ in world.told(DamageFound)] == [b"b"]


def test_rot_is_found_by_a_rehash_after_the_db_was_lost_and_stays_known(world: World) -> None:
    world.write("a", "original content")
    world.fill(["b"])
    world.add()
    world.back_up("a", "t1")
    md5 = world.row("a").md5
    world.flush()
    world.rewrite_keeping_time("a", b"0riginal content")
    world.copy_sidecar()  # newer than all that is there, as in a tree that was copied: of its files nothing is told
    world.lose_db()
    assert world.add().hashed == 0
    summary = world.update(rehash=True)
    assert (summary.damaged, world.row("a").trouble, world.row("a").md5) == (1, Trouble.DAMAGED, md5)
    world.lose_db()
    summary = world.add()
    assert (summary.damaged, summary.hashed) == (1, 1)
    assert (world.row("a").trouble, world.row("a").md5) == (Trouble.DAMAGED, md5)
    assert set(world.targets_of("a")) == {"t1"}


def test_a_file_that_another_one_took_the_place_of_is_seen_though_size_and_time_are_its_own(world: World) -> None:
    """Tag editors, `sed -i` with `touch -r`, `rsync -t` write so: a new inode, a new ctime."""
    world.write("docs/a", "original content")
    world.write("docs/b", "same length as a")
    world.write("c", "original content!")
    world.add()
    other = world.write("docs/.new", b"edited content !")
    other.rename(world.src / "docs/a")
    world.write("elsewhere", b"linked content !!")
    (world.src / "c").unlink()
    os.link(world.src / "elsewhere", world.src / "c")
    summary = world.update()
    assert summary.damaged == 2
    assert [found.reason for found in world.of(DamageFound)] == [model.Reason("damaged/kept-time")] * 2
    summary = world.update(accept=["docs/"])
    assert (summary.changed, world.row("docs/a").trouble) == (1, Trouble.NONE)


def test_a_file_changed_keeping_its_time_is_read_when_its_directory_was_renamed(world: World) -> None:
    world.write("docs/a", "original content")
    world.write("docs/b", "untouched")
    world.add()
    world.rewrite_keeping_time("docs/a", b"edited content !")
    (world.src / "docs").rename(world.src / "papers")
    summary = world.update()
    assert (summary.hashed, summary.damaged) == (1, 1)
    assert (world.row("papers/a").trouble, world.row("papers/b").trouble) == (Trouble.KEPT_TIME, Trouble.NONE)


def test_after_the_loss_of_the_db_what_changed_since_its_sidecar_was_written_is_read(world: World) -> None:
    world.write("docs/a", "original content")
    world.fill(["docs/b", "docs/c"])
    world.add()
    world.flush()
    other = world.write("docs/.new", b"edited content !")
    other.rename(world.src / "docs/a")
    world.lose_db()
    summary = world.add()
    assert (summary.hashed, summary.damaged, world.row("docs/a").trouble) == (1, 1, Trouble.KEPT_TIME)


def test_a_file_that_changed_just_before_it_was_read_is_read_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where times are kept in steps of a second, the next change may leave the same ones."""
    monkeypatch.setattr(compare, "step_ns", lambda ctime_ns: 10**15)
    monkeypatch.setattr(walk, "step_ns", lambda ctime_ns: 10**15)
    world.write("a", "original content")
    world.add()
    world.rewrite_keeping_time("a", b"edited content !")
    summary = world.update()
    assert (summary.changed, summary.damaged) == (1, 0)
    monkeypatch.undo()
    assert world.update().hashed == 1
    assert world.update().hashed == 0


def test_only_names_that_medback_gives_are_kept_out(world: World) -> None:
    world.fill([".medbackup", ".medback-notes.txt", "sub/.medback", ".medback-tmp-mine"])
    world.add()
    assert world.names() == {".medbackup", ".medback-notes.txt", "sub/.medback"}
    assert [path for path, _ in world.told(Excluded)] == [b".medback-tmp-mine"]
    assert (world.src / ".medback-tmp-mine").exists()


def test_rot_of_a_file_nothing_else_moved_of_is_damage(world: World) -> None:
    world.write("a", "original content")
    world.add()
    world.rewrite_keeping_time("a", b"0riginal content")
    status = (world.src / "a").stat()
    with world.session.transaction() as connection:  # as rot does it: the bytes change, ctime does not
        connection.execute("UPDATE file SET ctime_ns = ?", (status.st_ctime_ns,))
    assert world.update().damaged == 0
    assert world.update(rehash=True).damaged == 1
    assert world.row("a").trouble == Trouble.DAMAGED


def test_a_changed_mode_is_recorded_without_a_change_of_content(world: World) -> None:
    world.write("a", "x")
    world.add()
    (world.src / "a").chmod(0o600)
    summary = world.update()
    assert (summary.changed, summary.damaged) == (0, 0)
    assert (world.row("a").mode, world.sidecar().files[b"a"].mode) == (0o600, 0o600)


# --- killed, cancelled ------------------------------------------------------------------------------------------------


def test_a_cancelled_scan_keeps_what_it_found_and_forgets_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "TICK", -1.0)
    monkeypatch.setattr(walk, "TICK", 0.0)
    world.fill([*numbered(200), *numbered(200, "sub/")])
    with closing(cast("Generator[Event]", sources.add_source(world.session, os.fsencode(world.src)))) as events:
        for event in events:
            if isinstance(event, model.Progress) and event.files > 200:
                break
    found = len(world.names())
    summary = world.update()
    assert found + summary.hashed >= 400
    assert summary.files == 400
    for name in numbered(5):
        (world.src / name).unlink()
    with closing(cast("Generator[Event]", sources.update(world.session))) as events:
        next(events)
    assert len(world.names()) == 400
    assert world.update().removed == 5


def story(world: World) -> None:
    """Add, move, change, delete, update: what is run again after every kill."""
    world.run(sources.add_source(world.session, os.fsencode(world.src)))
    if not (world.base / "acted").exists():
        os.rename(world.src / "a" / "000.jpg", world.src / "b" / "moved.jpg")
        world.write("a/001.jpg", "changed", mtime_ns=OLD + 1)
        (world.src / "a" / "002.jpg").unlink()
        (world.base / "acted").touch()
    world.run(sources.update(world.session))


def test_killed_at_any_change_it_converges(tmp_path: Path) -> None:
    def fresh(name: str) -> World:
        (tmp_path / name).mkdir()
        world = World(tmp_path / name)
        world.fill([*numbered(4, "a/"), *numbered(4, "b/")])
        return world

    def end_state(world: World):
        sidecars = {d: world.sidecar(d).files for d in ("", "a", "b")}
        left = [p.name for p in world.src.rglob(".medback-tmp-*")]
        return world.files(), sidecars, left

    whole = fresh("whole")
    story(whole)
    wanted = end_state(whole)
    number = 0
    while True:
        world = fresh(f"killed-{number}")
        killed = killed_after(number, partial(story, world))
        for sidecar in world.src.rglob(".medback.xml"):
            assert sidecar_is_whole(sidecar.read_bytes())
        if number % 2:
            world.lose_db()
        else:
            world.session.close()
            world.session = open_session(world.base / "db")
        story(world)
        world.run(sources.update(world.session))
        assert end_state(world) == wanted, number
        world.session.close()
        if not killed:
            break
        number += 1
    assert number > 20


def test_a_read_only_source_is_kept_in_the_db_alone(world: World) -> None:
    world.fill(["a", "sub/b"])

    def refuse(op: str, *details) -> None:
        if op == "create" and not str(os.readlink(f"/proc/self/fd/{details[0]}")) == str(world.base):
            raise OSError(30, "Read-only file system")

    disk.set_observer(refuse)
    try:
        summary = world.add()
    finally:
        disk.set_observer(None)
    assert summary.files == 2
    assert len([w for w in world.of(Warned) if "Read-only" in message(w)]) == 2
    assert not list(world.src.rglob(".medback*"))
    (world.src / ".medback-source.xml").write_bytes(b"")  # as if it could be written again
    world.update()
    assert set(world.sidecar("sub").files) == {b"b"}


def test_a_source_whose_metadata_could_not_be_written_at_first_gets_it_next_time(world: World) -> None:
    world.fill(["a", "sub/b"])

    def refuse(op: str, *details) -> None:
        if op == "create" and details[1].endswith(b"-source.xml"):
            raise OSError(28, "No space left on device")

    disk.set_observer(refuse)
    try:
        world.add()
    finally:
        disk.set_observer(None)
    assert not (world.src / ".medback-source.xml").exists()
    assert world.update().files == 2
    assert (world.src / ".medback-source.xml").exists()


@pytest.mark.parametrize(("one", "other"), [("a", "b"), ("x/a", "y/a"), ("a", "y/b")])
def test_two_files_of_one_size_and_time_that_were_swapped_are_seen(world: World, one: str, other: str) -> None:
    world.write(one, "the first")
    world.write(other, "the other")
    world.fill(["third"])
    world.add()
    before = world.row(one).md5, world.row(other).md5
    first, second = world.src / one, world.src / other
    first.rename(world.src / "aside")
    second.rename(first)
    (world.src / "aside").rename(second)
    summary = world.update()
    assert (summary.changed, summary.damaged, summary.hashed) == (2, 0, 2) and not world.told(DamageFound)
    assert (world.row(other).md5, world.row(one).md5) == before
    assert world.sidecar(os.path.dirname(one)).files[os.fsencode(os.path.basename(one))].md5 == before[1]
    assert world.update().hashed == 0


def test_directories_that_were_swapped_are_seen(world: World) -> None:
    for place in ("x", "y"):
        for number in range(3):
            world.write(f"{place}/{number}", f"{place}{number}")
    world.add()
    (world.src / "x").rename(world.src / "z")
    (world.src / "y").rename(world.src / "x")
    (world.src / "z").rename(world.src / "y")
    world.update()
    assert world.row("x/1").md5 == hashlib.md5(b"y1").digest()


def test_rot_in_a_file_that_took_the_others_inode_is_damage_all_the_same(world: World) -> None:
    world.write("a", "the first")
    world.write("b", "the other")
    world.add()
    (world.src / "b").rename(world.src / "a")
    world.write("b", "the first", mtime_ns=OLD + 1)
    world.rewrite_keeping_time("a", b"flipped !")
    world.update()
    assert {path for path, _ in world.told(DamageFound)} == {b"a"}


def test_a_copied_tree_has_other_inodes_and_is_not_read(world: World) -> None:
    for number in range(20):
        world.write(str(number), f"{number:04}")
    world.add()
    shutil.copytree(world.src, world.base / "copied")
    world.src.rename(world.base / "was")
    (world.base / "copied").rename(world.src)
    assert (world.update().hashed, world.update().hashed) == (0, 0)


STRUCK = {
    "md5": (rb'md5="[0-9a-f]{8}', b'md5="zzzzzzzz'),
    "size": (rb'size="12"', b'size="13"'),
    "name": (rb'name="a"', b'name="b"'),
}


@pytest.mark.parametrize("what", STRUCK)
def test_a_record_that_lost_its_copies_is_told_and_kept_aside(world: World, what: str) -> None:
    world.write("a", "content of a")
    world.fill(["d/whole"])
    world.add()
    world.back_up("a", "t1")
    world.flush()
    sidecar = world.src / ".medback.xml"
    struck = re.sub(*STRUCK[what], sidecar.read_bytes(), count=1)
    assert struck != sidecar.read_bytes()
    sidecar.write_bytes(struck)
    world.lose_db()
    world.add()
    assert [path for path, _ in world.told(DamageFound)] == [b".medback.xml"]
    (aside,) = world.src.glob(".medback.xml.damaged-*")
    assert aside.read_bytes() == struck
    world.update()
    assert not world.told(DamageFound) and len(list(world.src.glob(".medback.xml.damaged-*"))) == 1


@pytest.mark.parametrize("what", STRUCK)
def test_a_struck_record_costs_nothing_while_the_db_knows_better(world: World, what: str) -> None:
    world.write("a", "content of a")
    world.add()
    world.back_up("a", "t1")
    world.flush()
    sidecar = world.src / ".medback.xml"
    sidecar.write_bytes(re.sub(*STRUCK[what], sidecar.read_bytes(), count=1))
    world.update()
    assert not world.told(DamageFound) and world.targets_of("a") == {"t1": Standing.VERIFIED}


def test_tags_that_are_lost_are_not_called_nothing(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    sidecar = world.src / ".medback.xml"
    text = sidecar.read_text()
    tagged = re.sub(r'(<file name="a"[^>]*?) crc="[^"]*"/>', r"\1><tag>keep</tag></file>", text)
    sidecar.write_text(tagged)
    world.update()
    assert world.sidecar().files[b"a"].tags == ("keep",)
    whole = sidecar.read_bytes()
    sidecar.write_bytes(whole.replace(b'size="', b"size=", 1))
    world.update()
    assert [path for path, _ in world.told(DamageFound)] == [b".medback.xml"]
    (aside,) = world.src.glob(".medback.xml.damaged-*")
    assert b"<tag>keep</tag>" in aside.read_bytes()


def test_metadata_that_is_damaged_when_the_db_is_lost_is_told_as_damage(world: World) -> None:
    world.fill(["a"])
    world.add(copies=3)
    metadata = world.src / ".medback-source.xml"
    metadata.write_bytes(metadata.read_bytes().replace(b'wanted="3"', b'wanted="9"'))
    world.lose_db()
    world.add()
    (told,) = world.of(DamageFound)
    assert told.path == os.fsencode(metadata) and "now wants 2 copies" in why(told)
    assert len(list(world.src.glob(".medback-source.xml.damaged-*"))) == 1
    world.update()
    assert not world.of(DamageFound)


def test_metadata_that_is_damaged_is_no_loss_while_the_db_knows_better(world: World) -> None:
    world.fill(["a"])
    world.add(copies=3)
    metadata = world.src / ".medback-source.xml"
    metadata.write_bytes(metadata.read_bytes().replace(b'wanted="3"', b'wanted="9"'))
    world.update()
    assert [one.what for one in world.of(Warned)] == ["metadata-was-damaged/kept"]
    assert not world.of(DamageFound) and world.source.wanted == 3
    assert b'wanted="3"' in metadata.read_bytes()


@pytest.mark.parametrize("after", range(6))
def test_what_a_full_disk_took_back_is_recorded_under_no_others_name(
    world: World, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """The transaction that failed also took back the rows of new directories: their keys go to others."""
    world.write("before/a", "was there")
    world.add()
    contents = {"before/a": b"was there"}
    for folder in ("new", "new/deeper", "other", "third"):
        for name in ("one", "two"):
            world.write(f"{folder}/{name}", f"{name} of {folder}")
            contents[f"{folder}/{name}"] = f"{name} of {folder}".encode()
    put, calls = record.put_files, []

    def full(*words, **options) -> None:
        calls.append(words)
        if len(calls) == after + 1:
            raise sqlite3.OperationalError("database or disk is full")
        put(*words, **options)

    monkeypatch.setattr(record, "put_files", full)
    assert bool(world.update_all().refused) is (after < 4)
    md5s = {path: hashlib.md5(data).hexdigest() for path, data in contents.items()}
    assert {path: row[1] for path, row in world.files().items()}.items() <= md5s.items()
    assert not world.session.has("file WHERE directory_id NOT IN (SELECT id FROM directory)")
    monkeypatch.setattr(record, "put_files", put)
    world.update()
    assert {path: row[1] for path, row in world.files().items()} == md5s
    assert not world.session.has("file WHERE directory_id NOT IN (SELECT id FROM directory)")
