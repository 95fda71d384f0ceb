"""Counts as rows: what the kernel counted of one image, ready to be committed in a part."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from segscale.storage import parts
from segscale.storage.failures import Failure, to_columns
from segscale.storage.parts import FailedImage
from segscale.tasks.metrics.overlap import OverlapCounts
from segscale.tasks.metrics.regions import Regions, with_regions

_PIXELS_TOGETHER = 1 << 20


def count_rows(image_id: str, head: str, counts: OverlapCounts) -> list[dict[str, Any]]:
    """The rows of a part for one sound image and head, one per class and region behind, in the columns of
    `storage.parts.SCHEMA`.
    """
    n_classes = len(counts.true_positive)
    first_histogram = n_classes - len(counts.histogram_foreground)
    has_histogram = (np.arange(n_classes) >= first_histogram) & ~np.isnan(counts.soft_intersection)
    return [
        {
            "image_id": image_id,
            "head": head,
            **of_class(counts, index),
            **{
                name: getattr(counts, name)[index - first_histogram].tolist() if has_histogram[index] else None
                for name in parts.HISTOGRAMS
            },
            **to_columns(None),
            parts.REFERENCE_PIXELS: int(counts.reference_sum[index]),
        }
        for index in range(n_classes)
    ]


def of_class(counts: OverlapCounts, index: int) -> dict[str, Any]:
    """What was counted of a class or region, histograms left out."""
    return {
        "class_index": index,
        "n_pixels": counts.n_pixels,
        "n_ignored": counts.n_ignored,
        **{name: int(getattr(counts, name)[index]) for name in parts.COUNTS[2:]},
        **{name: float(getattr(counts, name)[index]) for name in parts.SOFT_SUMS},
    }


def failed_rows(
    image_id: str, head: str, n_classes: int, failure: Failure, reference_pixels: Sequence[int] | None = None
) -> list[dict[str, Any]]:
    """The rows of a part for an image that could not be counted: null counts, NaN sums, and the reason.

    n_classes: regions included, as in all that follows. reference_pixels: of each of them, where image and reference
    are sound and the prediction alone is not.
    """
    known: Sequence[int | None] = reference_pixels or [None] * n_classes
    nothing = dict.fromkeys((*parts.COUNTS, *parts.HISTOGRAMS))
    unknown = dict.fromkeys(parts.SOFT_SUMS, float("nan"))
    return [
        {
            "image_id": image_id,
            "head": head,
            "class_index": index,
            **nothing,
            **unknown,
            **to_columns(failure),
            parts.REFERENCE_PIXELS: known[index],
        }
        for index in range(n_classes)
    ]


def encode_counted(
    image_ids: Sequence[str], head: str, counted: Sequence[OverlapCounts | FailedImage], n_classes: int
) -> bytes:
    """The Parquet file of a part of one head, from what was counted of each image, or why nothing was."""
    failed = {place: one for place, one in enumerate(counted) if isinstance(one, FailedImage)}
    sound = [(place, one) for place, one in enumerate(counted) if isinstance(one, OverlapCounts)]
    places = [place for place, _ in sound]

    def column(name: str, dtype: type[Any], *shape: int) -> npt.NDArray[Any]:
        values = np.zeros((len(counted), *shape), dtype)
        if sound:
            values[places] = np.array([getattr(one, name) for _, one in sound]).reshape(len(sound), *shape)
        return values

    counts = {name: column(name, np.int64, 1 if name in parts.COUNTS[:2] else n_classes) for name in parts.COUNTS}
    if all(not len(one.histogram_foreground) for _, one in sound):
        return parts.encode_counts(image_ids, head, counts, failed=failed)
    soft_sums = {name: column(name, np.float64, n_classes) for name in parts.SOFT_SUMS}
    n_bins = max(len(one.histogram_foreground) for _, one in sound)
    histograms = {name: np.zeros((len(counted), n_bins, parts.BINS), np.int64) for name in parts.HISTOGRAMS}
    for place, one in sound:
        # Beside probabilities label maps have none.
        if len(one.histogram_foreground):
            for name, values in histograms.items():
                values[place] = getattr(one, name)
    return parts.encode_counts(image_ids, head, counts, soft_sums=soft_sums, histograms=histograms, failed=failed)


def class_pixels(reference: npt.NDArray[np.uint8], n_classes: int, regions: Regions = ()) -> list[int]:
    """How many pixels of each class, and of each region behind them, a reference (D, H, W) of class indices has.

    Other values are ignored ones.
    """
    pixels, found = reference.ravel(), np.zeros(256, np.int64)
    # Some at a time: numpy counts integers of 64 bits, eight times what a large image takes.
    for start in range(0, pixels.size, _PIXELS_TOGETHER):
        found += np.bincount(pixels[start : start + _PIXELS_TOGETHER], minlength=256)
    counted: list[int] = with_regions(found[:n_classes], regions).tolist()
    return counted
