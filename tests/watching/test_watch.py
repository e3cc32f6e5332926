"""Drives that come and go: real directories for drives, real mounts where they may be made."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.shell import Shell
from support.worlds import new_session, photos, rot, run, tree, write_tree

from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.disk import devices
from medback_core.drives.eject import eject
from medback_core.drives.open import set_target
from medback_core.errors import Refused
from medback_core.model import LockedHere, OnPlug, PlugDone, PluggedIn, Unplugged
from medback_core.presenting.plugging import NO_SOURCES, plug_words
from medback_core.presenting.units import counted
from medback_core.session import open_session
from medback_core.session.candidates import below_wanted
from medback_core.session.targets import counting_keys, list_targets, save_target
from medback_core.watching.watch import watch


class Shelf:
    """Drives that are plugged in when somebody says so."""

    def __init__(self, where: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.where, self.here = where, []
        monkeypatch.setattr(disk, "removable_mounts", self.mounts)

    def mounts(self) -> list[disk.Mount]:
        return [disk.Mount(os.fsencode(self.where / name), "/dev/x", "ext4", True, False, 0, 0) for name in self.here]


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    with photos(tmp_path, {"a": b"a", "b/c": b"c"}, drives=["red", "blue"]) as (session, _):
        set_target(session, "red", on_plug=OnPlug.BACKUP)
        set_target(session, "blue", on_plug=OnPlug.VERIFY)
    return Shelf(tmp_path, monkeypatch)


def test_a_target_does_what_it_is_set_to_and_says_when_it_may_go(shelf: Shelf) -> None:
    write_tree(shelf.where / "photos", {"new": b"new"})

    def comings() -> Iterator[bool]:
        shelf.here = ["red", "blue"]
        yield True
        shelf.here = ["red"]
        yield True
        yield False

    found = run(watch(shelf.where / "session.db", changes=comings()))
    told = [event for event in found if isinstance(event, PluggedIn | PlugDone | Unplugged)]
    assert [type(event) for event in told] == [PluggedIn, PlugDone, PluggedIn, PlugDone, Unplugged]
    assert {(e.label, e.action, e.finished) for e in found.of(PlugDone)} == {
        ("red", OnPlug.BACKUP, True),
        ("blue", OnPlug.VERIFY, True),
    }
    assert (shelf.where / "red/photos/new").read_bytes() == b"new"
    assert not (shelf.where / "blue/photos/new").exists()
    assert [plug_words(event) for event in told][-1] == "blue was unplugged"


def test_without_a_source_no_drive_is_called_backed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell, shelf = Shell(tmp_path), Shelf(tmp_path, monkeypatch)
    (tmp_path / "red").mkdir()
    assert shell("target", "red", "--init", "--label", "Red").code == 0
    assert shell("set-target", "Red", "--on-plug", "backup").code == 0
    assert NO_SOURCES in shell("update").out
    shelf.here = ["red"]
    found = run(watch(tmp_path / "session.db", changes=[]))
    assert not found.of(PlugDone)
    (here,) = found.of(PluggedIn)
    assert plug_words(here) == f"Red is here ({tmp_path}/red): {NO_SOURCES}"


def test_what_was_not_backed_up_is_told_with_it(shelf: Shelf) -> None:
    write_tree(shelf.where / "photos", {"new": b"new"})
    (shelf.where / "photos").rename(shelf.where / "away")
    shelf.here = ["red"]
    words = [plug_words(event) for event in run(watch(shelf.where / "session.db", changes=()))]
    assert "warning: the source photos is not there; its files are not copied now" in words
    assert "red is backed up, without 1 source: safe to unplug" in words
    (shelf.where / "photos").mkdir()
    words = [plug_words(event) for event in run(watch(shelf.where / "session.db", changes=()))]
    assert "red is backed up, without 1 source: safe to unplug" in words
    (shelf.where / "photos").rmdir()
    (shelf.where / "away").rename(shelf.where / "photos")
    words = [plug_words(event) for event in run(watch(shelf.where / "session.db", changes=()))]
    assert "red is backed up: safe to unplug" in words


def test_a_drive_that_is_full_is_not_called_backed_up(shelf: Shelf) -> None:
    write_tree(shelf.where / "photos", {f"new{number}": bytes([number]) * 70_000 for number in range(3)})
    with open_session(shelf.where / "session.db") as session:
        set_target(session, "red", capacity=150_000)
    shelf.here = ["red"]
    found = run(watch(shelf.where / "session.db", changes=()))
    (done,) = found.of(PlugDone)
    with open_session(shelf.where / "session.db") as session:
        need = below_wanted(session, counting_keys(session))[0]
    assert 0 < need.files == done.short.files
    assert plug_words(done) == f"red is full, {counted(need)} still need another drive: safe to unplug"
    answer = Shell(shelf.where)("watch", "--once", "--json")
    (told,) = json.loads(answer.out)["done"]
    assert answer.code == 6 and told["short"] == {"files": need.files, "bytes": need.bytes}


def test_a_verify_that_reads_a_part_says_what_is_left(shelf: Shelf) -> None:
    shelf.here = ["blue"]
    for most, words in (
        (1, "blue is verified, 1 copy still to be read another time: safe to unplug"),
        (None, "blue is verified: safe to unplug"),
    ):
        found = run(watch(shelf.where / "session.db", changes=(), verify_bytes=most))
        assert words in [plug_words(event) for event in found]


def test_a_session_that_is_lost_while_it_watches_is_built_again(shelf: Shelf) -> None:
    def comings() -> Iterator[bool]:
        for file in shelf.where.glob("session.db*"):
            if file.suffix != ".sources":
                file.unlink()
        shelf.here = ["red"]
        yield True

    write_tree(shelf.where / "photos", {"new": b"new"})
    words = [plug_words(event) for event in run(watch(shelf.where / "session.db", changes=comings()))]
    assert "red is backed up: safe to unplug" in words
    assert (shelf.where / "red/photos/new").read_bytes() == b"new"


def test_a_drive_with_no_word_of_its_own_is_told_of_and_left_alone(shelf: Shelf) -> None:
    with new_session(shelf.where) as session:
        set_target(session, "red", on_plug=OnPlug.NOTHING)
    write_tree(shelf.where / "photos", {"new": b"new"})
    before = tree(shelf.where / "red", metadata=True)
    shelf.here = ["red"]
    found = run(watch(shelf.where / "session.db", changes=()))
    assert [event.action for event in found.of(PluggedIn)] == [OnPlug.NOTHING]
    assert tree(shelf.where / "red", metadata=True) == before


def test_a_strangers_drive_and_a_suspect_one_are_never_written_to(shelf: Shelf) -> None:
    (shelf.where / "other").mkdir()
    other = new_session(shelf.where / "other")
    other.close()
    with new_session(shelf.where) as session:
        from medback_core.model import TargetState

        set_target(session, "red", state=TargetState.SUSPECT)
    before = tree(shelf.where / "red", metadata=True)
    shelf.here = ["red"]
    for where in (shelf.where / "other/session.db", shelf.where / "session.db"):
        found = run(watch(where, on_plug=OnPlug.BACKUP, changes=()))
        assert not found.of(PlugDone)
    assert tree(shelf.where / "red", metadata=True) == before


def test_while_another_medback_is_at_work_its_turn_waits(shelf: Shelf) -> None:
    write_tree(shelf.where / "photos", {"new": b"new"})
    shelf.here = ["red"]
    lock = disk.lock_session(os.fsencode(shelf.where / "session.db"))
    lock.__enter__()

    def later() -> Iterator[bool]:
        lock.__exit__(None, None, None)
        yield False

    found = run(watch(shelf.where / "session.db", changes=later()))
    assert [event.finished for event in found.of(PlugDone)] == [False, True]
    assert len(found.of(PluggedIn)) == 1
    assert (shelf.where / "red/photos/new").exists()


def test_a_target_in_a_locked_container_is_here_and_locked(shelf: Shelf, tmp_path: Path, monkeypatch) -> None:
    uuid = "0f6a2f8e-1c1d-4d0e-9b9e-0123456789ab"
    with new_session(shelf.where) as session:
        red = next(target for target in list_targets(session) if target.label == "red")
        from dataclasses import replace

        save_target(session, replace(red, luks=uuid))
    udev, sys = tmp_path / "udev", tmp_path / "sys"  # as a machine with a locked LUKS stick on sdb1 shows them
    udev.mkdir()
    (udev / "b8:17").write_text(f"S:disk/by-uuid/{uuid}\nE:ID_FS_TYPE=crypto_LUKS\nE:ID_FS_UUID={uuid}\n")
    (udev / "b8:18").write_text("E:ID_FS_TYPE=ext4\nE:ID_FS_UUID=aaaa\n")
    (sys / "8:17/holders").mkdir(parents=True)
    (sys / "8:17/uevent").write_text("MAJOR=8\nMINOR=17\nDEVNAME=sdb1\n")
    monkeypatch.setattr(devices, "_UDEV", os.fsencode(udev))
    monkeypatch.setattr(devices, "_SYS", os.fsencode(sys))
    looks: list[int] = []
    ask = devices.locked_containers
    monkeypatch.setattr(disk, "locked_containers", lambda: looks.append(1) or ask())
    found = run(watch(shelf.where / "session.db", changes=(False,)))
    assert len(looks) == 2, "once a look, however many targets there are"
    assert found.of(LockedHere) == [LockedHere("red", "/dev/sdb1")]
    assert Shell(shelf.where).json("targets")[1]["targets"][0]["locked"] is True
    (sys / "8:17/holders/dm-0").mkdir()  # somebody opened it
    assert Shell(shelf.where).json("targets")[1]["targets"][0]["locked"] is False
    (sys / "253:0/dm").mkdir(parents=True)
    (sys / "253:0/dm/uuid").write_text(f"CRYPT-LUKS2-{uuid.replace('-', '')}-stick\n")
    assert devices._container(os.fsencode(sys / "253:0"), 0) == uuid


@pytest.mark.parametrize(
    ("answer", "health"),
    [
        ('{"smart_status": {"passed": true}}', "passed"),
        ('{"smart_status": {"passed": false}}', "failing"),
        ('{"smartctl": {"exit_status": 2}}', None),
        ("no json", None),
    ],
)
def test_the_health_of_a_disk_is_what_smartctl_says(tmp_path: Path, monkeypatch, answer: str, health) -> None:
    program(tmp_path / "bin/smartctl", f"echo '{answer}'")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(devices.mounts, "block_device", lambda *_: os.makedev(8, 1))
    monkeypatch.setattr(devices.mounts, "whole_disks", lambda _: frozenset({b"/sys/devices/sda"}))
    assert devices.health_of(disk.describe(os.fsencode(tmp_path))) == health


def program(path: Path, script: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def stick(tmp_path: Path) -> Iterator[Path]:
    """A small ext4 on a loop device, mounted."""
    if os.getuid() != 0 or shutil.which("mkfs.ext4") is None:
        pytest.skip("mounting a loop device needs root and e2fsprogs")
    image, point = tmp_path / "image", tmp_path / "stick"
    point.mkdir()
    with open(image, "wb") as file:
        file.truncate(16 << 20)
    subprocess.run(["mkfs.ext4", "-q", image], check=True)
    if subprocess.run(["mount", "-o", "loop", image, point], capture_output=True, check=False).returncode != 0:
        pytest.skip("no loop devices here")
    yield point
    subprocess.run(["umount", "--lazy", point], capture_output=True, check=False)


def test_a_drive_is_ejected_and_who_keeps_it_open_is_named(tmp_path: Path, stick: Path) -> None:
    with photos(tmp_path, {"a": b"a"}, drives=["stick"]) as (session, _):
        keeper = subprocess.Popen(
            ["sh", "-c", "echo; read x"], cwd=stick, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert keeper.stdout is not None
        keeper.stdout.readline()  # it is there, with its working directory
        with pytest.raises(Refused) as refused:
            run(eject(session, "stick"))
        assert f"({keeper.pid})" in message(refused.value)
        assert os.path.ismount(stick)
        keeper.communicate(b"x\n")
        assert run(eject(session, "stick")).summary.label == "stick"
        assert not os.path.ismount(stick)
        with pytest.raises(Refused):
            run(eject(session, "stick"))


def test_a_drive_that_is_mounted_at_a_second_place_is_no_drive_to_take_out(tmp_path: Path, stick: Path) -> None:
    """What a program writes at the other place would be lost when it is pulled out; so with what is mounted in it."""
    with photos(tmp_path, {"a": b"a"}, drives=["stick"]) as (session, _):
        second = tmp_path / "second place"
        second.mkdir()
        for mount in (["--bind", stick / "photos", second], ["-t", "tmpfs", "none", stick / "photos"]):
            subprocess.run(["mount", *mount], check=True)
            try:
                with pytest.raises(Refused) as refused:
                    run(eject(session, "stick"))
            finally:
                subprocess.run(["umount", mount[-1]], check=True)
            assert refused.value.what == "busy/mounts" and os.path.basename(mount[-1]) in message(refused.value)
            assert os.path.ismount(stick)
        (stick / "image").write_bytes(bytes(1 << 20))
        loop = subprocess.run(
            ["losetup", "--find", "--show", stick / "image"], check=True, capture_output=True, text=True
        )
        try:
            with pytest.raises(Refused) as refused:
                run(eject(session, "stick"))
        finally:
            subprocess.run(["losetup", "--detach", loop.stdout.strip()], check=True)
        assert f"{os.path.basename(loop.stdout.strip())} (image)" in message(refused.value)


@pytest.mark.parametrize("looks_between", [True, False])
def test_a_drive_pulled_in_the_middle_ends_its_own_turn_alone(
    tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch, looks_between: bool
) -> None:
    with photos(tmp_path, {"a": b"a"}, drives=["stick", "red"]) as (session, _):
        for label in ("stick", "red"):
            set_target(session, label, on_plug=OnPlug.BACKUP)
    write_tree(tmp_path / "photos", {"new": b"new", "b/newer": b"newer"})
    shelf = Shelf(tmp_path, monkeypatch)
    pulls = iter(range(4))

    def pull(op: str, *_details: object) -> None:
        if op != "open_lock_file" and next(pulls, None) == 3:
            subprocess.run(["umount", "--lazy", stick], check=True)
            shelf.here = ["red"]

    def comings() -> Iterator[bool]:
        shelf.here = ["stick"]
        disk.set_observer(pull)
        yield True
        disk.set_observer(None)
        if looks_between:
            yield True
        assert list(stick.iterdir()) == [], "nothing is written underneath"
        subprocess.run(["mount", "-o", "loop", tmp_path / "image", stick], check=True)
        shelf.here = ["red", "stick"]
        yield True

    try:
        found = run(watch(tmp_path / "session.db", changes=comings()))
    finally:
        disk.set_observer(None)
    ended = [(event.label, event.finished) for event in found.of(PlugDone)]
    assert ended[0] == ("stick", False) and sorted(ended[1:]) == [("red", True), ("stick", True)]
    assert [event.label for event in found.of(Unplugged)] == ["stick"]
    assert tree(stick / "photos") == tree(tmp_path / "red/photos") == tree(tmp_path / "photos")


def test_udisks_unmounts_and_powers_off_where_it_is_there(
    tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stand-in that prints what udisksctl prints; the unmounting is real."""
    program(
        tmp_path / "bin/udisksctl",
        f'echo "$@" >> {tmp_path}/told\n'
        'case $1 in unmount) umount "$4" && echo "Unmounted $4." ;; power-off) exit 0 ;; esac',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setattr(devices.mounts, "is_on_removable_disk", lambda _: True)
    with photos(tmp_path, {"a": b"a"}, drives=["stick"]) as (session, _):
        device = os.fsdecode(disk.describe(os.fsencode(stick)).source)
        assert run(eject(session, "stick")).summary.powered_off
    assert not os.path.ismount(stick)
    assert (tmp_path / "told").read_text().splitlines() == [
        f"unmount --no-user-interaction --block-device {device}",
        f"power-off --no-user-interaction --block-device {device}",
    ]


def test_where_udisks_refuses_umount_is_tried(tmp_path: Path, stick: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(
        tmp_path / "bin/udisksctl",
        'echo "Error unmounting $4: GDBus.Error:org.freedesktop.UDisks2.Error.NotAuthorizedCanObtain: Not authorized '
        'to perform operation" >&2; exit 1',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with photos(tmp_path, {"a": b"a"}, drives=["stick"]) as (session, _):
        assert not run(eject(session, "stick")).summary.powered_off
    assert not os.path.ismount(stick)


def test_a_directory_is_no_drive_to_eject(shelf: Shelf) -> None:
    with new_session(shelf.where) as session, pytest.raises(Refused) as refused:
        run(eject(session, str(shelf.where / "red")))
    assert refused.value.kind == "not-a-drive"


def test_a_drive_that_no_program_is_seen_to_use_is_tried_again(tmp_path: Path, stick: Path, monkeypatch) -> None:
    """A desktop that looks at what was plugged in holds it for a moment."""
    program(tmp_path / "bin/udisksctl", "exit 1")
    program(
        tmp_path / "bin/umount",
        f'mkdir {tmp_path}/tried 2>/dev/null && echo busy >&2 && exit 32; exec {shutil.which("umount")} "$@"',
    )
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    with photos(tmp_path, {"a": b"a"}, drives=["stick"]) as (session, _):
        assert run(eject(session, "stick")).summary.label == "stick"
    assert (tmp_path / "tried").exists() and not os.path.ismount(stick)


def test_the_kernel_tells_of_a_mount(stick: Path) -> None:
    """In a process that sees no mount but its own: other tests mount something at the same time."""
    told = """
import subprocess, sys
from medback_core import disk
changes = disk.mount_changes(0.01)
print(next(changes))
subprocess.run(["umount", sys.argv[1]], check=True)
print(True in [next(changes) for _ in range(50)])
"""
    command = ["unshare", "--mount", sys.executable, "-c", told, str(stick)]
    assert subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout.split() == ["False", "True"]


def test_one_notification_is_updated(shelf: Shelf, tmp_path: Path, monkeypatch) -> None:
    program(tmp_path / "bin/notify-send", f'echo "$@" >> {tmp_path}/told; echo 42')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    shelf.here = ["red"]
    answer = Shell(shelf.where)("watch", "--once")
    assert answer.code == 0, answer.words
    assert "red is backed up: safe to unplug" in answer.out
    lines = (tmp_path / "told").read_text().splitlines()
    assert len(lines) == 2 and "--replace-id" not in lines[0] and "--replace-id=42" in lines[1]


def test_damage_on_a_drive_is_told_at_once_and_it_is_not_called_safe(shelf: Shelf) -> None:
    rot(shelf.where / "blue/photos/b/c")
    shelf.here = ["blue"]
    answer = Shell(shelf.where)("watch", "--once")
    assert answer.code == 5
    assert "damaged: " in answer.out and str(shelf.where / "blue/photos/b/c") in answer.out
    assert (
        "1 copy on it found damaged or missing" in answer.out and f"medback repair {shelf.where / 'blue'}" in answer.out
    )
    assert "safe to unplug" not in answer.out


def test_completion_knows_the_words_of_the_session(shelf: Shelf) -> None:
    environment = {  # as a script of version 1.0 asks
        **os.environ,
        "MEDBACK_SESSION_DB": str(shelf.where / "session.db"),
        "_MEDBACK_COMPLETE": "bash_complete",
        "COMP_WORDS": "medback eject r",
        "COMP_CWORD": "2",
    }
    command = [sys.executable, "-c", "import sys; from medback_core.cli import main; sys.exit(main())"]
    ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["plain,red"], ran.stderr
    assert "_MEDBACK_COMPLETE" in Shell(shelf.where)("completion", "bash").out
