"""Volumes: how much of a patient a reference and a prediction take, from counted voxels and the space between them."""

from __future__ import annotations

import pandas as pd

from segscale.tasks.metrics.per_image import REFERENCE_PIXELS

MM3_IN_ML = 1000.0
VOLUMES = ("reference_volume_ml", "prediction_volume_ml")
"""Columns of per_image."""


def volume_columns(counts: pd.DataFrame, spacings: pd.DataFrame) -> dict[str, pd.Series]:
    """The columns reference_volume_ml and prediction_volume_ml of rows of counts, in millilitres.

    counts: the counts of `OverlapCounts` (Int64, null of failed images) and reference_pixels; spacings: a row for each,
    in mm along three axes. Ignored voxels are in neither. NaN without a spacing, and where the voxels are not known: an
    image that lacks its prediction alone has a reference.
    """
    voxel_ml = spacings.prod(axis=1, skipna=False).to_numpy() / MM3_IN_ML
    predicted = counts["true_positive"] + counts["false_positive"]
    voxels = (counts[REFERENCE_PIXELS], predicted)
    return {
        name: of_name.astype("Float64").astype("float64") * voxel_ml
        for name, of_name in zip(VOLUMES, voxels, strict=True)
    }
