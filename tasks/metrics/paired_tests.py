"""Tests of a paired difference: signed ranks, swapped runs, and the correction for many of them."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from segscale.tasks.metrics.bootstrap import CHUNK_WEIGHTS
from segscale.tasks.metrics.count_columns import Float64Array
from segscale.tasks.metrics.intervals import MAX_UNDEFINED

EXACT_UNITS = 13
"""Up to this many units every pattern of swaps is visited (8,192 of them)."""
PERMUTATIONS = 9_999
LARGE = 10_000
"""Above this many units a tenth of the permutations has to do; their p-values go down to 0.001."""
DECIMALS = 12
"""Differences that agree to this place are ties: below it lies rounding."""

Test = tuple[float, str]
"""A p-value, and why it is NaN ("" if it is not)."""


def permutations_of(n_units: int) -> int:
    """Patterns of swaps that are visited for so many units: all of them, or a random choice."""
    if n_units <= EXACT_UNITS:
        return int(2**n_units)
    return PERMUTATIONS if n_units <= LARGE else PERMUTATIONS // 10


def swap_patterns(n_units: int, seed: list[int]) -> Iterator[NDArray[np.int32]]:
    """Chunks (r, U) of 0 and 1: which units change places between the runs, `permutations_of(U)` patterns in all.

    With few units these are all patterns, the one without a swap included; else seeded random ones.
    """
    total = permutations_of(n_units)
    rows = max(1, CHUNK_WEIGHTS // max(n_units, 1))
    generator = np.random.default_rng(seed)
    for start in range(0, total, rows):
        size = min(rows, total - start)
        if n_units <= EXACT_UNITS:
            patterns = np.arange(start, start + size)[:, None] >> np.arange(n_units) & 1
        else:
            patterns = generator.integers(2, size=(size, n_units), dtype=np.int8)
        yield patterns.astype(np.int32)


def permutation_test(difference: float, permuted: Float64Array, n_units: int) -> Test:
    """Two-sided p of the difference among those of swapped runs (R,), NaN where a swap leaves it undefined.

    With all patterns visited p is their share that lies as far from 0 or farther; else (count + 1)/(R + 1), so that it
    is never 0 (Phipson and Smyth 2010). An undefined one counts as far; above 5 % of them there is no p.
    """
    undefined = np.isnan(permuted)
    if undefined.mean() > MAX_UNDEFINED:
        return np.nan, f"{undefined.mean():.0%} of the permutations are undefined"
    tolerance = 10.0**-DECIMALS * max(1.0, abs(difference))
    n_far = int(np.count_nonzero(undefined | (np.abs(permuted) >= abs(difference) - tolerance)))
    return (n_far / permuted.size if n_units <= EXACT_UNITS else (n_far + 1) / (permuted.size + 1)), ""


def wilcoxon_test(differences: Float64Array) -> Test:
    """Two-sided p of Wilcoxon's signed-rank test (1945), zeros left out, by scipy.stats.wilcoxon.

    differences: (U,) of units, NaN where a unit has none.
    """
    known = np.round(differences[~np.isnan(differences)], DECIMALS)
    if not known.any():
        return np.nan, "no unit differs" if known.size else "no unit has a score in both runs"
    return float(stats.wilcoxon(known[known != 0]).pvalue), ""


def holm(p_values: Float64Array) -> Float64Array:
    """Holm's (1979) adjusted p-values of one family; NaN stays NaN and does not count.

    >>> holm(np.array([0.01, 0.04, 0.03]))
    array([0.03, 0.06, 0.06])
    """
    adjusted = np.full(p_values.size, np.nan)
    defined = np.flatnonzero(~np.isnan(p_values))
    order = defined[np.argsort(p_values[defined], kind="stable")]
    stepped = p_values[order] * np.arange(order.size, 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0)
    return adjusted
