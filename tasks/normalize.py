"""Normalisation of one image as an affine recipe.

The pixels stay the integers that the source had; the recipe makes them floats when they are read, on the device where
there is one. So a recipe is four numbers, found once from the true pixels, never from padding.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError, DataError

Method = Literal["unit", "window", "percentile", "zscore", "none"]

PERCENTILES = (0.5, 99.5)
"""Range kept by the method "percentile", in per cent of the pixels of the image."""

_BLOCK = 2**20  # numbers summed at a time, so that exact sums of large images need no second copy in memory


@dataclass(frozen=True, slots=True)
class Recipe:
    """x = (clip(v, clip_low, clip_high) - offset) / scale, in float32 and with true division.

    With offset 0 and scale 255 the stored value 255 becomes exactly 1.0.
    """

    clip_low: float  # -inf where nothing is clipped
    clip_high: float  # inf where nothing is clipped
    offset: float
    scale: float  # never 0


Meaning = Callable[[NDArray[Any]], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class _Numbers:
    """The pixels of an image, or what they are made of block by block."""

    stored: NDArray[Any]
    meant: Meaning | None

    @property
    def is_float(self) -> bool:
        return self.meant is not None or self.stored.dtype.kind == "f"

    def blocks(self) -> Iterator[NDArray[Any]]:
        # What is cut out of its padding is copied block by block.
        flat = self.stored.reshape(-1) if self.stored.flags.c_contiguous else self.stored.flat
        for start in range(0, self.stored.size, _BLOCK):
            block = flat[start : start + _BLOCK]
            yield block if self.meant is None else self.meant(block)

    def range(self) -> tuple[Any, Any]:
        """The lowest and the highest; of finite numbers alone."""
        if self.meant is None:
            return self.stored.min(), self.stored.max()
        lowest, highest = zip(*((block.min(), block.max()) for block in self.blocks()), strict=True)
        return min(lowest), max(highest)


def find_recipe(
    pixels: NDArray[Any],
    method: Method,
    *,
    full_scale: float,
    window: tuple[float, float],
    meant: Meaning | None = None,
) -> Recipe:
    """The recipe of one image.

    `pixels` is (depth, height, width, channels), integers or floats; `full_scale` the stored value that means 1.0
    (used by "unit"), `window` the lowest and highest value of interest (used by "window"); `meant` makes float32 pixels
    of what is given, where it is not the pixels: then they are made block by block.

    unit        0 to full scale becomes 0 to 1; values below 0 or above the full scale raise ValueError
    window      values are clipped to the window, which becomes 0 to 1
    percentile  likewise, with the 0.5 and 99.5 % quantiles of the image; with the whole range where these are equal
    zscore      mean 0 and population standard deviation 1 over all pixels and channels
    none        the stored values as they are, for a network that scales them itself

    A constant image gets scale 1, so "percentile" and "zscore" make it all 0. Depends on nothing but the arguments:
    moments of 8- and 16-bit integers are exact, others are summed in float64. NaN or infinity raises ValueError.
    """
    if not pixels.size:
        raise DataError(f"no pixels to normalise: shape {pixels.shape}")
    numbers = _Numbers(pixels, meant)
    _check_finite(numbers)
    match method:
        case "unit":
            return _unit(numbers, full_scale)
        case "window":
            low, high = window
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ArgumentError(f"window {window}: expected two finite numbers, the lower first")
            return _range(low, high)
        case "percentile":
            return _percentile(numbers)
        case "zscore":
            mean, deviation = _moments(numbers)
            return Recipe(-math.inf, math.inf, mean, _usable_scale(deviation))
        case "none":
            return Recipe(-math.inf, math.inf, 0.0, 1.0)
    raise ArgumentError(f"normalisation {method!r}: expected unit, window, percentile, zscore or none")


def apply_recipe(pixels: NDArray[Any], recipe: Recipe) -> NDArray[np.float32]:
    """Normalised float32 pixels of any shape: the reference for what the engines compute in their graphs.

    Values are rounded to float32 first, which keeps integers up to 2^24 exact.

    >>> apply_recipe(np.array([0, 255], np.uint8), Recipe(-math.inf, math.inf, 0.0, 255.0)).tolist()
    [0.0, 1.0]
    """
    values = pixels.astype(np.float32)
    np.clip(values, np.float32(recipe.clip_low), np.float32(recipe.clip_high), out=values)
    values -= np.float32(recipe.offset)
    values /= np.float32(recipe.scale)
    return values


def _check_finite(numbers: _Numbers) -> None:
    if not numbers.is_float:
        return
    size = numbers.stored.size
    finite = sum(int(np.count_nonzero(np.isfinite(block))) for block in numbers.blocks())
    if finite != size:
        raise DataError(f"{size - finite} of {size} pixel values are NaN or infinite; expected numbers")


def _unit(numbers: _Numbers, full_scale: float) -> Recipe:
    if not (math.isfinite(full_scale) and full_scale > 0):
        raise DataError(f"full_scale {full_scale}: expected a positive number")
    lowest, highest = numbers.range()
    if lowest < 0 or highest > full_scale:
        kind = "floats from 0" if numbers.is_float else "no negative values, and numbers"
        remedy = "" if lowest < 0 else "set dataset.full_scale, or "
        raise DataError(
            f"pixel values from {lowest} to {highest} under normalize = 'unit'; expected {kind} to {full_scale:.10g}, "
            f"the full scale: {remedy}choose window, percentile, zscore or none"
        )
    return Recipe(-math.inf, math.inf, 0.0, float(full_scale))


def _percentile(numbers: _Numbers) -> Recipe:
    low, high = (float(value) for value in _quantiles(numbers))
    if low == high:
        low, high = map(float, numbers.range())
    return _range(low, high)


def _quantiles(numbers: _Numbers) -> NDArray[Any]:
    pixels, meant = numbers.stored, numbers.meant
    if meant is not None and pixels.dtype.kind in "iu" and pixels.dtype.itemsize <= 2:
        return _quantiles_of_counts(pixels, meant)
    values = pixels if meant is None else meant(pixels)
    # Quantiles of float16 are float16.
    return np.asarray(np.percentile(values.astype(np.float32) if values.dtype == np.float16 else values, PERCENTILES))


def _quantiles_of_counts(pixels: NDArray[Any], meant: Meaning) -> NDArray[np.float64]:
    """What numpy finds of all pixels, from how often each number is stored: nothing of their size is sorted."""
    limits = np.iinfo(pixels.dtype)
    counts = sum(
        np.bincount(block.astype(np.int64) - limits.min, minlength=limits.max - limits.min + 1)
        for block in _Numbers(pixels, None).blocks()
    )
    values = meant(np.arange(limits.min, limits.max + 1).astype(pixels.dtype))
    order = np.argsort(values)
    up_to = np.cumsum(np.asarray(counts)[order])
    places = np.array(PERCENTILES) / 100 * (pixels.size - 1)
    below = np.floor(places).astype(np.int64)
    above = np.minimum(below + 1, pixels.size - 1)
    low, high = (values[order][np.searchsorted(up_to, place, side="right")] for place in (below, above))
    share, step = places - below, high - low
    # From the nearer of both, as numpy does it.
    return np.where(share >= 0.5, high - step * (1 - share), low + step * share)


def _range(low: float, high: float) -> Recipe:
    return Recipe(float(low), float(high), float(low), _usable_scale(float(high) - float(low)))


def _usable_scale(scale: float) -> float:
    """1 in place of a scale that is 0 or would be 0 in float32."""
    return scale if np.float32(scale) > 0 else 1.0


def _moments(numbers: _Numbers) -> tuple[float, float]:
    """Mean and population standard deviation; the deviation of equal values is exactly 0."""
    lowest, highest = numbers.range()
    if lowest == highest:
        return float(lowest), 0.0
    size = numbers.stored.size
    if not numbers.is_float and numbers.stored.dtype.itemsize <= 2:
        total = sum(int(block.sum(dtype=np.int64)) for block in numbers.blocks())
        squares = sum(int(np.square(block, dtype=np.int64).sum()) for block in numbers.blocks())
        # Python integers: the difference of the two large products is exact.
        return total / size, math.sqrt((size * squares - total * total) / size**2)
    mean = math.fsum(float(block.sum(dtype=np.float64)) for block in _in_doubles(numbers)) / size
    variance = math.fsum(float(np.square(block - mean, dtype=np.float64).sum()) for block in _in_doubles(numbers))
    return mean, math.sqrt(variance / size)


def _in_doubles(numbers: _Numbers) -> Iterator[NDArray[Any]]:
    kind = np.float64 if numbers.is_float else np.int64
    return (block.astype(kind) for block in numbers.blocks())
