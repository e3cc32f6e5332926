"""Times, numbers and names no one would choose come back exactly as they were."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support import session_builder as rows
from medback_core.session import open_session
from medback_core.session.copies import copies_of, record_copies
from medback_core.session.expected import is_placed, mark_placed, wanted_back
from support.stored import Seen, put_expected, put_file
from medback_core.session.files import (
    ensure_directory,
    find_directory,
    find_file,
    join,
    links_in,
    mark_sidecar,
    mark_trouble,
    path_of_file,
    paths_of_identity,
    put_links,
    troubled,
)
from medback_core.session.gone import add_gone, list_gone
from medback_core.session.tree import directory_key, files_below, files_by_key, totals_by_source, totals_of
from medback_core.model import Identity, Standing, Trouble
from medback_core.session import Session
from medback_core.session.copies import Copy
from medback_core.session.files import SidecarStat
from medback_core.session.scanning import rows_by_inode
from medback_core.session.values import load_ns, signed, store_ns

NS = 10**9
TIMES = [
    0,
    -1,
    1,
    -62_135_596_800 * NS,  # year 1
    (1 << 63) - 1,
    1 << 63,
    15_032_385_535 * NS + 999_999_999,  # 2446, the last of ext4
    -(1 << 63),
    -(1 << 63) - 1,
    253_402_300_799 * NS + 1,  # 9999
    (1 << 80) + 12345,
]


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return open_session(tmp_path / "s.db")


@given(st.integers(-(1 << 90), 1 << 90))
def test_a_time_is_stored_as_what_sqlite_can_hold_and_read_back_whole(value: int):
    stored = store_ns(value)
    assert isinstance(stored, str) or -(1 << 63) <= stored < 1 << 63
    assert load_ns(stored) == value


@given(st.sets(st.integers(0, (1 << 64) - 1)))
def test_different_inodes_stay_different(numbers: set[int]):
    stored = [signed(number) for number in numbers]
    assert len(set(stored)) == len(numbers)
    assert all(-(1 << 63) <= number < 1 << 63 for number in stored)


@pytest.mark.parametrize("time", TIMES)
def test_any_mtime_comes_back_exactly(session: Session, time: int):
    photos, one = rows.source(session), rows.target(session, "t1")
    with session.transaction():
        root = ensure_directory(session, photos.key, b"")
        key = put_file(session, root, Seen(b"f", rows.content("x"), time, 0o644, 1, 1, time))
        put_expected(session, [(photos.key, b"e", key, time, 0o644, None, None)])
    record_copies(session, [Copy(key, one.key, Standing.VERIFIED, b"p", time, 5, True)])
    add_gone(session, [(photos.key, b"g", key, time, 0o644, None)])
    file = find_file(session, photos.key, b"f")
    assert file is not None and (file.mtime_ns, file.ctime_ns) == (time, time)
    assert copies_of(session, key)[0].mtime_ns == time
    assert {row.mtime_ns for row in wanted_back(session, photos.key)} == {time}
    assert [row.mtime_ns for row in list_gone(session, photos.key)] == [time]
    assert [row.mtime_ns for _, _, row in files_below(session)] == [time]
    assert [row.mtime_ns for row in files_by_key(session, [file.key]).values()] == [time]
    directory = find_directory(session, photos.key, b"")
    assert directory is not None
    mark_sidecar(session, directory.key, SidecarStat(1, 2, time, time))
    directory = find_directory(session, photos.key, b"")
    assert directory is not None and directory.sidecar == (1, 2, time, time)


@pytest.mark.parametrize("inode", [0, 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
@pytest.mark.parametrize("device", [1, 1 << 63, (1 << 64) - 1])
def test_any_inode_finds_its_file(session: Session, inode: int, device: int):
    photos = rows.source(session)
    with session.transaction():
        root = ensure_directory(session, photos.key, b"a")
        for number, name in ((inode, b"this"), (inode ^ 1, b"other")):
            put_file(session, root, Seen(name, rows.content("x"), 0, 0o644, device, number, 0))
        put_file(session, root, Seen(b"elsewhere", rows.content("x"), 0, 0o644, device ^ 2, inode, 0))
    found = rows_by_inode(session, device, [inode])
    assert [(row.directory, row.name) for row in found[inode]] == [(b"a", b"this")]


def test_a_file_known_from_a_sidecar_alone_has_no_inode(session: Session):
    photos = rows.source(session)
    with session.transaction():
        root = ensure_directory(session, photos.key, b"")
        put_file(session, root, Seen(b"f", rows.content("x"), 0, 0o644, None, None, None))
    file = find_file(session, photos.key, b"f")
    assert file is not None and (file.device, file.inode, file.ctime_ns) == (None, None, None)


NAMES = st.binary(min_size=1, max_size=40).filter(lambda name: b"\0" not in name and b"/" not in name)


@settings(max_examples=40)
@given(st.lists(NAMES, min_size=1, max_size=6))
def test_any_path_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, parts: list[bytes]):
    path = b"/".join(parts)
    with open_session(tmp_path_factory.mktemp("names") / "s.db") as session:
        photos, one = rows.source(session), rows.target(session, "t1")
        key = rows.put(session, photos, path, rows.content("x"))
        rows.copy(session, key, one, path=path)
        file = find_file(session, photos.key, path)
        assert file is not None and file.name == parts[-1]
        assert path_of_file(session, file.key) == (photos.key, path)
        assert [found for _, found, _ in paths_of_identity(session, key)] == [path]
        assert [join(directory, row.name) for _, directory, row in files_below(session)] == [path]
        assert [row.path for row in wanted_back(session, photos.key, path)] == [path]
        assert copies_of(session, key)[0].path == path
        for depth in range(len(parts)):
            directory = directory_key(session, photos.key, b"/".join(parts[:depth]))
            assert directory is not None and sum(c.files for c in totals_of(session, directory).values()) == 1


def test_sizes_up_to_the_last_byte_are_summed_exactly(session: Session):
    photos = rows.source(session)
    sizes = [0, 1, (1 << 53) + 1, (1 << 61) + 1, (1 << 61) + 3]
    for number, size in enumerate(sizes):
        rows.put(session, photos, b"a/%d" % number, Identity(size, rows.content(number).md5))
    (total,) = totals_by_source(session)[photos.key].values()
    assert (total.files, total.bytes) == (5, sum(sizes))


def test_putting_a_file_again_replaces_it(session: Session):
    photos = rows.source(session)
    rows.put(session, photos, b"f", rows.content("old", 1))
    rows.put(session, photos, b"f", rows.content("new", 2), trouble=Trouble.DAMAGED)
    file = find_file(session, photos.key, b"f")
    assert file is not None and (file.size, file.trouble) == (2, Trouble.DAMAGED)
    assert [path for path, _ in troubled(session, photos.key)] == [b"f"]
    mark_trouble(session, photos.key, b"f", Trouble.NONE)
    assert troubled(session, photos.key) == []


def test_links_become_exactly_those(session: Session):
    photos = rows.source(session)
    links = {b"\xff": b"../x\n", b"b": b"/abs"}
    with session.transaction():
        root = ensure_directory(session, photos.key, b"")
        put_links(session, root, {b"a": b"old"})
        put_links(session, root, links)
    assert links_in(session, root) == links
    put_links(session, root, {})
    assert links_in(session, root) == {}


def test_a_destination_put_right_is_known_until_it_changes(session: Session, tmp_path: Path):
    file = tmp_path / "f"
    file.write_bytes(b"x")
    path = os.fsencode(file)
    mark_placed(session, [(path, 7, file.stat())])
    assert is_placed(session, path, 7, file.stat())
    assert not is_placed(session, path, 8, file.stat())
    os.utime(file, ns=(1, 1))
    assert not is_placed(session, path, 7, file.stat())
