"""Assignments over lists of pairs, against brute force and scipy's over the table of all pairs."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from segscale.tasks.lesions.assignment import ONE_PAIR_MORE, heaviest

Pair = tuple[int, int]


def test_nothing_is_taken_of_nothing() -> None:
    none = np.zeros(0, np.int64)
    assert heaviest(none, none, none.astype(np.float64)).tolist() == []


def test_the_largest_sum_is_not_always_that_of_the_best_pair() -> None:
    row, column, weight = np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.6, 0.5, 0.5])
    assert heaviest(row, column, weight).tolist() == [False, True, True]


def test_nor_that_of_the_most_pairs() -> None:
    row, column, weight = np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.9, 0.4, 0.4])
    assert heaviest(row, column, weight).tolist() == [True, False, False]


def test_of_equal_sums_more_pairs_are_taken() -> None:
    row, column, weight = np.array([0, 0, 1]), np.array([0, 1, 0]), np.array([0.8, 0.4, 0.4])
    assert heaviest(row, column, weight).tolist() == [False, True, True]


@st.composite
def weighted_pairs(draw: st.DrawFn) -> tuple[list[Pair], list[float]]:
    n_rows, n_columns = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    every = [(row, column) for row in range(n_rows) for column in range(n_columns)]
    pairs = sorted(draw(st.sets(st.sampled_from(every), max_size=9)))
    weights = draw(st.lists(st.floats(0, 1), min_size=len(pairs), max_size=len(pairs)))
    return pairs, weights


@given(weighted_pairs())
def test_no_other_choice_weighs_more(drawn: tuple[list[Pair], list[float]]) -> None:
    pairs, weights = drawn
    row, column = np.array(pairs, np.int64).reshape(-1, 2).T
    chosen = heaviest(row, column, np.array(weights))
    taken = [pair for pair, is_chosen in zip(pairs, chosen, strict=True) if is_chosen]
    assert is_one_to_one(taken)
    assert sum(w for w, one in zip(weights, chosen, strict=True) if one) == pytest.approx(
        best_sum(pairs, weights), abs=1e-8
    )


def is_one_to_one(pairs: list[Pair]) -> bool:
    return all(len(set(side)) == len(pairs) for side in zip(*pairs, strict=True))


def best_sum(pairs: list[Pair], weights: list[float]) -> float:
    places = range(len(pairs))
    choices = (choice for size in range(len(pairs) + 1) for choice in combinations(places, size))
    return max(sum(weights[k] for k in one) for one in choices if is_one_to_one([pairs[k] for k in one]))


def test_thousands_of_lesions_on_one_are_no_table_of_all_with_all() -> None:
    """A lesion over all others on either side: one connected problem of 40,000 lesions, 20,000 of a side."""
    n = 20_000
    star, leaves = np.zeros(n, np.int64), np.arange(n)
    row, column = np.concatenate([star, leaves[1:]]), np.concatenate([leaves, star[1:]])
    chosen = heaviest(row, column, np.full(row.size, 0.25))
    assert chosen.sum() == 2
    assert is_one_to_one(list(zip(row[chosen].tolist(), column[chosen].tolist(), strict=True)))


@given(
    st.integers(0, 2**32 - 1), st.integers(1, 40), st.integers(1, 40), st.floats(0.01, 0.6), st.sampled_from((3, 2**40))
)
def test_as_the_assignment_over_the_table_of_all_pairs(
    seed: int, n_rows: int, n_columns: int, share: float, n_weights: int
) -> None:
    """Sparse and dense blocks of any number at once, with equal weights and without."""
    generator = np.random.default_rng(seed)
    row, column = np.nonzero(generator.random((n_rows, n_columns)) < share)
    weight = generator.integers(0, n_weights, row.size) / n_weights
    chosen = heaviest(row, column, weight)
    assert is_one_to_one(list(zip(row[chosen].tolist(), column[chosen].tolist(), strict=True)))
    table = np.zeros((n_rows, n_columns))
    table[row, column] = weight + ONE_PAIR_MORE
    assert (weight + ONE_PAIR_MORE)[chosen].sum() == pytest.approx(
        table[linear_sum_assignment(table, maximize=True)].sum(), abs=1e-12
    )


def drawn_blocks(n_blocks: int, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> tuple[NDArray[np.int64], ...]:
    """So many copies of a block of pairs, beside each other."""
    place = np.arange(n_blocks)[:, None]
    return (place * (rows.max() + 1) + rows).ravel(), (place * (columns.max() + 1) + columns).ravel()


def test_hundreds_of_thousands_of_specks_are_as_many_small_problems() -> None:
    """Two and two that all meet, 400,000 of a side: as one problem over all rows it took minutes."""
    row, column = drawn_blocks(200_000, np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1]))
    weight = np.tile([0.6, 0.5, 0.5, 0.3], 200_000)
    assert np.array_equal(heaviest(row, column, weight), np.tile([False, True, True, False], 200_000))


def test_a_chain_of_specks_that_all_hang_together() -> None:
    """Each of 200,000 meets two of the other side, which meet the next ones."""
    row, column = np.repeat(np.arange(200_000), 2), np.arange(400_000) // 2 + np.arange(400_000) % 2
    weight = np.tile([0.2, 0.3], 200_000)
    assert np.array_equal(heaviest(row, column, weight), np.tile([False, True], 200_000))


@pytest.mark.parametrize("turned", [False, True], ids=["from its end on", "from its other end on"])
def test_a_chain_in_which_each_would_rather_have_what_another_has(turned: bool) -> None:
    """By IoU falling along it: from one end on, each search would go back through all of it."""
    row, column = np.repeat(np.arange(100_000), 2)[1:], np.arange(199_999) // 2
    weight = np.linspace(0.9, 0.1, row.size)
    if turned:
        row, column, weight = row.max() - row[::-1], column.max() - column[::-1], weight[::-1]
    chosen = heaviest(row, column, weight)
    assert chosen.sum() == 100_000
    assert np.array_equal(chosen, row == column)


def test_one_that_is_held_by_its_best_is_asked_by_all_others() -> None:
    """Rows that pay more and more for the column of a row that meets all other columns."""
    n = 2_000
    star, leaves = np.zeros(n, np.int64), np.arange(n)
    row, column = np.concatenate([star, leaves[1:]]), np.concatenate([leaves, star[1:]])
    weight = np.concatenate([[0.9], np.full(n - 1, 0.1), np.linspace(0.1, 0.85, n - 1)])
    of_star, of_others = np.flatnonzero(heaviest(row, column, weight)).tolist()
    assert 0 < of_star < n
    assert of_others == row.size - 1
