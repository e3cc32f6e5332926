"""Somebody with docs/format.md, the drives and Python, and no medback: what the page says does it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from old_versions.make import LINKS
from old_versions.test_old_versions import EVERY, World
from support.worlds import files_below

PAGE = (Path(__file__).parents[2] / "docs" / "format.md").read_text()


def script(begins: str) -> str:
    return next(found for found in re.findall(r"```(?:python)?\n(.*?)```", PAGE, re.DOTALL) if found.startswith(begins))


@pytest.fixture(params=EVERY)
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return World(request.param, tmp_path)


def test_the_program_on_the_page_brings_everything_back(world: World) -> None:
    program = world.where / "back.py"
    program.write_text(script("import base64"))
    for drive in ("red", "blue"):  # one after the other
        answer = subprocess.run(
            [sys.executable, program, "mnt/blue/.medback-context.xml", "back", f"mnt/{drive}"],
            cwd=world.where,
            capture_output=True,
            check=True,
        )
    assert answer.stdout == b""
    back = world.where / "back"
    assert files_below(back) == world.everything()
    for path in world.everything():
        there, was = os.stat(os.fsencode(back) + b"/" + path), os.stat(os.fsencode(world.where / "house") + b"/" + path)
        assert (there.st_mtime_ns, there.st_mode) == (was.st_mtime_ns, was.st_mode)
    photos = os.fsencode(back / "photos")
    assert {name: os.readlink(os.path.join(photos, name)) for name in LINKS} == LINKS
    assert (back / "photos/empty").is_dir()


def test_the_checks_can_be_made_with_the_page_alone(world: World) -> None:
    command = script("python3 -c").replace("python3", sys.executable, 1)
    files = [*world.where.rglob(".medback.xml"), *world.where.rglob(".medback-[st]*.xml")]
    assert len(files) > 10
    whole = [file.read_bytes() for file in files]
    spoilt = []
    for data in whole:
        name = re.search(rb'(name|alias|label)="([a-z])', data, re.IGNORECASE)
        if name is not None:
            spoilt.append(data[: name.start(2)] + b"Q" + data[name.end(2) :])

    def said(data: list[bytes]) -> bytes:
        return subprocess.run(command, shell=True, input=b"\n".join(data), capture_output=True, check=True).stdout

    told = said(whole)
    assert told.count(b"right") == b"".join(whole).count(b'crc="') and b"WRONG" not in told
    assert len(spoilt) > 5 and said(spoilt).count(b"WRONG") == len(spoilt)


def test_the_example_of_the_check_is_right() -> None:
    section = PAGE[PAGE.index("### The check") : PAGE.index("## The sidecar")]
    bare, checked = re.findall(r"^<file .*</file>$", section, re.MULTILINE)
    assert re.sub(r' crc="[0-9a-f]{8}"', "", checked) == bare
    command = script("python3 -c").replace("python3", sys.executable, 1)
    told = subprocess.run(command, shell=True, input=checked.encode(), capture_output=True, check=True)
    assert told.stdout.startswith(b"right")
