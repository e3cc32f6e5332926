"""Choose where to back up to: mounted drives first, removable ones before all others, then any directory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from medback_core.disk import Mount
from medback_core.model import Target
from medback_core.presenting.units import name, size
from medback_tui.look.keys import shown
from medback_tui.reading.drives import Drives
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.coverage_bar import room_bar
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog

COLUMNS = (
    Column("where", "mounted drive", 0, middle=True),
    Column("kind", "type", 7, rank=1),
    Column("room", "used", 6),
    Column("free", "free", 8, right=True),
    Column("known", "known as", 16),
)


@dataclass(frozen=True, slots=True)
class TargetPlace:
    """A mount that may become (or is) a target; without one, the line that asks for any directory."""

    mount: Mount | None
    target: Target | None = None


class PickTarget(Dialog[bytes]):
    """Returns the path of a drive, b"" for “another directory”, None for Esc."""

    DEFAULT_CLASSES = "-large"
    AUTO_FOCUS = "RowList"
    keys = (("pick-target.open", "choose"), ("dialog.back", "back"))
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter,right,l", "open", "pick-target.open", "choose", "Choose the drive under the cursor"),
    ]

    def __init__(self, *, first: bool = False) -> None:
        super().__init__()
        self.first = first
        self.title = "On which drive shall your files be kept safe?" if first else "Choose a drive"
        self._shown: Drives | None = None

    def compose_box(self) -> ComposeResult:
        words = "Mounted drives, removable ones first. Yours is not there? Mount it, and it appears."
        if self.first:
            words += " You can choose more of them later: two copies on two drives are safe."
        yield Static(Content(words), classes="label")
        yield RowList[TargetPlace](COLUMNS, self._draw, lambda place: place.mount and place.mount.path, id="places")

    def _draw(self, place: TargetPlace) -> list[Cell]:
        mount = place.mount
        if mount is None:
            looking = "" if self.app.drives.looked else "   looking for drives …"
            return [[("another directory …", "accent"), (looking, "dim")], "", "", "", ""]
        note = "read-only" if mount.read_only else name(place.target.name) if place.target else "new"
        return [
            name(mount.path), [(mount.kind, "dim")], room_bar(mount.total - mount.free, mount.total, 6),
            size(mount.free),
            [(note, "below" if mount.read_only else "safe" if place.target else "dim")],
        ]  # fmt: skip

    def on_mount(self) -> None:
        self._show()
        self.set_interval(0.5, self._show)  # a drive that is mounted meanwhile appears

    def _show(self) -> None:
        drives, facts = self.app.drives, self.app.facts
        if drives == self._shown:
            return
        were = self._shown.mounts if self._shown is not None else ()
        self._shown = drives
        here = {path: row.target for known, path in drives.here.items() if facts and (row := facts.target(known))}
        places = [TargetPlace(mount, here.get(mount.path)) for mount in drives.mounts] + [TargetPlace(None)]
        rows = self.query_one(RowList)
        rows.show_rows(places)
        if not were:  # the first drive that is new, not the line that was alone
            takes = [place.target is None and place.mount is not None and not place.mount.read_only for place in places]
            rows.cursor = takes.index(True) if True in takes else 0

    @on(LineList.Opened)
    def action_open(self) -> None:
        place = self.query_one(RowList).current
        if place is not None:
            self.dismiss(place.mount.path if place.mount is not None else b"")
