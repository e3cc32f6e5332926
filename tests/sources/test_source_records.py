"""Sidecars of sources: believed as far as they deserve, salvaged when damaged, rewritten without losing anything."""

from __future__ import annotations

import os
from base64 import b64encode
from hashlib import md5
from pathlib import Path

import pytest

from medback_core import disk, model
from medback_core.session import open_session
from medback_core.session.files import dirty_directories
from medback_core.session.gone import list_gone
from medback_core.session.targets import find_target, save_target, target_by_id
from medback_core.errors import Refused
from medback_core.model import Answers, DamageFound, Skipped, Standing, TargetState, Trouble, Warned
from medback_core.sources.sidecars import mounted_sources
from support.scan_world import OLD, World


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def sidecar_of(world: World, directory: str = "") -> Path:
    return world.src / directory / ".medback.xml"


def edit(world: World, old: str, new: str, directory: str = "") -> None:
    """Edit the sidecar by hand."""
    path = sidecar_of(world, directory)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def asides(world: World) -> list[Path]:
    return sorted(world.src.rglob(".medback*.damaged-*"))


def backed_up(world: World, *names: str) -> None:
    """Files with a verified copy on t1 each, recorded in their sidecars."""
    world.fill(names)
    world.add()
    for name in names:
        world.back_up(name, "t1")
    world.flush()


# --- the DB is disposable --------------------------------------------------------------------------------------------


def test_after_losing_the_db_all_comes_back_and_nothing_is_hashed(world: World) -> None:
    world.fill(["a", "2024/b", "2024/c"])
    world.add(copies=3, excludes=["*.tmp"])
    source = world.source
    world.back_up("a", "t1")
    world.back_up("2024/b", "t2", Standing.WRITTEN)
    t2 = find_target(world.session, "t2")
    save_target(
        world.session,
        model.Target(t2.key, "t2", "Blue Seagate", TargetState.RETIRED, rev=4, capacity=10**9, created=1),
    )
    world.flush()
    before = world.files()
    world.lose_db()
    summary = world.add()
    assert (summary.hashed, summary.reused, summary.added, summary.files) == (0, 3, 0, 3)
    assert world.files() == before
    assert (world.source.id, world.source.alias) == (source.id, source.alias)
    assert (world.source.wanted, world.source.excludes) == (3, ("*.tmp",))
    assert world.targets_of("a") == {"t1": Standing.VERIFIED}
    assert world.targets_of("2024/b") == {"t2": Standing.WRITTEN}
    found = find_target(world.session, "t2")
    assert (found.label, found.state, found.rev, found.capacity) == ("Blue Seagate", TargetState.RETIRED, 4, 10**9)


def test_a_copy_on_a_target_nobody_introduced_is_kept_and_does_not_count(world: World) -> None:
    backed_up(world, "a")
    (world.src / ".medback-source.xml").unlink()
    world.lose_db()
    world.add()
    target = target_by_id(world.session, "t1")
    assert target is not None
    assert not target.counts
    assert world.targets_of("a") == {"t1": Standing.VERIFIED}
    assert [bd.target for bd in world.sidecar().files[b"a"].bds] == ["t1"]


def test_what_vanished_while_the_db_was_lost_is_removed_and_remembered(world: World) -> None:
    backed_up(world, "a", "b", "c")
    world.lose_db()
    (world.src / "b").unlink()
    summary = world.add()
    assert (summary.files, summary.removed, summary.hashed) == (2, 1, 0)
    assert [gone.path for gone in list_gone(world.session, world.source.key)] == [b"b"]
    assert set(world.sidecar().files) == {b"a", b"c"}


def test_mass_deletion_is_refused_after_the_db_was_lost_too(world: World) -> None:
    world.fill([f"{number}" for number in range(40)])
    world.add()
    world.lose_db()
    for number in range(20):
        (world.src / f"{number}").unlink()
    with pytest.raises(Refused) as caught:
        world.add()
    assert caught.value.kind == "too-many-deletions"
    assert len(world.names()) == 40
    assert len(world.sidecar().files) == 40
    assert world.update(answers=Answers(deletions=True)).removed == 20


def test_a_file_changed_while_the_db_was_lost_is_a_change(world: World) -> None:
    backed_up(world, "a", "b")
    world.lose_db()
    world.write("a", "changed", mtime_ns=OLD + 1)
    summary = world.add()
    assert (summary.changed, summary.hashed, summary.reused) == (1, 1, 1)
    assert world.targets_of("a") == {}


def test_a_file_moved_while_the_db_was_lost_keeps_its_copies(world: World) -> None:
    backed_up(world, "a", "sub/b")
    world.lose_db()
    os.rename(world.src / "a", world.src / "sub" / "a")
    summary = world.add()
    assert (summary.moved, summary.removed) == (1, 0)
    assert world.targets_of("sub/a") == {"t1": Standing.VERIFIED}


