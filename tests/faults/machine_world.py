"""Two sources and a shelf of drives that people and medback both change, and a model that holds one against the other.

The model is short because most truth is on the disks: it remembers only what nobody can see there, namely what was
done by hand behind medback's back and has not been looked at since.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from faults.crashes import Killer
from medback_core import disk, model
from medback_core.errors import Refused
from medback_core.model import (
    SOURCE_METADATA_NAME,
    TARGET_IDENTITY_NAME,
    Event,
    Identity,
    Standing,
    Summary,
    TargetState,
)
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.files import join
from support.stored import all_files
from medback_core.session.gone import list_gone
from medback_core.session.sources import list_sources
from medback_core.session.targets import counting_keys, list_targets
from medback_core.session.expected import wanted_files
from medback_core.sidecar import parse, parse_target_identity, whole
from support.killing import Killed
from support.worlds import MTIME, Ran, counted

Step = Callable[[Session], Iterator[Event]]
SOURCES, DRIVES = ("s0", "s1"), ("t0", "t1", "t2")
ROT = b"ROT"  # content that nobody wrote: bit rot makes it, and nothing may spread it
_ASIDE = re.compile(rb" \((medback|before restore) [0-9-]+\)")


def identity(data: bytes) -> Identity:
    return Identity(len(data), hashlib.md5(data, usedforsecurity=False).digest())


class Known(NamedTuple):
    """What a session that is lost must give back."""

    files: dict[tuple[str, bytes], tuple[Identity, bool]]
    copies: dict[tuple[str, Identity], Standing]
    targets: dict[str, tuple[str, TargetState]]
    wanted: dict[str, int]


class Shelf:
    """`do` runs one operation, killed at a change or not, and holds everything against the model afterwards."""

    def __init__(self, where: Path) -> None:
        self.where = where
        self.db = where / "session.db"
        (where / "away").mkdir(parents=True)
        self.written = self.operations = 0
        self.date = 1_800_000_000
        self.behind: dict[
            str, set[Identity]
        ] = {}  # drive -> contents moved, removed, edited by hand since its last look
        self.rotted: dict[str, set[Identity]] = {}  # drive -> contents silently damaged there, not read again since
        self.torn: set[Path] = set()  # sidecars damaged by hand, until they are written anew
        self._rotten: dict[Path, tuple[Identity, Identity]] = {}  # source files silently damaged: what they were, are
        self.excused: set[Identity] = set()  # rot nobody could tell from new content: its record was lost by hand
        self.clones: dict[str, str] = {}  # drive -> the id it had when it was made like another
        for name in SOURCES:
            (where / name).mkdir()

    # --- what lies there ---------------------------------------------------------------------------------------------

    def place(self, name: str) -> Path:
        """A source or drive, wherever it is now."""
        away = self.where / "away" / name
        return away if away.exists() else self.where / name

    def drives(self) -> list[str]:
        """Every drive there is, plugged in or not."""
        here = {path.name for base in (self.where, self.where / "away") for path in base.iterdir() if path.is_dir()}
        return sorted(name for name in here if name.startswith("t"))

    def plugged(self) -> list[str]:
        return [name for name in self.drives() if (self.where / name).exists()]

    def files(self, name: str, *, damaged: bool = False) -> dict[bytes, Identity]:
        """Relative path -> content of everything there but metadata."""
        base = os.fsencode(self.place(name))
        found = {}
        for directory, inside, names in os.walk(base):
            if not damaged and b".medback-damaged" in inside:
                inside.remove(b".medback-damaged")
            for file in names:
                path = os.path.join(directory, file)
                if not model.is_metadata(file) and not os.path.islink(path):
                    with open(path, "rb") as stream:
                        found[os.path.relpath(path, base)] = identity(stream.read())
        return found

    def rot_in(self, name: str) -> set[bytes]:
        """Paths of rot outside `.medback-damaged`. What a restore set aside is the person's own file, whatever it holds:
        it may be copied like any other."""
        base = os.fsencode(self.place(name))
        rot = set()
        for path in self.files(name):
            if b" (before restore " in path:
                continue
            with open(os.path.join(base, path), "rb") as stream:
                if stream.read(3) == ROT:
                    rot.add(path)
        return rot

    def tid(self, name: str) -> str:
        with suppress(OSError):
            return parse_target_identity((self.place(name) / ".medback-target.xml").read_bytes()).id
        return ""

    def holders(self, tid: str) -> list[str]:
        """The drives that say they are this target; none while a clone says so too: then a person must answer first."""
        found = [name for name in self.drives() if self.tid(name) == tid]
        return [] if any(self.clones.get(name) == tid for name in found) else found

    @property
    def rotten(self) -> dict[Path, Identity]:
        """Source files that hold rot now -> what they held."""
        return {
            path: was
            for path, (was, rot) in self._rotten.items()
            if path.is_file() and identity(path.read_bytes()) == rot
        }

    # --- by hand -----------------------------------------------------------------------------------------------------

    def fresh(self, size: int) -> bytes:
        self.written += 1
        return (b"content %06d " % self.written * (size // 10 + 1))[:size]

    def write(self, path: Path, data: bytes) -> None:
        """New content with a time of its own."""
        self.written += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_bytes(data)
        os.utime(path, ns=(at := MTIME + self.written * 10**9, at))

    def rot(self, path: Path) -> None:
        """Other bytes of the same size under the same time."""
        was, status = path.read_bytes(), path.stat()
        self.written += 1
        now = (ROT + b" %06d" % self.written * len(was))[: len(was)]
        with open(path, "r+b") as stream:
            stream.write(now)
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        name = path.relative_to(self.where).parts[0]
        if name in SOURCES:
            self._rotten[path] = self.rotten.get(path, identity(was)), identity(now)
        else:
            self.rotted.setdefault(name, set()).add(identity(was))

    def rename(self, old: Path, new: Path) -> None:
        """Move a directory, and what the model knows of places below it."""
        os.rename(old, new)
        moved = lambda path: new / path.relative_to(old) if path.is_relative_to(old) else path
        self.torn = {moved(path) for path in self.torn}
        self._rotten = {moved(path): rot for path, rot in self._rotten.items()}

    def clone(self, drive: str, goal: str) -> None:
        """A second drive like the first, for instance by `dd`."""
        old, new = self.where / drive, self.where / goal
        shutil.copytree(old, new, symlinks=True)
        self.clones[goal] = self.tid(drive)
        self.meddle(goal)
        self.behind[goal] |= self.behind.get(drive, set())
        self.rotted[goal] = set(self.rotted.get(drive, ()))
        self.torn |= {new / path.relative_to(old) for path in self.torn if path.is_relative_to(old)}

    def meddle(self, drive: str) -> None:
        """Something was done to this drive by hand: what lay there may not lie there any more."""
        self.behind.setdefault(drive, set()).update(self.files(drive).values())

    # --- by medback --------------------------------------------------------------------------------------------------

    def open(self) -> Session:
        return open_session(self.db)

    def do(
        self,
        step: Step,
        *,
        looks_at: str = "",
        reads: str = "",
        frees: str = "",
        kill: int | None = None,
        observer: Callable[..., None] | None = None,
    ) -> Ran:
        """Run an operation to its end, or until its change number `kill`, and check what there is then.

        `looks_at` is the drive it looks at, `reads` the one it reads whole, `frees` the one it may remove copies from.
        What was refused, or killed, returns no events.
        """
        before = {name: self.files(name, damaged=True) for name in (*SOURCES, *self.drives())}
        rot = {name: self.rot_in(name) for name in before}
        believed = self._believed()
        wanted = self._wanted()
        self.operations += 1
        done, finished = Ran(), False
        disk.set_observer(observer or Killer(kill))
        try:
            with self.open() as session:
                done = Ran(step(session))
            finished = True
        except Killed:
            pass
        except Refused:
            pass
        finally:
            disk.set_observer(None)
        if finished:
            assert isinstance(done[-1], Summary)
            self.behind[looks_at] = self._out_of_reach(looks_at)
            if reads:
                self.rotted.pop(reads, None)
        self._nothing_lost(before, frees)
        self._no_rot_spread(rot, before)
        self._nothing_wrong_restored(before, wanted)
        self._believed_rightly()
        self._still_believed(believed, frees)
        self._sidecars_whole()
        return done if finished else Ran()

    def twice(self, step: Step, **what: Any) -> None:
        """Run an operation to its end and once more: the second time there is nothing left to do. One that reads is
        part of the history each time, which the drive and the sources tell."""
        if not self.do(step, **what) or self.torn:
            return
        before = {name: self.files(name, damaged=True) for name in (*SOURCES, *self.drives())}
        operations: list[str] = []

        def observed(op: str, *details: object) -> None:
            if not (what.get("reads") and details[-1] in (TARGET_IDENTITY_NAME, SOURCE_METADATA_NAME)):
                operations.append(op)

        again = self.do(step, observer=observed, **what)
        after = {name: self.files(name, damaged=True) for name in before}
        assert again and after == before, "a second run moved something"
        named = [op for op in operations if op.startswith("rename") or op in ("mkdir", "symlink")]
        assert not named, f"a second run still wrote: {named}"

    def lose_db(self) -> None:
        for path in self.where.glob("session.db*"):
            path.unlink()

    # --- what must hold ----------------------------------------------------------------------------------------------

    def _believed(self) -> dict[str, dict[Identity, bytes | None]]:
        """Target id -> the contents the session counts there, and where."""
        if not self.db.exists():
            return {}
        with self.open() as session:
            return {
                target.id: {what: copy.path for what, copy in copies_on(session, target.key) if copy.standing}
                for target in list_targets(session)
            }

    def _wanted(self) -> dict[bytes, set[Identity]]:
        """Absolute path -> the contents a restore may put there."""
        wanted: dict[bytes, set[Identity]] = {}
        if not self.db.exists():
            return wanted
        with self.open() as session:
            for source in list_sources(session):
                for row in (*wanted_files(session, source.key), *list_gone(session, source.key)):
                    if row.content is not None:
                        wanted.setdefault(os.path.join(source.path, row.path), set()).add(row.content)
        return wanted

    def _nothing_lost(self, before: dict[str, dict[bytes, Identity]], frees: str) -> None:
        everything = {name: set(self.files(name, damaged=True).values()) for name in before}
        for name, was in before.items():
            for content in set(was.values()) - everything[name]:
                assert name == frees, f"{content} is gone from {name}"
                if any(content in everything[source] for source in SOURCES):
                    others = [
                        n for n in self.drives() if n != name and (content in everything[n] or self._unsure(n, content))
                    ]
                    assert others, f"the last copy of {content} was freed"

    def _unsure(self, drive: str, content: Identity) -> bool:
        return content in self.behind.get(drive, ()) or content in self.rotted.get(drive, ())

    def _no_rot_spread(self, rot: dict[str, set[bytes]], before: dict[str, dict[bytes, Identity]]) -> None:
        for name, was in rot.items():
            known = {before[name][path] for path in was} | self.excused
            now = self.files(name)
            spread = [path for path in self.rot_in(name) if now[path] not in known]
            assert not spread, f"rot came to {name}: {spread}"

    def _nothing_wrong_restored(
        self, before: dict[str, dict[bytes, Identity]], wanted: dict[bytes, set[Identity]]
    ) -> None:
        for name in SOURCES:
            for path, content in self.files(name, damaged=True).items():
                if before[name].get(path) == content:
                    continue
                if b".medback-damaged/" in path:
                    assert content in before[name].values()
                    continue
                full = os.path.join(os.fsencode(self.where / name), path)
                asked = wanted.get(full, set()) | wanted.get(_ASIDE.sub(b"", full), set())
                moved = b"(before restore " in path and content in before[name].values()
                assert moved or content in asked, f"{path} in {name} holds what nobody asked for"

    def _believed_rightly(self) -> None:
        """What the session or a source's sidecar counts as a copy is whole on that drive, unless a hand was at work."""
        there = {name: self.files(name) for name in self.drives()}
        for tid, copies in self._believed().items():
            drives = self.holders(tid)
            for content, path in copies.items():
                if not drives or any(self._unsure(name, content) for name in drives):
                    continue
                right = any(
                    there[name].get(path) == content if path is not None else content in there[name].values()
                    for name in drives
                )
                assert right, f"{content} does not lie on {drives} at {path!r}, as the session says"
        for source in SOURCES:
            for sidecar in (self.where / source).rglob(".medback.xml"):
                if sidecar in self.torn:
                    continue
                for record in parse(sidecar.read_bytes()).files.values():
                    for bd in record.bds:
                        drives = self.holders(bd.target)
                        content = Identity(record.size, record.md5 or b"")
                        if bd.standing and drives and not any(self._unsure(name, content) for name in drives):
                            assert any(content in there[n].values() for n in drives), f"{sidecar} names no true copy"

    def _still_believed(self, believed: dict[str, dict[Identity, bytes | None]], frees: str) -> None:
        """Nobody takes a good copy of something that is still wanted for missing."""
        now = self._believed()
        with self.open() as session:
            current = {
                Identity(row.size, row.md5) for s in list_sources(session) for _, row in all_files(session, s.key)
            }
        for tid, copies in believed.items():
            drives = self.holders(tid)
            if len(drives) != 1 or drives[0] == frees or tid not in now:
                continue
            there = self.files(drives[0])
            for content in copies.keys() & current:
                if there.get(copies[content] or b"") == content and not self._unsure(drives[0], content):
                    assert content in now[tid], f"a good copy of {content} on {drives[0]} is no longer believed"

    def _out_of_reach(self, drive: str) -> set[Identity]:
        """Contents that are not on a drive, named by sidecars medback could not rewrite: of a source that looks
        unmounted, or of a directory that was moved by hand and not scanned since."""
        with self.open() as session:
            known = {
                Path(os.fsdecode(os.path.join(*row)))
                for row in session.db.execute(
                    "SELECT s.path, d.path FROM directory d JOIN source s ON s.id = source_id"
                )
            }
        there, tid = set(self.files(drive).values()) if drive in self.drives() else set(), self.tid(drive)
        named = set()
        for source in SOURCES:
            mounted = (self.where / source / ".medback-source.xml").exists()
            for sidecar in (self.where / source).rglob(".medback.xml"):
                if not mounted or sidecar.parent not in known:
                    for record in parse(sidecar.read_bytes()).files.values():
                        if any(bd.target == tid for bd in record.bds):
                            named.add(Identity(record.size, record.md5 or b""))
        return named - there

    def _sidecars_whole(self) -> None:
        for name in (*SOURCES, *self.drives()):
            for sidecar in self.place(name).rglob(".medback.xml"):
                if whole(sidecar.read_bytes()):
                    self.torn.discard(sidecar)
                else:
                    assert sidecar in self.torn, f"{sidecar} is not whole"

    def source_rows_are_right(self, names: list[str]) -> None:
        """After an update: each source's records are its files; rot is on record as trouble."""
        with self.open() as session:
            for source in list_sources(session):
                name = os.path.basename(os.fsdecode(source.path))
                if name not in names:
                    continue
                rows = {join(directory, row.name): row for directory, row in all_files(session, source.key)}
                files = self.files(name)
                assert set(rows) == set(files), f"the paths of {name}"
                for path, row in rows.items():
                    was = self.rotten.get(self.where / name / os.fsdecode(path))
                    assert Identity(row.size, row.md5) in (files[path], was), f"{path} in {name}"
        with self.open() as session:
            counting = counting_keys(session)
            copies: dict[Identity, int] = {}
            for target in list_targets(session):
                if target.key in counting:
                    for what, copy in copies_on(session, target.key):
                        copies[what] = copies.get(what, 0) + (copy.standing > Standing.CLAIMED)
            naive: dict[int, int] = {}
            for source in list_sources(session):
                for _, row in all_files(session, source.key):
                    number = copies.get(Identity(row.size, row.md5), 0)
                    naive[number] = naive.get(number, 0) + 1
            assert counted(session) == naive, "coverage is not what the copies say"

    def known(self) -> Known:
        with self.open() as session:
            targets = {target.key: target for target in list_targets(session)}
            current: dict[tuple[str, bytes], tuple[Identity, bool]] = {}
            for source in list_sources(session):
                for directory, row in all_files(session, source.key):
                    current[source.alias, join(directory, row.name)] = Identity(row.size, row.md5), row.trouble > 0
            wanted = {content for content, _ in current.values()}
            copies = {
                (target.id, what): copy.standing
                for target in targets.values()
                for what, copy in copies_on(session, target.key)
                if what in wanted and copy.standing
            }
            states = {t.id: (t.label, t.state) for t in targets.values()}
            return Known(current, copies, states, {s.alias: s.wanted for s in list_sources(session)})


STATES = list(TargetState)
