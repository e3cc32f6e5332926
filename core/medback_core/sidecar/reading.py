"""Read a sidecar: fast where it is as we write it, by an XML parser where not, record by record where it is damaged."""

from __future__ import annotations

import lxml.etree as etree

from ..xml_safety import DtdRefused, UnsafeXml, parse_untrusted
from .checks import exact, is_right
from .elements import dir_record, extra_of, file_record, link_record
from .family import fr_record, is_family_root
from .fast import parse_fast
from .records import NOTHING, RECORDS_MAX, SIDECAR_LIMIT, Extra, Sidecar, Trust
from .salvage import pieces_of_records, put_record, salvage

TREE_LIMIT = 64 * 1024 * 1024  # bytes; what is larger is read record by record


def parse(data: bytes) -> Sidecar:
    """The sidecar these bytes are, or what of it can be saved. Never raises, whatever the bytes.

    Every record carries its trust: WHOLE only where its own check is right, in a damaged file too. `damage` says why
    the file as a whole is not sound, `lost` how many records could not be saved, as best one can tell. A file with a
    DTD or beyond SIDECAR_LIMIT or RECORDS_MAX is believed in nothing: empty, with `damage`. Reads the family's
    dialects as well.
    """
    if len(data) > SIDECAR_LIMIT:
        return Sidecar(damage="larger than a sidecar can be")
    if sum(map(data.count, (b"<fi", b"<li", b"<fr", b"<di", b"<ho"))) > RECORDS_MAX:
        return Sidecar(damage="more records than a directory can have")
    if not data.strip():
        return Sidecar(damage="empty")
    try:
        sidecar = parse_fast(data)
        if sidecar is not None:
            return sidecar
        root = parse_untrusted(data, TREE_LIMIT)
    except DtdRefused as error:
        return Sidecar(damage=str(error))
    except UnsafeXml as error:
        return salvage(data, f"line {error.line}: {error}" if error.line else str(error))
    return _from_root(root)


def parse_family(data: bytes) -> Sidecar:
    """A `.medorg.xml`, read as `parse` does; `family` is set whatever it holds."""
    sidecar = parse(data)
    sidecar.family = True
    return sidecar


def whole(data: bytes) -> bool:
    """Whether this is a sidecar of ours in which nothing is missing or doubtful: well-formed, every check right."""
    sidecar = parse(data)
    records = (*sidecar.files.values(), *sidecar.links.values(), *sidecar.dirs.values())
    return not (sidecar.damage or sidecar.lost or sidecar.family) and all(r.trust is Trust.WHOLE for r in records)


def _from_root(root: etree._Element) -> Sidecar:
    if root.tag != "dr":
        return Sidecar(damage="not a sidecar")
    sidecar = Sidecar(family=is_family_root(root))
    if not sidecar.family and root.get("v") != "1":
        sidecar.damage = "no version" if root.get("v") is None else "of a version this medback does not know"
    unknown: list[str] = []
    _stray(sidecar, root.text)
    for element in root:
        _take(sidecar, element, unknown)
        _stray(sidecar, element.tail)
    attributes = extra_of(root, ("v",)).attributes
    sidecar.extra = Extra(attributes, tuple(unknown)) if attributes or unknown else NOTHING
    return sidecar


def _take(sidecar: Sidecar, element: etree._Element, unknown: list[str]) -> None:
    if element.tag == "file":
        record = file_record(element, unchecked=Trust.FAMILY if sidecar.family else Trust.EDITED)
    elif element.tag == "link":
        record = link_record(element)
    elif element.tag == "dir":
        record = dir_record(element)
    elif element.tag == "fr":
        record = fr_record(element)
        sidecar.family = True
    elif element.get("crc") is None or is_right(element):
        unknown.append(exact(element))
        return
    else:
        record = None
    if record is None:
        sidecar.lost += 1
        sidecar.damage = sidecar.damage or "a record can't be read"
    else:
        put_record(sidecar, record)


def _stray(sidecar: Sidecar, text: str | None) -> None:
    """Text between records is what is left of one, or of something else."""
    if text and text.strip():
        sidecar.damage = sidecar.damage or "text between the records"
        sidecar.lost += pieces_of_records(text.encode())