def test_a_moved_directory_brings_its_records_along(world: World) -> None:
    backed_up(world, "old/a", "old/b")
    other = world.base / "other"
    other.mkdir()
    os.rename(world.src / "old", other / "old")
    summary = world.add(other)
    assert (summary.hashed, summary.reused) == (0, 2)


# --- tags, unknown things, other sessions ----------------------------------------------------------------------------


def test_tags_and_unknown_things_survive_a_rewrite(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    edit(world, "</dr>", '<later x="1">kept</later>\n</dr>')
    edit(world, '<file name="a"', '<file name="a" rating="5"')
    text = sidecar_of(world).read_text()
    line = next(line for line in text.splitlines() if 'name="a"' in line)
    sidecar_of(world).write_text(text.replace(line, line.replace("/>", "><tag>keep</tag></file>")))
    world.update()
    world.back_up("a", "t1")
    world.flush()
    record = world.sidecar().files[b"a"]
    assert record.tags == ("keep",)
    assert record.extra.attributes == (("rating", "5"),)
    assert [bd.target for bd in record.bds] == ["t1"]
    assert "kept</later>" in sidecar_of(world).read_text()
    world.write("c", "new")
    world.update()
    assert world.sidecar().files[b"a"].tags == ("keep",)


def test_the_record_of_another_session_is_believed_without_reading(world: World) -> None:
    world.fill(["a", "b"])
    world.add()
    other = open_session(world.base / "other-db")
    mine, world.session = world.session, other
    world.add()
    world.write("a", "changed elsewhere", mtime_ns=OLD + 1)
    assert world.update().hashed == 1
    world.back_up("a", "t9")
    world.flush()
    world.session = mine
    summary = world.update()
    assert (summary.hashed, summary.changed) == (0, 1)
    assert world.row("a").size == 17
    assert world.targets_of("a") == {"t9": Standing.VERIFIED}
    other.close()


# --- edited by hand --------------------------------------------------------------------------------------------------


def test_an_edited_copy_is_a_claim_only(world: World) -> None:
    backed_up(world, "a", "b")
    edit(world, "<bd>t1</bd>", "<bd>t1</bd><bd>t7</bd>")
    summary = world.update()
    assert summary.hashed == 2
    assert world.targets_of("a") == {"t1": Standing.VERIFIED, "t7": Standing.CLAIMED}
    assert not world.of(DamageFound)
    assert all(record.trust for record in world.sidecar().files.values())


def test_an_edited_hash_that_the_db_contradicts_is_put_right(world: World) -> None:
    backed_up(world, "a", "b")
    digest = world.row("a").md5
    edit(world, digest.hex(), "0" * 32)
    summary = world.update()
    assert (summary.damaged, summary.hashed) == (0, 1)
    assert world.row("a").md5 == digest
    assert world.sidecar().files[b"a"].md5 == digest
    assert world.targets_of("a") == {"t1": Standing.VERIFIED}


def test_an_edited_hash_without_the_db_is_damage(world: World) -> None:
    backed_up(world, "a", "b")
    digest = world.row("a").md5
    edit(world, digest.hex(), "1" * 32)
    world.lose_db()
    summary = world.add()
    assert summary.damaged == 1
    assert [path for path, _ in world.told(DamageFound)] == [b"a"]
    assert (world.row("a").md5.hex(), world.row("a").trouble) == ("1" * 32, Trouble.DAMAGED)
    assert world.targets_of("a") == {"t1": Standing.CLAIMED}
    assert world.update(accept=["a"]).changed == 1
    assert world.row("a").md5 == digest


def test_a_file_rotten_behind_an_edited_record_is_damage(world: World) -> None:
    world.write("a", "original content")
    world.add()
    digest = world.row("a").md5
    edit(world, "/>", "><tag>x</tag></file>")
    world.rewrite_keeping_time("a", b"0riginal content")
    assert world.update().damaged == 1
    assert (world.row("a").md5, world.sidecar().files[b"a"].tags) == (digest, ("x",))


def test_an_unreadable_hash_is_taken_from_the_db_or_made_anew(world: World) -> None:
    backed_up(world, "a")
    digest = world.row("a").md5
    edit(world, digest.hex(), "not a hash")
    world.update()
    assert world.targets_of("a") == {"t1": Standing.VERIFIED}
    assert world.sidecar().files[b"a"].md5 == digest
    edit(world, digest.hex(), "not a hash")
    world.lose_db()
    summary = world.add()
    assert (summary.hashed, summary.damaged) == (1, 0)
    assert world.row("a").md5 == digest


# --- the family's files ----------------------------------------------------------------------------------------------


def family(name: str, content: bytes, *, seconds: int = OLD // 10**9, copies: str = "") -> str:
    checksum = b64encode(md5(content).digest()).decode().rstrip("=")
    return f'<fr fname="{name}" checksum="{checksum}" mtime="{seconds}" size="{len(content)}">{copies}</fr>'


@pytest.mark.parametrize("name", [".medorg.xml", ".medback.xml"])
def test_hashes_of_the_family_are_adopted_without_reading(world: World, name: str) -> None:
    world.write("a", "first", mtime_ns=OLD + 123_456_789)
    world.write("b", "other")
    world.write("c", "third")
    records = (
        family("a", b"first", copies="<tag>keep</tag><bd>VOL00001</bd>"),
        family("b", b"stale", seconds=5),
        family("gone", b"gone"),
    )
    before = f"<dr>{''.join(records)}</dr>"
    (world.src / name).write_text(before)
    summary = world.add()
    assert (summary.hashed, summary.reused, summary.added, summary.removed) == (2, 1, 3, 0)
    assert world.targets_of("a") == {"VOL00001": Standing.CLAIMED}
    assert world.row("a").mtime_ns == OLD + 123_456_789
    record = world.sidecar().files[b"a"]
    assert (record.tags, record.md5) == (("keep",), md5(b"first").digest())
    assert set(world.sidecar().files) == {b"a", b"b", b"c"}
    if name == ".medorg.xml":
        assert (world.src / name).read_text() == before
    assert world.update().hashed == 0


# --- damaged ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["cut", "empty", "garbage", "flipped"])
def test_a_damaged_sidecar_costs_nothing_while_the_db_is_there(world: World, how: str) -> None:
    backed_up(world, *(f"{number}.jpg" for number in range(10)))
    data = sidecar_of(world).read_bytes()
    damaged = {"cut": data[: len(data) // 2], "empty": b"", "garbage": b"\0\xff" * 400, "flipped": bytearray(data)}[how]
    if how == "flipped":
        assert isinstance(damaged, bytearray)
        damaged[data.index(b"<file") + 1] ^= 8
    sidecar_of(world).write_bytes(damaged)
    summary = world.update()
    assert (summary.hashed, summary.files) == (0, 10)
    assert not world.of(DamageFound)
    assert len(world.of(Warned)) == 1
    assert [path.read_bytes() for path in asides(world)] == [bytes(damaged)]
    assert sidecar_of(world).read_bytes() == data


def test_a_damaged_sidecar_without_the_db_loses_no_whole_record(world: World) -> None:
    backed_up(world, *(f"{number}.jpg" for number in range(10)))
    lines = sidecar_of(world).read_bytes().splitlines(keepends=True)
    lines[4] = lines[4][:30] + b"\0<" + lines[4][40:]
    sidecar_of(world).write_bytes(b"".join(lines))
    world.lose_db()
    summary = world.add()
    assert (summary.files, summary.hashed, summary.reused) == (10, 1, 9)
    assert [path for path, _ in world.told(DamageFound)] == [b".medback.xml"]
    assert len(asides(world)) == 1
    assert sum(1 for name in world.names() if world.targets_of(name)) == 9
    assert world.update().hashed == 0
    assert not world.of(DamageFound)


def test_a_sidecar_cut_anywhere_raises_nothing_and_keeps_what_is_whole(world: World) -> None:
    backed_up(world, "a", "b", "c")
    data = sidecar_of(world).read_bytes()
    ends = [data.index(b"\n", data.index(b'name="%s"' % name)) for name in (b"a", b"b", b"c")]
    for cut in range(0, len(data), 17):
        sidecar_of(world).write_bytes(data[:cut])
        world.lose_db()
        summary = world.add()
        assert summary.reused >= sum(cut >= end for end in ends)
        assert summary.files == 3
        assert set(world.sidecar().files) == {b"a", b"b", b"c"}


def test_an_unreadable_sidecar_is_not_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    backed_up(world, "sub/a")
    data = sidecar_of(world, "sub").read_bytes()
    world.lose_db()
    real = disk.Root.read_whole

    def failing(self: disk.Root, rel: bytes, limit: int) -> bytes:
        if rel == b"sub/.medback.xml":
            raise OSError(5, "Input/output error")
        return real(self, rel, limit)

    with monkeypatch.context() as patch:
        patch.setattr(disk.Root, "read_whole", failing)
        world.add()
    assert world.told(Skipped) == [(b"sub/.medback.xml", "Input/output error")]
    assert sidecar_of(world, "sub").read_bytes() == data
    world.update()
    assert world.targets_of("sub/a") == {"t1": Standing.VERIFIED}


def test_a_missing_sidecar_is_written_anew(world: World) -> None:
    backed_up(world, "sub/a")
    data = sidecar_of(world, "sub").read_bytes()
    sidecar_of(world, "sub").unlink()
    assert world.update().hashed == 0
    assert sidecar_of(world, "sub").read_bytes() == data


def test_a_whole_temporary_sidecar_is_adopted_when_the_real_one_is_missing(world: World) -> None:
    backed_up(world, "sub/a")
    world.lose_db()
    sidecar_of(world, "sub").rename(world.src / "sub" / ".medback-tmp-0123456789ab.medback.xml")
    (world.src / "sub" / ".medback-tmp-ffffffffffff").write_bytes(b"half a file")
    assert world.add().hashed == 0
    assert world.targets_of("sub/a") == {"t1": Standing.VERIFIED}
    assert {p.name for p in (world.src / "sub").iterdir()} == {"a", ".medback.xml"}


def test_a_hostile_sidecar_is_believed_in_nothing(world: World) -> None:
    world.fill(["a"])
    (world.src / ".medback.xml").write_text(
        '<!DOCTYPE dr [<!ENTITY x SYSTEM "file:///etc/passwd">]><dr v="1"><file name="../../x" size="1"/>&x;</dr>'
    )
    summary = world.add()
    assert (summary.files, summary.hashed) == (1, 1)
    assert world.names() == {"a"}


def test_damaged_source_metadata_is_kept_aside_and_healed(world: World) -> None:
    world.fill(["a"])
    world.add(copies=3)
    path = world.src / ".medback-source.xml"
    good = path.read_bytes()
    damaged = good.replace(b'wanted="3"', b'wanted="1"')
    path.write_bytes(damaged)
    world.update()
    assert world.source.wanted == 3
    assert path.read_bytes() == good
    assert [aside.read_bytes() for aside in asides(world)] == [damaged]


# --- flushing --------------------------------------------------------------------------------------------------------


def test_a_flush_writes_what_changed_and_only_that(world: World) -> None:
    world.fill(["a", "sub/b"])
    world.add()
    before = sidecar_of(world).stat()
    world.back_up("sub/b", "t1")
    world.flush()
    assert sidecar_of(world).stat() == before
    assert [bd.target for bd in world.sidecar("sub").files[b"b"].bds] == ["t1"]
    assert not dirty_directories(world.session, world.source.key)
    assert world.update().hashed == 0


def test_a_flush_never_makes_a_directory_that_is_gone(world: World) -> None:
    world.fill(["a", "sub/b"])
    world.add()
    world.back_up("sub/b", "t1")
    (world.src / "sub").rename(world.base / "away")
    world.flush()
    assert not (world.src / "sub").exists()


def test_a_flush_writes_nothing_under_an_empty_mount_point(world: World) -> None:
    world.fill(["a"])
    world.add()
    world.back_up("a", "t1")
    world.src.rename(world.base / "drive")
    world.src.mkdir()
    world.flush()
    assert list(world.src.iterdir()) == []
    assert mounted_sources(world.session) == []
    world.src.rmdir()
    (world.base / "drive").rename(world.src)
    assert mounted_sources(world.session) == [world.source]
    world.flush()
    assert [bd.target for bd in world.sidecar().files[b"a"].bds] == ["t1"]


def test_a_flush_leaves_a_sidecar_somebody_edited_to_the_next_scan(world: World) -> None:
    world.fill(["a"])
    world.add()
    edit(world, "/>", "><tag>mine</tag></file>")
    text = sidecar_of(world).read_text()
    world.back_up("a", "t1")
    world.flush()
    assert sidecar_of(world).read_text() == text
    world.update()
    record = world.sidecar().files[b"a"]
    assert (record.tags, [bd.target for bd in record.bds]) == (("mine",), ["t1"])


def test_what_cannot_be_written_stays_dirty_with_one_warning(world: World) -> None:
    world.fill(["a", "sub/b"])
    world.add()
    for name in ("a", "sub/b"):
        world.back_up(name, "t1")

    def full(op: str, *_details) -> None:
        if op == "write":
            raise OSError(28, "No space left on device")

    with disk.lock_session(os.fsencode(world.session.path)):
        disk.set_observer(full)
        try:
            world.flush()
        finally:
            disk.set_observer(None)
    assert len(world.of(Warned)) == 1
    assert len(dirty_directories(world.session, world.source.key)) == 2
    assert not list(world.src.rglob(".medback-tmp-*"))
    world.flush()
    assert not dirty_directories(world.session, world.source.key)
    assert [bd.target for bd in world.sidecar("sub").files[b"b"].bds] == ["t1"]
