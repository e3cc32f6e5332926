"""What drives still hold after a power cut: a model kept while a run changes them, made real when it is cut off.

Every change of a drive is announced before it happens (disk.primitives), so a model can follow it: which bytes of which
file, and which names in which directory, are durable (fsync and fdatasync of a file; fsync of a directory; syncfs of a
drive), and which are only in memory. At the cut the drives are put into one of the states they may be found in. What is
durable stands in all of them; what is not:

`Dropped`    nothing of it arrived.
`Reordered`  any part of it arrived, in any order, names before bytes, bytes torn; of a rename (take the old file's name
             away, give it, take the temporary name away) the first so many steps, as on a drive without a journal.
             The old file's name is never away without the new file being there under its temporary name, once that
             file was synced: a journal keeps a rename whole; on FAT and exFAT the entry of a directory is the file's
             inode, and the fsync of the file writes it; ext2 gives the name to the new file in place. So medback need
             not sync a directory before it renames in it.

Each directory directly below the world is a drive of its own. Files keep their inodes, so that the session meets the
very files it knew.
"""

from __future__ import annotations

from support.killing import Killed
import os
import random
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol


SECTOR = 512


@dataclass(eq=False)
class Node:
    """A file, link or directory; `real` is where it lies now, `kept` what is durable of a directory's names."""

    drive: str
    is_dir: bool = False
    entries: dict[str, Node] = field(default_factory=dict)
    kept: dict[str, Node] = field(default_factory=dict)
    written: bytes = b""  # since the start of the run
    durable: bytes | None = None  # None: it was there before, and is as it was
    real: Path | None = None


@dataclass
class Change:
    """One change of names that is not durable yet: its steps, in order. A node of None takes the name away."""

    steps: list[tuple[Node, str, Node | None]]


class Arrives(Protocol):
    """How much of what was not durable arrived all the same."""

    def steps(self, change: Change) -> int: ...

    def content(self, node: Node) -> bytes: ...


class Dropped:
    """Nothing."""

    def steps(self, change: Change) -> int:
        del change
        return 0

    def content(self, node: Node) -> bytes:
        return node.durable or b""


