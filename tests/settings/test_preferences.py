"""The settings file: what it says holds, what is wrong in it is named, and without it all is as ever."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.shell import Shell
from support.worlds import photos

from medback_core.presenting.refusals import message
from medback_core.errors import Refused
from medback_core.model import OnPlug
from medback_core.settings.preferences import EXAMPLE, Preferences, read_preferences
from medback_core.settings.sizes import Size


def test_without_a_file_all_is_as_ever(tmp_path: Path) -> None:
    assert read_preferences(tmp_path / "none") == Preferences()


def test_the_example_says_what_holds_without_it(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(EXAMPLE)
    assert read_preferences(file) == Preferences()
    lines = [line.removeprefix("# ") for line in EXAMPLE.splitlines() if "=" in line and '"B"' not in line][1:]
    file.write_text("\n".join(lines))
    found = read_preferences(file)
    assert (found.copies, found.on_plug, found.theme) == (2, OnPlug.NOTHING, "medback-dark")


def test_what_it_says_holds(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_text('session = "/x/y"\ncopies = 3\nreserve = "5%"\non_plug = "backup"\n[keys]\nback-up = "B"\n')
    found = read_preferences(file)
    assert (found.session, found.copies, found.reserve) == ("/x/y", 3, Size(5.0, of_drive=True))
    assert (found.on_plug, found.keys) == (OnPlug.BACKUP, {"back-up": "B"})
    assert found.given == {"session", "copies", "reserve", "on_plug", "keys"}


@pytest.mark.parametrize("text", [
    "a = " + "[" * 3000 + "]" * 3000, "copies = " + "9" * 5000, "\udcff = 1",
    "copies = 0", "copies = true", 'copies = "2"', 'reserve = "much"', 'on_plug = "format"', "keys = 3", "sesion = 'x'",
    "session = ''", "not toml", "[keys]\na = 3", 'theme = "a\\u0000b"',
])  # fmt: skip
def test_what_is_wrong_is_refused_and_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(Refused) as refused:
        read_preferences(file)
    assert message(refused.value).count("settings.toml") == 1


def test_the_command_shows_each_value_and_where_it_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text(f'session = "{tmp_path}/session.db"\ncopies = 3\n')
    monkeypatch.setenv("MEDBACK_SETTINGS", str(file))
    with photos(tmp_path, {"a": b"a"}):
        pass
    shell = Shell(tmp_path)
    monkeypatch.delenv("MEDBACK_SESSION_DB", raising=False)
    code, found = shell.json("config")
    assert code == 0
    assert found["values"]["copies"] == {"value": 3, "from": "file"}
    assert found["values"]["on_plug"]["from"] == "default"


def test_a_pipe_is_refused_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "settings.toml")
    monkeypatch.setenv("MEDBACK_SETTINGS", str(tmp_path / "settings.toml"))
    answer = Shell(tmp_path)("config")
    assert answer.code == 4 and "is not a regular file" in answer.err
    monkeypatch.setenv("MEDBACK_SETTINGS", os.devnull)
    assert Shell(tmp_path)("config").code == 0


def test_a_home_that_is_no_persons_is_a_path_like_any_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell = Shell(tmp_path)
    assert "there is no directory" in shell("stats", "--session-db", "~no.such.person/db").err
    monkeypatch.setenv("MEDBACK_SETTINGS", "~no.such.person/settings.toml")
    assert shell("config").code == 0


def test_what_an_editor_puts_before_the_text_is_no_error(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    file.write_bytes(b"\xef\xbb\xbfcopies = 3\r\n")
    assert read_preferences(file).copies == 3


def test_a_dot_in_a_key_means_the_same_with_and_without_quotes(tmp_path: Path) -> None:
    file = tmp_path / "settings.toml"
    for text in (
        '[keys]\n"app.find" = "f2, ctrl+o"',
        '[keys]\napp.find = "f2,ctrl+o"',
        '[keys.app]\nfind = "f2,ctrl+o"',
    ):
        file.write_text(text)
        assert read_preferences(file).keys == {"app.find": "f2,ctrl+o"}


def test_names_and_keys_the_app_does_not_know_are_told_with_those_it_knows(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "settings.toml"
    monkeypatch.setenv("MEDBACK_SETTINGS", str(file))
    file.write_text('theme = "medback-drak"\n[keys]\n"targets.backup" = "B"\n"app.find" = "f2,hyperspace"\nzz = "Z"\n')
    answer = Shell(tmp_path)("config")
    assert answer.code == 0
    for words in ("medback-drak", "medback-dark", "targets.backup", "targets.back-up", "hyperspace", "zz"):
        assert words in answer.err, words
    assert "f2" not in answer.err.replace("Keys are called B, f2,", "")
    file.write_text('theme = "medback-light"\n[keys]\n"targets.back-up" = "B,ctrl+t,?,question_mark,shift+f2,enter"\n')
    assert Shell(tmp_path)("config").err == ""
    listed = Shell(tmp_path).json("config", "--keys")[1]["keys"]
    assert listed["targets.back-up"] == "b,enter" and {"app.find", "find.mark", "list.sort"} <= set(listed)
    assert "Copy onto it what is not safe" in Shell(tmp_path)("config", "--keys").out


def test_a_source_that_is_new_wants_as_many_copies_as_the_file_says(tmp_path: Path, monkeypatch) -> None:
    file = tmp_path / "settings.toml"
    file.write_text("copies = 3\n")
    monkeypatch.setenv("MEDBACK_SETTINGS", str(file))
    (tmp_path / "photos").mkdir()
    shell = Shell(tmp_path)
    assert shell("add-src", "photos").code == 0
    assert shell.json("sources")[1]["sources"][0]["copies"] == 3
    assert shell("set-source", "photos", "--copies", "1").code == 0
    assert shell("add-src", "photos").code == 0  # known: it stays as it was set
    assert shell.json("sources")[1]["sources"][0]["copies"] == 1
