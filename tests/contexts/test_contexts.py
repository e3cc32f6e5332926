"""Restore contexts of a session: what is written holds all that is known, what is read is believed no more than it may."""

from __future__ import annotations

import os
import re
import shutil
import tracemalloc
from pathlib import Path
from typing import cast, Any

import pytest

from support.saying import says
from medback_core import disk
from medback_core.contexts.write import context_of, write_restore
from medback_core.contexts.load import add_restore_context
from medback_core.errors import Refused
from medback_core.model import Unrestored, Skipped, Standing, TargetState, Warned, iso_date
from medback_core.restoring.restore import restore
from medback_core.restoring.status import finish_restore, restore_status
from medback_core.session import Session, open_session
from medback_core.session.copies import copies_on
from medback_core.session.expected import expected_count, has_expected
from medback_core.session.gone import list_gone
from medback_core.session.sources import find_source, list_sources
from medback_core.session.targets import find_target, list_targets, target_by_id
from medback_core.drives.open import set_target
from medback_core.session.expected import wanted_files
from support.worlds import Ran, add, back, new_session, rescan, run, write_tree

FILES = {"a.txt": 100, "sub/b.bin": 3000, "sub/deep/c": 5000, "empty": 0}
MD5 = "9a0364b9e99bb480dd25e1f0284c8555"  # of "content"


@pytest.fixture
def world(tmp_path: Path):
    write_tree(tmp_path / "photos", FILES)
    os.symlink("a.txt", tmp_path / "photos/link")
    session = new_session(tmp_path)
    add(session, tmp_path / "photos", copies=3, excludes=["*.tmp"])
    back(session, tmp_path / "t1")
    yield session, tmp_path
    session.close()


def said(session: Session) -> bytes:
    return b"".join(context_of(session))


def take(session: Session, path: Path, **options: Any) -> Ran:
    return run(add_restore_context(session, os.fsencode(path), **options))


def context(tmp: Path, *sections: str, name: str = "context.xml") -> Path:
    path = tmp / name
    path.write_text(f'<root v="1">\n{"".join(sections)}</root>\n')
    return path


def section(path: str, *files: str, id: str = "", alias: str = "") -> str:
    head = (f' id="{id}"' if id else "") + (f' alias="{alias}"' if alias else "")
    lines = "".join(f'<file name="{name}" size="7" mtime="1" md5="{MD5}"/>\n' for name in files)
    return f'<rc{head} src_path="{path}">\n{lines}</rc>\n'


def dump(session: Session) -> list[str]:
    return list(session.db.iterdump())


# --- writing -------------------------------------------------------------------------------------------------------------


def test_a_context_brings_a_new_session_all_there_is_to_know(world):
    session, tmp = world
    set_target(session, "t1", state=TargetState.RETIRED, label="shelf")
    summary = write_restore(session, os.fsencode(tmp / "out.xml"))
    assert (summary.sources, summary.directories, summary.files, summary.targets) == (1, 3, 4, 1)
    with open_session(tmp / "new.db") as fresh:
        ran = take(fresh, tmp / "out.xml")
        assert (ran.summary.sources, ran.summary.directories, ran.summary.files) == (1, 3, 4)
        (source,) = list_sources(fresh)
        (target,) = list_targets(fresh)
        mine = find_source(session, "photos")
        assert (source.id, source.alias, source.path, source.wanted, source.excludes) == (
            mine.id, "photos", mine.path, 3, ("*.tmp",),
        )  # fmt: skip
        assert (target.label, target.state, target.known) == ("shelf", TargetState.RETIRED, True)
        again = said(fresh).replace(b' standing="claimed"', b"")
        seen = re.compile(rb'( at="[^"]*" by="[^"]*" n="[0-9]+" stamp="[0-9a-f]+"/>)|<check .*')  # what a look gives
        assert seen.sub(b"/>", again) == seen.sub(b"/>", said(session))


def test_copies_in_a_context_are_no_more_than_claims(world):
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "out.xml"))
    with open_session(tmp / "new.db") as fresh:
        take(fresh, tmp / "out.xml")
        (target,) = list_targets(fresh)
        assert {copy.standing for _, copy in copies_on(fresh, target.key)} == {Standing.CLAIMED}
    take(session, tmp / "out.xml")
    (target,) = list_targets(session)
    assert {copy.standing for _, copy in copies_on(session, target.key)} == {Standing.VERIFIED}


