"""Names for FAT and exFAT: accepted there, readable, and never two true names in one by the escaping itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medback_core.disk import collision_name, escape_component, escape_path, free_name, numbered, other_names
from medback_core.names import check_component

component = st.binary(min_size=1, max_size=255).filter(lambda name: check_component(name) is None)


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        (b"plain name.txt", b"plain name.txt"),
        ("größe 日本.txt".encode(), "größe 日本.txt".encode()),
        (b"a:b?.txt", b"a%3Ab%3F.txt"),
        (b'<">|*\\', b"%3C%22%3E%7C%2A%5C"),
        (b"line\nbreak\x01", b"line%0Abreak%01"),
        (b"caf\xe9", b"caf%E9"),
        (b"trailing. .", b"trailing%2E%20%2E"),
        (b"...", b"%2E%2E%2E"),
        (b"100%", b"100%"),
        (b"100%25", b"100%2525"),
        (b"con.txt", b"%63on.txt"),
        (b"Nul", b"%4Eul"),
        (b"console", b"console"),
    ],
)
def test_only_what_is_forbidden_is_escaped(name: bytes, escaped: bytes) -> None:
    assert escape_component(name) == escaped


@given(component)
def test_an_escaped_name_is_always_accepted(name: bytes) -> None:
    for escaped in (escape_component(name), collision_name(name)):
        assert check_component(escaped) is None
        decoded = escaped.decode("utf-8")
        assert not set('"*/:<>?\\|\x7f') & set(decoded)
        assert all(ord(char) >= 0x20 for char in decoded)
        assert decoded[-1] not in ". "


@given(component, component)
def test_two_names_never_become_one(one: bytes, other: bytes) -> None:
    if one != other:
        assert escape_component(one) != escape_component(other)
    elif len(one) < 200:
        assert collision_name(one) != escape_component(one)


def test_names_that_only_fold_get_different_collision_names_and_keep_their_extension() -> None:
    lower, upper = collision_name(b"photo.jpg"), collision_name(b"PHOTO.jpg")
    assert lower.lower() != upper.lower()
    assert lower.startswith(b"photo~") and lower.endswith(b".jpg") and len(lower) == len(b"photo.jpg") + 7


def test_long_names_are_cut_at_whole_characters_and_stay_apart() -> None:
    one, other = ("é:" * 80 + "1.jpg").encode(), ("é:" * 80 + "2.jpg").encode()
    assert escape_component(one) != escape_component(other)
    for name in (one, other):
        escaped = escape_component(name)
        assert len(escaped) <= 255 and escaped.endswith(b".jpg")
        escaped.decode("utf-8")


def test_a_path_is_escaped_component_by_component() -> None:
    assert escape_path(b"a:/b./c") == b"a%3A/b%2E/c"


def test_the_first_free_name_is_taken() -> None:
    taken = {"a", "a-2"}
    assert free_name(numbered("a"), taken.__contains__) == "a-3"
    assert free_name(numbered(b"b"), taken.__contains__) == b"b"
    beside = other_names(b"d/photo.jpg")
    first, second = next(beside), next(beside)
    assert first == b"d/" + collision_name(b"photo.jpg") and second not in (first, b"d/photo.jpg")
    assert free_name(other_names(b"d/photo.jpg"), {first}.__contains__) == second


def test_where_no_name_is_free_the_search_ends() -> None:
    with pytest.raises(FileExistsError):
        free_name([b"a"], lambda name: True)
    with pytest.raises(FileExistsError):
        free_name(numbered(b"a"), lambda name: True)
