"""systemd user units: what they say, that systemd takes them, and that nothing of anybody else is touched."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from support.shell import Shell

from medback_core.settings.systemd import STARTED, units


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home with an odd name, and a systemctl that says what it was told."""
    home = tmp_path / "a home 100%"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text(f"#!/bin/sh\necho \"$@\" >> '{tmp_path}/told'\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return home


def test_units_are_shown_asked_installed_and_removed(tmp_path: Path, home: Path) -> None:
    shell, where = Shell(tmp_path), home / "systemd/user"
    answer = shell("service", "install")
    assert answer.code == 4 and "start them?" in answer.err, "nobody said yes"
    assert "ExecStart=" in answer.out and not home.exists()
    assert shell("service", "install", "-y").code == 0
    assert {path.name for path in where.iterdir()} == {unit.path.name for unit in units()}
    assert (tmp_path / "told").read_text().splitlines() == [
        "--user daemon-reload",
        f"--user enable --now {' '.join(STARTED)}",
    ]
    code, found = shell.json("service", "show")
    assert code == 0 and {unit["state"] for unit in found["units"]} == {"installed"}
    (where / "medback-update.timer").write_text("# Written by medback service install, long ago\n")
    assert shell("service", "install", "-y").code == 0, "an older one of ours is replaced"
    (where / "other.service").write_text("[Service]\n")
    assert shell("service", "remove").code == 4
    assert len(list(where.iterdir())) == 6
    assert shell("service", "remove", "-y").code == 0
    assert [path.name for path in where.iterdir()] == ["other.service"]
    assert "no unit of medback's" in shell("service", "remove", "-y").out


@pytest.mark.parametrize("script", [None, "echo no bus >&2; exit 1"])
def test_where_systemd_can_not_start_them_that_is_no_success(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch, script: str | None
) -> None:
    (tmp_path / "bin/systemctl").unlink()
    if script is not None:
        (tmp_path / "bin/systemctl").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "bin/systemctl").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    answer = Shell(tmp_path)("service", "install", "-y")
    assert answer.code == 3 and "nothing is started" in answer.err and "cron runs" in answer.err
    assert len(list((home / "systemd/user").iterdir())) == len(units())


def test_a_unit_of_another_origin_is_never_touched(tmp_path: Path, home: Path) -> None:
    shell, where = Shell(tmp_path), home / "systemd/user"
    where.mkdir(parents=True)
    mine = where / "medback-verify.timer"
    mine.write_text("[Timer]\nOnCalendar=weekly\n")
    assert shell("service", "install", "-y").code == 4
    assert [path.name for path in where.iterdir()] == [mine.name], "and none is written"
    assert shell("service", "remove", "-y").code == 0
    assert mine.read_text() == "[Timer]\nOnCalendar=weekly\n"


def test_a_unit_starts_this_medback_on_this_session_by_these_settings(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "my settings.toml"
    settings.write_text("")
    monkeypatch.setenv("MEDBACK_SETTINGS", str(settings))
    found = Shell(tmp_path).json("service", "show")[1]["units"]
    text = next(unit["text"] for unit in found if unit["path"].endswith("medback-watch.service"))
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    program = line.removeprefix("ExecStart=").split()[0]
    assert os.path.isabs(program) and os.access(program, os.X_OK) and program.endswith("/medback")
    assert f"--session-db {tmp_path / 'session.db'}" in line
    assert f'Environment="MEDBACK_SETTINGS={settings}"' in text


def test_systemd_takes_the_units(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    odd = tmp_path / 'se ss"ion $HOME %h \\x'
    assert Shell(tmp_path)("--session-db", str(odd), "service", "install", "-y").code == 0
    files = sorted((home / "systemd/user").glob("medback-*"))
    command = ["systemd-analyze", "--user", "verify", *files]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0 and "medback" not in ran.stderr, ran.stderr
    broken = files[0].with_name("broken.service")
    broken.write_text("[Service]\nExecStart=medback-nowhere\nTipe=x\n")
    ran = subprocess.run([*command, broken], capture_output=True, text=True, check=False)
    assert "broken" in ran.stderr, "it does look at them"
