"""Read a manifest that medback or another program wrote; which format it is shows in the text.

md5sum, sha1sum, sha256sum and b3sum (also in their BSD form), hashdeep, CSV as medback writes it, BagIt and ASC MHL.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import NamedTuple
from urllib.parse import unquote_to_bytes

import lxml.etree as etree

from medback_core.manifests.entry import Entry
from medback_core.names import check_relative, display_name
from medback_core.xml_safety import UnsafeXml, parse_untrusted

LIMIT = 1 << 30  # bytes of a manifest
EITHER = "sha256 or blake3"  # sums of 64 digits: sha256sum and b3sum write the same lines
_BY_LENGTH = {32: "md5", 40: "sha1", 64: EITHER}
# Two signs stand before a path; BagIt lets one do.
_SUM = re.compile(rb"(\\?)([0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}|[0-9A-Fa-f]{64})(?: [ *]| )(.+)", re.DOTALL)
_BSD = re.compile(rb"(\\?)(MD5|SHA1|SHA256|BLAKE3) \((.+)\) = ([0-9A-Fa-f]+)", re.DOTALL)
_MHL = ("md5", "sha1")
_ESCAPES = {b"\\\\": b"\\", b"\\n": b"\n", b"\\r": b"\r"}


class NotAManifest(Exception):
    """It can't be read as any format that is known; the words say where."""


class Manifest(NamedTuple):
    """What a manifest lists, by paths below one directory."""

    entries: list[Entry]
    of_a_bag: bool  # of BagIt: that directory is `data` in the bag


def read_manifest(data: bytes, below: bytes) -> Manifest:
    """What a manifest of the directory `below` lists; paths from the root of the file system may be in it. Raises
    NotAManifest for what is none, and for one that names a path outside of that directory."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if data.startswith(b"%%%% HASHDEEP"):
        entries = _hashdeep(data)
    elif data.lstrip()[:1] == b"<":
        entries = _mhl(data)
    elif data.startswith(b"path,"):
        entries = _csv(data)
    elif data.lstrip()[:1] in (b"[", b"{"):
        raise NotAManifest("it is JSON, as ncdu writes it: that has no digests to compare with")
    else:
        entries = _sums(data)
    found = []
    for entry in entries:
        path = entry.path.removeprefix(b"./").removeprefix(below.rstrip(b"/") + b"/")
        if check_relative(path) is not None:
            raise NotAManifest(f"it names a path outside of that directory: {display_name(path)}")
        found.append(entry._replace(path=path))
    if found and all(entry.path.startswith(b"data/") for entry in found) and b" data/" in data:
        return Manifest([entry._replace(path=_percent(entry.path[5:])) for entry in found], True)
    return Manifest(found, False)


def _lines(data: bytes) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        text = line.removesuffix(b"\r")
        if text.strip():
            yield number, text


def _sums(data: bytes) -> Iterator[Entry]:
    for number, line in _lines(data):
        if line.startswith(b"#"):
            continue
        found = _SUM.fullmatch(line)
        if found is not None:
            mark, digits, path = found.groups()
            algorithm = _BY_LENGTH[len(digits)]
        else:
            found = _BSD.fullmatch(line)
            if found is None:
                raise NotAManifest(f"line {number} is no line of a manifest")
            mark, said, path, digits = found.groups()
            algorithm = said.decode().lower()
        if mark:
            path = re.sub(rb"\\[\\nr]", lambda one: _ESCAPES[one.group()], path)
        yield Entry(path, None, None, {algorithm: _hex(digits, number)})


def _hashdeep(data: bytes) -> Iterator[Entry]:
    columns: list[bytes] = []
    for number, line in _lines(data):
        if line.startswith(b"%%%% HASHDEEP"):
            continue
        if line.startswith(b"%%%% "):
            columns = line[5:].split(b",")
            continue
        if line.startswith(b"##"):
            continue
        values = line.split(b",", len(columns) - 1)
        if not columns or len(values) != len(columns) or columns[-1] != b"filename" or not values[0].isdigit():
            raise NotAManifest(f"line {number} is no line of hashdeep's")
        said = dict(zip(columns, values, strict=True))
        digests = {
            name: _hex(said[name.encode()], number) for name in ("md5", "sha1", "sha256") if name.encode() in said
        }
        yield Entry(said[b"filename"], int(said[b"size"]), None, digests)


def _csv(data: bytes) -> Iterator[Entry]:
    text = data.decode("utf-8", "surrogateescape")
    for number, row in enumerate(csv.DictReader(io.StringIO(text, newline=""), strict=True), 2):
        try:
            path = row["path"].encode("utf-8", "surrogateescape")
            size = int(row["size"]) if row.get("size") else None
            digests = {name: bytes.fromhex(row[name]) for name in ("md5", "blake3", "sha1", "sha256") if row.get(name)}
            yield Entry(path, size, _nanoseconds(row.get("mtime") or ""), digests)
        except (ValueError, KeyError, AttributeError, TypeError) as error:
            raise NotAManifest(f"line {number} is no line of a manifest") from error


def _mhl(data: bytes) -> Iterator[Entry]:
    try:
        root = parse_untrusted(data, LIMIT)
    except UnsafeXml as error:
        raise NotAManifest(str(error)) from error
    if etree.QName(root).localname != "hashlist":
        raise NotAManifest("it is XML, and no hash list of ASC MHL")
    for one in root.iter("{*}hash"):
        path = one.find("{*}path")
        if path is None or not path.text:
            raise NotAManifest(f"line {one.sourceline} has no path")
        size, date = path.get("size"), path.get("lastmodificationdate")
        digests = {
            name: _hex(found.encode(), one.sourceline or 0) for name in _MHL if (found := one.findtext(f"{{*}}{name}"))
        }
        try:
            when = None if date is None else int(datetime.fromisoformat(date).timestamp()) * 10**9
            yield Entry(path.text.encode(), None if size is None else int(size), when, digests, exact=False)
        except (ValueError, OverflowError) as error:
            raise NotAManifest(f"line {one.sourceline} has a size or date that is none") from error


def _hex(digits: bytes, number: int) -> bytes:
    try:
        return bytes.fromhex(digits.strip().decode("ascii"))
    except ValueError as error:
        raise NotAManifest(f"line {number} has a digest that is none") from error


def _nanoseconds(text: str) -> int | None:
    found = re.fullmatch(r"(-?)(\d{1,12})\.(\d{9})", text)
    if found is None:
        return None
    value = int(found[2]) * 10**9 + int(found[3])
    return -value if found[1] else value


def _percent(path: bytes) -> bytes:
    decode: Callable[[re.Match[bytes]], bytes] = lambda found: unquote_to_bytes(found.group())  # noqa: E731
    return re.sub(rb"%(?:25|0[ADad])", decode, path)
