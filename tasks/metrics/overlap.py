"""Overlap counts of one image: the additive record that every score is computed from, later.

The compiled passes are imported by what calls them: they bring numba, which takes half a second to load, and most who
import this module only add counts up.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.bins import BINS
from segscale.tasks.metrics.overlap_inputs import (
    label_codes,
    native_labels,
    native_probabilities,
    refuse_bad_labels,
    refuse_bad_probabilities,
)
from segscale.tasks.metrics.regions import Regions, as_regions, soft_counts, sums_of_confusion

Int64Array = NDArray[np.int64]
Float64Array = NDArray[np.float64]

MAX_CLASSES = 256
"""As many as uint8 labels can name."""
"""Bins of the probability histograms; bin k holds k/256 <= p < (k+1)/256, the last one p = 1 as well."""


@dataclass(frozen=True, slots=True, eq=False)
class OverlapCounts:
    """Additive overlap counts of an image, of a part of one, or of many: `+` joins them, `zero` is neutral.

    The class axis C comes first and starts with the background; regions stand in it behind the classes, as if they were
    more of them. Ignored pixels count in `n_pixels` and `n_ignored`, in nothing else. Two records are equal if all
    their arrays are (NaN equals NaN).
    """

    n_pixels: int
    """All pixels of the reference, ignored ones included."""
    n_ignored: int
    """Pixels that the reference marks as not to be scored."""
    true_positive: Int64Array
    """(C,) pixels of the class in reference and prediction, at the threshold or by argmax."""
    false_positive: Int64Array
    """(C,) pixels of the class in the prediction only."""
    false_negative: Int64Array
    """(C,) pixels of the class in the reference only."""
    true_negative: Int64Array
    """(C,) pixels of the class in neither."""
    soft_intersection: Float64Array
    """(C,) sum of p over the reference pixels of the class; NaN for label maps, and for classes without a channel."""
    soft_prediction_sum: Float64Array
    """(C,) sum of p over all counted pixels; NaN for label maps, and for classes without a channel."""
    soft_prediction_squared_sum: Float64Array
    """(C,) sum of p squared over all counted pixels; NaN for label maps, and for classes without a channel."""
    reference_sum: Int64Array
    """(C,) reference pixels of the class."""
    histogram_foreground: Int64Array
    """(H, 256) reference pixels of the class by bin. H is 1 (class 1) of two classes, C of more, 0 of label maps; with
    regions that many more, but of label maps. Where soft sums are NaN it says nothing."""
    histogram_background: Int64Array
    """(H, 256) counted pixels of any other class by bin."""

    def __post_init__(self) -> None:
        expected = self.true_positive.shape
        assert len(expected) == 1
        for name in CLASS_COLUMNS:
            assert getattr(self, name).shape == expected, name
        assert self.histogram_foreground.shape == self.histogram_background.shape == (self.n_histograms, BINS)

    @property
    def n_classes(self) -> int:
        """C, the background and regions included."""
        return self.true_positive.size

    @property
    def n_histograms(self) -> int:
        """H, the rows of the histograms: 0 says that no probabilities were counted."""
        return len(self.histogram_foreground)

    @classmethod
    def zero(cls, n_classes: int, *, n_histograms: int = 0) -> Self:
        """Counts of no pixels, to start a sum with; soft sums are NaN where there are no histograms (label maps)."""
        counts, histogram = np.zeros(n_classes, np.int64), np.zeros((n_histograms, BINS), np.int64)
        soft = np.full(n_classes, 0.0 if n_histograms else np.nan)
        return cls(0, 0, counts, counts, counts, counts, soft, soft, soft, counts, histogram, histogram)

    def __add__(self, other: Self) -> Self:
        """Counts of both; ValueError if they differ in classes or in the kind of prediction."""
        shape, other_shape = (self.n_classes, self.n_histograms), (other.n_classes, other.n_histograms)
        if shape != other_shape:
            raise ArgumentError(
                f"overlap counts of {shape[0]} classes with {shape[1]} histograms cannot be added to counts of "
                f"{other_shape[0]} classes with {other_shape[1]}: count all parts with the same n_classes, and all "
                f"from probabilities or all from label maps"
            )
        names = [field.name for field in fields(self)]
        return type(self)(*(getattr(self, name) + getattr(other, name) for name in names))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, OverlapCounts):
            return NotImplemented
        names = [field.name for field in fields(self)]
        return all(
            np.array_equal(getattr(self, name), getattr(other, name), equal_nan=name.startswith("soft"))
            for name in names
        )


CLASS_COLUMNS = tuple(field.name for field in fields(OverlapCounts)[2:10])
"""Fields with one value per class."""


def count_overlap(
    reference: NDArray[Any],
    *,
    n_classes: int,
    probabilities: NDArray[Any] | None = None,
    label_map: NDArray[Any] | None = None,
    threshold: float = 0.5,
    ignore_index: int | None = None,
    regions: Sequence[Sequence[int]] = (),
) -> OverlapCounts:
    """Count the overlap of one image's prediction with its reference, in one pass over the pixels.

    reference: class indices 0..C-1 or `ignore_index`, which goes first; (height, width) or (depth, height, width), any
        integer dtype or bool, any strides.
    probabilities: of the reference's shape, or that shape and a last axis of 1 (both: the foreground of two classes),
        or of C channels (of two, channel 1 is read and the background is 1 - p). float16, float32, float64 (rounded to
        float32 first), or uint8 that holds min(floor(256 p), 255) and is read as q/256. Values must lie in 0..1.
    label_map: instead of probabilities, predicted class indices 0..C-1 of the reference's shape.
    threshold: two classes: foreground where p >= threshold, both as float32; with uint8 a multiple of 1/256 below 1.
        More classes: not used, argmax decides, and the first maximum wins.
    regions: the classes of each region, which is counted behind the classes: a pixel is in it, in the reference or in
        the prediction, where its class is. The probability of a region is the sum of those of its classes.

    Both predictions and labels are checked at ignored pixels too. An array of shape (height, width, 2) is taken as a
    volume where it is both reference and probabilities: pass class indices, never one-hot references.

    Raises ValueError for shapes that do not fit, labels that are no class, probabilities not finite or outside 0..1,
    and regions of no class or of what is none.

    >>> counts = count_overlap(np.array([[1, 1, 0, 0]]), n_classes=2, probabilities=np.float32([[0.9, 0.2, 0.6, 0.1]]))
    >>> counts.true_positive, counts.false_positive, counts.false_negative
    (array([1, 1]), array([1, 1]), array([1, 1]))
    """
    if not 2 <= n_classes <= MAX_CLASSES:
        raise ArgumentError(f"n_classes: expected 2 to {MAX_CLASSES} (the background is one of them), got {n_classes}")
    if (probabilities is None) == (label_map is None):
        given = "neither" if label_map is None else "both"
        raise ArgumentError(f"expected exactly one of probabilities and label_map, got {given}")
    counted = as_regions(regions, n_classes)
    labels = native_labels(reference, "reference")
    if ignore_index is not None and labels.dtype.kind == "u" and ignore_index < 0:
        ignore_index = None
    if label_map is not None:
        return _count_label_map(labels, native_labels(label_map, "label_map"), n_classes, ignore_index, counted)
    assert probabilities is not None
    values, table = native_probabilities(probabilities, labels.shape, n_classes, threshold)
    if n_classes == 2:
        return _count_foreground(labels, values, table, threshold, ignore_index, counted)
    return _count_channels(labels, values, table, ignore_index, counted)


def _count_foreground(
    reference: NDArray[Any],
    probabilities: NDArray[Any],
    table: NDArray[np.float32],
    threshold: float,
    ignore_index: int | None,
    regions: Regions,
) -> OverlapCounts:
    from segscale.tasks.metrics.foreground_kernel import count_two_classes

    codes, ignored = label_codes(reference, 2, ignore_index)
    counts, soft, histograms, valid = count_two_classes(
        *_as_volumes(codes, probabilities), *_ignored(ignored), np.float32(threshold)
    )
    if not valid:
        refuse_bad_labels(reference, "reference", 2, ignore_index)
        refuse_bad_probabilities(probabilities, table)
    if regions:
        true_positive, false_positive, false_negative, true_negative = counts[:4, 1]
        confusion = np.array([[true_negative, false_positive], [false_negative, true_positive]])
        of_regions = soft_counts(reference, probabilities, table, regions, ignore_index)
        return _from_confusion(reference.size, confusion, *_behind((soft, histograms[:, None]), of_regions), regions)
    return OverlapCounts(
        n_pixels=reference.size,
        n_ignored=reference.size - int(counts[4, 0]) - int(counts[4, 1]),
        true_positive=counts[0],
        false_positive=counts[1],
        false_negative=counts[2],
        true_negative=counts[3],
        soft_intersection=soft[0],
        soft_prediction_sum=soft[1],
        soft_prediction_squared_sum=soft[2],
        reference_sum=counts[4],
        histogram_foreground=histograms[1:],
        histogram_background=histograms[:1],
    )


def _count_channels(
    reference: NDArray[Any],
    probabilities: NDArray[Any],
    table: NDArray[np.float32],
    ignore_index: int | None,
    regions: Regions,
) -> OverlapCounts:
    from segscale.tasks.metrics.kernels import count_argmax

    n_classes = probabilities.shape[-1]
    codes, ignored = label_codes(reference, n_classes, ignore_index)
    confusion, soft, histograms, valid = count_argmax(*_as_volumes(codes, probabilities), *_ignored(ignored))
    if not valid:
        refuse_bad_labels(reference, "reference", n_classes, ignore_index)
        refuse_bad_probabilities(probabilities, table)
    if regions:
        of_regions = soft_counts(reference, probabilities, table, regions, ignore_index)
        soft, histograms = _behind((soft, histograms), of_regions)
    return _from_confusion(reference.size, confusion, soft, histograms, regions)


def _count_label_map(
    reference: NDArray[Any], label_map: NDArray[Any], n_classes: int, ignore_index: int | None, regions: Regions
) -> OverlapCounts:
    if label_map.shape != reference.shape:
        raise ArgumentError(
            f"label_map: expected the reference's shape {reference.shape}, got {label_map.shape}: pass class indices "
            f"without a channel axis, argmax of one-hot channels"
        )
    from segscale.tasks.metrics.kernels import count_labels

    codes, ignored = label_codes(reference, n_classes, ignore_index)
    predicted, _ = label_codes(label_map, n_classes, None)
    confusion, valid = count_labels(*_as_volumes(codes, predicted), n_classes, *_ignored(ignored))
    if not valid:
        refuse_bad_labels(reference, "reference", n_classes, ignore_index)
        refuse_bad_labels(label_map, "label_map", n_classes, None)
    soft, no_histograms = np.full((3, n_classes + len(regions)), np.nan), np.zeros((2, 0, BINS), np.int64)
    return _from_confusion(reference.size, confusion.sum(axis=0), soft, no_histograms, regions)


def _behind(
    of_classes: tuple[Float64Array, Int64Array], of_regions: tuple[Float64Array, Int64Array]
) -> tuple[Float64Array, Int64Array]:
    """Soft sums and histograms of both, the regions behind the classes."""
    (soft, histograms), (soft_behind, behind) = of_classes, of_regions
    return np.concatenate([soft, soft_behind], axis=1), np.concatenate([histograms, behind], axis=1)


def _from_confusion(
    n_pixels: int, confusion: Int64Array, soft: Float64Array, histograms: Int64Array, regions: Regions
) -> OverlapCounts:
    """confusion (C, C): reference by prediction; soft (3, C + R); histograms (2, H, BINS), background first."""
    n_counted = int(confusion.sum())
    true_positive, reference_sum, predicted_sum = sums_of_confusion(confusion, regions)
    return OverlapCounts(
        n_pixels=n_pixels,
        n_ignored=n_pixels - n_counted,
        true_positive=true_positive,
        false_positive=predicted_sum - true_positive,
        false_negative=reference_sum - true_positive,
        true_negative=n_counted - reference_sum - predicted_sum + true_positive,
        soft_intersection=soft[0],
        soft_prediction_sum=soft[1],
        soft_prediction_squared_sum=soft[2],
        reference_sum=reference_sum,
        histogram_foreground=histograms[1],
        histogram_background=histograms[0],
    )


def _ignored(ignore_index: int | None) -> tuple[int, bool]:
    return (0, False) if ignore_index is None else (ignore_index, True)


def _as_volumes(first: NDArray[Any], second: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Three axes without a copy; one long row where memory allows it, as short rows cost a little each."""
    if first.flags.c_contiguous and second.flags.c_contiguous:
        return first.reshape(1, 1, -1), second.reshape(1, 1, -1, *second.shape[first.ndim :])
    return _with_depth(first, second)


def _with_depth(reference: NDArray[Any], prediction: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    return (reference[None], prediction[None]) if reference.ndim == 2 else (reference, prediction)
