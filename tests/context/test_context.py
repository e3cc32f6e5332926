"""The restore context: what is written comes back exactly, and nothing that is no context gets past the reader."""

from __future__ import annotations

import io
import random
import re
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.fault_report import Row
from support.saying import says
from medback_core.presenting.refusals import message
from medback_core.context import (
    ContextItem,
    DirectoryEntry,
    Entry,
    FileEntry,
    LinkEntry,
    NotWhole,
    SourceEnd,
    SourceSection,
    SourceStart,
    TargetLine,
    apply_map,
    read_context,
    read_section,
    section_bytes,
    sections_in,
    write_context,
)
from medback_core.context import reading
from medback_core.errors import Refused
from medback_core.model import Standing, State, TargetState


def foreign_sections(stream: BinaryIO, known: Collection[str]) -> Iterator[bytes]:
    """The sections that are of none of these sources and targets, word for word."""
    for section in sections_in(stream):
        if section.id not in known:
            yield from section_bytes(stream, section)


BLUE, RED = "k3v9q2x8ab7m", "r5m2c8x0zz1p"
HEAD = SourceStart("p4c8n2x1ab3d", b"/home/ada/photos", "photos")
TARGETS = [TargetLine(BLUE, "Blue Seagate 2T", TargetState.ACTIVE, 3), TargetLine(RED, "Red", TargetState.LOST)]
MD5 = bytes.fromhex("acbd18db4cc2f85cedef654fccc4a4d8")
HOSTILE_NAMES = [
    b"both ' and \" quotes",
    b"<&>]]>",
    b"new\nline",
    b"tab\there",
    b"cr\rhere",
    b"\x01",
    b"\xff\xfe invalid",
    b"trailing space ",
    b" leading",
    b"trailing dot.",
    b"x" * 255,
    "caf\u00e9".encode(),
    "cafe\u0301".encode(),
    b"a",
    b"A",
    "bidi \u202e gpj.exe".encode(),
    b"\x1b[31mred\x1b[0m",
    b"[b][red]",
    b"-rf",
    b"...",
    "nel \u0085 ls \u2028".encode(),
    "\ufffe\uffff".encode(),
    b"\x7f\xc2\x9b",
    "\U0001f600 \u65e5\u672c".encode(),
    b"&amp;",
    b"%2e%2e",
    b"\\",
]


def written(
    entries: Iterable[Entry],
    *,
    head: SourceStart = HEAD,
    targets: Iterable[TargetLine] = (),
    foreign: Iterable[bytes] = (),
) -> bytes:
    return b"".join(write_context(targets, [SourceSection(head, entries)], foreign=foreign))


def items(data: bytes) -> list[ContextItem]:
    return list(read_context(io.BytesIO(data)))


def entries_of(data: bytes) -> list[ContextItem]:
    return [item for item in items(data) if not isinstance(item, TargetLine | SourceStart | SourceEnd)]


def a_file(name: bytes = b"a.jpg", directory: bytes = b"") -> FileEntry:
    return FileEntry(directory, name, 3, 1732410000_120000000, md5=MD5, bds=((BLUE, Standing.VERIFIED),))


def refusal(data: bytes) -> str:
    with pytest.raises(Refused) as caught:
        items(data)
    assert caught.value.kind == "bad-context"
    return message(caught.value)


def inside_source(xml: str) -> bytes:
    return f'<root>\n<rc src_path="/home/ada/photos">\n{xml}\n</rc>\n</root>\n'.encode()


# --- what is written ------------------------------------------------------------------------------------------------


def test_a_context_looks_like_the_format_page_says() -> None:
    entries = [a_file(), FileEntry(b"2024", b"b", 0, 0, 0o755), LinkEntry(b"2024", b"latest", b"b")]
    assert written(entries, targets=TARGETS[:1]).decode() == (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<root v="1">\n'
        '<target id="k3v9q2x8ab7m" label="Blue Seagate 2T" state="active" rev="3"/>\n'
        '<rc id="p4c8n2x1ab3d" src_path="/home/ada/photos" alias="photos" wanted="2">\n'
        '<file name="a.jpg" size="3" mtime="1732410000.120000000" md5="acbd18db4cc2f85cedef654fccc4a4d8">'
        "<bd>k3v9q2x8ab7m</bd></file>\n"
        '<dr name="2024">\n'
        '<file name="b" size="0" mtime="0.000000000" mode="0755"/>\n'
        '<link name="latest" to="b"/>\n'
        "</dr>\n"
        "</rc>\n"
        '<check crc="17e7ce64"/>\n'
        "</root>\n"
    )


