"""Find the sections of a context that belong to sources this session does not know, to keep them word for word."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import BinaryIO

from .reading import MANY, ContextParser, feed

PIECE_BYTES = 256 * 1024


def foreign_sections(stream: BinaryIO, known_ids: Collection[str]) -> Iterator[bytes]:
    """Yield, as raw pieces, each `<target>` and `<rc>` whose id is not among `known_ids` (of sources and targets).

    `stream` must be seekable. It is read and checked to its end first, so that nothing is yielded from a context that
    would make the next one unreadable: Refused("bad-context") then. A section with no id is nobody's we know: kept.
    """
    parser = _SectionParser(known_ids)
    stream.seek(0)
    for _ in feed(parser, stream):
        parser.items.clear()
    for begin, end in parser.spans:
        stream.seek(begin)
        left = end - begin
        while left:
            piece = stream.read(min(left, PIECE_BYTES))
            if not piece:
                raise OSError("the context became shorter while it was read")
            left -= len(piece)
            yield piece
        yield b"\n"


class _SectionParser(ContextParser):
    """Notes where foreign sections begin and end, and checks them; passes over the known ones."""

    def __init__(self, known_ids: Collection[str]) -> None:
        super().__init__()
        self.expat.buffer_text = False  # text would be told of late, and with it where a section ends
        self.spans: list[tuple[int, int]] = []
        self._known = known_ids
        self._depth = 0
        self._begin: int | None = None

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self._depth == 1:
            self._close_span()
            if tag in ("rc", "target") and attributes.get("id", "") in self._known:
                self.skipped = 1
                self._depth += 1
                return
            if tag in ("rc", "target"):
                self._begin = self.expat.CurrentByteIndex
        self._depth += 1
        super().start(tag, attributes)

    def end(self, tag: str) -> None:
        self._depth -= 1
        if self._depth == 1 and self._begin is not None:
            # Its last byte is known when the next thing begins, be it no more than a line end.
            self.expat.CharacterDataHandler = self.expat.DefaultHandler = self._after
        elif self._depth == 0:
            self._close_span()
        super().end(tag)

    def _after(self, _: str) -> None:
        self._close_span()

    def _close_span(self) -> None:
        self.expat.CharacterDataHandler = self.expat.DefaultHandler = None
        if self._begin is not None:
            self.spans.append((self._begin, self.expat.CurrentByteIndex))
            self._begin = None
            if len(self.spans) > MANY:
                self.refuse("it has too many sections")
