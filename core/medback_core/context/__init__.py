"""The restore context: one XML file with the whole tree of names, sizes, hashes and copies (docs/format.md)."""

from __future__ import annotations

from .foreign import Pieces, Section, read_section, section_bytes, sections_in, state_of
from .mapping import apply_map
from .reading import ContextItem, Readable, read_context
from .records import (
    BAD_CONTEXT,
    Bds,
    DirectoryEntry,
    DirectoryFact,
    Entry,
    FileEntry,
    LinkEntry,
    NotWhole,
    SourceEnd,
    SourceSection,
    SourceStart,
    TargetLine,
)
from .writing import target_lines, write_context
