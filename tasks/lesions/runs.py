"""Runs: foreground voxels that follow one another in a row, found in rows of bits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import BitRows, lowest_bit, n_bits
from segscale.tasks.compiled import compiled

Int32Array = NDArray[np.int32]
Int64Array = NDArray[np.int64]

NOTHING, ONE, HIGHEST = np.uint64(0), np.uint64(1), np.uint64(63)


@dataclass(frozen=True, slots=True, eq=False)
class Runs:
    """The runs of a mask (depth, height, width) in scan order; of 2-D masks the depth is 1."""

    shape: tuple[int, int, int]
    """Depth, height, width."""
    start: Int32Array
    """(n,) x of the first voxel."""
    stop: Int32Array
    """(n,) x behind the last voxel."""
    first: Int64Array
    """(depth * height + 1,) the first run of each row, and their number."""

    def __len__(self) -> int:
        return self.start.size


def runs_of(rows: BitRows, width: int) -> Runs:
    """The runs of a mask that is given as rows of bits, (depth, height, words)."""
    depth, height, words = rows.shape
    start, stop, first = find_runs(np.ascontiguousarray(rows).reshape(depth * height, words))
    return Runs((depth, height, width), start, stop, first)


@compiled
def find_runs(rows: BitRows) -> tuple[Int32Array, Int32Array, Int64Array]:
    """Start, stop and first of `Runs`: where a bit differs from the one before it, a run starts or stops."""
    n_rows, words = rows.shape
    n_starts = 0
    for r in range(n_rows):
        before: Any = NOTHING
        for w in range(words):
            word = rows[r, w]
            n_starts += n_bits(word & ~((word << ONE) | before))
            before = word >> HIGHEST
    start, stop = np.empty(n_starts, np.int32), np.empty(n_starts, np.int32)
    first = np.empty(n_rows + 1, np.int64)
    n = 0
    for r in range(n_rows):
        first[r] = n
        before = NOTHING
        for w in range(words):
            word = rows[r, w]
            edges = word ^ ((word << ONE) | before)
            while edges != NOTHING:
                place = w * 64 + lowest_bit(edges)
                if before == NOTHING:
                    start[n] = place
                else:
                    stop[n] = place
                    n += 1
                before = ONE - before
                edges &= edges - ONE
        if before != NOTHING:
            stop[n] = words * 64
            n += 1
    first[n_rows] = n
    return start, stop, first
