"""A source's metadata and a target's identity: every element stands or falls alone."""

from __future__ import annotations

import random
from dataclasses import replace
from functools import cache

import pytest

from medback_core.model import State, TargetState
from medback_core.sidecar import (
    NOTHING,
    Sibling,
    SourceMetadata,
    TargetFact,
    TargetIdentity,
    parse_source_metadata,
    parse_target_identity,
    render_source_metadata,
    render_target_identity,
)
from medback_core.sidecar.checks import ATTRIBUTES
from medback_core.sidecar.source_metadata import GapFact, MountFact

SOURCE = SourceMetadata(
    "p4srcsrcsrc1",
    'photos "&" <more>\n',
    3,
    ("*.tmp", "cache/\n"),
    7,
    (
        TargetFact(
            "k3v9q2x8ab7m",
            "Blue Seagate 2T",
            TargetState.ACTIVE,
            10**12,
            4,
            "0a1b-2c3d",
            path=b"/mnt/\xff",
            n=12,
            stamp="0123456789abcdef",
        ),
        TargetFact("t2", "old one", TargetState.LOST, None, 9),
    ),
    (Sibling("s2", "música", b"/home/ada/m\xff\x01"), Sibling("s3", "docs", b"/home/ada/docs")),
    now=State(12, "fedcba9876543210", 1_764_000_000, "a1b2c3d4e5f6", ("0" * 16, "1" * 16)),
    one_file_system=False,
    mounts=(MountFact(b"disk \xff", "0a1b-2c3d"),),
    gaps=(GapFact(b"private", "Permission denied", 1_764_000_000),),
)
TARGET = TargetIdentity(
    id="k3v9q2x8ab7m",
    label="Blue Seagate 2T",
    created=1_764_000_000,
    state=TargetState.SUSPECT,
    capacity=10**12,
    rev=4,
    fs_uuid="0a1b-2c3d",
    also=("0f8fad5b-d9cb-469f-a165-70867728950e", "qwertyui"),
    folders=((b"photos", "p4srcsrcsrc1"), (b"photos\xff-2", "s2")),
    now=State(3, "0123456789abcdef", 1_764_000_000, "a1b2c3d4e5f6"),
)


def test_source_metadata_come_back() -> None:
    assert parse_source_metadata(render_source_metadata(SOURCE)) == SOURCE
    assert parse_source_metadata(render_source_metadata(SOURCE)).damage == ()
    assert parse_source_metadata(render_source_metadata(SourceMetadata("a", "b"))) == SourceMetadata("a", "b")


def test_a_target_identity_comes_back() -> None:
    assert parse_target_identity(render_target_identity(TARGET)) == TARGET
    assert parse_target_identity(render_target_identity(TARGET)).damage == ()
    assert parse_target_identity(render_target_identity(TargetIdentity("a", "b"))) == TargetIdentity("a", "b")


def test_equal_facts_give_equal_bytes() -> None:
    turned = replace(SOURCE, targets=SOURCE.targets[::-1], siblings=SOURCE.siblings[::-1])
    assert render_source_metadata(turned) == render_source_metadata(SOURCE)
    turned = replace(TARGET, also=TARGET.also[::-1], folders=TARGET.folders[::-1])
    assert render_target_identity(turned) == render_target_identity(TARGET)


def test_unknown_things_survive_a_rewrite() -> None:
    written = render_source_metadata(SOURCE).replace(b'v="1"', b'v="1" made="2027"')
    written = written.replace(b"</medback-source>", b"<later a='1'>x<y/></later></medback-source>")
    read = parse_source_metadata(written)
    assert read.damage == ()
    again = render_source_metadata(read)
    assert b'made="2027"' in again
    assert b'<later a="1">x<y/></later>' in again
    assert parse_source_metadata(again) == read


def test_unknown_things_inside_an_element_survive_and_are_checked() -> None:
    from medback_core.sidecar.metadata import element_line
    from medback_core.sidecar.records import Extra

    extra = Extra((("colour", "blue"),), ('<shelf n="2"/>',))
    read = parse_target_identity(render_target_identity(replace(TARGET, target_extra=extra)))
    assert (read.target_extra, read.damage) == (extra, ())
    fact = replace(SOURCE.targets[0], extra=extra)
    assert parse_source_metadata(render_source_metadata(replace(SOURCE, targets=(fact,)))).targets == (fact,)
    assert element_line("also", {"id": "x"}, extra).count("\n") == 0
    broken = render_target_identity(replace(TARGET, target_extra=extra)).replace(b'n="2"', b'n="3"')
    assert parse_target_identity(broken).damage


@pytest.mark.parametrize("which", ["identity", "facts"])
def test_one_struck_line_never_hides_which_drive_or_source_it_is(which: str) -> None:
    for render, parse, fact in (
        (render_source_metadata(SOURCE), parse_source_metadata, b"<source"),
        (render_target_identity(TARGET), parse_target_identity, b"<target"),
    ):
        at = render.index(b"<identity" if which == "identity" else fact)
        end = render.index(b"\n", at)
        for data in (render[:at] + render[end:], render[:at] + b"\0\xff<<" + render[at + 4 :]):
            read = parse(data)
            assert read.id in (SOURCE.id, TARGET.id)


def test_facts_that_were_lost_outrank_nothing() -> None:
    written = render_target_identity(TARGET).replace(b'label="Blue', b'label="Glue')
    read = parse_target_identity(written)
    assert (read.id, read.label, read.rev, read.folders) == (TARGET.id, "", 0, TARGET.folders)
    assert read.damage


