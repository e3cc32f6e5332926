"""Save what is whole in a damaged sidecar, record by record: no damage reaches beyond the record it is in."""

from __future__ import annotations

import re
from contextlib import suppress
from itertools import tee, zip_longest

import lxml.etree as etree

from ..xml_safety import UnsafeXml, legal, parse_untrusted
from .checks import exact, is_right
from .elements import dir_record, extra_of, file_record, link_record
from .family import fr_record
from .fast import DIR, FILE, LINK, RECORD_LIMIT, Shape
from .records import NOTHING, DirRecord, Extra, FileRecord, LinkRecord, Place, Sidecar, Trust

TRIES_MAX = 20_000  # times an XML parser is tried in vain; more is no accident, and time is bounded

_starts = re.compile(rb"<(?:file|link|fr|dir)(?=[\s/>])").finditer
_root = re.compile(rb"<dr(?=[\s/>])[^<>]*>").search
_declaration = re.compile(rb"<\?xml[^<>]*\?>")
_end = re.compile(rb"</dr\s*>\s*\Z").search
_start_tag = re.compile(
    rb"""<([A-Za-z][A-Za-z0-9_-]*+)(?:\s+[^\s=<>"'/]++\s*=\s*(?:"[^"<]*+"|'[^'<]*+'))*+\s*(/?)>"""
).match
_lines = re.compile(rb"[^\r\n]+").finditer
_telltale = re.compile(rb"name=|size=|mtime=|md5=|checksum=|crc=|</(?:file|link|fr|dir)>").search


def pieces_of_records(text: bytes) -> int:
    """How many lines of what could not be read were a record, or a piece of one."""
    return sum(_telltale(line.group()) is not None for line in _lines(text))


def put_record(sidecar: Sidecar, record: FileRecord | LinkRecord | DirRecord) -> None:
    """Add a record; of two of one name the more trusted stays.

    Two that are both whole and differ can't both be true: the later one stays, EDITED, so that its file is looked at.
    """
    key: bytes | Place = record.key if isinstance(record, DirRecord) else record.name
    records: dict[bytes | Place, FileRecord | LinkRecord | DirRecord]
    kinds = {FileRecord: sidecar.files, LinkRecord: sidecar.links, DirRecord: sidecar.dirs}
    records = kinds[type(record)]  # type: ignore[assignment]
    there = records.get(key)
    if there is None:
        records[key] = record
        return
    sidecar.damage = sidecar.damage or "two records of one name"
    if there == record:
        return
    if there.trust is Trust.WHOLE and record.trust is Trust.WHOLE:
        record.trust = Trust.EDITED
        records[key] = record
        return
    sidecar.lost += 1
    if record.trust > there.trust:
        records[key] = record


def salvage(data: bytes, why: str) -> Sidecar:
    """What can be saved of a file that is no sound XML; `why` goes into its `damage`. Never raises.

    A record counts as whole only with its own check right, wherever it stands; family records, which have none, come
    out as EDITED.
    """
    sidecar = Sidecar(damage=f"cut short ({why})" if _end(data) is None else why)
    shape = Shape()
    rest = _Rest(sidecar)
    head, starts = tee(found.start() for found in _starts(data))
    _head(sidecar, data[: next(head, len(data))], rest)
    tries = 0
    for start, end in zip_longest(starts, head, fillvalue=len(data)):
        record, stop = _own(shape, data, start, end)
        if record is None and tries < TRIES_MAX:
            record, stop = _careful(data, start, end)
            tries += record is None
        if record is None:
            sidecar.lost += max(1, pieces_of_records(data[start:end]))
            continue
        put_record(sidecar, record)
        if end - stop > 1:
            rest.take(data[stop:end])
    if rest.unknown:
        sidecar.extra = Extra(sidecar.extra.attributes, tuple(rest.unknown))
    return sidecar


class _Rest:
    """What is no record: elements of a later version are kept, what was a record is counted as lost."""

    def __init__(self, sidecar: Sidecar) -> None:
        self.unknown: list[str] = []
        self._sidecar = sidecar
        self._tries = 0

    def take(self, residue: bytes) -> None:
        for found in _lines(residue):
            line = found.group().strip()
            if not line or line == b"</dr>":
                continue
            element = self._element(line)
            if element is not None and (element.get("crc") is None or is_right(element)):
                self.unknown.append(exact(element))
            elif _telltale(line):
                self._sidecar.lost += 1

    def _element(self, line: bytes) -> etree._Element | None:
        if not line.startswith(b"<") or self._tries >= TRIES_MAX:
            return None
        self._tries += 1
        try:
            return parse_untrusted(line, RECORD_LIMIT)
        except UnsafeXml:
            return None


def _own(shape: Shape, data: bytes, start: int, end: int) -> tuple[FileRecord | LinkRecord | DirRecord | None, int]:
    """A record in our own shape, and where it ends."""
    for pattern, read in ((FILE, shape.file), (LINK, shape.link), (DIR, shape.directory)):
        if (found := pattern.match(data, start, end)) and legal(found.group()):
            with suppress(UnsafeXml):
                return read(found), found.end()
    return None, end


def _careful(data: bytes, start: int, end: int) -> tuple[FileRecord | LinkRecord | DirRecord | None, int]:
    """A record of any shape that is sound XML on its own, and where it ends."""
    element, stop = element_at(data, start, end)
    if element is None:
        return None, end
    if element.tag == "file":
        return file_record(element), stop
    if element.tag == "dir":
        return dir_record(element), stop
    return (link_record(element) if element.tag == "link" else fr_record(element, Trust.EDITED)), stop


def element_at(data: bytes, start: int, end: int) -> tuple[etree._Element | None, int]:
    """The element that starts here and is sound XML on its own, and where it ends; None when none ends before `end`."""
    found = _start_tag(data, start, end)
    if found is None:
        return None, end
    stop = found.end()
    if not found.group(2):
        closing = b"</" + found.group(1) + b">"
        stop = data.find(closing, stop, end) + len(closing)
        if stop < found.end():
            return None, end
    try:
        return parse_untrusted(data[start:stop], RECORD_LIMIT), stop
    except UnsafeXml:
        return None, end


def _head(sidecar: Sidecar, head: bytes, rest: _Rest) -> None:
    """What stands before the first record: the root's attributes, if its tag is whole."""
    found = _root(head)
    if found:
        tag = found.group()
        try:
            root = parse_untrusted(tag if tag.endswith(b"/>") else tag + b"</dr>", RECORD_LIMIT)
        except UnsafeXml:
            root = None
        if root is not None:
            attributes = extra_of(root, ("v",)).attributes
            sidecar.extra = Extra(attributes) if attributes else NOTHING
        head = head[: found.start()] + b"\n" + head[found.end() :]
    rest.take(_declaration.sub(b"", head))