def test_everything_comes_back_as_it_was() -> None:
    every = [
        a_file(),
        FileEntry(b"", b"no md5", 7, -1_500_000_000),
        FileEntry(b"", b"old", 2**40, 1, 0o600, MD5, ((BLUE, Standing.WRITTEN), (RED, Standing.CLAIMED)), 1763953200),
        LinkEntry(b"", b"up", b"../../elsewhere"),
        LinkEntry(b"", b"odd", b"\xff\n"),
        a_file(b"x", b"a"),
        a_file(b"y", b"a/b/c"),
        a_file(b"z", b"a-b"),
        DirectoryEntry(b"empty"),
        DirectoryEntry(b"with/empty"),
        FileEntry(b"zz", b"far", 1, 2**63 - 1),
    ]
    head = SourceStart("p4", b"/home/ada/\xff", "pho<tos", 3, ("*.tmp", 'odd "\n'), 9)
    assert items(written(every, head=head, targets=TARGETS)) == [*TARGETS, head, *every, SourceEnd("p4")]


@pytest.mark.parametrize("name", HOSTILE_NAMES, ids=repr)
def test_a_hostile_name_comes_back_exactly(name: bytes) -> None:
    every = [a_file(name), LinkEntry(b"", b"l", name), a_file(b"f", name), DirectoryEntry(name + b"_")]
    every = [entry for entry in every if all(len(part) <= 255 for part in entry.directory.split(b"/"))]
    data = written(every, head=HEAD._replace(src_path=b"/" + name, alias=name.decode(errors="surrogateescape")))
    assert entries_of(data) == every
    assert data.decode().isprintable() or not any(char in data.decode() for char in "\x01\x1b\r\t")


@settings(max_examples=150)
@given(
    st.lists(
        st.lists(
            st.binary(min_size=1, max_size=6).filter(lambda b: not set(b) & {0, 0x2F} and b[:1] != b"."), max_size=4
        ),
        max_size=12,
    )
)
def test_any_tree_comes_back(paths: list[list[bytes]]) -> None:
    every = [a_file(path[-1], b"/".join(path[:-1])) for path in sorted(paths) if path]
    assert entries_of(written(every)) == every


def test_directories_out_of_order_still_come_back() -> None:
    every = [a_file(b"1", b"a"), a_file(b"2", b"a-b"), a_file(b"3", b"a/b"), a_file(b"4", b"a")]
    assert entries_of(written(every)) == every


@pytest.mark.parametrize("levels", [1, 199, 200, 201, 300])
def test_deep_trees_come_back_and_stay_shallow_in_xml(levels: int) -> None:
    names = [b"d%d" % number for number in range(levels)]
    every = [
        a_file(b"f", b"/".join(names)),
        a_file(b"g", b"/".join([*names, b"more"])),
        a_file(b"h", b"/".join(names[:-1])),
        a_file(b"i", b"/".join([*names[:-1], b"other \xff"])),
    ]
    data = written(every)
    assert entries_of(data) == every
    depth = deepest = 0
    for tag in re.findall(rb"<(/?)dr", data):
        depth += -1 if tag else 1
        deepest = max(deepest, depth)
    assert depth == 0
    assert deepest <= 201


def test_every_chunk_but_the_last_is_large() -> None:
    chunks = list(write_context([], [SourceSection(HEAD, [a_file(b"f%d" % n) for n in range(5000)])]))
    assert len(chunks) > 2
    assert all(len(chunk) >= 64 * 1024 for chunk in chunks[:-1])


def test_writing_twice_gives_the_same_bytes() -> None:
    one = a_file()._replace(bds=((RED, Standing.VERIFIED), (BLUE, Standing.WRITTEN)))
    other = one._replace(bds=one.bds[::-1])
    assert written([one], targets=TARGETS) == written([other], targets=TARGETS)


