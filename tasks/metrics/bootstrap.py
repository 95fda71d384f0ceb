"""Resampling of ratios of sums: what images or clusters drawn again would have given.

Both aggregations are a ratio of sums over independent units: pooled, the numerator and denominator of the score;
per-sample, the score and 1 where it is defined. So one matrix product of multinomial weights with the units' sums gives
all resamples of both (Efron and Tibshirani 1993, ch. 10 and 14).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tasks.metrics import scores
from tasks.metrics.compiled import compiled
from tasks.metrics.count_columns import Float64Array, Int64Array
from tasks.metrics.ratios import Ratio

CHUNK_WEIGHTS = 4_000_000
"""Weights in memory at a time (16 MB)."""
BLOCK_UNITS = 512
"""Units whose columns stay in the cache while all resamples of a chunk take them up."""


@dataclass(frozen=True, slots=True)
class UnitSums:
    """Sums over the images of each unit (U,) of numerators and denominators of one score and aggregation."""

    numerator: Float64Array
    denominator: Float64Array
    smooth: float
    """Added once to both sums."""


@dataclass(frozen=True, slots=True)
class Resampled:
    """One estimate with all that its intervals need."""

    estimate: float
    replicates: Float64Array
    """(B,) the estimate in each resample; NaN where it is undefined."""
    leave_one_out: Float64Array
    """(U,) the estimate without each unit."""
    influence: Float64Array
    """(U,) derivative of the estimate by the unit's weight, times U; its mean is 0."""
    n_units: int
    """Units that have something to be measured."""


def sums_of_units(values: Float64Array, units: Int64Array, n_units: int) -> Float64Array:
    """(U,) sums of the images' values by unit."""
    return np.bincount(units, weights=values, minlength=n_units).astype(np.float64, copy=False)


def resample(columns: list[UnitSums], n_resamples: int, seed: list[int]) -> list[Resampled]:
    """Each column over the same seeded resamples of units, so that estimates stay paired."""
    n_units = columns[0].numerator.size
    sums = np.stack([side for one in columns for side in (one.numerator, one.denominator)], axis=1)
    chunks = [weigh(weights, sums) for weights in _multinomial_weights(n_units, n_resamples, seed)]
    resampled = np.concatenate(chunks) if chunks else np.empty((0, sums.shape[1]))
    return [
        _resampled(column, resampled[:, 2 * place], resampled[:, 2 * place + 1]) for place, column in enumerate(columns)
    ]


def mean_of(estimates: list[Resampled]) -> Resampled:
    """The mean of the defined estimates, resample by resample: of classes over the same units."""
    defined = [one for one in estimates if not np.isnan(one.estimate)] or estimates[:1]
    return Resampled(
        estimate=float(np.mean([one.estimate for one in defined])),
        replicates=np.mean([one.replicates for one in defined], axis=0),
        leave_one_out=np.mean([one.leave_one_out for one in defined], axis=0),
        influence=np.mean([one.influence for one in defined], axis=0),
        n_units=min(one.n_units for one in defined),
    )


def _multinomial_weights(n_units: int, n_resamples: int, seed: list[int]) -> Iterator[NDArray[np.int32]]:
    """Chunks (b, U) of how often each unit is drawn, U draws a resample."""
    generator = np.random.default_rng(seed)
    rows = max(1, CHUNK_WEIGHTS // max(n_units, 1))
    for start in range(0, n_resamples, rows):
        weights = np.empty((min(rows, n_resamples - start), n_units), np.int32)
        for row in weights:
            row[:] = np.bincount(generator.integers(n_units, size=n_units), minlength=n_units)
        yield weights


def _resampled(sums: UnitSums, numerators: Float64Array, denominators: Float64Array) -> Resampled:
    numerator, denominator = float(sums.numerator.sum()), float(sums.denominator.sum())
    estimate = float(_divide(np.array(numerator), np.array(denominator), sums.smooth))
    n_units = sums.numerator.size
    scale = denominator + sums.smooth
    influence = n_units * (sums.numerator - estimate * sums.denominator)
    return Resampled(
        estimate=estimate,
        replicates=_divide(numerators, denominators, sums.smooth),
        leave_one_out=_divide(numerator - sums.numerator, denominator - sums.denominator, sums.smooth),
        influence=influence / scale if scale > 0 else np.full(n_units, np.nan),
        n_units=int(np.count_nonzero(sums.denominator)),
    )


def _divide(numerator: Float64Array, denominator: Float64Array, smooth: float) -> Float64Array:
    quotient: Float64Array = np.asarray(scores.divide(Ratio(numerator, denominator), smooth))
    return quotient


@compiled
def weigh(weights: NDArray[np.int32], columns: Float64Array) -> Float64Array:
    """The matrix product of weights (B, U) with columns (U, K), float64 (B, K), each sum in the order of U.

    Instead of BLAS: its sums depend on how many threads it takes, and on a busy machine those threads wait for each
    other a hundred times longer than the product needs.
    """
    n_rows, n_units = weights.shape
    n_columns = columns.shape[1]
    product = np.zeros((n_rows, n_columns), np.float64)
    for start in range(0, n_units, BLOCK_UNITS):
        end = min(start + BLOCK_UNITS, n_units)
        for row in range(n_rows):
            sums = product[row]
            for unit in range(start, end):
                weight = weights[row, unit]
                if weight != 0:
                    values = columns[unit]
                    for column in range(n_columns):
                        sums[column] += weight * values[column]
    return product
