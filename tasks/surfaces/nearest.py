"""The distance of every border voxel to the nearest one of another border."""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.bit_rows import BitRows
from segscale.tasks.surfaces.blocks import BLOCK_DEPTH, BLOCK_HEIGHT, block_gaps, block_rows, n_blocks, reach
from segscale.tasks.surfaces.borders import Border
from segscale.tasks.surfaces.envelopes import sweep, work_of_sweep
from segscale.tasks.surfaces.far_search import count_groups, search_far
from segscale.tasks.surfaces.jobs import run
from segscale.tasks.surfaces.search import Steps, place_order, search_near

PART_VOXELS = 1 << 14
"""Border voxels that are searched for in one piece."""
N_PARTS = 16
"""Pieces in which far ones are, each of them from all over."""


@dataclass(frozen=True, slots=True)
class Search:
    """How far voxels are searched for. Distances do not depend on it."""

    n_places: int = 192
    """Places around a voxel that are looked at one by one, those to the left and to the right together."""
    n_sampled: int = 32
    """Groups of voxels that lie further, of which is measured how many rows a search takes."""
    worth: int = 16
    """Share of the groups that they must be below, or all are searched for."""
    parabola: float = 2.8
    """Rows that are looked at in the time that a parabola takes."""


def nearest(
    queries: Border, targets: Border, steps: Steps, n_threads: int = 1, search: Search = Search()
) -> NDArray[np.float64]:
    """Of each query the distance to the nearest target of the same item, float64, in the order of the rows; infinite
    where the item has no targets.
    """
    _, depth, height = queries.shape
    squared, far = np.empty(queries.n_voxels), np.zeros_like(queries.rows)
    if not squared.size:
        return squared
    order = place_order(depth, height, steps, search.n_places)
    near = (order.depths, order.heights, order.widths, order.squared)
    blocks, gaps = block_rows(targets.rows, targets.starts, targets.shape), block_gaps(depth, height, steps)
    reached, in_blocks = np.zeros_like(blocks), (n_blocks(depth, BLOCK_DEPTH), n_blocks(height, BLOCK_HEIGHT))
    reach(blocks, in_blocks, gaps, float(order.squared[-1]), int(order.widths.max()), reached)
    given = queries.rows, queries.starts, targets.rows, targets.starts, reached, (depth, height), near
    if sum(run([partial(search_near, *given, part, squared, far) for part in _parts(queries)], n_threads)):
        _find_far(queries, far, targets, blocks, gaps, steps, n_threads, search, squared)
    return np.sqrt(squared, out=squared)


def _find_far(
    queries: Border,
    far: BitRows,
    targets: Border,
    blocks: BitRows,
    gaps: Any,
    steps: Steps,
    n_threads: int,
    search: Search,
    squared: NDArray[np.float64],
) -> None:
    shape, far_blocks = queries.shape[1:], block_rows(far, queries.starts, queries.shape)
    given = queries.rows, queries.starts, far, far_blocks, targets.rows, blocks, shape, steps, gaps

    def look(part: tuple[int, int]) -> int:
        return int(search_far(*given, part, squared))

    every = count_groups(far_blocks) // search.n_sampled
    if every > search.worth and look((every - 1, every)) * every > search.parabola * work_of_sweep(
        far, targets.rows, *shape
    ):
        swept = queries.rows, queries.starts, far, targets.rows, shape, steps
        run([partial(sweep, *swept, w, squared) for w in range(far.shape[1])], n_threads)
    else:
        run([partial(look, (part, N_PARTS)) for part in range(N_PARTS)], n_threads)


def _parts(queries: Border) -> list[tuple[int, int]]:
    """Runs of rows with about so many voxels each; however many threads there are."""
    starts = queries.starts
    cuts = np.searchsorted(starts, np.arange(PART_VOXELS, queries.n_voxels, PART_VOXELS))
    ends = [0, *np.unique(cuts).tolist(), len(starts) - 1]
    return list(pairwise(ends))