def test_deleted_files_stay_in_it_while_a_copy_exists(world):
    session, tmp = world
    (tmp / "photos/sub/b.bin").unlink()
    rescan(session, "photos")
    assert b'name="b.bin"' in said(session) and b'gone="' in said(session)
    summary = write_restore(session, os.fsencode(tmp / "out.xml"))
    assert summary.files == 3
    shutil.rmtree(tmp / "photos")
    with open_session(tmp / "new.db") as fresh:
        take(fresh, tmp / "out.xml")
        (gone,) = list_gone(fresh, list_sources(fresh)[0].key)
        assert gone.path == b"sub/b.bin" and gone.gone_at
        assert expected_count(fresh).files == 3
        run(restore(fresh, str(tmp / "t1"), deleted=True))
        assert (tmp / "photos/sub/b.bin").exists() and not (tmp / "photos/a.txt").exists()


def test_deleted_files_stay_in_it_when_no_copy_is_known_any_more(world):
    """Another drive may have one: a session that meets it later must know what it was."""
    session, tmp = world
    (tmp / "photos/sub/b.bin").unlink()
    rescan(session, "photos")
    (tmp / "t1/photos/sub/b.bin").unlink()
    back(session, tmp / "t1")
    assert not list(list_gone(session, list_sources(session)[0].key))
    (line,) = [line for line in said(session).splitlines() if b'name="b.bin"' in line]
    assert b'gone="' in line and b"<bd" not in line


def test_what_a_scan_saw_go_is_dated_by_the_scan_though_no_copy_is_known(tmp_path: Path):
    """The date decides where another session still tells of it as the file."""
    write_tree(tmp_path / "photos", {"a": b"content"})
    os.utime(tmp_path / "photos/a", (1, 1))
    with open_session(tmp_path / "new.db") as session:
        take(session, context(tmp_path, section(f"{tmp_path}/photos", "a")))
        rescan(session)
        (tmp_path / "photos/a").write_bytes(b"edited since")
        rescan(session)
        now, before = [line for line in said(session).splitlines() if b'name="a"' in line]
        assert b'size="12"' in now and b'size="7"' in before
        (scanned,) = {source.scanned_at for source in list_sources(session)}
        assert b'gone="%b"' % str(iso_date(scanned)).encode() in before


def test_what_is_expected_and_not_yet_back_stays_in_it(world):
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "out.xml"))
    shutil.rmtree(tmp / "photos")
    (tmp / "t1/photos/sub/b.bin").unlink()
    with open_session(tmp / "new.db") as fresh:
        take(fresh, tmp / "out.xml")
        run(restore(fresh, str(tmp / "t1")))
        rescan(fresh)
        write_tree(tmp / "photos", {"new": 10})
        rescan(fresh)
        back(fresh, tmp / "t2", update_first=False)
        for name in (b"b.bin", b"new", b"a.txt"):
            assert said(fresh).count(b'name="%b"' % name) == 1
        assert b'name="b.bin"' in (tmp / "t2/.medback-context.xml").read_bytes()


def test_where_expected_and_observed_differ_both_are_told(world):
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "out.xml"))
    take(session, tmp / "out.xml")
    (tmp / "photos/a.txt").write_bytes(b"edited since")
    rescan(session, "photos")
    lines = [line for line in said(session).splitlines() if b'name="a.txt"' in line]
    assert len(lines) == 2
    assert b'size="12"' in lines[0] and b"gone" not in lines[0]
    assert b'size="100"' in lines[1] and b"gone" in lines[1]


def test_equal_sessions_write_equal_bytes_and_an_old_file_is_replaced_whole(world):
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "out.xml"))
    first = (tmp / "out.xml").read_bytes()
    assert said(session) == first
    write_tree(tmp / "photos", {"more": 10})
    rescan(session, "photos")

    def fail(op: str, *details: Any) -> None:
        if op == "fsync":
            raise OSError(28, "No space left on device")

    disk.set_observer(fail)
    try:
        with pytest.raises(Refused, check=says("No space")):
            write_restore(session, os.fsencode(tmp / "out.xml"))
    finally:
        disk.set_observer(None)
    assert (tmp / "out.xml").read_bytes() == first
    assert not list(tmp.glob(".medback-tmp*"))
    write_restore(session, os.fsencode(tmp / "out.xml"))
    assert b"more" in (tmp / "out.xml").read_bytes()


