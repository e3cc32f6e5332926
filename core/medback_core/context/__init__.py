"""The restore context: one XML file with the whole tree of names, sizes, hashes and copies (docs/format.md)."""

from __future__ import annotations

from .foreign import foreign_sections
from .mapping import apply_map
from .reading import ContextItem, read_context
from .records import (
    BAD_CONTEXT,
    Bds,
    DirectoryEntry,
    Entry,
    FileEntry,
    LinkEntry,
    SourceEnd,
    SourceSection,
    SourceStart,
    TargetLine,
)
from .writing import write_context

__all__ = [
    "BAD_CONTEXT",
    "Bds",
    "ContextItem",
    "DirectoryEntry",
    "Entry",
    "FileEntry",
    "LinkEntry",
    "SourceEnd",
    "SourceSection",
    "SourceStart",
    "TargetLine",
    "apply_map",
    "foreign_sections",
    "read_context",
    "write_context",
]
