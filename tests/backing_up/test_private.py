"""No copy is readable to more people than its original: directories on drives, in sidecars, contexts and restores."""

from __future__ import annotations

from typing import cast
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from faults.kernel import drive
from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.backing_up import tree as on_drive
from medback_core.backing_up.back_up import back_up
from medback_core.contexts.load import add_restore_context
from medback_core.contexts.write import write_restore
from medback_core.model import Answers, Warned
from medback_core.restoring.restore import restore
from medback_core.scanning.sources import update
from medback_core.session import open_session
from medback_core.session.sources import list_sources
from medback_core.sidecar import parse
from medback_core.upkeep.repair import repair
from medback_core.upkeep.verify_target import verify
from support import sync_modes
from support.worlds import MTIME, add, back, new_session, rescan, run, write_tree

FILES = {"open/a": 10, "secret/b": 20, "secret/deep/c": 30, "group/d": 40}
MODES = {"": 0o755, "open": 0o755, "secret": 0o700, "secret/deep": 0o755, "group": 0o750, "hollow": 0o711}
TIMES = {path: MTIME - 86_400 * 10**9 * (number + 1) for number, path in enumerate(MODES)}


def put(photos: Path) -> None:
    """Give every directory its permissions and time."""
    for path in sorted(MODES, reverse=True):
        os.chmod(photos / path, MODES[path])
        os.utime(photos / path, ns=(TIMES[path], TIMES[path]))


def modes(root: Path) -> dict[str, int]:
    """The permissions of a directory and all below."""
    return {
        os.path.relpath(here, root).replace(".", "", 1) if Path(here) == root else os.path.relpath(here, root):
        stat.S_IMODE(os.stat(here).st_mode)
        for here, _, _ in os.walk(root)
    }  # fmt: skip


def times(root: Path) -> dict[str, int]:
    return {path: os.stat(root / path).st_mtime_ns for path in MODES}


@pytest.fixture(autouse=True)
def nothing_above_is_private(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test's own directory is."""
    monkeypatch.setattr(on_drive, "is_shut_away", lambda path: False)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple]:
    photos = tmp_path / "photos"
    write_tree(photos, FILES)
    (photos / "hollow").mkdir()
    (photos / "open/latest").symlink_to("../secret/b")
    (photos / "hollow/of links").mkdir()
    (photos / "hollow/of links/x").symlink_to("y")
    shutil.rmtree(photos / "hollow/of links")
    put(photos)
    with new_session(tmp_path) as session:
        add(session, photos)
        yield session, tmp_path


def test_a_directory_is_as_private_on_the_drive_as_in_its_source(world):
    session, tmp = world
    back(session, tmp / "t1")
    assert modes(tmp / "t1/photos") == {path: mode for path, mode in MODES.items() if path != "hollow"}


def test_it_is_so_at_every_instant(world, monkeypatch: pytest.MonkeyPatch):
    """What is below a private directory is never reachable for others, however early one looks."""
    session, tmp = world
    seen = []

    def look(op: str, *_details: object) -> None:
        secret = tmp / "t1/photos/secret"
        if secret.exists():
            seen.append(stat.S_IMODE(os.stat(secret).st_mode))
        for temporary in (tmp / "t1").rglob(".medback-tmp-*"):
            if temporary.parent.name == "group":
                seen.append(stat.S_IMODE(os.stat(temporary.parent).st_mode) & 0o007)

    disk.set_observer(look)
    try:
        back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert seen and not any(mode & 0o077 for mode in seen)


def test_the_sources_sidecars_tell_permissions_and_times(world):
    _, tmp = world
    told = parse((tmp / "photos/.medback.xml").read_bytes()).dirs
    assert {os.fsdecode(cast("bytes", name)): record.mode for name, record in told.items()} == {
        path: mode for path, mode in MODES.items() if path and "/" not in path
    }
    assert {os.fsdecode(cast("bytes", name)): record.mtime_ns for name, record in told.items()} == {
        path: TIMES[path] for path in MODES if path and "/" not in path
    }


def test_a_time_alone_writes_nothing_and_our_own_writing_is_no_time(world):
    session, tmp = world
    sidecar = tmp / "photos/.medback.xml"
    before = sidecar.stat().st_ino, sidecar.read_bytes()
    rescan(session)  # the sidecars inside changed the times of the directories
    os.utime(tmp / "photos/open", ns=(MTIME, MTIME))
    rescan(session)
    assert (sidecar.stat().st_ino, sidecar.read_bytes()) == before
    os.chmod(tmp / "photos/group", 0o700)  # a reason to write it
    rescan(session)
    told = parse(sidecar.read_bytes()).dirs
    assert (told[b"group"].mode, told[b"open"].mtime_ns) == (0o700, MTIME)
    assert told[b"secret"].mtime_ns == TIMES["secret"]


