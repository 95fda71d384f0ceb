"""One image with its reference, as a training takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.labels import IGNORED
from segscale.tasks.normalize import Recipe


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """One image, or one slice of a volume, with its reference, as stored."""

    image_id: str
    """Of the image; the slices of a volume share it."""
    pixels: NDArray[Any]
    """(H, W, C) integers or float32, not normalised."""
    recipe: Recipe
    """What normalises the pixels."""
    reference: NDArray[np.uint8]
    """(H, W) class indices; 255 counts in nothing."""
    groups: Mapping[str, str] = field(default_factory=dict)
    """The image's values of the manifest's group columns, such as patient_id."""


def check_samples(samples: Sequence[Sample], n_classes: int, channels: int) -> None:
    """Raise ValueError where a sample does not fit a network of `channels` inputs and `n_classes` classes.

    An image of 1 channel fits any network: it is repeated. Classes count the background.
    """
    if not samples:
        raise ArgumentError("training needs at least one sample, got none")
    for sample in samples:
        _check_sample(sample, n_classes, channels)


def _check_sample(sample: Sample, n_classes: int, channels: int) -> None:
    name, shape, reference = f"image {sample.image_id!r}", sample.pixels.shape, sample.reference
    if len(shape) != 3 or shape[:2] != reference.shape or 0 in shape:
        raise ArgumentError(f"{name}: pixels {shape} and reference {reference.shape} must be (H, W, C) and (H, W)")
    if shape[2] not in (1, channels):
        raise ArgumentError(f"{name}: {shape[2]} channels, the network takes {channels}")
    if reference.dtype != np.uint8:
        raise ArgumentError(f"{name}: the reference must be uint8 class indices, got {reference.dtype}")
    strange = sorted({int(value) for value in np.unique(reference)} - {*range(n_classes), IGNORED})
    if strange:
        raise ArgumentError(
            f"{name}: reference values {strange[:5]} are neither a class of {n_classes} "
            f"nor {IGNORED} (ignored); map the values of the file to class indices"
        )
