"""Intervals by clusters drawn again: of bounds of calibration errors, which no formula of a variance covers well.

Clusters (patients; images where nothing says what belongs together) are drawn with replacement. More than GROUPS of
them are put into as many groups of equal number at random, and groups are drawn (random groups; Wolter 2007, ch. 2).

A calibration error is a sum of sizes, so chance alone makes it larger: it is estimated too high, and each resample is
too high once more. So the interval is the basic one, estimate - (resample - estimate), which takes that off (Davison
and Hinkley 1997, section 5.2), and it ends at 0 and 1. Its low end is of the low bound, its high end of the high one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.calibration.bins import Bins
from segscale.tasks.metrics.count_columns import Float64Array, Int64Array

GROUPS = 500
REPLICATES = 1000
FEWEST = 20
"""Effective clusters below which no interval is given, as in a gate: Carter, Schnepel and Steigerwald 2017."""


@dataclass(frozen=True, slots=True)
class Clusters:
    """What is independent of each other, and how often each is drawn."""

    codes: Int64Array
    """(n,) the cluster of each image or unit, from 0."""
    n: int

    def effective(self, sizes: Float64Array | Int64Array) -> float:
        """Clusters of one size that would tell as much (Kish 1965); sizes (n,) of what an estimate rests on."""
        of_clusters = np.bincount(self.codes, weights=sizes, minlength=self.n)
        squares = float((of_clusters**2).sum())
        return float(of_clusters.sum()) ** 2 / squares if squares > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Draws:
    """Weights of clusters, or of groups of them, in each resample."""

    groups: Int64Array
    """(n,) the group of each image or unit."""
    weights: Float64Array
    """(REPLICATES, groups)."""

    def of(self, rows: Int64Array | NDArray[np.intp]) -> Draws:
        """The same resamples of some of the images or units."""
        return Draws(self.groups[rows], self.weights)

    def bins(self, bins: Bins) -> Bins:
        """Weighted sums of the rows of bins, a row for each resample."""
        soft = self.sums(bins.soft[:, np.newaxis])[:, 0]
        return Bins(self.sums(bins.pixels), self.sums(bins.positives), soft)  # type: ignore[arg-type]

    def sums(self, rows: NDArray[Any]) -> Float64Array:
        """(REPLICATES, K) weighted sums of rows (n, K); of counts they are exact below 2**53."""
        n_groups = self.weights.shape[1]
        columns = [np.bincount(self.groups, weights=column, minlength=n_groups) for column in rows.T]
        return self.weights @ np.stack(columns, axis=1)


def draws_of(clusters: Clusters, seed: int) -> Draws:
    """Resamples of the clusters, the same for the same seed and number of clusters."""
    generator = np.random.default_rng(seed)
    n_groups = min(clusters.n, GROUPS)
    group_of = generator.permutation(np.arange(clusters.n) % n_groups) if clusters.n > GROUPS else np.arange(clusters.n)
    weights = generator.multinomial(n_groups, np.full(n_groups, 1 / n_groups), REPLICATES)
    return Draws(group_of[clusters.codes], weights.astype(np.float64))


def interval(
    bounds: Float64Array, resampled: Float64Array, confidence: float, clip: Callable[[float], float]
) -> tuple[float, float]:
    """The basic interval around bounds (2,), from those of the resamples (REPLICATES, 2)."""
    known = resampled[~np.isnan(resampled).any(axis=1)]
    if np.isnan(bounds).any() or not len(known):
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low = 2 * bounds[0] - np.quantile(known[:, 0], 1 - tail)
    high = 2 * bounds[1] - np.quantile(known[:, 1], tail)
    return min(clip(float(low)), float(bounds[0])), max(clip(float(high)), float(bounds[1]))
