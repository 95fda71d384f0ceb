"""Answers to the questions of a gate: an estimate for each stratum and class, and which images enter it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segscale.errors import ArgumentError
from segscale.tasks.decisions.estimate import Estimate
from segscale.tasks.decisions.lost import Lost
from segscale.tasks.decisions.questions import Asked, Question
from segscale.tasks.metrics.bootstrap import UnitSums, influence
from segscale.tasks.metrics.compare import clusters_of
from segscale.tasks.metrics.count_columns import BoolArray, CountColumns, Float64Array
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.paired_estimates import Units
from segscale.tasks.metrics.pairing import PairedClass, Pairs
from segscale.tasks.metrics.panel import Stratum
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean


@dataclass(frozen=True, slots=True)
class Answer:
    """What the counts say to one question, of one class in one stratum."""

    question: Question
    unit: str
    stratum: str
    class_index: int
    class_name: str
    head: str
    base: float
    """The score of the base; NaN of a floor."""
    new: float
    estimate: Estimate
    """Of new - base, or of the score that must reach a floor."""
    n: int
    """Images, or units, that enter: of means those with a score, of differences in both runs; pooled, all."""
    n_missing_base: int
    """Of those of the stratum, the ones without a usable prediction of the base (or, of a unit, of an image of it)."""
    n_missing_new: int
    n_only_base: int
    """With a score in the base alone: in no mean of differences."""
    n_only_new: int
    """With a score in the new run alone: where references are empty, false alarms that the base did not raise."""
    n_unknown: int
    """Failed images of the stratum of which no score is known; they are in n of no row."""
    n_unknown_new: int
    """Those among them that have a score in the base; of a floor, all that failed."""
    trouble: str
    """Why nothing can be concluded ("" if it can)."""

    @property
    def says_nothing(self) -> bool:
        """Whether neither run has anything to be scored here: the class does not occur."""
        return not (self.n or self.n_only_base or self.n_only_new)


def answers(pairs: Pairs, asked: Asked, settings: ScoreSettings, head: object, lost: Lost) -> Iterator[Answer]:
    """The answers of all strata and foreground classes, regions included, of one head of run a.

    pairs: base and new, missing predictions as missed. lost: failed images that they do not have.
    """
    classes = [one for one in pairs.classes if one.head_a == head and one.class_index > 0]
    everything = {id(one): _OfClass(one, settings) for one in classes}
    for stratum in pairs.strata(settings.group_by):
        units, trouble = clusters_of(pairs, stratum, settings.cluster_by)
        for pair in classes:
            for question in asked.of_strata if stratum.name else asked.of_whole:
                yield _answer(everything[id(pair)], question, pairs.panel.unit, stratum, units, trouble, lost)


class _OfClass:
    """Scores and sums of one class over the whole set, made once and taken apart by stratum."""

    def __init__(self, pair: PairedClass, settings: ScoreSettings) -> None:
        self.pair, self.settings = pair, settings
        self._scores: dict[tuple[str, str], Float64Array] = {}
        self._ratios: dict[tuple[str, str], tuple[Float64Array, Float64Array]] = {}

    @cached_property
    def lacking(self) -> dict[str, BoolArray]:
        """By side (n,) whether some of the prediction is missing."""
        return {side: _lacking(counts) for side, counts in (("a", self.pair.a), ("b", self.pair.b))}

    def scores(self, metric: Metric, side: str) -> Float64Array:
        key = metric.name, side
        if key not in self._scores:
            counts = getattr(self.pair, side)
            if metric.is_unknown(counts, self.settings):
                raise ArgumentError(
                    f"{metric.name}: expected a score that both runs have, but a run over label maps has no soft scores"
                )
            self._scores[key] = metric.score(counts, self.settings)
        return self._scores[key]

    def ratio(self, metric: Metric, side: str) -> tuple[Float64Array, Float64Array]:
        key = metric.name, side
        if key not in self._ratios:
            ratio = metric.ratio(getattr(self.pair, side), self.settings)
            self._ratios[key] = np.asarray(ratio.numerator, np.float64), np.asarray(ratio.denominator, np.float64)
        return self._ratios[key]


def _lacking(counts: CountColumns) -> BoolArray:
    return counts.is_missing if counts.missed is None else counts.is_missing | (counts.missed > 0)


def _answer(
    of_class: _OfClass, question: Question, unit: str, stratum: Stratum, units: Units, trouble: str, lost: Lost
) -> Answer:
    pair, places = of_class.pair, stratum.images
    a, b = (of_class.scores(question.metric, side)[places] for side in "ab")
    has_a, has_b = ~np.isnan(a), ~np.isnan(b)
    if question.aggregation == "pooled":
        base, new, estimate = _pooled(of_class, question, stratum, units)
        n = places.size if estimate.sizes.any() else 0
    elif question.is_difference:
        base, new, estimate = _difference(a, b, units)
        n = int((has_a & has_b).sum())
    else:
        base, new, estimate = np.nan, mean(b), _mean(b, units)
        n = int(has_b.sum())
    lacking = {side: int(of_class.lacking[side][places].sum()) for side in "ab"}
    is_mean = question.is_difference and question.aggregation == "per_sample"
    unknown, unknown_new = lost.numbers(stratum.name)
    return Answer(
        question, unit, stratum.name, pair.class_index, pair.class_name, str(pair.head_b),
        base if question.is_difference else np.nan, new, estimate, n,
        n_missing_base=lacking["a"] if question.is_difference else 0, n_missing_new=lacking["b"],
        n_only_base=int((has_a & ~has_b).sum()) if is_mean else 0,
        n_only_new=int((has_b & ~has_a).sum()) if is_mean else 0,
        n_unknown=unknown, n_unknown_new=unknown_new, trouble=trouble,
    )  # fmt: skip


def _difference(a: Float64Array, b: Float64Array, units: Units) -> tuple[float, float, Estimate]:
    difference = b - a
    both = ~np.isnan(difference)
    return mean(a[both]), mean(b[both]), _mean(difference, units)


def _mean(values: Float64Array, units: Units) -> Estimate:
    """The mean of the defined values, a ratio of the sums of clusters."""
    known = ~np.isnan(values)
    sums = UnitSums(units.sum(values, known), units.sum(known), 0.0)
    return Estimate(mean(values), influence(sums), sums.denominator)


def _pooled(
    of_class: _OfClass, question: Question, stratum: Stratum, units: Units
) -> tuple[float, float, Estimate]:  # fmt: skip
    """Both pooled scores; their difference is linear in both influences. A floor knows the new run alone."""
    metric, settings, found = question.metric, of_class.settings, {}
    for side in "ab" if question.is_difference else "b":
        numerator, denominator = (one[stratum.images] for one in of_class.ratio(metric, side))
        sums = UnitSums(units.sum(numerator), units.sum(denominator), metric.smooth(settings))
        value = metric.pooled(getattr(of_class.pair, side).take(stratum.images), settings)
        found[side] = value, influence(sums), sums.denominator
    new, of_new, sizes = found["b"]
    if not question.is_difference:
        return np.nan, new, Estimate(new, of_new, sizes)
    base, of_base, sizes_base = found["a"]
    return base, new, Estimate(new - base, of_new - of_base, sizes + sizes_base)
