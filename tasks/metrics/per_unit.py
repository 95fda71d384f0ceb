"""The table of units of evaluation: the counts of each summed, and what they score."""

from typing import Any

import numpy as np
import pandas as pd

from segscale.tasks.metrics.count_columns import COUNTS, BoolArray, Int64Array
from segscale.tasks.metrics.metric_table import METRICS
from segscale.tasks.metrics.panel import OVER_CLASSES, ClassCounts
from segscale.tasks.metrics.per_image import PREDICTION_MISSING, score_images
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.units import Units

KEYS = ("unit", "unit_value", "class_index", "class_name", "head", "n_images", "n_failed", "n_missing")
# In the order of per_image.
_COUNTS = (*(name for name in COUNTS if name != "reference_sum"), "reference_sum")
COLUMNS = (*KEYS, *_COUNTS, *(metric.name for metric in METRICS), "empty", "missed_pixels")


def per_unit(units: Units, settings: ScoreSettings) -> pd.DataFrame:
    """A row per unit (in the order of their first images), head and class.

    Counts (Int64, soft sums float64) are sums over the sound images; of a failed unit, in which none is sound, they are
    null, its scores NaN and `empty` null. n_images of the unit, n_failed of them failed, n_missing of these for want of
    a usable prediction alone; missed_pixels (Int64) are the reference pixels of those, which count as missed in
    mean_missing_as_zero. Both are null where it is not known which images lack a prediction.
    """
    panel = units.panel
    frames = pd.concat([panel.images, panel.failed]) if len(panel.failed) else panel.images
    order = np.argsort(frames.index.to_numpy(), kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    values = frames[panel.unit].astype(object).map(str).to_numpy(object)
    keys = units.tallies.assign(unit=panel.unit, unit_value=values)
    parts, places = [], []
    own = [(head, [one for one in panel.classes[head] if one.class_index != OVER_CLASSES]) for head in panel.heads]
    n_rows = sum(len(classes) for _, classes in own)
    offset = 0
    for head, classes in own:
        for one in classes:
            of_class: dict[str, Any] = {"class_index": one.class_index, "class_name": one.class_name, "head": head}
            named = keys.assign(**of_class)
            parts.append(pd.concat([named, _counts(one, units)], axis=1))
            places.append(rank * n_rows + offset)
            offset += 1
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    rows = pd.concat(parts, ignore_index=True).iloc[np.argsort(np.concatenate(places), kind="stable")]
    scored = score_images(rows.reset_index(drop=True), settings)
    return scored[list(COLUMNS)].astype({"unit": "str", "unit_value": "str"})


def measured_units(units: Units, settings: ScoreSettings) -> pd.DataFrame:
    """The scores that a panel of surfaces or lesions has of each ok unit: unit_value, class_index, head, a column per
    metric. Distances are the means of a unit's sound images, scores of lesions those of their sums.
    """
    panel = units.panel
    frames = []
    for head in panel.heads:
        for one in panel.classes[head]:
            if one.class_index != OVER_CLASSES:
                scores = {metric.name: metric.score(one.counts, settings) for metric in panel.metrics}
                keys = {"unit_value": panel.images[panel.unit].astype(object).map(str), "class_index": one.class_index}
                frames.append(pd.DataFrame({**keys, "head": head, **scores}))
    return pd.concat(frames, ignore_index=True)


def _counts(one: ClassCounts, units: Units) -> pd.DataFrame:
    """The counts of the ok units, then nothing of the failed ones."""
    panel = units.panel
    n_ok, n_failed = len(panel.images), len(panel.failed)
    is_failed = np.arange(n_ok + n_failed) >= n_ok
    columns: dict[str, Any] = {}
    for name in _COUNTS:
        values = getattr(one.counts, name)
        if name.startswith("soft"):
            columns[name] = np.concatenate([values, np.full(n_failed, np.nan)])
        else:
            columns[name] = _known(np.concatenate([values, np.zeros(n_failed, np.int64)]), is_failed)
    missed = np.zeros(n_ok + n_failed, np.int64)
    if one.partly_missed is not None:
        missed[:n_ok] = one.partly_missed.reference_sum
    missed[n_ok:][panel.failed[PREDICTION_MISSING].fillna(False).to_numpy(bool)] = one.missed.reference_sum
    unknown = units.tallies["n_missing"].isna().to_numpy(bool)
    status = np.where(is_failed, "failed", "ok")
    return pd.DataFrame({**columns, "missed_pixels": _known(missed, unknown), "status": status})


def _known(values: Int64Array, unknown: BoolArray) -> pd.arrays.IntegerArray:
    return pd.arrays.IntegerArray(values, unknown)
