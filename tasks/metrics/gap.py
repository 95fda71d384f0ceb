"""The gap between the pooled score and the per-sample mean, explained.

With w the unsmoothed denominator of an image's score D, and means over the n images with w > 0, pooled - mean is
Cov(w, D) / mean(w): large images score better, or worse, than small ones. Smoothing, and images with nothing to be
scored, make the rest.
"""

from functools import partial

import numpy as np
import pandas as pd

from segscale.tasks.metrics import scores
from segscale.tasks.metrics.batches import batch
from segscale.tasks.metrics.count_columns import CountColumns, Float64Array
from segscale.tasks.metrics.layout import KEY_COLUMNS, Row, over_classes, table
from segscale.tasks.metrics.metric_table import DICE, TVERSKY, Metric
from segscale.tasks.metrics.panel import OVER_CLASSES, Panel, Sample, panel_of
from segscale.tasks.metrics.scores import Ratio
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import mean

TERMS = ("per_sample_mean", "pooled", "gap", "covariance_term", "smoothing_term", "undefined_term")
COLUMNS: dict[str, str | None] = {**KEY_COLUMNS, **dict.fromkeys(TERMS, "float64"), "n_classes_defined": "Int64"}
LEAVE_ONE_OUT_COLUMNS: dict[str, str | None] = {
    "image_id": None, **{name: kind for name, kind in KEY_COLUMNS.items() if name != "stratum"},
    "pooled_change": "float64",
}  # fmt: skip


def gap(per_image: pd.DataFrame | Panel, settings: ScoreSettings) -> pd.DataFrame:
    """pooled - per_sample_mean of Dice and Tversky with its three terms: a row per stratum, class, head and metric.

    M0, P0: mean and pooled over images with w > 0, unsmoothed; M0e: the mean with the values of the empty policy
    ("smooth" as "nan"); Ms, Ps: mean and pooled as reported. covariance_term = P0 - M0, undefined_term = M0 - M0e,
    smoothing_term = (Ps - P0) - (Ms - M0e); together Ps - Ms. Where no image has w > 0, all terms are 0, or NaN if the
    scores are. all_macro is the mean over foreground classes with a defined gap.
    """
    panel = panel_of(per_image)
    rows: list[Row] = []
    for stratum in panel.strata(settings.group_by):
        estimate = partial(_terms_of_metrics, settings=settings)
        for keys, found in over_classes(panel, stratum, estimate, _mean_over_classes):
            rows += [{**keys, **row} for row in found]
    return table(rows, COLUMNS)


def leave_one_out(per_image: pd.DataFrame | Panel, settings: ScoreSettings) -> pd.DataFrame:
    """How far the pooled score moves when one image is left out: a row per image, class and head, Dice and Tversky.

    pooled_change = (P - D) w / (W - w), unsmoothed: positive where the image pulls the pooled score down. It is 0 for
    images with w = 0 and NaN where nothing is left.
    """
    panel = panel_of(per_image)
    tables = [
        pd.DataFrame(
            {
                "image_id": panel.images["image_id"],
                "class_index": one.class_index,
                "class_name": one.class_name,
                "head": head,
                "metric": metric.name,
                "pooled_change": _pooled_changes(one.counts, metric, settings),
            }
        )
        for head in panel.heads
        for one in panel.classes[head]
        if one.class_index != OVER_CLASSES
        for metric in (DICE, TVERSKY)
    ]
    return pd.concat(tables, ignore_index=True) if tables else table([], LEAVE_ONE_OUT_COLUMNS)


def _terms_of_metrics(sample: Sample, settings: ScoreSettings) -> list[Row]:
    return [_terms(sample.counts, metric, settings) for metric in (DICE, TVERSKY)]


def _terms(counts: CountColumns, metric: Metric, settings: ScoreSettings) -> Row:
    unsmoothed = settings.changed(smooth=0.0, empty="nan" if settings.empty == "smooth" else settings.empty)
    pooled_counts = batch(counts, max(counts.size, 1)).counts
    per_sample, pooled = mean(metric.score(counts, settings)), mean(metric.score(pooled_counts, settings))
    plain = settings.changed(smooth=0.0, empty="nan")
    plain_mean, plain_pooled = mean(metric.score(counts, plain)), mean(metric.score(pooled_counts, plain))
    filled_mean = mean(metric.score(counts, unsmoothed))
    if np.isnan(plain_mean) and not np.isnan(per_sample):
        plain_mean = plain_pooled = filled_mean = per_sample
    return {
        "metric": metric.name,
        "per_sample_mean": per_sample,
        "pooled": pooled,
        "gap": pooled - per_sample,
        "covariance_term": plain_pooled - plain_mean,
        "smoothing_term": (pooled - plain_pooled) - (per_sample - filled_mean),
        "undefined_term": plain_mean - filled_mean,
    }


def _mean_over_classes(rows: list[Row]) -> Row:
    defined = [row for row in rows if not np.isnan(row["gap"])]
    means = {term: mean([row[term] for row in defined]) for term in TERMS}
    return {"metric": rows[0]["metric"], **means, "n_classes_defined": len(defined)}


def _pooled_changes(counts: CountColumns, metric: Metric, settings: ScoreSettings) -> Float64Array:
    ratio = metric.ratio(counts, settings)
    numerator, weight = (np.asarray(side, np.float64) for side in ratio)
    pooled = scores.divide(Ratio(numerator.sum(), weight.sum()))
    change: Float64Array = scores.divide(Ratio(numerator.sum() - numerator, weight.sum() - weight)) - pooled
    return change
