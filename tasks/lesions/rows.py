"""Rows of lesions: what is known of each one of a side."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from segscale.tasks.lesions.assignment import BoolArray, Float64Array
from segscale.tasks.lesions.lesion_map import LesionMap
from segscale.tasks.lesions.overlaps import Overlaps
from segscale.tasks.lesions.runs import Int64Array
from segscale.tasks.metrics.scores import dice, divide, iou

if TYPE_CHECKING:
    import pandas as pd

BACKGROUND = 0
CENTROID = ("centroid_d", "centroid_h", "centroid_w")
Spacing = tuple[float, ...]


@dataclass(frozen=True, slots=True, eq=False)
class LesionRows:
    """The lesions of one side, in ascending order of their labels.

    The counterpart of a lesion is what it is matched with: one lesion of the other side or, under the rule "overlap",
    all that share a voxel with it, taken together.
    """

    label: Int64Array
    """(n,) of components their place in scan order from 1 on, of instances their value in the label map."""
    voxels: Int64Array
    """(n,) voxels, or pixels of 2-D masks."""
    volume_mm3: Float64Array
    """(n,) NaN without a spacing, and of 2-D masks."""
    area_mm2: Float64Array
    """(n,) of 2-D masks; NaN without a spacing, and of volumes."""
    centroid: Float64Array
    """(n, axes) mean place of the voxels from the centre of the first one of the mask, along its axes, in the
    `distance_unit`."""
    n_overlapping: Int64Array
    """(n,) lesions of the other side that share a voxel with it, matched or not."""
    matched_with: Int64Array
    """(n,) label of the counterpart; of several the one with which most voxels are shared, of those the first; 0 where
    there is none."""
    dice: Float64Array
    """(n,) with the counterpart, 0 where there is none."""
    iou: Float64Array
    """(n,) likewise."""
    distance: Float64Array
    """(n,) between the centroids of the lesion and of its counterpart, in the `distance_unit`; NaN where there is
    none."""

    @property
    def matched(self) -> BoolArray:
        """(n,) whether there is a counterpart."""
        return np.not_equal(self.matched_with, BACKGROUND)


def both_rows(
    reference: LesionMap,
    prediction: LesionMap,
    shared: Overlaps,
    matched: BoolArray,
    spacing_mm: Spacing | None,
    axes: int,
) -> tuple[LesionRows, LesionRows]:
    """The rows of reference and prediction; `matched` are those of the pairs that share voxels."""
    scale = np.array(spacing_mm or (1.0,) * axes)
    mm = float(scale.prod()) if spacing_mm else np.nan
    turned = Overlaps(shared.prediction, shared.reference, shared.voxels)
    return (
        _rows(reference, prediction, shared, matched, scale, mm),
        _rows(prediction, reference, turned, matched, scale, mm),
    )


def _rows(
    own: LesionMap, other: LesionMap, shared: Overlaps, matched: BoolArray, scale: Float64Array, mm: float
) -> LesionRows:
    """own, other: the two sides; shared: their pairs, the own side as `reference`."""
    n, axes = len(own), scale.size
    i, j, voxels = shared.reference[matched], shared.prediction[matched], shared.voxels[matched]
    counterpart = np.zeros((n, 4), np.int64)
    np.add.at(counterpart, i, other.sums[j])
    common = np.zeros(n, np.int64)
    np.add.at(common, i, voxels)
    only_own, only_other = own.voxels - common, counterpart[:, 0] - common
    centroid = _centroids(own.sums, scale)
    return LesionRows(
        label=own.label,
        voxels=own.voxels,
        volume_mm3=own.voxels * np.float64(mm if axes == 3 else np.nan),
        area_mm2=own.voxels * np.float64(mm if axes == 2 else np.nan),
        centroid=centroid,
        n_overlapping=np.bincount(shared.reference, minlength=n),
        matched_with=_largest(i, other.label[j], voxels, n),
        dice=divide(dice.ratio(tp=common, fp=only_other, fn=only_own)),
        iou=divide(iou.ratio(tp=common, fp=only_other, fn=only_own)),
        distance=np.linalg.norm(centroid - _centroids(counterpart, scale), axis=1),
    )


def _centroids(sums: Int64Array, scale: Float64Array) -> Float64Array:
    """(n, axes) of sums of lesions, NaN of no voxel."""
    totals, counts = sums[:, 4 - scale.size :], sums[:, :1]
    means: Float64Array = np.divide(totals, counts, out=np.full(totals.shape, np.nan), where=counts > 0)
    return means * scale


def _largest(own: Int64Array, label: Int64Array, voxels: Int64Array, n: int) -> Int64Array:
    """(n,) the label that shares most voxels with each lesion."""
    order = np.lexsort((label, -voxels, own))
    lesion, first = np.unique(own[order], return_index=True)
    largest = np.full(n, BACKGROUND, np.int64)
    largest[lesion] = label[order][first]
    return largest


def as_table(side: str, rows: LesionRows) -> pd.DataFrame:
    """A row per lesion, its centroid in three columns."""
    import pandas as pd

    columns: dict[str, Any] = {"side": side}
    for name in (field.name for field in fields(rows)):
        if name == "centroid":
            missing = np.full((len(rows.label), len(CENTROID) - rows.centroid.shape[1]), np.nan)
            columns |= dict(zip(CENTROID, np.hstack([missing, rows.centroid]).T, strict=True))
        elif name == "matched_with":
            columns |= {"matched": rows.matched, name: rows.matched_with}
        else:
            columns[name] = getattr(rows, name)
    return pd.DataFrame(columns)
