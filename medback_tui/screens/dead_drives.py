"""Mark the drives that are dead in a what-if, or a place with all that is kept there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from medback_core.model import folded_place
from medback_core.presenting.places import at
from medback_core.presenting.units import listed, name, number, plural, size
from medback_tui.look.keys import shown
from medback_tui.reading.facts import Facts, TargetFacts
from medback_tui.widgets.columns import Cell, Column
from medback_tui.widgets.line_list import LineList
from medback_tui.widgets.row_list import RowList

from .dialogs import Dialog

COLUMNS = (
    Column("label", "drive", 0),
    Column("state", "state", 8),
    Column("files", "files", 9, right=True),
    Column("only", "only here", 10, right=True),
)


@dataclass(frozen=True, slots=True)
class Dead:
    """What is gone in a what-if: drives (ids), and with a place all that is kept there, sources too; its drives are
    among them."""

    drives: frozenset[str] = frozenset()
    places: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Place:
    """A place as a row: what is kept there."""

    name: str
    drives: frozenset[str]
    sources: int


def _draw(row: TargetFacts | _Place) -> list[Cell]:
    if isinstance(row, _Place):
        kept = [plural(row.sources, "source")] if row.sources else []
        kept += [plural(len(row.drives), "drive")] if row.drives else []
        return [[(f"all {at(row.name)}", "strong"), (f": {' and '.join(kept)}", "dim")], [("place", "dim")], "", ""]
    only: Cell = [(size(row.only.bytes), "below")] if row.only.files else [("·", "dim")]
    return [name(row.target.name), [(str(row.target.state), "dim")], number(row.held.files), only]


class DeadDrives(Dialog[Dead]):
    """Returns the marked drives and places; none is the shelf as it is."""

    TITLE = "What if these drives died?"
    AUTO_FOCUS = "RowList"
    keys = (("dead.mark", "mark"), ("dead.done", "show"), ("dialog.back", "back"))
    BINDINGS: ClassVar[list[BindingType]] = [
        shown(
            "space",
            "mark",
            "dead.mark",
            "mark",
            "This drive is dead, or alive again; a place with all that is kept there",
        ),
        shown("enter", "done", "dead.done", "show", "Show the tree without the marked drives"),
    ]

    def __init__(self, facts: Facts, dead: Dead) -> None:
        super().__init__()
        self.facts, self.dead = facts, dead
        self.drives = [row for row in facts.targets if row.target.counts]
        self.places = _places(facts) if facts.three_two_one is not None else []

    def compose_box(self) -> ComposeResult:
        words = "Mark them, then look at the tree without them. With none marked: without the one under the cursor."
        for group in self.facts.disk_groups:
            together = listed([row.target.name for row in group])
            words += f"\n{together} are on one disk: they fail together."
        yield Static(Content(words), id="words")
        yield RowList[TargetFacts | _Place](COLUMNS, _draw, _key, id="drives")

    def on_mount(self) -> None:
        rows = self.query_one(RowList)
        rows.styles.height = min(14, len(self.places) + len(self.drives) + 2)
        rows.marked = {*self.dead.drives, *((folded_place(place),) for place in self.dead.places)}
        rows.show_rows([*self.places, *self.drives])

    def action_mark(self) -> None:
        rows = self.query_one(RowList)
        row = rows.current
        rows.toggle_mark()
        if row is None:
            return
        # A place is marked with its drives, a drive with those on the same disk.
        others = row.drives if isinstance(row, _Place) else {target.id for target in row.dies_with}
        if _key(row) in rows.marked:
            rows.marked |= others
        else:
            rows.marked -= others
        # A place is not gone when one of its drives is alive.
        gone = [_key(place) for place in self.places if not place.drives <= rows.marked]
        rows.marked -= set(gone)
        rows.refresh()

    @on(LineList.Opened)
    def action_done(self) -> None:
        rows = self.query_one(RowList)
        marked = frozenset(key for key in rows.marked if isinstance(key, str))
        places = tuple(one.name for one in self.places if _key(one) in rows.marked)
        row = rows.current
        if not rows.marked and self.dead == Dead() and row is not None:
            marked = row.drives if isinstance(row, _Place) else frozenset({row.target.id})
            places = (row.name,) if isinstance(row, _Place) else ()
        self.dismiss(Dead(marked, places))


def _key(row: TargetFacts | _Place) -> str | tuple[str]:
    # A place may have the name of any id.
    return (folded_place(row.name),) if isinstance(row, _Place) else row.target.id


def _places(facts: Facts) -> list[_Place]:
    """All places, with the drives that count there and the number of sources."""
    counting = [row.target for row in facts.targets if row.target.counts]
    where = facts.place_of
    found = []
    for place, shown_as in sorted(facts.every_place.items()):
        drives = frozenset(one.id for one in counting if one.key in where and folded_place(where[one.key]) == place)
        found.append(_Place(shown_as, drives, sum(folded_place(row.source.place) == place for row in facts.sources)))
    return found
