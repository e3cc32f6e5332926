"""What the sidecar tests share: the hostile names, records to write, records made by hypothesis."""

from __future__ import annotations

import hashlib

from hypothesis import strategies as st

from medback_core.model import Standing
from medback_core.sidecar import Bd, FileRecord, LinkRecord, Sidecar

HOSTILE_NAMES = [
    b"both ' and \"",
    b"<&>",
    b"a&amp;b&#10;",
    b"new\nline",
    b"tab\there",
    b"carriage\rreturn",
    b"\x01\x1b[31mred",
    b"\xff\xfe not utf-8 \xc3",
    b"\xed\xa0\x80 a surrogate",
    "\ufffe\uffff".encode(),
    b"trailing space ",
    b" leading space",
    b"trailing dot.",
    b"x" * 255,
    b"\xff" * 255,
    b"&" * 255,
    "é".encode() + b" nfc",
    "e\u0301".encode() + b" nfd",
    b"a",
    b"A",
    "\u202egnp.exe".encode(),
    "\u0085\u2028 line separators".encode(),
    b"[bold]markup[]",
    b"-rf",
    b"--help",
    b"...",
    b"]]>",
    b"<!--",
    b"<dr>",
    b'<file name="b" size="1" mtime="1.000000000" crc="00000000">',
    b"<!DOCTYPE dr>",
    b"\x7f",
    "\U0001f4f7".encode(),
]

IDS = ["k3v9q2x8ab7m", "p4", "a.b_c-D", "z" * 64]


def file(name: bytes, number: int = 1, **more: object) -> FileRecord:
    """A file with a content of its own."""
    record = FileRecord(name, number, 1_732_410_000_120_000_000 + number, hashlib.md5(b"%d" % number).digest())
    for attribute, value in more.items():
        setattr(record, attribute, value)
    return record


def varied(count: int = 30) -> Sidecar:
    """A sidecar in which every attribute and child stands somewhere."""
    sidecar = Sidecar()
    for number in range(count):
        record = file(b"IMG_%04d.jpg" % number, number)
        if number % 2:
            record.bds = (Bd("k3v9q2x8ab7m"), Bd("p4v9q2x8ab7m", Standing(number % 3)))
        if number % 5 == 0:
            record.tags = ("keep", "a & b\n")
        if number % 7 == 0:
            record.verified, record.ours = 1_764_000_000 + number, True
        if number % 11 == 0:
            record.path, record.twins = ("src1", b"2024/x.jpg"), (("src1", b"odd\n"), ("src2", b"y/z.jpg"))
        if number % 4 == 0:
            record.mode = 0o755
        if number % 13 == 0:
            record.damaged, record.md5 = 1_764_000_000, None
        sidecar.files[record.name] = record
    for number in range(count // 10):
        sidecar.links[b"link %d" % number] = LinkRecord(b"link %d" % number, b"../to \xff%d" % number)
    for name in HOSTILE_NAMES[: count // 6]:
        sidecar.files[name] = file(name, 99)
    return sidecar


def _component(name: bytes) -> bytes:
    return name.replace(b"/", b"_").replace(b"\0", b"_")


CONTROLS = "".join(map(chr, (*range(9), 11, 12, *range(14, 32))))

names = (
    st.one_of(
        st.binary(min_size=1, max_size=255),
        st.text(min_size=1, max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")),
        st.sampled_from(HOSTILE_NAMES),
    )
    .map(_component)
    .filter(lambda name: 0 < len(name) <= 255 and name not in (b".", b".."))
)
ids = st.one_of(st.sampled_from(IDS), st.text("abcXYZ019._-", min_size=1, max_size=64))
dates = st.one_of(st.none(), st.integers(-62_135_596_800, 253_402_300_799))
places = st.tuples(ids, st.lists(names, min_size=1, max_size=4).map(b"/".join))
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\ufffe\uffff" + CONTROLS), max_size=30)
bds = st.lists(st.builds(Bd, ids, st.sampled_from(Standing)), max_size=4, unique_by=lambda bd: bd.target).map(
    lambda found: tuple(sorted(found, key=lambda bd: bd.target))
)
files = st.builds(
    FileRecord,
    name=names,
    size=st.integers(0, 2**63 - 1),
    mtime_ns=st.one_of(st.integers(-(10**19), 10**20), st.sampled_from([0, -1, -500_000_000, 10**9, 2**63])),
    md5=st.one_of(st.none(), st.binary(min_size=16, max_size=16)),
    mode=st.integers(0, 0o777),
    bds=bds,
    tags=st.lists(texts, max_size=3).map(tuple),
    damaged=dates,
    verified=dates,
    path=st.one_of(st.none(), places),
    twins=st.lists(places, max_size=3).map(lambda found: tuple(sorted(found))),
    ours=st.booleans(),
)
links = st.builds(
    LinkRecord, name=names, to=st.binary(min_size=1, max_size=300).map(lambda to: to.replace(b"\0", b"/"))
)
sidecars = st.builds(
    lambda some, others: Sidecar({f.name: f for f in some}, {link.name: link for link in others}),
    st.lists(files, max_size=6),
    st.lists(links, max_size=3),
)
