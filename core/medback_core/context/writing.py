"""Write a restore context as a stream: one record a line, deterministic, memory bounded by one chunk."""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from typing import TypeAlias

from medback_core import names
from medback_core.model import Rule, Standing, State, format_mtime

from .records import (
    FORMAT_VERSION,
    LEVELS_NESTED_MAX,
    MODE_DEFAULT,
    READABLE_BYTES_MAX,
    Bds,
    FileEntry,
    LinkEntry,
    SourceSection,
    TargetLine,
)

CHUNK_BYTES = 256 * 1024
Facts: TypeAlias = Callable[[bytes], "tuple[int, int] | None"]
PLACEMENTS_CACHED = 10_000

# Text that stands in an attribute as it is. What is left out is only slower: it takes the careful way.
_odd = re.compile("[^ !#-%'-;=?-~\u00a1-\u1fff\u3040-\ud7ff]").search


def write_context(
    targets: Iterable[TargetLine], sources: Iterable[SourceSection], *, foreign: Iterable[bytes] = ()
) -> Iterator[bytes]:
    """Yield the context in chunks of at least 64 KiB (the last may be shorter).

    `foreign` are raw pieces from `section_bytes`, which come last, word for word. Equal arguments give equal bytes.
    Behind all else stands a check over all that is before it.
    """
    check = 0
    for chunk in _chunks(targets, sources, foreign):
        check = zlib.crc32(chunk, check)
        yield chunk
    yield b'<check crc="%08x"/>\n</root>\n' % check


def _chunks(
    targets: Iterable[TargetLine], sources: Iterable[SourceSection], foreign: Iterable[bytes]
) -> Iterator[bytes]:
    lines = [f'<?xml version="1.0" encoding="UTF-8"?>\n<root v="{FORMAT_VERSION}">\n']
    lines += [_target(target) for target in targets]
    size = sum(map(len, lines))
    for section in sources:
        for line in _section(section):
            lines.append(line)
            size += len(line)
            if size >= CHUNK_BYTES:
                yield "".join(lines).encode()
                lines = []
                size = 0
    pieces = ["".join(lines).encode()]
    size = len(pieces[0])
    for piece in foreign:
        pieces.append(piece)
        size += len(piece)
        if size >= CHUNK_BYTES:
            yield b"".join(pieces)
            pieces = []
            size = 0
    yield b"".join(pieces)


def target_lines(targets: Iterable[TargetLine]) -> bytes:
    """The lines of these targets, as a context has them."""
    return "".join(map(_target, targets)).encode()


def _target(target: TargetLine) -> str:
    rev = f' rev="{target.rev}"' if target.rev else ""
    label = _text_attribute("label", target.label)
    disk = f" {_text_attribute('disk', target.disk)}" if target.disk else ""
    rest = f"{rev}{_now(target.now, disk=disk)}{_where(target.place)}"
    return f'<target id="{names.escaped(target.id)}" {label} state="{target.state.value}"{rest}/>\n'


def _where(place: str) -> str:
    return f" {_text_attribute('where', place)}" if place else ""


def _now(state: State | None, *, disk: str = "", fact: str = "") -> str:
    """The attributes of a state, with that of a disk or those of a directory, sorted by name."""
    if state is None:
        return disk + fact
    line = f' line="{" ".join(state.line)}"' if state.line else ""
    return f' at="{_date(state.at)}" by="{state.by}"{disk}{line}{fact} n="{state.n}" stamp="{state.stamp}"'


def _date(seconds: int) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"


def _section(section: SourceSection) -> Iterator[str]:
    """The lines of one source; some are several at once."""
    head, facts = section.head, section.facts
    rev = f' rev="{head.rev}"' if head.rev else ""
    path, alias = _attribute("src_path", head.src_path), _text_attribute("alias", head.alias)
    excludes = "".join(f"<exclude {_text_attribute('pattern', pattern)}/>\n" for pattern in head.excludes)
    rules = "".join(map(_rule, head.rules))
    elsewhere = f' wanted_elsewhere="{head.elsewhere}"' if head.elsewhere else ""
    rest = rev + _now(head.now, fact=_fact(facts, b"")) + elsewhere + _where(head.place)
    yield f'<rc id="{names.escaped(head.id)}" {path} {alias} wanted="{head.wanted}"{rest}>\n{excludes}{rules}'
    levels: list[bytes] = []  # the open directory, component by component
    here = b""
    placements: dict[Bds, str] = {}
    for entry in section.entries:
        if entry[0] != here:
            here = entry[0]
            wanted = here.split(b"/") if here else []
            yield from _move(levels, wanted, facts)
            levels = wanted
        if isinstance(entry, FileEntry):
            yield _file(entry, placements)
        elif isinstance(entry, LinkEntry):
            yield f"<link {_attribute('name', entry.name)} {_attribute('to', entry.to)}/>\n"
    yield from _move(levels, [], facts)
    yield "</rc>\n"


