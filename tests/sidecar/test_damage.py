"""A damaged sidecar loses no undamaged record, and no damaged one is believed."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from support.fault_report import FULL, Row, sampled
from medback_core.sidecar import FileRecord, LinkRecord, Sidecar, Trust, parse, render, whole

from support.sidecars import file, varied

WRITTEN = render(varied())
LINES = WRITTEN.split(b"\n")[2:-2]  # the records
RECORDS = parse(WRITTEN)
OF_LINE: dict[bytes, FileRecord | LinkRecord] = {}
for _line in LINES:
    _one = parse(b'<?xml version="1.0" encoding="UTF-8"?>\n<dr v="1">\n' + _line + b"\n</dr>\n")
    OF_LINE[_line] = next(iter([*_one.files.values(), *_one.links.values()]))


def judge(data: bytes) -> Sidecar:
    """Read it and hold it to the promise: every line that is whole comes out whole, and nothing else does."""
    read = parse(data)
    there = [line for line in LINES if line in data]
    for line in there:
        record = OF_LINE[line]
        found = read.files.get(record.name) if isinstance(record, FileRecord) else read.links.get(record.name)
        assert found == record, line
    for record in (*read.files.values(), *read.links.values()):
        if record.trust is Trust.WHOLE:
            known = RECORDS.files if isinstance(record, FileRecord) else RECORDS.links
            assert known.get(record.name) == record
    records = (*read.files.values(), *read.links.values())
    if sum(record.trust is Trust.WHOLE for record in records) < len(LINES):  # layout alone may change
        assert read.damage or read.lost or any(record.trust is not Trust.WHOLE for record in records)
    return read


def test_the_sample_is_whole() -> None:
    assert len(OF_LINE) == len(LINES) >= 30
    assert whole(WRITTEN)
    assert parse(WRITTEN) == varied()


@pytest.mark.long
def test_cut_at_every_byte(campaign: Callable[[str], Row]) -> None:
    row = campaign("sidecar cut at every byte")
    for length in sampled(range(len(WRITTEN) - 1), 600):  # without its last newline it is still whole
        row.tried()
        read = judge(WRITTEN[:length])
        assert read.damage
        assert read.lost <= 1
        assert not whole(WRITTEN[:length])


@pytest.mark.long
def test_the_beginning_lost_at_every_byte() -> None:
    for start in sampled(range(1, len(WRITTEN)), 600):
        judge(WRITTEN[start:])


@pytest.mark.long
@pytest.mark.parametrize("seed", range(40))
def test_random_damage(seed: int, campaign: Callable[[str], Row]) -> None:
    """Damaged files: bits, bytes, insertions, deletions, doubled and lost stretches, holes of NULs."""
    row = campaign("sidecar struck at random")
    chance = random.Random(seed)
    for _ in range(50 if FULL else 25):
        row.tried()
        data = bytearray(WRITTEN)
        for _ in range(chance.choice((1, 1, 1, 2, 5, 20))):
            at = chance.randrange(len(data))
            length = chance.choice((1, 1, 2, 30, 300))
            match chance.randrange(8):
                case 0 | 1:
                    data[at] ^= 1 << chance.randrange(8)
                case 2:
                    data[at] = chance.randrange(256)
                case 3:
                    data[at:at] = chance.randbytes(length)
                case 4:
                    del data[at : at + length]
                case 5:
                    data[at:at] = data[at : at + length]
                case 6:
                    data[at : at + length] = bytes(len(data[at : at + length]))
                case _:
                    data[at] = chance.choice(b"\"'<>&\n/= ")
        judge(bytes(data))


@pytest.mark.long
def test_every_single_byte_turned_into_what_xml_lives_by() -> None:
    small = render(
        Sidecar({name: varied().files[name] for name in (b"IMG_0000.jpg", b"IMG_0001.jpg", b"IMG_0003.jpg")})
    )
    records = parse(small)
    for at in sampled(range(len(small)), 300):
        for byte in b"\"'<>&\n\0\xff/ -":
            if small[at] == byte:
                continue
            read = parse(small[:at] + bytes([byte]) + small[at + 1 :])
            struck = small.count(b"\n", 0, at) - 2
            for number, (name, record) in enumerate(sorted(records.files.items())):
                newline = small[at] == 10 and number == struck
                if number != struck or newline:
                    assert read.files.get(name) == record, (at, byte)


def test_a_broken_newline_costs_no_record() -> None:
    for found in re.finditer(rb"\n", WRITTEN):
        at = found.start()
        for byte in b"X<>&\"'\0":
            read = judge(WRITTEN[:at] + bytes([byte]) + WRITTEN[at + 1 :])
            assert all(line in WRITTEN for line in LINES)
            assert {n for n, r in read.files.items() if r.trust is Trust.WHOLE} == set(RECORDS.files)


def test_garbage_between_the_records_is_stepped_over() -> None:
    lines = WRITTEN.split(b"\n")
    garbage = random.Random(1).randbytes(5000)
    for at in range(1, len(lines), 4):
        read = judge(b"\n".join([*lines[:at], garbage, *lines[at:]]))
        assert set(read.files) == set(RECORDS.files)
        assert read.damage


def test_records_of_another_shape_are_saved_too() -> None:
    later = Sidecar({b"%d" % n: file(b"%d" % n, n) for n in range(10)})
    odd = render(later).replace(b' crc="', b"  crc = '").replace(b"'", b"'", 1)
    odd = re.sub(rb"crc = '([0-9a-f]{8})\"", rb"crc = '\1'", odd)
    assert parse(odd) == later
    cut = parse(odd[:-4])
    assert cut.damage
    assert cut.files == later.files


def test_unknown_things_of_the_root_survive_damage_elsewhere() -> None:
    data = WRITTEN.replace(b'<dr v="1">', b'<dr v="1" made="2027">').replace(b"</dr>", b'<index of="later"/>\n</dr>')
    read = parse(data.replace(b'name="IMG_0003', b"name=IMG_0003"))
    assert read.extra.attributes == (("made", "2027"),)
    assert read.extra.elements == ('<index of="later"/>',)
    assert (read.lost, len(read.files)) == (1, len(RECORDS.files) - 1)


@pytest.mark.parametrize("data", [b"", b" \n", b"\0" * 4096, b"garbage", b"<", b"<html><body/></html>", b"\xff" * 99])
def test_what_is_no_sidecar_says_so(data: bytes) -> None:
    read = parse(data)
    assert read.damage
    assert (read.files, read.links) == ({}, {})
    assert not whole(data)


def test_a_record_whose_tag_was_struck_is_counted_as_lost() -> None:
    for before, after in ((b"<file", b"<fime"), (b"<file", b",file"), (b"<file", b"<!le")):
        at = WRITTEN.index(b'<file name="IMG_0004')
        read = judge(WRITTEN[:at] + after + WRITTEN[at + len(before) :])
        assert read.damage
        assert read.lost == 1


def test_a_later_version_is_read_and_said() -> None:
    read = parse(WRITTEN.replace(b'v="1"', b'v="2"'))
    assert read.files == RECORDS.files
    assert "version" in read.damage


def test_a_lost_version_does_not_make_it_a_family_file() -> None:
    read = parse(WRITTEN.replace(b'<dr v="1">', b'<dr w="1">'))
    assert not read.family
    assert read.damage
    assert read.files == RECORDS.files
