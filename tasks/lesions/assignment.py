"""An assignment over a list of pairs: one to one, with the largest sum of weights.

Shortest augmenting paths (Jonker and Volgenant 1987, in the form of Crouse 2016, DOI 10.1109/TAES.2016.140952): rows
enter one after another, and each takes a column on the cheapest way of making room for it, on which another row may be
left alone. Prices of rows and columns from earlier searches keep a search short, and what it has reached is all that
is reset after it: pairs that do not hang together cost each other nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled
from segscale.tasks.lesions.runs import Int64Array

ONE_PAIR_MORE = 1e-9
"""What it is worth to take one pair more: of choices whose sums are equal, that of more pairs is taken."""
GOLDEN = (math.sqrt(5) - 1) / 2
ALONE = -1
"""In place of a row or column: there is none."""

BoolArray = NDArray[np.bool_]
Float64Array = NDArray[np.float64]


def heaviest(row: Int64Array, column: Int64Array, weight: Float64Array) -> BoolArray:
    """Which of the pairs (row, column) to take, so that none shares a row or a column with another and the sum of
    their weights, in 0..1, is the largest; of pairs in ascending order of their rows, each pair once."""
    if not row.size:
        return np.zeros(0, np.bool_)
    first = np.zeros(int(row[-1]) + 2, np.int64)
    np.cumsum(np.bincount(row), out=first[1:])
    taken = assigned(first, column, -(weight + ONE_PAIR_MORE), int(column.max()) + 1, _stride(first.size - 1))
    return np.asarray(taken[row] == column)


def _stride(n: int) -> int:
    """How far apart rows are that enter one after another, without a common divisor with their number.

    Neighbours would enter a chain of lesions at its end, one by one, and each search would go back through all of it.
    """
    stride = max(1, int(GOLDEN * n))
    while math.gcd(stride, n) > 1:
        stride += 1
    return stride


@compiled
def assigned(first: Int64Array, column: Int64Array, cost: Float64Array, n_columns: int, stride: int) -> Int64Array:
    """The column of each row, or `ALONE`, so that the sum of costs is the least; alone costs nothing.

    first: (rows + 1,) where the pairs of each row begin; cost: (pairs,) below 0; stride: as `_stride` says.
    """
    of_row, of_column = np.full(first.size - 1, ALONE), np.full(n_columns, ALONE)
    # The cost of a pair is never below the prices of both; it equals them where the pair is taken.
    row_price, column_price = np.zeros(first.size - 1), np.zeros(n_columns)
    way, before, reached = np.full(n_columns, np.inf), np.empty(n_columns, np.int64), np.empty(n_columns, np.int64)
    is_settled = np.zeros(n_columns, np.bool_)
    pairs, prices, heap = (first, column, cost), (row_price, column_price), (np.empty_like(cost), np.empty_like(column))
    for place in range(first.size - 1):
        row = place * stride % (first.size - 1)
        end_row, end, length, n_reached = _search(
            row, pairs, prices, of_column, (way, before, is_settled, reached), heap
        )
        row_price[row] += length
        for j in reached[:n_reached]:
            if is_settled[j] and of_column[j] != ALONE:
                row_price[of_column[j]] += length - way[j]
                column_price[j] -= length - way[j]
            way[j], is_settled[j] = np.inf, False
        if end == ALONE:
            end, of_row[end_row] = of_row[end_row], ALONE
        while end != ALONE:
            i = before[end]
            of_column[end] = i
            end, of_row[i] = of_row[i], end
    return of_row


@compiled
def _search(
    row: int,
    pairs: tuple[Int64Array, Int64Array, Float64Array],
    prices: tuple[Float64Array, Float64Array],
    of_column: Int64Array,
    found: tuple[Float64Array, Int64Array, BoolArray, Int64Array],
    heap: tuple[Float64Array, Int64Array],
) -> tuple[int, int, float, int]:
    """The cheapest way from a row to a free column, or to a row that is left alone for it.

    Returns that row and `ALONE`, or `ALONE` and the column; the length; and how many columns are reached. `found` is
    filled in: of a column the way to it, the row before it and whether nothing is shorter; and which are reached.
    """
    first, column, cost = pairs
    row_price, column_price = prices
    way, before, is_settled, reached = found
    keys, columns = heap
    i, length, alone, left = row, 0.0, np.inf, row
    n_reached = n_waiting = 0
    while True:
        if length - row_price[i] < alone:
            alone, left = length - row_price[i], i
        for k in range(first[i], first[i + 1]):
            j, longer = column[k], length + cost[k] - row_price[i] - column_price[column[k]]
            # What is longer than to leave a row alone is never gone.
            if longer < way[j] and longer < alone and not is_settled[j]:
                if way[j] == np.inf:
                    reached[n_reached] = j
                    n_reached += 1
                way[j], before[j] = longer, i
                n_waiting = _push(keys, columns, n_waiting, longer, j)
        while n_waiting and is_settled[columns[0]]:
            n_waiting = _drop_first(keys, columns, n_waiting)
        if not n_waiting or keys[0] >= alone:
            return left, ALONE, alone, n_reached
        length, j = keys[0], columns[0]
        if of_column[j] == ALONE:
            return ALONE, j, length, n_reached
        is_settled[j] = True
        i = of_column[j]


@compiled
def _push(keys: Float64Array, columns: Int64Array, n: int, key: float, column: int) -> int:
    """Add an entry to a heap of n, the least first; returns how many there are."""
    place = n
    while place and keys[(place - 1) // 2] > key:
        above = (place - 1) // 2
        keys[place], columns[place] = keys[above], columns[above]
        place = above
    keys[place], columns[place] = key, column
    return n + 1


@compiled
def _drop_first(keys: Float64Array, columns: Int64Array, n: int) -> int:
    """Take the least entry out of a heap of n; returns how many are left."""
    n -= 1
    key, column, place, below = keys[n], columns[n], 0, 1
    while below < n:
        if below + 1 < n and keys[below + 1] < keys[below]:
            below += 1
        if keys[below] >= key:
            break
        keys[place], columns[place] = keys[below], columns[below]
        place, below = below, 2 * below + 1
    keys[place], columns[place] = key, column
    return n
