"""Counts of lesions: the additive record that the scores of an image, of a unit or of a set are computed from."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from segscale.tasks.metrics.scores import Ratio, Score, dice


@Score
def lesion_dice(dice_sum: Any, tp: Any, fp: Any, fn: Any) -> Ratio:
    """Sum of Dice over matched lesions of the reference / (TP + FP + FN): lesions missed or invented count as 0."""
    return Ratio(dice_sum, tp + fp + fn)


@Score
def panoptic_quality(iou_sum: Any, tp: Any, fp: Any, fn: Any) -> Ratio:
    """Sum of IoU over the matched lesions of the reference / (TP + FP/2 + FN/2) (Kirillov 2019): mean IoU times F1."""
    return Ratio(2 * iou_sum, 2 * tp + fp + fn)


@dataclass(frozen=True, slots=True)
class LesionCounts:
    """Additive counts of lesions of one class, of an image or of many: `+` joins them, `zero` is neutral.

    Scores are NaN where there is no lesion on either side, and where a sum is NaN.
    """

    true_positive: int
    """Lesions of the reference that are matched."""
    false_positive: int
    """Lesions of the prediction that are not matched."""
    false_negative: int
    """Lesions of the reference that are not matched."""
    dice_sum: float
    """Dice of each matched lesion of the reference with all that it is matched with, summed."""
    iou_sum: float
    """The same of their IoU."""

    @classmethod
    def zero(cls) -> LesionCounts:
        """Counts of nothing, to start a sum with."""
        return LesionCounts(0, 0, 0, 0.0, 0.0)

    def __add__(self, other: LesionCounts) -> LesionCounts:
        """Counts of both."""
        names = [field.name for field in fields(LesionCounts)]
        return LesionCounts(*(getattr(self, name) + getattr(other, name) for name in names))

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        return float(dice(tp=self.true_positive, fp=self.false_positive, fn=self.false_negative))

    @property
    def lesion_dice(self) -> float:
        """`dice_sum` / (TP + FP + FN)."""
        return float(lesion_dice(*self._sums(self.dice_sum)))

    @property
    def panoptic_quality(self) -> float:
        """`iou_sum` / (TP + FP/2 + FN/2)."""
        return float(panoptic_quality(*self._sums(self.iou_sum)))

    def _sums(self, of_matched: float) -> tuple[float, int, int, int]:
        return of_matched, self.true_positive, self.false_positive, self.false_negative
