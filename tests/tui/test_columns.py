"""Which columns a list shows in how much room."""

from __future__ import annotations

import pytest

from medback_tui.widgets.columns import Column, visible
from medback_tui.widgets.coverage_list import COLUMNS


def widths(room: int, empty: frozenset[str] = frozenset()) -> dict[str, int]:
    return {column.id: width for _, column, width in visible(COLUMNS, room, empty)}


@pytest.mark.parametrize("terminal", range(80, 200))
def test_from_80_wide_on_a_name_has_at_least_36_cells(terminal: int):
    beside = 50 if terminal >= 120 else 0
    assert widths(terminal - 2 - beside)["name"] >= 36
    assert widths(terminal - 3 - beside)["name"] >= 35  # with a scrollbar


def test_what_is_too_narrow_for_all_columns_drops_the_empty_ones_first():
    assert set(widths(78)) == {"name", "unsafe", "bytes", "none", "one"}
    assert set(widths(78, frozenset({"none"}))) == {"name", "unsafe", "bytes", "one", "checked"}
    assert set(widths(150, frozenset({"none"}))) == {column.id for column in COLUMNS}  # there is room for all


def test_all_the_room_is_used_and_no_more():
    for room in range(30, 200):
        shown = visible(COLUMNS, room)
        assert sum(width + 2 for _, _, width in shown) == room


def test_a_column_that_does_not_fit_leaves_its_room_to_a_smaller_one():
    columns = [Column("name", "", least=10), Column("wide", "", 30, rank=1), Column("small", "", 5, rank=2)]
    assert [column.id for _, column, _ in visible(columns, 30)] == ["name", "small"]
