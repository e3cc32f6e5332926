"""The second digest: what readings make and teach, and which record is believed (docs/format.md, docs/security.md)."""

from __future__ import annotations

import os
import re
import zlib
from hashlib import md5
from pathlib import Path
from typing import Any

import pytest
from blake3 import blake3

from medback_core import disk, hashing
from medback_core.disk import digests, worker_process, workers
from medback_core.hashing import FileToHash, hash_many
from medback_core.model import DamageFound, Identity
from medback_core.session import Session, open_session
from medback_core.session.digests import known_as
from medback_core.sidecar import parse, render
from medback_core.upkeep.rebuild import rebuild
from medback_core.upkeep.repair import repair
from medback_core.upkeep.verify_target import verify
from support.worlds import MTIME, add, back, counted, new_session, rescan, run, write_tree
from medback_core.restoring.restore import restore

CONTENT = b"a holiday"
LARGE = b"x" * (3 << 20)


def identity(content: bytes) -> Identity:
    return Identity(len(content), md5(content).digest())


def known(session: Session, content: bytes) -> bytes | None:
    return known_as(session, identity(content)).blake3


def set_known(session: Session, value: bytes | None, *, read: bool) -> None:
    with session.transaction() as db:
        db.execute("UPDATE identity SET blake3 = ?, blake3_read = ?", (value, read))


