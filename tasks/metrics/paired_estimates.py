"""Paired differences of one class: what two runs score, what resampled units and swapped runs would have scored."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.bootstrap import UnitSums, resample, sums_of_units, weigh
from segscale.tasks.metrics.count_columns import BoolArray, CountColumns, Float64Array, Int64Array
from segscale.tasks.metrics.metric_table import METRICS, Metric
from segscale.tasks.metrics.paired_tests import swap_patterns
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean

NO_RANKS = "a pooled score has no value per image to rank"
MEAN_OF_CLASSES = "a mean over classes is not the score of an image"


@dataclass(frozen=True, slots=True)
class PairedEstimate:
    """One metric and aggregation of two runs over the same images; differences are b minus a."""

    metric: str
    aggregation: str
    """per_sample or pooled."""
    value_a: float
    value_b: float
    difference: float
    replicates: Float64Array
    """(B,) the difference in each resample of units."""
    permuted: Float64Array
    """(R,) the difference in each pattern of units swapped between the runs."""
    unit_differences: Float64Array
    """(U,) mean difference of the images of each unit, NaN where it has none; empty where ranks make no sense."""
    n_pairs: int
    """Images that enter: per_sample those with a score in both runs, pooled all."""
    n_units: int
    """Units with something to be measured."""
    n_defined_only_a: int
    n_defined_only_b: int
    no_value: str
    """Why there is no difference ("" if there is one)."""
    no_ranks: str
    """Why there are no unit_differences ("" if there are)."""


@dataclass(frozen=True, slots=True)
class Units:
    """What is drawn and swapped as a whole: images, or clusters of them."""

    of_image: Int64Array
    """(n,) the unit of each image, 0..count-1."""
    count: int

    def sum(self, values: Any, known: BoolArray | None = None) -> Float64Array:
        """(U,) sums of the images' values; those that are not `known` count as 0."""
        values = np.asarray(values, np.float64)
        return sums_of_units(values if known is None else np.where(known, values, 0.0), self.of_image, self.count)


@dataclass(frozen=True, slots=True)
class _Sums:
    """Per unit (U,), of one metric."""

    difference: Float64Array
    """Score differences of the images that have a score in both runs."""
    n_both: Float64Array
    numerator_a: Float64Array
    denominator_a: Float64Array
    numerator_b: Float64Array
    denominator_b: Float64Array


def estimate_pair(
    a: CountColumns,
    b: CountColumns,
    units: Units,
    settings: ScoreSettings,
    seed: list[int],
    metrics: tuple[Metric, ...] = METRICS,
) -> list[PairedEstimate]:
    """Per metric the per_sample and the pooled difference of two runs; equal seeds give paired resamples and swaps.

    What is averaged has no pooled one.
    """
    sums = [_sums(metric, a, b, units, settings) for metric in metrics]
    columns = [
        column
        for metric, one in zip(metrics, sums, strict=True)
        for column in (
            UnitSums(one.difference, one.n_both, 0.0),
            UnitSums(one.numerator_a, one.denominator_a, metric.smooth(settings)),
            UnitSums(one.numerator_b, one.denominator_b, metric.smooth(settings)),
        )
    ]
    replicates = [one.replicates for one in resample(columns, settings.bootstrap, seed)]
    permuted = _swap(sums, units.count, [*seed, 1])
    estimates: list[PairedEstimate] = []
    for place, (metric, one) in enumerate(zip(metrics, sums, strict=True)):
        of_mean, of_a, of_b = replicates[3 * place : 3 * place + 3]
        swapped = permuted[:, 3 * place : 3 * place + 3]
        estimates.append(_per_sample(metric, a, b, one, of_mean, swapped[:, 0], settings))
        if not metric.is_averaged:
            estimates.append(_pooled(metric, a, b, one, of_b - of_a, swapped[:, 1:], settings))
    return estimates


def mean_over_classes(estimates: list[PairedEstimate]) -> PairedEstimate:
    """The mean of the classes that have a difference, resample by resample and swap by swap."""
    defined = [one for one in estimates if not np.isnan(one.difference)] or estimates[:1]

    def averaged(values: Callable[[PairedEstimate], Any]) -> Any:
        return np.mean([values(one) for one in defined], axis=0)

    first = defined[0]
    return PairedEstimate(
        metric=first.metric,
        aggregation=first.aggregation,
        value_a=float(averaged(lambda one: one.value_a)),
        value_b=float(averaged(lambda one: one.value_b)),
        difference=float(averaged(lambda one: one.difference)),
        replicates=averaged(lambda one: one.replicates),
        permuted=averaged(lambda one: one.permuted),
        unit_differences=np.empty(0),
        n_pairs=min(one.n_pairs for one in defined),
        n_units=min(one.n_units for one in defined),
        n_defined_only_a=sum(one.n_defined_only_a for one in estimates),
        n_defined_only_b=sum(one.n_defined_only_b for one in estimates),
        no_value=first.no_value,
        no_ranks=MEAN_OF_CLASSES,
    )


