"""Overlap counts of stacks: many images of one size in one call, where a call for each costs more than its pixels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from segscale.errors import ArgumentError
from segscale.tasks.compiled import EFFORT
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.label_words import MOST_CLASSES, WORD, Uint8Array, Uint64Array, count_few_labels, in_words
from segscale.tasks.metrics.overlap import (
    CLASS_COLUMNS,
    MAX_CLASSES,
    Float64Array,
    Int64Array,
    OverlapCounts,
    count_overlap,
)
from segscale.tasks.metrics.overlap_inputs import native_probabilities
from segscale.tasks.metrics.regions import Regions, as_regions, sums_of_confusion

_IGNORED = 255
"""The value that the passes over two classes know as ignored."""
_MOST_PIXELS = 2**31
"""Of an image; its cells have 32 bits."""


_ARRAYS = (*CLASS_COLUMNS, "histogram_foreground", "histogram_background")


@dataclass(frozen=True, slots=True, eq=False)
class StackCounts:
    """The counts of N images of one size: the fields of `OverlapCounts`, with a first axis for the images."""

    n_pixels: int
    """Of each image."""
    n_ignored: Int64Array
    """(N,)"""
    true_positive: Int64Array
    """(N, C), as all others but the histograms."""
    false_positive: Int64Array
    false_negative: Int64Array
    true_negative: Int64Array
    soft_intersection: Float64Array
    soft_prediction_sum: Float64Array
    soft_prediction_squared_sum: Float64Array
    reference_sum: Int64Array
    histogram_foreground: Int64Array
    """(N, H, 256)"""
    histogram_background: Int64Array

    def __len__(self) -> int:
        return len(self.n_ignored)

    def image(self, place: int) -> OverlapCounts:
        """The counts of one image."""
        return OverlapCounts(
            self.n_pixels, int(self.n_ignored[place]), *[getattr(self, name)[place] for name in _ARRAYS]
        )


def count_overlaps(
    references: Uint8Array,
    *,
    n_classes: int,
    probabilities: Uint8Array | None = None,
    label_maps: Uint8Array | None = None,
    threshold: float = 0.5,
    ignore_index: int | None = None,
    regions: Sequence[Sequence[int]] = (),
) -> StackCounts:
    """Count the overlap of each of N images with its reference: what `count_overlap` counts of them one by one.

    references: uint8 class indices 0..C-1 or `ignore_index`, (N, height, width) or (N, depth, height, width).
    probabilities: of two classes, uint8 codes of the references' shape.
    label_maps: instead of them, predicted class indices 0..C-1, uint8 of the references' shape.
    regions: the classes of each region, which is counted behind the classes.

    Raises what `count_overlap` does of the first image that it refuses.

    >>> references, label_maps = np.uint8([[[1, 1, 0]], [[0, 0, 0]]]), np.uint8([[[1, 0, 1]], [[0, 0, 1]]])
    >>> count_overlaps(references, n_classes=2, label_maps=label_maps).false_positive.tolist()
    [[1, 1], [0, 1]]
    """
    if (probabilities is None) == (label_maps is None):
        given = "neither" if label_maps is None else "both"
        raise ArgumentError(f"expected exactly one of probabilities and label_maps, got {given}")
    kind, predictions = ("probabilities", probabilities) if label_maps is None else ("label_map", label_maps)
    assert predictions is not None
    _refuse_other_arrays(references, predictions, kind, n_classes)
    found = as_regions(regions, n_classes)
    ignored = ignore_index if ignore_index is not None and 0 <= ignore_index <= _IGNORED else None

    def count_alone(place: int) -> OverlapCounts:
        given: dict[str, Any] = {kind: predictions[place]}
        return count_overlap(
            references[place],
            n_classes=n_classes,
            threshold=threshold,
            ignore_index=ignore_index,
            regions=found,
            **given,
        )

    if not len(references):
        return _no_images(n_classes, len(found), kind, math.prod(references.shape[1:]))
    if kind == "label_map":
        counts, refused = _count_label_maps(references, predictions, n_classes, ignored, found)
    elif n_classes == 2 and not found and ignored in (None, _IGNORED) and references[0].size < _MOST_PIXELS:
        # Refuses a threshold that codes cannot have; of the pixels it learns from the pass below.
        native_probabilities(predictions[0], predictions[0].shape, n_classes, threshold)
        counts, refused = _count_codes(references, predictions, threshold, ignored)
    else:
        return _joined([count_alone(place) for place in range(len(references))])
    if refused is not None:
        count_alone(refused)
        raise AssertionError(f"image {refused} was refused in a stack, and not by itself")
    return counts


def _refuse_other_arrays(references: Uint8Array, predictions: Uint8Array, kind: str, n_classes: int) -> None:
    if not 2 <= n_classes <= MAX_CLASSES:
        raise ArgumentError(f"n_classes: expected 2 to {MAX_CLASSES} (the background is one of them), got {n_classes}")
    for name, array in (("references", references), (kind, predictions)):
        if type(array) is not np.ndarray or array.dtype != np.uint8:
            found = getattr(array, "dtype", type(array).__name__)
            raise ArgumentError(f"{name}: expected a stack of images as an array of uint8, got {found}")
    if references.ndim not in (3, 4) or 0 in references.shape[1:]:
        raise ArgumentError(
            f"references: expected (N, height, width) or (N, depth, height, width) with at least one pixel an image, "
            f"got shape {references.shape}"
        )
    several = kind == "probabilities" and n_classes > 2
    expected = (*references.shape, n_classes) if several else references.shape
    if predictions.shape != expected:
        raise ArgumentError(f"{kind}: expected shape {expected} as of the references, got {predictions.shape}")


def _count_label_maps(
    references: Uint8Array, label_maps: Uint8Array, n_classes: int, ignored: int | None, regions: Regions
) -> tuple[StackCounts, int | None]:
    (words, n_filled), (predicted, _) = in_words(references), in_words(label_maps)
    if EFFORT.spend(references.size) or n_classes > MOST_CLASSES or regions:
        sums, n_ignored, refused = _count_compiled(words, predicted, n_classes, n_filled, ignored, regions)
    else:
        sums, n_ignored, refused = count_few_labels(words, predicted, n_classes, n_filled, ignored)
    n_pixels = math.prod(references.shape[1:])
    true_positive, reference_sum, predicted_sum = sums
    unknown = np.full(true_positive.shape, np.nan)
    no_histograms = np.zeros((len(references), 0, BINS), np.int64)
    return StackCounts(
        n_pixels=n_pixels,
        n_ignored=n_ignored,
        true_positive=true_positive,
        false_positive=predicted_sum - true_positive,
        false_negative=reference_sum - true_positive,
        true_negative=(n_pixels - n_ignored)[:, np.newaxis] - reference_sum - predicted_sum + true_positive,
        soft_intersection=unknown,
        soft_prediction_sum=unknown,
        soft_prediction_squared_sum=unknown,
        reference_sum=reference_sum,
        histogram_foreground=no_histograms,
        histogram_background=no_histograms,
    ), refused


def _count_compiled(
    words: Uint64Array, predicted: Uint64Array, n_classes: int, n_filled: int, ignored: int | None, regions: Regions
) -> tuple[Int64Array, Int64Array, int | None]:
    """What `count_few_labels` does, of any number of classes, and of regions."""
    from segscale.tasks.metrics.stack_kernels import ALL_VALID, NOTHING_IGNORED, count_many_labels, count_two_labels

    if n_classes == 2 and ignored in (None, _IGNORED):
        confusion, refused = count_two_labels(words, predicted, n_filled, ignored is not None)
    else:
        ignored_label = NOTHING_IGNORED if ignored is None else ignored
        confusion, refused = count_many_labels(words, predicted, n_classes, n_filled, ignored_label)
    sums = sums_of_confusion(confusion, regions)
    n_pixels = words.shape[1] * WORD - n_filled
    return sums, n_pixels - confusion.sum(axis=(1, 2)), None if refused == ALL_VALID else refused


def _count_codes(
    references: Uint8Array, codes: Uint8Array, threshold: float, ignored: int | None
) -> tuple[StackCounts, int | None]:
    from segscale.tasks.metrics.stack_kernels import ALL_VALID, count_codes

    words, n_filled = in_words(references)
    edge = int(threshold * BINS)
    counts, soft, histograms, refused = count_codes(words, in_words(codes)[0], n_filled, ignored is not None, edge)
    n_pixels = math.prod(references.shape[1:])
    return StackCounts(
        n_pixels=n_pixels,
        n_ignored=n_pixels - counts[:, 4].sum(axis=1),
        true_positive=counts[:, 0],
        false_positive=counts[:, 1],
        false_negative=counts[:, 2],
        true_negative=counts[:, 3],
        soft_intersection=soft[:, 0],
        soft_prediction_sum=soft[:, 1],
        soft_prediction_squared_sum=soft[:, 2],
        reference_sum=counts[:, 4],
        histogram_foreground=histograms[:, 1:],
        histogram_background=histograms[:, :1],
    ), None if refused == ALL_VALID else refused


def _no_images(n_classes: int, n_regions: int, kind: str, n_pixels: int) -> StackCounts:
    n_histograms = 0 if kind == "label_map" else n_regions + (1 if n_classes == 2 else n_classes)
    nothing = _joined([OverlapCounts.zero(n_classes + n_regions, n_histograms=n_histograms)])
    arrays = {name: getattr(nothing, name)[:0] for name in ("n_ignored", *_ARRAYS)}
    return StackCounts(n_pixels, **arrays)


def _joined(counts: Sequence[OverlapCounts]) -> StackCounts:
    arrays = {name: np.stack([getattr(one, name) for one in counts]) for name in _ARRAYS}
    return StackCounts(counts[0].n_pixels, np.array([one.n_ignored for one in counts]), **arrays)
