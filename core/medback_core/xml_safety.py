"""The one way XML from outside is parsed: no DTD, no entities, no network, bounded in size, depth and number of tags.

A drive can come from anyone. Only bytes are ever parsed, never a path or a URL.
"""

from __future__ import annotations

import re
from typing import Any

import lxml.etree as etree

from . import names

DEPTH_MAX = 255  # libxml2 refuses nesting at 256 unless huge_tree is set, which it never is here
TAGS_MAX = 1_000_000  # in one tree: about 200 MB of memory at the worst
ATTRIBUTES_MAX = 1000  # of one element: lxml takes time quadratic in their number to list them
_OPTIONS: dict[str, Any] = {
    "encoding": "utf-8",  # whatever the document says of itself
    "resolve_entities": False,
    "no_network": True,
    "load_dtd": False,
    "dtd_validation": False,
    "huge_tree": False,
    "recover": False,
    "remove_comments": True,
    "remove_pis": True,
}
_BOM = b"\xef\xbb\xbf"
_declared = re.compile(rb"<\?xml\s[^>]*?\bencoding\s*=\s*[\"']([^\"'>]*)").match
_dtd = re.compile(rb"<!DOCTYPE|<!ENTITY").search
_illegal = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search


class UnsafeXml(ValueError):
    """XML that is refused or malformed. The message is one short sentence; `line` is 1-based, None where unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


class DtdRefused(UnsafeXml):
    """A document type definition or an entity declaration: nothing of such a document is worth saving."""


def safe_parser() -> etree.XMLParser:
    """A new parser with the one configuration. It bounds the depth; size and DTDs are refused by `parse_untrusted`."""
    return etree.XMLParser(**_OPTIONS)


def parse_untrusted(data: bytes, limit: int) -> etree._Element:
    """The root element of a whole document of at most `limit` bytes.

    Comments and processing instructions are left out. Raises UnsafeXml for anything else than well-formed UTF-8 XML
    with no DTD, at most `DEPTH_MAX` deep, with at most `TAGS_MAX` tags and `ATTRIBUTES_MAX` attributes to each; never
    anything else, whatever the bytes.
    """
    if len(data) > limit:
        raise UnsafeXml(f"larger than {limit} bytes")
    if not data.strip():
        raise UnsafeXml("empty")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnsafeXml("not UTF-8", 1)
    declared = _declared(data.removeprefix(_BOM)[:1024])
    if declared and declared.group(1).lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
        raise UnsafeXml("not UTF-8", 1)
    if found := _dtd(data):
        raise DtdRefused("a DTD is not allowed", data.count(b"\n", 0, found.start()) + 1)
    if not legal(data):
        raise UnsafeXml("not UTF-8 text of legal characters")
    if data.count(b"<") > TAGS_MAX:
        raise UnsafeXml(f"more than {TAGS_MAX} tags")
    try:
        root = etree.fromstring(data, safe_parser())
    except etree.LxmlError as error:
        line = getattr(error, "lineno", None)
        said = (error.msg or str(error)) if isinstance(error, SyntaxError) else ""
        words = re.sub(r",? line \d+, column \d+.*", "", said)
        raise UnsafeXml(names.display_name(words.strip()[:200]) or "not well-formed", line or None) from None
    if any(len(element.attrib) > ATTRIBUTES_MAX for element in root.iter()):
        raise UnsafeXml(f"more than {ATTRIBUTES_MAX} attributes")
    return root


def legal(data: bytes) -> bool:
    """Whether these bytes are UTF-8 of nothing but characters XML 1.0 allows."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return _illegal(text) is None
