"""A map from probabilities to how frequent the foreground is at them, and whether it helps on images it never saw.

The map is histogram binning made monotone: in each bin the share of foreground pixels, then the least squares fit that
never falls, weighted by pixels (isotonic regression; Zadrozny and Elkan 2002). A bin without pixels has no value.

It is judged cross-fitted: clusters are put into FOLDS parts at random, and the pixels of each part are mapped by what
the other parts say. All pixels of a bin of a part then have one known probability, so the error has no bounds:

    ECE after = sum_f sum_k |m_kf - n_kf v_kf| / sum_f sum_k n_kf

with n_kf pixels of part f in bin k, m_kf of them foreground, and v_kf the map of the other parts. Each part is held
against its own map: over all parts together what one map says too much the others say too little, and any map would
seem right. ECE before is the mean over the same parts, weighted by pixels, as smaller sets have larger errors by chance
alone. Where the other parts have no pixel in a bin, the value is that of the nearest bin that has, which is counted.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import isotonic_regression

from segscale.tasks.calibration.bins import Bins
from segscale.tasks.calibration.gaps import bound_gaps
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


def over_parts(bins: Bins, used: Float64Array) -> Float64Array:
    """(R, 3) ECE before, low and high, and ECE after, of rows of bins: F to a row of the answer, a row for each part.

    used: (F, B) the map that each part is mapped by. NaN where no part has pixels.
    """
    n_parts, n_bins = used.shape
    n = bins.pixels.sum(axis=1).reshape(-1, n_parts)
    gaps = bound_gaps(bins.pixels, bins.positives, bins.soft)[:, 0].reshape(-1, n_parts, 2)
    before = np.where(n[..., np.newaxis] > 0, gaps, 0.0) * n[..., np.newaxis]
    shape = (-1, n_parts, n_bins)
    after = np.abs(bins.positives.reshape(shape) - bins.pixels.reshape(shape) * used).sum(axis=(1, 2))
    with np.errstate(invalid="ignore", divide="ignore"):
        sums: Float64Array = np.column_stack([before.sum(axis=1), after]) / n.sum(axis=1)[:, np.newaxis]
    return sums
