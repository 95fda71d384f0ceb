"""Sets of made-up images to count: no files, no model, every pixel drawn from a seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import special

Pixels = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """A set of images of one size."""

    name: str
    n_images: int
    n_distinct: int
    """Images in memory, more than the caches hold; a larger set visits them again."""
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Arrays:
    """Images (n, ...) as the contestants take them."""

    reference: Pixels
    """uint8 class indices."""
    float32: Pixels
    float16: Pixels
    codes: Pixels
    """uint8, floor(256 p) and at most 255."""
    prediction: Pixels
    """bool, p >= 1/2."""


def made_images(setting: Setting, seed: int = 0) -> Arrays:
    """Discs of all sizes with a soft and slightly noisy edge: nearly all probabilities lie close to 0 or 1."""
    generator = np.random.default_rng(seed)
    height, width = setting.shape[-2:]
    leading = (setting.n_distinct, *setting.shape[:-2])
    n_planes = math.prod(leading)
    y, x = np.arange(height)[:, None], np.arange(width)
    reference = np.empty((n_planes, height, width), np.uint8)
    probabilities = np.empty((n_planes, height, width), np.float32)
    noise = generator.normal(0, 2, (height, width))
    for plane, (row, column, radius) in enumerate(generator.random((n_planes, 3))):
        inside = 0.4 * radius * height - np.hypot(y - row * height, x - column * width)
        reference[plane] = inside > 0
        probabilities[plane] = special.expit(inside + np.roll(noise, plane, axis=1))
    shape = (*leading, height, width)
    reference, probabilities = reference.reshape(shape), probabilities.reshape(shape)
    codes = np.minimum(probabilities * 256, 255).astype(np.uint8)
    return Arrays(reference, probabilities, probabilities.astype(np.float16), codes, probabilities >= np.float32(0.5))
