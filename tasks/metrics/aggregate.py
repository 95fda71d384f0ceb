"""Aggregate tables of a run: means of scores (`per_sample`) and scores of sums (`batch_summed`), kept apart.

Both take the `per_image` table, or its panel, of which they read the counts, not the scores, and drop no failure
silently: failed images are left out and counted. Rows are ordered by unit (images first), stratum, class (by index,
then over classes), head, metric. In the rows of a unit of evaluation every "image" below is a unit: the counts of its
sound images summed (`segscale.tasks.metrics.units`).

Of the rows over classes, `all_macro` is the mean over foreground classes of the defined class values, with
n_classes_defined beside it; what has no meaning as such a mean (spread, numbers of images by emptiness) is NaN or null
there. `all_micro` and `all_channels_micro` sum the counts over classes first, image by image.
"""

from functools import partial

import numpy as np
import pandas as pd

from segscale.tasks.metrics.batches import BatchSummary, mean_over_classes, shuffled_orders, summarize
from segscale.tasks.metrics.count_columns import Float64Array, Int64Array
from segscale.tasks.metrics.folds import fold_codes, mean_of_folds
from segscale.tasks.metrics.layout import KEY_COLUMNS, Row, over_classes, seed_of, table
from segscale.tasks.metrics.metric_table import Metric
from segscale.tasks.metrics.panel import Panel, Sample
from segscale.tasks.metrics.settings import ScoreSettings
from segscale.tasks.metrics.statistics import QUANTILES, mean, mean_with_zeros, spread, standard_deviation
from segscale.tasks.metrics.units import levels

PER_SAMPLE_COLUMNS: dict[str, str | None] = {
    **KEY_COLUMNS, "mean": "float64", "std": "float64", **dict.fromkeys(QUANTILES, "float64"),
    "mean_failed_as_zero": "float64", "mean_missing_as_zero": "float64", "mean_of_folds": "float64",
    **dict.fromkeys(["n_images", "n_defined", "n_reference_empty", "n_prediction_empty", "n_both_empty"], "Int64"),
    "n_failed": "Int64", "n_missing": "Int64", "n_folds": "Int64", "n_classes_defined": "Int64",
}  # fmt: skip
MISSING_AS_WORST = "mean_missing_as_worst"
PER_SAMPLE_COLUMNS_WITH_DISTANCES = {**PER_SAMPLE_COLUMNS, MISSING_AS_WORST: "float64"}
"""Beside distances the worst is not 0: of every metric the mean with missing predictions as the worst there is."""
BATCH_SUMMED_COLUMNS: dict[str, str | None] = {
    **KEY_COLUMNS, "batch_size": "Int64", "pooled": "bool", "n_batches": "Int64", "n_undefined": "Int64",
    "mean": "float64", "mean_equal_weight": "float64", "std": "float64", "shuffle_mean": "float64",
    "shuffle_std": "float64", "pooled_missing_as_missed": "float64", "n_failed": "Int64", "n_missing": "Int64",
    "n_classes_defined": "Int64",
}  # fmt: skip


def per_sample(
    per_image: pd.DataFrame | Panel, settings: ScoreSettings, columns: dict[str, str | None] = PER_SAMPLE_COLUMNS
) -> pd.DataFrame:
    """Mean and spread over images of each image's score: a row per stratum, class, head and metric.

    n_images are all images of the stratum, n_failed of them failed, n_defined have a score. n_reference_empty,
    n_prediction_empty and n_both_empty exclude each other. std is the sample standard deviation (n - 1), quantiles are
    interpolated linearly. mean_failed_as_zero gives failed images the score 0; it is NaN for volume_difference, whose
    best value is 0. Soft metrics of label maps keep their rows, with NaN and n_defined 0.

    n_missing of the failed images have a sound reference and no usable prediction. mean_missing_as_zero gives these the
    score 0, whatever their reference holds and the empty policy says, and leaves the other failed ones out; it is the
    mean where none is missing, and NaN where the other is. Both are unknown (null, NaN) where `prediction_missing` is.
    A unit with sound images stands there with the references of its missing predictions as missed.

    mean_of_folds is the mean over folds of the mean of each, n_folds how many have one; NaN and null without `folds`.
    Of all_macro it is the mean of the classes' values.

    Raises ArgumentError where units or folds cannot be made (`check_units`).
    """
    rows: list[Row] = []
    for panel in levels(per_image, settings):
        for stratum in panel.strata(settings.group_by):
            folds = fold_codes(panel, stratum, settings.folds)
            estimate = partial(
                _image_means, metrics=panel.metrics, n_failed=stratum.n_failed, folds=folds, settings=settings
            )
            for keys, found in over_classes(panel, stratum, estimate, _mean_over_classes):
                rows += [{**keys, **row} for row in found]
    return table(rows, columns)


