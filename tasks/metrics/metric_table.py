"""The metrics of the reports: which ratio each is, and whether smoothing and the empty policy touch it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from segscale.tasks.metrics import ratios, scores
from segscale.tasks.metrics.count_columns import CountColumns, Float64Array
from segscale.tasks.metrics.ratios import Ratio
from segscale.tasks.metrics.settings import ScoreSettings


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric of the reports."""

    name: str
    ratio: Callable[[CountColumns, ScoreSettings], Ratio]
    """Numerator and denominator of each place, unsmoothed; NaN for soft metrics of label maps."""
    is_smoothed: bool
    """`smooth` belongs to the formula."""
    fills_empty: bool
    """The empty policy gives the score where both masks are empty."""
    has_worst_score_zero: bool = True
    """0 is the worst score, so that a failed image can stand as 0."""

    def smooth(self, settings: ScoreSettings) -> float:
        """What is added to numerator and denominator."""
        return settings.smooth if self.is_smoothed else 0.0

    def is_unknown(self, counts: CountColumns, settings: ScoreSettings) -> bool:
        """Whether the counts lack what the metric needs: soft sums, which label maps do not have."""
        return bool(np.isnan(self.ratio(counts, settings).numerator).any())

    def score(self, counts: CountColumns, settings: ScoreSettings) -> Float64Array:
        """float64 (n,) scores of the places, smoothed and with the empty policy; NaN where undefined."""
        ratio, smooth = self.ratio(counts, settings), self.smooth(settings)
        score = scores.divide(ratio, smooth)
        if self.fills_empty:
            score = scores.with_empty_policy(score, counts.both_empty, settings.empty, smooth)
        return np.where(np.isnan(ratio.numerator), np.nan, score)


def _dice(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.dice(c.true_positive, c.false_positive, c.false_negative)


def _iou(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.iou(c.true_positive, c.false_positive, c.false_negative)


def _tversky(c: CountColumns, s: ScoreSettings) -> Ratio:
    return ratios.tversky(c.true_positive, c.false_positive, c.false_negative, s.tversky_alpha, s.tversky_beta)


def _soft_dice(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.soft_dice(c.soft_intersection, c.soft_prediction_sum, c.reference_sum)


def _soft_dice_squared(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.soft_dice(c.soft_intersection, c.soft_prediction_squared_sum, c.reference_sum)


def _soft_tversky(c: CountColumns, s: ScoreSettings) -> Ratio:
    return ratios.soft_tversky(
        c.soft_intersection, c.soft_prediction_sum, c.reference_sum, s.tversky_alpha, s.tversky_beta
    )


def _sensitivity(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.sensitivity(c.true_positive, c.false_negative)


def _precision(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.precision(c.true_positive, c.false_positive)


def _specificity(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.specificity(c.true_negative, c.false_positive)


def _f_beta(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.f_beta(c.true_positive, c.false_positive, c.false_negative, scores.F_BETA)


def _volume_difference(c: CountColumns, _: ScoreSettings) -> Ratio:
    return ratios.volume_difference(c.true_positive, c.false_positive, c.false_negative)


DICE = Metric("dice", _dice, is_smoothed=True, fills_empty=True)
TVERSKY = Metric("tversky", _tversky, is_smoothed=True, fills_empty=True)

# Specificity is defined where both masks are empty (1), and the best volume difference is 0, not 1: no policy for them.
METRICS: tuple[Metric, ...] = (
    DICE,
    Metric("iou", _iou, is_smoothed=True, fills_empty=True),
    TVERSKY,
    Metric("soft_dice", _soft_dice, is_smoothed=True, fills_empty=True),
    Metric("soft_dice_squared", _soft_dice_squared, is_smoothed=True, fills_empty=True),
    Metric("soft_tversky", _soft_tversky, is_smoothed=True, fills_empty=True),
    Metric("sensitivity", _sensitivity, is_smoothed=False, fills_empty=True),
    Metric("precision", _precision, is_smoothed=False, fills_empty=True),
    Metric("specificity", _specificity, is_smoothed=False, fills_empty=False),
    Metric("f_beta", _f_beta, is_smoothed=False, fills_empty=True),
    Metric("volume_difference", _volume_difference, is_smoothed=False, fills_empty=False, has_worst_score_zero=False),
)
"""All metrics, in the order of the reports."""
