"""Read the values in a context's attributes strictly: what is wrong raises BadValue with the words for a person."""

from __future__ import annotations

import base64
import binascii
import calendar
import re
import time
from collections.abc import Mapping
from typing import TypeAlias

from medback_core import names
from medback_core.model import LINE_MAX, WANTED_MAX, Rule, Standing, State, TargetState

from .records import MODE_DEFAULT, PATH_BYTES_MAX, DirectoryFact, TargetLine

NUMBER_MAX = 2**63 - 1  # of a size: what the session DB can hold
_NUMBER_DIGITS = len(str(NUMBER_MAX))
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_SECONDS = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?")
_STATE_NUMBER = re.compile(r"[1-9][0-9]{0,14}")
_STAMP = re.compile(r"[0-9a-f]{16}")
_MODE = re.compile(r"[0-7]{3,5}")
_STANDINGS = {standing.name.lower(): standing for standing in Standing}
_MODE_KEPT = 0o777  # never setuid, setgid or sticky
_HEX_DIGITS, _BASE64_DIGITS = 32, 22  # of an MD5; the family writes base64 without its padding

Attributes: TypeAlias = Mapping[str, str]
# name, size, mtime_ns, mode, md5, gone
FileValues: TypeAlias = tuple[bytes, int, int, int, bytes | None, int | None]


class BadValue(ValueError):
    """A value that can't be what it should be; the reader adds the line."""


def file_values(attributes: Attributes) -> FileValues:
    return _plain_file(attributes) or (
        component(attributes, "file"),
        number(attributes, "size"),
        seconds(attributes),
        mode(attributes, MODE_DEFAULT),
        digest(attributes),
        date(attributes, "gone"),
    )


def directory_fact(attributes: Attributes, directory: bytes) -> list[DirectoryFact]:
    """What an `<rc>` or a `<dr>` says of the directory itself; nothing where it does not say."""
    if "mode" not in attributes or "mtime" not in attributes:
        return []
    return [DirectoryFact(directory, mode(attributes, 0o700), seconds(attributes))]


def _plain_file(attributes: Attributes) -> FileValues | None:
    """The same, for the one shape nearly all of a million have, at a third of the time; None for any other shape."""
    if len(attributes) != 4:
        return None
    said = attributes.get("name")
    size = attributes.get("size")
    mtime = attributes.get("mtime")
    md5 = attributes.get("md5")
    if not (said and size and mtime and md5) or mtime[-10:-9] != "." or len(md5) != _HEX_DIGITS:
        return None
    if len(size) > _NUMBER_DIGITS or not 10 < len(mtime) <= _NUMBER_DIGITS + 1:
        return None
    digits = mtime[:-10] + mtime[-9:]
    name = said.encode()
    if not (size.isdecimal() and digits.isdecimal()) or b"/" in name or len(name) > names.COMPONENT_MAX:
        return None
    size_bytes, mtime_ns = int(size), int(digits)
    if size_bytes > NUMBER_MAX or name == b"." or name == b"..":
        return None
    try:
        digest_bytes = bytes.fromhex(md5)
    except ValueError:
        return None
    return (name, size_bytes, mtime_ns, MODE_DEFAULT, digest_bytes, None) if len(digest_bytes) == 16 else None


def exact(attributes: Attributes, key: str) -> bytes | None:
    """The bytes of `key64` if there is one, else of `key`; None when there is neither."""
    encoded = attributes.get(key + "64")
    if encoded is None:
        text = attributes.get(key)
        return None if text is None else text.encode()
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadValue(f"{key}64 is no base64") from error


def text(attributes: Attributes, key: str) -> str:
    """The same as text, empty when missing."""
    return names.text(exact(attributes, key) or b"")


def component(attributes: Attributes, what: str) -> bytes:
    """The name of an entry, checked to be one that can lie in a directory."""
    name = exact(attributes, "name")
    if name is None:
        raise BadValue(f"a {what} without a name")
    reason = names.check_component(name)
    if reason is not None:
        raise BadValue(f'the name "{_shown(name)}" is refused: {reason}')
    return name


def relative_path(attributes: Attributes) -> bytes:
    """The path of a `<dr path>`, checked to be nothing but names; its length is the reader's to check."""
    path = exact(attributes, "path") or b""
    reason = names.check_relative(path) if path else "it is empty"
    if reason is not None:
        raise BadValue(f'the path "{_shown(path)}" is refused: {reason}')
    return path


def source_path(attributes: Attributes) -> bytes:
    """Where a source lay: absolute, with no way back up."""
    path = exact(attributes, "src_path")
    if not path:
        raise BadValue("a source (rc) without a src_path")
    if not path.startswith(b"/") and not re.match(rb"[A-Za-z]:[\\/]", path):
        raise BadValue(f'the source path "{_shown(path)}" is not absolute')
    if b"\0" in path or b".." in re.split(rb"[/\\]", path) or len(path) > PATH_BYTES_MAX:
        raise BadValue(f'the source path "{_shown(path)}" is refused')
    return path


def link_target(attributes: Attributes) -> bytes:
    """Where a link leads: anything a link can hold."""
    to = exact(attributes, "to")
    if not to or b"\0" in to or len(to) > PATH_BYTES_MAX:
        raise BadValue("a link that leads nowhere (to)")
    return to


