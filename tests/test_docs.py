"""What the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from medback_core.sidecar.checks import ATTRIBUTES, LATER

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("page", ["keys", "reliability", "security"])
def test_every_test_named_in_a_page_exists(page: str) -> None:
    page = (ROOT / f"docs/{page}.md").read_text()
    modules: dict[str, str] = {}
    for path in (ROOT / "tests").rglob("test_*.py"):  # two rooms may have a file of one name
        modules[path.name] = modules.get(path.name, "") + path.read_text()
    named = re.findall(r"(test_\w+\.py)::(test_\w+)", page)
    missing = [f"{module}::{test}" for module, test in named if f"def {test}(" not in modules.get(module, "")]
    missing += [module for module in re.findall(r"test_\w+\.py", page) if module not in modules]
    alone = re.findall(r"`(test_\w+)`", page)
    missing += [test for test in alone if not any(f"def {test}(" in module for module in modules.values())]
    assert named or alone
    assert missing == []


def test_the_page_of_formats_names_every_attribute_in_the_order_of_the_check() -> None:
    page = (ROOT / "docs" / "format.md").read_text()
    table = re.findall(r"^\| (`\w+`(?:, `\w+`)?) \|", page, re.MULTILINE)
    assert tuple(re.findall(r"\w+", " ".join(table))) == (*ATTRIBUTES["file"], *LATER, "crc")
    assert tuple(sorted(LATER)) == LATER
    for element, order in ATTRIBUTES.items():
        for shape in re.findall(rf"<{element} ([\w? ]+)/>", page.replace("\n", " ")):
            names = re.findall(r"\w+", shape)
            assert names == [name for name in order if name in names], f"<{element} {shape}/>"


def test_the_page_of_the_design_has_a_place_for_every_room() -> None:
    page = (ROOT / "docs" / "design.md").read_text()
    listed = set(re.findall(r"`(\w+)`", page[page.index("## The rooms") : page.index("Each long operation")]))
    core = ROOT / "core" / "medback_core"
    there = {path.stem for path in core.iterdir() if path.stem[0] != "_" and path.name != "py.typed"}
    assert there - listed == set()
    formats = {"session", "sidecar", "context", "manifests", "disk", "cli"}
    inside = {path.stem for room in there - formats for path in (core / room).glob("*.py") if path.stem[0] != "_"}
    assert inside - listed == set()
