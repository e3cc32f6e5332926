"""What a restore context says, entry by entry, and the limits its writer and its reader share.

Entries are named tuples, not dataclasses: a million of them are made in a run, at a third of the cost.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple, TypeAlias

from medback_core.model import WANTED_DEFAULT, Rule, Standing, State, TargetState

BAD_CONTEXT = "bad-context"  # the kind of every refusal to read one
FORMAT_VERSION = 1
MODE_DEFAULT = 0o644  # left out of the file
LEVELS_NESTED_MAX = 200  # deeper directories stand in one `<dr path>`: libxml2 refuses nesting at 256
PATH_BYTES_MAX = 128 * 1024  # of a directory; 512 levels of 255 bytes
READABLE_BYTES_MAX = 4096  # of the shown form beside a base64 one, which alone counts

Bds: TypeAlias = tuple[tuple[str, Standing], ...]


class TargetLine(NamedTuple):
    """A target the context knows. A `rev` of 0 means the file does not say; without `now` it says of no state of the
    drive. It holds for the sections behind it, until another line of the same target."""

    id: str
    label: str
    state: TargetState = TargetState.ACTIVE
    rev: int = 0
    now: State | None = None  # what the sections say of copies there is as of this state of the drive
    disk: str = ""  # what people call the disk it lies on
    place: str = ""  # where people say it is kept


class SourceStart(NamedTuple):
    """The head of a source's section. The Python family gives no `id`: it is "" then."""

    id: str
    src_path: bytes
    alias: str
    wanted: int = WANTED_DEFAULT
    excludes: tuple[str, ...] = ()
    rev: int = 0
    now: State | None = None  # the state of the source's tree this section tells of
    elsewhere: int = 0
    place: str = ""  # where people say it is kept
    rules: tuple[Rule, ...] = ()


class FileEntry(NamedTuple):
    """A file. `directory` is relative to the source, b"" the source itself; `gone` is when it was found deleted."""

    directory: bytes
    name: bytes
    size: int
    mtime_ns: int
    mode: int = MODE_DEFAULT
    md5: bytes | None = None  # None: it could not be read
    bds: Bds = ()
    gone: int | None = None


class LinkEntry(NamedTuple):
    """A symbolic link and where it leads, never followed."""

    directory: bytes
    name: bytes
    to: bytes


class DirectoryEntry(NamedTuple):
    """A directory with nothing in it; all others follow from what lies in them."""

    directory: bytes


class DirectoryFact(NamedTuple):
    """The permissions and the time of a directory (b"" the source itself), given before what lies in it."""

    directory: bytes
    mode: int
    mtime_ns: int


class NotWhole(NamedTuple):
    """The last item of a context whose check is wrong: a piece of it is missing, or it was edited."""


class SourceEnd(NamedTuple):
    """The end of a source's section."""

    id: str


Entry: TypeAlias = FileEntry | LinkEntry | DirectoryEntry


class SourceSection(NamedTuple):
    """A source to write: its head and its entries, those of one directory together, depth first."""

    head: SourceStart
    entries: Iterable[Entry]
    facts: Callable[[bytes], tuple[int, int] | None] = lambda _: None  # mode and mtime_ns of a directory, where known