def target_line(attributes: Attributes) -> TargetLine:
    id = identifier(attributes.get("id", ""), "target")
    rev, disk = number(attributes, "rev", 0), text(attributes, "disk")
    place = text(attributes, "where")
    return TargetLine(id, text(attributes, "label"), state(attributes), rev, now(attributes), disk, place)


def rule(attributes: Attributes) -> Rule:
    copies, elsewhere = (number(attributes, key, 0, WANTED_MAX) for key in ("copies", "elsewhere"))
    return Rule(
        relative_path(attributes),
        copies if "copies" in attributes else None,
        elsewhere if "elsewhere" in attributes else None,
        number(attributes, "rev", 1),
    )


def elsewhere(attributes: Attributes) -> int:
    """How many of the wanted copies a source wants at another place."""
    return number(attributes, "wanted_elsewhere", 0, WANTED_MAX)


def now(attributes: Attributes) -> State | None:
    """The state a target or a section is told as of; None where there is none, or none that can be read: it only adds
    caution, so that the context is still read."""
    n, stamp, by = attributes.get("n", ""), attributes.get("stamp", ""), attributes.get("by", "")
    if not (_STATE_NUMBER.fullmatch(n) and _STAMP.fullmatch(stamp) and _ID.fullmatch(by)):
        return None
    line = tuple(filter(_STAMP.fullmatch, attributes.get("line", "").split()[-LINE_MAX:]))
    try:
        at = date(attributes, "at") or 0
    except BadValue:
        at = 0
    return State(int(n), stamp, at, by, line)


def number(attributes: Attributes, key: str, default: int | None = None, most: int = NUMBER_MAX) -> int:
    """A whole number from 0 to `most`; without a default the attribute must be there."""
    digits = attributes.get(key)
    if digits is None:
        if default is None:
            raise BadValue(f"{key} is missing")
        return default
    if not (digits.isascii() and digits.isdigit() and len(digits) <= _NUMBER_DIGITS) or int(digits) > most:
        raise BadValue(f'{key} "{_shown(digits)}" is not a number from 0 to {most}')
    return int(digits)


def seconds(attributes: Attributes) -> int:
    """The mtime in nanoseconds, from decimal seconds with up to nine places; 0 when missing, as the family means it."""
    said = attributes.get("mtime")
    if said is None:
        return 0
    found = _SECONDS.fullmatch(said)
    ns = 0
    if found:
        sign, whole, places = found.groups()
        ns = int(f"{sign}{whole}{places or '':0<9}")
    if not found:
        raise BadValue(f'mtime "{_shown(said)}" is not a number of seconds')
    return ns


def digest(attributes: Attributes) -> bytes | None:
    """The MD5, from hex or the family's base64; None when missing or empty: the file could not be read."""
    said = attributes.get("md5")
    if not said:
        return None
    try:
        if len(said) == _HEX_DIGITS:
            md5 = bytes.fromhex(said)
        else:
            md5 = base64.b64decode(said.rstrip("=") + "==", validate=True) if len(said) >= _BASE64_DIGITS else b""
    except ValueError:
        md5 = b""
    if len(md5) != 16:
        raise BadValue(f'md5 "{_shown(said)}" is not an MD5')
    return md5


def mode(attributes: Attributes, default: int) -> int:
    """Permission bits from octal."""
    said = attributes.get("mode")
    if said is None:
        return default
    if not _MODE.fullmatch(said):
        raise BadValue(f'mode "{_shown(said)}" is not octal permissions')
    return int(said, 8) & _MODE_KEPT


def date(attributes: Attributes, key: str) -> int | None:
    """Seconds since the epoch from `2026-11-24T03:00:00Z`; None when missing."""
    said = attributes.get(key)
    if said is None:
        return None
    try:
        return calendar.timegm(time.strptime(said, "%Y-%m-%dT%H:%M:%SZ"))
    except ValueError as error:
        raise BadValue(f'{key} "{_shown(said)}" is not a date like 2026-11-24T03:00:00Z') from error


def identifier(said: str, what: str) -> str:
    """An id of a source or target."""
    if not _ID.fullmatch(said):
        raise BadValue(f'the id "{_shown(said)}" of a {what} is not 1 to 64 of A-Z a-z 0-9 . _ -')
    return said


def state(attributes: Attributes) -> TargetState:
    """A target's state, active when not said."""
    said = attributes.get("state", TargetState.ACTIVE.value)
    try:
        return TargetState(said)
    except ValueError as error:
        raise BadValue(f'the state "{_shown(said)}" is none of {", ".join(TargetState)}') from error


def standing(attributes: Attributes) -> Standing:
    """How well a copy is known, verified when not said."""
    said = attributes.get("standing", "verified")
    if said not in _STANDINGS:
        raise BadValue(f'the standing "{_shown(said)}" is none of {", ".join(_STANDINGS)}')
    return _STANDINGS[said]


def wanted(attributes: Attributes, default: int) -> int:
    """How many copies a source wants."""
    return number(attributes, "wanted", default, WANTED_MAX)


def _shown(said: bytes | str) -> str:
    """Foreign text fit for an error message."""
    return names.display_name(said[:200])
