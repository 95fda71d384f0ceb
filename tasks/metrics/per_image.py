"""Scores of every image: the `per_image` table from its counts, and what its rows are of."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics import scores
from segscale.tasks.metrics.count_columns import CountColumns, Float64Array
from segscale.tasks.metrics.metric_table import DICE, METRICS, TVERSKY, Metric
from segscale.tasks.metrics.settings import ScoreSettings

EXPLAINED = (DICE, TVERSKY)
"""Metrics whose gap is explained, image by image."""
SCORE_COLUMNS = (
    *(metric.name for metric in METRICS),
    "empty",
    *(f"gap_contribution_{metric.name}" for metric in EXPLAINED),
)
"""What the table has more than counts."""
IS_REGION = "is_region"
"""Column of per_image, where regions are counted beside classes: whether a row is of one."""
PREDICTION_MISSING, REFERENCE_PIXELS = "prediction_missing", "reference_pixels"
"""Columns of per_image: whether an image failed for want of a usable prediction alone, null where that is not known;
and the pixels of its reference, which are known then too."""


def score_images(counts: pd.DataFrame, settings: ScoreSettings) -> pd.DataFrame:
    """The counts with a column per metric, `empty` and the contributions to the gap, inserted after `reference_sum`.

    counts: a row per image, class and head with image_id, class_index, head, the count columns of `OverlapCounts`
    (int64 or Int64, soft sums float64) and status, "ok" or "failed"; other columns stay as they are. Failed rows, whose
    counts are null, get NaN scores, a null `empty` and NaN contributions.

    gap_contribution_dice and _tversky sum over the images of a class and head to the covariance term of the gap; they
    are NaN where the unsmoothed denominator is 0.
    """
    ok = is_ok(counts)
    columns = CountColumns.of_frame(counts[ok])
    groups = counts[ok].groupby(["class_index", "head"], sort=False, dropna=False).ngroup().to_numpy()
    added = [
        *(_spread(metric.score(columns, settings), ok) for metric in METRICS),
        _emptiness(columns, ok),
        *(_spread(_gap_contribution(metric, columns, groups, settings), ok) for metric in EXPLAINED),
    ]
    table = counts.drop(columns=list(SCORE_COLUMNS), errors="ignore")
    place = table.columns.get_loc("reference_sum")
    assert isinstance(place, int), "a column name twice"
    scored = pd.DataFrame(dict(zip(SCORE_COLUMNS, added, strict=True)), index=table.index)
    return pd.concat([table.iloc[:, : place + 1], scored, table.iloc[:, place + 1 :]], axis=1)


def is_ok(per_image: pd.DataFrame) -> NDArray[np.bool_]:
    """(rows,) True where status is "ok"; ValueError for a status that is neither "ok" nor "failed"."""
    unknown = set(per_image["status"].unique()) - {"ok", "failed"}
    if unknown:
        raise ArgumentError(f"per_image: expected status 'ok' or 'failed', got {sorted(map(str, unknown))}")
    return (per_image["status"] == "ok").to_numpy(bool)


def regions_of(per_image: pd.DataFrame) -> tuple[int, ...]:
    """The class indices of the regions in a `per_image` table."""
    if IS_REGION not in per_image:
        return ()
    # Beside those of runs that have none, where it is null.
    is_region = per_image[IS_REGION].astype("boolean").fillna(False).to_numpy(bool)
    return tuple(map(int, per_image.loc[is_region, "class_index"].unique()))


def n_classes_of(per_image: pd.DataFrame) -> int:
    """How many classes a `per_image` table has, the background included and regions left out."""
    return per_image["class_index"].nunique() - len(regions_of(per_image))


def with_missing_columns(per_image: pd.DataFrame) -> pd.DataFrame:
    """The table with the columns about missing predictions; where it has none, nothing is known of failed images."""
    if PREDICTION_MISSING in per_image.columns and REFERENCE_PIXELS in per_image.columns:
        return per_image
    unknown = pd.array([pd.NA] * len(per_image), dtype="boolean")
    unknown[is_ok(per_image)] = False
    columns: dict[str, Any] = {PREDICTION_MISSING: unknown, REFERENCE_PIXELS: pd.NA}
    return per_image.assign(**columns)


def _spread(values: Float64Array, ok: NDArray[np.bool_]) -> Float64Array:
    spread = np.full(ok.size, np.nan)
    spread[ok] = values
    return spread


def _emptiness(columns: CountColumns, ok: NDArray[np.bool_]) -> pd.Series:
    names = np.array(["no", "reference_empty", "prediction_empty", "both_empty", None], dtype=object)
    code = np.full(ok.size, len(names) - 1)
    code[ok] = columns.reference_empty + 2 * columns.prediction_empty
    return pd.Series(names[code], dtype="str")


def _gap_contribution(
    metric: Metric, columns: CountColumns, groups: NDArray[np.integer], settings: ScoreSettings
) -> Float64Array:
    """(w - mean w)(D - mean D) / (n mean w) within each group, over places with w > 0, all unsmoothed."""
    ratio = metric.ratio(columns, settings)
    weight, score = np.asarray(ratio.denominator, np.float64), scores.divide(ratio)
    defined = weight > 0
    group = groups[defined]
    n = np.bincount(group)
    mean_weight = np.bincount(group, weights=weight[defined])[group] / n[group]
    mean_score = np.bincount(group, weights=score[defined])[group] / n[group]
    contribution = np.full(weight.size, np.nan)
    contribution[defined] = (weight[defined] - mean_weight) * (score[defined] - mean_score) / (n[group] * mean_weight)
    return contribution
