"""Connected components: runs that touch those of the rows before them belong together."""

from __future__ import annotations

import numpy as np

from segscale.tasks.bit_rows import BitRows
from segscale.tasks.compiled import compiled
from segscale.tasks.lesions.lesion_map import LesionMap, lesion_map
from segscale.tasks.lesions.runs import Int32Array, Int64Array, runs_of

ROWS_BEFORE = {
    4: ((0, -1, 0),),
    8: ((0, -1, 1),),
    6: ((0, -1, 0), (-1, 0, 0)),
    18: ((0, -1, 1), (-1, -1, 0), (-1, 0, 1), (-1, 1, 0)),
    26: ((0, -1, 1), (-1, -1, 1), (-1, 0, 1), (-1, 1, 1)),
}
"""Of each number of neighbours: the rows before a voxel's that hold some, by slice and row from its own, and how far to
the left and to the right of the voxel they lie there."""


def components(rows: BitRows, width: int, neighbours: int) -> LesionMap:
    """The connected components of a mask as lesions, numbered from 1 on in the order of their first voxels.

    rows: bits of the mask (depth, height, words). With 4 or 8 neighbours slices are not connected.
    """
    runs = runs_of(rows, width)
    table = np.array(ROWS_BEFORE[neighbours], np.int64)
    component, n_components = join_runs(runs.start, runs.stop, runs.first, runs.shape[1], table)
    return lesion_map(runs, component, np.arange(1, n_components + 1))


@compiled
def join_runs(
    start: Int32Array, stop: Int32Array, first: Int64Array, height: int, rows_before: Int64Array
) -> tuple[Int32Array, int]:
    """The component of each run, and how many there are.

    Union-find. The parent of a run is an earlier one or itself, so that the root of a component is its first run.
    """
    parent = np.arange(start.size).astype(np.int32)
    for r in range(first.size - 1):
        if first[r] == first[r + 1]:
            continue
        for k in range(rows_before.shape[0]):
            y, before = r % height + rows_before[k, 1], r + rows_before[k, 0] * height + rows_before[k, 1]
            if 0 <= y < height and before >= 0:
                i, end, j, end_before = first[r], first[r + 1], first[before], first[before + 1]
                _join_rows(start, stop, i, end, j, end_before, rows_before[k, 2], parent)
    n_components = 0
    for run in range(parent.size):
        # What is earlier holds its component already, no longer its parent.
        if parent[run] == run:
            parent[run] = n_components
            n_components += 1
        else:
            parent[run] = parent[parent[run]]
    return parent, n_components


@compiled
def _join_rows(
    start: Int32Array, stop: Int32Array, i: int, end: int, j: int, end_before: int, reach: int, parent: Int32Array
) -> None:
    """Join the runs i, i + 1, ... of a row with those of another, j, j + 1, ..., that they touch."""
    while i < end and j < end_before:
        if start[i] < stop[j] + reach and start[j] < stop[i] + reach:
            a, b = _root(parent, i), _root(parent, j)
            if a < b:
                parent[b] = a
            else:
                parent[a] = b
        if stop[i] < stop[j]:
            i += 1
        else:
            j += 1


@compiled
def _root(parent: Int32Array, run: int) -> int:
    while parent[run] != run:
        parent[run] = parent[parent[run]]
        run = parent[run]
    return run
