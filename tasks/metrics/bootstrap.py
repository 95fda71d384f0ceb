"""Resampling of ratios of sums: what images or clusters drawn again would have given.

Both aggregations are a ratio of sums over independent units: pooled, the numerator and denominator of the score;
per-sample, the score and 1 where it is defined. So one matrix product of multinomial weights with the units' sums gives
all resamples of both (Efron and Tibshirani 1993, ch. 10 and 14).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.compiled import compiled
from segscale.tasks.metrics import scores
from segscale.tasks.metrics.count_columns import Float64Array, Int64Array
from segscale.tasks.metrics.scores import Ratio

CHUNK_WEIGHTS = 4_000_000
"""Weights in memory at a time (16 MB)."""
BLOCK_UNITS = 2048
"""Units that are drawn at a time: what is counted and multiplied stays in the cache."""
CHUNK_RESAMPLES = 64
"""Resamples that take up the columns of a block at a time."""
TILE_UNITS = 64
"""Units whose columns stay in the first cache while the resamples of a chunk take them up."""


@dataclass(frozen=True, slots=True)
class UnitSums:
    """Sums over the images of each unit (U,) of numerators and denominators of one score and aggregation."""

    numerator: Float64Array
    denominator: Float64Array
    smooth: float
    """Added once to both sums."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """One estimate with all that its intervals need; a mean of several ratios where it has several sums."""

    estimate: float
    replicates: Float64Array
    """(B,) the estimate in each resample; NaN where it is undefined."""
    sums: tuple[UnitSums, ...]
    n_units: int
    """Units that have something to be measured; of a mean, of its scarcest part."""
    scarcest: str = ""
    """Of a mean over classes the class that fewest units have, so that most resamples lack it."""

    def leave_one_out(self) -> Float64Array:
        """(U,) the estimate without each unit, made anew at each call: kept, they would fill the memory."""
        return _mean([_leave_one_out(one) for one in self.sums])

    def influence(self) -> Float64Array:
        """(U,) derivative of the estimate by the unit's weight, times U; its mean is 0. Made anew at each call."""
        return _mean([_influence(one) for one in self.sums])


def sums_of_units(values: Float64Array, units: Int64Array, n_units: int) -> Float64Array:
    """(U,) sums of the images' values by unit."""
    return np.bincount(units, weights=values, minlength=n_units).astype(np.float64, copy=False)


def resample(columns: list[UnitSums], n_resamples: int, seed: list[int]) -> list[Resampled]:
    """Each column over the same seeded resamples of units, so that estimates stay paired."""
    sides = [side for one in columns for side in (one.numerator, one.denominator)]
    resampled = np.zeros((n_resamples, len(sides)))
    for units, resamples, weights in _multinomial_weights(sides[0].size, n_resamples, seed):
        resampled[resamples] += weigh(weights, np.stack([side[units] for side in sides], axis=1))
    return [
        _resampled(column, resampled[:, 2 * place], resampled[:, 2 * place + 1]) for place, column in enumerate(columns)
    ]


def mean_of(estimates: list[Resampled], names: Sequence[str]) -> Resampled:
    """The mean of the defined estimates, resample by resample: of classes of these names over the same units.

    A resample that lacks one of these classes is undefined: the mean over the others would estimate something else.
    """
    named = [(one, name) for one, name in zip(estimates, names, strict=True) if not np.isnan(one.estimate)]
    defined = [one for one, _ in named] or estimates[:1]
    return Resampled(
        estimate=float(np.mean([one.estimate for one in defined])),
        replicates=_mean([one.replicates for one in defined]),
        sums=tuple(sums for one in defined for sums in one.sums),
        n_units=min(one.n_units for one in defined),
        scarcest=min(named, key=lambda pair: pair[0].n_units)[1] if len(named) > 1 else "",
    )


