"""The metrics of the reports: of which counts each is a score, and whether smoothing and the empty policy touch it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.count_columns import CountColumns, Float64Array
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the reports."""

    name: str
    ratio: Callable[[CountColumns, ScoreSettings], Ratio]
    """Numerator and denominator of each place, unsmoothed; NaN for soft metrics of label maps."""
    is_smoothed: bool = False
    """`smooth` belongs to the formula."""
    fills_empty: bool = True
    """The empty policy gives the score where both masks are empty."""
    has_worst_score_zero: bool = True
    """0 is the worst score, so that a failed image can stand as 0."""
    is_averaged: bool = False
    """A number of each image, of which several have a mean and no sum: a distance. Its numerator is the number, its
    denominator 1 where it is defined, also of a missing prediction, of which it is the worst there is."""

    def smooth(self, settings: ScoreSettings) -> float:
        """What is added to numerator and denominator."""
        return settings.smooth if self.is_smoothed else 0.0

    def is_unknown(self, counts: CountColumns, settings: ScoreSettings) -> bool:
        """Whether the counts lack what the metric needs: soft sums, which label maps do not have."""
        return bool(np.isnan(self.ratio(counts, settings).numerator).any())

    def score(self, counts: CountColumns, settings: ScoreSettings) -> Float64Array:
        """float64 (n,) scores of the places, smoothed and with the empty policy; NaN where undefined.

        Of a place without any usable prediction it is 0, whatever its reference holds and the policy says; NaN where 0
        is not the worst score, or the other places lack what the metric needs. So it is, of metrics with a policy,
        where missed references are all that a sum holds.
        """
        ratio, smooth = self.ratio(counts, settings), self.smooth(settings)
        score = scores.divide(ratio, smooth)
        if self.fills_empty:
            score = scores.with_empty_policy(score, counts.both_empty, settings.empty, smooth)
        score = np.where(np.isnan(ratio.numerator), np.nan, score)
        if counts.missed is None or self.is_averaged:
            return score
        lost = counts.is_missing
        if self.fills_empty:
            lost = lost | ((counts.missed > 0) & (counts.missed == counts.reference_sum) & counts.prediction_empty)
        return np.where(lost, 0.0 if self._has_worst(counts, settings) else np.nan, score)

    def pooled(self, counts: CountColumns, settings: ScoreSettings) -> float:
        """The score of all places summed; NaN where it is undefined, and where there is no place.

        References without a usable prediction count as missed. They change nothing where they have no pixel of the
        class: there the sum is scored as if these images were not there. A sum of missed references alone is 0,
        whatever smoothing and the empty policy would make of it.
        """
        n_missed = 0 if counts.missed is None else int(counts.missed.sum())
        if not n_missed and counts.missing is not None:
            counts = counts.take(np.flatnonzero(~counts.missing))
        if not counts.size:
            return np.nan
        total = counts.sum_runs(np.zeros(1, np.int64))
        if self.fills_empty and n_missed and total.reference_sum[0] == n_missed and total.prediction_empty[0]:
            return 0.0 if self._has_worst(counts, settings) else np.nan
        return float(self.score(total, settings)[0])

    def _has_worst(self, counts: CountColumns, settings: ScoreSettings) -> bool:
        return self.has_worst_score_zero and not self.is_unknown(counts, settings)


def _hard(c: CountColumns) -> tuple[Any, Any, Any]:
    return c.true_positive, c.false_positive, c.false_negative


def _soft(c: CountColumns) -> tuple[Any, Any, Any]:
    return c.soft_intersection, c.soft_prediction_sum, c.reference_sum


def _weights(s: ScoreSettings) -> tuple[float, float]:
    return s.tversky_alpha, s.tversky_beta


DICE = Metric("dice", lambda c, _: scores.dice.ratio(*_hard(c)), is_smoothed=True)
TVERSKY = Metric("tversky", lambda c, s: scores.tversky.ratio(*_hard(c), *_weights(s)), is_smoothed=True)

# Specificity is defined where both masks are empty (1), and the best volume difference is 0, not 1: no policy for them.
METRICS: tuple[Metric, ...] = (
    DICE,
    Metric("iou", lambda c, _: scores.iou.ratio(*_hard(c)), is_smoothed=True),
    TVERSKY,
    Metric("soft_dice", lambda c, _: scores.soft_dice.ratio(*_soft(c)), is_smoothed=True),
    Metric(
        "soft_dice_squared",
        lambda c, _: scores.soft_dice.ratio(c.soft_intersection, c.soft_prediction_squared_sum, c.reference_sum),
        is_smoothed=True,
    ),
    Metric("soft_tversky", lambda c, s: scores.soft_tversky.ratio(*_soft(c), *_weights(s)), is_smoothed=True),
    Metric("sensitivity", lambda c, _: scores.sensitivity.ratio(c.true_positive, c.false_negative)),
    Metric("precision", lambda c, _: scores.precision.ratio(c.true_positive, c.false_positive)),
    Metric("specificity", lambda c, _: scores.specificity.ratio(c.true_negative, c.false_positive), fills_empty=False),
    Metric("f_beta", lambda c, _: scores.f_beta.ratio(*_hard(c))),
    Metric(
        "volume_difference",
        lambda c, _: scores.volume_difference.ratio(*_hard(c)),
        fills_empty=False,
        has_worst_score_zero=False,
    ),
)
"""All metrics, in the order of the reports."""
