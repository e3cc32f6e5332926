"""Names: exact through text and back, harmless on a terminal, checked before they become paths."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medback_core import names


@given(st.binary(max_size=80))
def test_any_bytes_come_back_exactly_from_text(name: bytes) -> None:
    assert names.from_text(names.text(name)) == name


@given(st.binary(max_size=80))
def test_whatever_the_bytes_what_is_shown_is_one_printable_line(name: bytes) -> None:
    shown = names.display_name(name)
    assert all(char.isprintable() or char in "\u00a0\u3000\u2009\u2003" or char.isspace() for char in shown)
    assert "\n" not in shown and "\x1b" not in shown and len(shown.splitlines()) <= 1


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"plain.txt", "plain.txt"),
        ("größe 日本 😀".encode(), "größe 日本 😀"),
        (b"a\\b", "a\\b"),
        (b"a\nb\tc\rd", "a\\nb\\tc\\rd"),
        (b"\x1b[31mred", "\\x1b[31mred"),
        ("\u202egpj.exe".encode(), "\\u202egpj.exe"),
        ("a\u200bb\u2066c\ufeff".encode(), "a\\u200bb\\u2066c\\ufeff"),
        ("a\u2028b\u2029c\u0085d".encode(), "a\\u2028b\\u2029c\\x85d"),
        ("\U000e0041".encode(), "\\U000e0041"),
        (b"caf\xe9", "caf\\xe9"),
        (b"\x7f\x9b", "\\x7f\\x9b"),
    ],
)
def test_what_could_fool_a_terminal_is_shown_as_symbols(name: bytes, shown: str) -> None:
    assert names.display_name(name) == shown


def test_text_is_shown_as_harmlessly_as_bytes() -> None:
    assert names.display_name("a\udcffb\ud800") == "a\\xffb\\ud800"


@pytest.mark.parametrize("name", [b"a.jpg", b"<&>'\"", "é日😀".encode(), b" trailing ", b"-x", b"[/b]"])
def test_names_xml_can_hold_are_told(name: bytes) -> None:
    assert names.xml_safe(name)


@pytest.mark.parametrize(
    "name", [b"\xff", b"a\x01", b"a\x00", b"a\nb", b"a\tb", b"a\rb", b"\x1b", "\uffff".encode(), b"\xed\xa0\x80"]
)
def test_names_xml_cannot_hold_are_told(name: bytes) -> None:
    assert not names.xml_safe(name)


@pytest.mark.parametrize("name", [b"", b".", b"..", b"a/b", b"/", b"a\0", b"x" * 256])
def test_what_is_no_file_name_is_refused_with_a_reason(name: bytes) -> None:
    assert names.check_component(name)


@pytest.mark.parametrize("name", [b"a", b"...", b"-rf", b"\xff\n", b"x" * 255, b".medback.xml"])
def test_every_other_name_is_a_file_name(name: bytes) -> None:
    assert names.check_component(name) is None


@pytest.mark.parametrize("path", [b"", b"/etc", b"../a", b"a/../b", b"a//b", b"a/", b"./a", b"a/\0"])
def test_paths_that_could_lead_outside_are_refused(path: bytes) -> None:
    assert names.check_relative(path)


def test_a_plain_relative_path_is_fine() -> None:
    assert names.check_relative(b"2024/lisbon/a.jpg") is None
    assert names.check_relative(b"/2024") == "the path is absolute"


@pytest.mark.parametrize(
    ("path", "top", "inside"),
    [
        (b"/a/b", b"/a", b"b"),
        (b"/a/b/c", b"/a/", b"b/c"),
        (b"/a", b"/a", b""),
        (b"/a", b"/", b"a"),
        (b"/", b"/", b""),
        (b"/ab", b"/a", None),
        (b"/a", b"/a/b", None),
    ],
)
def test_a_path_lies_in_a_directory_by_whole_components(path: bytes, top: bytes, inside: bytes | None) -> None:
    assert names.below(path, top) == inside
    assert not inside or names.within(top, inside) == path
    assert names.overlap(path, top) == (inside is not None or (path == b"/a" and top == b"/a/b"))
