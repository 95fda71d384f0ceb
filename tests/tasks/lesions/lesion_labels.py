"""Lesions as label maps again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.lesions.lesion_map import LesionMap


def as_labels(lesions: LesionMap) -> NDArray[Any]:
    """The label map (depth, height, width) that the lesions are."""
    depth, height, width = lesions.runs.shape
    labels = np.zeros((depth * height, width), np.int64)
    for row in range(depth * height):
        for run in range(lesions.runs.first[row], lesions.runs.first[row + 1]):
            labels[row, lesions.runs.start[run] : lesions.runs.stop[run]] = lesions.label[lesions.lesion[run]]
    return labels.reshape(depth, height, width)


def in_scan_order(labels: NDArray[Any]) -> NDArray[Any]:
    """The same lesions, numbered from 1 on in the order of their first voxels."""
    values, first = np.unique(labels[labels != 0], return_index=True)
    numbers = np.zeros(int(labels.max()) + 1, np.int64)
    numbers[values[np.argsort(first)]] = np.arange(1, values.size + 1)
    numbered: NDArray[Any] = numbers[labels]
    return numbered