def test_files_we_create_have_the_modes_of_the_umask_and_kept_ones_are_private(world):
    session, tmp = world
    old = os.umask(0o027)
    try:
        write_restore(session, os.fsencode(tmp / "out.xml"))
    finally:
        os.umask(old)
    assert (tmp / "out.xml").stat().st_mode & 0o777 == 0o640
    with open_session(tmp / "new.db") as fresh:
        take(fresh, tmp / "out.xml")
    assert (tmp / "new.db.context-1.xml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "where", ["photos", "thesis.doc", "missing/out.xml", "photos/.medback.xml", "t1/.medback-target.xml", "fifo"]
)
def test_where_no_context_belongs_none_is_written(world, where: str):
    session, tmp = world
    (tmp / "thesis.doc").write_bytes(b"ten years of work")
    os.mkfifo(tmp / "fifo")
    sidecar = (tmp / "photos/.medback.xml").read_bytes()
    with pytest.raises(Refused):
        write_restore(session, os.fsencode(tmp / where))
    assert (tmp / "thesis.doc").read_bytes() == b"ten years of work"
    assert (tmp / "photos/.medback.xml").read_bytes() == sidecar


# --- reading: where sources belong ---------------------------------------------------------------------------------------


def test_map_moves_sources_and_the_session_loses_nothing_when_its_db_does(world):
    session, tmp = world
    write_restore(session, os.fsencode(tmp / "out.xml"))
    shutil.rmtree(tmp / "photos")
    with open_session(tmp / "new.db") as fresh:
        take(fresh, tmp / "out.xml", maps=[(os.fsencode(tmp), os.fsencode(tmp / "moved"))])
        assert list_sources(fresh)[0].path == os.fsencode(tmp / "moved/photos")
    for name in tmp.glob("new.db*"):
        if ".context-" not in name.name:
            name.unlink()
    with open_session(tmp / "new.db") as fresh:
        ran = run(restore_status(fresh))
        assert ran.of(Warned) and ran.summary.expected == 4
        assert list_sources(fresh)[0].path == os.fsencode(tmp / "moved/photos")
        assert run(restore(fresh, str(tmp / "t1"))).summary.missing == 0
    assert (tmp / "moved/photos/sub/deep/c").exists() and not (tmp / "photos").exists()


def test_a_source_without_an_id_is_found_by_its_path(world):
    session, tmp = world
    take(session, context(tmp, section(str(tmp / "photos"), "lost")))
    assert len(list_sources(session)) == 1
    assert run(restore_status(session)).summary.missing == 1


def test_another_machines_source_at_the_same_path_is_kept_apart(world):
    session, tmp = world
    mine = find_source(session, "photos")
    path = str(tmp / "photos")
    ran = take(
        session,
        context(tmp, section(path, "theirs", id="other", alias="photos"), section(path, "ours", id=mine.id)),
    )
    assert ran.of(Warned)
    first, second = list_sources(session)
    assert (first.path, second.path, second.alias) == (os.fsencode(path), os.fsencode(path + "-2"), "photos-2")
    missing = {event.path for event in run(restore_status(session)).of(Unrestored)}
    assert missing == {os.fsencode(path + "-2/theirs"), os.fsencode(path + "/ours")}


def test_overlapping_sources_are_refused_and_nothing_changed(world):
    session, tmp = world
    before = dump(session)
    for path in (tmp / "photos/sub", tmp):
        with pytest.raises(Refused, check=says("--map")):
            take(session, context(tmp, section(str(path), "x", id="other")))
    with pytest.raises(Refused, check=says("--map")):
        take(session, context(tmp, section(str(tmp / "t1/inside"), "x", id="other")))
    assert dump(session) == before


