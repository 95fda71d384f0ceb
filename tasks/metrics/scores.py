"""Overlap scores: each one a ratio of sums, written down once for numbers, numpy arrays and Keras tensors.

tp, fp, fn, tn are counts of one class. Of the soft scores, intersection = sum of p over the reference, prediction = sum
of p (or of p squared), reference = number of reference pixels. `alpha` weighs false positives, `beta` false negatives.

A score is called with the sums, and with `smooth`, which is added to numerator and denominator: float64 out, NaN where
the denominator without smoothing is 0; `with_empty_policy` then says what images get whose reference and prediction
are both empty. Its `ratio` is what it is before the division: operators alone, so Keras tensors stay what they are.

>>> dice(tp=1, fp=1, fn=0)
0.6666666666666666
>>> dice.ratio(tp=1, fp=1, fn=0)
Ratio(numerator=2, denominator=3)
"""

import inspect
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, NamedTuple

import numpy as np

from segscale.errors import ArgumentError
from segscale.tasks.metrics.settings import EmptyPolicy

F_BETA = 2.0
"""The beta of the reports' f_beta: sensitivity counts twice as much as precision, as a missed lesion does."""


class Ratio(NamedTuple):
    """A score before it is divided: both sides are additive over pixels and images."""

    numerator: Any
    denominator: Any


class Score:
    """A score, made from the function that gives its ratio."""

    def __init__(self, ratio: Callable[..., Ratio]) -> None:
        self.ratio = ratio
        """Numerator and denominator, unsmoothed, of numbers, arrays or tensors."""
        update_wrapper(self, ratio)
        self._takes = signature = inspect.signature(ratio)
        smooth = inspect.Parameter("smooth", inspect.Parameter.KEYWORD_ONLY, default=0.0, annotation=float)
        self.__signature__ = signature.replace(
            parameters=[*signature.parameters.values(), smooth], return_annotation=Any
        )

    def __call__(self, *sums: Any, smooth: float = 0.0, **named: Any) -> Any:
        """The ratio of the sums, divided: float64, NaN where it is undefined or a sum is unknown (NaN).

        Raises ArgumentError for a sum, a weight or a smoothing below 0.
        """
        given = self._takes.bind(*sums, **named)
        given.arguments = {name: _wide(value, name) for name, value in given.arguments.items()}
        return divide(self.ratio(*given.args, **given.kwargs), _wide(smooth, "smooth"))


def _wide(values: Any, name: str) -> Any:
    """As float64, in which the sums of narrow integers do not wrap around; a Series stays one, with its index."""
    wide = values.astype(np.float64) if hasattr(values, "astype") else np.asarray(values, np.float64)
    if np.any(wide < 0):
        raise ArgumentError(f"{name}: expected 0 or more, got {np.min(wide):g}: sums and weights have no sign")
    return wide


def divide(ratio: Ratio, smooth: float = 0.0) -> Any:
    """(numerator + smooth) / (denominator + smooth) as float64; NaN where the denominator alone is 0."""
    numerator, denominator = np.asarray(ratio.numerator, np.float64), np.asarray(ratio.denominator, np.float64)
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    quotient = np.divide(numerator + smooth, denominator + smooth, out=np.full(shape, np.nan), where=denominator != 0)
    return quotient if shape else float(quotient)


def with_empty_policy(score: Any, both_empty: Any, empty: EmptyPolicy, smooth: float, xp: Any = np) -> Any:
    """The score where something is to be scored, the policy's value where both masks are empty.

    score: as the formulas give it, smoothed with `smooth`; both_empty: bool, hard reference and hard prediction empty.
    "nan", "one" and "zero" replace the score, a soft one too. "smooth" leaves it, and makes 0/0 into s/s = 1; without
    smoothing that stays NaN. xp: whose arrays they are, numpy or keras.ops.
    """
    if empty == "smooth":
        return xp.where(xp.logical_and(both_empty, xp.isnan(score)), 1.0, score) if smooth > 0 else score
    return xp.where(both_empty, {"nan": np.nan, "one": 1.0, "zero": 0.0}[empty], score)


@Score
def dice(tp: Any, fp: Any, fn: Any) -> Ratio:
    """2 TP / (2 TP + FP + FN)."""
    return Ratio(2 * tp, 2 * tp + fp + fn)


@Score
def iou(tp: Any, fp: Any, fn: Any) -> Ratio:
    """TP / (TP + FP + FN), the Jaccard index."""
    return Ratio(tp, tp + fp + fn)


@Score
def tversky(tp: Any, fp: Any, fn: Any, alpha: float, beta: float) -> Ratio:
    """TP / (TP + alpha FP + beta FN); alpha = beta = 1/2 is Dice, 1 is IoU (Tversky 1977)."""
    return Ratio(tp, tp + alpha * fp + beta * fn)


@Score
def tversky_shortfall(tp: Any, fp: Any, fn: Any, alpha: float, beta: float) -> Ratio:
    """1 - Tversky: not subtracted from 1, which would leave rounding errors alone of a nearly perfect prediction."""
    wrong = alpha * fp + beta * fn
    return Ratio(wrong, tp + wrong)


@Score
def f_beta(tp: Any, fp: Any, fn: Any, beta: float = F_BETA) -> Ratio:
    """(1 + beta²) TP / ((1 + beta²) TP + FP + beta² FN): Tversky with alpha 1/(1+beta²) and beta²/(1+beta²)."""
    return Ratio((1 + beta**2) * tp, (1 + beta**2) * tp + fp + beta**2 * fn)


@Score
def sensitivity(tp: Any, fn: Any) -> Ratio:
    """TP / (TP + FN), the recall."""
    return Ratio(tp, tp + fn)


@Score
def precision(tp: Any, fp: Any) -> Ratio:
    """TP / (TP + FP)."""
    return Ratio(tp, tp + fp)


@Score
def specificity(tn: Any, fp: Any) -> Ratio:
    """TN / (TN + FP)."""
    return Ratio(tn, tn + fp)


@Score
def volume_difference(tp: Any, fp: Any, fn: Any) -> Ratio:
    """(predicted - reference) / reference volume: 0 is equal, -1 all missed, 1 twice the volume; signed, unbounded."""
    return Ratio((tp + fp) - (tp + fn), tp + fn)


@Score
def soft_dice(intersection: Any, prediction: Any, reference: Any) -> Ratio:
    """2 Σpr / (Σp + Σr); with Σp² for Σp it is the Dice of V-Net (Milletari et al. 2016), as r² = r."""
    return Ratio(2 * intersection, prediction + reference)


@Score
def soft_tversky(intersection: Any, prediction: Any, reference: Any, alpha: float, beta: float) -> Ratio:
    """Σpr / (Σpr + alpha Σp(1-r) + beta Σ(1-p)r)."""
    return tversky.ratio(intersection, prediction - intersection, reference - intersection, alpha, beta)
