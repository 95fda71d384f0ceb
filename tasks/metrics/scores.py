"""Overlap scores of counts: pure functions over numbers or arrays, float64 out, NaN where nothing can be said.

tp, fp, fn, tn are counts of one class; `alpha` weighs false positives and `beta` false negatives. `smooth` is added to
numerator and denominator. A score is NaN where its denominator without smoothing is 0; `with_empty_policy` then says
what images get whose reference and prediction are both empty.

>>> dice(tp=1, fp=1, fn=0)
0.6666666666666666
"""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.metrics import ratios
from segscale.tasks.metrics.ratios import Ratio
from segscale.tasks.metrics.settings import EmptyPolicy

Numbers: TypeAlias = float | NDArray[np.integer[Any]] | NDArray[np.floating[Any]]

F_BETA = 2.0
"""The beta of the reports' f_beta: sensitivity counts twice as much as precision, as a missed lesion does."""


def divide(ratio: Ratio, smooth: float = 0.0) -> Any:
    """(numerator + smooth) / (denominator + smooth) as float64; NaN where the denominator alone is 0."""
    numerator, denominator = np.asarray(ratio.numerator, np.float64), np.asarray(ratio.denominator, np.float64)
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    quotient = np.divide(numerator + smooth, denominator + smooth, out=np.full(shape, np.nan), where=denominator != 0)
    return quotient if shape else float(quotient)


def dice(tp: Numbers, fp: Numbers, fn: Numbers, smooth: float = 0.0) -> Any:
    """(2 TP + s) / (2 TP + FP + FN + s)."""
    return divide(ratios.dice(tp, fp, fn), smooth)


def iou(tp: Numbers, fp: Numbers, fn: Numbers, smooth: float = 0.0) -> Any:
    """(TP + s) / (TP + FP + FN + s), the Jaccard index."""
    return divide(ratios.iou(tp, fp, fn), smooth)


def tversky(tp: Numbers, fp: Numbers, fn: Numbers, alpha: float, beta: float, smooth: float = 0.0) -> Any:
    """(TP + s) / (TP + alpha FP + beta FN + s); alpha = beta = 1/2 is Dice, 1 is IoU (Tversky 1977)."""
    return divide(ratios.tversky(tp, fp, fn, alpha, beta), smooth)


def f_beta(tp: Numbers, fp: Numbers, fn: Numbers, beta: float = F_BETA) -> Any:
    """(1 + beta²) TP / ((1 + beta²) TP + FP + beta² FN): Tversky with alpha 1/(1+beta²) and beta²/(1+beta²)."""
    return divide(ratios.f_beta(tp, fp, fn, beta))


def sensitivity(tp: Numbers, fn: Numbers) -> Any:
    """TP / (TP + FN), the recall."""
    return divide(ratios.sensitivity(tp, fn))


def precision(tp: Numbers, fp: Numbers) -> Any:
    """TP / (TP + FP)."""
    return divide(ratios.precision(tp, fp))


def specificity(tn: Numbers, fp: Numbers) -> Any:
    """TN / (TN + FP)."""
    return divide(ratios.specificity(tn, fp))


def volume_difference(tp: Numbers, fp: Numbers, fn: Numbers) -> Any:
    """(predicted - reference) / reference volume: 0 is equal, -1 all missed, 1 twice the volume; signed, unbounded."""
    return divide(ratios.volume_difference(tp, fp, fn))


def soft_dice(intersection: Numbers, prediction: Numbers, reference: Numbers, smooth: float = 0.0) -> Any:
    """(2 Σpr + s) / (Σp + Σr + s), with the plain sum of p in the denominator."""
    return divide(ratios.soft_dice(intersection, prediction, reference), smooth)


def soft_dice_squared(
    intersection: Numbers, prediction_squared: Numbers, reference: Numbers, smooth: float = 0.0
) -> Any:
    """(2 Σpr + s) / (Σp² + Σr + s), with squares in the denominator, as V-Net has it (r² = r)."""
    return divide(ratios.soft_dice(intersection, prediction_squared, reference), smooth)


def soft_tversky(
    intersection: Numbers, prediction: Numbers, reference: Numbers, alpha: float, beta: float, smooth: float = 0.0
) -> Any:
    """(Σpr + s) / (Σpr + alpha Σp(1-r) + beta Σ(1-p)r + s)."""
    return divide(ratios.soft_tversky(intersection, prediction, reference, alpha, beta), smooth)


def with_empty_policy(score: Any, both_empty: Any, empty: EmptyPolicy, smooth: float) -> Any:
    """The score where something is to be scored, the policy's value where both masks are empty.

    score: as the formulas give it, smoothed with `smooth`; both_empty: bool, hard reference and hard prediction empty.
    "nan", "one" and "zero" replace the score, a soft one too. "smooth" leaves it, and makes 0/0 into s/s = 1; without
    smoothing that stays NaN.
    """
    if empty == "smooth":
        return np.where(both_empty & np.isnan(score) & (smooth > 0), 1.0, score)[()]
    return np.where(both_empty, {"nan": np.nan, "one": 1.0, "zero": 0.0}[empty], score)[()]
