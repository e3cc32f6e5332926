"""Ten years of one household: five drives and a clone, edits, rot, a loss, a find, a reformat, lost sessions, a fire.

Every report on the way is checked against the bytes on the drives (`shelf.Shelf.check`); at the end all that still had a
good copy anywhere is there again, byte for byte.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest

from medback_core.presenting.refusals import message
from medback_core.contexts.load import add_restore_context
from medback_core.errors import NeedsAnswer, Refused
from medback_core.model import Answers, TargetState, Warned
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.restoring.status import restore_status
from medback_core.session import open_session
from medback_core.upkeep.verify_target import verify
from support.drive_model import Shelf, contents
from support.worlds import run


def test_ten_years_of_drives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(tmp_path, monkeypatch)
    first_year(shelf)
    second_year_moves_and_a_lost_session(shelf)
    third_year_rot(shelf)
    fourth_year_a_drive_is_lost(shelf)
    fifth_year_somebody_tidies_a_drive(shelf)
    sixth_year_a_clone(shelf)
    seventh_year_the_lost_drive_is_found(shelf)
    eighth_year_a_drive_is_reformatted(shelf)
    ninth_year_full_drives_and_regrets(shelf)
    tenth_year_fire(shelf)


def first_year(shelf: Shelf) -> None:
    for number in range(24):
        shelf.write("photos", f"2017/{number:02}.jpg", 900 + 37 * number)
    for number in range(8):
        shelf.write("papers", f"tax/{number}.pdf", 300 + number)
    shutil.copy2(shelf.house / "photos/2017/03.jpg", shelf.house / "papers/portrait.jpg")  # one content, two sources
    shelf.add("photos")
    shelf.add("papers")
    shelf.buy("Ash", "Birch", "Cedar", "Elm", "Fir")
    shelf.check()
    for name in ("Ash", "Birch"):
        shelf.later(1)
        with shelf.plugged(name):
            assert shelf.back_up(name, answers=Answers(create=True)).summary.copied == 32
            shelf.check()
    shelf.later(200)
    shelf.write("photos", "2017/05.jpg", 1500)  # an edit, and what it replaces
    shelf.update()
    shelf.check()
    with shelf.plugged("Ash"):
        assert shelf.back_up("Ash").summary.superseded == 1
    shelf.check()


def second_year_moves_and_a_lost_session(shelf: Shelf) -> None:
    shelf.later(165)
    (shelf.house / "photos/2017").rename(shelf.house / "photos/lisbon")
    for number in range(10):
        shelf.write("photos", f"2018/{number}.jpg", 1000 + number)
    (shelf.house / "papers/tax/0.pdf").unlink()
    shelf.update()
    shelf.check()
    shelf.lose_session()
    shelf.check()
    with pytest.raises(NeedsAnswer) as asked:  # its mount point is no drive, whatever the answer
        shelf.back_up("Birch", answers=Answers(yes=True))
    assert asked.value.kind == "not-plugged-in" and not list((shelf.mnt / "Birch").iterdir())
    for name in ("Birch", "Cedar"):
        with shelf.plugged(name):
            shelf.back_up(name, answers=Answers(create=name == "Cedar"))
        shelf.check()
    shelf.lose_session()
    shelf.check()


def third_year_rot(shelf: Shelf) -> None:
    shelf.later(365)
    for path in ("photos/2017/01.jpg", "photos/2017/22.jpg", "papers/tax/3.pdf"):
        shelf.rot("Ash", path)
    shelf.check()  # nobody can know yet
    rounds, ran = 0, None
    while not rounds or shelf.rotten["Ash"]:  # a little every month, until it is through
        with shelf.plugged("Ash"):
            ran = shelf.verify("Ash", max_bytes=9000)
        shelf.check()
        shelf.later(30)
        rounds += 1
    assert rounds > 1 and ran is not None
    with shelf.plugged("Ash", "Birch"):
        assert shelf.repair("Ash").summary.repaired == 3
        shelf.check()
        while ran.summary.left:
            ran = shelf.verify("Ash", max_bytes=9000)
        assert shelf.verify("Ash").summary.damaged == 0
    shelf.check()
    # A file in the house rots too: nobody copies that, and a drive has what it was.
    good = (shelf.house / "photos/2018/4.jpg").read_bytes()
    shelf.spoil(shelf.house / "photos/2018/4.jpg")
    assert run(verify(shelf.session, os.fsencode(shelf.house / "photos"))).summary.damaged == 1
    with shelf.plugged("Birch"):
        assert shelf.back_up("Birch").summary.copied == 0
        assert run(repair(shelf.session, os.fsencode(shelf.house / "photos"))).summary.repaired == 1
    assert (shelf.house / "photos/2018/4.jpg").read_bytes() == good
    assert shelf.update().summary.scans[0].damaged == 0
    shelf.check()


def fourth_year_a_drive_is_lost(shelf: Shelf) -> None:
    shelf.later(300)
    for number in range(6):
        shelf.write("photos", f"2020/{number}.jpg", 700 + number)
    shelf.update()
    with shelf.plugged("Birch"):
        shelf.back_up("Birch")
    shelf.check()
    shelf.set_state("Birch", TargetState.LOST)
    shelf.check()
    shelf.lose_session()  # the sidecars know that it is lost
    shelf.check()
    with shelf.plugged("Elm"):
        shelf.back_up("Elm", answers=Answers(create=True))
    shelf.check()
    with shelf.plugged("Cedar"):
        shelf.back_up("Cedar")
    shelf.check()


def fifth_year_somebody_tidies_a_drive(shelf: Shelf) -> None:
    shelf.later(365)
    cedar = shelf.where("Cedar")
    (cedar / "the best").mkdir()
    for name in ("04.jpg", "06.jpg"):
        (cedar / "photos/lisbon" / name).rename(cedar / "the best" / name)
    shelf.delete_on("Cedar", "photos/2018/7.jpg")
    shelf.delete_on("Cedar", "papers/tax/5.pdf")
    shelf.check()
    with shelf.plugged("Cedar"):
        ran = shelf.verify("Cedar")
        shelf.check()
        assert (ran.summary.missing, ran.summary.new) == (2, 0)
        assert shelf.back_up("Cedar", fill=True).summary.copied == 2
    shelf.check()


def sixth_year_a_clone(shelf: Shelf) -> None:
    shelf.later(365)
    shelf.buy("Cedar twin")
    shutil.copytree(shelf.where("Cedar"), shelf.where("Cedar twin"), dirs_exist_ok=True)
    (shelf.where("Cedar twin") / "photos/2018/1.jpg").unlink()
    with shelf.plugged("Cedar", "Cedar twin"):
        shelf.discover("Cedar")
        shelf.check()
        for steps in (shelf.back_up, shelf.discover):
            with pytest.raises(NeedsAnswer) as asked:
                steps("Cedar twin", answers=Answers(yes=True))
            assert asked.value.kind == "clone"
        shelf.check()
        shelf.discover("Cedar twin", answers=Answers(new_id=True))
        shelf.check()
    assert shelf.known("Cedar twin").label == "Cedar-2"


def seventh_year_the_lost_drive_is_found(shelf: Shelf) -> None:
    shelf.later(365)
    shelf.rot("Birch", "photos/2017/10.jpg")
    with shelf.plugged("Birch"):
        with pytest.raises(Refused) as refused:
            shelf.back_up("Birch")
        assert refused.value.kind == "not-active"
        shelf.states["Birch"] = TargetState.SUSPECT
        shelf.check()
        shelf.lose_session()
        shelf.check()
        assert shelf.verify("Birch").summary.damaged == 1
        shelf.check()
        assert shelf.repair("Birch").summary.repaired == 1
        shelf.check()
        shelf.later(1)
        shelf.verify("Birch")
        shelf.states["Birch"] = TargetState.ACTIVE
        shelf.check()


def eighth_year_a_drive_is_reformatted(shelf: Shelf) -> None:
    shelf.later(365)
    shelf.write("papers", "will.pdf", 500)
    shelf.update()
    elm = shelf.ids["Elm"]
    for entry in list(shelf.where("Elm").iterdir()):
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (shelf.where("Elm") / "games").write_bytes(b"not ours")
    with shelf.plugged("Elm"):
        with pytest.raises(NeedsAnswer) as asked:
            shelf.back_up("Elm", answers=Answers(yes=True))
        assert asked.value.kind == "not-plugged-in" and set(os.listdir(shelf.mnt / "Elm")) == {"games"}
        shelf.rename("Elm", "old Elm")
        ran = shelf.back_up("Elm", answers=Answers(create=True))
    # A directory of a file system without a UUID can't be told from another one at the same place.
    known = {f"set-target {elm} --state lost", "It is recorded as lost"}
    assert any(words in message(warning) for warning in ran.of(Warned) for words in known)
    shelf.set_state("old Elm", TargetState.LOST)
    shelf.check()


def ninth_year_full_drives_and_regrets(shelf: Shelf) -> None:
    shelf.later(300)
    (shelf.house / "photos/2018/2.jpg").unlink()
    for number in range(30):
        (shelf.house / f"photos/2020/{number}.jpg").unlink(missing_ok=True)
    shelf.update(answers=Answers(deletions=True))
    shelf.check()
    with shelf.plugged("Fir"):
        full = shelf.back_up("Fir", answers=Answers(create=True), capacity=30_000).summary
        assert full.full
        for number in range(12):
            shelf.write("photos", f"2025/{number}.jpg", 2000)
        full = shelf.back_up("Fir").summary
        assert full.full and full.remaining and full.surplus_bytes
        shelf.check()
        assert shelf.reclaim("Fir", surplus=True).summary.freed_bytes == 0  # no drive is there to bear witness
        shelf.check()
        others = [name for name, state in shelf.states.items() if state is TargetState.ACTIVE and name != "Fir"]
        with shelf.plugged(*(name for name in others if (shelf.cellar / name).exists())):
            assert shelf.reclaim("Fir", surplus=True).summary.freed_bytes == full.surplus_bytes
        shelf.check()
        assert shelf.back_up("Fir").summary.copied
        shelf.check()
    # What was deleted in haste is found and brought back; nothing is copied again for that.
    missed = [path for path, _ in shelf.gone("photos") if path.startswith(b"2020/")]
    assert len(missed) == 6
    with shelf.plugged("Cedar"):
        shelf.discover("Cedar")
        assert shelf.restore("Cedar", deleted=True, path=b"2020").summary.restored == 6
        shelf.update()
        shelf.check()
        shelf.write("photos", "lisbon/11.jpg", 900 + 37 * 11, keep_time=True)  # a tool that keeps the time
        assert shelf.update().summary.scans[0].damaged == 1
        assert shelf.update(accept=["lisbon/11.jpg"]).summary.scans[0].damaged == 0
        shelf.back_up("Cedar")
    shelf.check()
    with shelf.plugged("Ash"):
        shelf.back_up("Ash")
        shelf.verify("Ash")
        old = [path for path in contents(shelf.mnt / "Ash") if path.startswith(b".medback-old/")]
        assert old
    shelf.check()


def tenth_year_fire(shelf: Shelf) -> None:
    """The house, the session and the list beside it burn. What is left is the cellar."""
    shelf.later(365)
    with shelf.plugged("Ash"):
        shelf.back_up("Ash")
    current = shelf.files()
    left = {content for name in shelf.ids for content in shelf.held(name)}
    assert {content for content in shelf.ever if content in left} >= set(current.values())
    shelf.session.close()
    shutil.rmtree(shelf.house)
    for file in shelf.db.parent.glob("session.db*"):
        file.unlink()
    shelf.session = open_session(shelf.db)
    shelf.house.mkdir()
    with shelf.plugged("Ash"):
        run(add_restore_context(shelf.session, os.fsencode(shelf.mnt / "Ash/.medback-context.xml")))
    names = {tid: name for name, tid in shelf.ids.items()}
    plugged = []
    while (status := run(restore_status(shelf.session)).summary).missing:
        assert status.next is not None
        name = names[status.next.target.id]
        with shelf.plugged(name):
            assert run(restore(shelf.session, os.fsdecode(shelf.mnt / name))).summary.restored == status.next.files
        plugged.append(name)
        assert len(plugged) <= 3
    assert shelf.files() == current
    # Older versions and deleted files: each that has a good copy left is listed, lies where the list says, and comes back.
    drives = [name for name in shelf.ids if name != "old Elm"]
    attic = shelf.house / "attic"
    with shelf.plugged(*drives):
        for name in drives:
            run(verify(shelf.session, os.fsencode(shelf.mnt / name)))
        for source in ("photos", "papers"):
            gone = shelf.gone(source)
            assert all(
                lying and {hashlib.md5(content).digest() for content in lying} == {key[1]}
                for key, lying in gone.items()
            )
            for name in drives:
                where = os.fsdecode(shelf.mnt / name)
                run(restore(shelf.session, where, source=source, deleted=True, to=os.fsencode(attic)))
                for path in {path for path, _ in gone} & {path for alias, path in current if alias == source}:
                    run(restore(shelf.session, where, source=source, deleted=True, path=path, to=os.fsencode(attic)))
    assert shelf.files() == current
    assert {*current.values(), *contents(attic).values()} >= shelf.ever & left
