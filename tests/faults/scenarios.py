"""The worlds and the steps that are disturbed: every operation that changes a source, a drive or a record."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from medback_core.backing_up.back_up import back_up
from medback_core.contexts.write import write_restore
from medback_core.contexts.load import add_restore_context
from medback_core.backing_up.discover import discover
from medback_core.errors import Refused
from medback_core.model import Answers, Event, TargetState
from medback_core.upkeep.rebuild import rebuild, rebuilt_session
from medback_core.upkeep.reclaim import reclaim
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import Session, open_session
from medback_core.scanning.sources import add_source, change_source, forget_source, update
from medback_core.drives.open import set_target
from medback_core.upkeep.verify_target import verify
from support.worlds import MTIME, run, write_tree

Step = Callable[[Session, Path], Iterator[Event]]


def session_of(where: Path) -> Session:
    """The world's session, as commands open it."""
    return open_session(where / "session.db")


def _new_session(where: Path) -> Session:
    return rebuilt_session(where / "session.db")


@dataclass(frozen=True)
class Scenario:
    """A world made by `build`, and the step that is disturbed."""

    name: str
    build: Callable[[Path], None]
    step: Step
    opens: Callable[[Path], Session] = field(default=session_of)
    then: tuple[Step, ...] = ()  # what brings the drives to their next sight, where the step itself does not
    without_db: bool = True  # whether the same end is reached when the session DB is lost at any moment
    by_copy: bool = True  # whether the session takes a copy of the world for the world itself (test_worlds)


CONTEXT = b"everything.xml"
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
    with session_of(where) as session:
        run(add_source(session, os.fsencode(where / "photos")))


def _backed_up(where: Path) -> None:
    _added(where)
    for drive in ("t1", "t2"):
        (where / drive).mkdir()
        with session_of(where) as session:
            run(back_up(session, os.fsencode(where / drive), answers=Answers(yes=True)))


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
    with session_of(where) as session:
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


def _damaged_unseen(where: Path) -> None:
    _backed_up(where)
    for path in (where / "t1/photos/a.txt", where / "t1/photos/sub/b.bin"):
        path.write_bytes(b"?" * path.stat().st_size)
        os.utime(path, ns=(MTIME, MTIME))


def _damaged(where: Path) -> None:
    _damaged_unseen(where)
    with session_of(where) as session:
        run(verify(session, os.fsencode(where / "t1")))


def _with_old_versions(where: Path) -> None:
    _changed(where)
    with session_of(where) as session:
        run(back_up(session, os.fsencode(where / "t1"), answers=Answers(yes=True)))


def _add(session: Session, where: Path) -> Iterator[Event]:
    return add_source(session, os.fsencode(where / "photos"))


def update_all(session: Session, _where: Path) -> Iterator[Event]:
    return update(session)


def back_up_t1(session: Session, where: Path) -> Iterator[Event]:
    (where / "t1").mkdir(exist_ok=True)
    return back_up(session, os.fsencode(where / "t1"), answers=Answers(create=True), label="t1")


def _back_up_small(session: Session, where: Path) -> Iterator[Event]:
    return back_up(session, os.fsencode(where / "t1"), capacity=4500)


def _discover(session: Session, where: Path) -> Iterator[Event]:
    return discover(session, os.fsencode(where / "t1"), answers=Answers(create=True), label="t1")


def _restore(session: Session, where: Path) -> Iterator[Event]:
    return restore(session, os.fspath(where / "t1"))


def _restore_over(session: Session, where: Path) -> Iterator[Event]:
    return restore(session, os.fspath(where / "t1"), conflict="overwrite")


def _repair(session: Session, where: Path) -> Iterator[Event]:
    return repair(session, os.fsencode(where / "t1"))


def _reclaim(session: Session, where: Path) -> Iterator[Event]:
    return reclaim(session, os.fspath(where / "t1"), old=True)


def _with_surplus(where: Path) -> None:
    """As much on both drives as is wanted, and then less is wanted."""
    _backed_up(where)
    with session_of(where) as session:
        change_source(session, "photos", copies=1)


def _reclaim_surplus(session: Session, where: Path) -> Iterator[Event]:
    return reclaim(session, os.fspath(where / "t1"), surplus=True)


def _verify(session: Session, where: Path) -> Iterator[Event]:
    return verify(session, os.fsencode(where / "t1"))


def _verify_source(session: Session, where: Path) -> Iterator[Event]:
    return verify(session, os.fsencode(where / "photos"))


def _repair_source(session: Session, where: Path) -> Iterator[Event]:
    return repair(session, os.fsencode(where / "photos"))


def _restore_elsewhere(session: Session, where: Path) -> Iterator[Event]:
    return restore(session, os.fspath(where / "t1"), to=os.fsencode(where / "elsewhere"))


def _rebuild(session: Session, where: Path) -> Iterator[Event]:
    return rebuild(session, [os.fsencode(where / name) for name in ("photos", "t1", "t2")])


def rebuild_all(session: Session, where: Path) -> Iterator[Event]:
    """What a person does whose session DB is gone: the sources again, from their own records."""
    for name in ("photos", "music"):
        if (where / name / ".medback-source.xml").exists():
            yield from add_source(session, os.fsencode(where / name))