def batch_summed(per_image: pd.DataFrame | Panel, settings: ScoreSettings) -> pd.DataFrame:
    """Scores of the summed counts of batches: a row per stratum, class, head, metric and batch size, pooled last.

    Batches are consecutive ok images of the stratum in catalog order, the last may be short; the pooled row is one
    batch of all of them. The empty policy applies to batches as to images. `mean` weighs each defined batch by its
    images, mean_equal_weight does not; std (n - 1) is over defined batches. shuffle_mean and shuffle_std (n - 1) are of
    `mean` over seeded orders; where the order cannot matter (batches of one, a single batch) they are `mean` and 0.
    Batch size 1 equals the per-sample mean to the last bit.

    pooled_missing_as_missed, of the pooled row alone, sums the references without a usable prediction too, as false
    negatives and nothing else (`Metric.pooled`): never above the pooled score of Dice, IoU, Tversky, F-beta,
    sensitivity and precision.
    """
    rows: list[Row] = []
    for panel in levels(per_image, settings):
        for stratum in panel.strata(settings.group_by):
            orders = shuffled_orders(stratum.images.size, seed_of(stratum, settings.seed))
            estimate = partial(summarize, metrics=panel.metrics, orders=orders, settings=settings)
            counted = {"n_failed": stratum.n_failed, "n_missing": stratum.n_missing}
            for keys, found in over_classes(panel, stratum, estimate, mean_over_classes):
                rows += [{**keys, **_batch_row(summary), **counted} for summary in found]
    return table(rows, BATCH_SUMMED_COLUMNS)


def _with_missing(metric: Metric, sample: Sample, defined: Float64Array, settings: ScoreSettings) -> float:
    """The mean with missing predictions as 0, and in units that have other images as missed; NaN if it is not known.

    defined: the scores of the sound images that have one.
    """
    if metric.is_averaged:
        return np.nan if sample.missed is None else mean(metric.score(sample.with_missing, settings))
    if sample.partly_missed is not None:
        scores = metric.score(sample.counts.with_missed(sample.partly_missed), settings)
        defined = scores[~np.isnan(scores)]
    return mean_with_zeros(defined, sample.n_missing)


def _image_means(
    sample: Sample, metrics: tuple[Metric, ...], n_failed: int, folds: Int64Array | None, settings: ScoreSettings
) -> list[Row]:
    counts, n_missing = sample.counts, sample.n_missing
    images = {
        "n_images": counts.size + n_failed,
        "n_reference_empty": int((counts.reference_empty & ~counts.prediction_empty).sum()),
        "n_prediction_empty": int((~counts.reference_empty & counts.prediction_empty).sum()),
        "n_both_empty": int(counts.both_empty.sum()),
        "n_failed": n_failed,
        "n_missing": n_missing,
    }
    rows: list[Row] = []
    for metric in metrics:
        scores = metric.score(counts, settings)
        defined = scores[~np.isnan(scores)]
        has_worst = metric.has_worst_score_zero and not metric.is_unknown(counts, settings)
        missed = np.nan
        if has_worst or metric.is_averaged:
            missed = _with_missing(metric, sample, defined, settings)
        of_folds, n_folds = (np.nan, None) if folds is None else mean_of_folds(scores, folds)
        rows.append(
            {
                "metric": metric.name,
                "mean": mean(scores),
                **spread(scores),
                "mean_failed_as_zero": mean_with_zeros(defined, n_failed) if has_worst else np.nan,
                "mean_missing_as_zero": missed if has_worst else np.nan,
                MISSING_AS_WORST: missed,
                "mean_of_folds": of_folds,
                "n_folds": n_folds,
                "n_defined": defined.size,
                **images,
            }
        )
    return rows


def _mean_over_classes(rows: list[Row]) -> Row:
    means = [row["mean"] for row in rows]
    return {
        "metric": rows[0]["metric"],
        "mean": mean(means),
        "mean_failed_as_zero": mean([row["mean_failed_as_zero"] for row in rows]),
        "mean_missing_as_zero": mean([row["mean_missing_as_zero"] for row in rows]),
        MISSING_AS_WORST: mean([row[MISSING_AS_WORST] for row in rows]),
        "mean_of_folds": mean([row["mean_of_folds"] for row in rows]),
        **{name: rows[0][name] for name in ("n_images", "n_failed", "n_missing")},
        "n_classes_defined": int(np.isfinite(means).sum()),
    }


def _batch_row(summary: BatchSummary) -> Row:
    shuffled = summary.shuffle_means
    return {
        "metric": summary.metric,
        "batch_size": summary.size,
        "pooled": summary.pooled,
        "n_batches": summary.n_batches,
        "n_undefined": summary.n_undefined,
        "mean": summary.mean,
        "mean_equal_weight": summary.mean_equal_weight,
        "std": summary.std,
        "pooled_missing_as_missed": summary.pooled_missing,
        "shuffle_mean": mean(shuffled),
        "shuffle_std": 0.0 if shuffled.size == 1 and np.isfinite(shuffled[0]) else standard_deviation(shuffled),
        "n_classes_defined": summary.n_classes_defined,
    }
