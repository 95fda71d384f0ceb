"""Matching: which lesions of the prediction stand for which of the reference."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.lesions.lesion_map import LesionMap
from segscale.tasks.lesions.overlaps import Overlaps
from segscale.tasks.lesions.runs import Int64Array
from segscale.tasks.metrics.scores import dice, iou

Rule = Literal["overlap", "iou", "dice"]
"""By which lesions are matched: all that share a voxel, or one to one by IoU or Dice."""
WEIGHTS = {"iou": iou, "dice": dice}
ONE_PAIR_MORE = 1e-9
"""What it is worth to match one lesion more: of matchings whose sums are equal, that of more pairs is taken."""

BoolArray = NDArray[np.bool_]
Float64Array = NDArray[np.float64]


def matched(shared: Overlaps, reference: LesionMap, prediction: LesionMap, rule: Rule, threshold: float) -> BoolArray:
    """Which of the pairs that share voxels are matched, (n,).

    "overlap": all of them, so that a lesion may be matched with several. Otherwise no lesion with more than one: of
    the pairs whose IoU or Dice is the threshold or more, those with the largest sum of it.
    """
    if rule == "overlap":
        return np.ones(len(shared), np.bool_)
    only_reference = reference.voxels[shared.reference] - shared.voxels
    only_prediction = prediction.voxels[shared.prediction] - shared.voxels
    weight: Float64Array = WEIGHTS[rule](tp=shared.voxels, fp=only_prediction, fn=only_reference)
    chosen: BoolArray = weight >= threshold
    chosen[chosen] = heaviest(shared.reference[chosen], shared.prediction[chosen], weight[chosen])
    return chosen


def heaviest(row: Int64Array, column: Int64Array, weight: Float64Array) -> BoolArray:
    """Which of the pairs (row, column) to take, so that none shares a row or a column with another and the sum of
    their weights, in 0..1, is the largest."""
    chosen: BoolArray = (np.bincount(row)[row] == 1) & (np.bincount(column)[column] == 1)
    if not chosen.all():
        rest = ~chosen
        chosen[rest] = _assigned(row[rest], column[rest], weight[rest])
    return chosen


def _assigned(row: Int64Array, column: Int64Array, weight: Float64Array) -> BoolArray:
    """`heaviest` by a sparse assignment: each row may have a column of its own instead, which is worth nothing."""
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import min_weight_full_bipartite_matching

    rows, row = np.unique(row, return_inverse=True)
    columns, column = np.unique(column, return_inverse=True)
    own = np.arange(rows.size)
    # Costs must not be 0, which a sparse table takes for no pair at all.
    costs = np.concatenate([2 - ONE_PAIR_MORE - weight, np.full(rows.size, 2.0)])
    places = np.concatenate([row, own]), np.concatenate([column, columns.size + own])
    table = csr_array((costs, places), shape=(rows.size, columns.size + rows.size))
    _, taken = min_weight_full_bipartite_matching(table)
    return np.asarray(taken[row] == column)
