"""Matching: which lesions of the prediction stand for which of the reference."""

from __future__ import annotations

from typing import Literal

import numpy as np

from segscale.tasks.lesions.assignment import BoolArray, Float64Array, heaviest
from segscale.tasks.lesions.lesion_map import LesionMap
from segscale.tasks.lesions.overlaps import Overlaps
from segscale.tasks.metrics.scores import dice, iou

Rule = Literal["overlap", "iou", "dice"]
"""By which lesions are matched: all that share a voxel, or one to one by IoU or Dice."""
WEIGHTS = {"iou": iou, "dice": dice}


def matched(shared: Overlaps, reference: LesionMap, prediction: LesionMap, rule: Rule, threshold: float) -> BoolArray:
    """Which of the pairs that share voxels are matched, (n,).

    "overlap": all of them, so that a lesion may be matched with several. Otherwise no lesion with more than one: of
    the pairs whose IoU or Dice is the threshold or more, those with the largest sum of it.
    """
    if rule == "overlap":
        return np.ones(len(shared), np.bool_)
    only_reference = reference.voxels[shared.reference] - shared.voxels
    only_prediction = prediction.voxels[shared.prediction] - shared.voxels
    weight: Float64Array = WEIGHTS[rule](tp=shared.voxels, fp=only_prediction, fn=only_reference)
    chosen: BoolArray = weight >= threshold
    chosen[chosen] = heaviest(shared.reference[chosen], shared.prediction[chosen], weight[chosen])
    return chosen
