"""docs/keys.md names every key of the four screens, with the id by which the settings file changes it."""

from __future__ import annotations

from pathlib import Path

from textual.binding import Binding

from medback_tui.app import MedbackApp
from medback_tui.look.keys import KEYS, SENTENCES

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
PARTS = {
    "go": "Screens", "app": "Everywhere", "job": "Jobs", "list": "In a list", "sources": "Sources",
    "targets": "Targets", "shelf": "The shelf", "timeline": "The timeline", "coverage": "Coverage",
    "map": "The map", "restore": "Restore", "find": "Search", "deleted": "Deleted files",
}  # fmt: skip


def table(part: str) -> str:
    """The lines of one table, as they are to stand in the page."""
    app = MedbackApp(watch=False)
    lines = ["| key | | id |", "|---|---|---|"]
    for id, keys in KEYS.items():
        if id.partition(".")[0] == part:
            shown = " ".join(f"`{app.get_key_display(Binding(key, ''))}`" for key in keys.split(","))
            lines.append(f"| {shown} | {SENTENCES[id]} | `{id}` |")
    return "\n".join(lines)


def test_the_page_of_keys_is_up_to_date() -> None:
    page = PAGE.read_text()
    for part, title in PARTS.items():
        wanted = f"## {title}\n{table(part)}\n"
        assert wanted in page, f"docs/keys.md wants:\n\n{wanted}"
