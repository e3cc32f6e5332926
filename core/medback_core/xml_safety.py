"""The one way XML from outside is parsed: no DTD, no entities, no network, bounded in size, depth and number of tags.

A drive can come from anyone. Whole small files go through `parse_untrusted`; long ones are read as a stream with
`safe_pull_parser` fed from `guarded`. Only bytes are ever parsed, never a path or a URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from lxml import etree

from . import names

DEPTH_MAX = 255  # libxml2 refuses nesting at 256 unless huge_tree is set, which it never is here
TAGS_MAX = 1_000_000  # in one tree: about 200 MB of memory at the worst
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
_forbidden = re.compile(rb"<!DOCTYPE|<!ENTITY|\x00").search
_FORBIDDEN_MAX = 9  # the longest of them
_illegal = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]").search


class UnsafeXml(ValueError):
    """XML that is refused or malformed. The message is one short sentence; `line` is 1-based, None where unknown."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.line = line


def safe_parser(target: Any = None) -> etree.XMLParser:
    """A new parser with the one configuration, for a single document. `target` as lxml takes it (SAX-like)."""
    return etree.XMLParser(target=target, **_OPTIONS)


def safe_pull_parser(events: Sequence[str] = ("start", "end")) -> etree.XMLPullParser:
    """A new pull parser of that configuration: feed it only what comes out of `guarded`."""
    return etree.XMLPullParser(events=events, **_OPTIONS)


def guarded(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Pass a document's chunks on to a pull parser, refusing what `parse_untrusted` refuses.

    Raises UnsafeXml before the offending chunk is passed on: a DTD, an encoding that is not UTF-8, NUL, or more than
    `limit` bytes in all. Whether the bytes are good UTF-8 is the parser's to say.
    """
    total = 0
    tail = b""
    lines = 1
    for chunk in chunks:
        if not total:
            _refuse_encoding(chunk)
        total += len(chunk)
        if total > limit:
            raise UnsafeXml(f"larger than {limit} bytes")
        window = tail + chunk
        if found := _forbidden(window):
            raise UnsafeXml(_why(found.group()), lines + window.count(b"\n", 0, found.start()))
        tail = window[1 - _FORBIDDEN_MAX :]
        lines += window.count(b"\n", 0, len(window) - len(tail))
        yield chunk


def parse_untrusted(data: bytes, limit: int) -> etree._Element:
    """The root element of a whole document of at most `limit` bytes.

    Comments and processing instructions are left out. Raises UnsafeXml for anything else than well-formed UTF-8 XML
    with no DTD, at most `DEPTH_MAX` deep and with at most `TAGS_MAX` tags; never anything else, whatever the bytes.
    """
    if len(data) > limit:
        raise UnsafeXml(f"larger than {limit} bytes")
    if not data.strip():
        raise UnsafeXml("empty")
    _refuse_encoding(data)
    if found := _forbidden(data):
        raise UnsafeXml(_why(found.group()), data.count(b"\n", 0, found.start()) + 1)
    if not legal(data):
        raise UnsafeXml("not UTF-8 text of legal characters")
    if data.count(b"<") > TAGS_MAX:
        raise UnsafeXml(f"more than {TAGS_MAX} tags")
    try:
        root = etree.fromstring(data, safe_parser())
    except etree.LxmlError as error:
        raise malformed(error) from None
    if root.getroottree().docinfo.internalDTD is not None:
        raise UnsafeXml("a DTD is not allowed")
    return root


def malformed(error: etree.LxmlError) -> UnsafeXml:
    """The UnsafeXml that says what lxml says, harmless on any terminal: for those who feed a pull parser."""
    line = getattr(error, "lineno", None)
    words = re.sub(r",? line \d+, column \d+.*", "", (error.msg or str(error)) if isinstance(error, SyntaxError) else "")
    return UnsafeXml(names.display_name(words.strip()[:200]) or "not well-formed", line or None)


def legal(data: bytes) -> bool:
    """Whether these bytes are UTF-8 of nothing but characters XML 1.0 allows."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return _illegal(text) is None


def element_text(element: etree._Element) -> str:
    """The text before an element's first child, "" where there is none."""
    return element.text or ""


def _refuse_encoding(head: bytes) -> None:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise UnsafeXml("not UTF-8", 1)
    declared = _declared(head.removeprefix(_BOM)[:1024])
    if declared and declared.group(1).lower() not in (b"utf-8", b"utf8", b"us-ascii", b"ascii"):
        raise UnsafeXml("not UTF-8", 1)


def _why(found: bytes) -> str:
    return "holds NUL bytes" if found == b"\x00" else "a DTD is not allowed"


