"""The command line as a script sees it: exit codes, refusals, questions, and nothing changed where it refuses."""

from __future__ import annotations

import errno
import io
import json
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Never

import psutil
import pytest

from support.shell import Shell
from medback_core import disk
from medback_core.backing_up.back_up import back_up
from medback_core.demo.world import is_demo
from medback_core.drives.open import set_target
from medback_core.errors import Refused, UsageError
from medback_core.model import (
    Conflict, DamageFound, Excluded, FileDone, NotListed, Progress, Reason, Repaired, ScanSummary, Skipped, Source,
    SourceRefused, Unrepairable,
)  # fmt: skip
from medback_core.pace import Pace
from medback_core.scanning import record, walk
from medback_core.scanning.sources import change_source
from medback_core.session import open_session
from medback_core.cli import running
from medback_core.cli.outcome import Outcome
from support.processes import workers_of
from support.terminal import PROGRAM
from support.worlds import tree, write_tree

MEDBACK = [sys.executable, "-c", "import sys; from medback_core.cli import main; sys.exit(main())"]


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    write_tree(tmp_path / "photos", {"a.txt": 100, "sub/b.bin": 3000})
    for drive in ("t1", "t2"):
        (tmp_path / drive).mkdir()
    return Shell(tmp_path)


@pytest.fixture(scope="module")
def backed_up(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A source on one drive; for command lines that change nothing."""
    where = tmp_path_factory.mktemp("backed-up")
    write_tree(where / "photos", {"a.txt": 100, "sub/b.bin": 3000})
    (where / "empty").mkdir()
    (where / "t1").mkdir()
    (where / "no.db").write_bytes(b"no database" * 1000)
    (where / "no.xml").write_bytes(b"<root v='1'>\n<rc src_path='/x'>\n<file name='a/b' size='1'/>\n</rc></root>\n")
    shell = Shell(where)
    assert shell("add-src", "photos").code == 0
    assert shell("target", "t1", "--init", "--label", "Blue").code == 6
    return shell


# --- a person's afternoon --------------------------------------------------------------------------------------------


def test_the_whole_journey_of_a_file(shell: Shell) -> None:
    code, found = shell.json("add-src", "photos")
    assert (code, found["sources"][0]["files"], found["sources"][0]["hashed"]) == (0, 2, 2)
    code, found = shell.json("target", "t1", "--init", "--label", "Blue")
    assert (code, found["copied"], found["remaining"]) == (6, 2, 2)
    assert shell("target", "t2", "-y").code == 0
    code, found = shell.json("stats")
    assert code == 0 and found["by_copies"]["2"]["files"] == 2 and found["below_wanted"]["files"] == 0
    original = tree(shell.where / "photos")
    (shell.where / "photos/sub/b.bin").unlink()
    code, found = shell.json("restore-status")
    assert (code, found["missing"]) == (6, 1) and found["next"]["files"] == 1
    code, found = shell.json("restore", "Blue")
    assert (code, found["restored"], found["missing"]) == (0, 1, 0)
    assert tree(shell.where / "photos") == original


def test_the_seeds_own_words_work(shell: Shell) -> None:
    assert shell("add-src", "--srd-dir", "photos").code == 0
    assert shell("update").code == 0
    shutil.copytree(shell.where / "photos", shell.where / "t2/rsync", ignore=shutil.ignore_patterns(".medback*"))
    code, found = shell.json("discover", "t2", "-y")
    assert (code, found["matched"], found["newly_marked"]) == (0, 2, 2)
    assert shell("target", "t1", "-y").code == 0
    assert shell("write_restore", "ctx.xml").code == 0
    original = tree(shell.where / "photos")
    shutil.rmtree(shell.where / "photos")
    new = Shell(shell.where)
    new.session = shell.where / "new.db"
    assert new("add_restore_context", "ctx.xml").code == 0
    assert new("restore", "t2").code == 0
    assert tree(shell.where / "photos") == original


def test_a_lost_session_comes_back_hashing_nothing(shell: Shell) -> None:
    shell("add-src", "photos", "--alias", "pictures", "--copies", "3")
    shell("target", "t1", "--init", "--label", "Blue")
    for path in shell.where.glob("session.db*"):
        path.unlink()
    code, found = shell.json("add-src", "photos")
    assert code == 0 and found["sources"][0]["hashed"] == 0 and found["sources"][0]["alias"] == "pictures"
    assert shell.json("targets")[1]["targets"][0]["label"] == "Blue"
    assert shell.json("stats")[1]["by_copies"]["1"]["files"] == 2


def test_a_context_brings_all_back_on_a_new_machine_with_other_mount_points(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init")
    original = tree(shell.where / "photos")
    shutil.rmtree(shell.where / "photos")
    os.rename(shell.where / "t1", shell.where / "elsewhere")
    for path in shell.where.glob("session.db*"):
        path.unlink()
    mapped = f"{shell.where}={shell.where}/new"
    assert shell("add-restore-context", "elsewhere/.medback-context.xml", "--map", mapped).code == 0
    code, found = shell.json("restore-status")
    assert (code, found["missing"]) == (6, 2)
    assert shell.json("restore", "elsewhere")[1]["restored"] == 2
    assert tree(shell.where / "new/photos") == original
    code, found = shell.json("update")
    assert found["sources"][0]["path"] == str(shell.where / "new/photos") and found["sources"][0]["hashed"] == 0


def test_a_source_that_moved_keeps_its_copies(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init")
    os.rename(shell.where / "photos", shell.where / "pictures")
    assert shell("update").code == 4
    assert shell("set-source", "photos", "--path", "pictures").code == 0
    code, found = shell.json("update")
    assert (code, found["sources"][0]["files"], found["sources"][0]["hashed"]) == (0, 2, 0)
    assert shell.json("stats")[1]["by_copies"]["1"]["files"] == 2


def test_a_context_edited_by_hand_is_read_and_an_error_names_its_line(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init")
    shell("write-restore", "ctx.xml")
    text = (shell.where / "ctx.xml").read_text()
    (shell.where / "ctx.xml").write_text(text.replace(str(shell.where / "photos"), str(shell.where / "other")))
    new = Shell(shell.where)
    new.session = shell.where / "new.db"
    assert new("add-restore-context", "ctx.xml").code == 0
    assert new.json("restore", "t1")[1]["restored"] == 2
    assert tree(shell.where / "other") == tree(shell.where / "photos")
    (shell.where / "ctx.xml").write_text(text.replace('name="a.txt"', 'name="../a.txt"'))
    code, found = new.json("add-restore-context", "ctx.xml")
    assert code == 4 and "line" in found["error"]["message"]


# --- exit codes ------------------------------------------------------------------------------------------------------

USAGE = [
    "nonsense", "target", "add-src", "add-src photos --srd-dir photos", "target t1 --limit 5X", "target t1 --limit 200%",
    "verify t1 --older-than soon", "stats --depth -1", "set-source photos", "set-target Blue", "reclaim Blue",
    "restore Blue --conflict ask", "set-target Blue --state dead", "add-src photos --copies 0", "sources --unknown",
    "add-restore-context ctx.xml --map nothing", "update --workers 0", "tui",
    # numbers nothing can hold
    "target t1 --capacity 99999999999P", "target t1 --reserve 8192P", "target t1 --limit 9223372036854775808",
    "set-target Blue --capacity 99999999999P", f"set-target Blue --capacity {'9' * 400}", "verify t1 --max-bytes 8192P",
    f"verify t1 --older-than {'9' * 400}y", "verify t1 --older-than 999999999999999999999d",
    "add-src photos --copies 99999999999999999999", "deleted --since soon", "set-source photos --copies 100", f"stats --depth {'9' * 30}",
]  # fmt: skip


@pytest.mark.parametrize("line", USAGE)
def test_a_wrong_command_line_is_usage(backed_up: Shell, line: str) -> None:
    code, found = backed_up.json(*line.split())
    assert (code, found["error"]["kind"]) == (2, "usage")


def test_more_words_than_a_command_takes_are_named_with_the_way_out(backed_up: Shell) -> None:
    one, many = backed_up("add-src", "My", "old photos"), backed_up("stats", "A", "B")
    assert one.code == many.code == 2
    assert "add-src takes one DIR, and there is more: old photos. Run it once for each" in one.err
    assert "stats takes only options, and there is more: A, B." in many.err
    assert "more: B." in backed_up("set-target", "A", "B").err, "before it is looked at what A is"


@pytest.mark.parametrize(("number", "code"), [(errno.EACCES, 3), (errno.EIO, 5)])
@pytest.mark.parametrize("what", ["t1", "photos"])
def test_what_this_person_may_not_read_is_no_damage(
    backed_up: Shell, monkeypatch: pytest.MonkeyPatch, what: str, number: int, code: int
) -> None:
    from medback_core.upkeep import verify_source, verify_target

    def refused(*_: object) -> Never:
        raise OSError(number, os.strerror(number))

    for module in (verify_source, verify_target):
        monkeypatch.setattr(module, "read_in_time", refused)
    monkeypatch.setattr(disk, "read_many", lambda _, asked: (disk.ALONE for _ in asked))
    ended, found = backed_up.json("verify", what)
    assert ended == code and found["unreadable"] > 0
    assert bool(found["problems"]) == (number == errno.EIO)


def test_a_number_nothing_can_hold_is_refused_before_anything_is_written(backed_up: Shell) -> None:
    identity = backed_up.where / "t1/.medback-target.xml"
    before = identity.read_bytes()
    with open_session(backed_up.session) as session:
        for steps in (
            lambda: list(back_up(session, os.fsencode(backed_up.where / "t1"), capacity=2**63)),
            lambda: set_target(session, "Blue", capacity=2**63),
            lambda: set_target(session, "Blue", capacity=-1),
            lambda: change_source(session, "photos", copies=2**63),
        ):
            with pytest.raises(UsageError):
                steps()
    assert identity.read_bytes() == before
    assert {target["capacity"] for target in backed_up.json("targets")[1]["targets"]} == {None}


# The command line -> the kind of refusal, and words that name the thing or the way out.
REFUSED = {
    "add-src nowhere": ("no-such-path", "nowhere"),
    "add-src no.db": ("not-a-directory", "no.db"),
    "add-src photos/sub": ("overlap", "photos"),
    "add-src .": ("overlap", "photos"),
    "add-src t1": (None, "Blue"),
    "set-source nobody --copies 1": (None, "photos"),
    "set-source photos --path nowhere": ("no-such-path", "nowhere"),
    "remove-src nobody": (None, "photos"),
    "update nobody": (None, "photos"),
    "rebuild nowhere": ("no-such-path", "nowhere"),
    "target nowhere": ("no-such-path", "nowhere"),
    "target no.db": ("not-a-directory", "no.db"),
    "target photos -y": (None, "photos"),
    "target photos/sub --init": (None, "photos"),
    "target . --init": (None, "photos"),
    "target empty": ("new-target", "--init"),
    "discover empty": ("new-target", "--init"),
    "set-target nobody --label x": (None, "Blue"),
    "stats --source nobody": (None, "photos"),
    "stats --path nowhere": ("no-such-path", "nowhere"),
    "whereis nowhere": (None, "--source"),
    "whereis nowhere --source photos": (None, "nowhere"),
    "what-if nobody": (None, "Blue"),
    "write-restore nowhere/ctx.xml": ("no-such-path", "nowhere"),
    "add-restore-context nowhere": ("no-such-path", "nowhere"),
    "add-restore-context no.db": (None, "no.db"),
    "add-restore-context no.xml": (None, "line 3"),
    "add-restore-context photos": (None, "photos"),
    "plan --without nobody": (None, "Blue"),
    "plan --path ../x": (None, "../x"),
    "restore-status --source nobody": (None, "photos"),
    "restore nobody": (None, "Blue"),
    "restore Blue --source nobody": (None, "photos"),
    "verify nowhere": ("no-such-path", "nowhere"),
    "verify empty": (None, "empty"),
    "repair empty": ("not-a-target", "empty"),
    "reclaim empty --old": ("not-a-target", "empty"),
    "repair photos --from nobody": (None, "Blue"),
    "reclaim nobody --old": (None, "Blue"),
    "prove --source nobody": (None, "photos"),
    "sources --session-db no.db": (None, "no.db"),
    "sources --session-db photos": (None, "photos"),
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_can_not_be_is_refused_in_one_line_and_nothing_is_changed(backed_up: Shell, line: str) -> None:
    def kept() -> dict[str, object]:
        places = ("photos", "empty", "t1")
        return {name: tree(backed_up.where / name, metadata=True) for name in places}

    before, aside = kept(), sorted(os.listdir(backed_up.where))
    answer = backed_up(*line.split(), "--json")
    error = answer.json["error"]
    kind, words = REFUSED[line]
    assert answer.code == 4 and kind in (None, error["kind"]), error
    assert words in error["message"] and "\n" not in error["message"]
    plain = backed_up(*line.split())
    assert (plain.code, plain.out) == (4, "") and error["message"] in plain.err and "Traceback" not in plain.err
    assert kept() == before and sorted(os.listdir(backed_up.where)) == aside


def test_an_emptied_source_is_refused_and_kept_while_the_others_are_done(shell: Shell) -> None:
    write_tree(shell.where / "music", {"song": 10})
    shell("add-src", "photos")
    shell("add-src", "music")
    for path in sorted((shell.where / "photos").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    write_tree(shell.where / "music", {"new": 10})
    code, found = shell.json("update")
    assert code == 4 and [each["alias"] for each in found["sources"]] == ["music"]
    assert shell.json("stats")[1]["files"] == 4


def test_a_plan_with_nothing_missing_names_what_differs(shell: Shell) -> None:
    assert shell("add-src", "photos").code == 0
    assert shell("target", "t1", "-y").code == 6
    (shell.where / "photos/a.txt").unlink()
    (shell.where / "photos/a.txt").mkdir()
    answer = shell("plan")
    assert answer.code == 0 and answer.words.startswith("Nothing is missing"), answer.words
    assert "But 1 file differs from what should be there: `medback restore` lists them as conflicts." in answer.words


def test_damage_on_a_drive_is_exit_5(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init")
    path = shell.where / "t1/photos/a.txt"
    times = path.stat().st_mtime_ns
    path.write_bytes(b"?" * 100)
    os.utime(path, ns=(times, times))
    code, found = shell.json("verify", "t1")
    assert code == 5 and len(found["damaged"]) == 1
    assert [(entry["path"], entry["state"]) for entry in found["problems"]] == [(str(path), "damaged")]
    assert shell.json("targets")[1]["targets"][0]["last_verified"]


def test_a_file_that_changed_since_its_scan_is_skipped_with_exit_3(shell: Shell) -> None:
    shell("add-src", "photos", "--copies", "1")
    write_tree(shell.where / "photos", {"a.txt": 70})
    code, found = shell.json("target", "t1", "--init", "--no-update")
    assert (code, found["copied"], found["remaining"]) == (3, 1, 1)
    assert found["skipped"][0]["path"].endswith("photos/a.txt") and "changed" in found["skipped"][0]["reason"]


def test_a_file_in_the_way_of_a_restore_is_exit_3_and_missing_outranked(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init", "--limit", "3000")
    write_tree(shell.where / "out/photos", {"sub/b.bin": b"mine"})
    code, found = shell.json("restore", "t1", "--to", "out")
    assert (code, len(found["conflicts"]), found["missing"]) == (3, 1, 1)
    assert (shell.where / "out/photos/sub/b.bin").read_bytes() == b"mine"


def test_what_is_met_on_the_way_has_its_exit_code_and_is_kept_to_be_told() -> None:
    reason, source = Reason("missing"), Source(1, "s1", "photos", b"/photos")
    for event, code in (
        (Skipped(b"a", reason), 3), (Conflict(b"a", reason), 3), (DamageFound(b"a", reason), 5),
        (Unrepairable(b"a", reason), 5), (ScanSummary(source, damaged=1), 5), (ScanSummary(source), 0),
        (Excluded(b"a", "rule"), 0), (NotListed(b"a"), 0), (Repaired(b"a", "blue"), 0),
        (SourceRefused("photos", Refused("missing", path=b"a")), 4),
    ):  # fmt: skip
        outcome = Outcome()
        outcome.take(event)
        assert (outcome.exit_code, outcome.all(type(event))) == (code, [event])
    outcome = Outcome()
    outcome.take(FileDone("copied", b"a", 7))
    assert not any(outcome.met.values()) and outcome.done["copied"].bytes == 7, (
        "of a million files only the sum is kept"
    )


def test_where_several_codes_apply_the_one_that_says_most_is_given() -> None:
    for higher, lower in combinations((130, 4, 5, 3, 6, 0), 2):
        outcome = Outcome(codes={higher, lower} - {130}, interrupted=130 if higher == 130 else 0)
        assert outcome.exit_code == higher


def test_a_bug_is_exit_1_in_one_line_that_says_where_the_log_is(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("medback_core.session.sources.list_sources", lambda _: 1 // 0)
    answer = shell("sources")
    assert answer.code == 1 and answer.err.count("\n") == 1 and "ZeroDivisionError" in answer.err
    assert "Traceback" in shell("sources", "-v").err
    assert shell.json("sources")[1]["error"]["kind"] == "unexpected"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_signal_stops_between_files_and_the_next_run_goes_on(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, code: int
) -> None:
    shell("add-src", "photos")
    told = running.Display.show

    def show(self: running.Display, event: object) -> None:
        told(self, event)  # type: ignore[arg-type]
        monkeypatch.undo()
        signal.raise_signal(number)

    monkeypatch.setattr(running.Display, "show", show)
    answer = shell("target", "t1", "--init", "--no-update", "--json")
    assert answer.code == code and "run it again" in answer.err
    assert answer.json["copied"] == 0 and not tree(shell.where / "t1")
    assert shell.json("target", "t1", "--init")[0] == 6
    assert {path: content for path, (content, _) in tree(shell.where / "t1/photos").items()} == {
        path: content for path, (content, _) in tree(shell.where / "photos").items()
    }


def test_ctrl_c_keeps_what_is_copied_whole(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("add-src", "photos")
    told = running.Display.show

    def show(self: running.Display, event: Progress) -> None:
        told(self, event)
        if event.phase == "making durable":  # all is copied, and nothing counts yet
            assert not tree(shell.where / "t1/photos")
            signal.raise_signal(signal.SIGINT)
            monkeypatch.undo()

    monkeypatch.setattr(running.Display, "show", show)
    monkeypatch.setattr(Pace, "is_due", lambda _pace: True)
    monkeypatch.setattr(disk.Group, "flush_steps", lambda _group: iter([None]))
    answer = shell("target", "t1", "--init", "--no-update", "--json")
    assert answer.code == 130 and "run it again" in answer.err
    assert answer.json["copied"] == len(tree(shell.where / "t1/photos")) > 0
    assert shell.json("target", "t1", "--init")[1]["copied"] == 0


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_signal_ends_a_command_that_waits_for_a_stopped_worker_and_no_process_is_left(
    shell: Shell, number: signal.Signals, code: int
) -> None:
    with open(shell.where / "photos/film", "wb") as film:
        film.truncate(200 << 30)  # sparse: it takes minutes to hash
    with subprocess.Popen(
        [*MEDBACK, "--session-db", str(shell.session), "add-src", str(shell.where / "photos")],
        stderr=subprocess.PIPE,
    ) as process:
        while not (started := workers_of(process.pid)):
            assert process.poll() is None
        for worker in started:
            os.kill(worker, signal.SIGSTOP)
        while any(psutil.Process(worker).status() != psutil.STATUS_STOPPED for worker in started):
            pass
        process.send_signal(number)
        assert process.stderr is not None and b"run it again" in process.stderr.read()
    assert process.returncode == code
    assert not any(psutil.pid_exists(worker) for worker in started)
    (shell.where / "photos/film").unlink()
    assert shell.json("add-src", "photos")[0] == 0
    assert shell.json("stats")[1]["files"] == 2


@pytest.mark.parametrize(("ignored", "code", "out"), [(False, -signal.SIGINT, ""), (True, 0, "medback 1.0.0\n")])
def test_ctrl_c_while_the_program_is_being_read_in_ends_it_without_a_word(
    tmp_path: Path, ignored: bool, code: int, out: str
) -> None:
    """It may have been started with the signal ignored, as a shell does for what runs beside."""
    (tmp_path / "sitecustomize.py").write_text("""
import os, signal, sys

class CtrlC:
    def find_spec(self, name, path=None, target=None):
        if name == "click":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, CtrlC())
