"""Target states and their effects, names of targets, and where they stand on record."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from medback_core.cli.outcome import why
from medback_core.presenting.refusals import message
from medback_core.errors import Refused, UsageError
from medback_core.model import Unrepairable, TargetState, Warned
from medback_core.restoring.plan import restore_plan
from medback_core.coverage.what_if import what_if_every
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.session.targets import find_target, list_targets, save_target, target_by_id
from medback_core.sidecar import parse_target_identity
from medback_core.drives.open import resolve_target, set_target
from medback_core.upkeep.verify_target import verify
from support.worlds import add, back, counted, new_session, photos, run, write_tree, rot


@pytest.fixture
def world(tmp_path: Path):
    with photos(tmp_path, {"a.txt": 100, "sub/b.bin": 3000}, drives=("t1", "t2")) as made:
        yield made


def steps(session: Session) -> list[str]:
    """The drives of a plan for all of it, in order."""
    return [step.target.label for step in run(restore_plan(session, all_of_it=True)).summary.steps]


@pytest.mark.parametrize("state", [TargetState.RETIRED, TargetState.SUSPECT, TargetState.LOST])
def test_only_active_targets_count_and_are_written_to(world: tuple[Session, Path], state: TargetState) -> None:
    session, tmp = world
    set_target(session, "t1", state=state)
    assert counted(session) == {1: 2} and steps(session) == ["t2"]
    single = {loss.targets[0].label: loss.lost.files for loss in what_if_every(session).single}
    # If t2 dies, what lies on a retired or suspect drive can still be had from there; from a lost one it can't.
    assert single == ({"t2": 2} if state is TargetState.LOST else {"t1": 0, "t2": 0})
    with pytest.raises(Refused) as refused:
        back(session, tmp / "t1")
    assert refused.value.kind == "not-active"


def test_drives_are_read_in_the_order_of_their_states(world: tuple[Session, Path]) -> None:
    session, _ = world
    order = []
    for first, second in (("retired", "active"), ("suspect", "retired"), ("lost", "suspect")):
        set_target(session, "t1", state=TargetState(first))
        set_target(session, "t2", state=TargetState(second))
        order.append(steps(session))
    assert order == [["t2"]] * 3
    set_target(session, "t2", state=TargetState.LOST)
    assert run(restore_plan(session, all_of_it=True)).summary.unreachable.files == 2


def test_a_found_drive_is_announced_and_restored_from_last(world: tuple[Session, Path]) -> None:
    session, tmp = world
    set_target(session, "t1", state=TargetState.LOST)
    (tmp / "photos/a.txt").unlink()
    ran = run(restore(session, str(tmp / "t1")))
    assert any("was lost and is found again" in message(warning) for warning in ran.of(Warned))
    assert ran.summary.restored == 1 and find_target(session, "t1").state is TargetState.SUSPECT
    assert set_target(session, "t1", state=TargetState.ACTIVE).counts and counted(session) == {2: 2}


def test_what_people_say_of_a_drive_that_is_away_reaches_it(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "t1").rename(tmp / "cellar")
    tid = set_target(session, "t1", label="Blue", state=TargetState.RETIRED, capacity=5000).id
    (tmp / "cellar").rename(tmp / "t1")
    run(verify(session, os.fsencode(tmp / "t1")))
    identity = parse_target_identity((tmp / "t1/.medback-target.xml").read_bytes())
    assert (identity.label, identity.state, identity.capacity) == ("Blue", TargetState.RETIRED, 5000)
    with open_session(tmp / "other.db") as other:  # and a session that knows nothing learns it from the source
        add(other, tmp / "photos")
        known = target_by_id(other, tid)
        assert known is not None and (known.label, known.state) == ("Blue", TargetState.RETIRED)


def test_a_label_two_drives_have_is_not_guessed(world: tuple[Session, Path]) -> None:
    session, _ = world
    set_target(session, "t2", label="t1")
    with pytest.raises(Refused) as refused:
        set_target(session, "t1", state=TargetState.LOST)
    assert refused.value.kind == "ambiguous" and all(
        target.id in message(refused.value) for target in list_targets(session)
    )
    assert set_target(session, list_targets(session)[1].id, label="Red").label == "Red"


def test_a_label_that_would_be_taken_for_a_path_is_refused(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "new").mkdir()
    for label in ("Blue/2T", "/mnt/blue", "..", "  ", "a\0b"):
        with pytest.raises(UsageError):
            set_target(session, "t1", label=label)
        with pytest.raises(UsageError):
            back(session, tmp / "new", label=label)
    assert [target.name for target in list_targets(session)] == ["t1", "t2"] and not list((tmp / "new").iterdir())


def test_a_label_with_a_slash_from_before_is_found_by_its_words(
    world: tuple[Session, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    session, tmp = world
    monkeypatch.chdir(tmp)
    (target,) = (target for target in list_targets(session) if target.name == "t1")
    save_target(session, replace(target, label="old/label"))
    assert resolve_target(session, "old/label")[0] == resolve_target(session, target.id)[0]
    (tmp / "old/label").mkdir(parents=True)
    assert resolve_target(session, "old/label")[1] == os.fsencode(tmp / "t1"), "a directory that is no target gives way"
    with pytest.raises(Refused) as refused:
        resolve_target(session, "no/label")
    assert refused.value.kind == "no-such-path"


def test_a_drive_with_two_ids_of_the_family_is_one_target(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a.txt": b"content"})
    uuid = "0d3f6a52-1c1e-4f0a-9d39-0b9c4f7f3f0e"
    write_tree(tmp_path / "t1", {".bkp_id": uuid.encode(), ".mdbackup.xml": b"<vol><label>aB3dE6gH</label></vol>"})
    record = '<fr fname="a.txt" checksum="mgNkuembtIDdJeHwKEyFVQ" mtime="1700000000" size="7"><bd>aB3dE6gH</bd></fr>'
    write_tree(tmp_path / "photos", {".medorg.xml": f"<dr>{record}</dr>".encode()})
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    back(session, tmp_path / "t1")
    (target,) = list_targets(session)
    assert target.id == uuid and counted(session) == {1: 1}
    same = target_by_id(session, "aB3dE6gH")
    assert same is not None and same.key == target.key


def test_a_rotten_copy_is_repaired_from_another_drive_when_the_source_rotted_too(world: tuple[Session, Path]) -> None:
    session, tmp = world
    good = (tmp / "photos/a.txt").read_bytes()
    rot(tmp / "photos/a.txt")  # and nobody knows yet: it is tried first, and found wanting
    rot(tmp / "t1/photos/a.txt")
    run(verify(session, os.fsencode(tmp / "t1")))
    ran = run(repair(session, os.fsencode(tmp / "t1")))
    assert ran.summary.repaired == 1 and (tmp / "t1/photos/a.txt").read_bytes() == good
    kept = list((tmp / "t1/.medback-damaged").rglob("a.txt"))
    assert [path.read_bytes() for path in kept] == [b"?" * 100] and counted(session) == {2: 2}


def test_with_no_good_copy_at_hand_nothing_is_touched_and_it_is_said_what_would_help(
    world: tuple[Session, Path],
) -> None:
    session, tmp = world
    rot(tmp / "photos/a.txt")
    rot(tmp / "t1/photos/a.txt")
    run(verify(session, os.fsencode(tmp / "t1")))
    (tmp / "t2").rename(tmp / "cellar")
    (found,) = run(repair(session, os.fsencode(tmp / "t1"))).of(Unrepairable)
    assert "plug in t2" in why(found) and not (tmp / "t1/.medback-damaged").exists()
    with pytest.raises(Refused):
        run(repair(session, os.fsencode(tmp / "t1"), from_target="nobody"))
