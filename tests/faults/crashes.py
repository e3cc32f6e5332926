"""End a run at its Nth change, as a kill would: that change and all after it never happen."""

from __future__ import annotations

import ast
import hashlib
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]

from faults.power import PowerCut
from faults.scenarios import CONTEXT, Scenario, Step, session_of, update_all, verify_all
from support.killing import Killed
from support.sync_modes import is_file_by_file
from support.fault_report import Row
from medback_core import disk
from medback_core.errors import MedbackError
from medback_core.model import CONTEXT_NAME
from medback_core.names import display_name
from medback_core.session import Session
from medback_core.session.copies import copies_on
from medback_core.session.expected import expected_count
from support.stored import all_files
from medback_core.session.sources import list_sources
from medback_core.session.targets import list_targets
from medback_core.sidecar import parse, whole
from support.worlds import counted, tree


class Killer:
    """Lets `allowed` changes happen and none after; counts them. `error` fails just one change instead.

    Changes are those of drives, and the transactions of the session DB: a run may end before one of those as well.
    """

    def __init__(self, allowed: int | None = None, *, error: int | None = None) -> None:
        self.allowed = allowed
        self.error = error
        self.count = 0
        self.on_drives = 0  # of them
        self.only_drives = error is not None

    def __call__(self, op: str, *_details: object) -> None:
        if op == "transaction" and self.only_drives:
            return
        self.count += 1
        self.on_drives += op != "transaction"
        if self.allowed is None or self.count <= self.allowed:
            return
        if self.error is None:
            raise Killed
        if self.count == self.allowed + 1:
            raise OSError(self.error, os.strerror(self.error))


@contextmanager
def watched(observer: Callable[..., None] | None) -> Iterator[None]:
    """Tell `observer` of every change of a drive and every transaction of a session before it happens."""
    plain = Session.transaction

    @contextmanager
    def told(session: Session) -> Iterator[Any]:
        if observer is not None:
            observer("transaction")
        with plain(session) as db:
            yield db

    disk.set_observer(observer)
    Session.transaction = told  # pyright: ignore[reportAttributeAccessIssue]
    try:
        yield
    finally:
        disk.set_observer(None)
        Session.transaction = plain


def attempt(where: Path, scenario: Scenario, observer: Callable[..., None] | None = None) -> bool:
    """Run a scenario's step under an observer in a session of its own; False when it was killed. An error of medback's
    or of the system's is an end like any other (the command line makes one line of it)."""
    with watched(observer):
        try:
            with suppress(MedbackError, OSError), scenario.opens(where) as session:
                for _ in scenario.step(session, where):
                    pass
            return True
        except Killed:
            return False


def fresh(where: Path, scenario: Scenario) -> None:
    """The scenario's world, made anew at the same place: the first time by its steps, then as a copy of what they made.
    The session is told the inodes and times of the copies, so that it knows each file as it knew the first."""
    shutil.rmtree(where, ignore_errors=True)
    made = where.parent / "made" / f"{scenario.build.__name__} {is_file_by_file()}"
    if made.exists():
        shutil.copytree(made, where, symlinks=True)
        _know_copies(made, where)
        return
    where.mkdir(parents=True)
    scenario.build(where)
    if scenario.by_copy and not (where / "session.db-wal").exists():  # which would be folded in by looking at it
        shutil.copytree(where, made, symlinks=True)
        were = [(str(path.relative_to(where)), path.lstat()) for path in _all(where)]
        seen = {path: (status.st_ino, status.st_ctime_ns) for path, status in were}
        (made.parent / f"{made.name}.seen").write_text(repr(seen))


def _all(where: Path) -> list[Path]:
    return [path for path in where.rglob("*") if not path.name.startswith("session.db")]


def _know_copies(made: Path, where: Path) -> None:
    """A file that changed since the session saw it has an older time there: it keeps that."""
    if not (where / "session.db").exists():
        return
    seen = ast.literal_eval((made.parent / f"{made.name}.seen").read_text())
    now = {was: ((where / path).lstat(), ctime_ns) for path, (was, ctime_ns) in seen.items()}
    with closing(sqlite3.connect(where / "session.db")) as db, db:
        for table, column in (("file", ""), ("staged", ""), ("placed", ""), ("directory", "sidecar_")):
            known = {row[0] for row in db.execute(f"SELECT {column}inode FROM {table}")} & now.keys()
            # Through numbers below zero: one file's new inode may be another's old one.
            db.executemany(
                f"UPDATE {table} SET {column}ctime_ns = CASE {column}ctime_ns WHEN ? THEN ? ELSE {column}ctime_ns END,"
                f" {column}inode = -? WHERE {column}inode = ?",
                [(now[was][1], now[was][0].st_ctime_ns, now[was][0].st_ino, was) for was in known],
            )
            db.execute(f"UPDATE {table} SET {column}inode = -{column}inode WHERE {column}inode < 0")


