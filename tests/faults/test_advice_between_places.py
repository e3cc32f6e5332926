"""The advice for the next drive, followed to the letter: it ends with all that is wanted, elsewhere too."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from faults.places_life import DAY, DIRECTORIES, PLACES, Drive, Life, folded
from support.fault_report import FULL, Row


def household(where: Path, seed: int) -> Life:
    """Two sources that want something, maybe a rule, drives at places that have some of it, and files since then."""
    life = Life(where, seed)
    dice = life.dice
    for tree in life.trees:
        tree.copies = dice.randint(1, 3)
        tree.elsewhere = dice.randint(0, min(2, tree.copies))
        for directory in dice.sample(DIRECTORIES, 3):
            life.write(tree, directory)
            life.write(tree, directory)
        life.ok("add-src", tree.alias, "--copies", str(tree.copies), "--elsewhere", str(tree.elsewhere))
    life.read_sources()
    if dice.random() < 0.2:
        life.move_source(life.trees[0], dice.choice(PLACES))
    tree = dice.choice(life.trees)
    ruled = sorted({os.path.dirname(path) for path in tree.files} - {""})
    if ruled and dice.random() < 0.5:
        directory, copies = dice.choice(ruled), dice.randint(1, 3)
        tree.rules[directory] = copies, dice.randint(0, copies)
        numbers = ("--copies", str(copies), "--elsewhere", str(tree.rules[directory][1]))
        life.ok("set-source", tree.alias, "--below", directory, *numbers)
    for _ in range(dice.randint(0, 4)):
        life.buy()
        if dice.random() < 0.3:
            life.fetch(life.drives[-1])
            place = dice.choice(PLACES)
            life.drives[-1].said = life.spelled(place)
            life.ok("set-target", life.drives[-1].name, "--place", place)
            life.put_away(life.drives[-1])
    for tree in life.trees:
        for _ in range(dice.randint(0, 3)):
            life.write(tree, dice.choice(DIRECTORIES))
    life.ok("update")
    life.read_sources()
    life.read_drives()
    return life


def unsafe(life: Life) -> int:
    return sum(not life.is_safe(*each) for each in life.every())


def obey(life: Life, advice: str) -> str:
    """Do what a line says; what is said then."""
    known = re.match(r"next: (?:plug in|back up onto) (\w+) \(", advice)
    if known is not None:
        drive = next(drive for drive in life.drives if drive.name == known[1])
        life.fetch(drive)
        answer = life.shell("target", drive.name)
    else:
        assert advice.startswith("next: plug in a new drive"), advice
        drive = Drive(f"New{len(life.drives)}", life.machine() if life.named() else None)
        (life.where / drive.name).mkdir()
        apart = re.search(r"for another place than ([^;`]+?)(?: is needed)?(?:[;,]|$)", advice)
        words = []
        if apart is not None:
            drive.said = "Cave" if folded(apart[1].strip("'")) != "cave" else "Shed"
            words = ["--place", drive.said]
        life.drives.append(drive)
        life.date += DAY
        answer = life.shell("target", drive.name, "--init", "--label", drive.name, *words)
    assert answer.code in (0, 3, 6), (advice, answer)
    life.put_away(drive)
    life.read_drives()
    return answer.words


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seeds", [range(n, n + (5 if FULL else 3)) for n in range(0, 200 if FULL else 1, 5)], ids=str)
def test_advice_that_is_followed_ends_with_all_that_is_wanted(
    campaign: Callable[[str], Row], where: Path, seeds: range
) -> None:
    row = campaign("households that follow the advice for the next drive")
    for seed in seeds:
        row.tried()
        life = household(where, seed)
        said = life.shell("update").words
        followed: list[str] = []
        while advice := [line for line in said.splitlines() if line.startswith("next: ")]:
            followed += advice[-1:]
            assert unsafe(life) and len(followed) < 20, (seed, followed)
            before = [drive.holds for drive in life.drives]
            after = obey(life, advice[-1])
            assert [drive.holds for drive in life.drives] != before, (seed, "nothing came of it", followed)
            said = after if life.dice.random() < 0.5 else life.shell("update").words
        assert not unsafe(life), (seed, followed, said)
        assert "safe" in said or "all files have their wanted copies" in said, (seed, said)
        shutil.rmtree(where)
