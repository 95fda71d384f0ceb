"""Tables for people."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segscale.flows.cli.text_table import TextTable, cut, places

TABLE = TextTable(("class", "a", "b", "c"), (("lesion", "0.1", "0.22", "3"), ("x", "", "10", "")), 1)


def test_names_are_on_the_left_and_numbers_on_the_right() -> None:
    assert TABLE.lines() == [
        "class     a     b  c",
        "lesion  0.1  0.22  3",
        "x              10",
    ]


def test_columns_that_do_not_fit_follow_below_with_their_names() -> None:
    assert TABLE.lines(12, str.upper) == [
        "CLASS     A", "lesion  0.1", "x", "", "CLASS      B", "lesion  0.22", "x         10", "",
        "CLASS   C", "lesion  3", "x",
    ]  # fmt: skip


def test_columns_in_which_nothing_stands_are_left_out() -> None:
    table = TextTable(("class", "head", "a", "b"), (("x", "", "1", ""),), 2).without_empty_columns()
    assert (table.header, table.rows, table.n_keys) == (("class", "a"), (("x", "1"),), 1)


def test_a_long_name_is_cut_in_its_middle_where_no_number_would_fit() -> None:
    lines = TextTable(("image", "Dice"), (("a_very_long_name_of_slice_17", "0.1234"),), 1).lines(24)
    assert lines == ["image               Dice", "a_very_..lice_17  0.1234"]


def test_letters_of_two_places_keep_the_columns() -> None:
    lines = TextTable(("class", "n"), (("病変", "1"), ("lesion", "2")), 1).lines()
    assert [places(line) for line in lines] == [9, 9, 9]


NAMES = st.text("abc é病.", max_size=12)
NUMBERS = st.text("0123456789.,- ", max_size=12)
"""They are never cut, and the narrowest terminal has room for the shortest name and one of these."""


@given(st.lists(st.tuples(NAMES, NUMBERS, NUMBERS), min_size=1, max_size=4), st.integers(24, 80))
def test_no_line_is_wider_and_no_number_lost(rows: list[tuple[str, str, str]], width: int) -> None:
    lines = TextTable(("k", "a", "b"), tuple(rows), 1).lines(width)
    assert max(map(places, lines)) <= width
    for row in rows:
        for cell in row[1:]:
            assert any(cell.rstrip() in line for line in lines)


@pytest.mark.parametrize("width", [4, 5, 8, 13])
def test_what_is_cut_has_its_width(width: int) -> None:
    assert places(cut("病変 a long name 病変", width)) <= width