# --- what is read ---------------------------------------------------------------------------------------------------


def test_the_python_familys_context_is_read() -> None:
    data = b"""<root><rc src_path="/home/ada/photos/"><file name="a" size="3" mtime="1732410000"
    md5="rL0Y20zC+Fzt72VPzMSk2A"><bd>0b7e2f5c-7a55-4d7e-9a0e-2f3b0f6f9d1c</bd><bd/><tag>x</tag></file>
    <dr name="d"><dr name="e"/>
    <file name="b" size="0" mtime="5" md5="acbd18db4cc2f85cedef654fccc4a4d8"/></dr></rc></root>"""
    uuid = "0b7e2f5c-7a55-4d7e-9a0e-2f3b0f6f9d1c"
    assert items(data) == [
        SourceStart("", b"/home/ada/photos/", "photos"),
        FileEntry(b"", b"a", 3, 1732410000_000000000, md5=MD5, bds=((uuid, Standing.VERIFIED),)),
        DirectoryEntry(b"d/e"),
        FileEntry(b"d", b"b", 0, 5_000000000, md5=MD5),
        SourceEnd(""),
    ]


def test_what_is_unknown_is_passed_over() -> None:
    data = inside_source('<new x="1"><deep/></new><file name="a" size="1" colour="red"><new><y/></new></file><!-- -->')
    assert entries_of(data) == [FileEntry(b"", b"a", 1, 0)]


def test_it_is_read_as_utf_8_though_it_says_it_is_less() -> None:
    data = b'<?xml version="1.0" encoding="us-ascii"?>' + inside_source('<file name="caf\u00e9" size="1"/>')
    assert entries_of(data) == [FileEntry(b"", "caf\u00e9".encode(), 1, 0)]


def test_a_target_named_twice_keeps_the_better_standing() -> None:
    data = inside_source(f'<file name="a" size="1"><bd standing="claimed">{RED}</bd><bd> {RED} </bd></file>')
    assert entries_of(data) == [FileEntry(b"", b"a", 1, 0, bds=((RED, Standing.VERIFIED),))]


def test_setuid_setgid_and_sticky_are_no_permissions_of_a_file() -> None:
    (file,) = entries_of(inside_source('<file name="a" size="1" mode="7755"/>'))
    assert isinstance(file, FileEntry) and file.mode == 0o755


def test_medbacks_own_names_are_never_content() -> None:
    data = inside_source(
        '<file name=".medback.xml" size="1"/><link name=".medback-source.xml" to="x"/>'
        '<dr name=".medback-old"><file name="a" size="1"/></dr><file name=".medorg.xml" size="1"/>'
    )
    assert entries_of(data) == []


