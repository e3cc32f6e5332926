"""The drives of a restore plan in the order to plug them in, with what each brings and what then remains."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from medback_core.presenting.units import age, counted, name, number, size
from medback_core.restoring.plan import PlannedStep
from medback_tui.reading.plan_facts import PlanFacts

from .columns import Cell, Column, Span
from .row_list import RowList

BLOCKS = "▁▂▃▄▅▆▇█"


def curve(back: Sequence[int], whole: int, width: int) -> list[Span]:
    """Blocks for the bytes that are back after 1, 2, … drives. More drives than room: every so many."""
    if not back or whole <= 0:
        return []
    each = max(1, min(6, width // len(back)))
    shown = list(back) if len(back) <= width else [back[i * len(back) // width] for i in range(width)]
    spans: list[Span] = []
    for amount in shown:
        level = min(len(BLOCKS) - 1, amount * len(BLOCKS) // (whole + 1))
        spans.append((BLOCKS[level] * each, "safe" if amount >= whole else "bar"))
    return spans


COLUMNS = (
    Column("number", "", 2, right=True),
    Column("drive", "plug in"),
    Column("state", "state", 7, rank=3),
    Column("where", "seen", 9),
    Column("files", "files", 8, right=True, rank=2),
    Column("bytes", "brings", 9, right=True),
    Column("curve", "back so far", 14, rank=1),
    Column("remaining", "then missing", 25, right=True, rank=4),
    Column("left", "left", 9, right=True),
)
PLACE = Column("place", "fetch it from", 13)  # before the others, where a place was named


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One step; `excluded`: a drive that was left out, shown so that it can be taken in again."""

    number: int
    step: PlannedStep
    excluded: bool = False


class PlanList(RowList[PlanRow]):
    """The first step that is not here yet stands out; one that is plugged in lights up."""

    def __init__(self, here: Callable[[], Mapping[str, bytes]]) -> None:
        super().__init__(COLUMNS, self._draw, lambda row: row.step.target.id, lit=self._is_lit)
        self._here = here
        self._plan: PlanFacts | None = None

    def show_plan(self, plan: PlanFacts, rows: list[PlanRow]) -> None:
        self._plan = plan
        self.show_columns((COLUMNS[0], PLACE, *COLUMNS[1:]) if plan.summary.has_places else COLUMNS)
        self.show_rows(rows)

    def _is_lit(self, row: PlanRow) -> bool:
        return not row.excluded and row.step.target.id in self._here()

    def _draw(self, row: PlanRow) -> list[Cell]:
        number, *cells = self._cells(row)
        if self._plan is None or not self._plan.summary.has_places:
            return [number, *cells]
        trip = row.step.trip and not row.excluded
        place: Cell = name(row.step.place) if trip else [("" if row.excluded else "here", "dim")]
        return [number, place, *cells]

    def _cells(self, row: PlanRow) -> list[Cell]:
        target = row.step.target
        if row.excluded:
            return [
                [("✕", "dim")], [(name(target.name), "dim")], [(str(target.state), "dim")], [("left out", "dim")],
                "", "", [(f"{self.app.key_of('restore.exclude')} takes it in", "dim")], "", "",
            ]  # fmt: skip
        here = target.id in self._here()
        remaining, whole = row.step.remaining, self._plan.summary.missing.bytes if self._plan else 0
        part = whole - remaining.bytes
        full = 14 if whole <= 0 else min(14, part * 14 // whole)
        return [
            [(str(row.number), "accent" if row.number == 1 else "dim")],
            [(name(target.name), "strong" if row.number == 1 else "")],
            [(str(target.state), "dim" if target.counts else "below")],
            [("▶ here", "here")] if here else [(age(target.seen_at), "dim")],
            number(row.step.brings.files),
            size(row.step.brings.bytes),
            [("━" * full, "bar"), ("╌" * (14 - full), "dim")],
            counted(remaining) if remaining.files else [("nothing", "safe")],
            size(remaining.bytes) if remaining.files else [("nothing", "safe")],
        ]
