"""The lesions of one image: those of its reference, which of them were found, and what was found beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from segscale.tasks.distance_unit import DistanceUnit, distance_unit
from segscale.tasks.lesions.components import components
from segscale.tasks.lesions.counts import LesionCounts
from segscale.tasks.lesions.inputs import (
    Instances,
    as_volume,
    check_instances,
    check_neighbours,
    check_rule,
    check_shape,
    check_spacing,
    foreground_rows,
    instance_labels,
)
from segscale.tasks.lesions.instances import instances_of
from segscale.tasks.lesions.lesion_map import LesionMap
from segscale.tasks.lesions.matching import Rule, matched
from segscale.tasks.lesions.memory_order import Order, as_given, memory_order, numbered_as_given
from segscale.tasks.lesions.overlaps import overlaps
from segscale.tasks.lesions.rows import LesionRows, Spacing, as_table, both_rows
from segscale.tasks.metrics.overlap_inputs import native_labels

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, slots=True, eq=False)
class Lesions(LesionCounts):
    """The lesions of an image: their counts and scores as `LesionCounts` has them, and each one of both sides.

    `sum(images, LesionCounts.zero())` are the counts of all.
    """

    # As arrays have no single truth, and counts alone are not all of it.
    __eq__, __hash__ = object.__eq__, object.__hash__

    distance_unit: DistanceUnit
    """Pixels without a spacing."""
    reference: LesionRows
    prediction: LesionRows

    @property
    def rows(self) -> pd.DataFrame:
        """A row per lesion, those of the reference first.

        side: "reference" or "prediction"; label: place in scan order from 1 on, or value of an instance; voxels;
        volume_mm3 of volumes, area_mm2 of 2-D masks, else NaN, as without a spacing; centroid_d (NaN of 2-D masks),
        centroid_h, centroid_w: from the centre of the first voxel of the mask, in the `distance_unit`; n_overlapping:
        lesions of the other side that share a voxel with it, matched or not; matched; matched_with: label of what it
        is matched with, of several that with which it shares most voxels, of those the first, 0 of none; dice, iou:
        with all that it is matched with, 0 with nothing; distance: from centroid to centroid of that, NaN to nothing.
        """
        import pandas as pd

        sides = (as_table("reference", self.reference), as_table("prediction", self.prediction))
        return pd.concat(sides, ignore_index=True)


def lesions(
    reference: NDArray[Any],
    prediction: NDArray[Any] | None,
    spacing_mm: Sequence[float] | None = None,
    neighbours: int | None = None,
    rule: Rule = "overlap",
    *,
    threshold: float | None = None,
    label: int | None = None,
    instances: Instances = "",
) -> Lesions:
    """The lesions of one class of an image, those of the reference matched with those of the prediction.

    A lesion is a connected component of a mask, or an instance of a label map. It is matched by one of three rules:

    "overlap": with every lesion of the other side that shares a voxel with it. So a second lesion of the prediction on
        one of the reference is neither a true nor a false positive, and one over two finds both. Dice and IoU of a
        lesion are those with all that it is matched with, taken together. A prediction of everything finds all: see
        `lesion_dice` beside F1.
    "iou", "dice": with one at most. Of all pairs whose IoU or Dice is the threshold or more those are taken whose sum
        of it is the largest. What is left over in the prediction is a false positive.

    Args:
        reference: a mask, (height, width) or (depth, height, width): bool, integers of 0 and 1, or labels with `label`.
        prediction: of the same shape; None: there is none, every lesion is missed.
        spacing_mm: millimetres between voxels along each axis of the masks; None: distances are in pixels.
        neighbours: of a voxel, that belong to its component: 8 or 4 in two dimensions, 26, 18 or 6 in three. None: 8
            or 26.
        rule: "overlap", "iou" or "dice".
        threshold: of the rules "iou" and "dice", 0 to 1; None: 0.5.
        label: the class whose lesions are meant, of masks that are labels.
        instances: "references" or "both": these are label maps, 0 for the background and another number for each
            instance, in one piece or not. That numbers of both are equal means nothing.

    Returns:
        Counts, scores and rows. F1 is 2 TP / (2 TP + FP + FN), `lesion_dice` the sum of Dice over the matched lesions
        of the reference / (TP + FP + FN) (as BraTS 2023 has it, without its dilation), `panoptic_quality` the sum of
        their IoU / (TP + FP/2 + FN/2): with rule "iou" that of Kirillov 2019. All three are NaN where there is no
        lesion on either side, and 0 where there are some on one side alone.

    Raises:
        ArgumentError: the arrays do not fit, are no masks or no label maps; or there is no such setting.

    >>> found = lesions(np.array([[1, 1, 0, 0, 1]]), np.array([[0, 1, 0, 1, 0]]), neighbours=4)
    >>> found.true_positive, found.false_positive, found.false_negative, found.f1
    (1, 1, 1, 0.5)
    """
    axes = native_labels(reference, "reference").ndim
    spacing = check_spacing(spacing_mm, axes)
    neighbours = check_neighbours(neighbours, axes)
    threshold = check_rule(rule, threshold)
    check_instances(instances, label)
    given = prediction is not None
    if prediction is None:
        prediction = np.zeros(reference.shape, np.bool_)
    native_labels(prediction, "prediction")
    check_shape(prediction, reference)
    find = partial(_found, order=memory_order(as_volume(reference)), neighbours=neighbours)
    return match_lesions(
        find(reference, "reference", label=label, as_instances=instances != ""),
        find(prediction, "prediction", label=label if given else None, as_instances=instances == "both"),
        spacing_mm=spacing,
        axes=axes,
        rule=rule,
        threshold=threshold,
    )


def _found(
    mask: NDArray[Any], name: str, *, order: Order, neighbours: int, label: int | None, as_instances: bool
) -> LesionMap:
    volume = as_volume(mask).transpose(order)
    if as_instances:
        return as_given(instances_of(instance_labels(volume, name)), order)
    found = components(foreground_rows(volume, label, name), volume.shape[-1], neighbours)
    return numbered_as_given(found, order)


def match_lesions(
    reference: LesionMap,
    prediction: LesionMap,
    *,
    spacing_mm: Spacing | None,
    axes: int,
    rule: Rule,
    threshold: float,
) -> Lesions:
    """`lesions` of maps that are made already; axes: 2 or 3, as many as the spacing has numbers."""
    shared = overlaps(reference, prediction)
    chosen = matched(shared, reference, prediction, rule, threshold)
    of_reference, of_prediction = both_rows(reference, prediction, shared, chosen, spacing_mm, axes)
    found = int(of_reference.matched.sum())
    return Lesions(
        true_positive=found,
        false_positive=len(prediction) - int(of_prediction.matched.sum()),
        false_negative=len(reference) - found,
        dice_sum=math.fsum(of_reference.dice),
        iou_sum=math.fsum(of_reference.iou),
        distance_unit=distance_unit(spacing_mm),
        reference=of_reference,
        prediction=of_prediction,
    )