@pytest.fixture
def firsts(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many MD5s were made of content, by this process: one for each entry."""
    made: list[int] = []

    def counting(*args, **keywords):
        made.append(1)
        return md5(*args, **keywords)

    monkeypatch.setattr(digests, "md5", counting)
    monkeypatch.setattr("medback_core.disk.worker_pool.take_worker", lambda: None)
    return made


def test_a_scan_makes_both_and_all_that_reads_afterwards_makes_blake3_alone(tmp_path: Path, firsts: list[int]) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT, "large": LARGE})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        assert known(session, CONTENT) == blake3(CONTENT).digest() and known(session, LARGE) == blake3(LARGE).digest()
        assert len(firsts) == 2
        firsts.clear()
        back(session, tmp_path / "t1", verify=True)
        assert run(verify(session, os.fsencode(tmp_path / "t1"))).summary.same == 2
        assert run(verify(session, os.fsencode(tmp_path / "photos"))).summary.same == 2
        for name in ("a", "large"):
            os.unlink(tmp_path / "photos" / name)
        assert run(restore(session, str(tmp_path / "t1"))).summary.restored == 2
        with open(tmp_path / "t1/photos/large", "r+b") as stream:
            stream.write(b"y")
        os.utime(tmp_path / "t1/photos/large", ns=(MTIME, MTIME))
        assert run(verify(session, os.fsencode(tmp_path / "t1"))).summary.damaged == 1
        assert len(firsts) == 1, "only the reading that BLAKE3 said no of"


def test_both_kinds_of_sidecar_say_it_as_b3sum_does(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t1")
    for where in ("photos", "t1/photos"):
        text = (tmp_path / where / ".medback.xml").read_text()
        assert f' blake3="{blake3(CONTENT).hexdigest()}" blake3_of="{md5(CONTENT).hexdigest()[:8]}" crc=' in text
    assert "blake3" not in (tmp_path / "t1/.medback-context.xml").read_text()


def test_where_it_is_not_known_a_reading_makes_md5_and_teaches_it(tmp_path: Path, firsts: list[int]) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        for reading in (
            lambda: back(session, tmp_path / "t1"),
            lambda: run(verify(session, os.fsencode(tmp_path / "t1"))),
            lambda: run(verify(session, os.fsencode(tmp_path / "photos"))),
        ):
            set_known(session, None, read=False)
            firsts.clear()
            reading()
            assert firsts and known(session, CONTENT) == blake3(CONTENT).digest()


def test_blake3_may_only_say_yes_and_md5_replaces_a_stale_one(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT, "large": LARGE})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        set_known(session, b"\1" * 32, read=False)
        back(session, tmp_path / "t1")
        assert counted(session) == {1: 2}
        assert known(session, CONTENT) == blake3(CONTENT).digest() and known(session, LARGE) == blake3(LARGE).digest()
        set_known(session, b"\1" * 32, read=False)
        ran = run(verify(session, os.fsencode(tmp_path / "t1")))
        assert (ran.summary.same, ran.of(DamageFound)) == (2, [])
        assert known(session, LARGE) == blake3(LARGE).digest()
        set_known(session, b"\1" * 32, read=False)
        for name in ("a", "large"):
            os.unlink(tmp_path / "photos" / name)
        assert run(restore(session, str(tmp_path / "t1"))).summary.restored == 2


def test_damage_is_found_by_blake3_alone_and_never_taught(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t1")
        write_tree(tmp_path / "t1", {"photos/a": b"A holiday"})
        assert run(verify(session, os.fsencode(tmp_path / "t1"))).summary.damaged == 1
        assert known(session, CONTENT) == blake3(CONTENT).digest()
        assert run(repair(session, os.fsencode(tmp_path / "t1"))).summary.repaired == 1
        assert run(verify(session, os.fsencode(tmp_path / "t1"))).summary.same == 1


def line(**attributes: str) -> bytes:
    given = {
        "name": "a",
        "size": str(len(CONTENT)),
        "mtime": "1.000000000",
        "md5": md5(CONTENT).hexdigest(),
    } | attributes
    text = "<file" + "".join(f' {name}="{value}"' for name, value in given.items())
    crc = f"{zlib.crc32((text + '/>').encode()):08x}"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<dr v="1">\n{text} crc="{crc}"/>\n</dr>\n'.encode()


DIGEST, OF = blake3(CONTENT).hexdigest(), md5(CONTENT).hexdigest()[:8]


@pytest.mark.parametrize("careful", [False, True])
def test_a_record_is_believed_only_with_its_check_and_its_md5(careful: bool) -> None:
    def read(data: bytes) -> bytes | None:
        if careful:
            data = data.replace(b"<file ", b"<file  ")
        return parse(data).files[b"a"].blake3

    good = line(blake3=DIGEST, blake3_of=OF)
    assert read(good) == blake3(CONTENT).digest()
    assert read(line(blake3=DIGEST, blake3_of="00000000")) is None, "carried over when the MD5 changed"
    assert read(line(blake3=DIGEST)) is None
    assert read(line(blake3=DIGEST[:-1] + "g", blake3_of=OF)) is None
    assert read(good.replace(DIGEST[:8].encode(), b"00000000")) is None, "edited"
    assert read(re.sub(rb' crc="[^"]*"', b"", good)) is None
    assert b"blake3" not in render(parse(line(blake3=DIGEST, blake3_of="00000000")))


def test_what_is_unknown_beside_it_stands_in_the_order_the_first_version_checks() -> None:
    """To that version all of these are unknown, and sorted by name."""
    data = line(aaa="1", blake3=DIGEST, blake3_of=OF, zzz="2")
    record = parse(data).files[b"a"]
    assert record.blake3 == blake3(CONTENT).digest() and [name for name, _ in record.extra.attributes] == ["aaa", "zzz"]
    assert render(parse(data)) == data


def test_a_new_session_takes_it_from_the_records_of_a_source_and_reads_nothing(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT, "b": b"another one"})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
    sidecar = tmp_path / "photos/.medback.xml"
    other = blake3(b"another one").hexdigest().encode()
    sidecar.write_bytes(sidecar.read_bytes().replace(other, b"0" * 64))  # its check is wrong now
    with open_session(tmp_path / "anew.db") as session:
        run(rebuild(session, [os.fsencode(tmp_path / "photos")]))
        assert known(session, CONTENT) == blake3(CONTENT).digest()
        assert known(session, b"another one") is None


def test_a_drive_is_not_believed_on_what_its_content_should_be(tmp_path: Path) -> None:
    """Whoever can write to a drive could have other content verified by the BLAKE3 it has."""
    write_tree(tmp_path / "photos", {"a": CONTENT})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t1")
        set_known(session, None, read=False)
        sidecar = tmp_path / "t1/photos/.medback.xml"
        there = parse(sidecar.read_bytes())
        there.files[b"a"].blake3 = blake3(b"A HOLIDAY").digest()
        sidecar.write_bytes(render(there))
        write_tree(tmp_path / "t1", {"photos/a": b"A HOLIDAY"})
        assert run(verify(session, os.fsencode(tmp_path / "t1"))).summary.damaged == 1
        assert counted(session) == {0: 1}


def test_where_two_records_differ_the_files_are_read(tmp_path: Path, firsts: list[int]) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT, "sub/b": CONTENT})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
    sidecar = tmp_path / "photos/sub/.medback.xml"
    there = parse(sidecar.read_bytes())
    there.files[b"b"].blake3 = b"\1" * 32
    sidecar.write_bytes(render(there))
    with open_session(tmp_path / "anew.db") as session:
        run(rebuild(session, [os.fsencode(tmp_path / "photos")]))
        assert known(session, CONTENT) is None
        firsts.clear()
        assert rescan(session).summary.scans[0].hashed == 2
        assert known(session, CONTENT) == blake3(CONTENT).digest()
        assert rescan(session).summary.scans[0].hashed == 0


def test_an_unchanged_source_of_before_is_not_read_for_its_sake(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"a": CONTENT})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        set_known(session, None, read=False)
        assert rescan(session).summary.scans[0].hashed == 0
        assert known(session, CONTENT) is None


def test_a_worker_makes_both_and_one_that_finds_no_blake3_makes_md5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tree(tmp_path, {f"f{number}": b"%d" % number for number in range(600)} | {"large": LARGE})
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        names = sorted(os.listdir(handle))
        entries = [FileToHash(handle, os.fsencode(n), (s := os.stat(n, dir_fd=handle)).st_size, s) for n in names]
        monkeypatch.setattr(hashing, "hash_file_steps", None)  # workers do all of it
        monkeypatch.setattr("medback_core.disk.worker_pool._HERE", 0)
        for lies_in, has in ((workers._LIE_IN, True), (workers._LIE_IN[:1], False)):
            monkeypatch.setattr(workers, "_LIE_IN", lies_in)
            workers.close_idle()
            results = [one for one in hash_many(entries) if one is not None]
            for name, result in zip(names, results, strict=True):
                content = (tmp_path / name).read_bytes()
                assert not isinstance(result, OSError) and result.identity == identity(content)
                assert result.blake3 == (blake3(content).digest() if has else None)
    finally:
        workers.close_idle()
        os.close(handle)


def test_a_worker_copies_and_reads_back_by_blake3_or_leaves_it_to_more_care(tmp_path: Path) -> None:
    write_tree(tmp_path, {"a": CONTENT})
    first, second = md5(CONTENT).digest(), blake3(CONTENT).digest()
    handle = os.open(tmp_path, os.O_RDONLY)

    def copied(md5: bytes, known: bytes | None, name: bytes):
        files: Any = [(b"a", len(CONTENT), md5, known, None, 0, 0o644, 0o644, name)]
        return next(iter(worker_process.copy_files(disk.primitives, handle, handle, files)))

    try:
        assert copied(first, second, b"1")[2] == second
        assert copied(first, None, b"2")[2] == second
        assert copied(first, b"\1" * 32, b"3") == worker_process.NOTHING
        assert copied(b"\1" * 16, None, b"4") == worker_process.NOTHING
        wanted = [(b"a", len(CONTENT), known) for known in (second, None, b"\1" * 32)]
        made = [(one, other) for one, other, *_ in worker_process.read_back(handle, wanted)]
        assert made == [(None, second), (first, second), (first, second)]
    finally:
        os.close(handle)


def test_the_page_of_formats_has_a_record_that_md5sum_and_b3sum_check() -> None:
    page = (Path(__file__).parents[2] / "docs/format.md").read_bytes()
    found = re.search(rb"^<file [^\n]* blake3=[^\n]*/>$", page, re.MULTILINE)
    assert found is not None
    record = parse(b'<?xml version="1.0" encoding="UTF-8"?>\n<dr v="1">\n' + found.group() + b"\n</dr>\n").files[
        b"a.jpg"
    ]
    assert (record.md5, record.blake3) == (md5(b"foo").digest(), blake3(b"foo").digest())


def test_a_large_file_that_is_not_what_blake3_says_is_no_copy(tmp_path: Path) -> None:
    write_tree(tmp_path / "photos", {"large": LARGE})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        write_tree(tmp_path / "photos", {"large": b"y" + LARGE[1:]})
        ran = back(session, tmp_path / "t1", update_first=False)
        assert ran.of(DamageFound) and ran.summary.copied == 0
        assert not (tmp_path / "t1/photos/large").exists()
        assert known(session, LARGE) == blake3(LARGE).digest()
