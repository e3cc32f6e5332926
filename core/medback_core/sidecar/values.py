"""The single values of the formats: times, dates, base64, places. Exact, in integers, never raising when reading."""

from __future__ import annotations

import binascii
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache

from .. import names
from ..model import LINE_MAX, STATE_MAX, State
from .records import Place, valid_id

NUMBER_MAX = 2**63 - 1
_LINK_TARGET_MAX = 65536

_mtime = re.compile(r"(-?)([0-9]{1,19})(?:\.([0-9]{1,9}))?").fullmatch
_number = re.compile(r"[0-9]{1,19}").fullmatch
_mode = re.compile(r"[0-7]{1,6}").fullmatch
_md5 = re.compile(r"[0-9a-fA-F]{32}").fullmatch
_blake3 = re.compile(r"[0-9a-f]{64}").fullmatch
_stamp = re.compile(r"[0-9a-f]{16}").fullmatch


def parse_mtime(text: str | None) -> int | None:
    """Nanoseconds, exactly; fewer than nine digits (or none) are allowed. None when it is no time."""
    found = _mtime(text or "")
    if found is None:
        return None
    sign, seconds, fraction = found.groups()
    mtime_ns = int(seconds) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))
    return -mtime_ns if sign else mtime_ns


def parse_number(text: str | None) -> int | None:
    """A decimal number from 0 to 2**63 - 1, else None."""
    if not _number(text or ""):
        return None
    number = int(text or "")
    return number if number <= NUMBER_MAX else None


def parse_mode(text: str | None) -> int | None:
    """Permission bits (0o777 of an octal number), else None. Nothing beyond them is ever taken over."""
    return int(text or "", 8) & 0o777 if _mode(text or "") else None


def parse_md5(text: str | None) -> bytes | None:
    """The 16 bytes of 32 hex digits of either case, else None."""
    return bytes.fromhex(text or "") if _md5(text or "") else None


def parse_blake3(text: str | None, of: str | None, md5: bytes | None) -> bytes | None:
    """The 32 bytes of 64 hex digits, where `of` is the start of the MD5 they belong to; else None: a program that knows
    no BLAKE3 carries it over when the MD5 changes."""
    if md5 is None or of != blake3_of(md5) or not _blake3(text or ""):
        return None
    return bytes.fromhex(text or "")


def blake3_of(md5: bytes) -> str:
    """By what a record says which MD5 its BLAKE3 belongs to: the first 8 digits."""
    return md5[:4].hex()


@lru_cache(maxsize=1024)
def format_date(date: int) -> str | None:
    """ISO 8601 in UTC to the second; None outside of the years 1 to 9999, which no clock of ours has shown."""
    try:
        return datetime.fromtimestamp(date, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")
    except (ValueError, OverflowError, OSError):
        return None


def parse_date(text: str | None) -> int | None:
    """Seconds since the epoch of an ISO 8601 date or date and time, in UTC where it names no zone; else None."""
    if not text or len(text) > 40:
        return None
    return _date(text)


@lru_cache(maxsize=1024)
def _date(text: str) -> int | None:
    try:
        date = datetime.fromisoformat(text)
        return int((date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        return None


def parse_stamp(text: str | None) -> str:
    """The stamp of a state; "" when it is none."""
    return text if text and _stamp(text) else ""


def parse_count(text: str | None) -> int:
    """The number of a state; 0 where it is none."""
    n = parse_number(text)
    return n if n is not None and n <= STATE_MAX else 0


def parse_state(attributes: Mapping[str, str]) -> State | None:
    """The state these attributes tell of; None where there is none, or none that can be read."""
    n, stamp = parse_count(attributes.get("n")), parse_stamp(attributes.get("stamp"))
    by = attributes.get("by", "")
    if not n or not stamp or not valid_id(by):
        return None
    line = attributes.get("line", "").split()[-LINE_MAX:]
    return State(n, stamp, parse_date(attributes.get("at")) or 0, by, tuple(filter(parse_stamp, line)))


def state_attributes(state: State) -> dict[str, object]:
    """The attributes that hold a state; one that is None is left out."""
    at, line = format_date(state.at) or "1970-01-01T00:00:00Z", " ".join(state.line) or None
    return {"at": at, "by": state.by, "line": line, "n": state.n, "stamp": state.stamp}


def from_base64(text: str | bytes) -> bytes | None:
    """The bytes of strict standard base64, else None."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        return None


def exact_bytes(readable: str | None, encoded: str | None) -> bytes | None:
    """What a pair like `name` and `name64` says: the encoded one where it is there, whatever the readable one says."""
    if encoded is not None:
        return from_base64(encoded)
    return None if readable is None else names.from_text(readable)


def pair(attribute: str, value: bytes) -> dict[str, str]:
    """The attributes that hold these bytes: one as it is, or a readable one and the exact one with `64` to its name."""
    if names.xml_safe(value):
        return {attribute: value.decode()}
    exact = binascii.b2a_base64(value, newline=False).decode()
    return {attribute: names.display_name(value), attribute + "64": exact}


def place_bytes(place: Place) -> bytes:
    """`SOURCE:relative/path`, how a place is written."""
    return place[0].encode() + b":" + place[1]


def parse_place(value: bytes | None) -> Place | None:
    """A place from its written form, or None: the id must be one, the path relative, clean and below its root."""
    if value is None:
        return None
    source, colon, path = value.partition(b":")
    identifier = source.decode("ascii", "replace")
    if not colon or not valid_id(identifier) or names.check_relative(path) is not None:
        return None
    return identifier, path


def check_link_target(to: bytes) -> str | None:
    """Why a symbolic link can't lead there, or None when it can."""
    if not to or b"\0" in to or len(to) > _LINK_TARGET_MAX:
        return "no target of a link"
    return None
