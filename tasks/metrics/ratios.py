"""Every score as what it is, a ratio of sums: numerator and denominator, both additive over pixels and images.

tp, fp, fn, tn are the counts of one class. Of the soft ratios, intersection = sum of p over the reference,
prediction = sum of p (or of p squared), reference = number of reference pixels. All of them are numbers or arrays.
"""

from typing import Any, NamedTuple


class Ratio(NamedTuple):
    """A score before it is divided."""

    numerator: Any
    denominator: Any


def dice(tp: Any, fp: Any, fn: Any) -> Ratio:
    """2 TP / (2 TP + FP + FN)."""
    return Ratio(2 * tp, 2 * tp + fp + fn)


def iou(tp: Any, fp: Any, fn: Any) -> Ratio:
    """TP / (TP + FP + FN), the Jaccard index."""
    return Ratio(tp, tp + fp + fn)


def tversky(tp: Any, fp: Any, fn: Any, alpha: float, beta: float) -> Ratio:
    """TP / (TP + alpha FP + beta FN)."""
    return Ratio(tp, tp + alpha * fp + beta * fn)


def f_beta(tp: Any, fp: Any, fn: Any, beta: float) -> Ratio:
    """(1 + beta²) TP / ((1 + beta²) TP + FP + beta² FN)."""
    return Ratio((1 + beta**2) * tp, (1 + beta**2) * tp + fp + beta**2 * fn)


def sensitivity(tp: Any, fn: Any) -> Ratio:
    """TP / (TP + FN), the recall."""
    return Ratio(tp, tp + fn)


def precision(tp: Any, fp: Any) -> Ratio:
    """TP / (TP + FP)."""
    return Ratio(tp, tp + fp)


def specificity(tn: Any, fp: Any) -> Ratio:
    """TN / (TN + FP)."""
    return Ratio(tn, tn + fp)


def volume_difference(tp: Any, fp: Any, fn: Any) -> Ratio:
    """((TP + FP) - (TP + FN)) / (TP + FN): predicted minus reference volume, relative to the reference."""
    return Ratio((tp + fp) - (tp + fn), tp + fn)


def soft_dice(intersection: Any, prediction: Any, reference: Any) -> Ratio:
    """2 Σpr / (Σp + Σr); with Σp² for Σp it is the Dice of V-Net (Milletari et al. 2016)."""
    return Ratio(2 * intersection, prediction + reference)


def soft_tversky(intersection: Any, prediction: Any, reference: Any, alpha: float, beta: float) -> Ratio:
    """Σpr / (Σpr + alpha Σp(1-r) + beta Σ(1-p)r)."""
    return Ratio(
        intersection,
        intersection + alpha * (prediction - intersection) + beta * (reference - intersection),
    )
