"""A drive can come from anyone: what its records, names, links and plants can make medback do is nothing."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import stat
import subprocess
import sys
import zlib
from base64 import b64encode
from collections.abc import Callable, Iterator
from hashlib import md5
from pathlib import Path

import pytest

from sidecar.test_hostile_xml import ATTACKS
from support.fault_report import Row, sampled
from support.saying import says
from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.cli import main
from medback_core.contexts.load import add_restore_context
from medback_core.disk import portable
from medback_core.backing_up.discover import discover
from medback_core.errors import MedbackError, Refused
from medback_core.model import (
    Reason,
    Conflict,
    DamageFound,
    Event,
    Excluded,
    Progress,
    Skipped,
    SourceRefused,
    Unrepairable,
    Warned,
)
from medback_core.upkeep.prove import prove
from medback_core.upkeep.repair import repair
from medback_core.restoring.restore import restore
from medback_core.session import Session
from medback_core.session.copies import copies_on
from medback_core.session.targets import list_targets
from medback_core.sidecar import parse
from medback_core.upkeep.verify_target import verify
from support.collision import ONE, TWO
from support.worlds import MTIME, add, back, counted, new_session, run, tree, write_tree

MEDBACK = "import sys; from medback_core.cli import main; sys.exit(main())"
GIB = 1 << 30


def sealed(line: str) -> str:
    """The record with the check a medback would have given it: an attacker can compute it too."""
    end = line.index("/>") if line.endswith("/>") and line.count("<") == 1 else line.index(">")
    return f'{line[:end]} crc="{zlib.crc32(os.fsencode(line)):08x}"{line[end:]}'


def plant(path: Path, *lines: str, root: str = "dr") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join(
        ['<?xml version="1.0" encoding="UTF-8"?>', f'<{root} v="1">', *map(sealed, lines), f"</{root}>", ""]
    )
    path.write_bytes(os.fsencode(text))


def record(name: str, content: bytes, extra: str = "", mtime: int = MTIME) -> str:
    digest = md5(content, usedforsecurity=False).hexdigest()
    time = f"{mtime // 10**9}.{mtime % 10**9:09}"
    return f'<file name="{name}" size="{len(content)}" mtime="{time}" md5="{digest}"{extra} by="medback"/>'


def everything(root: Path, *but: Path) -> dict[str, tuple[object, ...]]:
    """All there is below, exactly: kinds, modes, contents, link goals."""
    found: dict[str, tuple[object, ...]] = {}
    for path in root.rglob("*"):
        if any(path == other or path.is_relative_to(other) for other in but):
            continue
        status = path.lstat()
        what: object = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        found[str(path)] = stat.S_IFMT(status.st_mode), status.st_mode & 0o7777, what
    return found


@pytest.fixture
def world(tmp_path: Path) -> Iterator[tuple[Session, Path]]:
    """A source nobody has backed up yet."""
    write_tree(tmp_path / "photos", {"a.txt": 100, "sub/b.bin": 3000, "sub/deep/c": 10})
    session = new_session(tmp_path)
    add(session, tmp_path / "photos")
    yield session, tmp_path
    disk.set_observer(None)
    session.close()


# --- XML -------------------------------------------------------------------------------------------------------------


def limited(words: list[str], where: Path, *, space: int = GIB) -> subprocess.CompletedProcess[bytes]:
    """The installed program with so much memory and no more."""
    return subprocess.run(
        [sys.executable, "-c", MEDBACK, *words, "--json"],
        cwd=where,
        env={**os.environ, "MEDBACK_SESSION_DB": str(where / "s.db"), "HOME": str(where)},
        capture_output=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (space, space)),
    )


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_xml_attacks_end_in_bounded_memory_and_time_and_cost_no_file(
    tmp_path: Path, campaign: Callable[[str], Row]
) -> None:
    row = campaign("hostile XML as sidecars, identities, contexts")
    attacks = sampled(sorted(ATTACKS), 2)
    write_tree(tmp_path / "photos", {f"{n}": 50 + n for n in range(len(attacks))})
    assert limited(["add-src", "photos"], tmp_path).returncode == 0
    for number, attack in enumerate(attacks):
        place = tmp_path / "evil" / f"{number:02}"
        place.mkdir(parents=True)
        shutil.copy2(tmp_path / f"photos/{number}", place / "file")
        (place / ".medback.xml").write_bytes(ATTACKS[attack])
        (place / ".medorg.xml").write_bytes(ATTACKS[attack])
    for words in (["discover", "evil", "--init"], ["target", "evil"], ["verify", "evil"], ["restore", "evil"]):
        done = limited(words, tmp_path)
        assert done.returncode in (0, 3, 5, 6), (words, done.stderr[-500:])
    stats = json.loads(limited(["stats"], tmp_path).stdout)
    row.tries += len(attacks)
    row.lost += stats["by_copies"].get("0", {"files": 0})["files"]  # each file was read and matched all the same
    for attack in attacks:
        for name, words in (
            (".medback-target.xml", ["target", "one"]),
            (".medback-context.xml", ["add-restore-context", "one/.medback-context.xml"]),
            (".mdbackup.xml", ["target", "one", "--dry-run"]),
        ):
            row.tried()
            shutil.rmtree(tmp_path / "one", ignore_errors=True)
            (tmp_path / "one").mkdir()
            (tmp_path / "one" / name).write_bytes(ATTACKS[attack])
            done = limited(words, tmp_path)
            wanted = (0, 6) if name == ".mdbackup.xml" else (4,)
            assert done.returncode in (*wanted, 4), (attack, name, done.returncode, done.stderr[-500:])
            assert b"root:" not in done.stdout + done.stderr
    assert row.clean


# --- ways out --------------------------------------------------------------------------------------------------------

WAYS_OUT = ("../victim", "../../victim", "/etc/victim", "sub/../../victim", "a//b", ".", "..", "sub/victim", "\0victim")


def test_a_sidecar_with_ways_out_leads_nowhere(world: tuple[Session, Path]) -> None:
    session, tmp = world
    (tmp / "victim").write_bytes(b"v" * 100)
    content = (tmp / "photos/a.txt").read_bytes()
    back(session, tmp / "t1")
    drive = list_targets(session)[0]
    source = parse((tmp / "t1/photos/.medback.xml").read_bytes()).files[b"a.txt"]
    assert source.ours
    lines = []
    for way in WAYS_OUT:
        for shown in (way, f"photos/{way}"):
            harmless = shown.replace("\0", "&#0;")
            lines.append(record(harmless, content))
            lines.append(record("a.txt", content, f' path="x:{harmless}"'))
            lines.append(f'<link name="{harmless}" to="/etc/passwd"/>')
    plant(tmp / "t1/photos/.medback.xml", *lines)
    plant(
        tmp / "t1/.medback-target.xml",
        f'<identity id="{drive.id}"/>',
        f'<target id="{drive.id}" label="../../up" state="active" rev="99"/>',
        *(f'<folder name="{way}" source="photos"/>' for way in WAYS_OUT if "\0" not in way),
        *(f'<also id="{way}"/>' for way in WAYS_OUT if "\0" not in way),
        root="medback-target",
    )
    before = everything(tmp, tmp / "t1", tmp / "photos", *tmp.glob("session.db*"))
    (tmp / "photos/a.txt").unlink()
    (tmp / "photos/sub/b.bin").write_bytes(b"edited, so that the old version must move")
    for step in (
        lambda: verify(session, os.fsencode(tmp / "t1")),
        lambda: discover(session, os.fsencode(tmp / "t1")),
        lambda: back_up(session, os.fsencode(tmp / "t1")),
        lambda: restore(session, os.fspath(tmp / "t1")),
        lambda: restore(session, os.fspath(tmp / "t1"), to=os.fsencode(tmp / "photos/to")),
        lambda: repair(session, os.fsencode(tmp / "t1")),
    ):
        run(step())
    assert everything(tmp, tmp / "t1", tmp / "photos", *tmp.glob("session.db*")) == before


@pytest.mark.parametrize("way", WAYS_OUT)
@pytest.mark.parametrize(
    "line",
    [
        '<file name="{0}" size="1" mtime="1.000000000" md5="0cc175b9c0f1b6a831c399e269772661"/>',
        '<dr name="{0}"><file name="x" size="1" mtime="1.000000000" md5="0cc175b9c0f1b6a831c399e269772661"/></dr>',
        '<dr path="{0}"><file name="x" size="1" mtime="1.000000000" md5="0cc175b9c0f1b6a831c399e269772661"/></dr>',
        '<link name="{0}" to="x"/>',
    ],
)
def test_a_context_with_a_way_out_is_refused_with_its_line(world: tuple[Session, Path], way: str, line: str) -> None:
    session, tmp = world
    if line.startswith("<dr path") and way == "sub/victim":
        way = "sub/victim/"  # without the slash a flat directory is written just so
    text = line.format(way.replace("\0", "&#0;"))
    (tmp / "c.xml").write_text(f'<root v="1">\n<rc id="s1" src_path="/nowhere/s" alias="s">\n{text}\n</rc></root>')
    with pytest.raises(Refused, check=says("line 3")):
        run(add_restore_context(session, os.fsencode(tmp / "c.xml")))


# --- links planted and swapped between check and use -----------------------------------------------------------------


class Swapper:
    """Just before the Nth step that touches the drive, a directory becomes a link that leads outside."""

    def __init__(self, directory: Path, outside: Path, at: int) -> None:
        self.directory, self.outside, self.at = directory, outside, at
        self.count = 0

    def step(self, *_details: object) -> None:
        self.count += 1
        if self.count == self.at + 1 and self.directory.is_dir() and not self.directory.is_symlink():
            os.rename(self.directory, self.directory.with_name("moved away"))
            os.symlink(self.outside, self.directory)

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Before every change, and before every directory and file that is opened."""
        disk.set_observer(self.step)
        for name in ("open_directory_at", "open_for_reading"):
            real = getattr(portable, name)
            monkeypatch.setattr(portable, name, lambda *words, real=real: (self.step(), real(*words))[1])


