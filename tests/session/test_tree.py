"""Listings of the tree: sorted, filtered, whatever the names are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import session_builder as rows
from medback_core import names
from medback_core.session import open_session
from medback_core.session.copies import identity_key
from medback_core.session.expected import wanted_back, wanted_totals
from support.stored import put_expected
from medback_core.session.files import ensure_directory, join, put_links
from support.stored import remove_files
from medback_core.session.gone import add_gone, forget_gone, list_gone
from medback_core.session.placements import all_placements
from medback_core.session.tree import (
    children,
    directory_key,
    file_count,
    file_keys,
    files_below,
    files_by_key,
    trouble_below,
)
from medback_core.model import Source, Target
from medback_core.session import Session

HOSTILE = [
    b"plain.JPG",
    b"\xff\xfe\xfd",
    b"half-\xe2\x82",
    b"100%_done\\.txt",
    b"100x.done",
    b"a[b].jpg",
    b"new\nline",
    b"\x1b[2J",
    "\u00c9t\u00e9.png".encode(),
    "e\u0301te\u0301.png".encode(),
    "stra\u00dfe".encode(),
    "\u0130stanbul".encode(),
    b"-rf",
    b"x" * 255,
    "\u202egpj.exe".encode(),
    "\U0001f468\u200d\U0001f469".encode(),
]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path / "s.db")


@pytest.fixture
def photos(session: Session) -> Source:
    return rows.source(session)


def listed(session: Session, source: Source, path: bytes = b"", **options: object) -> list[bytes]:
    key = directory_key(session, source.key, path)
    assert key is not None
    keys = file_keys(session, key, **options)  # type: ignore[arg-type]
    page = files_by_key(session, keys)
    return [page[one].name for one in keys]


@pytest.fixture
def hostile(session: Session, photos: Source) -> list[bytes]:
    for name in HOSTILE:
        rows.put(session, photos, name, rows.content(name.hex()))
    return sorted(HOSTILE)


def test_names_come_in_the_order_of_their_bytes(session: Session, photos: Source, hostile: list[bytes]):
    assert listed(session, photos) == hostile


@pytest.mark.parametrize(
    "text", ["jpg", "JPG", "%", "_", "\\", "100%_done\\", "[", "\u00e9", "\u00c9T", "\u00df", "\u0130", "\n", "\udcff",
             "\udcff\udcfe", "e", "x" * 255, "x" * 256, "x" * 60_000, "\u202e", "%%", "\ud800"],
)  # fmt: skip
def test_a_filter_finds_what_has_it_in_its_name(session: Session, photos: Source, hostile: list[bytes], text: str):
    if text.isascii():
        found = [name for name in hostile if text.lower().encode() in name.lower()]
    else:
        found = [name for name in hostile if text.casefold() in names.text(name).casefold()]
    assert listed(session, photos, filter_text=text) == found


@settings(max_examples=30)
@given(
    st.lists(st.binary(min_size=1, max_size=6).filter(lambda n: b"\0" not in n and b"/" not in n), unique=True),
    st.text(min_size=1, max_size=3),
)
def test_a_filter_never_fails(tmp_path_factory: pytest.TempPathFactory, found: list[bytes], text: str):
    with open_session(tmp_path_factory.mktemp("filter") / "s.db") as session:
        photos = rows.source(session)
        for name in found:
            rows.put(session, photos, name, rows.content("x"))
        shown = listed(session, photos, filter_text=text)
        assert set(shown) <= set(found)
        assert {name for name in found if text in names.text(name)} <= set(shown)


def test_orders(session: Session, photos: Source):
    one, two = rows.target(session, "t1"), rows.target(session, "t2")
    for name, size, dates in ((b"a", 5, [7]), (b"b", 50, [3, 9]), (b"c", 5, []), (b"d", 7, [8, 8])):
        key = rows.put(session, photos, name, rows.content(name.hex(), size))
        for on, date in zip((one, two), dates, strict=False):
            rows.copy(session, key, on, checked=date)
    assert listed(session, photos, order="name") == [b"a", b"b", b"c", b"d"]
    assert listed(session, photos, order="bytes") == [b"b", b"d", b"a", b"c"]
    assert listed(session, photos, order="checked") == [b"c", b"b", b"a", b"d"]
    unsafe = [key for key, each in all_placements(session).items() if len(each.solid) < 2]
    assert listed(session, photos, order="unsafe", unsafe=unsafe) == [b"a", b"c", b"b", b"d"]
    assert listed(session, photos, order="bytes", placements=unsafe, filter_text="A") == [b"a"]
    assert listed(session, photos, placements=[]) == []


def test_a_page_leaves_out_what_is_gone(session: Session, photos: Source, hostile: list[bytes]):
    key = directory_key(session, photos.key, b"")
    assert key is not None
    keys = file_keys(session, key)
    with session.transaction():
        remove_files(session, keys[:3])
    assert set(files_by_key(session, keys)) == set(keys[3:])
    assert file_count(session, key) == len(hostile) - 3


def test_children_carry_the_totals_of_all_below(session: Session, photos: Source):
    for path in (b"a/b/c/f", b"a/g", b"b/h", b"top"):
        rows.put(session, photos, path, rows.content(path.hex(), 10))
    root = directory_key(session, photos.key, b"")
    assert root is not None
    found = children(session, root)
    assert [(child.path, sum(c.files for c in child.totals.values())) for child in found] == [(b"a", 2), (b"b", 1)]


PATHS = [b"a/b/f", b"a/b.txt", b"a/b0", b"a/b/c/g", b"ab/f", b"a/b!x/f", b"a!/f", b"b", b"a/\xff/f"]


@pytest.mark.parametrize(
    "scope", [b"", b"a", b"a/b", b"a/b/c", b"a/b/f", b"a/b.txt", b"b", b"a/\xff", b"nowhere", b"a/"]
)
def test_what_lies_below_a_path(session: Session, photos: Source, scope: bytes):
    music = rows.source(session, "music")
    for path in PATHS:
        rows.put(session, photos, path, rows.content(path.hex()))
        rows.put(session, music, path, rows.content(path.hex()))
    inside = [path for path in PATHS if not scope or path == scope or path.startswith(scope + b"/")]

    def below(source: int | None, placements: list[int] | None = None) -> list[bytes]:
        found = files_below(session, source, scope, placements=placements)
        return [join(directory, row.name) for _, directory, row in found]

    assert sorted(below(photos.key)) == sorted(inside)
    assert sorted(below(None)) == sorted(inside * 2)
    assert below(photos.key, []) == []


def test_damage_is_counted_below_a_directory(session: Session, photos: Source):
    music = rows.source(session, "music")
    for path in (b"a/f", b"a/b/g", b"ab/h"):
        rows.put(session, photos, path, rows.content("x"), trouble=1)
        rows.put(session, photos, path + b"ok", rows.content("x"))
    rows.put(session, music, b"a/f", rows.content("x"), trouble=2)
    assert [trouble_below(session, photos.key, path) for path in (b"", b"a", b"a/b", b"x")] == [3, 2, 1, 0]


@pytest.fixture
def one(session: Session) -> Target:
    return rows.target(session, "t1")


@pytest.mark.parametrize("scope", [None, b"", b"a", b"a/b", b"a/b/f", b"a/b.txt", b"a/\xff", b"nowhere"])
def test_what_is_wanted_back_below_a_path(session: Session, photos: Source, one: Target, scope: bytes | None):
    for path in PATHS[::2]:
        rows.put(session, photos, path, rows.content(path.hex()))
    with session.transaction():
        root = ensure_directory(session, photos.key, b"a/b")
        put_links(session, root, {b"link": b"x"})
        for path in (*PATHS[1::2], PATHS[0]):
            key = identity_key(session, rows.content("expected " + path.hex()))
            put_expected(session, [(photos.key, path, key, 1, 0o644, None, None)])
        put_expected(session, [(photos.key, b"a/elink", None, 0, 0, b"y", None)])
        put_expected(session, [(photos.key, b"a/b/gone", 1, 0, 0, None, 5)])
    rows.copy(session, rows.content(PATHS[2].hex()), one)
    rows.copy(session, rows.content("expected " + PATHS[1].hex()), one)
    found = list(wanted_back(session, photos.key, scope))
    every = [*PATHS, b"a/b/link", b"a/elink"]
    inside = {path for path in every if not scope or path == scope or path.startswith(scope + b"/")}
    assert sorted(row.path for row in found) == sorted(inside)
    files = [row for row in found if row.goal is None]
    assert [row.path for row in files] == sorted(row.path for row in files)
    for row in files:
        told = "expected " + row.path.hex() if row.path in (*PATHS[1::2], PATHS[0]) else row.path.hex()
        assert row.content == rows.content(told), "what an imported context says stands above what the scan saw"
    totals: dict[int, list[int]] = {}
    for row in files:
        assert row.content is not None
        pair = totals.setdefault(row.placement, [0, 0])
        pair[0] += 1
        pair[1] += row.content.size
    summed = {key: [count.files, count.bytes] for key, count in wanted_totals(session, photos.key, scope).items()}
    assert summed == totals


@pytest.mark.parametrize("scope", [None, b"", b"a", b"a/b", b"a/b/f", b"nowhere"])
def test_what_is_gone_below_a_path(session: Session, photos: Source, one: Target, scope: bytes | None):
    held, bare = rows.content("held"), rows.content("bare")
    with session.transaction():
        keys = [identity_key(session, each) for each in (held, bare)]
    rows.copy(session, held, one)
    for path in PATHS:
        add_gone(session, [(photos.key, path, key, 1, 0o644, 7) for key in keys])
    rows.put(session, photos, b"a/b0", held)  # it is back
    inside = {path for path in PATHS if not scope or path == scope or path.startswith(scope + b"/")} - {b"a/b0"}
    assert [row.path for row in list_gone(session, photos.key, scope)] == sorted(inside)
    forget_gone(session, photos.key, b"a/b/f", keys[0])
    assert b"a/b/f" not in {row.path for row in list_gone(session, photos.key)}


def test_two_listings_may_be_read_in_turns(session: Session, photos: Source):
    for path in PATHS:
        rows.put(session, photos, path, rows.content(path.hex()))
    pairs = zip(wanted_back(session, photos.key), wanted_back(session, photos.key), strict=True)
    assert all(left == right and list(list_gone(session, photos.key)) == [] for left, right in pairs)
