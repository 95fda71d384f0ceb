"""Volumes of a class in the patient, reference and prediction side by side, and how they agree."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.tasks.metrics.per_image import is_ok
from segscale.tasks.metrics.volumes import VOLUMES
from segscale.tasks.report_html.headline import rows_of

Float64Array = NDArray[np.float64]
LIMITS = 1.96
"""Standard deviations from the mean difference to the limits of agreement, which hold 95 % of a normal distribution."""


@dataclass(frozen=True, slots=True)
class VolumePairs:
    """Columns (n,) of the ok images of a class whose volumes are known, in catalog order."""

    reference_ml: Float64Array
    prediction_ml: Float64Array
    n_unknown: int
    """Ok images without a spacing."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Bias and limits of agreement in ml; Bland and Altman, Lancet 1986, 327, 307-310."""

    n_images: int
    bias_ml: float
    """Mean of prediction minus reference."""
    low_ml: float
    high_ml: float
    """Bias minus and plus LIMITS standard deviations (n - 1); NaN of a single image."""


def volume_pairs(per_image: pd.DataFrame, class_index: int, head: object) -> VolumePairs:
    """Of a class and head; empty where the table knows no volumes."""
    if not set(VOLUMES) <= set(per_image.columns):
        return VolumePairs(np.empty(0), np.empty(0), 0)
    rows = rows_of(per_image[["class_index", "head", "status", *VOLUMES]], class_index=class_index, head=head)
    rows = rows[is_ok(rows)]
    reference, prediction = (rows[name].to_numpy(np.float64) for name in VOLUMES)
    known = ~np.isnan(reference) & ~np.isnan(prediction)
    return VolumePairs(reference[known], prediction[known], int((~known).sum()))


def agreement_of(pairs: VolumePairs) -> Agreement:
    """Of at least one pair.

    >>> found = agreement_of(VolumePairs(np.array([1.0, 2.0]), np.array([1.0, 3.0]), 0))
    >>> found.bias_ml, round(found.low_ml, 3), round(found.high_ml, 3)
    (0.5, -0.886, 1.886)
    """
    difference = pairs.prediction_ml - pairs.reference_ml
    bias = float(difference.mean())
    reach = LIMITS * float(difference.std(ddof=1)) if difference.size > 1 else np.nan
    return Agreement(difference.size, bias, bias - reach, bias + reach)