Scene = Callable[[Session, Path], Iterator[Event]]
SCENES: dict[str, tuple[str, Scene]] = {
    "restore, at the destination": ("photos/sub", lambda session, tmp: restore(session, os.fspath(tmp / "t1"))),
    "restore, on the drive": ("t1/photos/sub", lambda session, tmp: restore(session, os.fspath(tmp / "t1"))),
    "target, on the drive": ("t1/photos/sub", lambda session, tmp: back_up(session, os.fsencode(tmp / "t1"))),
    "target, in the source": ("photos/sub", lambda session, tmp: back_up(session, os.fsencode(tmp / "t1"))),
    "discover, on the drive": ("t1/photos/sub", lambda session, tmp: discover(session, os.fsencode(tmp / "t1"))),
}


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("scene", SCENES)
def test_a_directory_swapped_for_a_link_at_any_moment_leads_nowhere(
    tmp_path: Path, scene: str, campaign: Callable[[str], Row], monkeypatch: pytest.MonkeyPatch
) -> None:
    row = campaign("a directory swapped for a link between check and use")
    place, step = SCENES[scene]
    base = tmp_path / "world"

    def build() -> Session:
        shutil.rmtree(base, ignore_errors=True)
        write_tree(base / "photos", {"a.txt": 100, "sub/b.bin": 300, "sub/deep/c": 10})
        # Outside lie files of the names and sizes asked for: read or overwritten, it would show.
        write_tree(base / "outside", {"b.bin": b"secret" * 50, "deep/c": b"secret+++!", "only here": b"x"})
        session = new_session(base)
        add(session, base / "photos")
        back(session, base / "t1")
        if "target" in scene:
            write_tree(base / "photos", {"sub/new": 200, "sub/b.bin": b"edited" * 50}, mtime_ns=MTIME + 10**10)
        elif "restore" in scene:
            (base / "photos/sub/deep/c").unlink()
            (base / "photos/sub/b.bin").unlink()
        return session

    def go(at: int) -> int:
        with build() as session:
            outside = everything(base / "outside")
            swapper = Swapper(base / place, base / "outside", at)
            with monkeypatch.context() as patch:
                swapper.install(patch)
                try:
                    run(step(session, base))
                except (MedbackError, OSError):
                    pass  # refused in the middle is as good an end as any
                finally:
                    disk.set_observer(None)
            row.misreported += everything(base / "outside") != outside
            for where in ("photos", "t1"):
                row.misreported += any(b"secret" in data for data, _ in tree(base / where, metadata=True).values())
            for target in list_targets(session):
                there = {
                    (len(data), md5(data, usedforsecurity=False).digest())
                    for data, _ in tree(base / "t1", metadata=True).values()
                }
                row.misreported += any(c.standing and what not in there for what, c in copies_on(session, target.key))
        return swapper.count

    for at in sampled(range(go(1 << 30)), 6):
        row.tried()
        go(at)
        assert row.clean, f"{scene}, swapped at step {at}"


