"""Making a new target, a step of its own: what the drive is, what it would take, what to call it, how much to use."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar, Literal

from textual import getters, on, work
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal
from textual.content import Content
from textual.widgets import Button, Input, Static

from medback_core import disk
from medback_core.disk import FileSystem
from medback_core.drives.room import Room, Space, default_reserve, room_of
from medback_core.model import Count, Target
from medback_core.presenting.units import counted, name, size
from medback_core.session import Session
from medback_core.session.candidates import below_wanted, known_extent
from medback_core.session.targets import counting_keys
from medback_tui.look.keys import shown
from medback_tui.look.sizes import not_a_size, typed_size
from medback_tui.reading.facts import unsafe_with

from .dialogs import Dialog
from .form import bad_label

ALWAYS_THERE = {b"lost+found", b"System Volume Information", b".Trashes", b".fseventsd"}  # on an empty drive
UNKNOWN_KEY = -1  # of a target that has no row yet


@dataclass(frozen=True, slots=True)
class NewTarget:
    """What a person decided: what to call it, how much of it to use, and whether to copy or first to recognise."""

    label: str
    capacity: int | None
    then: Literal["copy", "discover"]


@dataclass(frozen=True, slots=True)
class Prospect:
    """What a new target would mean. `lacking`: contents that lack a copy; `unsafe`: files that would still lack one;
    `room`: for content, and `directories`: those of all sources."""

    filesystem: FileSystem
    empty: bool
    shared: str | None  # the alias of a source on the same disk
    lacking: Count
    unsafe: Count
    room: Room
    directories: int


class MakeTarget(Dialog[NewTarget]):
    """Returns what was decided, None for no."""

    BINDINGS: ClassVar[list[BindingType]] = [
        shown("ctrl+s", "make", "make-target.make", "copy", "Make it a target and copy onto it"),
    ]

    TITLE = "Make it a target?"
    keys = ("enter next", ("make-target.make", "copy onto it"), ("dialog.back", "back"))
    facts = getters.query_one("#words", Static)
    problem = getters.query_one("#problem", Static)

    def __init__(self, path: bytes) -> None:
        super().__init__()
        self.path = path
        self.total: int | None = None  # bytes, once it was looked at

    def compose_box(self) -> ComposeResult:
        yield Static(Content(f"{name(self.path)}\nlooking at it …"), id="words")
        yield Static("Label: what you call this drive, best written on it too", classes="label")
        yield Input(name(os.path.basename(self.path)), id="label", select_on_focus=True)
        yield Static("At most this much of it for medback (empty: all; 500G, 2TiB, 80%)", classes="label")
        yield Input("", id="capacity", placeholder="all of it")
        yield Static(id="problem")
        with Horizontal(id="answers"):
            yield Button("No", id="no", compact=True)
            yield Button("Recognise what lies there", id="discover", compact=True)
            yield Button("Copy onto it", id="copy", variant="primary", compact=True)

    def on_mount(self) -> None:
        self.query_one("#label", Input).focus()
        self.query_one("#discover").display = False
        self._describe()

    @work(thread=True, exit_on_error=False, group="pick")
    def _describe(self) -> None:
        try:
            filesystem = disk.describe(self.path)
            empty = set(os.listdir(self.path)) <= ALWAYS_THERE
        except OSError as error:
            self.call_later(self.problem.update, Content(f"{name(self.path)}: {error.strerror}"))
            return

        from medback_core.drives.open import shares_disk

        space = Space(filesystem.total, filesystem.free, filesystem.max_file)

        def look(session: Session) -> Prospect:
            lacking, _ = below_wanted(session, counting_keys(session))
            unsafe = unsafe_with(session, UNKNOWN_KEY)
            known = known_extent(session)
            room = room_of(session, Target(UNKNOWN_KEY, "", ""), space, known=known)
            shared = shares_disk(session, filesystem)
            return Prospect(filesystem, empty, shared, lacking, unsafe, room, known.directories)

        nothing = Room(filesystem.free, None, space.block, filesystem.max_file)
        prospect = self.app.in_session(look) or Prospect(filesystem, empty, None, Count(), Count(), nothing, 0)
        self.call_later(self._described, prospect)

    def _described(self, prospect: Prospect) -> None:
        self.total = prospect.filesystem.total
        self.facts.update(prospect_words(self.path, prospect))
        self.query_one("#discover").display = not prospect.empty

    @on(Input.Submitted)
    def next_field(self, event: Input.Submitted) -> None:
        (self.query_one("#capacity") if event.input.id == "label" else self.query_one("#copy")).focus()

    @on(Button.Pressed)
    def answered(self, event: Button.Pressed) -> None:
        if event.button.id == "no":
            self.dismiss(None)
        else:
            self._make("discover" if event.button.id == "discover" else "copy")

    def action_make(self) -> None:
        self._make("copy")

    def _make(self, then: Literal["copy", "discover"]) -> None:
        label = self.query_one("#label", Input).value.strip() or name(os.path.basename(self.path))
        if problem := bad_label(label):
            self.problem.update(Content(problem))
            return
        typed = self.query_one("#capacity", Input).value
        capacity = typed_size(typed, self.total)
        if typed.strip() and not capacity:
            self.problem.update(Content(not_a_size(typed)))
            return
        self.dismiss(NewTarget(label, capacity, then))


def prospect_words(path: bytes, prospect: Prospect) -> Content:
    """What the drive is, what could be wrong with it, what it would take, and what would still not be safe then."""
    found = prospect.filesystem
    where = f"{found.kind}, mounted at {name(found.mount_point)}: {size(found.total)}, {size(found.free)} free"
    lines = [Content.styled(name(path), "bold"), Content(where)]
    if found.read_only:
        lines.append(Content.styled("it is mounted read-only: nothing can be copied there", "$text-error"))
    if prospect.shared is not None:
        words = f"it is on the same disk as the source {name(prospect.shared)}: no protection if that disk fails"
        lines.append(Content.styled(words, "$text-warning"))
    if found.max_file is not None:
        lines.append(Content.styled("files of 4 GiB and more do not fit on this file system", "$text-warning"))
    lacking = prospect.lacking
    room = prospect.room
    if not lacking.files:
        lines.append(Content("every file has its wanted copies: nothing would be copied now"))
    elif room.largest < 0:
        kept = size(default_reserve(found.total))
        lines.append(
            Content.styled(f"it is full: nothing can be copied there ({kept} are always left free)", "$text-error")
        )
    elif not room.takes_all(lacking, prospect.directories):
        words = f"it would be full: {size(lacking.bytes)} need a copy, and it has room for {size(room.content)} at most"
        lines.append(Content(f"{words}; the rest needs another drive"))
    else:
        lines.append(Content.assemble("it would take ", (counted(lacking), "bold"), ": all files that need a copy"))
        left = f"{counted(prospect.unsafe)} would still need another drive"
        lines.append(Content(left if prospect.unsafe.files else "everything would then have its wanted copies"))
    return Content("\n").join(lines)
