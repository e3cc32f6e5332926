"""Write a manifest in the format of another program, each in the escaping of its own.

The formats are those of: coreutils (`md5sum`), b3sum, hashdeep 4.4, ncdu (export format 1), ASC MHL 2.0 and BagIt
(RFC 8493). What a format has no way to write is left out and told of.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from medback_core.manifests.entry import Entry
from medback_core.model import Reason, format_mtime
from medback_core.names import escaped

LeftOut = Callable[[bytes, Reason], None]  # a path, and why it is not in the manifest


class _About(NamedTuple):
    name: bytes  # of what is listed
    version: str  # of medback
    date: int  # seconds since 1970
    left_out: LeftOut


def render_manifest(
    form: str, entries: Iterable[Entry], *, name: bytes, version: str, date: int, left_out: LeftOut
) -> Iterator[bytes]:
    """The manifest in chunks. `entries` come in the order of their paths' bytes; `form` is one of FORMATS."""
    return FORMATS[form](entries, _About(name, version, date, left_out))


# --- the programs that check sums ----------------------------------------------------------------------------------


def _md5sum(entries: Iterable[Entry], about: _About) -> Iterator[bytes]:
    for entry in _with("md5", entries, about):
        escaped = entry.path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"\\" if escaped != entry.path else b""
        yield mark + entry.digests["md5"].hex().encode() + b"  " + escaped + b"\n"


def _b3sum(entries: Iterable[Entry], about: _About) -> Iterator[bytes]:
    for entry in _with("blake3", entries, about):
        if not _is_utf8(entry.path) or b"\r" in entry.path or "\ufffd".encode() in entry.path:
            about.left_out(entry.path, Reason("not-in-format", form="b3sum"))
            continue
        escaped = entry.path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n")
        mark = b"\\" if escaped != entry.path else b""
        yield mark + entry.digests["blake3"].hex().encode() + b"  " + escaped + b"\n"


def _hashdeep(entries: Iterable[Entry], about: _About) -> Iterator[bytes]:
    yield b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n"
    yield f"## medback {about.version}\n##\n".encode()
    for entry in _with("md5", entries, about):
        if b"\n" in entry.path or b"\r" in entry.path:
            about.left_out(entry.path, Reason("not-in-format", form="hashdeep"))
            continue
        yield b"%d,%s,./%s\n" % (  # as `hashdeep -r -l .` writes it, and looks for it
            entry.size or 0,
            entry.digests["md5"].hex().encode(),
            entry.path,
        )


def _bagit(entries: Iterable[Entry], about: _About) -> Iterator[bytes]:
    for entry in _with("md5", entries, about):
        if not _is_utf8(entry.path):
            about.left_out(entry.path, Reason("not-in-format", form="BagIt"))
            continue
        path = entry.path.replace(b"%", b"%25").replace(b"\n", b"%0A").replace(b"\r", b"%0D")
        yield entry.digests["md5"].hex().encode() + b"  data/" + path + b"\n"


# --- tables and trees ----------------------------------------------------------------------------------------------

CSV_COLUMNS = ("path", "size", "mtime", "md5", "blake3", "verified")
_FORMULA = (b"=", b"+", b"-", b"@", b"\t", b"\r")  # a spreadsheet would compute a cell that begins so


def _csv(entries: Iterable[Entry], about: _About) -> Iterator[bytes]:
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\r\n")
    table.writerow(CSV_COLUMNS)
    for entry in entries:
        table.writerow(
            (
                (b"./" * entry.path.startswith(_FORMULA) + entry.path).decode("utf-8", "surrogateescape"),
                entry.size,
                "" if entry.mtime_ns is None else format_mtime(entry.mtime_ns),
                *(entry.digests.get(algorithm, b"").hex() for algorithm in ("md5", "blake3")),
                "" if entry.verified is None else _iso(entry.verified),
            )
        )
        yield _taken(text)
    yield _taken(text)