class Reordered:
    """Anything, by a seeded generator."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def steps(self, change: Change) -> int:
        return self.random.randint(0, len(change.steps))

    def content(self, node: Node) -> bytes:
        how = self.random.randrange(4)
        if how == 0:
            return node.durable or b""
        if how == 1:
            return node.written
        if how == 2:
            return node.written[: self.random.randint(0, len(node.written))]
        torn = bytearray(node.written)
        for start in range(len(node.durable or b""), len(torn), SECTOR):
            if self.random.random() < 0.5:
                torn[start : start + SECTOR] = bytes(len(torn[start : start + SECTOR]))
        return bytes(torn)


class PowerCut:
    """Follows the changes of a run and ends it before change `after`; `come_back` then makes the drives as they are
    found. Files that lose their name are held in `limbo`, so that the name can come back."""

    def __init__(self, where: Path, after: int | None = None) -> None:
        self.where = where
        self.after = after
        self.count = 0
        self.limbo = where.parent / "limbo"
        shutil.rmtree(self.limbo, ignore_errors=True)
        self.limbo.mkdir()
        self.drives: dict[str, Node] = {}
        self.pending: list[Change] = []
        self.unsynced: dict[Node, None] = {}  # files with bytes that are not durable
        self._held = 0
        for path in sorted(where.iterdir()):
            if path.is_dir():
                self._drive(path.name)

    # --- following -------------------------------------------------------------------------------------------------

    def __call__(self, op: str, *details: object) -> None:
        if op == "transaction":
            return
        if self.after is not None and self.count >= self.after:
            raise Killed
        self.count += 1
        getattr(self, f"_{op}", lambda *_: None)(*details)

    def _drive(self, name: str) -> Node:
        """The root of a drive; one that was not looked at before is as it was at the start."""
        if name not in self.drives:
            self.drives[name] = self._loaded(self.where / name, name)
        return self.drives[name]

    def _loaded(self, path: Path, drive: str) -> Node:
        node = Node(drive, real=path)
        if path.is_dir() and not path.is_symlink():
            node.is_dir = True
            node.entries = {entry.name: self._loaded(entry, drive) for entry in path.iterdir()}
            node.kept = dict(node.entries)
        return node

    def _at(self, path: Path) -> Node | None:
        """The node at a path of a drive, None outside of them all (the session's own directory)."""
        try:
            parts = path.relative_to(self.where).parts
        except ValueError:
            return None
        if not parts:
            return None
        node = self._drive(parts[0])
        for part in parts[1:]:
            node = node.entries[part]
        return node

    def _of(self, fd: object) -> Node | None:
        return self._at(Path(os.readlink(f"/proc/self/fd/{fd}")))

    def _is_free(self, directory: Node, name: bytes) -> bool:
        return os.fsdecode(name) not in directory.entries

    def _make(self, directory: object, name: bytes, *, is_dir: bool = False) -> None:
        parent = self._of(directory)
        if parent is None or not self._is_free(parent, name):
            return  # the change fails
        key = os.fsdecode(name)
        assert parent.real is not None
        node = Node(parent.drive, is_dir, durable=b"", real=parent.real / key)
        parent.entries[key] = node
        self.pending.append(Change([(parent, key, node)]))

    def _create(self, directory: object, name: bytes, _mode: int) -> None:
        self._make(directory, name)

    def _mkdir(self, directory: object, name: bytes) -> None:
        self._make(directory, name, is_dir=True)

    def _symlink(self, _to: bytes, directory: object, name: bytes) -> None:
        parent = self._of(directory)
        if parent is not None and self._is_free(parent, name):
            self._make(directory, name)
            parent.entries[os.fsdecode(name)].durable = None  # a link has no bytes to lose

    def _write(self, fd: object, data: bytes) -> None:
        node = self._of(fd)
        if node is not None:
            node.written += bytes(data)
            self.unsynced[node] = None

    def _fsync(self, fd: object) -> None:
        node = self._of(fd)
        if node is not None and not node.is_dir:
            self._settle(node)

    _fdatasync = _fsync

    def _settle(self, node: Node) -> None:
        if node in self.unsynced:
            del self.unsynced[node]
            node.durable = node.written

    def _fsync_directory(self, directory: object) -> None:
        node = self._of(directory)
        if node is not None:
            self._settle_names(lambda parent: parent is node)

    def _syncfs(self, fd: object) -> None:
        node = self._of(fd)
        if node is None:
            return
        for file in [file for file in self.unsynced if file.drive == node.drive]:
            self._settle(file)
        self._settle_names(lambda parent: parent.drive == node.drive)

    def _settle_names(self, is_synced) -> None:
        """A journal keeps a change whole: one of its steps is never durable without the others."""
        left = []
        for change in self.pending:
            if not any(is_synced(parent) for parent, _, _ in change.steps):
                left.append(change)
                continue
            for parent, name, node in change.steps:
                _apply(parent.kept, name, node)
        self.pending = left

    def _rename(self, source: object, old: bytes, destination: object, new: bytes) -> None:
        from_, to = self._of(source), self._of(destination)
        if from_ is None or to is None or self._is_free(from_, old):
            return
        key = os.fsdecode(new)
        steps: list[tuple[Node, str, Node | None]] = []
        if key in to.entries:
            self._hold(to.entries[key])
            steps.append((to, key, None))
        node = from_.entries.pop(os.fsdecode(old))
        to.entries[key] = node
        self.pending.append(Change([*steps, (to, key, node), (from_, os.fsdecode(old), None)]))
        assert to.real is not None
        self._moved(node, to.real / key)

    def _rename_noreplace(self, source: object, old: bytes, destination: object, new: bytes) -> None:
        to = self._of(destination)
        if to is None or self._is_free(to, new):
            self._rename(source, old, destination, new)

    def _unlink(self, directory: object, name: bytes) -> None:
        parent = self._of(directory)
        if parent is None or self._is_free(parent, name):
            return
        node = parent.entries.pop(os.fsdecode(name))
        self._hold(node)
        self.pending.append(Change([(parent, os.fsdecode(name), None)]))

    def _rmdir(self, directory: object, name: bytes) -> None:
        parent = self._of(directory)
        if parent is None or self._is_free(parent, name) or parent.entries[os.fsdecode(name)].entries:
            return
        del parent.entries[os.fsdecode(name)]
        self.pending.append(Change([(parent, os.fsdecode(name), None)]))

    def _hold(self, node: Node) -> None:
        assert node.real is not None
        self._held += 1
        held = self.limbo / str(self._held)
        os.link(node.real, held, follow_symlinks=False)
        node.real = held

    def _moved(self, node: Node, path: Path) -> None:
        node.real = path
        for name, child in node.entries.items():
            self._moved(child, path / name)

    # --- coming back -----------------------------------------------------------------------------------------------

    def come_back(self, arrives: Arrives) -> None:
        """Make the drives what is found on them when the power is back."""
        for change in self.pending:
            arrived = arrives.steps(change)
            for parent, name, node in change.steps[:arrived]:
                _apply(parent.kept, name, node)
            if (
                arrived == 1 < len(change.steps) - 1
            ):  # the name is taken from the old file, not yet given to the new one
                (_, _, new), (parent, name, _) = change.steps[1:]
                _apply(parent.kept, name, new)
        for drive, root in self.drives.items():
            self._make_real(self.where / drive, root, arrives)

    def _make_real(self, directory: Path, root: Node, arrives: Arrives) -> None:
        image = dict(_below(root, Path()))
        waiting: dict[Node, Path] = {}
        for number, (path, node) in enumerate(image.items()):
            if not node.is_dir and node not in waiting and node.real != directory / path:
                assert node.real is not None
                waiting[node] = self.limbo / f"found-{number}"
                os.rename(node.real, waiting[node])
                node.real = waiting[node]
        for path in sorted(directory.rglob("*"), reverse=True):
            found = image.get(path.relative_to(directory))
            if found is not None and found.is_dir and path.is_dir() and not path.is_symlink():
                continue
            if found is None or found.real != path:
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        for path, node in image.items():
            goal = directory / path
            if node.is_dir:
                goal.mkdir(exist_ok=True)
            elif node.real != goal:
                assert node.real is not None
                if node in waiting:
                    del waiting[node]
                    os.rename(node.real, goal)
                    node.real = goal
                else:  # under two names
                    shutil.copy2(node.real, goal, follow_symlinks=False)
            if node in self.unsynced:
                goal.write_bytes(arrives.content(node))


def _apply(names: dict[str, Node], name: str, node: Node | None) -> None:
    if node is None:
        names.pop(name, None)
    else:
        names[name] = node


def _below(directory: Node, path: Path) -> Iterator[tuple[Path, Node]]:
    """Every entry that is durable, parents before what is in them."""
    for name, node in directory.kept.items():
        yield path / name, node
        if node.is_dir:
            yield from _below(node, path / name)
