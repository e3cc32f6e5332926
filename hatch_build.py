"""Puts the manual pages, made from the commands as they are, into the wheel."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class ManualPages(BuildHookInterface):
    """Called by hatchling for each wheel; an editable one has none."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        if version == "editable":
            return
        sys.path.insert(0, str(Path(self.root) / "core"))
        from medback_core.cli.manual import pages

        folder = Path(self.root) / ".build" / "man"
        folder.mkdir(parents=True, exist_ok=True)
        for name, page in pages().items():
            (folder / name).write_text(page, "utf-8")
            build_data["shared_data"][str(folder / name)] = f"share/man/man1/{name}"
