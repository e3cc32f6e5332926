"""What is written is what is read, whatever the names, times and bytes."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zlib
from dataclasses import replace
from pathlib import Path

import lxml.etree as etree
import pytest
from hypothesis import given

from medback_core.model import Standing, format_mtime
from medback_core.sidecar import Bd, FileRecord, LinkRecord, Sidecar, Trust, parse, render, whole
from medback_core.sidecar.checks import ATTRIBUTES, LATER, is_right
from medback_core.sidecar.records import Extra
from medback_core.sidecar.writing import with_copies
from medback_core.sidecar.values import format_date, parse_date, parse_mtime

from support.sidecars import HOSTILE_NAMES, file, sidecars, varied


def test_the_example_of_the_format_is_written_to_the_letter() -> None:
    record = FileRecord(
        b"a.jpg",
        3,
        1_732_410_000_120_000_000,
        bytes.fromhex("acbd18db4cc2f85cedef654fccc4a4d8"),
        bds=(Bd("k3v9q2x8ab7m"),),
        tags=("keep",),
    )
    written = render(Sidecar({b"a.jpg": record}, {b"latest": LinkRecord(b"latest", b"2024/lisbon")}))
    blanked = re.sub(rb'crc="[0-9a-f]{8}"', b'crc=""', written)
    assert blanked == (
        b'<?xml version="1.0" encoding="UTF-8"?>\n<dr v="1">\n'
        b'<file name="a.jpg" size="3" mtime="1732410000.120000000" md5="acbd18db4cc2f85cedef654fccc4a4d8" crc="">'
        b"<bd>k3v9q2x8ab7m</bd><tag>keep</tag></file>\n"
        b'<link name="latest" to="2024/lisbon" crc=""/>\n</dr>\n'
    )


def test_the_check_is_the_crc32_of_the_line_without_it() -> None:
    for line in render(varied()).splitlines()[2:-1]:
        check = re.search(rb' crc="([0-9a-f]{8})"', line)
        assert check
        assert f"{zlib.crc32(line.replace(check.group(), b'')):08x}".encode() == check.group(1)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_hostile_name_comes_back_exactly(name: bytes) -> None:
    place = ("src1", b"some where/" + name)
    wanted = Sidecar({name: file(name, path=place, twins=(place,))}, {name: LinkRecord(name, name)})
    written = render(wanted)
    assert parse(written) == wanted
    assert parse(slow(written)) == wanted
    assert len(written.split(b"\n")) == 6  # one record, one line
    assert whole(written)


def test_hostile_names_stand_side_by_side() -> None:
    wanted = Sidecar({name: file(name, number) for number, name in enumerate(HOSTILE_NAMES)})
    assert parse(render(wanted)) == wanted
    assert list(parse(render(wanted)).files) == sorted(HOSTILE_NAMES)


@given(sidecars)
def test_any_sidecar_comes_back_by_either_way(sidecar: Sidecar) -> None:
    written = render(sidecar)
    assert parse(written) == sidecar
    assert parse(slow(written)) == sidecar
    assert render(parse(written)) == written
    assert whole(written)


def test_what_a_file_got_after_the_first_version_is_sorted_among_what_that_does_not_know() -> None:
    """So its check comes out right there too."""
    first = "name", "name64", "size", "mtime", "mode", "md5", "verified", "path", "path64", "by", "damaged"
    extra = Extra((("beta", "1"), ("hue", "2"), ("zeta", "3")))
    whole_record = file(b"a\n", blake3=bytes(32), extra=extra, verified=1, damaged=1, ours=True, path=("s", b"b"))
    line = re.search(b"<file.*/>", render(Sidecar({whole_record.name: whole_record})))
    assert line is not None
    element = etree.fromstring(line[0])
    assert ATTRIBUTES["file"] == first
    assert is_right(element)
    assert set(map(str, element.attrib)) >= {*LATER, *(name for name, _ in extra.attributes)}


def _with_one_copy(sidecar: Sidecar) -> Sidecar:
    files = {name: replace(record, bds=(Bd("t9"),)) for name, record in sidecar.files.items()}
    return replace(sidecar, files=files)


@given(sidecars)
def test_other_copies_are_written_into_what_is_there_as_if_it_was_read(sidecar: Sidecar) -> None:
    now = _with_one_copy(sidecar)
    holds_more = any(record.tags or record.twins or record.extra for record in sidecar.files.values())
    more = sidecar.links.values(), sidecar.dirs.values()
    holds_more = holds_more or bool(sidecar.extra) or any(record.extra for records in more for record in records)
    made = with_copies(render(sidecar), now)
    assert made is None if holds_more else made == render(now)


def test_other_copies_are_not_written_into_what_has_something_of_its_own_to_say() -> None:
    files = {name: file(name, bds=(Bd("t1"),)) for name in (b"a", b"b")}
    plain = Sidecar(files, {b"l": LinkRecord(b"l", b"to")})
    now, there = _with_one_copy(plain), render(plain)
    assert with_copies(there, now) == render(now) != there
    for at in range(len(there)):
        assert with_copies(there[:at] + bytes([there[at] ^ 1]) + there[at + 1 :], now) is None
    for more in (
        replace(plain, files=files | {b"a": file(b"a", bds=(Bd("t1"),), tags=("keep",))}),
        replace(plain, files=files | {b"a": file(b"a", bds=(Bd("t1", extra=(("hue", "1"),)),))}),
        replace(plain, files=files | {b"a": file(b"a", trust=Trust.EDITED)}),
        replace(plain, files=files | {b"a": file(b"a", 2)}),
        replace(plain, files=files | {b"c": file(b"c")}),
        replace(plain, files={b"a": files[b"a"]}),
        replace(plain, links={}),
        Sidecar(),
    ):
        assert with_copies(render(more), now) is None
    doubted = replace(now, files=now.files | {b"a": file(b"a", trust=Trust.EDITED)})
    assert with_copies(there, doubted) is None
    assert with_copies(b"", now) is None


def test_equal_sidecars_give_equal_bytes_whatever_their_order() -> None:
    one = varied()
    other = Sidecar(dict(reversed(one.files.items())), dict(reversed(one.links.items())))
    for record in other.files.values():
        other.files[record.name] = replace(record, bds=record.bds[::-1], twins=record.twins[::-1])
    assert render(one) == render(other)


@pytest.mark.parametrize(
    ("text", "mtime_ns"),
    [
        ("0.000000000", 0),
        ("-0.500000000", -500_000_000),
        ("-0.000000001", -1),
        ("-1.500000000", -1_500_000_000),
        ("1732410000.120000000", 1_732_410_000_120_000_000),
        ("15032385535.999999999", 15_032_385_535_999_999_999),
        ("-2147483648.000000000", -2_147_483_648_000_000_000),
    ],
)
def test_times_are_exact(text: str, mtime_ns: int) -> None:
    assert format_mtime(mtime_ns) == text
    assert parse_mtime(text) == mtime_ns


@pytest.mark.skipif(shutil.which("stat") is None, reason="no stat command here")
@pytest.mark.parametrize("mtime_ns", [0, -1, -500_000_000, -1_500_000_000, 1_732_410_000_120_000_001, 10**9])
def test_times_stand_as_stat_prints_them(tmp_path: Path, mtime_ns: int) -> None:
    path = tmp_path / "f"
    path.touch()
    os.utime(path, ns=(mtime_ns, mtime_ns))
    if path.stat().st_mtime_ns != mtime_ns:
        pytest.skip("this file system can't hold the time")
    printed = subprocess.run(["stat", "-c", "%.9Y", path], capture_output=True, text=True, check=False)
    if printed.returncode:
        pytest.skip("not GNU stat")
    assert format_mtime(mtime_ns) == printed.stdout.strip()


def test_a_time_edited_by_hand_may_have_fewer_digits() -> None:
    assert parse_mtime("12") == 12 * 10**9
    assert parse_mtime("12.5") == 12_500_000_000
    assert [parse_mtime(text) for text in ("", "1.", ".5", "1e9", "1,5", "nan", "--1", "1.0000000000", "٣")] == [
        None
    ] * 9


def test_dates_are_iso_8601_in_utc() -> None:
    assert format_date(1_795_489_200) == "2026-11-24T03:00:00Z"
    assert parse_date("2026-11-24T03:00:00Z") == 1_795_489_200
    assert parse_date("2026-11-24T04:00:00+01:00") == 1_795_489_200
    assert parse_date("2026-11-24") == 1_795_478_400
    assert format_date(10**15) is None
    assert parse_date("yesterday") is None


def test_only_permission_bits_are_kept() -> None:
    written = render(Sidecar({b"x": file(b"x", mode=0o4755)}))
    assert b' mode="0755"' in written
    assert parse(written.replace(b'mode="0755"', b'mode="04755"')).files[b"x"].mode == 0o755


def test_every_standing_comes_back() -> None:
    wanted = file(b"x", bds=tuple(Bd(f"t{standing.value}", standing) for standing in Standing))
    assert parse(render(Sidecar({b"x": wanted}))).files[b"x"].bds == wanted.bds


def test_a_standing_nobody_knows_is_only_a_claim() -> None:
    written = render(Sidecar({b"x": file(b"x", bds=(Bd("t1", Standing.WRITTEN),))}))
    record = parse(written.replace(b'"written"', b'"perhaps"')).files[b"x"]
    assert record.bds == (Bd("t1", Standing.CLAIMED),)


def test_a_rewrite_gives_no_check_to_what_had_no_right_one() -> None:
    edited = parse(render(varied()).replace(b'name="IMG_0003', b'name="IMG_9003'))
    assert edited.files[b"IMG_9003.jpg"].trust is Trust.EDITED
    again = parse(render(edited))
    assert again.files[b"IMG_9003.jpg"].trust is Trust.EDITED
    assert again == edited


def slow(written: bytes) -> bytes:
    """The same file in a shape the fast way does not take."""
    return written.replace(b'<dr v="1">', b"<dr v='1'>", 1)