def _ncdu(entries: Iterable[Entry], about: _About) -> Iterator[bytes]:
    head = {"progname": "medback", "progver": about.version, "timestamp": about.date}
    yield b"[1,2," + json.dumps(head).encode() + b",\n[" + _json_name(about.name)
    levels: list[bytes] = []
    for entry in entries:
        *directories, name = entry.path.split(b"/")
        same = 0
        while same < min(len(levels), len(directories)) and levels[same] == directories[same]:
            same += 1
        yield b"]" * (len(levels) - same)
        for directory in directories[same:]:
            yield b",\n[" + _json_name(directory)
        levels = directories
        size = entry.size or 0
        more = b"" if entry.mtime_ns is None else b',"mtime":%d' % max(entry.mtime_ns // 10**9, 0)
        yield b",\n" + _json_name(name)[:-1] + b',"asize":%d,"dsize":%d%s}' % (size, -(-size // 512) * 512, more)
    yield b"]" * (len(levels) + 2) + b"\n"


def _json_name(name: bytes) -> bytes:
    """`{"name":…}` with the bytes of the name as they are: ncdu reads no others back."""
    out = bytearray()
    for byte in name:
        if byte in b'"\\':
            out += b"\\" + bytes((byte,))
        elif byte < 0x20 or byte == 0x7F:
            out += b"\\u%04x" % byte
        else:
            out.append(byte)
    return b'{"name":"' + bytes(out) + b'"}'


def _mhl(entries: Iterable[Entry], about: _About) -> Iterator[bytes]:
    date = _iso(about.date).replace("Z", "+00:00")
    yield (
        '<?xml version="1.0" encoding="UTF-8"?>\n<hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0">\n<creatorinfo>'
        f"<creationdate>{date}</creationdate><hostname>medback</hostname>"
        f'<tool version="{about.version}">medback</tool></creatorinfo>\n'
        "<processinfo><process>flatten</process></processinfo>\n<hashes>\n"
    ).encode()
    for entry in _with("md5", entries, about):
        if not _is_xml(entry.path):
            about.left_out(entry.path, Reason("not-in-format", form="XML"))
            continue
        time = "" if entry.mtime_ns is None else f' lastmodificationdate="{_moment(entry.mtime_ns)}"'
        yield (
            f'<hash><path size="{entry.size or 0}"{time}>{escaped(entry.path.decode())}</path>'
            f'<md5 action="original" hashdate="{date}">{entry.digests["md5"].hex()}</md5></hash>\n'
        ).encode()
    yield b"</hashes>\n</hashlist>\n"


# --- values --------------------------------------------------------------------------------------------------------


def _with(algorithm: str, entries: Iterable[Entry], about: _About) -> Iterator[Entry]:
    for entry in entries:
        if algorithm in entry.digests:
            yield entry
        else:
            about.left_out(entry.path, Reason("no-digest-yet", algorithm=algorithm.upper()))


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode()
    except UnicodeDecodeError:
        return False
    return True


def _is_xml(path: bytes) -> bool:
    return _is_utf8(path) and all(
        0x20 <= ord(letter) < 0xD800 or 0xE000 <= ord(letter) < 0xFFFE or ord(letter) > 0xFFFF
        for letter in path.decode()
    )


def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _moment(nanoseconds: int) -> str:
    try:
        return datetime.fromtimestamp(nanoseconds // 10**9, UTC).isoformat()
    except (OverflowError, ValueError, OSError):
        return "1970-01-01T00:00:00+00:00"  # a year such a date can't say


def _taken(text: io.StringIO) -> bytes:
    found = text.getvalue().encode("utf-8", "surrogateescape")
    text.seek(0)
    text.truncate()
    return found


FORMATS: dict[str, Callable[[Iterable[Entry], _About], Iterator[bytes]]] = {
    "md5sum": _md5sum,
    "b3sum": _b3sum,
    "hashdeep": _hashdeep,
    "csv": _csv,
    "ncdu": _ncdu,
    "mhl": _mhl,
    "bagit-manifest": _bagit,
}
