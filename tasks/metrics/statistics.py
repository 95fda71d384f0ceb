"""Mean and spread of scores, with undefined ones (NaN) left out."""

import numpy as np

from segscale.tasks.metrics.count_columns import Float64Array, Int64Array

QUANTILES = {"min": 0.0, "q05": 0.05, "q25": 0.25, "median": 0.5, "q75": 0.75, "q95": 0.95, "max": 1.0}
"""Column and level; between two scores quantiles are interpolated linearly."""
_BEYOND = 1e300
"""Stands for an infinite distance: above all that can be measured."""


def weighted_mean(scores: Float64Array, images: Int64Array) -> float:
    """Mean of the defined scores, each weighted by its number of images; NaN if none is defined.

    Weights are relative to the largest, so that equal ones are exactly 1 and leave the plain mean to the last bit.
    """
    defined = ~np.isnan(scores)
    if not defined.any():
        return np.nan
    weights = images[defined] / images[defined].max()
    return float((scores[defined] * weights).sum() / weights.sum())


def mean(scores: Float64Array | list[float]) -> float:
    """Plain mean of the defined scores; NaN if there are none."""
    return weighted_mean(np.asarray(scores, np.float64), np.ones(len(scores), np.int64))


def mean_with_zeros(defined: Float64Array, n_zeros: int | None) -> float:
    """Mean of the scores, none of them NaN, and of so many zeros; NaN if there are neither, or if it is not known."""
    if n_zeros is None or not defined.size + n_zeros:
        return np.nan
    return float(defined.sum()) / (defined.size + n_zeros)


def means_within(scores: Float64Array, groups: Int64Array) -> Float64Array:
    """The mean of the defined scores of each group (n,) 0, 1, ... that has one, in their order."""
    defined = ~np.isnan(scores)
    sums, n_scores = np.bincount(groups[defined], weights=scores[defined]), np.bincount(groups[defined])
    means: Float64Array = sums[n_scores > 0] / n_scores[n_scores > 0]
    return means


def standard_deviation(scores: Float64Array) -> float:
    """Sample standard deviation (n - 1) of the defined scores; NaN if there are fewer than 2."""
    defined = scores[~np.isnan(scores)]
    # Around an infinite mean there is none.
    return float(defined.std(ddof=1)) if defined.size > 1 and not np.isinf(defined).any() else np.nan


def spread(scores: Float64Array) -> dict[str, float]:
    """`std` and the quantiles of the defined scores, by column name; NaN where undefined."""
    defined = scores[~np.isnan(scores)]
    levels = _quantiles(defined) if defined.size else np.full(len(QUANTILES), np.nan)
    return {"std": standard_deviation(scores), **dict(zip(QUANTILES, map(float, levels), strict=True))}


def _quantiles(defined: Float64Array) -> Float64Array:
    infinite = np.isinf(defined)
    if not infinite.any():
        return np.asarray(np.quantile(defined, list(QUANTILES.values())))
    # Between two infinite distances nothing can be interpolated.
    found = np.quantile(np.where(infinite, _BEYOND, defined), list(QUANTILES.values()))
    return np.where(found > np.sqrt(_BEYOND), np.inf, found)
