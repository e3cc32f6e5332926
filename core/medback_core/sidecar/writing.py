"""Write a sidecar: deterministic, one record a line, sorted by name, each with its check."""

from __future__ import annotations

import re
import zlib
from binascii import b2a_hex
from collections.abc import Iterable
from operator import attrgetter

from ..model import Standing, format_mtime
from . import values
from .checks import escape, legal_text, open_tag
from .elements import by_target
from .fast import COPIES, FOOTER, HEADER
from .records import MODE_DEFAULT, Bd, DirRecord, Extra, FileRecord, LinkRecord, Place, Sidecar, Trust

_plain = re.compile(rb"[ !#-%'-;=?-~]*+").fullmatch  # stands in XML as it is
_by_name = attrgetter("name")
_STANDINGS = {
    Standing.VERIFIED: "",
    Standing.WRITTEN: ' standing="written"',
    Standing.CLAIMED: ' standing="claimed"',
}


def render(sidecar: Sidecar) -> bytes:
    """The file's bytes. Equal sidecars give equal bytes, whatever the order of their records and copies.

    Only a WHOLE record is given a check. One that is EDITED or FAMILY is written without, so that no reader believes it
    more after a rewrite than before: set its trust to WHOLE once its file was hashed (or its hash adopted).
    """
    parts = [HEADER if not sidecar.extra.attributes else _header(sidecar.extra)]
    parts += [_checked(record, *_file(record)) for record in sorted(sidecar.files.values(), key=_by_name)]
    parts += _others(sidecar)
    return b"".join(parts)


def with_copies(data: bytes, sidecar: Sidecar) -> bytes | None:
    """`render(sidecar)`, twice as fast as reading `data` first, where that is the same but for which copies its files
    have, line for line and with every check right. None where it is not: it has something of its own to say."""
    if not data.startswith(HEADER) or sidecar.extra:
        return None
    lines = data[len(HEADER) :].split(b"\n")
    files = sorted(sidecar.files.values(), key=_by_name)
    if b"\n".join(lines[len(files) :]) != b"".join(_others(sidecar)):
        return None
    parts = [HEADER]
    known: set[bytes] = set()
    for line, record in zip(lines, files, strict=False):
        start, rest = _file(record)
        check = zlib.crc32(start)
        end = line[len(start) + 15 :]
        if record.trust is not Trust.WHOLE or line != b'%b crc="%08x"%b' % (start, zlib.crc32(end, check), end):
            return None
        if end not in known:
            if COPIES.fullmatch(end) is None:
                return None
            known.add(end)
        parts.append(b'%b crc="%08x"%b\n' % (start, zlib.crc32(rest, check), rest))
    parts += _others(sidecar)
    return b"".join(parts)


def _others(sidecar: Sidecar) -> list[bytes]:
    """What stands behind the files."""
    parts = [_link(record) for record in sorted(sidecar.links.values(), key=_by_name)]
    parts += [_dir(record) for record in sorted(sidecar.dirs.values(), key=_by_key)]
    parts += [element.encode() + b"\n" for element in sidecar.extra.elements]
    parts.append(FOOTER)
    return parts


def _header(extra: Extra) -> bytes:
    declaration, _ = HEADER.split(b"\n", 1)
    return declaration + b"\n" + open_tag("dr", (("v", "1"), *extra.attributes)).encode() + b">\n"


def _checked(record: FileRecord | LinkRecord | DirRecord, start: bytes, rest: bytes) -> bytes:
    """The line of a record, with its check where it is WHOLE."""
    if record.trust is not Trust.WHOLE:
        return start + rest + b"\n"
    return b'%b crc="%08x"%b\n' % (start, zlib.crc32(rest, zlib.crc32(start)), rest)