# --- claims ----------------------------------------------------------------------------------------------------------


FIRST_STEPS: dict[str, Callable[[Session, bytes], Iterator[Event]]] = {
    "target": lambda session, drive: back_up(session, drive, limit=0),
    "verify": verify,
    "discover": discover,
}


@pytest.mark.parametrize("step", FIRST_STEPS)
def test_a_drive_that_claims_what_it_does_not_hold_is_believed_nothing(world: tuple[Session, Path], step: str) -> None:
    """An identity, whole checks, other machines' context: everything but the content. Whatever is done with it first."""
    session, tmp = world
    evil = tmp / "evil"
    (evil / "photos/sub/deep").mkdir(parents=True)
    verified = ' verified="2026-11-01T00:00:00Z"'
    a, b, c = ((tmp / "photos" / name).read_bytes() for name in ("a.txt", "sub/b.bin", "sub/deep/c"))
    write_tree(evil, {"photos/a.txt": b"?" * len(a), "photos/sub/b.bin": b"short", "photos/sub/deep/other": b"?" * 10})
    plant(evil / "photos/.medback.xml", record("a.txt", a, verified))
    plant(evil / "photos/sub/.medback.xml", record("b.bin", b, verified))
    plant(evil / "photos/sub/deep/.medback.xml", record("c", c, verified), record("other", c, verified))
    plant(
        evil / ".medback-target.xml",
        '<identity id="evi1evi1evi1"/>',
        '<target id="evi1evi1evi1" label="Blue" state="active" rev="7"/>',
        root="medback-target",
    )
    context = ['<root v="1">', '<target id="evi1evi1evi1" label="Blue" state="active"/>']
    context += [f'<rc id="x" src_path="{tmp}/photos" alias="photos" wanted="1">']
    context += [record("a.txt", a).replace(' by="medback"/>', "><bd>evi1evi1evi1</bd></file>"), "</rc>", "</root>"]
    (evil / ".medback-context.xml").write_text("\n".join(context))
    for each in (step, *FIRST_STEPS):
        run(FIRST_STEPS[each](session, os.fsencode(evil)))
        assert counted(session) == {0: 3}
    (tmp / "photos/a.txt").unlink()
    assert run(restore(session, os.fspath(evil))).summary.restored == 0
    assert not (tmp / "photos/a.txt").exists()


