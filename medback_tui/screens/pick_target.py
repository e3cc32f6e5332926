"""Choose where to back up to: mounted drives first, then any directory; and what making a new target means."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.message import Message
from textual.widgets import Button, Input, Static

from medback_core import disk
from medback_core.disk import FileSystem, Mount
from medback_core.model import Target
from medback_tui.keys import shown
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.coverage_bar import room_bar
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList
from medback_tui.words import name, size

from .dialogs import Dialog

COLUMNS = (
    Column("where", "mounted drive", 0, middle=True),
    Column("kind", "type", 7, from_width=66),
    Column("room", "used", 6),
    Column("free", "free", 8, right=True),
    Column("known", "known as", 16),
)


@dataclass(frozen=True, slots=True)
class Place:
    """A mount that may become (or is) a target; without one, the line that asks for any directory."""

    mount: Mount | None
    target: Target | None = None


class PickTarget(Dialog[bytes]):
    """Returns the path of a drive, b"" for “another directory”, None for Esc."""

    AUTO_FOCUS = "RowList"
    BINDINGS: ClassVar[list[BindingType]] = [
        shown("enter,right,l", "open", "pick-target.open", "choose", "Choose the drive under the cursor"),
    ]

    def __init__(self, mounts: tuple[Mount, ...], here: dict[bytes, Target]) -> None:
        super().__init__(classes="-large")
        self.places = [Place(mount, here.get(mount.path)) for mount in mounts] + [Place(None)]

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content("Choose a drive")
            words = "Mounted drives, removable ones first. Yours is not there? Mount it, and it appears."
            yield Static(Content(words), classes="label")
            yield RowList[Place](COLUMNS, self._draw, lambda place: place.mount, id="places")
            yield Static(Content("enter choose · esc back"), classes="keys")

    def _draw(self, place: Place) -> list[Cell]:
        mount = place.mount
        if mount is None:
            return [[("another directory …", "accent")], "", "", "", ""]
        note = "read-only" if mount.read_only else name(place.target.name) if place.target else "new"
        return [
            name(mount.path), [(mount.kind, "dim")], room_bar(mount.total - mount.free, mount.total, 6),
            size(mount.free),
            [(note, "below" if mount.read_only else "safe" if place.target else "dim")],
        ]  # fmt: skip

    def on_mount(self) -> None:
        self.query_one(RowList).show_rows(self.places)

    @on(LineList.Opened)
    def action_open(self) -> None:
        """Choose the line under the cursor."""
        place = self.query_one(RowList).current
        if place is not None:
            self.dismiss(place.mount.path if place.mount is not None else b"")


@dataclass(frozen=True, slots=True)
class NewTarget:
    """What a person decided about a new target."""

    path: bytes
    label: str
    capacity: int | None


@dataclass
class Described(Message):
    """The file system of the new target was looked at."""

    filesystem: FileSystem | None
    shared: str | None
    problem: str


class MakeTarget(Dialog[NewTarget]):
    """Making a new target is a step of its own: path, file system, room, and whether it shares a disk with a source."""

    BINDINGS: ClassVar[list[BindingType]] = []
    facts = getters.query_one("#words", Static)
    problem = getters.query_one("#problem", Static)

    def __init__(self, path: bytes) -> None:
        super().__init__()
        self.path = path

    def compose(self) -> ComposeResult:
        with Vertical(id="box") as box:
            box.border_title = Content("Make it a target?")
            yield Static(Content(f"{name(self.path)}\nlooking at it …"), id="words")
            yield Static(Content("Label: what you call this drive, best written on it too"), classes="label")
            yield Input(name(os.path.basename(self.path)), id="label", select_on_focus=True)
            yield Static(Content("At most this much of it for medback (empty: all; 500G, 2TiB, 80%)"), classes="label")
            yield Input("", id="capacity", placeholder="all of it")
            yield Static(id="problem")
            with Horizontal(id="answers"):
                yield Button(Content("No"), id="no", compact=True)
                yield Button(Content("Make it a target"), id="yes", variant="primary", compact=True)

    def on_mount(self) -> None:
        self.query_one("#label", Input).focus()
        self._describe()

    @work(thread=True, exit_on_error=False)
    def _describe(self) -> None:
        try:
            filesystem, problem = disk.describe(self.path), ""
        except OSError as error:
            self.post_message(Described(None, None, f"{name(self.path)}: {error.strerror}"))
            return

        from medback_core import targets

        shared = self.app.in_session(lambda session: targets.shares_disk(session, filesystem))
        self.post_message(Described(filesystem, shared, problem))

    @on(Described)
    def described(self, message: Described) -> None:
        found = message.filesystem
        if found is None:
            self.problem.update(Content(message.problem))
            return
        lines = [
            Content.styled(name(self.path), "bold"),
            Content(
                f"{found.kind}, mounted at {name(found.mount_point)}: {size(found.total)}, {size(found.free)} free"
            ),
        ]
        if found.read_only:
            lines.append(Content.styled("it is mounted read-only: nothing can be copied there", "$text-error"))
        if message.shared is not None:
            words = f"it is on the same disk as the source {name(message.shared)}: no protection if that disk dies"
            lines.append(Content.styled(words, "$text-warning"))
        if found.max_file is not None:
            lines.append(Content.styled("files of 4 GiB and more do not fit on this file system", "$text-warning"))
        self.facts.update(Content("\n").join(lines))

    @on(Input.Submitted)
    def next_field(self, event: Input.Submitted) -> None:
        (self.query_one("#capacity") if event.input.id == "label" else self.query_one("#yes")).focus()

    @on(Button.Pressed, "#no")
    def refused(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#yes")
    def accepted(self) -> None:
        label = self.query_one("#label", Input).value.strip()
        try:
            capacity = parse_capacity(self.query_one("#capacity", Input).value, self.path)
        except ValueError as error:
            self.problem.update(Content(str(error)))
            return
        self.dismiss(NewTarget(self.path, label or name(os.path.basename(self.path)), capacity))


UNITS = {
    "": 1,
    "k": 10**3,
    "m": 10**6,
    "g": 10**9,
    "t": 10**12,
    "ki": 1 << 10,
    "mi": 1 << 20,
    "gi": 1 << 30,
    "ti": 1 << 40,
}


def parse_capacity(text: str, path: bytes) -> int | None:
    """`500G`, `2TiB`, `80%` (of the drive at `path`) in bytes, None for nothing. Raises ValueError with the way out."""
    word = text.strip().replace(" ", "").lower()
    if not word:
        return None
    digits = word.rstrip("abcdefghijklmnopqrstuvwxyz%")
    unit = word[len(digits) :]
    try:
        value = float(digits)
    except ValueError:
        raise ValueError(f"“{name(text)}” is no size; write 500G, 2TiB or 80%") from None
    if unit == "%":
        return int(disk.describe(path).total * value / 100)
    factor = UNITS.get(unit.removesuffix("b"))
    if factor is None or value <= 0:
        raise ValueError(f"“{name(text)}” is no size; write 500G, 2TiB or 80%")
    return int(value * factor)
