"""XML from a stranger's drive: refused in bounded time and memory, believed in nothing, never an exception."""

from __future__ import annotations

import subprocess
import sys
import time
from importlib import import_module

import lxml.etree as etree
import pytest

from medback_core.sidecar import (
    SIDECAR_LIMIT,
    TargetIdentity,
    family_target_id,
    parse,
    parse_family,
    parse_source_metadata,
    parse_target_identity,
    render_target_identity,
    metadata,
    salvage,
    whole,
)
from medback_core.xml_safety import ATTRIBUTES_MAX, DtdRefused, UnsafeXml, parse_untrusted, safe_parser
from support.fault_report import FULL

BILLION = b'<!DOCTYPE dr [<!ENTITY a "' + b"x" * 100 + b'">' + b"".join(
    b'<!ENTITY %c "%s">' % (c + 1, b"&%c;" % c * 10) for c in b"abcdefgh"
) + b']>'  # fmt: skip
RECORD = b'<file name="a" size="1" mtime="1.000000000" md5="acbd18db4cc2f85cedef654fccc4a4d8"/>'
MANY = 1_000_000
LONG = 12_000_000  # libxml2 takes texts of 10 MB

ATTACKS = {
    "billion laughs": BILLION + b"<dr>&i;</dr>",
    "external entity": b'<!DOCTYPE dr [<!ENTITY e SYSTEM "file:///etc/passwd">]><dr>' + RECORD + b"<x>&e;</x></dr>",
    "external dtd": b'<!DOCTYPE dr SYSTEM "file:///etc/passwd"><dr>' + RECORD + b"</dr>",
    "parameter entity": b'<!DOCTYPE dr [<!ENTITY % p SYSTEM "file:///etc/passwd">%p;]><dr/>',
    "dtd after a comment": b"<?xml version='1.0'?><!-- x --><!DOCTYPE dr><dr>" + RECORD + b"</dr>",
    "dtd in utf-16": '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE dr><dr/>'.encode("utf-16"),
    "dtd in utf-16 without a mark": '<!DOCTYPE dr><dr v="1"/>'.encode("utf-16-le"),
    "dtd in utf-32": '<!DOCTYPE dr><dr v="1"/>'.encode("utf-32"),
    "dtd in utf-7": b'<?xml version="1.0" encoding="UTF-7"?>+ADwAIQ-DOCTYPE dr+AD4-<dr/>',
    "ebcdic": b'<?xml version="1.0" encoding="cp037"?><dr/>',
    "xinclude": b'<dr xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="file:///etc/passwd"/></dr>',
    "depth": b"<a>" * (MANY // 10),
    "depth in a sidecar": b'<dr v="1"><file name="a" size="1">' + b"<a>" * (MANY // 10),
    "closed depth": b'<dr v="1">' + b"<a>" * 300 + b"</a>" * 300 + b"</dr>",
    "huge attribute": b'<dr v="1"><file name="' + b"x" * LONG + b'" size="1"/></dr>',
    "huge text": b'<dr v="1"><file name="a" size="1"><tag>' + b"x" * LONG + b"</tag></file></dr>",
    "many attributes": b"<dr " + b" ".join(b'a%d=""' % n for n in range(MANY // 5)) + b"/>",
    "many namespaces": b"<dr " + b" ".join(b'xmlns:a%d="u%d"' % (n, n) for n in range(MANY // 20)) + b"/>",
    "many tags": b'<dr v="1">' + b"<b/>" * (2 * MANY) + b"</dr>",
    "many broken records": b'<dr v="1">' + b"<file x>\n" * (MANY // 20),
    "many records without end": b'<dr v="1">' + b'<file name="' * (MANY // 20),
    "many broken lines": b'<dr v="1">' + b"<b>\n" * (MANY // 20),
    "many empty lines": b'<dr v="1">' + b"\n" * (2 * MANY),
    "many records": b'<dr v="1">' + b"<fr />" * 3_100_000,
    "nul": b'<dr v="1">\0' + RECORD + b"</dr>",
    "nul only": b"\0" * MANY,
    "quotes": b'<dr v="1">' + b'"' * MANY,
    "ampersands": b'<dr v="1"><file name="' + b"&amp;" * MANY + b'"',
    "undefined entity": b'<dr v="1"><file name="&x;" size="1"/></dr>',
    "two roots": b'<dr v="1"/><dr v="1">' + RECORD + b"</dr>",
}


@pytest.mark.long
@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_is_survived_and_believed_in_nothing(attack: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if not FULL:  # a tenth of the tries in vain: most of the time goes into them
        monkeypatch.setattr(salvage, "TRIES_MAX", salvage.TRIES_MAX // 10)
        monkeypatch.setattr(metadata, "_TRIES_MAX", metadata._TRIES_MAX // 10)
    data = ATTACKS[attack]
    began = time.process_time()
    for read in (parse(data), parse_family(data)):
        assert all(record.trust == 0 for record in read.files.values())
        assert b"root:" not in repr(read)[:100_000].encode()
        assert len(read.files) <= 1
    assert not whole(data)
    assert parse_source_metadata(data).id == ""
    assert parse_target_identity(data).id == ""
    assert family_target_id(b".mdbackup.xml", data) is None
    assert family_target_id(b".bkp_id", data) is None
    assert time.process_time() - began < 60  # seven readings, on a slow machine


@pytest.mark.parametrize("attack", [name for name in ATTACKS if "dtd" in name or "entity" in name or name == "depth"])
def test_the_parser_refuses(attack: str) -> None:
    with pytest.raises(UnsafeXml):
        parse_untrusted(ATTACKS[attack], 2**30)


@pytest.mark.parametrize("attack", ["billion laughs", "external entity", "external dtd", "dtd after a comment"])
def test_nothing_of_a_file_with_a_dtd_is_saved(attack: str) -> None:
    with pytest.raises(DtdRefused):
        parse_untrusted(ATTACKS[attack], 2**30)
    read = parse(ATTACKS[attack])
    assert (read.files, read.damage) == ({}, "a DTD is not allowed")


def test_more_than_a_sidecar_can_be_is_refused_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medback_core.sidecar.reading.SIDECAR_LIMIT", 1000)
    assert parse(b" " * 1001).damage == "larger than a sidecar can be"
    assert SIDECAR_LIMIT > 2**28


def test_more_records_than_a_directory_can_have_are_believed_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medback_core.sidecar.reading.RECORDS_MAX", 10)
    assert parse(b'<dr v="1">' + RECORD * 11 + b"</dr>").damage == "more records than a directory can have"
    assert len(parse(b'<dr v="1">' + RECORD * 10 + b"</dr>").files) == 1


def test_metadata_larger_than_they_can_be_are_believed_in_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    written = render_target_identity(TargetIdentity("k3v9q2x8ab7m", "Blue"))
    monkeypatch.setattr("medback_core.sidecar.metadata.METADATA_LIMIT", len(written))
    assert parse_target_identity(written).id == "k3v9q2x8ab7m"
    for data in (written + b" ", b"broken" + written):
        assert parse_target_identity(data).id == ""


def test_an_element_longer_than_any_is_not_looked_for_in_damaged_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    """For each start its end would be looked for through all the rest."""
    damaged = b"broken" + render_target_identity(TargetIdentity("k3v9q2x8ab7m", "Blue"))
    assert parse_target_identity(damaged).id == "k3v9q2x8ab7m"
    monkeypatch.setattr("medback_core.sidecar.metadata._ELEMENT_MAX", 20)
    assert parse_target_identity(damaged).id == ""


@pytest.mark.parametrize(
    ("limit", "tried", "data"),
    [
        ("salvage.TRIES_MAX", "salvage._careful", b'<dr v="1">' + b"<file x>\n" * 50),
        ("salvage.TRIES_MAX", "salvage.parse_untrusted", b'<dr v="1">' + b"<b>\n" * 50),
        ("metadata._TRIES_MAX", "metadata.element_at", b"<medback-target>" + b"<b>\n" * 50),
    ],
)
def test_what_is_broken_is_tried_only_so_often(
    monkeypatch: pytest.MonkeyPatch, limit: str, tried: str, data: bytes
) -> None:
    tries = 0
    module, name = tried.split(".")
    really = getattr(import_module(f"medback_core.sidecar.{module}"), name)

    def counting(*words: object) -> object:
        nonlocal tries
        tries += 1
        return really(*words)

    monkeypatch.setattr(f"medback_core.sidecar.{limit}", 10)
    monkeypatch.setattr(f"medback_core.sidecar.{tried}", counting)
    assert parse(data).files == {} and parse_target_identity(data).id == ""
    assert 10 <= tries <= 12


@pytest.mark.parametrize("entity", ['"boom"', f'SYSTEM "file://{__file__}"'], ids=["internal", "external"])
def test_the_parser_alone_puts_nothing_in_the_place_of_an_entity(entity: str) -> None:
    """What it would do with a document that `parse_untrusted` had not refused already."""
    document = f"<!DOCTYPE a [<!ENTITY e {entity}>]><a>&e;</a>".encode()
    try:
        text = "".join(etree.fromstring(document, safe_parser()).itertext())
    except etree.LxmlError:
        return
    assert "boom" not in text and "hostile" not in text


@pytest.mark.parametrize("encoding", ["ISO-8859-1", "UTF-7", "cp037", "utf-16"])
def test_a_document_that_says_it_is_in_another_encoding_is_refused(encoding: str) -> None:
    document = f'<?xml version="1.0" encoding="{encoding}"?><a name="\u00c3\u00a9"/>'.encode()
    with pytest.raises(UnsafeXml, match="not UTF-8"):
        parse_untrusted(document, 1000)


@pytest.mark.parametrize("bad", [b"\0", b"\x1b", b"\xff", b"\xc0\x80", b"\xed\xa0\x80", "\uffff".encode()])
def test_bytes_that_are_no_text_are_refused_before_any_parser_sees_them(bad: bytes) -> None:
    for document in (b"<a>%b</a>", b'<a b="%b"/>', b"<a><!--%b--></a>"):
        with pytest.raises(UnsafeXml, match="not UTF-8 text of legal characters"):
            parse_untrusted(document % bad, 1000)


def test_more_attributes_than_any_element_has_are_refused() -> None:
    """lxml takes time quadratic in their number to list them."""
    many = b"<a>" + b"<b " + b" ".join(b'a%d=""' % n for n in range(ATTRIBUTES_MAX + 1)) + b"/></a>"
    with pytest.raises(UnsafeXml, match="attributes"):
        parse_untrusted(many, 2**20)


def test_the_limit_of_the_parser_is_kept() -> None:
    with pytest.raises(UnsafeXml, match="larger"):
        parse_untrusted(b"<a/>", 3)
    assert parse_untrusted(b"<a/>", 4).tag == "a"


def test_an_error_names_the_line_and_is_harmless_to_print() -> None:
    with pytest.raises(UnsafeXml) as caught:
        parse_untrusted(b"<a>\n\n<b\xe2\x80\xae\x1b[31m></a>", 1000)
    assert str(caught.value).isprintable()
    with pytest.raises(UnsafeXml) as caught:
        parse_untrusted(b"<a><b\xe2\x80\x8dx></c></a>", 1000)  # a name may hold a zero-width joiner
    assert "\\u200d" in str(caught.value) and str(caught.value).isprintable()
    with pytest.raises(UnsafeXml) as caught:
        parse_untrusted(b"<a>\n\n<b></c></a>", 1000)
    assert caught.value.line == 3


def test_a_byte_order_mark_is_no_damage() -> None:
    assert parse(b'\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>\n<dr v="1"/>').damage == ""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in KiB on Linux only")
def test_memory_stays_bounded() -> None:
    """All attacks in one process of their own, below 1 GiB."""
    code = (
        "import resource, sys; sys.path.append('..'); import test_hostile_xml as t\n"
        "from medback_core.sidecar import parse\n"
        "[parse(data) for data in t.ATTACKS.values()]\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    directory = __file__.rpartition("/")[0]
    done = subprocess.run([sys.executable, "-c", code], cwd=directory, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 1024 * 1024