@pytest.mark.parametrize(
    ("xml", "words"),
    [
        ('<file name="../up" size="1"/>', "slash"),
        ('<file name=".." size="1"/>', "no file name"),
        ('<file name="." size="1"/>', "no file name"),
        ('<file name="" size="1"/>', "empty"),
        ('<file name="/etc/passwd" size="1"/>', "slash"),
        ('<file name64="AGE=" name="a" size="1"/>', "NUL"),
        ('<file name64="Li4vYQ==" size="1"/>', "slash"),
        ('<file name64="!" size="1"/>', "base64"),
        (f'<file name="{"x" * 256}" size="1"/>', "longer"),
        ('<file size="1"/>', "without a name"),
        ('<dr name="a/b"/>', "slash"),
        ('<dr name=".."/>', "no file name"),
        ('<dr path="/a"/>', "absolute"),
        ('<dr path="a/../../b"/>', "no file name"),
        ('<dr path="a//b"/>', "empty"),
        ('<dr path=""/>', "empty"),
        ('<dr path64="AA=="/>', "NUL"),
        ("<dr/>", "without a name"),
        ('<link name="../x" to="y"/>', "slash"),
        ('<link name="x" to=""/>', "nowhere"),
        ('<link name="x" to64="AA=="/>', "nowhere"),
        ('<file name="a"/>', "size is missing"),
        ('<file name="a" size="-1"/>', "size"),
        ('<file name="a" size="1_0"/>', "size"),
        ('<file name="a" size="9223372036854775808"/>', "size"),
        (f'<file name="a" size="{"9" * 5000}"/>', "size"),
        (f'<file name="a" size="{"9" * 5000}" mtime="1.000000000" md5="{"0" * 32}"/>', "size"),
        ('<file name="a" size="1" mtime="1e5"/>', "mtime"),
        ('<file name="a" size="1" mtime="9999999999999.0"/>', "mtime"),
        ('<file name="a" size="1" mtime="nan"/>', "mtime"),
        ('<file name="a" size="1" md5="acbd"/>', "md5"),
        (f'<file name="a" size="1" mtime="1.000000000" md5="{"zz" * 16}"/>', "md5"),
        (f'<file name="a" size="1" mtime="1.000000000" md5="{"0 " * 16}"/>', "md5"),
        ('<file name="a" size="1" mode="rwx"/>', "mode"),
        ('<file name="a" size="1" gone="yesterday"/>', "gone"),
        ('<file name="a" size="1"><bd standing="sure">x</bd></file>', "standing"),
        ('<file name="a" size="1"><bd>no spaces here</bd></file>', "id"),
        (f'<file name="a" size="1"><bd>{"x" * 500}</bd></file>', "id"),
        ('<file name="a" size="1"><file name="b" size="1"/></file>', "inside"),
        ('<file name="a" size="1"/><exclude pattern="*"/>', "exclude"),
        ("<rc/>", "inside"),
        ("<bd>x</bd>", "inside"),
    ],
)
def test_what_a_person_mistyped_or_an_attacker_meant_is_refused_with_its_line(xml: str, words: str) -> None:
    message = refusal(inside_source(f'<file name="fine" size="1"/>\n{xml}'))
    assert "line 4:" in message
    assert words in message
    assert len(message) < 1000
    assert message.isprintable()


PATH = "d/" * 40_000 + "d"
DATED = f'mtime="1.000000000" md5="{"0" * 32}"'


@pytest.mark.parametrize(
    "xml",
    [
        f'<dr path="{PATH * 2}"/>',
        f'<dr path="{PATH}"><dr path="{PATH}"/></dr>',
        f'<link name="l" to="{PATH * 2}"/>',
        f'<file name="{"x" * 256}" size="1" {DATED}/>',
    ],
    ids=["path", "path by steps", "where a link leads", "name"],
)
def test_what_is_too_long_is_refused_in_few_words(xml: str) -> None:
    assert "line 4:" in (message := refusal(inside_source(f'<file name="fine" size="1"/>\n{xml}')))
    assert len(message) < 1000


@pytest.mark.parametrize(
    "path", ["/" + PATH * 2, "/a\0", "/a/..", "..", "c:\\..\\x", "/a/../../b"], ids=lambda path: path[:9]
)
def test_a_source_path_nobody_can_have_is_refused(path: str) -> None:
    from base64 import b64encode

    encoded = b64encode(path.encode()).decode()
    message = refusal(f'<root><rc src_path64="{encoded}"/></root>'.encode())
    assert "source path" in message and len(message) < 1000


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "line 1"),
        (b"\0\0\0\0", "XML"),
        (b"garbage", "XML"),
        (b"SQLite format 3\0", "XML"),
        (b"<html><body/></html>", "no restore context"),
        (b'<root v="2"/>', "later medback"),
        (b'<root v="x"/>', "v "),
        (b"<root/><root/>", "XML"),
        (b'<root><rc src_path="relative"/></root>', "not absolute"),
        (b'<root><rc src_path="/a/../b"/></root>', "refused"),
        (b"<root><rc/></root>", "src_path"),
        (b'<root><rc src_path="/a" id="a b"/></root>', "id"),
        (b'<root><rc src_path="/a" wanted="many"/></root>', "wanted"),
        (b'<root><target id="" label="x"/></root>', "id"),
        (b'<root><target id="x" state="fine"/></root>', "state"),
        (b'<root><file name="a" size="1"/></root>', "inside"),
        (b'<?xml version="1.0" encoding="utf-16"?><root/>', "UTF-8"),
        (b'<?xml version="1.0" encoding="latin-1"?><root/>', "UTF-8"),
        ('<?xml version="1.0" encoding="utf-16"?><root/>'.encode("utf-16"), "line 1"),
        ("<root/>".encode("utf-16"), "UTF-8"),
        ("<root/>".encode("utf-16-le"), "UTF-8"),
        ("<root/>".encode("utf-16-be"), "UTF-8"),
        ("<root/>".encode("utf-32"), "UTF-8"),
        (b'<root><rc src_path="/\xff"/></root>', "XML"),
    ],
)
def test_what_is_no_context_is_refused(data: bytes, words: str) -> None:
    assert words in refusal(data)


