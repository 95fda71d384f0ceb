"""How large a study must be: for an interval of a width, for a difference, for a margin; from clusters that are there.

What a cluster contributes varies as it does in the run at hand (`Estimate.deviation`), and clusters stay as unequal.
That is Gibson and others' (2017) size of a segmentation study, variance by squared distance, with the tests of
`Estimate` in place of the normal distribution and clusters in place of images. The variance is itself estimated, from
so many clusters and no more: `deviations` says how far off it may be.
"""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy import stats

from segscale.tasks.decisions.estimate import Estimate, ends_of_t
from segscale.tasks.decisions.needed_units import MOST, fewest_for, power_of


def width_of(estimate: Estimate, n: float, confidence: float, deviation: float | None = None) -> float:
    """The expected width of the interval of `Estimate` from n clusters like these.

    deviation: instead of the estimate's own. NaN where n clusters tell no more than one.
    """
    spread = estimate.deviation if deviation is None else deviation
    freedom = n * _evenness(estimate) - 1
    if not freedom > 0:
        return np.nan
    t = float(stats.t.ppf((1 + confidence) / 2, freedom))
    low, high = ends_of_t(t, estimate.skewness / float(np.sqrt(n)))
    return (low - high) * spread / float(np.sqrt(n))


def clusters_for_width(
    estimate: Estimate, width: float, confidence: float, deviation: float | None = None
) -> int | None:
    """The fewest clusters like these whose interval is no wider, and no fewer than `fewest_for` their skewness.

    None above 10^9, and where nothing varies.

    >>> one = Estimate(0.5, np.array([-1.0, 1.0] * 50), np.ones(100))
    >>> clusters_for_width(one, 0.4, 0.95)
    100
    """
    spread = estimate.deviation if deviation is None else deviation
    if not spread > 0:
        return None
    normal = (2 * stats.norm.ppf((1 + confidence) / 2) * spread / width) ** 2
    if normal > MOST:
        return None
    # From there on the width falls with every cluster; with few of them t is wider than the normal distribution says.
    low = max(ceil(1 / _evenness(estimate)), fewest_for(estimate.skewness) - 1)
    if low >= MOST:
        return None
    high = max(ceil(normal), low) * 2 + ceil(20 / _evenness(estimate))
    while high - low > 1:
        middle = (low + high) // 2
        if width_of(estimate, middle, confidence, spread) <= width:
            high = middle
        else:
            low = middle
    return high


def power_at(estimate: Estimate, n: float, distance: float, level: float, deviation: float | None = None) -> float:
    """With which probability n clusters like these show a truth so far above a bound, or below it where negative."""
    spread = estimate.deviation if deviation is None else deviation
    evenness = _evenness(estimate)
    if n * evenness <= 1 or not spread > 0:
        return np.nan
    return power_of(n, abs(distance) / spread, level, evenness, float(np.sign(distance)) * estimate.skewness)


def deviations(estimate: Estimate, confidence: float) -> tuple[float, float]:
    """Between which values the deviation lies: an interval of its logarithm, from the fourth moment (delta method).

    NaN where nothing varies.
    """
    squares = float((estimate.influence**2).mean())
    if not squares > 0:
        return np.nan, np.nan
    kurtosis = float((estimate.influence**4).mean()) / squares**2
    error = float(np.sqrt(max(kurtosis - 1, 0) / estimate.n_clusters)) / 2
    reach = float(stats.norm.ppf((1 + confidence) / 2)) * error
    return estimate.deviation * float(np.exp(-reach)), estimate.deviation * float(np.exp(reach))


def design_effect(clustered: Estimate, independent: Estimate) -> float:
    """The variance by what it were if all images were independent (Kish 1965); NaN where nothing varies."""
    squares = independent.standard_error**2
    return clustered.standard_error**2 / squares if squares > 0 else np.nan


def intraclass_correlation(effect: float, sizes: np.ndarray) -> float:
    """What makes clusters of these sizes (C,) have the design effect: (deff - 1) / (m - 1), m their size-weighted mean.

    NaN where each has one image.

    >>> intraclass_correlation(1.9, np.array([4, 4, 4]))
    0.3
    """
    weighted = float((sizes**2).sum() / sizes.sum()) if sizes.any() else 0.0
    return (effect - 1) / (weighted - 1) if weighted > 1 else np.nan


def _evenness(estimate: Estimate) -> float:
    return estimate.n_effective / estimate.influence.size