def test_replace_drops_what_was_expected_before(tmp_path: Path):
    with new_session(tmp_path) as session:
        take(session, context(tmp_path, section("/no/where", "one", "two")))
        take(session, context(tmp_path, section("/no/where", "three")))
        assert expected_count(session).files == 3
        take(session, context(tmp_path, section("/no/where", "four")), replace=True)
        assert expected_count(session).files == 1
        assert len(list(tmp_path.glob("session.db.context-*.xml"))) == 3
        assert len(list(tmp_path.glob("session.db.context-*.done.xml"))) == 2


def test_done_ends_it_also_for_a_session_built_anew(tmp_path: Path):
    with new_session(tmp_path) as session:
        take(session, context(tmp_path, section("/no/where", "one")))
        finish_restore(session)
        assert not has_expected(session)
        assert run(restore_status(session)).summary.expected == 0
    for name in ("session.db", "session.db-wal", "session.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    with new_session(tmp_path) as session:
        assert run(restore_status(session)).summary.expected == 0


def test_facts_of_targets_go_by_their_rev_and_unknown_ids_stay_unknown(world):
    session, tmp = world
    target = find_target(session, "t1")
    line = f'<target id="{target.id}" label="{{}}" state="lost" rev="{{}}"/>'
    one = f'<rc src_path="/no/where"><file name="x" size="7" mtime="1" md5="{MD5}"><bd>nobody</bd></file></rc>'
    take(session, context(tmp, line.format("older", 0), one))
    assert find_target(session, "t1").state is TargetState.ACTIVE
    stranger = target_by_id(session, "nobody")
    assert stranger is not None and not stranger.known
    set_target(session, "t1", capacity=1000)
    take(session, context(tmp, line.format("newer", 9), one))
    newer = find_target(session, "newer")
    assert (newer.state, newer.capacity) == (TargetState.LOST, 1000)


def test_a_file_nobody_could_read_is_listed(tmp_path: Path):
    with new_session(tmp_path) as session:
        ran = take(session, context(tmp_path, '<rc src_path="/no/where"><file name="x" size="7" mtime="1"/></rc>'))
        assert [event.path for event in ran.of(Skipped)] == [b"/no/where/x"] and ran.summary.files == 0
        assert not list(tmp_path.glob("*.context-*"))


# --- reading: hostile and broken -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad",
    [
        '<rc src_path="/x"><file name="../x" size="7" mtime="1" md5="{md5}"/></rc>',
        '<rc src_path="/x"><file name="a/b" size="7" mtime="1" md5="{md5}"/></rc>',
        '<rc src_path="/x"><dr name=".."><file name="x" size="7" mtime="1" md5="{md5}"/></dr></rc>',
        '<rc src_path="/x"><dr path="a/../../b"><file name="x" size="7" mtime="1" md5="{md5}"/></dr></rc>',
        '<rc src_path="/x/../y"/>',
        '<rc src_path="relative"/>',
        '<rc src_path="/x"><file name="x" size="-7" mtime="1" md5="{md5}"/></rc>',
        '<rc src_path="/x"><file name="x" size="7" mtime="1" md5="short"/></rc>',
        '<rc src_path="/x">',
        "\x01",
        "<other/><rc/>",
    ],
)
def test_what_is_no_context_is_refused_whole_and_changes_nothing(tmp_path: Path, bad: str):
    good = "\n".join(section(f"/no/where{number}", "x") for number in range(3))
    with new_session(tmp_path) as session:
        before = dump(session)
        with pytest.raises(Refused, check=says(r"line [0-9]+")) as refused:
            take(session, context(tmp_path, good, bad.replace("{md5}", MD5)))
        assert refused.value.exit_code == 4
        assert dump(session) == before
        assert not list(tmp_path.glob("*.context-*")) and not (tmp_path / "session.db.sources").exists()


def test_bombs_and_entities_are_refused(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text("s3cret")
    bomb = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10 if n else "ha"}">' for n in range(12))
    with new_session(tmp_path) as session:
        for dtd in (bomb, f'<!ENTITY l11 SYSTEM "file://{secret}">'):
            path = tmp_path / "bomb.xml"
            path.write_text(f'<!DOCTYPE root [{dtd}]><root v="1"><rc src_path="/x" alias="&l11;"/></root>')
            with pytest.raises(Refused, check=says("DTD")):
                take(session, path)
        assert not list_sources(session)


