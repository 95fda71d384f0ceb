"""Instances: lesions that a label map names, whether in one piece or not."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.lesions.lesion_map import LesionMap, lesion_map
from segscale.tasks.lesions.runs import Runs


def instances_of(labels: NDArray[Any]) -> LesionMap:
    """The instances of a label map (depth, height, width): each number but 0 is one. Memory goes by the foreground."""
    depth, height, width = labels.shape
    values = np.ravel(labels)
    places = np.flatnonzero(values)
    label = values[places]
    # A run ends where the next voxel is no foreground, is another instance, or begins another row.
    begins = np.ones(places.size, np.bool_)
    begins[1:] = (np.diff(places) != 1) | (label[1:] != label[:-1]) | (places[1:] % width == 0)
    begin = np.flatnonzero(begins)
    row, start = np.divmod(places[begin], width)
    length = np.diff(begin, append=places.size)
    first = np.zeros(depth * height + 1, np.int64)
    np.cumsum(np.bincount(row, minlength=depth * height), out=first[1:])
    runs = Runs((depth, height, width), start.astype(np.int32), (start + length).astype(np.int32), first)
    names, lesion = np.unique(label[begin], return_inverse=True)
    return lesion_map(runs, lesion.astype(np.int32), names.astype(np.int64))
