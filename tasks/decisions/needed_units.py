"""How many independent units a test needs to find an effect that is there."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy import stats

LARGE = 100_000
"""From this many units on Student's t is the normal distribution in every digit that is shown."""
MOST = 10**9
"""Nobody has more units: an effect that needs more cannot be found."""


def needed_units(effect: float, level: float, power: float, evenness: float = 1.0) -> int | None:
    """The fewest units with which a one-sided t-test at `level` finds an effect with probability `power`.

    effect: mean by standard deviation of what the units contribute, above 0. evenness: how many units of one size tell
    as much as one of these, at most 1; degrees of freedom are those of so many. Noncentral t (Cohen 1988, ch. 2),
    from the normal approximation ((z_level + z_power) / effect)^2. None above 10^9, and for an effect of 0 or NaN.

    >>> needed_units(0.5, 0.025, 0.8)
    34
    """
    if not effect > 0:
        return None
    normal = ((stats.norm.isf(level) + stats.norm.ppf(power)) / effect) ** 2
    if normal > MOST:
        return None
    fewest = ceil(2 / evenness)
    n = max(fewest, ceil(normal))
    if n > LARGE or np.isinf(effect):
        return n
    while n > fewest and power_of(n - 1, effect, level, evenness) >= power:
        n -= 1
    while power_of(n, effect, level, evenness) < power:
        n += 1
    return n


def power_of(n: float, effect: float, level: float, evenness: float) -> float:
    """Of a one-sided t-test of n units at `level`, as `needed_units` has them."""
    freedom = n * evenness - 1
    return float(stats.nct.sf(stats.t.isf(level, freedom), freedom, effect * np.sqrt(n)))


def unseen_share(n: int, confidence: float) -> float:
    """The largest share of units that may do what none of n did: 1 - (1 - confidence)^(1/n) (Clopper and Pearson 1934).

    About 3/n at 95 %; 1 of no unit.

    >>> round(unseen_share(50, 0.95), 4)
    0.0582
    """
    return float(-np.expm1(np.log1p(-confidence) / n)) if n else 1.0
