"""Reference files: the class of every pixel as somebody drew it, over an image or on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ContradictionError, DataError
from segscale.tasks.axes import by
from segscale.tasks.labels import LabelRule, class_indices
from segscale.tasks.readers import read_label_map


def read_reference(data: bytes, name: str, rule: LabelRule, size: Sequence[int] | None = None) -> NDArray[np.uint8]:
    """Class indices (D, H, W) of a reference file; ignored pixels are `IGNORED`.

    `size` (D, H, W) is that of its image. Without an image the axes are those of the file: (H, W) or (D, H, W). Raises
    DataError where the file is no such thing, or may be a stack of one-hot planes as well; ContradictionError where the
    set cannot be what it was taken for.
    """
    labels = read_label_map(data, name)
    try:
        return class_indices(labels, size or _own_size(labels, rule.n_classes, name), rule, name)
    except ContradictionError as error:
        raise ContradictionError(f"dataset.label_values: reference {error}") from None


def _own_size(labels: NDArray[Any], n_classes: int, name: str) -> tuple[int, int, int]:
    """How deep, high and wide the image of a reference is, of which only the reference is known."""
    sides = tuple(side for side in labels.shape if side != 1)
    if len(sides) <= 2:
        # Axes of length 1 beside the others are no slices.
        height, width = (1, *sides)[-2:] if sides else (1, 1)
        return 1, height, width
    if len(sides) > 3 or _is_one_hot(labels.reshape(sides), n_classes):
        raise DataError(
            f"{name}: an array {by(labels.shape)} without an image beside it; expected height and width, or depth, "
            "height and width"
            + (
                f": it may be a volume, or {n_classes} one-hot planes; name the images (dataset.images), whose size "
                "tells which, or save the class of each pixel as a number"
                if len(sides) == 3
                else ""
            )
        )
    depth, height, width = sides
    return depth, height, width


def _is_one_hot(labels: NDArray[Any], n_classes: int) -> bool:
    """Whether exactly one of as many planes as there are classes is set at every pixel, along any axis."""
    return any(
        side == n_classes and bool((np.count_nonzero(labels, axis=axis) == 1).all())
        for axis, side in enumerate(labels.shape)
    )
