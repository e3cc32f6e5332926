"""Records of the family's other programs: `<fr fname checksum mtime size>`, and `<file>` with no checks at all."""

from __future__ import annotations

import lxml.etree as etree

from .. import names
from . import values
from .elements import extra_of, parts_of
from .records import FileRecord, Trust

_KNOWN = ("fname", "checksum", "mtime", "size")
_URL_ALPHABET = bytes.maketrans(b"-_", b"+/")


def is_family_root(root: etree._Element) -> bool:
    """Whether this `<dr>` was written by a program that knows neither versions nor checks."""
    return root.get("v") is None and all(child.get("crc") is None for child in root)


def fr_record(element: etree._Element, trust: Trust = Trust.FAMILY) -> FileRecord | None:
    """The record of an `<fr>`, or None when its name or size can't be told.

    The time is in whole seconds (left out when 0): compare `mtime_ns // 10**9`. Every copy is only listed.
    """
    name = values.exact_bytes(element.get("fname"), None)
    size = values.parse_number(element.get("size"))
    mtime_ns = values.parse_mtime(element.get("mtime", "0"))
    if name is None or size is None or names.check_component(name) is not None:
        return None
    md5 = _checksum(element.get("checksum"))
    bds, tags, _, unknown = parts_of(element, claims=True)
    return FileRecord(
        name=name,
        size=size,
        mtime_ns=mtime_ns or 0,
        md5=md5,
        bds=bds,
        tags=tags,
        trust=Trust.EDITED if mtime_ns is None or md5 is None else trust,
        extra=extra_of(element, _KNOWN, unknown),
    )


def _checksum(text: str | None) -> bytes | None:
    """The 16 bytes of an MD5 in base64, padded or not, of the standard or the URL alphabet."""
    if text is None or not text.isascii() or len(text) > 24:
        return None
    digits = text.encode().translate(_URL_ALPHABET).rstrip(b"=")
    md5 = values.from_base64(digits + b"==") if len(digits) == 22 else None
    return md5 if md5 is not None and len(md5) == 16 else None
