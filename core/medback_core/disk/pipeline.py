"""The batches of files under way onto a drive: one is filled while the one before it becomes durable."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from medback_core.disk.group import Group
from medback_core.disk.root import Root
from medback_core.disk.staged import SmallCopy, Staged

Copy = TypeVar("Copy")


@dataclass(slots=True, eq=False)
class Batch(Generic[Copy]):
    """Files that become durable together, and are recorded together: what the caller knows of each."""

    group: Group
    copies: list[Copy] = field(default_factory=list)


class Pipeline(Generic[Copy]):
    """At most two batches: files are staged in the group of the one that is filled, or copies begun in it. When it is
    full, the caller publishes the ready one, collects what was begun and makes this one ready; at the end it does so
    once more. `close` it in the end."""

    def __init__(self, *, backs_up: bool = False) -> None:
        """`backs_up`: as for a Group."""
        self.filled: Batch[Copy] | None = None
        self.ready: Batch[Copy] | None = None
        self._backs_up = backs_up

    def open(self, root: Root) -> Batch[Copy]:
        """The batch to fill. Raises OSError."""
        if self.filled is None:
            self.filled = Batch(Group(root, backs_up=self._backs_up))
        return self.filled

    @property
    def is_full(self) -> bool:
        """Whether the batch that is filled is large enough."""
        return self.filled is not None and self.filled.group.is_full

    @property
    def count(self) -> int:
        """Files staged, or begun, and not yet published."""
        return sum(batch.group.staged_count for batch in self._batches())

    @property
    def bytes(self) -> int:
        """Bytes copied, as far as it is known, and not yet published."""
        return sum(batch.group.staged_bytes - batch.group.bytes_to_come for batch in self._batches())

    def collect(self, copy_of: Callable[[SmallCopy, Staged, int], Copy]) -> Generator[None, None, list[SmallCopy]]:
        """Wait for the copies that were begun, and keep what `copy_of` makes of each and of the mtime (ns) of its
        original; returns those that must be made alone. Each None is a turn for the caller."""
        alone: list[SmallCopy] = []
        if self.filled is None:
            return alone
        for done in self.filled.group.finish_copies():
            if done is None:
                yield None
                continue
            file, staged, mtime_ns = done
            if staged is None:
                alone.append(file)
            else:
                self.filled.copies.append(copy_of(file, staged, mtime_ns))
        return alone

    def cut_short(self) -> None:
        """Large copies under way are given up; `collect` has them among those to be made alone."""
        if self.filled is not None:
            self.filled.group.cut_short()

    def make_ready(self) -> None:
        """The batch, collected, is whole: it is made durable while the next one is filled. None may be ready before."""
        assert self.ready is None
        self.filled, self.ready = None, self.filled
        if self.ready is not None:
            self.ready.group.begin_flush()

    def take_ready(self) -> Batch[Copy] | None:
        """The batch to be published, if one is ready: the caller closes its group."""
        ready, self.ready = self.ready, None
        return ready

    def close(self) -> None:
        """Nothing is left of what was not published."""
        for batch in self._batches():
            batch.group.close()
        self.filled = self.ready = None

    def _batches(self) -> list[Batch[Copy]]:
        return [batch for batch in (self.ready, self.filled) if batch is not None]
