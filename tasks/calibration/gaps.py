"""Gaps between what probabilities say and what is: ECE, ACE and MCE, as bounds.

In bin k lie n_k pixels, m_k of them foreground. s_k, the sum of their probabilities, is not known: it lies between n_k
times the one end of the bin and n_k times the other, and all s_k together are the known sum of probabilities, where it
is known.

    ECE = sum_k |m_k - s_k| / sum_k n_k        expected calibration error (Naeini, Cooper and Hauskrecht 2015)
    ACE = mean over bins of |m_k - s_k| / n_k  average calibration error (Neumann, Zisserman and Vedaldi 2018)
    MCE = max over bins of |m_k - s_k| / n_k   maximum calibration error (Naeini and others 2015)

over bins with pixels. Each becomes [low, high]: no s_k that the counts allow gives less than low, or more than high.

- ECE, low: the s_k nearest to m_k that their bins allow; what is then missing in the known sum costs as much wherever
  it is put, so this bound is attained.
- ECE, high: |m - s| bends upwards, so it is largest at the ends of a bin, and below the line between its values there.
  The largest sum of these lines under the known sum is a continuous knapsack, filled by falling slope (Dantzig 1957).
  It is attained but for the one bin that is filled in part.
- ACE and MCE: the known sum less the least that all other bins hold is the most that a bin can hold, and the other way
  round; each bin is then taken by itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled
from segscale.tasks.metrics.count_columns import Float64Array

METRICS = ("ece", "ace", "mce")


def bound_gaps(pixels: NDArray[Any], positives: NDArray[Any], soft: Float64Array) -> Float64Array:
    """(R, 3, 2) low and high of ECE, ACE and MCE of rows of bins: pixels and positives (R, B), soft (R,), NaN unknown.

    NaN in rows without pixels.

    >>> bound_gaps(np.array([[0, 4]]), np.array([[0, 1]]), np.array([3.0]))[0].tolist()
    [[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]
    """
    found = np.full((len(pixels), len(METRICS), 2), np.nan)
    _bound(np.ascontiguousarray(pixels), np.ascontiguousarray(positives), soft, found)
    return found


@compiled
def _bound(pixels: NDArray[Any], positives: NDArray[Any], soft: Float64Array, found: Float64Array) -> None:
    n_rows, n_bins = pixels.shape
    slopes, widths = np.empty(n_bins), np.empty(n_bins)
    for row in range(n_rows):
        n, least = 0.0, 0.0
        for k in range(n_bins):
            n += pixels[row, k]
            least += pixels[row, k] * (k / n_bins)
        if n == 0:
            continue
        most = least + n / n_bins
        known = soft[row] == soft[row]
        total = min(max(soft[row], least), most) if known else 0.0
        nearest, apart, at_low, at_worst = 0.0, 0.0, 0.0, 0.0
        sum_low, sum_high, max_low, max_high = 0.0, 0.0, 0.0, 0.0
        room = total - least
        n_used, n_mixed = 0, 0
        rising = 0.0
        for k in range(n_bins):
            here = float(pixels[row, k])
            if here == 0:
                continue
            n_used += 1
            m = float(positives[row, k])
            low, high = here * (k / n_bins), here * ((k + 1) / n_bins)
            closest = min(max(m, low), high)
            nearest += closest
            apart += abs(m - closest)
            below, above = abs(m - low), abs(m - high)
            at_low += below
            at_worst += max(below, above)
            if m <= low:
                rising += high - low
            elif m < high:
                # By insertion: few bins of a row are neither all above nor all below.
                slope, place = (above - below) / (high - low), n_mixed
                while place > 0 and slopes[place - 1] < slope:
                    slopes[place], widths[place] = slopes[place - 1], widths[place - 1]
                    place -= 1
                slopes[place], widths[place] = slope, high - low
                n_mixed += 1
            if known:
                low, high = max(low, total - (most - high)), min(high, total - (least - low))
            gap_low, gap_high = max(low - m, m - high, 0.0) / here, max(abs(m - low), abs(m - high)) / here
            sum_low, sum_high = sum_low + gap_low, sum_high + gap_high
            max_low, max_high = max(max_low, gap_low), max(max_high, gap_high)
        ece_low, ece_high = apart, at_worst
        if known:
            ece_low += abs(total - nearest)
            filled = min(room, rising)
            ece_high = at_low + filled
            room -= filled
            for place in range(n_mixed):
                filled = min(room, widths[place])
                ece_high += filled * slopes[place]
                room -= filled
            ece_high -= room
        found[row, 0, 0], found[row, 0, 1] = ece_low / n, max(ece_low, ece_high) / n
        found[row, 1, 0], found[row, 1, 1] = sum_low / n_used, sum_high / n_used
        found[row, 2, 0], found[row, 2, 1] = max_low, max_high
