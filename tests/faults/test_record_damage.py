"""Sidecars and the session DB damaged in every way: what is whole is believed, what is not is read again, all is told."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from support.fault_report import FULL, Row
from medback_core.errors import MedbackError
from medback_core.model import DamageFound, ScanSummary
from medback_core.upkeep.rebuild import rebuild
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.files import join
from support.stored import all_files
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.sidecar import Trust, parse, whole
from medback_core.scanning.sources import add_source
from support.worlds import Ran, add, back, new_session, rescan, run, write_tree

SEEDS = 300 if FULL else 8


def damaged(data: bytes, chance: random.Random) -> bytes:
    """Cut, emptied, overwritten with garbage, struck by flips, insertions, deletions."""
    at = chance.randrange(len(data))
    match chance.randrange(6):
        case 0:
            return data[:at]
        case 1:
            return chance.choice((b"", b"\0" * len(data), chance.randbytes(len(data)), b"<dr/>", b"not xml"))
        case 2:
            return data[:at] + chance.randbytes(chance.choice((1, 40))) + data[at:]
        case 3:
            return data[:at] + data[at + chance.choice((1, 40)) :]
    struck = bytearray(data)
    for _ in range(chance.choice((1, 1, 3, 10))):
        struck[chance.randrange(len(struck))] ^= 1 << chance.randrange(8)
    return bytes(struck)


def copies(session: Session) -> dict[str, set[tuple[int, bytes]]]:
    return {
        target.id: {what for what, copy in copies_on(session, target.key) if copy.standing}
        for target in list_targets(session)
    }


def paths(session: Session) -> dict[bytes, tuple[int, bytes]]:
    (source,) = list_sources(session)
    return {join(directory, row.name): (row.size, row.md5) for directory, row in all_files(session, source.key)}


def lose_db(where: Path) -> None:
    for path in where.glob("session.db*"):
        path.unlink()


@pytest.fixture
def world(tmp_path: Path) -> Path:
    """Ten files in one directory and one in another, on two drives. Restored for each try from `kept`."""
    write_tree(tmp_path / "w/photos", {f"IMG_{n:02}.jpg": 100 + n for n in range(10)} | {"sub/other": 50})
    with new_session(tmp_path / "w") as session:
        add(session, tmp_path / "w/photos")
        for drive in ("t1", "t2"):
            back(session, tmp_path / "w" / drive)
    os.rename(tmp_path / "w", tmp_path / "kept")
    return tmp_path / "w"


def again(world: Path) -> Path:
    """The world as it was, at its own place: sidecars name paths."""
    shutil.rmtree(world, ignore_errors=True)
    shutil.copytree(world.with_name("kept"), world, symlinks=True)
    for path in world.with_name("kept").rglob("*"):  # directories' times, so that nothing looks newer
        os.utime(
            world / path.relative_to(world.with_name("kept")), ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns)
        )
    return world


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_scan_over_a_damaged_sidecar_keeps_what_is_whole_and_rehashes_the_rest(
    world: Path, campaign: Callable[[str], Row]
) -> None:
    with_db = campaign("damaged source sidecar, the session there")
    without = campaign("damaged source sidecar, the session lost")
    with open_session(world.with_name("kept") / "session.db") as session:
        known, where = paths(session), copies(session)
    for seed in range(SEEDS):
        chance = random.Random(seed)
        for row, lost in ((with_db, False), (without, True)):
            row.tried()
            again(world)
            sidecar = world / "photos/.medback.xml"
            data = damaged(sidecar.read_bytes(), chance)
            sidecar.write_bytes(data)
            read = parse(data)
            good = [r for r in read.files.values() if r.trust is Trust.WHOLE]
            if lost:
                lose_db(world)
            with new_session(world) as session:
                ran = Ran(add_source(session, os.fsencode(world / "photos"))) if lost else rescan(session)
                scan = ran.of(ScanSummary)[0]
                if not lost:
                    assert scan.hashed <= 10 - len(good), seed  # at most what is not whole was read
                else:
                    assert scan.hashed == 10 - len(good), seed
                # With the session lost nobody can tell a record whose hash was struck from a file that rotted: its
                # file is called damaged, its copies wait. All else is as it was.
                told = {os.path.relpath(event.path, os.fsencode(world / "photos")) for event in ran.of(DamageFound)}
                struck = told - {b".medback.xml"}
                wrong = {
                    r.name
                    for r in read.files.values()
                    if r.trust is Trust.EDITED and r.md5 != known.get(r.name, (0, b""))[1]
                }
                row.misreported += not struck <= (wrong if lost else set())
                row.lost += {p: w for p, w in paths(session).items() if p not in struck} != {
                    p: w for p, w in known.items() if p not in struck
                }
                if lost:
                    for drive in ("t1", "t2"):
                        back(session, world / drive)
                doubted = {known[name] for name in struck & known.keys()}
                row.lost += any(where[tid] - doubted - held for tid, held in copies(session).items())
            said = b".medback.xml" in told
            # Only the session could tell whose record it is whose name, size or MD5 was struck.
            orphaned = lost and any(
                r.trust is Trust.EDITED and r.bds and (r.md5 is None or r.size != known.get(r.name, (-1, b""))[0])
                for r in read.files.values()
            )
            something = (bool(read.damage) and (read.lost > 0 or len(read.files) < 10)) or orphaned
            row.misreported += said != (lost and something)
            aside = [path.read_bytes() for path in world.glob("photos/.medback.xml.damaged-*")]
            row.misreported += set(aside) != ({data} if read.damage or orphaned else set())
            row.misreported += not whole(sidecar.read_bytes())
            assert row.clean, (seed, lost, read.damage, said, something, len(aside), struck, wrong)


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_damaged_sidecar_on_a_drive_costs_no_copy(world: Path, campaign: Callable[[str], Row]) -> None:
    row = campaign("damaged sidecar on a drive")
    with open_session(world.with_name("kept") / "session.db") as session:
        where = copies(session)
    for seed in range(SEEDS):
        row.tried()
        chance = random.Random(seed)
        again(world)
        sidecar = world / "t1/photos/.medback.xml"
        data = damaged(sidecar.read_bytes(), chance)
        sidecar.write_bytes(data)
        if seed % 2:
            lose_db(world)
        with new_session(world) as session:
            if seed % 2:
                run(rebuild(session, [os.fsencode(world / "photos")]))
            for drive in ("t1", "t2"):
                back(session, world / drive)
            row.lost += copies(session) != where
        row.misreported += not whole(sidecar.read_bytes())
        aside = [path.read_bytes() for path in world.glob("t1/photos/.medback.xml.damaged-*")]
        row.misreported += aside != ([data] if parse(data).damage else [])
        assert row.clean, seed


def fingerprint(path: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(path)) as db:
        return [
            row
            for table in ("source", "target", "directory", "file", "identity", "copy", "rollup")
            for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2")
        ]


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_a_damaged_session_gives_no_wrong_answer(world: Path, campaign: Callable[[str], Row]) -> None:
    """It is refused, or set aside and built again to the same, or the damage struck nothing that it says."""
    row = campaign("session DB cut, overwritten, struck")
    kept = world.with_name("kept") / "session.db"
    with open_session(kept) as session:
        known, where = paths(session), copies(session)
        session.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    whole_db = kept.read_bytes()
    for seed in range(SEEDS):
        row.tried()
        chance = random.Random(seed)
        again(world)
        for path in world.glob("session.db-*"):
            path.unlink()
        (world / "session.db").write_bytes(damaged(whole_db, chance))
        try:
            with open_session(world / "session.db") as session:
                if session.needs_rebuild:
                    run(rebuild(session))
                rescan(session)
                row.lost += paths(session) != known
                row.misreported += copies(session) != where
        except MedbackError as refused:
            assert refused.exit_code == 4 and str(refused).isprintable()
        assert row.clean, seed
