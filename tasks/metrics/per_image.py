"""Scores of every image: the `per_image` table from its counts."""

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