""")
    command = ["sh", "-c", 'trap "" INT; exec "$@"' if ignored else 'exec "$@"', "sh", str(PROGRAM), "--version"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (code, out, "")


@pytest.mark.parametrize(
    ("name", "code", "said"), [("SIGINT", 130, b""), ("SIGTERM", 143, b""), ("SIGHUP", 0, b"went on")]
)
def test_a_second_ctrl_c_ends_it_at_once_and_a_terminal_may_hang_up_twice(name: str, code: int, said: bytes) -> None:
    program = f"""
import signal
import sqlite3
from medback_core.cli.interrupts import Interrupts
signal.signal(signal.{name}, signal.SIG_DFL)
with Interrupts() as interrupts:
    interrupts.deferred = True
    signal.raise_signal(signal.{name})
    signal.raise_signal(signal.{name})
    print("went on", end="")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (code, said, b"")


@pytest.mark.parametrize("words", ["stats --unprotected", "stats", "targets --json"])
def test_a_reader_that_leaves_early_is_no_error(backed_up: Shell, words: str) -> None:
    with subprocess.Popen(
        [*MEDBACK, "--session-db", str(backed_up.session), *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


def closed_streams(shell: Shell, words: str, redirections: str) -> subprocess.CompletedProcess[bytes]:
    """A command line as a shell runs it with some of its streams closed."""
    return subprocess.run(
        ["sh", "-c", f'"$@" {redirections}', "sh", *MEDBACK, "--session-db", str(shell.session), *words.split()],
        capture_output=True,
        cwd=shell.where,
        check=False,
    )


@pytest.mark.skipif(os.name != "posix", reason="shells close streams so on POSIX")
def test_streams_that_are_closed_are_no_error_and_nothing_takes_their_place(backed_up: Shell) -> None:
    before = tree(backed_up.where / "t1")
    for words, redirections in (("stats", ">&-"), ("target t1 --no-update", "<&- >&- 2>&-")):
        ended = closed_streams(backed_up, words, redirections)
        assert (ended.returncode in (0, 6), ended.stderr) == (True, b""), words
    ended = closed_streams(backed_up, "target t1 --no-update --json", "2>&-")
    assert json.loads(ended.stdout)["warnings"], "words for people go nowhere, not into the JSON"
    assert tree(backed_up.where / "t1") == before


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is always full")
@pytest.mark.parametrize("words", ["stats", "stats --json", "whereis photos"])
def test_an_answer_that_could_not_be_written_is_no_success(backed_up: Shell, words: str) -> None:
    ended = closed_streams(backed_up, words, ">/dev/full")
    assert ended.returncode == 3 and b"No space left" in ended.stderr


# --- questions -------------------------------------------------------------------------------------------------------


def answering(monkeypatch: pytest.MonkeyPatch, *lines: str) -> None:
    """A person at a terminal who types these lines."""
    monkeypatch.setattr(running.Run, "can_ask", lambda _: True)
    monkeypatch.setattr(sys, "stdin", io.StringIO("".join(line + "\n" for line in lines)))


def test_a_new_target_is_asked_about_and_the_default_is_no(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("add-src", "photos")
    for said in ("", "n"):
        answering(monkeypatch, said)
        answer = shell("target", "t1")
        assert answer.code == 4 and str(shell.where / "t1") in answer.err and "[y/N]" in answer.err
        assert answer.err.count("Make it a target?") == 1 and "nothing was changed" in answer.err
        assert list((shell.where / "t1").iterdir()) == []
    answering(monkeypatch)
    assert shell("target", "t1").code == 4, "nobody answers"
    answering(monkeypatch, "y")
    answer = shell("target", "t1")
    assert answer.code == 6 and "[y/N]" not in answer.out
    assert (shell.where / "t1/photos/a.txt").exists()


def test_yes_makes_a_target_and_never_of_a_drive_that_is_away(shell: Shell) -> None:
    shell("add-src", "photos")
    assert shell("target", "t1", "-y", "--label", "Blue").code == 6
    os.rename(shell.where / "t1", shell.where / "away")
    (shell.where / "t1").mkdir()
    code, found = shell.json("target", "t1", "-y")
    assert code == 4 and "Blue" in found["error"]["message"] and "--init" in found["error"]["message"]
    assert list((shell.where / "t1").iterdir()) == []
    assert shell("target", "t1", "--init").code in (0, 6)  # 6: by the UUID of its file system Blue is lost


def test_yes_never_answers_a_clone(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init")
    shutil.copytree(shell.where / "t1", shell.where / "t2", dirs_exist_ok=True)
    code, found = shell.json("target", "t2", "-y")
    assert code == 4 and "--new-id" in found["error"]["message"]
    assert len(shell.json("targets")[1]["targets"]) == 1
    assert shell("target", "t2", "--new-id", "--label", "Twin").code == 0
    assert len(shell.json("targets")[1]["targets"]) == 2


def test_what_goes_is_asked_about_and_never_the_last_copy(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    shell("add-src", "photos", "--copies", "1")
    for drive in ("t1", "t2"):
        shell("target", drive, "--init")
    code, found = shell.json("reclaim", "t1", "--surplus")
    assert (code, found["error"]["kind"]) == (4, "reclaim") and len(tree(shell.where / "t1/photos")) == 2
    answering(monkeypatch, "n")
    assert shell("reclaim", "t1", "--surplus").code == 4
    code, found = shell.json("reclaim", "t1", "--surplus", "-y")
    assert (code, found["freed"], tree(shell.where / "t1/photos")) == (0, 2, {})
    code, found = shell.json("reclaim", "t2", "--surplus", "-y")
    assert (code, found["freed"]) == (0, 0) and len(tree(shell.where / "t2/photos")) == 2


# --- what no terminal should see, and the demo -----------------------------------------------------------------------


def test_a_name_no_terminal_should_see_is_told_harmlessly(shell: Shell) -> None:
    (shell.where / os.fsdecode(b"photos/\x1b[31mred\xff")).write_bytes(b"x")
    shell("add-src", "photos")
    answer = shell("stats", "--unprotected")
    assert answer.code == 0 and "\x1b" not in answer.out and "\\xff" in answer.out
    paths = [file["path"] for file in shell.json("stats", "--unprotected")[1]["unprotected"]]
    assert os.fsdecode(b"\x1b[31mred\xff") in paths


def test_the_demo_tells_its_story_and_leaves_what_was_asked_to_be_kept(shell: Shell) -> None:
    code, found = shell.json("demo", "world", "--headless")
    assert (code, found["equal"], found["differing"]) == (0, True, []) and found["story"]
    told = "\n".join(found["story"])
    assert "The house burns" in told and "in after-the-fire/library and after-the-fire/pictures equal" in told
    assert is_demo(shell.where / "world")


def test_a_scan_that_finds_files_gone_says_where_to_see_them(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init", "--label", "Blue")
    (shell.where / "photos/a.txt").unlink()
    answer = shell("update")
    assert answer.code == 0
    line = next(line for line in answer.out.splitlines() if "medback deleted --since" in line)
    code, found = shell.json(*line.split("`")[1].split()[1:])
    assert code == 0
    (file,) = found["files"]
    assert (file["source"], file["path"], file["size"], file["gone"], file["replaced"]) == (
        "photos",
        "a.txt",
        100,
        True,
        False,
    )
    assert [copy["label"] for copy in file["copies"]] == ["Blue"] and file["gone_at"]
    shell("set-target", "Blue", "--state", "lost")
    told = shell("deleted", "--since", "3d ago").out
    assert "deleted, on Blue (lost)" in told and "medback restore" not in told
    assert "on Blue (lost)" in shell("find", "a.txt").out
    shell("set-target", "Blue", "--state", "active")
    back = next(line for line in shell("deleted").out.splitlines() if "medback restore" in line)
    assert shell.json(*back.split("`")[1].split()[1:])[1]["restored"] == 1
    assert (shell.where / "photos/a.txt").stat().st_size == 100
    assert shell.json("deleted")[1]["files"] == [] and "no deleted file" in shell("deleted").out


def test_a_backup_says_what_its_scan_found_gone(shell: Shell) -> None:
    shell("add-src", "photos")
    shell("target", "t1", "--init", "--label", "Blue")
    (shell.where / "photos/a.txt").unlink()
    assert "1 file is gone since the last scan" in shell("target", "t1").out
    assert "gone since" not in shell("target", "t1").out


@pytest.mark.parametrize("kilobytes", [8, 64])
def test_a_limit_on_the_size_of_files_is_not_taken_for_a_damaged_session(shell: Shell, kilobytes: int) -> None:
    write_tree(shell.where / "photos", {f"a file with a long name, number {n}": 10 for n in range(1000)})
    assert shell("add-src", "photos").code == 0
    write_tree(shell.where / "photos", {f"a new file with a long name, number {n}": 10 for n in range(1000)})
    before = {path.name for path in shell.where.iterdir() if not path.name.endswith(("-wal", "-shm"))}
    limited = subprocess.run(
        [*MEDBACK, "update", "--rehash", "--session-db", str(shell.session), "--json"],
        cwd=shell.where,
        capture_output=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes << 10, kilobytes << 10)),
    )
    found = json.loads(limited.stdout)
    assert (
        limited.returncode == 4 and found["error"]["kind"] == "session-full" and "ulimit" in found["error"]["message"]
    )
    assert {path.name for path in shell.where.iterdir() if not path.name.endswith(("-wal", "-shm"))} == before
    code, found = shell.json("update")
    assert (code, found["sources"][0]["files"], found["warnings"]) == (0, 2002, [])


def test_a_place_that_was_not_read_is_told_wherever_something_is_called_safe(shell: Shell) -> None:
    (shell.where / "photos" / "old drive" / ".medback-old").mkdir(parents=True)
    assert shell("add-src", "photos", "--copies", "1").code == 0
    assert "except 1 place medback did not read" in shell("target", "t1", "--init").words
    said = shell("stats")
    assert "safe as of" in said.words and "except 1 place medback did not read" in said.words
    assert "photos/old drive/.medback-old" in said.words
    for command in ("stats", "sources", "update"):
        (gap,) = shell.json(command)[1]["gaps"]
        assert (gap["source"], gap["path"]) == ("photos", "old drive/.medback-old")
        assert set(gap) == {"source", "path", "reason", "since"}
    assert "1 place not read" in shell("sources").words
    assert shell("set-source", "photos", "--exclude", ".medback-old").code == 0
    assert shell.json("update")[1]["gaps"] == []
    assert "except" not in shell("stats").words


def test_a_first_scan_that_did_not_end_is_told(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk of the session was full, say: what came so far is not all there is."""
    put, calls = record.put_files, []

    def full(*words, **options) -> None:
        calls.append(words)
        if len(calls) > 1:
            raise sqlite3.OperationalError("database or disk is full")
        put(*words, **options)

    monkeypatch.setattr(record, "_READ_FILES", 1)
    monkeypatch.setattr(record, "_SECONDS", 0)
    monkeypatch.setattr(walk, "TICK", -1)
    monkeypatch.setattr(record, "put_files", full)
    assert shell("add-src", "photos", "--copies", "1").code == 4
    monkeypatch.setattr(record, "put_files", put)
    code, found = shell.json("stats")
    assert (code, found["unscanned"]) == (0, ["photos"]) and found["files"]
    assert "not scanned to the end yet: photos" in shell("stats").words
    assert shell("update").code == 0
    assert shell.json("stats")[1]["unscanned"] == []
    assert "not scanned to the end" not in shell("stats").words


def test_what_is_said_of_mounts_is_kept(shell: Shell) -> None:
    inside = str(shell.where / "photos" / "sub")
    assert shell("add-src", "photos", "--one-file-system", "--include-mount", inside).code == 0
    (row,) = shell.json("sources")[1]["sources"]
    assert (row["one_file_system"], row["mounts"]) == (True, ["sub"])
    assert shell("set-source", "photos", "--no-one-file-system", "--no-include-mount", inside).code == 0
    (row,) = shell.json("sources")[1]["sources"]
    assert (row["one_file_system"], row["mounts"]) == (False, [])
    assert shell("set-source", "photos", "--include-mount", str(shell.where / "t1")).code == 2
    assert shell("set-source", "photos", "--no-include-mount", inside).code == 4
