"""Distances of many far voxels at once: lower envelopes of parabolas along the height, sums over the depth.

After Felzenszwalb and Huttenlocher, "Distance Transforms of Sampled Functions" (Theory of Computing 8, 2012), but only
in the columns that hold a voxel whose distance is asked for, one place of the width after the other: no volume is
filled.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import BitRows, highest_bit, lowest_bit, n_bits
from segscale.tasks.compiled import compiled
from segscale.tasks.surfaces.search import Steps, nearest_x

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]


@compiled
def work_of_sweep(far: BitRows, targets: BitRows, depth: int, height: int) -> float:
    """How many parabolas `sweep` meets for all far queries."""
    n, words = depth * height, far.shape[1]
    columns = np.empty((height, words), np.uint64)
    work = 0.0
    for item in range(far.shape[0] // n):
        columns[:], filled = np.uint64(0), 0
        for r in range(n):
            any_target = np.uint64(0)
            for w in range(words):
                columns[r % height, w] |= far[item * n + r, w]
                any_target |= targets[item * n + r, w]
            filled += any_target != 0
        for w in range(words):
            places = np.uint64(0)
            for y in range(height):
                places |= columns[y, w]
                work += 1.0 * depth * n_bits(columns[y, w])
            work += 1.0 * filled * n_bits(places)
    return work


@compiled
def envelope(
    rows: Int64Array,
    values: Float64Array,
    scale: Float64Array,
    sites: Int64Array,
    least: Float64Array,
    starts: Float64Array,
) -> int:
    """Fill in the lower envelope of the parabolas over ascending rows (n,) with these least values: which of them are
    part of it, their values, and from where on; returns how many. `scale[k]` is 1 / (2 k step**2).
    """
    n, site, value, start = 0, 0, 0.0, -np.inf
    for i in range(rows.size):
        row, new = rows[i], values[i]
        meets = (new - value) * scale[row - site] + 0.5 * (row + site) if n else -np.inf
        while n > 1 and meets <= start:
            n -= 1
            site, value, start = sites[n - 1], least[n - 1], starts[n - 1]
            meets = (new - value) * scale[row - site] + 0.5 * (row + site)
        n += 1
        site, value, start = row, new, meets
        sites[n - 1], least[n - 1], starts[n - 1] = row, new, meets
    return n


@compiled
def rank_in_row(queries: BitRows, r: int, x: int) -> Any:
    """How many queries of row r lie before x."""
    n = 0
    for w in range(x >> 6):
        n += n_bits(queries[r, w])
    return n + n_bits(queries[r, x >> 6] & ((np.uint64(1) << np.uint64(x & 63)) - np.uint64(1)))


@compiled
def find_ends(rows: BitRows, first: int, filled: Int64Array, ends: Any) -> int:
    """Fill in which rows of an item, from row `first` on, hold anything, and the first and last place that is set in
    each; returns how many.
    """
    n, words = 0, rows.shape[1]
    for r in range(filled.size):
        low, high = -1, -1
        for w in range(words):
            if rows[first + r, w]:
                high = w * 64 + highest_bit(rows[first + r, w])
                low = w * 64 + lowest_bit(rows[first + r, w]) if low < 0 else low
        if low >= 0:
            filled[n], ends[n, 0], ends[n, 1] = r, low, high
            n += 1
    return n


@compiled
def by_column(
    marks: BitRows, rows: Int64Array, bit: Any, height: int, columns: Int64Array, asked: Int64Array, ends: Any
) -> int:
    """The rows with this bit, column by column: fill in the columns that have any, their rows, and where these end;
    returns how many columns.
    """
    ends[:] = 0
    for i in range(rows.size):
        ends[rows[i] % height] += (marks[i] & bit) != 0
    n_columns, n = 0, 0
    for y in range(height):
        if ends[y]:
            columns[n_columns] = y
            n_columns += 1
        ends[y], n = n, n + ends[y]
    for i in range(rows.size):
        if marks[i] & bit:
            y = rows[i] % height
            asked[ends[y]] = rows[i]
            ends[y] += 1
    return n_columns


@compiled
def least_sum(one: Float64Array, other: Float64Array, sums: Float64Array, bits: Int64Array) -> Any:
    """The least sum of two numbers at the same place; `bits` are those of the buffer for the sums, all at least 0."""
    for k in range(sums.size):
        sums[k] = one[k] + other[k]
    # Floats that are at least 0 have the order of their bits, of which several are compared at once.
    least = bits[0]
    for k in range(bits.size):
        least = min(least, bits[k])
    for k in range(bits.size):
        if bits[k] == least:
            return sums[k]
    return np.inf


@compiled
def sweep(
    queries: BitRows,
    row_starts: Int64Array,
    far: BitRows,
    targets: BitRows,
    shape: Any,
    steps: Steps,
    w: int,
    squared: Float64Array,
) -> None:
    """Squared distances of the far queries in word w of the rows of all items."""
    (depth, height), (step_z, step_y, step_x) = shape, steps
    n_rows, scale_y = depth * height, 0.5 / (np.arange(height + 1) * step_y**2)
    sites, values, starts = np.empty(height, np.int64), np.empty(height), np.empty(height)
    filled, ends, along = np.empty(n_rows, np.int64), np.empty((n_rows, 2), np.int64), np.empty(n_rows)
    columns, column_ends = np.empty(height, np.int64), np.empty(height, np.int64)
    in_plane, asked, sums = np.empty((height, depth)), np.empty(n_rows, np.int64), np.empty(depth)
    bits, away = sums.view(np.int64), (np.arange(1 - depth, depth) * step_z) ** 2
    for first in range(0, far.shape[0], n_rows):
        marks = far[first : first + n_rows, w].copy()
        rows = np.flatnonzero(marks)
        if not rows.size:
            continue
        marks = marks[rows]
        places, n_filled = np.uint64(0), find_ends(targets, first, filled, ends)
        planes, filled_y = np.searchsorted(filled[:n_filled], np.arange(depth + 1) * height), filled[:n_filled] % height
        for i in range(marks.size):
            places |= marks[i]
        while places:
            bit, x = places & (~places + np.uint64(1)), w * 64 + lowest_bit(places)
            places ^= bit
            n_columns = by_column(marks, rows, bit, height, columns, asked, column_ends)
            for i in range(n_filled):
                dx = max(ends[i, 0] - x, x - ends[i, 1])
                if dx < 0:
                    dx = nearest_x(targets, first + filled[i], x, step_x, np.inf)
                along[i] = (dx * step_x) ** 2
            for z in range(depth):
                low, high = planes[z], planes[z + 1]
                n, k = envelope(filled_y[low:high], along[low:high], scale_y, sites, values, starts), 0
                for j in range(n_columns):
                    y = columns[j]
                    while k + 1 < n and starts[k + 1] < y:
                        k += 1
                    in_plane[j, z] = values[k] + ((y - sites[k]) * step_y) ** 2 if n else np.inf
            i = 0
            for j in range(n_columns):
                while i < column_ends[columns[j]]:
                    r = asked[i]
                    z, place = r // height, row_starts[first + r] + rank_in_row(queries, first + r, x)
                    squared[place] = least_sum(in_plane[j], away[depth - 1 - z : 2 * depth - 1 - z], sums, bits)
                    i += 1