def test_a_label_can_not_fool_the_terminal() -> None:
    message = refusal('<root><target id="\u202e\u009b31m"/></root>'.encode())
    assert message.isprintable()


# --- damage ---------------------------------------------------------------------------------------------------------


def a_context_of_all_kinds() -> bytes:
    every = [
        a_file(),
        FileEntry(b"", b"\xff", 7, -1_500_000_000, 0o755, None, ((BLUE, Standing.CLAIMED),), 1763953200),
        LinkEntry(b"a", b"l", b"t"),
        a_file("caf\u00e9 <&>".encode(), b"a/b"),
        DirectoryEntry(b"c"),
    ]
    return written(every, targets=TARGETS, head=HEAD._replace(excludes=("*.tmp",)))


def test_cut_at_any_byte_it_is_refused_with_a_line(campaign: Callable[[str], Row]) -> None:
    row = campaign("context cut at every byte")
    data = a_context_of_all_kinds()
    whole = data.rstrip(b"\n")
    for length in range(len(whole)):
        row.tried()
        assert re.search(r"line \d+:", refusal(data[:length])), length


def test_random_damage_gives_entries_or_a_refusal_and_nothing_else(campaign: Callable[[str], Row]) -> None:
    row = campaign("context struck at random")
    data = a_context_of_all_kinds()
    rng = random.Random(20241124)
    refused = 0
    for _ in range(3000):
        row.tried()
        damaged = bytearray(data)
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            at = rng.randrange(len(damaged))
            kind = rng.randrange(4)
            if kind == 0:
                damaged[at] ^= 1 << rng.randrange(8)
            elif kind == 1:
                damaged[at] = rng.randrange(256)
            elif kind == 2:
                del damaged[at : at + rng.choice((1, 1, 40))]
            else:
                damaged[at:at] = rng.randbytes(rng.choice((1, 1, 20)))
        for read in (items, lambda data: list(foreign_sections(io.BytesIO(data), {RED}))):
            try:
                read(bytes(damaged))
            except Refused as error:
                refused += 1
                assert error.kind == "bad-context"
                assert re.search(r"line \d+:", message(error))
                assert message(error).isprintable()
    assert refused > 2000


# --- attacks --------------------------------------------------------------------------------------------------------