def _file(record: FileRecord) -> tuple[bytes, bytes]:
    """What of a record stands before its check, and what behind it."""
    name = record.name
    shown = b'"' + name + b'"' if _plain(name) else _pair("name", name)[6:]
    mtime_ns = record.mtime_ns
    if mtime_ns >= 0:
        line = b'<file name=%b size="%d" mtime="%d.%09d"' % (shown, record.size, *divmod(mtime_ns, 1_000_000_000))
    else:
        line = b'<file name=%b size="%d" mtime="%b"' % (shown, record.size, format_mtime(mtime_ns).encode())
    if record.mode & 0o777 != MODE_DEFAULT:
        line += b' mode="0%03o"' % (record.mode & 0o777)
    if record.md5 is not None:
        line += b' md5="%b"' % b2a_hex(record.md5)
    if record.verified is not None:
        line += _date("verified", record.verified)
    if record.path is not None:
        line += _pair("path", values.place_bytes(record.path))
    if record.ours:
        line += b' by="medback"'
    if record.damaged is not None:
        line += _date("damaged", record.damaged)
    rest = _bds(record.bds) if record.bds else b""
    if record.twins or record.tags:
        rest += b"".join(b"<twin" + _pair("at", values.place_bytes(place)) + b"/>" for place in sorted(record.twins))
        rest += b"".join(map(_tag, record.tags))
    more = record.extra.attributes  # what no version knows yet and, sorted among it, what is in LATER
    if record.blake3 is not None and record.md5 is not None and record.trust is Trust.WHOLE:
        digest, of = record.blake3.hex(), record.md5[:4].hex()
        if more:
            more = (("blake3", digest), ("blake3_of", of), *more)
        else:  # most of all
            line += f' blake3="{digest}" blake3_of="{of}"'.encode()
    if more:
        line += _attributes(more)
    if record.extra.elements:
        rest += "".join(record.extra.elements).encode()
    rest = b">" + rest + b"</file>" if rest else b"/>"
    return line, rest


def _link(record: LinkRecord) -> bytes:
    line = b"<link" + _pair("name", record.name) + _pair("to", record.to) + _attributes(record.extra.attributes)
    rest = b">" + "".join(record.extra.elements).encode() + b"</link>" if record.extra.elements else b"/>"
    return _checked(record, line, rest)


def _dir(record: DirRecord) -> bytes:
    line = b"<dir" + (_pair("name", record.name) if record.name else b"")
    line += f' mode="0{record.mode & 0o777:03o}" mtime="{format_mtime(record.mtime_ns)}"'.encode()
    if record.path is not None:
        line += _pair("path", values.place_bytes(record.path))
    line += _attributes(record.extra.attributes)
    held = b"".join(b"<holds" + _pair("name", name) + _pair("to", to) + b"/>" for name, to in sorted(record.links))
    held += "".join(record.extra.elements).encode()
    rest = b">" + held + b"</dir>" if held else b"/>"
    return _checked(record, line, rest)


def _by_key(record: DirRecord) -> tuple[bytes, Place]:
    return record.name, record.path or ("", b"")


def _pair(attribute: str, value: bytes) -> bytes:
    return "".join(f' {name}="{escape(text)}"' for name, text in values.pair(attribute, value).items()).encode()


def _date(attribute: str, date: int) -> bytes:
    text = values.format_date(date)
    return f' {attribute}="{text}"'.encode() if text else b""


def _bds(bds: tuple[Bd, ...]) -> bytes:
    return "".join([_bd(bd) for bd in (bds if len(bds) == 1 else sorted(bds, key=by_target))]).encode()


def _bd(bd: Bd) -> str:
    if bd.extra:
        standing = _STANDINGS[bd.standing][11:-1]
        attributes = (*((("standing", standing),) if standing else ()), *bd.extra)
        return f"{open_tag('bd', attributes)}>{bd.target}</bd>"
    return f"<bd{_STANDINGS[bd.standing]}>{bd.target}</bd>"


def _tag(tag: str) -> bytes:
    return f"<tag>{escape(legal_text(tag))}</tag>".encode() if tag else b"<tag/>"


def _attributes(attributes: Iterable[tuple[str, str]]) -> bytes:
    """These as the canonical form has them, sorted, behind those of the first version."""
    return open_tag("x", attributes)[2:].encode()
