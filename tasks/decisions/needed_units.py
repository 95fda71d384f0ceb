"""How many independent units a test needs to find an effect that is there."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy import stats

from segscale.tasks.decisions.estimate import ends_of_t

LARGE = 100_000
"""From this many units on Student's t is the normal distribution in every digit that is shown."""
COCHRAN = 25
MOST = 10**9
"""Nobody has more units: an effect that needs more cannot be found."""


def needed_units(effect: float, level: float, power: float, evenness: float = 1.0, skewness: float = 0.0) -> int | None:
    """The fewest units with which a one-sided test at `level` finds an effect with probability `power`.

    effect: mean by standard deviation of what the units contribute, above 0. evenness: how many units of one size tell
    as much as one of these, at most 1; degrees of freedom are those of so many. skewness: of what they contribute, in
    the direction of the effect. The test is that of `Estimate`, the more cautious of t and Hall's transformation. Never
    fewer than Cochran's (1977, section 2.15) 25 skewness^2, below which the mean itself is too skewed for either.
    None above 10^9, and for an effect of 0 or NaN.

    >>> needed_units(0.5, 0.025, 0.8)
    34
    """
    if not effect > 0:
        return None
    normal = ((stats.norm.isf(level) + stats.norm.ppf(power)) / effect) ** 2
    fewest = max(ceil(2 / evenness), fewest_for(skewness))
    if max(normal, fewest) > MOST:
        return None
    n = max(fewest, ceil(normal))
    if n > LARGE or np.isinf(effect):
        return n
    # The power rises with every unit: the answer lies between one number that does not do and one that does.
    low, high = fewest - 1, n
    while power_of(high, effect, level, evenness, skewness) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        if power_of(middle, effect, level, evenness, skewness) < power:
            low = middle
        else:
            high = middle
    return high


def fewest_for(skewness: float) -> int:
    """25 times the squared skewness: Cochran's (1977) rule for a mean that is as good as normal."""
    return ceil(COCHRAN * skewness**2)


def power_of(n: float, effect: float, level: float, evenness: float, skewness: float = 0.0) -> float:
    """Of the test of `needed_units` over n units: noncentral t (Cohen 1988, ch. 2) beyond what Hall's asks for."""
    freedom = n * evenness - 1
    critical, _ = ends_of_t(float(stats.t.isf(level, freedom)), skewness / float(np.sqrt(n)))
    return float(stats.nct.sf(critical, freedom, effect * np.sqrt(n)))


def unseen_share(n: int, confidence: float) -> float:
    """The largest share of units that may do what none of n did: 1 - (1 - confidence)^(1/n) (Clopper and Pearson 1934).

    About 3/n at 95 %; 1 of no unit.

    >>> round(unseen_share(50, 0.95), 4)
    0.0582
    """
    return float(-np.expm1(np.log1p(-confidence) / n)) if n else 1.0
