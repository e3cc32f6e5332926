"""What lies where: the world of several minds as bytes, and a record of what went from it, and by whose hand.

Nothing here asks medback. A drive is a directory with an identity file; what two sessions call one target may be two
directories (a clone), and a drive may lie inside another.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from contextlib import suppress
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path

from medback_core import model
from medback_core.model import Identity
from medback_core.sidecar import parse_target_identity

ROT = b"ROT"
IDENTITY = b".medback-target.xml"


class Wrong(Exception):
    """Something that must hold does not. `kind` says what, in a word."""

    def __init__(self, kind: str, words: str) -> None:
        super().__init__(f"{kind}: {words}")
        self.kind = kind


def identity(data: bytes) -> Identity:
    return Identity(len(data), hashlib.md5(data, usedforsecurity=False).digest())


@dataclass(frozen=True, slots=True)
class Lying:
    """One physical file on a drive."""

    target: str  # the id of the innermost target around it, "" where there is none
    path: bytes  # absolute
    inode: tuple[int, int]
    content: Identity


def target_at(root: bytes | Path) -> str:
    """The id a directory says it has, "" where it says none."""
    with suppress(OSError), open(os.path.join(os.fsencode(root), IDENTITY), "rb") as stream:
        return parse_target_identity(stream.read()).id
    return ""


def lying_below(root: Path) -> list[Lying]:
    """Every file of a drive, each with the innermost target around it."""
    around: dict[bytes, str] = {}
    found = []
    for directory, inside, names in os.walk(os.fsencode(root)):
        if b".medback-damaged" in inside:
            inside.remove(b".medback-damaged")
        here = target_at(directory) if IDENTITY in names else ""
        around[directory] = here or around.get(os.path.dirname(directory), "")
        for name in names:
            path = os.path.join(directory, name)
            if not model.is_metadata(name) and not os.path.islink(path):
                with open(path, "rb") as stream:
                    status = os.fstat(stream.fileno())
                    inode = status.st_dev, status.st_ino
                    found.append(Lying(around[directory], path, inode, identity(stream.read())))
    return found


@dataclass(frozen=True, slots=True)
class Went:
    """A content that lay on a target and lies there no more."""

    tick: int
    content: Identity
    by: str  # a mind, or "" for a person's hand
    silently: bool  # bit rot: only reading it tells


@dataclass
class Ledger:
    """What lies on every target now, and all that ever went from one."""

    tick: int = 0
    lying: list[Lying] = field(default_factory=list)
    went: dict[str, list[Went]] = field(default_factory=lambda: defaultdict(list))
    rot_of: dict[Identity, Identity] = field(default_factory=dict)  # rot -> what it was

    def look(self, drives: list[Path], by: str) -> None:
        """Take up what lies there after somebody did something."""
        self.tick += 1
        before = self.by_target()
        self.lying = [lying for drive in drives for lying in lying_below(drive)]
        after = self.by_target()
        for target, contents in before.items():
            rotten = {self.rot_of[what] for what in after.get(target, ()) if what in self.rot_of}
            for content in contents - after.get(target, set()):
                self.went[target].append(Went(self.tick, content, by, content in rotten))

    def by_target(self) -> dict[str, set[Identity]]:
        found: dict[str, set[Identity]] = defaultdict(set)
        for lying in self.lying:
            if lying.target:
                found[lying.target].add(lying.content)
        return found

    def on_drives(self, but: Container[str] = ()) -> set[Identity]:
        return {lying.content for lying in self.lying if lying.target not in but}

    def lies_on(self, target: str, content: Identity) -> bool:
        return any(lying.content == content and lying.target == target for lying in self.lying)

    def went_unseen(self, target: str, content: Identity, seen: int, read: int, mind: str) -> bool:
        """Whether it went from that target by another hand than this mind's, after this mind last saw (read) it."""
        return any(
            went.content == content and went.by != mind and went.tick > (read if went.silently else seen)
            for went in self.went[target]
        )
