"""A map from probabilities to how frequent the foreground is at them, and whether it helps on images it never saw.

The map is histogram binning made monotone: in each bin the share of foreground pixels, then the least squares fit that
never falls, weighted by pixels (isotonic regression; Zadrozny and Elkan 2002). A bin without pixels has no value.

It is judged cross-fitted: clusters are put into FOLDS parts at random, and the pixels of each part are mapped by what
the other parts say. All pixels of a bin then have one known probability, so the error after the map has no bounds:

    ECE after = sum_k |m_k - sum_f n_kf v_kf| / sum_k n_k

with n_kf pixels of part f in bin k, and v_kf the map of the other parts. Where they have no pixel in the bin, the value
is that of the nearest bin that has, which is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from segscale.tasks.calibration.bins import Bins
from segscale.tasks.calibration.resampling import Clusters
from segscale.tasks.metrics.count_columns import Float64Array, Int64Array

FOLDS = 5


def map_of(pixels: Int64Array, positives: Int64Array) -> Float64Array:
    """(B,) probability for each bin of pixels and positives (B,); NaN in bins without pixels.

    >>> map_of(np.array([4, 0, 4, 4]), np.array([1, 0, 3, 2])).tolist()
    [0.25, nan, 0.625, 0.625]
    """
    values = np.full(len(pixels), np.nan)
    there = pixels > 0
    if there.any():
        weights = pixels[there].astype(np.float64)
        values[there] = isotonic_regression(positives[there] / weights, weights=weights).x
    return values


@dataclass(frozen=True, slots=True)
class CrossFit:
    """What maps say of images that they were not made of."""

    folds: Int64Array
    """(n,) the part of each image or unit."""
    maps: Float64Array
    """(FOLDS, B) made without each part; NaN where the rest has no pixel in a bin."""
    used: Float64Array
    """(FOLDS, B) the same, with the value of the nearest bin where there was none."""

    def mapped(self, bins: Bins) -> Float64Array:
        """(n, B) sums of the mapped probabilities of the rows of bins, each by the map of its part."""
        return bins.pixels * self.used[self.folds]

    def n_unseen(self, bins: Bins) -> int:
        """Pixels in bins that the images of the map never had."""
        return int((bins.pixels * np.isnan(self.maps[self.folds])).sum())


def cross_fit(bins: Bins, clusters: Clusters, seed: int) -> CrossFit | None:
    """Maps of the other parts for each part; None with fewer than 2 clusters, or where all pixels are in one part."""
    n_folds = min(FOLDS, clusters.n)
    if n_folds < 2:
        return None
    folds = np.random.default_rng([seed, 1]).permutation(np.arange(clusters.n) % n_folds)[clusters.codes]
    of_folds = bins.sum_by(folds, n_folds)
    pixels, positives = of_folds.pixels.sum(axis=0) - of_folds.pixels, of_folds.positives.sum(0) - of_folds.positives
    if not pixels.any(axis=1).all():
        return None
    maps = np.stack([map_of(*one) for one in zip(pixels, positives, strict=True)])
    return CrossFit(folds, maps, np.stack([_nearest(one) for one in maps]))


def _nearest(values: Float64Array) -> Float64Array:
    there = np.flatnonzero(~np.isnan(values))
    places = np.arange(len(values))
    nearest: Float64Array = values[there[np.abs(places[:, np.newaxis] - there).argmin(axis=1)]]
    return nearest


def error_after(positives: Float64Array | Int64Array, mapped: Float64Array, n: Float64Array | float) -> Float64Array:
    """(R,) ECE of rows of positives and sums of mapped probabilities (R, B), with n pixels (R,)."""
    error: Float64Array = np.abs(positives - mapped).sum(axis=-1) / n
    return error
