"""Resampling of ratios of sums: what images or clusters drawn again would have given.

Both aggregations are a ratio of sums over independent units: pooled, the numerator and denominator of the score;
per-sample, the score and 1 where it is defined. So one matrix product of multinomial weights with the units' sums gives
all resamples of both (Efron and Tibshirani 1993, ch. 10 and 14).
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
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
DRAWN_AHEAD = 4
"""Chunks that are drawn before they are weighed."""
FEW_NUMBERS = 1 << 18
"""Units times columns that numpy weighs in less time than it takes to load what is compiled (0.3 s)."""


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
        return _mean([influence(one) for one in self.sums])


def sums_of_units(values: Float64Array, units: Int64Array, n_units: int) -> Float64Array:
    """(U,) sums of the images' values by unit."""
    return np.bincount(units, weights=values, minlength=n_units).astype(np.float64, copy=False)


def resample(columns: Sequence[UnitSums], n_resamples: int, seed: list[int]) -> list[Resampled]:
    """Each column over the same seeded resamples of units, so that estimates stay paired.

    Equal columns become one, with one result: of label maps most scores of a class share their sums.
    """
    sides, places = _distinct([side for one in columns for side in (one.numerator, one.denominator)])
    pairs = list(zip(places[::2], places[1::2], [one.smooth for one in columns], strict=True))
    sums = _resampled_sums(sides, n_resamples, seed)
    resampled = {
        (top, bottom, smooth): _resampled(UnitSums(sides[top], sides[bottom], smooth), sums[:, top], sums[:, bottom])
        for top, bottom, smooth in dict.fromkeys(pairs)
    }
    return [resampled[pair] for pair in pairs]


def warm_up(n_units: int) -> None:
    """Load what is compiled, where resamples of so many units need it; whoever waits anyhow does so beforehand."""
    if n_units >= FEW_NUMBERS // 8:
        # Of two blocks, so that all arrays are laid out as those of many.
        for _, _, weights in _multinomial_weights(BLOCK_UNITS + 1, 2, [0]):
            weigh(weights, np.zeros((weights.shape[1], 1)))


def _distinct(columns: Sequence[Float64Array]) -> tuple[list[Float64Array], list[int]]:
    """Columns that differ, and the place of each column among them."""
    found: list[Float64Array] = []
    places: list[int] = []
    # The sum tells most columns apart at a fraction of what a comparison costs.
    alike: dict[float, list[int]] = {}
    for column in columns:
        candidates = alike.setdefault(float(column.sum()), [])
        place = next((place for place in candidates if np.array_equal(found[place], column)), len(found))
        if place == len(found):
            found.append(column)
            candidates.append(place)
        places.append(place)
    return found, places


def _resampled_sums(sides: Sequence[Float64Array], n_resamples: int, seed: list[int]) -> Float64Array:
    """(B, K) sums of K columns in each resample: one thread draws, the other weighs what was drawn, in that order."""
    sums, n_units = np.zeros((n_resamples, len(sides))), sides[0].size
    few = n_units * len(sides) <= FEW_NUMBERS

    def add(block: Float64Array, resamples: slice, weights: NDArray[np.uint16]) -> None:
        sums[resamples] += weigh(weights, block, few)

    with ThreadPoolExecutor(1) as weighing:
        under_way: deque[Future[None]] = deque()
        start, block = -1, sides[0]
        for units, resamples, weights in _multinomial_weights(n_units, n_resamples, seed, few):
            if units.start != start:
                start, block = units.start, np.stack([side[units] for side in sides], axis=1)
            under_way.append(weighing.submit(add, block, resamples, weights))
            if len(under_way) > DRAWN_AHEAD:
                under_way.popleft().result()
        for one in under_way:
            one.result()
    return sums


def mean_of(estimates: list[Resampled], names: Sequence[str]) -> Resampled:
    """The mean of the defined estimates, resample by resample: of classes of these names over the same units.

    A resample that lacks one of these classes is undefined: the mean over the others would estimate something else.
    """
    named = [(one, name) for one, name in zip(estimates, names, strict=True) if not np.isnan(one.estimate)]
    defined = [one for one, _ in named] or estimates[:1]
    if len(defined) == 1:
        return defined[0]
    return Resampled(
        estimate=float(np.mean([one.estimate for one in defined])),
        replicates=_mean([one.replicates for one in defined]),
        sums=tuple(sums for one in defined for sums in one.sums),
        n_units=min(one.n_units for one in defined),
        scarcest=min(named, key=lambda pair: pair[0].n_units)[1],
    )


def _multinomial_weights(
    n_units: int, n_resamples: int, seed: list[int], few: bool = False
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
            (_count_few if few else count_draws)(drawn, n_drawn, weights)
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


def influence(sums: UnitSums) -> Float64Array:
    """(U,) derivative of the ratio of the sums by the weight of each unit, times U; NaN where it is undefined."""
    numerator, denominator = sums.numerator.sum(), sums.denominator.sum()
    estimate = _divide(np.array(numerator), np.array(denominator), sums.smooth)
    scale = denominator + sums.smooth
    if not scale > 0:
        return np.full(sums.numerator.size, np.nan)
    derivative: Float64Array = sums.numerator - estimate * sums.denominator
    derivative *= sums.numerator.size / scale
    return derivative


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


def weigh(weights: NDArray[np.integer[Any]], columns: Float64Array, few: bool = False) -> Float64Array:
    """The matrix product of weights (B, U) with columns (U, K), float64 (B, K), in a fixed order: by fours of units.

    Instead of BLAS: its sums depend on how many threads it takes, and on a busy machine those threads wait for each
    other a hundred times longer than the product needs. `few` numbers are multiplied by numpy, to the same bits: it is
    slower, and needs no compiler, which takes longer to load.
    """
    return _weigh_few(weights, columns) if few else _weigh_many(weights, columns)


def _count_few(drawn: NDArray[np.uint16], n_drawn: Int64Array, weights: NDArray[np.uint16]) -> None:
    """`count_draws` by numpy."""
    places = np.repeat(np.arange(n_drawn.size) * weights.shape[1], n_drawn) + drawn
    weights += np.bincount(places, minlength=weights.size).reshape(weights.shape).astype(np.uint16)


def _weigh_few(weights: NDArray[np.integer[Any]], columns: Float64Array) -> Float64Array:
    product = np.zeros((weights.shape[0], columns.shape[1]))
    drawn = weights.T.astype(np.float64)[:, :, np.newaxis]
    n_fours = len(columns) // 4 * 4
    for unit in range(0, n_fours, 4):
        first, second, third, fourth = (drawn[place] * columns[place] for place in range(unit, unit + 4))
        product += (first + second) + (third + fourth)
    for unit in range(n_fours, len(columns)):
        product += drawn[unit] * columns[unit]
    return product


@compiled
def _weigh_many(weights: NDArray[np.integer[Any]], columns: Float64Array) -> Float64Array:
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
