"""Counts at many thresholds at once, from the probability histograms."""

import numpy as np
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.bins import BINS

Int64Array = NDArray[np.int64]


def cumulate(
    histogram_foreground: Int64Array, histogram_background: Int64Array, threshold_count: int
) -> tuple[Int64Array, Int64Array]:
    """True positives and predicted pixels with p >= k/threshold_count, for k = 1..threshold_count-1, exactly.

    Histograms are (..., 256), the answers int64 (..., threshold_count - 1). Of several classes it is each against the
    rest, never argmax. ValueError unless threshold_count divides 256.

    >>> foreground, background = np.zeros((2, 256), np.int64)
    >>> foreground[[100, 200]], background[128] = 1, 1
    >>> cumulate(foreground, background, 4)
    (array([2, 1, 1]), array([3, 2, 1]))
    """
    if threshold_count < 2 or BINS % threshold_count:
        raise ArgumentError(f"threshold_count: expected a divisor of {BINS} of at least 2, got {threshold_count}")
    true_positive, false_positive = (
        _at_least(histogram, threshold_count) for histogram in (histogram_foreground, histogram_background)
    )
    return true_positive, true_positive + false_positive


def _at_least(histogram: Int64Array, threshold_count: int) -> Int64Array:
    above = np.flip(np.cumsum(np.flip(histogram, axis=-1), axis=-1), axis=-1)
    step = BINS // threshold_count
    return above[..., step::step]