def _sums(metric: Metric, a: CountColumns, b: CountColumns, units: Units, settings: ScoreSettings) -> _Sums:
    difference = metric.score(b, settings) - metric.score(a, settings)
    both = ~np.isnan(difference)
    ratio_a, ratio_b = metric.ratio(a, settings), metric.ratio(b, settings)
    known_a, known_b = ~np.isnan(ratio_a.numerator), ~np.isnan(ratio_b.numerator)
    return _Sums(
        units.sum(difference, both),
        units.sum(both),
        units.sum(ratio_a.numerator, known_a),
        units.sum(ratio_a.denominator, known_a),
        units.sum(ratio_b.numerator, known_b),
        units.sum(ratio_b.denominator, known_b),
    )


def _swap(sums: list[_Sums], n_units: int, seed: list[int]) -> Float64Array:
    """(R, 3 K) sums over the swapped units of what b has more than a: of scores, numerators and denominators."""
    columns = np.stack(
        [
            column
            for one in sums
            for column in (
                one.difference,
                one.numerator_b - one.numerator_a,
                one.denominator_b - one.denominator_a,
            )
        ],
        axis=1,
    )
    return np.concatenate([weigh(pattern, columns) for pattern in swap_patterns(n_units, seed)])


def _per_sample(
    metric: Metric,
    a: CountColumns,
    b: CountColumns,
    sums: _Sums,
    replicates: Float64Array,
    swapped: Float64Array,
    settings: ScoreSettings,
) -> PairedEstimate:
    score_a, score_b = metric.score(a, settings), metric.score(b, settings)
    has_a, has_b = ~np.isnan(score_a), ~np.isnan(score_b)
    both = has_a & has_b
    n_pairs = int(both.sum())
    return PairedEstimate(
        metric=metric.name,
        aggregation="per_sample",
        value_a=mean(score_a[both]),
        value_b=mean(score_b[both]),
        difference=mean((score_b - score_a)[both]),
        replicates=replicates,
        permuted=(sums.difference.sum() - 2 * swapped) / n_pairs if n_pairs else np.full(swapped.size, np.nan),
        unit_differences=_quotient(sums.difference, sums.n_both, 0.0),
        n_pairs=n_pairs,
        n_units=int(np.count_nonzero(sums.n_both)),
        n_defined_only_a=int((has_a & ~has_b).sum()),
        n_defined_only_b=int((has_b & ~has_a).sum()),
        no_value="" if n_pairs else _unknown(metric, a, b, settings) or "no image has a score in both runs",
        no_ranks="",
    )


def _pooled(
    metric: Metric,
    a: CountColumns,
    b: CountColumns,
    sums: _Sums,
    replicates: Float64Array,
    swapped: Float64Array,
    settings: ScoreSettings,
) -> PairedEstimate:
    value_a, value_b = (metric.pooled(one, settings) for one in (a, b))
    smooth, moved_numerator, moved_denominator = metric.smooth(settings), swapped[:, 0], swapped[:, 1]
    permuted_a = _quotient(
        sums.numerator_a.sum() + moved_numerator, sums.denominator_a.sum() + moved_denominator, smooth
    )
    permuted_b = _quotient(
        sums.numerator_b.sum() - moved_numerator, sums.denominator_b.sum() - moved_denominator, smooth
    )
    difference = value_b - value_a
    no_value = "" if not np.isnan(difference) else "the pooled score is undefined in one of the runs"
    return PairedEstimate(
        metric=metric.name,
        aggregation="pooled",
        value_a=value_a,
        value_b=value_b,
        difference=difference,
        replicates=replicates,
        permuted=permuted_b - permuted_a,
        unit_differences=np.empty(0),
        n_pairs=a.size,
        n_units=int(np.count_nonzero(sums.denominator_a + sums.denominator_b)),
        n_defined_only_a=int(not np.isnan(value_a) and np.isnan(value_b)),
        n_defined_only_b=int(not np.isnan(value_b) and np.isnan(value_a)),
        no_value=_unknown(metric, a, b, settings) or no_value,
        no_ranks=NO_RANKS,
    )


def _unknown(metric: Metric, a: CountColumns, b: CountColumns, settings: ScoreSettings) -> str:
    unknown = any(metric.is_unknown(one, settings) for one in (a, b))
    return "a run over label maps has no soft scores" if unknown else ""


def _quotient(numerator: Float64Array, denominator: Float64Array, smooth: float) -> Float64Array:
    quotient: Float64Array = np.asarray(scores.divide(Ratio(numerator, denominator), smooth))
    return quotient
