"""`verify --all`: every drive that is plugged in, the longest unread first, for a bounded time."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.shell import Shell
from support.worlds import new_session, photos, run

from medback_core.disk.digests import Reading
from medback_core.model import Answers, FileDone, Warned
from medback_core.session.targets import list_targets
from medback_core.upkeep.verify_all import verify_all


def drive_of(event: FileDone) -> str:
    return os.fsdecode(event.path).split("/")[-3]


@pytest.fixture
def shelf(tmp_path: Path) -> Path:
    """Three drives with two files each; white was never read to its end."""
    with photos(tmp_path, {"a": 100, "b": 200}, drives=["red", "blue"]) as (session, _):
        from medback_core.scanning.sources import change_source

        change_source(session, "photos", copies=3)
        (tmp_path / "white").mkdir()
        from medback_core.backing_up.back_up import back_up

        run(back_up(session, os.fsencode(tmp_path / "white"), answers=Answers(yes=True), verify=False))
        for target in list_targets(session):
            if target.name == "blue":
                session.db.execute("UPDATE copy SET verified_at = 1000 WHERE target_id = ?", (target.key,))
                session.db.execute("UPDATE target SET verified_at = 1000 WHERE id = ?", (target.key,))
        session.db.commit()
    return tmp_path


def test_the_drive_that_was_not_read_for_longest_is_read_first(shelf: Path) -> None:
    with new_session(shelf) as session:
        found = run(verify_all(session))
        assert list(dict.fromkeys(drive_of(done) for done in found.of(FileDone))) == ["white", "blue", "red"]
        assert (found.summary.checked, found.summary.same, found.summary.left) == (6, 6, 0)


def test_it_ends_in_time_says_what_it_did_not_reach_and_goes_on_there(shelf: Path, monkeypatch) -> None:
    clock = iter(range(0, 10_000, 10))
    monkeypatch.setattr("time.monotonic", lambda: float(next(clock)))
    read: list[str] = []
    with new_session(shelf) as session:
        for _ in range(8):
            found = run(verify_all(session, seconds=1))
            assert found.summary.checked == 1, "one file is always read"
            read += [drive_of(done) for done in found.of(FileDone)]
            if len(read) == 1:
                (warned,) = (event for event in found.of(Warned) if event.what == "verify-not-reached")
                assert warned.facts["targets"] == ("blue", "red")
        assert set(read) == {"white", "blue", "red"}, "each drive has its turn"


def test_a_large_file_on_a_second_drive_waits_for_its_own_day(tmp_path: Path, monkeypatch) -> None:
    read = 0

    def update(self: Reading, data: memoryview, plain=Reading.update) -> None:
        nonlocal read
        read += 1
        plain(self, data)

    with photos(tmp_path, {"a": 3 << 20}, drives=["red", "blue"]) as (session, _):
        monkeypatch.setattr(Reading, "update", update)
        monkeypatch.setattr("time.monotonic", lambda: float(read))
        first = run(verify_all(session, seconds=4))
        assert (first.summary.checked, first.summary.left, read) == (1, 1, 4)
        session.db.execute("UPDATE target SET verified_at = 1000 WHERE label = 'blue'")
        session.db.commit()
        second = run(verify_all(session, seconds=2))
        assert [drive_of(done) for done in second.of(FileDone)] == ["blue"], "then it is the first, and read whole"


def test_one_drive_that_is_refused_stops_no_other(shelf: Path) -> None:
    (shelf / "blue/.medback-target.xml").write_bytes(b"<broken")
    (shelf / "red/photos/a").write_bytes(b"rot")
    with new_session(shelf) as session:
        found = run(verify_all(session))
        assert found.summary.damaged + found.summary.changed == 1
    shell = Shell(shelf)
    code, answer = shell.json("verify", "--all", "--for", "1h")
    assert code == 5 and answer["checked"] >= 2


def test_with_no_drive_here_there_is_nothing_to_do(shelf: Path) -> None:
    for name in ("red", "blue", "white"):
        os.rename(shelf / name, shelf / f"{name} away")
        (shelf / f"{name} away/.medback-target.xml").unlink()
    answer = Shell(shelf)("verify", "--all")
    assert answer.code == 0 and "no drive of this session is plugged in" in answer.err


def test_all_or_one(shelf: Path) -> None:
    shell = Shell(shelf)
    assert shell("verify").code == shell("verify", "red", "--all").code == 2
    assert shell("verify", "--all", "--against", "x").code == 2
    assert shell("verify", "--all", "--max-bytes", "10%").code == 2
    assert shell.json("verify", "--all", "--max-bytes", "250")[1]["checked"] == 1
