"""The tail of a score: how many images lie below a limit, and the mean of the worst of them.

- Share below a limit: exact after Clopper and Pearson (1934). Where images belong together they are not so many
  independent ones: the number that would tell as much is put in its place, after Korn and Graubard (1998).
- Mean of the worst share of images (expected shortfall; Acerbi and Tasche 2002): the image at the limit counts in part,
  so that exactly the share is averaged. Its influence by Hong, Hu and Liu (2014); the interval is that of `Estimate`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from segscale.tasks.decisions.estimate import Estimate
from segscale.tasks.metrics.count_columns import Float64Array
from segscale.tasks.metrics.paired_estimates import Units

MIN_TAIL = 10
"""Clusters, effectively, that the worst images must come from before there is an interval (docs/coverage.md)."""


@dataclass(frozen=True, slots=True)
class Tail:
    """A number with its interval."""

    value: float
    low: float
    high: float
    """NaN, like low, where there is none."""
    n: int
    """Images, or units, below the limit, or among the worst in whole or in part."""
    reason: str
    """Why there is no interval ("" if there is)."""


def share_below(values: Float64Array, clusters: Units, limit: float, confidence: float) -> Tail:
    """The share of the defined values that lie below a limit.

    Without a defined value NaN. Of clusters that all agree as many count as there are clusters.

    >>> one = share_below(np.array([0.1, 0.9, 0.8, 0.7]), Units(np.arange(4), 4), 0.5, 0.95)
    >>> one.value, round(one.low, 4), round(one.high, 4)
    (0.25, 0.0063, 0.8059)
    """
    known = ~np.isnan(values)
    n = int(known.sum())
    if not n:
        return Tail(np.nan, np.nan, np.nan, 0, "nothing has a score")
    below = (values < limit).astype(np.float64)
    n_below = int(below.sum())
    share = n_below / n
    telling = float(n)
    if np.unique(clusters.of_image[known]).size < n:
        telling = _as_independent(share, _mean(np.where(known, below, np.nan), clusters), n, confidence)
    low, high = _clopper_pearson(share * telling, telling, confidence)
    return Tail(share, low, high, n_below, "")


def worst_mean(values: Float64Array, clusters: Units, share: float, confidence: float) -> Tail:
    """The mean of the lowest `share` of the defined values, above 0 and at most 1.

    >>> worst_mean(np.array([0.0, 0.5, 0.8, 0.9]), Units(np.arange(4), 4), 0.375, 0.95).value
    0.16666666666666666
    """
    known = np.flatnonzero(~np.isnan(values))
    if not known.size:
        return Tail(np.nan, np.nan, np.nan, 0, "nothing has a score")
    scores = values[known]
    weights = _weights_of_worst(scores, share)
    value = float(weights @ scores) / float(weights.sum())
    limit = float(scores[weights > 0].max())
    influence = limit - value - np.maximum(limit - scores, 0) / share
    members = clusters.of_image[known]
    of_clusters = np.bincount(members, influence, clusters.count) * clusters.count / known.size
    estimate = Estimate(value, of_clusters, np.bincount(members, weights, clusters.count).astype(np.float64))
    n_worst = int((weights > 0).sum())
    if estimate.n_effective < MIN_TAIL:
        told = f"the worst {share:.0%} are {_counted(estimate.n_effective)}, fewer than {MIN_TAIL}"
        return Tail(value, np.nan, np.nan, n_worst, told)
    if estimate.standard_error == 0:
        # How near the limit the others come is not in the counts of those that are all alike.
        return Tail(value, np.nan, np.nan, n_worst, f"all of the worst {share:.0%} score {value:.4f}")
    low, high = estimate.interval(confidence)
    return Tail(value, low, high, n_worst, "")


def _weights_of_worst(scores: Float64Array, share: float) -> Float64Array:
    """(n,) 1 of what is among the worst, a part of 1 of the last of them."""
    asked = share * scores.size
    order = np.argsort(scores, kind="stable")
    weights = np.zeros(scores.size)
    weights[order] = np.clip(asked - np.arange(scores.size), 0, 1)
    return weights


def _counted(n_effective: float) -> str:
    return f"effectively {n_effective:.3g}"


def _mean(values: Float64Array, clusters: Units) -> Estimate:
    known = ~np.isnan(values)
    sizes = np.bincount(clusters.of_image[known], minlength=clusters.count).astype(np.float64)
    value = float(values[known].mean())
    sums = np.bincount(clusters.of_image[known], values[known], clusters.count)
    return Estimate(value, (sums - value * sizes) / sizes.mean(), sizes)


def _as_independent(share: float, estimate: Estimate, n: int, confidence: float) -> float:
    """How many independent images would tell as much as these, at most n (Korn and Graubard 1998)."""
    error = estimate.standard_error
    if np.isnan(error) or estimate.n_effective <= 1:
        return 1.0
    # Clusters that all agree say nothing of how much images of one are alike: each counts as one image.
    alike = error == 0 or share in (0.0, 1.0)
    independent = estimate.n_effective if alike else share * (1 - share) / error**2
    # The error itself is known from no more than the clusters.
    tails = (stats.t.ppf((1 + confidence) / 2, of) for of in (max(n - 1, 1), estimate.n_effective - 1))
    few, fewer = (float(one) for one in tails)
    return min(float(n), independent * (few / fewer) ** 2)


def _clopper_pearson(hits: float, n: float, confidence: float) -> tuple[float, float]:
    tail = (1 - confidence) / 2
    low = 0.0 if hits <= 0 else float(stats.beta.ppf(tail, hits, n - hits + 1))
    high = 1.0 if hits >= n else float(stats.beta.ppf(1 - tail, hits + 1, n - hits))
    return low, high
