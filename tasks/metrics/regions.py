"""Regions: classes that are counted together, as one thing, beside the classes themselves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.bins import BINS

Regions = tuple[tuple[int, ...], ...]
"""The class indices of each region. Whatever has an entry for each class has one for each region behind them."""
KEYS = ("regions", "region_channels")
"""Of records that hold regions."""
IGNORED = 255
"""In marks."""


def as_regions(regions: Sequence[Sequence[int]], n_classes: int) -> Regions:
    """Regions as they are counted. ArgumentError for one without a class, and for an index that is no class."""
    found = tuple(tuple(int(index) for index in region) for region in regions)
    for region in found:
        if not region or not all(0 <= index < n_classes for index in region):
            raise ArgumentError(
                f"regions: expected for each the indices of its classes, 0..{n_classes - 1}, got {list(region)}"
            )
    return found


@cache
def members(regions: Regions, n_classes: int) -> NDArray[np.uint8]:
    """(R, C) 1 where the class is in the region."""
    inside = np.zeros((len(regions), n_classes), np.uint8)
    for row, region in zip(inside, regions, strict=True):
        row[list(region)] = 1
    return inside


def with_regions(pixels: NDArray[np.int64], regions: Regions) -> NDArray[np.int64]:
    """Pixels of each class (..., C), and behind them those of each region (..., C + R)."""
    if not regions:
        return pixels
    inside = members(regions, pixels.shape[-1]).astype(np.int64)
    return np.concatenate([pixels, pixels @ inside.T], axis=-1)


def sums_of_confusion(confusion: NDArray[np.int64], regions: Regions) -> NDArray[np.int64]:
    """True positive, reference and predicted pixels of each class and region, int64 (3, ..., C + R).

    confusion: int64 (..., C, C) of reference against prediction. A pixel is in a region where its class is, so a pixel
    of which reference and prediction hold two classes of one region is right there.

    >>> sums_of_confusion(np.array([[5, 1, 0], [0, 2, 3], [1, 0, 4]]), ((1, 2),)).tolist()
    [[5, 2, 4, 9], [6, 5, 5, 10], [6, 3, 7, 10]]
    """
    reference, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    both = confusion.diagonal(axis1=-2, axis2=-1)
    if not regions:
        return np.stack([both, reference, predicted])
    inside = members(regions, confusion.shape[-1]).astype(np.int64)
    within = np.concatenate([both, ((inside @ confusion) * inside).sum(axis=-1)], axis=-1)
    return np.stack([within, with_regions(reference, regions), with_regions(predicted, regions)])


def soft_counts(
    labels: NDArray[Any],
    probabilities: NDArray[Any],
    table: NDArray[np.float32],
    regions: Regions,
    ignore_index: int | None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Soft sums (3, R) and histograms (2, R, BINS), background first, of the regions' probabilities.

    The probability of a region is the sum of those of its classes, in float64, rounded to float32 and 1 at most.

    labels: checked class indices, or what is ignored. probabilities: checked too, of their shape (the foreground of two
    classes) or with C channels behind; `table` is what its codes look up.
    """
    from segscale.tasks.metrics.foreground_kernel import count_two_classes

    soft, histograms = np.empty((3, len(regions))), np.empty((2, len(regions), BINS), np.int64)
    for place, region in enumerate(regions):
        marked = marks(labels, region, ignore_index).reshape(1, 1, -1)
        summed = _summed(probabilities, table, region, labels.ndim)
        _, sums, found, _ = count_two_classes(marked, summed.reshape(1, 1, -1), IGNORED, True, np.float32(0.5))
        soft[:, place], histograms[:, place] = sums[:, 1], found
    return soft, histograms


def marks(labels: NDArray[Any], region: Sequence[int], ignore_index: int | None) -> NDArray[np.uint8]:
    """1 where a label is of the region, 0 elsewhere, `IGNORED` where it counts in nothing."""
    marked = np.isin(labels, region).astype(np.uint8)
    if ignore_index is not None:
        marked[labels == ignore_index] = IGNORED
    return marked


def _summed(
    probabilities: NDArray[Any], table: NDArray[np.float32], region: tuple[int, ...], ndim: int
) -> NDArray[np.float32]:
    def channel(index: int) -> NDArray[np.float32]:
        # Of two classes the foreground alone is there.
        stored = probabilities[..., index] if probabilities.ndim > ndim else probabilities
        values = table[stored] if table.size else stored.astype(np.float32)
        return 1 - values if probabilities.ndim == ndim and index == 0 else values

    total = np.zeros(probabilities.shape[:ndim])
    for index in sorted(set(region)):
        total += channel(index)
    return np.minimum(total, 1).astype(np.float32)


def without_none(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record as keys hold it: without entries about regions that are empty, as it was before there were any."""
    return {name: value for name, value in record.items() if name not in KEYS or value}
