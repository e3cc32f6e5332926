"""Read and write our small metadata files: a root with one element a line, each with its own check."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import lxml.etree as etree

from ..model import State, TargetState
from ..xml_safety import DtdRefused, UnsafeXml, parse_untrusted
from . import values
from .checks import ATTRIBUTES, crc, exact, is_right, legal_text, open_tag
from .elements import extra_of
from .records import NOTHING, Extra, valid_id
from .salvage import element_at

METADATA_LIMIT = 16 * 1024 * 1024  # bytes
_ELEMENT_MAX = 64 * 1024  # bytes of one element in a damaged file
_TRIES_MAX = 10_000  # elements tried in vain; more is no accident, and time is bounded

_starts = re.compile(rb"<[a-z]").finditer


class Elements:
    """The elements of a metadata file whose check is right, and what is wrong with the rest."""

    def __init__(self, data: bytes, root: str, known: Iterable[str]) -> None:
        """Never raises: what is damaged is left out and named in `damage`; unknown elements go into `extra`."""
        self.damage: list[str] = []
        self.extra: Extra = NOTHING
        self._found: dict[str, list[etree._Element]] = {tag: [] for tag in known}
        unknown: list[str] = []
        for element in self._elements(data, root):
            tag = str(element.tag)
            if tag not in self._found and (element.get("crc") is None or is_right(element)):
                unknown.append(exact(element))
            elif tag in self._found and is_right(element):
                self._found[tag].append(element)
            else:
                self.damage.append(f"<{tag}> is damaged" if tag in self._found else "an element is damaged")
        self.extra = Extra(self.extra.attributes, tuple(unknown))

    def all(self, tag: str) -> list[etree._Element]:
        """All whole elements of a tag, in the document's order."""
        return self._found[tag]

    def one(self, tag: str) -> etree._Element | None:
        """The whole element of a tag that stands once; None where there is none."""
        found = self._found[tag]
        if len(found) > 1:
            self.damage.append(f"<{tag}> stands more than once")
        return found[0] if found else None

    def identifier(self, tag: str) -> str:
        """The id of the file, which stands in `<identity>` and again in the element of this tag; "" when both are gone.

        It stands twice so that one damaged line never hides which drive or source this is.
        """
        said = [element.get("id", "") for name in ("identity", tag) for element in self._found[name]]
        valid = [identifier for identifier in said if valid_id(identifier)]
        if not valid:
            self.unreadable("identity")
            return ""
        if len(set(valid)) > 1:
            self.damage.append("it holds two ids")
        return valid[0]

    def state(self) -> State | None:
        """What `<state>` says; None where there is none."""
        element = self.one("state")
        if element is None:
            return None
        state = values.parse_state(dict(element.attrib))
        if state is None:
            self.unreadable("state")
        return state

    def extra_of(self, tag: str) -> Extra:
        """What the element of a tag that stands once says beyond what is known."""
        return unknown_of(self._found[tag][0], ATTRIBUTES[tag]) if self._found[tag] else NOTHING

    def unreadable(self, tag: str) -> None:
        """Note that an element has its check and yet says nothing that can be understood."""
        self.damage.append(f"<{tag}> can't be read")

    def _elements(self, data: bytes, tag: str) -> Iterable[etree._Element]:
        try:
            root = parse_untrusted(data, METADATA_LIMIT)
        except DtdRefused as error:
            self.damage.append(str(error))
            return
        except UnsafeXml as error:
            self.damage.append(str(error))
            if len(data) <= METADATA_LIMIT:
                yield from self._one_by_one(data)
            return
        if root.tag != tag:
            self.damage.append(f"not a <{tag}> file")
            return
        if root.get("v") != "1":
            self.damage.append("of a version this medback does not know")
        self.extra = Extra(extra_of(root, ("v",)).attributes)
        if (root.text or "").strip() or any((child.tail or "").strip() for child in root):
            self.damage.append("text between the elements")
        yield from root

    def _one_by_one(self, data: bytes) -> Iterable[etree._Element]:
        """The elements that are whole wherever they stand; those without a check say nothing to rely on."""
        stop = tries = 0
        for found in _starts(data):
            if found.start() < stop:
                continue
            element, end = element_at(data, found.start(), min(len(data), found.start() + _ELEMENT_MAX))
            if element is not None and element.get("crc") is not None:
                stop = end
                yield element
                continue
            tries += 1
            if tries > _TRIES_MAX:
                return


def document(root: str, lines: Iterable[str], extra: Extra) -> bytes:
    """A metadata file: the root, the lines, then the unknown elements."""
    head = open_tag(root, (("v", "1"), *((name, legal_text(value)) for name, value in extra.attributes)))
    parts = ['<?xml version="1.0" encoding="UTF-8"?>', head + ">", *lines, *extra.elements, f"</{root}>", ""]
    return "\n".join(parts).encode()


def element_line(tag: str, attributes: Mapping[str, object], extra: Extra = NOTHING) -> str:
    """An element with its check, on one line, without the newline; an attribute that is None is left out. Illegal
    characters become U+FFFD."""
    said = [(name, str(value)) for name, value in attributes.items() if value is not None]
    head = open_tag(tag, [(name, legal_text(value)) for name, value in (*said, *extra.attributes)])
    rest = f">{''.join(extra.elements)}</{tag}>" if extra.elements else "/>"
    return f'{head} crc="{crc((head + rest).encode())}"{rest}'


def state_line(state: State | None, extra: Extra) -> list[str]:
    """The line of `<state>`, none where there is no state."""
    return [] if state is None else [element_line("state", values.state_attributes(state), extra)]


def unknown_of(element: etree._Element, known: tuple[str, ...]) -> Extra:
    """What an element says beyond its known attributes."""
    return extra_of(element, known, tuple(map(exact, element)))


def parse_target_state(text: str | None) -> TargetState:
    """A target's state; what can't be read is no reason to believe in its copies: suspect. Left out: active."""
    if text is None:
        return TargetState.ACTIVE
    try:
        return TargetState(text)
    except ValueError:
        return TargetState.SUSPECT