def contents(where: Path) -> set[bytes]:
    """Every content there may be under a final name, whole."""
    found = {b"not in any source", b"another text", b"parted", b"edited meanwhile"}
    for directory in where.iterdir():
        if directory.is_dir():
            found |= {content for content, _ in tree(directory, metadata=True).values()}
    return found


def end(where: Path, scenario: Scenario) -> dict[str, object]:
    """Run the step to its end (twice: what a kill left for the next run is done then) and
    what is to follow, and look."""
    assert attempt(where, scenario)
    assert attempt(where, scenario)
    return _followed(where, scenario, *scenario.then, update_all)


def end_of_sight(where: Path, scenario: Scenario) -> dict[str, object]:
    """The same after the next sight of every drive."""
    return end(where, replace(scenario, then=(*scenario.then, verify_all)))


def _followed(where: Path, scenario: Scenario, *steps: Step) -> dict[str, object]:
    for step in steps:
        assert attempt(where, replace(scenario, step=step, opens=session_of))
    return end_state(where)


@dataclass(frozen=True)
class Undisturbed:
    """What a scenario comes to when nothing happens to it."""

    known: set[bytes]  # the contents there may be
    wrong: list[str]  # from the start: worlds with rot, or with files gone by hand, begin so
    changes: int  # of drives, and transactions
    on_drives: int
    in_power: int  # changes before which the power may be cut
    end: dict[str, object]
    end_of_sight: dict[str, object]


@cache
def undisturbed(where: Path, scenario: Scenario, file_by_file: bool) -> Undisturbed:
    """Run once for all tests that disturb it in one way of syncing."""
    assert file_by_file == is_file_by_file()
    fresh(where, scenario)
    known = contents(where)
    wrong = wholeness(where, known)
    changes, power = Killer(), PowerCut(where)

    def both(op: str, *details: Any) -> None:
        changes(op, *details)
        power(op, *details)

    assert attempt(where, scenario, both)
    known |= contents(where)
    ended = end(where, scenario)
    seen = _followed(where, scenario, verify_all, update_all)
    assert changes.count > 0
    return Undisturbed(known, wrong, changes.count, changes.on_drives, power.count, ended, seen)


def wholeness(where: Path, known: set[bytes], *, with_db: bool = True) -> list[str]:
    """What is wrong in a world at this very instant: short files, copies without content, torn sidecars."""
    wrong = []
    for path in where.rglob(".medback*.xml"):
        if path.name.startswith(".medback-tmp-"):
            continue
        data = path.read_bytes()
        if not whole(data) if path.name == ".medback.xml" else not _well_formed(data):
            wrong.append(f"not whole: {path}")
    for drive in [path for path in where.iterdir() if path.name.startswith("t") and path.is_dir()]:
        for name, (content, _) in tree(drive).items():
            if content not in known:
                wrong.append(f"short or unknown content under a final name: {drive}/{display_name(name)}")
    if not with_db:
        return wrong
    with session_of(where) as session:
        claimed: dict[str, set[tuple[int, bytes]]] = {}
        for target in list_targets(session):
            if target.path is None:
                continue
            there = {content for content, _ in tree(target.path, metadata=True).values()}
            held = {_digest(content) for content in there}
            claimed[target.id] = held
            for identity, copy in copies_on(session, target.key):
                if copy.standing and identity not in held:
                    wrong.append(f"the DB has a copy that is not on {target.label}: {copy.path!r}")
        for source in list_sources(session):
            for path in Path(os.fsdecode(source.path)).rglob(".medback.xml"):
                for record in parse(path.read_bytes()).files.values():
                    for bd in record.bds:
                        if bd.target in claimed and bd.standing and (record.size, record.md5) not in claimed[bd.target]:
                            wrong.append(f"{path} names a copy that is not there: {display_name(record.name)}")
    return wrong


def _digest(content: bytes) -> tuple[int, bytes]:
    return len(content), hashlib.md5(content, usedforsecurity=False).digest()


def _well_formed(data: bytes) -> bool:
    try:
        etree.fromstring(data)
    except etree.XMLSyntaxError:
        return False
    return True


def differences(state: dict[str, object], wanted: dict[str, object]) -> list[str]:
    """What is not as it should be, in words short enough to read."""
    wrong = []
    for key in sorted(wanted.keys() | state.keys()):
        is_, should = state.get(key), wanted.get(key)
        if isinstance(is_, dict) and isinstance(should, dict):
            parts = [part for part in sorted(is_.keys() | should.keys(), key=str) if is_.get(part) != should.get(part)]
            wrong += [f"{key}, {part}: {is_.get(part)!r:.300}, not {should.get(part)!r:.300}" for part in parts]
        elif is_ != should:
            wrong.append(f"{key}: {is_!r:.300}, not {should!r:.300}")
    return wrong


