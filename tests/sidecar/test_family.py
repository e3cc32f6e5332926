"""The files of the family's other programs: their hashes are taken over, their copies only as claims."""

from __future__ import annotations

import base64
import hashlib

import pytest

from medback_core.model import Standing
from medback_core.sidecar import Bd, Trust, family_target_id, parse, parse_family, render

MD5 = hashlib.md5(b"foo").digest()
UNPADDED = base64.b64encode(MD5).decode().rstrip("=")
GO = (
    f'<dr>\n  <fr fname="a &amp; b.jpg" mtime="1732410000" size="3" checksum="{UNPADDED}"><tag>keep</tag>'
    f'<bd>qwertyui</bd><bd>not an id</bd></fr>\n  <fr fname="zero" size="0" checksum="{UNPADDED}"></fr>\n</dr>'
).encode()
PYTHON = (
    f'<dr><file name="a.jpg" size="3" mtime="1732410000" md5="{MD5.hex()}">'
    "<bd>0f8fad5b-d9cb-469f-a165-70867728950e</bd></file></dr>"
).encode()


def test_a_go_file_is_read_with_no_declaration() -> None:
    read = parse_family(GO)
    record = read.files[b"a & b.jpg"]
    assert (record.size, record.mtime_ns, record.md5) == (3, 1_732_410_000 * 10**9, MD5)
    assert record.trust is Trust.FAMILY
    assert record.tags == ("keep",)
    assert record.bds == (Bd("qwertyui", Standing.CLAIMED),)
    assert record.extra.elements == ("<bd>not an id</bd>",)
    assert read.files[b"zero"].mtime_ns == 0  # left out when 0
    assert (read.family, read.damage, read.lost) == (True, "", 0)
    assert parse(GO) == read


@pytest.mark.parametrize(
    "checksum",
    [UNPADDED, UNPADDED + "==", UNPADDED.translate(str.maketrans("+/", "-_")), base64.urlsafe_b64encode(MD5).decode()],
)
def test_every_spelling_of_the_checksum_is_read(checksum: str) -> None:
    read = parse(f'<dr><fr fname="a" size="3" mtime="1" checksum="{checksum}"/></dr>'.encode())
    assert read.files[b"a"].md5 == MD5


@pytest.mark.parametrize("checksum", ["", "short", UNPADDED + "A", "!" * 22, "é" * 22, "A" * 9999, MD5.hex()])
def test_a_checksum_nobody_can_read_is_not_adopted(checksum: str) -> None:
    record = parse(f'<dr><fr fname="a" size="3" mtime="1" checksum="{checksum}"/></dr>'.encode()).files[b"a"]
    assert (record.md5, record.trust) == (None, Trust.EDITED)


def test_a_python_file_is_read_with_its_copies_as_claims() -> None:
    read = parse(PYTHON)
    record = read.files[b"a.jpg"]
    assert (record.trust, record.md5, record.mtime_ns) == (Trust.FAMILY, MD5, 1_732_410_000 * 10**9)
    assert record.bds == (Bd("0f8fad5b-d9cb-469f-a165-70867728950e", Standing.CLAIMED),)
    assert read.family


def test_one_record_with_a_check_and_it_is_no_family_file() -> None:
    read = parse(PYTHON.replace(b"</dr>", b'<file name="b" size="1" mtime="1" crc="00000000"/></dr>'))
    assert not read.family
    assert {record.trust for record in read.files.values()} == {Trust.EDITED}


def test_a_file_of_both_dialects_is_read() -> None:
    ours = render(parse(b'<dr v="1"><file name="b" size="1" mtime="1"/></dr>'))
    read = parse(ours.replace(b"</dr>", GO.partition(b">")[2]))
    assert set(read.files) == {b"b", b"a & b.jpg", b"zero"}
    assert read.files[b"a & b.jpg"].trust is Trust.FAMILY
    assert read.family


def test_family_records_of_a_damaged_file_are_not_believed() -> None:
    read = parse(GO[:-10])
    assert read.damage
    assert {record.trust for record in read.files.values()} == {Trust.EDITED}
    assert read.files[b"a & b.jpg"].md5 == MD5


def test_a_family_record_rewritten_is_believed_no_more_than_before() -> None:
    assert parse(render(parse(PYTHON))).files[b"a.jpg"].trust is Trust.EDITED
    assert parse(render(parse(PYTHON))).files[b"a.jpg"].bds[0].standing is Standing.CLAIMED


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".."])
def test_a_family_name_outside_of_its_directory_is_dropped(name: str) -> None:
    read = parse(f'<dr><fr fname="{name}" size="3" checksum="{UNPADDED}"/></dr>'.encode())
    assert (read.files, read.lost) == ({}, 1)


def test_the_ids_the_family_gives_a_drive() -> None:
    uuid = b"0f8fad5b-d9cb-469f-a165-70867728950e"
    assert family_target_id(b".bkp_id", uuid) == uuid.decode()
    assert family_target_id(b".bkp_id", uuid + b"\n") == uuid.decode()
    assert family_target_id(b".mdbackup.xml", b"<vol><label>qWeRtYuI</label></vol>") == "qWeRtYuI"
    for data in (
        b"",
        b"\xff" * 36,
        uuid[:-1],
        b"<vol/>",
        b"<vol><label>../x</label></vol>",
        b"<a><label>x</label></a>",
    ):
        assert family_target_id(b".bkp_id", data) is None
        assert family_target_id(b".mdbackup.xml", data) is None
    assert family_target_id(b"other", uuid) is None
    assert family_target_id(b"other", b"<vol><label>qWeRtYuI</label></vol>") is None