def test_an_idle_run_writes_nothing_at_all(world):
    session, tmp = world
    back(session, tmp / "t1")
    writes = []
    disk.set_observer(lambda op, *details: writes.append(op) if op not in ("open_lock_file", "truncate") else None)
    try:
        rescan(session)
        back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert {"rename", "rename_noreplace", "chmod", "utime", "mkdir"}.isdisjoint(writes), "a context alone is compared"


def test_a_drive_of_before_is_tightened_and_says_so(world):
    session, tmp = world
    back(session, tmp / "t1")
    for here, _, _ in os.walk(tmp / "t1"):
        os.chmod(here, 0o755)
    (tmp / "t1/.medback-old").mkdir(mode=0o755)
    said = [message(warned) for warned in run(back_up(session, os.fsencode(tmp / "t1"))).of(Warned)]
    assert any("3 places on t1 could be read by more people" in message for message in said)
    assert modes(tmp / "t1/photos") == {path: mode for path, mode in MODES.items() if path != "hollow"}
    assert stat.S_IMODE(os.stat(tmp / "t1/.medback-old").st_mode) == 0o700


def test_what_became_private_becomes_so_on_the_drive(world):
    session, tmp = world
    back(session, tmp / "t1")
    os.chmod(tmp / "photos/open", 0o700)
    os.chmod(tmp / "photos/group/d", 0o600)
    back(session, tmp / "t1")
    assert stat.S_IMODE(os.stat(tmp / "t1/photos/open").st_mode) == 0o700
    assert stat.S_IMODE(os.stat(tmp / "t1/photos/group/d").st_mode) == 0o600
    assert parse((tmp / "t1/photos/group/.medback.xml").read_bytes()).files[b"d"].mode == 0o600


def test_a_source_in_a_private_place_is_private_on_the_drive(world, monkeypatch: pytest.MonkeyPatch):
    session, tmp = world
    monkeypatch.setattr(on_drive, "is_shut_away", lambda path: True)
    back(session, tmp / "t1")
    assert stat.S_IMODE(os.stat(tmp / "t1/photos").st_mode) == 0o700
    assert parse((tmp / "t1/.medback.xml").read_bytes()).dirs[b"photos"].mode == 0o755, "to be restored so"


def test_a_directory_only_some_may_enter_makes_private_what_is_below(tmp_path: Path):
    (tmp_path / "home").mkdir()
    os.chmod(tmp_path / "home", 0o750)
    assert on_drive.is_shut_away.__name__ == "<lambda>"
    from importlib import reload

    assert reload(on_drive).is_shut_away(os.fsencode(tmp_path / "home/photos"))


def test_restored_elsewhere_everything_has_its_permissions_and_time(world):
    session, tmp = world
    of_files = dict(zip(FILES, (0o600, 0o640, 0o444, 0o755), strict=False))
    for path, mode in of_files.items():
        os.chmod(tmp / "photos" / path, mode)
    rescan(session)
    put(tmp / "photos")
    back(session, tmp / "t1")
    run(restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "back")))
    assert {path: stat.S_IMODE(os.stat(tmp / "back/photos" / path).st_mode) for path in of_files} == of_files
    assert modes(tmp / "back/photos") == MODES
    assert times(tmp / "back/photos") == TIMES


def test_restored_in_its_place_too(world):
    session, tmp = world
    back(session, tmp / "t1")
    shutil.rmtree(tmp / "photos")
    run(restore(session, str(tmp / "t1")))
    assert modes(tmp / "photos") == MODES
    assert times(tmp / "photos") == TIMES
    run(update(session))
    told = parse((tmp / "photos/.medback.xml").read_bytes()).dirs[b"secret"]
    assert (told.mode, told.mtime_ns) == (MODES["secret"], TIMES["secret"])


def test_a_restore_gives_nothing_to_what_was_there(world):
    session, tmp = world
    back(session, tmp / "t1")
    os.chmod(tmp / "photos/open", 0o700)
    (tmp / "photos/open/a").unlink()
    run(restore(session, str(tmp / "t1")))
    assert (tmp / "photos/open/a").exists()
    assert stat.S_IMODE(os.stat(tmp / "photos/open").st_mode) == 0o700


