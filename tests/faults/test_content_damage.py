"""Files damaged the way CERN found them to be, size and time kept: all are found, none spreads, all come back."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.fault_report import FULL, Row
from medback_core.model import EXPLANATION, DamageFound
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import Session
from medback_core.upkeep.verify_target import verify
from support.worlds import add, back, new_session, rescan, run, tree, write_tree

ROUNDS = 4 if FULL else 1
FILES = 420 if FULL else 18  # each round: a third of them damaged on one drive, on the other, in the source


def strike(path: Path, chance: random.Random) -> None:
    """Silent corruption as measured at CERN (Panzer-Steindel, 2007): 64 KiB regions, sectors, single bits."""
    status = path.stat()
    data = bytearray(path.read_bytes())
    was = bytes(data)
    while bytes(data) == was:
        kind = chance.random()
        at = chance.randrange(len(data))
        if kind < 0.8:
            at -= at % 65536
            data[at : at + 65536] = (
                bytes(len(data[at : at + 65536])) if kind < 0.4 else chance.randbytes(len(data[at : at + 65536]))
            )
        elif kind < 0.9:
            at -= at % 512
            data[at : at + 512] = chance.randbytes(len(data[at : at + 512]))
        else:
            data[at] ^= 1 << chance.randrange(8)
    with open(path, "r+b") as stream:
        stream.write(data)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def lose_session(session: Session, where: Path) -> Session:
    """A new DB from the sidecars, which know nothing of inodes and their times: what is left is true rot."""
    session.close()
    for path in where.glob("session.db*"):
        path.unlink()
    session = new_session(where)
    run(rebuild(session, [os.fsencode(where / "photos")]))
    return session


def contents(root: Path) -> dict[bytes, bytes]:
    """Relative path -> content of all that is content, leaving out what a repair set aside."""
    found = tree(root, metadata=True).items()
    return {path: data for path, (data, _) in found if b".medback" not in path and path not in EXPLANATION}


@pytest.fixture
def where(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_damaged_content_is_found_never_spread_and_repaired(
    where: Path, seed: int, campaign: Callable[[str], Row]
) -> None:
    chance = random.Random(seed)
    sizes = [chance.choice((16, 100, 512, 5000, 65536, 70_000, 200_000, 300_000)) for _ in range(FILES)]
    write_tree(where / "photos", {f"{n % 7}/{n:04}.raw": chance.randbytes(size) for n, size in enumerate(sizes)})
    session = new_session(where)
    add(session, where / "photos")
    for drive in ("t1", "t2"):
        back(session, where / drive)
    original = contents(where / "photos")
    names = sorted(original, key=lambda _: chance.random())
    struck = {"t1": names[0::3], "t2": names[1::3], "photos": names[2::3]}
    for place, paths in struck.items():
        for path in paths:
            base = where / place if place == "photos" else where / place / "photos"
            strike(base / os.fsdecode(path), chance)
    bad = {data for place in struck for data in contents(where / place).values()} - set(original.values())
    if seed % 2 == 0:
        session = lose_session(session, where)

    # Everything is done with it before anybody verifies: a new drive, the old ones again, a restore, a look.
    back(session, where / "t3")
    for drive in ("t1", "t2"):
        back(session, where / drive)
        run(restore(session, os.fspath(where / drive), to=os.fsencode(where / "back")))
    spread = campaign("damaged content copied, restored, discovered before anybody verified")
    spread.tries = sum(map(len, struck.values()))
    for place in ("t3", "back"):
        spread.misreported += len(bad & set(contents(where / place).values()))
    back_there = contents(where / "back/photos")
    assert {path: back_there.get(path) for path in original} == original

    # A verify of each finds exactly what was struck.
    for place, paths in struck.items():
        row = campaign(f"content damaged {'in a source' if place == 'photos' else 'on a drive'}, then verified")
        row.tries = len(paths)
        base = where / place if place == "photos" else where / place / "photos"
        told = {event.path for event in run(verify(session, os.fsencode(where / place))).of(DamageFound)}
        row.misreported = len(told ^ {os.path.join(os.fsencode(base), path) for path in paths})
        assert row.clean, (place, len(told))

    # And all of it is repaired.
    mended = campaign("damaged content repaired")
    mended.tries = sum(map(len, struck.values()))
    for place in ("photos", "t1", "t2"):
        assert run(repair(session, os.fsencode(where / place))).summary.unrepairable == 0
    for place in ("photos", "t1/photos", "t2/photos"):
        now = contents(where / place)
        mended.lost += sum(now.get(path) != data for path, data in original.items())
    for place in struck:
        mended.misreported += run(verify(session, os.fsencode(where / place))).summary.damaged
    assert rescan(session).summary.scans[0].damaged == 0
    session.close()
    assert spread.clean and mended.clean
