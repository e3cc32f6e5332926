"""Manifests: the programs they are for find every file right, and the way back tells same from changed."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.shell import Shell
from support.worlds import photos, tree, write_tree

from medback_core.manifests.writing import FORMATS

NAMES = {
    "a.jpg": b"a" * 3000,
    "a b/c": b"between a and a/ in the order of bytes",
    "a/deep/er/d.txt": b"d",
    "a/z": b"z",
    "ü/語.txt": b"unicode",
    "back\\slash": b"one",
    "line\nbreak": b"two",
    "return\rhere": b"three",
    "tab\there": b"four",
    b"latin \xe9": b"five",
    'quote " , <&>': b"six",
    "100%25": b"seven",
    "-option": b"eight",
    "vertical\x0btab": b"nine",
    "line\u2028separator": b"ten",
    "next\x85line": b"eleven",
    "empty": b"",
    "=1+1": b"twelve",
    "+1": b"thirteen",
    "@SUM(A1)": b"fourteen",
    "\tindented": b"fifteen",
}
CHECKERS = Path(os.environ.get("MEDBACK_CHECKERS", "/nowhere"))  # a python that has ascmhl and bagit


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    with photos(tmp_path, NAMES, drives=["red"]):
        pass
    return Shell(tmp_path)


def manifest(shell: Shell, form: str, what: str = "photos", codes: tuple[int, ...] = (0, 3)) -> Path:
    goal = shell.where / f"manifest.{form}"
    answer = shell("export", what, "--format", form, "-o", str(goal), "-y")
    assert answer.code in codes, answer.words
    return goal


def names_in(root: Path) -> set[bytes]:
    return set(tree(root))


def need(program: str) -> str:
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"{program} is not installed here; .ci/run installs it")
    return found


@pytest.mark.parametrize("what", ["photos", "red"])
def test_md5sum_finds_every_file_right_and_one_that_changed(shell: Shell, what: str) -> None:
    goal = manifest(shell, "md5sum", what, (0,))
    check = [need("md5sum"), "-c", "--strict", "--quiet", str(goal)]
    assert subprocess.run(check, cwd=shell.where / what, check=False).returncode == 0
    assert len(goal.read_bytes().splitlines()) == len(NAMES) - 0
    victim = next(path for path in sorted(names_in(shell.where / what)) if path.endswith(b"line\nbreak"))
    (shell.where / what / os.fsdecode(victim)).write_bytes(b"2wo")
    assert subprocess.run(check, cwd=shell.where / what, capture_output=True, check=False).returncode == 1


@pytest.mark.parametrize("what", ["photos", "red"])
def test_b3sum_finds_every_file_right_and_one_that_changed(shell: Shell, what: str) -> None:
    goal = manifest(shell, "b3sum", what, (3,))  # what b3sum can't write was told
    check = [need("b3sum"), "--check", "--quiet", str(goal)]
    assert subprocess.run(check, cwd=shell.where / what, check=False).returncode == 0
    assert len(goal.read_bytes().splitlines()) == len(NAMES) - 2
    answer = shell("verify", str(shell.where / what), "--against", str(goal), "--json")
    assert (answer.code, answer.json["same"]) == (0, len(NAMES) - 2)
    victim = next(path for path in sorted(names_in(shell.where / what)) if path.endswith(b"line\nbreak"))
    (shell.where / what / os.fsdecode(victim)).write_bytes(b"2wo")
    assert subprocess.run(check, cwd=shell.where / what, capture_output=True, check=False).returncode == 1


def test_hashdeep_audits_it(shell: Shell) -> None:
    goal = manifest(shell, "hashdeep", codes=(3,))
    source = shell.where / "photos"
    for name in ("line\nbreak", "return\rhere"):  # what hashdeep can't write was told
        (source / name).unlink()
    for hidden in source.rglob(".medback*"):
        hidden.unlink()
    ran = subprocess.run(
        [need("hashdeep"), "-a", "-v", "-l", "-r", "-k", str(goal), "."], cwd=source, capture_output=True, check=False
    )
    assert b"Audit passed" in ran.stdout, ran.stdout
    (source / "a/z").write_bytes(b"other")
    ran = subprocess.run(
        [need("hashdeep"), "-a", "-l", "-r", "-k", str(goal), "."], cwd=source, capture_output=True, check=False
    )
    assert b"Audit failed" in ran.stdout


def test_ncdu_reads_it_whole(shell: Shell) -> None:
    goal = manifest(shell, "ncdu", codes=(0,))
    ran = subprocess.run([need("ncdu"), "-f", str(goal), "-o", "-"], capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr
    for data in (goal.read_bytes(), ran.stdout):  # what was written, and what ncdu made of it
        found: dict[bytes, int] = {}

        def walk(node: list, way: list[str], found: dict[bytes, int] = found) -> None:
            for child in node[1:]:
                if isinstance(child, list):
                    walk(child, [*way, child[0]["name"]])
                else:
                    found["/".join([*way, child["name"]]).encode("utf-8", "surrogateescape")] = child.get("asize", 0)

        walk(json.loads(data.decode("utf-8", "surrogateescape"))[3], [])
        assert found == {path: len(content) for path, (content, _) in tree(shell.where / "photos").items()}


def test_a_table_has_it_all_exactly(shell: Shell) -> None:
    text = manifest(shell, "csv", codes=(0,)).read_bytes().decode("utf-8", "surrogateescape")
    rows = list(csv.DictReader(io.StringIO(text, newline="")))
    found = {row["path"].encode("utf-8", "surrogateescape"): row for row in rows}
    expected = tree(shell.where / "photos")
    formulas = {path for path in expected if path[:1] in (b"=", b"+", b"-", b"@", b"\t")}
    assert len(formulas) == 5
    assert set(found) == {b"./" * (path in formulas) + path for path in expected}, "no cell is a formula"
    for path, (content, mtime) in expected.items():
        path = b"./" * (path in formulas) + path
        assert found[path]["md5"] == hashlib.md5(content).hexdigest()
        assert int(found[path]["mtime"].replace(".", "")) == mtime


def test_bagit_and_ascmhl_check_it(shell: Shell) -> None:
    if not CHECKERS.exists():
        pytest.skip("ascmhl and bagit stand in an environment of their own; .ci/run makes it (MEDBACK_CHECKERS)")
    source = shell.where / "photos"
    bag = shell.where / "bag"
    bag.mkdir()
    (bag / "bagit.txt").write_text("BagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n")
    lines = manifest(shell, "bagit-manifest", codes=(3,)).read_bytes().splitlines(keepends=True)
    # Right by the RFC, but the package reads a percent sign otherwise, and ends lines at more than line ends.
    differs = ("100%25", "vertical\x0btab", "line\u2028separator", "next\x85line")
    apart = [line for line in lines if line[39:-1].decode("utf-8", "replace").replace("%25", "%") in differs]
    assert len(apart) == len(differs)
    (bag / "manifest-md5.txt").write_bytes(b"".join(line for line in lines if line not in apart))
    listed = manifest(shell, "mhl", codes=(3,))
    os.unlink(os.fsencode(source) + b"/latin \xe9")
    for hidden in source.rglob(".medback*"):
        hidden.unlink()
    shutil.copytree(source, bag / "data", ignore=shutil.ignore_patterns(*differs))
    check = "import bagit, sys; bagit.Bag(sys.argv[1]).validate()"
    assert subprocess.run([CHECKERS, "-c", check, bag], check=False).returncode == 0
    whole = shell("verify", str(bag), "--against", str(bag / "manifest-md5.txt"), "--json")
    assert (whole.code, whole.json["same"], whole.json["new"]) == (0, len(lines) - len(apart), 0)
    (bag / "data/a/z").write_bytes(b"Z")
    assert subprocess.run([CHECKERS, "-c", check, bag], capture_output=True, check=False).returncode != 0
    for name in (
        "line\nbreak",
        "return\rhere",
        "tab\there",
        "vertical\x0btab",
        "\tindented",
    ):  # what XML can't write was told
        (source / name).unlink()
    verify = [CHECKERS.parent / "ascmhl-debug", "verify", "-pl", listed, source]
    ran = subprocess.run(verify, capture_output=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (source / "a/z").write_bytes(b"Z")
    assert subprocess.run(verify, capture_output=True, check=False).returncode != 0


@pytest.mark.parametrize("form", [form for form in FORMATS if form not in ("ncdu", "b3sum")])
def test_the_way_back_finds_the_same(shell: Shell, form: str) -> None:
    goal = manifest(shell, form)
    answer = shell("verify", str(shell.where / "photos"), "--against", str(goal), "--json")
    told = sum(
        1
        for _ in json.loads(shell("export", "photos", "--format", form, "-o", str(goal), "-y", "--json").out)["skipped"]
    )
    assert (answer.code, answer.json["same"], answer.json["new"]) == (0, len(NAMES) - told, told)


@pytest.mark.parametrize("form", ["hashdeep", "mhl", "bagit-manifest"])
def test_what_is_left_out_is_not_counted(shell: Shell, form: str) -> None:
    answer = shell("export", "photos", "--format", form, "-o", "list", "--json").json
    left_out = [os.fsencode(one["path"]).partition(b"/photos/")[2] for one in answer["skipped"]]
    sizes = {path: len(content) for path, (content, _) in tree(shell.where / "photos").items()}
    assert left_out and answer["files"] == len(sizes) - len(left_out)
    assert answer["bytes"] == sum(sizes.values()) - sum(sizes[path] for path in left_out)


def test_a_list_of_a_whole_bag_and_one_by_paths_from_the_root(shell: Shell) -> None:
    bag = shell.where / "bag"
    write_tree(bag / "data", {"a": b"a", "b/c": b"c"})
    sums = {path: hashlib.md5(path[-1:]).hexdigest().encode() for path in (b"a", b"b/c")}
    listed = bag / "manifest-md5.txt"
    listed.write_bytes(b"".join(b"%s  data/%s\n" % (digits, path) for path, digits in sums.items()))
    for place in (bag / "data", bag):
        (bag / "bagit.txt").write_text("BagIt-Version: 1.0\n")
        answer = shell("verify", str(place), "--against", str(listed), "--json")
        assert (answer.code, answer.json["same"], answer.json["new"]) == (0, 2, 0)
    listed.write_bytes(b"".join(b"%s data/%s\n" % (digits, path) for path, digits in sums.items()))  # one space
    answer = shell("verify", str(bag), "--against", str(listed), "--json")
    assert (answer.code, answer.json["same"]) == (0, 2)
    listed.write_bytes(
        b"".join(b"%s  %s/%s\n" % (digits, os.fsencode(bag / "data"), path) for path, digits in sums.items())
    )
    answer = shell("verify", str(bag / "data"), "--against", str(listed), "--json")
    assert (answer.code, answer.json["same"], answer.json["new"]) == (0, 2, 0)
    answer = shell("verify", str(shell.where / "photos"), "--against", str(listed))
    assert answer.code == 4 and f"outside of that directory: {bag / 'data/a'}" in answer.words


def test_each_state_is_told(shell: Shell) -> None:
    goal = manifest(shell, "csv")
    source = shell.where / "photos"
    (source / "new one").write_bytes(b"new")
    (source / "a.jpg").unlink()
    (source / "a/z").write_bytes(b"y")
    before = (source / "a/deep/er/d.txt").stat()
    (source / "a/deep/er/d.txt").write_bytes(b"x")
    os.utime(source / "a/deep/er/d.txt", ns=(before.st_atime_ns, before.st_mtime_ns))
    answer = shell("verify", str(source), "--against", str(goal), "--json")
    found = answer.json
    assert answer.code == 5
    assert [one["path"] for one in found["not_listed"]] == [str(source / "new one")]
    assert [found[key] for key in ("missing", "changed", "new", "unreadable")] == [1, 1, 1, 0]
    assert [Path(one["path"]).name for one in found["damaged"]] == ["d.txt"]


@pytest.mark.parametrize("lines", [
    b"%s  x" % hashlib.sha256(b"foo").hexdigest().encode(),
    b"%s *x" % hashlib.sha1(b"foo").hexdigest().encode(),
    b"SHA256 (x) = %s" % hashlib.sha256(b"foo").hexdigest().encode(),
    b"04e0bb39f30b1a3feb89f536c93be15055482df748674b00d26e5a75777702e9  x",  # b3sum's
    b"BLAKE3 (x) = 04e0bb39f30b1a3feb89f536c93be15055482df748674b00d26e5a75777702e9",
    b"\xef\xbb\xbfpath,md5\r\nx,acbd18db4cc2f85cedef654fccc4a4d8\r\n",
    b"acbd18db4cc2f85cedef654fccc4a4d8  ./x",
    b"\xef\xbb\xbfacbd18db4cc2f85cedef654fccc4a4d8  x\r",
])  # fmt: skip
def test_what_others_write_is_read(tmp_path: Path, lines: bytes) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/x").write_bytes(b"foo")
    (tmp_path / "sums").write_bytes(lines + b"\n")
    shell = Shell(tmp_path)
    assert shell("verify", str(tmp_path / "tree"), "--against", str(tmp_path / "sums")).code == 0
    (tmp_path / "tree/x").write_bytes(b"fop")
    assert shell("verify", str(tmp_path / "tree"), "--against", str(tmp_path / "sums")).code == 5


@pytest.mark.parametrize("lines", [
    b"acbd18db4cc2f85cedef654fccc4a4d8  ../x",
    b"acbd18db4cc2f85cedef654fccc4a4d8  /etc/passwd",
    b"no manifest at all",
    b"",
    b"# a comment\n\n",
    b"path,md5\r\n",
    b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\n## nothing\n",
    b'<hashlist version="2.0" xmlns="urn:ASC:MHL:v2.0"><hashes></hashes></hashlist>',
    b"<!DOCTYPE x [<!ENTITY a 'b'>]><hashlist/>",
    b'path,size,md5\nx,9e9,zz\n"',
    b"%%%% HASHDEEP-1.0\n%%%% size,md5,filename\nx,y,z",
])  # fmt: skip
def test_what_is_no_manifest_is_refused(tmp_path: Path, lines: bytes) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "sums").write_bytes(lines)
    assert Shell(tmp_path)("verify", str(tmp_path / "tree"), "--against", str(tmp_path / "sums")).code == 4


def test_files_the_list_does_not_name_are_named_and_no_failure(shell: Shell) -> None:
    goal = manifest(shell, "csv")
    (shell.where / "photos/new one").write_bytes(b"new")
    answer = shell("verify", "photos", "--against", str(goal))
    assert answer.code == 0 and "1 new" in answer.out
    assert f"new: {shell.where / 'photos/new one'}: the manifest does not name it" in answer.err
    assert "new one" not in shell("verify", "photos", "--against", str(goal), "-q").words
    on_drive = shell.json("verify", "red", "--against", str(manifest(shell, "csv", "red")))[1]
    assert (on_drive["new"], on_drive["not_listed"]) == (0, []), "what explains the drive is no content"


def test_a_list_without_digests_is_refused_with_the_formats_that_can_be_read(shell: Shell) -> None:
    answer = shell("verify", "photos", "--against", str(manifest(shell, "ncdu")))
    assert answer.code == 4
    assert (
        "has no digests" in answer.err
        and "md5sum, sha1sum, sha256sum, b3sum, hashdeep, BagIt and ASC MHL" in answer.err
    )


def test_a_file_that_is_there_is_replaced_only_when_asked_for(shell: Shell) -> None:
    (shell.where / "letter").write_text("Dear Mia")
    answer = shell("export", "photos", "--format", "md5sum", "-o", "letter")
    assert answer.code == 4 and "is there. Replace it?" in answer.err and "-y answers yes" in answer.err
    assert (shell.where / "letter").read_text() == "Dear Mia"
    assert shell("export", "photos", "--format", "csv", "-o", "letter", "-y").code == 0
    assert (shell.where / "letter").read_bytes().startswith(b"path,")


def test_a_label_two_drives_have_is_said_to_be_that(shell: Shell) -> None:
    (shell.where / "blue").mkdir()
    assert shell("set-target", "red", "--label", "Twin").code == 0
    assert shell("target", "blue", "--init", "--label", "Twin").code == 0
    assert "more than one target is called Twin" in shell("export", "Twin", "--format", "csv").err


def test_standard_output_has_the_manifest_and_nothing_else(shell: Shell) -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; from medback_core.cli import main; sys.exit(main())",
        "export",
        "photos",
        "--format",
        "md5sum",
    ]
    environment = {**os.environ, "MEDBACK_SESSION_DB": str(shell.where / "session.db")}
    ran = subprocess.run(command, capture_output=True, env=environment, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout == manifest(shell, "md5sum").read_bytes()


def test_an_export_that_can_not_be_written_leaves_the_old_one(shell: Shell) -> None:
    goal = shell.where / "list"
    goal.mkdir()
    assert shell("export", "photos", "--format", "csv", "-o", str(goal)).code == 4
    assert shell("export", "photos", "--format", "csv", "-o", str(shell.where / "no/where")).code == 4
    assert shell("export", "photos", "--format", "csv", "-o", str(shell.where / ".medback.xml")).code == 4
    assert shell("export", "nobody", "--format", "csv", "-o", str(shell.where / "x")).code == 4
    assert shell("export", "photos", "--format", "csv", "--json").code == 2


@pytest.mark.timeout(60)
def test_a_fifo_is_no_manifest_and_is_not_waited_for(shell: Shell) -> None:
    os.mkfifo(shell.where / "list")
    code, found = shell.json("verify", "photos", "--against", "list")
    assert code == 4 and "ordinary file" in found["error"]["message"]
