"""What happened is known, is told by drives and sources, and survives the loss of the session DB."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from medback_core import model
from medback_core.model import HISTORY_TOLD, Happened, HistoryEntry
from medback_core.session import open_session
from medback_core.session.history import list_history, note_event
from medback_core.sidecar import TargetIdentity, parse_target_identity, render_target_identity
from medback_core.sidecar.history import ToldEvent, merged_history
from medback_core.sidecar.metadata import element_line
from support.shell import Shell
from support.worlds import write_tree

DAY = 86_400
BEGIN = 1_780_000_000
IDENTITY, METADATA = ".medback-target.xml", ".medback-source.xml"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [BEGIN]
    monkeypatch.setattr(model, "now", lambda: now[0])
    return now


@pytest.fixture
def world(tmp_path: Path, clock: list[int]) -> Shell:
    """A year: a backup onto Blue, one onto Red, damage on Blue, a repair, a deletion."""
    shell = Shell(tmp_path)
    write_tree(tmp_path / "photos", {"a.jpg": 1000, "b.jpg": 2000})
    for drive in ("blue", "red"):
        (tmp_path / drive).mkdir()
    shell("add-src", "photos")
    shell("target", "blue", "--init", "--label", "Blue")
    clock[0] += 30 * DAY
    shell("target", "red", "--init", "--label", "Red")
    clock[0] += 30 * DAY
    spoil(tmp_path / "blue/photos/a.jpg")
    assert shell("verify", "blue").code == 5
    clock[0] += DAY
    assert shell("repair", "blue").code == 0
    clock[0] += 30 * DAY
    (tmp_path / "photos/b.jpg").unlink()
    shell("update", "--accept-deletions")
    return shell


def spoil(path: Path) -> None:
    status = path.stat()
    path.write_bytes(b"!" * status.st_size)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def told(shell: Shell, *words: str) -> list[tuple[int, str, str, int]]:
    """(day, what, of what, files) of each event."""
    code, answer = shell.json("history", *words)
    assert code == 0
    events = answer["events"]
    return [(days(event["at"]), event["what"], event["label"] or event["source"], event["files"]) for event in events]


def days(at: str) -> int:
    from medback_core.sidecar.values import parse_date

    date = parse_date(at)
    assert date is not None
    return (date - BEGIN) // DAY


WORK = [
    (0, "backup", "Blue", 2),
    (30, "backup", "Red", 2),
    (60, "damage", "Blue", 1),
    (60, "verify", "Blue", 2),
    (61, "repair", "Blue", 1),
    (91, "deletion", "photos", 1),
]


def work(events: list[tuple[int, str, str, int]]) -> list[tuple[int, str, str, int]]:
    return [event for event in events if event[1] not in ("visit", "safety", "health")]


def test_each_operation_leaves_its_event(world: Shell) -> None:
    assert work(told(world)) == WORK
    assert {event[:3] for event in told(world) if event[1] == "visit"} >= {(0, "visit", "Blue"), (30, "visit", "Red")}
    assert work(told(world, "--target", "Red")) == WORK[1:2]
    assert work(told(world, "--source", "photos")) == WORK[-1:]
    assert work(told(world, "--since", "30d")) == WORK[-2:]
    assert "1 file found damaged" in world("history", "-v").out
    assert world("history", "--target", "nobody").code == 4


def test_what_is_safe_is_known_over_time(world: Shell) -> None:
    events = world.json("history")[1]["events"]
    safety = [(days(e["at"]), e["bytes"], e["unsafe_bytes"]) for e in events if e["what"] == "safety"]
    assert safety == [(0, 3000, 3000), (30, 3000, 0), (60, 3000, 1000), (61, 3000, 0), (91, 1000, 0)]


@pytest.mark.parametrize("left", ["sources", "drives"])
def test_it_survives_the_loss_of_the_db(world: Shell, clock: list[int], left: str) -> None:
    for drive in ("blue", "red"):  # they are told what happened since they were here
        write_tree(world.where / "photos", {f"new-{drive}": 10})
        world("target", drive)
    before = work(told(world))
    assert set(WORK) < set(before)
    for file in world.where.glob("session.db*"):
        file.unlink()
    if left == "drives":
        (world.where / "photos" / METADATA).unlink()
    world("rebuild", "photos", *(("blue", "red") if left == "drives" else ()))
    if left == "sources":
        assert work(told(world)) == before
    else:
        mine = [event for event in before if event[2] != "photos"]  # the source got another id
        assert [event for event in work(told(world)) if event[2] != "photos"] == mine


def test_a_visit_alone_writes_nothing(world: Shell, clock: list[int]) -> None:
    for drive in ("blue", "red", "blue"):
        world("target", drive)
    files = [world.where / "blue" / IDENTITY, world.where / "red" / IDENTITY, world.where / "photos" / METADATA]
    before = [(file.read_bytes(), file.stat().st_ino) for file in files]
    for _ in range(3):
        clock[0] += 40 * DAY
        for drive in ("blue", "red"):
            assert world("target", drive).code == 0
    assert [(file.read_bytes(), file.stat().st_ino) for file in files] == before
    assert (211, "visit", "Blue", 0) in told(world)  # and the session knows
    write_tree(world.where / "photos", {"new": 10})
    world("target", "blue")
    identity = parse_target_identity(files[0].read_bytes())
    assert (clock[0], Happened.VISIT) in {(one.entry.at, one.entry.what) for one in identity.history}


def test_a_file_holds_so_many_events_at_most() -> None:
    visits = [HistoryEntry(BEGIN + day * DAY, Happened.VISIT, "t") for day in range(900)]
    damage = [HistoryEntry(BEGIN + 5, Happened.DAMAGE, "t", files=3)]
    kept = [one.entry for one in merged_history((), [*visits, *damage])]
    assert len(kept) <= HISTORY_TOLD
    assert damage[0] in kept and visits[-1] in kept
    assert len({entry.at // (DAY * 28) for entry in kept if entry.what is Happened.VISIT}) >= 29
    many = [HistoryEntry(BEGIN + n, Happened.DAMAGE, "t", files=n) for n in range(1000)]
    kept = [one.entry for one in merged_history((), many)]
    assert kept == many[-HISTORY_TOLD:]
    assert merged_history(merged_history((), visits), visits) == merged_history((), visits)


def test_of_a_day_the_last_visit_stays(tmp_path: Path) -> None:
    with open_session(tmp_path / "session.db") as session:
        for second in (0, 50, DAY):
            note_event(session, HistoryEntry(BEGIN - BEGIN % DAY + second, Happened.VISIT, "t"))
        first = BEGIN - BEGIN % DAY
        assert [entry.at - first for entry in list_history(session)] == [50, DAY]


def test_what_a_later_version_says_is_kept(world: Shell) -> None:
    file = world.where / "blue" / IDENTITY
    lines = file.read_text().splitlines()
    odd = element_line("event", {"at": "2026-01-01T00:00:00Z", "what": "moved-house", "who": "ada"})
    known = element_line(
        "event",
        {"at": "2026-01-02T00:00:00Z", "files": 3, "target": identity(file).id, "what": "damage", "why": "rust"},
    )
    file.write_text("\n".join([*lines[:-1], odd, known, lines[-1], ""]))
    write_tree(world.where / "photos", {"new": 10})
    world("target", "blue")
    now = file.read_text()
    assert known in now and 'what="moved-house"' in now and 'who="ada"' in now
    assert not identity(file).damage
    assert ("damage", 3) in {(event[1], event[3]) for event in told(world, "--target", "Blue")}


def identity(file: Path) -> TargetIdentity:
    return parse_target_identity(file.read_bytes())


def test_of_a_strangers_sources_nothing_is_believed_and_nothing_dropped(world: Shell) -> None:
    file = world.where / "blue" / IDENTITY
    was = identity(file)
    strange = [
        ToldEvent(HistoryEntry(BEGIN, Happened.DELETION, "", "stranger", 9)),
        ToldEvent(HistoryEntry(BEGIN, Happened.DAMAGE, identity(world.where / "red" / IDENTITY).id, "", 99)),
    ]
    file.write_bytes(render_target_identity(replace(was, history=(*was.history, *strange))))
    write_tree(world.where / "photos", {"new": 10})
    world("target", "blue")
    assert not {9, 99} & {event[3] for event in told(world)}
    assert {one.entry.files for one in identity(file).history} >= {9, 99}


def test_what_a_forgotten_source_was_is_forgotten(world: Shell) -> None:
    world("remove-src", "photos")
    assert {event[2] for event in told(world)} == {"Blue", "Red"}
