"""A record from its XML element: the careful way, for whatever is not exactly as we write it."""

from __future__ import annotations

from operator import attrgetter

import lxml.etree as etree

from .. import names
from ..model import Standing
from . import values
from .checks import ATTRIBUTES, LATER, exact, is_right
from .records import MODE_DEFAULT, NOTHING, Bd, DirRecord, Extra, FileRecord, LinkRecord, Place, Trust, valid_id

by_target = attrgetter("target")  # the order of a record's copies
_FILE = (*ATTRIBUTES["file"], *LATER)
_HOLDS = frozenset(ATTRIBUTES["holds"])
_STANDINGS = {None: Standing.VERIFIED, "verified": Standing.VERIFIED, "written": Standing.WRITTEN}


def file_record(element: etree._Element, *, unchecked: Trust = Trust.EDITED) -> FileRecord | None:
    """The record of a `<file>`, or None when its name or its size can't be told.

    `unchecked` is the trust of a record without a right check: FAMILY for files of a program that writes none.
    Whatever else can't be read is left at its default and makes the record EDITED.
    """
    attributes = element.attrib
    name = values.exact_bytes(attributes.get("name"), attributes.get("name64"))
    size = values.parse_number(attributes.get("size"))
    if name is None or size is None or names.check_component(name) is not None:
        return None
    right = is_right(element)
    trust = Trust.WHOLE if right else unchecked
    mtime_ns = values.parse_mtime(attributes.get("mtime"))
    md5 = values.parse_md5(attributes.get("md5"))
    mode = values.parse_mode(attributes.get("mode"))
    verified = values.parse_date(attributes.get("verified"))
    damaged = values.parse_date(attributes.get("damaged"))
    path = values.parse_place(values.exact_bytes(attributes.get("path"), attributes.get("path64")))
    read = {"mtime": mtime_ns, "md5": md5, "mode": mode, "verified": verified, "damaged": damaged, "path": path}
    if mtime_ns is None or any(value is None and attribute in attributes for attribute, value in read.items()):
        trust = Trust.EDITED
    bds, tags, twins, extra = parts_of(element, claims=not right and unchecked is Trust.FAMILY)
    return FileRecord(
        name=name,
        size=size,
        mtime_ns=mtime_ns or 0,
        md5=md5,
        mode=MODE_DEFAULT if mode is None else mode,
        bds=bds,
        tags=tags,
        damaged=damaged,
        verified=verified,
        path=path,
        twins=twins,
        ours=attributes.get("by") == "medback",
        trust=trust,
        extra=extra_of(element, _FILE, extra),
        blake3=values.parse_blake3(attributes.get("blake3"), attributes.get("blake3_of"), md5) if right else None,
    )


def link_record(element: etree._Element) -> LinkRecord | None:
    """The record of a `<link>`, or None when its name or where it leads can't be told."""
    link = _name_and_goal(element)
    if link is None:
        return None
    trust = Trust.WHOLE if is_right(element) else Trust.EDITED
    return LinkRecord(*link, trust, extra_of(element, ATTRIBUTES["link"], tuple(map(exact, element))))


def dir_record(element: etree._Element) -> DirRecord | None:
    """The record of a `<dir>`, or None when it can't be told which it is, its mode or its time."""
    attributes = element.attrib
    name = values.exact_bytes(attributes.get("name"), attributes.get("name64"))
    path = values.parse_place(values.exact_bytes(attributes.get("path"), attributes.get("path64")))
    mode, mtime_ns = values.parse_mode(attributes.get("mode")), values.parse_mtime(attributes.get("mtime"))
    if mode is None or mtime_ns is None or (name is None and path is None):
        return None
    if name is not None and names.check_component(name) is not None:
        return None
    links: list[tuple[bytes, bytes]] = []
    unknown: list[str] = []
    for child in element:
        link = _held(child)
        if link is None:
            unknown.append(exact(child))
        else:
            links.append(link)
    extra = extra_of(element, ATTRIBUTES["dir"], tuple(unknown))
    trust = Trust.WHOLE if is_right(element) else Trust.EDITED
    return DirRecord(name or b"", mode, mtime_ns, path, tuple(sorted(links)), trust, extra)


def _held(element: etree._Element) -> tuple[bytes, bytes] | None:
    """A link that a directory which does not lie on the drive holds."""
    if element.tag != "holds" or len(element) or element.text or not _HOLDS.issuperset(map(str, element.attrib)):
        return None
    return _name_and_goal(element)


def _name_and_goal(element: etree._Element) -> tuple[bytes, bytes] | None:
    name = values.exact_bytes(element.get("name"), element.get("name64"))
    to = values.exact_bytes(element.get("to"), element.get("to64"))
    if name is None or to is None or names.check_component(name) or values.check_link_target(to):
        return None
    return name, to


def parts_of(
    element: etree._Element, *, claims: bool
) -> tuple[tuple[Bd, ...], tuple[str, ...], tuple[Place, ...], tuple[str, ...]]:
    """Copies, tags, twins, and the canonical form of what is none of these or not as it should be.

    With `claims` every copy is listed and not checked, whatever its standing says.
    """
    bds: list[Bd] = []
    tags: list[str] = []
    twins: list[Place] = []
    unknown: list[str] = []
    for child in element:
        bd = _bd(child, claims=claims)
        twin = _twin(child)
        if bd is not None:
            bds.append(bd)
        elif twin is not None:
            twins.append(twin)
        elif child.tag == "tag" and not len(child) and not child.attrib:
            tags.append(child.text or "")
        else:
            unknown.append(exact(child))
    return tuple(sorted(bds, key=by_target)), tuple(tags), tuple(sorted(twins)), tuple(unknown)


def extra_of(element: etree._Element, known: tuple[str, ...], elements: tuple[str, ...] = ()) -> Extra:
    """The attributes that are neither known nor the check, sorted, with these elements."""
    attributes = tuple(
        sorted((str(name), str(value)) for name, value in element.attrib.items() if name not in known and name != "crc")
    )
    return Extra(attributes, elements) if attributes or elements else NOTHING


def _bd(element: etree._Element, *, claims: bool) -> Bd | None:
    target = (element.text or "").strip()
    if element.tag != "bd" or len(element) or not valid_id(target):
        return None
    standing = Standing.CLAIMED if claims else _STANDINGS.get(element.get("standing"), Standing.CLAIMED)
    return Bd(target, standing, extra_of(element, ("standing", "crc")).attributes)


def _twin(element: etree._Element) -> Place | None:
    if element.tag != "twin" or len(element) or element.text or not {"at", "at64"}.issuperset(map(str, element.attrib)):
        return None
    return values.parse_place(values.exact_bytes(element.get("at"), element.get("at64")))
