"""End every operation at every one of its changes, look at what is there, run it again: the same end as undisturbed."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from faults.crashes import Killer, Scenario, attempt, end_state, fresh, wholeness
from faults.table import Row, sampled
from medback_core import model
from medback_core.backup import back_up
from medback_core.discover import discover
from medback_core.model import Event
from medback_core.reclaim import reclaim
from medback_core.repair import repair
from medback_core.restore import restore
from medback_core.session import Session, open_session
from medback_core.sources import add_source, update
from medback_core.verify import verify
from worlds import MTIME, run, tree, write_tree

pytestmark = pytest.mark.long

SAMPLES = 14  # crash points of each scenario in a plain run, spread over it, the first and last ones included

FILES: dict[str | bytes, bytes | int] = {
    "a.txt": 300,
    "sub/b.bin": 2000,
    "sub/c": 1500,
    "sub/deep/d": 10,
    "empty": 0,
    "twin1": b"same",
    "sub/twin2": b"same",
}


def _source(where: Path) -> None:
    write_tree(where / "photos", FILES)
    (where / "photos/link").symlink_to("a.txt")


def _added(where: Path) -> None:
    _source(where)
    with open_session(where / "session.db") as session:
        run(add_source(session, os.fsencode(where / "photos")))


def _backed_up(where: Path) -> None:
    _added(where)
    for drive in ("t1", "t2"):
        (where / drive).mkdir()
        with open_session(where / "session.db") as session:
            run(back_up(session, os.fsencode(where / drive), yes=True))


def _changes(where: Path) -> None:
    """Edits, a deletion, a move, a twin that parts, a new file."""
    later = MTIME + 10**10
    write_tree(where / "photos", {"a.txt": b"another text", "twin1": b"parted", "sub/new": 700}, mtime_ns=later)
    (where / "photos/sub/deep/d").unlink()
    os.rename(where / "photos/sub/c", where / "photos/moved")


def _changed(where: Path) -> None:
    _backed_up(where)
    _changes(where)


def _changed_and_updated(where: Path) -> None:
    _changed(where)
    with open_session(where / "session.db") as session:
        run(update(session))


def _copied_by_other_means(where: Path) -> None:
    _added(where)
    shutil.copytree(
        where / "photos", where / "t1/old backup", ignore=shutil.ignore_patterns(".medback*"), symlinks=True
    )
    write_tree(where / "t1", {"own/mine": b"not in any source"})


def _lost(where: Path) -> None:
    _backed_up(where)
    shutil.rmtree(where / "photos/sub")
    write_tree(where / "photos", {"a.txt": b"edited meanwhile"}, mtime_ns=MTIME + 10**10)


def _damaged(where: Path) -> None:
    _backed_up(where)
    for path in (where / "t1/photos/a.txt", where / "t1/photos/sub/b.bin"):
        path.write_bytes(b"?" * path.stat().st_size)
        os.utime(path, ns=(MTIME, MTIME))
    with open_session(where / "session.db") as session:
        run(verify(session, os.fsencode(where / "t1")))


def _with_old_versions(where: Path) -> None:
    _changed(where)
    with open_session(where / "session.db") as session:
        run(back_up(session, os.fsencode(where / "t1"), yes=True))


def _add(session: Session, where: Path) -> Iterator[Event]:
    return add_source(session, os.fsencode(where / "photos"))


def _update(session: Session, _where: Path) -> Iterator[Event]:
    return update(session)


def _back_up(session: Session, where: Path) -> Iterator[Event]:
    (where / "t1").mkdir(exist_ok=True)
    return back_up(session, os.fsencode(where / "t1"), create=True, label="t1")


def _back_up_small(session: Session, where: Path) -> Iterator[Event]:
    return back_up(session, os.fsencode(where / "t1"), capacity=4500)


def _discover(session: Session, where: Path) -> Iterator[Event]:
    return discover(session, os.fsencode(where / "t1"), create=True, label="t1")


def _restore(session: Session, where: Path) -> Iterator[Event]:
    return restore(session, os.fspath(where / "t1"))


def _restore_over(session: Session, where: Path) -> Iterator[Event]:
    return restore(session, os.fspath(where / "t1"), conflict="overwrite")


def _repair(session: Session, where: Path) -> Iterator[Event]:
    return repair(session, os.fsencode(where / "t1"))


def _reclaim(session: Session, where: Path) -> Iterator[Event]:
    return reclaim(session, os.fspath(where / "t1"), old=True)


SCENARIOS = [
    Scenario("first scan", _source, _add),
    Scenario("update with moves and deletions", _changed, _update),
    Scenario("first backup", _added, _back_up),
    Scenario("backup with superseded files", _changed, _back_up),
    Scenario("backup onto a drive too small", _changed_and_updated, _back_up_small),
    Scenario("discover", _copied_by_other_means, _discover),
    Scenario("restore", _lost, _restore),
    Scenario("restore over what differs", _lost, _restore_over),
    Scenario("repair", _damaged, _repair),
    Scenario("reclaim", _with_old_versions, _reclaim),
]


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory in memory where there is one: the loops are about order, not about a disk's speed."""
    monkeypatch.setattr(model, "now", lambda: 1_800_000_000)
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    directory = Path(tempfile.mkdtemp(prefix="medback-faults-", dir=base))
    yield directory / "world"
    shutil.rmtree(directory, ignore_errors=True)


def _known(where: Path) -> set[bytes]:
    """Every content there may be, whole."""
    contents = {b"not in any source", b"another text", b"parted", b"edited meanwhile"}
    for directory in where.iterdir():
        if directory.is_dir():
            contents |= {content for content, _ in tree(directory, metadata=True).values()}
    return contents


def _end(where: Path, scenario: Scenario) -> dict[str, object]:
    """Run the step to its end (twice: what a kill left for the next run is done then), and look."""
    assert attempt(where, scenario.step, None)
    assert attempt(where, scenario.step, None)
    assert attempt(where, _update, None)
    return end_state(where)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_killed_at_any_change_it_converges(where: Path, scenario: Scenario, campaign: Callable[[str], Row]):
    row = campaign("killed at every change of a drive")
    fresh(where, scenario)
    known = _known(where)
    counting = Killer()
    assert attempt(where, scenario.step, counting)
    undisturbed = _end(where, scenario)
    assert counting.count > 0
    for point in sampled(range(counting.count), SAMPLES):
        row.tried()
        fresh(where, scenario)
        assert not attempt(where, scenario.step, Killer(point)), f"point {point} was never reached"
        assert wholeness(where, known) == [], f"right after the kill at change {point}"
        assert _end(where, scenario) == undisturbed, f"killed at change {point}"


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_one_change_that_fails_costs_nothing(
    where: Path, scenario: Scenario, code: int, campaign: Callable[[str], Row]
):
    row = campaign(f"every change of a drive fails once: {errno.errorcode[code]}")
    fresh(where, scenario)
    known = _known(where)
    counting = Killer()
    assert attempt(where, scenario.step, counting)
    undisturbed = _end(where, scenario)
    for point in sampled(range(counting.count), SAMPLES):
        row.tried()
        fresh(where, scenario)
        attempt(where, scenario.step, Killer(point, error=OSError(code, "")))
        assert wholeness(where, known) == [], f"right after change {point} failed"
        assert _end(where, scenario) == undisturbed, f"change {point} failed"
