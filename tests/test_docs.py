"""What the documentation names is there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_every_test_named_in_the_reliability_page_exists():
    page = (ROOT / "docs/reliability.md").read_text()
    modules = {path.name: path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}
    named = re.findall(r"(test_\w+\.py)::(test_\w+)", page)
    missing = [f"{module}::{test}" for module, test in named if f"def {test}(" not in modules.get(module, "")]
    missing += [module for module in re.findall(r"test_\w+\.py", page) if module not in modules]
    assert named
    assert missing == []
