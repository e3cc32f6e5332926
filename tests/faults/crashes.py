"""End a run at its Nth change of a drive, as a kill would: that change and all after it never happen."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from medback_core import disk
from medback_core.errors import MedbackError
from medback_core.model import Event
from medback_core.names import display_name
from medback_core.session import Session, copies_on, list_sources, list_targets, open_session
from medback_core.sidecar import parse, whole
from worlds import tree

Step = Callable[[Session, Path], Iterator[Event]]


class Killed(BaseException):
    """The process ended here. Not an Exception: nothing may handle it."""


class Killer:
    """Lets `allowed` changes happen and none after; counts them. `error` fails just one change instead."""

    def __init__(self, allowed: int | None = None, *, error: OSError | None = None) -> None:
        self.allowed = allowed
        self.error = error
        self.count = 0

    def __call__(self, op: str, *_details: object) -> None:
        self.count += 1
        if self.allowed is None or self.count <= self.allowed:
            return
        if self.error is None:
            raise Killed
        if self.count == self.allowed + 1:
            raise OSError(self.error.errno, os.strerror(self.error.errno or 0))


@dataclass(frozen=True)
class Scenario:
    """A world made by `build`, and the step that is disturbed; `settle` are the steps that follow in the end."""

    name: str
    build: Callable[[Path], None]
    step: Step


def attempt(where: Path, step: Step, observer: Callable[..., None] | None) -> bool:
    """Run a step under an observer in a session of its own; False when it was killed. An error of medback's or of the
    system's is an end like any other (the command line makes one line of it)."""
    disk.set_observer(observer)
    try:
        with suppress(MedbackError, OSError), open_session(where / "session.db") as session:
            for _ in step(session, where):
                pass
        return True
    except Killed:
        return False
    finally:
        disk.set_observer(None)


def fresh(where: Path, scenario: Scenario) -> None:
    """The scenario's world, made anew at the same place."""
    disk.set_observer(None)
    shutil.rmtree(where, ignore_errors=True)
    where.mkdir(parents=True)
    scenario.build(where)


def wholeness(where: Path, known: set[bytes]) -> list[str]:
    """What is wrong in a world at this very instant: short files, copies without content, torn sidecars."""
    wrong = []
    for path in where.rglob("*"):
        if path.name == ".medback.xml" and not whole(path.read_bytes()):
            wrong.append(f"not whole: {path}")
    for drive in [path for path in where.iterdir() if path.name.startswith("t") and path.is_dir()]:
        for name, (content, _) in tree(drive).items():
            if content not in known:
                wrong.append(f"short or unknown content under a final name: {drive}/{display_name(name)}")
    with open_session(where / "session.db") as session:
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
    import hashlib

    return len(content), hashlib.md5(content, usedforsecurity=False).digest()


def end_state(where: Path) -> dict[str, object]:
    """What must be the same however often a run was disturbed: trees, records, copies. Dates are left out."""
    state: dict[str, object] = {}
    with open_session(where / "session.db") as session:
        labels = {target.id: target.label for target in list_targets(session)}
    for directory in sorted(where.iterdir()):
        if directory.is_dir():
            state[f"tree {directory.name}"] = {
                name: value for name, value in tree(directory, metadata=True).items() if _is_content(name)
            }
            state[f"temporary {directory.name}"] = [str(path) for path in directory.rglob(".medback-tmp-*")]
            state[f"records {directory.name}"] = {
                str(path.relative_to(where)): sorted(
                    (r.name, r.size, r.md5, r.mtime_ns, r.ours, sorted((labels[b.target], b.standing) for b in r.bds))
                    for r in parse(path.read_bytes()).files.values()
                )
                for path in directory.rglob(".medback.xml")
            }
    with open_session(where / "session.db") as session:
        for target in list_targets(session):
            state[f"copies {target.label}"] = sorted(
                (identity, copy.standing, copy.path, copy.ours) for identity, copy in copies_on(session, target.key)
            )
    return state


def _is_content(name: bytes) -> bool:
    base = os.path.basename(name)
    return not base.startswith(b".medback")