def test_a_context_tells_them_to_a_new_machine(world):
    session, tmp = world
    back(session, tmp / "t1")
    write_restore(session, os.fsencode(tmp / "all.xml"))
    shutil.rmtree(tmp / "photos")
    with open_session(tmp / "new.db") as other:
        run(add_restore_context(other, os.fsencode(tmp / "all.xml")))
        write_restore(other, os.fsencode(tmp / "again.xml"))
        run(restore(other, str(tmp / "t1")))
        assert modes(tmp / "photos") == MODES
        assert times(tmp / "photos") == TIMES
        assert list_sources(other)
    said = [line for line in (tmp / "again.xml").read_text().splitlines() if line.startswith(("<dr", "<rc"))]
    assert len(said) == len(MODES) and all('mode="' in line and 'mtime="' in line for line in said)


def test_a_restore_that_was_killed_gives_them_when_it_goes_on(world):
    session, tmp = world
    back(session, tmp / "t1")
    steps = restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "back"))

    def stop(op: str, *_details: object) -> None:
        if op == "utime" and (tmp / "back/photos/secret").exists():
            raise KeyboardInterrupt

    disk.set_observer(stop)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(steps)
    finally:
        disk.set_observer(None)
    assert stat.S_IMODE(os.stat(tmp / "back/photos").st_mode) == 0o700
    run(restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "back")))
    assert modes(tmp / "back/photos") == MODES
    assert times(tmp / "back/photos") == TIMES


def test_a_directory_its_owner_may_not_write_to_takes_copies_all_the_same(world):
    """On the drive the owner keeps the right to put more there, or the next backup could not."""
    session, tmp = world
    os.chmod(tmp / "photos/open", 0o555)
    rescan(session)
    back(session, tmp / "t1")
    assert modes(tmp / "t1/photos")["open"] == 0o755


def test_until_all_is_back_the_owner_may_write_there(world):
    """An ordinary user could put nothing more into a directory that was given its permissions too early."""
    session, tmp = world
    write_tree(tmp / "photos", {"open/a2": 500})
    os.chmod(tmp / "photos/open", 0o555)
    rescan(session)
    back(session, tmp / "t1", limit=400)
    back(session, tmp / "t2")
    run(restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "back")))
    assert modes(tmp / "back/photos")["open"] == 0o755
    run(restore(session, str(tmp / "t2"), to=os.fsencode(tmp / "back")))
    assert modes(tmp / "back/photos")["open"] == 0o555


def test_what_a_person_changes_after_a_restore_stays(world):
    session, tmp = world
    back(session, tmp / "t1")
    run(restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "back")))
    os.chmod(tmp / "back/photos/secret", 0o750)
    (tmp / "back/photos/open/a").unlink()
    run(restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "back")))
    assert modes(tmp / "back/photos")["secret"] == 0o750


def test_the_drive_tells_of_links_and_of_what_is_not_there(world):
    session, tmp = world
    (tmp / "photos/links only/deep").mkdir(parents=True)
    (tmp / "photos/links only/deep/x").symlink_to("../../open/a")
    back(session, tmp / "t1")
    top = parse((tmp / "t1/photos/.medback.xml").read_bytes())
    source = list_sources(session)[0].id
    assert {(key if isinstance(key, bytes) else key[1]) for key in top.dirs} == {
        b"open", b"secret", b"group", b"hollow", b"links only", b"links only/deep"
    }  # fmt: skip
    assert top.dirs[source, b"links only/deep"].links == ((b"x", b"../../open/a"),)
    assert parse((tmp / "t1/photos/open/.medback.xml").read_bytes()).links[b"latest"].to == b"../secret/b"
    write_tree(tmp / "photos", {"links only/deep/file": 50})
    back(session, tmp / "t1")
    top = parse((tmp / "t1/photos/.medback.xml").read_bytes())
    assert b"links only" in top.dirs and (source, b"links only/deep") not in top.dirs
    assert parse((tmp / "t1/photos/links only/deep/.medback.xml").read_bytes()).links[b"x"].to == b"../../open/a"


@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_a_drive_without_permissions_says_how_many_private_files_lie_there(world, kind: str):
    session, tmp = world
    with drive(tmp / "drives", kind, 16 << 20) as stick:
        said = [
            message(warned)
            for warned in run(back_up(session, os.fsencode(stick.point), answers=Answers(yes=True))).of(Warned)
        ]
    assert any("3 private files can be read by anyone who has" in message for message in said), said


OTHER_GROUP = 54321 if os.geteuid() == 0 else next((g for g in os.getgroups() if g != os.getegid()), -1)
needs_a_group = pytest.mark.skipif(OTHER_GROUP < 0, reason="needs a second group, or root")


def give(group: int, *paths: Path) -> None:
    for path in paths:
        os.chown(path, -1, group)


