"""Which lesions of two sides share voxels, and how many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segscale.tasks.compiled import compiled
from segscale.tasks.lesions.lesion_map import LesionMap
from segscale.tasks.lesions.runs import Int32Array, Int64Array


@dataclass(frozen=True, slots=True, eq=False)
class Overlaps:
    """The pairs of lesions that share a voxel at least, by reference, then prediction.

    There are fewer of them than runs: no table of all lesions with all others is ever made.
    """

    reference: Int64Array
    """(n,) places in the reference's `LesionMap`."""
    prediction: Int64Array
    """(n,) places in that of the prediction."""
    voxels: Int64Array
    """(n,) voxels that both share."""

    def __len__(self) -> int:
        return self.voxels.size


def overlaps(reference: LesionMap, prediction: LesionMap) -> Overlaps:
    """The pairs of two sides of one shape."""
    a, b = reference.runs, prediction.runs
    met, voxels = meet_runs(
        a.start, a.stop, a.first, reference.lesion, b.start, b.stop, b.first, prediction.lesion, len(prediction)
    )
    order = np.argsort(met)
    met = met[order]
    first_of_pair = np.flatnonzero(np.diff(met, prepend=-1))
    summed = np.add.reduceat(voxels[order], first_of_pair) if met.size else voxels
    of_reference, of_prediction = np.divmod(met[first_of_pair], max(len(prediction), 1))
    return Overlaps(of_reference, of_prediction, summed)


@compiled
def meet_runs(
    start: Int32Array,
    stop: Int32Array,
    first: Int64Array,
    lesion: Int32Array,
    other_start: Int32Array,
    other_stop: Int32Array,
    other_first: Int64Array,
    other_lesion: Int32Array,
    n_others: int,
) -> tuple[Int64Array, Int64Array]:
    """Lesion times `n_others` plus other lesion, and shared voxels, wherever runs of both meet: many times a pair."""
    pair = np.empty(start.size + other_start.size, np.int64)
    voxels = np.empty(pair.size, np.int64)
    n = 0
    for r in range(first.size - 1):
        i, j = first[r], other_first[r]
        while i < first[r + 1] and j < other_first[r + 1]:
            shared = min(stop[i], other_stop[j]) - max(start[i], other_start[j])
            if shared > 0:
                one = np.int64(lesion[i]) * n_others + other_lesion[j]
                if n > 0 and pair[n - 1] == one:
                    voxels[n - 1] += shared
                else:
                    pair[n], voxels[n] = one, shared
                    n += 1
            if stop[i] < other_stop[j]:
                i += 1
            else:
                j += 1
    return pair[:n], voxels[:n]
