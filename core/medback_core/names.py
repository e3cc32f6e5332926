"""Turn file names, which are bytes, into text and back, and show them harmlessly on any terminal."""

from __future__ import annotations

import os
import re
import shlex
import unicodedata
from collections.abc import Iterator

COMPONENT_MAX = 255  # bytes; NAME_MAX of every file system in use

_NOT_IN_XML = re.compile("[\x00-\x1f\ufffe\uffff]")
_SHORT = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}


def text(name: bytes) -> str:
    """The text of a name, undecodable bytes as lone surrogates: UTF-8 whatever the locale, exact through from_text."""
    return name.decode("utf-8", "surrogateescape")


def folded(name: bytes) -> str:
    """What names that differ in case alone have in common."""
    return text(name).casefold()


def from_text(name: str) -> bytes:
    """The exact bytes `text` was given. Raises UnicodeEncodeError for a lone surrogate that stands for no byte."""
    return name.encode("utf-8", "surrogateescape")


def display_name(name: bytes | str) -> str:
    r"""The name as it may be printed anywhere: one line, nothing that a terminal or a reader could be fooled by.

    Control characters (C0, C1, ESC, newline), bidi, zero-width and other format characters, line separators,
    surrogates, unassigned and private characters and undecodable bytes appear as visible symbols (`\x1b`, `\u202e`,
    `\xff`). A backslash itself stays as it is, so this is for eyes only and can't be turned back.
    """
    shown = text(name) if isinstance(name, bytes) else name
    if shown.isprintable():
        return shown
    return "".join(
        char if char.isprintable() or unicodedata.category(char) == "Zs" else _symbol(char) for char in shown
    )


def utf8(words: str) -> str:
    """The words as they are where they are UTF-8, else as they are shown: what a session DB can hold, and look for."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return display_name(words)
    return words


def _symbol(char: str) -> str:
    if char in _SHORT:
        return _SHORT[char]
    code = ord(char)
    if 0xDC80 <= code <= 0xDCFF:  # surrogateescape: the byte that was not UTF-8
        code -= 0xDC00
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def xml_safe(name: bytes) -> bool:
    """Whether the name comes back exactly, and readably, from an XML 1.0 attribute: UTF-8, only legal characters,
    and no tab, newline or carriage return (attribute values are normalised)."""
    try:
        decoded = name.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return _NOT_IN_XML.search(decoded) is None


def escaped(text: str) -> str:
    """Text as it stands in XML, in an attribute too. (What Python has for it imports half a web browser.)"""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")


def check_component(name: bytes) -> str | None:
    """Why this can't be the name of a file in a directory, or None when it can."""
    if not name:
        return "the name is empty"
    if name in (b".", b".."):
        return f"“{name.decode()}” is no file name"
    if b"/" in name:
        return "the name contains a slash"
    if b"\0" in name:
        return "the name contains a NUL byte"
    if len(name) > COMPONENT_MAX:
        return f"the name is longer than {COMPONENT_MAX} bytes"
    return None


def check_relative(path: bytes) -> str | None:
    """Why this can't be a path below a root (components joined by slashes), or None when it can."""
    if not path:
        return "the path is empty"
    if path.startswith(b"/"):
        return "the path is absolute"
    for component in path.split(b"/"):
        reason = check_component(component)
        if reason is not None:
            return reason
    return None


def below(path: bytes, top: bytes) -> bytes | None:
    """The path relative to a directory it lies in (b"" for the directory itself), None when it lies elsewhere. Both are
    absolute and normal."""
    if path == top:
        return b""
    stem = top.rstrip(b"/") + b"/"
    return path[len(stem) :] if path.startswith(stem) else None


def within(top: bytes, path: bytes) -> bytes:
    """The absolute path of what lies at a relative path in an absolute directory: the way back from `below`."""
    return top.rstrip(b"/") + b"/" + path


def and_above(path: bytes) -> Iterator[bytes]:
    """A directory and each one above it, up to the root; of a relative one up to b""."""
    last = None
    while path != last:
        yield path
        path, last = os.path.dirname(path), path


def overlap(one: bytes, other: bytes) -> bool:
    """Whether one of two directories is, or lies in, the other."""
    return below(one, other) is not None or below(other, one) is not None


def shell_quoted(word: bytes | str) -> str:
    """A word as one may paste it into a shell; bytes a terminal can't take stand as `$'\\xff'`."""
    plain = text(word) if isinstance(word, bytes) else word
    if plain.isprintable():
        return shlex.quote(plain)
    raw = from_text(plain)
    return "$'" + "".join(chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in raw) + "'"
