"""The restore context: one XML file with the whole tree of names, sizes, hashes and copies (docs/format.md)."""

from __future__ import annotations

from .foreign import Section, foreign_sections, section_bytes, sections_in
from .mapping import apply_map
from .reading import ContextItem, read_context
from .records import (
    BAD_CONTEXT,
    Bds,
    DirectoryEntry,
    Entry,
    FileEntry,
    LinkEntry,
    NotWhole,
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
    "NotWhole",
    "Section",
    "SourceEnd",
    "SourceSection",
    "SourceStart",
    "TargetLine",
    "apply_map",
    "foreign_sections",
    "read_context",
    "section_bytes",
    "sections_in",
    "write_context",
]