def verify_all(session: Session, where: Path) -> Iterator[Event]:
    """The next sight of every drive."""
    for name in ("t1", "t2"):
        if (where / name / ".medback-target.xml").exists():
            yield from verify(session, os.fsencode(where / name))


def _write_context(session: Session, where: Path) -> Iterator[Event]:
    write_restore(session, os.fsencode(where / "context" / os.fsdecode(CONTEXT)))
    return iter(())


def _import_context(session: Session, where: Path) -> Iterator[Event]:
    return add_restore_context(session, os.fsencode(where / "context" / os.fsdecode(CONTEXT)))


def _set_target(session: Session, _where: Path) -> Iterator[Event]:
    set_target(session, "t1", state=TargetState.RETIRED, capacity=9000)
    return iter(())


def _set_source(session: Session, _where: Path) -> Iterator[Event]:
    change_source(session, "photos", copies=3, add_excludes=["*.tmp"])
    return iter(())


def _remove_source(session: Session, _where: Path) -> Iterator[Event]:
    with suppress(Refused):
        forget_source(session, "music")
    return iter(())


def _disappeared(where: Path) -> None:
    """Files deleted, renamed and cut on a drive by hand."""
    _backed_up(where)
    (where / "t1/photos/a.txt").unlink()
    os.rename(where / "t1/photos/sub/c", where / "t1/photos/renamed")
    os.truncate(where / "t1/photos/sub/b.bin", 100)
    os.utime(where / "t1/photos/sub/b.bin", ns=(MTIME, MTIME))


def _rotten_source(where: Path) -> None:
    _backed_up(where)
    for path in (where / "photos/a.txt", where / "photos/sub/b.bin"):
        path.write_bytes(b"?" * path.stat().st_size)
        os.utime(path, ns=(MTIME, MTIME))


def _rotten_source_known(where: Path) -> None:
    _rotten_source(where)
    with session_of(where) as session:
        run(verify(session, os.fsencode(where / "photos")))


def _written_context(where: Path) -> None:
    write_tree(where / "music", {"a.txt": 500, "song": 900})
    _backed_up(where)
    (where / "context").mkdir()
    with session_of(where) as session:
        write_restore(session, os.fsencode(where / "context" / os.fsdecode(CONTEXT)))
        run(add_source(session, os.fsencode(where / "music")))


def _all_gone(where: Path) -> None:
    """Only the drives and a context are left."""
    _backed_up(where)
    (where / "context").mkdir()
    with session_of(where) as session:
        write_restore(session, os.fsencode(where / "context" / os.fsdecode(CONTEXT)))
    shutil.rmtree(where / "photos")
    for path in where.glob("session.db*"):
        path.unlink()


def _imported(where: Path) -> None:
    _all_gone(where)
    with session_of(where) as session:
        run(add_restore_context(session, os.fsencode(where / "context" / os.fsdecode(CONTEXT))))


def _damaged_db(where: Path) -> None:
    """A machine that lost its power: the DB with a log not yet folded in, and then a rebuild."""
    _backed_up(where)
    with session_of(where) as session:
        with session.transaction() as db:
            db.execute("UPDATE source SET scanned_at = scanned_at + 1")
        for name in ("session.db", "session.db-wal"):
            shutil.copyfile(where / name, where / f"kept-{name}")
    for name in ("session.db", "session.db-wal"):
        os.replace(where / f"kept-{name}", where / name)


def _two_sources(where: Path) -> None:
    write_tree(where / "music", {"a.txt": 500, "song": 900})
    _added(where)
    with session_of(where) as session:
        run(add_source(session, os.fsencode(where / "music")))
    (where / "t1").mkdir()
    with session_of(where) as session:
        run(back_up(session, os.fsencode(where / "t1"), answers=Answers(yes=True)))


SCENARIOS = [
    Scenario("first scan", _source, _add),
    Scenario("update with moves and deletions", _changed, update_all),
    Scenario("first backup", _added, back_up_t1),
    Scenario("backup with superseded files", _changed, back_up_t1),
    Scenario("backup onto a drive too small", _changed_and_updated, _back_up_small),
    Scenario("backup after files went by hand", _disappeared, back_up_t1, by_copy=False),
    Scenario("discover", _copied_by_other_means, _discover),
    Scenario("restore", _lost, _restore, without_db=False),
    Scenario("restore over what differs", _lost, _restore_over, without_db=False),
    Scenario("restore elsewhere", _lost, _restore_elsewhere, without_db=False),
    Scenario("verify a drive, copies are withdrawn", _damaged_unseen, _verify),
    Scenario("verify a source, damage is noted", _rotten_source, _verify_source, without_db=False),
    Scenario("repair", _damaged, _repair),
    Scenario("repair a source", _rotten_source_known, _repair_source, without_db=False),
    Scenario("reclaim", _with_old_versions, _reclaim),
    Scenario("reclaim before a witness", _with_surplus, _reclaim_surplus),
    Scenario("rebuild the session", _damaged_db, _rebuild, opens=_new_session),
    Scenario("write a context", _written_context, _write_context),
    Scenario("import a context", _all_gone, _import_context, without_db=False),
    Scenario("restore from an imported context", _imported, _restore, then=(_verify,), without_db=False),
    Scenario("retire a target", _backed_up, _set_target, then=(_verify,)),
    Scenario("change a source", _backed_up, _set_source),
    Scenario("forget a source", _two_sources, _remove_source),
]