def test_a_state_of_a_later_version_is_not_relied_on() -> None:
    from medback_core.sidecar.metadata import element_line

    line = element_line("target", {"id": "x", "label": "l", "state": "resting", "rev": 3}).encode()
    data = b'<medback-target v="1">\n' + line + b"\n</medback-target>"
    assert parse_target_identity(data).state is TargetState.SUSPECT


def test_one_file_is_not_taken_for_the_other() -> None:
    assert parse_target_identity(render_source_metadata(SOURCE)).id == ""
    assert parse_source_metadata(render_target_identity(TARGET)).id == ""


@pytest.mark.parametrize("name", [b"../x", b"a/b", b"..", b"a\0b"])
def test_a_folder_outside_of_the_drive_is_dropped(name: bytes) -> None:
    read = parse_target_identity(render_target_identity(replace(TARGET, folders=((name, "s"),))))
    assert read.folders == ()
    assert read.damage


@pytest.mark.parametrize("bad", ["", "../x", "a b", "x" * 65])
def test_what_can_be_no_id_is_dropped(bad: str) -> None:
    of_target = parse_target_identity(render_target_identity(replace(TARGET, also=(bad,))))
    assert of_target.also == () and of_target.damage
    of_target = parse_target_identity(render_target_identity(replace(TARGET, folders=((b"photos", bad),))))
    assert of_target.folders == () and of_target.damage
    of_source = parse_source_metadata(render_source_metadata(replace(SOURCE, targets=(TargetFact(bad, "l"),))))
    assert of_source.targets == () and of_source.damage
    of_source = parse_source_metadata(render_source_metadata(replace(SOURCE, siblings=(Sibling(bad, "s", b"/s"),))))
    assert of_source.siblings == () and of_source.damage
    assert parse_target_identity(render_target_identity(replace(TARGET, id=bad))).id == ""
    assert parse_source_metadata(render_source_metadata(replace(SOURCE, id=bad))).id == ""


@pytest.mark.parametrize("path", [b"", b"/a\0"])
def test_a_sibling_that_can_lie_nowhere_is_dropped(path: bytes) -> None:
    read = parse_source_metadata(render_source_metadata(replace(SOURCE, siblings=(Sibling("s2", "s", path),))))
    assert read.siblings == () and read.damage


@pytest.mark.parametrize(
    ("written", "parse"),
    [
        (render_source_metadata(SOURCE), parse_source_metadata),
        (render_target_identity(TARGET), parse_target_identity),
    ],
    ids=["source", "target"],
)
def test_damage_costs_what_it_struck_and_nothing_else(written: bytes, parse) -> None:
    lines = written.split(b"\n")[2:-2]

    @cache  # most damage leaves the same lines whole
    def facts(data: bytes) -> tuple[set[object], bool]:
        """What is read, and whether damage is told."""
        read = parse(data)
        found: set[object] = {read.id} - {""}
        if isinstance(read, SourceMetadata):
            found |= {*read.excludes, *read.targets, *read.siblings, (read.alias, read.wanted, read.rev)}
        else:
            found |= {*read.also, *read.folders, (read.label, read.created, read.state, read.capacity, read.fs_uuid)}
        return found, bool(read.damage)

    everything, _ = facts(written)
    chance = random.Random(5)
    damaged = [written[:length] for length in range(len(written))]
    for _ in range(1000):
        data = bytearray(written)
        at = chance.randrange(len(data))
        match chance.randrange(4):
            case 0:
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                data[at:at] = chance.randbytes(20)
            case 2:
                del data[at : at + chance.randrange(1, 40)]
            case _:
                data[at] = chance.choice(b"\"'<>&\n\0")
        damaged.append(bytes(data))
    head = written[: written.index(lines[0])]
    for data in damaged:
        found, told = facts(data)
        left = {("", 2, 0), ("", None, TargetState.ACTIVE, None, None)}  # what stands where the facts were lost
        assert found <= everything | left
        whole = [line for line in lines if line in data]
        assert facts(head + b"\n".join(whole) + b"\n")[0] - left <= found
        if found != everything:  # layout alone may change
            assert told


def test_what_came_after_the_first_version_keeps_its_check_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of the first version knows no states: their element and attributes stay, and nothing is damaged."""
    rendered = render_source_metadata(SOURCE), render_target_identity(TARGET)
    for tag in ("source", "target", "state"):
        new = ("n", "stamp", "at", "by", "line", "one_file_system")
        monkeypatch.setitem(ATTRIBUTES, tag, tuple(name for name in ATTRIBUTES[tag] if name not in new))
    for tag in ("mount", "gap"):
        monkeypatch.delitem(ATTRIBUTES, tag)
    first = ("identity", "source", "exclude", "target", "sibling")
    monkeypatch.setattr(
        "medback_core.sidecar.metadata.Elements.all", lambda self, tag: self._found[tag] if tag in first else []
    )
    monkeypatch.setattr("medback_core.sidecar.source_metadata._KNOWN", first)
    monkeypatch.setattr("medback_core.sidecar.target_identity._KNOWN", ("identity", "target", "also", "folder"))
    monkeypatch.setattr("medback_core.sidecar.metadata.Elements.state", lambda _: None)
    monkeypatch.setattr("medback_core.sidecar.metadata.Elements.extra_of", lambda *_: NOTHING)
    source, target = parse_source_metadata(rendered[0]), parse_target_identity(rendered[1])
    assert source.damage == target.damage == ()
    assert len(target.extra.elements) == 1
    assert [line.split()[0] for line in source.extra.elements] == ["<state", "<mount", "<gap"]
    assert [name for name, _ in source.source_extra.attributes] == ["one_file_system"]
    blue = next(fact for fact in source.targets if fact.id == "k3v9q2x8ab7m")
    assert [name for name, _ in blue.extra.attributes] == ["n", "stamp"]