@needs_a_group
def test_a_group_that_is_not_the_originals_may_do_what_all_may_and_a_restore_gives_the_rest_back(world):
    session, tmp = world
    mine = {"open/a": 0o664, "secret/b": 0o604}
    for path, mode in mine.items():
        os.chmod(tmp / "photos" / path, mode)
    os.chmod(tmp / "photos/group/d", 0o640)
    give(OTHER_GROUP, *(tmp / "photos" / path for path in (*mine, "group/d", "group")))
    rescan(session)
    back(session, tmp / "t1")
    assert {path: stat.S_IMODE(os.stat(tmp / "t1/photos" / path).st_mode) for path in (*mine, "group/d", "group")} == {
        "open/a": 0o644,
        "secret/b": 0o600,
        "group/d": 0o600,
        "group": 0o700,
    }
    assert parse((tmp / "t1/photos/group/.medback.xml").read_bytes()).files[b"d"].mode == 0o640
    writes = []
    disk.set_observer(lambda op, *details: writes.append(op))
    try:
        back(session, tmp / "t1")
    finally:
        disk.set_observer(None)
    assert {"rename", "chmod"}.isdisjoint(writes)
    run(restore(session, str(tmp / "t1"), to=os.fsencode(tmp / "back")))
    restored = tmp / "back/photos"
    assert {path: stat.S_IMODE(os.stat(restored / path).st_mode) for path in mine} == mine
    assert [stat.S_IMODE(os.stat(restored / path).st_mode) for path in ("group", "group/d")] == [0o750, 0o640]


@needs_a_group
@pytest.mark.parametrize("files", [{"one": 10}, {"one": 10, "two": 20}, {"large": 1_500_000}], ids=len)
@pytest.mark.parametrize("together", [True, False])
def test_such_a_copy_is_closed_to_that_group_from_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, int], together: bool
):
    sync_modes.go(sync_modes.TOGETHER if together else sync_modes.FILE_BY_FILE, monkeypatch)
    write_tree(tmp_path / "photos", files)
    for path in files:
        os.chmod(tmp_path / "photos" / path, 0o660)
    give(OTHER_GROUP, *(tmp_path / "photos" / path for path in files))
    seen = []

    def look(_op: str, *_details: object) -> None:
        seen.extend(
            stat.S_IMODE(os.stat(path).st_mode) for path in (tmp_path / "t1/photos").glob(".medback-tmp-????????????")
        )

    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        disk.set_observer(look)
        try:
            back(session, tmp_path / "t1")
        finally:
            disk.set_observer(None)
    assert seen and set(seen) == {0o600}


@needs_a_group
def test_a_copy_made_before_its_original_got_another_group_is_closed_to_the_old_one(world):
    session, tmp = world
    os.chmod(tmp / "photos/open/a", 0o660)
    rescan(session)
    back(session, tmp / "t1")
    assert stat.S_IMODE(os.stat(tmp / "t1/photos/open/a").st_mode) == 0o660
    give(OTHER_GROUP, tmp / "photos/open/a", tmp / "photos/group")
    said = [message(warned) for warned in run(back_up(session, os.fsencode(tmp / "t1"))).of(Warned)]
    assert any("2 places on t1 could be read by more people" in message for message in said), said
    assert stat.S_IMODE(os.stat(tmp / "t1/photos/open/a").st_mode) == 0o600
    assert modes(tmp / "t1/photos")["group"] == 0o700
    assert parse((tmp / "t1/photos/open/.medback.xml").read_bytes()).files[b"a"].mode == 0o660


@needs_a_group
def test_a_repaired_copy_is_open_to_no_group_that_its_original_is_not(world):
    session, tmp = world
    os.chmod(tmp / "photos/open/a", 0o660)
    give(OTHER_GROUP, tmp / "photos/open/a")
    rescan(session)
    back(session, tmp / "t1")
    back(session, tmp / "t2")
    copy, status = tmp / "t1/photos/open/a", os.stat(tmp / "t1/photos/open/a")
    copy.write_bytes(b"!" * status.st_size)
    os.utime(copy, ns=(status.st_mtime_ns, status.st_mtime_ns))
    run(verify(session, os.fsencode(tmp / "t1")))
    run(repair(session, os.fsencode(tmp / "t1")))
    assert copy.read_bytes() == (tmp / "photos/open/a").read_bytes()
    assert stat.S_IMODE(os.stat(copy).st_mode) == 0o600
    assert parse((tmp / "t1/photos/open/.medback.xml").read_bytes()).files[b"a"].mode == 0o660


def test_of_what_cannot_be_looked_at_a_copy_may_what_all_may(tmp_path: Path):
    assert on_drive.permitted(0o640, os.getegid(), os.fsencode(tmp_path / "gone")) == 0o600
