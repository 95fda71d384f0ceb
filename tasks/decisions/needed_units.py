"""How many independent units a test needs to find an effect that is there."""

from __future__ import annotations

from math import ceil

import numpy as np
from scipy import stats

LARGE = 100_000
"""From this many units on Student's t is the normal distribution in every digit that is shown."""
MOST = 10**9
"""Nobody has more units: an effect that needs more cannot be found."""


def needed_units(effect: float, level: float, power: float) -> int | None:
    """The fewest units with which a one-sided t-test at `level` finds an effect with probability `power`.

    effect: mean by standard deviation of what the units contribute, above 0. Noncentral t (Cohen 1988, ch. 2), from
    the normal approximation ((z_level + z_power) / effect)^2. None above 10^9, and for an effect of 0 or NaN.

    >>> needed_units(0.5, 0.025, 0.8)
    34
    """
    if not effect > 0:
        return None
    normal = ((stats.norm.isf(level) + stats.norm.ppf(power)) / effect) ** 2
    if normal > MOST:
        return None
    n = max(2, ceil(normal))
    if n > LARGE or np.isinf(effect):
        return n
    while n > 2 and _power(n - 1, effect, level) >= power:
        n -= 1
    while _power(n, effect, level) < power:
        n += 1
    return n


def _power(n: int, effect: float, level: float) -> float:
    return float(stats.nct.sf(stats.t.isf(level, n - 1), n - 1, effect * np.sqrt(n)))


def unseen_share(n: int, confidence: float) -> float:
    """The largest share of units that may do what none of n did: 1 - (1 - confidence)^(1/n) (Clopper and Pearson 1934).

    About 3/n at 95 %; 1 of no unit.

    >>> round(unseen_share(50, 0.95), 4)
    0.0582
    """
    return float(-np.expm1(np.log1p(-confidence) / n)) if n else 1.0
