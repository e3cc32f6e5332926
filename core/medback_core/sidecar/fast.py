"""Read a sidecar that is line for line as we write it, without an XML parser: ten times as fast.

A line in this shape, less its check, *is* the canonical form, so the check is computed over the line. Whatever is not
in this shape is left to the careful way; the two agree (a test compares them).
"""

from __future__ import annotations

import re
import zlib
from binascii import unhexlify

from ..model import Standing
from ..xml_safety import legal, parse_untrusted
from . import values
from .elements import by_target, dir_record, file_record, link_record
from .records import MODE_DEFAULT, NOTHING, Bd, DirRecord, FileRecord, LinkRecord, Place, Sidecar, Trust

HEADER = b'<?xml version="1.0" encoding="UTF-8"?>\n<dr v="1">\n'
FOOTER = b"</dr>\n"
_NEWLINE = 10
RECORD_LIMIT = 16 * 1024 * 1024  # bytes of one record; libxml2's own limits are lower

# Possessive throughout: no backtracking, whatever the bytes.
_V = rb'(?:[^"<>&\x00-\x1f]++|&(?:amp|lt|gt|quot|#9|#10|#13);)*+'
_B64 = rb"[A-Za-z0-9+/=]++"
_DATE = rb"[0-9TZ:-]++"
_BD = rb'<bd(?: standing="(?:written|claimed)")?+>[A-Za-z0-9._-]{1,64}+</bd>'
_CHILDREN = (
    rb"((?:" + _BD + rb")*+)"
    rb'((?:<twin at="' + _V + rb'"(?: at64="' + _B64 + rb'")?+/>)*+)'
    rb"((?:<tag>(?!<)" + _V + rb"</tag>|<tag/>)*+)"
)
_NAME = rb' name="(' + _V + rb')"(?: name64="(' + _B64 + rb')")?+'
_CRC = rb'(?: crc="([0-9a-f]{8})")?+'
FILE = re.compile(
    rb"<file" + _NAME + rb' size="([0-9]{1,18}+)" mtime="(-?+[0-9]{1,19}+\.[0-9]{9}+)"(?: mode="(0[0-7]{3})")?+'
    rb'(?: md5="([0-9a-f]{32})")?+(?: verified="(' + _DATE + rb')")?+'
    rb'(?: path="(' + _V + rb')"(?: path64="(' + _B64 + rb')")?+)?+(?: by="(medback)")?+'
    rb'(?: damaged="(' + _DATE + rb')")?+(?: blake3="([0-9a-f]{64})" blake3_of="([0-9a-f]{8})")?+'
    + _CRC + rb"(?:/>|>(?!</file>)" + _CHILDREN + rb"</file>)"
)  # fmt: skip
COPIES = re.compile(rb"/>|>(?:" + _BD + rb")++</file>")  # the end of a record of a file that holds nothing but copies
LINK = re.compile(
    rb"<link" + _NAME + rb' to="(' + _V + rb')"(?: to64="(' + _B64 + rb')")?+' + _CRC + rb"/>"
)  # fmt: skip

DIR = re.compile(
    rb'<dir(?: name="(' + _V + rb')"(?: name64="(' + _B64 + rb')")?+)?+ mode="(0[0-7]{3})"'
    rb' mtime="(-?+[0-9]{1,19}+\.[0-9]{9}+)"(?: path="(' + _V + rb')"(?: path64="(' + _B64 + rb')")?+)?+' + _CRC
    + rb'(?:/>|>((?:<holds name="' + _V + rb'"(?: name64="' + _B64 + rb'")?+ to="' + _V + rb'"(?: to64="' + _B64
    + rb'")?+/>)++)</dir>)'
)  # fmt: skip

_bd = re.compile(rb'<bd(?: standing="([a-z]+)")?>([^<]+)</bd>').findall
_tag = re.compile(rb"<tag(?:/>|>([^<]*)</tag>)").findall
_escape = re.compile(rb"&(?:amp|lt|gt|quot|#9|#10|#13);")
_MEANING = {
    b"&amp;": b"&", b"&lt;": b"<", b"&gt;": b">", b"&quot;": b'"', b"&#9;": b"\t", b"&#10;": b"\n", b"&#13;": b"\r",
}  # fmt: skip
_STANDINGS = {b"": Standing.VERIFIED, b"written": Standing.WRITTEN, b"claimed": Standing.CLAIMED}


