"""Two masks as the search takes them: checked, as rows of bits, and only where any of them has voxels."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.bit_rows import BitRows, bit_rows
from segscale.tasks.distance_unit import DistanceUnit, distance_unit
from segscale.tasks.surfaces.borders import box
from segscale.tasks.surfaces.jobs import run


@dataclass(frozen=True, slots=True, eq=False)
class MaskPair:
    """A reference and a prediction as rows of bits, or a stack of both."""

    reference: BitRows
    """(items, depth, height, words), without what lies outside of both masks."""
    prediction: BitRows
    steps: NDArray[np.float64]
    """(3,): from voxel to voxel along depth, height and width; 1 along the depth of images."""
    solid: bool
    """Volumes, whose voxels have neighbours above and below."""
    largest: float
    """From the first to the last voxel of the image, along its diagonal."""
    unit: DistanceUnit


def mask_pair(
    reference: NDArray[Any],
    prediction: NDArray[Any],
    spacing_mm: Sequence[float] | None,
    label: int | None,
    *,
    stack: bool = False,
    n_threads: int = 1,
) -> MaskPair:
    """Of two masks (height, width) or (depth, height, width), or of two stacks of images (n, height, width)."""
    n_axes = 2 if stack else reference.ndim
    if reference.shape != prediction.shape or reference.ndim not in (2, 3) or (stack and reference.ndim != 3):
        wanted = "stacks of images (n, height, width)" if stack else "images or volumes"
        raise ArgumentError(
            f"expected two {wanted} of one shape, got {reference.shape} as the reference and {prediction.shape} as the"
            " prediction"
        )
    spacing = _spacing(spacing_mm, n_axes)
    masks = [_checked(mask, label, name) for mask, name in ((reference, "reference"), (prediction, "prediction"))]
    largest = float(
        np.sqrt(sum(((n - 1) * step) ** 2 for n, step in zip(reference.shape[-n_axes:], spacing, strict=True)))
    )
    if not stack:
        # In the order in which voxels lie in memory; distances are the same along other axes.
        order = sorted(range(n_axes), key=lambda axis: -abs(masks[0].strides[axis]))
        masks, spacing = [mask.transpose(order) for mask in masks], [spacing[axis] for axis in order]
    wanted_label = 1 if label is None else label
    rows = run([partial(bit_rows, mask, wanted_label) for mask in masks], n_threads)
    leading = (1, masks[0].shape[0]) if n_axes == 3 else (len(reference) if stack else 1, 1)
    rows = [one.reshape(*leading, *one.shape[-2:]) for one in rows]
    inside = (slice(None), *box(*rows))
    one, other = run([partial(np.ascontiguousarray, mask[inside]) for mask in rows], n_threads)
    steps = np.array(spacing if n_axes == 3 else [1.0, *spacing])
    return MaskPair(one, other, steps, n_axes == 3, largest, distance_unit(spacing_mm))


def _spacing(spacing_mm: Sequence[float] | None, n_axes: int) -> list[float]:
    if spacing_mm is None:
        return [1.0] * n_axes
    spacing = [float(step) for step in spacing_mm]
    if len(spacing) != n_axes or not all(0 < step < np.inf for step in spacing):
        raise ArgumentError(
            f"the spacing is {tuple(spacing_mm)}; expected {n_axes} lengths in mm, in the order of the array's axes"
        )
    return spacing


def _checked(mask: NDArray[Any], label: int | None, name: str) -> NDArray[Any]:
    if mask.dtype == np.bool_:
        if label is None:
            return mask
        raise ArgumentError(f"the {name} is a boolean mask, of which label {label} is not to be had: leave label out")
    if not np.issubdtype(mask.dtype, np.integer):
        raise ArgumentError(
            f"the {name} is an array of {mask.dtype}; expected a boolean mask, or labels as integers. Probabilities"
            " become a mask by a threshold: probabilities >= 0.5"
        )
    if label is None and mask.size and (mask.max() > 1 or mask.min() < 0):
        raise ArgumentError(
            f"the {name} holds labels from {mask.min()} to {mask.max()}, and nothing says which of them is meant:"
            " label=1 takes one class, and a mask of `labels > 0` all of them"
        )
    return mask