def undated(state: dict[str, object]) -> dict[str, object]:
    """A state as words, the dates in names left out, either twin as good as the other: for a program that looks at the
    real clock, and from which the kernel may hide one of two equal files."""

    def plain(value: object) -> str:
        return re.sub(r"\d{8}-\d{6}", "DATE", repr(value).replace("sub/twin2", "twin1"))

    return {
        key: {plain(part): plain(what) for part, what in value.items()} if isinstance(value, dict) else plain(value)
        for key, value in state.items()
    }


def content_alone(state: dict[str, object]) -> dict[str, object]:
    """The sources' files, which contents lie on each drive, how many copies count: what must be the same though the
    session forgot what it was about (a file it had just put there may then be nobody's, and have another name), or one
    of two equal files could not be copied when its turn came."""
    same = {key: state[key] for key in state if key == "by copies" or key in ("tree photos", "tree music")}
    for drive in ("tree t1", "tree t2"):
        files = state.get(drive, {})
        assert isinstance(files, dict)
        same[drive] = {
            content for name, (content, _) in files.items() if not name.startswith((b".medback", b"medback-"))
        }
    return same


def judge(row: Row, what: str, wrong: list[str]) -> list[str]:
    """Count one try: content that is not where it must be is lost, all else that is wrong is misreported."""
    row.tried()
    lost = any(problem.startswith(("tree", "links", "short", "not whole")) for problem in wrong)
    row.lost += lost
    row.misreported += bool(wrong) and not lost
    return [f"{what}: {problem}" for problem in wrong]


def end_state(where: Path) -> dict[str, object]:
    """What must be the same however often a run was disturbed: trees, records, facts, copies. Dates are left out."""
    state: dict[str, object] = {}
    with session_of(where) as session:
        labels = {target.id: target.label for target in list_targets(session)}
        state["targets"] = sorted((t.label, t.state, t.capacity) for t in list_targets(session))
        state["by copies"] = counted(session)
        state["expected"] = expected_count(session)
        for target in list_targets(session):
            state[f"copies {target.label}"] = sorted(
                (identity, copy.standing, copy.path, copy.ours) for identity, copy in copies_on(session, target.key)
            )
        for source in list_sources(session):
            state[f"source {source.alias}"] = (source.wanted, source.excludes, source.path, source.refused)
            state[f"files {source.alias}"] = sorted(
                (path, row.size, row.md5, row.mtime_ns, row.trouble) for path, row in all_files(session, source.key)
            )
    for directory in sorted(where.iterdir()):
        if directory.is_dir():
            files = tree(directory, metadata=True)
            state[f"tree {directory.name}"] = {n: v for n, v in files.items() if _is_content(n)}
            state[f"contexts {directory.name}"] = {
                n: _named(content, labels) for n, (content, _) in files.items() if n.endswith((CONTEXT_NAME, CONTEXT))
            }
            state[f"links {directory.name}"] = {
                str(path.relative_to(where)): os.readlink(path) for path in directory.rglob("*") if path.is_symlink()
            }
            state[f"ours {directory.name}"] = sorted(
                str(path.relative_to(where))
                for path in directory.rglob(".medback*")
                if path.is_file() and not path.name.startswith(".medback-context-")  # as many as there were runs
            )
            state[f"records {directory.name}"] = {
                str(path.relative_to(where)): sorted(
                    (r.name, r.size, r.md5, r.mtime_ns, r.ours, sorted((labels[b.target], b.standing) for b in r.bds))
                    for r in parse(path.read_bytes()).files.values()
                )
                for path in directory.rglob(".medback.xml")
            }
    return state


def _is_content(name: bytes) -> bool:
    base = os.path.basename(name)
    return not base.startswith((b".medback", b"medback-")) and base != CONTEXT


def _named(content: bytes, labels: dict[str, str]) -> bytes:
    """A context with labels in place of ids, which every world makes anew."""
    for target, label in labels.items():
        content = content.replace(target.encode(), label.encode())
    content = re.sub(rb"(<bd.*?</bd>)+", lambda m: b"".join(sorted(re.findall(rb"<bd.*?</bd>", m[0]))), content)
    content = re.sub(rb'<rc id="[^"]*"', b"<rc", content)
    # States are made anew too, one more where a run was ended, and so are directories; and the check is over them.
    content = re.sub(rb'(<(?:rc|dr) [^>]*?) mtime="[^"]*"', rb"\1", content)
    content = re.sub(rb' (?:at|by|line|n|stamp)="[^"]*"|<check .*', b"", content)
    lines = [line for line in content.split(b"\n") if b' gone="' not in line]  # a run that was ended may remember more
    targets = sorted(line for line in lines if line.startswith(b"<target"))
    return b"\n".join(targets + [line for line in lines if not line.startswith(b"<target")])
