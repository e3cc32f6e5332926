"""The canonical form of an element and its check, a CRC-32 (docs/format.md says it so that anyone can recompute it).

A line exactly as we write it, less its ` crc="…"`, is the canonical form: the reader's fast path relies on that.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable

import lxml.etree as etree

XML_NAMESPACE = "http://www.w3.org/XML/1998/namespace"

# The order of known attributes; unknown ones follow, sorted by namespace and name, and the check comes last. What came
# after the first version stands behind all that was known to it, sorted by name (in a new element: all of it): to the
# first version it is unknown, and the check must come out right there too.
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "dr": ("v",),
    "medback-source": ("v",),
    "medback-target": ("v",),
    "file": (
        "name", "name64", "size", "mtime", "mode", "md5", "verified", "path", "path64", "by", "damaged",
    ),
    "link": ("name", "name64", "to", "to64"),
    "dir": ("name", "name64", "mode", "mtime", "path", "path64"),
    "holds": ("name", "name64", "to", "to64"),
    "bd": ("standing",),
    "twin": ("at", "at64"),
    "identity": ("id",),
    "source": ("id", "alias", "wanted", "rev", "one_file_system", "wanted_elsewhere", "where"),
    "exclude": ("pattern",),
    "target": (
        "id", "label", "created", "state", "capacity", "rev", "fs_uuid", "path", "path64", "disk", "luks", "n",
        "on_plug", "readme", "stamp", "where",
    ),
    "state": ("at", "by", "line", "n", "stamp"),
    "sibling": ("id", "alias", "path", "path64"),
    "mount": ("fs_uuid", "path", "path64"),
    "rule": ("copies", "elsewhere", "path", "path64", "rev"),
    "gap": ("path", "path64", "reason", "since"),
    "also": ("id",),
    "folder": ("name", "name64", "source"),
    "remembers": ("alias", "at", "bytes", "files", "n", "source", "stamp"),
    "holder": ("at", "id", "label"),
    "event": ("at", "bytes", "files", "health", "source", "target", "unsafe", "what"),
}  # fmt: skip
_PLACES = {tag: {name: place for place, name in enumerate(names)} for tag, names in ATTRIBUTES.items()}
# What a file got after the first version: sorted among the unknown attributes in the canonical form, as it is to those
# who do not know it. A new one comes here, and never above: their check would be another one.
LATER = ("blake3", "blake3_of")
CHILDREN = ("bd", "twin", "tag", "holds")  # the order of a record's children; others follow in the document's order

_ESCAPES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"}
_escapable = re.compile('[&<>"\t\n\r]')
_illegal = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def escape(text: str) -> str:
    """The one way text stands in an attribute or an element: on one line, with these seven escapes and no others."""
    return _escapable.sub(lambda found: _ESCAPES[found.group()], text)


def legal_text(text: str) -> str:
    """The text with every character XML 1.0 does not allow shown as U+FFFD."""
    return _illegal.sub("\ufffd", text)


def crc(form: bytes) -> str:
    """The check of a canonical form: CRC-32 as zlib computes it, eight lower-case hex digits."""
    return f"{zlib.crc32(form):08x}"


def open_tag(tag: str, attributes: Iterable[tuple[str, str]]) -> str:
    """`<tag a="…"` without its end, attributes in canonical order.

    Names are as lxml gives them. Each namespace used is declared on the spot, before the unknown attributes;
    the prefixes are n0, n1, … in the order of the sorted namespaces.
    """
    order = _PLACES.get(tag, {})
    attributes = list(attributes)
    if not tag.startswith("{") and not any(name.startswith("{") for name, _ in attributes):
        # As nearly all: the same without a look at namespaces, for half the time.
        attributes.sort(key=lambda item: (order.get(item[0], len(order)), item[0]))
        return f"<{tag}" + "".join([f' {name}="{escape(value)}"' for name, value in attributes])
    given = sorted(attributes, key=lambda item: (order.get(item[0], len(order)), _split(item[0])))
    prefixes = {"": "", XML_NAMESPACE: "xml:"}
    used = {_split(name)[0] for name in (tag, *(name for name, _ in given))} - prefixes.keys()
    declared = [(f"n{number}", uri) for number, uri in enumerate(sorted(used))]
    prefixes |= {uri: f"{prefix}:" for prefix, uri in declared}

    def written(name: str) -> str:
        uri, local = _split(name)
        return prefixes[uri] + local

    parts = [f' {written(name)}="{escape(value)}"' for name, value in given]
    known = sum(name in order for name, _ in given)
    parts[known:known] = [f' xmlns:{prefix}="{escape(uri)}"' for prefix, uri in declared]
    return f"<{written(tag)}" + "".join(parts)


def exact(element: etree._Element) -> str:
    """An element this version does not understand, in canonical form: all its text kept, its own tail left out."""
    inner = [escape(element.text or "")]
    for child in element:
        inner += (exact(child), escape(child.tail or ""))
    return _close(element, open_tag(_tag(element), _attributes(element)), "".join(inner))


def canonical(element: etree._Element) -> bytes:
    """The canonical form of a record (or of an element of our metadata): all of it but its `crc`."""
    attributes = [(name, value) for name, value in _attributes(element) if name != "crc"]
    text = (element.text or "").strip() + "".join((child.tail or "").strip() for child in element)
    children = list(element)
    children.sort(key=lambda child: CHILDREN.index(child.tag) if child.tag in CHILDREN else len(CHILDREN))
    inner = escape(text) + "".join(map(exact, children))
    return _close(element, open_tag(_tag(element), attributes), inner).encode()


def is_right(element: etree._Element) -> bool:
    """Whether the element carries the check of its own canonical form."""
    return element.get("crc") == crc(canonical(element))


def _close(element: etree._Element, head: str, inner: str) -> str:
    if not inner:
        return head + "/>"
    return f"{head}>{inner}</{head[1:].split(' ', 1)[0]}>"


def _tag(element: etree._Element) -> str:
    return str(element.tag)


def _attributes(element: etree._Element) -> list[tuple[str, str]]:
    return [(str(name), str(value)) for name, value in element.attrib.items()]


def _split(name: str) -> tuple[str, str]:
    if not name.startswith("{"):
        return "", name
    uri, _, local = name[1:].partition("}")
    return uri, local