def _multinomial_weights(
    n_units: int, n_resamples: int, seed: list[int]
) -> Iterator[tuple[slice, slice, NDArray[np.uint16]]]:
    """Parts (u, b) of the table of how often each unit is drawn, U draws a resample: units, resamples, weights (b, u).

    How many draws fall into each block of units is multinomial, and within a block each unit is as likely as another.
    """
    if n_units == 0:
        return
    generator = np.random.default_rng(seed)
    starts = np.arange(0, n_units, BLOCK_UNITS)
    sizes = np.minimum(BLOCK_UNITS, n_units - starts)
    n_draws = generator.multinomial(n_units, sizes / n_units, size=n_resamples)
    for block, (start, size) in enumerate(zip(starts, sizes, strict=True)):
        for first in range(0, n_resamples, CHUNK_RESAMPLES):
            n_drawn = n_draws[first : first + CHUNK_RESAMPLES, block]
            drawn = generator.integers(size, size=n_drawn.sum(), dtype=np.uint16)
            weights = np.zeros((n_drawn.size, size), np.uint16)
            count_draws(drawn, n_drawn, weights)
            yield slice(start, start + size), slice(first, first + n_drawn.size), weights


def _resampled(sums: UnitSums, numerators: Float64Array, denominators: Float64Array) -> Resampled:
    estimate = _divide(np.array(sums.numerator.sum()), np.array(sums.denominator.sum()), sums.smooth)
    return Resampled(
        estimate=float(estimate),
        replicates=_divide(numerators, denominators, sums.smooth),
        sums=(sums,),
        n_units=int(np.count_nonzero(sums.denominator)),
    )


def _leave_one_out(sums: UnitSums) -> Float64Array:
    numerator, denominator = sums.numerator.sum(), sums.denominator.sum()
    return _divide(numerator - sums.numerator, denominator - sums.denominator, sums.smooth)


def _influence(sums: UnitSums) -> Float64Array:
    numerator, denominator = sums.numerator.sum(), sums.denominator.sum()
    estimate = _divide(np.array(numerator), np.array(denominator), sums.smooth)
    scale = denominator + sums.smooth
    if not scale > 0:
        return np.full(sums.numerator.size, np.nan)
    influence: Float64Array = sums.numerator - estimate * sums.denominator
    influence *= sums.numerator.size / scale
    return influence


def _mean(values: list[Float64Array]) -> Float64Array:
    return values[0] if len(values) == 1 else np.mean(values, axis=0)


def _divide(numerator: Float64Array, denominator: Float64Array, smooth: float) -> Float64Array:
    quotient: Float64Array = np.asarray(scores.divide(Ratio(numerator, denominator), smooth))
    return quotient


@compiled
def count_draws(drawn: NDArray[np.uint16], n_drawn: Int64Array, weights: NDArray[np.uint16]) -> None:
    """Add to weights (B, U) how often each unit was drawn: the first n_drawn[0] draws belong to row 0, and so on."""
    start = 0
    for row in range(n_drawn.size):
        end = start + n_drawn[row]
        counts = weights[row]
        for draw in drawn[start:end]:
            counts[np.uint64(draw)] += np.uint16(1)
        start = end


@compiled
def weigh(weights: NDArray[np.integer[Any]], columns: Float64Array) -> Float64Array:
    """The matrix product of weights (B, U) with columns (U, K), float64 (B, K), in a fixed order: by fours of units.

    Instead of BLAS: its sums depend on how many threads it takes, and on a busy machine those threads wait for each
    other a hundred times longer than the product needs.
    """
    n_rows, n_units = weights.shape
    n_columns = columns.shape[1]
    product = np.zeros((n_rows, n_columns), np.float64)
    n_fours = n_units // 4 * 4
    for start in range(0, n_fours, TILE_UNITS):
        for row in range(n_rows):
            sums, drawn = product[row], weights[row]
            for unit in range(start, min(start + TILE_UNITS, n_fours), 4):
                a, b = np.float64(drawn[unit]), np.float64(drawn[unit + 1])
                c, d = np.float64(drawn[unit + 2]), np.float64(drawn[unit + 3])
                first, second, third, fourth = columns[unit], columns[unit + 1], columns[unit + 2], columns[unit + 3]
                for k in range(n_columns):
                    sums[k] += (a * first[k] + b * second[k]) + (c * third[k] + d * fourth[k])
    for row in range(n_rows):
        for unit in range(n_fours, n_units):
            for k in range(n_columns):
                product[row, k] += weights[row, unit] * columns[unit, k]
    return product
