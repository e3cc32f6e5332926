"""Gather what a command met into one outcome: what was skipped, what is wrong, the exit code, the JSON object."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, TypeVar

from medback_core import names
from medback_core.errors import MedbackError
from medback_core.model import (
    Conflict,
    Count,
    DamageFound,
    DeletedSince,
    Event,
    Excluded,
    FileDone,
    NextTarget,
    NotListed,
    Remembers,
    Repaired,
    ScanSummary,
    Skipped,
    SourceRefused,
    Unrepairable,
    Warned,
    iso_date,
)
from medback_core.presenting.refusals import message

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

DONE, BUG, USAGE, SKIPPED, REFUSED, DAMAGED, MORE_NEEDED, INTERRUPTED = 0, 1, 2, 3, 4, 5, 6, 130
# Where several apply; a bug and a wrong command line come before all that was found on the way.
ORDER = (143, INTERRUPTED, BUG, USAGE, REFUSED, DAMAGED, SKIPPED, MORE_NEEDED)
_CODES: dict[type[Event], int] = {
    Skipped: SKIPPED, Conflict: SKIPPED, DamageFound: DAMAGED, Unrepairable: DAMAGED
}  # fmt: skip
_TOLD = {*_CODES, Excluded, NotListed, Remembers, DeletedSince, SourceRefused, Repaired, ScanSummary}

E = TypeVar("E", bound=Event)


@dataclass(slots=True)
class Outcome:
    """All that a command line has to answer for when it ends."""

    met: dict[type[Event], list[Any]] = field(default_factory=lambda: defaultdict(list))  # see `all`
    warnings: list[str] = field(default_factory=list)
    done: dict[str, Count] = field(default_factory=lambda: defaultdict(Count))  # action -> files and bytes
    result: dict[str, Any] = field(default_factory=dict)  # the command's own keys
    codes: set[int] = field(default_factory=set)
    error: tuple[str, str] | None = None
    interrupted: int = 0  # 130 or 143

    def all(self, kind: type[E]) -> list[E]:
        """The events of a kind so far, of those that are told at the end."""
        return self.met[kind]

    def take(self, event: Event) -> None:
        """Count one event of an operation."""
        kind = type(event)
        if kind in _CODES:
            self.codes.add(_CODES[kind])
        if kind in _TOLD:
            self.met[kind].append(event)
        match event:
            case FileDone():
                self.done[event.action] += Count(1, event.size)
            case Warned():
                self.warnings.append(message(event))
            case SourceRefused():
                self.codes.add(event.refusal.exit_code)
                if self.error is None:
                    self.error = (event.refusal.kind, message(event.refusal))
            case ScanSummary() if event.damaged:
                self.codes.add(DAMAGED)
            case _:
                pass

    def fail(self, error: MedbackError) -> None:
        """The command ended, or a part of it, with one of medback's own errors."""
        self.codes.add(error.exit_code)
        self.error = (error.kind, message(error))

    def needs_more(self, count: int) -> None:
        """So many files still wait for another target."""
        if count > 0:
            self.codes.add(MORE_NEEDED)

    @property
    def exit_code(self) -> int:
        """The one code that says most, in the order of the contract."""
        codes = self.codes | ({self.interrupted} if self.interrupted else set())
        return next((code for code in ORDER if code in codes), DONE)

    def as_json(self) -> str:
        """The one object for standard output: ASCII, bytes that are no UTF-8 as lone surrogates."""
        found: dict[str, Any] = dict(self.result)
        found.update(
            exit_code=self.exit_code,
            skipped=[entry_json(entry) for entry in self.all(Skipped)],
            excluded=[entry_json(entry) for entry in self.all(Excluded)],
            warnings=self.warnings,
        )
        damage, refused = self.all(DamageFound), self.all(SourceRefused)
        if damage and "damaged" not in found:
            found["damaged"] = [entry_json(entry) for entry in damage if entry.state == "damaged"]
        if refused:
            found["refused"] = [
                {"alias": r.alias, "kind": r.refusal.kind, "message": message(r.refusal)} for r in refused
            ]
        if self.error is not None:
            found["error"] = {"kind": self.error[0], "message": self.error[1]}
        return json.dumps(found)


Entry = Skipped | Excluded | NotListed | DamageFound | Unrepairable | Conflict


def why(entry: Entry) -> str:
    """Why it was treated otherwise than its neighbours."""
    if isinstance(entry, NotListed):
        return "the manifest does not name it"
    return entry.reason if isinstance(entry, Excluded) else message(entry.reason)


def entry_json(entry: Entry) -> dict[str, str]:
    """`{path, reason}` of an entry that was treated otherwise than its neighbours."""
    return {"path": names.text(entry.path), "reason": why(entry)}


def told_json(told: Remembers, *, taken: bool = True) -> dict[str, Any]:
    """What a drive remembers; `taken` up, or only offered."""
    return {
        "drive": told.drive,
        "path": names.text(told.path),
        "taken": taken,
        "sources": told.sources,
        "files": told.files,
        "as_of": iso_date(told.as_of),
        "on": list(told.on),
    }


def facts_json(summary: DataclassInstance, *left_out: str) -> dict[str, Any]:
    """What a summary (or a row) says, by its own names, but for what is left out: numbers, yes or no, counts, paths."""
    said: dict[str, Any] = {}
    for fact in fields(summary):
        value = getattr(summary, fact.name)
        if fact.name in left_out:
            continue
        if isinstance(value, Count):
            value = count_json(value)
        elif isinstance(value, bytes):
            value = names.text(value)
        said[fact.name] = value
    return said


def count_json(count: Count) -> dict[str, int]:
    """`{files, bytes}`."""
    return {"files": count.files, "bytes": count.bytes}


def next_json(found: NextTarget | None) -> dict[str, Any] | None:
    """The drive to plug in next, and what it brings."""
    if found is None:
        return None
    return {"target": found.target.id, "label": found.target.label, "files": found.files, "bytes": found.bytes}
