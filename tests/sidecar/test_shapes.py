"""Files edited by hand, by later versions, and by other tools: what counts is what they say, not how it is laid out."""

from __future__ import annotations

import re
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medback_core.sidecar import Sidecar, Trust, parse, render, whole
from medback_core.sidecar.fast import FOOTER, HEADER, parse_fast

from support.sidecars import file, files, varied


def line_with(inside: str, rest: str = "/>", tag: str = "file") -> str:
    form = f"<{tag} {inside}{rest}"
    return f'<{tag} {inside} crc="{zlib.crc32(form.encode()):08x}"{rest}'


def document(*lines: str, root: str = '<dr v="1">') -> bytes:
    return "\n".join(['<?xml version="1.0" encoding="UTF-8"?>', root, *lines, "</dr>", ""]).encode()


PLAIN = 'name="a" size="3" mtime="1.000000000" md5="acbd18db4cc2f85cedef654fccc4a4d8"'


def test_the_check_does_not_depend_on_layout() -> None:
    written = render(Sidecar({b"a": file(b"a", tags=("x",)), b"b": file(b"b", twins=(("s", b"p"),))})).decode()
    turned = re.sub(r'<file name="(.)" size="(\d+)"', r"<file\n  size='\2'\tname = '\1'", written)
    turned = turned.replace("</file>", "\n  </file>\n").replace("<tag>", "\n  <tag>").replace("<twin", "\n\t<twin")
    turned = turned.replace("?>\n", "?>\r\n<!-- looked over -->\n")
    assert parse(turned.encode()) == parse(written.encode())
    assert whole(turned.encode())


def test_unknown_attributes_and_elements_survive_a_rewrite() -> None:
    record = line_with(
        PLAIN + ' xmlns:n0="urn:x" heat="3 &gt; 2" xml:lang="pt" n0:q="&#10;"',
        '><bd>t1</bd><tag>x</tag><thumb w="1">a<b>c</b> d</thumb><n0:y xmlns:n0="urn:y"/></file>',
    )
    link = line_with('name="l" to="t" hue="1"', "><x/></link>", "link")
    written = document(record, link, '<index of="later"><page/>text</index>', root='<dr v="1" made="2027">')
    read = parse(written)
    assert read.damage == ""
    assert read.files[b"a"].trust is Trust.WHOLE
    assert ("heat", "3 > 2") in read.files[b"a"].extra.attributes
    again = render(read)
    assert parse(again) == read
    assert re.sub(rb"\s", b"", again) == re.sub(rb"\s", b"", written)


def test_unknown_things_are_part_of_the_check() -> None:
    written = document(line_with(PLAIN + ' heat="3"', "><thumb>t</thumb></file>"))
    assert parse(written).files[b"a"].trust is Trust.WHOLE
    for before, after in ((b'heat="3"', b'heat="4"'), (b">t<", b">u<"), (b"thumb", b"humbt"), (b"heat", b"seat")):
        assert parse(written.replace(before, after)).files[b"a"].trust is Trust.EDITED


def test_an_unknown_attribute_of_a_copy_survives() -> None:
    read = parse(document(line_with(PLAIN, '><bd standing="written" disc="4">t1</bd></file>')))
    assert [(bd.target, bd.extra) for bd in read.files[b"a"].bds] == [("t1", (("disc", "4"),))]
    assert parse(render(read)) == read


def test_a_hand_edited_record_is_kept_as_edited() -> None:
    read = parse(document(line_with(PLAIN).replace('size="3"', 'size="4"')))
    assert read.files[b"a"].trust is Trust.EDITED
    assert (read.files[b"a"].size, read.damage, read.lost) == (4, "", 0)


def test_a_record_without_a_check_is_edited() -> None:
    assert parse(document(f"<file {PLAIN}/>")).files[b"a"].trust is Trust.EDITED


@pytest.mark.parametrize(
    "name", ['name="a/b"', 'name=".."', 'name="."', 'name=""', 'name="' + "x" * 256 + '"', 'name="x" name64="AA=="',
             'name="x" name64="Li4="', 'name="x" name64="!"', ""],
)  # fmt: skip
@pytest.mark.parametrize("quotes", ['"', "'"])
def test_what_can_be_no_name_is_dropped_and_counted(name: str, quotes: str) -> None:
    rest = 'size="3" mtime="1.000000000" md5="acbd18db4cc2f85cedef654fccc4a4d8"'
    for tag, more in (("file", rest), ("link", 'to="x"')):
        read = parse(document(line_with(f"{name} {more}".strip(), "/>", tag).replace('"', quotes)))
        assert (read.files, read.links, read.lost) == ({}, {}, 1)
        assert read.damage


