"""Read a restore context as a stream: ours and the Python family's, trusting nothing in it.

expat rather than lxml, because it gives the byte offset of every element (sections are kept word for word by it),
hands over each token and forgets it, and reports a DTD before anything of it is looked at. What an attacker can still
make large (a token, the nesting, the whole) is capped here.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import NoReturn, Protocol, TypeAlias
from xml.parsers import expat

from medback_core import names
from medback_core.errors import Refused
from medback_core.model import WANTED_DEFAULT, Rule, Standing, is_metadata
from medback_core.xml_safety import DEPTH_MAX

from . import values
from .records import (
    FORMAT_VERSION,
    PATH_BYTES_MAX,
    Bds,
    DirectoryEntry,
    DirectoryFact,
    Entry,
    FileEntry,
    LinkEntry,
    NotWhole,
    SourceEnd,
    SourceStart,
    TargetLine,
)

READ_BYTES = 128 * 1024
TOKEN_BYTES_MAX = 1024 * 1024  # of one tag, comment or the like
CONTEXT_BYTES_MAX = 16 * 1024**3  # some hundred million records
ID_TEXT_MAX = 200  # characters of a bd, spaces around it included
MANY = 10_000  # excludes of a source, copies of a file, ids remembered: more than anybody has
_OURS = frozenset({"root", "target", "rc", "dr", "file", "link", "bd", "exclude", "rule", "check"})
_OUTSIDE, _IN_FILE, _IN_COPY = range(3)


class Readable(Protocol):
    """What a context can be read from."""

    def read(self, _: int = -1, /) -> bytes: ...


ContextItem: TypeAlias = TargetLine | SourceStart | DirectoryFact | Entry | SourceEnd | NotWhole


def read_context(stream: Readable) -> Iterator[ContextItem]:
    """Yield what a context says, in its order; memory is bounded by one chunk, whatever its length.

    A `bd` comes back with the standing the file gives it. The caller takes it for listed and not checked, and forgets
    what came before a refusal (import in one transaction). Names of medback's own files are left out,
    as a scan leaves them out. One whose check is wrong ends with NotWhole; what has none says nothing of it.

    Raises Refused("bad-context") naming the line for all that is not a context; OSError from the stream.
    """
    parser = ContextParser()
    for _ in feed(parser, stream):
        yield from parser.items
        parser.items.clear()


def feed(parser: ContextParser, stream: Readable) -> Iterator[None]:
    """Feed the whole stream, stopping after each chunk; turns what expat raises into a Refused."""
    fed = 0
    try:
        while chunk := stream.read(READ_BYTES):
            if fed < 4 and b"\0" in chunk[:4]:  # UTF-16 or 32, which expat would read whatever it was told
                parser.refuse("it is no XML in UTF-8")
            fed += len(chunk)
            parser.about_to_parse(chunk)
            parser.expat.Parse(chunk, False)
            if fed - parser.expat.CurrentByteIndex > TOKEN_BYTES_MAX + READ_BYTES:
                parser.refuse("something in it is longer than a context can need")
            if fed > CONTEXT_BYTES_MAX:
                parser.refuse("it is longer than a context can be")
            yield
        parser.expat.Parse(b"", True)
    except expat.ExpatError as error:
        parser.refuse(f"it is not whole XML ({expat.errors.messages[error.code]})", error.lineno)
    except values.BadValue as error:
        parser.refuse(str(error))
    yield


class ContextParser:
    """The state between two events of expat; what was understood gathers in `items`."""

    def __init__(self) -> None:
        self.items: list[ContextItem] = []
        # Told to be UTF-8 whatever its declaration says, so that byte offsets and our checks see the same text.
        self.expat = expat.ParserCreate("utf-8")
        self.expat.buffer_text = True
        self.expat.XmlDeclHandler = self._declared
        self.expat.StartDoctypeDeclHandler = self._doctype
        self.expat.StartElementHandler = self.start
        self.expat.EndElementHandler = self.end
        self.skipped = 0  # depth inside an element that says nothing to us
        self._open: list[str] = []  # the elements we are in
        self._source = ""
        self._head: SourceStart | None = None  # held back until its excludes and rules are read
        self._excludes: list[str] = []
        self._rules: list[Rule] = []
        self._root_fact: list[DirectoryFact] = []
        self._here = b""  # the directory we are in
        self._above: list[int] = []  # for each open dr the length of `_here` outside it
        self._empty = False  # nothing seen yet in the directory opened last
        self._phase = _OUTSIDE
        self._file: values.FileValues = (b"", 0, 0, 0, None, None)  # of the file we are in
        self._copies: list[tuple[str, Standing]] = []  # of the same
        self._standing = Standing.VERIFIED  # of the copy we are in
        self._text = ""  # of the same
        self._seen: dict[tuple[str, Standing], tuple[str, Standing]] = {}  # copies as said -> as given, once checked
        self._crc = 0  # of all bytes before `_unchecked`
        self._unchecked = b""
        self._unchecked_at = 0  # where they begin
        self._check: bool | None = None  # whether the check is right; None: not met yet

    def about_to_parse(self, chunk: bytes) -> None:
        """The bytes that come next: the check is computed over them as far as they were understood."""
        done = max(self.expat.CurrentByteIndex, 0) - self._unchecked_at
        if done > 0:
            self._crc = zlib.crc32(self._unchecked[:done], self._crc)
            self._unchecked_at += done
            self._unchecked = self._unchecked[done:]
        self._unchecked += chunk

    def refuse(self, reason: str, line: int | None = None) -> NoReturn:
        """Raise the one error of this reader."""
        number = self.expat.CurrentLineNumber if line is None else line
        raise Refused("bad-context/line", line=number, reason=reason)

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if self.skipped:
            self.skipped += 1
            if self.skipped + len(self._open) > DEPTH_MAX:
                self.refuse("it is nested too deep")
            return
        if self._phase:
            if self._phase == _IN_FILE and tag == "bd":
                self._phase = _IN_COPY
                if attributes:
                    self._standing = values.standing(attributes)
                    self._text = attributes.get("id", "")
                else:
                    self._standing = Standing.VERIFIED
                    self._text = ""
                self.expat.CharacterDataHandler = self._copy_text
            else:
                self._pass_over(tag, "file")
            return
        inside = self._open[-1] if self._open else ""
        if inside == "dr" or inside == "rc":
            if tag == "file":
                if self._head is not None:
                    self._give_head()
                self._phase = _IN_FILE
                self._file = values.file_values(attributes)
                self._copies = []
                return
            self._start_in_directory(tag, attributes, inside)
        elif inside == "root" and tag == "rc":
            self._start_source(attributes)
        elif inside == "root" and tag == "target":
            if self._check is not None:
                self._check = False
            self.items.append(values.target_line(attributes))
        elif inside == "root" and tag == "check":
            # The check: of all that stands before it. A second one, or anything after it, was added by
            # hand.
            before = self._unchecked[: self.expat.CurrentByteIndex - self._unchecked_at]
            right = attributes.get("crc") == f"{zlib.crc32(before, self._crc):08x}"
            self._check = right and self._check is None
        elif not inside:
            if tag != "root":
                self.refuse("it is XML, but no restore context")
            if values.number(attributes, "v", FORMAT_VERSION) > FORMAT_VERSION:
                self.refuse("it was written by a later medback")
        else:
            self._pass_over(tag, inside)
        if not self.skipped:
            self._open.append(tag)
            if len(self._open) > DEPTH_MAX:
                self.refuse("it is nested too deep")

    def end(self, tag: str) -> None:
        """An element ends; expat has seen to it that it is the one that began last."""
        if self.skipped:
            self.skipped -= 1
        elif self._phase == _IN_COPY:
            self._end_copy()
        elif self._phase == _IN_FILE:
            self._end_file()
        else:
            self._open.pop()
            if tag == "dr":
                if self._empty:
                    self.items.append(DirectoryEntry(self._here))
                    self._empty = False
                self._here = self._here[: self._above.pop()]
            elif tag == "rc":
                self._give_head()
                self.items.append(SourceEnd(self._source))
            elif tag == "root" and self._check is False:
                self.items.append(NotWhole())

    def _pass_over(self, tag: str, inside: str) -> None:
        """An element we don't know says nothing to us; one we know has no business here."""
        if tag in _OURS:
            self.refuse(f"<{tag}> inside <{inside}>")
        self.skipped = 1

    def _declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if encoding is not None and encoding.lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
            self.refuse("its encoding is not UTF-8")

    def _doctype(self, *_: object) -> None:
        self.refuse("it has a DTD, which no context needs")

    def _start_source(self, attributes: dict[str, str]) -> None:
        id = attributes.get("id", "")
        if id:
            values.identifier(id, "source")
        path = values.source_path(attributes)
        alias = values.text(attributes, "alias") or names.text(re.split(rb"[/\\]", path.rstrip(b"/\\"))[-1])
        wanted = values.wanted(attributes, WANTED_DEFAULT)
        if self._check is not None:
            self._check = False
        rev, now = values.number(attributes, "rev", 0), values.now(attributes)
        elsewhere, place = values.elsewhere(attributes), values.text(attributes, "where")
        self._head = SourceStart(id, path, alias, wanted, (), rev, now, elsewhere, place)
        self._source = id
        self._root_fact = values.directory_fact(attributes, b"")
        self._excludes, self._rules = [], []
        self._empty = False

    def _give_head(self) -> None:
        if self._head is not None:
            self.items.append(self._head._replace(excludes=tuple(self._excludes), rules=tuple(self._rules)))
            self._head = None
            self.items += self._root_fact

    def _start_in_directory(self, tag: str, attributes: dict[str, str], inside: str) -> None:
        """What is no file."""
        if tag == "exclude" and inside == "rc":
            if self._head is None:
                self.refuse("an exclude after the first entry of its source")
            self._excludes.append(values.text(attributes, "pattern"))
            if len(self._excludes) > MANY:
                self.refuse("it has too many excludes")
        elif tag == "rule" and inside == "rc" and self._head is not None:
            self._rules.append(values.rule(attributes))
            if len(self._rules) > MANY:
                self.refuse("it has too many rules")
        elif tag == "dr":
            self._give_head()
            self._start_directory(attributes)
        elif tag == "link":
            self._give_head()
            name, to = values.component(attributes, "link"), values.link_target(attributes)
            if not is_metadata(name):
                self._empty = False
                self.items.append(LinkEntry(self._here, name, to))
        else:
            self._pass_over(tag, inside)

    def _start_directory(self, attributes: dict[str, str]) -> None:
        nested = "path" in attributes or "path64" in attributes
        step = values.relative_path(attributes) if nested else values.component(attributes, "directory (dr)")
        if any(map(is_metadata, step.split(b"/"))):
            self.skipped = 1
            return
        self._above.append(len(self._here))
        self._here = self._here + b"/" + step if self._here else step
        if len(self._here) > PATH_BYTES_MAX:
            self.refuse(f"a path longer than {PATH_BYTES_MAX} bytes")
        self.items += values.directory_fact(attributes, self._here)
        self._empty = True

    def _end_file(self) -> None:
        self._phase = _OUTSIDE
        name, size, mtime_ns, mode, md5, gone = self._file
        if is_metadata(name):
            return
        self._empty = False
        bds = tuple(self._copies) if len(self._copies) < 2 else _best(self._copies)
        self.items.append(FileEntry(self._here, name, size, mtime_ns, mode, md5, bds, gone))

    def _copy_text(self, text: str) -> None:
        self._text += text
        if len(self._text) > ID_TEXT_MAX:
            self.refuse("the id of a target is too long")

    def _end_copy(self) -> None:
        self.expat.CharacterDataHandler = None
        self._phase = _IN_FILE
        key = self._text, self._standing
        copy = self._seen.get(key)
        if copy is None:
            id = self._text.strip()
            if not id:
                return  # a copy on no target is none
            if len(self._seen) >= MANY:
                self._seen.clear()
            copy = self._seen[key] = values.identifier(id, "target"), self._standing
        self._copies.append(copy)
        if len(self._copies) > MANY:
            self.refuse("a file has too many copies")


def _best(copies: list[tuple[str, Standing]]) -> Bds:
    """Each target once, with the best that is said of it."""
    best: dict[str, Standing] = {}
    for id, standing in copies:
        best[id] = max(standing, best.get(id, standing))
    return tuple(best.items())
