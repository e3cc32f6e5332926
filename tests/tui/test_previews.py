"""What is said before something is copied comes true, and what is said afterwards can be done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from medback_core import disk
from medback_core.drives.room import Room, default_reserve
from medback_core.model import Answers, BackupSummary, Count, Target, TargetState
from medback_core.presenting.next_drive import NextDrive, Offer
from medback_core.presenting.outcomes import Ended, outcome
from medback_tui.app import MedbackApp
from medback_tui.jobs import operations
from medback_tui.screens.backing_up import _afterwards, preview, same_words
from medback_tui.screens.make_target import Prospect, prospect_words
from support.waiting import jobs_done, press, settle, text_of, until

MIB = 1 << 20
TARGET = Target(1, "t1", "Blue", TargetState.ACTIVE)


def words_for(free: int, lacking: Count, total: int = 1000 * MIB) -> str:
    drive = replace(disk.describe(b"/"), total=total, free=free, max_file=None, read_only=False)
    room = Room(free - default_reserve(total), None, 4096, None)
    return prospect_words(b"/mnt/x", Prospect(drive, True, None, lacking, Count(), room, 1)).plain


def test_a_new_drive_promises_to_take_all_only_where_all_fits_with_what_is_written_of_it():
    few = Count(10, 100 * MIB)
    assert "it would take 10 files" in words_for(900 * MIB, few)
    many = Count(100_000, 800 * MIB)  # their sidecars, contexts and half empty blocks do not fit beside them
    assert "it would be full" in words_for(900 * MIB, many)
    assert "the rest needs another drive" in words_for(900 * MIB, many)
    assert "it would be full" in words_for(100 * MIB, few)  # the reserve
    assert "nothing can be copied there" in words_for(20 * MIB, few)


def test_what_is_copied_for_fewer_files_than_it_makes_safe_says_why():
    assert same_words(5134, 32) == "that is enough for 5,166: 32 files have the same content as others"
    assert same_words(2, 1) == "that is enough for 3: 1 file has the same content as others"


def test_a_file_larger_than_every_drive_is_told_before_and_after():
    summary = BackupSummary(TARGET, 3, 100, remaining=1, remaining_bytes=858 * MIB, lacking_bytes=858 * MIB)
    answer = NextDrive(Count(1, 858 * MIB), (), 858 * MIB)
    assert _afterwards(summary, answer).endswith("Bigger than every drive you own: 858 MiB.")
    ended = Ended("target Blue", kind="target", summary=summary, next=answer)
    assert outcome(ended, lambda _: "n")[2] == (
        "1 file (858 MiB) still not safe; next: choose a new drive (n); bigger than every drive you own: 858 MiB"
    )


def test_after_a_backup_the_advice_names_a_drive_on_which_something_fits():
    summary = BackupSummary(TARGET, 3, 100, remaining=4, remaining_bytes=4 * MIB, full=True)
    red = Target(2, "t2", "Red", TargetState.ACTIVE)
    answer = NextDrive(Count(4, 4 * MIB), (Offer(red, Count(4, 4 * MIB), Count(4, 4 * MIB), 900 * MIB, True),))
    ended = Ended("target Blue", kind="target", summary=summary, next=answer)
    assert "next: plug in Red (room for 900 MiB): it makes all of this safe" in outcome(ended, lambda _: "n")[2]


async def test_the_preview_of_a_real_backup_counts_what_is_twice_and_what_it_says_is_copied(
    open_app: Callable[..., MedbackApp], tmp_path: Path
):
    photos, drive = tmp_path / "photos", tmp_path / "blue"
    photos.mkdir()
    drive.mkdir()
    for number in range(4):
        (photos / f"{number}.jpg").write_bytes(b"twice" if number > 1 else b"%d" % number)
    app = open_app(tmp_path / "s.db")
    async with app.run_test(size=(80, 24)) as pilot:
        await settle(pilot)
        app.submit(operations.add_source(bytes(photos)))
        await jobs_done(pilot)
        preview(app, bytes(drive), "blue", answers=Answers(create=True))
        await until(pilot, lambda: "copies 3 files" in text_of(pilot), "the preview")
        assert "that is enough for 4: 1 file has the same content as others" in text_of(pilot)
        await press(pilot, "enter")
        await jobs_done(pilot)
        assert app.queue.last is not None
        assert isinstance(app.queue.last.summary, BackupSummary)
        assert app.queue.last.summary.copied == 3
        # a second copy is wanted, and no other drive is known
        assert app.queue.last.next is not None
        assert "next: choose a new drive" in text_of(pilot)
