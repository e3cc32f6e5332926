"""`.medback-target.xml`: which target a drive is, and under which folders the sources lie on it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import NamedTuple

from .. import names
from ..model import OnPlug, State, TargetState
from ..xml_safety import UnsafeXml, parse_untrusted
from . import values
from .checks import ATTRIBUTES
from .history import ToldEvent, history_lines, parse_history
from .metadata import METADATA_LIMIT, Elements, document, element_line, parse_target_state, state_line, unknown_of
from .records import NOTHING, Extra, valid_id

_ROOT = "medback-target"
_KNOWN = ("identity", "target", "also", "folder", "state", "remembers", "holder", "event")
_REMEMBERS = ATTRIBUTES["remembers"]
_uuid = re.compile(rb"[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}").fullmatch


@dataclass(frozen=True, slots=True)
class Remembered:
    """What the context on a drive knows of one source, so that the context need not be read to announce it.

    `files` and `bytes` are those that should exist; `n`, `at` (a date) and `stamp` are those of the state of the source
    it tells of: 0 and "" where only the version before wrote it.
    """

    source: str  # its id
    alias: str
    files: int
    bytes: int
    n: int = 0
    at: int | None = None
    stamp: str = ""
    extra: Extra = NOTHING


class Holder(NamedTuple):
    """A target that holds some of what a drive remembers; `at` is when it was last written to, as far as is known."""

    id: str
    label: str
    at: int | None = None


@dataclass(frozen=True, slots=True)
class TargetIdentity:
    """What a drive says of itself. `id` is "" where it could not be read; `damage` names what was dropped."""

    id: str
    label: str
    created: int | None = None
    state: TargetState = TargetState.ACTIVE
    capacity: int | None = None  # bytes medback may fill at most
    rev: int = 1
    fs_uuid: str | None = None
    also: tuple[str, ...] = ()  # further ids the family gave it
    folders: tuple[tuple[bytes, str], ...] = ()  # (folder at the drive's root, source id)
    remembers: tuple[Remembered, ...] = ()  # the sections of its context
    holders: tuple[Holder, ...] = ()  # the targets that hold what it remembers
    target_extra: Extra = NOTHING  # of the <target> element
    extra: Extra = NOTHING
    now: State | None = None  # of what the drive holds; None: only the versions before wrote there
    state_extra: Extra = NOTHING  # of the <state> element
    disk: str | None = None  # what people call the disk it lies on
    place: str | None = None  # where people say it is kept
    on_plug: OnPlug | None = None  # what `watch` does when it is plugged in
    luks: str | None = None  # uuid of the encrypted container around it
    readme: bool = True  # whether the files that explain the drive belong on it
    history: tuple[ToldEvent, ...] = ()  # what happened to it, and to the sources it tells of
    damage: tuple[str, ...] = field(default=(), compare=False)


def parse_target_identity(data: bytes) -> TargetIdentity:
    """What can be read and has a right check. Never raises; what is dropped is named in `damage`.

    An empty `id` means that the drive has an identity that can't be read now: it is never to be taken for a new one.
    Where the facts are lost the state is ACTIVE at `rev` 0, so that anything known elsewhere outranks it.
    """
    elements = Elements(data, _ROOT, _KNOWN)
    target = elements.one("target")
    attributes = {} if target is None else dict(target.attrib)
    identifier = elements.identifier("target")
    if target is None:
        elements.unreadable("target")
    also = []
    for element in elements.all("also"):
        if valid_id(element.get("id", "")):
            also.append(element.get("id", ""))
        else:
            elements.unreadable("also")
    folders = []
    for element in elements.all("folder"):
        name = values.exact_bytes(element.get("name"), element.get("name64"))
        if name is not None and names.check_component(name) is None and valid_id(element.get("source", "")):
            folders.append((name, element.get("source", "")))
        else:
            elements.unreadable("folder")
    remembers = []
    for element in elements.all("remembers"):
        files, size = values.parse_number(element.get("files")), values.parse_number(element.get("bytes"))
        if files is None or size is None or not valid_id(element.get("source", "")):
            elements.unreadable("remembers")
            continue
        n, at = values.parse_number(element.get("n")) or 0, values.parse_date(element.get("at"))
        source, alias, extra = element.get("source", ""), element.get("alias", ""), unknown_of(element, _REMEMBERS)
        stamp = values.parse_stamp(element.get("stamp"))
        remembers.append(Remembered(source, alias, files, size, n, at, stamp, extra))
    holders = []
    for element in elements.all("holder"):
        if valid_id(element.get("id", "")):
            date = values.parse_date(element.get("at"))
            holders.append(Holder(element.get("id", ""), element.get("label", ""), date))
        else:
            elements.unreadable("holder")
    history = parse_history(elements)
    return TargetIdentity(
        id=identifier,
        label=attributes.get("label", ""),
        created=values.parse_date(attributes.get("created")),
        state=parse_target_state(attributes.get("state")),
        capacity=values.parse_number(attributes.get("capacity")),
        rev=values.parse_number(attributes.get("rev")) or 0,
        fs_uuid=attributes.get("fs_uuid"),
        also=tuple(also),
        folders=tuple(sorted(folders)),
        remembers=tuple(remembers),
        holders=tuple(holders),
        target_extra=NOTHING if target is None else unknown_of(target, ATTRIBUTES["target"]),
        extra=elements.extra,
        now=elements.state(),
        state_extra=elements.extra_of("state"),
        disk=attributes.get("disk"),
        place=attributes.get("where"),
        on_plug=OnPlug(said) if (said := attributes.get("on_plug")) in list(OnPlug) else None,
        luks=attributes.get("luks"),
        readme=attributes.get("readme") != "no",
        history=history,
        damage=tuple(elements.damage),
    )


def render_target_identity(identity: TargetIdentity) -> bytes:
    """The file's bytes; equal facts give equal bytes."""
    names = ("id", "label", "capacity", "rev", "fs_uuid", "disk", "luks", "on_plug")
    said = {name: getattr(identity, name) for name in names} | {"state": identity.state, "where": identity.place}
    said |= {"created": _date(identity.created), "readme": None if identity.readme else "no"}
    lines = [element_line("identity", {"id": identity.id}), element_line("target", said, identity.target_extra)]
    lines += [element_line("also", {"id": also}) for also in sorted(identity.also)]
    for folder, source in sorted(identity.folders):
        lines.append(element_line("folder", {**values.pair("name", folder), "source": source}))
    lines += state_line(identity.now, identity.state_extra)
    for told in identity.remembers:
        said = {"source": told.source, "alias": told.alias, "files": told.files, "bytes": told.bytes}
        said |= {"n": told.n or None, "at": _date(told.at), "stamp": told.stamp or None}
        lines.append(element_line("remembers", said, told.extra))
    for holder in identity.holders:
        lines.append(element_line("holder", holder._asdict() | {"at": _date(holder.at)}))
    return document(_ROOT, [*lines, *history_lines(identity.history)], identity.extra)


def _date(date: int | None) -> str | None:
    return None if date is None else values.format_date(date)


def family_target_id(name: bytes, data: bytes) -> str | None:
    """The id a file of the family gives a drive: `.bkp_id` (a uuid) or `.mdbackup.xml` (`<vol><label>`); else None."""
    if name == b".bkp_id":
        text = data.strip()
        return text.decode("ascii") if _uuid(text) else None
    if name != b".mdbackup.xml":
        return None
    try:
        root = parse_untrusted(data, METADATA_LIMIT)
    except UnsafeXml:
        return None
    label = (root.findtext("label") or "").strip() if root.tag == "vol" else ""
    return label if valid_id(label) else None