class Endless(io.RawIOBase):
    """A stream of a head, a filler and a tail, of any length, without holding it."""

    def __init__(self, head: bytes, filler: bytes, times: int, tail: bytes = b"") -> None:
        self.parts = self._parts(head, filler * max(1, 65536 // len(filler)), times, tail)
        self.given = 0

    @staticmethod
    def _parts(head: bytes, block: bytes, times: int, tail: bytes) -> Iterator[bytes]:
        yield head
        for _ in range(times):
            yield block
        yield tail

    def read(self, size: int = -1) -> bytes:
        part = next(self.parts, b"")
        self.given += len(part)
        return part


BOMB = (
    b'<!DOCTYPE root [<!ENTITY a "aaaaaaaaaa">'
    + b"".join(b'<!ENTITY %c "%s">' % (97 + n, b"&%c;" % (96 + n) * 10) for n in range(1, 20))
    + b"]><root>&t;</root>"
)


@pytest.mark.parametrize(
    "data",
    [
        BOMB,
        b'<!DOCTYPE root SYSTEM "file:///etc/passwd"><root/>',
        b'<!DOCTYPE root [<!ENTITY x SYSTEM "file:///etc/passwd">]><root><rc src_path="/&x;"/></root>',
        b'<!DOCTYPE root [<!ENTITY % p SYSTEM "http://127.0.0.1:9/x"> %p;]><root/>',
        b"<!DOCTYPE root><root/>",
    ],
)
def test_a_dtd_is_refused_unread(data: bytes) -> None:
    assert "DTD" in refusal(data)


@pytest.mark.parametrize(
    ("head", "filler", "words"),
    [
        (b"<root>", b"<a>", "nested too deep"),
        (b'<root><rc src_path="/x">', b'<dr name="d">', "nested too deep"),
        (b'<root><rc src_path="/x"><dr path="d', b"/d" * 30000, "longer"),
        (b'<root><rc src_path="/x"><file name="', b"x" * 60000, "longer"),
        (b"<root><!--", b"x" * 60000, "longer"),
        (b"<root><?x ", b"x" * 60000, "longer"),
        (b"<root ", b'x="" ', "longer"),
        (b"<", b"x" * 60000, "longer"),
        (b'<root><rc src_path="/x"><file name="a" size="1"><bd>', b"x" * 60000, "too long"),
        (b'<root><rc src_path="/x"><file name="a" size="1">', b"<bd>x</bd>", "too many copies"),
        (b'<root><rc src_path="/x">', b'<exclude pattern="*"/>', "too many excludes"),
    ],
)
def test_what_is_endless_is_refused_in_bounded_memory(head: bytes, filler: bytes, words: str) -> None:
    stream = Endless(head, filler, 10_000)
    tracemalloc.start()
    try:
        with pytest.raises(Refused, check=says(words)):
            list(read_context(stream))  # pyright: ignore[reportArgumentType]
        assert tracemalloc.get_traced_memory()[1] < 30_000_000
    finally:
        tracemalloc.stop()
    assert stream.given < 8_000_000


def test_one_that_is_longer_than_a_context_can_be_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("medback_core.context.reading.CONTEXT_BYTES_MAX", 1_000_000)
    stream = Endless(b'<root><rc src_path="/x">', b"words \n" * 5000, 1000, b"</rc></root>")
    with pytest.raises(Refused, check=says("longer than a context can be")):
        list(read_context(stream))  # pyright: ignore[reportArgumentType]
    assert stream.given < 2_000_000


def test_of_the_ids_of_copies_only_so_many_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MANY", 10)
    parser = reading.ContextParser()
    files = "".join(f'<file name="{n}" size="1"><bd>t{n}</bd></file>' for n in range(25))
    for _ in reading.feed(parser, io.BytesIO(inside_source(files))):
        pass
    assert len(parser.items) == 27
    assert len(parser._seen) <= 10


def test_text_that_says_nothing_takes_no_memory() -> None:
    stream = Endless(b'<root><rc src_path="/x">', b"words \n" * 5000, 1000, b"</rc></root>")
    tracemalloc.start()
    try:
        assert len(list(read_context(stream))) == 2  # pyright: ignore[reportArgumentType]
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_deep_nesting_inside_a_known_section_is_refused_too() -> None:
    data = b'<root><rc id="known" src_path="/x">' + b"<dr>" * 1_000_000
    with pytest.raises(Refused, check=says("nested too deep")):
        list(foreign_sections(io.BytesIO(data), {"known"}))


MEASURED = """
import sys
from medback_core.context import *
from medback_core.model import Standing

def peak_mb():  # of this process alone; getrusage counts what it was forked from
    return next(int(line.split()[1]) // 1024 for line in open("/proc/self/status") if line.startswith("VmHWM"))
def many():
    for n in range(100_000):
        yield FileEntry(b"d%d" % (n // 50), b"IMG_%d" % n, n, 10**18, 0o644, bytes(16), (("t", Standing.VERIFIED),))

before = peak_mb()
with open(sys.argv[1], "wb") as file:
    for chunk in write_context([], [SourceSection(SourceStart("s", b"/s", "s"), many())]):
        file.write(chunk)
with open(sys.argv[1], "rb") as file:
    assert sum(1 for _ in read_context(file)) == 100_002
with open(sys.argv[1], "rb") as file:
    (section,) = sections_in(file)
    assert sum(map(len, section_bytes(file, section))) > 10_000_000
print(peak_mb() - before)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="a process's own peak is read from /proc")
def test_memory_is_bounded_whatever_the_length(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEASURED, str(tmp_path / "context.xml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 8  # MB, for a file of 13


# --- sections of others ---------------------------------------------------------------------------------------------


def test_foreign_sections_are_kept_word_for_word() -> None:
    theirs = (
        b'<rc id="theirs" src_path="/home/bob" alias="bob" new="1" odd = \'>\' >  <!-- kept -->\n'
        b'<file name="a" size="1"><bd>greenid</bd><later/></file>&#65;<![CDATA[<x>]]>\n</rc >'
    )
    target = b'<target id="greenid" label="caf\xc3\xa9 &gt;" hue="9"/>'
    mine = written([a_file()], targets=TARGETS).replace(b"</root>", target + b"\n" + theirs + b"<!-- end --></root>")
    known = {HEAD.id, BLUE, RED}
    assert b"".join(foreign_sections(io.BytesIO(mine), known)) == target + b"\n" + theirs + b"\n"

    again = written([a_file()], targets=TARGETS, foreign=foreign_sections(io.BytesIO(mine), known))
    assert theirs in again
    assert target in again
    assert again == written([a_file()], targets=TARGETS, foreign=foreign_sections(io.BytesIO(again), known))
    assert SourceEnd("theirs") in items(again)


@pytest.mark.parametrize(
    "theirs",
    [
        b'<rc src_path="/a"/>',
        b'<rc id="x" src_path="/a"></rc>',
        b'<rc id="x" src_path="/a"/><rc id="y" src_path="/b"/>',
        b'<rc id="x" src_path="/a"><dr name="d"><file name="a" size="1"/></dr></rc>\n\n<target id="t" label="T"/>',
    ],
)
@pytest.mark.parametrize("after", [b"", b"\n", b"<!-- -->", b"text", b"<other/>", b'<rc id="known" src_path="/k"/>'])
def test_where_a_section_ends_is_exact(theirs: bytes, after: bytes) -> None:
    data = b'<root><rc id="known" src_path="/k"><dr name="x"/></rc>' + theirs + after + b"</root>"
    kept = b"".join(foreign_sections(io.BytesIO(data), {"known"}))
    assert kept.replace(b"\n", b"") == theirs.replace(b"\n", b"")


def test_sections_without_end_are_refused() -> None:
    data = b"<root>" + b'<rc src_path="/a"/>' * 20_000 + b"</root>"
    with pytest.raises(Refused, check=says("too many sections")):
        next(foreign_sections(io.BytesIO(data), set()))


# --- --map ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "maps", "becomes"),
    [
        (b"/home/ada/photos", [(b"/home/ada", b"/mnt/new")], b"/mnt/new/photos"),
        (b"/home/ada", [(b"/home/ada", b"/mnt/new")], b"/mnt/new"),
        (b"/home/adam", [(b"/home/ada", b"/mnt/new")], b"/home/adam"),
        (b"/home/ada/photos", [(b"/home/ada/", b"/mnt/new/")], b"/mnt/new/photos"),
        (b"/home/ada/x", [(b"/", b"/rescue")], b"/rescue/home/ada/x"),
        (b"/home/ada/x", [(b"/home", b"/")], b"/ada/x"),
        (b"/home", [(b"/home", b"/")], b"/"),
        (b"/a/b/c", [(b"/a", b"/1"), (b"/a/b", b"/2")], b"/2/c"),
        (b"/a/b", [(b"/a", b"/1"), (b"/a", b"/2")], b"/1/b"),
        (b"/a/b", [(b"/a", b"/a/a")], b"/a/a/b"),
        (b"/a/b", [(b"", b"/x")], b"/a/b"),
        (b"/a/b", [], b"/a/b"),
        (b"/\xff/b", [(b"/\xff", b"/\xfe")], b"/\xfe/b"),
    ],
)
def test_map_replaces_a_leading_run_of_whole_components(
    path: bytes, maps: list[tuple[bytes, bytes]], becomes: bytes
) -> None:
    assert apply_map(path, maps) == becomes


# --- states and the check over the whole ---------------------------------------------------------------------------------

A, B = "00000000000000aa", "00000000000000bb"
NOW = State(7, A, 1_764_000_000, "a1b2c3", (B, "0123456789abcdef"))


def test_states_come_back_with_targets_and_sections() -> None:
    head, target = HEAD._replace(now=NOW), TARGETS[0]._replace(now=State(3, B, 0, "x"))
    data = written([a_file()], head=head, targets=[target])
    assert items(data)[:2] == [target, head]
    assert b' at="2025-11-24T16:00:00Z" by="a1b2c3" line="00000000000000bb 0123456789abcdef" n="7" stamp="00' in data


@pytest.mark.parametrize("spoilt", [b'n="7"|n="-7"', b'stamp="00|stamp="zz', b'by="a1b2c3"|by=""', b'n="7"|n="9e99"'])
def test_a_state_that_cant_be_read_costs_nobody_the_context(spoilt: bytes) -> None:
    was, now = spoilt.split(b"|")
    data = written([a_file()], head=HEAD._replace(now=NOW))
    assert was in data
    assert items(data.replace(was, now))[0] == HEAD


@pytest.mark.parametrize(
    ("was", "now"),
    [
        (b'size="3"', b'size="4"'),
        (b"</rc>", b"</rc>\n"),
        (b"<check", b"<target id='t'/>\n<check"),
        (b"</root>", b"<target id='t'/></root>"),
        (b"</root>", b"<check crc='00000000'/></root>"),
    ],
)
@pytest.mark.parametrize("chunk", [1, 7, 1 << 20])
def test_a_context_somebody_edited_is_taken_and_known_to_be(
    was: bytes, now: bytes, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("medback_core.context.reading.READ_BYTES", chunk)
    data = written([a_file(), *(a_file(name=b"%d" % n) for n in range(20))])
    assert not any(isinstance(item, NotWhole) for item in items(data))
    edited = items(data.replace(was, now, 1))
    assert edited[-1] == NotWhole()
    assert sum(isinstance(item, FileEntry) for item in edited) == 21


def test_a_context_without_a_check_says_nothing_of_it() -> None:
    data = re.sub(rb"<check [^>]*>\n", b"", written([a_file()]))
    assert items(data)[-1] == SourceEnd(HEAD.id)


@pytest.mark.parametrize("mtime_ns", [2**63, 2**63 - 1, 13_569_465_600_123456789, -(2**63) - 1, -1, 0, -(10**20)])
def test_any_time_a_file_system_can_hold_comes_back(mtime_ns: int) -> None:
    (file,) = entries_of(written([a_file()._replace(mtime_ns=mtime_ns)]))
    assert isinstance(file, FileEntry) and file.mtime_ns == mtime_ns


def test_sections_are_listed_with_their_states_and_their_targets() -> None:
    blue = TARGETS[0]._replace(now=State(3, B, 0, "x"))
    other = io.BytesIO(written([a_file()], head=HEAD._replace(now=NOW, id="theirs"), targets=[TARGETS[0], TARGETS[1]]))
    theirs = next(section for section in sections_in(other) if section.tag == "rc")
    kept = b"".join(section_bytes(other, theirs))
    again = written(
        [a_file()], targets=[blue], foreign=[b"".join(write_context([TARGETS[0]], [])).splitlines(True)[2], kept]
    )
    mine, moved = (section for section in sections_in(io.BytesIO(again)) if section.tag == "rc")
    assert (mine.id, mine.now, mine.targets) == (HEAD.id, None, (blue,))
    assert (moved.id, moved.now, moved.targets) == ("theirs", NOW, (TARGETS[0],))
    assert b"".join(section_bytes(io.BytesIO(again), moved)) == kept
    with pytest.raises(Refused):
        list(read_section(io.BytesIO(again.replace(b'size="3"', b'size="x"')), mine))
    assert sections_in(io.BytesIO(again.replace(b'size="3"', b'size="x"')))
