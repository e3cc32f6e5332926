"""Room is bytes and inodes: recording never meets a full drive, and a preview promises what happens. Real ext4."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from faults.kernel import drive
from medback_core.presenting.refusals import message
from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.model import CONTEXT_NAME, SIDECAR_NAME, Answers, BackupSummary, Skipped, Warned
from medback_core.session.copies import copies_on
from medback_core.sidecar import parse
from support.worlds import Ran, add, new_session, run, write_tree

MIB = 1 << 20


def one_in_each(count: int, size: int = 20) -> dict[str, int]:
    """So many files, each alone in its directory."""
    return {f"box {number % 40:02}/{number:04}/letter {number}": size + number % 7 for number in range(count)}


def many_in_few(count: int, size: int = 20) -> dict[str, int]:
    """So many files in ten directories."""
    return {f"box {number % 10}/letter {number:05}": size + number % 7 for number in range(count)}


def copied_to(session, point: Path, **options) -> Ran:
    return run(back_up(session, os.fsencode(point), answers=Answers(yes=True, create=True), fill=True, **options))


def on_drive(point: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(point)): path.read_bytes()
        for path in point.rglob("*")
        if path.is_file() and not path.name.startswith((".medback", "medback-")) and "lost+found" not in path.parts
    }


def recorded(point: Path) -> set[str]:
    """What the sidecars on a drive tell of, by path."""
    return {
        str((sidecar.parent / os.fsdecode(name)).relative_to(point))
        for sidecar in point.rglob(os.fsdecode(SIDECAR_NAME))
        for name in parse(sidecar.read_bytes()).files
    }


def assert_all_told(session, point: Path, summary: BackupSummary) -> None:
    """What lies on the drive is counted, recorded there and in its context, and nothing else is."""
    lies = on_drive(point)
    assert summary.copied + summary.already_there == len(lies)
    assert recorded(point) == set(lies)
    assert sum(1 for _ in copies_on(session, summary.target.key)) == len(lies)
    context = (point / os.fsdecode(CONTEXT_NAME)).read_bytes()
    assert context.count(b"<bd>" + summary.target.id.encode()) == len(lies)


SHAPES = {
    # MiB, mkfs options, what is to go there
    "few inodes, a file in each directory": (16, ("-N", "500"), one_in_each(400)),
    "few inodes, large directories": (16, ("-N", "400"), many_in_few(500)),
    "inodes that just do": (16, ("-N", "500"), many_in_few(400)),
    "few bytes, tiny files": (4, ("-N", "2000"), many_in_few(1500)),
    "few bytes, a file in each directory": (5, ("-N", "4000"), one_in_each(700)),
    "small blocks": (3, ("-N", "2000", "-b", "1024"), many_in_few(1500, 700)),
    "files of all sizes": (8, ("-N", "800"), {f"{n % 7}/{n:03}": 1 + (n * n * 37) % 90_000 + n for n in range(400)}),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reserve", [None, 0])
def test_a_preview_promises_what_then_happens(tmp_path: Path, shape: str, reserve: int | None):
    size, options, files = SHAPES[shape]
    write_tree(tmp_path / "photos", files)
    with drive(tmp_path / "drives", "ext4", size * MIB, *options) as small, new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        promised = run(back_up(session, os.fsencode(small.point), dry_run=True, reserve=reserve)).summary
        assert not on_drive(small.point)
        done = copied_to(session, small.point, reserve=reserve)
        summary = done.summary
        assert (summary.copied, summary.copied_bytes) == (promised.copied, promised.copied_bytes)
        assert (summary.full, summary.no_inodes) == (promised.full, promised.no_inodes)
        assert summary.copied > 0
        assert not done.of(Skipped)
        assert all("on the same disk" in message(warned) for warned in done.of(Warned))
        assert_all_told(session, small.point, summary)
        again = run(back_up(session, os.fsencode(small.point), reserve=reserve)).summary
        assert again.full == summary.full, "the next run is not silent about it"
        assert_all_told(session, small.point, again)


def test_a_drive_without_inodes_says_so_and_is_whole(tmp_path: Path):
    write_tree(tmp_path / "photos", one_in_each(900))
    with drive(tmp_path / "drives", "ext4", 32 * MIB, "-N", "800") as small, new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        summary = copied_to(session, small.point).summary
        assert summary.full and summary.no_inodes and summary.remaining == 900
        assert summary.copied > 150, "most of the inodes are used"
        assert_all_told(session, small.point, summary)


def test_inodes_that_somebody_else_takes_meanwhile_cost_no_record(tmp_path: Path):
    write_tree(tmp_path / "photos", many_in_few(900))
    with drive(tmp_path / "drives", "ext4", 32 * MIB, "-N", "2000") as small, new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        hogs = []

        def take(op: str, *_details: object) -> None:
            if op == "create" and not hogs and len(list(small.point.rglob(".medback-tmp-*"))) > 300:
                while os.statvfs(small.point).f_favail > 60:
                    hogs.append(small.point / f"hog-{len(hogs)}")
                    hogs[-1].touch()

        disk.set_observer(take)
        try:
            summary = copied_to(session, small.point).summary
        finally:
            disk.set_observer(None)
        assert hogs and summary.full and summary.no_inodes
        for hog in hogs:
            hog.unlink()
        assert summary.copied == len(on_drive(small.point)) == len(recorded(small.point))


def test_thousands_of_tiny_files_are_recorded_within_the_reserve(tmp_path: Path):
    """A drive with room for their content and none for what is written of them."""
    write_tree(tmp_path / "photos", {f"box {n % 300:03}/letter {n}": 24 + n % 7 for n in range(4500)})
    with drive(tmp_path / "drives", "ext4", 16 * MIB, "-N", "20000") as small, new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        summary = copied_to(session, small.point).summary
        assert summary.full and not summary.no_inodes
        assert 500 < summary.copied < 4500
        assert_all_told(session, small.point, summary)
        again = run(back_up(session, os.fsencode(small.point))).summary
        assert again.full and again.remaining == 4500


@pytest.mark.parametrize("kind", ["vfat", "exfat"])
def test_a_preview_holds_on_the_drives_of_cameras(tmp_path: Path, kind: str):
    write_tree(tmp_path / "photos", many_in_few(700, 3000))
    with drive(tmp_path / "drives", kind, 8 * MIB) as small, new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        promised = run(back_up(session, os.fsencode(small.point), dry_run=True)).summary
        summary = copied_to(session, small.point).summary
        assert summary.copied == promised.copied > 0
        assert_all_told(session, small.point, summary)