@pytest.mark.parametrize("name", [b"\xff", b"\xed\xa0\x80", "\ufffe".encode()])
def test_a_name_that_is_no_text_is_no_record_though_its_check_is_right(name: bytes) -> None:
    head = b'<file name="%b" size="3" mtime="1.000000000" md5="acbd18db4cc2f85cedef654fccc4a4d8"' % name
    record = b'%b crc="%08x"/>\n' % (head, zlib.crc32(head + b"/>"))
    data = HEADER + record + FOOTER
    assert parse_fast(HEADER + record.replace(name, b"a") + FOOTER) is not None
    assert parse_fast(data) is None
    for damaged in (data, data[:-4], b"x" + data):
        assert parse(damaged).files == {} and parse(damaged).damage


@pytest.mark.parametrize("place", ["../x", "nocolon", ":x", "s:", "s:/etc/passwd", "s:a/../b", "s s:x", "s:a//b"])
def test_a_place_outside_of_its_source_is_not_believed(place: str) -> None:
    read = parse(document(line_with(f'{PLAIN} path="{place}"', f'><twin at="{place}"/></file>')))
    record = read.files[b"a"]
    assert (record.path, record.twins, record.trust) == (None, (), Trust.EDITED)
    assert len(record.extra.elements) == 1


@pytest.mark.parametrize("target", ["", "a b", "x" * 65, "../t", "é", "a/b"])
def test_what_is_no_target_id_is_no_copy_but_is_kept(target: str) -> None:
    record = parse(document(line_with(PLAIN, f"><bd>{target}</bd></file>"))).files[b"a"]
    assert record.bds == ()
    assert len(record.extra.elements) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [('md5="acbd', 'md5="xyzd'), ('mtime="1.000000000"', 'mtime="soon"'), ('mtime="1.000000000" ', "")],
)
def test_a_record_with_an_unreadable_value_is_saved_as_far_as_it_goes(before: str, after: str) -> None:
    read = parse(document(line_with(PLAIN.replace(before, after))))
    record = read.files[b"a"]
    assert (record.size, record.trust) == (3, Trust.EDITED)
    assert record.md5 is None or record.mtime_ns == 0


@pytest.mark.parametrize("size", ["-1", "1.5", "", "many", "9" * 19, "9" * 40])
def test_a_record_without_a_size_is_lost(size: str) -> None:
    read = parse(document(line_with(PLAIN.replace('size="3"', f'size="{size}"'))))
    assert (read.files, read.lost) == ({}, 1)


def test_of_two_records_of_one_name_the_whole_one_stays() -> None:
    good = line_with(PLAIN)
    bad = good.replace('size="3"', 'size="4"')
    for lines in ((good, bad), (bad, good), (good, good)):
        read = parse(document(*lines))
        assert (read.files[b"a"].size, read.files[b"a"].trust) == (3, Trust.WHOLE)
        assert read.damage


def test_two_whole_records_of_one_name_that_differ_are_both_doubted() -> None:
    read = parse(document(line_with(PLAIN), line_with(PLAIN.replace('size="3"', 'size="4"'))))
    assert (read.files[b"a"].size, read.files[b"a"].trust) == (4, Trust.EDITED)


def test_a_record_commented_out_by_hand_does_not_stand() -> None:
    read = parse(document("<!--", line_with(PLAIN), "-->"))
    assert (read.files, read.damage) == ({}, "")


@given(st.lists(files, max_size=3), st.data())
def test_the_fast_way_and_the_careful_way_agree(records: list, data: st.DataObject) -> None:
    """On lines nearly in our own shape: some attribute or text exchanged for another."""
    body = render(Sidecar({record.name: record for record in records}))[len(HEADER) : -len(FOOTER)]
    values = [
        b"",
        b"0",
        b"7",
        b"-1.5",
        b"..",
        b"a/b",
        b"2026-11-24",
        b"0644",
        b"07777",
        b"&amp;",
        b"claimed",
        b"\t",
        b"AA==",
    ]
    spots = [found.span(1) for found in re.finditer(rb'="([^"]*)"|>([^<]+)<', body) if found.group(1) is not None]
    if spots and data.draw(st.booleans()):
        start, end = data.draw(st.sampled_from(spots))
        body = body[:start] + data.draw(st.sampled_from(values)) + body[end:]
    fast = parse_fast(HEADER + body + FOOTER)
    if fast is not None:
        assert fast == parse(HEADER.replace(b'v="1"', b"v='1'") + body + FOOTER)


def test_the_fast_way_takes_what_we_write() -> None:
    assert parse_fast(render(varied())) == varied()
