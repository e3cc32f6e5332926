"""The manual pages: one for each command, with each of its options, and no formatter complains."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import click
import pytest

from medback_core.cli import medback
from medback_core.cli.manual import _escaped, _inline, pages


@pytest.fixture
def written(tmp_path: Path) -> list[Path]:
    for name, page in pages().items():
        (tmp_path / name).write_text(page)
    return sorted(tmp_path.iterdir())


def test_there_is_a_page_for_each_command_with_each_of_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "0")
    found = pages()
    assert found.keys() == {"medback.1", *(f"medback-{name}.1" for name in medback.commands)}
    common = {param.name for param in medback.params}
    for name, command in [("", medback), *medback.commands.items()]:
        page = found[f"medback-{name}.1" if name else "medback.1"].replace("\\-", "-")
        assert '"1970-01-01"' in page
        for param in command.params:
            if isinstance(param, click.Option) and (command is medback or param.name not in common):
                assert param.opts[0] in page, (name, param.opts)
    assert all(f"medback-{name} (1)" in found["medback.1"].replace("\\-", "-") for name in medback.commands)


def test_words_are_never_requests() -> None:
    assert _escaped(".so /etc/passwd") == "\\&.so /etc/passwd"
    assert _inline("a \\ b `--x`") == "a \\e b \\fB\\-\\-x\\fP"
    assert not [line for line in _inline("word " * 15 + ".TH " * 15).splitlines() if line.startswith(".")]


def test_man_has_nothing_to_warn_of(written: list[Path]) -> None:
    if shutil.which("man") is None or shutil.which("groff") is None:
        pytest.skip("man and groff are not installed")
    command = ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", *map(str, written)]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stderr == ""


def test_mandoc_has_nothing_to_warn_of(written: list[Path]) -> None:
    if shutil.which("mandoc") is None:
        pytest.skip("mandoc is not installed")
    ran = subprocess.run(
        ["mandoc", "-T", "lint", "-W", "warning", *written], capture_output=True, text=True, check=False
    )
    assert ran.stdout == "" and ran.returncode == 0
