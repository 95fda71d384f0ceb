"""What lesions may be found in, and the words for what they may not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.bit_rows import BitRows, bit_rows
from segscale.tasks.lesions.matching import Rule
from segscale.tasks.lesions.rows import Spacing
from segscale.tasks.metrics.overlap_inputs import native_labels

Instances = Literal["", "references", "both"]
"""Which arrays are label maps of instances; the others are masks."""
NEIGHBOURS = {2: (8, 4), 3: (26, 18, 6)}
"""By the number of axes: how many neighbours of a voxel can belong to its component; the first is the default."""
DEFAULT_THRESHOLD = 0.5
AXES = {2: "(height, width)", 3: "(depth, height, width)"}


def check_spacing(spacing_mm: Sequence[float] | None, axes: int) -> Spacing | None:
    """The spacing, a number for each axis."""
    if spacing_mm is None:
        return None
    spacing = tuple(float(one) for one in spacing_mm)
    if len(spacing) != axes or not all(math.isfinite(one) and one > 0 for one in spacing):
        raise ArgumentError(
            f"spacing_mm: expected {axes} numbers of millimetres above 0, along {AXES[axes]}, got {spacing}"
        )
    return spacing


def check_neighbours(neighbours: int | None, axes: int) -> int:
    """The number of neighbours, by default the largest."""
    if neighbours is None:
        return NEIGHBOURS[axes][0]
    if neighbours not in NEIGHBOURS[axes]:
        expected = " or ".join(map(str, NEIGHBOURS[axes]))
        raise ArgumentError(f"neighbours: expected {expected} of a mask {AXES[axes]}, got {neighbours!r}")
    return neighbours


def check_rule(rule: Rule, threshold: float | None) -> float:
    """The threshold of the rule."""
    if rule not in get_args(Rule):
        raise ArgumentError(f"rule: expected one of {', '.join(map(repr, get_args(Rule)))}, got {rule!r}")
    if threshold is None:
        return DEFAULT_THRESHOLD
    if rule == "overlap":
        raise ArgumentError(
            f"threshold: the rule 'overlap' has none, for one shared voxel is enough, got {threshold!r}: leave it out, "
            f"or pass rule='iou' or rule='dice'"
        )
    if not 0 <= threshold <= 1:
        raise ArgumentError(f"threshold: expected a number from 0 to 1, got {threshold!r}")
    return float(threshold)


def check_instances(instances: Instances, label: int | None) -> None:
    """Refuse what is no such word, and a label where there are no masks."""
    if instances not in get_args(Instances):
        expected = ", ".join(map(repr, get_args(Instances)))
        raise ArgumentError(f"instances: expected one of {expected}, got {instances!r}")
    if instances == "both" and label is not None:
        raise ArgumentError(f"label: every value of both label maps is an instance, got {label}: leave it out")


def check_shape(prediction: NDArray[Any], reference: NDArray[Any]) -> None:
    """Refuse a prediction that does not lie over the reference."""
    if prediction.shape != reference.shape:
        raise ArgumentError(
            f"prediction: expected the reference's shape {reference.shape}, got {prediction.shape}: crop or resample "
            f"it to the grid of the reference, or pass None where there is no prediction"
        )


def foreground_rows(mask: NDArray[Any], label: int | None, name: str) -> BitRows:
    """The foreground of a mask (depth, height, width) as rows of bits: where it is true, or 1, or the label."""
    values = native_labels(mask, name)
    if mask.dtype == np.bool_:
        if label is not None:
            raise ArgumentError(f"label: the {name} is a mask of true and false, without label {label}: leave it out")
        return bit_rows(mask)
    if label is None and (values.max() > 1 or values.min() < 0):
        raise ArgumentError(
            f"{name}: expected a mask of 0 and 1, got labels from {values.min()} to {values.max()}: say by label which "
            f"class is meant, pass labels > 0 for all of them as one, or say by instances that each is a lesion"
        )
    return bit_rows(values, 1 if label is None else label)


def instance_labels(labels: NDArray[Any], name: str) -> NDArray[Any]:
    """A label map of instances (depth, height, width), 0 and positive numbers."""
    values = native_labels(labels, name)
    lowest, highest = int(values.min()), int(values.max())
    if lowest < 0 or highest > np.iinfo(np.int64).max:
        raise ArgumentError(
            f"{name}: expected a label map of instances, 0 for the background and numbers from 1 to 2^63 - 1, got "
            f"{lowest} to {highest}: number the instances anew"
        )
    return values


def as_volume(values: NDArray[Any]) -> NDArray[Any]:
    """With three axes; of a 2-D array the first is 1 long."""
    return values[None] if values.ndim == 2 else values
