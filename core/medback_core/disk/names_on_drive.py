"""Turn a true file name into one that FAT, exFAT and NTFS accept, readable and never ambiguous."""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import count, islice
from typing import AnyStr, TypeVar, cast

_MAX = 255  # bytes; never more than the 255 UTF-16 units those file systems allow
_FORBIDDEN = frozenset(b'"*/:<>?\\|') | frozenset(range(0x20)) | {0x7F}
_ESCAPE = re.compile(rb"%[0-9A-Fa-f]{2}")
_DEVICE = re.compile(rb"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(?=\.|$)")
_SUFFIX = 7  # "~" and six hex digits
_TRIES = 10_000
Name = TypeVar("Name")


def escape_component(name: bytes) -> bytes:
    """The name to use on a drive with restricted names: forbidden characters, control characters, bytes that are not
    UTF-8, trailing dots and spaces, Windows' device names, and a `%` that would read as an escape become `%XX`.

    Names that need nothing stay as they are; two different names never become the same, but for what the file system
    itself folds (ask it) and names over 255 bytes, which are cut and get `collision_name`'s suffix.
    """
    decoded = name.decode("utf-8", "surrogateescape")
    pieces: list[bytes] = []
    for index, char in enumerate(decoded):
        raw = char.encode("utf-8", "surrogateescape")
        code = ord(char)
        doubtful = char == "%" and _ESCAPE.match(decoded[index : index + 3].encode("utf-8", "surrogateescape"))
        if doubtful or code in _FORBIDDEN or 0xDC80 <= code <= 0xDCFF:
            raw = b"%%%02X" % raw[0]
        pieces.append(raw)
    last = len(pieces) - 1
    while last >= 0 and pieces[last] in (b".", b" "):
        pieces[last] = b"%%%02X" % pieces[last][0]
        last -= 1
    if _DEVICE.match(name):
        pieces[0] = b"%%%02X" % name[0]
    escaped = b"".join(pieces)
    return escaped if len(escaped) <= _MAX else _suffixed(escaped, name)


def collision_name(name: bytes) -> bytes:
    """Another name for the same file, for when the file system holds `escape_component(name)` to be taken: `~` and six
    hex digits of the true name's MD5 before the extension."""
    return _suffixed(escape_component(name), name)


def free_name(candidates: Iterable[Name], is_taken: Callable[[Name], object]) -> Name:
    """The first of these names that is not taken. Raises FileExistsError when all are, or 10,000."""
    for candidate in islice(candidates, _TRIES):
        if not is_taken(candidate):
            return candidate
    raise FileExistsError(errno.EEXIST, "no free name")


def numbered(name: AnyStr) -> Iterator[AnyStr]:
    """`name`, `name-2`, `name-3`, …"""
    yield name
    for number in count(2):
        yield cast("AnyStr", f"{name}-{number}" if isinstance(name, str) else b"%b-%d" % (name, number))


def other_names(path: bytes) -> Iterator[bytes]:
    """Paths beside this one, for when it is taken: `collision_name`, again and again."""
    directory, slash, name = path.rpartition(b"/")
    while True:
        name = collision_name(name)
        yield directory + slash + name
        name += b"~"


def escape_path(rel: bytes) -> bytes:
    """`escape_component` for every component of a relative path."""
    return b"/".join(escape_component(component) for component in rel.split(b"/"))


def _suffixed(escaped: bytes, true_name: bytes) -> bytes:
    mark = b"~" + hashlib.md5(true_name, usedforsecurity=False).hexdigest()[:6].encode()
    stem, dot, extension = escaped.rpartition(b".")
    if not stem or len(extension) > 16:
        stem, dot, extension = escaped, b"", b""
    tail = mark + dot + extension
    if stem.endswith(mark):
        return escaped
    stem = stem[: _MAX - len(tail)]
    # Without a character or an escape that was cut in two at the end.
    decoded = stem.decode("utf-8", "ignore").encode("utf-8")
    return re.sub(rb"%[0-9A-Fa-f]?$", b"", decoded) + tail
