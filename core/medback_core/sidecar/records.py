"""What a sidecar holds: files, links, the copies said of them, and whatever a later version added."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass, field
from typing import TypeAlias

from ..model import Standing

SIDECAR_LIMIT = 512 * 1024 * 1024  # bytes; a directory of a million files with a dozen copies each stays below
RECORDS_MAX = 3_000_000
MODE_DEFAULT = 0o644

Place: TypeAlias = tuple[str, bytes]
"""Where a content truly belongs: source id, path relative to that source."""

_is_id = re.compile(r"[A-Za-z0-9._-]{1,64}").fullmatch


def valid_id(text: str) -> bool:
    """Whether this can be the id of a source or a target: 1 to 64 of `[A-Za-z0-9._-]`."""
    return _is_id(text) is not None


class Trust(enum.IntEnum):
    """What a record is worth. A higher value is more trust."""

    EDITED = 0  # its check is wrong or missing: edited by hand, or damaged
    FAMILY = 1  # from another program of the family, which writes no checks; whole-second times
    WHOLE = 2  # its check is right


@dataclass(frozen=True, slots=True)
class Extra:
    """What this version does not understand and keeps for the rewrite.

    Attributes are (name, value), the name as lxml gives it (`{uri}local` in a namespace), sorted; elements are in
    canonical form, one line each.
    """

    attributes: tuple[tuple[str, str], ...] = ()
    elements: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.attributes or self.elements)


NOTHING = Extra()


@dataclass(frozen=True, slots=True)
class Bd:
    """A copy of the record's content, said to lie on a target."""

    target: str
    standing: Standing = Standing.VERIFIED
    extra: tuple[tuple[str, str], ...] = ()  # unknown attributes


@dataclass(slots=True)
class FileRecord:
    """One file of the sidecar's directory. `mode` holds permission bits only (0o777)."""

    name: bytes
    size: int
    mtime_ns: int
    md5: bytes | None  # 16 raw bytes; None: not known or not readable
    mode: int = MODE_DEFAULT
    bds: tuple[Bd, ...] = ()  # sorted by target when read
    tags: tuple[str, ...] = ()
    damaged: int | None = None  # on a source: when damage of this file was found
    verified: int | None = None  # on a target: when the copy was last verified
    path: Place | None = None  # on a target: where it truly belongs, when that is not simply where it lies
    twins: tuple[Place, ...] = ()  # on a target: further places of the same content, sorted when read
    ours: bool = False  # on a target: medback put it there
    trust: Trust = Trust.WHOLE
    extra: Extra = NOTHING
    blake3: bytes | None = None  # 32 raw bytes, read only where the check is right and it belongs to this MD5


@dataclass(slots=True)
class LinkRecord:
    """One symbolic link and where it leads: any bytes without NUL, never followed."""

    name: bytes
    to: bytes
    trust: Trust = Trust.WHOLE
    extra: Extra = NOTHING


@dataclass(slots=True)
class DirRecord:
    """One directory: `name` lies in the sidecar's own, or, with an empty name, on a drive where it does not lie, `path`
    says which it is and `links` what links it holds. `mode` holds permission bits only (0o777)."""

    name: bytes
    mode: int
    mtime_ns: int
    path: Place | None = None  # on a target: where it truly belongs, when that is not simply where it lies
    links: tuple[tuple[bytes, bytes], ...] = ()  # (name, to), sorted; only where it does not lie on the drive
    trust: Trust = Trust.WHOLE
    extra: Extra = NOTHING

    @property
    def key(self) -> bytes | Place:
        """By what a sidecar holds it."""
        return self.name or self.path or b""


@dataclass(slots=True)
class Sidecar:
    """All that one `.medback.xml` says, and how much of it could be read."""

    files: dict[bytes, FileRecord] = field(default_factory=dict)
    links: dict[bytes, LinkRecord] = field(default_factory=dict)
    dirs: dict[bytes | Place, DirRecord] = field(default_factory=dict)  # by name, or by `path` alone
    extra: Extra = NOTHING
    damage: str = ""  # why the file as a whole is not sound, empty when it is
    lost: int = 0  # records that could not be saved, as best one can tell
    family: bool = False  # written by another program of the family, at least in part
