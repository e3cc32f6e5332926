"""The sections of a context one by one: whose each is and as of which state, and its bytes word for word."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain
from typing import BinaryIO, NamedTuple

from medback_core.model import STAMP_DIGITS, State

from . import values
from .reading import MANY, ContextItem, ContextParser, feed, read_context
from .records import NotWhole, TargetLine

PIECE_BYTES = 256 * 1024


class Section(NamedTuple):
    """A `<target>` (with its `target`) or an `<rc>` of a context, and where its bytes are in the file."""

    tag: str
    id: str
    now: State | None
    begin: int
    end: int
    targets: tuple[TargetLine, ...] = ()  # of an `<rc>`: the lines that hold for it
    line: TargetLine | None = None  # of a `<target>`


def sections_in(stream: BinaryIO) -> list[Section]:
    """Every section of a context, in its order, from one pass over a seekable stream.

    What is inside an `<rc>` is passed over: `read_section` reads and checks it. Where the check over the whole is wrong
    no section has a state: it is not what that stands for. Raises Refused("bad-context") for what is no context.
    """
    parser = _SectionParser()
    stream.seek(0)
    whole = True
    for _ in feed(parser, stream):
        whole = whole and NotWhole() not in parser.items[-1:]
        parser.items.clear()
    return parser.found if whole else [section._replace(now=None) for section in parser.found]


def section_bytes(stream: BinaryIO, section: Section) -> Iterator[bytes]:
    """The section, word for word, in pieces that end with a newline. Raises OSError."""
    stream.seek(section.begin)
    left = section.end - section.begin
    while left:
        piece = stream.read(min(left, PIECE_BYTES))
        if not piece:
            raise OSError("the context became shorter while it was read")
        left -= len(piece)
        yield piece
    yield b"\n"


def read_section(stream: BinaryIO, section: Section) -> Iterator[ContextItem]:
    """What one section says, as `read_context` gives it; the check over the whole is not looked at."""
    return read_context(Pieces(chain([b'<root v="1">'], section_bytes(stream, section), [b"</root>"])))


def state_of(stream: BinaryIO, section: Section, written_at: int) -> State:
    """The state of a section. One without was written by a version that knew none: it is known by its very bytes, and
    dated by its file."""
    if section.now is not None:
        return section.now
    digest = hashlib.md5(usedforsecurity=False)
    for piece in section_bytes(stream, section):
        digest.update(piece)
    return State(0, digest.hexdigest()[:STAMP_DIGITS], written_at, "")


class Pieces:
    """Pieces of bytes, to be read one after the other."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int = -1, /) -> bytes:
        return next(self._pieces, b"")


class _SectionParser(ContextParser):
    """Notes where sections begin and end; passes over what is inside."""

    def __init__(self) -> None:
        super().__init__()
        self.expat.buffer_text = False  # text would be told of late, and with it where a section ends
        self.found: list[Section] = []
        self._depth = 0
        self._begun: Section | None = None
        self._targets: dict[str, TargetLine] = {}
        self._in_section = False  # the last thing that began was an `<rc>`

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 1:
            self._close_section()
            if tag in ("rc", "target"):
                begin = self.expat.CurrentByteIndex
                section = Section(tag, attributes.get("id", ""), values.now(attributes), begin, begin)
                if tag == "rc":
                    section = section._replace(targets=tuple(self._targets.values()))
                    self._in_section = True
                else:
                    if self._in_section:
                        self._targets, self._in_section = {}, False
                    with suppress(values.BadValue):  # where it is read, that says what is wrong
                        line = self._targets[section.id] = values.target_line(attributes)
                        section = section._replace(line=line)
                self._begun = section
                self.skipped = 1
                self._depth += 1
                return
        self._depth += 1
        super().start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth == 1 and self._begun is not None:
            # Its last byte is known when the next thing begins, and that may be just a line end.
            self.expat.CharacterDataHandler = self.expat.DefaultHandler = self._after
        elif self._depth == 0:
            self._close_section()
        super().end(tag)

    def _after(self, _: str) -> None:
        self._close_section()

    def _close_section(self) -> None:
        self.expat.CharacterDataHandler = self.expat.DefaultHandler = None
        if self._begun is not None:
            self.found.append(self._begun._replace(end=self.expat.CurrentByteIndex))
            self._begun = None
            if len(self.found) > MANY:
                self.refuse("it has too many sections")
