"""The order of a volume's axes in memory: lesions are found as voxels lie there, and said as the axes are given."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.lesions.lesion_map import LesionMap

Order = tuple[int, ...]
"""The axes of a volume, that with the longest steps in memory first."""


def memory_order(volume: NDArray[Any]) -> Order:
    """How a volume (depth, height, width) lies in memory; axes of length 1 come first.

    >>> memory_order(np.zeros((2, 3, 4))), memory_order(np.zeros((4, 3, 2)).T), memory_order(np.zeros((1, 4, 3)).T)
    ((0, 1, 2), (2, 1, 0), (2, 1, 0))
    """
    steps = [abs(step) if n > 1 else np.inf for step, n in zip(volume.strides, volume.shape, strict=True)]
    return tuple(sorted(range(volume.ndim), key=lambda axis: -steps[axis]))


def as_given(found: LesionMap, order: Order) -> LesionMap:
    """Instances of a volume whose axes were put into an order, with the sums of the axes as they were given."""
    places = np.argsort(order)
    return found if order == (0, 1, 2) else replace(found, sums=found.sums[:, [0, *(1 + places).tolist()]])


def numbered_as_given(found: LesionMap, order: Order) -> LesionMap:
    """Components likewise, numbered by their first voxels along the axes as they were given."""
    if order == (0, 1, 2):
        return found
    runs, given = found.runs, as_given(found, order)
    row = np.repeat(np.arange(runs.first.size - 1), np.diff(runs.first))
    first_voxels = np.stack([*np.divmod(row, runs.shape[1]), runs.start])[np.argsort(order)]
    shape = tuple(runs.shape[place] for place in np.argsort(order))
    earliest = np.full(len(found), np.prod(runs.shape))
    np.minimum.at(earliest, found.lesion, np.ravel_multi_index(tuple(first_voxels), shape))
    by_first_voxel = np.argsort(earliest)
    number = np.argsort(by_first_voxel).astype(np.int32)
    return replace(given, lesion=number[found.lesion], sums=given.sums[by_first_voxel])
