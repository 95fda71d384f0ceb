"""Kept thresholds: scores from the column pairs of `thresholds.parquet`, at one of them or along all."""

import math
import os
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from segscale.errors import ArgumentError
from segscale.tasks.metrics.batches import batch
from segscale.tasks.metrics.count_columns import CountColumns
from segscale.tasks.metrics.metric_table import METRICS, Metric
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean

BLOCK_ROWS = 1 << 15
"""Rows that are scored at once along the thresholds: their columns stay in the processor's cache."""
CURVE_METRICS = ("dice", "iou", "tversky", "sensitivity", "precision", "f_beta", "volume_difference")
"""Metrics that need neither true negatives nor soft sums, which `thresholds.parquet` does not hold."""


def kept_index(threshold: float, threshold_count: int) -> int:
    """The k of a kept threshold k/threshold_count; ValueError naming the kept neighbours of any other.

    >>> kept_index(0.25, 64)
    16
    """
    expected = f"threshold: expected a kept one, k/{threshold_count} for k from 1 to {threshold_count - 1}"
    if not math.isfinite(threshold):
        raise ArgumentError(f"{expected}, got {threshold}")
    place = threshold * threshold_count
    if place == int(place) and 1 <= place < threshold_count:
        return int(place)
    beside = (math.floor(place), math.ceil(place))
    near = sorted({min(max(k, 1), threshold_count - 1) for k in beside})
    named = " and ".join(f"{k / threshold_count} ({k}/{threshold_count})" for k in near)
    raise ArgumentError(f"{expected}, got {threshold}; nearest: {named}")


def pair_names(index: int) -> tuple[str, str]:
    """The columns of threshold k: reference-foreground pixels with p >= k/threshold_count, and all pixels with it."""
    return f"true_positive_{index:03d}", f"predicted_{index:03d}"


def counts_at(thresholds: pd.DataFrame, index: int) -> CountColumns:
    """Counts at threshold k of rows of `thresholds.parquet`: of one class and head, without null rows.

    Soft sums are NaN. True negatives are not in the table and stand as 0: score CURVE_METRICS with it, nothing else.
    ValueError where the counts contradict each other, which those of a sound report never do.
    """
    true_positive, predicted = (thresholds[name].to_numpy() for name in pair_names(index))
    return _counts(true_positive, predicted, thresholds["reference_sum"].to_numpy())


def score_at(thresholds: pd.DataFrame, index: int, metric: str, settings: ScoreSettings) -> pd.Series:
    """One metric at threshold k: `per_sample`, `batch N` for each batch size of the settings, `pooled`.

    thresholds: reference_sum and the pair of k, rows of one class and head. Rows without counts (failed images, label
    maps) are left out. Each value equals that of the report's tables at this threshold to the last bit.
    """
    scored, known = curve_metric(metric), _has_counts(thresholds)
    counts = counts_at(thresholds if known.all() else thresholds[known], index)
    return pd.Series(aggregate(counts, scored, settings), name=metric)


def curve(thresholds: pd.DataFrame, metric: str, settings: ScoreSettings) -> pd.DataFrame:
    """One metric at every kept threshold, both aggregations: threshold, per_sample, pooled, n_images, n_undefined.

    thresholds: reference_sum and all pairs, rows of one class and head; rows without counts are left out.
    """
    scored, known = curve_metric(metric), _has_counts(thresholds)
    # A slice is no copy, and most tables have counts in every row.
    chosen = slice(None) if known.all() else known
    names = [re.fullmatch(r"predicted_(\d{3})", str(name)) for name in thresholds]
    indices = sorted(int(found.group(1)) for found in names if found)
    reference = thresholds["reference_sum"].to_numpy()[chosen].astype(np.int64)

    def point(index: int) -> dict[str, float]:
        true_positive, predicted = (thresholds[name].to_numpy()[chosen] for name in pair_names(index))
        measured = _point(true_positive, predicted, reference, scored, settings)
        return {"threshold": index / (len(indices) + 1), **measured}

    # numpy lets other threads compute meanwhile, and no threshold knows of another.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return pd.DataFrame(list(pool.map(point, indices)))


def _point(
    true_positive: NDArray[Any],
    predicted: NDArray[Any],
    reference: NDArray[np.int64],
    metric: Metric,
    settings: ScoreSettings,
) -> dict[str, float]:
    scores = np.empty(reference.size)
    for start in range(0, reference.size, BLOCK_ROWS):
        block = slice(start, start + BLOCK_ROWS)
        scores[block] = metric.score(_counts(true_positive[block], predicted[block], reference[block]), settings)
    columns = (true_positive, predicted, reference)
    total = _counts(*(column.sum(dtype=np.int64, keepdims=True) for column in columns))
    undefined = np.isnan(scores)
    # What `mean` gives to the last bit, without the weights that it multiplies with.
    defined = scores[~undefined] if undefined.any() else scores
    return {
        "per_sample": float(defined.sum() / defined.size) if defined.size else np.nan,
        "pooled": float(metric.score(total, settings)[0]) if scores.size else np.nan,
        "n_images": reference.size,
        "n_undefined": int(undefined.sum()),
    }


def aggregate(counts: CountColumns, metric: Metric, settings: ScoreSettings) -> dict[str, float]:
    """The per-sample mean, the weighted mean over batches of each size, and pooled, by name."""
    batched = {f"batch {size}": batch(counts, size).mean(metric, settings) for size in settings.batch_sizes}
    pooled = batch(counts, max(counts.size, 1)).mean(metric, settings)
    return {"per_sample": mean(metric.score(counts, settings)), **batched, "pooled": pooled}


def curve_metric(name: str) -> Metric:
    """A metric by name; ValueError for one that `thresholds.parquet` cannot say."""
    if name not in CURVE_METRICS:
        raise ArgumentError(f"metric: expected {' or '.join(CURVE_METRICS)}, got {name!r}")
    return next(metric for metric in METRICS if metric.name == name)


def _counts(true_positive: NDArray[Any], predicted: NDArray[Any], reference_sum: NDArray[Any]) -> CountColumns:
    tp, reference = true_positive.astype(np.int64), reference_sum.astype(np.int64, copy=False)
    fp, fn = predicted - tp, reference - tp
    if min(tp.min(initial=0), fp.min(initial=0), fn.min(initial=0)) < 0:
        raise ArgumentError("thresholds: true_positive, predicted and reference_sum contradict each other")
    unknown, nothing = np.broadcast_to(np.nan, tp.shape), np.broadcast_to(np.int64(0), tp.shape)
    return CountColumns(tp, fp.astype(np.int64, copy=False), fn, nothing, reference, unknown, unknown, unknown)


def _has_counts(thresholds: pd.DataFrame) -> NDArray[np.bool_]:
    """(rows,) False for failed images and label maps; ValueError where the columns are not those of the table."""
    pairs = [name for name in thresholds if str(name).startswith("predicted_")]
    if not pairs or "reference_sum" not in thresholds:
        raise ArgumentError(
            f"thresholds: expected reference_sum and pairs {' and '.join(pair_names(1))}, got {list(thresholds)[:9]}"
        )
    return thresholds[pairs[0]].notna().to_numpy() & thresholds["reference_sum"].notna().to_numpy()
