"""An estimate from independent clusters, its interval, and how likely it were if the truth lay at a bound.

Two approximations are made, and the more cautious one counts, at either end of the interval and in either test:

- Student's t of the influence of the clusters (linearisation; Särndal, Swensson and Wretman 1992, ch. 5), with the
  effective number of clusters minus 1 as degrees of freedom (Carter, Schnepel and Steigerwald 2017): a few large
  patients among many small ones tell no more than a few.
- The same after Hall's (1992) transformation, which takes the skewness of the influence away. Few images that lose
  everything among many that lose nothing make differences skewed, and t then passes what is worse too often.

Neither needs a resample. The second keeps what the studentised bootstrap keeps: benchmarks/interval_coverage.py shows
both.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import stats

from segscale.tasks.metrics.count_columns import Float64Array


@dataclass(frozen=True)
class Estimate:
    """A number made of clusters that are independent of each other."""

    value: float
    influence: Float64Array
    """(C,) derivative of the value by the weight of each cluster, times C; its mean is 0."""
    sizes: Float64Array
    """(C,) how much of the value rests on each cluster: its images, or its part of a denominator."""

    @cached_property
    def n_clusters(self) -> int:
        """Clusters on which anything rests."""
        return int(np.count_nonzero(self.sizes))

    @cached_property
    def n_effective(self) -> float:
        """Clusters of one size that would tell as much (Kish 1965): the squared sum of the sizes by that of squares.

        >>> Estimate(0.0, np.zeros(4), np.array([9.0, 1.0, 1.0, 1.0])).n_effective
        1.7142857142857142
        """
        squares = float((self.sizes**2).sum())
        return float(self.sizes.sum()) ** 2 / squares if squares > 0 else 0.0

    @cached_property
    def standard_error(self) -> float:
        """Root of n/(n - 1) times the sum of squares of the influence, by C; n: clusters on which anything rests.

        NaN where that is fewer than 2.
        """
        n = self.n_clusters
        squares = float((self.influence**2).sum())
        return float(np.sqrt(n / (n - 1) * squares)) / self.influence.size if n > 1 else np.nan

    @property
    def deviation(self) -> float:
        """Standard deviation of what a cluster contributes: the standard error times the root of C."""
        return self.standard_error * float(np.sqrt(self.influence.size))

    def interval(self, confidence: float) -> tuple[float, float]:
        """Two-sided; NaN where there are fewer than 2 effective clusters. Its ends are those that the tests agree with.

        >>> one = Estimate(0.5, np.array([-1.0, 1.0] * 8), np.ones(16))
        >>> low, high = one.interval(0.95)
        >>> round(low, 4), round(high, 4)
        (-0.0503, 1.0503)
        """
        if not self.n_effective > 1 or np.isnan(self.standard_error):
            return np.nan, np.nan
        t = float(stats.t.ppf((1 + confidence) / 2, self.n_effective - 1))
        lower, upper = ends_of_t(t, self._skewness_of_mean)
        return self.value - lower * self.standard_error, self.value - upper * self.standard_error

    def p_not_above(self, bound: float) -> float:
        """One-sided p of an estimate as high as this, or higher, if the truth were no more than the bound."""
        return self._p(self.value - bound, upper=True)

    def p_not_below(self, bound: float) -> float:
        """One-sided p of an estimate as low as this, or lower, if the truth were no less than the bound."""
        return self._p(self.value - bound, upper=False)

    def _p(self, distance: float, upper: bool) -> float:
        if not self.n_effective > 1 or np.isnan(self.standard_error + distance):
            return np.nan
        if self.standard_error == 0:
            # All clusters agree: nothing is left to chance but what none of them shows.
            return float(distance <= 0 if upper else distance >= 0)
        t = distance / self.standard_error
        tail = stats.t.sf if upper else stats.t.cdf
        return float(max(tail(one, self.n_effective - 1) for one in (t, transformed(t, self._skewness_of_mean))))

    @cached_property
    def skewness(self) -> float:
        """Of the influence; 0 where nothing varies."""
        squares = float((self.influence**2).mean())
        return float((self.influence**3).mean() / squares**1.5) if squares > 0 else 0.0

    @property
    def _skewness_of_mean(self) -> float:
        return self.skewness / float(np.sqrt(self.influence.size))


def transformed(t: float, s: float) -> float:
    """g(t) = t + s/3 t^2 + s^2/27 t^3 + s/6 with the skewness s of the mean: Hall's (1992) third transformation."""
    return t + s / 3 * t**2 + s**2 / 27 * t**3 + s / 6


def untransformed(g: float, s: float) -> float:
    """t of g(t); g rises everywhere, for it is a cube: ((1 + s/3 t)^3 - 1) / s + s/6."""
    return g if abs(s) < SYMMETRIC else float(np.cbrt(1 + s * (g - s / 6)) - 1) * 3 / s


def ends_of_t(t: float, s: float) -> tuple[float, float]:
    """How many standard errors below and above a value its interval ends, the second below 0; t above 0."""
    return max(t, untransformed(t, s)), min(-t, untransformed(-t, s))


SYMMETRIC = 1e-9
"""Below this skewness nothing is transformed: the cube root would lose the digits."""