# --- plants ----------------------------------------------------------------------------------------------------------

WATCHED = """
import os, sys
drive, seen = sys.argv.pop(1), []
def watch(event, arguments):
    if event == "sqlite3.connect":
        seen.append(("sqlite", arguments[0]))
    elif event == "open" and isinstance(arguments[0], (str, bytes)):
        seen.append(("open", arguments[0]))
    elif event in ("import", "exec", "subprocess.Popen", "os.system", "ctypes.dlopen"):
        seen.append((event, arguments[0]))
sys.addaudithook(watch)
from medback_core.cli import main
try:
    code = main()
except SystemExit as end:
    code = end.code
for kind, what in seen:
    print("AUDIT", kind, os.fsdecode(what) if isinstance(what, bytes) else str(what), file=sys.stderr)
sys.exit(code)
"""
PLANTS = (
    ".bkup_dest", ".bkup_dest.sources", "session.db", "settings.toml", "medback.toml", ".medback.conf", ".medbackrc",
    "pyproject.toml", "sitecustomize.py", "medback_core.py", "lxml.py", ".env", ".bkup_dest-wal",
)  # fmt: skip


def test_a_session_or_settings_planted_on_a_drive_are_never_opened(world: tuple[Session, Path]) -> None:
    session, tmp = world
    back(session, tmp / "t1")
    session.close()
    shutil.copyfile(tmp / "session.db", tmp / ".bkup_dest")  # where it lies when nobody says otherwise
    shutil.copyfile(tmp / "session.db.sources", tmp / ".bkup_dest.sources")  # else it is written, by its bare name
    for name in PLANTS:
        shutil.copyfile(tmp / "session.db", tmp / "t1" / name)
        (tmp / "t1" / name).write_bytes((tmp / "session.db").read_bytes()) if name.endswith((".db", "_dest")) else (
            tmp / "t1" / name
        ).write_text("raise SystemExit('planted')\n")
    (tmp / "photos/a.txt").unlink()
    environment = {k: v for k, v in os.environ.items() if k not in ("MEDBACK_SESSION_DB", "PYTHONPATH")}
    environment |= {"HOME": str(tmp), "XDG_CONFIG_HOME": str(tmp / "config"), "PYTHONSAFEPATH": "1"}
    for words in sampled([["target", "."], ["stats"], ["verify", "."], ["plan"], ["repair", "."], ["restore", "."]], 3):
        done = subprocess.run(
            [
                sys.executable,
                "-c",
                WATCHED,
                os.fspath(tmp / "t1"),
                *words,
            ],
            cwd=tmp / "t1",
            env=environment,
            capture_output=True,
            check=False,
        )
        assert done.returncode in (0, 6), (words, done.stderr[-800:])
        audit = [line.split(" ", 2)[1:] for line in os.fsdecode(done.stderr).splitlines() if line.startswith("AUDIT")]
        assert audit
        for kind, what in audit:
            base = os.path.basename(what.removeprefix("file:").partition("?")[0])
            if kind == "sqlite":
                assert os.path.realpath(tmp / ".bkup_dest") in what
            elif kind == "open":
                planted = os.path.dirname(os.path.realpath(os.path.join(tmp / "t1", what))) == str(tmp / "t1")
                assert base not in PLANTS or not planted, (words, what)


