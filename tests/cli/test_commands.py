"""Every command of the contract: its options, its names, the keys of its JSON, what it says and where."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import click
import pytest

from support.shell import Shell
from medback_core.cli import medback
from support.worlds import write_tree

COMMON = "--session-db --json -q --quiet -v --verbose --no-progress -y --yes --version -h --help"
OPTIONS = {
    "tui": "--no-mouse",
    "demo": "--headless --keep",
    "add-src": "--srd-dir --src-dir --alias --copies --exclude --workers",
    "sources": "",
    "set-source": "--alias --path --copies --exclude --no-exclude",
    "remove-src": "",
    "update": "--rehash --accept-deletions --accept-changes --accept --workers",
    "rebuild": "",
    "target": "--init --label --capacity --reserve --limit --source --no-update --no-fill --no-verify --dry-run "
    "--new-id --same-drive --readme --no-readme",
    "targets": "",
    "set-target": "--on-plug --state --label --capacity",
    "discover": "--init --label --dry-run --rehash",
    "stats": "--source --path --depth --unprotected",
    "whereis": "--source --deleted",
    "deleted": "--source --path --since",
    "what-if": "",
    "write-restore": "",
    "add-restore-context": "--map --replace",
    "report": "",
    "plan": "--all --source --path --to --without",
    "restore-status": "--to --unrestored --done",
    "restore": "--source --path --deleted --to --conflict --dry-run",
    "verify": "--all --older-than --max-bytes --for --against",
    "repair": "--from --dry-run",
    "reclaim": "--old --surplus --dry-run",
    "prove": "--source",
    "export": "--format --output -o",
    "find": "",
    "history": "--target --source --since",
    "watch": "--once --verify-bytes",
    "eject": "",
    "config": "--example --keys",
    "completion": "",
    "service": "",
}


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """Two sources, two drives, backed up; for commands that change nothing anybody asks about later."""
    where = tmp_path_factory.mktemp("shelf")
    write_tree(where / "photos", {"a.txt": 100, "sub/b.bin": 3000, "sub/twin.bin": b"same", "twin.bin": b"same"})
    write_tree(where / "music", {"song": 500, "old.tmp": 10})
    os.mkfifo(where / "photos/pipe")
    os.symlink("a.txt", where / "photos/link")
    for name in ("blue", "red"):
        (where / name).mkdir()
    shell = Shell(where)
    assert shell("add-src", "photos").code == 0
    assert shell("add_src", "--srd-dir", "music", "--copies", "1", "--exclude", "*.tmp").code == 0
    assert shell("target", "blue", "--init", "--label", "Blue 1").code == 6
    cut = shell("target", "red", "-y", "--limit", "600")
    assert cut.code == 6 and "a further copy" in cut.words and "another drive" not in cut.words
    assert "next: back up onto red" in cut.words, "it takes more than its limit was this time"
    return shell


def test_there_are_the_commands_of_the_contract_and_no_others():
    assert set(medback.commands) == set(OPTIONS)


def test_the_page_of_the_command_line_names_each_that_has_keys_of_its_own():
    page = (Path(__file__).parents[2] / "docs" / "cli.md").read_text()
    cells = re.findall(r"^\| ([a-z][a-z, -]*) \|", page[page.index("## JSON") :], re.MULTILINE)
    named = {word for cell in cells for word in re.findall(r"[\w-]+", cell)}
    without = {"demo", "remove-src", "set-source", "set-target", "tui"}
    assert set(medback.commands) - named == without


@pytest.mark.parametrize("name", OPTIONS)
def test_a_command_has_its_options_and_says_what_each_does(name: str):
    command = medback.commands[name]
    flags = {flag for p in command.params if isinstance(p, click.Option) for flag in (*p.opts, *p.secondary_opts)}
    flags |= set(command.get_help_option_names(click.Context(command)))
    wanted = set(f"{OPTIONS[name]} {COMMON}".split()) - {"-h"}
    assert wanted <= flags
    for option in command.params:
        assert not isinstance(option, click.Option) or option.help, option.opts
    assert command.help and command.get_short_help_str(59).endswith((".", "?")), "the list of commands shows it whole"
    assert medback.get_command(click.Context(medback), name.replace("-", "_")) is command


def test_the_seeds_other_names_are_known():
    assert medback.get_command(click.Context(medback), "backup-stats") is medback.commands["stats"]
    assert medback.get_command(click.Context(medback), "backup_stats") is medback.commands["stats"]


@pytest.mark.parametrize("words", [("-h",), ("--help",), ("stats", "-h"), ("add_restore_context", "--help")])
def test_help_is_an_answer(shelf: Shell, words: tuple[str, ...]):
    answer = shelf(*words)
    assert answer.code == 0 and answer.out.startswith("Usage: medback") and not answer.err


@pytest.mark.parametrize("words", [("--version",), ("plan", "--version"), ("--version", "--json")])
def test_the_version_is_an_answer(shelf: Shell, words: tuple[str, ...]):
    assert shelf(*words).out.startswith("medback ")


COUNT = {"files", "bytes"}
STEP = {"target", "label", "state", "files", "bytes", "remaining_files", "remaining_bytes"}
DRIVE = {"id", "label", "path", "state"}
SCANNED = {
    *("alias", "path", "files", "bytes", "directories", "hashed", "hashed_bytes", "reused", "added", "changed"),
    *("moved", "removed", "damaged"),
}
COPY = {"target", "label", "state", "standing", "path", "verified"}
# The command line -> its exit code and the keys that must be there, with those inside ("[]": in each of a list).
KEYS: dict[str, tuple[int, dict[str, set[str]]]] = {
    "update": (0, {"sources[]": SCANNED}),
    "add-src photos": (0, {"sources[]": SCANNED}),
    "target red --dry-run": (
        0,
        {
            "": {"copied", "copied_bytes", "already_there", "superseded", "remaining", "remaining_bytes"}
            | {"free_bytes", "reclaimable_bytes", "full"},
            "target": DRIVE,
        },
    ),
    "discover blue --dry-run": (
        0,
        {"": {"files", "matched", "matched_bytes", "newly_marked", "unknown"}, "target": DRIVE},
    ),
    "sources": (0, {"sources[]": {"alias", "path", "files", "bytes"}}),
    "targets": (0, {"targets[]": {*DRIVE, "files", "bytes", "last_seen", "last_verified"}}),
    "stats": (
        0,
        {
            "": {"files", "bytes"},
            "by_copies.0": COUNT,
            "below_wanted": COUNT,
            "directories[]": {"source", "path", "files", "bytes", "by_copies"},
        },
    ),
    "stats --unprotected": (0, {"unprotected[]": {"source", "path", "size", "copies"}}),
    "whereis photos/a.txt": (0, {"files[]": {"source", "path", "size", "md5"}, "files[].copies[]": COPY}),
    "whereis a.txt --source photos": (0, {"files[].copies[]": COPY}),
    "what-if blue": (0, {"lost": COUNT, "weakened": COUNT, "lost_files[]": {"source", "path", "size"}}),
    "what-if": (0, {"single[]": {"targets"}, "single[].lost": COUNT, "pairs[].lost": COUNT}),
    "write-restore ctx.xml": (0, {"": {"path", "sources", "directories", "files", "targets"}}),
    "plan --all": (0, {"": {"exact"}, "missing": COUNT, "unreachable": COUNT, "steps[]": STEP}),
    "restore-status": (0, {"": {"expected", "present", "missing", "missing_bytes", "differing", "next"}}),
    "restore-status --to elsewhere": (6, {"next": {"target", "label", "files", "bytes"}}),
    "restore red --to elsewhere --dry-run": (
        6,
        {
            "": {"restored", "restored_bytes", "already_right", "conflicts", "missing"},
            "target": DRIVE,
            "next": {"target", "label", "files", "bytes"},
        },
    ),
    "verify blue": (
        0,
        {"": {"checked", "checked_bytes", "same", "changed", "missing", "new", "damaged", "unreadable"}},
    ),
    "repair blue": (0, {"": {"repaired", "unrepairable"}}),
    "reclaim blue --old --dry-run": (0, {"": {"freed", "freed_bytes"}, "target": DRIVE}),
    "prove": (0, {"": {"compared", "differing"}}),
}


def at(found: object, path: str) -> list[dict]:
    """The objects at `a.b[].c`."""
    here = [found]
    for step in filter(None, path.replace("[]", ".[]").split(".")):
        here = [inner for each in here for inner in (each if step == "[]" else [each[step]])]  # type: ignore[union-attr,index]
    return here  # type: ignore[return-value]


@pytest.mark.parametrize("line", KEYS)
def test_the_json_of_a_command_has_its_keys(shelf: Shell, line: str):
    code, wanted = KEYS[line]
    answer = shelf(*line.split(), "--json")
    assert answer.code == code, answer.words
    assert answer.out.isascii() and answer.out.count("\n") == 1
    assert {"exit_code", "skipped", "excluded", "warnings"} <= answer.json.keys()
    for path, keys in wanted.items():
        found = at(answer.json, path)
        assert found and all(keys <= each.keys() for each in found), path


@pytest.mark.parametrize(
    "words",
    [
        ("--json", "sources"), ("sources", "--json"), ("-q", "--json", "sources"), ("sources", "-q", "--json", "-v"),
        ("--session-db", "session.db", "sources", "--json"), ("sources", "--json", "--session-db", "session.db"),
        ("--no-progress", "sources", "--json"), ("sources", "-y", "--json", "--no-progress"),
    ],
)  # fmt: skip
def test_common_options_stand_before_and_behind_a_command(shelf: Shell, words: tuple[str, ...]):
    assert [source["alias"] for source in shelf(*words).json["sources"]] == ["photos", "music"]


def test_the_session_db_of_the_option_outranks_the_variable(shelf: Shell, tmp_path: Path):
    other = str(tmp_path / "other.db")
    for words in (("--session-db", other, "sources", "--json"), ("sources", "--json", "--session-db", other)):
        assert shelf(*words).json["sources"] == []


# --- what is said, and where -----------------------------------------------------------------------------------------


def test_answers_go_to_standard_output_and_troubles_to_standard_error(shelf: Shell):
    answer = shelf("update", "photos")
    assert "photos: 4 files" in answer.out and "excluded" not in answer.out
    assert "1 entry excluded" in answer.err
    assert "pipe" in shelf("update", "photos", "-v").err
    answer = shelf("update", "photos", "-q")
    assert (answer.out, answer.err) == ("", "")
    answer = shelf("update", "photos", "--json")
    assert [entry["path"][-4:] for entry in answer.json["excluded"]] == ["pipe"]
    assert "excluded" in answer.err


def test_quiet_still_answers_what_was_asked(shelf: Shell):
    assert "Blue 1" in shelf("targets", "-q").out


def test_a_plan_begins_with_what_can_not_come_back(shelf: Shell):
    lines = shelf("plan", "--all", "--without", "Blue 1").out.splitlines()
    assert lines[0].startswith("CAN'T BE RESTORED") and "photos/" in lines[1]
    assert any("to bring back" in line for line in lines[2:])
    assert "CAN'T" not in shelf("plan", "--all").out


def test_the_next_command_says_all_that_was_asked_for(shelf: Shell):
    answer = shelf("restore-status", "--to", "else where", "--source", "photos")
    assert "`medback restore 'Blue 1' --source photos --to 'else where'`" in answer.out
    assert "`medback restore 'Blue 1' --to elsewhere`" in shelf("plan", "--to", "elsewhere").out


def test_a_drive_is_named_by_id_label_or_directory(shelf: Shell):
    ids = [target["id"] for target in shelf.json("targets")[1]["targets"]]
    found = [shelf.json("what-if", word)[1]["lost"] for word in ("Blue 1", ids[0], "blue", str(shelf.where / "blue"))]
    assert len({json.dumps(each) for each in found}) == 1


def test_sizes_mean_what_the_help_says(shelf: Shell):
    for word, size in (
        ("600", 600), ("1k", 1024), ("0.5K", 512), ("1kB", 1000), ("1KiB", 1024), ("2M", 2 << 20), ("2MB", 2_000_000),
        ("1.5GiB", 3 << 29), ("1T", 1 << 40),
    ):  # fmt: skip
        assert shelf.json("set-target", "red", "--capacity", word)[1]["target"]["capacity"] == size
    whole = os.statvfs(shelf.where).f_blocks * os.statvfs(shelf.where).f_frsize
    assert shelf.json("set-target", "red", "--capacity", "10%")[1]["target"]["capacity"] == whole // 10


# --- what is counted -------------------------------------------------------------------------------------------------


def test_paths_and_contents_are_counted_apart(tmp_path: Path):
    write_tree(tmp_path / "photos", {"a": b"same", "b": b"same", "c": b"other"})
    write_tree(tmp_path / "photos/sub", {".medorg.xml": b"<dr/>", ".bkp_id": b"x" * 36, "d": b"same"})
    write_tree(tmp_path / "more/photos", {"a": b"same"})
    os.symlink("a", tmp_path / "photos/link")
    (tmp_path / "blue").mkdir()
    shell = Shell(tmp_path)
    _, found = shell.json("add-src", "photos")
    assert (found["sources"][0]["files"], found["sources"][0]["links"]) == (4, 1)
    _, found = shell.json("add-src", "more/photos", "--copies", "1")
    assert found["sources"][0]["alias"] == "photos-2"
    code, found = shell.json("target", "blue", "--init")
    assert (code, found["copied"], found["copied_bytes"]) == (6, 2, 9)
    assert (found["remaining"], found["remaining_bytes"], found["already_there"]) == (2, 9, 0)
    assert shell.json("target", "blue")[1]["already_there"] == 2
    assert shell.json("targets")[1]["targets"][0]["files"] == 2
    assert shell.json("stats")[1]["files"] == 5
    assert shell.json("write-restore", "ctx.xml")[1]["files"] == 5
    shutil.rmtree(tmp_path / "photos")
    code, found = shell.json("restore-status")
    assert (code, found["expected"], found["present"], found["missing"]) == (6, 5, 1, 4)
    code, found = shell.json("restore", "blue")
    assert (code, found["restored"], found["links"], found["already_right"]) == (0, 4, 1, 1)