@pytest.mark.parametrize("kind", ["directory", "fifo", "missing", "empty", "binary"])
def test_what_is_no_file_or_no_xml_is_refused(tmp_path: Path, kind: str):
    path = tmp_path / "context"
    if kind == "directory":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "binary":
        path.write_bytes(bytes(range(256)) * 100)
    with new_session(tmp_path) as session, pytest.raises(Refused) as refused:
        take(session, path)
    assert refused.value.kind == "bad-context"


def test_cancelling_an_import_changes_nothing(tmp_path: Path, monkeypatch):
    monkeypatch.setattr("medback_core.pace.TICK", -1.0)
    many = section("/no/where", *(f"f{number}" for number in range(3000)))
    with new_session(tmp_path) as session:
        before = dump(session)
        steps = add_restore_context(session, os.fsencode(context(tmp_path, many)))
        for event in steps:
            if getattr(event, "phase", "") == "reading the context":
                break
        cast("Any", steps).close()
        assert dump(session) == before and not list(tmp_path.glob("*.context-*"))
        assert b"/no/where" not in (tmp_path / "session.db.sources").read_bytes()


def test_writing_and_reading_need_memory_for_no_more_than_a_part(tmp_path: Path):
    count = 12_000
    with new_session(tmp_path) as session:
        path = tmp_path / "large.xml"
        with open(path, "w") as stream:
            stream.write('<root v="1"><rc src_path="/no/where">')
            for number in range(count):
                stream.write(
                    f'<file name="a file of the number {number}" size="{number}" mtime="1" md5="{MD5}"><bd>t</bd></file>'
                )
            stream.write("</rc></root>")
        tracemalloc.start()
        take(session, path)
        assert sum(len(chunk) for chunk in context_of(session)) > 100 * count
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert peak < 4 << 20


def test_a_source_added_by_a_context_is_one_of_the_sessions(tmp_path: Path):
    with new_session(tmp_path) as session:
        take(session, context(tmp_path, section("/no/where/music", "x", id="abc")))
        source = next((one for one in list_sources(session) if one.path == b"/no/where/music"), None)
        assert source is not None and (source.alias, source.id, source.scanned_at) == ("music", "abc", None)
        assert (tmp_path / "session.db.sources").read_bytes() == b"/no/where/music\n"


def told(name: str, id: str, n: int, line: str = "") -> str:
    """A section of another machine's source, with a state of its own."""
    state = f'at="2027-01-0{n}T00:00:00Z" by="m{n}" {line}n="{n}" stamp="{n:016x}"'
    return section(f"/elsewhere/{name}", name, id=id).replace(">", f" {state}>", 1)


def test_two_sections_of_one_source_in_a_context_are_one_source(tmp_path: Path):
    path = context(tmp_path, told("one", "s1", 1), told("two", "s1", 2))
    with new_session(tmp_path) as session:
        take(session, path)
        (source,) = list_sources(session)
        assert {row.path for row in wanted_files(session, source.key)} == {b"one", b"two"}
    (tmp_path / "drive").mkdir()
    path.rename(tmp_path / "drive/.medback-context.xml")
    with open_session(tmp_path / "another.db") as session:
        run(restore(session, os.fspath(tmp_path / "drive"), to=os.fsencode(tmp_path / "back")))
        (source,) = list_sources(session)
        assert {row.path for row in wanted_files(session, source.key)} == {b"one", b"two"}


def test_sections_of_others_are_kept_whether_or_not_their_targets_have_states(world):
    session, tmp = world
    line = '<target id="t9" label="Nine" state="active" rev="1"{}/>\n'
    state = ' at="2027-01-01T00:00:00Z" by="m1" n="1" stamp="00000000000000aa"'
    context(
        tmp / "t1",
        line.format(state),
        told("one", "s1", 1),
        line.format(""),
        told("two", "s2", 2),
        name=".medback-context.xml",
    )
    write_tree(tmp / "photos", {"new": 30})
    back(session, tmp / "t1")
    kept = (tmp / "t1/.medback-context.xml").read_text()
    assert 'name="one"' in kept and 'name="two"' in kept
