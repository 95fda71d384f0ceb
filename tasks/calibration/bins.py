"""Bins of probabilities: between two kept thresholds, how many pixels there are, and how many of them are foreground.

The thresholds k/B, k from 1 to B - 1, cut the probability of the foreground into B bins: bin k holds k/B <= p <
(k+1)/B, the last one 1 too. What lies in a bin is the difference of what lies at or above its two ends.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.count_columns import Float64Array, Int64Array

ROUNDING = 1e-6
"""Share of the pixels by which a sum of probabilities may miss what its bins allow: sums of floats round."""


@dataclass(frozen=True, slots=True)
class Bins:
    """Pixels by their probability, a row for each image, unit, or sum of some."""

    pixels: Int64Array
    """(R, B)."""
    positives: Int64Array
    """(R, B) those that are foreground in the reference."""
    soft: Float64Array
    """(R,) sum of the probabilities of all pixels of a row; NaN where it is not known."""

    @property
    def size(self) -> int:
        """Rows."""
        return len(self.pixels)

    def take(self, rows: NDArray[np.intp] | Int64Array) -> Bins:
        """Some of the rows."""
        return Bins(self.pixels[rows], self.positives[rows], self.soft[rows])

    def sum_by(self, codes: NDArray[np.intp] | Int64Array, n: int) -> Bins:
        """(n, B) sums of the rows of each code; NaN makes a sum of probabilities NaN."""
        return Bins(
            sum_by(self.pixels, codes, n),
            sum_by(self.positives, codes, n),
            np.bincount(codes, weights=self.soft, minlength=n).astype(np.float64),
        )


def sum_by(rows: Int64Array, codes: NDArray[np.intp] | Int64Array, n: int) -> Int64Array:
    """(n, ...) sums of the rows of each code from 0 to n - 1, exactly."""
    sums = np.zeros((n, *rows.shape[1:]), np.int64)
    if not len(rows):
        return sums
    if n == 1:
        np.sum(rows, axis=0, keepdims=True, out=sums)
        return sums
    order = np.argsort(codes, kind="stable")
    in_order = np.asarray(codes)[order]
    starts = np.flatnonzero(np.diff(in_order, prepend=-1))
    if starts.size == len(rows):
        # Most images are a cluster each: there is nothing to add.
        sums[codes] = rows
    else:
        sums[in_order[starts]] = np.add.reduceat(rows[order], starts, axis=0)
    return sums


def bins_of(
    true_positive: Int64Array,
    predicted: Int64Array,
    reference_sum: Int64Array,
    n_pixels: Int64Array,
    soft: Float64Array,
) -> Bins:
    """Bins from counts at the thresholds: true_positive and predicted (R, B - 1) rising by threshold, the rest (R,).

    ArgumentError where they contradict each other, which those of a sound report never do.

    >>> found = bins_of(*(np.array([[2, 1, 1]]), np.array([[3, 2, 1]])), np.array([3]), np.array([9]), np.array([2.5]))
    >>> found.pixels, found.positives
    (array([[6, 1, 1, 1]]), array([[1, 1, 0, 1]]))
    """
    pixels, positives = _between(predicted, n_pixels), _between(true_positive, reference_sum)
    negatives = pixels - positives
    if min(positives.min(initial=0), negatives.min(initial=0)) < 0:
        raise ArgumentError("thresholds: the counts at successive thresholds and those of per_image contradict another")
    places = np.arange(pixels.shape[1], dtype=np.float64)
    lowest = pixels @ places / pixels.shape[1]
    allowed = n_pixels * ROUNDING
    outside = (soft < lowest - allowed) | (soft > lowest + n_pixels / pixels.shape[1] + allowed)
    if outside.any():
        raise ArgumentError(
            f"per_image: soft_prediction_sum of {int(outside.sum())} images is none that the counts of thresholds allow"
        )
    return Bins(pixels, positives, soft)


def _between(at_least: Int64Array, of_all: Int64Array) -> Int64Array:
    cumulated = np.empty((len(at_least), at_least.shape[1] + 2), np.int64)
    cumulated[:, 0], cumulated[:, 1:-1], cumulated[:, -1] = of_all, at_least, 0
    return -np.diff(cumulated, axis=1)
