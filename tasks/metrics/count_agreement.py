"""Whether two countings of the same cases agree, in what they do not, and which class and threshold make them agree."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.metrics.count_columns import CountColumns

EQUAL, OTHER_VOXELS, OTHER_REFERENCE, OTHER_PREDICTION = range(4)
"""How two countings of a case are to each other: the first that holds of the last three is said."""


@dataclass(frozen=True, slots=True)
class Counting:
    """One way in which a run can be counted, over the images that it shares with a summary."""

    class_index: int
    threshold: float | None
    """A kept one; None where the run's own decision made the counts."""
    counts: CountColumns


def agreement(theirs: CountColumns, ours: CountColumns, knows_negatives: bool) -> NDArray[np.int64]:
    """(n,) EQUAL, or what differs of a case: the number of all voxels, those of the reference, the predicted ones.

    knows_negatives: whether their true negatives are known; else all voxels are taken to be as many.
    """
    found = np.full(theirs.size, EQUAL, np.int64)
    is_other = (theirs.true_positive != ours.true_positive) | (theirs.false_positive != ours.false_positive)
    found[is_other] = OTHER_PREDICTION
    found[theirs.reference_sum != ours.reference_sum] = OTHER_REFERENCE
    if knows_negatives:
        found[_voxels(theirs) != _voxels(ours)] = OTHER_VOXELS
    return found


def _voxels(counts: CountColumns) -> NDArray[np.int64]:
    total: NDArray[np.int64] = (
        counts.true_positive + counts.false_positive + counts.false_negative + counts.true_negative
    )
    return total


def best_counting(theirs: CountColumns, own: Counting, others: Iterable[Counting]) -> Counting:
    """The counting that agrees with theirs in the most cases: the run's own unless another one is proved.

    Proved it is by more equal cases than the run's own has, and by more than half of those in which there is anything:
    cases without a voxel of the class, here and there, agree whatever was done. True negatives are not compared, which
    kept thresholds do not have. Of several that are as good the first is taken.
    """
    best, n_best = own, _n_equal(theirs, own.counts)
    if n_best == _n_informative(theirs, own.counts):
        return own
    for other in others:
        n_equal = _n_equal(theirs, other.counts)
        if n_equal > n_best and 2 * n_equal > _n_informative(theirs, other.counts):
            best, n_best = other, n_equal
    return best


def _is_informative(theirs: CountColumns, ours: CountColumns) -> NDArray[np.bool_]:
    return np.asarray(~(theirs.both_empty & ours.both_empty))


def _n_informative(theirs: CountColumns, ours: CountColumns) -> int:
    return int(_is_informative(theirs, ours).sum())


def _n_equal(theirs: CountColumns, ours: CountColumns) -> int:
    is_equal = agreement(theirs, ours, knows_negatives=False) == EQUAL
    return int((is_equal & _is_informative(theirs, ours)).sum())
