"""The lesions of one side: which run belongs to which, their sizes and centroids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segscale.tasks.compiled import compiled
from segscale.tasks.lesions.runs import Int32Array, Int64Array, Runs


@dataclass(frozen=True, slots=True, eq=False)
class LesionMap:
    """The lesions of a mask, in ascending order of their labels."""

    runs: Runs
    lesion: Int32Array
    """(runs,) the lesion that each run belongs to, from 0 on."""
    label: Int64Array
    """(n,) of components their place in scan order from 1 on, of instances their value in the label map."""
    sums: Int64Array
    """(n, 4) the number of voxels, and the sums of their indices z, y and x."""

    def __len__(self) -> int:
        return self.label.size

    @property
    def voxels(self) -> Int64Array:
        """(n,) voxels of each lesion."""
        return self.sums[:, 0]


def lesion_map(runs: Runs, lesion: Int32Array, label: Int64Array) -> LesionMap:
    """Lesions whose runs are known."""
    sums = sum_voxels(runs.start, runs.stop, runs.first, runs.shape[1], lesion, label.size)
    return LesionMap(runs, lesion, label, sums)


@compiled
def sum_voxels(
    start: Int32Array, stop: Int32Array, first: Int64Array, height: int, lesion: Int32Array, n_lesions: int
) -> Int64Array:
    """`sums` of a `LesionMap`, exact."""
    sums = np.zeros((n_lesions, 4), np.int64)
    for r in range(first.size - 1):
        for run in range(first[r], first[r + 1]):
            begin, end, of_lesion = np.int64(start[run]), np.int64(stop[run]), sums[lesion[run]]
            length = end - begin
            of_lesion[0] += length
            of_lesion[1] += length * (r // height)
            of_lesion[2] += length * (r % height)
            of_lesion[3] += length * (begin + end - 1) // 2
    return sums
