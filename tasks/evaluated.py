"""Masks: which pixels of an image are evaluated."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.alignment import Volumes, aligned
from segscale.tasks.axes import laid_over
from segscale.tasks.grids import Grid
from segscale.tasks.readers import read_labels


def read_mask(
    data: bytes, name: str, size: Sequence[int], grid: Grid | None, volumes: Volumes
) -> tuple[NDArray[np.bool_], tuple[str, ...]]:
    """Where the mask of an image is not 0, (D, H, W) over a reference of that size, and what was done for that.

    grid: where the reference lies; None of pictures and arrays. Raises DataError where the file cannot be used.
    """
    depth, height, width = size
    own = Grid((depth, height, width))
    labels = read_labels(data, name, choice=volumes.choice)
    if grid is None and labels.grid is None:
        return laid_over(labels.values, size, {0}, name, "reference") != 0, ()
    way = aligned(grid or own, labels.grid or own, name, volumes.resample, False)
    values = labels.values if labels.grid is None else way.labels(labels.values, 0)
    return laid_over(values, size, {0}, name, "reference") != 0, (*labels.notes, *way.said)