class Shape:
    """Reads single records in our own shape; remembers sets of copies, which repeat from record to record."""

    def __init__(self) -> None:
        self._bds: dict[bytes, tuple[Bd, ...]] = {b"": ()}

    def file(self, found: re.Match[bytes]) -> FileRecord | None:
        """The record FILE found; None when its name can't be one."""
        (
            name, name64, size, mtime, mode, md5, verified, path, _, by, damaged, blake3, of, crc, bds, twins, tags,
        ) = found.groups()  # fmt: skip
        if b"&" in name:
            name = unescape(name)
        line = found.group()
        if name64 or path or damaged or twins or b"/" in name or len(name) > 255 or name in (b"", b".", b".."):
            return file_record(parse_untrusted(line, RECORD_LIMIT))
        date = None
        if verified and (date := values.parse_date(verified.decode())) is None:
            return file_record(parse_untrusted(line, RECORD_LIMIT))
        trust = Trust.EDITED
        if crc:
            at = found.start(14) - found.start() - 6
            if zlib.crc32(line[at + 15 :], zlib.crc32(line[:at])) == int(crc, 16):
                trust = Trust.WHOLE
        copies = ()
        if bds and (copies := self._bds.get(bds)) is None:
            read = [Bd(target.decode(), _STANDINGS[standing]) for standing, target in _bd(bds)]
            copies = tuple(sorted(read, key=by_target))
            if len(bds) < 4096 and len(self._bds) < 4096:
                self._bds[bds] = copies
        return FileRecord(
            name,
            int(size),
            int(mtime.replace(b".", b"")),
            unhexlify(md5) if md5 else None,
            int(mode, 8) if mode else MODE_DEFAULT,
            copies,
            tuple(unescape(tag).decode() for tag in _tag(tags)) if tags else (),
            None,
            date,
            None,
            (),
            by is not None,
            trust,
            NOTHING,
            unhexlify(blake3) if blake3 and md5 and of == md5[:8] and trust is Trust.WHOLE else None,
        )

    def link(self, found: re.Match[bytes]) -> LinkRecord | None:
        """The record LINK found; None when its name can't be one or it leads nowhere."""
        return link_record(parse_untrusted(found.group(), RECORD_LIMIT))

    def directory(self, found: re.Match[bytes]) -> DirRecord | None:
        """The record DIR found; None when it can't be one."""
        name, name64, mode, mtime, path, _, crc, held = found.groups()
        line = found.group()
        if name64 or path or held or not name or b"/" in name or len(name) > 255 or name in (b".", b".."):
            return dir_record(parse_untrusted(line, RECORD_LIMIT))
        trust = Trust.EDITED
        if crc and zlib.crc32(b"/>", zlib.crc32(line[: found.start(7) - found.start() - 6])) == int(crc, 16):
            trust = Trust.WHOLE
        return DirRecord(unescape(name), int(mode, 8), int(mtime.replace(b".", b"")), None, (), trust)


def unescape(text: bytes) -> bytes:
    """Undo the escapes of the canonical form."""
    return _escape.sub(lambda found: _MEANING[found.group()], text) if b"&" in text else text


def parse_fast(data: bytes) -> Sidecar | None:
    """The sidecar, or None when not every line of it is a record in our own shape and legal text.

    Raises UnsafeXml for a record of many megabytes.
    """
    if not data.startswith(HEADER) or not data.endswith(FOOTER) or not (data.isascii() or legal(data)):
        return None
    shape = Shape()
    files: dict[bytes, FileRecord] = {}
    links: dict[bytes, LinkRecord] = {}
    dirs: dict[bytes | Place, DirRecord] = {}
    count = 0
    match_file = FILE.match
    read_file = shape.file
    at = len(HEADER)
    end = len(data) - len(FOOTER)
    while at < end:
        if found := match_file(data, at):
            record = read_file(found)
            if record is None:
                return None
            files[record.name] = record
        elif found := LINK.match(data, at):
            link = shape.link(found)
            if link is None:
                return None
            links[link.name] = link
        elif found := DIR.match(data, at):
            directory = shape.directory(found)
            if directory is None:
                return None
            dirs[directory.key] = directory
        else:
            return None
        at = found.end() + 1
        if data[at - 1] != _NEWLINE:
            return None
        count += 1
    if count != len(files) + len(links) + len(dirs):  # a name stands twice
        return None
    return Sidecar(files, links, dirs)