def _fact(facts: Facts, directory: bytes) -> str:
    fact = facts(directory)
    return f' mode="{fact[0] & 0o777:04o}" mtime="{format_mtime(fact[1])}"' if fact is not None else ""


def _rule(rule: Rule) -> str:
    copies = "" if rule.copies is None else f'copies="{rule.copies}" '
    elsewhere = "" if rule.elsewhere is None else f'elsewhere="{rule.elsewhere}" '
    return f'<rule {copies}{elsewhere}{_attribute("path", rule.path)} rev="{rule.rev}"/>\n'


def _move(levels: list[bytes], wanted: list[bytes], facts: Facts) -> Iterator[str]:
    """Close and open directories to come from one to another."""
    common = 0
    for left, right in zip(levels, wanted, strict=False):
        if left != right:
            break
        common += 1
    # What lies beyond the nesting limit is one element, so it is left, and entered, as a whole.
    common = min(LEVELS_NESTED_MAX, common)
    yield "</dr>\n" * (min(len(levels), LEVELS_NESTED_MAX + 1) - common)
    for level in range(common, min(len(wanted), LEVELS_NESTED_MAX)):
        yield f"<dr {_attribute('name', wanted[level])}{_fact(facts, b'/'.join(wanted[: level + 1]))}>\n"
    if len(wanted) > LEVELS_NESTED_MAX:
        path = b"/".join(wanted[LEVELS_NESTED_MAX:])
        yield f"<dr {_attribute('path', path)}{_fact(facts, b'/'.join(wanted))}>\n"


def _file(entry: FileEntry, placements: dict[Bds, str]) -> str:
    _, name, size, mtime_ns, mode, md5, bds, gone = entry
    try:
        shown = name.decode()
    except UnicodeDecodeError:
        shown = "\0"  # as odd as can be
    attributes = _attribute("name", name) if _odd(shown) else f'name="{shown}"'
    digits = str(mtime_ns)
    # A plain date has at least ten digits of nanoseconds; dates near 1970 or before take the general way.
    time = f"{digits[:-9]}.{digits[-9:]}" if mtime_ns >= 1_000_000_000 else format_mtime(mtime_ns)
    attributes = f'{attributes} size="{size}" mtime="{time}"'
    if md5 is not None:
        attributes = f'{attributes} md5="{md5.hex()}"'
    if mode != MODE_DEFAULT:
        attributes = f'{attributes} mode="{mode & 0o777:04o}"'
    if gone is not None:
        attributes = f'{attributes} gone="{_date(gone)}"'
    if not bds:
        return f"<file {attributes}/>\n"
    copies = placements.get(bds)
    if copies is None:
        if len(placements) >= PLACEMENTS_CACHED:
            placements.clear()
        copies = placements[bds] = "".join(_bd(target, standing) for target, standing in sorted(bds))
    return f"<file {attributes}>{copies}</file>\n"


def _bd(target: str, standing: Standing) -> str:
    word = "" if standing is Standing.VERIFIED else f' standing="{standing.name.lower()}"'
    return f"<bd{word}>{names.escaped(target)}</bd>"


def _text_attribute(key: str, value: str) -> str:
    return _attribute(key, names.from_text(value))


def _attribute(key: str, value: bytes) -> str:
    """`key="value"`, or where XML can't hold the value `key64="its base64"` and a readable form beside it."""
    if names.xml_safe(value):
        return f'{key}="{names.escaped(value.decode())}"'
    shown = names.display_name(value[:READABLE_BYTES_MAX])
    return f'{key}64="{base64.b64encode(value).decode()}" {key}="{names.escaped(shown)}"'