# --- names -----------------------------------------------------------------------------------------------------------

NASTY = (
    b"\x1b[2J\x1b]0;owned\x07esc", "c1-\u009b31m-\u0085".encode(), "rtl-\u202egpj.exe\u2066".encode(), b"line\nbreak\r",
    b"[red]markup[$x]", b"bad-\xff\xfe", "zero\u200bwidth\ufeff".encode(), "sep-\u2028".encode(), b"\x7f\x08bs",
)  # fmt: skip


def is_harmless(text: str) -> bool:
    return all(char == "\n" or char.isprintable() for char in text)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Runs a command line in this process: (exit code, standard output, standard error)."""
    monkeypatch.setenv("MEDBACK_SESSION_DB", str(tmp_path / "s.db"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)

    def go(*words: str) -> tuple[int, str, str]:
        code = main(words)
        out, err = capsys.readouterr()
        return code, out, err

    return go


def test_names_and_labels_reach_no_terminal_and_no_log_unshown(tmp_path: Path, shell) -> None:
    """Every command that shows names, in words and as JSON: no control, format or bidi character comes out."""
    photos = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"photos-" + NASTY[0])))
    photos.mkdir()
    for name in NASTY:
        path = os.path.join(os.fsencode(photos), name)
        os.mkdir(path)
        Path(os.fsdecode(path), os.fsdecode(name)).write_bytes(b"content of " + name)
        os.symlink(name, path + b"-link")
        os.mkfifo(path + b"-fifo")
    one = photos / os.fsdecode(NASTY[0]) / os.fsdecode(NASTY[0])
    drive = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"drive-" + NASTY[0])))
    drive.mkdir()
    second = tmp_path / "second"
    second.mkdir()
    third = Path(os.fsdecode(os.path.join(os.fsencode(tmp_path), b"third-\xff")))
    third.mkdir()
    label = "".join(map(os.fsdecode, NASTY[:5])) + "[b]"
    context = os.fspath(tmp_path / "context\x1b[2J.xml")

    foreign = tmp_path / "foreign.xml"
    alias = "theirs " + label
    (tmp_path / "theirs").mkdir()
    label64 = b64encode(os.fsencode(label) + NASTY[5]).decode()
    foreign.write_text(
        f'<root v="1"><target id="theirs" label64="{label64}"/><rc id="theirs" src_path="{tmp_path}/theirs" alias64="{b64encode(os.fsencode(alias)).decode()}">'
        f'<file name64="{b64encode(NASTY[0]).decode()}" size="3" mtime="1.0" md5="{"0" * 32}"/></rc></root>'
    )

    def lose() -> None:
        shutil.rmtree(one.parent, ignore_errors=True)

    def rot(name: bytes = NASTY[1]) -> None:
        (copy,) = (path for path in drive.glob("*/*/*") if path.name == os.fsdecode(name))
        status = copy.stat()
        copy.write_bytes(b"?" * status.st_size)
        os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))

    def edit() -> None:
        (photos / os.fsdecode(NASTY[2]) / os.fsdecode(NASTY[2])).write_bytes(b"edited")

    def spoil() -> None:
        (sidecar,) = (path for path in drive.glob("*/*/.medback.xml") if path.parent.name == os.fsdecode(NASTY[1]))
        sidecar.write_bytes(b"<dr><\x1b[2J\xc2\x9b")

    commands: list[tuple[list[str], Callable[[], object] | None]] = [
        (["add-src", os.fspath(photos)], None),
        (["sources"], None),
        (["stats", "--unprotected", "--depth", "3"], None),
        (["set-source", "photos-\\x1b[2J\\x1b]0;owned\\x07esc", "--alias", "photos"], None),
        (["set-source", "photos", "--exclude", "no\x1b[2J\u202esuch"], None),
        (["target", os.fspath(second), "--init", "--label", f"{label}2", "--limit", "0"], None),
        (["target", os.fspath(drive), "--init", "--label", label, "--limit", "0"], None),
        (["target", os.fspath(drive), "--dry-run", "-v"], None),
        (["target", os.fspath(drive), "-v"], None),
        (["target", os.fspath(third), "--init", "--limit", "0"], None),
        (["targets"], None),
        (["stats", "--depth", "3"], None),
        (["whereis", os.fspath(photos)], None),
        (["what-if"], None),
        (["what-if", label], None),
        (["verify", os.fspath(drive), "-v"], None),
        (["verify", os.fspath(drive), "-v"], rot),
        (["repair", os.fspath(drive), "-v"], None),
        (["repair", os.fspath(drive), "-v"], spoil),
        (["discover", os.fspath(drive), "-v"], spoil),
        (["set-target", label, "--state", "suspect"], None),
        (["set-target", label, "--state", "active"], None),
        (["target", os.fspath(drive), "-v"], edit),
        (["reclaim", label, "--old", "--dry-run", "-v"], None),
        (["reclaim", label, "--old", "-y"], None),
        (["write-restore", context], None),
        (["add-restore-context", context], None),
        (["update", "-v"], lose),
        (["plan"], None),
        (["plan", "--all"], None),
        (["restore-status", "--unrestored"], None),
        (["restore", os.fspath(drive), "--dry-run", "-v"], None),
        (["restore", os.fspath(drive), "-v"], None),
        (["restore", os.fspath(drive), "--deleted", "-v", "--to", os.fspath(tmp_path / "to\x1b[2J")], None),
        (["update", "-v"], None),
        (["prove"], None),
        (["add-restore-context", os.fspath(foreign)], None),
        (["sources"], None),
        (["update", "-v"], None),
        (["restore-status", "--unrestored"], None),
        (["set-source", alias, "--copies", "3"], None),
        (["remove-src", alias, "-y"], None),
        (["plan", "--source", "no\x1b[2Jsuch"], None),
        (["target", os.fspath(tmp_path / "no\x1b[2Jsuch")], None),
        (["restore", os.fspath(tmp_path / "no\x1b[2Jsuch")], None),
        (["add-restore-context", os.fspath(tmp_path / "no\x1b[2Jsuch")], None),
        (["whereis", os.fspath(tmp_path / "no\x1b[2Jsuch")], None),
        (["stats", "--source", "no\x1b[2Jsuch"], None),
        (["set-target", "no\x1b\u202esuch", "--state", "lost"], None),
        (["what-if", "no\x1b\u202esuch"], None),
        (["remove-src", "photos", "-y"], None),
        (["rebuild"], None),
    ]
    for words, before in commands:
        for more in ((), ("--json",)):
            if before is not None:
                before()
            code, out, err = shell(*words, *more)
            refused = bool(more) or words[0] == "rebuild" or any("such" in word for word in words)
            assert code not in (1, 2) and (code != 4 or refused), (words, code, out, err)
            assert is_harmless(out) and is_harmless(err), (words, out, err)
            if more:
                assert out.isascii(), (words, out)
                json.loads(out)


def test_whatever_went_wrong_is_told_harmlessly_though_nobody_thought_of_it() -> None:
    from medback_core.cli.outcome import Outcome
    from medback_core.cli.reporting import _closing_words

    name = b"".join(NASTY)
    text = os.fsdecode(name)
    reason, outcome = Reason("system", error=text), Outcome()
    for event in (
        Warned("source-away", source=text), Skipped(name, reason), Excluded(name, text), DamageFound(name, reason),
        Conflict(name, reason), Unrepairable(name, reason), SourceRefused(text, Refused("missing", path=name)),
    ):  # fmt: skip
        outcome.take(event)
    outcome.fail(Refused("alias-taken", alias=text))
    lines = _closing_words(outcome, quiet=False, whole=True)
    assert len(lines) == 8
    assert all("owned" in line and "\n" not in line and is_harmless(line) for line in lines)


def test_what_is_being_read_is_shown_harmlessly_while_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from medback_core.cli.progress import Display

    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    display = Display(live=True, lines=False)
    display.show(Progress("reading", 1, 1, current=b"".join(NASTY)))
    display.stop()
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Kmhl]|\r", "", capsys.readouterr().err)
    assert "owned" in shown and is_harmless(shown)


def test_the_log_of_a_bug_is_harmless_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from medback_core.cli.reporting import keep_traceback

    name = os.fsdecode(b"".join(NASTY))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / f"state{name}"))
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        raise RuntimeError(name)
    except RuntimeError as error:
        told = keep_traceback(["target", name], error)
    (log,) = list(tmp_path.rglob("error-*.log"))
    assert is_harmless(told) and is_harmless(log.read_text())
    assert "owned" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


# --- what is never made ----------------------------------------------------------------------------------------------


def test_no_setuid_bit_device_or_hard_link_comes_from_a_drive(world: tuple[Session, Path]) -> None:
    session, tmp = world
    back(session, tmp / "t1")
    session.close()
    there = tmp / "t1/photos"
    for path in (there / "a.txt", there / "sub/b.bin"):
        path.chmod(0o6755)
    for sidecar in (there / ".medback.xml", there / "sub/.medback.xml"):
        data = sidecar.read_text()
        lines = []
        for line in data.splitlines():
            if line.startswith("<file "):
                bare = line.replace(f' crc="{line.split(chr(34) + "/>")[0][-8:]}"', "").replace(
                    " md5=", ' mode="6777" md5='
                )
                line = sealed(bare)
            lines.append(line)
        sidecar.write_text("\n".join(lines) + "\n")
    context = (tmp / "t1/.medback-context.xml").read_text()
    (tmp / "c.xml").write_text(context.replace(" md5=", ' mode="6777" md5='))
    (there / "sub/deep/c").unlink()
    os.mkfifo(there / "sub/deep/c")
    os.link(there / "a.txt", there / "sub/hard")
    if os.geteuid() == 0:
        os.mknod(there / "device", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    shutil.rmtree(tmp / "photos")
    for path in tmp.glob("session.db*"):
        path.unlink()
    with new_session(tmp) as fresh:
        try:
            run(add_restore_context(fresh, os.fsencode(tmp / "c.xml")))
        except Refused:
            run(add_restore_context(fresh, os.fsencode(tmp / "t1/.medback-context.xml")))
        ran = run(restore(fresh, os.fspath(tmp / "t1")))
    assert ran.summary.restored == 2
    for path in (tmp / "photos").rglob("*"):
        status = path.lstat()
        assert stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)
        assert not status.st_mode & 0o7000
        assert stat.S_ISDIR(status.st_mode) or status.st_nlink == 1


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_files_are_made_with_the_modes_they_should_have_from_the_first_byte(tmp_path: Path, umask: int) -> None:
    """The DB and all beside it for its owner alone; XML `0666 & ~umask`; a copy is never wider than the file it is of."""
    write_tree(tmp_path / "photos", {"secret": 100, "with others/secret": 99, "with others/open": 9, "sub/b": 10})
    for name in ("secret", "with others/secret"):
        (tmp_path / "photos" / name).chmod(0o600)
    made: dict[str, int] = {}

    def watch(op: str, *details: object) -> None:
        for path in tmp_path.glob("s.db*"):
            assert path.stat().st_mode & 0o777 == 0o600, path
        if op == "create":
            directory, name, mode = details
            assert isinstance(directory, int) and isinstance(name, bytes) and isinstance(mode, int)
            made[os.path.join(os.readlink(f"/proc/self/fd/{directory}"), os.fsdecode(name))] = mode

    from medback_core.session import open_session

    before = os.umask(umask)
    disk.set_observer(watch)
    try:
        with open_session(tmp_path / "s.db") as session:
            add(session, tmp_path / "photos")
            back(session, tmp_path / "t1")
            for path in tmp_path.glob("s.db*"):
                assert path.stat().st_mode & 0o777 == 0o600, path
            assert {path.name for path in tmp_path.glob("s.db*")} >= {"s.db", "s.db-wal", "s.db-shm", "s.db.sources"}
        assert (tmp_path / "s.db.crc").stat().st_mode & 0o777 == 0o600
    finally:
        disk.set_observer(None)
        os.umask(before)
    for path in tmp_path.rglob("*"):
        if path.name.startswith(".medback") and path.is_file():
            assert path.stat().st_mode & 0o777 == 0o666 & ~umask, path
    for name, mode in (("secret", 0o600), ("with others/secret", 0o600), ("with others/open", 0o644), ("sub/b", 0o644)):
        assert (tmp_path / "t1/photos" / name).stat().st_mode & 0o777 == mode, name
    assert made and not any(mode & 0o077 for path, mode in made.items() if path.startswith(f"{tmp_path}/s.db"))
    copies = [mode for path, mode in made.items() if path.startswith(f"{tmp_path}/t1/photos") and ".xml" not in path]
    assert sorted(copies) == [0o600, 0o600, 0o644, 0o644]


# --- MD5 -------------------------------------------------------------------------------------------------------------


def test_the_published_md5_collision_is_found_by_prove_on_a_drive_as_well(tmp_path: Path) -> None:
    """One of the pair is backed up; somebody swaps it for the other on the drive: size and MD5 agree. `prove` compares
    the bytes, and a verify knows it by its BLAKE3."""
    assert ONE != TWO and md5(ONE).digest() == md5(TWO).digest()
    write_tree(tmp_path / "photos", {"one": ONE})
    with new_session(tmp_path) as session:
        add(session, tmp_path / "photos")
        back(session, tmp_path / "t1")
        assert run(prove(session)).summary.differing == 0
        write_tree(tmp_path / "t1", {"photos/one": TWO})
        assert run(prove(session)).summary.differing == 1
        summary = run(verify(session, os.fsencode(tmp_path / "t1"))).summary
        assert (summary.damaged, summary.changed) == (0, 1)
        assert counted(session) == {0: 1}
